"""`evaluate`: a policy that did not serve, from the log of one that did; and the outcomes that `collect` makes of it."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab import load_policy
from router_lab.cli.evaluate import evaluate as command
from router_lab.collect import collect
from router_lab.evaluate import Evaluation, evaluate, read_log
from router_lab.evaluate.logged import LogRows
from router_lab.evaluate.settle import _days
from router_lab.evaluate.told import to_json, to_text
from router_lab.outcomes import read_outcomes, write_outcomes
from router_lab.report.evaluation_page import evaluation_html
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import Assign, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.shadow import Shadow
from tests.log_worlds import PAGE, THREE, always, policy

TRUE = {"cheap": (0.6, 0.001), "dear": (0.8, 0.01), "middle": (0.8, 0.004)}
"""Chance of a success, dollars."""


def logged(
    path: Path, n: int = 2000, *, explore: float = 0.3, champion: str = "dear", seed: int = 1, **more: Any
) -> Path:
    """n decisions of a champion that asks one candidate, and others by chance; a row each second minute."""
    random, lines = np.random.default_rng(seed), []
    for i in range(n):
        drawn = random.random() < explore
        name = str(random.choice(THREE.names)) if drawn else champion
        chance = explore / 3 + (1 - explore) * (name == champion)
        quality, cost = TRUE[name]
        lines.append({
            "kind": "decision", "id": str(i), "time": 120.0 * i, "suite": "triage", "model": name, "effort": None,
            "tier": "standard", "quality": 0.8, "cost_usd": 0.01, "code": "assigned", "revision": "a" * 64,
            "propensity": chance, "draw": f"{i:016x}", **({"explored": True} if drawn else {}), **more,
        })  # fmt: skip
        won = float(random.random() < quality)
        lines.append(
            {"kind": "outcome", "id": str(i), "quality": won, "cost_usd": cost * random.lognormal(-0.02, 0.2)}
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def found(path: Path, target: Policy, **more: Any) -> Evaluation:
    return evaluate(target, read_log(path), **more)


def test_a_challenger_that_is_as_good_and_cheaper_passes(tmp_path: Path) -> None:
    """middle everywhere: .8 as dear, at $4 for 1,000 instead of $10 less what exploring saved."""
    result = found(logged(tmp_path / "week.jsonl", 6000), always("middle"))
    quality, cost = result.figures["quality"], result.figures["cost_usd"]
    assert result.verdict.verdict == "pass", to_text(result)
    low, high = quality.value.interval(0.99)
    assert low < 0.8 < high and high - low < 0.15
    assert cost.value.value == pytest.approx(0.004, rel=0.05) and cost.verdict.verdict == "pass"
    served = 0.8 * 0.9 + 0.6 * 0.1
    assert quality.beside.value == pytest.approx(served, abs=0.03)
    assert quality.difference.value == pytest.approx(quality.value.value - quality.beside.value)


def test_a_challenger_that_loses_fails_and_one_turned_round_passes(tmp_path: Path) -> None:
    """A sign upside down would pass the one that loses 20 points and fail the one that gains them."""
    week = logged(tmp_path / "week.jsonl")
    lost = found(week, always("cheap"))
    assert lost.verdict.verdict == "fail" and lost.figures["quality"].difference.value < -0.1
    assert lost.figures["cost_usd"].verdict.verdict == "pass"
    other = logged(tmp_path / "other.jsonl", champion="cheap")
    gained = found(other, always("dear"))
    assert gained.verdict.verdict == "pass" and gained.figures["quality"].difference.value > 0.1
    assert gained.figures["cost_usd"].verdict.verdict == "fail"
    only = found(other, always("dear"), metrics=("cost_usd",))
    assert only.verdict.verdict == "fail" and set(only.figures) == {"cost_usd"}


def test_against_another_policy_on_the_same_requests(tmp_path: Path) -> None:
    week = logged(tmp_path / "week.jsonl", 6000)
    result = found(week, always("cheap"), against=always("dear"))
    assert result.figures["quality"].difference.value == pytest.approx(-0.2, abs=0.05)
    same = found(week, always("dear"), against=always("dear"))
    assert same.figures["quality"].difference.value == 0.0 and same.figures["quality"].difference.se == 0.0
    assert same.verdict.verdict == "pass"


def test_a_log_without_exploration_tells_only_where_both_agree(tmp_path: Path) -> None:
    """Half of the challenger's requests stay with dear; of the others nothing is known, and it says who and how long."""
    result = found(logged(tmp_path / "week.jsonl", 400, explore=0.0), always("cheap", 0.5))
    text = to_text(result)
    assert result.verdict.verdict == "inconclusive" and result.overlap.agree == 0.5
    assert (
        "the log has no exploration, so only the 50% of the requests on which both agree can be told" in text
    )
    assert "cheap (50% of its requests, asked on 0)" in text
    # 20 / (.5·.02/3) and 20 / (.5·.1/3) requests, 720 a day.
    assert "`explore: 0.02` for some 6,000 requests (8.3 days at this log's rate)" in text
    assert "`explore: 0.1` for some 1,200 requests (1.7 days" in text
    # The policy that served is told all the same.
    own = found(tmp_path / "week.jsonl", always("dear"))
    assert own.verdict.verdict == "pass" and own.figures["quality"].difference.se == 0.0


