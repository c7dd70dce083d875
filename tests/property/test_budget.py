"""A budget is never passed whatever samples cost, and where it stops says nothing about the samples."""

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.config import Price
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime.errors import InputError
from router_lab.sweep.ledger import LEDGER, Ledger
from router_lab.sweep.waves import Prefixes, budget_waves, free_waves

DAY = dt.date(2020, 1, 1)
TABLE = PriceTable({"m": [Price(starts=DAY, input=1, output=1, source="s", checked=DAY)]}, default=False)


def grid(cells: int, length: int) -> Prefixes:
    return Prefixes({str(c): [frozenset({(str(i), 1)}) for i in range(length)] for c in range(cells)})


def spend(budget: float, limit: float, costs: np.ndarray[Any, Any]) -> tuple[int, float]:
    """(samples of each cell that ran, dollars) where sample i of cell c costs `costs[c, i]`, at most `limit`."""
    cells, length = costs.shape
    spent, reach = 0.0, 0
    prefixes = grid(cells, length)

    def admits(samples: int) -> bool:
        return spent + samples * limit <= budget

    for size in budget_waves(prefixes, admits, None):
        spent += float(costs[:, reach:size].sum())
        assert spent <= budget + 1e-12
        reach = size
    return reach, spent


@given(st.integers(1, 5), st.integers(1, 200), st.floats(0.0, 500.0), st.integers(0, 2**32 - 1))
def test_never_passed(cells: int, length: int, budget: float, seed: int) -> None:
    costs = np.random.default_rng(seed).uniform(0, 1, (cells, length))
    reach, spent = spend(budget, 1.0, costs)
    assert spent <= budget
    if reach < length:
        # What is left could not be promised to a wave worth running.
        assert budget - spent < cells * max(1.0, 0.02 * reach + 1)


@given(st.integers(1, 300), st.integers(1, 50))
def test_without_a_budget_waves_double_up_to_the_end(longest: int, first: int) -> None:
    sizes = list(free_waves(longest, first))
    assert sizes == sorted(set(sizes)) and sizes[-1] == longest
    assert list(free_waves(longest, None)) == [longest]


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(0, 60))
def test_what_is_there_is_not_bought_again(length: int, had: int) -> None:
    prefixes = grid(2, length)
    prefixes.mark(min(had, length))
    sizes = list(budget_waves(prefixes, lambda n: True, 8))
    assert sizes[-1] == length
    assert sizes[0] > had or had >= length


def test_where_the_money_ends_says_nothing_about_the_samples() -> None:
    """Dear samples are the good ones; the mean quality of what was finished is still the mean of all."""
    draw = random.Random(1)
    means, reached = [], []
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        costs = rng.uniform(0.05, 1.0, (1, 120))
        reach, _ = spend(draw.uniform(2, 40), 1.0, costs)
        if reach:
            means.append(float((costs[0, :reach] > 0.525).mean()))
            reached.append(reach)
    # True mean 0.5; 2,000 runs of some 40 samples: a standard error of about .002.
    assert abs(float(np.average(means, weights=reached)) - 0.5) < 0.01
    assert np.std(reached) > 5


def test_a_ledger_outlives_its_process_and_counts_what_may_have_been_paid(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, TABLE, priced=True)
    first, second, third = (ledger.open(usd) for usd in (0.5, 0.25, 0.125))
    assert ledger.close(first, "m", Tokens(input=100_000)) == pytest.approx(0.1)
    ledger.void(second)
    assert (ledger.spent_usd, ledger.at_risk_usd) == (pytest.approx(0.1), pytest.approx(0.125))
    ledger.shut()
    with (tmp_path / LEDGER).open("a") as file:
        file.write('{"open": "9", "us')  # the process died while it wrote
    again = Ledger(tmp_path, TABLE, priced=True)
    assert third and again.spent_usd == pytest.approx(0.225)
    again.close(again.open(1.0), "m", Tokens(output=1_000_000))
    again.shut()
    assert [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    last = Ledger(tmp_path, TABLE, priced=True)
    assert last.spent_usd == pytest.approx(1.225)
    last.shut()


def test_a_ledger_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text('{"open": "1", "usd": 1}\nnonsense\n{"void": "1"}\n')
    with pytest.raises(
        InputError, match=r"ledger\.jsonl: line 2 is no ledger entry, so the money spent cannot be known"
    ):
        Ledger(tmp_path, TABLE, priced=True)
