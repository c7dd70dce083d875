"""What a verdict was judged by, in the unit of its rule, by hand."""

from __future__ import annotations

import pytest

from router_lab.fit.evidence import Goal
from router_lab.fit.judged import _to_run, judged_by, told_bounds
from router_lab.metrics import Estimate, verdict

LEFT = Estimate(0.2, 0.05, 200, 100)
"""A fifth of the budget is left; t(.9) with 99 degrees of freedom is 1.29016, so from .1355 to .2645."""


def test_a_budget_is_judged_in_dollars_per_thousand() -> None:
    found = judged_by(LEFT, Goal("budget", 0.004, 0.9), at=0.5, rows="certificate")
    assert found.value == pytest.approx(4 * 0.8)
    assert (found.low, found.high) == pytest.approx((4 * (1 - 0.264508), 4 * (1 - 0.135492)), rel=1e-5)
    assert (found.ceiling, found.unit, found.mix, found.n) == (4.0, "usd_per_1k", 0.5, 200)


@pytest.mark.parametrize(("kind", "shift", "floor"), [("margin", 0.0, -0.03), ("quality", 0.7, 0.7)])
def test_quality_is_judged_as_a_difference_or_as_itself(kind: str, shift: float, floor: float) -> None:
    goal = Goal(kind, 0.7 if shift else 0.03, 0.9)
    found = judged_by(LEFT, goal, at=1.0, rows="certificate")
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.2 + shift, 0.135492 + shift, 0.264508 + shift), rel=1e-5
    )
    assert found.floor == pytest.approx(floor)


@pytest.mark.parametrize(
    ("left", "text"),
    [(0.2, "upper bound $3.4580 per 1,000 requests is within $4.0000 (one-sided, 90 %)"),
     (-0.2, "lower bound $4.5420 per 1,000 requests is beyond $4.0000 (one-sided, 90 %)"),
     (0.05, "$4.0000 lies between the bounds $3.5420 and $4.0580 per 1,000 requests (one-sided, 90 %)")],
)  # fmt: skip
def test_the_bounds_of_a_budget_in_words(left: float, text: str) -> None:
    rule = verdict(Estimate(left, 0.05, 200, 100), 0.0, 0.9)
    assert told_bounds(rule, Goal("budget", 0.004, 0.9)) == text


def test_what_is_to_run_counts_what_the_holdout_takes() -> None:
    rule = verdict(Estimate(0.05, 0.05, 200, 100), 0.0, 0.9, dollars_per_sample=0.5)
    assert rule.samples_needed and rule.dollars_needed == rule.samples_needed * 0.5
    samples, dollars = _to_run(rule, 0.2)
    assert samples == -(-rule.samples_needed * 5 // 4) and dollars == pytest.approx(
        rule.dollars_needed * 1.25
    )


def test_a_least_quality_is_told_as_a_quality() -> None:
    rule = verdict(LEFT, 0.0, 0.9)
    assert (
        told_bounds(rule, Goal("quality", 0.6, 0.9)) == "lower bound 0.7355 reaches 0.6000 (one-sided, 90 %)"
    )


def test_few_clusters_need_twenty_of_them_and_what_the_distance_asks() -> None:
    # Variance .04 * 10 = .4 a sample; ((1.2816 + .8416) / .05)^2 * .4 = 721.3 in all, 712 more than the ten there are.
    assert verdict(Estimate(0.0, 0.2, 10, 10), -0.05, 0.9).samples_needed == 712
    # No spread: what is missing to twenty clusters of two rows each.
    assert verdict(Estimate(0.0, 0.0, 20, 10), -0.05, 0.9).samples_needed == 20
