"""Kill a 400-request sweep at random moments and run it again: what was needed, sent and paid twice.

    python tests/bench/resume.py [--moments 20] [--seed 0]

Each moment is tried with Inspect's user data directory kept and with a fresh one (a container that lost its home).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback

NEEDED = 400
ROUTER_LAB = str(Path(sys.executable).with_name("router-lab"))


def main() -> None:
    """Print one line a moment and the worst of all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--moments", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    draw = random.Random(given.seed)
    print(
        f"{'killed at':>10} {'data dir':>9} {'needed':>7} {'sent':>6} {'in flight':>10} {'paid twice':>11} {'lost':>5}"
    )
    worst = 0
    for _ in range(given.moments):
        at = draw.randint(5, NEEDED - 20)
        for keep in (True, False):
            sent, flying, twice = one_kill(at, keep)
            worst = max(worst, twice - flying)
            home = "kept" if keep else "fresh"
            print(f"{at:>10} {home:>9} {NEEDED:>7} {sent:>6} {flying:>10} {twice:>11} {twice - flying:>5}", flush=True)
    print(f"finished samples lost and paid for again, at worst: {max(0, worst)}")


def one_kill(at: int, keep: bool) -> tuple[int, int, int]:
    """(requests sent, in flight at the kill, sent more than once) for a kill after `at` requests."""
    folder = Path(tempfile.mkdtemp(prefix="resume-"))
    with Loopback(delay=0.05) as server:
        models = [{"model": f"openai-api/local/{name}", "base_url": server.url, "max_connections": 4} for name in "ab"]
        suites = {"echo": {"task": "tasks.py@echo", "args": {"n": NEEDED // 2}}}
        prices = {model["model"]: price(1, 2) for model in models}
        file = write_project(folder, {"models": models}, suites, prices=prices)
        command = [ROUTER_LAB, "sweep", str(file), "--log-dir", str(folder / "logs"), "--quiet"]
        environment = {**os.environ, "LOCAL_API_KEY": "x", "XDG_DATA_HOME": str(folder / "data")}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(server.requests) < at and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        flying = len(server.requests) - recorded_before_the_kill(folder)
        if not keep:
            environment["XDG_DATA_HOME"] = str(folder / "fresh")
        subprocess.run(command, env=environment, check=True, capture_output=True)
        sent, twice = len(server.requests), sum(count - 1 for count in server.prompts().values())
        assert len(server.prompts()) == NEEDED, "every sample was asked for"
    shutil.rmtree(folder)
    return sent, flying, twice


def recorded_before_the_kill(folder: Path) -> int:
    """Answers that had reached the sweep: lines of its ledger."""
    ledger = folder / "logs/ledger.jsonl"
    return sum('"call"' in line for line in ledger.read_text().splitlines()) if ledger.exists() else 0


if __name__ == "__main__":
    main()
