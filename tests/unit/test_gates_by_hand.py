"""What gates measure, correct by labels and say of who moves, by hand: changes that `make mutants` made here went
unnoticed."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from router_lab.gates.arms import Arm, change, moves
from router_lab.gates.audit import judge_errors, read_audit, shifted_difference, shifted_quality
from router_lab.gates.measure import MEASURED, against_floor, expires_in_days, price_drift
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import validate_outcomes
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate, Prices

CHEAP, DEAR = Candidate("cheap", "low"), Candidate("dear")
ALL = np.ones(4, bool)


def arm(
    served: list[list[float]],
    quality: list[list[float]] | None = None,
    cost: list[list[float]] | None = None,
    covered: list[bool] | None = None,
    weight: list[list[float]] | None = None,
) -> Arm:
    """Shares of cheap and dear (the reference), who is asked first on each row's draw; rows are clusters."""
    shares, n = np.array(served), len(served)
    known = Recorded(
        np.array(quality or [[1.0, 1.0]] * n), np.array(cost or [[0.001, 0.01]] * n), 1,
        weight=None if weight is None else np.array(weight), group=np.arange(n), suite=np.zeros(n, np.int64),
    )  # fmt: skip
    policy = SimpleNamespace(candidates=(CHEAP, DEAR), spec=SimpleNamespace(reference=1, chains=()))
    return Arm(
        policy=cast(Any, policy), keys=tuple(("a", str(i)) for i in range(n)), suite=np.array(["a"] * n, object),
        rows=known.served(shares), mix=known.served(np.tile([0.5, 0.5], (n, 1))), served=shares, recorded=known,
        stretches=cast(
            Any, SimpleNamespace(ends=np.array([1.0]), columns=shares.argmax(axis=1)[:, None], explore=0.0)
        ),
        covered=np.array(covered or [True] * n), infra=0.0,
    )  # fmt: skip


def labels(cheap: list[float], dear: list[float]) -> pd.DataFrame:
    """Audited errors of both candidates, each of a sample of its own."""
    rows = [("cheap", "low", error) for error in cheap] + [("dear", "", error) for error in dear]
    found = pd.DataFrame(rows, columns=["model", "effort", "error"])
    return found.assign(suite="a", cluster=[str(at) for at in range(len(found))])


TWO = labels([-0.1, -0.3], [0.0, 0.2])
"""cheap -.2 and dear +.1, each give or take sqrt(2 * .1^2 / 2^2 * 2) = .1."""
THREE_OF_FOUR = arm([[1, 0], [1, 0], [0, 1], [1, 0]])


def judge_error(audit: pd.DataFrame, mine: Arm, rows: Any = None) -> Estimate:
    """What labels add to a quality of 0 that is known for sure."""
    chosen = np.ones(len(mine), bool) if rows is None else rows
    return shifted_quality(Estimate(0.0, 0.0, 100, 100), mine, chosen, audit, 1)


def test_the_judge_errs_as_its_candidates_are_served() -> None:
    """Three of four go to cheap: .75 * -.2 + .25 * .1, errors .075 and .025; of the last two rows one."""
    found = judge_error(TWO, THREE_OF_FOUR)
    assert (found.value, found.se) == pytest.approx((-0.125, math.sqrt(0.00625)))
    assert (found.n, found.clusters) == (100, 4)
    some = judge_error(TWO, THREE_OF_FOUR, np.array([False, False, True, True]))
    assert (some.value, some.se) == pytest.approx((-0.05, math.sqrt(0.005)))


def test_who_has_one_label_errs_as_all_do() -> None:
    """Two labels of cheap, one of dear, mean -.2 / 3; who serves nothing adds nothing."""
    audit = labels([-0.1, -0.3], [0.2])
    everything = judge_error(audit, arm([[0, 1]]))
    assert everything.value == pytest.approx(-0.2 / 3)
    # residuals -.1/3, -.7/3 and .8/3 : squares 1.14 / 9 over 3^2, times 3 / 2
    assert everything.se == pytest.approx(math.sqrt((0.01 + 0.49 + 0.64) / 9 / 9 * 1.5))
    assert judge_error(audit, arm([[1, 0]])).value == pytest.approx(-0.2)


def test_labels_of_another_effort_or_model_are_not_its_own() -> None:
    rows = [("cheap", "high", 0.9, "a", "8"), ("other", "low", 0.9, "a", "9")]
    other = pd.DataFrame(rows, columns=TWO.columns)
    assert judge_error(pd.concat([TWO, other]), arm([[1, 0]])).value == pytest.approx(-0.2)


