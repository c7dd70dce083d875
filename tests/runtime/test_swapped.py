"""What callers rely on while releases are swapped under them: each sentence through a folder of releases and a store.

The policies: `tiny` (conftest.make_spec) has the points default and never, the suites maths and triage, and cheap
(twice) and dear; `random` has the points cheap and half, the suites a and b, and m00 … m04.
"""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router_lab.runtime.artifact import load_policy, save_revision
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import Release, build_release
from router_lab.runtime.store import Challenger, PolicyStore

DEFAULT, STRANGER = Candidate("default-model"), Candidate("stranger", "high")
CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")
TEXT = "the quick brown fox"
Publish = Callable[[Path, Policy, int], str]


@pytest.fixture
def other(make_random: Any) -> Policy:
    return Policy(make_random(name="tiny"))


def publish(folder: Path, policy: Policy, number: int) -> str:
    """Release `number` of a folder."""
    revision = str(load_policy(save_revision(policy, folder)).revision)
    release = Release(policy.spec.name, "champion", number, revision)
    (folder / "RELEASE.json").write_bytes(build_release(release))
    return revision


@pytest.fixture
def swapped(policy: Policy, other: Policy, tmp_path: Path) -> PolicyStore:
    """A store that served one policy and, after a hot swap, serves another of its name."""
    folder = tmp_path / "policies"
    publish(folder, policy, 1)
    store = PolicyStore(folder, default=DEFAULT)
    assert store.check()
    assert store.decide(TEXT, point="never", allowed=[CHEAP, DEAR]).candidate == DEAR
    second = publish(folder, other, 2)
    assert store.check() and store.decide(TEXT).revision == second
    return store


def test_a_point_that_went_with_the_swap_means_the_default_point(swapped: PolicyStore) -> None:
    for prompt in (TEXT, "", [{"role": "user", "content": "hard question"}]):
        decision = swapped.decide(prompt, point="never", key="k")
        assert decision.candidate == swapped.decide(prompt, key="k").candidate
        assert "point 'never' is not in this policy" in decision.reason


def test_an_allowed_candidate_that_went_with_the_swap_still_serves_and_nobody_else(
    swapped: PolicyStore,
) -> None:
    for allowed in ([DEAR], [DEAR, STRANGER], (pair for pair in [("dear", None)])):
        decision = swapped.decide(TEXT, allowed=allowed, point="never", suite="maths")
        assert (decision.candidate, decision.code) == (DEAR, "outside")
        assert CHEAP not in decision.fallbacks and "m00" not in repr(decision.fallbacks)


def test_a_previous_and_a_suite_that_went_with_the_swap_are_no_error(swapped: PolicyStore) -> None:
    decision = swapped.decide(TEXT, previous=CHEAP, cached_tokens=9_000, suite="triage")
    assert decision.unknown_suite == "triage"


@pytest.mark.parametrize("asked", [{"point": "never"}, {"allowed": [CHEAP, DEAR]}, {"suite": "maths"}])
def test_the_canary_is_asked_what_it_does_not_know(
    policy: Policy, other: Policy, tmp_path: Path, asked: dict[str, Any]
) -> None:
    stores, revisions = [], []
    for name, one in (("champion", policy), ("canary", other)):
        revisions.append(publish(tmp_path / name, one, 1))
        stores.append(PolicyStore(tmp_path / name, default=DEFAULT))
        assert stores[-1].check()
    store = PolicyStore(tmp_path / "champion", default=DEFAULT, challenger=Challenger(stores[1], canary=0.5))
    store.check()
    served = [store.decide(TEXT, key=str(number), **asked) for number in range(60)]
    by = [decision.revision for decision in served]
    # 30 expected; ±15 is four deviations.
    assert 15 <= by.count(revisions[1]) == 60 - by.count(revisions[0]) <= 45
    if "allowed" in asked:
        assert {decision.candidate for decision in served} <= {CHEAP, DEAR}


def test_the_shadow_is_told_of_requests_that_it_does_not_know(
    policy: Policy, other: Policy, tmp_path: Path
) -> None:
    """A comparison that drops the requests of which the rival lacks something would be of other requests."""
    told: list[tuple[Decision, Decision]] = []
    publish(tmp_path / "champion", policy, 1)
    publish(tmp_path / "shadow", other, 1)
    rival = PolicyStore(tmp_path / "shadow", default=DEFAULT)
    assert rival.check()
    shadow = Challenger(rival, shadow=1.0, on_shadow=lambda *both: told.append(both))
    store = PolicyStore(tmp_path / "champion", default=DEFAULT, challenger=shadow)
    store.check()
    for asked in ({"point": "never"}, {"allowed": iter([DEAR])}, {"suite": "maths"}):
        store.decide(TEXT, **asked)
    assert len(told) == 3
    # A generator is consumed once, and both were asked the same.
    assert told[1][0].candidate == told[1][1].candidate == DEAR


