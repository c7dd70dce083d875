"""From rows to matrices: one row per sample, one column per candidate; and the split that never
moves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.outcomes.candidates import whose
from router_lab.outcomes.codes import Ints, coded, coded_samples
from router_lab.outcomes.columns import GATED
from router_lab.outcomes.copies import join_names, names_of, prompts_of, with_near
from router_lab.outcomes.schema import INVALIDATED, SCORED
from router_lab.outcomes.vectors import Floats, vectors_of
from router_lab.runtime.model import Candidate

DRAWN_ERRORS = 4.0
"""Standard errors by which the rows that a draw left may be fewer than their probabilities say."""

FOLDS = 5
"""Parts into which groups are dealt, each predicted by what was fitted on the others."""
SEEN_ENOUGH = 0.95
"""Share of the samples on which a candidate must have been seen for its means to be compared with
others'."""


def split_of(suite: str, group: str, test_share: float = 0.2) -> str:
    """`develop` or `test`, from a hash of (suite, group): adding samples moves none, and a larger
    share only adds."""
    digest = hashlib.sha256(f"{suite}\0{group}".encode("utf-8", "replace")).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_share * 2**64 else "develop"


def split_column(frame: pd.DataFrame, test_share: float = 0.2) -> pd.Series[str]:
    """`split_of` for every row of an outcomes table."""
    names, key = names_of(frame)
    splits = np.array([split_of(*name, test_share) for name in names], object)
    return pd.Series(splits[key], index=frame.index, dtype="str")


