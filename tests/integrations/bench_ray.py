"""`python tests/integrations/bench_ray.py`: a sweep on two machines of which one dies, and then who began it.

20,000 samples of a model that answers at once and counts what it is asked (`--samples`), beside one process with a tenth of
them. Both machines are raylets here, with one CPU each, so that two cores are the most that can be gained. Their logs
are at an address of a server that speaks S3; one process writes into a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from router_lab.places.store import Store
from router_lab.sweep import prepare
from tests.integrations.counted import (
    asked_of,
    begin,
    counted_sweep,
    dollars_of,
    finished_in,
    kept_in,
    quiet,
    quiet_ray,
    swapped,
    two_machines,
    wait_for,
)
from tests.integrations.stored import s3_server

SAMPLE_USD = 0.005
BUCKET = "swept"


def sweep_of(folder: Path, samples: int) -> Path:
    """Two candidates over half as many samples, with a budget that every sample's limit fits into."""
    budget = {"budget_usd": 1.2 * samples * SAMPLE_USD, "limits": {"usd": SAMPLE_USD}}
    return counted_sweep(folder, samples // 2, **budget, wave=samples, max_connections=10)


def first_answer(folder: Path) -> float:
    """When (seconds) the sweep's model was first asked."""
    with (folder / "asked.jsonl").open() as lines:
        return float(json.loads(next(lines))[-1])


def one_process(folder: Path, samples: int) -> float:
    """Samples a second, from the first question to the last answer."""
    process = begin(sweep_of(folder, samples), folder / "logs")
    _, told = process.communicate()
    assert process.returncode == 0, told
    return samples / (asked_of(folder).last - first_answer(folder))


def killed_twice(folder: Path, samples: int) -> dict[str, Any]:
    """What a sweep on two machines came to, whose logs are at an address of `s3_server`."""
    file, address = sweep_of(folder, samples), f"s3://{BUCKET}/logs"

    def asked() -> int:
        return (
            (folder / "asked.jsonl").read_bytes().count(b"asked") if (folder / "asked.jsonl").exists() else 0
        )

    with two_machines() as machines:
        os.environ["RAY_ADDRESS"] = machines.address
        process = begin(file, address, "--engine", "ray")
        wait_for(lambda: asked() >= samples // 10, process, 0.5)
        begun, at = time.time(), asked()
        wait_for(lambda: asked() >= samples // 2, process, 0.5)
        pace = (asked() - at) / (time.time() - begun)
        swapped(machines)
        wait_for(lambda: asked() >= 3 * samples // 4, process, 0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        quiet(folder)
        before, plan, logs = asked_of(folder), prepare(file), kept_in(folder / "shared")
        finished = finished_in(logs, plan)
        again = time.time()
        process = begin(file, address, "--engine", "ray")
        out, told = process.communicate()
        assert process.returncode == 0, told
    after, said = asked_of(folder), json.loads(out)
    there, dollars = Store(address).entries(), dollars_of(logs, plan, after)
    return {
        "logs at the address": f"{sum(name.endswith('.eval') for name in there)}, "
            f"{sum(one.size for one in there.values()) / 2**20:.1f} MiB",
        "samples": f"{said['needed']:,}, of which {said['reused']:,} were kept after the kills",
        "samples a second, both machines alive": f"{pace:.0f}",
        "seconds from the second start to the end": f"{time.time() - again:.0f}",
        "calls made": f"{sum(after.asked.values()):,}",
        "finished samples that were asked again": f"{sum(after.asked[key] > before.asked[key] for key in finished)}",
        "calls in flight at a death, made again": f"{sum(after.asked.values()) - said['needed']}",
        "dollars: answered / set aside for calls in flight / budget":
            f"{dollars.answered:.4f} / {dollars.reserved:.4f} / {plan.budget_usd:.2f}",
        "dollars that the model's own count comes to": f"{dollars.bill:.4f}",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--beside", type=int, help="Of one process; default: a tenth.")
    parser.add_argument("--folder", type=Path, help="Where it is run; default: one that is removed.")
    asked = parser.parse_args()
    quiet_ray(os.environ.__setitem__)
    os.environ["COUNTED_SECONDS"] = "0"
    with tempfile.TemporaryDirectory() as passing:
        folder = asked.folder or Path(passing)
        alone = one_process(folder / "one", asked.beside or asked.samples // 10)
        print(f"{'one process, samples a second':60} {alone:.0f}", flush=True)
        os.environ["ROUTER_LAB_PLACES"] = str(folder / "two/shared")
        with s3_server(os.environ.__setitem__, BUCKET):
            for name, value in killed_twice(folder / "two", asked.samples).items():
                print(f"{name:60} {value}", flush=True)


if __name__ == "__main__":
    main()
