"""A process in which two more kinds of tokens are rows of the registry: run with a folder to work in, it follows them
from a price to the report and prints what it saw as JSON. The code is told nothing but the rows that the docs show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.pasted import paste, shown

BESIDE = """
    Kind("input_image", "input_image_tokens", "input", "input image", usage="input_image_tokens"),
"""
"""What no provider counts so: tokens of a prompt beside its input."""
MODEL = "openai/spoken"


def register() -> None:
    """The docs' rows and BESIDE at the registry's end, before all else is read."""
    paste("router_lab.runtime.kinds", "KINDS", shown("audio") + BESIDE)


def cli(*words: str) -> str:
    """What a command prints."""
    from click.testing import CliRunner

    from router_lab.cli import cli as command

    done = CliRunner().invoke(command, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def sample(
    name: str, usage: dict[str, int], metadata: dict[str, Any] | None = None, response: Any = None
) -> Any:
    """A sample of one call, as a log has it."""
    message = {"role": "assistant", "content": "a", "source": "generate"}
    output = {"model": "spoken", "choices": [{"message": message, "stop_reason": "stop"}], "completion": "a",
              "usage": usage, "metadata": metadata}  # fmt: skip
    event = {"event": "model", "timestamp": "2026-05-31T12:00:00+00:00", "model": MODEL, "tools": [], "config": {},
             "input": [{"role": "user", "content": name}], "tool_choice": "none", "output": output,
             "call": {"request": {}, "response": response}}  # fmt: skip
    return {"id": name, "epoch": 1, "input": name, "target": "a", "messages": [{"role": "user", "content": name}],
            "output": output, "scores": {"match": {"value": "C"}}, "metadata": {}, "events": [event]}  # fmt: skip


def write_logs(folder: Path) -> None:
    """Three calls with the same tokens, told by the provider's answer, by the note that a sweep makes of it, and by the
    usage itself; and a sample of two such calls."""
    from inspect_ai.model import ModelOutput

    from router_lab.sweep.budget import report_answer

    plain = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    raw = {"usage": {"prompt_tokens_details": {"audio_tokens": 60, "cached_tokens": 0},
                     "completion_tokens_details": {"audio_tokens": 15}}}  # fmt: skip
    counts = {"input_audio": 60, "output_audio": 15}
    noted = ModelOutput.from_content("spoken", "a")
    report_answer(MODEL, "standard", MODEL, noted, None, raw)
    samples = [
        sample("answered", plain, response=raw),
        sample("noted", plain, noted.metadata),
        sample("counted", {**plain, **{f"{kind}_tokens": count for kind, count in counts.items()}}),
    ]
    told = {"run_id": "r", "created": "2026-05-31T12:00:00+00:00", "task": "t", "task_id": "i", "task_version": 0,
            "dataset": {"name": "d", "samples": 3}, "model": MODEL, "task_attribs": {}, "task_args": {},
            "model_args": {}, "config": {}, "packages": {}}  # fmt: skip
    twice = {**samples[0], "events": samples[0]["events"] * 2}
    for name, held in (("2026-05-31T12-00-00_t.json", samples), ("2026-05-31T12-00-01_t.json", [twice])):
        whole = {"version": 2, "status": "success", "eval": told, "plan": {"name": "p", "steps": [], "config": {}},
                 "results": {}, "stats": {}, "samples": held}  # fmt: skip
        (folder / name).write_text(json.dumps(whole))


def follow(folder: Path) -> dict[str, Any]:
    """Everything that is seen of the two kinds between a price and a page."""
    seen: dict[str, Any] = {}
    prices, log, out = (
        folder / "prices.yaml",
        folder / "2026-05-31T12-00-00_t.json",
        folder / "outcomes.parquet",
    )
    fixed = ("--source", "s", "--starts", "2024-01-01", "--prices", str(prices))
    seen["help"] = cli("prices", "add", "--help")
    cli(
        "prices",
        "add",
        MODEL,
        "--input",
        "2.5",
        "--output",
        "10",
        "--input-audio",
        "40",
        "--cache-read",
        "0.5",
        *fixed,
    )
    cli("prices", "add", MODEL, "--output-audio", "80", *fixed)
    seen["file"] = prices.read_text()
    seen["show"] = cli("prices", "show", MODEL, "--prices", str(prices))
    seen["json"] = json.loads(cli("prices", "show", MODEL, "--prices", str(prices), "--json"))
    write_logs(folder)
    cli("collect", str(log), "--out", str(out), "--prices", str(prices))
    second = (
        str(log.with_name("2026-05-31T12-00-01_t.json")),
        "--out",
        str(folder / "turns" / "outcomes.parquet"),
    )
    cli("collect", *second, "--prices", str(prices), "--caching", "prefix")
    tables(folder, seen)
    cli("report", str(out), "--html", str(folder / "page.html"))
    seen["page"] = (folder / "page.html").read_text()
    money(folder, seen)
    return seen


def tables(folder: Path, seen: dict[str, Any]) -> None:
    """Outcomes, calls, outcomes priced anew, and somebody else's table."""
    from router_lab.outcomes import read_calls, read_outcomes
    from router_lab.report.table import candidate_table
    from router_lab.report.terminal import format_table
    from router_lab.tracking.log import METRICS

    out = folder / "outcomes.parquet"
    columns = ["sample_id", "input_tokens", "input_audio_tokens", "output_tokens", "output_audio_tokens"]
    outcomes, calls = read_outcomes(out), read_calls(out.with_name("calls.parquet"))
    seen["turns"] = read_outcomes(folder / "turns" / "outcomes.parquet")["cost_usd"].tolist()
    seen["terminal"] = format_table(candidate_table(outcomes))
    seen["tracked"] = [name for name in METRICS if name.endswith("_tokens")]
    seen["outcomes"] = outcomes[[*columns, "cost_usd", "paid_usd"]].values.tolist()
    seen["columns"] = [[c for c in frame.columns if c.endswith("_tokens")] for frame in (outcomes, calls)]
    seen["calls"] = calls[columns].values.tolist()
    seen["prices"] = outcomes.attrs["candidates"][0]["prices"]
    dearer = folder / "dearer.yaml"
    dearer.write_text((folder / "prices.yaml").read_text().replace("40.0", "50.0"))
    cli("collect", str(out), "--out", str(folder / "again.parquet"), "--prices", str(dearer))
    seen["again"] = read_outcomes(folder / "again.parquet")["cost_usd"].tolist()
    table = folder / "table.csv"
    head = "suite,sample_id,model,quality,input_tokens,output_tokens,audio_prompt_tokens"
    table.write_text(f"{head}\nt,1,{MODEL},1,100,20,60\n")
    asked = ("--map", "input_audio_tokens=audio_prompt_tokens", "--prices", str(folder / "prices.yaml"))
    cli("collect", str(table), "--out", str(folder / "table.parquet"), *asked)
    seen["table"] = read_outcomes(folder / "table.parquet")["cost_usd"].tolist()


