"""Prices by the day: dated entries, kinds, long calls, tiers, self-hosted models, and refusing to guess."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.prices import PriceTable, Tokens, add_price
from router_lab.runtime.errors import InputError

DAY = dt.date(2026, 11, 1)


def entry(**fields: object) -> dict[str, object]:
    return {"starts": dt.date(2026, 1, 1), "source": "s", "checked": dt.date(2026, 1, 1), **fields}


def table(tmp_path: Path, *entries: dict[str, object], model: str = "m") -> PriceTable:
    for one in entries:
        add_price(tmp_path / "prices.yaml", model, **one)
    return PriceTable.load(tmp_path / "prices.yaml", default=False)


def test_each_kind_has_its_price_and_an_unpriced_kind_is_an_error(tmp_path: Path) -> None:
    prices = table(tmp_path, entry(input=3, output=15, cache_read=0.3, cache_write_5m=3.75))
    # (1000×3 + 2000×.3 + 400×3.75 + 100×15) / 1e6 = (3000 + 600 + 1500 + 1500) / 1e6
    assert prices.cost("m", Tokens(1000, 2000, 400, 0, 100), DAY) == pytest.approx(0.0066)
    with pytest.raises(
        InputError, match=r"used 7 cache_write_1h tokens, of which .* names no price.*--cache-write-1h"
    ):
        prices.cost("m", Tokens(cache_write_1h=7), DAY)


def test_the_entry_of_the_day_holds_and_a_day_before_the_first_is_an_error(tmp_path: Path) -> None:
    prices = table(tmp_path, entry(input=3, output=15), entry(input=2, output=10, starts=dt.date(2026, 6, 1)))
    assert prices.rates("m", dt.date(2026, 5, 31)).input == 3
    assert prices.rates("m", dt.date(2026, 6, 1)).input == 2
    with pytest.raises(InputError, match="no price on 2025-12-31; its first entry starts 2026-01-01"):
        prices.rates("m", dt.date(2025, 12, 31))


def test_a_long_call_pays_the_long_price_for_all_its_tokens(tmp_path: Path) -> None:
    long = [{"over_input_tokens": 200_000, "input": 6, "output": 22.5, "cache_read": 0.6}]
    prices = table(tmp_path, entry(input=3, output=15, cache_read=0.3, long_context=long))
    assert prices.cost("m", Tokens(150_000, 50_000, 0, 0, 1000), DAY) == pytest.approx(0.45 + 0.015 + 0.015)
    assert prices.cost("m", Tokens(150_000, 50_001, 0, 0, 1000), DAY) == pytest.approx(
        0.9 + 0.0300006 + 0.0225
    )
    assert not prices.rates("m", DAY).flat


def test_tiers_multiply_and_an_unknown_tier_is_an_error(tmp_path: Path) -> None:
    prices = table(tmp_path, entry(input=3, output=15, tiers={"batch": 0.5}))
    assert prices.cost("m", Tokens(input=1_000_000), DAY, "batch") == pytest.approx(1.5)
    with pytest.raises(InputError, match=r"no price for tier `flex` .*known: standard, batch"):
        prices.cost("m", Tokens(input=1), DAY, "flex")


def test_self_hosted_is_dollars_an_hour_over_tokens_a_second(tmp_path: Path) -> None:
    hosted = {"usd_per_hour": 0.36, "input_tokens_per_s": 100, "output_tokens_per_s": 10}
    prices = table(tmp_path, entry(self_hosted=hosted))
    # .36 $/h = .0001 $/s; 100 tokens/s: .000001 $/token = 1 $/Mtok; output 10 $/Mtok.
    assert prices.rates("m", DAY).input == pytest.approx(1)
    assert prices.rates("m", DAY).output == pytest.approx(10)
    assert prices.cost("m", Tokens(cache_read=1_000_000), DAY) == pytest.approx(1)


def test_an_unknown_model_names_the_command_that_mends_it(tmp_path: Path) -> None:
    for prices in (PriceTable.load(None), table(tmp_path, entry(input=1, output=1))):
        with pytest.raises(InputError, match="router-lab prices add 'openai/gpt-99' --input"):
            prices.rates("openai/gpt-99", DAY)
        assert not prices.knows("openai/gpt-99", DAY)


def test_genai_prices_answers_for_names_it_lists_and_not_for_their_successors() -> None:
    prices = PriceTable.load(None)
    haiku = prices.rates("anthropic/claude-haiku-4-5", DAY)
    assert (haiku.input, haiku.output, haiku.cache_read, haiku.cache_write_5m, haiku.cache_write_1h) == (
        1,
        5,
        0.1,
        1.25,
        2,
    )
    assert haiku.tiers == {"batch": 0.5}
    assert prices.rates("anthropic/claude-haiku-4-5-20251001", DAY).input == 1
    for successor in ("anthropic/claude-haiku-4-5-plus", "openai/gpt-5.99", "openai/gpt-5-mini-ultra"):
        assert not prices.knows(successor, DAY), successor


def test_swapped_columns_are_refused_unless_confirmed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"output 1\.0 is below input 2\.0: swapped\?.*confirmed: true"):
        table(tmp_path, entry(input=2, output=1))
    assert not (tmp_path / "prices.yaml").exists()
    assert table(tmp_path, entry(input=2, output=1, confirmed=True)).rates("m", DAY).output == 1


def test_adding_keeps_comments_and_order_and_never_edits_the_past(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "# ours\nmodels:\n  'a: b':  # odd name\n    - starts: 2026-01-01\n      input: 1\n      output: 2\n"
        "      source: u\n      checked: 2026-01-01\n  # last word\n"
    )
    before = file.read_text()
    with pytest.raises(
        InputError, match="already has an entry that starts 2026-01-01; a past entry is never edited"
    ):
        add_price(file, "a: b", **entry(input=5, output=6))
    assert file.read_text() == before
    add_price(file, "a: b", **entry(input=5, output=6, starts=dt.date(2026, 2, 1)))
    add_price(file, "new@model/x:1", **entry(input=0.1, output=0.2))
    assert [line for line in file.read_text().splitlines() if "#" in line] == [
        "# ours", "  'a: b':  # odd name", "  # last word",
    ]  # fmt: skip
    prices = PriceTable.load(file, default=False)
    assert prices.rates("a: b", DAY).input == 5
    assert prices.rates("new@model/x:1", DAY).output == 0.2


ENTRY = "{starts: 2026-01-01, input: 1, output: 2, source: u, checked: 2026-01-01}"
BLOCK = ("starts: 2026-01-01", "input: 1", "output: 2", "source: u", "checked: 2026-01-01")
STYLES = {
    "two": "models:\n  m:\n    - " + "\n      ".join(BLOCK) + "\n  # of others\n  n:\n    - " + ENTRY + "\n",
    "flush": "models:\n  m:\n  - " + "\n    ".join(BLOCK) + "\n\n  # of others\n  n:\n  - " + ENTRY + "\n",
    "four": "models:\n    m: &mine\n        -   " + "\n            ".join(BLOCK)
    + "\n    # of others\n    n:\n        - " + ENTRY + "\n",
    "apart": "models:\n  m:\n    -\n      " + "\n      ".join(BLOCK) + "\n  # of others\n  n:\n    -\n      " + ENTRY + "\n",
    "flow": "---\n# ours\nmodels:\n  m: [" + ENTRY + "]  # mine\n  # of others\n  n:   [" + ENTRY + "]\n",
}  # fmt: skip


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES)
def test_whatever_the_style_every_line_stays_where_it_was(tmp_path: Path, text: str) -> None:
    """Of other models, to the byte, with the comment above them; also for an entry that is completed."""
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    add_price(file, "m", **entry(input=5, output=6, starts=dt.date(2026, 2, 1)))
    add_price(file, "m", **entry(input=7, output=8, starts=dt.date(2026, 3, 1)))
    add_price(file, "m", starts=dt.date(2026, 1, 1), cache_read=0.5)
    others = text[text.index("# of others") :]
    assert file.read_text().endswith(others) and file.read_text().startswith(text[: text.index("m:")])
    prices = PriceTable.load(file, default=False)
    by_day = [prices.rates("m", dt.date(2026, month, 9)).input for month in (1, 2, 3)]
    assert by_day == [1, 5, 7] and prices.rates("m", dt.date(2026, 1, 9)).prices["cache_read"] == 0.5
    assert prices.rates("n", DAY).input == 1


@pytest.mark.parametrize("shared", ["m: &a\n    - {0}\n  n: *a\n", "m:\n    - &a {0}\n  n:\n    - *a\n"])
def test_entries_that_an_alias_shares_are_left_alone(tmp_path: Path, shared: str) -> None:
    """What is added to one model would be added to the other."""
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n  " + shared.format(ENTRY))
    before = file.read_text()
    with pytest.raises(InputError, match=r"entries of model 'm' cannot be added to .*alias"):
        add_price(file, "m", starts=dt.date(2026, 1, 1), cache_read=0.5)
    if "m: &a" in shared:
        with pytest.raises(InputError, match=r"entries of model 'm' cannot be added to .*alias"):
            add_price(file, "m", **entry(input=5, output=6, starts=dt.date(2026, 2, 1)))
    assert file.read_text() == before


counts = st.integers(0, 10_000_000)


@given(st.tuples(counts, counts, counts, counts, counts), st.integers(0, 4), st.integers(1, 1000))
def test_more_tokens_never_cost_less(amounts: tuple[int, ...], kind: int, more: int) -> None:
    rates = PriceTable.load(None).rates("anthropic/claude-sonnet-4-5", DAY)
    grown = tuple(n + more * (i == kind) for i, n in enumerate(amounts))
    assert rates.cost(Tokens(*grown)) > rates.cost(Tokens(*amounts)) or sum(amounts) + more == 0
