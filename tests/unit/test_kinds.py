"""Kinds of tokens are rows: two more of them are followed from a price to a page, and the docs' table is theirs.

`python tests/unit/test_kinds.py` writes the table anew.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from genai_prices.types import ModelPrice
from inspect_ai.model import ModelUsage

from router_lab.config import Price
from router_lab.prices import PriceTable, Rates, Tokens, read_usage, told_apart
from router_lab.runtime.kinds import COUNTED, KINDS, PRICED, PROMPT, TOKENS, Kind
from router_lab.runtime.model import Prices
from router_lab.sweep.budget import worst_call_usd
from router_lab.sweep.ledger import Ledger

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"(<!-- rows: router_lab/runtime/kinds\.py -->\n)(.*?)(\n\n)", re.S)
NO_LIST = Price(starts="2024-01-01", input=1, output=10, cache_read=0.1, cache_write_5m=1.25, cache_write_1h=2,
                reasoning=3, source="s", checked="2024-01-01")  # fmt: skip


def docs_table() -> str:
    """The registry as docs/extending.md has it."""

    def code(*names: str | None) -> str:
        return ", ".join(f"`{name}`" for name in names if name) or "–"

    def counted(kind: Kind) -> str:
        if kind.within:
            return f"within `{kind.within}`, and priced as that without a price of its own"
        return (
            f"{kind.side}, taken out of `{kind.split}`" if kind.split else f"{kind.side}, beside the others"
        )

    rows = [
        (code(k.name), k.unit, counted(k), code(k.column), code(k.usage), code(*k.answered), code(*k.genai))
        for k in KINDS
    ]
    head = ("kind", "unit", "counted", "column", "Inspect's usage", "a provider's `usage`", "genai-prices")
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def test_the_docs_have_the_rows_as_they_are() -> None:
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None and found[2] == docs_table(), "python tests/unit/test_kinds.py writes it anew"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process saw whose registry has input_audio and output_audio, too."""
    folder = tmp_path_factory.mktemp("audio")
    code = ROOT / "tests" / "kinds_with_audio.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(code), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_further_kind_has_a_price_on_the_command_line(seen: dict[str, Any]) -> None:
    assert re.search(
        r"--reasoning .*--input-audio FLOAT\s+--output-audio FLOAT\s+Spoken answers\.", seen["help"], re.S
    )
    assert "      input_audio: 40.0\n" in seen["file"] and "      output_audio: 80.0\n" in seen["file"]
    assert seen["show"].endswith("  input audio 40  output audio 80\n")
    assert {"input_audio": 40.0, "output_audio": 80.0}.items() <= seen["json"][0].items()
    assert {"input_audio": 40.0, "output_audio": 80.0}.items() <= seen["prices"].items()


def test_a_further_kind_is_counted_and_priced_whoever_tells_it(seen: dict[str, Any]) -> None:
    # Of 100 tokens 60 are heard, of 20 written 15 spoken: 40 × 2.5 + 60 × 40 + 5 × 10 + 15 × 80 = 3,750 a million.
    counts = [100, 60, 20, 15]
    usd = pytest.approx(0.00375, abs=1e-12)
    names = ("answered", "counted", "noted")
    assert seen["outcomes"] == [[name, *counts, usd, usd] for name in names]
    assert seen["calls"] == [[name, *counts] for name in names]
    shown = ("input_audio_tokens", "output_audio_tokens", "input_image_tokens")
    further = [*TOKENS, *(column for column in shown if column not in TOKENS)]
    assert seen["columns"] == [further, further] and seen["tracked"] == further
    # Two such turns where 40 of the second are read from a cache: heard tokens are none of them, 3,750 + 20 + 3,650.
    assert seen["turns"] == [pytest.approx(0.00742, abs=1e-12)]
    # With $50 for what is heard: 100 + 3,000 + 50 + 1,200 = 4,350.
    assert seen["again"] == [pytest.approx(0.00435, abs=1e-12)] * 3
    # A table of somebody else that says nothing of speech: 100 + 2,400 + 20 × 10 = 2,700.
    assert seen["table"] == [pytest.approx(0.0027, abs=1e-12)] and seen["theirs"] == "input_audio_tokens"
    assert seen["logged"] == {"output_audio_tokens": 15}


def test_a_further_kind_stands_behind_all_that_was_given_by_position(seen: dict[str, Any]) -> None:
    assert seen["placed"] == {"reasoning": 6, "per_1k_requests": 7}


