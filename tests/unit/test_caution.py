"""What is not seen may well be there: the caution of a bound on a difference that only some requests make."""

from __future__ import annotations

import re
from math import comb, sqrt

import numpy as np
import pytest

from router_lab.config import Gate
from router_lab.gates import run_gates
from router_lab.metrics import Estimate, certifiable_margin, clustered_mean
from router_lab.replay import replay
from router_lab.runtime.points import Follow
from tests.unit.test_gates import TODAY, always, world


def most_losses(clusters: int, mix: float, margin: float) -> int:
    """Losses of `mix` each, one a cluster, with which a difference still passes at 90 %; -1 where none would do."""
    for lost in range(clusters):
        gain = np.zeros(clusters)
        gain[:lost] = -mix
        if clustered_mean(gain, span=mix).low(0.9) < -margin:
            return lost - 1
    return clusters


@pytest.mark.parametrize("mix", [0.1, 0.25, 0.5])
def test_rare_losses_pass_no_oftener_than_one_in_ten(mix: float) -> None:
    """Exact: each cluster loses with the probability that makes the mean loss the margin, and none ever gains."""
    for clusters in range(60, 111, 5):
        for margin in (0.01, 0.02, 0.03, 0.05):
            chance = margin / mix
            passing = sum(
                comb(clusters, k) * chance**k * (1 - chance) ** (clusters - k)
                for k in range(most_losses(clusters, mix, margin) + 1)
            )
            assert passing <= 0.1, (clusters, margin)


@pytest.mark.parametrize("mix", [0.25, 0.75])
def test_gate_and_replay_bound_a_mix_alike(mix: float) -> None:
    """cheap loses 12 of 400 samples; each counts as `mix` of a loss, and so does the one that was not seen."""
    policy = always(0, points={"default": (Follow(0.0, 0.0, mix),)}, fallbacks=(1, 0))
    outcomes = world(losses=0.03)
    gain = np.where(np.arange(400) < 12, -mix, 0.0)
    error = sqrt(gain.var() / 399 + (mix / 400) ** 2)
    found = replay(policy, outcomes)
    assert found.estimate("quality_difference").value == pytest.approx(-0.03 * mix)
    assert found.estimate("quality_difference").error == pytest.approx(error)
    gate = Gate(metric="quality", against="reference", margin=0.05, confidence=0.9)
    report = run_gates(policy, outcomes, [gate], today=TODAY)
    low, high = (
        found.estimate("quality_difference").low(0.9),
        found.estimate("quality_difference").high(0.9),
    )
    assert (report.results[0].low, report.results[0].high) == pytest.approx((low, high))
    assert report.smallest_margin == pytest.approx(-0.03 * mix - low)


def test_who_moves_nothing_has_no_margin_to_certify() -> None:
    assert run_gates(always(1), world(), [], today=TODAY).smallest_margin is None


def test_a_suite_among_several_fails_only_beyond_their_correction() -> None:
    """cheap loses on 5 % of suite a alone; at a margin between the bounds at 90 % and at 95 %, half of the error each,
    one suite would have failed and the first of two has not."""
    outcomes = world(losses=0.05, only="a")
    lost = np.where(np.arange(200) < 10, -1.0, 0.0)
    mean = clustered_mean(lost, span=1.0)
    margin = -(mean.high(0.9) + mean.high(0.95)) / 2
    gate = {"metric": "quality", "against": "reference", "margin": margin, "confidence": 0.9}
    policy = always(0, certificate={"verdict": "inconclusive"})
    alone = run_gates(policy, outcomes, [Gate.model_validate(gate | {"suite": "a"})], today=TODAY).results[0]
    among = run_gates(policy, outcomes, [Gate.model_validate(gate | {"suite": "each"})], today=TODAY).results[
        0
    ]
    assert (alone.verdict, among.verdict) == ("fail", "inconclusive")
    assert "after correcting for 2 suites" in among.reason


def test_a_ceiling_on_a_difference_is_judged_from_above() -> None:
    gate = Gate.model_validate({"metric": "quality", "against": "reference", "max": 0.01, "confidence": 0.9})
    assert run_gates(always(0), world(wins=0.05), [gate], today=TODAY).results[0].verdict == "fail"
    assert run_gates(always(0), world(losses=0.05), [gate], today=TODAY).results[0].verdict == "pass"


def test_a_p_value_has_the_degrees_of_freedom_of_its_clusters() -> None:
    # Five clusters, t = -2: .0581 with 4 degrees of freedom (.0510 with 5).
    assert Estimate(0.0, 1.0, 30, 5).p_below(-2.0) == pytest.approx(0.0581, abs=5e-5)


def test_against_a_champion_at_risk_is_what_the_two_serve_differently() -> None:
    """.75 and 1 of the same candidate: a quarter of the requests, and so is a loss that was not seen."""
    champion = always(0, "champion", points={"default": (Follow(0.0, 0.0, 0.75),)})
    gate = Gate(metric="quality", against="champion", margin=0.05, confidence=0.9)
    found = run_gates(always(0), world(losses=0.03), [gate], champion=champion, today=TODAY).results[0]
    same = clustered_mean(np.where(np.arange(400) < 12, -0.25, 0.0), span=0.25)
    assert (found.value, found.low, found.high) == pytest.approx((same.value, same.low(0.9), same.high(0.9)))


def test_a_ceilings_bounds_are_told_from_low_to_high() -> None:
    gate = Gate.model_validate({"metric": "quality", "max": 0.9, "confidence": 0.9})
    reason = run_gates(always(0), world(), [gate], today=TODAY).results[0].reason
    low, high = (float(text) for text in re.findall(r"from ([\d.]+) to ([\d.]+)\)", reason)[0])
    assert 0.7 < low < 0.8 < high < 0.9


def test_a_margin_with_power_is_wider_by_its_quantile() -> None:
    found = Estimate(-0.01, 0.02, 500, 500)
    assert certifiable_margin(found, 0.9, 0.8) - certifiable_margin(found, 0.9) == pytest.approx(
        0.8416 * 0.02, rel=1e-3
    )


def test_a_replay_beside_its_mix_and_its_candidates() -> None:
    """Everything to cheap at $.001; a quarter of it at random costs .75 * .01 + .25 * .001, and .675 of .01 more."""
    mix = {
        "model": "cheap",
        "effort": "low",
        "probability": 0.25,
        "quality_difference": None,
        "savings": None,
    }
    found = replay(always(0, certificate={"verdict": "pass", "random_mix": mix}), world())
    assert found.estimate("savings_over_mix").value == pytest.approx(0.675)
    cheap, dear = found.fixed
    reach = 1.96593 * sqrt(0.789703) + (1.96593**2 + 2) / 3  # nobody ever loses: one loss that was not seen
    assert cheap["high"] == -cheap["low"] == pytest.approx(reach / 400, rel=1e-4)
    assert (dear["low"], dear["high"]) == (0.0, 0.0)
