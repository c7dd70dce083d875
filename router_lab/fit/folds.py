"""Folds by group: no cluster is ever on both sides, and every suite is spread over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from router_lab.metrics.paired import Ints
from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.matrix import FOLDS


def deal_of(data: OutcomeMatrix) -> int:
    """The seed by which the groups of `data` are dealt to folds: of a digest of their names, so
    that nobody can try seeds until one passes. Other candidates, prices or epochs of the same
    groups deal no new hand."""
    names = sorted(data.groups[code] for code in np.unique(data.group))
    return int.from_bytes(hashlib.sha256(repr(names).encode("utf-8", "replace")).digest()[:8], "big")


def left_out(folds: Ints, rows: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(those of the other folds, those of one) of some `rows`, fold by fold; folds [n]. A fold that
    has all of them or none is passed over."""
    for fold in range(int(folds.max()) + 1):
        out = folds[rows] == fold
        if out.any() and not out.all():
            yield rows[~out], rows[out]


def group_folds(suite: Ints, group: Ints, seed: int = 0, folds: int = FOLDS) -> Ints:
    """[n] fold of each row: the groups of a suite are shuffled by `seed` and dealt out in turn,
    largest first.

    A group with rows in several suites (copies of one prompt) is dealt out with those of its first
    row's suite.

    With fewer groups than `folds`, as many folds as groups (at least two rows' worth: one group
    gives one fold).
    """
    codes, first, inverse, sizes = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    order = order[np.argsort(suite[first][order], kind="stable")]
    dealt = np.empty(len(codes), np.int64)
    dealt[order] = np.arange(len(codes)) % min(folds, len(codes))
    return dealt[inverse]
