"""Sums of options: the same bits whatever is asked for at a time."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.fit import sums
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
