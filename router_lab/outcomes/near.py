"""Near copies: prompts made from one template, which tell less than as many different questions.

Two prompts are near copies where the words and pairs of words that they share are at least ALIKE
of all that either has (Jaccard), with numbers taken for one another and names too (capitalised
words within a sentence), and without what more than COMMON of a suite's prompts have:
instructions, forms of answer, and the form of a suite that is one template throughout, which does
not tell which of its prompts are alike. Pairs are found by MinHash in bands (Broder 1997) and
compared exactly, so time is linear in the rows.

Measured by `make bench-copies` against groups that were written down by those who made the prompts
(pairs of theirs found / pairs found): arithmetic 277 of 277 / 277, agent 36 of 36 / 36, code 93 of
96 / 93, dates 814 of 814 / 993, extraction 165 of 216 / 165, triage (paraphrases, not templates) 0
of 190 / 0. A suite of many templates is chained further than its groups: SimpleQA, "In which year
was the municipality of ... founded?", 103 prompts in one cluster. A suite that is one template
throughout (logic puzzles, "question 17 of many") is left alone.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from router_lab.outcomes.codes import Ints

Hashes = npt.NDArray[np.uint64]
Columns = npt.NDArray[np.int32]

ALIKE = 0.6
COMMON = 1 / 3
LEAST = 5
"""Words and pairs that a prompt must have beyond what is common in its suite: with fewer, nothing
is said of it."""
READ = 2_000
"""Characters that are read at the beginning, and as many at the end, of a longer prompt."""
BANDS, DEEP = 20, 3
"""A pair at ALIKE meets in one of the bands with probability .99; the rows of a template need but
a chain of pairs."""
CHUNK = 20_000
"""Pairs compared at a time."""
READ_AT_ONCE = 4_096
"""Prompts whose features are worked out at a time."""
WIDTH = 1 << 22
"""Columns of features, by their hash: two of a prompt's few hundred share one with a probability
of some 1 in 100."""
KEPT = 4
"""Answers that are kept: a gate and a replay build several matrices of one table."""

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_TOKEN = re.compile(r"0|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]|\n")
_ENDS = frozenset(".?!:\n")
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_PAIR = np.uint64(0xC2B2AE3D27D4EB4F)


class Features(NamedTuple):
    """has: float32 CSR [n, WIDTH] of ones; size: int64 [n] how many each prompt has; rows: those
    that are told by enough; entries, starts: of these rows, the features that others have too;
    order: of `rows`, one that their features give."""

    has: sp.csr_array
    size: Ints
    rows: Ints
    entries: Hashes
    starts: Ints
    order: Ints


_kept: dict[bytes, Ints] = {}


def near_copies(suite: Ints, prompts: Sequence[str]) -> Ints:
    """[n] the least row to which each row is linked by a chain of near copies; itself where there
    is none.

    suite [n]: codes. Which rows are linked does not depend on their order.
    """
    if not len(prompts):
        return np.zeros(0, np.int64)
    asked = hashlib.sha256(suite.tobytes() + "\0".join(prompts).encode("utf-8", "replace")).digest()
    if asked not in _kept:
        found = _linked(suite, prompts)
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[asked] = found
    return _kept[asked].copy()


def _linked(suite: Ints, prompts: Sequence[str]) -> Ints:
    features = _features(suite, prompts)
    component = np.arange(len(prompts), dtype=np.int64)
    rows = features.rows[features.order]
    for band in _bands(features):
        pairs = _meeting(rows, band[features.order], component)
        good = pairs[_alike(features, pairs)]
        if len(good):
            component = least_linked(len(prompts), component[good])[component]
    return component


def least_linked(count: int, pairs: Ints) -> Ints:
    """[count] the least code to which each code is linked by a chain of `pairs` [m, 2];
    itself where there is none."""
    links = sp.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    code = connected_components(links, directed=False)[1]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first[inverse]


def _bands(features: Features) -> Hashes:
    """[BANDS, rows] of each of `features.rows` a hash of the DEEP least of its features under as
    many orders."""
    salts = mixed_bits(np.arange(1, 2 * BANDS * DEEP + 1, dtype=np.uint64)).reshape(
        BANDS, DEEP, 2
    ) | np.uint64(1)
    mixed = np.zeros((BANDS, len(features.rows)), np.uint64)
    # Some rows at a time, whose features stay in the processor's caches for all of the orders.
    for start in range(0, len(features.rows), READ_AT_ONCE):
        here = features.starts[start : start + READ_AT_ONCE]
        after = features.starts[start + READ_AT_ONCE : start + READ_AT_ONCE + 1]
        entries = features.entries[here[0] : after[0] if len(after) else None]
        for band, own in zip(salts, mixed[:, start : start + READ_AT_ONCE], strict=True):
            for salt, odd in band:
                least = np.minimum.reduceat((entries ^ salt) * odd, here - here[0])
                own[:] = mixed_bits(own * _PAIR + least)
    return mixed


def mixed_bits(value: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014): each bit that goes in changes half
    of those that come out."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _meeting(rows: Ints, mixed: Hashes, component: Ints) -> Ints:
    """[m, 2] rows that meet in a band and are not linked yet: each with the first that it meets
    and with the last."""
    order = np.argsort(mixed, kind="stable")
    rows, mixed = rows[order], mixed[order]
    begins = np.concatenate([[True], mixed[1:] != mixed[:-1]])[: len(rows)]
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    last = np.maximum(np.arange(len(rows)) - 1, first)
    met = first < np.arange(len(rows))
    pairs = np.concatenate([np.stack([rows[at[met]], rows[met]], 1) for at in (first, last)])
    pairs = pairs[component[pairs[:, 0]] != component[pairs[:, 1]]]
    return np.unique(pairs, axis=0)


def _alike(features: Features, pairs: Ints) -> npt.NDArray[np.bool_]:
    """[m] whether each pair of rows shares at least ALIKE of what either has."""
    shared = np.zeros(len(pairs))
    for at in range(0, len(pairs), CHUNK):
        one, other = pairs[at : at + CHUNK].T
        shared[at : at + CHUNK] = features.has[one].multiply(features.has[other]).sum(axis=1)
    return np.asarray(shared >= ALIKE * (features.size[pairs].sum(axis=1) - shared), bool)


class _Codes(dict[str, int]):
    """The code of each token; 0 of what is no word, −1 of what ends a sentence. names: whether a
    capitalised word is a name, `N`."""

    def __init__(self, *, names: bool) -> None:
        super().__init__()
        self.names = names

    def __missing__(self, token: str) -> int:
        if token != "0" and not token[0].isalpha():
            code = -1 if token in _ENDS else 0
        else:
            code = code_of("N" if self.names and token[0].isupper() else token.casefold())
        self[token] = code
        return code


def code_of(word: str) -> int:
    """A hash of a word, above 0: which other words there are does not change it."""
    return zlib.crc32(word.encode("utf-8", "replace")) + 1


class Words:
    """Reads prompts as words; those that it has met it need not work out again."""

    def __init__(self) -> None:
        self._first, self._within = _Codes(names=False), _Codes(names=True)

    def read(self, prompts: Sequence[str]) -> tuple[Hashes, Ints]:
        """The codes of the words of prompts, one prompt after the other, numbers as `0` and names
        as `N`; and how many words each prompt has."""
        flat: list[int] = []
        ends = [0]
        for prompt in prompts:
            text = prompt if len(prompt) <= 2 * READ else f"{prompt[:READ]}\n{prompt[-READ:]}"
            codes = self._first
            for token in _TOKEN.findall(_NUMBER.sub("0", text)):
                code = codes[token]
                if code > 0:
                    flat.append(code)
                    codes = self._within
                elif code < 0:
                    codes = self._first
            ends.append(len(flat))
        return np.array(flat, np.uint64), np.diff(ends)


def _features(suite: Ints, prompts: Sequence[str]) -> Features:
    """Which words and pairs of neighbouring words each prompt has, but for those common in its
    suite."""
    size, column = _entries(prompts)
    kept = ~_common(suite, size, column)
    size = np.add.reduceat(np.append(kept, False), np.cumsum(size) - size, dtype=np.int64) * (size > 0)
    column = column[kept]
    has = sp.csr_array(
        (np.ones(len(column), np.float32), column, np.concatenate([[0], np.cumsum(size)])),
        shape=(len(prompts), WIDTH),
    )
    others = (np.bincount(column, minlength=WIDTH) > 1)[column] & np.repeat(size >= LEAST, size)
    rows, starts = np.unique(np.repeat(np.arange(len(prompts)), size)[others], return_index=True)
    entries = mixed_bits(column[others].astype(np.uint64) + GOLDEN)
    order = np.argsort(np.add.reduceat(entries, starts), kind="stable") if len(rows) else rows
    return Features(has, size, rows, entries, starts, order)


def _entries(prompts: Sequence[str]) -> tuple[Ints, Columns]:
    """How many features each prompt has, and their columns, each once and in order; a column is a
    hash that no other row changes."""
    words_of = Words()
    sizes, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for start in range(0, len(prompts), READ_AT_ONCE):
        codes, count = words_of.read(prompts[start : start + READ_AT_ONCE])
        words = codes * GOLDEN
        row = np.repeat(np.arange(len(count)), count)
        joint = row[1:] == row[:-1]
        hashes = mixed_bits(np.concatenate([words, (words[:-1] * _PAIR + words[1:])[joint]]))
        column = (hashes >> np.uint64(64 - WIDTH.bit_length() + 1)).astype(np.int64)
        at = np.sort(np.concatenate([row, row[1:][joint]]) * WIDTH + column)
        at = at[np.concatenate([[True], at[1:] != at[:-1]])[: len(at)]]
        sizes.append(np.bincount(at // WIDTH, minlength=len(count)))
        columns.append((at % WIDTH).astype(np.int32))
    return np.concatenate(sizes), np.concatenate(columns)


def _common(suite: Ints, size: Ints, column: Columns) -> npt.NDArray[np.bool_]:
    """Which entries are of features that more than COMMON of their suite's rows have."""
    where = np.repeat(suite * WIDTH, size) + column
    found, count = np.unique(where, return_counts=True)
    often = found[count > COMMON * np.bincount(suite)[found // WIDTH]]
    if not len(often):
        return np.zeros(len(where), bool)
    place = np.minimum(np.searchsorted(often, where), len(often) - 1)
    return np.asarray(often[place] == where, bool)
