"""Decisions that walk a chain, by hand on `make_spec` (conftest): cheap .70 for $.001, middle .79 for $.002 and the dear
reference .90 for $.005; and what holds for all of them."""

from __future__ import annotations

import dataclasses
import pickle
import random
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_lab.runtime.answers import FEATURES
from router_lab.runtime.chains import Chain, Judge, Stage, Term, UnderCap
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate, Limits, Profile
from router_lab.runtime.odds import begun_odds
from router_lab.runtime.points import Assign, Cascade, Follow, described, pieces_described
from router_lab.runtime.policy import Policy
from router_lab.runtime.rule import draw

SEEN, UNSEEN = "the quick brown fox jumps over the lazy dog", "zyx wvu tsr qpo nml kji hgf edc"
CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")
KNOTS = (-1.0, 0.0)


def rows(*heights: list[float]) -> np.ndarray:
    """The same for no known suite and both that are."""
    return np.array([heights] * 3)


FIRST = Judge(
    (1, 2), ("logprob",), np.zeros((3, 2)), (Term("signal:logprob", KNOTS, rows([0.5, 0.0], [0.75, 0.0])),)
)
"""At −1 middle adds .5 and dear .75, at 0 neither."""
SECOND = Judge((2,), (), np.full((3, 1), 0.25), (Term("agrees", (0.0, 1.0), rows([0.0, -0.5])),))
"""dear adds .25, but −.25 where middle says what cheap said."""
CHAIN: Chain = (Stage(0, FIRST, 0.004), Stage(1, SECOND), Stage(2))
CASCADE = Cascade((0, 0, None), 100.0)


def made(make_spec: Any, *pieces: Any, chains: tuple[Chain, ...] = (CHAIN,), **changes: Any) -> Policy:
    return Policy(make_spec(points={"default": pieces or (CASCADE,)}, chains=chains, **changes))


@pytest.fixture
def begun(make_spec: Any) -> Decision:
    return made(make_spec).decide(SEEN, suite="maths")


def told(decision: Decision | None) -> tuple[Candidate, str] | None:
    return None if decision is None else (decision.candidate, decision.code)


HALF = UnderCap((1,), (0.5,), (0.75,))
"""Of the suite maths, half of the dollars and three quarters of the quality."""
CAPPED: Chain = (Stage(1, None, 0.004, None, HALF),)


def test_what_is_predicted_under_a_cap_is_of_a_run_that_is_stopped_there(make_spec: Any) -> None:
    policy = made(make_spec, chains=(CAPPED,))
    decision = policy.decide(SEEN, suite="maths")
    assert told(decision) == (MIDDLE, "chained") and decision.under_cap
    assert (decision.quality, decision.cost_usd) == (0.79 * 0.75, 0.001)
    assert (decision.evidence["quality"], decision.evidence["cost_usd"]) == (0.79 * 0.75, 0.001)
    assert (decision.evidence["reference_quality"], decision.evidence["reference_cost_usd"]) == (0.9, 0.005)
    assert "predicted quality 0.593 for $0.001000, the reference" in decision.reason
    # Of another suite nothing is known, and whoever is asked without the chain is not stopped.
    other = policy.decide(SEEN)
    assert told(other) == (MIDDLE, "chained") and not other.under_cap
    assert (other.quality, other.cost_usd) == (0.79, 0.002)
    fallback = decision.next("unavailable")
    assert (fallback.cost_usd, fallback.under_cap) == (0.005, False)


