"""The decision log: no prompt unless asked for, and back into rows of outcomes."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import sys
import threading
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.decisions import DecisionLog, outcome_rows, read_decisions, span_attributes
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.policy import Policy

TEXT = "the quick brown fox, a secret"


def test_decisions_and_outcomes_become_rows(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "deep" / "d.jsonl", clock=lambda: 1000.0)
    decision = policy.decide(TEXT)
    first = log.write(decision, prompt=TEXT, suite="maths")
    second = log.write(decision, id="my-own")
    log.write(decision)  # nothing becomes of it
    log.outcome(first, quality=1.0, cost_usd=0.002, check=True)
    log.outcome(second, quality=0.0)
    log.outcome(second, latency_s=2.5)
    assert "secret" not in log.path.read_text()
    rows = outcome_rows(log.path)
    assert rows[0] == {
        "suite": "maths", "sample_id": first, "epoch": 1, "model": "cheap", "effort": "low", "prompt": None,
        "tier": "standard", "started_at": 1000.0, "predicted_quality": 0.7, "predicted_cost_usd": 0.001,
        "revision": "unsaved", "status": "ok", "quality": 1.0, "cost_usd": 0.002, "check": True,
    }  # fmt: skip
    assert (rows[1]["suite"], rows[1]["sample_id"], rows[1]["latency_s"]) == ("production", "my-own", 2.5)
    assert len(rows) == 2
    assert [row["outcome"] is None for row in read_decisions(log.path)] == [False, False, True]


def test_prompts_only_if_asked_for(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True)
    log.write(policy.decide(TEXT), prompt=TEXT + "\ud800\n")
    assert next(read_decisions(log.path))["prompt"] == TEXT + "\ud800\n"


def test_a_line_cut_short_is_passed_over_only_at_the_end(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.write(policy.decide(TEXT))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:40])
    assert len(list(read_decisions(log.path))) == 1
    log.path.write_bytes(whole[:40] + b"\n" + whole)
    with pytest.raises(InputError, match="line 1"):
        list(read_decisions(log.path))


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'qualty'"):
        DecisionLog(tmp_path / "d.jsonl").outcome("x", qualty=1.0)


def test_lines_of_many_threads_stay_whole(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    decision = policy.decide(TEXT)
    threads = [threading.Thread(target=lambda: [log.write(decision) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({json.loads(line)["id"] for line in log.path.read_text().splitlines()}) == 400


def test_attributes_follow_the_genai_conventions(policy: Policy) -> None:
    found = span_attributes(policy.decide(TEXT))
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.request.model"] == "cheap-1"  # as it is really requested
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.max_tokens"] == 100
    assert found["router_lab.revision"] == "unsaved"


def test_the_current_span_is_marked_where_there_is_one(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: dict[str, Any] = {}

    class Span:
        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: dict[str, Any]) -> None:
            marked.update(attributes)

    package, trace = ModuleType("opentelemetry"), ModuleType("opentelemetry.trace")
    trace.get_current_span = Span  # type: ignore[attr-defined]
    package.trace = trace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry", package)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    DecisionLog(tmp_path / "d.jsonl").write(policy.decide(TEXT))
    assert marked["router_lab.code"] == "predicted"


class Kind(str, Enum):  # noqa: UP042  # as people have them
    LIMIT = "limit"


class Tensor:
    """As torch's: one number, kept in `item()`."""

    def item(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [("quality", np.float32(0.5), 0.5), ("quality", np.float16(0.5), 0.5), ("quality", np.array(0.5), 0.5),
     ("quality", np.array([0.5]), 0.5), ("quality", Tensor(), 0.5), ("quality", Decimal("0.5"), 0.5),
     ("quality", Fraction(1, 2), 0.5), ("quality", np.True_, 1.0), ("quality", True, 1.0), ("quality", 1, 1.0),
     ("output_tokens", np.int64(5), 5), ("output_tokens", 5.0, 5), ("turns", np.uint8(3), 3),
     ("check", np.bool_(False), False), ("check", 1, True), ("cost_usd", Decimal("0.0123"), 0.0123),
     ("latency_s", np.float64(2.0), 2.0), ("status", np.str_("error"), "error"), ("status", Kind.LIMIT, "limit"),
     ("group", 7, "7"), ("group", np.int32(7), "7"), ("group", Path("a/b"), "a/b")],
)  # fmt: skip
def test_any_number_that_a_metric_returns_is_logged_as_itself(
    policy: Policy, tmp_path: Path, column: str, value: Any, kept: Any
) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.outcome(log.write(policy.decide(TEXT)), **({"quality": 1.0} | {column: value}))
    [row] = outcome_rows(log.path)
    assert row[column] == kept and type(row[column]) is type(kept)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("quality", "C", "`quality` is 'C'; it must be a number"), ("quality", "0.5", "it must be a number"),
     ("quality", 1.5, r"must lie in \[0, 1\]"), ("quality", np.float32(-0.1), r"must lie in \[0, 1\]"),
     ("quality", float("nan"), r"must lie in \[0, 1\]"),
     ("quality", np.array([0.5, 1]), "must be a number"),
     ("quality", {"score": 1}, "must be a number"), ("quality", 1j, "must be a number"),
     ("output_tokens", -1, "must be finite and not negative"), ("output_tokens", "5", "must be a number"),
     ("cost_usd", np.float64("inf"), "must be finite"), ("cost_usd", Decimal("-0.01"), "not negative"),
     ("latency_s", Decimal("sNaN"), "must be a number"), ("turns", 10**400, "must be a number"),
     ("check", "yes", "must be true or false"), ("check", 0.5, "must be true or false"),
     ("status", "done", "known: ok, error, limit, infra, budget"), ("status", "x" * 999, r"'x{79}; known")],
)  # fmt: skip
def test_what_collect_would_refuse_is_refused_at_once(
    policy: Policy, tmp_path: Path, column: str, value: Any, said: str
) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    number = log.write(policy.decide(TEXT))
    with pytest.raises(InputError, match=said):
        log.outcome(number, **({"quality": 1.0} | {column: value}))
    assert outcome_rows(log.path) == []
    # The same value in a file that somebody else wrote is refused by the same words.
    if isinstance(value, str | int) and abs(value if isinstance(value, int) else 0) < 10**9:
        line = {"kind": "outcome", "id": number, "quality": 1.0} | {column: value}
        log.path.write_text(log.path.read_text() + json.dumps(line) + "\n")
        with pytest.raises(InputError, match=said):
            outcome_rows(log.path)


