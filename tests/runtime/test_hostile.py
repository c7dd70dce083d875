"""What a forged artifact may cost before it is refused: memory is measured, and work is counted; never time."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime import jsonio
from router_lab.runtime.artifact import LARGEST, LARGEST_TOTAL, _golden, encode_policy, load_policy, save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("hostile_artifacts", HERE / "hostile_artifacts.py")
assert _spec is not None and _spec.loader is not None
forged = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(forged)


@pytest.mark.parametrize("kind", forged.FORGERIES)
def test_a_forged_artifact_costs_under_200_mb(kind: str, make_spec: Any, tmp_path: Path) -> None:
    folder = save_policy(Policy(make_spec()), tmp_path / "p")
    forged.forge(folder, forged.FORGERIES[kind]())
    command = [sys.executable, str(HERE / "hostile_artifacts.py"), str(folder)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said["refusal"], "it was loaded"
    assert said["mb"] < 200


TEXTS: dict[str, bytes] = {
    "lists": b"[" + b"[]," * 20_000 + b"0]",
    "objects": b"[" + b"{}," * 20_000 + b"0]",
    "nested": b"[" + b",".join([b"[" * 30 + b"]" * 30] * 1_000) + b"]",
    "objects of one": b"[" + b'{"a":1},' * 10_000 + b"0]",
    "numbers": b"[" + b",".join(b"%d" % (300 + n) for n in range(10_000)) + b"]",
    "floats": b"[" + b"1.5," * 20_000 + b"0]",
    "short texts": b"[" + b",".join(b'"%x"' % n for n in range(10_000)) + b"]",
    "keys": b"{" + b",".join(b'"%x":0' % n for n in range(10_000)) + b"}",
    "long keys": b"{" + b",".join(b'"%060x":[]' % n for n in range(2_000)) + b"}",
    "text": b'"' + b"a" * 100_000 + b'"',
    "one emoji": b'"' + b"a" * 100_000 + b'\\ud83d\\ude00"',
    "raw emoji": ('"' + "a" * 100_000 + "\U0001f600" + '"').encode(),
    "escapes": b'"' + b"\\u65e5" * 20_000 + b'"',
    "quotes": b'["' + b'\\"' * 50_000 + b'"]',
    "a backslash at a text's end": b"[" + b'"\\\\",[],' * 10_000 + b"0]",
    "emoji in each": b"[" + b",".join(f'"{n:x}\U0001f600"'.encode() for n in range(5_000)) + b"]",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_parsing_takes_is_never_more_than_was_reckoned(kind: str) -> None:
    data = TEXTS[kind]
    tracemalloc.start()
    jsonio.loads(data, kind, 10**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= jsonio.memory(data, 10**12) <= 12 * peak


def test_beyond_the_bound_nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    real = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **more: parsed.append(len(text)) or real(text, **more))
    with pytest.raises(PolicyError, match=r"x: would take some .* MB of memory once parsed, and a loader allows 32"):
        jsonio.loads(b"[" + b"[]," * 2_000_000 + b"0]", "x")
    assert parsed == []
    # 21 cases are built in; none of two million lines is parsed to find that out.
    with pytest.raises(PolicyError, match=r"golden.jsonl: 2000000 cases, not the 21 that are built in"):
        _golden(b"0\n" * 2_000_000)
    assert parsed == []


def test_depth_is_bounded() -> None:
    jsonio.loads(b"[" * 64 + b"]" * 64, "x")
    with pytest.raises(PolicyError, match="x: nested too deeply, beyond 64 levels"):
        jsonio.loads(b"[" * 66 + b"]" * 66, "x")


def test_what_no_loader_takes_is_not_saved(make_spec: Any, tmp_path: Path) -> None:
    certificate = {"rows": [[] for _ in range(200_000)]}
    with pytest.raises(PolicyError, match=r"certificate.json: would take some"):
        save_policy(Policy(make_spec(certificate=certificate)), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_large_honest_policy_is_far_within_the_bounds(make_spec: Any, tmp_path: Path) -> None:
    """Twice what the largest sweep so far had: 40 points, 300 suites with a row each, a long certificate."""
    spec = make_spec()
    suites = tuple(f"suite-{n:03}" for n in range(300))
    big = make_spec(
        suites=tuple(sorted(suites)),
        routes=dict.fromkeys(suites, spec.routes["triage"]),
        points={"default": spec.points["default"], **{f"p{n}": spec.points["never"] for n in range(40)}},
        linear=_for_suites(spec.linear, len(suites)),
        limits=(),
        certificate={"verdict": "pass", "suites": [{"suite": suite, "n": 100, "low": 0.1} for suite in suites]},
    )
    folder = save_policy(Policy(big), tmp_path / "p")
    assert load_policy(folder).spec.suites == tuple(sorted(suites))
    for name, data in encode_policy(Policy(big)).items():
        assert len(data) * 8 < LARGEST[name]
        assert name.endswith(".npy") or jsonio.memory(data, 10**12) * 8 < jsonio.MOST
    assert sum(map(len, encode_policy(Policy(big)).values())) * 8 < LARGEST_TOTAL


def _for_suites(linear: Any, count: int) -> Any:
    return dataclasses.replace(linear, bias=np.repeat(linear.bias[:1], count + 1, axis=0))