def test_labels_shift_a_quality_and_its_sign() -> None:
    measured = Estimate(0.8, 0.1, 100, 3)
    up, down = (shifted_quality(measured.scaled(s), THREE_OF_FOUR, ALL, TWO, s) for s in (1, -1))
    assert (up.value, down.value) == pytest.approx((0.675, -0.675))
    assert up.se == down.se == pytest.approx(math.sqrt(0.01 + 0.00625))
    assert (up.n, up.clusters) == (100, 3)
    assert shifted_quality(Estimate(0.8, 0.1, 100, 50), THREE_OF_FOUR, ALL, TWO, 1).clusters == 4


def test_labels_shift_a_difference_to_the_reference() -> None:
    """Weights .75 and .25 - 1: -.15 - .075."""
    found = shifted_difference(Estimate(0.01, 0.1, 100, 50), THREE_OF_FOUR, None, ALL, TWO)
    assert (found.value, found.se) == pytest.approx((0.01 - 0.225, math.sqrt(0.01 + 2 * 0.075**2)))


def test_a_suite_without_labels_is_not_shifted() -> None:
    """Half of the rows are of suite b, where an exact scorer needs none: half of -.2."""
    mine = replace(arm([[1, 0]] * 4), suite=np.array(["a", "a", "b", "b"], object))
    assert judge_error(TWO, mine).value == pytest.approx(-0.1)
    assert judge_error(TWO, mine, np.array([False, False, True, True])).value == 0.0


def test_labels_of_one_cluster_count_once() -> None:
    """Two clusters of cheap, each twice the same: an error of .1 as of two labels, not of four."""
    audit = labels([-0.1, -0.1, -0.3, -0.3], [])
    audit["cluster"] = ["x", "x", "y", "y"]
    found = judge_error(audit, arm([[1, 0]] * 4))
    assert (found.value, found.se, found.clusters) == pytest.approx((-0.2, 0.1, 2))


def test_how_a_judge_errs_is_told_both_ways() -> None:
    """Of three answers that people failed it passes one, of five that they passed it fails two; a rate of one
    sample has no interval, one of nothing no value."""
    rows = [("a", str(at), quality, judged) for at, (quality, judged) in enumerate(
        [(0, 1), (0, 0), (0, 0), (1, 0), (1, 0), (1, 1), (1, 1), (1, 1)])]  # fmt: skip
    rows.append(("b", "9", 1.0, 1.0))
    audit = pd.DataFrame(rows, columns=["suite", "cluster", "quality", "quality_judge"])
    first, second = judge_errors(audit)
    assert (first.suite, first.false_pass.n, first.false_fail.n) == ("a", 3, 5)
    assert (first.false_pass.value, first.false_fail.value) == pytest.approx((1 / 3, 0.4))
    assert 0 < first.false_fail.low < 0.4 < first.false_fail.high < 1
    assert math.isnan(second.false_pass.value) and second.false_pass.n == 0
    assert second.false_fail.value == 0 and math.isnan(second.false_fail.low)


def test_labels_shift_a_difference_to_the_champion() -> None:
    """Mine -.125; the champion serves half and half, -.05, which is taken off."""
    champion = arm([[0.5, 0.5]] * 4)
    found = shifted_difference(Estimate(0.01, 0.1, 100, 50), THREE_OF_FOUR, champion, ALL, TWO)
    assert (found.value, found.se) == pytest.approx((0.01 - 0.075, math.sqrt(0.01 + 0.00625 + 0.005)))


def test_labels_meet_the_mean_of_the_epochs(tmp_path: Any) -> None:
    outcomes = pd.DataFrame(
        [("a", "1", "cheap", "low", 0.2), ("a", "1", "cheap", "low", 0.6), ("a", "1", "dear", None, 1.0)],
        columns=["suite", "sample_id", "model", "effort", "quality"],
    )
    file = tmp_path / "labels.csv"
    file.write_text("suite,sample_id,model,effort,quality\na,1,cheap,low,0.9\na,1,dear,,0.75\na,9,dear,,1\n")
    with pytest.warns(RouterLabWarning, match="1 of 3 labels match no outcome"):
        found = read_audit(str(file), outcomes)
    assert dict(zip(found["model"], found["error"], strict=True)) == pytest.approx(
        {"cheap": 0.5, "dear": -0.25}
    )


