"""Guarded nearest neighbours: what prompts like this one got elsewhere, and how far that may be trusted.

Nearness is the cosine of the words that two prompts share, rare ones weighing more, and of their vectors. It is used to
smooth the outcomes that the ridge is fitted to (a distillation: Hinton et al. 2015, arXiv 1503.02531), so that a policy
needs no memory of prompts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.fit.design import Design
from router_lab.runtime.features import DENSE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COUNTS = (10, 30, 100, 300)
STRENGTHS = (0.1, 0.5, 2.0, 8.0)
POOL = 20_000
"""Rows among which neighbours are sought, at most: a share of them by chance, so that time stays linear in the rows."""
COMMON = 1_000
"""Words in more rows than this count in a prompt's length but not as shared: they say little and cost most time."""
BLOCK = 256


class Reach(NamedTuple):
    """How far neighbours are followed: `most` of them, their closeness summed beside `strength`, the weight of the
    suite's rates. That is the guard: no close neighbour, no departure from the rates."""

    most: int
    strength: float


class Near(NamedTuple):
    """Of m prompts: rows of their nearest others, int64 [m, most], and their closeness in [0, 1], falling."""

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
        """[rows, 2c] departures that the others of `rows` suggest for each, remembered: settings are tried on few sets
        of rows. `residual`, `weights` [n, 2c] must depend on `rows` alone."""
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
    """[m, k] mean `residual` [n, k] of the neighbours, weighted by closeness and `weights` [n, k], beside a weight of
    `reach.strength` for none at all."""
    rows, close = near.rows[:, : reach.most], near.closeness[:, : reach.most]
    ends = np.arange(len(rows) + 1) * rows.shape[1]
    pull = sp.csr_array((close.ravel(), rows.ravel(), ends), shape=(len(rows), len(residual)))
    return np.asarray((pull @ (weights * residual)) / (pull @ weights + reach.strength), np.float64)


def nearest(unit: sp.csr_array, asked: Ints, known: Ints, group: Ints, most: int) -> Near:
    """The `most` rows of `known` with the greatest cosine to each row of `asked`; those of its own group have 0."""
    most = min(most, len(known))
    base = sp.csr_array(unit[known].T)
    rows, close = np.empty((len(asked), most), np.int64), np.empty((len(asked), most))
    for start in range(0, len(asked), BLOCK):
        here = asked[start : start + BLOCK]
        cosine = sp.csr_array(unit[here] @ base).toarray()
        cosine[group[here][:, None] == group[known]] = 0.0
        best = np.argpartition(cosine, len(known) - most, axis=1)[:, len(known) - most :]
        value = np.take_along_axis(cosine, best, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        rows[start : start + len(here)] = known[np.take_along_axis(best, order, axis=1)]
        close[start : start + len(here)] = np.take_along_axis(value, order, axis=1)
    return Near(rows, np.clip(close, 0.0, 1.0))


def unit_rows(design: Design) -> sp.csr_array:
    """float32 CSR [n, p + d] whose rows have length 1: words weighted by rarity and vectors, each of half its square
    where a row has both; byte counts say too little of a prompt's kind."""
    cut = len(design.kept)
    words = sp.csr_array(design.matrix[:, :cut])
    words = _scaled(words, design.rarity[words.indices])
    often = np.bincount(words.indices, minlength=cut) > COMMON
    parts = [_shortened(words, ~often[words.indices])]
    if design.vectors is not None:
        parts.append(_shortened(sp.csr_array(design.matrix[:, cut + len(DENSE) :]), None))
    both = np.sqrt(np.maximum(sum((np.diff(part.indptr) > 0).astype(np.float64) for part in parts), 1.0))
    stacked = sp.csr_array(sp.hstack(parts, format="csr"))
    return _scaled(stacked, np.repeat(1 / both, np.diff(stacked.indptr)))


def _shortened(part: sp.csr_array, kept: NDArray[np.bool_] | None) -> sp.csr_array:
    """Rows of length 1, of which then only the `kept` entries stay."""
    length = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel())
    scale = np.repeat(1 / np.maximum(length, 1e-12), np.diff(part.indptr))
    result = _scaled(part, scale if kept is None else scale * kept)
    result.eliminate_zeros()
    return result


def _scaled(part: sp.csr_array, by: NDArray[np.floating]) -> sp.csr_array:
    return sp.csr_array((part.data * by.astype(np.float32), part.indices, part.indptr), shape=part.shape)
