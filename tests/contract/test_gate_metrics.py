"""What every gate's metric must hold: parametrized over MEASURED, so a new one is tested by being named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from router_lab.config import Gate
from router_lab.gates import measure, run_gates
from router_lab.gates.measure import MEASURED, _percentile, _plain
from tests.pasted import shown
from tests.unit.test_gates import always, world


def judged(metric: str, **bound: float) -> Any:
    return run_gates(always(0), world(losses=0.02), [Gate(metric=metric, **bound)]).results[0]


@pytest.mark.parametrize("metric", sorted(MEASURED))
def test_a_metric_is_judged_both_ways_and_its_bounds_hold_its_value(metric: str) -> None:
    below, above = judged(metric, max=1e6), judged(metric, min=1e6)
    assert below.verdict == "pass" and above.verdict == "fail"
    for found in (judged(metric, min=-1e6), below):
        for low, high in re.findall(r"from (\S+) to (\S+)\)", found.reason):  # four digits are told
            assert float(low) - 1e-4 <= found.value <= float(high) + 1e-4, found.reason


@pytest.fixture
def others() -> Iterator[None]:
    MEASURED["wait"] = partial(_percentile, "latency_s")  # type: ignore[index]
    MEASURED["never"] = partial(
        _plain, lambda arm, rows: arm.rows.take(rows).mean("quality").scaled(0.0), share=True
    )  # type: ignore[index]
    yield
    del MEASURED["wait"], MEASURED["never"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("others")
def test_how_a_metric_is_told_does_not_hang_on_its_name() -> None:
    """Every request takes a second: a percentile, told as one. A share that is 0 has no bound below 0."""
    assert judged("wait", max=2.0).reason.startswith("P95 1; ")
    low = float(re.findall(r"from (\S+) to", judged("never", max=0.5).reason)[0])
    assert low == 0.0 and np.isfinite(low)


def test_the_rows_of_the_page_are_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request leaves the reference, and two in a hundred lose all by it."""
    for name, row in eval("{" + shown("metric") + "}", vars(measure)).items():
        monkeypatch.setitem(MEASURED, name, row)  # type: ignore[misc]
    moved, kept = judged("moved_share", max=0.9), judged("moved_share", min=0.9)
    assert (moved.verdict, kept.verdict, moved.value) == ("fail", "pass", 1.0)
    gain, loss = judged("quality_gain", min=0.0), judged("quality_gain", min=-0.05)
    assert (gain.verdict, loss.verdict, round(loss.value, 9)) == ("fail", "pass", -0.02)
