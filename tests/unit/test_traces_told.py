"""What `import` says of what it could not take as it is: commands that mend, formats, and refunds."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from router_lab.cli import cli
from router_lab.runtime.errors import InputError
from router_lab.traces import read_traces
from router_lab.traces.fields import credited
from tests.trace_exports import EXPORTS, LATER, START, litellm

LACKS = "acme/new"


def spend(usd: object, **more: Any) -> dict[str, Any]:
    """A row of LiteLLM's of a call of 30 tokens."""
    counted = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    return {
        "request_id": f"r{usd}{len(more)}", "call_type": "acompletion", "spend": usd, "model": LACKS, "startTime": LATER,
        "custom_llm_provider": "acme", "status": "success", **counted, **more,
    }  # fmt: skip


NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("file", [None, "my prices.yaml"])
def test_the_command_that_is_suggested_mends_the_bill_as_it_stands(
    file: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the file that this import reads, and the day of the earliest call that lacks a price."""
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "spend.jsonl", spend(0), spend(0, request_id="r2", startTime=START))
    call = ["import", "spend.jsonl", "--out", "bill"]
    if file is not None:
        (tmp_path / file).write_text("models: {}\n")
        call += ["--prices", file]
    asked = run(*call)
    assert "2 calls have no known dollars" in asked.stdout
    command = asked.stderr.split("add it: ")[1].split(" (0 if")[0]
    words = shlex.split(command.replace("X", "1").replace("Y", "2").replace("URL", "https://a.example"))
    assert words[0] == "router-lab" and words[-2:] == ["--prices", file or "evals/prices.yaml"]
    run(*words[1:])
    again = run(*call)
    assert "2 calls in 2 tasks: $0.0000800." in again.stdout and "no dollars known" not in again.stderr
    assert ("prices: evals/prices.yaml, over genai-prices" in again.stderr) == (file is None)


def test_a_suite_names_models_as_litellm_writes_them_once(tmp_path: Path) -> None:
    """Its spend logs hold `openai/gpt-5` beside the provider `openai`; what OpenRouter served has its maker alone."""
    told = [("openai/gpt-5", "openai"), ("gpt-5", "openai"), ("openai/gpt-5-mini", "openrouter")]
    answer = {"choices": [{"message": {"role": "assistant", "content": "There."}, "finish_reason": "stop"}]}
    rows = [
        spend(0.5, model=model, custom_llm_provider=who, request_id=model, response=answer,
              messages=[{"role": "user", "content": f"Where does the mail of {model} lie today?"}])
        for model, who in told
    ]  # fmt: skip
    lines(tmp_path / "spend.jsonl", *rows)
    run("import", tmp_path / "spend.jsonl", "--out", tmp_path / "b", "--suite", "s", "--by", "counts")
    read = yaml.safe_load((tmp_path / "b/s/sweep.yaml").read_text())
    assert sorted(read["models"]) == ["openai/gpt-5", "openrouter/openai/gpt-5-mini"]
    assert read["reference"]["model"] == "openai/gpt-5"


def test_an_import_names_the_price_that_tells_what_dollars_were_paid_for(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    run("prices", "add", LACKS, "--input", "1", "--output", "2", "--source", "https://a.example",
        "--starts", "2026-01-01", "--prices", prices)  # fmt: skip
    cached = {"usage_object": {"prompt_tokens_details": {"cached_tokens": 10}}}
    lines(tmp_path / "spend.jsonl", spend(0.5), spend(0.5, request_id="r2", metadata=cached))
    call = ["import", tmp_path / "spend.jsonl", "--out", tmp_path / "b", "--prices", prices]
    asked = run(*call)
    assert "50.0 % nobody knows" in asked.stdout
    assert f"warning: {LACKS}: what some of its dollars were paid for is not known: model" in asked.stderr
    assert list(json.loads((tmp_path / "b/bill.json").read_text())["undivided"]) == [LACKS]
    command = asked.stderr.split("add one: ")[1].splitlines()[0]
    run(*shlex.split(command.replace("--cache-read X", "--cache-read 0.1"))[1:])
    again = run(*call)
    assert "nobody knows" not in again.stdout and "is not known" not in again.stderr


def test_a_suites_sweep_goes_on_with_the_prices_that_the_bill_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = litellm()[0]
    lines(tmp_path / "spend.jsonl", {**row, "spend": 0.5, "model": LACKS})
    run("import", "spend.jsonl", "--out", "without", "--suite", "s")
    text = (tmp_path / "without/s/prices.yaml").read_text()
    assert "URL --prices without/s/prices.yaml\n" in text and yaml.safe_load(text) == {"models": {}}
    run("prices", "add", LACKS, "--input", "1", "--output", "2", "--source", "us")
    run("import", "spend.jsonl", "--out", "with", "--suite", "s")
    given = (tmp_path / "evals/prices.yaml").read_bytes()
    assert (tmp_path / "with/s/prices.yaml").read_bytes() == given and LACKS.encode() in given


def test_a_format_that_the_file_has_not_is_said_with_the_one_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "spend.json"
    path.write_text(json.dumps([spend(1)]))
    with pytest.raises(InputError) as refused:
        read_traces([path], format="langfuse")
    assert str(refused.value) == (
        f"{path}: no model call was read; {path}: the file: was to be read as `langfuse` (--format langfuse), and looks "
        "like `litellm` (LiteLLM spend logs): leave --format out, or name `litellm`"
    )
    odd = lines(tmp_path / "odd.jsonl", {"a": 1})
    with pytest.raises(
        InputError, match=r"was to be read as `chat` .*, and is none of the formats otlp, .*'a'"
    ):
        read_traces([odd], format="chat")


def test_of_a_file_of_two_formats_the_one_that_was_asked_for_is_read(tmp_path: Path) -> None:
    chat = json.loads(EXPORTS["chat"][2]().splitlines()[0])
    both = lines(tmp_path / "both.jsonl", spend(1), spend(2), chat)
    most = lines(tmp_path / "most.jsonl", {**chat, "id": "b"}, {**chat, "id": "c"}, spend(1))
    found = read_traces([both, most], format="chat")
    assert len(found.calls) == 3 and found.formats == {str(both): "chat", str(most): "chat"}
    whole = [one.rule for one in found.problems if one.place == "the file"]
    assert "looks like `litellm`" in whole[0] and "holds records of no such format, too" in whole[1]
    assert [one.place for one in found.problems if one.place != "the file"] == ["line 1", "line 2", "line 3"]
    # Rows of LiteLLM's that hold request and response are of both formats: what can be read is no problem.
    rows = lines(tmp_path / "rows.jsonl", litellm()[0])
    assert read_traces([rows], format="chat").problems == ()


def test_a_spend_below_nothing_lowers_no_bill(tmp_path: Path) -> None:
    """Of $3 of calls, a refund of $0.50 and a correction of $0.25 without a model are told beside them; what has tokens
    is a call, at list prices: 20 × $1 + 10 × $2 a million = $0.00004."""
    prices = tmp_path / "prices.yaml"
    run("prices", "add", LACKS, "--input", "1", "--output", "2", "--source", "us", "--starts", "2026-01-01",
        "--prices", prices)  # fmt: skip
    path = lines(
        tmp_path / "spend.jsonl", spend(1), spend(2.0), spend(-0.5, **NOTHING), spend(-0.25),
        spend("-0.25", **NOTHING, model="", status=""),
    )  # fmt: skip
    done = run("import", path, "--out", tmp_path / "bill", "--prices", prices)
    told = json.loads((tmp_path / "bill/bill.json").read_text())
    assert (told["calls"], told["usd"]) == (3, pytest.approx(3.00004))
    assert told["left"] == {"a refund or correction (a spend below 0, without tokens)": 2}
    said = (
        "3 rows with a spend below 0, -$1 in all: refunds and corrections lower no figure here; take them off yourself "
        "where they are right (calls among them, which count at list prices: 1)"
    )
    assert said in done.stderr and said in (tmp_path / "bill/problems.jsonl").read_text()
    assert "3 rows with a spend below 0, -$1 in all" in (tmp_path / "bill/bill.html").read_text()


@pytest.mark.parametrize(
    ("value", "usd"),
    [(-0.5, 0.5), (" -2 ", 2.0), ("-1e-3", 0.001), (-(10**400), 0.0), (3, 0.0), ("3", 0.0), ("--3", 0.0), ("-", 0.0),
     (True, 0.0), (None, 0.0), ("-inf", 0.0), (float("nan"), 0.0), (-0.0, 0.0), ([-1], 0.0)],
)  # fmt: skip
def test_dollars_below_nothing(value: object, usd: float) -> None:
    assert credited(value) == usd