@pytest.mark.parametrize(
    ("pieces", "explore", "who"),
    [
        ((Cascade((0, 0, None), 1.0),), 0.0, MIDDLE),  # never asked but under the cap
        ((Cascade((0, 0, None), 1.0, 0.5),), 0.0, MIDDLE),  # else the reference is, and that is somebody else
        ((Cascade((0, 0, None), 1.0, 0.5), Cascade((1, 1, None), 1.0, 0.5)), 0.0, MIDDLE),
        (
            (Cascade((0, 0, None), 1.0, 0.5), Assign((1, 1, 1), 0.5)),
            0.0,
            CHEAP,
        ),  # the other piece knows no cap
        ((Cascade((0, 0, None), 1.0, 0.5), Cascade((2, 2, None), 1.0, 0.5)), 0.0, CHEAP),
        ((Cascade((0, 0, None), 1.0),), 0.25, CHEAP),  # nor does exploration
    ],
)
def test_a_bound_in_dollars_is_of_the_run_under_the_cap_where_nobody_is_asked_without(
    make_spec: Any, pieces: tuple[Any, ...], explore: float, who: Candidate
) -> None:
    chains = (CAPPED, (Stage(1, None, 0.003, None, HALF),), (Stage(1),))
    explored = {"explore": {"default": explore}} if explore else {}
    policy = made(make_spec, *pieces, chains=chains, **explored)
    for key in map(str, range(20)):
        decision = policy.decide(SEEN, suite="maths", max_cost_usd=0.0015, allowed=[CHEAP, MIDDLE], key=key)
        assert (decision.candidate, decision.unmet) == (who, ())
        assert decision.cost_usd == 0.001
    # .79 × .75 is too little, though .79 is enough; where nobody is good enough, the nearest is left.
    decision = policy.decide(SEEN, suite="maths", min_quality=0.75, allowed=[CHEAP, MIDDLE], key="a")
    assert (decision.unmet == ("min_quality",)) == (who == MIDDLE)


def test_the_reference_that_may_be_asked_without_its_cap_is_bounded_without(make_spec: Any) -> None:
    chains: tuple[Chain, ...] = ((Stage(2, None, 0.004, None, HALF),),)
    for share, unmet in ((1.0, ()), (0.5, ("max_cost_usd",))):
        policy = made(make_spec, Cascade((0, 0, None), 1.0, share), chains=chains)
        for key in map(str, range(8)):
            decision = policy.decide(SEEN, suite="maths", max_cost_usd=0.003, allowed=[DEAR], key=key)
            assert (decision.candidate, decision.unmet) == (DEAR, unmet)
            assert decision.cost_usd == (0.0025 if decision.code == "chained" else 0.005)


def test_a_chain_begins_with_its_first_stage(begun: Decision) -> None:
    assert told(begun) == (CHEAP, "chained")
    assert (begun.quality, begun.cost_usd, begun.signals) == (0.70, 0.001, ("logprob",))
    assert begun.reason == (
        "the policy assigns every prompt of this suite a chain, cheap @ low (to $0.004) → cheap @ max → dear: stage 1 of "
        "up to 3; the next is asked where an answer is not kept: predicted quality 0.700 for $0.001000, "
        "the reference 0.900 for $0.005000"
    )
    evidence = begun.evidence
    assert list(evidence)[-2:] == ["stage", "stages"]
    assert [evidence[name] for name in ("stage", "stages", "piece", "tradeoff", "guard", "mix")] == [
        0, 3, 0, 100.0, None, 1.0,
    ]  # fmt: skip
    assert begun.fallbacks == (DEAR, MIDDLE)


@pytest.mark.parametrize(("logprob", "asked"), [
    # Utilities: .5 less 100 * .002, .75 less .5: .3 and .25.
    (-1.0, MIDDLE), (-9.0, MIDDLE),
    # .25 − .2 and .375 − .5.
    (-0.5, MIDDLE), (-0.25, None), (0.0, None), (1.0, None), (True, None), (np.float32(-1.0), MIDDLE),
    # What is missing goes to the next, whatever is expected.
    (None, MIDDLE), (float("nan"), MIDDLE), (float("-inf"), MIDDLE), ("0.0", MIDDLE), (10**400, MIDDLE), ([], MIDDLE),
])  # fmt: skip
def test_an_answer_is_kept_unless_more_is_expected(begun: Decision, logprob: Any, asked: Any) -> None:
    after = begun.judge("42", signals={"logprob": logprob, "unknown": 7.0})
    assert told(after) == (None if asked is None else (asked, "escalated"))


