"""`make bench-fuzz`: 20,000 mutations of a signed artifact, each refused with PolicyError naming a file, in under a
second and 200 MB, or deciding exactly as the original does.

Mutations that also forge MANIFEST.json are loaded with verify="signature": whoever can rewrite every hash can make
another valid artifact, and only a signature tells. They are loaded with verify="hash" too, where they may not crash.

    python tests/bench/fuzz.py [COUNT] [SEED]
"""

from __future__ import annotations

import collections
import hashlib
import importlib.util
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router_lab.runtime.artifact import MANIFEST, PARTS, load_policy, revision_of, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.keys import keygen
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import Assign, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import RELEASE, Release, build_release
from router_lab.runtime.store import PolicyStore

NAMES = (*PARTS, MANIFEST, RELEASE)
FILE = re.compile("|".join(map(re.escape, NAMES)))
TEXTS = ["", "hello", "What is 12 × 7? " * 9, "日本語 text", "a b c d e f g", "x" * 5000]
ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, -0.0, 1e308, 5e-324, "", "x", "\x00", "../../etc/passwd", [], {}, [[]],
    [None] * 9, {"": ""}, "9" * 300, [0] * 1000,
]  # fmt: skip
LITERALS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"9" * 4400,
    b"[" * 3000,
    b'{"a":1,"a":1}',
]


