"""Levers of harnesses: effects and clashes by hand, as rules, and in a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics.levers import Change, Factorial
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.report import report_html
from router_lab.report.levers import levers_found
from router_lab.report.levers_page import levers_lines

CONTEXT, TURNS = Change(0, 1), Change(1, 1)
QUALITY = {"00": [1, 1, 1, 1], "10": [1, 1, 1, 0], "01": [1, 1, 0, 1], "11": [0, 1, 0, 0]}
DOLLARS = {"00": [10, 10, 20, 20], "10": [5, 5, 10, 10], "01": [8, 8, 16, 16], "11": [5, 5, 8, 12]}


def factorial(quality: dict[str, list[Any]], cost: dict[str, list[Any]], **more: Any) -> Factorial:
    def cube(values: dict[str, list[Any]]) -> Any:
        table = [[values[f"{i}{j}"] for j in (0, 1)] for i in (0, 1)]
        return np.moveaxis(np.array(table, np.float64), -1, 0)

    return Factorial(cube(quality), cube(cost), **{"group": np.arange(len(quality["00"])), **more})


def test_two_by_two_by_hand() -> None:
    """Context, sample by sample: (0 − 1)/2, 0, 0, (−1 − 1)/2. Its dollars: 30 of 60, and 30 of 48."""
    two = factorial(QUALITY, DOLLARS)
    assert two.gain(CONTEXT).value == pytest.approx((-0.5 + 0 + 0 - 1) / 4)
    assert two.gain(TURNS).value == pytest.approx((-0.5 + 0 - 1 + 0) / 4)
    assert two.saving(CONTEXT).value == pytest.approx((1 - 30 / 60 + 1 - 30 / 48) / 2)
    assert two.saving(TURNS).value == pytest.approx((1 - 48 / 60 + 1 - 30 / 30) / 2)
    # 0 − 1 − 1 + 1 in the first sample, nothing in the others.
    assert two.interaction(CONTEXT, TURNS).value == pytest.approx(-1 / 4)
    told = two.together(CONTEXT, TURNS)
    assert told is not None
    # Half and a fifth: together the product would be 1 − .5 × .8 = .6, the sum .7; it is .5.
    assert (told.first, told.second, told.both) == pytest.approx((0.5, 0.2, 0.5))
    assert (told.product, told.sum, told.beyond.value) == pytest.approx((0.6, 0.7, -0.1))


def test_a_row_that_lacks_a_combination_is_left_out_and_weights_count() -> None:
    lost = {**QUALITY, "11": [np.nan, 1, 0, 0]}
    two = factorial(lost, {**DOLLARS, "10": [5, 5, np.nan, 10]})
    assert two.gain(CONTEXT).value == pytest.approx((0 + 0 - 1) / 3) and two.gain(CONTEXT).n == 3
    assert two.saving(TURNS).value == pytest.approx((1 - 32 / 40 + 1 - 22 / 20) / 2)
    heavy = factorial(QUALITY, DOLLARS, weight=np.array([1.0, 1, 1, 5]))
    assert heavy.gain(CONTEXT).value == pytest.approx((-0.5 + 0 + 0 - 5) / 8)
    assert heavy.saving(CONTEXT).value == pytest.approx((1 - 70 / 140 + 1 - 78 / 112) / 2)
    nothing = factorial(QUALITY, {name: [np.nan] * 4 for name in DOLLARS})
    assert np.isnan(nothing.saving(CONTEXT).value) and nothing.together(CONTEXT, TURNS) is None


def test_the_error_of_a_mean_of_two_savings_is_what_the_bootstrap_says() -> None:
    """Shares of 300 samples whose dollars vary: the linearised error within a sixth of 400 resamples'."""
    draw = np.random.default_rng(0)
    size = draw.lognormal(0, 1, 300)
    noise = draw.uniform(0.7, 1.3, (300, 2, 2))
    cost = size[:, None, None] * np.array([[1.0, 0.8], [0.5, 0.3]]) * noise
    quality = np.zeros((300, 2, 2))
    whole = Factorial(quality, cost, np.arange(300))
    rows = draw.integers(0, 300, (400, 300))
    again = [Factorial(quality[r], cost[r], np.arange(300)) for r in rows]
    for value in (
        lambda one: one.saving(CONTEXT),
        lambda one: one.saving(TURNS),
        lambda one: one.together(CONTEXT, TURNS).beyond,
    ):
        spread = np.std([value(one).value for one in again])
        assert value(whole).se == pytest.approx(spread, rel=1 / 6)