def test_a_log_that_explored_too_little_is_refused_by_its_effective_size(tmp_path: Path) -> None:
    result = found(logged(tmp_path / "week.jsonl", 900, explore=0.02), always("middle"))
    counts = result.figures["quality"].counts
    assert result.verdict.verdict == "inconclusive" and 0 < counts < 20
    assert f"900 requests in 900 clusters count as {counts:.0f} of the policy's" in result.verdict.reason
    assert result.settle[0].startswith(
        f"about {math.ceil(900 * (20 / counts - 1)):,} more requests like these"
    )


def test_what_is_there_already_is_not_asked_for_again(tmp_path: Path) -> None:
    """The same log twice as long counts as about twice as much, and what lacks is less by it; with nothing left of
    it, the answer is asked of the interval alone."""
    asked = []
    for n in (900, 1800):
        result = found(logged(tmp_path / "week.jsonl", n, explore=0.02), always("middle"))
        text = to_text(result)
        assert "20 are needed" in text and "effective" not in text
        assert len([line for line in result.settle if "more requests like these" in line]) <= 1
        [more] = [line for line in result.settle if line.startswith("`explore: 0.1`")]
        asked.append(int(more.split("some ")[1].split(" more")[0].replace(",", "")))
    assert 0 < asked[1] < asked[0] < 20 / ((1 - result.overlap.agree) * 0.1 / 3)  # from nothing


def test_who_was_never_asked_needs_a_log_of_his_own(tmp_path: Path) -> None:
    """Old requests without chance stand beside new ones with it: evaluated together, they lack for ever."""
    result = found(logged(tmp_path / "week.jsonl", 400, explore=0.0), always("cheap"))
    assert all("evaluate these alone" in line for line in result.settle if line.startswith("`explore"))


def test_an_interval_that_is_too_wide_says_how_many_more(tmp_path: Path) -> None:
    result = found(logged(tmp_path / "week.jsonl", 1500), always("middle"), margin=0.001)
    assert result.verdict.verdict == "inconclusive" and not result.overlap.thin
    assert "more requests like these" in result.settle[0] and "days at this log's rate" in result.settle[0]


