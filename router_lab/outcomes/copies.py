"""Which groups are copies of one another: equal prompts are one cluster, whatever suites and
groups they stand in.

A group is named by (suite, group), so one prompt in two suites has two names; taken for
independent, the copies fall into different folds, and what was chosen on a prompt is judged on the
same prompt. Here names that hold an equal prompt are joined, and what is joined with one of them
is joined with both: the connected components are the clusters of every figure. Names themselves,
and with them the split of every row, stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.outcomes.codes import Ints, coded, pairs_at
from router_lab.outcomes.near import least_linked, near_copies
from router_lab.outcomes.vectors import VECTOR, Floats, vectors_of
from router_lab.runtime.model import PolicySpec, group_code

Name = tuple[str, str]
"""(suite, group)."""

APART = 20
"""A text under at least so many groups of one suite is an instruction ("Fix the failing test."),
not the question: who gave those groups says that the questions differ, and joining them would
leave too few clusters for any verdict."""

SAME_VECTOR = 0.05
"""Vectors of one text that are no farther apart than this share of the vectors' spread are one,
asked for twice."""

_MARK = re.compile(r"prompt-[0-9a-f]{16}")


def prompt_mark(prompt: str) -> str:
    """The group of a row without one: a hash of its prompt's exact text, which other rows do not
    change."""
    return "prompt-" + hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]


def same_text(prompt: str) -> str:
    """What two prompts share that are equal but for case, spacing and the form in which accents
    are written."""
    return " ".join(unicodedata.normalize("NFC", prompt).casefold().split())


class Joined(NamedTuple):
    """component[k]: for each of k names the least code of those joined with it, itself where it
    has no copy.

    apart: the texts that join nothing although equal (see APART), with the number of groups that
    hold them.
    """

    component: Ints
    apart: dict[str, int]


def join_names(
    names: Sequence[Name], key: Ints, prompts: Sequence[str | None], vectors: Floats | None = None
) -> Joined:
    """The clusters of names [k], from rows [n] with the code of their name, their prompt or None,
    and perhaps a vector.

    A null prompt, or one without a visible character, joins nothing. Rows whose messages hold more
    than text (their group is a mark of the whole content, `runtime.messages.group_mark`) are
    joined by that mark alone. One text with two vectors [n, d] that lie apart is two questions,
    for the fit reads both.
    """
    holders: dict[str, dict[int, int]] = {}  # by what is shared: each name's first row
    for row, (code, prompt) in enumerate(zip(key.tolist(), prompts, strict=True)):
        for shared in _shared(names[code][1], prompt):
            holders.setdefault(shared, {}).setdefault(code, row)
    links: list[tuple[int, int]] = []
    apart: dict[str, int] = {}
    near = 0.0 if vectors is None else SAME_VECTOR * _spread(vectors)
    for shared, found in holders.items():
        if len(found) < 2:
            continue
        if max(Counter(names[code][0] for code in found).values()) >= APART:
            apart[shared] = len(found)
        else:
            codes, first = list(found), [0] * len(found)
            if vectors is not None:
                first = _first_alike(vectors[list(found.values())], near)
            links += [(codes[at], code) for at, code in zip(first, codes, strict=True)]
    return Joined(least_linked(len(names), np.array(links, np.int64).reshape(-1, 2)), apart)


def _spread(vectors: Floats) -> float:
    """Root mean square distance of the vectors from their mean, of those that are known."""
    known = vectors[~np.isnan(vectors).any(axis=1)]
    apart = known - known.mean(axis=0) if len(known) else known
    return float(np.sqrt((apart * apart).sum(axis=1).mean())) if len(known) else 0.0


def _first_alike(vectors: Floats, near: float) -> list[int]:
    """For each vector [m, d] the first that is no farther than `near`; for an unknown one the very
    first."""
    first: list[int] = []
    for at, vector in enumerate(vectors):
        apart = vectors[:at] - vector
        far = np.sqrt((apart * apart).sum(axis=1))
        close = [i for i in range(at) if first[i] == i and not far[i] > near]
        first.append(close[0] if close else at)
    return first


def _shared(group: str, prompt: str | None) -> Iterator[str]:
    """What a row is joined by: its text, its mark, or both."""
    marked = _MARK.fullmatch(group) is not None
    if marked:
        yield f"\0{group}"  # no text begins so after `same_text`
    if prompt and not (marked and group != prompt_mark(prompt)):
        text = same_text(prompt)
        if text:
            yield text


def with_near(
    names: Sequence[Name], key: Ints, suite: Ints, prompts: Sequence[str | None], joined: Ints
) -> Ints:
    """[k] the clusters `joined` of names, and in one with them those that hold near copies
    (`outcomes.near`) of their prompts. Groups that were given are taken as given: only names that
    are the mark of their own prompt take part.

    names, key, prompts as `join_names` takes them, suite [n]: a code for each row's suite.
    """
    own = [i for i, prompt in enumerate(prompts) if prompt and names[key[i]][1] == prompt_mark(prompt)]
    near = near_copies(suite[own], [prompts[i] or "" for i in own])
    rows = key[own]
    links = np.vstack([np.column_stack([np.arange(len(names)), joined]), np.column_stack([rows, rows[near]])])
    return least_linked(len(names), links)


def clusters_of(frame: pd.DataFrame) -> Ints:
    """[rows] the cluster of each row of a validated outcomes table, or of any table with `suite`
    and `group`."""
    names, key = names_of(frame)
    some = distinct_prompts(frame, key)
    vectors = vectors_of(some, np.arange(len(some)), len(some))
    return join_names(names, key[some.index], prompts_of(some), vectors).component[key]


def distinct_prompts(frame: pd.DataFrame, key: Ints) -> pd.DataFrame:
    """One row, the first, for every prompt that stands under a name, indexed by its place in the
    table: what `join_names` needs of rows with the codes `key`. All rows where they have vectors,
    for these are spread as the rows are."""
    if VECTOR in frame.columns:
        return frame.set_axis(range(len(frame)))
    columns = [frame[name] for name in ("prompt",) if name in frame.columns]
    rows = coded(key, *columns).first
    return frame[[column.name for column in columns]].iloc[rows].set_axis(rows)


def names_of(frame: pd.DataFrame) -> tuple[tuple[Name, ...], Ints]:
    """The names (suite, group) of a table, sorted, and each row's code among them."""
    found = coded(frame["suite"], frame["group"])
    pairs = pairs_at(frame, "group", found.first)
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return tuple(pairs[at] for at in order), rank[found.code]