def test_the_later_stage_is_asked_where_it_adds_most(make_spec: Any) -> None:
    """At a tradeoff of 50 utilities at −1 are .4 and .5: middle is passed over."""
    after = made(make_spec, Cascade((0, 0, 0), 50.0)).decide(SEEN).judge("42", signals={"logprob": -1.0})
    assert after is not None
    assert told(after) == (DEAR, "escalated")
    assert (after.evidence["stage"], after.evidence["tried"]) == (2, [["cheap", "low"]])
    assert (after.signals, after.judge("43")) == ((), None)


def test_agreement_with_the_stage_before_keeps_the_answer(make_spec: Any) -> None:
    """At a tradeoff of 40 dear costs .2: of the .25 that it adds .05 is left, of −.25 nothing."""
    begun = made(make_spec, Cascade((0, 0, 0), 40.0)).decide(SEEN, suite="maths")
    second = begun.judge("It is 42.")  # its log-probability is not known
    assert second is not None
    assert second.reason == (
        "what cheap @ low answered is not kept: stage 2 of up to 3 of the chain cheap @ low (to $0.004) → cheap @ max → dear"
    )
    assert second.judge("it is 42") is None
    third = second.judge("It is 43.")
    assert told(third) == told(second.judge(None)) == (DEAR, "escalated")
    assert third is not None and third.evidence["tried"] == [["cheap", "low"], ["cheap", "max"]]
    unsaid = begun.judge(None)
    assert unsaid is not None and told(unsaid.judge("it is 42")) == (DEAR, "escalated")


def test_a_failed_check_is_next_and_a_stopped_run_too(begun: Decision) -> None:
    signals = {"logprob": 0.0}
    for after in (begun.next("check"), begun.judge("42", signals=signals, check=False)):
        assert told(after) == (MIDDLE, "escalated")
        assert after is not None and after.evidence["stage"] == 1
    assert told(begun.judge(stopped="limit", signals=signals)) == (MIDDLE, "escalated")
    assert begun.judge("42", signals=signals, check=True) is None
    last = begun.next("check").next("check")
    assert told(last) == (DEAR, "escalated")
    assert last.judge(check=False) is last.judge(stopped="limit") is None
    with pytest.raises(PolicyError, match="no candidate is left"):
        last.next("check")


def test_after_its_end_a_chain_goes_on_as_ever(make_spec: Any) -> None:
    short: Chain = (Stage(0, None), Stage(2))
    policy = made(make_spec, Cascade((0, 0, 0), 1.0), chains=(short,))
    first = policy.decide(SEEN)
    assert (first.signals, first.judge("anything"), told(first.judge(check=False))) == (
        (), None, (DEAR, "escalated"),
    )  # fmt: skip
    after = first.next("check").judge(check=False)
    assert after is not None
    assert (told(after), "stage" in after.evidence) == ((MIDDLE, "unmeasured"), False)
    ordered = made(make_spec, Cascade((0, 0, 0), 1.0), chains=(short,), escalation=(0, 1, 2))
    assert told(ordered.decide(SEEN).next("check")) == (DEAR, "escalated")
    alone = made(make_spec, Cascade((0, 0, 0), 1.0), chains=((Stage(0),),), escalation=(0, 1, 2)).decide(SEEN)
    assert "the policy assigns it every prompt of no known suite, whatever" in alone.reason
    moved = alone.next("check")
    assert told(moved) == (MIDDLE, "escalated")
    assert moved.reason == "the answer of cheap @ low failed its check: next in the escalation order"


def test_other_failures_leave_the_chain(begun: Decision) -> None:
    after = begun.next("unavailable")
    assert (told(after), after.signals, after.judge("42")) == ((DEAR, "fallback"), (), None)
    assert "stage" not in after.evidence


