"""`plan` says what certificates say: one function for sample sizes, by hand-worked numbers."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.metrics import Estimate, clustered_mean, samples_needed, verdict
from router_lab.metrics.twophase import best_share
from router_lab.outcomes import validate_outcomes
from router_lab.plan import plan
from router_lab.runtime.errors import InputError
from tests.conftest import ROOT


def outcomes() -> pd.DataFrame:
    """100 samples: `a` is always right and costs $2, `b` misses 10 and costs $1."""
    rows = [
        {
            "suite": "s",
            "sample_id": f"{i:03}",
            "model": m,
            "quality": float(m == "a" or i >= 10),
            "cost_usd": usd,
        }
        for i in range(100)
        for m, usd in (("a", 2.0), ("b", 1.0))
    ]
    return validate_outcomes(pd.DataFrame(rows))


def test_samples_are_those_of_the_verdict() -> None:
    found = plan(outcomes(), 0.15, 0.95)
    assert found.reference.model == "a" and len(found.needs) == 1
    need = found.needs[0]
    gain = np.where(np.arange(100) < 10, -1.0, 0.0)
    estimate = clustered_mean(gain, span=1.0)
    judged = verdict(estimate, -0.15, 0.95)
    assert judged.verdict == need.verdict == "inconclusive"
    assert need.samples == judged.samples_needed

    # At N samples: variance v = .09 × 100/99 / N, the unseen loss 1/N, ten of a hundred lost: a skew of .072 / N over v
    # and what is unseen; z .95 = 1.6449 with k = .7521, z .8 = .8416. The gap of .05 is reached at N.
    def short(count: float) -> bool:
        v, unseen = 0.09 * 100 / 99 / count, 1 / count
        skew = (unseen**3 + 0.072 / count**2) / (unseen**2 + v)
        reach = 1.6449 * math.sqrt(v + 0.7521 * unseen**2) + skew * (1.6449**2 + 2) / 3
        return reach + 0.8416 * math.sqrt(v + unseen**2) > 0.05

    assert need.samples == pytest.approx(
        next(count for count in range(100, 1000) if not short(count)) - 100, abs=1
    )
    assert need.dollars == pytest.approx(3.0 * need.samples)
    assert need.if_equal == samples_needed(estimate, 0.15, 0.95)


def test_hours_are_seconds_of_both_over_what_is_in_flight(tmp_path: Path) -> None:
    """`a` takes 5 s, `b` 1 s but for one sample that is not known: 6 s for each further sample."""
    frame = outcomes()
    seconds = np.where(frame["model"] == "a", 5.0, 1.0)
    frame["latency_s"] = np.where((frame["model"] == "b") & (frame["sample_id"] == "007"), np.nan, seconds)
    [need] = plan(frame, 0.15).needs
    assert need.samples and need.hours == pytest.approx(6 * need.samples / 3600)
    found = plan(frame, 0.15, in_flight=40)
    assert found.in_flight == 40 and found.needs[0].hours == pytest.approx(need.hours / 40)
    frame.to_parquet(tmp_path / "o.parquet")
    asked = ["plan", str(tmp_path / "o.parquet"), "--margin", "0.15", "--in-flight", "20", "--machines", "2"]
    told = CliRunner().invoke(cli, asked).stdout
    assert "hours with 40 samples under way at a time" in told
    assert next(line for line in told.splitlines() if line.startswith("b ")).endswith(
        f"  {need.hours / 40:.4f}"
    )


def test_hours_of_latencies_that_are_not_known_are_not_known(tmp_path: Path) -> None:
    frame = outcomes()
    assert plan(frame, 0.15).needs[0].hours is None  # no column
    frame["latency_s"] = np.where(frame["model"] == "a", 5.0, np.nan)
    assert plan(frame, 0.15).needs[0].hours is None  # nothing of one of the two
    frame.to_parquet(tmp_path / "o.parquet")
    told = CliRunner().invoke(cli, ["plan", str(tmp_path / "o.parquet"), "--margin", "0.15"]).stdout
    assert next(line for line in told.splitlines() if line.startswith("b ")).endswith("?")
    with pytest.raises(InputError, match="in_flight 0 must be at least 1"):
        plan(frame, 0.15, in_flight=0)


@pytest.mark.parametrize(("margin", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.1, 0.5)])
def test_a_margin_or_confidence_out_of_range_is_refused(margin: float, confidence: float) -> None:
    with pytest.raises(InputError, match=r"must lie in \(0, 1\)"):
        plan(outcomes(), margin, confidence)


def test_who_left_the_race_of_a_suite_needs_no_further_samples() -> None:
    frame = outcomes()
    other = frame.assign(suite="t", sample_id=frame["sample_id"] + "t")
    frame = validate_outcomes(pd.concat([frame, other], ignore_index=True)).assign(reason=None)
    frame.loc[(frame["suite"] == "s") & (frame["model"] == "b"), "reason"] = "raced: worse after 9 samples"
    raced = {need.suite: need.raced for need in plan(frame, 0.15, by_suite=True).needs}
    assert raced == {None: None, "s": "worse", "t": None}  # still in the race of one suite
    frame.loc[(frame["suite"] == "t") & (frame["model"] == "b"), "reason"] = "raced: hopeless after 9 samples"
    raced = {need.suite: need.raced for need in plan(frame, 0.15, by_suite=True).needs}
    assert raced == {None: "worse, cannot pass", "s": "worse", "t": "cannot pass"}
    frame["reason"] = "raced: settled after 9 samples"
    assert all(need.raced is None for need in plan(frame, 0.15).needs)


def test_the_share_that_costs_least_by_hand() -> None:
    """Variance .0025 at 100 rows, a gap of .02, z .9 + z .8 = 2.1232: 2,817 rows in all. Where half is explained, a
    share p needs .5 + .5 / p times as many; with $1 for the others and $10 for the reference, the best share is
    sqrt(.5 * 1 / (.5 * 10)) = .32, and of those that are looked at .3: 6,104 rows less the 100, at $4 each."""
    found = Estimate(0.0, 0.05, 100, 100)
    best = best_share(found, 0.02, 0.9, 0.5, 1.0, 10.0)
    assert best is not None and best.share == 0.3
    assert best.samples == pytest.approx(6004, abs=2) and best.of_reference == math.ceil(0.3 * best.samples)
    assert best.dollars == pytest.approx(4 * best.samples) and best.whole == pytest.approx(11 * 2717, abs=22)
    assert best_share(found, 0.02, 0.9, 0.5, 10.0, 1.0) is None  # the others are the dear ones
    assert (
        best_share(found, 0.02, 0.9, 0.0, 1.0, 10.0) is None
        and best_share(found, 0.02, 0.9, 0.5, 1.0, 0.0) is None
    )
    assert best_share(found, 0.3, 0.9, 0.5, 1.0, 10.0) is None  # enough is there
    # 139 rows: a tenth of five times as many is no hundred.
    few = best_share(found, 0.09, 0.9, 0.9, 0.001, 10.0)
    assert few is None or few.share * (100 + few.samples) >= 100
    # What nobody saw hides among the drawn.
    rare = best_share(replace(found, size=0.01), 0.02, 0.9, 0.6, 1.0, 10.0)
    assert rare is not None
    part = replace(found, se=0.05 * math.sqrt(0.6 + 0.4 / rare.share), size=0.01 / rare.share)
    assert rare.samples == samples_needed(part, 0.02, 0.9)


def pilot() -> pd.DataFrame:
    """300 samples: `a` costs $10, `b` $1; each is wrong on a fifth, of which the other tells nothing."""
    rng = np.random.default_rng(7)
    a, b = (rng.permutation(300) % 5 == 0 for _ in range(2))
    rows = []
    for i in range(300):
        for model, wrong, usd in (("a", a[i], 10.0), ("b", b[i], 1.0)):
            row = {
                "suite": "s",
                "sample_id": f"{i:03}",
                "model": model,
                "quality": float(not wrong),
                "cost_usd": usd,
            }
            rows.append(row)
    return validate_outcomes(pd.DataFrame(rows))


def test_a_drawn_reference_is_proposed_where_it_costs_less() -> None:
    """`b` never tells of `a`, so the mean of `a` is the best prediction: variance .16 of a difference's .32 is left."""
    need = plan(pilot(), 0.02, 0.9).needs[0]
    part = need.two_phases
    assert part is not None and part.explained == pytest.approx(0.5, abs=0.07)
    assert part.share in (0.25, 0.3, 0.4) and part.whole == pytest.approx(11 * (need.samples or 0))
    assert part.dollars < 0.9 * part.whole and part.of_reference < (need.samples or 0) < part.samples
    assert plan(pilot(), 0.2, 0.9).needs[0].two_phases is None  # that is shown


def test_who_ran_on_a_drawn_part_is_the_reference() -> None:
    frame = pilot()
    drawn = (frame["model"] == "b") | (frame["sample_id"].str[1] < "5")
    part = frame.assign(inclusion=np.where(frame["model"] == "b", 1.0, 0.5))[drawn]
    assert plan(part, 0.03, 0.9).reference.model == "a"


def test_the_page_prints_what_the_command_does(tmp_path: Path) -> None:
    pilot().to_parquet(tmp_path / "o.parquet")
    told = CliRunner().invoke(
        cli, ["plan", str(tmp_path / "o.parquet"), "--margin", "0.02", "--confidence", "0.9"]
    )
    line = next(one for one in told.stdout.splitlines() if one.startswith("two phases"))
    assert f"    {line}\n" in (ROOT / "docs/two-phases.md").read_text(encoding="utf-8")