@dataclass(frozen=True)
class OutcomeMatrix:
    """Outcomes as arrays: n samples in the order of (suite, sample_id), c candidates in the order
    of `candidates`.

    quality, cost_usd: float64[n, c], the mean over the epochs that were scored; NaN where nothing
    was. figures: the same of every column that a gate may bound. check: float64[n, c], the share
    of epochs whose answer passed its run-time check; NaN where there is none. epochs: int64[n, c],
    how many epochs stand behind a cell. weight: float64[n, c], 1 / inclusion probability. missing:
    float64[n, c], the share of a cell's epochs that have no quality though no plan left them out:
    no budget, race or known probability (`_missing`). suite: int64[n] codes. name: int64[n] codes
    into `groups`, the names (suite, group); the split goes by name. joined: int64[names] which
    names hold copies of one another's prompts (`outcomes.copies`), so they may span suites. group:
    int64[n] clusters, what errors, folds and neighbours take for one: names that are joined, and
    near copies among prompts without a `group` of their own (`outcomes.near`). prompts: a text or
    None per sample. vectors: float64[n, d] of the user's own, NaN where a sample has none; None
    where none has.
    """

    candidates: tuple[Candidate, ...]
    suites: tuple[str, ...]
    sample_id: tuple[str, ...]
    prompts: tuple[str | None, ...]
    suite: Ints
    group: Ints
    name: Ints
    groups: tuple[tuple[str, str], ...]
    joined: Ints
    quality: Floats
    cost_usd: Floats
    check: Floats
    epochs: Ints
    weight: Floats
    missing: Floats
    figures: dict[str, Floats]
    vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, candidates: tuple[Candidate, ...] | None = None
    ) -> OutcomeMatrix:
        """The matrix of a validated outcomes table, without rows that are no evidence (`infra`,
        `budget`). With `candidates`, the columns are those, seen or not; rows of others are left
        out."""
        whole = whose(frame)
        scored = frame["status"].isin(SCORED).to_numpy(bool)
        if candidates is None:
            candidates = tuple(sorted({whole.candidates[code] for code in np.unique(whole.code[scored])}))
        column = whole.places(candidates)
        scored = scored & (column >= 0)
        samples, row = _samples(frame, scored)
        shape = (len(samples), len(candidates))
        cell, own = row[scored] * shape[1] + column[scored], partial(_numbers, frame, rows=scored)
        groups, name = names_of(samples)
        prompts = tuple(prompts_of(samples))
        vectors = vectors_of(frame, np.where(scored, row, -1), len(samples))
        joined = join_names(groups, name, prompts, vectors).component
        suites, suite = _sorted_codes(samples["suite"])
        every = _Placed.of(frame, row, column, shape)
        weight = every.weight()
        return cls(
            candidates=candidates,
            suites=suites,
            sample_id=tuple(samples["sample_id"]),
            prompts=prompts,
            suite=suite,
            group=with_near(groups, name, suite, prompts, joined)[name],
            name=name,
            groups=groups,
            joined=joined,
            quality=_cell_means(own("quality"), cell, shape),
            cost_usd=_cell_means(own("cost_usd"), cell, shape),
            check=_cell_means(own("check"), cell, shape),
            epochs=np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape),
            weight=weight,
            missing=every.missing(suite, every.drawn(suite, weight)),
            figures={c.name: _cell_means(own(c.name), cell, shape) for c in GATED},
            vectors=vectors,
        )

    @property
    def used_groups(self) -> tuple[tuple[str, str], ...]:
        """The names of these rows and of copies of their prompts, which `take` may have left
        out."""
        return tuple(self.groups[k] for k in np.flatnonzero(np.isin(self.joined, self.joined[self.name])))

    def places_in(self, frame: pd.DataFrame) -> Ints:
        """[rows] the sample of each row of a table; -1 of one that the matrix does not have."""
        pairs = zip((self.suites[code] for code in self.suite), self.sample_id, strict=True)
        found, keys = coded_samples(frame)
        return found.place(keys, {pair: place for place, pair in enumerate(pairs)})

    def rows_in(self, frame: pd.DataFrame, samples: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """[rows] whether each row of a table is of one of `samples` [n]."""
        place = self.places_in(frame)
        return np.asarray((place >= 0) & samples[place], np.bool_)

    @property
    def weighting(self) -> Floats | None:
        """`weight`, or None where every weight is 1: what needs no weighting costs none."""
        return self.weight if (self.weight != 1).any() else None

    def drawn(self, column: int) -> npt.NDArray[np.bool_] | None:
        """[n] rows on which a candidate was to run that ran on a drawn part alone, from its first
        sample on; None for any other. Whatever group it ran a sample of was drawn: where another
        sample of it has no outcome, that is missing. So is what it began and what was lost."""
        known = ~np.isnan(self.quality[:, column]) | (self.missing[:, column] > 0)
        rows = np.isin(self.name, self.name[known])
        return rows if known.any() and not rows.all() and (self.weight[known, column] > 1).all() else None

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> OutcomeMatrix:
        """The same candidates, suites and groups on a subset of the samples (indices or a
        mask)."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return OutcomeMatrix(
            candidates=self.candidates,
            suites=self.suites,
            sample_id=tuple(self.sample_id[i] for i in chosen),
            prompts=tuple(self.prompts[i] for i in chosen),
            suite=self.suite[chosen],
            group=self.group[chosen],
            name=self.name[chosen],
            groups=self.groups,
            joined=self.joined,
            quality=self.quality[chosen],
            cost_usd=self.cost_usd[chosen],
            check=self.check[chosen],
            epochs=self.epochs[chosen],
            weight=self.weight[chosen],
            missing=self.missing[chosen],
            figures={name: values[chosen] for name, values in self.figures.items()},
            vectors=None if self.vectors is None else self.vectors[chosen],
        )


@dataclass(frozen=True)
class _Placed:
    """All rows of a table that belong to a cell [n, c] of a matrix, evidence or not: their cells,
    epochs, whether they have a quality, and whether a plan left them out. What a person set aside
    is no plan: he may have seen it.
    """

    row: Ints
    column: Ints
    epoch: Ints
    shape: tuple[int, int]
    known: npt.NDArray[np.bool_]
    planned: npt.NDArray[np.bool_]
    told: Floats | None
    """The column `weight`, where the table has one."""

    @classmethod
    def of(cls, frame: pd.DataFrame, row: Ints, column: Ints, shape: tuple[int, int]) -> _Placed:
        inside = (row >= 0) & (column >= 0)
        status = frame["status"]
        aside = (
            frame["reason"].astype("str").str.startswith(INVALIDATED).to_numpy(bool)
            if "reason" in frame.columns
            else np.zeros(len(frame), bool)
        )
        known = status.isin(SCORED).to_numpy(bool) & frame["quality"].notna().to_numpy(bool)
        planned = status.eq("budget").to_numpy(bool) & ~aside
        return cls(
            row=row[inside],
            column=column[inside],
            epoch=frame["epoch"].to_numpy(np.int64)[inside],
            shape=shape,
            known=known[inside],
            planned=planned[inside],
            told=_numbers(frame, "weight", inside),
        )

    def weight(self) -> Floats:
        """[n, c] of what was scored; where nothing was, of what was begun; else 1."""
        found = np.ones(self.shape)
        cell = self.row * self.shape[1] + self.column
        for rows in (~self.planned, self.known):
            told = None if self.told is None else self.told[rows]
            of = _cell_means(told, cell[rows], self.shape)
            found = np.where(np.isnan(of), found, of)
        return found

    def drawn(self, suite: Ints, weight: Floats) -> npt.NDArray[np.bool_]:
        """[c] who ran at known probabilities, and on about as many rows of their suites as these
        say: weights add up to all of them, within DRAWN_ERRORS standard errors. Where they do not,
        something else left rows out.
        """
        begun = np.zeros(self.shape, bool)
        begun[self.row[~self.planned], self.column[~self.planned]] = True
        ran = np.zeros((int(suite.max(initial=-1)) + 1, self.shape[1]), bool)
        ran[suite[self.row], self.column] = True
        told = np.where(begun, weight, 0.0).sum(axis=0)
        error = np.sqrt(np.where(begun, weight * np.maximum(weight - 1, 0.0), 0.0).sum(axis=0))
        explained = told + DRAWN_ERRORS * error >= ran[suite].sum(axis=0)
        return np.asarray(explained & (weight > 1).any(axis=0), bool)

    def missing(self, suite: Ints, drawn: npt.NDArray[np.bool_]) -> Floats:
        """[n, c] the share of epochs without a quality that no plan left out. Of a column that was
        `drawn` [c], by a race or otherwise, a row must say so. Of any other an epoch is due on a
        sample where somebody ran it, and it ran that epoch somewhere in the suite; and one epoch
        is due where it ran none."""
        known, lost, left = np.zeros(self.shape), np.zeros(self.shape), np.zeros(self.shape, bool)
        for epoch in np.unique(self.epoch):
            here = self.epoch == epoch
            row, column = self.row[here], self.column[here]
            at, plan, said = (np.zeros(self.shape, bool) for _ in range(3))
            ran = np.zeros((int(suite.max(initial=-1)) + 1, self.shape[1]), bool)
            ran[suite[row], column] = True
            some = np.zeros(self.shape[0], bool)
            some[row] = True
            due = some[:, None] & ran[suite] & ~drawn
            at[row[self.known[here]], column[self.known[here]]] = True
            plan[row[self.planned[here]], column[self.planned[here]]] = True
            other = ~self.known[here] & ~self.planned[here]
            said[row[other], column[other]] = True
            known += at
            lost += (due | said) & ~at & ~plan
            left |= plan
        never = (known + lost == 0) & ~left & ~drawn
        return np.where(never, 1.0, lost / np.maximum(known + lost, 1))


def _samples(frame: pd.DataFrame, scored: npt.NDArray[np.bool_]) -> tuple[pd.DataFrame, Ints]:
    """The samples of the rows that were `scored` [rows], sorted, each as its first such row has it
    (suite, sample_id, prompt, group); and which of them each row of the table is of, -1 of none."""
    found = coded(frame["suite"], frame["sample_id"])
    rows = np.flatnonzero(scored)
    first = np.full(len(found.first), len(frame), np.int64)
    first[found.code[rows[::-1]]] = rows[::-1]
    there = np.flatnonzero(first < len(frame))
    samples = frame[["suite", "sample_id", "prompt", "group"]].iloc[first[there]]
    samples.index = pd.Index(there)
    samples = samples.sort_values(["suite", "sample_id"], kind="stable")
    place = np.full(len(first), -1, np.int64)
    place[samples.index.to_numpy()] = np.arange(len(samples))
    return samples, place[found.code]


def _sorted_codes(values: pd.Series[str]) -> tuple[tuple[str, ...], Ints]:
    """The texts of a column, sorted, and which of them each row has."""
    code, found = pd.factorize(values)
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return tuple(str(found[at]) for at in order), rank[code]


def _numbers(frame: pd.DataFrame, name: str, rows: npt.NDArray[np.bool_]) -> Floats | None:
    """A column of numbers at some rows; None where the table has no such column."""
    if name not in frame.columns:
        return None
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[rows]


def _cell_means(values: Floats | None, cell: Ints, shape: tuple[int, int]) -> Floats:
    """[n, c] the means of what is known of each cell; `cell` [rows] as a place in the flat
    matrix."""
    if values is None:
        return np.full(shape, np.nan)
    seen = ~np.isnan(values)
    flat = cell[seen]
    total = np.bincount(flat, weights=values[seen], minlength=shape[0] * shape[1])
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