@pytest.mark.parametrize(("allowed", "walk"), [
    ([CHEAP, DEAR], [(CHEAP, "chained"), (DEAR, "escalated")]),
    ([MIDDLE, DEAR], [(MIDDLE, "chained"), (DEAR, "escalated")]),
    ([CHEAP, MIDDLE], [(CHEAP, "chained"), (MIDDLE, "escalated")]),
    ([CHEAP], [(CHEAP, "chained")]),
    ([DEAR], [(DEAR, "chained")]),
])  # fmt: skip
def test_stages_that_constraints_exclude_are_passed_over(make_spec: Any, allowed: Any, walk: Any) -> None:
    now: Decision | None = made(make_spec).decide(SEEN, suite="maths", allowed=allowed)
    found = []
    while now is not None:
        found.append(told(now))
        now = now.judge("42", check=False)
    assert found == walk


def test_signals_are_not_asked_for_where_nobody_is_left(make_spec: Any) -> None:
    only = made(make_spec).decide(SEEN, allowed=[CHEAP])
    assert (only.signals, only.judge("42")) == ((), None)
    entered = made(make_spec).decide(SEEN, allowed=[MIDDLE, DEAR])
    assert "stage 2 of up to 3, the first that the constraints leave" in entered.reason


def test_a_chain_nobody_of_whom_may_serve_is_barred(make_spec: Any) -> None:
    policy = made(make_spec, Cascade((0, 0, 0), 1.0), chains=((Stage(0), Stage(1)),))
    barred = policy.decide(SEEN, suite="maths", allowed=[DEAR])
    assert told(barred) == (DEAR, "barred")
    assert (
        barred.reason
        == "the reference: the constraints exclude everybody that the policy assigns this suite to"
    )


def test_where_no_chain_is_named_the_reference_serves(make_spec: Any) -> None:
    policy = made(make_spec)
    assert told(policy.decide(SEEN, suite="triage")) == (DEAR, "assigned")
    assert told(policy.decide(UNSEEN, suite="maths")) == (CHEAP, "chained")  # whatever is covered
    assert told(policy.decide(UNSEEN)) == (DEAR, "uncovered")  # but of no known suite
    assert told(policy.decide(SEEN)) == (CHEAP, "chained")


def test_chance_leaves_a_chain_that_begins_with_the_reference(make_spec: Any) -> None:
    chain: Chain = (Stage(2, Judge((0,), (), np.zeros((3, 1)), ())), Stage(0))
    policy = made(make_spec, Cascade((0, 0, 0), 1.0, 0.5), chains=(chain,))
    codes = {
        code: {policy.decide(SEEN, suite="maths", key=str(k)).code for k in range(40) if (draw(str(k)) < 0.5) is low}
        for code, low in (("chained", True), ("mixed", False))
    }  # fmt: skip
    assert codes == {"chained": {"chained"}, "mixed": {"mixed"}}
    key = next(str(k) for k in range(40) if draw(str(k)) >= 0.5)
    assert policy.decide(SEEN, suite="maths", key=key).reason == (
        "the reference: this suite is assigned to a chain, but this key is not among the 50% that move"
    )


def test_a_conversation_stays_with_the_first_stage(make_spec: Any) -> None:
    policy = made(make_spec)
    kept = policy.decide(SEEN, suite="maths", previous=CHEAP)
    assert (told(kept), kept.signals) == ((CHEAP, "kept"), ("logprob",))
    assert "still is first in the chain of this suite" in kept.reason
    sticky = policy.decide(SEEN, suite="maths", previous=DEAR, cached_tokens=10_000)
    assert (told(sticky), sticky.signals, sticky.judge("42")) == ((DEAR, "sticky"), (), None)
    assert told(policy.decide(SEEN, suite="maths", previous=DEAR, cached_tokens=100)) == (CHEAP, "chained")


