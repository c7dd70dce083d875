"""The whole recording through Inspect in a fresh log directory: time, samples per second, peak memory; then what the
suites with more than one call a sample cost, turn by turn.

    python tests/bench/recorded.py [--limit N] [SWEEP.yaml]

The sweep runs in a process of its own, started as a user would start it, so that its memory is its own: the peak is
what the kernel counted for it and its children (`ru_maxrss`); the time includes loading, checking and probing requests.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print one line a figure; exits with the sweep's status when it fails."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sweep", nargs="?", default=str(ROOT / "evals" / "sweeps" / "recorded.yaml"))
    options.add_argument("--limit", type=int, help="only the first samples of each suite")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="recorded-") as folder:
        command = [
            str(Path(sys.executable).parent / "router-lab"),
            "sweep",
            given.sweep,
            "--log-dir",
            folder,
            "--quiet",
        ]
        if given.limit:
            command += ["--limit", str(given.limit)]
        start = time.monotonic()
        done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        seconds = time.monotonic() - start
        if done.returncode:
            raise SystemExit(done.returncode)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        samples, calls, size = counted(folder)
        loops = by_turn(folder)
    print(f"samples          {samples:>9,}")
    print(f"generations      {calls:>9,}")
    print(f"time             {seconds:>9.1f} s, of them {used.ru_utime + used.ru_stime:.1f} s CPU")
    print(f"samples/s        {samples / seconds:>9.1f}")
    print(f"peak memory      {used.ru_maxrss / 1024:>9.0f} MB")
    print(f"logs on disk     {size / 1e6:>9.1f} MB")
    print(*loops, sep="\n")


def by_turn(folder: str) -> list[str]:
    """Per candidate of each suite with several calls a sample: quality, dollars per 1,000 samples (mean, median, P95,
    ratio), and the mean dollars per 1,000 calls of the first, second, ... turn among those that came so far."""
    from router_lab.collect import collect
    from router_lab.prices import PriceTable, Tokens

    prices = ROOT / "evals" / "prices.yaml"
    outcomes, calls = collect([folder], prices=prices)
    table, day = PriceTable.load(prices), dt.date(2026, 11, 25)
    several = calls.groupby("suite")["turn"].max().loc[lambda most: most > 1].index
    names = "".join(f"{name:>9}" for name in ("quality", "mean $", "median", "P95", "P95/med"))
    lines = [f"\n{'suite, candidate':38}{names}  $/1k calls of turn 1, 2, …"]
    key = ["suite", "model", "effort"]
    parts = dict(iter(calls.groupby(key)))
    for (suite, model, effort), rows in outcomes[outcomes["suite"].isin(several)].groupby(key):
        mine = parts[suite, model, effort]
        tokens = [Tokens(input=i, output=o) for i, o in zip(mine["input_tokens"], mine["output_tokens"], strict=True)]
        turns = mine.assign(usd=[table.cost(model, one, day) for one in tokens]).groupby("turn")["usd"].mean() * 1000
        usd = rows["cost_usd"] * 1000
        middle, high = usd.median(), usd.quantile(0.95)
        figures = f"{rows['quality'].mean():9.2f}{usd.mean():9.4f}{middle:9.4f}{high:9.4f}{high / middle:9.1f}"
        lines.append(
            f"{suite}, {model} @ {effort}".ljust(38) + figures + "  " + " ".join(f"{value:.3f}" for value in turns)
        )
    return lines


def counted(folder: str) -> tuple[int, int, int]:
    """Finished samples, their model calls and the bytes of their logs, read from the logs themselves."""
    sys.path.insert(0, str(ROOT))
    from router_lab.providers.evallog import RawLog, find_logs, model_events

    samples = calls = size = 0
    for path in find_logs([folder]):
        size += path.stat().st_size
        for sample in RawLog(path).samples():
            samples += sample.get("error") is None
            calls += sum(1 for event in model_events(dict(sample)) if not event.get("role"))
    return samples, calls, size


if __name__ == "__main__":
    main()
