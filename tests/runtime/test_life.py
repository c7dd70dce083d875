"""Who retires, whom a suite is kept to, and what is explored: the rules turned over, and chance by its numbers."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.chains import Stage
from router_lab.runtime.decisions import DecisionLog, read_decisions
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate, Route
from router_lab.runtime.odds import begun_odds, encoded, explores
from router_lab.runtime.points import Assign, Cascade, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

SEEN = "the quick brown fox jumps over the lazy dog"
UNSEEN = "zyx wvu tsr qpo nml kji hgf edc"
CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")
DAY = 1_800_000_000.0 - 1_800_000_000.0 % 86_400  # 2027-01-15
ON = "2027-01-15"


def at(spec: Any, seconds: float = 0.0) -> Policy:
    return Policy(spec, clock=lambda: seconds)


# Retirement


def test_a_candidate_serves_until_the_last_second_before_it_retires(make_spec: Any) -> None:
    spec = make_spec(retires=(ON, None, None))
    before, after = at(spec, DAY - 0.001), at(spec, DAY)
    assert before.decide(SEEN).candidate == CHEAP
    assert before.decide(SEEN).next("refused").next("refused").candidate == MIDDLE
    # Utility .59 of the middle one, and .40 of the reference: ahead by .19, more than the guard.
    decision = after.decide(SEEN)
    assert (decision.candidate, decision.code, decision.fallbacks) == (MIDDLE, "predicted", (DEAR,))


@pytest.mark.parametrize(
    ("successor", "then", "how"), [(0, CHEAP, "the one named"), (None, MIDDLE, "the next")]
)
def test_who_takes_the_references_place(
    make_spec: Any, successor: int | None, then: Candidate, how: str
) -> None:
    points = {"default": (Follow(100.0, 0.5),)}
    spec = make_spec(retires=(None, None, ON), successor=successor, points=points)
    assert at(spec, DAY - 1).decide(SEEN).candidate == DEAR
    decision = at(spec, DAY).decide(SEEN)
    assert (decision.candidate, decision.code) == (then, "retired")
    assert decision.reason == f"in the place of the reference, dear, which retired on {ON}: {how} for that"
    assert DEAR not in decision.fallbacks and decision.evidence["reference_quality"] == decision.quality


def test_predictions_are_then_compared_with_who_stands_in_its_place(make_spec: Any) -> None:
    """.60 against .59 beats no guard of .05, but one of .005; had anybody been best, that were no comparison."""
    for guard, who in ((0.05, MIDDLE), (0.005, CHEAP)):
        spec = make_spec(retires=(None, None, ON), points={"default": (Follow(100.0, guard),)})
        assert at(spec, DAY).decide(SEEN).candidate == who


def test_whom_the_policy_names_falls_to_the_reference(make_spec: Any) -> None:
    chains = ((Stage(0),),)
    points = {
        "default": (Assign((0, 0, 0)),), "chain": (Cascade((0, 0, 0), 1.0),), "table": (Follow(100.0, 0.5),),
    }  # fmt: skip
    spec = make_spec(retires=(ON, None, None), points=points, chains=chains, coverage=0.5)
    for point, text in (("default", SEEN), ("chain", SEEN), ("table", UNSEEN)):
        suite = "triage"  # of which the routing table names the cheap one
        assert at(spec, DAY - 1).decide(text, suite=suite, point=point).candidate == CHEAP
        decision = at(spec, DAY).decide(text, suite=suite, point=point)
        assert (decision.candidate, decision.code, decision.chain) == (DEAR, "retired", ())
        assert f"instead of cheap @ low, which retired on {ON}" in decision.reason


def test_a_chain_goes_on_without_a_stage_that_retired(make_spec: Any) -> None:
    chains = ((Stage(0), Stage(1), Stage(2)),)
    spec = make_spec(retires=(None, ON, None), points={"default": (Cascade((0, 0, 0), 1.0),)}, chains=chains)
    asked = at(spec, DAY).decide(SEEN, suite="maths")
    onward = asked.judge("no", check=False)
    assert asked.candidate == CHEAP and onward is not None and onward.candidate == DEAR


def test_an_expired_policy_whose_reference_retired_serves_who_comes_after(make_spec: Any) -> None:
    spec = make_spec(expires="2027-01-01", retires=(None, None, ON), successor=0)
    decision = at(spec, DAY).decide(SEEN)
    assert (decision.candidate, decision.code) == (CHEAP, "expired")
    assert decision.reason.startswith(
        "in the place of the reference, dear, which retired on 2027-01-15: the policy expired"
    )


def test_a_request_that_allows_the_retired_alone_is_told_so(make_spec: Any) -> None:
    """`allowed` always holds: nobody else serves."""
    decision = at(make_spec(retires=(ON, None, None)), DAY).decide(SEEN, allowed=[CHEAP])
    assert (decision.candidate, decision.unmet, decision.fallbacks) == (CHEAP, ("retires",), ())
    assert decision.reason.endswith("; everybody who is allowed has retired")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nobody_serves_after_his_day(make_random: Any, data: st.DataObject) -> None:
    days = data.draw(st.lists(st.sampled_from([None, "2027-01-15", "2027-06-01"]), min_size=5, max_size=5))
    days[data.draw(st.integers(0, 4))] = None
    spec = make_random(retires=tuple(days) if any(days) else (), explore={"half": 0.5}, routes={})
    moment = data.draw(st.sampled_from([DAY - 1, DAY, DAY + 400 * 86_400]))
    gone = [
        day is not None and (day <= "2027-01-15" if moment < DAY + 86_400 else True) and moment >= DAY
        for day in days
    ]
    decision = at(spec, moment).decide(
        data.draw(st.text(max_size=30)), suite=data.draw(st.sampled_from([None, "a", "b"])), key=data.draw(st.text()),
        min_quality=data.draw(st.sampled_from([None, 0.99])), max_cost_usd=data.draw(st.sampled_from([None, 0.0])),
    )  # fmt: skip
    asked = [decision.candidate, *decision.fallbacks]
    left = [who for who, lost in zip(spec.candidates, gone, strict=True) if not lost]
    assert set(asked) <= set(left)
    with pytest.raises(PolicyError):
        for _ in spec.candidates:
            decision = decision.next("unavailable")
            assert decision.candidate in left


# A suite that is kept to some

KEPT = {"triage": (1, 0)}


def test_a_kept_suite_is_served_by_its_own_alone(make_spec: Any) -> None:
    policy = at(make_spec(allowed=KEPT, points={"default": (Follow(100.0, 0.5),)}))
    inside, outside = (policy.decide(SEEN, suite=suite) for suite in ("triage", "maths"))
    # The reference may not serve it, so the first who may stands in its place.
    assert (inside.candidate, inside.code, inside.fallbacks) == (MIDDLE, "reference", (CHEAP,))
    assert (
        inside.reason == "the reference of this suite: nobody is predicted to beat it by more than the guard"
    )
    assert inside.evidence["reference_quality"] == inside.quality
    assert (outside.candidate, outside.fallbacks) == (DEAR, (MIDDLE, CHEAP))
    assert policy.decide(SEEN).candidate == DEAR


def test_one_of_them_that_does_not_fit_is_better_than_anybody_else(make_spec: Any) -> None:
    policy = at(make_spec(allowed={"triage": (0,)}))
    for asked, unmet in (
        ({"context_tokens": 100_000}, ("context_tokens",)), ({"min_quality": 0.95}, ("min_quality",)),
        ({"max_cost_usd": 0.0}, ("max_cost_usd",)), ({"tiers": ("priority",)}, ("tiers",)),
        ({"deadline_s": 0.5}, ("deadline_s",)), ({"allowed": [DEAR]}, ("allowed",)),
        ({"allowed": [("nobody", None)]}, ("allowed",)),
    ):  # fmt: skip
        decision = policy.decide(SEEN, suite="triage", **asked)
        assert (decision.candidate, decision.unmet, decision.fallbacks) == (CHEAP, unmet, ())
    assert "one of these serves" in policy.decide(SEEN, suite="triage", allowed=[DEAR]).reason
    with pytest.raises(PolicyError, match="names no candidate"):
        policy.decide(SEEN, suite="maths", allowed=[("nobody", None)])


def test_the_caller_may_narrow_what_is_kept(make_spec: Any) -> None:
    policy = at(make_spec(allowed=KEPT))
    decision = policy.decide(SEEN, suite="triage", allowed=[CHEAP, DEAR])
    assert (decision.candidate, decision.unmet, decision.fallbacks) == (CHEAP, (), ())


def test_what_holds_for_every_request_constrains_none(make_spec: Any) -> None:
    """Who retired, and whom the suite is kept to, a log's reader knows from the policy; bounds of a request, nobody."""
    kept, gone = at(make_spec(allowed=KEPT)), at(make_spec(retires=(ON, None, None)), DAY)
    assert not kept.decide(SEEN, suite="triage").constrained
    assert not kept.decide(SEEN, suite="triage", allowed=[CHEAP, MIDDLE, DEAR]).constrained
    assert kept.decide(SEEN, suite="triage", allowed=[MIDDLE]).constrained
    assert not gone.decide(SEEN).constrained and gone.decide(SEEN, allowed=[DEAR]).constrained
    assert not gone.decide(SEEN, allowed=[MIDDLE, DEAR]).constrained
    assert (
        gone.decide(SEEN, allowed=[CHEAP]).constrained and gone.decide(SEEN, max_cost_usd=0.003).constrained
    )


