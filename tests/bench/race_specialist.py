"""A specialist in a race: worst on average, best on the tenth of the prompts that one word tells apart.

    python tests/bench/race_specialist.py [--draws 5] [--rows 3000] [--shares 0.1 ...]

For each draw: the policy fitted on the full grid, on the full grid without the specialist, and for each control share
on what a race ran, with its weights, all scored on 4,000 fresh prompts: quality gained over the reference, and the
share of the specialist's part of it that racing kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes
from router_lab.racing.race import RaceRule
from router_lab.racing.rehearsal import Run, replay_race
from router_lab.replay import replay

NAMES, COST, USUAL, RARE = (
    ("strong", "mid", "special"),
    (10.0, 4.0, 5.0),
    (0.80, 0.60, 0.10),
    (0.20, 0.20, 0.95),
)
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


def gained(frame: pd.DataFrame, fresh: pd.DataFrame) -> float:
    """Quality of the policy fitted on `frame`, over the reference, on fresh prompts."""
    recipe = Recipe.model_validate({"name": "r", "rule": RULE, "holdout": 0})
    result = replay(fit_policy(recipe, validate_outcomes(frame)), fresh)
    return float(result.quality - result.reference_quality)


def main() -> None:
    """One line a draw, then for each control share the share kept over all of them and what was spent."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--rows", type=int, default=3000)
    options.add_argument("--shares", type=float, nargs="+", default=[0.1])
    given = options.parse_args()
    gains, spent = [], []
    heads = "".join(f"{f'share {share:g}':>12}{'spent':>7}" for share in given.shares)
    print(f"{'draw':>4}{'left after':>11}{'full':>9}{'without':>9}{heads}")
    for seed in range(given.draws):
        frame, quality = world(given.rows, seed)
        fresh = validate_outcomes(world(4000, 1000 + seed)[0])
        full, without = gained(frame, fresh), gained(frame[frame["model"] != "special"], fresh)
        runs = [raced(quality, share, seed) for share in given.shares]
        kept = [
            gained(frame.assign(weight=1 / run.inclusion.ravel())[run.ran.ravel()], fresh) for run in runs
        ]
        gains.append((full, without, *kept))
        spent.append(
            [float((np.array(COST) * run.ran).sum() / (np.array(COST).sum() * given.rows)) for run in runs]
        )
        told = "".join(f"{gain:+12.4f}{dollars:7.2f}" for gain, dollars in zip(kept, spent[-1], strict=True))
        print(f"{seed:>4}{runs[0].left_at[2]:>11}{full:+9.4f}{without:+9.4f}{told}", flush=True)
    full, without, *kept = np.mean(gains, axis=0)
    for share, gain, dollars in zip(given.shares, kept, np.mean(spent, axis=0), strict=True):
        kept_share = (gain - without) / (full - without)
        print(
            f"share {share:g}: kept {kept_share:.0%} of the specialist's gain, for {dollars:.0%} of the dollars"
        )


def raced(quality: np.ndarray, share: float, seed: int) -> Run:
    """What a race with the strong one as reference runs of it, every sample a cluster of its own."""
    rows, rule = len(quality), RaceRule(0.05, control_share=share)
    cost, rng = np.tile(COST, (rows, 1)), np.random.default_rng([seed, 1])
    return replay_race(quality, cost, np.arange(rows), rule, rng, reference=0)


if __name__ == "__main__":
    main()