def test_what_counts_nowhere_is_told(tmp_path: Path) -> None:
    week = logged(tmp_path / "week.jsonl", 300)
    base = json.loads(week.read_text().splitlines()[0])
    more = [
        base | {"id": "x", "constrained": True}, {"kind": "outcome", "id": "x", "quality": 1.0},
        base | {"id": "y"},
        base | {"id": "g"}, base | {"id": "g", "kind": "stage", "model": "elsewhere", "effort": None, "code": "replaced"},
        base | {"id": "z"}, {"kind": "outcome", "id": "z", "status": "infra"},
        {k: v for k, v in base.items() if k != "propensity"} | {"id": "w"}, {"kind": "outcome", "id": "w", "quality": 1.0},
        base | {"id": "c", "stage": 0, "stages": 2}, {"kind": "outcome", "id": "c", "quality": 1.0},
        base | {"id": "f"}, base | {"id": "f", "kind": "stage", "model": "elsewhere", "effort": None, "code": "replaced"},
        {"kind": "outcome", "id": "f", "quality": 0.0},
    ]  # fmt: skip
    week.write_text(week.read_text() + "".join(json.dumps(line) + "\n" for line in more))
    log = read_log(week)
    assert len(log) == 302 and np.isnan(log.propensity).sum() == 1 and log.infra == pytest.approx(2 / 304)
    assert dict(log.left) == {
        "with an outcome, but made under constraints, which the log does not hold": 1, "without an outcome": 2,
        "without evidence (status `infra`)": 1, "answered by a model to which the gateway fell back by itself": 1,
    }  # fmt: skip
    notes = " ".join(evaluate(always("middle"), log).notes)
    assert "left out: 2 decisions without an outcome" in notes
    assert (
        "1 decision holds no propensity and counts as" in notes
        and "1 decision may have asked a second" in notes
    )


def test_keys_and_groups_join_requests_into_clusters(tmp_path: Path) -> None:
    """Keys 0, 0, 1, 2; the third's group is the fourth's; the fifth has neither."""
    week = logged(tmp_path / "week.jsonl", 5)
    rows = [json.loads(line) for line in week.read_text().splitlines()]
    for row, key in zip(rows[::2], ["0", "0", "1", "2", None], strict=True):
        row["draw"] = key
    rows[5] |= {"group": "g"}
    rows[7] |= {"group": "g"}
    for order in (rows, rows[::-1]):
        week.write_text("".join(json.dumps(row) + "\n" for row in order))
        group = read_log(week).group if order is rows else read_log(week).group[::-1]
        assert group[0] == group[1] and group[2] == group[3] and len(set(group.tolist())) == 3


def test_prompts_join_requests_only_where_nothing_was_drawn(tmp_path: Path) -> None:
    """Users who come back ask what others ask, too: joined by both, a week would be one cluster."""
    week = logged(tmp_path / "week.jsonl", 4)
    rows = [json.loads(line) for line in week.read_text().splitlines()]
    for row, (draw, prompt) in zip(
        rows[::2], [("0", "p"), ("1", "p"), (None, "q"), (None, "q")], strict=True
    ):
        row |= {"draw": draw, "prompt": prompt}
    week.write_text("".join(json.dumps(row) + "\n" for row in rows))
    group = read_log(week).group
    assert group[0] != group[1] and group[2] == group[3] and len(set(group.tolist())) == 3


def test_a_policy_that_reads_needs_prompts(tmp_path: Path) -> None:
    week = logged(tmp_path / "week.jsonl", 50)
    with pytest.raises(
        InputError, match=r"decides by prompts, and the log holds none of 50 decisions; write them"
    ):
        found(week, policy(Follow(100.0, 0.0, 1.0)))
    prompts = logged(tmp_path / "prompts.jsonl", 3000, prompt="How long?")
    # .7 − .2, .8 − 1, .75 − .4 at $100 a point: cheap for all.
    result = found(prompts, policy(Follow(100.0, 0.0, 1.0)))
    assert result.overlap.asked[0].mass == 1.0 and result.labels[result.overlap.asked[0].column] == "cheap"


