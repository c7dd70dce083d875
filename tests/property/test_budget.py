"""A budget is never passed whatever samples cost, and where it stops says nothing about the samples."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.config import Price
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime.errors import InputError, RouterLabWarning
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


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_where_the_money_ends_says_nothing_about_the_samples(seed: int, kind: int) -> None:
    """Two suites, one of single calls and one of agents whose dear, long runs are the good ones (or the bad ones):
    over random budgets the mean quality of what was finished is the mean of all, in each suite."""
    rng = np.random.default_rng(seed)
    length, sign = 40, -1.0 if kind & 1 else 1.0
    single, turns = rng.uniform(0.05, 1.0, length), rng.integers(1, 9, length)
    costs = np.stack([single, np.minimum(1.0, turns * rng.uniform(0.05, 0.2, length))])
    quality = np.clip(np.stack([0.5 + sign * (single - 0.5), 0.5 + sign * (turns - 4.5) / 9]), 0, 1)
    totals, reached = np.zeros(2), 0
    errors = []
    for _ in range(300):
        order = np.stack([rng.permutation(length) for _ in range(2)])  # beforehand, each suite's own
        done, _ = spend(rng.uniform(4, 60), 1.0, np.take_along_axis(costs, order, 1))
        ran = np.take_along_axis(quality, order, 1)[:, :done]
        if done:
            errors.append((ran - quality.mean(axis=1, keepdims=True)).mean(axis=1))
            totals += errors[-1] * done
            reached += done
    assert reached and np.std([len(e) for e in errors]) == 0
    # 300 prefixes of a mean of 10 or more samples whose deviation is at most .35: four standard errors are .03.
    assert (np.abs(totals / reached) < 0.03).all()


def test_stopping_inside_samples_would_have_favoured_the_short_ones() -> None:
    """The control: the same money, stopped wherever it ends, finishes cheap samples and so is biased."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(300):
        costs = rng.uniform(0.05, 1.0, 40)
        share = rng.uniform(0.2, 0.8)
        # All at once, each up to the same dollars.
        errors.append(float(costs[costs <= share].mean() - costs.mean()))
    assert np.mean(errors) < -0.1


def test_a_ledger_outlives_its_process_and_counts_what_may_have_been_paid(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, TABLE, priced=True)
    first, second, third = (ledger.open(usd) for usd in (0.5, 0.25, 0.125))
    assert ledger.close(first, "m", Tokens(input=100_000)) == pytest.approx(0.1)
    ledger.void(second)
    assert (ledger.spent_usd, ledger.at_risk_usd) == (pytest.approx(0.1), pytest.approx(0.125))
    with (tmp_path / LEDGER).open("a") as file:
        file.write('{"open": "9", "us')  # the process died while it wrote
    with pytest.warns(RouterLabWarning, match="1 lines were cut short, the first is line 6"):
        again = Ledger(tmp_path, TABLE, priced=True)
    assert third and again.spent_usd == pytest.approx(0.225)
    again.close(again.open(1.0), "m", Tokens(output=1_000_000))
    with pytest.warns(RouterLabWarning, match="1 lines were cut short"):
        last = Ledger(tmp_path, TABLE, priced=True)
    assert last.spent_usd == pytest.approx(1.225)


def test_a_ledger_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text('{"open": "1", "usd": 1}\nnonsense\n{"void": "1"}\n')
    with pytest.raises(
        InputError, match=r"ledger\.jsonl: line 2 is no ledger entry, so the money spent cannot be known"
    ):
        Ledger(tmp_path, TABLE, priced=True)