def prompts_of(frame: pd.DataFrame) -> list[str | None]:
    """The prompts of a table as texts or None."""
    if "prompt" not in frame.columns:
        return [None] * len(frame)
    return [p if isinstance(p, str) else None for p in frame["prompt"]]


def used_names(
    names: Sequence[Name], key: Ints, prompts: Sequence[str | None], component: Ints, *specs: PolicySpec
) -> npt.NDArray[np.bool_]:
    """[k] whether one of the fits behind `specs` has used a name, or a copy of it.

    names, key, prompts as `join_names` takes them, component as it gives them. A policy holds no
    prompts, so a copy is recognised where the table at hand also has a row of the fit that it is
    joined with, or where the fit knew the prompt without a `group`: then the code is that of the
    prompt's own mark in one of the fit's suites. A copy of a row whose group was given, in a file
    without that row and under another name, is not recognised.
    """
    codes = {int(code) for spec in specs for code in spec.groups}
    suites = sorted({suite for spec in specs for suite in spec.suites})
    used = np.array([group_code(*name) in codes for name in names], bool)
    for code, prompt in dict.fromkeys(zip(key.tolist(), prompts, strict=True)):
        group = names[code][1]
        mark = group if _MARK.fullmatch(group) else prompt_mark(prompt) if prompt else None
        if mark is not None and not used[code]:
            used[code] = any(group_code(suite, mark) in codes for suite in suites)
    return np.isin(component, component[used])