def test_a_cap_is_the_limit_of_its_stage(begun: Decision) -> None:
    assert begun.limits == Limits(100, 1, 0.004)
    assert begun.next("check").limits == Limits(200, 2, 0.02)
    assert begun.next("unavailable").limits == Limits(300, 3, 0.05)


def test_an_expired_policy_begins_no_chain(make_spec: Any) -> None:
    late = made(make_spec, expires="2020-01-01").decide(SEEN, suite="maths")
    assert (told(late), late.signals) == ((DEAR, "expired"), ())


def test_arguments_that_can_never_be_valid(begun: Decision) -> None:
    for stopped in ("crash", "", 1, True, ["limit"]):
        with pytest.raises(PolicyError, match=r"judge: stopped is .* its limit"):
            begun.judge("42", stopped=stopped)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"judge: signals is 0\.5, not a mapping"):
        begun.judge("42", signals=0.5)  # type: ignore[arg-type]


def test_a_decision_without_a_chain_keeps_every_answer(policy: Policy) -> None:
    decision = policy.decide(SEEN)
    assert (decision.signals, decision.judge("42"), decision.judge(stopped="limit")) == ((), None, None)
    assert decision.judge(check=False) == decision.next("check")
    assert not decision.evidence.keys() & {"stage", "stages"}


REQUESTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai_chat", {}, {"logprobs": True}),
    ("openai_responses", {}, {"include": ["message.output_text.logprobs"]}),
    ("openai_responses", {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]},
     {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}),
    ("anthropic", {"max_tokens": 9}, {"max_tokens": 9}),
]  # fmt: skip


@pytest.mark.parametrize(("api", "measured", "sent"), REQUESTS)
def test_a_request_asks_for_the_log_probabilities_that_are_judged(
    make_spec: Any, api: str, measured: Any, sent: Any
) -> None:
    arguments = {"model": "m", **measured}
    spec = make_spec(points={"default": (CASCADE,)}, chains=(CHAIN,))
    cheap = Profile(CHEAP, request={"api": api, "arguments": arguments})
    begun = Policy(dataclasses.replace(spec, profiles=(cheap, *spec.profiles[1:]))).decide(
        SEEN, suite="maths"
    )
    made_request = getattr(begun, api)("Hello")
    assert {
        key: made_request[key] for key in made_request if key in ("logprobs", "include", "max_tokens")
    } == sent
    assert begun.measured["arguments"] == arguments
    alone = Policy(dataclasses.replace(spec, profiles=(cheap, *spec.profiles[1:]))).decide(
        SEEN, allowed=[CHEAP]
    )
    assert "logprobs" not in alone.request("Hello")


def test_a_decision_is_pickled_with_its_chain_and_without_the_others(begun: Decision) -> None:
    signals: Mapping[str, float] = {"logprob": -1.0}
    second = begun.judge("It is 42.", signals=signals)
    assert second is not None
    again = pickle.loads(pickle.dumps(begun))  # noqa: S301  # written a moment ago
    assert again == begun and again._spec.chains == ()
    assert again.judge("It is 42.", signals=signals) == second
    copy = pickle.loads(pickle.dumps(second))  # noqa: S301
    assert copy == second and copy.judge("it is 42") is None
    assert not copy._chain.stage.judge.bias.flags.writeable
    with pytest.raises(AttributeError, match="never changes"):
        begun._chain = None


def hostile(count: int) -> list[object]:
    """Answers of any kind, most of them texts from odd pieces."""
    rng = random.Random(3)
    odd = [
        "\ud800",
        "\udfff",
        "\x00",
        "i’m sorry",
        "日本",
        "🙂",
        "{[(",
        "\n",
        "42",
        "A" * 500,
        "",
        "\u202e",
        "é",
    ]
    kinds: list[object] = [None, b"bytes", 7, float("nan"), object(), ["list"], {"a": 1}, "x" * 10_000_000]
    return kinds + ["".join(rng.choices(odd, k=rng.randint(0, 12))) for _ in range(count - len(kinds))]


