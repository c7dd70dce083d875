"""`make bench-hostile`: a million random and hostile texts; `decide` returns a known candidate each time. And forged
artifacts, with what each costs to refuse.

python tests/bench/hostile.py [COUNT] [SEED]
"""

from __future__ import annotations

import collections
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.policy import Policy

PIECES = [
    "", " ", "\x00", "\n", "\r\n", "\t", "\ud800", "\udfff", "\udbff\udfff", "\ufeff", "\u202e", "\u2066", "\u200b",
    "\u0301", "א", "ب", "日本", "한국어", "🙂", "👩\u200d👧", "\U0010ffff", "\uffff", "ß", "İ", "ſ", "ﬀ",
    "a" * 100, "1" * 40, "%s%n", "{{}}", "${x}", "<script>", "'; --", "\\x00", "../..", "NaN", "-0", "1e999",
    "null", "system:", "tool_result", "```", "$$", "—", "…",
]  # fmt: skip
RANGES = [
    (0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF), (0xD800, 0xDFFF), (0x4E00, 0x9FFF),
    (0x590, 0x6FF),
]  # fmt: skip


def text(rng: random.Random) -> str:
    """One hostile text: pieces, random characters of one script or of all, sometimes repeated to a megabyte."""
    style = rng.random()
    if style < 0.4:
        made = "".join(rng.choices(PIECES, k=rng.randint(0, 30)))
    elif style < 0.8:
        low, high = rng.choice(RANGES)
        made = "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(0, 40)))
    else:
        made = rng.randbytes(rng.randint(0, 60)).decode(
            rng.choice(["latin-1", "utf-8", "utf-16-le"]), "replace"
        )
    if rng.random() < 0.05:
        made *= rng.randint(1, 200)
    if made and rng.random() < 0.0005:
        made *= 1_000_000 // len(made)
    return made


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    policy = random_policy()
    known = set(policy.candidates)
    codes: collections.Counter[str] = collections.Counter()
    characters, spent = 0, 0.0
    suites = (None, "a", "b", "unknown")
    for number in range(count):
        made = text(rng)
        start = time.thread_time()
        asked: Any = made if number % 3 else [{"role": "user", "content": made}]
        decision = policy.decide(asked, suite=suites[number % 4])
        spent += time.thread_time() - start
        assert decision.candidate in known, repr(made[:200])
        assert 0 <= decision.quality <= 1, repr(made[:200])
        codes[decision.code] += 1
        characters += len(made)
    print(
        f"{count:,} texts, {characters:,} characters: a known candidate each time ({dict(codes.most_common())})"
    )
    print(f"{1e6 * spent / count:.1f} µs CPU a decision")

    tried = 0

    @settings(max_examples=5_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.text(st.characters(exclude_categories=()), max_size=500))
    def every(made: str) -> None:
        nonlocal tried
        tried += 1
        assert policy.decide(made).candidate in known

    every()
    print(f"{tried:,} texts by hypothesis: a known candidate each time")
    forged(policy)


def forged(policy: Policy) -> None:
    """Peak memory and CPU of loading each artifact of tests/runtime/forged.py, which may not have more than 200 MB."""
    program = Path(__file__).parent.parent / "runtime" / "forged.py"
    with tempfile.TemporaryDirectory() as folder:
        path = save_policy(policy, Path(folder) / "policy")
        command = [sys.executable, str(program), str(path)]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    print("\n".join(["", *lines]))
    figures = [re.search(r"(-?[\d.]+) MB +(\d+) ms", line) for line in lines]
    peak, slowest = (max(float(found[part]) for found in figures if found) for part in (1, 2))
    print(
        f"\n{len(lines)} forged artifacts: at most {peak:.0f} MB (promised: 200) and {slowest:.0f} ms CPU (1,000)"
    )


def random_policy() -> Policy:
    conftest = Path(__file__).parent.parent / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("runtime_conftest", conftest)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Policy(module.random_spec())


if __name__ == "__main__":
    main()
