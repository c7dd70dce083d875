"""CPU that `sweep` adds to each sample over bare `inspect_ai.eval_set`, in pairs, set-up excluded.

    python tests/bench/sweep.py [--samples 400] [--pairs 25]

Both sides run in turn in one process, so that whatever else the machine does hits them alike. CPU counts from the end
of the first sample to the return of the call: loading, checking and recording requests are set-up, writing logs is not.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

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
    """Print CPU milliseconds per sample of both, pair by pair, and what the sweep adds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=400, help="a run")
    options.add_argument("--pairs", type=int, default=25)
    given = options.parse_args()
    install_mock()
    watch = first_sample_watch()
    sides = {"bare": bare, "sweep": swept}
    for side in sides.values():
        per_sample_ms(side, watch, 20)
    rows: list[dict[str, float]] = []
    print(f"CPU ms a sample, {given.pairs} pairs of {given.samples} samples")
    print(f"{'bare eval_set':>14} {'sweep':>8} {'added':>7}")
    for pair in range(given.pairs):
        order = ("bare", "sweep") if pair % 2 == 0 else ("sweep", "bare")
        rows.append({name: per_sample_ms(sides[name], watch, given.samples) for name in order})
        cost = rows[-1]
        print(
            f"{cost['bare']:>14.2f} {cost['sweep']:>8.2f} {cost['sweep'] / cost['bare'] - 1:>+7.1%}",
            flush=True,
        )
    ratios = [row["sweep"] / row["bare"] - 1 for row in rows]
    whole = sum(row["sweep"] for row in rows) / sum(row["bare"] for row in rows) - 1
    print(
        f"added: {statistics.median(ratios):+.1%} median of pairs, {whole:+.1%} of the sums (required: +5 % at most)"
    )


def per_sample_ms(side: Any, watch: Any, samples: int) -> float:
    """CPU milliseconds a sample of one run."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        (folder / "tasks.py").write_text(TASK)
        watch.first = None
        side(folder, samples)
        return float(1000 * (cpu() - watch.first) / (samples - 1))


def cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def first_sample_watch() -> Any:
    """A hook, there on both sides, that notes the CPU at which the first sample of a run has ended."""
    from inspect_ai.hooks import Hooks, SampleEnd, hooks

    class Watch(Hooks):
        first: float | None = None

        async def on_sample_end(self, data: SampleEnd) -> None:
            if Watch.first is None:
                Watch.first = cpu()

    hooks(name="bench_watch", description="Notes when set-up is over")(Watch)
    return Watch


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