def test_a_failed_check_stays_within_the_suite(make_spec: Any) -> None:
    decision = at(make_spec(allowed=KEPT, escalation=(2,))).decide(SEEN, suite="triage", key="x")
    asked = [decision.candidate]
    while (later := decision.judge("no", check=False)) is not None:
        decision = later
        asked.append(decision.candidate)
    assert set(asked) == {CHEAP, MIDDLE}


def test_a_store_keeps_to_it_whatever_is_asked(make_spec: Any, tmp_path: Path) -> None:
    save_policy(at(make_spec(allowed=KEPT)), tmp_path / "p")
    store = PolicyStore(tmp_path / "p", default=("cloud", None))
    assert store.check()
    decision = store.decide(SEEN, suite="triage", allowed=[("cloud", None)])
    assert decision.candidate in (CHEAP, MIDDLE) and decision.unmet == ("allowed",)
    assert store.decide(SEEN, suite="maths", allowed=[("cloud", None)]).code == "outside"


def test_a_store_says_when_what_serves_is_over(make_spec: Any, tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "p", default=("cloud", None))
    assert (store.status.policy_expires, store.status.retires) == (None, None)
    save_policy(at(make_spec(retires=("2027-06-01", None, ON), expires="2027-09-01")), tmp_path / "p")
    assert store.check()
    assert (store.status.policy_expires, store.status.retires) == ("2027-09-01", ON)


