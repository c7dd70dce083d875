"""`make bench-copies`: which pairs of prompts are near copies, beside the groups that their makers wrote down.

For each suite of the recorded outcomes (swept first where they are not there) and of the data sets in
$ROUTER_LAB_BENCH_DATA (see quality.py): different prompts, pairs of them in one given group, how many of these pairs
are found, all pairs found, the most prompts in one cluster, and seconds. What is not there is skipped and said so.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.outcomes import read_outcomes
from router_lab.outcomes.near import near_copies
from tests.bench.quality import DATA, recorded_outcomes

SETS = ("routellm_binary", "pricerev_prevgen", "lineage_bench", "cascade_llama")


def main() -> None:
    head = (
        f"{'suite':44}{'prompts':>9}{'in a group':>12}{'of them found':>15}{'found':>9}{'largest':>9}{'s':>6}"
    )
    print(head)
    measure("recorded", read_outcomes(recorded_outcomes()))
    for name in SETS:
        path = DATA / f"{name}.parquet"
        if path.exists():
            measure(name, pd.read_parquet(path))
        else:
            print(f"{name}: skipped, {path} is not there")


def measure(name: str, frame: pd.DataFrame) -> None:
    """A line for each suite of a table."""
    given = frame["group"] if "group" in frame else pd.Series(None, index=frame.index, dtype=object)
    rows = frame.assign(group=given).dropna(subset=["prompt"]).drop_duplicates(["suite", "prompt"])
    for suite, part in rows.groupby("suite"):
        began = time.perf_counter()
        found = near_copies(np.zeros(len(part), np.int64), part["prompt"].tolist())
        seconds = time.perf_counter() - began
        group = pd.factorize(part["group"])[0]
        alone = group < 0
        group[alone] = group.max(initial=0) + 1 + np.arange(alone.sum())
        both = pd.factorize(pd.MultiIndex.from_arrays([group, found]))[0]
        told = f"{len(part):9,}{pairs(group):12,}{pairs(both):15,}{pairs(found):9,}"
        print(
            f"{f'{name}: {suite}'[:43]:44}{told}{np.unique(found, return_counts=True)[1].max():9,}{seconds:6.1f}"
        )


def pairs(codes: np.ndarray) -> int:
    """Pairs of rows with the same code."""
    counts = np.unique(codes, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


if __name__ == "__main__":
    main()