def money(folder: Path, seen: dict[str, Any]) -> None:
    """The worst case of a call, the ledger, a running budget, genai-prices, and what cannot be told."""
    from router_lab.collect.names import ours_for
    from router_lab.prices import PriceTable, Tokens, read_usage, today, told_apart
    from router_lab.runtime.budget import Budget
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.model import Prices
    from router_lab.runtime.values import plain
    from router_lab.sweep.budget import Answer, Spending, worst_call_usd
    from router_lab.sweep.ledger import Ledger

    table = PriceTable.load(folder / "prices.yaml")
    seen["worst"] = worst_call_usd(table, MODEL, 1000, 100)
    spending = Spending(Ledger(folder, table, priced=True), {})
    spending.noted("s", MODEL, Answer({}, None, "standard", None, {"input_audio": 60, "output_audio": 15}))
    spending.answered("s", MODEL, {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120})
    seen["ledger"] = [spending.ledger.spent_usd, Ledger(folder, table, priced=True, reading=True).spent_usd]
    line = json.loads((folder / "ledger.jsonl").read_text().splitlines()[-1])["tokens"]
    seen["line"] = {name: told for name, told in zip(Tokens._fields, line, strict=True) if told}
    prices = Prices(**table.rates(MODEL, today()).as_dict())
    placed = Prices(1, 2, 3, 4, 5, {}, None, 6, 7).as_dict()
    seen["placed"] = dict(list(placed.items())[7:])  # behind five kinds, tiers and the day
    seen["reserved"] = Budget(max_usd=1, prices=prices).reserve(1000, max_output_tokens=100).usd
    listed = PriceTable.load().rates("openai/gpt-audio", today())
    seen["listed"] = [
        listed.input,
        listed.output,
        listed.input_audio,
        listed.output_audio,
        sorted(listed.media),
    ]
    live = PriceTable.load().rates("openai/gpt-4o-realtime-preview", today())
    raw = {
        "usage": {
            "prompt_tokens_details": {"audio_tokens": 60, "cached_tokens_details": {"audio_tokens": 40}}
        }
    }
    usage = {"input_tokens": 60, "input_tokens_cache_read": 40, "output_tokens": 20, "total_tokens": 120}
    read = read_usage(usage, answered=told_apart(raw)).tokens
    assert read is not None
    heard = read._replace(media=("input_audio",))
    seen["live"] = [live.input, live.input_audio, live.cache_read, live.cache_audio_read, live.output]
    seen["cached"] = [live.cost(heard), live.cost(heard.uncached()), heard.columns()["input_audio_tokens"]]
    whole = heard._replace(input_audio=0, cache_audio_read=60, cache_read=60, input=40)
    seen["cached"].append(live.cost(whole))
    tokens = Tokens(100, output=20, input_audio=60, output_audio=15, media=("input_audio", "output_audio"))
    seen["genai"] = listed.cost(tokens)
    for name, rates in (("untold", listed), ("own", table.rates(MODEL, today()))):
        try:
            rates.cost(tokens._replace(input_audio=0))
        except InputError as error:
            seen[name] = str(error)
    seen["beside"] = beside()
    seen["logged"] = plain({"output_audio_tokens": 15}, "here")
    seen["theirs"] = ours_for("audio_prompt_tokens")


def beside() -> list[Any]:
    """A kind beside the input: how it is counted, and priced with and without a cache."""
    from router_lab.config import Price
    from router_lab.prices import PriceTable, read_usage, today

    usage = {"input_tokens": 10, "input_tokens_cache_read": 30, "input_image_tokens": 200, "output_tokens": 5,
             "total_tokens": 245}  # fmt: skip
    tokens, doubt = read_usage(usage)
    assert tokens is not None
    known = {
        "starts": "2024-01-01",
        "checked": "2024-01-01",
        "source": "s",
        "input": 1,
        "output": 2,
        "cache_read": 0.1,
    }
    tables = [PriceTable({"m": [Price(**known, **more)]}, default=False) for more in ({"input_image": 4}, {})]
    seen = [doubt, tokens.prompt, *(tables[0].cost("m", one, today()) for one in (tokens, tokens.uncached()))]
    try:
        tables[1].cost("m", tokens, today())
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        seen.append(str(error))
    return seen


if __name__ == "__main__":
    register()
    print(json.dumps(follow(Path(sys.argv[1]))))
