"""What a fit starts from and where it stops, by hand: rows, references, later suites, walks and their words."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from router_lab.certificate import UnknownSuites
from router_lab.config import Recipe
from router_lab.fit import coverage
from router_lab.fit.choose import Choice, Option, Piece, choose
from router_lab.fit.coverage import _evidence, _held_out, _walk, check_unknown_suites
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.judged import _why, outcome
from router_lab.fit.problem import _hardly_drawn, _reference, _restrict, _warn_of_near_copies, prepare
from router_lab.fit.walk import Walked, walk
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import split_of, validate_outcomes
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate

CHEAP, FAIR, DEAR = Candidate("cheap", "low"), Candidate("fair"), Candidate("dear")
MARGIN = Goal("margin", 0.1, 0.9)


def recipe(**more: Any) -> Recipe:
    known = {"name": "r", "reference": {"model": "large"}, "rule": {"margin": 0.1}, "holdout": 0}
    return Recipe.model_validate(known | more)


def table(groups: list[str], **more: Any) -> pd.DataFrame:
    """A row of `large` and of `small` for each group, each its own prompt."""
    return validate_outcomes(pd.DataFrame([
        {"suite": "a", "sample_id": f"s{i:03d}", "model": m, "quality": 1.0, "cost_usd": c, "prompt": f"question {i}",
         "group": g, **more} for i, g in enumerate(groups) for m, c in (("large", 0.1), ("small", 0.01))
    ]))  # fmt: skip


def bare(
    quality: Any, cost: Any, reference: int = 1, group: Any = None, weight: Any = None, **more: Any
) -> Evidence:
    values = np.asarray(quality, np.float64)
    known = Recorded(
        values, np.asarray(cost, np.float64), reference, weight=weight,
        group=np.arange(len(values)) if group is None else group, suite=np.zeros(len(values), np.int64),
    )  # fmt: skip
    return Evidence.bare(known, **more)


def sided(test: bool, share: float) -> list[str]:
    """Names of groups of suite `a` on one side of the split."""
    return [g for g in (f"g{i}" for i in range(400)) if (split_of("a", g, share) == "test") is test]


# Rows


def test_a_holdout_that_takes_every_group_is_refused() -> None:
    groups = sided(True, 0.5)[:3]
    with pytest.raises(InputError, match=r"holdout 0\.5 leaves no group to fit on; set holdout: 0"):
        prepare(recipe(holdout=0.5), table(groups))
    assert len(prepare(recipe(), table(groups)).develop) == 3


def test_rows_that_are_kept_are_those_to_choose_on() -> None:
    """Four groups to choose on and two held out: of whom fresh rows alone are the test."""
    groups = [*sided(False, 0.5)[:4], *sided(True, 0.5)[:2]]
    found = prepare(recipe(holdout=0.5), table(groups))
    assert (found.kept.sum(), len(found.develop), found.copied) == (4, 4, 0)
    assert found.held is not None and sorted(set(found.held["group"])) == sorted(groups[4:])
    assert prepare(recipe(), table(groups)).kept.all() and prepare(recipe(), table(groups)).held is None


@pytest.mark.parametrize(("copies", "said"), [(1, False), (2, True)])
def test_copies_in_the_test_split_are_told_above_one_in_twenty(copies: int, said: bool) -> None:
    """Of 20 samples held out one or two have the prompt of one to choose on."""
    frame = table([*sided(False, 0.5)[:30], *sided(True, 0.5)[:20]])
    for copy in range(copies):
        frame.loc[frame["sample_id"] == f"s{30 + copy:03d}", "prompt"] = f"question {copy}"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = prepare(recipe(holdout=0.5), frame)
    assert (
        found.copied == copies and found.held is not None and found.held["sample_id"].nunique() == 20 - copies
    )
    assert any("2 of 20 samples of the test split are copies" in str(one.message) for one in told) is said


def test_runs_lost_are_a_share_of_the_runs() -> None:
    """Two lost of ten that ran; what no money was left for did not run."""
    frame = table(["g1", "g2", "g3", "g4", "g5", "g6"])
    frame["status"] = ["ok", "error", "limit", *["ok"] * 5, "infra", "infra", "budget", "budget"]
    frame.loc[frame["status"].isin(("infra", "budget")), "quality"] = np.nan
    assert prepare(recipe(), validate_outcomes(frame)).infra == pytest.approx(0.2)


def test_the_reference_may_be_chosen_everywhere() -> None:
    frame = table([f"g{i}" for i in range(10)])
    frame = frame[~((frame["model"] == "large") & frame["sample_id"].isin(["s000", "s001", "s002"]))]
    found = prepare(recipe(min_seen=0.95), frame)
    assert found.eligible.all() and found.reference == 0 and found.compared == 1
    assert not prepare(recipe(min_seen=0.95, reference={"model": "small"}), frame).eligible[:, 0].any()


def test_candidates_are_those_that_the_recipe_names() -> None:
    frame = pd.concat([table(["g1", "g2"]), table(["g1", "g2"]).assign(effort="low")])
    asked = recipe(candidates=[{"model": "large"}, {"model": "small", "effort": "low"}])
    kept = _restrict(frame, asked)
    assert set(zip(kept["model"], kept["effort"].fillna(""), strict=True)) == {
        ("large", ""),
        ("small", "low"),
    }
    assert len(_restrict(frame, recipe())) == len(frame) == 2 * len(kept)
    with pytest.raises(InputError, match="candidates: other is not in the outcomes; they hold large"):
        _restrict(frame, recipe(candidates=[{"model": "large"}, {"model": "other"}]))
    with pytest.raises(InputError, match="reference other is not in the outcomes; they hold large"):
        prepare(recipe(reference={"model": "other"}), frame)


def test_nothing_scored_is_nothing_to_fit() -> None:
    frame = table(["g1"]).assign(status="infra", quality=np.nan)
    with pytest.raises(InputError, match="no row of the outcomes was scored"):
        prepare(recipe(), frame)


def test_a_suite_that_is_left_alone_is_the_references() -> None:
    found = prepare(recipe(), table(["g1", "g2"]))
    assert found.eligible.tolist() == [[True, True]] * 2
    assert found.without({0}).eligible.tolist() == [[True, True], [True, False]]
    assert found.eligible.all()  # the problem itself is as it was


@pytest.mark.parametrize(
    ("checks", "sends"), [([True, False], True), ([True, True], False), ([None, None], False)]
)
def test_one_failed_check_of_another_sends_questions_on(checks: list[bool | None], sends: bool) -> None:
    frame = table(["g1", "g2"])
    frame["check"] = pd.array([None, checks[0], None, checks[1]], dtype="boolean")
    frame.loc[frame["model"] == "small", "quality"] = 0.0
    found = prepare(recipe(), frame).escalating()
    assert (found is not None) is sends
    if found is not None:
        assert found.develop.quality.tolist() == [[1.0, 0.0], [1.0, 1.0]]
        assert found.develop.cost_usd[1].tolist() == pytest.approx([0.1, 0.11])


def test_a_failed_check_of_the_reference_sends_nothing_on() -> None:
    frame = table(["g1", "g2"])
    frame["check"] = pd.array([False, True, False, True], dtype="boolean")
    assert prepare(recipe(), frame).escalating() is None
    assert prepare(recipe(), table(["g1"])).escalating() is None


class Clusters(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.group)


def test_near_copies_are_told_by_the_largest_cluster() -> None:
    """Prompts 0 and 1 are near copies, and 2, 3 and 4, of which 3 and 4 are the same text; 5 to 7 have a group in
    common and one text: no near copy. Eight rows of six texts in three clusters."""
    data = Clusters(
        joined=np.array([0, 1, 2, 3, 4]), name=np.array([0, 1, 2, 3, 3, 4, 4, 4]), group=np.array([0, 0, 1, 1, 1, 2, 2, 2]),
        sample_id=[f"s{i}" for i in range(8)], suites=("a", "b"), suite=np.array([0, 0, 0, 1, 1, 1, 1, 1]),
    )  # fmt: skip
    with pytest.warns(RouterLabWarning) as told:
        _warn_of_near_copies(cast(Any, data))
    (said,) = [str(one.message) for one in told]
    assert said.startswith(
        "5 of 8 samples without a `group` are near copies, as if of one template ('s2' of suite 'a' and 's3' of suite "
        "'b'): they count as 2 clusters, all samples as 3 instead of 5."
    )


@pytest.mark.parametrize(("texts", "said"), [(20, False), (19, True)])
def test_near_copies_are_told_above_one_cluster_in_twenty(texts: int, said: bool) -> None:
    group = np.maximum(np.arange(texts) - 1, 0)
    data = Clusters(
        joined=np.arange(texts), name=np.arange(texts), group=group, suite=np.zeros(texts, np.int64), suites=("a",),
        sample_id=[str(i) for i in range(texts)],
    )  # fmt: skip
    if said:
        with pytest.warns(RouterLabWarning, match="2 of 19 samples"):
            _warn_of_near_copies(cast(Any, data))
    else:
        _warn_of_near_copies(cast(Any, data))


# The reference


def test_the_least_probability_is_told_of_who_was_hardly_drawn() -> None:
    """Rows drawn at a half and at a quarter; of suite b, fifty rows, three ran."""
    weight = np.ones((100, 2))
    drawn = np.zeros(100, bool)
    drawn[:25], weight[:20, 1], weight[20:25, 1] = True, 2.0, 4.0
    drawn[50:53], weight[50:53, 1] = True, 2.0
    data = SimpleNamespace(
        drawn=lambda _: drawn,
        weight=weight,
        suite=np.repeat([0, 1], 50),
        suites=("a", "b"),
        candidates=(CHEAP, DEAR),
    )
    said = (
        r"suite 'b': dear ran on 3 of 50 samples, and its rows say that it is drawn with probability 0\.25;"
    )
    with pytest.warns(RouterLabWarning, match=said):
        assert _hardly_drawn(cast(Any, data), 1) == [1]


def best(quality: list[float], cost: list[float], drawn: Any = None, **more: Any) -> tuple[int, int]:
    data = SimpleNamespace(
        quality=np.tile(quality, (10, 1)), cost_usd=np.tile(cost, (10, 1)), weight=np.ones((10, len(cost))),
        candidates=(CHEAP, FAIR, DEAR), drawn=lambda j: drawn,
    )  # fmt: skip
    return _reference(cast(Any, data), recipe(reference="best", **more))


def test_what_no_cost_is_known_of_is_not_within_a_budget() -> None:
    within: dict[str, Any] = {"rule": {"budget_usd_per_1k": 250}}
    assert best([1.0, 0.9, 0.8], [math.nan, 0.3, 0.2], **within) == (2, 3)
    assert best([0.7, 0.9, 1.0], [0.24, 0.25, 0.26], **within) == (1, 3)
    assert best([0.7, 0.9, 1.0], [0.5, 0.4, 0.6], **within) == (1, 3)  # none is: the cheapest
    assert best([0.7, 0.9, 1.0], [math.nan] * 3, **within) == (2, 3)  # nobody knows: the best
    assert best([1.0, 0.9, 1.0 - 1e-10], [0.3, 0.1, 0.2]) == (2, 3)  # a difference of rounding is none
    assert best([1.0, 0.9, 1.0 - 1e-8], [0.3, 0.1, 0.2]) == (0, 3)


def test_no_best_is_told_of_who_ran_on_a_part() -> None:
    with pytest.raises(
        InputError, match="`reference: best` cannot be told: cheap @ low, fair, dear ran on a drawn part"
    ):
        best([1.0, 0.9, 0.8], [0.1, 0.2, 0.3], drawn=np.ones(10, bool))


# Later suites


def test_suites_held_out_keep_their_numbers() -> None:
    """Codes need not be whole: 7 (three rows), 3 (two) and 9 (one); a copy leaves both sides."""
    suite, group = np.array([7, 7, 7, 3, 3, 9]), np.array([0, 1, 2, 3, 0, 5])
    assert [[part.tolist() for part in pair] for pair in _held_out(suite, group)] == [
        [[3, 5], [0, 1, 2]], [[1, 2, 5], [3, 4]], [[0, 1, 2, 3, 4], [5]],
    ]  # fmt: skip


def later(
    quality: Any, shares: list[float], goal: Goal = MARGIN, *, suites: int = 2, ends: tuple[float, float] = (0.0, 2.0),
    seen: Any = None, weight: Any = None, cost: Any = None, action: Any = None,
) -> UnknownSuites:  # fmt: skip
    """Of rows in turn of the suites, cheap for all, in pieces of these shares."""
    n = len(quality)
    known = bare(quality, np.tile([0.01, 0.1], (n, 1)) if cost is None else cost, weight=weight)
    act = np.zeros((n, len(shares)), np.int64) if action is None else action
    return _walk(
        known, np.ones(n) if seen is None else seen, act, np.array(shares), goal, ends, np.arange(n) % suites
    )


def test_pieces_that_are_followed_add_up() -> None:
    """Cheap loses a fifth of 200 rows: at two pieces of a fifth each .08 is lost, and at a tenth more for sure."""
    quality = np.column_stack([(np.arange(200) % 5 > 0).astype(float), np.ones(200)])
    found = later(quality, [0.2, 0.2], Goal("margin", 0.2, 0.9))
    assert found.gain is not None and found.gain.value == pytest.approx(-0.08) and found.followed == 1.0
    action = np.column_stack([np.zeros(200, np.int64), np.ones(200, np.int64)])
    found = later(quality, [0.2, 0.3], Goal("margin", 0.2, 0.9), action=action)
    assert found.gain is not None and found.gain.value == pytest.approx(-0.04)


def test_room_for_a_loss_that_was_not_seen_is_as_long_as_the_mix() -> None:
    """Nothing differs on 100 rows: one more lost row is mix / 100; of dollars within a budget nothing hides."""
    low = [later(np.ones((100, 2)), shares).gain for shares in ([0.1], [0.1, 0.1])]
    one, two = (figure.low for figure in low if figure is not None and figure.low is not None)
    assert two == pytest.approx(2 * one) and one < 0
    within = later(np.ones((100, 2)), [0.5], Goal("budget", 0.2, 0.9)).gain
    assert within is not None and (within.value, within.low) == pytest.approx((0.725, 0.725))  # 1 - .055 / .2
    never = later(np.ones((100, 2)), [0.5], ends=(2.0, 2.0))
    assert never.gain is not None and (never.coverage, never.followed, never.gain.low) == (2.0, 0.0, 0.0)


@pytest.mark.parametrize(("suites", "clusters"), [(19, 100), (20, 20)])
def test_suites_are_what_is_counted_from_twenty_on(suites: int, clusters: int) -> None:
    found = later(np.ones((100, 2)), [0.1], suites=suites)
    assert found.gain is not None and (found.gain.clusters, found.suites_held_out) == (clusters, suites)


def test_rows_followed_weigh_as_what_they_need() -> None:
    """Half of 200 rows stand for three where cheap serves them: 400 in all, 133 alike; where none does, 200."""
    weight = np.ones((200, 2))
    weight[:100, 0] = 3.0
    quality = np.column_stack([np.r_[np.full(100, 0.9), np.ones(100)], np.ones(200)])
    found = later(quality, [1.0], Goal("margin", 0.5, 0.9), weight=weight)
    assert found.gain is not None and found.gain.value == pytest.approx(-0.075) and found.followed == 1.0
    half = np.r_[np.zeros(100), np.ones(100)]
    some = later(quality, [1.0], Goal("margin", 0.5, 0.9), weight=weight, seen=half, ends=(0.5, 1.0))
    assert some.gain is not None and (some.gain.value, some.gain.n, some.followed) == (0.0, 200, 0.5)


@pytest.mark.parametrize(("n", "followed"), [(19, 0.0), (20, 1.0)])
def test_twenty_rows_show_what_unknown_suites_lose(n: int, followed: float) -> None:
    found = later(np.ones((n, 2)), [0.1], Goal("margin", 0.5, 0.9), suites=2)
    assert (found.followed, found.coverage) == (followed, 0.0 if followed else 2.0)


def test_a_least_quality_has_to_be_shown_even_where_nothing_is_followed() -> None:
    quality = np.tile([0.9, 0.5], (100, 1))
    for level, reached in ((0.4, 0.0), (0.6, 2.0)):
        found = later(quality, [1.0], Goal("quality", level, 0.9), ends=(0.0, 1.5))
        assert found.coverage == reached and found.gain is not None
        assert found.gain.value == pytest.approx((0.9 if not reached else 0.5) - level)


def test_thresholds_go_down_quantile_by_quantile() -> None:
    """Of 200 rows those below .3 lose all, and a tenth of all may be lost."""
    seen = np.arange(200) / 200
    quality = np.column_stack([(seen >= 0.3).astype(float), np.ones(200)])
    found = later(quality, [1.0], Goal("margin", 0.1, 0.9), seen=seen, ends=(0.0, 1.0))
    # Of the quantiles, cut to hundredths: .29, .24 with twelve rows that lose all, and .19, where .1 and more is lost.
    assert (found.coverage, found.followed) == (0.24, 0.76)
    assert found.gain is not None and found.gain.value == pytest.approx(-0.06)
    least = later(np.ones((200, 2)), [1.0], Goal("margin", 0.1, 0.9), seen=seen, ends=(0.37, 1.0))
    assert least.coverage == 0.37 and least.followed == pytest.approx(0.63)


def held(n: int, suites: int, *, quality: Any = None, acts: bool = True) -> UnknownSuites | None:
    """`check_unknown_suites` of a choice that sends two fifths to cheap whatever is asked."""
    values = np.ones((n, 2)) if quality is None else quality
    data = Clusters(
        quality=values, cost_usd=np.tile([0.01, 0.1], (n, 1)), weighting=None, missing=np.zeros((n, 2)),
        group=np.arange(n), suite=np.arange(n) % suites, figures={},
    )  # fmt: skip
    asked = SimpleNamespace(develop=data, reference=1, eligible=np.ones((suites + 1, 2), bool))
    pieces = (Piece(0.5, Option("fixed", 0.0, 0.0, 0)), Piece(0.5, None))
    walked = Walked(0.8 if acts else 0.0, 1, 0.8, Estimate(0, 0, n, n))
    choice = Choice(pieces, np.zeros((n, 1), np.int64), *cast(Any, (None, MARGIN)), walked, np.ones(n, bool))
    return check_unknown_suites(
        cast(Any, asked), *cast(Any, (None, None)), choice, Goal("margin", 0.3, 0.9), 0.0, 0
    )


def test_suites_are_held_out_where_there_are_two_and_something_acts() -> None:
    assert held(60, 1) is None and held(60, 2, acts=False) is None
    quality = np.column_stack([np.full(60, 0.9), np.ones(60)])
    found = held(60, 3, quality=quality)
    assert found is not None and (found.coverage, found.followed, found.suites_held_out) == (0.0, 1.0, 3)
    assert found.gain is not None and found.gain.value == pytest.approx(-0.04)  # .8 * .5 * .1


def test_no_row_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "ROWS", 50)
    for n, looked in ((50, 50), (60, 50)):
        found = held(n, 2)
        assert found is not None and found.gain is not None
        assert (found.gain.n, found.gain.clusters) == (looked, looked)


def test_unknown_suites_go_by_what_is_open_in_all_of_them_together() -> None:
    data = SimpleNamespace(
        quality=np.ones((4, 2)), cost_usd=np.ones((4, 2)), weighting=None, missing=None, group=np.arange(4),
        suite=np.arange(4), figures={},
    )  # fmt: skip
    eligible = np.array([[False, True], [True, True], [True, True], [True, True], [True, True]])
    asked = SimpleNamespace(develop=data, reference=1, eligible=eligible)
    found = _evidence(cast(Any, asked), np.array([1, 3]))
    assert found.eligible.tolist() == [[False, True]] * 2 and found.group.tolist() == [1, 3]


# Evidence and its walk


def test_a_mix_of_nothing_is_the_reference_even_where_the_table_acts() -> None:
    seen = replace(
        bare([[0.5, 1.0]] * 2, [[0.01, 0.1]] * 2), covered=np.array([True, False]), table=np.array([0, 0])
    )
    action = np.zeros((2, 1), np.int64)
    assert seen.baseline_action.tolist() == [1, 0]
    assert seen.follow(action, 0.0).quality.tolist() == [1.0, 1.0]
    assert seen.follow(action, 0.5).quality.tolist() == [0.75, 0.5]
    assert (
        seen.everywhere().baseline_action.tolist() == [1, 1] and seen.everywhere().everywhere().covered.all()
    )


def test_what_a_row_is_missing_is_left_out_with_it() -> None:
    seen = replace(bare([[0.5, 1.0]] * 2, [[0.01, 0.1]] * 2), missing=np.array([[0.5, 0.0], [0.25, 0.0]]))
    some = seen.only(np.array([False, True]))
    assert some.missing is not None and some.missing.tolist() == [[0.0, 0.0], [0.25, 0.0]]
    assert np.isnan(some.cost_usd[0]).all() and some.cost_usd[1].tolist() == [0.01, 0.1]
    assert seen.values(np.zeros(2, np.int64), Goal("quality", 0.1, 0.9)) == pytest.approx(
        np.array([0.15, 0.275])
    )


def test_where_no_row_has_both_nothing_is_walked() -> None:
    seen = bare([[math.nan, 1.0]] * 30, [[0.01, 0.1]] * 30)
    for goal, mix in ((MARGIN, 0.0), (Goal("quality", 0.5, 0.9), -1.0)):
        found = walk(np.zeros((30, 1), np.int64), seen, goal)
        assert (found.mix, found.tested, found.at, found.estimate.n) == (mix, 0, 1.0, 0)
        assert math.isnan(found.estimate.value) and found.estimate.independent == 0


def test_without_chance_a_walk_has_two_ends() -> None:
    seen = bare(np.ones((40, 2)), [[0.01, 0.1]] * 40)
    action = np.zeros((40, 1), np.int64)
    whole = walk(action, seen, Goal("margin", 0.2, 0.9, mix=False))
    assert (whole.mix, whole.tested, whole.at) == (1.0, 1, 1.0)
    none = walk(action, seen, Goal("margin", 0.01, 0.9, mix=False))
    assert (none.mix, none.tested, none.at) == (0.0, 1, 1.0)
    both = walk(action, seen, Goal("quality", 0.5, 0.9, mix=False))
    assert (both.mix, both.tested) == (1.0, 2)


def test_a_table_that_acts_has_to_be_shown() -> None:
    """Where some row is left to cheap, mix 0 is no more free: it is tested like any step."""
    seen = bare(np.column_stack([np.zeros(40), np.ones(40)]), [[0.01, 0.1]] * 40)
    seen = replace(seen, covered=np.arange(40) >= 20, table=np.zeros(40, np.int64))
    found = walk(np.ones((40, 1), np.int64), seen, MARGIN)
    assert (found.mix, found.tested, found.at, found.estimate.value) == (-1.0, 1, 0.0, -0.5)


# The verdict in words


def world(cost: Any, eligible: list[bool], *, reference: str = "named", infra: float = 0.0) -> Any:
    costs = np.asarray(cost, np.float64)
    return SimpleNamespace(
        reference=1, infra=infra, eligible=np.array([eligible]),
        recipe=SimpleNamespace(holdout=0.0, min_seen=0.95, reference=reference),
        develop=SimpleNamespace(candidates=(CHEAP, DEAR), cost_usd=costs, quality=np.ones(costs.shape)),
    )  # fmt: skip


def chosen(seen: Evidence, mix: float, found: Estimate, goal: Goal, *, picked: bool) -> Choice:
    n = len(seen.group)
    pieces = (Piece(1.0, Option("fixed", 0.0, 0.0, 0)),) if picked else ()
    walked = Walked(mix, 2, max(mix, 0.0), found)
    return Choice(pieces, np.zeros((n, 1), np.int64), seen, goal, walked, np.ones(n, bool))


SHUT = [[0.1, 0.1]] * 40
OPEN = [[0.01, 0.1]] * 40
LOSES = Estimate(-0.3, 0.01, 40, 40)
HOLDS = Estimate(0.2, 0.01, 40, 40)


@pytest.mark.parametrize(
    ("cost", "mix", "found", "goal", "picked", "word", "reason"),
    [
        (SHUT, -1.0, LOSES, Goal("quality", 0.7, 0.9), False, "inconclusive", "do not route: not even dear alone is sho"),
        (SHUT, 0.0, HOLDS, MARGIN, False, "pass", "do not route: no eligible candidate costs less than dear"),
        (SHUT, 1.0, HOLDS, MARGIN, True, "pass", "with 100 % of eligible traffic routed; lower bound"),
        (OPEN, 0.0, HOLDS, MARGIN, False, "inconclusive", "do not route: no choice promised a saving within the rule;"),
        (OPEN, 0.0, HOLDS, MARGIN, True, "inconclusive", "do not route yet: with 0 % of eligible traffic routed, lower"),
        (OPEN, 0.0, LOSES, Goal("budget", 0.02, 0.9), False, "inconclusive", "do not route: no choice promised a saving"),
        (OPEN, 0.0, HOLDS, Goal("budget", 0.02, 0.9), True, "inconclusive", "do not route yet: with 0 % of eligible"),
    ],
)  # fmt: skip
def test_how_a_choice_ended(
    cost: Any, mix: float, found: Estimate, goal: Goal, picked: bool, word: str, reason: str
) -> None:
    seen = bare(np.ones((40, 2)), cost)
    told = outcome(world(cost, [True, True]), seen, chosen(seen, mix, found, goal, picked=picked))
    assert told.verdict == word and told.reason.startswith(reason)
    assert (told.n, told.clusters) == (40, 40)
    assert (told.judged is None) == ("no eligible" in reason or "no choice" in reason)


def test_what_infra_lost_and_what_has_no_price_conclude_nothing() -> None:
    seen = bare(np.ones((40, 2)), OPEN)
    good = chosen(seen, 1.0, HOLDS, MARGIN, picked=True)
    assert outcome(world(OPEN, [True, True], infra=0.01), seen, good).verdict == "pass"
    lost = outcome(world(OPEN, [True, True], infra=0.011), seen, good)
    assert lost.verdict == "inconclusive" and lost.reason.startswith("1.1% of runs gave no evidence")
    unpriced = bare(np.ones((40, 2)), [[0.01, math.nan]] * 40)
    none = outcome(world(OPEN, [True, True]), unpriced, replace(good, evidence=unpriced))
    assert none.verdict == "inconclusive" and none.reason == (
        "do not route: no costs are known, so nothing can be saved; dear serves"
    )
    best_ = chosen(seen, 0.0, HOLDS, MARGIN, picked=False)
    told = outcome(world(SHUT, [True, True], reference="best"), bare(np.ones((40, 2)), SHUT), best_)
    assert told.reason == "do not route: no eligible candidate costs less than dear, the best single one"


def test_a_confidence_that_is_higher_than_promised_says_why() -> None:
    assert _why(Goal("margin", 0.1, 0.9)) == "" == _why(Goal("margin", 0.1, 0.9, promised=0.9))
    assert _why(Goal("margin", 0.1, 0.915, promised=0.9)) == ", so that all of it holds at 90 %"


# What halves choose


def test_a_piece_is_as_large_as_the_rows_that_it_acts_on() -> None:
    """Cheap spares money on the twenty rows of fold 0 alone: chosen there, it serves the sixty of fold 1."""
    fold = np.repeat([0, 1], [20, 60])
    cost = np.column_stack([np.where(fold == 0, 0.01, 0.3), np.full(80, 0.1)])
    seen = bare(np.ones((80, 2)), cost, fold=fold)
    option = Option("fixed", 0.0, 0.0, 0)
    found = choose([option], np.zeros((1, 80), np.int16), seen, Goal("margin", 0.5, 0.9))
    assert {piece.option: piece.share for piece in found.pieces} == {option: 0.75, None: 0.25}
    assert found.action[:, 0].tolist() == [1] * 20 + [0] * 60
    assert found.reads is False and found.by_suite and found.promising


def test_without_chance_one_half_chooses_for_all() -> None:
    fold = np.repeat([0, 1], 40)
    seen = bare(np.ones((80, 2)), [[0.01, 0.1]] * 80, fold=fold)
    option = Option("fixed", 0.0, 0.0, 0)
    found = choose([option], np.zeros((1, 80), np.int16), seen, Goal("margin", 0.5, 0.9, mix=False))
    assert found.pieces == (Piece(1.0, option),) and found.judged.tolist() == [False] * 40 + [True] * 40
    assert found.action.tolist() == [[0]] * 80 and found.walked.estimate.n == 40