def test_a_further_kind_is_in_every_budget(seen: dict[str, Any]) -> None:
    # 1,000 tokens that may all be heard and 100 that may all be spoken: 40,000 + 8,000 a million.
    assert seen["worst"] == pytest.approx(0.048, abs=1e-12)
    assert seen["reserved"] == pytest.approx(0.048, abs=1e-12)
    assert seen["ledger"] == [pytest.approx(0.00375, abs=1e-12)] * 2
    assert seen["line"] == {"input": 100, "output": 20, "requests": 1, "input_audio": 60, "output_audio": 15}


def test_a_further_kind_is_in_the_reports(seen: dict[str, Any]) -> None:
    head, row = seen["terminal"].splitlines()[:2]
    assert re.search(r" in +out +audio in +audio out +n$", head) and re.search(r" 100 +20 +60 +15 +3$", row)
    assert "<th>audio in</th>" in seen["page"]
    tokens = seen["page"][seen["page"].index("Where the tokens go") :]
    heads = re.findall(r"<th>(.*?)</th>", tokens)
    cells = re.findall(r"<td>(.*?)</td>", tokens)
    # 20 − 15 written as text.
    assert dict(zip(heads, cells, strict=False)) == {
        "input": "100", "answer": "5", "input audio": "60", "output audio": "15",
    }  # fmt: skip


def test_a_further_kind_has_the_price_of_genai_prices_and_is_never_guessed(seen: dict[str, Any]) -> None:
    text_in, text_out, heard, spoken, media = seen["listed"]
    assert (text_in, text_out, heard, spoken, media) == (2.5, 10, 32, 64, [])
    # 40 × 2.5 + 60 × 32 + 5 × 10 + 15 × 64 = 3,030 a million.
    assert seen["genai"] == pytest.approx(0.00303, abs=1e-12)
    assert "called with input audio" in seen["untold"] and "name one price for all" in seen["untold"]
    assert seen["own"].endswith("name one price for all: its entry without that price")
    assert "--output-audio 64" in seen["untold"] and "--input-audio" not in seen["untold"]


def test_a_kind_that_is_split_from_another_leaves_it_for_its_price_alone(seen: dict[str, Any]) -> None:
    text, heard, cached, heard_before, written = seen["live"]
    # 60 of 100 are heard, 40 of these read from the cache: 40 of text, 20 heard, 40 heard before; and 20 written.
    paid = (40 * text + 20 * heard + 40 * heard_before + 20 * written) / 1e6
    # Without a cache all 60 are heard. Where the cache holds all that was heard, none is heard anew.
    fresh = (40 * text + 60 * heard + 20 * written) / 1e6
    known = (40 * text + 60 * heard_before + 20 * written) / 1e6
    assert seen["cached"] == [
        pytest.approx(paid, abs=1e-12),
        pytest.approx(fresh, abs=1e-12),
        60,
        pytest.approx(known),
    ]
    assert len({text, heard, cached, heard_before, written}) >= 4


def test_a_kind_may_be_counted_beside_the_others(seen: dict[str, Any]) -> None:
    # 10 + 30 + 200 + 5 = 245, so nothing is inside anything: 10 × 1 + 30 × .1 + 200 × 4 + 5 × 2 = 823 a million;
    # without a cache 40 × 1 + 800 + 10 = 850.
    doubt, prompt, paid, fresh, unpriced = seen["beside"]
    assert (doubt, prompt) == (None, 240)
    assert (paid, fresh) == (pytest.approx(0.000823, abs=1e-12), pytest.approx(0.00085, abs=1e-12))
    assert "used 200 input_image tokens, of which prices.yaml names no price; add one: " in unpriced
    assert "--input-image X" in unpriced


def test_the_rows_fit_each_other_and_what_they_name() -> None:
    names = [kind.name for kind in KINDS]
    assert len({*names}) == len(names) and len({*TOKENS}) == len(TOKENS)
    assert {kind.side for kind in KINDS} == {"input", "output"}
    by_name = {kind.name: kind for kind in KINDS}
    for kind in KINDS:
        for other in filter(None, (kind.within, kind.split, *kind.at_most)):
            assert other in by_name, f"{kind.name} names {other}"
        if kind.within or kind.split:
            whole = by_name[kind.within or kind.split or ""]
            assert (whole.side, whole.within) == (kind.side, None) and names.index(whole.name) < names.index(
                kind.name
            )
        for key in kind.genai:
            getattr(ModelPrice(), key)  # raises for a key that genai-prices does not know
    told = {kind.usage for kind in KINDS if kind.usage}
    assert told >= {*ModelUsage.model_fields} - {"total_tokens", "total_cost"}
    assert [kind.name for kind in PRICED if kind.needed] == ["input", "output"]
    assert [kind.name for kind in COUNTED][:5] == [
        "input", "cache_read", "cache_write_5m", "output", "reasoning",
    ]  # fmt: skip