def test_what_is_not_known_is_left_out(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    number = log.write(policy.decide(TEXT))
    log.outcome(number, quality=0.25, latency_s=1.0)
    log.outcome(number, quality=None, latency_s=np.float32("nan"), group=None)
    log.outcome(number, group=Decimal("NaN"))
    [row] = outcome_rows(log.path)
    assert (row["quality"], row["latency_s"]) == (0.25, 1.0) and "group" not in row
    assert "NaN" not in log.path.read_text()


@pytest.mark.parametrize(
    ("given", "later", "kept"),
    [(7, 7, "7"), (7, "7", "7"), ("7", 7, "7"), (np.int64(7), 7, "7"), (7, 7.0, "7"), (0, 0, "0"),
     (Path("a"), "a", "a"), ("007", "007", "007"), (b"ab", "ab", "ab"), (True, "true", "true"),
     (dt.date(2026, 1, 2), "2026-01-02", "2026-01-02"), (np.str_("x"), "x", "x"), (2**70, 2**70, str(2**70))],
)  # fmt: skip
def test_an_id_of_any_type_finds_its_outcome(policy: Policy, tmp_path: Path, given: Any, later: Any, kept: str) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    assert log.write(policy.decide(TEXT), id=given, suite=np.str_("s")) == kept
    log.outcome(later, quality=1.0)
    [row] = outcome_rows(log.path)
    assert (row["sample_id"], row["suite"]) == (kept, "s")


def test_ids_that_an_older_log_wrote_as_numbers_and_outcomes_before_their_decision(
    policy: Policy, tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.write(policy.decide(TEXT), id="7")
    written = log.path.read_text()
    early = '{"kind": "outcome", "id": 7, "quality": 1.0}\n'
    log.path.write_text(early + written)
    assert [row["sample_id"] for row in outcome_rows(log.path)] == ["7"]
    log.path.write_text(early.replace("7,", "8,") + written)
    with pytest.warns(
        RouterLabWarning, match="1 outcomes belong to no decision that is logged there, the first to '8'"
    ):
        assert outcome_rows(log.path) == []


class Raises:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("broken", ["folder", "disk", "prompt", "id", "clock"])
def test_writing_never_fails_the_request(
    policy: Policy, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    def clock() -> float:
        if broken == "clock":
            raise OSError("no clock")
        return 0.0

    path = {"folder": tmp_path / "file" / "d.jsonl", "disk": Path("/dev/full")}.get(broken, tmp_path / "d.jsonl")
    log = DecisionLog(path, prompts=True, clock=clock)
    odd: dict[str, Any] = {"prompt": {"prompt": Raises()}, "id": {"id": Raises()}}.get(broken, {})
    with caplog.at_level(logging.WARNING, "router_lab"):
        numbers = {log.write(policy.decide(TEXT), **odd) for _ in range(3)}
        if broken in ("folder", "disk"):
            log.outcome("x", quality=1.0)
    assert len(numbers) == 3 and all(numbers)
    assert log.lost == (4 if broken in ("folder", "disk") else 3)
    assert len(caplog.records) == 1 and "a line of the decision log was lost" in caplog.text  # said once


def test_a_conversation_is_logged_as_what_was_routed_on(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    log.write(policy.decide(messages), prompt=messages)
    assert next(read_decisions(log.path))["prompt"] == TEXT


class Broken:
    """Whatever is asked of it fails."""

    def item(self) -> float:
        raise LookupError

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


@pytest.mark.parametrize("column", ["quality", "output_tokens", "check", "status", "group"])
def test_an_object_that_fails_at_everything_is_refused_in_one_way(policy: Policy, tmp_path: Path, column: str) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    assert log.write(policy.decide(TEXT), id=Broken()) and log.lost == 1
    with pytest.raises(InputError, match="Broken"):
        log.outcome("1", **({"quality": 1.0} | {column: Broken()}))
    with pytest.raises(InputError, match="Broken"):
        log.outcome(Broken(), quality=1.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_a_line_was_written_still_writes(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    decision = policy.decide(TEXT)
    with log._lock:  # as a thread holds it that the child does not have
        child = os.fork()
        if child == 0:  # pragma: no cover  # another process
            signal.alarm(10)  # where it waits for ever
            log.write(decision, id="child")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.write(decision, id="parent")
    assert [row["id"] for row in read_decisions(log.path)] == ["child", "parent"]
