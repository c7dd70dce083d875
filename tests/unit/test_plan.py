"""`plan` says what certificates say: one function for sample sizes, by hand-worked numbers."""

import math

import numpy as np
import pandas as pd
import pytest

from router_lab.metrics import clustered_mean, samples_needed, verdict
from router_lab.outcomes import validate_outcomes
from router_lab.plan import plan
from router_lab.runtime.errors import InputError


def outcomes() -> pd.DataFrame:
    """100 samples: `a` is always right and costs $2, `b` misses 10 and costs $1."""
    rows = [
        {"suite": "s", "sample_id": f"{i:03}", "model": m, "quality": float(m == "a" or i >= 10), "cost_usd": usd}
        for i in range(100)
        for m, usd in (("a", 2.0), ("b", 1.0))
    ]
    return validate_outcomes(pd.DataFrame(rows))


def test_samples_are_those_of_the_verdict() -> None:
    found = plan(outcomes(), 0.15, 0.95)
    assert found.reference.model == "a" and len(found.needs) == 1
    need = found.needs[0]
    gain = np.where(np.arange(100) < 10, -1.0, 0.0)
    estimate = clustered_mean(gain, span=1.0)
    judged = verdict(estimate, -0.15, 0.95)
    assert judged.verdict == need.verdict == "inconclusive"
    assert need.samples == judged.samples_needed

    # At N samples: variance v = .09 × 100/99 / N, the unseen loss 1/N, ten of a hundred lost: a skew of .072 / N over v
    # and what is unseen; z .95 = 1.6449 with k = .7521, z .8 = .8416. The gap of .05 is reached at N.
    def short(count: float) -> bool:
        v, unseen = 0.09 * 100 / 99 / count, 1 / count
        skew = (unseen**3 + 0.072 / count**2) / (unseen**2 + v)
        reach = 1.6449 * math.sqrt(v + 0.7521 * unseen**2) + skew * (1.6449**2 + 2) / 3
        return reach + 0.8416 * math.sqrt(v + unseen**2) > 0.05

    assert need.samples == pytest.approx(next(count for count in range(100, 1000) if not short(count)) - 100, abs=1)
    assert need.dollars == pytest.approx(3.0 * need.samples)
    assert need.if_equal == samples_needed(estimate, 0.15, 0.95)


@pytest.mark.parametrize(("margin", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.1, 0.5)])
def test_a_margin_or_confidence_out_of_range_is_refused(margin: float, confidence: float) -> None:
    with pytest.raises(InputError, match=r"must lie in \(0, 1\)"):
        plan(outcomes(), margin, confidence)


def test_who_left_the_race_of_a_suite_needs_no_further_samples() -> None:
    frame = outcomes()
    other = frame.assign(suite="t", sample_id=frame["sample_id"] + "t")
    frame = validate_outcomes(pd.concat([frame, other], ignore_index=True)).assign(reason=None)
    frame.loc[(frame["suite"] == "s") & (frame["model"] == "b"), "reason"] = "raced: worse after 9 samples"
    raced = {need.suite: need.raced for need in plan(frame, 0.15, by_suite=True).needs}
    assert raced == {None: None, "s": "worse", "t": None}  # still in the race of one suite
    frame.loc[(frame["suite"] == "t") & (frame["model"] == "b"), "reason"] = "raced: hopeless after 9 samples"
    raced = {need.suite: need.raced for need in plan(frame, 0.15, by_suite=True).needs}
    assert raced == {None: "worse, hopeless", "s": "worse", "t": "hopeless"}
    frame["reason"] = "raced: settled after 9 samples"
    assert all(need.raced is None for need in plan(frame, 0.15).needs)
