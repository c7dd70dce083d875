"""Kill a race at random moments and run it again: are its decisions those of the race that nobody killed?

python tests/bench/race_resume.py [--moments 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.loopback import Loopback
from tests.servers.race_grid import decisions, race_servers

ROUTER_LAB = str(Path(sys.executable).with_name("router-lab"))
SAMPLES = 60


def main() -> None:
    """One line a moment; exit 1 if any decision differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--moments", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    draw = random.Random(given.seed)
    whole, sent, _ = run(None)
    print(f"not killed: {len(whole) - 1} waves, {sent} requests of {3 * SAMPLES}")
    print(f"{'killed at':>10}{'waves then':>12}{'requests':>10}{'again':>7}  decisions", flush=True)
    differing = 0
    for _ in range(given.moments):
        at = draw.randint(3, sent - 2)
        looks, requests, waves = run(at)
        differing += looks != whole
        word = "the same" if looks == whole else "DIFFERENT"
        print(f"{at:>10}{waves:>12}{requests:>10}{requests - sent:>7}  {word}", flush=True)
    print(f"{given.moments - differing} of {given.moments} the same")
    sys.exit(int(differing > 0))


def run(kill_at: int | None) -> tuple[list[object], int, int]:
    """(every line of race.jsonl, requests sent, waves decided at the kill) of a race in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="race-") as name:
        folder = Path(name)
        with race_servers(folder, SAMPLES, 0.05, race={"margin": 0.05}) as (file, servers):
            command = [ROUTER_LAB, "sweep", str(file), "--race", "--log-dir", str(folder / "logs"), "--quiet"]
            environment = {**os.environ, "LOCAL_API_KEY": "x", "XDG_DATA_HOME": str(folder / "data")}
            waves = 0
            if kill_at is not None:
                process = subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                while count(servers) < kill_at and process.poll() is None:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
                process.wait()
                assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
                waves = len(decisions(folder / "logs")) - 1
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return decisions(folder / "logs"), count(servers), waves


def count(servers: list[Loopback]) -> int:
    """Requests of all servers."""
    return sum(len(server.requests) for server in servers)


if __name__ == "__main__":
    main()
