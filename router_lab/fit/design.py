"""Prompts as a sparse matrix in the runtime's own features, and which part of each prompt was seen
in fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from router_lab.fit.rows import Floats32, Rows
from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.metrics.steady import log
from router_lab.runtime.features import DENSE, Z_UNIT, Batch, Featuriser
from router_lab.runtime.heads import head
from router_lab.runtime.vectors import VectorScale

MIN_ROWS = 1
"""Rows that a bucket must occur in. 2 would make the artifact a quarter smaller and measured the
same on MMLU."""
DENSE_WEIGHT = 0.1
"""Size of one standard deviation of a byte count beside a hashed word, whose entry is 1 / sqrt(k).
At .3 the counts hurt on GSM8K (.657 against .662), at 1 they ruin MMLU."""
SIZES = (0.0, 0.3, 3.0)
"""Lengths of the whole vector beside the text's words, whose length is 1, that cross-validation
may prefer to 1; 0 leaves it out."""
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Given:
    """`numbers` float64 [n, d]: standardised, in whole units; 0 where a vector is missing, as at
    the centre. `present` [n]: whether it is not. `weight`: what a deviation counts for, so that a
    usual row has length 1."""

    standard: VectorScale
    numbers: Floats
    present: Mask
    weight: float

    @classmethod
    def of(cls, vectors: Floats) -> Given:
        """`vectors` [n, d], NaN rows missing, standardised on the others; a component that never
        varies counts for nothing."""
        present = np.asarray(~np.isnan(vectors).any(axis=1), bool)
        told = vectors[present]
        length = vectors.shape[1]
        centre = told.mean(axis=0) if len(told) else np.zeros(length)
        spread = told.std(axis=0) if len(told) else np.ones(length)
        moves = spread > LEAST_SPREAD * np.maximum(1.0, np.abs(centre))
        standard = VectorScale(centre, np.where(moves, spread, 1.0))
        weight = float(1 / np.sqrt(length))
        numbers = np.zeros(vectors.shape)
        numbers[present] = standard.units(told) * moves
        return cls(standard, numbers, present, weight)


class Heads(NamedTuple):
    """Of prompts without their last words: the raw features, and rows like those of the design's
    matrix."""

    found: Batch
    matrix: Rows


@dataclass(frozen=True)
class Design:
    """`matrix` [n, p + 13 + d]: a row has 1 / sqrt(k) at each of its k distinct buckets that is
    among the p `kept` ones, then the standardised byte counts times DENSE_WEIGHT, then those of
    `vectors`, if there are any. `found`: the raw features, `size` [n] = k. `rarity` float32 [p +
    13 + d]: see `_rarity`. `heads`: the same of every prompt without its last words, where those
    may move nothing (`runtime.heads`)."""

    featuriser: Featuriser
    found: Batch
    kept: NDArray[np.uint32]
    rarity: Floats32
    matrix: Rows
    size: Ints
    vectors: Given | None = None
    heads: Heads | None = None

    @classmethod
    def of(
        cls, prompts: Sequence[str | None], vectors: Floats | None = None, suffix_guard: int = 0
    ) -> Design:
        """Features of `prompts`, standardised on those that are not null (a null prompt is the
        empty text), and of `vectors` [n, d], NaN where a sample has none; with a `suffix_guard`
        those of heads without so many words as well."""
        plain = Featuriser()
        found = plain.batch([p or "" for p in prompts])
        featuriser = plain.standardised_on(found.dense[np.array([p is not None for p in prompts], bool)])
        size = np.diff(found.indptr)
        rows_of = np.bincount(found.buckets, minlength=featuriser.buckets)
        kept = np.flatnonzero(rows_of >= MIN_ROWS)
        rarity = _rarity(rows_of[kept], len(size))
        given = None if vectors is None else Given.of(vectors)
        matrix = _matrix(featuriser, found, kept, size, given)
        if given is not None:
            rarity = np.concatenate([rarity, np.ones(given.numbers.shape[1], np.float32)])
        heads = None
        if suffix_guard:
            begun = featuriser.batch([head(p or "", suffix_guard) for p in prompts])
            heads = Heads(begun, _matrix(featuriser, begun, kept, np.diff(begun.indptr), given))
        return cls(featuriser, found, kept.astype(np.uint32), rarity, matrix, size, given, heads)

    def __len__(self) -> int:
        return len(self.size)

    def coverage(self, folds: Ints) -> Floats:
        """[n] share of a row's buckets that occur in at least MIN_ROWS rows of the other folds:
        what a policy fitted without the row's fold would find. A vector without words covers its
        row."""
        width, count = self.featuriser.buckets, int(folds.max()) + 1
        fold = folds[np.repeat(np.arange(len(self)), self.size)]
        inside = np.bincount(fold * width + self.found.buckets, minlength=count * width).reshape(count, width)
        outside = inside.sum(axis=0) - inside

        def known(batch: Batch) -> Floats:
            size = np.diff(batch.indptr)
            row = np.repeat(np.arange(len(self)), size)
            seen = outside[folds[row], batch.buckets] >= MIN_ROWS
            return np.bincount(row, weights=seen, minlength=len(self)) / np.maximum(size, 1)

        share = known(self.found)
        if self.heads is not None:
            share = np.minimum(share, known(self.heads.found))
        return (
            share if self.vectors is None else np.where(self.vectors.present & (self.size == 0), 1.0, share)
        )

    def scale(self, *, rare: bool, vector: float) -> Floats32:
        """[p + 13 + d] what columns are multiplied by: words by `rarity` or not, vectors by their
        length."""
        scale = self.rarity.copy() if rare else np.ones_like(self.rarity)
        scale[len(self.kept) + len(DENSE) :] *= np.float32(vector)
        return scale

    def split(self, coefficients: Floats32) -> tuple[Floats, Floats, Floats | None]:
        """Coefficients [p + 13 + d, 2c] of the matrix -> hashed weights [p, 2c], dense [13, 2c]
        and vector [d, 2c] in the runtime's units."""
        cut = len(self.kept)
        end = cut + len(DENSE)
        wide = coefficients.astype(np.float64)
        vector = None if self.vectors is None else wide[end:] * (self.vectors.weight / Z_UNIT)
        return wide[:cut], wide[cut:end] * (DENSE_WEIGHT / Z_UNIT), vector