def test_no_answer_makes_judge_raise(make_spec: Any) -> None:
    """10,000 answers, each of which is kept or sends to a later stage of the chain."""
    every = Judge((1, 2), (), np.zeros((3, 2)), tuple(
        Term(source, (0.0, 4.0), rows([-0.5, 0.5], [0.25, -0.25]))
        for source in ("agrees", *(f"answer:{name}" for name in FEATURES))
    ))  # fmt: skip
    chain: Chain = (Stage(0, every), Stage(1, SECOND), Stage(2))
    begun = made(make_spec, Cascade((0, 0, 0), 0.0), chains=(chain,)).decide(SEEN, suite="maths")
    found = [begun.judge(answer) for answer in hostile(10_000)]
    assert {told(one) for one in found} == {None, (MIDDLE, "escalated"), (DEAR, "escalated")}


def test_who_is_asked_first_and_by_which_chain(make_spec: Any) -> None:
    policy = made(make_spec, Cascade((0, 0, None), 1.0, 0.25), Assign((1, 1, 1), 0.5))
    asked = [SEEN, SEEN, UNSEEN, UNSEEN], ["maths", "triage", "maths", None]
    found = policy.stretches(*asked)
    assert found.columns.tolist() == [[3, 1, 2], [2, 1, 2], [3, 1, 2], [2, 2, 2]]
    assert found.asked(3).tolist() == [[0, 1, 2], [2, 1, 2], [0, 1, 2], [2, 2, 2]]
    assert policy.shares(*asked).tolist() == [
        [0.25, 0.5, 0.25],
        [0, 0.5, 0.5],
        [0.25, 0.5, 0.25],
        [0, 0, 1.0],
    ]
    assert found.by_chain(3, 1).tolist() == [
        [0, 0.5, 0.25, 0.25],
        [0, 0.5, 0.5, 0],
        [0, 0.5, 0.25, 0.25],
        [0, 0, 1, 0],
    ]
    assert policy.covered(*asked).tolist() == [True, True, True, False]


TEXTS = ["", "hello there", "what is 2 + 2?", "fox " * 50, "日本語 text"]
CHAINS: tuple[Chain, ...] = ((Stage(0), Stage(2)), (Stage(4), Stage(1)), (Stage(3),))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(Follow, st.floats(0, 100), st.floats(0, 0.3))
        | st.builds(Assign, st.tuples(*[st.integers(0, 4)] * 3))
        | st.builds(Cascade, st.tuples(st.integers(0, 2), *[st.none() | st.integers(0, 2)] * 2), st.floats(0, 9)),
        min_size=1, max_size=5,
    ),
    st.lists(st.integers(1, 12), min_size=5, max_size=5), st.floats(0, 1), st.integers(0, 10**6),
)  # fmt: skip
def test_shares_are_how_often_decide_picks(
    make_random: Any, pieces: list[Any], parts: list[int], least: float, seed: int
) -> None:
    point = tuple(piece._replace(share=part / 64) for piece, part in zip(pieces, parts, strict=False))
    chains = CHAINS if any(isinstance(piece, Cascade) for piece in pieces) else ()
    policy = Policy(make_random(points={"half": point}, coverage=least, chains=chains))
    for suite in (None, "a", "b", "nobody's"):
        found = policy.stretches(TEXTS, [suite] * len(TEXTS))
        assert found.shares(5).sum(axis=1).tolist() == [1.0] * len(TEXTS)
        for i, text in enumerate(TEXTS):
            decision = policy.decide(text, suite=suite, key=f"{seed} {i} {suite}")
            at = bisect_right(found.ends[:-1].tolist(), draw(f"{seed} {i} {suite}"))
            assert policy.candidates.index(decision.candidate) == found.asked(5)[i, at]
            assert (decision.code == "chained") == (found.columns[i, at] >= 5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.lists(st.floats(-3, 1) | st.none(), min_size=3, max_size=3), st.data())
