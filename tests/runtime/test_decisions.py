"""The decision log: no prompt unless asked for, and back into rows of outcomes."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import json
import logging
import os
import signal
import subprocess
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

from router_lab.runtime.chains import Stage
from router_lab.runtime.decisionfiles import log_parts
from router_lab.runtime.decisions import (
    PROMPT_CHARS,
    DecisionLog,
    outcome_rows,
    read_decisions,
    span_attributes,
)
from router_lab.runtime.decisionstages import Asked, escalated
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.files import read_records
from router_lab.runtime.outcomerows import prompt_digest, propensity_of
from router_lab.runtime.points import Cascade, Follow
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
        "decision": first, "propensity": 1.0,
    }  # fmt: skip
    assert (rows[1]["suite"], rows[1]["sample_id"], rows[1]["latency_s"]) == ("production", "my-own", 2.5)
    assert len(rows) == 2
    assert [row["outcome"] is None for row in read_decisions(log.path)] == [False, False, True]


def test_outcomes_are_weighted_by_the_propensity_that_was_logged(policy: Policy, tmp_path: Path) -> None:
    """What chance asked stands for as many requests as its probability says; one prompt is one sample, in epochs."""
    log = DecisionLog(
        tmp_path / "d.jsonl",
        prompts=True,
        mask=lambda row: row | {"propensity": 0.25, "explored": True, "draw": "d" * 16},
    )
    for quality in (1.0, 0.0):
        log.outcome(log.write(policy.decide(TEXT), prompt=TEXT), quality=quality)
    one, two = outcome_rows(log.path)
    assert (one["propensity"], one["explored"], one["epoch"], two["epoch"]) == (0.25, True, 1, 2)
    assert one["sample_id"] == two["sample_id"] == prompt_digest(TEXT) and one["decision"] != two["decision"]
    assert one["group"] == two["group"] == "d" * 16


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, None), ({"propensity": 0.5}, 0.5), ({"propensity": 1}, 1.0), ({"propensity": 0}, None),
     ({"propensity": 1.5}, None), ({"propensity": True}, None), ({"propensity": "0.5"}, None),
     ({"shadow": True, "share": 0.5}, 0.5), ({"shadow": True, "share": 0.5, "propensity": 0.5}, 0.25),
     ({"shadow": True, "share": None}, None)],
)  # fmt: skip
def test_a_propensity_is_a_probability_or_not_known(said: dict[str, Any], found: float | None) -> None:
    assert propensity_of(said) == found


def test_keys_are_clusters_and_whoever_masks_their_draws_has_none(make_spec: Any, tmp_path: Path) -> None:
    drawn = Policy(make_spec(points={"default": (Follow(100.0, 0.05, 0.5),)}))
    log, masked = DecisionLog(tmp_path / "d.jsonl"), DecisionLog(tmp_path / "m.jsonl", mask=["draw"])
    for key in ("a", "a", "b"):
        for one in (log, masked):
            one.outcome(one.write(drawn.decide(TEXT, key=key), prompt=TEXT), quality=1.0)
    first, again, other = (row["group"] for row in outcome_rows(log.path))
    assert first == again == drawn.decide(TEXT, key="a").draw != other
    assert all("draw" not in row for row in read_decisions(masked.path))
    assert all("group" not in row for row in outcome_rows(masked.path))


def test_a_request_that_was_constrained_says_so(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    for asked in ({}, {"max_cost_usd": 1.0}, {"allowed": [policy.reference]}):
        log.write(policy.decide(TEXT, **asked))
    assert [row.get("constrained") for row in read_decisions(log.path)] == [None, None, True]


def test_prompts_only_if_asked_for(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True)
    log.write(policy.decide(TEXT), prompt=TEXT + "\ud800\n")
    assert next(read_decisions(log.path))["prompt"] == TEXT + "\ud800\n"


@pytest.mark.parametrize(
    "damage", [b'{"kind": "dec', b"\xff\xfe", b"[1]", b"[" * 9999, b"9" * 5000, b'{"kind": "decision"}']
)
@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_a_damaged_line_costs_itself_alone_and_is_counted(
    policy: Policy, tmp_path: Path, damage: bytes, ends: bytes
) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.write(policy.decide(TEXT), id="a")
    with log.path.open("ab") as handle:
        handle.write(damage + ends)
    log.write(policy.decide(TEXT), id="b")
    with pytest.warns(RouterLabWarning, match="d.jsonl: 1 line is no .* the first is line 2"):
        assert [row["id"] for row in read_decisions(log.path)] == ["a", "b"]


def test_all_parts_of_a_rotated_log_are_read_and_joined(policy: Policy, tmp_path: Path) -> None:
    log, decision = DecisionLog(tmp_path / "d.jsonl"), policy.decide(TEXT)
    log.write(decision, id="dated")
    log.path.rename(tmp_path / "d.jsonl-20261128")
    log.write(decision, id="second")
    (tmp_path / "d.jsonl.2.gz").write_bytes(gzip.compress(log.path.read_bytes()))
    log.path.unlink()
    log.write(decision, id="first")
    (tmp_path / "d.jsonl.1").write_bytes(log.path.read_bytes())  # as copytruncate does, before it truncates
    log.outcome("second", quality=0.5)
    log.outcome("dated", quality=1.0)
    log.write(decision, id="now")
    (tmp_path / "d.jsonl.bak").write_text("not a part")
    names = ["d.jsonl-20261128", "d.jsonl.2.gz", "d.jsonl.1", "d.jsonl"]
    assert [part.name for part in log_parts(log.path)] == names
    assert [row["id"] for row in read_decisions(log.path)] == ["dated", "second", "first", "now"]
    assert [row["quality"] for row in outcome_rows(log.path)] == [1.0, 0.5]
    log.path.unlink()  # rotated without `create`
    with pytest.warns(RouterLabWarning, match="cannot be read to its end"):
        (tmp_path / "d.jsonl.2.gz").write_bytes((tmp_path / "d.jsonl.2.gz").read_bytes()[:-12])
        list(read_decisions(log.path))
    with pytest.raises(InputError, match="there is no decision log"):
        list(read_decisions(tmp_path / "other.jsonl"))


def test_the_last_decision_of_an_id_counts_and_that_is_said(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.write(policy.decide(TEXT), id="a", suite="one")
    log.write(policy.decide(TEXT), id="a", suite="two")
    with pytest.warns(RouterLabWarning, match="1 decision has the id of an earlier one"):
        assert [row["suite"] for row in read_decisions(log.path)] == ["two"]


@pytest.mark.parametrize("buffer", [0, 100])
def test_a_full_disk_is_a_lost_line_and_leaves_none_torn(
    policy: Policy, tmp_path: Path, buffer: int, room_for: Any
) -> None:
    log, decision = DecisionLog(tmp_path / "d.jsonl", buffer=buffer), policy.decide(TEXT)
    log.write(decision, id="a")
    assert log.flush()
    size = log.path.stat().st_size
    with room_for(size + 20):
        log.write(decision, id="b")
        assert log.flush()
    assert (log.lost, log.dropped) == (1, {"disk": 1}) and log.path.stat().st_size == size
    log.write(decision, id="c")
    assert log.flush()
    assert [row["id"] for row in read_decisions(log.path)] == ["a", "c"]


HOLDER = """
import fcntl, os, signal, sys
handle = open(sys.argv[1], "ab")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no stopping here")
def test_a_stopped_process_that_holds_the_file_holds_no_request(policy: Policy, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        plain_log, buffered = DecisionLog(path), DecisionLog(path, buffer=2)
        for _ in range(3):
            plain_log.write(policy.decide(TEXT))
        for _ in range(9):
            buffered.write(policy.decide(TEXT))
        assert plain_log.dropped == {"held": 3}
        assert set(buffered.dropped) == {"buffer full"} and 5 <= buffered.lost <= 7
        holder.kill()
    assert buffered.flush()
    assert len(path.read_text().splitlines()) == 9 - buffered.lost  # what waited was kept
    plain_log.write(policy.decide(TEXT), id="after")
    assert "after" in [row["id"] for row in read_decisions(path)]


WRITER = """
import sys
from types import SimpleNamespace
from router_lab.runtime.decisions import DecisionLog
log = DecisionLog(sys.argv[1])
number = 0
while True:
    log.outcome(number, quality=1.0)
    if not log.lost:
        print(number, flush=True)
    number += 1
"""


def test_what_was_written_before_kill_9_is_there(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(50)]
        writer.kill()
        said += [int(line) for line in writer.stdout if line.endswith(b"\n")]
    assert {str(n) for n in said} <= {row["id"] for row in read_records(path).rows}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("buffer", [0, 1000])
def test_children_forked_under_load_write_their_own_lines_once(
    policy: Policy, tmp_path: Path, buffer: int
) -> None:
    log, decision = DecisionLog(tmp_path / "d.jsonl", buffer=buffer), policy.decide(TEXT)
    children = []
    for child in range(8):
        log.write(decision, id=f"parent-{child}")
        number = os.fork()
        if number == 0:  # pragma: no cover  # another process
            signal.alarm(20)
            for i in range(20):
                log.write(decision, id=f"{child}-{i}")
            os._exit(0 if log.flush() and not log.lost else 1)
        children.append(number)
    assert [os.waitstatus_to_exitcode(os.waitpid(n, 0)[1]) for n in children] == [0] * 8
    assert log.flush()
    lines = [json.loads(line)["id"] for line in log.path.read_text().splitlines()]
    wanted = [f"{c}-{i}" for c in range(8) for i in range(20)] + [f"parent-{c}" for c in range(8)]
    assert sorted(lines) == sorted(wanted)


def test_masked_fields_never_reach_the_file(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True, mask=("id", "prompt", "suite"))
    number = log.write(policy.decide(TEXT), prompt=TEXT, suite="clinic", id="ann@example.org")
    log.outcome(number, quality=1.0)
    written = log.path.read_text()
    assert not any(word in written for word in ("secret", "clinic", "ann@"))
    assert [row["quality"] for row in outcome_rows(log.path)] == [1.0]

    def fails(row: dict[str, Any]) -> dict[str, Any]:
        raise LookupError

    broken = DecisionLog(tmp_path / "e.jsonl", mask=fails)  # then nothing is written, rather than all of it
    broken.write(policy.decide(TEXT))
    assert broken.dropped == {"row": 1} and not broken.path.exists()
    with pytest.raises(InputError, match="mask names 'promt'; use id, suite"):
        DecisionLog(tmp_path / "f.jsonl", mask=["promt"])
    with pytest.raises(InputError, match="buffer is -1"):
        DecisionLog(tmp_path / "f.jsonl", buffer=-1)


def test_lines_are_bounded_and_say_what_was_cut(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True)
    name = "x" * 1_000_000
    log.outcome(log.write(policy.decide(TEXT), prompt="y" * 3_000_000, id=name), quality=1.0)
    log.outcome(name, latency_s=2.0)
    [row] = read_decisions(log.path)
    assert (len(row["prompt"]), row["prompt_cut"], len(row["id"])) == (PROMPT_CHARS, 3_000_000, 500)
    assert row["outcome"] == {"quality": 1.0, "latency_s": 2.0}


def test_a_prediction_that_is_no_number_is_written_as_unknown(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", clock=lambda: float("nan"))
    log.write(policy.decide(TEXT))
    assert "NaN" not in log.path.read_text() and next(read_decisions(log.path))["time"] is None


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
    assert found["gen_ai.request.reasoning.level"] == found["router_lab.effort"] == "low"
    assert "gen_ai.request.max_tokens" not in found  # the request has none: the limit is the caller's to hold
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
def test_an_id_of_any_type_finds_its_outcome(
    policy: Policy, tmp_path: Path, given: Any, later: Any, kept: str
) -> None:
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
        RouterLabWarning, match="1 outcome belongs to no decision that is logged there, the first to '8'"
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

    path = {"folder": tmp_path / "file" / "d.jsonl", "disk": Path("/dev/full")}.get(
        broken, tmp_path / "d.jsonl"
    )
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
def test_an_object_that_fails_at_everything_is_refused_in_one_way(
    policy: Policy, tmp_path: Path, column: str
) -> None:
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
    with log._changed:  # as a thread holds it that the child does not have
        child = os.fork()
        if child == 0:  # pragma: no cover  # another process
            signal.alarm(10)  # where it waits for ever
            log.write(decision, id="child")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.write(decision, id="parent")
    assert [row["id"] for row in read_decisions(log.path)] == ["child", "parent"]


def test_a_hole_of_gigabytes_ends_the_reading_and_costs_no_line_before_it(
    policy: Policy, tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    log.write(policy.decide("x"), id="1")
    os.truncate(log.path, 5 << 30)
    with pytest.warns(RouterLabWarning, match="64 MiB without an end of line"):
        assert [row["id"] for row in read_decisions(log.path)] == ["1"]


def test_later_stages_belong_to_the_request_that_they_go_on_with(make_spec: Any, tmp_path: Path) -> None:
    """Twice the same line counts once; the row of the outcomes is of who answered last, without what is of both."""
    chain = (Stage(0), Stage(2))
    policy = Policy(make_spec(points={"default": (Cascade((0, 0, 0), 1.0),)}, chains=(chain,)))
    log = DecisionLog(tmp_path / "d.jsonl")
    first, later = policy.decide(TEXT), policy.decide(TEXT).judge(check=False)
    assert later is not None
    went, kept = log.write(first, suite="maths"), log.write(first)
    assert log.write(later, after=went) == log.write(later, after=went) == went
    log.outcome(went, quality=1.0, cost_usd=0.006, input_tokens=7, latency_s=2.0)
    log.outcome(kept, quality=0.5, cost_usd=0.001)
    rows = list(read_decisions(log.path))
    assert [(row["stage"], row["stages"], "then" in row, escalated(row)) for row in rows] == [
        (0, 2, True, True), (0, 2, False, False),
    ]  # fmt: skip
    assert rows[0]["then"] == (Asked("dear", None, "escalated", 0.9, 0.005),)
    one, two = outcome_rows(log.path)
    assert (one["model"], one["sample_id"], one["quality"], one["predicted_cost_usd"]) == (
        "dear",
        went,
        1.0,
        0.005,
    )
    assert not {"cost_usd", "input_tokens", "latency_s"} & set(one)
    assert (two["model"], two["cost_usd"]) == ("cheap", 0.001)


def test_a_fallback_is_no_escalation(policy: Policy, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", mask=["id"])
    number = log.write(policy.decide(TEXT), id="mine")
    log.write(policy.decide(TEXT).next("unavailable"), after=number)
    [row] = read_decisions(log.path)
    assert ([one.code for one in row["then"]], escalated(row), "stage" in row) == (["fallback"], False, False)


@pytest.mark.parametrize("kept", [(4,), (4, 4), (4, 1), (4, 2), (4, 3), (3, 4)], ids=str)
def test_who_answered_last_is_last_whoever_was_asked_before(
    policy: Policy, tmp_path: Path, kept: tuple[int, ...]
) -> None:
    """Fallbacks within one stream went to b, to c, and back to b, then on to d. The log is read beside copies that were
    made when it had fewer of these rows."""
    ticks = itertools.count(1_700_000_000.0)
    log = DecisionLog(tmp_path / "log.jsonl", clock=lambda: next(ticks))
    first = policy.decide("x", suite="easy")
    number = log.write(first)
    for by in "bcbd":
        log.write(first, after=number, by=by)
    assert log.flush()
    head, *later = log.path.read_text().splitlines(keepends=True)
    files = [tmp_path / f"copy-{at}.jsonl" for at in range(len(kept))]
    for file, rows in zip(files, kept, strict=True):
        file.write_text(head + "".join(later[:rows]))
    [row] = read_decisions(files)
    assert [one.model for one in row["then"]] == ["c", "b", "d"]