def test_logs_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"kind": "outcome", "id": "1", "quality": 1.0}) + "\n")
    with (
        pytest.warns(UserWarning),
        pytest.raises(InputError, match=r"^\S*d\.jsonl: holds no .* \(it holds none at all\)"),
    ):
        read_log([tmp_path / "d.jsonl"])
    week = logged(tmp_path / "week.jsonl", 50)
    week.write_text("".join(
        json.dumps({k: v for k, v in json.loads(line).items() if k != "cost_usd" or "model" in line}) + "\n"
        for line in week.read_text().splitlines()
    ))  # fmt: skip
    with pytest.raises(InputError, match="both `cost_usd` and what the policy decides by"):
        found(week, always("dear"))


def test_a_log_of_constrained_decisions_names_the_constraints_and_what_to_do(tmp_path: Path) -> None:
    """Bounds that keep somebody out: the outcomes are there, so nobody is told to log them."""
    log, served = DecisionLog(tmp_path / "week.jsonl"), policy(Follow(100.0, 0.0, 1.0), name="champion")
    for i in range(5):
        left = [("dear", None), ("cheap", None)]
        bound: dict[str, Any] = {"min_quality": 0.75} if i < 3 else {"min_quality": 0.75, "allowed": left}
        decision = served.decide("x", suite="triage", key=str(i), **bound)
        number = log.write(decision, prompt="x", suite="triage")
        if i < 4:
            log.outcome(number, quality=1.0)
    with pytest.raises(InputError) as refused:
        read_log(log.path)
    said = str(refused.value)
    assert "it holds 4 with an outcome, but made under constraints, which the log does not hold" in said
    assert (
        "; it holds 1 without an outcome); their outcomes are there, and the constraints are the cause"
        in said
    )
    assert "They asked middle on 3, dear on 1." in said and "DecisionLog.outcome" not in said
    assert (
        "Log requests without such bounds, or serve a policy that is fitted on candidates which meet" in said
    )
    free = log.write(served.decide("x", suite="triage", key="5"), suite="triage")
    log.outcome(free, quality=1.0)
    notes = evaluate(always("cheap"), read_log(log.path), metrics=("quality",)).notes
    assert (
        "left out: 4 decisions with an outcome, but made under constraints, which the log does not hold"
        in notes
    )


def test_a_host_that_cannot_ask_everybody_is_evaluated_among_those_it_can(tmp_path: Path) -> None:
    """By names: middle and dear. What another policy would give to cheap goes to whom it falls back on."""
    log, random = DecisionLog(tmp_path / "week.jsonl", prompts=True), np.random.default_rng(4)
    served = Policy(replace(policy(Assign((2, 2), 0.5), name="champion").spec, explore={"default": 0.4}))
    left = [("dear", None), ("middle", None)]
    for i in range(3000):
        decision = served.decide("x", suite="triage", key=f"k{i}", allowed=left)
        # half of .6 is middle's, half the reference's, and .4 in equal parts
        assert decision.propensity == pytest.approx(0.3 + 0.2)
        number = log.write(decision, prompt="x", suite="triage")
        quality, cost = TRUE[decision.model]
        log.outcome(number, quality=float(random.random() < quality), cost_usd=cost)
    rows = read_log(log.path)
    assert len(rows) == 3000 and set(rows.allowed) == {(Candidate("dear"), Candidate("middle"))}
    own = evaluate(served, rows, metrics=("cost_usd",))
    assert own.figures["cost_usd"].value.value == pytest.approx(0.007, abs=0.0003)
    assert not own.notes
    cheaper = found(log.path, always("middle"), against=always("dear"))
    assert cheaper.figures["cost_usd"].value.value == pytest.approx(0.004)
    assert cheaper.figures["cost_usd"].difference.value == pytest.approx(-0.006)
    barred = found(log.path, always("cheap"))  # its reference serves in cheap's place
    assert barred.figures["cost_usd"].value.value == pytest.approx(0.01)
    with pytest.raises(
        InputError, match="has none of the candidates to whom the log's requests are kept: dear, middle"
    ):
        found(log.path, always("haiku", cast=PAGE))
    free = log.write(always("dear").decide("x", suite="triage"), prompt="x", suite="triage")
    log.outcome(free, quality=1.0, cost_usd=0.01)
    notes = found(log.path, always("haiku", cast=PAGE)).notes
    assert "left out: 3,000 decisions kept by name to candidates that the policy does not have" in notes


