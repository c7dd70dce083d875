"""No file makes a traceback: whatever is in it, calls come out, problems are named, or one clear line says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.report.traces import trace_bill
from router_lab.report.traces_page import bill_lines, bill_page
from router_lab.runtime.errors import InputError
from router_lab.traces import FORMATS, price_calls, read_traces
from router_lab.traces.draw import draw_samples
from router_lab.traces.files import write_traces
from tests.trace_exports import EXPORTS, prices, write

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("\ud800"), st.just(10**400),
    st.just('{"a": [1'), st.just("[" * 50), st.just([]), st.just({}), st.just([[]]), st.just([None]), st.just({"": {}}),
)  # fmt: skip
TREES = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EASY = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def walk(path: Path, out: Path, format: str | None = None) -> None:
    """The whole import; an InputError is an answer."""
    try:
        traces = read_traces([path], format=format)
    except InputError:
        return
    priced, lacking = price_calls(traces.calls, prices())
    bill = trace_bill(priced)
    json.dumps(bill.to_json(), allow_nan=False)
    assert bill_lines(bill) and bill_page(bill, traces, lacking).encode("utf-8", "replace")
    write_traces(out, priced, traces.problems, texts=True)
    try:
        draw_samples(priced, 3)
    except InputError as error:
        assert "--suite" in str(error)


@given(st.binary(max_size=200), st.sampled_from([None, *FORMATS]))
@EASY
def test_bytes(tmp_path: Path, data: bytes, format: str | None) -> None:
    (tmp_path / "x.json").write_bytes(data)
    walk(tmp_path / "x.json", tmp_path, format)


@given(TREES, st.sampled_from([None, *FORMATS]), st.booleans())
@EASY
def test_any_json(tmp_path: Path, tree: Any, format: str | None, listed: bool) -> None:
    (tmp_path / "x.json").write_text(
        json.dumps([tree] if listed else tree), encoding="utf-8", errors="replace"
    )
    walk(tmp_path / "x.json", tmp_path, format)


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return found + [place for key, inner in items for place in places(inner, (*at, key))]


def put(tree: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    made[at[0]] = put(made[at[0]], at[1:], value)
    return made


@pytest.mark.parametrize("name", [name for name, (_, ending, _) in EXPORTS.items() if ending == "json"])
@given(data=st.data())
@EASY
def test_an_export_with_anything_in_any_place(tmp_path: Path, name: str, data: st.DataObject) -> None:
    tree = json.loads(EXPORTS[name][2]())
    at = data.draw(st.sampled_from(places(tree)))
    changed = put(tree, at, data.draw(TREES))
    (tmp_path / "x.json").write_text(json.dumps(changed), encoding="utf-8", errors="replace")
    walk(tmp_path / "x.json", tmp_path)
    walk(tmp_path / "x.json", tmp_path, EXPORTS[name][0])


@pytest.mark.parametrize("name", [name for name, (_, ending, _) in EXPORTS.items() if ending == "csv"])
@given(data=st.data())
@EASY
def test_a_table_with_anything_in_a_cell(tmp_path: Path, name: str, data: st.DataObject) -> None:
    text = EXPORTS[name][2]()
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.text(max_size=5)) + text[at + data.draw(st.integers(0, 5)) :]
    (tmp_path / "x.csv").write_text(changed, encoding="utf-8", errors="replace", newline="")
    walk(tmp_path / "x.csv", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("hello", "is no JSON, CSV"), ("[]", "is none of the formats"), ("7", "is no JSON, CSV"),
     ('{"a": 1}', "is none of the formats"), ("[" * 100_000, "nested too deeply"), ("a,b\n1,2\n", "is none of the formats"),
     ('[{"spend": 1, "request_id": "x"}]', "1 × a spend that is no model call")],
)  # fmt: skip
def test_what_holds_no_call_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    done = CliRunner().invoke(cli, ["import", str(path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and said in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) <= 3


def test_the_command_writes_a_bill_and_says_what_is_not_in_it(tmp_path: Path) -> None:
    path = write(tmp_path, "chat")
    path.write_text(path.read_text() + "{broken\n")
    yaml = tmp_path / "prices.yaml"
    dated = "starts: 2026-01-01, checked: 2026-01-01, source: us"
    yaml.write_text(f"models:\n  acme-1:\n  - {{{dated}, input: 2, output: 8, cache_read: 0.5}}\n")
    call = ["import", str(path), "--prices", str(yaml), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, call)
    assert done.exit_code == 0, done.output
    assert "2 calls in 1 task: $3.20." in done.output and "line 3: is not JSON" in done.output
    told = json.loads((tmp_path / "out/bill.json").read_text())
    assert told["usd"] == pytest.approx(3.2) and told["problems"] == 1
    assert "line 3" in (tmp_path / "out/problems.jsonl").read_text()
    page = (tmp_path / "out/bill.html").read_text()
    assert "$3.20" in page and "<svg" in page
    again = CliRunner().invoke(cli, [*call, "--json", "--price-as", "acme-1", "nobody/knows"])
    assert json.loads(again.stdout)["unpriced"] == 2
    odd = CliRunner().invoke(cli, [*call, "--suite", "../x"])
    assert odd.exit_code == 1 and "--suite" in odd.output


@pytest.mark.parametrize("usd", ["1e308", 1e300, 10**400, -1, "inf"])
def test_dollars_that_no_call_costs_are_not_known(tmp_path: Path, usd: object) -> None:
    for name in ("litellm", "chat"):
        path = write(tmp_path, name)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = rows[0] if isinstance(rows[0], list) else rows
        path.write_text("".join(json.dumps(row | {"spend": usd, "cost_usd": usd}) + "\n" for row in rows))
        assert all(call.usd is None for call in read_traces([path]).calls)
        walk(path, tmp_path / "out")


def test_problems_of_an_earlier_import_do_not_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "chat")
    whole = path.read_text()
    for text, there in ((whole + "{broken\n", True), (whole, False)):
        path.write_text(text)
        walk(path, tmp_path / "out")
        assert (tmp_path / "out" / "problems.jsonl").exists() == there


def test_texts_stay_out_of_the_table_unless_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path, "chat")
    source.write_text(source.read_text().replace('"my_own"', '"api_key": "s3cret-of-ours", "my_own"'))
    traces = read_traces([source])
    priced, _ = price_calls(traces.calls, prices())
    bare, full = (write_traces(tmp_path / str(texts), priced, (), texts=texts) for texts in (False, True))
    assert b"parcel" not in bare.read_bytes()
    table = pd.read_parquet(full)
    assert (
        table["prompt"].tolist()[0] == "Where is parcel 17?"
        and table["input_tokens"].tolist()[0] == 1_000_000
    )
    assert table["request_sha"].nunique() == 1 and "my_own" in table["metadata"][0]
    assert "s3cret-of-ours" not in table["metadata"][0] and "api_key" in table["metadata"][0]


def chat(**more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    return {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "usage": usage,
            "choices": [{"message": {"role": "assistant", "content": "so"}}], **more}  # fmt: skip


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 100}, {"prompt_tokens": "a lot", "completion_tokens": 100},
        {"prompt_tokens": 1000, "completion_tokens": float("nan")}, {"prompt_tokens": 10**30, "completion_tokens": 100},
        {"prompt_tokens": 10.5, "completion_tokens": 100}, {"prompt_tokens": True, "completion_tokens": 100},
    ],
)  # fmt: skip
def test_tokens_that_cannot_be_read_are_unknown_and_not_free(tmp_path: Path, usage: dict[str, Any]) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(chat(usage=usage)))
    spans = [{"traceId": "1", "spanId": "2", "name": "chat", "startTimeUnixNano": "1769860800000000000", "attributes": {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"]}}]  # fmt: skip
    (tmp_path / "y.json").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    for name in ("x.jsonl", "y.json"):
        calls = read_traces([tmp_path / name]).calls
        priced, lacking = price_calls(calls, prices(), {"gpt-5": "openai/gpt-5"})
        assert [(one.call.tokens, one.usd) for one in priced] == [(None, None)]
        assert lacking == {"gpt-5": "the source counts no tokens of it"}


def test_a_tracers_cost_of_nothing_beside_tokens_is_not_known(tmp_path: Path) -> None:
    def cost(usd: float | None, tokens: int) -> float | None:
        span = {"context": {"trace_id": "1", "span_id": "2"}, "name": "llm", "span_kind": "LLM", "attributes": {
            "llm.model_name": "gpt-5", "llm.token_count.prompt": tokens, "llm.cost.total": usd}}  # fmt: skip
        (tmp_path / "x.json").write_text(json.dumps([span]))
        return read_traces([tmp_path / "x.json"]).calls[0].usd

    assert [cost(0, 1000), cost(0.5, 1000), cost(0.25, 0), cost(0, 0)] == [None, 0.5, 0.25, 0.0]
    assert [cost(None, 1000), cost(None, 0), cost(0, -1)] == [None, None, None]


def test_a_days_batch_is_not_the_next_ones_for_its_numbers(tmp_path: Path) -> None:
    """Batches number their requests anew; what is exported twice is the same in all that it says."""
    for day in (1, 2):
        body = chat(created=1769860800 + 86400 * day)
        lines = [
            {"custom_id": f"request-{at}", "response": {"status_code": 200, "body": body}} for at in (1, 2)
        ]
        (tmp_path / f"{day}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "again.jsonl").write_bytes((tmp_path / "2.jsonl").read_bytes())
    found = read_traces([tmp_path])
    assert len(found.calls) == 4
    assert dict(found.left) == {"a call that was read before (same id)": 2}


def test_a_table_behind_another_has_its_header_again(tmp_path: Path) -> None:
    text = EXPORTS["litellm, csv"][2]()
    (tmp_path / "x.csv").write_text(text + text.replace("\n", "\r\n"), newline="")
    found = read_traces([tmp_path / "x.csv"])
    assert len(found.calls) == 2 and not found.problems
    assert dict(found.left) == {"a call that was read before (same id)": 2}


@pytest.mark.parametrize("begun", ["20260131120000", 20260131120000, 4102444800 * 10**9])
def test_a_number_that_is_a_date_in_itself_is_no_epoch(tmp_path: Path, begun: object) -> None:
    """As milliseconds it would be a day of the year 2612, at whatever prices."""
    (tmp_path / "x.jsonl").write_text(json.dumps(chat(timestamp=begun)))
    found = read_traces([tmp_path / "x.jsonl"])
    assert [one.started for one in found.calls] == [None]
    assert [problem.rule.rpartition(": ")[2] for problem in found.problems] == [repr(begun)]


@pytest.mark.parametrize(
    ("total", "usd"), [(1100, None), (-1, None), ("a lot", None), (0, 0.0), ("0", 0.0), (None, 0.0)]
)
def test_a_row_that_spent_nothing_on_tokens_is_not_known(
    tmp_path: Path, total: object, usd: float | None
) -> None:
    row = {"request_id": "1", "call_type": "acompletion", "model": "gpt-5", "spend": 0, "total_tokens": total}
    (tmp_path / "x.json").write_text(json.dumps([row]))
    assert [call.usd for call in read_traces([tmp_path / "x.json"]).calls] == [usd]
