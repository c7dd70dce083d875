"""A specialist in a race: worst on average, best on the tenth of the prompts that one word tells apart.

    python tests/bench/race_specialist.py [--draws 5] [--rows 3000]

For each draw: the policy fitted on the full grid, on the full grid without the specialist, and on what a race ran (with
its weights, `min_seen` lowered so that who left may be chosen), all scored on 4,000 fresh prompts: quality gained over
the reference, and the share of the specialist's part of it that racing kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))

from race_replay import replay_race

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics.racing import RaceRule
from router_lab.outcomes import validate_outcomes
from router_lab.replay import replay

NAMES, COST, USUAL, RARE = ("strong", "mid", "special"), (10.0, 4.0, 5.0), (0.80, 0.60, 0.10), (0.20, 0.20, 0.95)
WORDS = ("alpha", "beta", "gamma", "delta", "kappa", "lambda", "sigma", "omega")
RULE = {"budget_usd_per_1k": 11_000.0, "confidence": 0.9}


def world(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Outcomes [n × 3] as a table and quality [n, 3]."""
    rng = np.random.default_rng(seed)
    rare = rng.random(n) < 0.1
    quality = (rng.random((n, 3)) < np.where(rare[:, None], RARE, USUAL)).astype(float)
    texts = [" ".join([*rng.choice(WORDS, 6), "zeta" if r else "eta", str(i)]) for i, r in enumerate(rare)]
    rows = [
        {"suite": "s", "sample_id": f"{seed}-{i}", "model": name, "prompt": texts[i], "quality": quality[i, j],
         "cost_usd": COST[j], "weight": 1.0}
        for i in range(n) for j, name in enumerate(NAMES)
    ]  # fmt: skip
    return pd.DataFrame(rows), quality


def gained(frame: pd.DataFrame, fresh: pd.DataFrame, min_seen: float) -> float:
    """Quality of the policy fitted on `frame`, over the reference, on fresh prompts."""
    recipe = Recipe.model_validate({"name": "r", "rule": RULE, "holdout": 0, "min_seen": min_seen})
    result = replay(fit_policy(recipe, validate_outcomes(frame)), fresh)
    return float(result.quality - result.reference_quality)


def main() -> None:
    """One line a draw, then the share kept over all of them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--rows", type=int, default=3000)
    given = options.parse_args()
    table = []
    print(f"{'draw':>4}{'left after':>11}{'spent':>7}{'full':>9}{'without':>9}{'raced':>9}")
    for seed in range(given.draws):
        frame, quality = world(given.rows, seed)
        fresh = validate_outcomes(world(4000, 1000 + seed)[0])
        cost = np.tile(COST, (given.rows, 1))
        run = replay_race(
            quality, cost, np.arange(given.rows), RaceRule(0.05), np.random.default_rng([seed, 1]), reference=0
        )
        raced = frame.assign(weight=1 / run.inclusion.ravel())[run.ran.ravel()]
        shares = (
            gained(frame, fresh, 0.95),
            gained(frame[frame["model"] != "special"], fresh, 0.95),
            gained(raced, fresh, 0.01),
        )
        table.append(shares)
        spent = float((cost * run.ran).sum() / cost.sum())
        print(f"{seed:>4}{run.left_at[2]:>11}{spent:>7.2f}" + "".join(f"{s:+9.4f}" for s in shares), flush=True)
    full, without, raced_gain = np.mean(table, axis=0)
    print(f"kept of the specialist's gain: {(raced_gain - without) / (full - without):.0%}")


if __name__ == "__main__":
    main()