CELLS = st.lists(st.tuples(*[st.floats(0, 1)] * 4, *[st.floats(0.1, 10)] * 4), min_size=2, max_size=12)


@given(CELLS)
def test_a_lever_without_effect_has_none_and_exchanged_levels_flip_the_sign(rows: list[Any]) -> None:
    table = np.array(rows)
    quality, cost = table[:, :4].reshape(-1, 2, 2), table[:, 4:].reshape(-1, 2, 2)
    group = np.arange(len(table))
    plain = Factorial(quality, cost, group)
    flipped = Factorial(quality[:, ::-1], cost[:, ::-1], group)
    assert flipped.gain(CONTEXT).value == pytest.approx(-plain.gain(CONTEXT).value)
    assert flipped.gain(CONTEXT).se == pytest.approx(plain.gain(CONTEXT).se)
    assert flipped.gain(TURNS).value == pytest.approx(plain.gain(TURNS).value)
    assert flipped.interaction(CONTEXT, TURNS).value == pytest.approx(
        -plain.interaction(CONTEXT, TURNS).value
    )
    assert plain.interaction(CONTEXT, TURNS).value == pytest.approx(plain.interaction(TURNS, CONTEXT).value)
    one, two = plain.together(CONTEXT, TURNS), plain.together(TURNS, CONTEXT)
    assert one is not None and two is not None and one.beyond.value == pytest.approx(two.beyond.value)
    same = Factorial(quality[:, [0, 0]], cost[:, [0, 0]], group)
    assert same.gain(CONTEXT).value == 0 and same.saving(CONTEXT).value == pytest.approx(0, abs=1e-12)
    assert same.interaction(CONTEXT, TURNS).value == pytest.approx(0)
    told = same.together(CONTEXT, TURNS)
    assert told is not None and told.beyond.value == pytest.approx(0, abs=1e-12)
    assert told.both == pytest.approx(told.second)


@given(CELLS)
def test_kept_shares_of_exchanged_levels_multiply_to_one_where_there_is_one_lever(rows: list[Any]) -> None:
    cost = np.array(rows)[:, 4:6]
    plain, flipped = (
        Factorial(np.zeros(cost.shape), values, np.arange(len(cost))) for values in (cost, cost[:, ::-1])
    )
    kept = (1 - plain.saving(CONTEXT).value) * (1 - flipped.saving(CONTEXT).value)
    assert kept == pytest.approx(1)


# --- in a report --------------------------------------------------------------------------------

LEVELS = {"0": {"context": "all", "turns": "four"}, "1": {"context": "last", "turns": "two"}}


