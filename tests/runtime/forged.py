"""Artifacts whose every hash agrees and whose content is an attack; run as a program, it loads them all.

    python forged.py FOLDER [MB]      a line for each: name, peak resident MB above the start, CPU ms, what was said

Memory beyond MB (200) above the start cannot be had, and then fails the program. Standard library and numpy alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from router_lab.runtime import npy
from router_lab.runtime.artifact import LARGEST, PARSED, PARTS, load_policy, revision_of
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.jsonio import memory

EMOJI = b"\\ud83d\\ude00"
UNITS = {
    "empty lists": b"[],", "empty objects": b"{},", "lists": b"[7],", "objects": b'{"a":1.5},', "floats": b"1.5,",
    "numbers": b"300,", "texts": b'"ab",', "wide texts": b'"\xc4\x81",', "escaped texts": b'"\\u0101",',
    "quotes": b'"\\"",', "backslashes": b'"\\\\",', "nested lists": b"[[[[[[[[]]]]]]]],",
    "lists of lists": b"[[1,2,3]],",
}  # fmt: skip
"""What a list of millions of them makes of a file."""


def forge(artifact: Path, files: dict[str, bytes]) -> None:
    """Replace files and make the manifest agree with them, as somebody who can write the directory would."""
    for name, data in files.items():
        (artifact / name).write_bytes(data)
    every = {part: (artifact / part).read_bytes() for part in PARTS}
    entries = {
        part: {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)} for part, raw in every.items()
    }
    manifest = {"format": "router-lab policy", "files": entries, "revision": revision_of(every)}
    (artifact / "MANIFEST.json").write_text(json.dumps(manifest))


def full(unit: bytes, size: int, start: bytes = b"[", end: bytes = b"0]") -> bytes:
    """`unit` repeated to `size` bytes."""
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


def attacks(policy: dict[str, Any]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(name, files to replace); `policy` is the policy.json of the artifact that is spoilt."""
    for name in ("policy.json", "certificate.json"):
        size, most = LARGEST[name], PARSED[name]
        for what, unit in UNITS.items():  # as many as pass the bound on memory, and as many as fit the file
            ratio = memory(full(unit, 1 << 16), 10**9) / (1 << 16)
            if name == "policy.json" or what == "nested lists":
                yield (
                    f"{name}: {what}, all that pass",
                    {name: full(unit, min(size, int(0.99 * most / ratio)))},
                )
            if what in ("empty lists", "quotes", "texts"):
                yield f"{name}: {what}", {name: full(unit, size)}
        for what, data in texts(size):
            yield f"{name}: {what}", {name: data}
    golden = LARGEST["golden.jsonl"]
    yield "golden.jsonl: lines", {"golden.jsonl": b"1\n" * (golden // 2)}
    yield "golden.jsonl: empty lines", {"golden.jsonl": b"\n" * golden}
    yield "golden.jsonl: returns", {"golden.jsonl": b"1\r" * (golden // 2)}
    yield "golden.jsonl: long lines", {"golden.jsonl": (full(b"[],", golden // 21 - 1) + b"\n") * 21}
    for what, change in changes(policy):
        yield f"policy.json: {what}", {"policy.json": json.dumps(policy | change).encode()}
    weights = npy.dump(np.zeros((1, (LARGEST["weights.npy"] - 128)), np.int8))
    yield "weights.npy: full", {"weights.npy": weights}
    rest = {
        "buckets.npy": npy.dump(np.arange(1 << 22, dtype="<u4")),
        "groups.npy": npy.dump(np.arange(1 << 21)),
    }
    yield (
        "every file full",
        {"weights.npy": weights, **rest, "policy.json": full(b"a", LARGEST["policy.json"], b'"')},
    )


def texts(size: int) -> Iterator[tuple[str, bytes]]:
    """(name, JSON of up to `size` bytes) that no list of small pieces makes."""
    yield "one wide text", full(b"a", size, b'["' + EMOJI, b'"]')
    yield "a wide text that passes", full(b"a", size // 3, b'["' + EMOJI, b'"]')
    yield "one wide text in UTF-8", full(b"a", size, '["😀'.encode(), b'"]')
    yield "an open text", full(b'\\"', size, b'["', b"")
    yield "depth", full(b"[", size, b"", b"")
    yield "depth 900", b'{"provenance":' * 900 + b"0" + b"}" * 900
    yield "digits", full(b"9", size, b"", b"")
    yield "digits of a fraction", full(b"0", size, b"0.", b"1")
    yield "keys", b"{" + b",".join(b'"%x":1.5' % n for n in range(size // 13)) + b"}"


def changes(policy: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Valid JSON of another policy, with more of something than anybody needs."""
    first, *others = policy["candidates"]
    many = {f"t{n}": 1.0 for n in range(100_000)}
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"suites": {"a": deep}}
    yield "tiers", {"candidates": [first | {"tier_seconds": many}, *others]}
    yield (
        "priced tiers",
        {"candidates": [first | {"prices": {"input": 1, "output": 1, "tiers": many}}, *others]},
    )
    yield "suites in suites", {"candidates": [first | {"request": deep}, *others]}
    yield "a window without end", {"candidates": [first | {"context_window": 10**400}, *others]}
    yield "fallbacks", {"fallbacks": list(range(300_000))}
    yield "escalation", {"escalation": [0] * 300_000}
    yield "points", {"points": policy["points"] | {f"p{n}": [1, 1, 1] for n in range(60_000)}}
    several = {"schema_version": 3}
    yield "pieces", several | {"points": {"half": [{"share": 0.5, "table": [0]}] * 60_000}}
    yield "a table without end", several | {"points": {"half": [{"share": 0.5, "table": [0] * 400_000}]}}
    yield (
        "points of pieces",
        several | {"points": {f"p{n}": [{"share": 1, "table": [0]}] for n in range(60_000)}},
    )
    yield from ((name, change | {"schema_version": 4}) for name, change in chained())
    yield from (
        (
            name,
            {"schema_version": 5, "points": {"half": [{"share": 0.5, "table": [0] * 3}]}, "candidates": rows},
        )
        for name, rows in teams(first, others)
    )
    yield "routes", {"routes": {f"s{n}": [0, "pass"] for n in range(60_000)}}
    yield "suites", {"suites": [f"s{n:07}" for n in range(200_000)]}
    yield "a format of megabytes", {"format": "x" * 10**7}
    yield "a version of megabytes", {"schema_version": "x" * 10**7}
    yield "a name of megabytes", {"name": "x" * 10**7}


def teams(first: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Candidates of which one is a team, or has a harness, with more of something than anybody needs."""
    role = first | {"limits": [None, None, None], "share": None}

    def with_roles(roles: dict[str, Any]) -> list[dict[str, Any]]:
        return [first | {"roles": roles}, *others]

    yield "roles", with_roles({f"r{n}": role for n in range(20_000)})
    yield (
        "every candidate a team",
        [row | {"roles": {f"r{n}": role for n in range(16)}} for row in [first, *others] * 200],
    )
    deep: dict[str, Any] = role
    for _ in range(40):
        deep = role | {"roles": {"a": deep}}
    yield "roles in roles", with_roles({"a": deep})
    yield "a role's name of megabytes", with_roles({"x" * 10**6: role})
    yield "a role's share", with_roles({"a": role | {"share": 10**400}})
    yield (
        "tiers of a role",
        with_roles({"a": role | {"tier_seconds": {f"t{n}": 1.0 for n in range(100_000)}}}),
    )
    for name, settings in (
        ("tools", {"tools": ["a"] * 400_000}),
        ("policies", {"context": {f"p{n}": 1 for n in range(100_000)}}),
        ("settings", {f"s{n}": 1 for n in range(100_000)}),
        ("rounds", {"context": {"last": 10**400}}),
        ("arguments", {"task_args": {f"a{n}": 1 for n in range(100_000)}}),
    ):
        yield f"{name} of a harness", [first | {"harness": "h", "harness_settings": settings}, *others]


def chained() -> Iterator[tuple[str, dict[str, Any]]]:
    """Chains of columns 0, 1 and 4 with judges of their own, with one of the largest, and more than may be."""
    last = {"column": 4, "cap_usd": None, "judge": None}
    small = {"signals": [], "bias": [[0.5, 0.5]] * 3, "terms": []}
    points = {"points": {"half": [{"share": 1, "tradeoff": 1, "chains": [0, 0, 0]}]}}

    def stage(column: int, judge: int | None) -> dict[str, Any]:
        return last | {"column": column, "judge": judge}

    def term(source: str, rows: int) -> dict[str, Any]:
        return {"source": source, "knots": list(range(32)), "heights": [[[0.25] * 32] * 2] * rows}

    first, second = ({"later": later, **small} for later in ([1, 4], [4]))
    second["bias"] = [[0.5]] * 3
    several = [[stage(0, 2 * n), stage(1, 2 * n + 1), last] for n in range(4096)]
    yield "judges", points | {"chains": several, "judges": [first, second] * 4096}
    every = first | {"terms": [term("agrees", 3)] * 128}
    yield (
        "one judge of all",
        points | {"chains": [[stage(0, 0), stage(1, None), last]] * 4096, "judges": [every]},
    )
    yield (
        "heights",
        points | {"chains": several[:1], "judges": [first | {"terms": [term("agrees", 6_000)]}, second]},
    )
    yield "terms", points | {"chains": several[:1], "judges": [first | {"terms": [{}] * 200_000}, second]}
    yield (
        "signals",
        points | {"chains": several[:1], "judges": [first | {"signals": ["a"] * 400_000}, second]},
    )
    yield "chains", points | {"chains": [[stage(4, None)]] * 100_000, "judges": []}
    yield "stages", points | {"chains": [[last] * 100_000], "judges": []}
    yield "chains named without end", {
        "chains": [[last]], "judges": [], "points": {"half": [{"share": 1, "tradeoff": 1, "chains": [0] * 400_000}]},
    }  # fmt: skip


def peak_mb() -> float:
    """Most resident memory since `forget`, in MB; 0 where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) * 1024 / 1e6 for line in text.splitlines() if line.startswith("VmHWM")), 0.0
    )


def forget() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def attempt(folder: Path) -> str:
    """What is said of the artifact; only a PolicyError of moderate length is allowed, or a policy that decides."""
    try:
        load_policy(folder).decide("hello", context_tokens=10)
    except PolicyError as error:
        assert len(str(error)) < 1_500, f"an error of {len(str(error))} characters"
        return str(error)
    return "loaded"


def main() -> None:
    folder, most = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 200.0
    clean = {part: (folder / part).read_bytes() for part in PARTS}
    limited = sys.platform == "linux"
    for name, files in attacks(json.loads(clean["policy.json"])):
        forge(folder, clean | files)
        del files
        forget()
        start, before = peak_mb(), time.process_time()
        if limited:
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (int(mapped + most * 1e6), resource.RLIM_INFINITY))
        said = attempt(folder)
        spent = 1000 * (time.process_time() - before)
        if limited:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(
            f"{name:45.45s} {peak_mb() - start:8.1f} MB {spent:8.0f} ms  {said.removeprefix(str(folder))[:70]!r}"
        )


if __name__ == "__main__":
    main()
