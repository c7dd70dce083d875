"""The whole recording through Inspect in a fresh log directory: time, samples per second, peak memory.

    python tests/bench/recorded.py [--limit N] [SWEEP.yaml]

The sweep runs in a process of its own, started as a user would start it, so that its memory is its own: the peak is
what the kernel counted for it and its children (`ru_maxrss`); the time includes loading, checking and probing requests.
"""

from __future__ import annotations

import argparse
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
    print(f"samples          {samples:>9,}")
    print(f"generations      {calls:>9,}")
    print(f"time             {seconds:>9.1f} s, of them {used.ru_utime + used.ru_stime:.1f} s CPU")
    print(f"samples/s        {samples / seconds:>9.1f}")
    print(f"peak memory      {used.ru_maxrss / 1024:>9.0f} MB")
    print(f"logs on disk     {size / 1e6:>9.1f} MB")


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
