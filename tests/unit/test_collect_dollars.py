"""Dollars of foreign and older logs and of tables, to the cent, each figure worked out by hand beside it."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab.collect import collect
from router_lab.collect.calls import Call, request_cost
from router_lab.config import Price, ToolPrice
from router_lab.outcomes import read_outcomes, write_outcomes
from router_lab.prices import PriceTable, Tokens, served_by
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.sweep.budget import Answer, Spending
from router_lab.sweep.ledger import Ledger

MODEL = "openai/gpt-4o"
SINCE: dict[str, Any] = {"starts": dt.date(2024, 1, 1), "source": "s", "checked": dt.date(2024, 1, 1)}
PLAIN = {"input": 1, "output": 10, "cache_read": 0.1, "cache_write_5m": 1.25, "cache_write_1h": 2}
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


def prices(*later: dict[str, Any], tools: dict[str, float] | None = None, **more: Any) -> PriceTable:
    first = Price(**SINCE, **{**PLAIN, **more})
    own = {name: [ToolPrice(**SINCE, per_1k_calls=fee)] for name, fee in (tools or {}).items()}
    return PriceTable(
        {MODEL: [first, *(Price(**{**SINCE, **row}) for row in later)]}, tools=own, default=False
    )


def answer(
    text: str = "a", usage: dict[str, Any] | None = None, content: Any = None, **more: Any
) -> dict[str, Any]:
    message = {"role": "assistant", "content": content or text, "source": "generate"}
    return {"model": "gpt-4o", "choices": [{"message": message, "stop_reason": "stop"}], "completion": text,
            "usage": USAGE if usage is None else usage, **more}  # fmt: skip


def asked(output: dict[str, Any], at: str = "2026-05-31T12:00:00+00:00", **more: Any) -> dict[str, Any]:
    return {"event": "model", "timestamp": at, "model": MODEL, "input": [{"role": "user", "content": "q"}], "tools": [],
            "tool_choice": "none", "config": {}, "output": output, **more}  # fmt: skip


def step(action: str, kind: str) -> dict[str, Any]:
    return {"event": "step", "timestamp": "2026-05-31T12:00:00", "action": action, "type": kind, "name": kind}


def sample(*events: dict[str, Any], output: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    last = output or next((e["output"] for e in events if e["event"] == "model"), answer())
    return {"id": "s", "epoch": 1, "input": "q", "target": "a", "messages": [{"role": "user", "content": "q"}],
            "output": last, "scores": {"match": {"value": "C"}}, "metadata": {}, "events": list(events),
            **more}  # fmt: skip


def log(folder: Path, *samples: dict[str, Any], version: int = 2, **spec: Any) -> Path:
    path = folder / f"2026-05-31T12-00-00_t_{len(list(folder.iterdir()))}.json"
    told = {"run_id": "r", "created": "2026-05-31T12:00:00+00:00", "task": "t", "task_id": "i", "task_version": 0,
            "dataset": {"name": "d", "samples": 1}, "model": MODEL, "task_attribs": {}, "task_args": {},
            "model_args": {}, "config": {}, "packages": {}, **spec}  # fmt: skip
    results = {"scorer": {"name": "match"}, "metrics": {}} if version == 1 else {}
    whole = {"version": version, "status": "success", "eval": told, "plan": {"name": "p", "steps": [], "config": {}},
             "results": results, "stats": {}, "samples": list(samples)}  # fmt: skip
    path.write_text(json.dumps(whole))
    return path


def row(path: Path, table: PriceTable, **how: Any) -> pd.Series[Any]:
    outcomes, _ = collect([path], prices=table, **how)
    assert len(outcomes) == 1
    return outcomes.iloc[0]


@pytest.mark.parametrize(
    ("usage", "cost", "paid"),
    [
        # xAI: 100 × 1 + 320 × 10 = 3,300 a million.
        ({"input_tokens": 100, "output_tokens": 20, "reasoning_tokens": 300, "total_tokens": 420}, 0.0033, 0.0033),
        # The usual way: 100 × 1 + 320 × 10.
        ({"input_tokens": 100, "output_tokens": 320, "reasoning_tokens": 300, "total_tokens": 420}, 0.0033, 0.0033),
        # 1,000 of 1,300 read from the cache and 200 written, inside the input. A request: 1300 × 1 + 20 × 10 = 1,500;
        # paid: 100 × 1 + 1000 × .1 + 200 × 1.25 + 20 × 10 = 650.
        ({"input_tokens": 1300, "output_tokens": 20, "total_tokens": 1320, "input_tokens_cache_read": 1000,
          "input_tokens_cache_write": 200}, 0.0015, 0.00065),
        # The same as Inspect documents it.
        ({"input_tokens": 100, "output_tokens": 20, "total_tokens": 1320, "input_tokens_cache_read": 1000,
          "input_tokens_cache_write": 200}, 0.0015, 0.00065),
        # Both at once: 1300 × 1 + 50 × 10 = 1,800; paid 100 + 100 + 250 + 500 = 950.
        ({"input_tokens": 1300, "output_tokens": 20, "total_tokens": 1350, "input_tokens_cache_read": 1000,
          "input_tokens_cache_write": 200, "reasoning_tokens": 30}, 0.0018, 0.00095),
    ],
)  # fmt: skip
def test_dollars_do_not_depend_on_how_a_provider_counts(
    tmp_path: Path, usage: dict[str, int], cost: float, paid: float
) -> None:
    got = row(log(tmp_path, sample(asked(answer(usage=usage)))), prices())
    assert (got["cost_usd"], got["paid_usd"]) == (
        pytest.approx(cost, abs=1e-12),
        pytest.approx(paid, abs=1e-12),
    )
    assert (
        got["output_tokens"]
        == (cost * 1e6 - got["input_tokens"] - got["cache_read_tokens"] - got["cache_write_tokens"]) / 10
    )


def test_what_cannot_be_told_is_said_once_for_a_candidate(tmp_path: Path) -> None:
    silent = {**USAGE, "reasoning_tokens": 5, "total_tokens": 0}
    path = log(tmp_path, sample(*(asked(answer(usage=silent)) for _ in range(3))))
    with pytest.warns(RouterLabWarning, match=r"^openai/gpt-4o: 3 calls with no total_tokens") as said:
        assert row(path, prices())["cost_usd"] == pytest.approx(3 * 0.0003, abs=1e-12)
    assert len(said) == 1
    odd = log(tmp_path, sample(asked(answer(usage={**USAGE, "output_tokens": -4}))))
    with pytest.warns(RouterLabWarning, match="1 call with usage that cannot be: `output_tokens` is -4"):
        assert pd.isna(row(odd, prices())["cost_usd"])


def test_fees_reasoning_and_hours_in_the_cache(tmp_path: Path) -> None:
    thought = {"input_tokens": 100, "output_tokens": 20, "reasoning_tokens": 300, "total_tokens": 420}
    # 100 × 1 + 20 × 10 + 300 × 3 = 1,200 a million, and $14 a thousand requests; two turns: twice.
    path = log(tmp_path, sample(asked(answer("b", thought)), asked(answer(usage=thought))))
    assert row(path, prices(reasoning=3, per_1k_requests=14))["cost_usd"] == pytest.approx(
        2 * 0.0152, abs=1e-12
    )
    # 400 written for an hour, 100 for five minutes: 100 + 400 × 2 + 100 × 1.25 + 200 = 1,225.
    kept = {**USAGE, "input_tokens_cache_write": 500, "total_tokens": 620}
    told = {"response": {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 400}}}, "request": {}}
    path = log(tmp_path, sample(asked(answer(usage=kept), call=told)))
    assert row(path, prices())["paid_usd"] == pytest.approx(0.001225, abs=1e-12)
    # All of it where the model was set up so: 100 + 500 × 2 + 200 = 1,300.
    path = log(tmp_path, sample(asked(answer(usage=kept))), model_args={"cache_ttl": "1h"})
    assert row(path, prices())["paid_usd"] == pytest.approx(0.0013, abs=1e-12)


def test_each_call_has_the_price_of_its_own_day_in_utc(tmp_path: Path) -> None:
    # The price doubles on 1 June: 100 × 1 + 20 × 10 = 300 a million before, 600 after.
    doubled = {"starts": dt.date(2026, 6, 1), "input": 2, "output": 20}
    calls = [
        "2026-05-31T23:59:59+00:00",
        "2026-05-31T20:30:00-04:00",
        "2026-06-01T00:00:01",
        "2026-06-01T01:00:00+02:00",
    ]
    events = [asked(answer(str(i)), at) for i, at in enumerate(calls)]
    got = row(log(tmp_path, sample(*events)), prices(doubled))
    assert got["cost_usd"] == pytest.approx((300 + 600 + 600 + 300) / 1e6, abs=1e-12)
    assert (got["price_date"], got["started_at"]) == ("2026-05-31", "2026-05-31T23:59:59+00:00")
    # What a policy carries is the price on the log's own day, in UTC too.
    outcomes, _ = collect(
        [log(tmp_path, sample(events[1]), created="2026-05-31T20:30:00-04:00")], prices=prices(doubled)
    )
    assert outcomes.attrs["candidates"][0]["prices"]["input"] == 2
    table = tmp_path / "table.csv"
    head = "suite,sample_id,model,quality,input_tokens,output_tokens,started_at\n"
    table.write_text(
        head + "".join(f"t,{i},{MODEL},1,100,20,{at}\n" for i, at in enumerate([*calls, "2026-06-01"]))
    )
    outcomes, _ = collect([table], prices=prices(doubled))
    assert [round(usd * 1e6) for usd in outcomes["cost_usd"]] == [300, 600, 600, 300, 600]
    table.write_text(head + f"t,1,{MODEL},1,100,20,yesterday\n")
    with pytest.raises(
        InputError, match="`started_at` is 'yesterday'; it must be a day or a time as 2026-01-31T"
    ):
        collect([table], prices=prices())


JUDGE = answer("GRADE: C", {"input_tokens": 300, "output_tokens": 5, "total_tokens": 305})
"""300 × 1 + 5 × 10 = 350 a million, where the candidate's call is 300."""


