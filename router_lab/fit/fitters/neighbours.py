"""Guarded nearest neighbours: what prompts like this one got elsewhere, and how far that may be
trusted.

Nearness is the cosine of the words that two prompts share, rare ones weighing more, and of their
vectors. It is used to smooth the outcomes that the ridge is fitted to (a distillation: Hinton et
al. 2015, arXiv 1503.02531), so that a policy needs no memory of prompts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from router_lab.fit.design import Design
from router_lab.fit.rows import room, whole
from router_lab.metrics.paired import Floats, Ints
from router_lab.runtime.features import DENSE

COUNTS = (10, 30, 100, 300)
STRENGTHS = (0.1, 0.5, 2.0, 8.0)
POOL = 20_000
"""Rows among which neighbours are sought, at most: a share of them by chance, so that time stays
linear in the rows."""
COMMON = 1_000
"""Words in more rows than this count in a prompt's length but not as shared: they say little and
cost most time."""
BLOCK = 256
BITS = 20
"""Of an entry of a row, and of a closeness where neighbours are added up: whole numbers, so that
cosines and sums are exact."""


class Reach(NamedTuple):
    """How far neighbours are followed: `most` of them, their closeness summed beside `strength`,
    the weight of the suite's rates. That is the guard: no close neighbour, no departure from the
    rates."""

    most: int
    strength: float


class Near(NamedTuple):
    """Of m prompts: rows of their nearest others, int64 [m, most], and their closeness in [0, 1],
    falling."""

    rows: Ints
    closeness: Floats


class Neighbourhood:
    """Who is near whom among the rows of a design; a row is never its own group's neighbour."""

    def __init__(self, design: Design, group: Ints) -> None:
        self._unit, self._group = unit_rows(design), group
        self._heard: dict[tuple[bytes, object], Floats] = {}

    def near(self, asked: Ints, known: Ints, most: int) -> Near:
        """The `most` rows of `known` nearest to each of `asked`."""
        if len(known) > POOL:
            known = np.sort(np.random.default_rng(0).choice(known, POOL, replace=False))
        return nearest(self._unit, asked, known, self._group, most)

    def among(self, rows: Ints, residual: Floats, weights: Floats, reaches: tuple[Reach, Reach]) -> Floats:
        """[rows, 2c] departures that the others of `rows` suggest for each, remembered:
        settings are tried on few sets of rows. `residual`, `weights` [n, 2c] must depend on
        `rows` alone."""
        key = (rows.tobytes(), reaches)
        if key not in self._heard:
            near = self.near(rows, rows, max(reach.most for reach in reaches))
            half = residual.shape[1] // 2
            parts = (slice(0, half), slice(half, None))
            self._heard[key] = np.hstack([
                departures(near, residual[:, part], weights[:, part], reach)
                for reach, part in zip(reaches, parts, strict=True)
            ])  # fmt: skip
        return self._heard[key]


def departures(near: Near, residual: Floats, weights: Floats, reach: Reach) -> Floats:
    """[m, k] mean `residual` [n, k] of the neighbours, weighted by closeness and `weights` [n, k],
    beside a weight of `reach.strength` for none at all."""
    rows, close = near.rows[:, : reach.most], near.closeness[:, : reach.most]
    ends = np.arange(len(rows) + 1) * rows.shape[1]
    pull = sp.csr_array(
        (np.rint(close.ravel() * 2.0**BITS), rows.ravel(), ends), shape=(len(rows), len(residual))
    )

    def pulled(values: Floats) -> Floats:
        rounded, powers = whole(values, room(BITS, rows.shape[1]))
        return np.asarray(np.ldexp(pull @ rounded, -powers - BITS), np.float64)

    return np.asarray(pulled(weights * residual) / (pulled(weights) + reach.strength), np.float64)


def nearest(unit: sp.csr_array, asked: Ints, known: Ints, group: Ints, most: int) -> Near:
    """The `most` rows of `known` with the greatest cosine to each row of `asked`, the earlier of
    equals; those of its own group have 0."""
    most = min(most, len(known))
    base = sp.csr_array(unit[known].T)
    behind = max(1, (len(known) - 1).bit_length())
    later = np.arange(len(known))[::-1]
    rows, close = np.empty((len(asked), most), np.int64), np.empty((len(asked), most))
    for start in range(0, len(asked), BLOCK):
        here = asked[start : start + BLOCK]
        cosine = sp.csr_array(unit[here] @ base).toarray().astype(np.int64)
        cosine[group[here][:, None] == group[known]] = 0
        # Number and place in one, so that no two are equal: which of equals a partition keeps
        # depends on the processor.
        ranked = (np.maximum(cosine, 0) << behind) + later
        best = np.sort(np.partition(ranked, len(known) - most, axis=1)[:, len(known) - most :], axis=1)[
            :, ::-1
        ]
        rows[start : start + len(here)] = known[len(known) - 1 - (best & ((1 << behind) - 1))]
        close[start : start + len(here)] = np.ldexp((best >> behind).astype(np.float64), -2 * BITS)
    return Near(rows, np.minimum(close, 1.0))


def unit_rows(design: Design) -> sp.csr_array:
    """float64 CSR [n, p + d] of whole numbers: rows of length 2**BITS, words weighted by rarity
    and vectors, each of half its square where a row has both; byte counts say too little of a
    prompt's kind."""
    words, cut = design.matrix.words, len(design.kept)
    rare = design.rarity[:cut].astype(np.float64)
    seldom = np.bincount(words.indices, minlength=cut) <= COMMON
    squares = np.asarray(words @ (rare * rare))  # common words count in a row's length, and only there
    parts = [
        (words, (rare * seldom)[words.indices], squares, np.asarray(words @ seldom.astype(np.float64)) > 0)
    ]
    if design.vectors is not None:
        vectors = sp.csr_array(design.matrix.numbers[:, len(DENSE) :])
        lengths: Floats = np.asarray(vectors.multiply(vectors).sum(axis=1), np.float64).ravel()
        parts.append((vectors, vectors.data, lengths, lengths > 0))
    both = np.maximum(sum(told.astype(np.float64) for *_, told in parts), 1.0)
    columns = []
    for part, entries, squares, _ in parts:
        scale = 2.0**BITS / np.sqrt(np.maximum(squares, 1e-24) * both)
        numbers = np.rint(entries * np.repeat(scale, np.diff(part.indptr)))
        columns.append(sp.csr_array((numbers, part.indices, part.indptr), shape=part.shape))
    stacked = sp.csr_array(sp.hstack(columns, format="csr"))
    stacked.eliminate_zeros()
    return stacked
