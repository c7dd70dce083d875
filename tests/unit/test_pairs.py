"""`router-lab chains`: pairs of candidates played on left-out rows, with numbers worked out by hand."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.fit.pair import Pair, Told
from router_lab.fit.pairs import best_pair, pairs
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

MARGIN = 0.05


@cache
def world(told: float = 2.0, n: int = 600, dear: float = 0.02) -> pd.DataFrame:
    """Two suites; `small` is right in half of the samples, `large` there and in .8 of the others. A signal of the small
    one's answer is a normal number, `told` higher where it is right."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        easy = rng.random() < 0.5
        large = float(easy or rng.random() < 0.8)
        own = {"suite": f"s{i % 2}", "sample_id": str(i), "prompt": f"question number {i}"}
        rows += [
            own | {"model": "small", "quality": float(easy), "cost_usd": 0.001, "latency_s": 1.0,
                   "signal_sure": told * easy + rng.normal(), "signals_usd": 0.0005},
            own | {"model": "large", "quality": large, "cost_usd": dear, "latency_s": 5.0},
        ]  # fmt: skip
    return pd.DataFrame(rows)


@cache
def played(told: float = 2.0, dear: float = 0.02) -> tuple[Pair, Told]:
    [pair] = pairs(world(told, dear=dear), MARGIN)
    [one] = pair.told
    return pair, one


def value(figure: Any) -> float:
    assert figure.value is not None
    return float(figure.value)


def test_a_signal_that_tells_pays() -> None:
    pair, one = played()
    assert (str(pair.cheap), str(pair.dear), one.source) == ("small", "large", "signal:sure")
    assert pair.word == "pays"
    assert pair.ratio == pytest.approx(0.05) and one.ratio == pytest.approx(0.075)
    frame = world()
    small = frame[frame["model"] == "small"]["quality"].to_numpy()
    assert pair.right == pytest.approx(small.mean())
    assert pair.alone == 0.0  # the large one is right wherever the small one is
    assert one.auc is not None and one.auc.low is not None and one.auc.high is not None
    # Two normals two apart: the one is above the other in .921.
    assert one.auc.low < 0.5 * math.erfc(-1.0) < one.auc.high
    assert (one.quality.low or -1) > -2 * MARGIN and value(one.quality) >= -MARGIN
    assert value(one.saving) <= pair.perfect.saving


def test_dollars_are_those_of_both_calls_and_of_the_signal() -> None:
    """c + s + e d: the saving is 1 - e - .075, and nothing is left of it from a ratio of 1 - e on."""
    _, one = played()
    assert 0.3 < one.share < 0.9
    assert value(one.saving) == pytest.approx(1 - one.share - 0.075)
    assert one.break_even == pytest.approx(1 - one.share)
    assert one.signals_usd == pytest.approx(0.0005)


def test_seconds_are_of_both_calls() -> None:
    pair, one = played()
    assert pair.seconds == (5.0, 5.0)
    assert one.seconds == (6.0 if one.share > 0.5 else 1.0, 6.0)


def test_the_random_mix_loses_no_more_than_the_margin_and_saves_what_it_moves() -> None:
    """It moves a share u at most: it loses .4 u, and saves .95 u; .05 is lost at an eighth, less what is not shown."""
    pair, _ = played()
    assert 0.05 < pair.mix < 0.95 * 0.05 / 0.4 * 1.1


def test_a_signal_that_tells_nothing_is_not_learned() -> None:
    """Its model was learned on other rows, so noise helps it to nothing."""
    pair, one = played(0.0)
    assert one.auc is not None and (one.auc.low or 1) <= 0.5 <= (one.auc.high or 0)
    assert pair.word != "pays"
    assert value(one.over_mix) < 0


def test_where_the_first_one_costs_as_much_nothing_pays() -> None:
    pair, one = played(2.0, 0.0011)
    assert pair.word == "does not pay"
    assert one.needed is None and value(one.saving) < 0


def test_a_few_samples_show_nothing() -> None:
    """Neither that it pays nor that it does not: all is asked on, for want of anything shown."""
    [pair] = pairs(world(n=19), MARGIN, reference=Candidate("large", None))
    assert (pair.word, pair.reason) == ("not shown", "19 groups of samples are too few to say")
    assert pair.told[0].share == 1.0
    assert value(pair.told[0].saving) == pytest.approx(-0.075)


def test_a_cheap_one_that_is_as_good_needs_no_chain() -> None:
    frame = world()
    frame = frame.assign(quality=np.where(frame["model"] == "small", 1.0, 0.9))
    [pair] = pairs(frame, MARGIN, reference=Candidate("large", None))
    assert pair.word == "does not pay" and "alone" in pair.reason
    assert pair.mix == pytest.approx(0.95) and pair.perfect.share == 0.0


def test_an_answer_whose_signal_is_unknown_is_asked_on() -> None:
    frame = world()
    odd = frame["sample_id"].astype(int) % 3 == 0
    frame = frame.assign(signal_sure=frame["signal_sure"].mask(odd))
    [pair] = pairs(frame, MARGIN)
    assert pair.told[0].share >= 1 / 3


def test_a_check_that_fails_asks_on_and_is_a_source_of_its_own() -> None:
    """It fails where the small one is wrong, and nowhere else: who goes by it loses nothing."""
    frame = world().drop(columns=["signal_sure", "signals_usd"])
    right = frame["quality"] > 0
    frame = frame.assign(check=right.where(frame["model"] == "small"))
    [pair] = pairs(frame, MARGIN)
    [one] = pair.told
    assert one.source == "check" and one.auc is None
    assert value(one.quality) == 0.0
    assert one.share == pytest.approx(1 - pair.right)
    assert pair.word == "pays"