def test_a_store_refuses_a_policy_that_lets_others_in(make_spec: Any, tmp_path: Path) -> None:
    save_policy(at(make_spec(allowed=KEPT)), tmp_path / "kept")
    save_policy(at(make_spec()), tmp_path / "open")
    for folder, own, fits in (
        ("kept", [CHEAP, MIDDLE, DEAR], True), ("kept", [MIDDLE, CHEAP], True), ("kept", [MIDDLE], False),
        ("open", [MIDDLE, CHEAP], False), ("open", [MIDDLE, CHEAP, DEAR], True),
    ):  # fmt: skip
        store = PolicyStore(tmp_path / folder, default=DEAR, requires={"allowed": {"triage": own}})
        assert store.check() is fits
        assert fits or "that 'triage' is kept to " in str(store.status.last_refusal)
    both = PolicyStore(
        tmp_path / "kept", default=DEAR, requires={"allowed": {"maths": [DEAR]}}
    )._serving.requires
    assert both.both(both) == both
    with pytest.raises(PolicyError, match="not a mapping of suites"):
        PolicyStore(tmp_path / "kept", default=DEAR, requires={"allowed": ["triage"]})


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nobody_else_ever_serves_a_kept_suite(make_random: Any, data: st.DataObject) -> None:
    own = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True)))
    spec = make_random(allowed={"a": own}, explore={"half": 0.5}, routes={})
    decision = at(spec).decide(
        data.draw(st.text(max_size=30)), suite="a", key=data.draw(st.text()),
        allowed=data.draw(st.one_of(st.none(), st.lists(st.sampled_from(spec.candidates), min_size=1))),
        previous=data.draw(st.one_of(st.none(), st.sampled_from(spec.candidates))), cached_tokens=10**6,
        min_quality=data.draw(st.sampled_from([None, 0.99])),
    )  # fmt: skip
    for _ in range(5):
        assert spec.candidates.index(decision.candidate) in own
        try:
            decision = decision.next("unavailable")
        except PolicyError:
            break


