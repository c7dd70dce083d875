"""Chains that are fitted: where answers tell, where they do not, and what production then does."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.caps import with_under_cap
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.trials import trials_of
from router_lab.replay import replay
from router_lab.runtime.chains import Stage
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import Cascade
from router_lab.runtime.policy import Policy

SMALL, LARGE = Candidate("small", None), Candidate("large", None)


@cache
def world(told: float = 2.0, n: int = 600, epochs: int = 1) -> pd.DataFrame:
    """Two suites; `small` is right in .5 and costs 1, `large` in .9 and costs 20. A signal of the
    small one's answer is a normal number, `told` higher where it is right."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        easy = rng.random() < 0.5
        for epoch in range(1, epochs + 1):
            own = {
                "suite": f"s{i % 2}",
                "sample_id": str(i),
                "epoch": epoch,
                "prompt": f"question number {i}",
            }
            small, large = float(easy), float(easy or rng.random() < 0.8)
            rows += [
                own | {"model": "small", "quality": small, "cost_usd": 0.001, "latency_s": 1.0,
                       "signal_sure": told * small + rng.normal(), "signals_usd": 0.0005, "answer": f"it is {i}"},
                own | {"model": "large", "quality": large, "cost_usd": 0.02, "latency_s": 5.0,
                       "signal_sure": rng.normal(), "answer": f"it is {i}"},
            ]  # fmt: skip
    return pd.DataFrame(rows)


def recipe(**changes: Any) -> Recipe:
    return Recipe(
        **{
            "name": "p",
            "reference": {"model": "large", "effort": None},
            "rule": {"margin": 0.05, "confidence": 0.9},
            "holdout": 0.0,
            **changes,
        }
    )


@cache
def chained(told: float = 2.0, epochs: int = 1, n: int = 600) -> Policy:
    return fit_policy(recipe(), world(told, n, epochs))


def test_where_a_signal_tells_the_cheap_answer_is_kept_or_asked_again() -> None:
    policy = chained()
    shown = Certificate.of(policy)
    plain = Certificate.of(fit_policy(recipe(escalate=False), world()))
    assert shown.chains is not None and shown.savings is not None and plain.savings is not None
    assert plain.chains is None
    assert (shown.savings.value or 0) > (plain.savings.value or 0) + 0.15
    assert shown.escalation_gain is not None and (shown.escalation_gain.low or 0) > 0.1
    assert 0.2 < shown.chains.escalated < 0.9
    assert shown.chains.signals == ("sure",)
    assert [stage.model for stage in shown.chains.stages] == ["large", "small"]
    small = shown.chains.stages[1]
    # Each chain asks the small one first: its dollars are .001 for each time that it is asked.
    assert small.cost_usd == pytest.approx(0.001 * small.asked)
    assert small.asked == pytest.approx(shown.chains.share)
    assert shown.chains.signals_usd == pytest.approx(0.0005 * shown.chains.share)


def test_without_its_signals_a_chain_asks_for_everything_again() -> None:
    shown = Certificate.of(chained()).chains
    assert shown is not None
    # Each request of a chain then costs .001 and .0005 more than the large one's .02.
    assert shown.savings_without_signals == pytest.approx(-0.075 * shown.share, abs=1e-6)


def test_what_nobody_can_tell_by_is_not_looked_at() -> None:
    shown = Certificate.of(fit_policy(recipe(), world(0.0)))
    plain = Certificate.of(fit_policy(recipe(escalate=False), world(0.0)))
    assert shown.savings is not None and plain.savings is not None
    assert (shown.savings.value or 0) >= 0.97 * (plain.savings.value or 0)


def serve(
    policy: Policy, row: dict[str, dict[str, Any]], prompt: str, suite: str, key: str
) -> tuple[float, float]:
    """Quality and dollars of one request, by decide and judge alone."""
    decision: Decision | None = policy.decide(prompt, suite=suite, key=key)
    spent = 0.0
    while True:
        assert decision is not None
        got = row[decision.model]
        spent += got["cost_usd"] + (got["signals_usd"] if decision.signals else 0.0)
        after = decision.judge(got["answer"], signals={"sure": got["signal_sure"]})
        if after is None:
            return got["quality"], spent
        decision = after