def test_what_is_written_keeps_its_order(tmp_path: Path) -> None:
    """Columns, positions in a ledger and in `Prices`, and the order of an artifact's prices, as they always were;
    further kinds follow them."""
    assert TOKENS[:5] == (
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    )  # fmt: skip
    ever = {"input": 1, "output": 2, "cache_read": 3, "cache_write_5m": 4, "cache_write_1h": 5}
    prices = Prices(1, 2, 3, 4, 5, {"batch": 0.5}, "2026-11-01", 6, 7)
    assert list(prices.as_dict().items()) == [
        *ever.items(), ("tiers", {"batch": 0.5}), ("price_date", "2026-11-01"), ("reasoning", 6),
        ("per_1k_requests", 7),
    ]  # fmt: skip
    few = Prices(1, 2).as_dict()
    assert list(few) == [*ever, "tiers", "price_date"] and few["cache_read"] is None
    table = PriceTable({"m": [NO_LIST]}, default=False)
    ledger = Ledger(tmp_path, table, priced=True)
    ledger.close(None, "m", Tokens(1, 2, 3, 4, 5, 6, other=(), media=("input_image",)))
    line = json.loads((tmp_path / "ledger.jsonl").read_text())
    assert line["tokens"] == [1, 2, 3, 4, 5, 6, 1, [], ["input_image"]] + [0] * (len(KINDS) - 6)
    # A line from before reasoning was counted apart: 1,000 × 1 + 100 × 10 = 2,000 a million.
    old = {**line, "tokens": [1000, 0, 0, 0, 100]}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(old) + "\n")
    assert Ledger(tmp_path, table, priced=True).spent_usd == pytest.approx(0.002, abs=1e-12)


def test_tokens_by_column_and_without_a_cache() -> None:
    tokens = Tokens(1, 20, 300, 4000, 50, 7, requests=2, media=("input_image",))
    assert tokens.prompt == 4321 and [kind.name for kind in PROMPT][:4] == [
        "input", "cache_read", "cache_write_5m", "cache_write_1h",
    ]  # fmt: skip
    told = [1, 20, 4300, 50, 7] + [0] * (len(TOKENS) - 5)
    assert list(tokens.columns().values()) == told and tuple(tokens.columns()) == TOKENS
    assert tokens.uncached() == Tokens(4321, output=50, reasoning=7, requests=2, media=("input_image",))


def test_rates_have_a_price_by_kind_and_no_other_attribute() -> None:
    rates = Rates("m", {"input": 1.0, "output": 2.0})
    assert (rates.input, rates.cache_read, rates.prices["output"]) == (1.0, None, 2.0)
    with pytest.raises(AttributeError, match="'Rates' object has no attribute 'cache_reed'"):
        rates.cache_reed  # noqa: B018
    # Dearest is to write 1,000 read tokens to the cache, and 100 of an answer without reasoning: 1,250 + 1,000.
    table = PriceTable({"m": [NO_LIST]}, default=False)
    assert worst_call_usd(table, "m", 1000, 100) == pytest.approx(0.00225, abs=1e-12)
    assert worst_call_usd(table, "m", 1000, 100, hour_writes=True) == pytest.approx(0.003, abs=1e-12)


@pytest.mark.parametrize(
    "odd", [None, "text", [], {"usage": None}, {"usage": {"cache_creation": 3}}, {"usage": 4}]
)
def test_an_answer_of_another_shape_tells_nothing_apart(odd: Any) -> None:
    assert told_apart(odd) == {}


@pytest.mark.parametrize(
    ("count", "told"), [(5, {"cache_write_1h": 5}), (0, {}), (-5, {}), (1.5, {}), (True, {}), (10**13, {})]
)
def test_a_figure_that_cannot_be_is_no_count(count: Any, told: dict[str, int]) -> None:
    assert told_apart({"usage": {"cache_creation": {"ephemeral_1h_input_tokens": count}}}) == told


@pytest.mark.parametrize("bad", ["many", -1, 1.5, None])
def test_a_note_that_no_sweep_wrote_is_no_usage(bad: Any) -> None:
    tokens, doubt = read_usage({"input_tokens": 1, "output_tokens": 2}, answered={"reasoning": bad})
    assert tokens == (Tokens(1, output=2) if bad is None else None) and (doubt is None) == (bad is None)


if __name__ == "__main__":
    PAGE.write_text(
        BLOCK.sub(lambda found: found[1] + docs_table() + found[3], PAGE.read_text(encoding="utf-8"))
    )