class Case:
    """One mutated copy of the folder of releases; `artifact` is the revision in it."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        [self.artifact] = [entry for entry in folder.iterdir() if entry.is_dir()]
        self.forged = False

    def path(self, name: str) -> Path:
        return (self.folder if name == RELEASE else self.artifact) / name

    def forge(self) -> None:
        """Make MANIFEST.json agree with the files as they are now."""
        files = {name: self.path(name).read_bytes() for name in PARTS}
        entries = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in files.items()
        }
        manifest = {"format": "router-lab policy", "files": entries, "revision": revision_of(files)}
        self.path(MANIFEST).write_text(json.dumps(manifest))
        self.forged = True


def bit_flips(case: Case) -> None:
    path = case.path(case.rng.choice(NAMES))
    data = bytearray(path.read_bytes())
    for _ in range(case.rng.choice([1, 1, 1, 2, 8, 64])):
        data[case.rng.randrange(len(data))] ^= 1 << case.rng.randrange(8)
    path.write_bytes(data)


def truncation(case: Case) -> None:
    path = case.path(case.rng.choice(NAMES))
    data = path.read_bytes()
    path.write_bytes(data[: case.rng.randrange(len(data))])


def extension(case: Case) -> None:
    path = case.path(case.rng.choice(NAMES))
    path.write_bytes(path.read_bytes() + case.rng.randbytes(case.rng.choice([1, 10, 1000, 100_000])))


def swapped_files(case: Case) -> None:
    one, two = (case.path(name) for name in case.rng.sample(NAMES, 2))
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def deletion(case: Case) -> None:
    case.path(case.rng.choice(NAMES)).unlink()


def symlinks(case: Case) -> None:
    path = case.path(case.rng.choice(NAMES))
    target = case.rng.choice(
        [Path("/etc/passwd"), Path("/dev/zero"), path.with_name("real"), Path("loop"), Path("/")]
    )
    if target.name == "real":
        path.rename(target)
    else:
        path.unlink()
    path.symlink_to(path if target.name == "loop" else target)


def special_files(case: Case) -> None:
    path = case.path(case.rng.choice([*PARTS, MANIFEST]))
    path.unlink()
    if case.rng.random() < 0.5:
        os.mkfifo(path)
    else:
        path.mkdir()


def huge_headers(case: Case) -> None:
    name = case.rng.choice([part for part in PARTS if part.endswith(".npy")])
    kind = case.rng.choice(["|i1", "<u4", "<u8", "|O", "<f8", "|V9999999", "<i1"])
    shape = case.rng.choice(
        [
            "(9999999999,)",
            "(1, 9999999999)",
            "(4000000000, 1000)",
            "(0, 0)",
            "(-1,)",
            "()",
            "(1,)",
            "(2**40,)",
        ]
    )
    header = f"{{'descr': '{kind}', 'fortran_order': {case.rng.choice(['False', 'True'])}, 'shape': {shape}, }}".encode()
    length = case.rng.choice([len(header) + 1, 65535, 0, len(header)])
    version = case.rng.choice([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\xff\xff"])
    case.path(name).write_bytes(
        b"\x93NUMPY" + version + length.to_bytes(2, "little") + header + b"\n" + case.rng.randbytes(99)
    )
    case.forge()


def path_traversal(case: Case) -> None:
    evil = case.rng.choice(
        ["../../../etc/passwd", "/etc/passwd", "a/b", "..", "", "\x00", "policy.json/../x", "C:\\x"]
    )
    if case.rng.random() < 0.5:
        value = json.loads(case.path(MANIFEST).read_bytes())
        name = case.rng.choice(PARTS)
        value["files"][evil] = value["files"].pop(name) if case.rng.random() < 0.5 else value["files"][name]
        case.path(MANIFEST).write_text(json.dumps(value))
    else:
        value = json.loads(case.path(RELEASE).read_bytes())
        value["release"]["revision"] = evil
        case.path(RELEASE).write_text(json.dumps(value))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values within a JSON value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [at, *(place for key in keys for place in places(value[key], (*at, key)))]


def odd_values(case: Case) -> None:
    """Any value of any JSON file replaced, removed or added; usually with hashes to match."""
    name = case.rng.choice(["policy.json"] * 4 + ["certificate.json", MANIFEST, RELEASE])
    value = json.loads(case.path(name).read_bytes())
    place = case.rng.choice([place for place in places(value) if place])
    parent = value
    for key in place[:-1]:
        parent = parent[key]
    action = case.rng.choice(["replace", "replace", "remove", "add"])
    if action == "replace":
        parent[place[-1]] = case.rng.choice(ODD)
    elif action == "remove":
        del parent[place[-1]]
    elif isinstance(parent, dict):
        parent[case.rng.choice(["extra", "__class__", ""])] = case.rng.choice(ODD)
    else:
        parent.append(case.rng.choice(ODD))
    case.path(name).write_text(json.dumps(value))
    if name in PARTS:
        case.forge()


def odd_literals(case: Case) -> None:
    """NaN, infinities, endless digits and nesting where a number stood."""
    name = case.rng.choice(
        ["policy.json", "policy.json", "certificate.json", "golden.jsonl", MANIFEST, RELEASE]
    )
    data = case.path(name).read_bytes()
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?(e-?\d+)?", data))
    if numbers:
        hit = case.rng.choice(numbers)
        data = data[: hit.start()] + case.rng.choice(LITERALS) + data[hit.end() :]
    else:
        data = case.rng.choice(LITERALS)
    case.path(name).write_bytes(data)
    if name in PARTS:
        case.forge()


def forged_weights(case: Case) -> None:
    """Numbers changed and every hash made to agree."""
    name = case.rng.choice(["weights.npy", "buckets.npy", "groups.npy", "golden.jsonl"])
    data = bytearray(case.path(name).read_bytes())
    start = 128 if name.endswith(".npy") and len(data) > 128 else 0
    for _ in range(case.rng.choice([1, 10, 1000])):
        data[case.rng.randrange(start, len(data)) if len(data) > start else 0] ^= case.rng.randrange(1, 256)
    case.path(name).write_bytes(data)
    case.forge()


def stripped_signature(case: Case) -> None:
    value = json.loads(case.path(RELEASE).read_bytes())
    value["signature"] = case.rng.choice([None, "", "AAAA", value["signature"][::-1], [], 0, "A" * 88])
    case.path(RELEASE).write_text(json.dumps(value))
    case.forged = True


def wrong_key(case: Case) -> None:
    release = json.loads(case.path(RELEASE).read_bytes())["release"]
    case.path(RELEASE).write_bytes(build_release(Release(**release), STRANGER))
    case.forged = True


def added_files(case: Case) -> None:
    name = case.rng.choice(["hook.py", "weights.pkl", ".hidden", "sitecustomize.py", "policy.json.bak"])
    (case.artifact / name).write_bytes(case.rng.randbytes(30))


MUTATIONS: list[Callable[[Case], None]] = [
    bit_flips, bit_flips, truncation, extension, swapped_files, deletion, symlinks, special_files, huge_headers,
    path_traversal, odd_values, odd_values, odd_literals, forged_weights, stripped_signature, wrong_key, added_files,
]  # fmt: skip
STRANGER, _ = keygen()


def original(folder: Path) -> tuple[bytes, str]:
    """A signed artifact in `folder`; the keys."""
    conftest = Path(__file__).parent.parent / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("runtime_conftest", conftest)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    private, public = keygen()
    points = {
        "half": (Follow(5.0, 0.02, 0.3), Assign((4, 1, 2), 0.25), Follow(30.0, 0.0, 0.2)),
        "cheap": (Assign((0, 1, 2), 0.5),),
    }
    certificate = {"margin": 0.03, "n": 500, "looks": [1, 2]}
    policy = Policy(module.random_spec(certificate=certificate, expires="2999-01-01", points=points))
    revision = load_policy(save_revision(policy, folder)).revision
    assert revision is not None
    (folder / RELEASE).write_bytes(
        build_release(Release("random", "champion", 7, revision, None, "pass"), private)
    )
    return private, public


def judge(case: Case, public: str, decisions: list[Any]) -> str:
    """What came of the mutated case; AssertionError if it is not allowed."""
    outcomes = []
    for verify in ("signature",) if case.forged else ("hash", "signature"):
        start = time.process_time()
        try:
            policy = load_policy(case.folder, public_key=public if verify == "signature" else None)
        except PolicyError as error:
            assert FILE.search(str(error)) or str(case.folder) in str(error), f"names no file: {error}"
            outcomes.append("refused")
        else:
            same = [policy.decide(text).to_dict() for text in TEXTS] == decisions
            assert same, "loaded, and decides otherwise"
            outcomes.append("same decisions")
        assert time.process_time() - start < 1, "took over a second"
    if case.forged:
        try:  # unsigned loading may believe a consistent forgery, but must survive it
            load_policy(case.artifact).decide("hello")
            outcomes.append("another valid policy" if case.forged else "")
        except PolicyError:
            pass
    return " / ".join(outcomes)


def older_release(folder: Path, state: Path, private: bytes, public: str, rounds: int) -> int:
    """How many of older releases, rightly signed, a store refuses that accepted release 7."""
    store = PolicyStore(folder, default=Candidate("d"), state=state, verify="signature", public_key=public)
    assert store.check()
    data = (folder / RELEASE).read_bytes()
    refused = 0
    for number in range(rounds):
        row = json.loads(data)["release"] | {"number": 1 + number % 6}
        (folder / RELEASE).write_bytes(build_release(Release(**row), private))
        refused += not store.check()
    (folder / RELEASE).write_bytes(data)
    return refused


def large_forgeries() -> str:
    """What the largest forgeries cost, a line each (tests/runtime/forged.py, in a process of its own)."""
    program = Path(__file__).parent.parent / "runtime" / "forged.py"
    with tempfile.TemporaryDirectory() as scratch:
        original(Path(scratch) / "clean")
        [folder] = [entry for entry in (Path(scratch) / "clean").iterdir() if entry.is_dir()]
        shutil.copytree(folder, Path(scratch) / "alone")
        command = [sys.executable, str(program), str(Path(scratch) / "alone")]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    tally: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    slowest = 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        clean, work = Path(scratch) / "clean", Path(scratch) / "work"
        private, public = original(clean)
        decisions = [load_policy(clean).decide(text).to_dict() for text in TEXTS]
        # 200 MB above what is mapped now: an allocation beyond that fails, and with it the run.
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 200 * 10**6, resource.RLIM_INFINITY))
        for number in range(count):
            shutil.copytree(clean, work)
            case = Case(work, rng)
            mutation = rng.choice(MUTATIONS)
            mutation(case)
            start = time.process_time()
            try:
                tally[mutation.__name__][judge(case, public, decisions)] += 1
            except BaseException:
                kept = Path(tempfile.mkdtemp()) / "case"
                shutil.copytree(work, kept, symlinks=True)
                print(f"mutation {number} ({mutation.__name__}) failed; kept in {kept}", file=sys.stderr)
                raise
            slowest = max(slowest, time.process_time() - start)
            shutil.rmtree(work)
        older = older_release(clean, Path(scratch) / "state", private, public, 100)
    print(f"{count} mutations: none loaded with other decisions, none failed otherwise")
    print(f"slowest {1000 * slowest:.0f} ms CPU")
    print(f"rightly signed older releases refused by a store: {older} of 100")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the whole process {peak:.0f} MiB, allocations limited to 200 MB above its start\n")
    print(large_forgeries())
    for name, counter in sorted(tally.items()):
        print(f"  {name:20s} " + ", ".join(f"{outcome}: {times}" for outcome, times in counter.most_common()))


if __name__ == "__main__":
    main()
