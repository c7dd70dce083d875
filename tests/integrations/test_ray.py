"""`sweep --engine ray` on a cluster of two machines (two raylets here), one of which dies, and then who began it."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
import fsspec
from ray.cluster_utils import Cluster

from router_lab.collect import collect
from router_lab.runtime.locks import LOCK
from router_lab.sweep import prepare
from tests.integrations.counted import (
    MODELS,
    USD,
    asked_of,
    begin,
    counted_sweep,
    dollars_of,
    finished_in,
    kept_in,
    quiet,
    quiet_ray,
    swapped,
    two_machines,
    wait_for,
)
from tests.integrations.stored import s3_server

LOGS = "s3://swept/logs"
SAMPLES = 200
AT_ONCE = 5
"""Calls of one machine."""
BUDGET = {"budget_usd": 3.0, "limits": {"usd": 0.005}, "wave": SAMPLES, "max_connections": AT_ONCE}
"""Of 400 calls, each at most half a cent: the budget is never what ends a wave here."""


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    quiet_ray(monkeypatch.setenv)
    monkeypatch.setenv("COUNTED_SECONDS", "0.2")
    with two_machines() as running:
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        yield running


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setenv("ROUTER_LAB_PLACES", str(tmp_path / "shared"))
    with s3_server(monkeypatch.setenv, "swept") as files:
        yield files


def ended(process: Any) -> dict[str, Any]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.timeout(3600)
def test_a_machine_dies_then_who_began_it_and_nothing_finished_is_paid_twice(
    s3: fsspec.AbstractFileSystem, machines: Cluster, tmp_path: Path
) -> None:
    """The logs are at an address; the folder that is kept in step with it is one that all machines see."""
    file = counted_sweep(tmp_path, SAMPLES, **BUDGET)
    process = begin(file, LOGS, "--engine", "ray")
    wait_for(lambda: sum(asked_of(tmp_path).asked.values()) >= 60, process)
    swapped(machines)
    wait_for(lambda: sum(asked_of(tmp_path).asked.values()) >= 200, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    quiet(tmp_path)

    before, plan = asked_of(tmp_path), prepare(file)
    logs = kept_in(tmp_path / "shared")
    finished = finished_in(logs, plan)
    assert len(finished) >= 200 - 3 * 2 * AT_ONCE
    again = ended(begin(file, LOGS, "--engine", "ray"))
    assert (again["needed"], again["reused"], again["failed"]) == (400, len(finished), 0)
    assert again["answered"] == 400 - len(finished)
    after = asked_of(tmp_path)
    assert len(after.asked) == 400
    assert {key: after.asked[key] for key in finished} == {key: before.asked[key] for key in finished}
    # Asked twice is what was in flight when a machine, or the driver, died: two machines, then two again.
    assert sum(after.asked.values()) - 400 <= 3 * 2 * AT_ONCE

    dollars = dollars_of(logs, plan, after)
    lines = [json.loads(line) for line in (logs / "ledger.jsonl").read_text().splitlines()]
    opened = {line["open"]: line["usd"] for line in lines if "open" in line}
    answered = Counter(line["model"] for line in lines if "model" in line)
    lost = opened.keys() - {line["call"] for line in lines if "call" in line}
    assert len(opened) >= sum(after.asked.values())  # each was written down before it was made
    exact = sum(answered[name] * USD[name] for name in MODELS)
    assert dollars.answered == pytest.approx(exact)
    assert dollars.reserved == pytest.approx(sum(opened[name] for name in lost))
    assert again["spent_usd"] == pytest.approx(dollars.answered + dollars.reserved)
    assert dollars.bill <= dollars.answered + dollars.reserved <= 3.0

    outcomes, calls = collect([LOGS], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == len(calls) == 400 and set(outcomes["status"]) == {"ok"}
    assert outcomes["paid_usd"].sum() == pytest.approx(200 * sum(USD.values()))
    assert json.loads((logs / "sweep.json").read_text())["engine"] == "ray"

    mine = {str(one.relative_to(logs)): one.stat().st_size for one in logs.rglob("*") if one.is_file()}
    assert {name.removeprefix("swept/logs/"): s3.size(name) for name in s3.find("swept/logs")} == {
        name: size for name, size in mine.items() if not name.endswith(LOCK)
    }
    settled = asked_of(tmp_path)
    third = ended(begin(file, LOGS, "--engine", "ray"))
    assert (third["reused"], third["generated"], asked_of(tmp_path)) == (400, 0, settled)
    alone = begin(file, LOGS)
    assert "as `--engine ray` writes them" in alone.communicate()[1] and alone.returncode == 1


@pytest.mark.timeout(3600)
def test_ctrl_c_keeps_what_was_finished_and_a_run_of_one_process_is_gone_on_from(
    machines: Cluster, tmp_path: Path
) -> None:
    file, logs = counted_sweep(tmp_path, 60, max_connections=AT_ONCE), tmp_path / "logs"
    assert ended(begin(file, logs, "--limit", "10"))["answered"] == 20
    process = begin(file, logs, "--engine", "ray")
    wait_for(lambda: sum(asked_of(tmp_path).asked.values()) >= 50, process)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130 and "what was finished is kept" in told
    again = ended(begin(file, logs, "--engine", "ray"))
    assert again["reused"] >= 50 - 2 * AT_ONCE and again["reused"] + again["answered"] == 120
    outcomes, _ = collect([logs], prices=tmp_path / "prices.yaml")
    assert len(outcomes) == 120 and set(outcomes["status"]) == {"ok"}


@pytest.mark.timeout(3600)
def test_a_race_decides_as_in_one_process(machines: Cluster, tmp_path: Path) -> None:
    """Of three candidates one is always wrong."""
    told = []
    for engine in ("local", "ray"):
        race = {"race": {"margin": 0.1, "control_share": 0.2}, "wave": 20}
        file = counted_sweep(tmp_path / engine, 60, ("counted/a", "counted/b", "counted/poor"), **race)
        told.append(ended(begin(file, tmp_path / engine / "logs", "--race", "--engine", engine)))
    alone, together = told
    assert alone["race"] == together["race"] and alone["spared"] == together["spared"] > 0
    assert together["answered"] == 180 - together["spared"]
    assert max(asked_of(tmp_path / "ray").asked.values()) == 1
    one, other = (
        collect([tmp_path / engine / "logs"], prices=tmp_path / engine / "prices.yaml")[0]
        for engine in ("local", "ray")
    )
    keys = ["model", "sample_id", "status", "quality", "cost_usd", "inclusion"]
    one, other = (frame[keys].sort_values(keys[:2], ignore_index=True) for frame in (one, other))
    assert one.equals(other)