def judged_by_steps() -> list[dict[str, Any]]:
    return [step("begin", "solver"), asked(answer()), step("end", "solver"),
            step("begin", "scorer"), asked(JUDGE), step("end", "scorer")]  # fmt: skip


def judged_in_a_subtask() -> list[dict[str, Any]]:
    inner = {
        "event": "subtask",
        "timestamp": "2026-05-31T12:00:00",
        "name": "g",
        "input": {},
        "events": [asked(JUDGE)],
    }
    return [step("begin", "solver"), asked(answer()), step("end", "solver"),
            step("begin", "scorer"), inner, step("end", "scorer")]  # fmt: skip


def judged_without_a_word() -> list[dict[str, Any]]:
    return [
        asked(answer()),
        asked(JUDGE),
        {"event": "score", "timestamp": "2026-05-31T12:00:00", "score": {"value": "C"}},
    ]


def judged_in_a_span() -> list[dict[str, Any]]:
    span = {
        "event": "span_begin",
        "timestamp": "2026-05-31T12:00:00",
        "id": "x",
        "type": "scorer",
        "name": "m",
    }
    return [asked(answer()), span, asked(JUDGE, span_id="x")]


@pytest.mark.parametrize(
    "events",
    [judged_by_steps, judged_in_a_subtask, judged_without_a_word, judged_in_a_span],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("old", [False, True], ids=["today", "transcript"])
def test_a_judge_on_the_candidates_own_model_is_not_its_cost(tmp_path: Path, events: Any, old: bool) -> None:
    made = sample(*events())
    if old:
        made["transcript"] = {"events": made.pop("events"), "content": {}}
        made["score"] = made.pop("scores")["match"]
    got = row(log(tmp_path, made, version=1 if old else 2), prices())
    assert got["quality"] == 1 and got["turns"] == 1
    assert [round(got[name] * 1e6) for name in ("cost_usd", "judge_usd", "paid_usd")] == [300, 350, 650]


def test_calls_that_older_logs_keep_inside_of_tools_are_the_candidates(tmp_path: Path) -> None:
    tool = {"event": "tool", "timestamp": "2026-05-31T12:00:00", "id": "1", "function": "helper", "arguments": {},
            "events": [asked(answer("inner"))]}  # fmt: skip
    events = [step("begin", "solver"), asked(answer("first")), tool, asked(answer()), step("end", "solver")]
    got = row(log(tmp_path, sample(*events)), prices())
    assert (got["turns"], round(got["cost_usd"] * 1e6)) == (3, 900)


def test_logs_from_before_events(tmp_path: Path) -> None:
    answered = {"role": "assistant", "content": "a", "source": "generate"}
    old = sample(messages=[{"role": "user", "content": "q"}, answered])
    old["score"] = old.pop("scores")["match"]
    del old["events"]
    spec = {"created": "2024-05-05T07:59:35"}
    got = row(log(tmp_path, old, version=1, **spec), prices())
    assert (round(got["cost_usd"] * 1e6), got["price_date"]) == (300, "2024-05-05")
    assert pd.isna(got["paid_usd"]) and pd.isna(got["judge_usd"])
    twice = copy.deepcopy(old)
    twice["messages"] += [{"role": "user", "content": "again"}, answered]
    assert pd.isna(row(log(tmp_path, twice, version=1, **spec), prices())["cost_usd"])
    # Settings stood in the plan.
    path = log(tmp_path, sample(asked(answer())))
    content = json.loads(path.read_text())
    content["plan"]["config"] = {"reasoning_effort": "low"}
    path.write_text(json.dumps(content))
    assert row(path, prices())["effort"] == "low"


def test_a_scorer_that_the_suite_names_is_found_in_a_version_1_log(tmp_path: Path) -> None:
    old = sample(asked(answer()))
    old["score"] = old.pop("scores")["match"]
    suite = {"suite": "t", "scorer": "match"}
    assert row(log(tmp_path, old, version=1, metadata={"router_lab": suite}), prices())["quality"] == 1


def test_a_judge_without_a_price_is_said_and_a_free_one_is_free(tmp_path: Path) -> None:
    path = log(tmp_path, sample(asked(answer()), asked(JUDGE, model="ollama/llama3", role="grader")))
    with pytest.warns(
        RouterLabWarning, match=r"a judge or helper has no price.*prices add 'ollama/llama3' --input X .*free"
    ):
        got = row(path, prices())
    assert round(got["cost_usd"] * 1e6) == 300 and pd.isna(got["judge_usd"]) and pd.isna(got["paid_usd"])
    free = prices()
    free.entries["ollama/llama3"] = [Price(**SINCE, input=0, output=0)]
    got = row(path, free)
    assert (round(got["paid_usd"] * 1e6), got["judge_usd"]) == (300, 0)
    with pytest.raises(InputError, match=r"does not know the price of model 'openai/gpt-4o'"):
        row(path, PriceTable({}, default=False))


def used(function: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "tool",
        "timestamp": "2026-05-31T12:00:00",
        "id": "1",
        "function": function,
        "arguments": {},
        **more,
    }


def test_tools_that_cost_money_are_in_a_requests_cost(tmp_path: Path) -> None:
    search = {
        "type": "tool_use",
        "tool_type": "web_search",
        "name": "web_search",
        "id": "1",
        "arguments": "",
        "result": "",
    }
    found = answer("b", content=[search, search, {"type": "text", "text": "b"}])
    path = log(
        tmp_path,
        sample(
            asked(found), used("tavily"), used("tavily", error={"type": "x"}), used("bash"), asked(answer())
        ),
    )
    with pytest.raises(InputError, match=r"provider's paid tool `web_search` 2 times.*--tool web_search=X"):
        row(path, prices())
    # Two calls of 300 a million, two searches at $10 and one at $8 a thousand.
    table = prices(tools={"tavily": 8}, per_1k_requests=0)
    table.entries[MODEL] = [table.entries[MODEL][0].model_copy(update={"tools": {"web_search": 10}})]
    outcomes, calls = collect([path], prices=table)
    assert outcomes.loc[0, "cost_usd"] == pytest.approx(0.0006 + 0.02 + 0.008, abs=1e-12)
    assert outcomes.loc[0, "paid_usd"] == pytest.approx(0.0286, abs=1e-12)
    assert json.loads(outcomes.loc[0, "tool_calls"]) == {
        "provider": {"web_search": 2},
        "own": {"bash": 1, "tavily": 1},
    }
    # The first call searched twice, and the paid tool was called after it; the second cost its tokens alone.
    assert json.loads(outcomes.loc[0, "turns_usd"]) == pytest.approx([0.0283, 0.0003], abs=1e-12)
    # Priced anew from the table, with its calls and without them.
    outcomes.to_parquet(tmp_path / "o.parquet")
    assert collect([tmp_path / "o.parquet"], prices=table)[0].loc[0, "cost_usd"] == pytest.approx(
        0.0286, abs=1e-12
    )
    calls.to_parquet(tmp_path / "calls.parquet")
    anew = collect([tmp_path / "o.parquet"], prices=table)[0]
    assert anew.loc[0, "cost_usd"] == pytest.approx(0.0286, abs=1e-12)
    assert pd.isna(anew.loc[0, "turns_usd"])  # after which call the tools were called, the table does not say
    path = log(tmp_path, sample(asked(answer()), used("web_search")))
    with pytest.warns(
        RouterLabWarning, match="tool `web_search` was called 1 times by the harness and counts as free"
    ):
        row(path, prices())


def test_pictures_are_priced_where_their_tokens_cost_what_others_do(tmp_path: Path) -> None:
    seen = [
        {
            "role": "user",
            "content": [{"type": "audio", "audio": "x", "format": "wav"}, {"type": "text", "text": "?"}],
        }
    ]
    path = log(
        tmp_path,
        sample(asked(answer(), model="google/gemini-2.5-flash", input=seen)),
        model="google/gemini-2.5-flash",
    )
    with pytest.raises(InputError, match="was called with input audio, for which genai-prices"):
        row(path, PriceTable.load())
    seen[0]["content"][0] = {"type": "image", "image": "x"}
    path = log(
        tmp_path,
        sample(asked(answer(), model="google/gemini-2.5-flash", input=seen)),
        model="google/gemini-2.5-flash",
    )
    # 100 × .3 + 20 × 2.5 = 80 a million.
    assert round(row(path, PriceTable.load())["cost_usd"] * 1e6) == 80


def test_tables_count_as_their_total_says_and_pay_fees(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    head = "suite,sample_id,model,quality,input_tokens,cache_read_tokens,output_tokens,reasoning_tokens,total_tokens,turns"
    # 100 + 320 × 10; 1300 (1000 of it cached, inside) + 20 × 10: a request is priced without a cache.
    lines = [f"t,1,{MODEL},1,100,0,20,300,420,1", f"t,2,{MODEL},1,1300,1000,20,0,1320,2"]
    table.write_text("\n".join([head, *lines]) + "\n")
    outcomes, _ = collect([table], prices=prices(per_1k_requests=5))
    # One request and two, at $5 a thousand.
    assert list(outcomes["cost_usd"]) == pytest.approx([0.0033 + 0.005, 0.0015 + 0.010], abs=1e-12)
    table.write_text(
        "\n".join([head.removesuffix(",turns"), *(line.rpartition(",")[0] for line in lines)]) + "\n"
    )
    with pytest.raises(
        InputError, match=r"sample '1': 'openai/gpt-4o' charges each request .* add a column `turns`"
    ):
        collect([table], prices=prices(per_1k_requests=5))
    assert collect([table], prices=prices())[0].loc[0, "cost_usd"] == pytest.approx(0.0033, abs=1e-12)


def test_a_table_collected_with_prices_gives_its_candidates_their_prices(tmp_path: Path) -> None:
    """With tokens or dollars alone; of the last day (10 until June, 4 since); who has no price has none."""
    rows = [
        {"suite": "s", "sample_id": "1", "model": MODEL, "quality": 1, "cost_usd": 0.5, "started_at": "2026-05-01"},
        {"suite": "s", "sample_id": "2", "model": MODEL, "quality": 1, "input_tokens": 100, "output_tokens": 20,
         "started_at": "2026-07-01"},
        {"suite": "s", "sample_id": "1", "model": "own", "quality": 1, "cost_usd": 0.25, "started_at": "2026-05-01"},
    ]  # fmt: skip
    source = tmp_path / "t.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in rows))
    table = prices({"starts": dt.date(2026, 6, 1), "input": 1, "output": 4})
    outcomes, _ = collect([source], prices=table)
    known = read_outcomes(write_outcomes(outcomes, tmp_path / "o.parquet")).attrs["candidates"]
    assert [one["model"] for one in known] == [MODEL, "own"]
    assert known[0]["prices"]["output"] == 4 and "prices" not in known[1]
    assert outcomes["cost_usd"].tolist() == pytest.approx(
        [0.5, 0.25, (100 * 1 + 20 * 4) / 1e6]
    )  # 1, 1 of `own`, 2
    assert not collect([source])[0].attrs.get("candidates")  # without the option nothing is known


def test_dollars_of_a_table_are_kept_beside_prices_and_those_that_prices_made_follow_them(
    tmp_path: Path,
) -> None:
    """A bill of $.5 for 100 + 20 tokens, which list prices of $1 and $10 call $.0003, and twice those $.0006."""
    head = "suite,sample_id,model,quality,cost_usd,input_tokens,output_tokens\n"
    source = tmp_path / "t.csv"
    source.write_text(head + f"s,1,{MODEL},1,0.5,100,20\ns,2,{MODEL},1,,100,20\n")
    first, _ = collect([source], prices=prices())
    assert first["cost_usd"].tolist() == pytest.approx([0.5, 0.0003])
    assert first["price_date"].isna().tolist() == [True, False]
    assert first.attrs["candidates"][0]["prices"]["output"] == 10
    assert first.attrs["dollars"] == [
        f"{source}: cost_usd of 1 of 2 rows is the table's own and was kept; candidates have the prices as well "
        "(--reprice computes cost_usd from tokens and prices instead)"
    ]
    written = write_outcomes(first, tmp_path / "o.parquet")
    doubled = prices(input=2, output=20)
    again, _ = collect([written], prices=doubled)
    assert again["cost_usd"].tolist() == pytest.approx([0.5, 0.0006])
    every, _ = collect([written], prices=doubled, reprice=True)
    assert every["cost_usd"].tolist() == pytest.approx([0.0006, 0.0006]) and "dollars" not in every.attrs
    assert collect([written])[0]["cost_usd"].tolist() == pytest.approx([0.5, 0.0003])
    with pytest.raises(InputError, match="reprice needs prices"):
        collect([written], reprice=True)


def test_a_bill_without_tokens_takes_prices_for_its_candidates(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text(f"suite,sample_id,model,quality,cost_usd\ns,1,{MODEL},1,0.5\n")
    found, _ = collect([source], prices=prices())
    assert found["cost_usd"].tolist() == [0.5] and found.attrs["candidates"][0]["prices"]["input"] == 1
    with pytest.raises(InputError, match="has no token columns"):
        collect([source], prices=prices(), reprice=True)


def test_a_table_priced_anew_costs_what_its_logs_cost(tmp_path: Path) -> None:
    """Prices doubled: an answer of 100 × 2 + 20 × 20 = $.0006; of what was never answered no cost is known, and the
    answers of an attempt that was thrown away are no part of the request."""
    failed = asked({"choices": []}, error="Error code: 400 - prompt is too long")
    lost: dict[str, Any] = {"error": {"message": "ModelGenerateError('…')", "traceback": ""}, "scores": {}}
    earlier = {"error_retries": [{"message": "x", "events": [asked(answer()), asked(answer())]}]}
    path = log(
        tmp_path,
        sample(asked(answer()), id="plain"),
        sample(asked(answer()), id="again", **earlier),
        sample(failed, id="never", output={"choices": []}, **lost),
        sample(failed, id="not at last", output={"choices": []}, **lost, **earlier),
    )
    outcomes, calls = collect([path], prices=prices())
    assert outcomes.set_index("sample_id")["cost_usd"].dropna().round(9).to_dict() == {
        "plain": 3e-4,
        "again": 3e-4,
    }
    dear = prices(input=2, output=20)
    for beside in (True, False):
        folder = tmp_path / str(beside)
        folder.mkdir()
        outcomes.to_parquet(folder / "outcomes.parquet")
        if beside:
            calls.to_parquet(folder / "calls.parquet")
        anew = collect([folder / "outcomes.parquet"], prices=dear)[0].set_index("sample_id")["cost_usd"]
        assert anew.dropna().round(9).to_dict() == {"plain": 6e-4, "again": 6e-4} and len(anew) == 4


def test_an_answer_that_the_provider_fell_back_for_has_the_price_of_who_gave_it(tmp_path: Path) -> None:
    """Asked at $1 and $10 a million, answered by a model at $5 and $50: 100 × 5 + 20 × 50 = $.0015, and it is said."""
    entries = {
        name: [Price(**SINCE, input=n, output=10 * n)] for name, n in ((MODEL, 1), ("openai/gpt-5", 5))
    }
    table = PriceTable(entries, default=False)
    fell = answer(fallback={"model": "gpt-4o", "fallback_model": "gpt-5", "count": 1})
    path = log(tmp_path, sample(asked(fell)))
    with pytest.warns(RouterLabWarning, match="gpt-5: 1 call with an answer in the place of 'openai/gpt-4o'"):
        one = row(path, table)
    assert (one["cost_usd"], one["paid_usd"]) == (pytest.approx(0.0015), pytest.approx(0.0015))
    with pytest.raises(InputError, match="does not know the price of model 'openai/gpt-5'"):
        row(path, prices())
    ledger = Ledger(tmp_path, table, priced=True)
    spending = Spending(ledger, {MODEL: MODEL})
    spending.noted("s", MODEL, Answer({}, None, "standard", served_by(MODEL, fell)))
    spending.answered("s", MODEL, USAGE)
    again = Ledger(tmp_path, table, priced=True)
    assert ledger.spent_usd == again.spent_usd == pytest.approx(0.0015)


def test_a_role_reads_nothing_from_the_cache_of_another() -> None:
    now = dt.datetime(2026, 5, 31, 12, tzinfo=dt.UTC)
    calls = [
        Call(MODEL, role, turn, 1, Tokens(input=tokens), None, now, True, teamed=True)
        for turn, (role, tokens) in enumerate(
            [("planner", 10_000), ("executor", 20_000), ("executor", 30_000)], start=1
        )
    ]
    # 10,000 plain; 20,000 written; 20,000 read and 10,000 written.
    assert request_cost(calls, prices(), "prefix", 1) == pytest.approx(0.01 + 0.025 + 0.002 + 0.0125)
    assert request_cost(calls, prices(), "none", 1) == pytest.approx(0.06)
