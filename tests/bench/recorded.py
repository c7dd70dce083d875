"""The whole recording through Inspect in a fresh log directory: time, samples per second, peak memory, beside Inspect
alone on the same tasks; then what the suites with more than one call a sample cost, turn by turn.

    python tests/bench/recorded.py [--limit N] [--pairs N] [SWEEP.yaml]

Each run has a process of its own, started as a user would start it, so that its memory is its own: the peak is what
the kernel counted for it and its children (`ru_maxrss`); the time includes loading, checking and probing requests.
Inspect alone is `eval_set` on the same task and model objects, once set as the sweep sets it and once by its defaults;
the sides of a pair run in turn, so that whatever else the machine does hits them alike.
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


SIDES = ("sweep", "bare, set as the sweep", "bare, Inspect's defaults")


def main() -> None:
    """Print one line a figure; exits with the sweep's status when it fails."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sweep", nargs="?", default=str(ROOT / "evals" / "sweeps" / "recorded.yaml"))
    options.add_argument("--limit", type=int, help="only the first samples of each suite")
    options.add_argument("--pairs", type=int, default=1, help="times that each side runs")
    options.add_argument("--side", choices=SIDES[1:], help=argparse.SUPPRESS)
    options.add_argument("--log-dir", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.side:
        bare(given.sweep, given.limit, given.log_dir, defaults=given.side == SIDES[2])
        return
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="recorded-") as folder:
        for pair in range(given.pairs):
            for side in SIDES if pair % 2 == 0 else SIDES[::-1]:
                times[side].append(run(side, given.sweep, given.limit, f"{folder}/{side}-{pair}"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        samples, calls, size = counted(f"{folder}/sweep-0")
        loops = by_turn(f"{folder}/sweep-0")
    seconds, cpu = (sum(column) / given.pairs for column in zip(*times["sweep"], strict=True))
    print(f"samples          {samples:>9,}")
    print(f"generations      {calls:>9,}")
    print(f"time             {seconds:>9.1f} s, of them {cpu:.1f} s CPU")
    print(f"samples/s        {samples / seconds:>9.1f}")
    print(f"peak memory      {peak / 1024:>9.0f} MB (the greatest of all sides)")
    print(f"logs on disk     {size / 1e6:>9.1f} MB")
    for side in SIDES[1:]:
        took, used = (sum(column) / given.pairs for column in zip(*times[side], strict=True))
        print(
            f"{side:26} {took:.1f} s, {used:.1f} s CPU: the sweep {seconds / took - 1:+.1%}, {cpu / used - 1:+.1%} CPU"
        )
    print(*loops, sep="\n")


def run(side: str, sweep: str, limit: int | None, folder: str) -> tuple[float, float]:
    """(seconds, CPU seconds) of one side in a process of its own."""
    if side == SIDES[0]:
        command = [str(Path(sys.executable).parent / "router-lab"), "sweep", sweep, "--quiet"]
    else:
        command = [sys.executable, __file__, sweep, "--side", side]
    command += ["--log-dir", folder, *(["--limit", str(limit)] if limit else [])]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.returncode)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bare(sweep: str, limit: int | None, folder: str, *, defaults: bool) -> None:
    """Inspect alone on the tasks of `sweep`."""
    from inspect_ai import eval_set

    from router_lab.sweep import prepare
    from router_lab.sweep.evalset import ALWAYS, at_once

    tasks = [task for _, task in prepare(sweep, limit=limit).tasks]
    settings = {"display": "none"} if defaults else {**at_once(tasks), **ALWAYS}
    eval_set(tasks, model=None, log_dir=folder, limit=limit, **settings)


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
        tokens = [
            Tokens(input=i, output=o)
            for i, o in zip(mine["input_tokens"], mine["output_tokens"], strict=True)
        ]
        turns = (
            mine.assign(usd=[table.cost(str(model), one, day) for one in tokens])
            .groupby("turn")["usd"]
            .mean()
            * 1000
        )
        usd = rows["cost_usd"] * 1000
        middle, high = usd.median(), usd.quantile(0.95)
        figures = (
            f"{rows['quality'].mean():9.2f}{usd.mean():9.4f}{middle:9.4f}{high:9.4f}{high / middle:9.1f}"
        )
        lines.append(
            f"{suite}, {model} @ {effort}".ljust(38)
            + figures
            + "  "
            + " ".join(f"{value:.3f}" for value in turns)
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
