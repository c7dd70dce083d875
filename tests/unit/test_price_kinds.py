"""Prices beside those of input and output, dates as providers bill, and what looks like a slip."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.init import PRICES
from router_lab.config import Price
from router_lab.prices import PriceTable, Tokens, add_price, add_tool, today, utc
from router_lab.runtime.budget import Budget
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Prices
from router_lab.sweep.budget import worst_call_usd

DAY = dt.date(2026, 11, 1)
ENTRY: dict[str, Any] = {"starts": dt.date(2026, 1, 1), "source": "s", "checked": dt.date(2026, 1, 1)}


def table(**fields: Any) -> PriceTable:
    return PriceTable({"m": [Price(**{**ENTRY, **fields})]}, default=False)


def test_a_request_has_its_fee_whatever_its_tokens_and_tier() -> None:
    # 100 × $3 + 50 × $15 a million and $14 a thousand requests: .0003 + .00075 + .014; in a batch half of the tokens.
    prices = table(input=3, output=15, per_1k_requests=14, tiers={"batch": 0.5})
    assert prices.cost("m", Tokens(100, output=50), DAY) == pytest.approx(0.01505, abs=1e-12)
    assert prices.cost("m", Tokens(100, output=50), DAY, "batch") == pytest.approx(0.014525, abs=1e-12)
    assert prices.cost("m", Tokens(100, output=50, requests=3), DAY) == pytest.approx(0.04305, abs=1e-12)
    # genai-prices' own figure for the same call.
    assert PriceTable.load().cost("perplexity/sonar-pro", Tokens(100, output=50), DAY) == pytest.approx(
        0.01505
    )


def test_reasoning_has_its_own_price_where_there_is_one() -> None:
    # 100 × 1 + 50 × 10 + 300 × 3 = 1,500 a million; without a price of its own 100 + 350 × 10 = 3,600.
    tokens = Tokens(100, output=350, reasoning=300)
    assert table(input=1, output=10, reasoning=3).cost("m", tokens, DAY) == pytest.approx(0.0015, abs=1e-12)
    assert table(input=1, output=10).cost("m", tokens, DAY) == pytest.approx(0.0036, abs=1e-12)
    long = [{"over_input_tokens": 50, "input": 2, "output": 20, "reasoning": 6}]
    dear = table(input=1, output=10, reasoning=3, long_context=long)
    assert dear.cost("m", tokens, DAY) == pytest.approx(0.0030, abs=1e-12)


def test_the_worst_case_of_a_call_and_an_agents_budget_have_fees_and_dear_reasoning() -> None:
    prices = table(input=1, output=2, reasoning=4, per_1k_requests=10, cache_write_5m=1.25, cache_write_1h=2)
    # 1,000 in, 100 out: 1,250 + 400 a million and .01; kept for an hour 2,000 + 400.
    assert worst_call_usd(prices, "m", 1000, 100) == pytest.approx(0.01165, abs=1e-12)
    assert worst_call_usd(prices, "m", 1000, 100, hour_writes=True) == pytest.approx(0.0124, abs=1e-12)
    budget = Budget(max_usd=0.03, prices=Prices(**prices.rates("m", DAY).as_dict()))
    call = budget.reserve(1000, max_output_tokens=100)
    assert call.usd == pytest.approx(0.0114, abs=1e-12)
    call.settle(1000, 100)
    assert budget.usd == pytest.approx(0.0114, abs=1e-12)


def test_a_kind_of_price_or_usage_that_is_not_known_is_an_error_and_never_a_zero() -> None:
    with pytest.raises(
        InputError, match=r"charges `output_citation_mtok` \(2\), a kind of price .*router-lab prices add"
    ):
        PriceTable.load().rates("perplexity/sonar-deep-research", DAY)
    flash = PriceTable.load()
    assert flash.cost("google/gemini-2.5-flash", Tokens(1_000_000), DAY) == pytest.approx(0.3)
    with pytest.raises(
        InputError, match=r"called with input audio, for which genai-prices .* names a price of its own"
    ):
        flash.cost("google/gemini-2.5-flash", Tokens(1_000_000, media=("input_audio",)), DAY)
    assert flash.cost(
        "google/gemini-2.5-flash", Tokens(1_000_000, media=("input_image",)), DAY
    ) == pytest.approx(0.3)
    strange = Tokens(10, output=5, other=(("input_audio_tokens", 7),))
    with pytest.raises(
        InputError, match=r"used 7 input_audio_tokens tokens, .* --other input_audio_tokens=X"
    ):
        table(input=1, output=2).cost("m", strange, DAY)
    # 10 × 1 + 5 × 2 + 7 × 32 = 244 a million; 0 says that input counts them already.
    priced = table(input=1, output=2, other={"input_audio_tokens": 32})
    assert priced.cost("m", strange, DAY) == pytest.approx(0.000244, abs=1e-12)
    assert table(input=1, output=2, other={"input_audio_tokens": 0}).cost("m", strange, DAY) == pytest.approx(
        0.00002
    )


def test_paid_tools_have_a_price_by_the_call(tmp_path: Path) -> None:
    # $10 a thousand searches at Anthropic, by genai-prices; a fetch is free.
    counts = {"web_search": 3, "web_fetch": 2}
    assert PriceTable.load().provider_tools("anthropic/claude-haiku-4-5", {}, DAY) == 0
    listed = next(
        name for name in ("openai/gpt-5-mini", "anthropic/claude-fable-5-2")
        if PriceTable.load().rates(name, DAY).tools.get("web_search") == 10
    )  # fmt: skip
    assert PriceTable.load().provider_tools(listed, counts, DAY) == pytest.approx(0.03)
    with pytest.raises(
        InputError, match=r"provider's paid tool `web_search` 3 times, .*prices add 'm' --tool web_search=X"
    ):
        table(input=1, output=2).provider_tools("m", counts, DAY)
    assert table(input=1, output=2, tools={"web_search": 14}).provider_tools(
        "m", counts, DAY
    ) == pytest.approx(0.042)
    file = tmp_path / "prices.yaml"
    add_tool(file, "tavily", per_1k_calls=8, source="s", starts=dt.date(2026, 11, 1))
    add_tool(file, "tavily", per_1k_calls=5, source="s", starts=dt.date(2026, 11, 10))
    own = PriceTable.load(file)
    assert own.own_tools({"tavily": 2, "bash": 9}, DAY) == pytest.approx(0.016)
    assert own.own_tools({"tavily": 2}, dt.date(2026, 11, 10)) == pytest.approx(0.010)
    with pytest.raises(
        InputError, match="tool 'tavily' has no price on 2026-10-31; its first entry starts 2026-11-01"
    ):
        own.own_tools({"tavily": 1}, dt.date(2026, 10, 31))


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"input": 2.5, "output": 15, "cache_read": 30}, "input 2.5 is below cache_read 30.0: swapped?"),
        ({"input": 15, "output": 2.5}, "output 2.5 is below input 15.0: swapped?"),
        ({"input": 3, "output": 15, "cache_read": 0.3, "cache_write_5m": 0.1}, "cache_write_5m 0.1 is below cache_r"),
        ({"input": 3, "output": 15, "cache_write_5m": 6, "cache_write_1h": 3.75}, "cache_write_1h 3.75 is below cache"),
        ({"input": 0.0025, "output": 0.0075}, "output 0.0075 is no usual price of a million tokens: $ per 1,000"),
        ({"input": 2.5e-6, "output": 1e-5}, "or per token?"),
        ({"input": 2500, "output": 15_000}, "output 15000 is no usual price of a million tokens: not in $ per million"),
        ({"input": 3, "output": 15, "tiers": {"batch": 50}}, "tiers.batch 50 makes it dearer: a factor, such as 0.5?"),
        (
            {"input": 3, "output": 15, "long_context": [{"over_input_tokens": 9, "input": 22, "output": 6}]},
            "output 6.0 is below input 22.0",
        ),
    ],
)  # fmt: skip
def test_what_looks_like_a_slip_is_refused_unless_confirmed(
    tmp_path: Path, fields: dict[str, Any], doubt: str
) -> None:
    file = tmp_path / "prices.yaml"
    with pytest.raises(InputError, match=re.escape(doubt)):
        add_price(file, "m", source="s", **fields)
    assert not file.exists()
    add_price(file, "m", source="s", confirmed=True, **fields)
    assert PriceTable.load(file).rates("m", today()).input == fields["input"]
    file.write_text(file.read_text().replace("confirmed: true", "confirmed: false"))
    with pytest.raises(
        InputError, match=rf"prices\.yaml: `models\.m\.0`: .*{re.escape(doubt)}.*`confirmed: true`"
    ):
        PriceTable.load(file)


@pytest.mark.parametrize("bad", ["-1", "nan", "inf"])
def test_a_price_is_a_finite_number_of_0_or_more(tmp_path: Path, bad: str) -> None:
    command = [
        "prices",
        "add",
        "m",
        "--input",
        "1",
        f"--output={bad}",
        "--source",
        "s",
        "--prices",
        str(tmp_path / "p"),
    ]
    result = CliRunner().invoke(cli, command)
    said = ("`output` is", 1) if bad == "-1" else (f"'--output': '{bad}' is not a finite number", 2)
    assert (said[0] in result.stderr, result.exit_code) == (True, said[1]) and not (tmp_path / "p").exists()


def test_a_zero_that_is_written_down_is_a_price(tmp_path: Path) -> None:
    add_price(tmp_path / "p.yaml", "ollama/llama3", input=0, output=0, source="our own machine")
    assert PriceTable.load(tmp_path / "p.yaml").cost("ollama/llama3", Tokens(9, output=9), today()) == 0


def test_others_prices_that_look_like_a_slip_are_used_and_said() -> None:
    with pytest.warns(
        RouterLabWarning, match=r"cache_write_5m 0\.0833.* is below cache_read 0\.15.*--confirmed"
    ):
        PriceTable.load().rates("openrouter/google/gemini-3.5-flash", DAY)
    with pytest.raises(InputError, match=r"output 2\.0 is below input 2\.5: swapped\?.*--confirmed"):
        PriceTable.load().rates("openrouter/openai/gpt-5-image-mini", DAY)


@pytest.fixture(params=["Pacific/Kiritimati", "America/Los_Angeles"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that is a day ahead or behind."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-06-01T00:00:01+00:00", "2026-06-01"),
        ("2026-05-31T23:59:59Z", "2026-05-31"),
        ("2026-06-01T01:30:00+02:00", "2026-05-31"),
        ("2026-05-31T20:30:00-04:00", "2026-06-01"),
        ("2026-06-01T00:00:01", "2026-06-01"),
        ("2026-05-31T23:59:59.999", "2026-05-31"),
    ],
)
def test_a_day_is_one_in_utc_wherever_the_machine_stands(text: str, day: str) -> None:
    assert utc(text).date().isoformat() == day
    new = Price(**{**ENTRY, "starts": dt.date(2026, 6, 1), "input": 2, "output": 4})
    both = PriceTable({"m": [Price(**{**ENTRY, "input": 1, "output": 2}), new]}, default=False)
    assert both.rates("m", utc(text)).input == (2 if day == "2026-06-01" else 1)
    assert today() == dt.datetime.now(dt.UTC).date()


@pytest.mark.usefixtures("elsewhere")
def test_genai_prices_change_at_midnight_utc_and_some_by_the_hour() -> None:
    prices = PriceTable.load()
    # From 17 August 2026 on; and dearer from 1:00 to 4:00 and from 6:00 to 10:00 since 10 September.
    for text, price in [
        ("2026-08-16T23:59:59+00:00", 0.14), ("2026-08-17T00:00:00+00:00", 0.22), ("2026-08-16T20:00:00-04:00", 0.22),
        ("2026-08-17T01:59:59+02:00", 0.14), ("2026-11-01T00:59:59+00:00", 0.15), ("2026-11-01T01:00:00+00:00", 0.3),
        ("2026-11-01T06:30:00+02:00", 0.15), ("2026-11-01T07:00:00", 0.3), ("2026-11-01T12:00:00+00:00", 0.15),
    ]:  # fmt: skip
        assert prices.rates("deepseek/deepseek-v4-flash", utc(text)).input == price, text


COMMAND = re.compile(r"router-lab (prices (?:add|tool) .*?)(?: \(0 if it is free\))?$")


def follow(error: str, **values: str) -> None:
    """Run the command that an error suggests as it is printed, with X, Y and URL filled in."""
    found = COMMAND.search(error)
    assert found, error
    filled = {"X": "1", "Y": "2", "URL": "https://example.com"} | values
    words = [
        re.sub(r"^(.*=)?(X|Y|URL)$", lambda m: (m[1] or "") + filled[m[2]], w) for w in shlex.split(found[1])
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("text", [PRICES, "", "models: {}  # none\n", "models:\n", None])
def test_the_command_that_an_error_suggests_is_the_one_that_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "it's mine/prices.yaml"
    file.parent.mkdir()
    if text is not None:
        file.write_text(text)
    past, haiku = dt.date(2026, 3, 1), "anthropic/claude-haiku-4-5"
    strange = Tokens(1, other=(("odd.kind", 1),))
    wants: list[tuple[str, Any]] = [
        ("an unknown model", lambda t: t.rates("p/it's new@v1:x", past)),
        ("a day before its first entry", lambda t: t.rates("p/it's new@v1:x", past - dt.timedelta(1))),
        ("a kind that one's own entry lacks", lambda t: t.cost("p/it's new@v1:x", Tokens(cache_write_1h=7), past)),
        ("the same on a later day", lambda t: t.cost("p/it's new@v1:x", Tokens(cache_read=7), past + dt.timedelta(9))),
        ("a tier", lambda t: t.cost("p/it's new@v1:x", Tokens(1), past, "batch")),
        ("a kind of usage", lambda t: t.cost("p/it's new@v1:x", strange, past)),
        ("a tool", lambda t: t.provider_tools("p/it's new@v1:x", {"web_search": 1}, past)),
        ("a second tool", lambda t: t.provider_tools("p/it's new@v1:x", {"x_search": 1}, past)),
        ("a kind that genai-prices lacks", lambda t: t.cost("openai/gpt-5-mini", Tokens(cache_write_5m=7), DAY)),
        ("a tool that genai-prices lacks", lambda t: t.provider_tools(haiku, {"x_search": 1}, DAY)),
        ("what genai-prices has swapped", lambda t: t.rates("openrouter/openai/gpt-5-image-mini", DAY)),
        ("media priced apart", lambda t: t.cost("google/gemini-2.5-flash", Tokens(1, media=("input_audio",)), DAY)),
        ("an unknown kind of price", lambda t: t.rates("perplexity/sonar-deep-research", DAY)),
        ("another kind of a model with long prices",
         lambda t: t.cost("anthropic/claude-sonnet-4-5", Tokens(1, other=(("odd", 1),)), DAY)),
    ]  # fmt: skip
    for what, want in wants:
        small = {"X": "0.1", "Y": "0.2"} if "an unknown model" not in what else {}
        try:
            want(PriceTable.load(file, missing=True))
        except InputError as error:
            follow(str(error), **({} if "day before" in what else small))
        else:
            raise AssertionError(f"{what}: no error")
        want(PriceTable.load(file))
    whole = PriceTable.load(file)
    # What was copied from genai-prices is all of it: 300,000 in at the long price of $6, 1,000 out at $22.5.
    assert whole.cost("anthropic/claude-sonnet-4-5", Tokens(300_000, output=1000), DAY) == pytest.approx(
        1.8225
    )
    assert whole.rates("anthropic/claude-sonnet-4-5", DAY).tiers == {"batch": 0.5}
    assert "#" not in (text or "") or all(
        line in file.read_text() for line in (text or "").splitlines() if line[:1] == "#"
    )


def test_a_file_with_a_byte_order_mark_is_added_to(tmp_path: Path) -> None:
    """As an editor on Windows saves it."""
    file = tmp_path / "prices.yaml"
    file.write_bytes(b"\xef\xbb\xbf# ours\r\nmodels: {}\r\n")
    add_price(file, "m", input=2.5, output=15, source="https://x.example")
    assert PriceTable.load(file).rates("m", dt.date(2100, 1, 1)).output == 15
    assert "# ours" in file.read_text(encoding="utf-8")


def test_a_price_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model's name is empty"):
        add_price(tmp_path / "prices.yaml", " ", input=2.5, output=15, source="https://x.example")
    assert not (tmp_path / "prices.yaml").exists()
