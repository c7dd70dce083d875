"""What a prior is worth to a race, what a wrong one costs, and whether races err with one that was made to mislead.

    python tests/bench/race_prior.py [--orders 20] [--draws 200] [--only replay|worlds|samples] [--recorded outcomes.parquet]
        [--data NAME ...] [--most 10]

Replay: of each data set, all suites as one, a random half of the clusters is the earlier sweep, and a race is run on
the other half, at the smallest margin at which that half's own routing table passes a candidate (to half a point).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.racing.prior import Prior
from router_lab.racing.race import RaceRule
from router_lab.racing.sequential import Tally, cluster_means
from tests.bench.race import CONFIDENCE, DATA, FINE, Data, Floats, _decision, _raced_decision, sets_of
from router_lab.racing.rehearsal import replay_race

NAMES = ("lineage_bench", "pricerev_prevgen", "agent_context", "cascade_llama", "openhands_index")
KINDS = ("none", "right", "wrong")

def prior_of(quality: Floats, clusters, kind: str, rng, most: float) -> Prior | None:
    if kind == "none":
        return None
    means = cluster_means(quality, np.unique(clusters, return_inverse=True)[1])
    c = means.shape[1]
    earlier = Tally(c)
    earlier.add(means if kind == "right" else means[:, rng.permutation(c)])
    return Prior(earlier, np.zeros(c), most)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--orders", type=int, default=20)
    options.add_argument("--most", type=float, default=10)
    options.add_argument("--recorded", type=Path)
    options.add_argument("--data", nargs="*", default=NAMES)
    given = options.parse_args()
    files = [DATA / f"{name}.parquet" for name in given.data] + ([given.recorded] if given.recorded else [])
    for name, data in sets_of(files).items():
        for named in (False, True):
            replays(name, data, named, given.orders, given.most)


def replays(name: str, data: Data, named: bool, orders: int, most: float) -> None:
    spent = {k: [] for k in KINDS}; same = {k: [] for k in KINDS}; margins = []
    for seed in range(orders):
        rng = np.random.default_rng([3, seed])
        quality, cost, group, _ = data
        names = np.unique(group)
        before = np.isin(group, rng.permutation(names)[: len(names) // 2])
        rows = rng.permutation(np.flatnonzero(~before))
        q, c, g = quality[rows], cost[rows], group[rows]
        reference = int(q.mean(axis=0).argmax())
        decided = ((m, _decision(q, c, g, reference, m)) for m in FINE)
        margin, decision = next(((m, d) for m, d in decided if d is not None), (None, None))
        if margin is None: continue
        margins.append(margin)
        for kind in KINDS:
            prior = prior_of(quality[before], group[before], kind, np.random.default_rng([4, seed]), most)
            who = reference if named else None
            run = replay_race(q, c, g, RaceRule(margin, CONFIDENCE), np.random.default_rng([5, seed]), reference=who, prior=prior)
            spent[kind].append(float((c * run.ran).sum() / c.sum()))
            same[kind].append(_raced_decision(run, q, c, g, who, margin) == decision)
    print(f"{name:20}{'named' if named else 'best':>6} {len(margins):4} margin {100*np.mean(margins):5.1f}  " + "  ".join(
        f"{k} {np.mean(spent[k]):.3f} {np.mean(same[k]):.0%}" for k in KINDS)
        + "  diff " + " ".join(f"{np.mean(np.subtract(spent[k], spent['none'])):+.3f}±{np.std(np.subtract(spent[k], spent['none']))/np.sqrt(len(margins))*2:.3f}" for k in KINDS[1:]), flush=True)

if __name__ == "__main__":
    main()
