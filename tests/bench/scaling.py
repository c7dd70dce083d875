"""`make bench-scaling`: seconds and memory of every command from a table to a report, at three sizes.

Tables of 100,000, 1,000,000 and 10,000,000 outcomes are made up (prompts of 20 words of a vocabulary of
20,000, ten candidates, seven suites, rows in the order of a sweep and not of ours) and written as Parquet
files that no command of ours has written. collect, fit, replay, gate and report then run on each as users
run them, in a process of their own. Of each step: seconds, CPU seconds, and the most memory that it held.

    .venv/bin/python tests/bench/scaling.py --sizes 100000 1000000 --folder /tmp/scaling

--sizes: numbers of outcomes; --folder: where tables stay, and are found again; else they are removed. The
largest of the three wants 8 GiB of memory and some 20 minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CANDIDATES, SUITES, WORDS, VOCABULARY = 10, 7, 20, 20_000
AT_ONCE = 10_000
"""Prompts that are made up at a time."""
STEPS = ("collect", "fit", "replay", "gate", "report")
ANSWERS = {"gate": (0, 3, 4)}
"""Exit statuses that are answers: a gate may fail, or be inconclusive."""
RECIPE = """name: scaling
rule: {margin: 0.02}
gates:
  - {metric: quality, against: reference, margin: 0.03, confidence: 0.90}
  - {metric: savings, min: 0.0}
"""


class Taken(NamedTuple):
    """Of one step: seconds, CPU seconds of all its threads, and GiB of resident memory at most."""

    seconds: float
    cpu: float
    gib: float

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s ({self.cpu:.0f} CPU), {self.gib:.2f} GiB"


def write_table(path: Path, outcomes: int) -> None:
    """A table of so many outcomes, written part by part."""
    rng = np.random.default_rng(0)
    letters = [chr(97 + place) for place in range(17)]
    words = np.array(["".join(letters[n // 17**k % 17] for k in range(4)) for n in range(VOCABULARY)])
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    writer: pq.ParquetWriter | None = None
    for start in range(0, outcomes // CANDIDATES, AT_ONCE):
        prompts = np.arange(start, min(start + AT_ONCE, outcomes // CANDIDATES))
        drawn = rng.choice(words, (len(prompts), WORDS - 1), p=frequency / frequency.sum())
        hard = rng.normal(size=len(prompts))
        texts = [" ".join(row) + (" prove" if h > 0 else " add") for row, h in zip(drawn, hard, strict=True)]
        table = part(rng, prompts, texts, hard)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def part(
    rng: np.random.Generator, prompts: np.ndarray[tuple[int], np.dtype[np.int64]], texts: list[str],
    hard: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> pa.Table:  # fmt: skip
    """The rows of some prompts: a dearer candidate is better, and all are worse at what is hard."""
    sample, column = (
        np.repeat(np.arange(len(prompts)), CANDIDATES),
        np.tile(np.arange(CANDIDATES), len(prompts)),
    )
    dear = column / CANDIDATES * 2
    right = rng.random(len(sample)) < 1 / (1 + np.exp(-(dear - hard[sample])))
    return pa.table({
        "suite": [f"suite-{prompts[i] % SUITES}" for i in sample], "sample_id": [f"s{prompts[i]:07d}" for i in sample],
        "model": [f"m{j:02d}" for j in column], "prompt": [texts[i] for i in sample], "quality": right.astype(float),
        "cost_usd": 10.0 ** (dear - 3) * rng.uniform(0.5, 1.5, len(sample)),
    })  # fmt: skip


def walk(folder: Path, outcomes: int) -> list[Taken]:
    """What each step took on a table of so many outcomes; files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    table, ours, policies = folder / "table.parquet", folder / "outcomes.parquet", folder / "policies"
    if not table.exists():
        write_table(table, outcomes)
    (folder / "recipe.yaml").write_text(RECIPE)
    taken = []
    for step in STEPS:
        policy = (
            str(max(policies.glob("*"), key=lambda one: one.stat().st_mtime)) if step in STEPS[2:] else ""
        )
        asked = {
            "collect": [str(table), "--out", str(ours)],
            "fit": [str(folder / "recipe.yaml"), "--outcomes", str(ours), "--out", str(policies)],
            "replay": [policy, "--outcomes", str(ours)],
            "gate": [policy, "--outcomes", str(ours)],
            "report": [str(ours), policy, "--html", str(folder / "report.html")],
        }[step]
        taken.append(measured(step, asked, folder / f"{step}.log"))
        print(f"{outcomes:>12,}  {step:8} {taken[-1]}", file=sys.stderr, flush=True)
    return taken


def measured(step: str, asked: list[str], log: Path) -> Taken:
    """One command in a process of its own; what it says goes to `log`."""
    start = time.perf_counter()
    with log.open("wb") as said:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("router-lab"), step, *asked], stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in ANSWERS.get(step, (0,)):
        raise SystemExit(f"{step} ended with {code}:\n{log.read_text()[-2000:]}")
    size = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return Taken(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / size)


def told(sizes: list[int], found: list[list[Taken]]) -> list[str]:
    """The table: a row for each step, and for all of them; then by how much CPU seconds grow."""
    total = [
        Taken(sum(t.seconds for t in one), sum(t.cpu for t in one), max(t.gib for t in one)) for one in found
    ]
    rows = [[step, *(str(one[place]) for one in found)] for place, step in enumerate(STEPS)]
    rows.append(["all", *map(str, total)])
    head = ["step", *(f"{size:,} outcomes" for size in sizes)]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    pairs = list(zip(sizes, sizes[1:], total, total[1:], strict=False))
    grown = []
    for small, big, less, more in pairs:
        power = math.log(more.cpu / less.cpu) / math.log(big / small)
        grown.append(f"{more.cpu / less.cpu:.1f} × CPU for {big / small:g} × rows (power {power:.2f})")
    return [*lines, *(["", "; ".join(grown)] if grown else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder: Path = asked.folder or Path(passing)
        found = [walk(folder / str(size), size) for size in asked.sizes]
    print(*told(asked.sizes, found), sep="\n")


if __name__ == "__main__":
    main()