def test_a_shadow_s_pairs_judge_where_there_are_enough(tmp_path: Path) -> None:
    """200 requests of a log without any exploration, both asked on all of them: cheap loses 20 points, by pairs."""
    log, random = DecisionLog(tmp_path / "week.jsonl"), np.random.default_rng(3)
    champion, challenger = always("dear"), always("cheap")
    shadow = Shadow(log, share=1.0, max_usd=100.0, state=tmp_path / "state")
    for i in range(200):
        decision, other = champion.decide("x", suite="triage"), challenger.decide("x", suite="triage")
        number = log.write(decision, suite="triage")
        asked = shadow.ask(decision, other, of=number, key=str(i), suite="triage")
        assert asked is not None
        hard = random.random()
        log.outcome(number, quality=float(hard < 0.8), cost_usd=0.01)
        asked.settle(quality=float(hard < 0.6), cost_usd=0.001)
    result = found(log.path, challenger)
    assert result.pairs is not None and (result.pairs.n, result.pairs.asked, result.pairs.lost) == (
        200,
        200,
        0,
    )
    assert result.pairs.differences["quality"].value == pytest.approx(-0.2, abs=0.06)
    assert result.pairs.differences["cost_usd"].value == pytest.approx(-0.009)
    assert result.verdict.verdict == "fail" and "shadow: 200 requests, 200 asked twice" in to_text(result)
    assert found(log.path, champion).pairs is not None  # both are unsaved here, and so have one revision
    outcomes, _ = collect([log.path])
    assert outcomes.groupby("sample_id").size().eq(2).all() and outcomes["shadow"].sum() == 200


def test_pairs_of_a_challenger_that_mixes_count_alike(tmp_path: Path) -> None:
    """It asks cheap, 50 points worse, of a fifth of the keys: −10 points. What chance chose of a request that was
    drawn is what the policy gives there; by 1 / propensity it would be −25."""
    log, champion, challenger = DecisionLog(tmp_path / "week.jsonl"), always("dear"), always("cheap", 0.2)
    shadow = Shadow(log, share=1.0, max_usd=100.0, state=tmp_path / "state")
    for i in range(600):
        decision, other = (one.decide("x", suite="triage", key=str(i)) for one in (champion, challenger))
        number = log.write(decision, suite="triage")
        log.outcome(number, quality=0.9)
        asked = shadow.ask(decision, other, of=number, key=str(i), suite="triage")
        if asked is not None:
            asked.settle(quality=0.4)
    pairs = found(log.path, challenger, metrics=("quality",)).pairs
    assert pairs is not None and pairs.n == 600
    assert pairs.differences["quality"].value == pytest.approx(-0.5 * pairs.asked / 600)
    assert 80 <= pairs.asked <= 160  # 120, four standard errors


@pytest.mark.parametrize("value", [10**400, -(10**400), 5e-324, 1e-300, 0, float("nan"), True, "0.3"])
def test_what_is_no_probability_or_moment_is_not_known(tmp_path: Path, value: object) -> None:
    week = logged(tmp_path / "week.jsonl", 60)
    rows = [json.loads(line) for line in week.read_text().splitlines()]
    rows[0] |= {"propensity": value, "time": value}
    rows += [
        rows[2] | {"id": "s", "shadow": True, "of": "1", "share": value},
        {"kind": "outcome", "id": "s", "quality": 1},
    ]
    week.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        log = read_log(week)
    [said] = [str(one.message) for one in told if "a chance that is none" in str(one.message)]
    assert said.startswith(f"{week}: 2 decisions have a chance that is none, the first `propensity` ")
    assert f" of '0' (line 1 of {week}); a propensity or share is above 0 " in said
    assert np.isnan(log.propensity).tolist() == [True] + [False] * 59 and not log.pairs
    json.dumps(to_json(evaluate(always("middle"), log)), allow_nan=False)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("n", [2, 3, 5])
