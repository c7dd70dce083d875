"""What makes large fits fast changes nothing that they say: columns that are not followed, rows a part at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from router_lab.fit import choose
from router_lab.fit.choose import CHAINS, FIXED, Option, act
from router_lab.fit.design import Design
from router_lab.fit.evidence import Evidence
from router_lab.fit.fitters.blend import Blend
from router_lab.fit.model import READS
from router_lab.fit.rows import Rows, ridge
from router_lab.fit.task import Task
from router_lab.metrics.paired import Floats, Recorded


def matrix(rng: np.random.Generator, rows: int) -> Rows:
    """Rows of a few of twelve words, and two numbers."""
    words = sp.csr_array((rng.random((rows, 12)) < 0.4).astype(np.float32))
    length = (1 / np.sqrt(np.maximum(np.diff(words.indptr), 1))).astype(np.float32)
    numbers = np.rint(rng.normal(size=(rows, 2)) * 50)
    return Rows(words, length, numbers, np.full(2, 0.01, np.float32))


@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=4, max_size=7))
def test_columns_without_weight_change_no_bit_of_the_others(seed: int, told: list[bool]) -> None:
    rng, some = np.random.default_rng(seed), np.array(told)
    some[:2] = True
    targets, weights = rng.random((40, len(some))), rng.choice([0.0, 1.0, 2.5], (40, len(some)))
    weights[:, ~some] = 0.0
    weights[0, some] = 1.0
    penalty, rows = rng.choice([0.1, 1.5, 30.0], len(some)), matrix(rng, 40)
    found = ridge(rows, targets, weights, penalty)
    alone = ridge(rows, targets[:, some].copy(), weights[:, some].copy(), penalty[some])
    assert (found.coefficients[:, some] == alone.coefficients).all()
    assert (found.intercept[some] == alone.intercept).all()
    assert not found.coefficients[:, ~some].any() and not found.intercept[~some].any()
    assert found.coefficients.shape == (14, len(some)) and not found.predict(rows)[:, ~some].any()


def task(rng: np.random.Generator, rows: int = 60) -> Task:
    """Two candidates and two suites; prompts of three of six words."""
    prompts = [" ".join(rng.choice(["red", "blue", "green", "tall", "small", "old"], 3)) for _ in range(rows)]
    design, cost = Design.of(prompts), rng.random((rows, 2)) + 0.1
    weights, suite = np.ones((rows, 4)), rng.integers(1, 3, rows)
    bounds = np.vstack([cost.min(axis=0), cost.max(axis=0)])
    targets = np.hstack([rng.random((rows, 2)), rng.random((rows, 2)) + 28.0])
    return Task(design, targets, weights, suite, np.arange(rows), 2, bounds, np.ones(rows, bool), cost)


@pytest.mark.parametrize("followed", [0, 1])
def test_what_is_not_followed_is_not_fitted(followed: int) -> None:
    """Of the half that is: what a ridge of it alone has. Of the other: no weight, and the suite's rates."""
    world = task(np.random.default_rng(1))
    rows, own = np.arange(60), slice(0, 2) if followed == 0 else slice(2, 4)
    other = slice(2, 4) if followed == 0 else slice(0, 2)
    settings = replace(Blend(), blend=(0.7, 0.0) if followed == 0 else (0.0, 0.7))
    found, both = settings.fit(world, rows), Blend().fit(world, rows)
    wanted = ridge(
        world.design.matrix, world.targets[:, own].copy(), world.weights[:, own].copy(), np.full(2, 6.0)
    )
    assert (found.text.coefficients[:, own] == wanted.coefficients).all() and wanted.coefficients.any()
    assert not found.text.coefficients[:, other].any() and not found.text.intercept[other].any()
    assert (found.rates == both.rates).all()
    made = found.compile(world)
    assert not made.weights[:, other].any() and not made.dense[:, other].any()
    assert made.bias[:, other] == pytest.approx(found.rates[:, other] + found.factor[other])
    told, departed = found.parts(world, rows)
    assert (told[:, other] == found.rates[world.suite][:, other] + found.factor[other]).all()
    assert not departed[:, other].any() and departed[:, own].any()


def evidence(rng: np.random.Generator, rows: int) -> Evidence:
    """Three candidates and a chain after them, the second the reference; some rows are left to a table."""
    quality, cost = rng.random((rows, 4)), rng.random((rows, 4))
    known = Recorded(quality, cost, 1, group=np.arange(rows), suite=rng.integers(0, 2, rows))
    eligible = rng.random((rows, 4)) < 0.8
    eligible[:, 1] = True
    seen = Evidence.bare(known, eligible=eligible)
    return replace(seen, covered=rng.random(rows) < 0.7, table=rng.integers(0, 3, rows), chains=1)


OPTIONS = [
    Option(READS, 0.0, 0.0), Option(READS, 0.3, 0.1), Option("rates", 0.3, 0.0), Option(FIXED, 0.0, 0.0, 2),
    Option(CHAINS, 0.3, 0.0),
]  # fmt: skip


def by_hand(
    option: Option, row: int, quality: Floats, cost: Floats, seen: Evidence, tables: list[int]
) -> int:
    """What an option does to one row: the runtime's rule, spelt."""
    assert seen.suite is not None
    open_ = seen.eligible[row]
    if option.column is not None:
        return option.column if open_[option.column] else seen.reference
    if option.predictor == CHAINS:
        column = tables[seen.suite[row]]
        return column if open_[column] else seen.reference
    if option.predictor == READS and not seen.covered[row]:
        return int(seen.table[row])
    worth = np.where(open_[:3], quality[row] - option.tradeoff * cost[row], -np.inf)
    best = int(worth.argmax())
    return best if worth[best] - worth[seen.reference] > option.guard else seen.reference


@given(st.integers(0, 2**32 - 1), st.integers(1, 23), st.sampled_from([1, 9, 1 << 17]))
def test_actions_are_the_rule_whatever_is_worked_out_at_a_time(seed: int, rows: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    seen, quality, cost = evidence(rng, rows), rng.random((rows, 3)), rng.random((rows, 3))
    found = {READS: (quality, cost), "rates": (cost, quality)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "CELLS", cells)
        actions = act(OPTIONS, found, seen, {0.3: np.array([3, 0])})
    wanted = [
        [
            by_hand(option, row, *found.get(option.predictor, (quality, cost)), seen, [3, 0])
            for row in range(rows)
        ]
        for option in OPTIONS
    ]
    assert actions.tolist() == wanted and actions.dtype == np.int8
