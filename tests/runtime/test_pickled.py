"""Policies and decisions in other processes of one's own: the same answers, and nothing that could be changed."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.artifact import encode_policy, load_policy, save_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, Prices, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore
from router_lab.runtime.vectors import VectorScale

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
TEXTS = ["", "the quick brown fox", "What is 12 × 7?", "\ud800 日本語"]
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def through(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  # written a moment ago


def after(decision: Decision, failure: str) -> Decision | str:
    try:
        return decision.next(failure)
    except PolicyError as error:
        return str(error)


def later() -> float:
    return 1e12


def answers(policy: Policy) -> list[dict[str, Any]]:
    return [
        policy.decide(t, suite=s, point=p).to_dict()
        for t in TEXTS
        for s in (None, "a")
        for p in policy.spec.points
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["v1/identity", "v2/vector"])
def test_a_policy_comes_out_of_a_pickle_as_it_went_in(name: str, protocol: int) -> None:
    policy = load_policy(GOLDEN / name)
    again = through(policy, protocol)
    assert (again.revision, again.candidates, again._clock) == (policy.revision, policy.candidates, time.time)
    assert answers(again) == answers(policy)
    assert encode_policy(again) == encode_policy(policy)
    for array in (again.spec.linear.weights, again.spec.linear.bias, again.spec.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_policy_decides_in_processes_that_were_spawned(random_policy: Policy) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        decisions = pool.map(random_policy.decide, TEXTS)
    assert decisions == [random_policy.decide(text) for text in TEXTS]


def test_a_clock_comes_along_or_the_error_says_what_to_do(make_spec: Any) -> None:
    spec = make_spec(expires="2030-01-01")
    assert through(Policy(spec, clock=later)).decide("x").code == "expired"
    odd = Policy(spec, revision="r", clock=lambda: 1e12)
    with pytest.raises(
        PolicyError, match=r"the clock of policy 'tiny' cannot be pickled .* top of a module.*renewed"
    ):
        pickle.dumps(odd)
    assert through(odd.renewed(revision=odd.revision)).decide("x").revision == "r"
    for twin in (copy.copy(odd), copy.deepcopy(odd), copy.deepcopy([odd])[0]):
        assert twin is odd  # it never changes, so that one is as good as two


def test_views_that_pickle_cannot_take_are_taken(make_spec: Any) -> None:
    view = MappingProxyType
    request = view({"api": "openai_chat", "arguments": view({"model": "m", "few": [view({"a": 1})]})})
    profile = Profile(
        Candidate("m"), request, Prices(1.0, 2.0, tiers=view({"batch": 0.5})), tier_seconds=view({})
    )
    spec = make_spec(
        profiles=(profile, Profile(Candidate("n")), Profile(Candidate("o"))), certificate=view({"n": view({"k": 1})}),
        points=view(dict(make_spec().points)), routes=view({}), provenance=view({"seed": 1}),
    )  # fmt: skip
    policy = Policy(spec)
    again = through(policy)
    assert again.decide("the fox") == policy.decide("the fox")
    decision = through(policy.decide("the fox", allowed=[("m", None)]))
    assert decision.openai_chat("hi")["few"] == [{"a": 1}]
    assert through(Profile(Candidate("n"))) == Profile(Candidate("n"))
    assert copy.deepcopy(Profile(Candidate("n"))) == Profile(Candidate("n"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_decision_keeps_all_it_can_say_and_do(make_spec: Any, protocol: int) -> None:
    policy = Policy(make_spec(escalation=(0, 1, 2)), revision="r" * 64)
    asked = [
        {}, {"suite": "maths", "allowed": [("cheap", "low"), ("dear", None)]}, {"suite": "nobody's", "key": "k"},
        {"max_cost_usd": 1e-9, "tiers": ("batch", "standard"), "deadline_s": 9e9}, {"point": "never"},
    ]  # fmt: skip
    for arguments in asked:
        decision = policy.decide("the quick brown fox", **arguments)
        again = through(decision, protocol)
        assert (again, hash(again), repr(again)) == (decision, hash(decision), repr(decision))
        for failure in ("check", "unavailable", "context"):
            assert after(again, failure) == after(decision, failure)
        assert (again.profile, again.limits, again.evidence) == (
            decision.profile,
            decision.limits,
            decision.evidence,
        )
        assert again.request("hello") == decision.request("hello")
        assert copy.deepcopy(decision) is copy.copy(decision) is decision


def test_a_pickled_decision_leaves_the_weights_behind(make_random: Any) -> None:
    policy = Policy(make_random(certificate={"x": "y" * 100_000}))
    size = len(pickle.dumps(policy.decide("hello")))
    assert size < 20_000 < len(pickle.dumps(policy))


def test_a_stores_decisions_too(make_random: Any, tmp_path: Path) -> None:
    store = PolicyStore(save_policy(Policy(make_random()), tmp_path / "p"), default=("d", None))
    for _ in range(2):
        for asked in ({}, {"point": "gone"}, {"allowed": [("x", None), ("y", "low")]}):
            decision = store.decide("hello", **asked)
            again = through(decision)
            assert (again, again.unknown_point) == (decision, decision.unknown_point)
            assert again.reason == decision.reason and again.fallbacks == decision.fallbacks
        store.check()
    with pytest.raises(PolicyError, match="make one in each process"):
        pickle.dumps(store)


def test_what_was_loaded_never_runs_a_pickle() -> None:
    """Loading and deciding need no pickle at all: a program can forbid it."""
    code = (
        "import pickle, sys\n"
        "def refuse(*_, **__): raise SystemExit('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        f"import router_lab; print(router_lab.load_policy({str(GOLDEN / 'v2/vector')!r}).decide('x').revision)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == load_policy(GOLDEN / "v2/vector").revision, done.stderr


@pytest.mark.parametrize("name", [*Decision.__slots__, "model", "reason", "anything"])
def test_no_attribute_of_a_decision_can_be_written(policy: Policy, name: str) -> None:
    for decision in (
        policy.decide("the fox", allowed=[("dear", None)]),
        through(policy.decide("x")),
    ):
        before = decision.to_dict()
        with pytest.raises(AttributeError, match="never changes"):
            setattr(decision, name, "x")
        with pytest.raises(AttributeError, match="never changes"):
            delattr(decision, name)
        assert decision.to_dict() == before


def test_nor_what_is_inside(policy: Policy) -> None:
    for decision in (
        policy.decide("the fox"),
        policy.decide("the fox", allowed=[("dear", None)], tiers=["batch"]),
    ):
        for made in (decision, decision.next("unavailable") if decision.fallbacks else decision):
            for parts in [made._quality, made._cost, *([] if made._field is None else made._field[:2])]:
                assert type(parts) is tuple
        decision.evidence["unmet"].append("x")
        assert decision.unmet == ()


def test_vectors_are_pickled(make_spec: Any) -> None:
    spec = make_spec()
    linear = Linear.constant(np.zeros((3, 6)), np.zeros((2, 3)), VectorScale(np.zeros(4), np.ones(4)))
    policy = Policy(dataclasses.replace(spec, linear=linear))
    again = through(policy)
    assert again.vector_length == 4
    assert again.decide("x", vector=[1, 2, 3, 4]) == policy.decide("x", vector=[1, 2, 3, 4])