def _rarity(rows_of: Ints, rows: int) -> Floats32:
    """[p + 13] log(n / rows of the bucket), scaled to a root mean square of 1 over the entries of
    the matrix; 1 for byte counts. Columns that are multiplied by it let rare words weigh more at
    one penalty (inverse document frequency, Sparck Jones 1972): worth .001 to .003 of APGR on
    MMLU, and it costs .011 on GSM8K, so cross-validation decides.
    """
    # A word of every row keeps a trace: one row is all there may be.
    rare = log(rows / np.maximum(rows_of, 1)) + 1e-3
    mean = float((rows_of * rare * rare).sum() / max(1, int(rows_of.sum())))
    return np.concatenate([rare / np.sqrt(max(mean, 1e-12)), np.ones(len(DENSE))]).astype(np.float32)


def _matrix(featuriser: Featuriser, found: Batch, kept: Ints, size: Ints, given: Given | None) -> Rows:
    column = np.full(featuriser.buckets, -1, np.int32)
    column[kept] = np.arange(len(kept), dtype=np.int32)
    columns = column[found.buckets]
    inside = columns >= 0
    ends = np.concatenate([[0], np.cumsum(inside)])[found.indptr]
    ones = np.ones(int(inside.sum()), np.float32)
    words = sp.csr_array((ones, columns[inside], ends.astype(np.int32)), shape=(len(size), len(kept)))
    numbers = featuriser.standardise(found.dense).astype(np.float64)
    units = np.full(len(DENSE), DENSE_WEIGHT / Z_UNIT, np.float32)
    if given is not None:
        numbers = np.hstack([numbers, given.numbers])
        units = np.concatenate([units, np.full(given.numbers.shape[1], given.weight / Z_UNIT, np.float32)])
    length = (1 / np.sqrt(np.maximum(size, 1))).astype(np.float32)
    return Rows(words, length, numbers, units)
