"""Certificates after a race: how often the choice, made and tested on what was run, loses more than its margin.

python tests/bench/race_certificates.py [--draws 2000]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.fit.choose import constants, family
from router_lab.fit.evidence import Goal
from router_lab.fit.rivals import rivals
from router_lab.racing.race import RaceRule
from router_lab.racing.rehearsal import replay_race
from tests.bench.guarantee import DELTA, evidence_of, truth_of
from tests.bench.worlds import World, draw

N, MARGIN = 500, 0.03


def main() -> None:
    """A line a world: share of draws whose true loss is above the margin, at DELTA allowed, and the true saving."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--draws", type=int, default=2000)
    given = options.parse_args()
    print(
        f"{'spread':>7}{'draws':>7}{'violated':>10}{'saving':>8}   ({DELTA} allowed, n {N}, margin {MARGIN})"
    )
    for spread in (1.5, 3.0):
        world = World(5, spread=spread)
        people = draw(world, 20_000, np.random.default_rng(10_000))
        rows = [certified(world, people, seed) for seed in range(given.draws)]
        violated, saving = np.mean(rows, axis=0)
        print(f"{spread:7}{given.draws:7}{violated:10.3f}{saving:8.3f}", flush=True)


def certified(world: World, people, seed: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """(broken, true saving) of the choice on the outcomes that a race left."""
    rows, rng = draw(world, N, np.random.default_rng([1, seed])), np.random.default_rng([2, seed])
    order = rng.permutation(N)
    run = replay_race(
        rows.quality[order], rows.costs[order], rows.group[order], RaceRule(MARGIN, 1 - DELTA), rng
    )
    quality, weight = rows.quality.copy(), np.ones_like(rows.quality)
    quality[order] = np.where(run.ran, rows.quality[order], np.nan)
    weight[order] = np.where(run.ran, 1 / run.inclusion, 1.0)
    # As the fit does: the reference is the best of those who ran longest.
    longest = np.where(run.left_at == run.left_at.max(), np.nanmean(quality, axis=0), -1.0)
    evidence = evidence_of(replace(rows, quality=quality), fold_seed=seed, reference=int(longest.argmax()))
    # As the fit does: who left is known on a fair sample, so it may be chosen, with the weights that sample needs.
    evidence = replace(evidence, weight=weight, eligible=np.ones_like(evidence.eligible))
    options, actions = family({"blend": (rows.scores, rows.guesses)}, evidence)
    goal = Goal("margin", MARGIN, 1 - DELTA)
    found = rivals(options, actions, *constants(evidence, goal), evidence, goal).deployed
    loss, saving = truth_of(found, people, evidence)
    return float(loss > MARGIN), saving


if __name__ == "__main__":
    main()
