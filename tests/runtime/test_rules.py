"""Rules that hold for every policy and every text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.linear import cost_from_link, cost_to_link
from router_lab.runtime.points import Follow, mix_of
from router_lab.runtime.policy import Policy

TEXTS = st.text(max_size=200) | st.text("abc 12.?", max_size=200)
HOSTILE = [
    "", "\x00" * 99, "\ud800\udfff" * 50, "\u202e" + "abc" * 30, "אבג " * 40, "🙂" * 500, "a" * 1_000_000,
    " " * 1_000_000,
    "\n" * 4096, "日本語" * 3000, "\uffff\ufffe", "%s%n{}{{", "'; DROP TABLE", "\U000e0001" * 9, "é" * 2048 + "x",
]  # fmt: skip


@given(
    TEXTS | st.sampled_from(HOSTILE),
    st.sampled_from([None, "a", "b", "?"]),
    st.sampled_from([None, "cheap", "half"]),
)
def test_any_text_gets_a_known_candidate(
    random_policy: Policy, text: str, suite: str | None, point: str | None
) -> None:
    policy = random_policy
    decision = policy.decide(text, suite=suite, point=point)
    assert decision.candidate in policy.candidates
    assert 0 <= decision.quality <= 1
    assert decision.cost_usd > 0
    assert set(decision.fallbacks) | {decision.candidate} == set(policy.candidates)
    assert decision.reason
    assert decision == policy.decide([{"role": "user", "content": text}], suite=suite, point=point)


@given(st.lists(st.tuples(TEXTS, st.sampled_from([None, "a", "b", "?"])), max_size=6))
def test_batches_say_what_single_decisions_say_to_the_last_bit(
    random_policy: Policy, asked: list[tuple[str, Any]]
) -> None:
    policy = random_policy
    texts, suites = [text for text, _ in asked], [suite for _, suite in asked]
    quality, cost = policy.predict(texts, suites)
    assert quality.shape == cost.shape == (len(asked), 5)
    for point in ("cheap", "half"):
        shares = policy.shares(texts, suites, point)
        assert shares.sum(axis=1).tolist() == [1.0] * len(asked)
        for i, (text, suite) in enumerate(asked):
            decision = policy.decide(text, suite=suite, point=point)
            column = policy.candidates.index(decision.candidate)
            assert decision.quality == quality[i, column]
            assert decision.cost_usd == cost[i, column]
            expected = {
                "predicted": mix_of(policy.spec.points[point]),
                "table": 1.0,
                "uncovered": 1.0,
                "reference": 1.0,
            }
            if decision.code == "mixed":
                assert shares[i, column] == 1 - mix_of(policy.spec.points[point])
            else:
                assert shares[i, column] == expected[decision.code]


@settings(max_examples=40)
@given(TEXTS, st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_larger_tradeoff_never_picks_a_dearer_candidate(
    random_policy: Policy, text: str, one: float, two: float
) -> None:
    low, high = sorted((one, two))
    spec = random_policy.spec
    points = {"low": (Follow(low, 0.0),), "high": (Follow(high, 0.0),)}
    policy = Policy(dataclasses.replace(spec, points=points, point="low", coverage=0.0))
    assert policy.decide(text, point="high").cost_usd <= policy.decide(text, point="low").cost_usd


@given(TEXTS, st.floats(0, 0.02), st.floats(0, 1))
def test_bounds_that_can_be_met_are_met(random_policy: Policy, text: str, most: float, least: float) -> None:
    policy = random_policy
    decision = policy.decide(text, max_cost_usd=most, min_quality=least)
    if "max_cost_usd" not in decision.unmet:
        assert decision.cost_usd <= most
    if not decision.unmet:
        assert decision.quality >= least


@given(st.lists(st.sampled_from(range(5)), min_size=1, max_size=5, unique=True), TEXTS)
def test_only_allowed_candidates_serve_or_fall_back(
    random_policy: Policy, columns: list[int], text: str
) -> None:
    policy = random_policy
    allowed = {policy.candidates[column] for column in columns}
    decision = policy.decide(text, allowed=allowed, point="half")
    assert {decision.candidate, *decision.fallbacks} == allowed


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_cost_link_is_monotone_and_has_an_inverse(costs: list[float]) -> None:
    dollars = np.sort(np.array(costs))
    linked = cost_to_link(dollars, "log2ish")
    assert (np.diff(linked) >= 0).all()
    assert cost_from_link(linked, "log2ish") == pytest.approx(dollars, rel=1e-9, abs=1e-12)