def test_the_text_of_an_answer_is_a_source() -> None:
    """Who does not know says so at length."""
    frame = world().drop(columns="signals_usd")
    words = np.where(frame["quality"] > 0, "It is 7.", "I am not at all sure whether it may perhaps be 7.")
    [pair] = pairs(frame.assign(answer=words), MARGIN)
    assert [one.source for one in pair.told] == ["signal:sure", "text", "together"]
    text = pair.told[1]
    assert text.auc is not None and text.auc.value == 1.0
    assert pair.word == "pays" and text.signals_usd == 0.0


def test_without_anything_known_of_answers_only_the_bound_is_told() -> None:
    frame = world().drop(columns=["signal_sure", "signals_usd"])
    [pair] = pairs(frame, MARGIN)
    assert pair.told == () and pair.best is None and pair.word == "not shown"
    # Half is wrong, of it .8 is asked on, less .05 of all that may be lost.
    wrong = 1 - pair.right
    large = frame[frame["model"] == "large"]["quality"].mean()
    assert pair.perfect.share == pytest.approx(large - pair.right - MARGIN)
    assert pair.perfect.saving == pytest.approx(1 - 0.05 - pair.perfect.share)
    assert wrong > pair.perfect.share


def test_draws_of_one_sample_count_as_one() -> None:
    frame = world(n=200)
    twice = pd.concat([frame.assign(epoch=1), frame.assign(epoch=2)], ignore_index=True)
    [one], [two] = pairs(frame, MARGIN), pairs(twice, MARGIN)
    assert (two.n, two.ratio, two.right) == pytest.approx((one.n, one.ratio, one.right))
    assert two.perfect == pytest.approx(one.perfect)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": Candidate("other", None)}, "reference other is not in the outcomes; they hold"),
        ({"reference": Candidate("small", None)}, "nobody is cheaper than small"),
        ({"margin": 0.0}, r"must lie in \(0, 1\)"),
    ],
)
def test_what_cannot_be_played_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pairs(world(), **{"margin": MARGIN, **changes})


def test_rows_that_were_drawn_are_refused_and_planned_without() -> None:
    frame = world()
    frame = frame.assign(inclusion=np.where(frame["sample_id"].astype(int) < 300, 0.5, 1.0))
    with pytest.raises(InputError, match="left out at random"):
        pairs(frame, MARGIN)
    assert best_pair(frame, MARGIN, Candidate("large", None)) is None


def write(frame: pd.DataFrame, path: Path) -> None:
    write_outcomes(validate_outcomes(frame), path)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_says_what_pays_and_what_a_signal_is_worth(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    write(world(), path)
    text = run("chains", path, "--reference", "large", "", "--margin", MARGIN)
    pair, one = played()
    lines = text.splitlines()
    assert lines[0] == "asked first, then large where that pays, at a margin of 5 points"
    [row] = [line for line in lines if line.split()[:2] == ["small", "signal:sure"]]
    assert f"{100 * one.share:.1f} %" in row and f"{one.break_even:.3f}" in row
    assert any(
        line.startswith("small  pays: signal:sure saves more than the random mix, by ") for line in lines
    )
    assert f"a perfect one would save ${1000 * pair.perfect.usd:.2f}" in lines[-2]
    assert "log-probabilities nothing, self_check $1.00, agreement of 3 $2.00" in lines[-1]
    found = json.loads(run("chains", path, "--margin", MARGIN, "--json"))
    [told] = found["pairs"]
    assert told["cheap"] == {"model": "small", "effort": None} and told["word"] == "pays"
    assert told["told"][0]["saving"]["value"] == pytest.approx(one.saving.value)
    [part] = json.loads(run("chains", path, "--margin", MARGIN, "--suite", "s1", "--json"))["pairs"]
    assert part["n"] == 300
    refused = CliRunner().invoke(cli, ["chains", str(path), "--suite", "s2"])
    assert refused.exit_code == 1 and "the outcomes hold 's0', 's1'" in refused.output


def test_plan_says_what_a_signal_is_worth_where_answers_are_there(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    plain = world(n=100).drop(columns=["signal_sure", "signals_usd"])
    write(plain, path)
    assert "signals of" not in run("plan", path, "--margin", MARGIN)
    write(plain.assign(answer="yes"), path)
    worth, costs, _ = run("plan", path, "--margin", MARGIN).splitlines()[-3:]
    assert costs.startswith("to know costs about: log-probabilities nothing, self_check $1.00")
    assert worth.startswith("signals of small, then large, in 1,000 requests: a perfect one would save $")
    assert json.loads(run("plan", path, "--margin", MARGIN, "--json"))["chain"]["dear"]["model"] == "large"


def test_a_fit_says_that_chains_were_considered_and_lost(tmp_path: Path) -> None:
    path, recipe = tmp_path / "outcomes.parquet", tmp_path / "recipe.yaml"
    write(world(0.0), path)
    recipe.write_text(
        yaml.safe_dump(
            {"name": "p", "reference": {"model": "large", "effort": None}, "rule": {"margin": 0.05}}
        )
    )
    fit = ("fit", recipe, "--outcomes", path, "--out", tmp_path / "p")
    assert "chains      1 considered, none chosen: " in run(*fit)
    lost = json.loads(run(*fit, "--json"))["certificate"]["chains_lost"]
    assert lost["considered"] == 1
