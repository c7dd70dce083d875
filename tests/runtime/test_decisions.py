"""The decision log: no prompt unless asked for, and back into rows of outcomes."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from router_lab.runtime.decisions import DecisionLog, outcome_rows, read_decisions, span_attributes
from router_lab.runtime.errors import InputError
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