# What is measured


def test_how_bounds_are_told() -> None:
    mine = arm([[1, 0]] * 4)
    forms = {
        name: MEASURED[name](mine, ALL, 0.5, 1).form for name in ("quality", "savings", "uncovered_share")
    }
    assert forms == {"quality": "share", "savings": "number", "uncovered_share": "share"}
    assert MEASURED["cost_p95_usd"](mine, ALL, 0.5, -1).form == "percentile"


@pytest.mark.parametrize(
    ("name", "value"),
    [("quality", 0.75), ("savings", 0.9), ("cost_usd_per_1k", 1.0), ("usd_per_success", 0.004 / 3),
     ("over_random_mix", 0.45), ("uncovered_share", 0.25)],
)  # fmt: skip
def test_a_metric_by_hand(name: str, value: float) -> None:
    """Four requests to cheap, of which three are right, .001 each where dear costs .01; the mix saves .45."""
    mine = arm([[1, 0]] * 4, [[1, 1], [1, 0], [1, 1], [0, 1]], covered=[True, True, False, True])
    floor, ceiling = (MEASURED[name](mine, ALL, 0.5, sign) for sign in (1, -1))
    assert (floor.shown, floor.estimate.value, floor.floor) == pytest.approx((value, value, 0.5))
    assert (ceiling.shown, ceiling.estimate.value, ceiling.floor) == pytest.approx((value, -value, -0.5))


def test_a_metric_looks_at_its_rows_alone() -> None:
    mine = arm([[1, 0]] * 4, [[1, 1], [1, 0], [1, 1], [0, 1]], covered=[True, True, False, True])
    last = np.array([False, False, False, True])
    assert MEASURED["quality"](mine, last, 0.5, 1).shown == 0.0
    assert MEASURED["uncovered_share"](mine, ~last, 0.5, 1).shown == pytest.approx(1 / 3)
    assert MEASURED["cost_p95_usd"](mine, last, 0.5, -1).estimate.n == 1


def test_a_percentile_is_the_share_of_requests_within() -> None:
    """Costs 1, 2, 3 and unknown: two of three known are within 2, one of them to the last digit; P95 is 3."""
    mine = arm([[1, 0]] * 4, cost=[[1, 9], [2, 9], [3, 9], [math.nan, 9]])
    found = MEASURED["cost_p95_usd"](mine, ALL, 2.0, -1)
    assert (found.estimate.value, found.floor, found.shown) == pytest.approx((2 / 3, 0.95, 3.0))
    assert found.estimate.n == 3
    other = MEASURED["cost_p95_usd"](mine, ALL, 2.0, 1)  # at least 2: at most 95 % are within it
    assert (other.estimate.value, other.floor) == pytest.approx((-2 / 3, -0.95))


def test_a_percentile_of_a_mix_counts_shares() -> None:
    """A quarter of each request goes to cheap, which is within; dear never is, and on the last row is not known."""
    mine = arm([[0.25, 0.75]] * 4, cost=[[1, 9], [1, 9], [1, 9], [1, math.nan]])
    found = MEASURED["cost_p95_usd"](mine, ALL, 2.0, -1)
    assert found.estimate.value == pytest.approx((0.25 * 3 + 1) / 4) and found.shown == 9.0


def test_a_percentile_counts_a_row_by_its_weight() -> None:
    """Of weights 30, 1, 1, 1 the first row's dollar is 91 %, and the one at 2 makes it 94 and the one at 3 97 %."""
    mine = arm([[1, 0]] * 4, cost=[[1, 9], [2, 9], [3, 9], [4, 9]], weight=[[30, 30], [1, 1], [1, 1], [1, 1]])
    assert MEASURED["cost_p95_usd"](mine, ALL, 2.0, -1).shown == 3.0


def test_a_score_test_needs_two_clusters_and_a_floor_inside() -> None:
    mean = Estimate(1.0, 0.0, 20, 20)
    assert against_floor(mean, 0.95).se == pytest.approx(math.sqrt(0.95 * 0.05 / 20))
    for same in (Estimate(1.0, 0.0, 1, 1), Estimate(math.nan, 0.0, 20, 20)):
        assert against_floor(same, 0.95) is same
    assert against_floor(mean, 1.0) is mean and against_floor(mean, 0.0) is mean
    assert against_floor(Estimate(1.0, 0.0, 2, 2), 0.5).se == pytest.approx(math.sqrt(0.125))
    assert against_floor(Estimate(0.5, 0.4, 20, 20), 0.5).se == pytest.approx(0.4)


