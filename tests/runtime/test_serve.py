"""A store answers whatever it is asked, whatever serves: across swaps to policies with other points and candidates."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate, Prices, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.serve import Requires
from router_lab.runtime.store import Challenger, PolicyStore

CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")
DEFAULT, STRANGER = Candidate("default-model"), Candidate("stranger", "high")
SEEN = "the quick brown fox"


@pytest.fixture
def tiny(policy: Policy, tmp_path: Path) -> PolicyStore:
    """A store of `conftest.make_spec`'s policy: points `default` and `never`, candidates cheap (twice) and dear."""
    store = PolicyStore(save_policy(policy, tmp_path / "tiny"), default=DEFAULT)
    assert store.check()
    return store


@pytest.fixture
def empty(tmp_path: Path) -> PolicyStore:
    return PolicyStore(tmp_path / "absent", default=DEFAULT)


def test_a_point_that_the_policy_does_not_have_means_its_default_point_and_is_said(tiny: PolicyStore) -> None:
    decision = tiny.decide(SEEN, point="thrifty")
    # As at `default`; `never` gives the reference.
    assert (decision.candidate, decision.code) == (
        CHEAP,
        "predicted",
    )
    assert decision.unknown_point == decision.evidence["unknown_point"] == "thrifty"
    assert "point 'thrifty' is not in this policy, so its default point decides" in decision.reason
    known = tiny.decide(SEEN, point="never")
    assert (known.candidate, known.unknown_point) == (DEAR, None)
    assert decision.next("unavailable").unknown_point == "thrifty"
    with pytest.raises(PolicyError, match="point 'thrifty' is not one of this policy's: default, never"):
        tiny.policy.decide(SEEN, point="thrifty")


def test_the_known_of_those_allowed_are_chosen_among(tiny: PolicyStore) -> None:
    decision = tiny.decide(SEEN, allowed=[STRANGER, MIDDLE, DEAR])
    # utilities .79 − .20 = .59 and .90 − .50 = .40: middle beats dear by .19 > .05
    assert (decision.candidate, decision.code, decision.fallbacks) == (MIDDLE, "predicted", (DEAR,))
    with pytest.raises(PolicyError, match="every one that the constraints allow was tried"):
        decision.next("unavailable").next("unavailable")


@pytest.mark.parametrize("loaded", [True, False])
def test_allowed_is_never_passed_over(tiny: PolicyStore, empty: PolicyStore, loaded: bool) -> None:
    store = tiny if loaded else empty
    decision = store.decide(
        SEEN, allowed=(pair for pair in [("stranger", "high"), ("other", None)]), point="x"
    )
    assert (decision.candidate, decision.code) == (STRANGER, "outside")
    assert decision.fallbacks == (("other", None),) and decision.constrained
    assert decision.next("unavailable").candidate == ("other", None)
    assert decision.revision == (store.policy.revision if loaded else "default")
    assert f"nobody who is allowed is in {'this policy' if loaded else 'the default'}" in decision.reason
    assert (decision.quality, decision.cost_usd, decision.unmet) == (0.0, 0.0, ())
    with pytest.raises(PolicyError, match="every one was tried"):
        decision.next("refused").next("unavailable")
    with pytest.raises(PolicyError):
        decision.request("hello")  # none was measured
    # The one named in code comes first where it is allowed, wherever it stands.
    again = store.decide(SEEN, allowed=[STRANGER, DEFAULT])
    assert (again.candidate, again.fallbacks) == (DEFAULT, (STRANGER,))
    assert again.code == ("outside" if loaded else "default")


def test_a_set_has_no_first_and_every_process_takes_the_same(empty: PolicyStore) -> None:
    names = {("m" + letter, None) for letter in "zyxwvabcdef"}
    assert empty.decide(SEEN, allowed=names).candidate == ("ma", None)
    assert empty.decide(SEEN, allowed=dict.fromkeys([("mz", None), ("ma", None)])).candidate == ("mz", None)


def test_no_prediction_is_no_bound_that_is_met(empty: PolicyStore) -> None:
    decision = empty.decide(
        SEEN, max_cost_usd=0.5, min_quality=0.1, tiers=("batch",), suite="x", previous=DEFAULT
    )
    assert (decision.candidate, decision.code) == (DEFAULT, "default")
    assert decision.unmet == ("tiers", "min_quality", "max_cost_usd")
    assert "nothing is predicted of it, so max_cost_usd cannot be shown to be met" in decision.reason
    assert decision.unknown_suite is None


