"""Sums of options and products of rows: the same bits whatever is worked out at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from router_lab.fit import rows, sums
from router_lab.fit.evidence import Evidence, Goal
from router_lab.metrics.paired import Recorded


def evidence(n: int = 90) -> Evidence:
    """Rows in clusters of one to three, dealt to three folds, some outcomes missing."""
    rng = np.random.default_rng(3)
    group = np.sort(rng.integers(0, n // 2, n))
    quality = rng.random((n, 4))
    quality[rng.random((n, 4)) < 0.1] = np.nan
    known = Recorded(quality, rng.random((n, 4)), 3, group=group[rng.permutation(n)])
    return Evidence.bare(known, fold=known.group % 3)


@pytest.mark.parametrize("kind", ["margin", "quality", "budget"])
@pytest.mark.parametrize("block", [1, 50, 1 << 18])
def test_parts_are_those_of_the_whole(kind: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some options, some folds, few at a time: what is asked for is what the whole has, to the last bit."""
    seen, goal = evidence(), Goal(kind, 0.3, 0.9)
    actions = np.random.default_rng(4).integers(0, 4, (5, 90)).astype(np.int8)
    whole = sums.statistics(actions, seen, goal)
    monkeypatch.setattr(sums, "BLOCK", block)
    assert (sums.statistics(actions, seen, goal) == whole).all()
    part = sums.statistics(actions, seen, goal, np.array([4, 1]), np.array([2, 0]))
    assert (part[:, [0, 2]] == whole[[4, 1]][:, [0, 2]]).all()
    assert (part[:, 1] == 0).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_that_share_a_product_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 0 to 30 words, of which the first and the last have most."""
    rng = np.random.default_rng(5)
    counts = np.concatenate([[30], rng.integers(0, 5, 60), [30]])
    words = np.concatenate([np.sort(rng.choice(40, count, replace=False)) for count in counts])
    ends = np.concatenate([[0], np.cumsum(counts)])
    there = sp.csr_array((np.ones(len(words), np.float32), words, ends), shape=(62, 40))
    length, numbers = rng.random(62).astype(np.float32), np.rint(rng.random((62, 2)) * 100)
    values = rng.random((62, 3)).astype(np.float32)
    alone = rows.Rows(there, length, numbers, np.ones(2, np.float32))
    monkeypatch.setattr(rows, "LARGE", 1)
    monkeypatch.setattr(rows, "THREADS", threads)
    shared = rows.Rows(there, length, numbers, np.ones(2, np.float32))
    assert (shared.back(values) == rows_before(alone, values)).all()
    assert np.allclose(shared.gram(values), shared.times(shared.back(values)))
    assert (shared.times(shared.back(values)) == alone.times(alone.back(values))).all()


def rows_before(matrix: rows.Rows, values: rows.Floats32) -> rows.Floats32:
    """The transposed product by hand: each word's rows in their order."""
    words = np.zeros((40, 3), np.float32)
    for row, value in enumerate(values * matrix.length[:, None]):
        for word in matrix.words[[row]].indices:
            words[word] += value
    return np.concatenate([words, rows.product(matrix.numbers.T, rows.BITS, values).astype(np.float32)])
