"""What is no evidence about a candidate: cancelled, invalidated, unscored, never begun, refused by a server.

It is named, left out, and neither right nor wrong. Logs are written here, as Inspect 0.3.285 writes them.
"""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.outcomes import read_outcomes
from router_lab.providers.evallog import LISTED, OPENING
from router_lab.providers.failures import Failure, Fault, fault, of_sample, reason_of
from router_lab.runtime.errors import InputError

CREATED = "2026-03-01T09:00:00+00:00"
CANCELLED = {
    "message": "CancelledError('Cancelled via cancel scope 7fcfe8ee8720 by <Task name=x>')",
    "traceback": "",
}
BY = {"timestamp": CREATED, "author": "ana", "reason": "sandbox was broken"}


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    entry = "[{starts: 2026-01-01, input: 1, output: 10, source: s, checked: 2026-01-01}]"
    path.write_text(f"models:\n  p/m: {entry}\n  p/other: {entry}\n")
    return path


def sample(
    name: str, value: Any = "C", *, model: str = "p/m", stop: str = "stop", **more: Any
) -> dict[str, Any]:
    """A sample of one call; `value=...` is the score by `acc`, None for no score at all."""
    choice = {"message": {"role": "assistant", "content": "x"}, "stop_reason": stop}
    output = {"model": model, "choices": [choice], "usage": {"input_tokens": 100, "output_tokens": 10}}
    event = {
        "event": "model",
        "model": model,
        "input": [],
        "output": output,
        "timestamp": "2026-03-01T10:00:00+00:00",
    }
    scores = {} if value is None else {"acc": {"value": value}}
    return {"id": name, "epoch": 1, "input": f"question {name}", "scores": scores, "events": [event], "output": output,
            "uuid": f"run-{name}", **more}  # fmt: skip


