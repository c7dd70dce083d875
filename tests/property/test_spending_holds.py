"""Whatever fails, resumes, or cannot be written: spent and at risk together never pass the budget."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.config import Price
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.sweep.budget import HeldBackError, Spending
from router_lab.sweep.ledger import LEDGER, Ledger
from router_lab.sweep.waves import Prefixes, budget_waves

DAY = dt.date(2020, 1, 1)
TABLE = PriceTable({"m": [Price(starts=DAY, input=1, output=1, source="s", checked=DAY)]}, default=False)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 2), st.floats(0, 60), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_failed_samples_are_admitted_again(
    length: int, epochs: int, budget: float, bad: float, seed: int
) -> None:
    """Each sample costs its whole dollar, failed or not; runs follow one another on the same folder."""
    rng, spent = np.random.default_rng(seed), 0
    keys = {"c": [frozenset((str(i), e) for e in range(1, epochs + 1)) for i in range(length)]}
    done: set[tuple[str, int]] = set()

    def admits(samples: int) -> bool:
        return spent + samples <= budget

    def finished() -> dict[str, set[tuple[str, int]]]:
        return {"c": set(done)}

    for _ in range(3):
        prefixes = Prefixes(keys, {"c": set(done)})
        for size in budget_waves(prefixes, admits, None, finished):
            due = [key for position in keys["c"][:size] for key in position if key not in done]
            spent += len(due)
            done |= {key for key in due if rng.uniform() >= bad}
            assert spent <= budget


def test_a_call_that_the_whole_budget_does_not_hold_is_not_let_through(tmp_path: Path) -> None:
    spending = Spending(Ledger(tmp_path, TABLE, priced=True), {}, budget_usd=1.0, sample_usd=1.0)
    spending.before("a", "m", 0.5)
    spending.answered("a", "m", {"input_tokens": 300_000, "total_tokens": 300_000})  # $.3
    spending.before("b", "m", 0.6)  # .3 + .6
    with pytest.raises(HeldBackError, match=r"\$0.900000 are spent or at risk"):
        spending.before("c", "m", 0.2)  # .3 + .6 + .2 > 1, though its own limit has room
    assert spending.ledger.spent_usd + spending.ledger.at_risk_usd == pytest.approx(0.9)


def test_no_call_is_made_whose_line_is_not_on_a_full_disk(tmp_path: Path, room_for: Any) -> None:
    spending = Spending(Ledger(tmp_path, TABLE, priced=True), {}, budget_usd=1.0, sample_usd=1.0)
    spending.before("a", "m", 0.25)
    size = (tmp_path / LEDGER).stat().st_size
    with room_for(size + 5):
        spending.answered("a", "m", {"input_tokens": 10_000, "total_tokens": 10_000})
        for call in (lambda: spending.before("b", "m", 0.25), spending.check):
            with pytest.raises(HeldBackError, match=r"ledger.jsonl: the ledger cannot be written"):
                call()
    assert spending.ledger.spent_usd == 0.25, "at its worst case, as the file has it"
    assert (tmp_path / LEDGER).stat().st_size == size
    assert Ledger(tmp_path, TABLE, priced=True).spent_usd == 0.25


def test_without_a_budget_money_whose_line_is_lost_is_counted_and_ends_the_sweep(
    tmp_path: Path, room_for: Any
) -> None:
    ledger = Ledger(tmp_path, TABLE, priced=False)
    ledger.close(None, "m", Tokens(input=10_000))
    with room_for((tmp_path / LEDGER).stat().st_size):
        ledger.close(None, "m", Tokens(input=20_000))
    assert ledger.spent_usd == pytest.approx(0.03) and ledger.broken
    with pytest.raises(HeldBackError):
        Spending(ledger, {}).check()


FIGURES = ["-6000000000", "NaN", "1e400", "1000000000000000000", "true", "0.5", "null", '"1"']


@pytest.mark.parametrize(
    "tokens", [*(f"[0,0,0,0,{one}]" for one in FIGURES), "[]", "[1]", "[0,0,0,0]", "null", "5"]
)
def test_a_ledger_whose_figures_cannot_be_is_refused(tmp_path: Path, tokens: str) -> None:
    line = f'{{"call": null, "model": "m", "tokens": {tokens}, "at": "2025-01-01T00:00:00+00:00"}}\n'
    (tmp_path / LEDGER).write_text(line)
    with pytest.raises(InputError, match="line 1 is no ledger entry"):
        Ledger(tmp_path, TABLE, priced=True)


def test_a_ledger_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "d" / LEDGER).mkdir(parents=True)
    (tmp_path / "f").mkdir()
    os.mkfifo(tmp_path / "f" / LEDGER)
    for name in "df":
        with pytest.raises(InputError, match="is no regular file"):
            Ledger(tmp_path / name, TABLE, priced=True)


def test_lines_cut_short_are_passed_over_and_said(tmp_path: Path) -> None:
    """$0.5 and $0.25 at risk, of which the first is answered by a line that is torn: it counts at its worst."""
    lines = [
        '{"open":"1","usd":0.5}',
        '{"call":"1","model":"m","tok',
        '{"open":"3","usd":0.25}',
        '{"void":"3"}',
    ]
    (tmp_path / LEDGER).write_text("\n".join(lines) + '\n{"ope')
    with pytest.warns(
        RouterLabWarning, match=r"2 lines were cut short, the first is line 2; calls under way count at"
    ):
        ledger = Ledger(tmp_path, TABLE, priced=True)
    assert (ledger.spent_usd, ledger.reserved_usd) == (0.5, 0.5)
    assert ledger.open(0.1) == "6", "no number that a line had"


@pytest.mark.parametrize(
    "rest",
    ['"model": null', '"model": 5', '"model": "m", "tools": [1]', '"model": "m", "tools": null',
     '"model": "m", "at": "0001-01-01T00:00:00+23:00"', '"model": "m", "at": "9999-12-31T23:59:59-23:00"',
     '"model": "m", "at": 5', '"model": "m", "call": "2"', '"model": "m", "tokens": [0,0,0,0,0]'],
)  # fmt: skip
def test_a_line_that_nobody_wrote_is_refused(tmp_path: Path, rest: str) -> None:
    """The last two have a key twice, of which one would be passed over."""
    line = f'{{"call": null, "tokens": [1,0,0,0,1,0,1,[],[]], "at": "2025-01-01T00:00:00+00:00", {rest}}}\n'
    (tmp_path / LEDGER).write_text('{"open": "1", "usd": 0.5}\n' + line)
    with pytest.raises(InputError, match="line 2 is no ledger entry"):
        Ledger(tmp_path, TABLE, priced=True)


@pytest.mark.parametrize("usd", ["true", '"0.5"', "-1", "NaN", "1e400", "1e308", "9" * 400, '5, "usd": 0'])
def test_a_worst_case_that_cannot_be_is_refused(tmp_path: Path, usd: str) -> None:
    (tmp_path / LEDGER).write_text(f'{{"open": "1", "usd": {usd}}}\n')
    with pytest.raises(InputError, match="line 1 is no ledger entry"):
        Ledger(tmp_path, TABLE, priced=True)


def test_a_call_opened_twice_lowers_nothing(tmp_path: Path) -> None:
    """Two sweeps once wrote to one ledger, by the same numbers: $0.5 and $0.01 are both at risk."""
    (tmp_path / LEDGER).write_text('{"open": "1", "usd": 0.5}\n{"open": "1", "usd": 0.01}\n')
    assert Ledger(tmp_path, TABLE, priced=True).spent_usd == pytest.approx(0.51)


@pytest.mark.parametrize("tokens", [-5, float("nan"), 10**18, "7", True])
def test_usage_that_cannot_be_is_said_without_a_budget_too(tmp_path: Path, tokens: object) -> None:
    spending = Spending(Ledger(tmp_path, TABLE, priced=False), {})
    with pytest.warns(
        RouterLabWarning, match=r"calls of 'm' are not in what this sweep says it spent: the server's"
    ):
        spending.answered("a", "m", {"input_tokens": tokens, "total_tokens": tokens})
        spending.answered("a", "m", {"input_tokens": tokens, "total_tokens": tokens})
    assert (spending.ledger.calls, spending.ledger.spent_usd) == (2, 0.0)
