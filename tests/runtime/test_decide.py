"""What decides, on numbers worked out by hand: see the docstring of `make_spec`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, Prices, Profile, Route
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy

SEEN = "the quick brown fox jumps over the lazy dog"
UNSEEN = "zyx wvu tsr qpo nml kji hgf edc"
CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")


def outcome(policy: Policy, prompt: Any = SEEN, **asked: Any) -> tuple[Candidate, str]:
    decision = policy.decide(prompt, **asked)
    return decision.candidate, decision.code


def test_the_greatest_utility_above_the_guard_replaces_the_reference(policy: Policy) -> None:
    decision = policy.decide(SEEN)
    assert (decision.model, decision.effort, decision.code) == ("cheap", "low", "predicted")
    assert (decision.quality, decision.cost_usd) == (0.70, 0.001)
    assert decision.fallbacks == (DEAR, MIDDLE)
    assert decision.limits == (100, 1, 0.01)
    assert decision.tier == "standard"
    assert "0.700" in decision.reason
    assert decision.evidence["reference_cost_usd"] == 0.005
    assert decision.revision == "unsaved"


def test_a_suite_that_the_policy_does_not_know_is_named_in_the_reason(policy: Policy) -> None:
    decision = policy.decide(SEEN, suite="poems")
    assert decision.reason.startswith(
        "suite 'poems' is not in this policy: its quality less cost beats the reference's"
    )
    assert decision.evidence["unknown_suite"] == "poems"
    assert decision.next("unavailable").reason.startswith(
        "suite 'poems' is not in this policy: cheap @ low could not"
    )
    for asked in (None, "maths"):
        known = policy.decide(SEEN, suite=asked)
        assert "is not in this policy" not in known.reason and known.evidence["unknown_suite"] is None
    assert len(policy.decide(SEEN, suite="x" * 10_000).reason) < 500


def test_the_guard_keeps_the_reference(policy: Policy) -> None:
    # cheap beats dear by .60 − .40 = .20, under the guard of .5
    assert outcome(policy, point="never") == (DEAR, "reference")


@pytest.mark.parametrize(("suite", "expected"), [
    ("triage", (CHEAP, "table")),
    ("maths", (DEAR, "uncovered")),  # its row is inconclusive
    ("never heard of", (DEAR, "uncovered")),
    (None, (DEAR, "uncovered")),
])  # fmt: skip
def test_too_little_coverage_asks_the_routing_table(policy: Policy, suite: str | None, expected: Any) -> None:
    assert outcome(policy, UNSEEN, suite=suite) == expected
    assert policy.decide(UNSEEN).evidence["coverage"] < 0.5


def test_a_linear_prediction_by_hand(make_spec: Any) -> None:
    # Two of the four features of "a b" (a, b, and the pair) are... "a b" has 3 features; "a" weighs 127 units of 1/127.
    featuriser = Featuriser(buckets=1 << 12)
    [bucket] = featuriser("a").buckets
    spec = make_spec(
        linear=Linear.quantised(
            seen=np.array([bucket]),
            weights=np.array([[0.3, 0.0, 0.0, 0.001, 0.0, 0.0]]),
            bias=np.array(
                [[0.5, 0.5, 0.5, 0.001, 0.002, 0.005], [0.6] * 3 + [0.001] * 3, [0.9] * 3 + [0.001] * 3]
            ),
            dense=np.zeros((len(DENSE), 6)),
            cost_bounds=np.array([[0.0] * 3, [1.0] * 3]),
        )
    )
    quality, cost = Policy(spec).predict(["a b", "b", "a b"], [None, "maths", "triage"])
    root = 3**0.5
    assert quality[0] == pytest.approx([0.5 + 0.3 / root, 0.5, 0.5])
    assert cost[0] == pytest.approx([0.001 + 0.001 / root, 0.002, 0.005])
    assert quality[1] == pytest.approx([0.6] * 3)
    assert quality[2] == pytest.approx([1.0, 0.9, 0.9])  # .9 + .17 is cut to 1


def test_mix_is_reproducible_and_as_frequent_as_it_says(make_spec: Any) -> None:
    policy = Policy(make_spec(points={"default": (Follow(100.0, 0.05, 0.3),)}))
    codes = [policy.decide(SEEN, key=str(key)).code for key in range(2000)]
    assert codes == [policy.decide(SEEN, key=str(key)).code for key in range(2000)]
    assert set(codes) == {"predicted", "mixed"}
    assert 0.27 < codes.count("predicted") / 2000 < 0.33
    assert (
        policy.decide(SEEN).code
        == policy.decide(SEEN, key=SEEN).code
        == policy.decide(SEEN, key=SEEN.encode()).code
    )


@pytest.mark.parametrize(("asked", "expected", "unmet"), [
    ({"allowed": [DEAR, MIDDLE]}, (MIDDLE, "predicted"), ()),
    ({"allowed": [("cheap", "max")]}, (MIDDLE, "only"), ()),
    ({"allowed": {("cheap", "low"), ("gone", None)}}, (CHEAP, "only"), ()),
    ({"min_quality": 0.75}, (MIDDLE, "predicted"), ()),
    ({"min_quality": 0.95}, (DEAR, "reference"), ("min_quality",)),
    ({"max_cost_usd": 0.0015}, (CHEAP, "only"), ()),
    ({"max_cost_usd": 0.0}, (CHEAP, "only"), ("max_cost_usd",)),
    ({"max_cost_usd": 0.003, "min_quality": 0.85}, (MIDDLE, "only"), ("min_quality",)),
    ({"context_tokens": 7_000}, (CHEAP, "predicted"), ()),
    ({"context_tokens": 7_950}, (MIDDLE, "predicted"), ()),  # and 100 tokens of answer do not fit 8,000
    ({"context_tokens": 50_000}, (DEAR, "reference"), ()),
    ({"context_tokens": 10**9}, (DEAR, "reference"), ("context_tokens",)),
    ({"deadline_s": 5.0}, (CHEAP, "only"), ()),  # dear takes 9 seconds
    ({"deadline_s": 1.0}, (MIDDLE, "only"), ()),  # nothing was recorded of its time
    ({"tiers": ("priority",)}, (CHEAP, "predicted"), ("tiers",)),
    ({"context_tokens": 10**400}, (DEAR, "reference"), ("context_tokens",)),
    ({"max_cost_usd": float("inf"), "deadline_s": float("inf")}, (CHEAP, "predicted"), ()),
    ({"tiers": (), "deadline_s": float("inf"), "context_tokens": float("inf")}, (DEAR, "reference"),
     ("tiers", "context_tokens", "deadline_s")),
])  # fmt: skip
def test_constraints_come_first(policy: Policy, asked: dict[str, Any], expected: Any, unmet: Any) -> None:
    decision = policy.decide(SEEN, **asked)
    assert (decision.candidate, decision.code) == expected
    assert decision.unmet == unmet
    assert all(name in decision.reason for name in unmet)


@pytest.mark.parametrize(("tiers", "deadline", "tier", "cost"), [
    (("standard",), None, "standard", 0.001),
    (("standard", "batch"), None, "batch", 0.0005),
    (("standard", "flex", "batch"), 3_600.0, "flex", 0.00075),
    (("standard", "batch"), 3_600.0, "standard", 0.001),
    (["standard", "no such tier"], 3_600.0, "standard", 0.001),
])  # fmt: skip
def test_the_cheapest_tier_that_keeps_the_deadline(
    policy: Policy, tiers: Any, deadline: float | None, tier: str, cost: float
) -> None:
    decision = policy.decide(SEEN, tiers=tiers, deadline_s=deadline, allowed=[CHEAP])
    assert (decision.tier, decision.cost_usd) == (tier, cost)


def test_a_tier_costs_what_it_does_over_standard_whose_dollars_were_recorded(make_spec: Any) -> None:
    """Standard may be listed, too: prices are then multiplied by it wherever dollars are made of tokens."""
    spec = make_spec()
    cheap = spec.profiles[0]._replace(prices=Prices(1.0, 4.0, tiers={"standard": 2.0, "batch": 1.5}))
    policy = Policy(make_spec(profiles=(cheap, *spec.profiles[1:])))
    for asked in ({}, {"allowed": [CHEAP]}, {"allowed": [CHEAP], "max_cost_usd": 1.0}):
        assert policy.decide(SEEN, **asked).cost_usd == 0.001
    assert policy.decide(SEEN, tiers=("batch",), allowed=[CHEAP]).cost_usd == pytest.approx(0.00075)
    free = cheap._replace(prices=Prices(1.0, 4.0, tiers={"standard": 0.0}))
    assert (
        Policy(make_spec(profiles=(free, *spec.profiles[1:]))).decide(SEEN, allowed=[CHEAP]).cost_usd == 0.001
    )


def test_a_tier_that_only_the_reference_offers_moves_the_choice(policy: Policy) -> None:
    # On batch dear costs .0025 and cheap .0005: utilities .90 − .25 = .65 against .70 − .05 = .65; no guard is beaten.
    assert outcome(policy, tiers=("batch",), allowed=[CHEAP, DEAR]) == (DEAR, "reference")


def test_a_conversation_moves_only_for_more_than_its_cache(policy: Policy) -> None:
    # dear's cache saves (10 − 1) $/M: 10,000 tokens are $.09 = 9 utility; 10 tokens are $.00009 = .009.
    assert outcome(policy, previous=DEAR, cached_tokens=10_000) == (DEAR, "sticky")
    assert outcome(policy, previous=DEAR, cached_tokens=10) == (CHEAP, "predicted")
    # middle has no cache price, so nothing is lost by leaving it.
    assert outcome(policy, previous=MIDDLE, cached_tokens=10_000) == (CHEAP, "predicted")
    assert outcome(policy, previous=("cheap", "low"), cached_tokens=10) == (CHEAP, "kept")
    assert outcome(policy, previous=("gone", None), cached_tokens=10**6) == (CHEAP, "predicted")
    # A constraint is stronger than a cache.
    assert outcome(policy, previous=CHEAP, cached_tokens=10**6, context_tokens=20_000) == (
        MIDDLE,
        "predicted",
    )


def test_a_short_follow_up_does_not_throw_the_cache_away(policy: Policy) -> None:
    assert outcome(policy, UNSEEN, previous=CHEAP, cached_tokens=10_000) == (CHEAP, "sticky")
    assert outcome(policy, UNSEEN, previous=CHEAP) == (DEAR, "uncovered")
    # From dear to cheap saves .005 − .001 = $.004; dear's cache of 400 tokens is worth $.0036, of 500 $.0045.
    assert outcome(policy, UNSEEN, suite="triage", previous=DEAR, cached_tokens=400) == (CHEAP, "table")
    assert outcome(policy, UNSEEN, suite="triage", previous=DEAR, cached_tokens=500) == (DEAR, "sticky")


def test_chance_does_not_move_a_conversation_back(make_spec: Any) -> None:
    policy = Policy(make_spec(points={"default": (Follow(100.0, 0.05, 0.0),)}))
    assert outcome(policy) == (DEAR, "mixed")
    assert outcome(policy, previous=CHEAP, cached_tokens=1) == (CHEAP, "kept")


def test_an_expired_policy_decides_the_reference_and_says_so(make_spec: Any) -> None:
    spec = make_spec(expires="2027-01-01")
    last_second = 1_798_761_599.0  # 2026-12-31T23:59:59Z
    assert Policy(spec, clock=lambda: last_second).decide(SEEN).candidate == CHEAP
    decision = Policy(spec, clock=lambda: last_second + 1).decide(SEEN, suite="triage")
    assert (decision.candidate, decision.code) == (DEAR, "expired")
    assert "2027-01-01" in decision.reason
    limited = Policy(spec, clock=lambda: last_second + 1).decide(SEEN, allowed=[CHEAP, MIDDLE])
    assert limited.candidate == MIDDLE  # the first fallback that is allowed


def test_a_candidate_that_may_only_be_predicted_is_not_chosen(make_spec: Any) -> None:
    eligible = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 0]], bool)
    policy = Policy(make_spec(eligible=eligible))
    assert outcome(policy) == (CHEAP, "predicted")
    assert outcome(policy, suite="maths") == (MIDDLE, "predicted")
    assert outcome(policy, suite="triage") == (DEAR, "reference")  # the reference always may
    assert outcome(policy, suite="triage", allowed=[CHEAP, MIDDLE]) == (MIDDLE, "only")


def test_the_window_is_guessed_for_a_long_text_only(policy: Policy) -> None:
    assert policy.decide("fox " * 10_000).candidate == MIDDLE  # 40,000 characters / 3 > 8,000 tokens
    assert policy.decide("fox " * 10_000, context_tokens=1_000).candidate == CHEAP


MESSAGES = [
    {"role": "system", "content": UNSEEN * 50},
    {"role": "user", "content": UNSEEN},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    {"role": "tool", "content": UNSEEN * 99},
    {"role": "user", "content": [{"type": "text", "text": "the quick brown fox"}, {"type": "image_url"}]},
    {"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]},
    {"role": "user", "content": [{"type": "tool_result", "content": UNSEEN * 99}]},
]


def test_the_last_user_turn_is_what_is_routed(policy: Policy) -> None:
    assert policy.decide(MESSAGES) == policy.decide("the quick brown fox")
    assert policy.decide([{"role": "system", "content": SEEN}]) == policy.decide("")
    assert policy.decide([]) == policy.decide("")
    assert policy.decide([{"role": "user", "content": {"odd": 1}}]) == policy.decide("")


@pytest.mark.parametrize("asked", [
    {"prompt": 7}, {"prompt": None}, {"prompt": [7]}, {"point": "nope"}, {"point": []}, {"key": 7},
    {"max_cost_usd": -1.0}, {"max_cost_usd": float("nan")}, {"min_quality": "high"}, {"deadline_s": True},
    {"context_tokens": -5}, {"allowed": []}, {"allowed": [("gone", None)]}, {"allowed": "cheap"}, {"allowed": [7]},
    {"allowed": [(["x"], None)]}, {"tiers": "standard"}, {"tiers": 3}, {"previous": "cheap"}, {"suite": ["maths"]},
    {"previous": CHEAP, "cached_tokens": float("nan")}, {"allowed": 3},
])  # fmt: skip
def test_arguments_that_can_never_be_valid(policy: Policy, asked: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="decide"):
        policy.decide(**({"prompt": SEEN} | asked))


def test_failures_walk_the_fallbacks_and_end(make_spec: Any) -> None:
    first = Policy(make_spec()).decide(SEEN)
    second = first.next("unavailable")
    assert (second.candidate, second.code, second.fallbacks) == (DEAR, "fallback", (MIDDLE,))
    assert "cheap @ low" in second.reason
    third = second.next("refused")
    assert (third.candidate, third.fallbacks) == (MIDDLE, ())
    with pytest.raises(PolicyError, match="no candidate is left"):
        third.next("unavailable")
    with pytest.raises(PolicyError, match="'bored'"):
        first.next("bored")


def test_a_failed_check_walks_the_escalation_order(make_spec: Any) -> None:
    first = Policy(make_spec(escalation=(0, 1, 2))).decide(SEEN)
    assert [first.next("check").candidate, first.next("check").next("check").candidate] == [MIDDLE, DEAR]
    with pytest.raises(PolicyError):
        first.next("check").next("check").next("check")
    assert first.next("context").candidate == DEAR  # the first fallback with a larger window
    limited = Policy(make_spec(escalation=(0, 1, 2))).decide(SEEN, allowed=[CHEAP, DEAR])
    assert limited.next("check").candidate == DEAR


def test_a_check_that_fails_at_the_end_of_the_measured_order_goes_to_the_fallbacks(make_spec: Any) -> None:
    policy = Policy(make_spec(escalation=(2,)))  # as the fit makes it: to the reference
    escalated = policy.decide(SEEN).next("check")
    assert (escalated.candidate, escalated.code) == (DEAR, "escalated")
    for reference in (escalated, policy.decide(SEEN, point="never", allowed=[DEAR, MIDDLE])):
        assert reference.candidate == DEAR and reference.fallbacks[0] == MIDDLE
        onwards = reference.next("check")
        assert (onwards.candidate, onwards.code) == (MIDDLE, "unmeasured")
        assert (
            onwards.reason == "the answer of dear failed its check: the next fallback, a step never measured"
        )
    with pytest.raises(
        PolicyError, match=r"every one that the constraints allow was tried \(dear, cheap @ max\)"
    ):
        onwards.next("check")


def test_without_a_measured_order_a_failed_check_goes_to_the_fallbacks(make_spec: Any) -> None:
    first = Policy(make_spec()).decide(SEEN)
    second = first.next("check")
    assert (second.candidate, second.code) == (first.fallbacks[0], "unmeasured")
    third = second.next("check")
    with pytest.raises(
        PolicyError, match=r"every one was tried \(cheap @ low, dear, cheap @ max\); stop here"
    ):
        third.next("check")


def test_a_context_too_long_for_every_window_says_so(make_spec: Any) -> None:
    first = Policy(make_spec()).decide(SEEN)
    largest = first.next("context")
    assert largest.candidate == DEAR
    with pytest.raises(
        PolicyError, match="no candidate is left with a larger context window than dear; shorten"
    ):
        largest.next("context")


def test_candidates_sort_and_compare_as_pairs() -> None:
    assert sorted([DEAR, MIDDLE, Candidate("cheap"), CHEAP]) == [Candidate("cheap"), CHEAP, MIDDLE, DEAR]
    assert Candidate("a:b@c/d", None) == ("a:b@c/d", None)
    assert str(CHEAP) == "cheap @ low"


def test_a_policy_never_changes(policy: Policy) -> None:
    with pytest.raises(AttributeError):
        policy.revision = "x"  # type: ignore[misc]


@pytest.mark.parametrize(("change", "message"), [
    ({"name": "../up"}, "name"), ({"reference": 9}, "reference"), ({"fallbacks": (0, 1)}, "fallbacks"),
    ({"point": "x"}, "point"), ({"coverage": float("nan")}, "coverage"), ({"expires": "soon"}, "expires"),
    ({"routes": {"x": Route(0, "pass")}}, "routes"), ({"routes": {"maths": Route(7, "pass")}}, "routes"),
    ({"routes": {"maths": Route(0, "yes")}}, "verdict"), ({"points": {"default": (Follow(-1, 0),)}}, "points"),
    ({"points": {"default": (Follow(1, 0, 2.0),)}}, "mix"), ({"escalation": (0, 0)}, "escalation"),
    ({"suites": ("triage", "maths")}, "sorted"), ({"limits": ((),)}, "limits"),
    ({"featuriser": Featuriser(buckets=1000)}, "buckets"), ({"featuriser": Featuriser(cap=1)}, "cap"),
    ({"featuriser": Featuriser(buckets=4)}, "seen"), ({"eligible": np.ones((1, 1), bool)}, "eligible"),
    ({"profiles": (Profile(CHEAP), Profile(CHEAP), Profile(DEAR))}, "sorted"),
    ({"profiles": (Profile(CHEAP, context_window=0), Profile(MIDDLE), Profile(DEAR))}, "context_window"),
    ({"groups": np.array([2, 1], np.uint64)}, "groups"),
])  # fmt: skip
def test_a_broken_rule_is_named(make_spec: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy(make_spec(**change))


def test_numbers_that_are_not_finite_are_refused(make_spec: Any) -> None:
    spec = make_spec()
    for key in ("scale", "bias", "dense_scale", "cost_bounds"):
        array = getattr(spec.linear, key).copy()
        array.flat[0] = np.nan
        with pytest.raises(PolicyError, match=key):
            Policy(dataclasses.replace(spec, linear=dataclasses.replace(spec.linear, **{key: array})))
