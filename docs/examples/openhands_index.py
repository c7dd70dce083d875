"""The OpenHands Index as it is published, as a table of outcomes for `router-lab collect`.

    git clone https://github.com/OpenHands/openhands-index-results
    git -C openhands-index-results checkout 3015ac61
    python docs/examples/openhands_index.py openhands-index-results index.csv

A file `results/MODEL/instance_results/BENCHMARK.json` holds what one agent did with each task:
`{"TASK": {"cost": dollars or null, "resolved": true or false}}`; agents of other scaffolds lie in
`alternative_agents/SCAFFOLD/MODEL`. A task that two benchmarks ask for (the fix of an issue, and a
test of it) is one group. Needs the standard library alone.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("suite", "sample_id", "model", "quality", "cost_usd", "group")


def outcomes(checkout: Path) -> Iterator[dict[str, object]]:
    """A row per agent and task, agents as `scaffold/model`, in the order of their files."""
    for pattern in ("results/*/instance_results/*.json", "alternative_agents/*/*/instance_results/*.json"):
        for file in sorted(checkout.glob(pattern)):
            agent = file.parents[1]
            scaffold = "openhands" if agent.parent.name == "results" else agent.parent.name
            for task, run in sorted(json.loads(file.read_text(encoding="utf-8")).items()):
                yield {
                    "suite": file.stem, "sample_id": task, "model": f"{scaffold}/{agent.name}",
                    "quality": int(run["resolved"]), "cost_usd": run["cost"], "group": task,
                }  # fmt: skip


def main(checkout: str, out: str) -> None:
    with Path(out).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(outcomes(Path(checkout)))


if __name__ == "__main__":
    main(*sys.argv[1:])