def test_what_the_code_knows_of_its_default_is_kept_to(tmp_path: Path) -> None:
    profile = Profile(
        DEFAULT, {"api": "openai_chat", "arguments": {"model": "d"}}, Prices(1, 2, tiers={"batch": 0.5})
    )
    store = PolicyStore(tmp_path, default=profile)
    decision = store.decide("x", tiers=("batch",), allowed=[STRANGER, DEFAULT])
    assert (decision.candidate, decision.tier, decision.unmet) == (DEFAULT, "batch", ())
    assert decision.openai_chat("hello")["model"] == "d"


@pytest.mark.parametrize(("missing", "said"), [
    ({"points": ["thrifty", "never"]}, "point 'thrifty'"),
    ({"candidates": [("dear", None), ("stranger", "high")]}, "candidate stranger @ high"),
    ({"suites": ["maths", "poems"]}, "suite 'poems'"),
    (Requires(points=("thrifty",), suites=("poems",)), "point 'thrifty', suite 'poems'"),
])  # fmt: skip
def test_a_policy_without_what_is_required_is_not_swapped_in(
    policy: Policy, tmp_path: Path, missing: Any, said: str
) -> None:
    told: list[PolicyError] = []
    path, state = save_policy(policy, tmp_path / "tiny"), tmp_path / "state"
    PolicyStore(path, default=DEFAULT, state=state).check()
    store = PolicyStore(path, default=DEFAULT, state=state, requires=missing, on_refused=told.append)
    assert not store.check() and not store.recover()  # nor from what an earlier start of the service kept
    assert store.decide(SEEN).code == "default"
    assert f"lacks what this store requires: {said}" in str(told[0])
    assert PolicyStore(path, default=DEFAULT, requires={"points": ["never"], "candidates": {DEAR}}).check()


def test_a_challenger_must_have_what_the_champion_requires(
    policy: Policy, make_random: Any, tmp_path: Path
) -> None:
    path, rival_path = save_policy(policy, tmp_path / "a"), save_policy(Policy(make_random()), tmp_path / "b")
    seen: list[Any] = []
    rival = PolicyStore(rival_path, default=DEFAULT)
    assert rival.check()  # before anybody required anything
    challenger = Challenger(rival, canary=0.5, shadow=1.0, on_shadow=lambda *both: seen.append(both))
    store = PolicyStore(path, default=DEFAULT, challenger=challenger, requires={"points": ["never"]})
    store.check()
    assert {store.decide(SEEN, key=str(n)).revision for n in range(40)} == {store.policy.revision}
    assert not seen
    late = PolicyStore(rival_path, default=DEFAULT)
    store = PolicyStore(
        path, default=DEFAULT, challenger=Challenger(late, canary=0.5), requires={"points": ["never"]}
    )
    assert not late.check()
    assert "lacks what this store requires: point 'never'" in str(late.status.last_refusal)


@pytest.mark.parametrize("requires", [
    {"point": ["x"]}, {"points": "x"}, {"points": [7]}, {"candidates": ["x"]}, ["x"], {"candidates": 7}, {3: []},
])  # fmt: skip
def test_requirements_that_mean_nothing_are_refused_at_once(tmp_path: Path, requires: Any) -> None:
    with pytest.raises(PolicyError, match="requires"):
        PolicyStore(tmp_path, default=DEFAULT, requires=requires)


class Loud(str):
    """A text whose methods fail."""

    def encode(self, *_: Any) -> bytes:
        raise RuntimeError("encode")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __getitem__(self, *_: Any) -> str:
        raise RuntimeError("item")


class Named(enum.StrEnum):
    FOX = SEEN