def test_an_estimate_of_few_decisions_lies_within_what_can_be_and_within_its_interval(
    tmp_path: Path, n: int, seed: int
) -> None:
    """Two right answers of whom the model expects .8 would be 1.06, outside of "to 100.0"."""
    result = found(logged(tmp_path / "week.jsonl", n, explore=1.0, seed=seed), always("dear"))
    for name, most in (("quality", 1.0), ("cost_usd", math.inf)):
        one = result.figures[name].value
        low, high = one.interval(0.9)
        assert math.isnan(one.value) or (low <= one.value <= high and 0 <= one.value <= most)
    for name, figure in to_json(result)["figures"].items():
        bounds = {"value": (0, 1), "beside": (0, 1), "difference": (-1, 1)}
        for part, (least, most) in bounds.items() if name == "quality" else ():
            told = [figure[part][key] for key in ("low", "value", "high")]
            assert None in told or least <= told[0] <= told[1] <= told[2] <= most


def test_one_decision_is_told_as_one(tmp_path: Path) -> None:
    one = to_text(found(logged(tmp_path / "one.jsonl", 1, explore=0.0), always("dear")))
    assert one.startswith("1 decision; ") and "1 request in 1 cluster counts as 1 of" in one


def test_a_point_or_margin_that_cannot_be_is_refused(tmp_path: Path) -> None:
    week = logged(tmp_path / "week.jsonl", 50)
    with pytest.raises(InputError, match="has no point 'cheapest'; it has 'default'"):
        found(week, always("cheap"), point="cheapest")
    save_policy(always("cheap"), tmp_path / "p")
    done = CliRunner().invoke(command, [str(tmp_path / "p"), str(week), "--margin", "3"])
    assert done.exit_code == 2 and "--margin" in done.output  # of points; nobody loses three whole qualities


def test_a_policy_part_of_which_is_over_is_told_as_it_was_and_says_so(tmp_path: Path) -> None:
    week = logged(tmp_path / "week.jsonl", 300)
    spec = always("cheap").spec
    for changes, said in (
        ({"retires": ("2020-01-01", None, "9999-12-31")}, "cheap retired on 2020-01-01"),
        ({"expires": "2020-01-02"}, "it expired on 2020-01-02"),
        ({"expires": "9999-12-31", "retires": (None, None, "9999-12-31")}, ""),
    ):
        notes = found(week, Policy(replace(spec, **changes))).notes  # type: ignore[arg-type]
        assert notes == ((f"challenger is told as it was before {said}",) if said else ())