# Exploration


def test_the_draw_is_a_hash_of_its_own(make_spec: Any) -> None:
    digest = hashlib.sha256(b"explore:k").digest()
    share = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    assert explores(b"k", share) is None and explores(encoded("k"), share + 2**-53) == int.from_bytes(
        digest[8:16], "big"
    )
    policy = at(make_spec(explore={"default": 0.5}))
    drawn, plain = (
        policy.decide(SEEN, key="k"),
        at(make_spec(points={"default": (Follow(100.0, 0.05, 0.5),)})),
    )
    assert drawn.draw == hashlib.sha256(b"mix:k").hexdigest()[32:48] == plain.decide(SEEN, key=b"k").draw


def test_the_probabilities_by_hand(make_spec: Any) -> None:
    """Mix .5 of the cheap one, .3 explored among three: .7 × .5 + .1 = .45 each for it and the reference, .1 between."""
    policy = at(make_spec(points={"default": (Follow(100.0, 0.05, 0.5),)}, explore={"default": 0.3}))
    expected = {CHEAP: 0.45, MIDDLE: 0.1, DEAR: 0.45}
    assert policy.shares([SEEN])[0].tolist() == pytest.approx([0.45, 0.1, 0.45], abs=1e-15)
    codes = Counter()
    for key in range(300):
        decision = policy.decide(SEEN, key=str(key))
        assert decision.propensity == pytest.approx(expected[decision.candidate], abs=1e-15)
        assert decision.explored == (decision.code == "explored")
        codes[decision.code] += 1
    assert set(codes) == {"explored", "predicted", "mixed"}
    # Without the reference all goes to the best of the rest but for what is explored among two.
    assert policy.decide(SEEN, allowed=[CHEAP, MIDDLE], key="0").propensity in (
        pytest.approx(0.85),
        pytest.approx(0.15),
    )


def test_nothing_drawn_is_certain(make_spec: Any) -> None:
    plain = at(make_spec()).decide(SEEN)
    assert (plain.propensity, plain.draw, plain.explored) == (1.0, "", False)
    exploring = at(make_spec(explore={"default": 0.3})).decide(SEEN, point="never")
    assert (exploring.propensity, exploring.draw) == (1.0, "")
    expired = at(make_spec(expires="2027-01-01", explore={"default": 0.99}), DAY)
    assert {expired.decide(SEEN, key=str(k)).code for k in range(20)} == {"expired"}
    assert expired.decide(SEEN).propensity == 1.0


def test_without_a_key_the_text_draws(make_spec: Any) -> None:
    policy = at(make_spec(explore={"default": 0.5}))
    first, again = policy.decide(SEEN), policy.decide(SEEN)
    assert (first.candidate, first.draw) == (again.candidate, again.draw)
    assert first.draw == policy.decide(UNSEEN, key=SEEN).draw != policy.decide(UNSEEN).draw