class Failing(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise self["error"]


def failing() -> Iterator[Candidate]:
    yield CHEAP
    raise ValueError("no more")


def deep(levels: int) -> Any:
    content: Any = "x"
    for _ in range(levels):
        content = [{"type": "text", "text": content}]
    return content


def three(tiny: PolicyStore, empty: PolicyStore, make_random: Any, tmp_path: Path) -> list[PolicyStore]:
    """Stores of two policies that have nothing in common, and of none."""
    other = PolicyStore(save_policy(Policy(make_random()), tmp_path / "random"), default=DEFAULT)
    assert other.check()
    return [tiny, other, empty]


@pytest.fixture
def stores(tiny: PolicyStore, empty: PolicyStore, make_random: Any, tmp_path: Path) -> list[PolicyStore]:
    return three(tiny, empty, make_random, tmp_path)


@pytest.mark.parametrize("asked", [
    {"prompt": Loud(SEEN)}, {"prompt": Named.FOX}, {"prompt": np.str_(SEEN)}, {"prompt": "\ud800 \udfff"},
    {"prompt": [{"role": "user", "content": Loud(SEEN)}]}, {"prompt": [{"role": "user", "content": deep(5_000)}]},
    {"prompt": "the fox " * 6_250_000}, {"prompt": ({"role": "user", "content": [{"type": "text"}, None, 7]},)},
    {"suite": Loud("maths")}, {"point": Loud("never")}, {"point": "\ud800" * 10_000}, {"key": b"\xff\x00"},
    {"key": Loud("k")}, {"key": "\udc80"}, {"key": ""}, {"allowed": [("\ud800", None)]},
    {"allowed": iter([("stranger", None)])}, {"allowed": [(np.str_("cheap"), np.str_("low"))]},
    {"allowed": [("m" * 100_000, None)]}, {"allowed": [(f"m{n}", None) for n in range(1_000)]},
    {"max_cost_usd": np.float32(0.1)}, {"max_cost_usd": np.int64(3)}, {"max_cost_usd": float("inf")},
    {"context_tokens": 10**400}, {"deadline_s": 10**5_000}, {"tiers": (t for t in ["batch", "moon"])}, {"tiers": []},
    {"previous": ("gone", None), "cached_tokens": 10**6}, {"vector": [1.0, 2.0]}, {"vector": np.full(7, np.nan)},
    {"vector": []}, {"vector": [10**400]}, {"point": "", "suite": ""},
])  # fmt: skip
def test_whatever_a_policy_may_not_know_is_answered(stores: list[PolicyStore], asked: dict[str, Any]) -> None:
    for store in stores:
        given = dict(asked)
        if hasattr(given.get("allowed"), "__next__"):
            given["allowed"] = iter([("stranger", None)])
        if hasattr(given.get("tiers"), "__next__"):
            given["tiers"] = iter(["batch", "moon"])
        decision = store.decide(**({"prompt": SEEN} | given))
        assert isinstance(decision.reason, str) and decision.to_dict()
        if "allowed" in asked and not hasattr(asked["allowed"], "__next__"):
            assert decision.candidate in [
                tuple(map(str, pair)) if pair[1] else pair for pair in asked["allowed"]
            ]


@pytest.mark.parametrize(("asked", "said"), [
    ({"prompt": 7}, "prompt is int"), ({"prompt": (m for m in [])}, "prompt is generator"),
    ({"prompt": [7]}, r"prompt\[0\] is int"), ({"prompt": b"x"}, "prompt is bytes"),
    ({"prompt": [Failing(error=RuntimeError("boom"))]}, "prompt cannot be read: RuntimeError"),
    ({"prompt": [Failing(error=RecursionError("deep"))]}, "prompt cannot be read: RecursionError"),
    ({"point": 7}, "point 7 is not a str"), ({"point": []}, "point"), ({"suite": b"maths"}, "suite"),
    ({"key": 7}, "key 7"), ({"key": bytearray(b"k")}, "key"), ({"allowed": []}, "allowed names no candidate at all"),
    ({"allowed": iter(())}, "allowed names no candidate at all"), ({"allowed": failing}, "not a collection"),
    ({"allowed": "cheap"}, "not a collection"), ({"allowed": CHEAP}, "not a Candidate"),
    ({"allowed": [7]}, "allowed 7"),
    ({"allowed": [("cheap", 3)]}, "str or None"), ({"allowed": [("", None)]}, "str and str"),
    ({"allowed": [("m", "")]}, "str or None"), ({"allowed": [(["x"], None)]}, "str and str"),
    ({"tiers": "standard"}, "tiers"), ({"tiers": [None]}, "tiers"), ({"tiers": 3}, "tiers"),
    ({"max_cost_usd": -0.01}, "max_cost_usd -0.01 is below 0"), ({"max_cost_usd": True}, "is not a number"),
    ({"max_cost_usd": -(10**5_000)}, "max_cost_usd a int is below 0"), ({"min_quality": float("nan")}, "min_quality"),
    ({"deadline_s": "soon"}, "deadline_s"), ({"context_tokens": np.array([3])}, "context_tokens"),
    ({"cached_tokens": -1}, "cached_tokens"), ({"previous": "cheap"}, "previous"), ({"vector": "abc"}, "vector"),
    ({"vector": [[1.0]]}, "vector has the shape"), ({"vector": 3.0}, "vector has the shape"),
])  # fmt: skip
def test_what_no_policy_could_take_is_refused_alike_by_every_one_and_by_none(
    stores: list[PolicyStore], asked: dict[str, Any], said: str
) -> None:
    texts = set()
    for decide in (*(store.decide for store in stores), stores[0].policy.decide):
        with pytest.raises(PolicyError, match=said) as caught:
            decide(**({"prompt": SEEN} | asked))
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_a_generator_is_read_once_and_not_for_ever(stores: list[PolicyStore]) -> None:
    def endless() -> Iterator[tuple[str, None]]:
        while True:
            yield ("m00", None)

    for store in stores:
        with pytest.raises(PolicyError, match="allowed names more than 10,000"):
            store.decide(SEEN, allowed=endless())
        with pytest.raises(PolicyError, match=r"allowed cannot be read: ValueError\('no more'\)"):
            store.decide(SEEN, allowed=failing())
        with pytest.raises(TypeError, match="max_cost"):
            store.decide(SEEN, max_cost=3)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes(stores: list[PolicyStore], interrupt: type[BaseException]) -> None:
    for store in stores:
        with pytest.raises(interrupt):
            store.decide([Failing(error=interrupt())])
    rival = stores[1]

    def stop(*_: Any) -> None:
        raise interrupt

    stores[0]._challenger = Challenger(rival, shadow=1.0, on_shadow=stop)
    with pytest.raises(interrupt):
        stores[0].decide(SEEN)


def test_requests_in_flight_live_through_swaps(make_spec: Any, make_random: Any, tmp_path: Path) -> None:
    """20,000 requests or more by 8 threads, and 50 swaps of policies, so of points, suites, candidates and vectors."""
    policies = [
        Policy(make_spec()),
        Policy(make_spec(name="other", points={"thrifty": (Follow(100.0, 0.0),)}, point="thrifty")),
        Policy(make_random(seed=3)),
        Policy(make_random(seed=4, columns=2, suites=("c",), routes={})),
    ]
    paths = [save_policy(policy, tmp_path / str(number)) for number, policy in enumerate(policies)]
    now = [paths[0]]
    rival = PolicyStore(lambda: now[0], default=DEFAULT)
    store = PolicyStore(lambda: now[0], default=DEFAULT, challenger=Challenger(rival, canary=0.3))
    allowed = [
        None,
        [CHEAP],
        [("m00", None), STRANGER],
        [STRANGER],
        [DEFAULT, STRANGER],
        [DEAR, ("m01", None)],
    ]
    points, suites = [None, "never", "thrifty", "half", "cheap"], [None, "maths", "a", "c", "nobody's"]
    wrong: list[Any] = []
    codes: list[set[str]] = [set() for _ in range(8)]

    swapped = threading.Event()

    def ask(thread: int) -> None:
        for number in itertools.count():
            if number >= 2_500 and swapped.is_set():
                return
            own = allowed[(number + thread) % 6]
            try:
                decision = store.decide(
                    SEEN, point=points[number % 5], suite=suites[number // 5 % 5], allowed=own, previous=MIDDLE,
                    key=str(number), vector=[1.0] * (number % 3) or None,
                )  # fmt: skip
                codes[thread].add(decision.code)
                if own is not None and decision.candidate not in own:
                    wrong.append((own, decision))
            except BaseException as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for number in range(50):
        now[0] = paths[(number + 1) % 4]
        assert store.check()
        rival.check()
    swapped.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.status.refused == 0
    assert {"outside", "predicted"} <= set().union(*codes)
