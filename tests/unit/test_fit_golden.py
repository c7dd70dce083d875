"""What fits of small worlds give, to the byte: nobody changes a figure of a certificate, a weight or a gate unseen.

Where a change is meant, `python tests/unit/test_fit_golden.py` writes `tests/golden/fits.json` anew; the commit says why.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.config import Gate, Recipe
from router_lab.fit import fit_policy
from router_lab.gates import run_gates
from router_lab.gates.measure import MEASURED
from router_lab.runtime.artifact import encode_policy
from router_lab.runtime.points import Assign
from router_lab.runtime.policy import Policy
from tests.kernels import RECIPES, TOLD, digest, uses, world

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "fits.json"
SEEDS = {name: place % 3 for place, name in enumerate(RECIPES)}


def given(name: str) -> dict[str, Any]:
    """Of a recipe: digests of each part of the artifact, of each key of the certificate, and of what is done with it."""
    recipe, without = RECIPES[name]
    table = world(SEEDS[name])
    table["effort"] = table["model"].map({"large": "high", "middle": None, "small": "low"})
    table.loc[table["sample_id"] == "s0007", "prompt"] = "quite unlike whatever else was asked"
    table["latency_s"] = table["cost_usd"] * 100
    left = (*without, *(TOLD if name != "chains" else ()))
    frame = table.drop(columns=[column for column in left if column in table])
    policy = fit_policy(Recipe.model_validate({"name": "world", "holdout": 0.0} | recipe), frame, SEEDS[name])
    files = encode_policy(policy)
    predicted, costs, shares, *decided, judged = uses(policy, table)
    return {
        "files": {file: digest(files[file]) for file in sorted(files) if file != "MANIFEST.json"},
        "certificate": {key: digest(value) for key, value in policy.spec.certificate.items()},
        "uses": [digest(part) for part in (predicted, costs, shares, decided)],
        "gates": by_name(gated(policy, table)),
        "judged": {key: digest(value) for part in json.loads(judged) for key, value in part.items()},
    }


def by_name(results: Sequence[Any]) -> dict[str, str]:
    """Each result under what it asks for: a further metric adds lines to the file and changes none."""
    found = {result.name: digest(result) for result in results}
    assert len(found) == len(results), "two gates of one name"
    return found


def gated(policy: Policy, table: pd.DataFrame) -> Sequence[Any]:
    """Each metric from both sides on rows that count as fresh; against the reference and a champion that never routes."""
    fresh = Policy(replace(policy.spec, groups=np.zeros(0, np.uint64)))
    champion = Policy(
        replace(
            fresh.spec,
            points={
                **fresh.spec.points,
                fresh.spec.point: (Assign((fresh.spec.reference,) * (1 + len(fresh.spec.suites))),),
            },
            chains=(),
        )
    )
    gates = [
        Gate.model_validate({"metric": metric, bound: 0.5}) for metric in MEASURED for bound in ("min", "max")
    ]
    gates += [Gate(metric="quality", margin=0.05, against=who) for who in ("reference", "champion")]
    return run_gates(fresh, table, gates, champion=champion, today=dt.date(2026, 1, 1)).results


def libraries() -> dict[str, str]:
    """What the bytes are promised for (docs/artifact-format.md): the lock has others for later Pythons."""
    return {name: version(name) for name in ("numpy", "scipy")}


@pytest.mark.parametrize("name", RECIPES)
def test_a_fit_gives_what_it_gave(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    if golden["libraries"] != libraries():
        pytest.skip(f"written with {golden['libraries']}")
    assert given(name) == golden[name], (
        "if that is meant, python tests/unit/test_fit_golden.py writes it anew"
    )


if __name__ == "__main__":
    found = {"libraries": libraries()} | {name: given(name) for name in RECIPES}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