def test_the_command_says_all_of_it(tmp_path: Path) -> None:
    folder = save_policy(always("cheap"), tmp_path / "policy")
    week = logged(tmp_path / "week.jsonl")
    arguments = [str(folder), str(week)]
    done = CliRunner().invoke(command, [*arguments, "--html", str(tmp_path / "page.html")])
    assert done.exit_code == 3, done.output
    assert "quality: " in done.output and "which decides how wide the interval is" in done.output
    assert done.output.splitlines()[-1] == str(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "challenger: evaluated on a log" in page and "Whom the policy would have asked" in page
    told = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert told["verdict"] == "fail" and told["figures"]["quality"]["difference"]["value"] < -0.1
    assert CliRunner().invoke(command, [*arguments, "--metric", "cost_usd"]).exit_code == 0
    quiet = logged(tmp_path / "quiet.jsonl", 100, explore=0.0)
    assert CliRunner().invoke(command, [str(folder), str(quiet)]).exit_code == 4


def test_the_page_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    result = found(logged(tmp_path / "week.jsonl", 30, explore=0.0), always("cheap"))
    told = to_json(result)
    assert told["figures"]["quality"]["value"]["value"] is None
    page = evaluation_html(told, to_text(result).splitlines()[-1])
    assert "asked on 0" in page and "explore: 0.02" in page


def test_collect_weighs_each_outcome_by_its_propensity(tmp_path: Path) -> None:
    """The columns of a log's rows, and that means by weight are of all requests: .6 of cheap on a tenth of them."""
    week = logged(tmp_path / "week.jsonl", 3000)
    outcomes, calls = collect([week])
    path = write_outcomes(outcomes, tmp_path / "o.parquet")
    again = read_outcomes(path)
    pd.testing.assert_frame_equal(again, outcomes, check_dtype=False)
    assert len(outcomes) == 3000 and not len(calls)
    assert (
        set(outcomes["propensity"].round(6)) == {0.1, 0.8}
        and (outcomes["inclusion"] == outcomes["propensity"]).all()
    )
    assert (outcomes["weight"] * outcomes["propensity"]).to_numpy() == pytest.approx(1.0)
    assert outcomes["explored"].fillna(False).astype(bool).mean() == pytest.approx(0.3, abs=0.03)
    assert outcomes["group"].str.fullmatch("[0-9a-f]{16}").all() and outcomes["revision"].eq("a" * 64).all()
    assert set(outcomes["decision"]) == set(outcomes["sample_id"])  # without prompts, of the decision
    by_model = outcomes.groupby("model")["weight"].sum()
    assert by_model["cheap"] == pytest.approx(3000, rel=0.25) and by_model["dear"] == pytest.approx(
        3000, rel=0.1
    )


@pytest.mark.parametrize("chance", [0.0, 1.5, -0.1])
def test_a_propensity_that_is_no_probability_is_refused(chance: float) -> None:
    row = {"suite": "s", "sample_id": "1", "model": "m", "quality": 1.0, "propensity": chance}
    with pytest.raises(InputError, match=r"`propensity` is .*probability|`propensity` is .*not negative"):
        collect_frame(pd.DataFrame([row]))


def collect_frame(frame: pd.DataFrame) -> pd.DataFrame:
    from router_lab.outcomes import validate_outcomes

    return validate_outcomes(frame)


def test_propensities_that_were_not_logged_are_those_of_the_policy_that_decided(tmp_path: Path) -> None:
    """A mix of .3 decided: where its artifact is at hand, its log is as good as one that says so; else a note."""
    folder = save_policy(always("cheap", 0.3), tmp_path / "champion")
    champion = load_policy(folder)
    week = logged(tmp_path / "week.jsonl", 1200, explore=0.0, revision=champion.revision)
    rows = [json.loads(line) for line in week.read_text().splitlines()]
    for i, row in enumerate(rows[::2]):
        row["model"] = "cheap" if i % 10 < 3 else "dear"
        row["propensity"] = 0.3 if i % 10 < 3 else 0.7
    told = []
    for kept in (True, False):
        lines = [{k: v for k, v in row.items() if kept or k != "propensity"} for row in rows]
        week.write_text("".join(json.dumps(row) + "\n" for row in lines))
        result = found(week, always("cheap"), against=champion)
        assert not any("propensity" in note for note in result.notes)
        told.append(to_json(result))
    assert told[0] == told[1] and told[0]["overlap"]["drawn"] == 1200
    [note] = found(week, always("cheap")).notes
    assert note == "1,200 decisions hold no propensity and count as made without chance"


@pytest.mark.parametrize(
    ("span", "requests", "said"),
    [(86_400.0, 5_000, " (50 days at this log's rate)"), (86_400.0, 150, " (1.5 days at this log's rate)"),
     (86_400.0, 4, " (1.0 hours at this log's rate)"), (7_200.0, 1, " (some minutes at this log's rate)"),
     (3_000.0, 29_683, ""), (0.0, 5, "")],
)  # fmt: skip
def test_how_long_it_takes_is_told_in_days_or_hours_or_not_at_all(
    span: float, requests: int, said: str
) -> None:
    """101 decisions, so 100 spans between them; of less than an hour nothing is concluded."""

    class Log:
        days = span / 86_400

        def __len__(self) -> int:
            return 101

    assert _days(requests, cast(LogRows, Log())) == said