def test_exploration_moves_no_conversation(make_spec: Any) -> None:
    """Who serves it stays where his own draw comes up; nobody else's does: .7/3 explored at most, greedy else."""
    policy = at(make_spec(explore={"default": 0.7}))
    seen = Counter()
    for key in range(400):
        decision = policy.decide(SEEN, key=str(key), previous=MIDDLE)
        seen[decision.candidate, decision.explored] += 1
        own = 0.7 / 3 if decision.candidate == MIDDLE else 1 - 0.7 / 3
        assert decision.propensity == pytest.approx(own)
    assert set(seen) == {(MIDDLE, True), (CHEAP, False)}


def test_only_those_who_may_be_chosen_are_explored(make_spec: Any) -> None:
    eligible = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]], bool)
    policy = at(make_spec(explore={"default": 0.9}, eligible=eligible))
    asked = {policy.decide(SEEN, suite="maths", key=str(k)).candidate for k in range(100)}
    assert asked == {MIDDLE, DEAR}


def test_who_stands_in_the_references_place_is_always_among_them(make_spec: Any) -> None:
    eligible = np.array([[0, 1, 1]] * 3, bool)
    policy = at(
        make_spec(explore={"default": 0.9}, eligible=eligible, retires=(None, None, ON), successor=0), DAY
    )
    assert {policy.decide(SEEN, key=str(k)).candidate for k in range(60)} == {CHEAP, MIDDLE}


