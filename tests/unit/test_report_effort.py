"""What effort bought: differences, intervals and words by hand."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pandas as pd
import pytest

from router_lab.outcomes import validate_outcomes
from router_lab.report import effort_table, effort_text

T_3, T_39 = 3.1824463, 2.0226909  # the 97.5 % points of t with 3 and 39 degrees of freedom


def frame(*cells: tuple[str, str, str | None, list[float], float]) -> pd.DataFrame:
    """Rows of (suite, model, effort, qualities, cost of each)."""
    rows: list[dict[str, Any]] = [
        {"suite": suite, "sample_id": f"{suite}-{i}", "model": model, "effort": effort, "quality": quality,
         "cost_usd": cost, "status": "ok", "group": f"{suite}-{i}"}
        for suite, model, effort, qualities, cost in cells
        for i, quality in enumerate(qualities)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def test_a_gain_with_its_interval_by_hand() -> None:
    table = effort_table(frame(("s", "a", "low", [0, 0, 1, 0], 0.01), ("s", "a", "high", [1, 1, 1, 0], 0.03)))
    (row,) = table.to_dict("records")
    assert (row["effort"], row["base"], row["n"], row["clusters"]) == ("high", "low", 4, 4)
    # Gains 1, 1, 0, 0: residuals of .5, sum of squares 1, × 4/3, over 4²; a loss that was not seen is 1/4. z .975 =
    # 1.96: k = ((3.6889 − (1.96² + 2) / 3) / 1.96)² = .7897. Gains and losses are alike: the skew is the unseen one's.
    reach = T_3 * sqrt(1 / 12 + 0.789703 / 16) + (1 / 64) / (1 / 12 + 1 / 16) * (T_3**2 + 2) / 3
    assert row["difference"] == 0.5 and row["cost_ratio"] == pytest.approx(3)
    assert (row["low"], row["high"]) == (
        pytest.approx(0.5 - reach, rel=1e-4),
        pytest.approx(0.5 + reach, rel=1e-4),
    )
    assert row["word"] == "not shown"


def test_one_effort_pays_on_one_suite_and_loses_on_another() -> None:
    table = effort_table(
        frame(
            ("easy", "a", "low", [1.0] * 40, 0.01), ("easy", "a", "high", [0.0] * 40, 0.02),
            ("hard", "a", "low", [0.0] * 40, 0.01), ("hard", "a", "high", [1.0] * 40, 0.04),
        )
    )  # fmt: skip
    assert dict(zip(table["suite"], table["word"], strict=True)) == {"easy": "loses", "hard": "pays"}
    reach = (
        T_39 * sqrt(0.789703) + (T_39**2 + 2) / 3
    ) / 40  # no spread at all: only what was not seen is left
    assert table["high"].tolist() == [pytest.approx(-1 + reach, rel=1e-4), pytest.approx(1 + reach, rel=1e-4)]
    heading, line, key = effort_text(table).splitlines()
    assert heading.split()[-2:] == ["easy", "hard"] and "✓ pays" in key
    assert line.split("  ")[0] == "a @ high − low"
    assert f"−100.0 ±{100 * reach:.1f} ×2.0 ✗" in line and f"+100.0 ±{100 * reach:.1f} ×4.0 ✓" in line


def test_only_common_samples_are_compared() -> None:
    table = effort_table(frame(("s", "a", "low", [0, 0], 0.01), ("s", "a", "high", [1, 1, 0, 0, 0], 0.02)))
    assert (table["n"][0], table["difference"][0], table["cost_ratio"][0]) == (2, 1.0, pytest.approx(2))


def test_the_base_is_the_cheapest_effort_and_models_with_one_effort_have_no_row() -> None:
    table = effort_table(
        frame(
            ("s", "a", "z", [0, 1], 0.01), ("s", "a", "b", [1, 1], 0.02), ("s", "a", None, [1, 1], 0.03),
            ("s", "b", "low", [1, 1], 0.01),
        )
    )  # fmt: skip
    assert set(zip(table["model"], table["base"], strict=True)) == {("a", "z")}
    assert len(table) == 2
    alone = effort_table(frame(("s", "b", "low", [1, 1], 0.01)))
    assert alone.empty and effort_text(alone) == "no model was run at two efforts"


def test_a_handful_of_rows_is_not_given_an_interval() -> None:
    table = effort_table(frame(("s", "a", "low", [0.0] * 6, 0.01), ("s", "a", "high", [1.0] * 6, 0.02)))
    # No spread: what was not seen alone, (2.57 × sqrt(.789) + (2.57² + 2) / 3) / 6 = .86; JSON keeps that.
    reach = (2.5705818 * sqrt(0.789703) + (2.5705818**2 + 2) / 3) / 6
    assert table["low"][0] == pytest.approx(1 - reach, rel=1e-4) and table["word"][0] == "not shown"
    assert effort_text(table).splitlines()[1].endswith("too few to say (6 rows)")
