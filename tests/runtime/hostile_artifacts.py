"""Forged artifacts as large as a loader might take, with hashes that agree: what each costs, in a process of its own.

python tests/runtime/hostile_artifacts.py KIND FOLDER      loads the forged copy in FOLDER, prints a JSON line
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20


def _filled(piece: bytes, size: int, head: bytes = b"[", tail: bytes = b"0]") -> bytes:
    return head + piece * ((size - len(head) - len(tail)) // len(piece)) + tail


def _npy(size: int) -> bytes:
    header = f"{{'descr': '<u8', 'fortran_order': False, 'shape': ({size // 8},), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(size // 8 * 8)


FORGERIES: dict[str, Callable[[], dict[str, bytes]]] = {
    "policy.json of empty lists": lambda: {"policy.json": _filled(b"[],", 16 * MIB)},
    "policy.json of empty objects": lambda: {"policy.json": _filled(b"{},", 16 * MIB)},
    "policy.json of short texts": lambda: {"policy.json": _filled(b'"ab",', 16 * MIB)},
    "policy.json of floats": lambda: {"policy.json": _filled(b"1.5,", 16 * MIB)},
    "policy.json of keys": lambda: {
        "policy.json": b"{" + b",".join(b'"%x":0' % n for n in range(1_500_000)) + b"}"
    },
    "policy.json with an emoji": lambda: {"policy.json": b'"' + b"a" * (16 * MIB - 20) + b"\\ud83d\\ude00" + b'"'},
    "policy.json of one number": lambda: {"policy.json": b"9" * (16 * MIB)},
    "policy.json 60,000 deep": lambda: {"policy.json": b"[" * 60_000 + b"]" * 60_000},
    "certificate.json of empty lists": lambda: {"certificate.json": _filled(b"[],", 16 * MIB, b'{"a":[', b"0]}")},
    "golden.jsonl of two million lines": lambda: {"golden.jsonl": b"0\n" * (2 * MIB)},
    "golden.jsonl of the right number of huge lines": lambda: {
        "golden.jsonl": (_filled(b"[],", 4 * MIB // 21 - 1) + b"\n") * 21
    },
    "everything at once": lambda: {
        "policy.json": _filled(b"0.5,", 480_000, b'{"a":[', b"0]}"),
        "certificate.json": _filled(b"0.5,", 480_000, b'{"a":[', b"0]}"),
        "golden.jsonl": (_filled(b"0.5,", 20_000) + b"\n") * 21,
        "buckets.npy": _npy(32 * MIB - 128), "groups.npy": _npy(32 * MIB - 128), "weights.npy": _npy(64 * MIB - 128),
    },
    "arrays as large as all may be": lambda: {"groups.npy": _npy(32 * MIB - 128), "weights.npy": _npy(48 * MIB)},
}  # fmt: skip


def forge(folder: Path, files: dict[str, bytes]) -> None:
    """Write `files` over those of the artifact in `folder`, and a manifest that agrees."""
    manifest = json.loads((folder / "MANIFEST.json").read_bytes())
    for name, data in files.items():
        (folder / name).write_bytes(data)
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rows = manifest["files"]
    lines = "".join(f"{rows[name]['sha256']} {rows[name]['size']} {name}\n" for name in sorted(rows))
    manifest["revision"] = hashlib.sha256(lines.encode()).hexdigest()
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n")


def main() -> None:
    from router_lab.runtime.artifact import load_policy
    from router_lab.runtime.errors import PolicyError

    before, start = _peak(), time.process_time()
    refusal = None
    try:
        load_policy(sys.argv[1])
    except PolicyError as error:
        refusal = str(error)
    print(json.dumps({"refusal": refusal, "mb": _peak() - before, "s": time.process_time() - start}))


def _peak() -> float:
    """Most megabytes that this process had in memory. (`ru_maxrss` begins at what its parent had.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