def binomial_bounds(n: int, p: float, error: float = 1e-6) -> tuple[int, int]:
    """The counts outside of which n draws of probability p fall with probability `error` at most, on each side."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    mass = [math.exp(c + k * math.log(p) + (n - k) * math.log1p(-p)) for k, c in enumerate(logs)]
    low = next(k for k, total in enumerate(np.cumsum(mass)) if total > error)
    high = n - next(k for k, total in enumerate(np.cumsum(mass[::-1])) if total > error)
    return low, high


@pytest.mark.parametrize("allowed", [None, [0, 2, 4]])
def test_many_keys_fall_as_the_propensities_say(make_random: Any, allowed: list[int] | None) -> None:
    point = (Follow(30.0, 0.0, 0.2), Assign((4, 1, 2), 0.35), Follow(5.0, 0.02, 0.15))
    policy = at(make_random(points={"half": point}, explore={"half": 0.2}))
    asked = {} if allowed is None else {"allowed": [policy.candidates[i] for i in allowed]}
    said: dict[Candidate, float] = {}
    counts: Counter[Candidate] = Counter()
    for key in range(1500):
        decision = policy.decide("hello there", suite="a", key=f"key {key}", **asked)
        counts[decision.candidate] += 1
        said[decision.candidate] = decision.propensity
    assert sum(said.values()) == pytest.approx(1.0, abs=1e-12)  # each has come up
    for who, count in counts.items():
        low, high = binomial_bounds(1500, said[who])
        assert low <= count <= high


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_propensities_of_all_candidates_sum_to_one(make_random: Any, data: st.DataObject) -> None:
    share = st.sampled_from([0.05, 0.1, 0.25])
    pieces = data.draw(st.lists(st.one_of(
        st.builds(Follow, st.sampled_from([0.0, 5.0, 30.0]), st.sampled_from([0.0, 0.02]), share),
        st.builds(lambda a, b, c, s: Assign((a, b, c), s), *[st.integers(0, 4)] * 3, share),
    ), min_size=1, max_size=4))  # fmt: skip
    explore = data.draw(st.sampled_from([0.0, 0.02, 0.9]))
    spec = make_random(
        points={"half": tuple(pieces)},
        explore={"half": explore} if explore else {},
        allowed={"b": (0, 3, 4)},
        routes={},
    )
    if any(isinstance(one, Assign) and one.table[2] not in (0, 3, 4) for one in pieces):
        return
    policy = at(spec)
    asked = {
        "suite": data.draw(st.sampled_from([None, "a", "b"])),
        "allowed": data.draw(st.one_of(st.none(), st.just([spec.candidates[0], spec.candidates[3]]))),
        "previous": data.draw(st.one_of(st.none(), st.sampled_from(spec.candidates))),
        "min_quality": data.draw(st.sampled_from([None, 0.5])),
    }
    text = data.draw(st.text(max_size=20))
    said: dict[Candidate, float] = {}
    odds = None
    for key in range(30):
        decision = policy.decide(text, key=str(key), **asked)
        assert 0 < decision.propensity <= 1 + 1e-12
        assert said.setdefault(decision.candidate, decision.propensity) == decision.propensity
        chance: Any = decision._odds
        odds = chance.rule.odds(chance.point, chance.case) if decision.draw else odds
    assert odds is None or (odds.min() >= 0 and odds.sum() == pytest.approx(1.0, abs=1e-12))
    if (
        asked == {"suite": asked["suite"], "allowed": None, "previous": None, "min_quality": None}
        and odds is not None
    ):
        assert policy.shares([text], [asked["suite"]])[0] == pytest.approx(odds, abs=1e-12)
        apart = policy.stretches([text], [asked["suite"]]).by_chain(len(spec.profiles), len(spec.chains))
        assert begun_odds(decision).sum(axis=0) == pytest.approx(odds) and begun_odds(decision)[
            0
        ] == pytest.approx(apart[0])


def test_a_later_answer_keeps_the_propensity_of_the_first(make_spec: Any) -> None:
    policy = at(make_spec(explore={"default": 0.6}))
    first = next(d for d in (policy.decide(SEEN, key=str(k)) for k in range(50)) if d.explored)
    later = first.next("unavailable")
    assert later.propensity == first.propensity and later.draw == first.draw and not later.explored
    again = pickle.loads(pickle.dumps(first))  # noqa: S301  # written a moment ago
    assert (again, again.propensity, again.draw, again.explored) == (
        first,
        first.propensity,
        first.draw,
        True,
    )


def test_a_row_of_the_log_says_what_chance_did(make_spec: Any, tmp_path: Path) -> None:
    policy = at(make_spec(explore={"default": 0.6}))
    drawn = [policy.decide(SEEN, key=str(k)) for k in range(12)]
    log = DecisionLog(tmp_path / "log.jsonl")
    for number, decision in enumerate(drawn):
        log.write(decision, id=number)
    log.write(drawn[0].next("refused"), after=0)
    log.write(at(make_spec()).decide(SEEN), id="plain")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for decision, row in zip(drawn, rows, strict=False):
        assert row["propensity"] == decision.propensity and row["draw"] == decision.draw
        assert row.get("explored", False) is decision.explored
    assert not {"propensity", "explored", "draw"} & rows[-2].keys() and rows[-2]["kind"] == "stage"
    assert rows[-1]["propensity"] == 1.0 and not {"explored", "draw"} & rows[-1].keys()
    assert next(iter(read_decisions(tmp_path / "log.jsonl")))["propensity"] == drawn[0].propensity
    DecisionLog(tmp_path / "masked.jsonl", mask=["draw"]).write(drawn[0])
    assert "draw" not in json.loads((tmp_path / "masked.jsonl").read_text())


# The artifact

LIFE: dict[str, Any] = {
    "retires": (None, ON, "2027-06-01"), "successor": 0, "allowed": {"triage": (1, 0)}, "explore": {"default": 0.02},
}  # fmt: skip


@pytest.mark.parametrize(
    "keys", [("retires",), ("retires", "successor"), ("allowed",), ("explore",), tuple(LIFE)]
)
def test_version_6_is_written_only_where_it_says_something(
    make_spec: Any, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    spec = make_spec(**{key: LIFE[key] for key in keys})
    loaded = load_policy(save_policy(at(spec), tmp_path / "p"))
    value = json.loads((tmp_path / "p" / "policy.json").read_text())
    assert value["schema_version"] == 6 and {*value} & {*LIFE} == {*keys}
    for key in keys:
        assert getattr(loaded.spec, key) == LIFE[key]
    save_policy(at(make_spec()), tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / "policy.json").read_text())["schema_version"] == 1
    value["schema_version"] = 5
    (tmp_path / "p" / "policy.json").write_text(json.dumps(value))
    with pytest.raises(PolicyError):
        load_policy(tmp_path / "p", verify="off")


@pytest.mark.parametrize(("changes", "message"), [
    ({"retires": (ON, ON)}, "a date or null for each of 3"), ({"retires": ("soon", None, None)}, "'soon' of cheap @ low"),
    ({"retires": ("20270115", None, None)}, "is not a date"), ({"retires": (ON, ON, ON)}, "every candidate retires"),
    ({"successor": 0}, "which never retires"), ({"retires": (None, None, ON), "successor": 2}, "itself named"),
    ({"retires": (ON, None, ON), "successor": 0}, "no later than the reference"),
    ({"retires": (None, None, ON), "successor": 7}, "not a column of 3"),
    ({"allowed": {"elsewhere": (0,)}}, "not among the suites"), ({"allowed": {"maths": ()}}, "each once"),
    ({"allowed": {"maths": (0, 0)}}, "each once"), ({"allowed": {"maths": (3,)}}, "3 is not a column"),
    ({"allowed": {"maths": (0,)}, "retires": (ON, None, None)}, "every one of them retires"),
    ({"allowed": {"triage": (1,)}}, "its route is to cheap @ low"),
    ({"allowed": {"maths": (0,)}, "points": {"default": (Assign((1, 1, 1)),)}}, "assigns cheap @ max"),
    ({"allowed": {"maths": (0, 1)}, "chains": ((Stage(0), Stage(2)),), "points": {"default": (Cascade((0, 0, 0), 1.0),)}},
     "chain 0 asks somebody"),
    ({"explore": {"other": 0.1}}, "not among the points"), ({"explore": {"default": 0.0}}, "above 0 and below 1"),
    ({"explore": {"default": 1.0}}, "above 0 and below 1"), ({"explore": {"default": float("nan")}}, "above 0 and below 1"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(make_spec: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        at(make_spec(**changes))


@pytest.mark.parametrize(("key", "value"), [
    ("retires", None), ("retires", []), ("retires", [None, None, None]), ("retires", "x"), ("successor", None),
    ("successor", 0.0), ("allowed", {}), ("allowed", []), ("allowed", {"maths": [0.5]}), ("explore", {}),
    ("explore", {"default": "1"}), ("explore", 0.1), ("explores", 0.1),
])  # fmt: skip
def test_forged_keys_are_refused(make_spec: Any, tmp_path: Path, key: str, value: Any) -> None:
    save_policy(at(make_spec(**LIFE)), tmp_path / "p")
    path = tmp_path / "p" / "policy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(tmp_path / "p", verify="off")


def test_the_self_test_explores(make_spec: Any) -> None:
    from router_lab.runtime.golden import answers

    codes = Counter(row["code"] for row in answers(at(make_spec(explore={"default": 0.02}))))
    assert codes["explored"] >= 3
    assert not any("propensity" in row for row in answers(at(make_spec())))


def test_a_reference_that_is_kept_out_takes_no_table_with_it(make_spec: Any) -> None:
    """A table that names the reference means its place; a route, too."""
    points = {"default": (Assign((2, 2, 2)),), "far": (Follow(100.0, 0.5),)}
    routes = {"triage": Route(2, "pass")}
    policy = at(make_spec(allowed=KEPT, points=points, routes=routes))
    assert policy.decide(SEEN, suite="triage").candidate == MIDDLE
    assert policy.decide(UNSEEN, suite="triage", point="far").candidate == MIDDLE
    assert policy.shares([SEEN, UNSEEN], ["triage"] * 2).tolist() == [[0.0, 1.0, 0.0]] * 2
    assert policy.shares([UNSEEN], ["triage"], "far").tolist() == [[0.0, 1.0, 0.0]]