def test_days_and_prices() -> None:
    assert expires_in_days("2026-12-02", dt.date(2026, 11, 22)) == 10
    assert expires_in_days(None, dt.date(2026, 11, 22)) == math.inf
    key, other = ("m", None), ("n", None)
    old = {key: Prices(10.0, 40.0), other: Prices(1.0, 1.0)}
    assert price_drift(old, {key: Prices(11.0, 38.0)}) == pytest.approx(0.1)
    assert price_drift(old, {key: Prices(5.0, 42.0), other: Prices(1.0, 1.0)}) == pytest.approx(0.5)
    assert math.isnan(price_drift(old, {}))


# Who moves


def test_moves_by_hand() -> None:
    """Three of four rows move from dear to cheap. Of one the new cost is not known, of another the new quality: of
    dollars the mean is over two of them, and of quality over two."""
    quality = [[0.0, 1.0], [math.nan, 1.0], [1.0, 1.0], [1.0, 0.0]]
    cost = [[0.001, 0.01], [0.003, 0.03], [math.nan, 0.05], [0.001, 0.01]]
    before, after = (arm(s, quality, cost) for s in ([[0, 1]] * 4, [[1, 0]] * 3 + [[0, 1]]))
    found = moves(before, after)
    assert found.moved.tolist() == [1, 1, 1, 0] and found.share == 0.75
    (one,) = found.pairs
    assert (one.was, one.now, one.share) == (DEAR, CHEAP, 0.75)
    assert one.quality_difference == pytest.approx(-0.5)
    assert (one.cost_usd_before, one.cost_usd_after) == pytest.approx((0.02, 0.002))


def test_moves_weigh_rows_as_they_were_run() -> None:
    """The second row stands for three: quality (0 - 3) / 4, dollars (.01 + 3 * .03) / 4."""
    quality, cost = [[1.0, 1.0], [0.0, 1.0]], [[0.001, 0.01], [0.003, 0.03]]
    before, after = (
        arm(s, quality, cost, weight=[[1.0, 1.0], [3.0, 1.0]]) for s in ([[0, 1]] * 2, [[1, 0]] * 2)
    )
    (one,) = moves(before, after).pairs
    assert one.quality_difference == pytest.approx(-0.75)
    assert (one.cost_usd_before, one.cost_usd_after) == pytest.approx((0.025, 0.0025))


def test_moves_of_nothing() -> None:
    same = arm([[0, 1]] * 2)
    found = moves(same, arm([[0, 1]] * 2))
    assert found.pairs == () and found.share == 0.0
    unknown = moves(same, arm([[1, 0]] * 2, [[math.nan, 1.0]] * 2)).pairs[0]
    assert math.isnan(unknown.quality_difference) and unknown.cost_usd_after == pytest.approx(0.001)


def test_a_change_is_told_of_the_rows_asked_for() -> None:
    quality = [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    before, after = (arm(s, quality) for s in ([[0, 1]] * 4, [[1, 0]] * 4))
    found = moves(before, after)
    assert change(before, after, found).gain().value == 0.0
    some = change(before, after, found, np.array([True, True, False, False]))
    assert (some.gain().value, some.gain().n) == (-0.5, 2)
    assert some.saving().value == pytest.approx(0.9)


def test_a_label_in_a_harness_is_none_of_the_model_without_one(tmp_path: Path) -> None:
    def table(**columns: Any) -> pd.DataFrame:
        return pd.DataFrame({"suite": "a", "sample_id": ["1", "2"], "model": "m", "quality": 0.5, **columns})

    file = tmp_path / "labels.csv"
    table(harness=["short", None], quality=[1.0, 0.75]).to_csv(file, index=False)
    with pytest.warns(RouterLabWarning, match="1 of 2 labels match no outcome"):
        assert read_audit(str(file), validate_outcomes(table()))["error"].tolist() == [0.25]
    both = read_audit(str(file), validate_outcomes(table(harness=["short", None])))
    assert both["error"].tolist() == [0.5, 0.25] and both["harness"].tolist() == ["short", ""]
    table(harness="short").to_csv(file, index=False)
    with pytest.raises(InputError, match="no row matches an outcome by suite, sample_id, model"):
        read_audit(str(file), validate_outcomes(table()))
