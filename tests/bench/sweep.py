"""CPU that `sweep` adds to each sample over bare `inspect_ai.eval_set`, in pairs, set-up excluded.

    python tests/bench/sweep.py [--samples 10000] [--pairs 5]

Set-up is measured by a run of the same grid with one sample, and taken off. Both sides run in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes


@task
def many(n: int = 1):
    return Task(dataset=[Sample(id=f"s{i}", input=f"say {i}", target=str(i)) for i in range(n)], scorer=includes())
"""


def main() -> None:
    """Print CPU milliseconds per sample of both, pair by pair, and the median of the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=10_000)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--side", choices=["bare", "sweep"])
    given = options.parse_args()
    if given.side:
        run_side(given.side, given.samples)
        return
    ratios = []
    print(f"{'bare eval_set':>14} {'sweep':>8} {'added':>7}   CPU ms a sample, {given.samples} samples")
    for pair in range(given.pairs):
        order = ("bare", "sweep") if pair % 2 == 0 else ("sweep", "bare")
        cost = {side: per_sample_ms(side, given.samples) for side in order}
        ratios.append(cost["sweep"] / cost["bare"] - 1)
        print(f"{cost['bare']:>14.2f} {cost['sweep']:>8.2f} {ratios[-1]:>+7.1%}", flush=True)
    print(f"median added: {statistics.median(ratios):+.1%}")


def per_sample_ms(side: str, samples: int) -> float:
    """CPU of a run less the CPU of a run with one sample, per sample."""
    return 1000 * (cpu_of(side, samples) - cpu_of(side, 1)) / (samples - 1)


def cpu_of(side: str, samples: int) -> float:
    """CPU seconds of one process."""
    command = [sys.executable, __file__, "--side", side, "--samples", str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu"])


def run_side(side: str, samples: int) -> None:
    """Run in this process and print its CPU seconds."""
    folder = Path(tempfile.mkdtemp(prefix="overhead-"))
    (folder / "tasks.py").write_text(TASK)
    install_mock()
    if side == "bare":
        bare(folder, samples)
    else:
        swept(folder, samples)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime}))


def install_mock() -> None:
    """A model that answers at once, with usage (without it Inspect looks for a tokenizer)."""
    from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi

    @modelapi(name="instant")
    class Instant(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):  # type: ignore[no-untyped-def]
            output = ModelOutput.from_content(self.model_name, input[-1].text)
            output.usage = ModelUsage(input_tokens=5, output_tokens=2, total_tokens=7)
            return output

        def max_connections(self) -> int:
            return 20


def bare(folder: Path, samples: int) -> None:
    """Inspect alone, with the settings that a sweep uses."""
    from inspect_ai import eval_set
    from inspect_ai.model import get_model

    eval_set(
        [f"{folder}/tasks.py@many"], model=[get_model("instant/m", memoize=False)], task_args={"n": samples},
        log_dir=str(folder / "logs"), fail_on_error=True, continue_on_fail=True, retry_immediate=False,
        retry_attempts=1, log_realtime=True, log_model_api=False, log_level="warning", display="none",
    )  # fmt: skip


def swept(folder: Path, samples: int) -> None:
    """The same through router_lab."""
    from router_lab.sweep import run_sweep
    from tests.servers.grid import price, write_project

    suites = {"many": {"task": "tasks.py@many", "args": {"n": samples}}}
    file = write_project(folder, {"models": ["instant/m"]}, suites, prices={"instant/m": price(1, 2)})
    (folder / "tasks.py").write_text(TASK)
    run_sweep(file, folder / "logs", quiet=True)


if __name__ == "__main__":
    main()