def test_while_the_default_serves_what_was_asked_is_kept_or_said(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "absent", default=DEFAULT)
    assert store.decide(TEXT, allowed=[STRANGER]).candidate == STRANGER
    both = store.decide(TEXT, allowed=[STRANGER, ("other", None)])
    assert {both.candidate, *both.fallbacks} == {STRANGER, Candidate("other")}
    bounded = store.decide(TEXT, max_cost_usd=0.01, tiers=("batch",), allowed=[STRANGER])
    assert bounded.candidate == STRANGER and bounded.unmet == ("tiers", "max_cost_usd")
    assert store.decide(TEXT, max_cost_usd=0.01).unmet == ("max_cost_usd",)


def test_what_is_required_and_missing_is_named_and_the_policy_before_goes_on(
    policy: Policy, other: Policy, tmp_path: Path
) -> None:
    told: list[PolicyError] = []
    folder = tmp_path / "policies"
    first = publish(folder, policy, 1)
    requires = {"points": ["never"], "candidates": [("dear", None), CHEAP], "suites": ["maths"]}
    store = PolicyStore(
        folder, default=DEFAULT, state=tmp_path / "state", on_refused=told.append, requires=requires
    )
    assert store.check()
    publish(folder, other, 2)
    assert not store.check()
    said = "point 'never', candidate dear, candidate cheap @ low, suite 'maths'"
    assert f"lacks what this store requires: {said}; publish one that has it" in str(
        store.status.last_refusal
    )
    assert [str(error) for error in told] == [store.status.last_refusal]
    assert (store.decide(TEXT, point="never").candidate, store.decide(TEXT).revision) == (DEAR, first)
    third = publish(folder, policy, 3)  # the same policy, released again: nothing was spoilt by the refusal
    assert store.check() and store.decide(TEXT).revision == third == first


def test_a_served_policy_and_its_decisions_cross_to_a_process_that_was_spawned(
    policy: Policy, tmp_path: Path
) -> None:
    publish(tmp_path, policy, 1)
    store = PolicyStore(tmp_path, default=DEFAULT)
    assert store.check()
    decision = store.decide(TEXT, allowed=[CHEAP, MIDDLE], suite="triage")
    # What is called there is the library's or Python's: a process that was spawned need not find this file.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        again = pool.apply(copy.copy, (store.policy,))
        there = pool.apply(store.policy.decide, (TEXT,), {"suite": "maths"})
        back, beyond = pool.apply(copy.copy, (decision,)), pool.apply(decision.next, ("unavailable",))
        with pytest.raises(AttributeError, match="code"):
            pool.apply(setattr, (decision, "code", "forged"))
    assert (again.revision, again.candidates) == (store.policy.revision, store.policy.candidates)
    assert there == store.decide(TEXT, suite="maths") == again.decide(TEXT, suite="maths")
    assert back == decision
    assert beyond == back.next("unavailable") == decision.next("unavailable")


def test_no_way_of_writing_changes_a_decision_or_a_policy(policy: Policy) -> None:
    decision = policy.decide(TEXT)
    parts = [getattr(policy.decide("x", point="never"), name) for name in ("_spec", "_revision")]
    before, said = decision.to_dict(), repr(policy)
    attempts: list[Callable[[], Any]] = [
        lambda: setattr(decision, "code", "forged"),
        lambda: decision.__setattr__("code", "forged"),
        lambda: delattr(decision, "code"),
        lambda: setattr(decision, "__class__", dict),
        lambda: decision.__dict__.update(code="forged"),
        lambda: vars(decision).update(code="forged"),
        lambda: decision.__setstate__({"code": "forged"}),
        lambda: setattr(policy, "revision", "forged"),
        lambda: delattr(policy, "spec"),
        lambda: policy.__init__(parts[0], revision="forged"),  # type: ignore[misc]
    ]
    for attempt in attempts:
        with pytest.raises((AttributeError, TypeError)):
            attempt()
    for handed in (decision.profile.request, decision.measured):  # a copy each: one's own to write into
        handed["arguments"]["reasoning_effort"] = "forged"
    decision.profile.prices.tiers["batch"] = 0.0
    assert decision.profile.prices.tiers["batch"] == 0.5
    assert (
        decision.openai_chat("hi")["reasoning_effort"]
        == policy.decide(TEXT).measured["arguments"]["reasoning_effort"]
        == "low"
    )
    decision.__init__(*parts, 2, "forged")  # type: ignore[misc]  # made by __new__: there is nothing to do again
    assert (decision.to_dict(), repr(policy)) == (before, said)
    assert policy.decide(TEXT) == decision
    for twin in (copy.copy(decision), copy.deepcopy(decision), copy.deepcopy({"a": [decision]})["a"][0]):
        assert twin is decision
    assert copy.copy(policy) is copy.deepcopy(policy) is policy