def test_next_check_is_judge_check_false(make_spec: Any, answer: str, values: Any, data: Any) -> None:
    """At every stage of every walk, whatever is known; and a walk ends."""
    allowed = data.draw(st.sampled_from([None, [CHEAP, DEAR], [CHEAP, MIDDLE], [MIDDLE]]))
    now: Decision | None = made(make_spec).decide(SEEN, suite="maths", allowed=allowed)
    for value in values:
        assert now is not None
        after = now.judge(answer, signals={"logprob": value}, check=False)
        try:
            assert now.next("check") == after
        except PolicyError:
            assert after is None
        stopped = now.judge(answer, signals={"logprob": value}, stopped="limit")
        assert stopped is None or (stopped == after and stopped.code == "escalated")
        now = now.judge(answer, signals={"logprob": value})
        if now is None:
            break
    assert now is None or now.judge(answer) is None


def test_points_with_chains_in_words() -> None:
    names, chains = ["cheap", "middle", "dear"], (CHAIN, (Stage(1),), CHAIN[:1])
    assert described((CASCADE,), names, chains=chains) == (
        "mix 1: 1 cheap (to $0.004) → middle → dear for 1 suite, the reference for 1 suite, "
        "cheap (to $0.004) → middle → dear for no known suite, tradeoff 100"
    )
    assert (
        described((Cascade((1, 1, 1), 0.5, 0.25),), names, chains=chains) == "mix 0.25: 0.25 middle for all"
    )
    many = (
        Cascade((0, 0, 0), 1.0, 0.25),
        Assign((0, 0, 0), 0.25),
        Cascade((1, 1, 1), 1.0, 0.125),
        Follow(2.0, 0.0, 0.1),
    )
    assert described(many, names, 3, chains) == (
        "mix 0.725: 4 pieces, 0.1 by predictions (tradeoff 2 to 2), 0.25 one candidate by suite, "
        "0.375 one chain by suite"
    )
    assert pieces_described(many[:1], names, 3, chains) == [
        "0.25 cheap (to $0.004) → middle → dear for all, tradeoff 1"
    ]


@pytest.mark.parametrize("names", [(CHEAP, MIDDLE, DEAR), (MIDDLE, DEAR), (DEAR,), (CHEAP, DEAR)])
def test_what_may_be_begun_and_how_likely_is_told_of_chains_and_of_candidates_apart(
    make_spec: Any, names: tuple[Candidate, ...]
) -> None:
    """Two chains, who is asked alone, and exploration; where names bar a chain's first stage it begins with a later."""
    pieces = Cascade((0, 0, None), 100.0, 0.5), Cascade((1, 1, None), 100.0, 0.2), Assign((0, 0, 0), 0.1)
    policy = made(make_spec, *pieces, chains=(CHAIN, CHAIN[1:]), explore={"default": 0.1})
    seen, odds = set(), None
    for key in range(400):
        decision = policy.decide(SEEN, suite="maths", key=str(key), allowed=names)
        odds = begun_odds(decision)
        place = decision._chain
        number = 0 if place is None else 1 + policy.spec.chains.index(place.chain)
        seen.add((number, decision._index))
        assert odds.sum(axis=0)[decision._index] == pytest.approx(decision.propensity)
        assert decision.allowed == (None if len(names) == 3 else tuple(sorted(names)))
    assert odds is not None and odds.sum() == pytest.approx(1.0)
    assert seen == set(zip(*np.nonzero(odds), strict=True))
    if names == (MIDDLE, DEAR):  # .5 begins the first chain with its second stage
        assert odds[1].tolist() == pytest.approx([0.0, 0.45, 0.0])
        assert odds[2].tolist() == pytest.approx([0.0, 0.18, 0.0])
    sure = made(make_spec, chains=(CHAIN,)).decide(SEEN, suite="maths")
    assert begun_odds(sure).tolist() == [[0.0] * 3, [1.0, 0.0, 0.0]]