def table(times: int = 15, combinations: tuple[str, ...] = ("00", "10", "01", "11")) -> pd.DataFrame:
    """The four samples above so many times; two of them fail in the cheapest harness."""
    rows, candidates = [], []
    for name in combinations:
        levels = {"context": LEVELS[name[0]]["context"], "turns": LEVELS[name[1]]["turns"]}
        harness = f"context {levels['context']}, turns {levels['turns']}"
        candidates.append({"model": "m", "effort": None, "harness": harness, "levers": levels})
        rows += [
            {"suite": "s", "sample_id": f"{at}", "model": "m", "harness": harness, "status": "ok",
             "quality": float(QUALITY[name][at % 4]), "cost_usd": float(DOLLARS[name][at % 4])}
            for at in range(4 * times)
        ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.attrs["candidates"] = candidates
    return validate_outcomes(frame)


def test_a_report_says_what_each_lever_does_and_which_clash() -> None:
    found = levers_found(table())
    assert found is not None
    [one] = found.found
    assert [effect.label for effect in one.effects] == ["context: all → last", "turns: four → two"]
    assert one.effects[0].gain.value == pytest.approx(-0.375)
    assert one.effects[0].saving.value == pytest.approx(0.4375)
    # Two levers and one pair, each of quality and of dollars.
    assert found.intervals == 6 and found.each == pytest.approx(1 - 0.05 / 6)
    assert one.effects[0].gain.confidence == found.each
    [pair] = one.pairs
    assert pair.clashes and pair.beyond is not None and pair.beyond.value == pytest.approx(-0.1)
    text = "\n".join(levers_lines(found))
    assert "context: all → last" in text and "99.17 %, so that all 6 hold together at 95 %" in text
    assert (
        "Savings clash (less together than the product): m, context: all → last; turns: four → two." in text
    )


def test_the_dearer_level_is_what_others_are_compared_with_and_every_pair_of_levels_counts() -> None:
    frame = table()
    swapped = frame.copy()
    swapped.attrs = {"candidates": list(reversed(frame.attrs["candidates"]))}
    found = levers_found(swapped)
    assert found is not None and [e.base for e in found.found[0].effects] == ["all", "four"]
    three = frame[frame["harness"].str.contains("four")].copy()
    extra = three[three["harness"].str.contains("last")].assign(
        harness="context mask, turns four", cost_usd=1.0
    )
    more = pd.concat([three, extra], ignore_index=True)
    more.attrs["candidates"] = [
        {"model": "m", "harness": f"context {level}, turns four", "levers": {"context": level, "turns": "four"}}
        for level in ("all", "last", "mask")
    ]  # fmt: skip
    found = levers_found(validate_outcomes(more))
    assert found is not None and found.intervals == 2 * 3
    assert [e.label for e in found.found[0].effects] == ["context: all → last", "context: all → mask"]
    assert found.found[0].pairs == ()


def test_where_combinations_lack_it_is_said_and_nothing_is_computed() -> None:
    frame = table(combinations=("00", "10", "01"))
    found = levers_found(frame)
    assert found is not None and found.found == () and found.lacking == (("m", 3, 4),)
    assert "m ran in 3 of 4 combinations of levers: what they do cannot be told apart." in levers_lines(found)
    bare = table()
    bare.attrs["candidates"] = []
    assert levers_found(bare) is None and levers_lines(None) == []


def test_sweeps_that_moved_other_levers_are_other_experiments() -> None:
    both = table()
    first = both[both["harness"].str.contains("four")]
    alone = first.assign(harness=first["harness"].str.removesuffix(", turns four"))
    frame = pd.concat([both, alone], ignore_index=True)
    frame.attrs["candidates"] = [
        *({"model": "m", "harness": f"context {level}", "levers": {"context": level}} for level in ("all", "last")),
        *both.attrs["candidates"],
    ]  # fmt: skip
    frame = frame[frame["harness"] != "context last, turns four"]
    found = levers_found(validate_outcomes(frame))
    assert found is not None and [one.label for one in found.found] == ["m (context)"]
    assert found.lacking == (("m (context, turns)", 3, 4),)


def test_a_combination_that_is_there_twice_is_one() -> None:
    frame = table(combinations=("00", "10", "01"))
    again = frame[frame["harness"] == frame["harness"].iloc[0]].assign(harness="again")
    more = pd.concat([frame, again], ignore_index=True)
    first = frame.attrs["candidates"][0]
    more.attrs["candidates"] = [*frame.attrs["candidates"], {**first, "harness": "again"}]
    found = levers_found(validate_outcomes(more))
    assert found is not None and found.lacking == (("m", 3, 4),)


def test_without_dollars_quality_is_told_alone() -> None:
    frame = table().assign(cost_usd=np.nan)
    found = levers_found(frame)
    assert found is not None
    [one] = found.found
    assert one.effects[0].gain.value is not None and one.effects[0].saving.value is None
    assert one.pairs[0].beyond is None and not one.pairs[0].clashes
    assert levers_lines(found)


def test_the_section_stands_in_terminal_page_and_json(tmp_path: Path) -> None:
    path = write_outcomes(table(), tmp_path / "outcomes.parquet")
    printed = CliRunner().invoke(cli, ["report", str(path)])
    assert printed.exit_code == 0 and "Levers: what each does, and together" in printed.output, printed.output
    plain = json.loads(CliRunner().invoke(cli, ["report", str(path), "--json"]).output)["levers"]
    assert plain["intervals"] == 6 and plain["models"][0]["pairs"][0]["clashes"] is True
    assert plain["models"][0]["effects"][0]["saving"]["value"] == pytest.approx(0.4375)
    page = report_html(table())
    assert "Levers: what each does, and together" in page and "turns: four → two" in page


def test_names_of_levers_run_nothing() -> None:
    frame = table()
    for one in frame.attrs["candidates"]:
        one["levers"] = {f"<script>{k}": f"{v}\x1b[2J" for k, v in one["levers"].items()}
    found = levers_found(frame)
    assert "<script>" not in report_html(frame).split("<script>", 1)[0]
    assert "<script>context" not in report_html(frame) and "\x1b" not in "\n".join(levers_lines(found))


def test_a_policy_of_candidates_in_harnesses_has_a_report() -> None:
    """Whatever names a candidate there names its harness, too."""
    frame = table()
    reference = {"model": "m", "harness": "context all, turns four"}
    policy = fit_policy(Recipe.model_validate({"name": "h", "reference": reference, "holdout": 0}), frame)
    page = report_html(frame, policy=policy)
    assert page.count("m + context all, turns four") > 3 and "Levers: what each does" in page
