"""What a forged artifact can cost: bounded before anything is parsed, by one set of limits for loading and saving."""

from __future__ import annotations

import contextlib
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

from router_lab.runtime import artifact as artifacts
from router_lab.runtime import jsonio
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, Limits, Prices, Profile, Route
from router_lab.runtime.points import Assign
from router_lab.runtime.policy import Policy
from router_lab.runtime.vectors import VectorScale

HERE = Path(__file__).parent
_FOUND = importlib.util.spec_from_file_location("forged", HERE / "forged.py")
assert _FOUND is not None and _FOUND.loader is not None
forged = importlib.util.module_from_spec(_FOUND)
_FOUND.loader.exec_module(forged)
EMOJI, UNITS, forge, full, texts = forged.EMOJI, forged.UNITS, forged.forge, forged.full, forged.texts


def test_no_forged_artifact_takes_more_than_200_mb_or_ends_in_anything_but_a_policy_error(
    artifact: Path,
) -> None:
    """Each in a process that cannot have more: 430 MiB for 16 MiB of `[],` before they were counted."""
    command = [sys.executable, str(HERE / "forged.py"), str(artifact), "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) > 50
    assert not [line for line in lines if "'loaded'" in line and "certificate" not in line]


@pytest.mark.parametrize("what", [*UNITS, *(name for name, _ in texts(200)), "wide keys", "records"])
def test_the_bound_is_at_least_what_parsing_takes(what: str) -> None:
    size = 60_000
    made = {name: full(unit, size) for name, unit in UNITS.items()} | dict(texts(size))
    made["wide keys"] = b"{" + ",".join(f'"ā{n}":"ā"' for n in range(4_000)).encode() + b"}"
    made["records"] = full(b'{"a":1.5,"b":300,"c":[1,2],"d":"x","e":null},', size)
    bound = jsonio.memory(made[what], 10**9)
    tracemalloc.start()
    with contextlib.suppress(PolicyError):
        jsonio.loads(made[what], "x", 10**9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= bound


def test_texts_are_not_counted_for_structure() -> None:
    """A few-shot example full of braces costs its characters and no more: 4 KiB, and each of them 1 + 7/4 times."""
    text = json.dumps({"a": '[{,:"\\[{,:' * 1000}).encode()
    assert jsonio.memory(text, 10**9) == 4096 + len(text) + len(text) * 7 // 4 + 100 + 120
    assert jsonio.loads(text, "x") == {"a": '[{,:"\\[{,:' * 1000}
    wide = b'["' + EMOJI + b'"]'
    assert jsonio.memory(wide, 10**9) == 4096 + 16 + 16 * 4 * 7 // 4 + 100


@pytest.mark.parametrize(
    "data", [b"1\n" * (1 << 21), b"\n" * (1 << 22), b"1\n" * 20, b"", b"1\r" * (1 << 21)]
)
def test_golden_lines_are_counted_before_one_is_parsed(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """As counted work, for no clock is to be trusted: it was two million parses and 7.5 s."""
    forge(artifact, {"golden.jsonl": data})
    parsed: list[str] = []
    loads = jsonio.loads
    monkeypatch.setattr(
        jsonio, "loads", lambda data, name, *most: parsed.append(name) or loads(data, name, *most)
    )
    with pytest.raises(PolicyError, match=r"golden\.jsonl: \d+ lines, not the 21 cases"):
        load_policy(artifact)
    assert parsed == ["MANIFEST.json", "certificate.json", "policy.json"]


def test_golden_cases_are_parsed_one_at_a_time_and_the_first_that_differs_ends_it(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (artifact / "golden.jsonl").read_bytes().splitlines(keepends=True)
    decided: list[Any] = []
    decide = Policy.decide
    monkeypatch.setattr(Policy, "decide", lambda self, *a, **k: decided.append(1) or decide(self, *a, **k))
    load_policy(artifact)
    assert len(decided) == 21
    forge(artifact, {"golden.jsonl": b"".join([lines[0], full(b"[],", 1 << 17) + b"\n", *lines[2:]])})
    with pytest.raises(PolicyError, match=r"golden\.jsonl: may take \d+ MB of memory once parsed"):
        load_policy(artifact)
    assert len(decided) == 22


def test_save_refuses_what_load_would_refuse(make_spec: Any, tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    for number, (change, said) in enumerate([
        ({"certificate": {"x": deep}}, "certificate.json: nested too deeply, beyond 64 levels"),
        ({"provenance": {"x": [[]] * 400_000}}, r"policy.json: may take 91 MB of memory once parsed, .* allows 64"),
        ({"certificate": {"x": "y" * (1 << 22)}}, "certificate.json: 419\\d+ bytes are more than the 4194304"),
        ({"certificate": {"x": "🙂" + "y" * 3_000_000}}, "certificate.json: may take 24 MB"),
    ]):  # fmt: skip
        with pytest.raises(PolicyError, match=said):
            save_policy(Policy(make_spec(**change)), tmp_path / str(number))
        assert not (tmp_path / str(number)).exists()


def test_files_are_bounded_together(artifact: Path, make_spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum((artifact / name).stat().st_size for name in artifacts.PARTS)
    monkeypatch.setattr(artifacts, "LARGEST_IN_ALL", size - 1)
    with pytest.raises(PolicyError, match=f"its files have {size} bytes, more than the {size - 1}"):
        load_policy(artifact)
    policy = load_policy_of(size, artifact, monkeypatch)
    monkeypatch.setattr(artifacts, "LARGEST_IN_ALL", size - 1)
    with pytest.raises(PolicyError, match=f"its files have {size} bytes"):
        artifacts.encode_policy(policy)


def load_policy_of(size: int, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    monkeypatch.setattr(artifacts, "LARGEST_IN_ALL", size)
    return load_policy(artifact)


def big(make_random: Any, candidates: int, suites: int) -> Policy:
    """As rich a policy as this many make: prices, limits, requests with examples, vectors, full golden cases."""
    random = np.random.default_rng(0)
    names = tuple(f"suite-{n:04}" for n in range(suites))
    content = {
        "messages": [
            {"role": "system", "content": "Be brief. 🙂 " * 10},
            {"role": "user", "content": "<<router-lab:question>>"},
        ]
    }
    own = {"api": "openai_chat", "arguments": {"model": "m", "temperature": 0.0}, "content": content}
    profiles = tuple(
        Profile(
            Candidate(f"provider/model-{n:03}", "high"), own | {"suites": dict.fromkeys(names[:50], own)},
            Prices(1.25, 10.0, 0.125, tiers={"batch": 0.5, "flex": 0.5}), 200_000, 64_000, "a" * 64, {"standard": 9.25},
        )
        for n in range(candidates)
    )  # fmt: skip
    linear = Linear.quantised(
        seen=np.arange(1 << 10), weights=random.normal(size=(1 << 10, 2 * candidates)),
        bias=random.random((suites + 1, 2 * candidates)), dense=random.normal(size=(13, 2 * candidates)),
        cost_bounds=np.array([[0.0] * candidates, [1.0] * candidates]),
        standard=VectorScale(random.random(4096), np.ones(4096)),
    )  # fmt: skip
    return Policy(
        dataclasses.replace(
            make_random(columns=2), profiles=profiles, reference=0, suites=names, linear=linear,
            fallbacks=tuple(range(candidates)),
            limits=((Limits(1_000, 12, 0.123456789),) * candidates,) * (suites + 1),
            routes={name: Route(0, "pass") for name in names}, eligible=np.ones((suites + 1, candidates), bool),
            points={"half": (Assign((0,) * (suites + 1), 0.0625),) * 16},
            certificate={"rows": [{"suite": name, "quality": 0.123456789, "low": 0.1, "n": 100} for name in names]},
        )
    )  # fmt: skip


@pytest.mark.parametrize(("candidates", "suites"), [(24, 50), (12, 1_000)])
def test_what_real_policies_need_is_far_within_the_bounds(
    make_random: Any, candidates: int, suites: int, tmp_path: Path
) -> None:
    policy = big(make_random, candidates, suites)
    path = save_policy(policy, tmp_path / "big")
    for name, most in artifacts.PARSED.items():
        assert jsonio.memory((path / name).read_bytes(), 10**9) < most / 2
    again = load_policy(path)
    assert again.decide("hello", vector=[0.5] * 4096).to_dict() | {"revision": ""} == (
        policy.decide("hello", vector=[0.5] * 4096).to_dict() | {"revision": ""}
    )


def test_a_folder_of_many_strange_files_is_refused_at_the_first(artifact: Path) -> None:
    for number in range(50):
        (artifact / f"extra-{number}").touch()
    with pytest.raises(PolicyError, match=r"extra-\d+: not a file of an artifact"):
        load_policy(artifact)
