"""Publishing: only behind a passed gate or with a trace, and back again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab import load_policy
from router_lab.publish import HISTORY, current_release, history, publish, rollback
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import InputError
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def save(folder: Path, guard: float, name: str = "support") -> Path:
    linear = Linear.quantised(
        seen=np.arange(8), weights=np.zeros((8, 4)), bias=np.array([[0.5, 0.6, 0.001, 0.01]]),
        dense=np.zeros((len(DENSE), 4)), cost_bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
    )  # fmt: skip
    spec = PolicySpec(
        name=name, profiles=(Profile(Candidate("cheap")), Profile(Candidate("dear"))), reference=1, suites=(),
        featuriser=Featuriser(buckets=1 << 8), linear=linear, points={"default": (Follow(1.0, guard, 1.0),)},
        point="default", coverage=0.5, routes={}, fallbacks=(1, 0), certificate={"verdict": "pass"},
    )  # fmt: skip
    return save_revision(Policy(spec), folder)


def gate(path: Path, verdict: str = "pass") -> dict[str, Any]:
    return {"revision": load_policy(path).revision, "verdict": verdict}


def test_publish_and_rollback(tmp_path: Path) -> None:
    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    publish(first, gate=gate(first), now=NOW, by="me")
    assert load_policy(tmp_path).revision == load_policy(first).revision
    done = publish(second, gate=gate(second), now=NOW)
    assert (done.release.number, done.release.verdict) == (2, "pass")
    assert done.release.parent == load_policy(first).revision
    assert load_policy(tmp_path).revision == load_policy(second).revision
    back = rollback(tmp_path, now=NOW)
    assert back.release.number == 3 and load_policy(tmp_path).revision == load_policy(first).revision
    assert [e["action"] for e in history(tmp_path)] == ["publish", "publish", "rollback"]
    assert history(tmp_path)[0]["at"] == "2026-11-22T12:00:00+00:00" and history(tmp_path)[0]["by"] == "me"


@pytest.mark.parametrize("verdict", [None, "fail", "inconclusive"])
def test_without_a_passed_gate_only_by_force_and_with_a_trace(tmp_path: Path, verdict: str | None) -> None:
    path = save(tmp_path, 0.1)
    found = None if verdict is None else gate(path, verdict)
    with pytest.raises(InputError, match="--force, which leaves a trace"):
        publish(path, gate=found)
    assert current_release(tmp_path) is None and not (tmp_path / HISTORY).exists()
    done = publish(path, gate=found, force=True)
    assert done.entry["forced"] and history(tmp_path)[0]["forced"] is True
    assert done.release.verdict == (verdict or "inconclusive")


def test_a_gate_of_another_revision_does_not_count(tmp_path: Path) -> None:
    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    with pytest.raises(InputError, match="run it again"):
        publish(second, gate=gate(first))


def test_what_cannot_be_published_says_why(tmp_path: Path) -> None:
    path = save(tmp_path, 0.1)
    with pytest.raises(InputError, match=f"name one of its revisions: {path.name}"):
        publish(tmp_path, force=True)
    with pytest.raises(
        InputError, match=f"nothing is published .*; publish another revision: .* publish {path} --gate"
    ):
        rollback(tmp_path)
    publish(path, force=True)
    with pytest.raises(
        InputError, match=r"release 1 is the first, .*; fit another revision .* and `router-lab publish`"
    ):
        rollback(tmp_path)
    other = save(tmp_path, 0.2)
    with pytest.raises(
        InputError, match=f"publish another revision: router-lab publish {other} --gate gate.json"
    ):
        rollback(tmp_path)
    with pytest.raises(InputError, match="one policy and one alias"):
        publish(path, alias="canary", force=True)
    with pytest.raises(InputError, match="one policy and one alias"):
        publish(save(tmp_path, 0.1, "other"), force=True)


def test_a_damaged_parent_is_not_put_back(tmp_path: Path) -> None:
    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    publish(first, gate=gate(first))
    publish(second, gate=gate(second))
    (first / "policy.json").write_bytes(b"{}")
    with pytest.raises(Exception, match=r"policy\.json"):
        rollback(tmp_path)
    assert load_policy(tmp_path).revision == load_policy(second).revision