def failed(name: str, message: str, call: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A sample that an error ended; `call`: how Inspect records the model call that failed."""
    made = {"event": "model", "model": "p/m", "input": [], "output": {}, "timestamp": CREATED}
    event = [made | call] if call else []
    return {
        **sample(name, None),
        "error": {"message": message, "traceback": ""},
        "events": event,
        "output": {},
        **more,
    }


def log(path: Path, *samples: dict[str, Any], status: str = "success", **more: Any) -> Path:
    """A JSON log; `more` goes into its header, or with the key `spec` into its eval spec."""
    spec = {"task": "qa", "task_id": "T", "eval_id": path.stem, "model": "p/m", "created": CREATED, "model_args": {},
            "scorers": [{"name": "acc"}], "model_generate_config": {}, **more.pop("spec", {})}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"version": 2, "status": status, "eval": spec, **more, "samples": list(samples)})
    )
    return path


def name(hour: int, rest: str = "qa_AAA") -> str:
    return f"2026-03-01T{hour:02d}-00-00-00-00_{rest}.json"


def table(folder: Path, prices: Path, **more: Any) -> pd.DataFrame:
    return collect([folder], prices=prices, **more)[0].set_index("sample_id")


def kinds(rows: pd.DataFrame) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in rows.attrs["provenance"].get("left_out", []):
        counted[one["kind"]] = counted.get(one["kind"], 0) + one["n"]
    return counted


def test_stopped_samples_are_no_evidence_whoever_stopped_them(tmp_path: Path, prices: Path) -> None:
    by_hand = {"type": "operator", "limit": 1, "reason": "Sample completed: interrupted by operator"}
    log(
        tmp_path / "logs" / name(9),
        sample("right"),
        failed("ctrl-c", CANCELLED["message"]),
        failed("trio", "Cancelled()"),
        failed("in its screen", "RuntimeError('Sample errored: interrupted by operator')"),
        failed(
            "nobody knows",
            "RuntimeError('Sample errored: solver cancelled by an unattributed cancellation (…)')",
        ),
        sample("scored as it stood", "I", limit=by_hand),
        sample("before it was scored", None),
        sample("after a retry", "I", error_retries=[CANCELLED]),
        status="cancelled",
        spec={"dataset": {"sample_ids": ["right", "ctrl-c", "never"]}, "config": {"epochs": 1}},
    )
    rows = table(tmp_path / "logs", prices)
    stopped = [
        "ctrl-c",
        "trio",
        "in its screen",
        "nobody knows",
        "scored as it stood",
        "before it was scored",
    ]
    assert set(rows.loc[stopped, "status"]) == {"infra"} and rows.loc[stopped, "quality"].isna().all()
    assert rows.loc[stopped, "reason"].str.startswith("cancelled").all()
    assert rows.loc[["right", "after a retry"], "quality"].tolist() == [1.0, 0.0]
    never = rows.loc["never"]
    assert (never.status, never.reason) == ("budget", "not run: the log was cancelled") and math.isnan(
        never.quality
    )
    assert kinds(rows) == {"cancelled": 6, "not run": 1}
    assert "7fcfe8ee8720" not in str(rows["reason"].tolist()), "an address changes from run to run"


def test_what_a_person_set_aside_is_left_out_and_makes_nothing_inconclusive(
    tmp_path: Path, prices: Path
) -> None:
    log(
        tmp_path / "one" / name(9),
        sample("a"),
        sample("b", "I", invalidation=BY),
        sample("c"),
        invalidated=True,
    )
    rows = table(tmp_path / "one", prices)
    assert rows.loc["b", ["status", "reason"]].tolist() == [
        "budget",
        "invalidated by ana: sandbox was broken",
    ]
    assert rows["quality"].mean() == 1.0 and kinds(rows) == {"invalidated": 1}
    log(tmp_path / "whole" / name(9), sample("a"), sample("b", "I"), invalidated=True)
    rows = table(tmp_path / "whole", prices)
    assert rows["quality"].isna().all() and set(rows["reason"]) == {"invalidated: the log as a whole"}
    # An edited score is the score, and its history is no second one.
    edited = sample("a")
    edited["scores"]["acc"] |= {"value": "I", "history": [{"value": "C"}, {"value": "I", "provenance": BY}]}
    log(tmp_path / "edited" / name(9), edited, sample("b"))
    assert table(tmp_path / "edited", prices)["quality"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ({}, "scorer `acc` gave no score"),
        ({"style": {"value": 1.0}}, "scorer `acc` gave no score"),
        ({"acc": {"value": None}}, "scorer `acc` gave no value"),
        ({"acc": {"value": math.nan, "reason": "grader_failed"}}, "scorer `acc` gave NaN (grader_failed)"),
        ({"acc": {"value": "NaN", "metadata": {"unscored_reason": "odd"}}}, "scorer `acc` gave NaN (odd)"),
        ({"acc": {"value": {}}}, "scorer `acc` gave no value"),
        ({"acc": None}, "scorer `acc` gave no score"),
    ],
)
def test_an_unscored_sample_is_not_wrong_and_no_other_scorer_speaks_for_it(
    tmp_path: Path, prices: Path, scores: dict[str, Any], why: str
) -> None:
    both = {"acc": {"value": "I"}, "style": {"value": 1.0}}
    scorers = {"scorers": [{"name": "somebody/acc"}, {"name": "style"}]}
    log(tmp_path / "l" / name(9), sample("a", scores=both), sample("b", scores=scores), sample("c", scores=both),
        spec=scorers)  # fmt: skip
    rows = table(tmp_path / "l", prices)
    assert rows.loc["b", ["status", "reason"]].tolist() == ["infra", f"unscored: {why}"]
    assert rows.loc[["a", "c"], "quality"].tolist() == [0.0, 0.0] and math.isnan(rows.loc["b", "quality"])
    # An epoch without a score leaves the other one.
    log(
        tmp_path / "e" / name(9),
        sample("a", scores=both),
        {**sample("a", scores=scores), "epoch": 2},
        spec=scorers,
    )
    rows = table(tmp_path / "e", prices)
    assert rows["quality"].dropna().tolist() == [0.0] and rows["epoch"].tolist() == [1, 2]


def test_one_scorer_judges_a_log_and_all_logs_of_a_suite(tmp_path: Path, prices: Path) -> None:
    partly = {"value": {"f1": 0.25}}, {"value": {"other": 1.0}}
    (tmp_path / "suites.yaml").write_text("qa: {logs: d, value: f1}\n")
    log(
        tmp_path / "d" / name(9),
        sample("a", scores={"acc": partly[0]}),
        sample("b", scores={"acc": partly[1]}),
    )
    rows = table(tmp_path / "d", prices, suites=tmp_path / "suites.yaml")
    assert (
        rows.loc["a", "quality"] == 0.25 and rows.loc["b", "reason"] == "unscored: scorer `acc` gave no `f1`"
    )
    # A log that declares none: the first score of the sample with the most, not of the first sample.
    full = {"acc": {"value": "I"}, "style": {"value": 1.0}}
    log(tmp_path / "n" / name(9), sample("a", scores={"style": {"value": 1.0}}), sample("b", scores=full),
        spec={"scorers": None})  # fmt: skip
    assert table(tmp_path / "n", prices)["quality"].fillna(-1).tolist() == [-1, 0]
    log(tmp_path / "f" / name(9), sample("a", scores={"style": {"value": 1}}),
        spec={"scorers": [{"name": "acc"}, {"name": "style"}]})  # fmt: skip
    with pytest.raises(
        InputError, match=r"no sample has a score of `acc`, the first of its scorers; .* `scorer:`"
    ):
        table(tmp_path / "f", prices)
    log(tmp_path / "two" / name(9), sample("a"))
    other = sample("a", model="p/other", scores={"style": {"value": 1.0}})
    log(
        tmp_path / "two" / name(10),
        other,
        spec={"task_id": "U", "model": "p/other", "scorers": [{"name": "style"}]},
    )
    with pytest.raises(
        InputError, match=r"suite `qa`: .* is judged by `acc`, .* is judged by `style`; .* `scorer:`"
    ):
        table(tmp_path / "two", prices)
    log(tmp_path / "none" / name(9), sample("a", None), sample("b", None))
    with pytest.raises(InputError, match=r"sample 'a': has no score; .*`inspect score` adds scores"):
        table(tmp_path / "none", prices)


def test_a_retried_eval_is_one_eval_and_the_latest_evidence_of_each_sample_counts(
    tmp_path: Path, prices: Path
) -> None:
    folder = tmp_path / "logs"
    first = log(folder / name(9), sample("a"), failed("b", CANCELLED["message"]), status="cancelled",
                spec={"created": "2026-03-01T09:00:00+00:00"})  # fmt: skip
    log(
        folder / name(10),
        sample("a"),
        sample("b", "I", uuid="again"),
        spec={"created": "2026-03-01T10:00:00+00:00"},
    )
    os.utime(first)  # somebody has looked into the old one since
    rows = table(folder, prices)
    assert rows["quality"].tolist() == [1.0, 0.0] and "left_out" not in rows.attrs["provenance"]
    assert rows.attrs["provenance"]["logs_left_out"] == [
        {"log": name(9), "reason": f"superseded by {name(10)}"}
    ]

    # The retry died: what the first had finished is still there, what both lack is named.
    log(folder / name(10), failed("b", CANCELLED["message"]), status="error", error={"message": "OSError('disk full')"},
        spec={"created": "2026-03-01T10:00:00+00:00", "dataset": {"sample_ids": ["a", "b", "c"]}})  # fmt: skip
    rows = table(folder, prices)
    assert rows["quality"].fillna(-1).tolist() == [1.0, -1, -1]
    assert rows["reason"].tolist()[1:] == ["cancelled", "not run: the log ended early: OSError('disk full')"]

    # A run that was invalidated in the newer log is the same run in the older one.
    log(folder / name(10), sample("a", invalidation=BY), failed("b", CANCELLED["message"]), status="cancelled",
        invalidated=True, spec={"created": "2026-03-01T10:00:00+00:00"})  # fmt: skip
    assert table(folder, prices)["quality"].isna().all()


def test_dead_processes_leave_what_they_had_finished(tmp_path: Path, prices: Path) -> None:
    folder = tmp_path / "logs"
    ids = {"dataset": {"sample_ids": ["a", "b", "c"]}}
    log(folder / name(9), sample("a"), sample("b", "I"), status="started", spec=ids)
    rows = table(folder, prices)
    assert rows["quality"].fillna(-1).tolist() == [1, 0, -1]
    assert rows.loc["c", "reason"] == "not run: the log is unfinished: its process died, or is still running"
    # Run anew from the start, under another id: the finished log goes before the dead one.
    log(folder / name(10), sample("a", "I"), sample("b"), sample("c"), spec={**ids, "task_id": "U"})
    rows = table(folder, prices)
    assert rows["quality"].tolist() == [0, 1, 1]
    assert rows.attrs["provenance"]["logs_left_out"] == [
        {"log": name(9), "reason": f"2 samples are taken from {name(10)}"}
    ]
    # Stopped early, as the eval was set up to.
    log(tmp_path / "early" / name(9), sample("a"), spec=ids, results={"early_stopping": {"manager": "x"}})
    reasons = table(tmp_path / "early", prices)["reason"].tolist()
    assert reasons[1:] == ["not run: the eval was stopped early, as it was set up"] * 2


def test_a_log_that_died_before_its_first_sample_is_named(tmp_path: Path, prices: Path) -> None:
    folder = tmp_path / "logs"
    # A misnamed model has no price, and needs none: it never answered.
    log(folder / name(9), status="error", error={"message": "Error code: 404 - no such model"},
        spec={"task_id": "U", "model": "p/misnamed", "dataset": {"sample_ids": ["a"]}})  # fmt: skip
    with pytest.raises(
        InputError, match=r"none of its logs holds a sample \(.*died before its first .*404 - no such"
    ):
        table(folder, prices)
    log(folder / name(10), sample("a"))
    rows = collect([folder], prices=prices)[0]
    assert rows[["model", "status"]].to_numpy().tolist() == [["p/m", "ok"], ["p/misnamed", "budget"]]
    told = rows.attrs["provenance"]["logs_left_out"]
    assert told == [{"log": name(9), "reason": "died before its first sample (error): the log ended early: "
                     "Error code: 404 - no such model"}]  # fmt: skip
    assert [one["model"] for one in rows.attrs["candidates"]] == ["p/m"]
    result = CliRunner().invoke(
        cli, ["collect", str(folder), "--prices", str(prices), "--out", str(tmp_path / "o.parquet")]
    )
    assert result.exit_code == 0, result.output
    assert "1 not run: p/misnamed on qa (a): the log ended early" in result.stderr
    assert f"  {name(9)}: died before its first sample" in result.stderr
    assert read_outcomes(tmp_path / "o.parquet").attrs["provenance"]["logs_left_out"] == told


def test_json_logs_count_whatever_their_names_and_a_damaged_one_stops_it(
    tmp_path: Path, prices: Path
) -> None:
    folder = tmp_path / "logs"
    names = [
        name(9, "qa-p-m"),
        f"deep/er/{name(9, 'x')}",
        "renamed.json",
        "2026-03-01T09:00:00-00-00_a_b_c_d.json",
    ]
    for i, where in enumerate(names):
        log(folder / where, sample(f"s{i}"), spec={"task_id": f"T{i}"})
    for bookkeeping in ("listing.json", "logs.json", "eval-set.json", "some_data_file.json"):
        (folder / bookkeeping).write_text('{"2026_x_y.json": {"status": "success", "eval": {}}}')
    torn = {
        name(11, "torn"): b'{"version": 2, "status": "success", "eval": {"task"',
        "torn.eval": b"PK no zip",
    }
    for where, content in torn.items():
        (folder / where).write_bytes(content)
    # Never fewer rows than a user thinks: each is named until it is gone.
    for where in torn:
        with pytest.raises(
            InputError, match=rf"{where}: not an Inspect log, or a damaged one: .*move it out"
        ):
            table(folder, prices)
        (folder / where).unlink()
    assert table(folder, prices).index.tolist() == ["s0", "s1", "s2", "s3"]


def test_names_are_listed_as_inspect_lists_them() -> None:
    from inspect_ai.log._file import is_log_file

    stamps = (
        "2026-01-01T00-00-00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01",
        "x2026-01-01T00-00-00",
        "26-01-01T00",
    )
    tried = [
        f"{stamp}{rest}.json" for stamp in stamps for rest in ("", "_qa", "_qa_id", "-qa", "_a_b_c", "_qa-m")
    ]
    tried += ["sweep.json", "logs.json", "eval-set.json", "a_b_c.json"]
    assert [bool(LISTED.match(one)) for one in tried] == [is_log_file(one, [".json"]) for one in tried]
    assert OPENING.match(b'{\n "version": 2') and not OPENING.match(b'{"a.eval": {"eval": 1}}')


def test_one_eval_in_two_formats_is_one_eval(tmp_path: Path, prices: Path) -> None:
    path = log(tmp_path / "logs" / name(9), sample("a"), sample("b", "I"))
    content = json.loads(path.read_text())
    with zipfile.ZipFile(path.with_suffix(".eval"), "w") as archive:
        for one in content.pop("samples"):
            archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
        archive.writestr("header.json", json.dumps(content))
    assert table(tmp_path / "logs", prices)["quality"].tolist() == [1.0, 0.0]
    both = collect([path, path.with_suffix(".eval")], prices=prices)[0]
    assert both["quality"].tolist() == [1.0, 0.0]


def call(status: int, message: str, **body: Any) -> dict[str, Any]:
    response = {"message": message, **body}
    return {"error": f"Error code: {status} - {message}", "call": {"error": True, "response": response}}


@pytest.mark.parametrize(
    ("message", "event", "expected"),
    [
        ("Error code: 401 - Incorrect API key provided", None, Fault.OPERATOR),
        ("PermissionDeniedError('Error code: 403 - no access')", None, Fault.OPERATOR),
        ("Error code: 404 - {'error': {'message': 'claude-x', 'type': 'not_found_error'}}", None, Fault.OPERATOR),
        ("NotFoundError('The model `x` does not exist')", None, Fault.OPERATOR),
        ("Error code: 402 - Insufficient Balance", None, Fault.OPERATOR),
        ("Error code: 429 - You exceeded your current quota, please check your plan", None, Fault.OPERATOR),
        ("Error code: 429 - Rate limit reached: quota exceeded, requests per minute", None, Fault.INFRA),
        ("401 UNAUTHENTICATED. {'error': 1}", None, Fault.OPERATOR),
        ("Error code: 400 - API key not valid. Please pass a valid API key.", None, Fault.OPERATOR),
        ("APIConnectionError('[Errno 111] Connection refused')", None, Fault.UNREACHABLE),
        ("ConnectError('[Errno -2] Name or service not known')", None, Fault.UNREACHABLE),
        ("RefusedError('Connection error.')", None, Fault.OPERATOR),
        # The request is quoted in the message, and speaks of connections, keys and time-outs: the call is read.
        ("ModelGenerateError('How long is a connection timeout?')", call(400, "odd temperature"), Fault.REQUEST),
        ("Error code: 422 - temperature: Input should be less than or equal to 1", None, Fault.REQUEST),
        ("Error code: 400 - your prompt was flagged by our safety system", None, Fault.CANDIDATE),
        ("ModelGenerateError('…')", call(400, "no", code="unsupported_parameter"), Fault.OPERATOR),
        ("ModelGenerateError('…')", call(400, "Your credit balance is too low"), Fault.OPERATOR),
        ("Error code: 400 - too long", call(400, "too long", code="context_length_exceeded"), Fault.CANDIDATE),
        ("Error code: 403 - your input was flagged by moderation", None, Fault.CANDIDATE),
        ("Error code: 400 - Invalid 'messages[0].content'", None, Fault.REQUEST),
        # Not of the model's server: what the candidate did is its own affair.
        ("HTTPError('404 Client Error: Not Found for url: http://shop')", None, Fault.CANDIDATE),
        ("FileNotFoundError(2, 'No such file')", None, Fault.CANDIDATE),
        ("KeyError('payment')", None, Fault.CANDIDATE),
        ("Error code: 503 - overloaded", None, Fault.INFRA),
        (CANCELLED["message"], None, Fault.CANCELLED),
        ("NotRecordedError(\"nothing recorded in f for 'what is a context window?'\")", None, Fault.INFRA),
        ("Error code: 400 - bad request: " + 400 * "…" + " the model does not exist", None, Fault.REQUEST),
    ],
)  # fmt: skip
def test_whose_fault_a_failure_is(message: str, event: dict[str, Any] | None, expected: Fault) -> None:
    failure = of_sample(failed("x", message, event))
    assert failure is not None and fault(failure) is expected


def test_an_operators_error_is_not_the_models(tmp_path: Path, prices: Path) -> None:
    log(
        tmp_path / "logs" / name(9),
        sample("right"),
        failed("key", "Error code: 401 - {'type': 'error', 'error': {'message': 'invalid x-api-key'}}"),
        failed("model", "Error code: 404 - The model `m` does not exist"),
        failed("money", "ModelGenerateError('…')", call(400, "Your credit balance is too low")),
        failed("long", "Error code: 400 - maximum context length is 10 tokens"),
        failed("own", "ValueError('no number in the answer')"),
    )
    rows = table(tmp_path / "logs", prices)
    assert rows["status"].to_dict() == {
        "right": "ok", "key": "infra", "model": "infra", "money": "infra", "long": "error", "own": "error",
    }  # fmt: skip
    assert rows["quality"].mean() == pytest.approx(1 / 3)
    assert rows.loc["key", "reason"] == "Error code: 401 - invalid x-api-key"
    assert (
        reason_of(Failure(text="StoppedError('http://h/v1: Connection error.')"))
        == "http://h/v1: Connection error."
    )


TOO_LARGE = "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens for p/m"


def test_settings_that_no_request_can_have_are_the_operators(tmp_path: Path, prices: Path) -> None:
    """A request refused as it stands counts against a candidate that was answered otherwise, and only then."""
    refused = [failed(f"s{i}", "ModelGenerateError('…')", call(400, TOO_LARGE)) for i in range(3)]
    log(tmp_path / "all" / name(9), *refused, failed("long", "Error code: 400 - prompt is too long"))
    rows = table(tmp_path / "all", prices)
    assert rows["status"].to_dict() == {"s0": "infra", "s1": "infra", "s2": "infra", "long": "error"}
    assert rows["quality"].count() == 1 and kinds(rows) == {"lost": 3}
    why = f"no request of the candidate's was ever answered in this log: Error code: 400 - {TOO_LARGE}"
    assert rows.loc["s0", "reason"] == why
    log(tmp_path / "some" / name(9), *refused, sample("right"))
    rows = table(tmp_path / "some", prices)
    assert rows["quality"].to_dict() == {"s0": 0.0, "s1": 0.0, "s2": 0.0, "right": 1.0}


def test_what_failed_before_any_model_was_asked_is_nobodys_answer(tmp_path: Path, prices: Path) -> None:
    """A sandbox, a setup and a solver that broke first; Inspect 0.3.285 logs these events of such samples."""
    begun = [{"event": "span_begin", "id": "i", "type": "init"}, {"event": "sample_init"}, {"event": "error"}]
    asked = {
        "event": "model",
        "model": "p/m",
        "input": [],
        "output": {},
        "timestamp": CREATED,
        "pending": True,
    }
    log(
        tmp_path / "logs" / name(9),
        sample("right"),
        failed("sandbox", "RuntimeError('no space left on device')") | {"events": begun},
        failed("solver", "KeyError('lang')") | {"events": begun},
        failed("on its way", "KeyError('lang')") | {"events": [*begun[:2], asked]},
        failed("in a tool", "KeyError('x')")
        | {"events": [{"event": "subtask", "events": sample("x")["events"]}, *begun[2:]]},
        failed("too long", "Error code: 400 - prompt is too long") | {"events": [*begun[:2], asked]},
    )
    rows = table(tmp_path / "logs", prices)
    assert rows["status"].to_dict() == {
        "right": "ok", "sandbox": "infra", "solver": "infra", "on its way": "error", "in a tool": "error",
        "too long": "error",
    }  # fmt: skip
    assert rows.loc["solver", "reason"] == "before any model was asked: KeyError('lang')"
    assert rows["quality"].mean() == 1 / 4 and kinds(rows) == {"lost": 2}


def test_a_scorer_that_fails_has_not_judged_the_answer(tmp_path: Path, prices: Path) -> None:
    """Spans as Inspect 0.3.285 logs them; what failed in the solver after an answer is the candidate's still."""
    begun = lambda kind: {"event": "span_begin", "id": kind, "type": kind}
    bug = {"error": {"message": "ValueError('scorer bug')", "traceback": ""}}
    answered = sample("x")["events"]

    def spans(*kinds: str) -> dict[str, Any]:
        return {"events": [begun("solvers"), *answered, *map(begun, kinds), {"event": "error"}], **bug}

    refusal = {
        "choices": [{"message": {"role": "assistant", "content": ""}, "stop_reason": "content_filter"}]
    }
    log(
        tmp_path / "logs" / name(9),
        sample("right"),
        sample("unjudged", None) | spans("scorers", "scorer"),
        sample("judged before another failed", "C") | spans("scorers", "scorer"),
        sample("its own", None) | spans(),
        sample("scored on its way", None) | spans("scorer"),
        sample("refused", None) | spans("scorers") | {"output": refusal},
        sample("old", None)
        | bug
        | {"events": [*answered, {"event": "step", "action": "begin", "type": "scorer"}]},
    )
    rows = table(tmp_path / "logs", prices)
    assert rows["quality"].dropna().to_dict() == {
        "right": 1.0, "judged before another failed": 1.0, "its own": 0.0, "scored on its way": 0.0, "refused": 0.0,
    }  # fmt: skip
    assert rows.loc["unjudged", ["status", "reason"]].tolist() == [
        "infra",
        "unscored: a scorer failed: ValueError('scorer bug')",
    ]
    assert kinds(rows) == {"unscored": 2} and pd.isna(rows.loc["judged before another failed", "reason"])


def test_answers_cut_off_keep_their_score_and_are_counted(tmp_path: Path, prices: Path) -> None:
    whole, cut = sample("whole"), sample("cut", "I", stop="max_tokens")
    agent = sample("agent", "C")
    agent["events"] = [sample("x", stop="max_tokens")["events"][0], *agent["events"]]
    too = sample("cut too", stop="max_tokens")
    log(tmp_path / "logs" / name(9), whole, cut, agent, too, failed("lost", "Cancelled()"))
    rows = table(tmp_path / "logs", prices)
    assert rows.loc[["whole", "cut", "agent", "cut too"], "cut_off"].tolist() == [False, True, True, True]
    assert pd.isna(rows.loc["lost", "cut_off"]) and rows["quality"].mean() == 0.75


def test_an_interrupted_sweep_names_each_sample_once_and_logs_that_its_manifest_does_not_know(
    tmp_path: Path, prices: Path
) -> None:
    folder, spec = tmp_path / "logs", {"task_version": "v"}
    log(folder / name(9), sample("a"), failed("b", CANCELLED["message"]), status="cancelled", spec=spec)
    log(
        folder / name(10),
        sample("a"),
        status="cancelled",
        spec={**spec, "created": "2026-03-01T10:00:00+00:00"},
    )
    names = [name(9), name(10)]
    manifest = {
        "logs": names,
        "planned": dict.fromkeys(names, 3),
        "order": {"v": ["a", "b", "c"]},
        "budget_usd": 1.0,
    }
    (folder / "sweep.json").write_text(json.dumps({**manifest, "interrupted": True}))
    rows = table(folder, prices)
    assert rows["status"].to_dict() == {"a": "ok", "b": "infra", "c": "budget"}
    assert rows.loc["c", "reason"].startswith("not run: the sweep was interrupted; run it again: ")
    (folder / "sweep.json").write_text(json.dumps(manifest))
    rows = table(folder, prices)
    assert rows.loc["c", "reason"] == "not run for lack of money" and kinds(rows) == {"cancelled": 1}
    # Killed, where even that could not be written.
    late = log(folder / name(11), sample("b"), status="started", spec=spec)
    os.utime(late, (2e9, 2e9))
    told = table(folder, prices).attrs["provenance"]["logs_left_out"]
    [why] = [one["reason"] for one in told if one["log"] == name(11)]
    assert why.startswith("newer than sweep.json, which does not name it")