@pytest.mark.parametrize("epochs", [1, 3])
def test_decide_and_judge_do_what_replay_says(epochs: int) -> None:
    policy, frame = chained(2.0, epochs, 600 // epochs), world(2.0, 200, epochs)
    frame = frame.assign(sample_id="fresh " + frame["sample_id"], prompt=frame["prompt"] + "?")
    frame["signals_usd"] = frame["signals_usd"].fillna(0.0)
    scored = replay(policy, frame)
    assert not scored.in_sample
    stretches = policy.stretches(*_asked(frame))
    expected = []
    for (suite, _), own in frame.groupby(["suite", "sample_id"], sort=True):
        draws = [
            serve(policy, {row["model"]: dict(row) for _, row in draw.iterrows()}, str(own["prompt"].iloc[0]),
                  str(suite), key)
            for _, draw in own.groupby("epoch")
            for key in _keys(stretches.ends)
        ]  # fmt: skip
        weights = np.tile(np.diff(stretches.ends, prepend=0.0), epochs) / epochs
        expected.append((np.array(draws) * weights[:, None]).sum(axis=0))
    found = np.stack([scored.rows.quality, scored.rows.cost_usd], axis=1)
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    assert scored.rows.named("latency_s").max() > 5.0


def _asked(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    one = frame.drop_duplicates(["suite", "sample_id"]).sort_values(["suite", "sample_id"])
    return one["prompt"].tolist(), one["suite"].tolist()


def _keys(ends: Any) -> list[str]:
    """A key whose draw lies in each stretch."""
    from router_lab.runtime.rule import draw

    found: dict[int, str] = {}
    for number in range(20_000):
        key = f"key {number}"
        found.setdefault(int(np.searchsorted(ends, draw(key), side="right")), key)
        if len(found) == int((np.diff(ends, prepend=0.0) > 0).sum()):
            break
    return [found.get(place, found[max(found)]) for place in range(len(ends))]


def test_a_suite_that_nobody_measured_is_the_references() -> None:
    policy = chained()
    assert any(isinstance(piece, Cascade) for piece in policy.spec.points["default"])
    for key in range(30):
        for suite in (None, "another"):
            decision = policy.decide("question number 7", suite=suite, key=str(key))
            assert decision.candidate == LARGE
            assert decision.judge("no") is None


def test_of_one_suite_the_chain_serves_requests_that_name_none() -> None:
    policy = fit_policy(recipe(), world().assign(suite="s"))
    served = {policy.decide("question number 7", key=str(key)).candidate for key in range(50)}
    assert SMALL in served


def test_a_signal_that_is_the_score_is_refused() -> None:
    frame = world()
    frame = frame.assign(signal_leak=2 * frame["quality"] + 1)
    with pytest.raises(InputError, match=r"signal 'leak' of large is the score in other words"):
        fit_policy(recipe(), frame)
    fit_policy(recipe(signals=["sure"]), frame)


def test_a_signal_that_no_artifact_could_hold_is_refused_before_anything_is_fitted() -> None:
    frame = world()
    with pytest.raises(InputError, match=r"column `signal_two words`: the name of a signal is 1 to 64"):
        fit_policy(recipe(), frame.assign(**{"signal_two words": frame["signal_sure"]}))
    with pytest.raises(InputError, match=r"column `signal_far` holds 1e\+300; a signal is within"):
        fit_policy(recipe(), frame.assign(signal_far=frame["signal_sure"].where(frame.index != 3, 1e300)))


def test_a_signal_that_is_missing_where_the_answer_is_wrong_is_refused() -> None:
    frame = world(0.0)
    frame = frame.assign(signal_there=np.where(frame["quality"] > 0, 1.0, np.nan))
    with pytest.raises(InputError, match=r"signal 'there' of large is the score in other words"):
        fit_policy(recipe(), frame)


def test_a_few_numbers_far_away_do_not_hide_the_score() -> None:
    frame = world(0.0)
    frame = frame.assign(
        signal_far=frame["quality"].where(
            np.arange(len(frame)) % 300 > 1, 1e4 * (-1) ** np.arange(len(frame))
        )
    )
    with pytest.raises(InputError, match=r"signal 'far' of large is the score in other words"):
        fit_policy(recipe(), frame)


def test_the_score_is_found_where_it_stands_on_its_head_in_one_suite() -> None:
    frame = world(0.0)
    turned = frame["quality"].where(frame["suite"] == "s0", 1 - frame["quality"])
    with pytest.raises(InputError, match=r"signal 'turned' of large is the score in other words"):
        fit_policy(recipe(), frame.assign(signal_turned=turned))


def test_dollars_and_seconds_that_one_draw_lacks_are_not_those_of_the_others() -> None:
    frame = world(2.0, 200, 3)
    dear = (frame["model"] == "large") & (frame["epoch"] == 3)
    frame = frame.assign(cost_usd=frame["cost_usd"].mask(dear), latency_s=frame["latency_s"].mask(dear))
    scored = replay(chained(2.0, 3, 200), frame.assign(sample_id=lambda t: "new " + t["sample_id"]))
    whole = replay(
        chained(2.0, 3, 200), world(2.0, 200, 3).assign(sample_id=lambda t: "new " + t["sample_id"])
    )
    for name in ("cost_usd", "latency_s"):
        some, every = scored.rows.named(name), whole.rows.named(name)
        known = ~np.isnan(some)
        # Who asked the large one in a draw of which that is unknown is unknown himself.
        assert 0 < known.sum() < len(some)
        assert some[known] == pytest.approx(every[known])


def test_a_signal_that_never_varies_is_not_wanted_at_run_time() -> None:
    policy = fit_policy(recipe(), world().assign(signal_always=1.0))
    wanted = {
        name for chain in policy.spec.chains for stage in chain if stage.judge for name in stage.judge.signals
    }
    assert wanted == {"sure"}


def test_outcomes_that_were_dealt_to_others_show_nothing() -> None:
    found = Certificate.of(fit_policy(recipe(), world(), diagnostics=True)).diagnostics
    assert (
        found is not None
        and found.label_shuffle is not None
        and found.label_shuffle.over_random_mix is not None
    )
    assert (found.label_shuffle.over_random_mix.value or 0) < 0.02


def test_replay_says_which_signals_it_lacks() -> None:
    frame = world(2.0, 60).drop(columns="signal_sure").assign(sample_id=lambda t: "new " + t["sample_id"])
    with pytest.warns(
        RouterLabWarning, match=r"policy 'p' judges answers, and the outcomes have no value of `signal_sure`"
    ):
        found = replay(chained(), frame)
    # Every request of a chain then pays for both.
    assert found.savings < 0


def test_a_recipe_names_signals_that_there_are() -> None:
    with pytest.raises(
        InputError, match=r"signals: 'no': the outcomes have no column `signal_no`.*they hold sure"
    ):
        fit_policy(recipe(signals=["no"]), world())


def test_a_recipe_bounds_stages_and_forbids_chains() -> None:
    for changes in ({"stages": 1}, {"escalate": False}):
        assert fit_policy(recipe(**changes), world()).spec.chains == ()


def test_same_rows_same_bytes_whatever_their_order() -> None:
    from router_lab.runtime.artifact import encode_policy, revision_of

    frame = world()
    shuffled = frame.sample(frac=1, random_state=1)
    assert revision_of(encode_policy(fit_policy(recipe(), shuffled))) == revision_of(encode_policy(chained()))


def agents(n: int = 400) -> pd.DataFrame:
    """One agent: two thirds of its runs fail, and what fails costs five times as much."""
    rng = np.random.default_rng(5)
    right = rng.random(n) < 1 / 3
    cost = np.where(right, rng.uniform(0.5, 1.0, n), rng.uniform(2.0, 8.0, n))
    return pd.DataFrame(
        {
            "suite": "swe",
            "sample_id": [str(i) for i in range(n)],
            "model": "large",
            "quality": right.astype(float),
            "cost_usd": cost,
        }
    )


def test_a_cap_stops_runs_that_fail_anyway_and_is_certified() -> None:
    policy = fit_policy(recipe(caps=True), agents())
    shown = Certificate.of(policy)
    assert shown.verdict == "pass" and shown.savings is not None and shown.chains is not None
    # A cap of 1.0 costs nothing: (1/3 × .75 + 2/3 × 1) / (1/3 × .75 + 2/3 × 5) leaves .256.
    assert (shown.savings.value or 0) > 0.6
    assert shown.chains.stopped > 0.5
    capped = [stage.cap_usd for (stage, *_) in policy.spec.chains]
    assert all(cap is not None and 0.5 < cap <= 2.5 for cap in capped)
    decision = next(
        d for d in (policy.decide("", suite="swe", key=str(k)) for k in range(50)) if d.code == "chained"
    )
    assert decision.limits.usd in capped
    assert decision.judge(stopped="limit") is None
    # What is predicted is of a run under its cap, as are the bounds of a request; a right run never reaches it.
    one = agents()
    stopped = np.minimum(one["cost_usd"], decision.cap_usd)
    assert decision.under_cap and decision.cost_usd == pytest.approx(stopped.mean(), rel=0.02)
    assert decision.quality == pytest.approx(one["quality"].mean(), abs=0.02)
    scored = replay(policy, agents().assign(sample_id=lambda t: "fresh " + t["sample_id"]))
    assert scored.savings == pytest.approx(shown.savings.value, abs=0.05)


def test_without_caps_no_run_is_stopped() -> None:
    policy = fit_policy(recipe(), agents())
    assert policy.spec.chains == () and Certificate.of(policy).chains is None


@pytest.mark.parametrize("told", [0.0, 0.3, 0.6])
def test_no_chain_is_deployed_that_gains_nothing(told: float) -> None:
    """From a signal that tells nothing on: what is deployed asks on only where that saves, on rows that it was not
    chosen by; else nothing asks on, and the best chain is named beside it."""
    policy = fit_policy(recipe(), world(told, 300))
    shown = Certificate.of(policy)
    gain = shown.escalation_gain
    assert (shown.chains is None) == (gain is None) == (shown.chains_lost is not None)
    assert gain is None or (gain.value or 0) > 0
    if shown.chains is None:
        assert not any(isinstance(piece, Cascade) for piece in policy.spec.points["default"])


def slow_cheap(seconds: float, n: int = 600) -> pd.DataFrame:
    """The world where the small one takes `seconds` in s0 and 1 in s1; the large one takes 5."""
    frame = world(2.0, n)
    slow = (frame["suite"] == "s0") & (frame["model"] == "small")
    return frame.assign(latency_s=frame["latency_s"].mask(slow, seconds))


def test_a_chain_that_takes_too_long_in_a_suite_is_not_considered_there() -> None:
    # In s0 a request that asks both takes 9 + 5, in s1 1 + 5.
    frame = slow_cheap(9.0)
    policy = fit_policy(recipe(latency_p95_s=6.0), frame)
    for piece in policy.spec.points["default"]:
        assert isinstance(piece, Cascade)
        in_s0, in_s1 = piece.chains[1], piece.chains[2]
        assert in_s0 is None and in_s1 is not None and len(policy.spec.chains[in_s1]) == 2
    shown = Certificate.of(policy).chains_too_slow
    assert shown is not None and (shown.latency_p95_s, shown.considered) == (6.0, 1)
    [one] = shown.left_out
    assert one.stages == (("small", None), ("large", None))
    # Where fewer than one in twenty ask the large one, 95 % take no more than the small one's 9 s.
    assert one.suites == ("s0",) and one.some_versions == ()
    assert 9.0 <= one.least_s <= one.most_s == 14.0
    loose = fit_policy(recipe(latency_p95_s=14.0), frame)
    free = fit_policy(recipe(), frame)
    assert loose.spec.points == free.spec.points
    told = Certificate.of(loose).chains_too_slow
    assert told is not None and told.left_out == () and Certificate.of(free).chains_too_slow is None


def test_where_every_chain_is_too_slow_none_was_considered() -> None:
    found = fit_policy(recipe(latency_p95_s=0.5), world())
    shown = Certificate.of(found)
    assert found.spec.chains == () and shown.chains_lost is None and shown.chains_too_slow is not None
    assert [one.suites for one in shown.chains_too_slow.left_out] == [("s0", "s1")]
    plain = Certificate.of(fit_policy(recipe(escalate=False), world()))
    assert shown.savings == plain.savings


def test_seconds_that_are_bounded_must_be_recorded() -> None:
    frame = world()
    lacking = frame["latency_s"].mask((frame["sample_id"] == "7") & (frame["model"] == "large"))
    with pytest.raises(
        InputError,
        match=r"1 of 1,200 scored rows have no `latency_s`, the first sample '7' of suite 's1' by large",
    ):
        fit_policy(recipe(latency_p95_s=6.0), frame.assign(latency_s=lacking))
    with pytest.raises(
        InputError, match=r"latency_p95_s: 6 bounds the seconds of chains, and 1,200 of 1,200"
    ):
        fit_policy(recipe(latency_p95_s=6.0), frame.drop(columns="latency_s"))
    # Nothing is bounded where nobody is asked twice.
    for changes in ({"stages": 1}, {"escalate": False}):
        fit_policy(recipe(latency_p95_s=6.0, **changes), frame.drop(columns="latency_s"))


@pytest.mark.parametrize(("bound", "left"), [(5.9, [("s0", "s1")]), (6.0, [])])
def test_a_failed_check_that_takes_too_long_sends_nobody_on(
    bound: float, left: list[tuple[str, ...]]
) -> None:
    """Half of the small one's answers fail their check: these take 1 s and the large one's 5."""
    frame = world().drop(columns=["signal_sure", "signals_usd", "answer"])
    checked = frame["quality"].gt(0.5).where(frame["model"] == "small")
    found = fit_policy(recipe(latency_p95_s=bound), frame.assign(check=checked))
    shown = Certificate.of(found)
    assert bool(shown.escalation) is not bool(left)
    assert shown.chains_too_slow is not None
    assert [one.suites for one in shown.chains_too_slow.left_out] == left


def looping(n: int = 400, seed: int = 7) -> pd.DataFrame:
    """One agent: a third of its runs end well, after 3 to 6 calls of 1; the others loop for 20 calls of .25."""
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 1 / 3
    runs = [[1.0] * int(rng.integers(3, 7)) if good else [0.25] * 20 for good in right]
    return pd.DataFrame(
        {
            "suite": "swe",
            "sample_id": [str(i) for i in range(n)],
            "model": "large",
            "quality": right.astype(float),
            "cost_usd": [sum(run) for run in runs],
            "turns": [len(run) for run in runs],
            "turns_usd": [json.dumps(run) for run in runs],
        }
    )


def test_a_cap_in_turns_stops_what_dollars_do_not_tell_and_is_certified() -> None:
    frame = looping()
    policy = fit_policy(recipe(caps=True), frame)
    shown = Certificate.of(policy)
    assert shown.verdict == "pass" and shown.savings is not None and shown.chains is not None
    assert shown.turn_caps is not None
    assert (shown.turn_caps.considered, shown.turn_caps.left_out) == ((("large", None),), ())
    # Six calls of .25 instead of twenty: 3.5 of each wrong run, which are all that is saved.
    wrong = 1 - frame["quality"].mean()
    assert shown.savings.value == pytest.approx(3.5 * wrong / frame["cost_usd"].mean(), abs=0.02)
    assert shown.chains.stopped == pytest.approx(wrong, abs=0.02)
    assert all(stage.cap_usd is None and stage.cap_turns == 6 for (stage, *_) in policy.spec.chains)
    decisions = [policy.decide("", suite="swe", key=str(k)) for k in range(50)]
    decision = next(d for d in decisions if d.code == "chained")
    assert (decision.cap_turns, decision.limits.turns, decision.cap_usd) == (6, 6, None)
    assert decision.judge(stopped="limit") is None
    stopped = np.where(frame["turns"] > 6, 1.5, frame["cost_usd"])
    assert decision.under_cap and decision.cost_usd == pytest.approx(stopped.mean(), rel=0.02)
    fresh = looping(300, 8).assign(sample_id=lambda t: "fresh " + t["sample_id"])
    scored = replay(policy, fresh)
    by_hand = np.where(fresh["turns"] > 6, 1.5, fresh["cost_usd"])
    share = next(iter(scored.served[0, 1:]))
    assert scored.cost_usd == pytest.approx((share * by_hand + (1 - share) * fresh["cost_usd"]).mean())
    assert scored.quality == pytest.approx(fresh["quality"].mean())


def test_without_the_dollars_of_each_call_turns_are_not_capped_and_that_is_said() -> None:
    frame = looping()
    for lacking in (
        frame.drop(columns="turns_usd"),
        frame.assign(turns_usd=frame["turns_usd"].where(frame.index != 5)),
    ):
        policy = fit_policy(recipe(caps=True), lacking)
        shown = Certificate.of(policy).turn_caps
        runs = 400 if "turns_usd" not in lacking else 1
        assert shown is not None and shown.considered == ()
        assert [(str(one.who), one.runs, one.of) for one in shown.left_out] == [("large", runs, 400)]
        assert all(stage.cap_turns is None for chain in policy.spec.chains for stage in chain)
    assert Certificate.of(fit_policy(recipe(), frame)).turn_caps is None


def test_a_replay_that_does_not_know_what_calls_cost_says_so() -> None:
    policy = fit_policy(recipe(caps=True), looping())
    fresh = looping(100, 9).assign(sample_id=lambda t: "fresh " + t["sample_id"])
    with pytest.raises(
        InputError,
        match=r"'p' stops runs of large after some model calls, and 100 of its 100 runs have no `turns_usd`",
    ):
        replay(policy, fresh.drop(columns="turns_usd"))
    with pytest.raises(
        InputError, match=r"sample 'fresh 0' .*`turns_usd` adds up to .*was priced anew without its calls"
    ):
        replay(policy, fresh.assign(cost_usd=2 * fresh["cost_usd"]))


def test_what_a_cap_leaves_is_of_each_suite_drawn_towards_all_by_twenty_samples() -> None:
    """Twenty runs of which half cost 3 and are stopped at 2, and sixty of another suite that cost 1: 30 of 40 dollars
    are left, 60 of 60, and 90 of 100 of all; of a quality of .5 each, half, all, and 35 of 40."""
    cost = np.array([1.0] * 10 + [3.0] * 10 + [1.0] * 60)
    rows = pd.DataFrame(
        {
            "suite": ["a"] * 20 + ["b"] * 60,
            "sample_id": [str(i) for i in range(80)],
            "model": "large",
            "quality": 0.5,
            "cost_usd": cost,
        }
    )
    frame = validate_outcomes(rows)
    data = OutcomeMatrix.from_frame(frame)
    trials = trials_of(frame, data)
    suite = data.suite[trials.row]
    (stage, *_) = with_under_cap((Stage(0, cap_usd=2.0),), trials, suite, np.ones(80), (0, 1, 2))
    assert stage.under_cap is not None
    assert stage.under_cap.rows == (0, 1, 2)
    assert stage.under_cap.cost_usd == pytest.approx([0.9, (0.75 + 0.9) / 2, (60 + 0.9 * 20) / 80])
    assert stage.under_cap.quality == pytest.approx([0.875, (0.5 + 0.875) / 2, (60 + 0.875 * 20) / 80])
    assert with_under_cap((Stage(0),), trials, suite, np.ones(80), (0,)) == (Stage(0),)
    unknown = replace(trials, cost_usd=np.full((80, 1), np.nan))
    assert with_under_cap((Stage(0, cap_usd=2.0),), unknown, suite, np.ones(80), (0,)) == (
        Stage(0, cap_usd=2.0),
    )
