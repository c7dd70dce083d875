"""What a prior is worth to a race, what a wrong one costs, and whether one that misleads makes a race err.

    python tests/bench/race_prior.py [--orders 40] [--draws 400] [--only replay|worlds|samples] [--recorded outcomes.parquet]

replay: of each data set, all suites as one, a random half of the clusters is the earlier sweep, and races are run on
the other half at the smallest margin at which its own routing table passes a candidate (to half a point): with no
prior, with that of the same candidates, and with a wrong one (columns permuted). Dollars are a share of the grid's.
worlds: the rates of error of race.py (which has those without a prior), under a prior of 1,000 clusters that is made to
mislead (all that lose more than the margin look equal to the best), and under one that was shown the race's own
outcomes, which a race refuses to use: what that would do.
samples: what there is to be had from an order of samples by difficulty, as the other candidates' outcomes on the same
prompts tell it. balanced: variance left of a difference to the best where each of eight strata of difficulty has
an equal part of every wave; drawn: the same where clusters are drawn by the spread of their stratum (Neyman) in the
other half of the data, before what unequal weights cost a bet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scipy.stats import binomtest

from router_lab.metrics.steady import Floats, Ints
from router_lab.racing.prior import Prior
from router_lab.racing.race import RaceRule
from router_lab.racing.rehearsal import replay_race
from router_lab.racing.sequential import Tally, cluster_means
from tests.bench.race import CONFIDENCE, DATA, FINE, Data, _decision, _raced_decision, erred, sets_of
from tests.bench.race_worlds import WORLDS, Fixed, rows_of, truth_of
from tests.bench.worlds import World

NAMES = ("lineage_bench", "pricerev_prevgen", "cascade_llama", "agent_context", "openhands_index")
KINDS = ("none", "right", "wrong")
STRATA, CLOSE = 8, 0.12


def main() -> None:
    """Print the tables that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--orders", type=int, default=40)
    options.add_argument("--draws", type=int, default=400)
    options.add_argument("--only", choices=["replay", "worlds", "samples"])
    options.add_argument("--recorded", type=Path, help="outcomes of evals/sweeps/recorded.yaml, by `collect`")
    options.add_argument("--world", default="", help="only worlds whose name holds this")
    options.add_argument("--data", nargs="*", default=list(NAMES))
    given = options.parse_args()
    files = [DATA / f"{name}.parquet" for name in given.data]
    sets = {} if given.only == "worlds" else sets_of([*files, *([given.recorded] if given.recorded else [])])
    if given.only in (None, "replay"):
        replays(sets, given.orders)
    if given.only in (None, "samples"):
        samples(sets)
    if given.only in (None, "worlds"):
        worlds(given.draws, given.world)


def prior_of(means: Floats) -> Prior:
    """Of cluster means [G, c] of the candidates themselves."""
    earlier = Tally(means.shape[1])
    earlier.add(means)
    return Prior(earlier, np.zeros(means.shape[1]))


def replays(sets: dict[str, Data], orders: int) -> None:
    """A line for each data set and kind of reference."""
    heads = [f"{kind} {what}" for kind in KINDS for what in ("spent", "same")]
    print(f"{'data':18}{'reference':>10}{'races':>7}{'margin':>8}" + "".join(f"{head:>13}" for head in heads)
          + "   right - none ± 2 se   wrong - none ± 2 se")  # fmt: skip
    for name, data in sets.items():
        for named in (False, True):
            rows = [row for seed in range(orders) if (row := _halves(data, named, seed)) is not None]
            if not rows:
                print(f"{name:18}  certifies nothing in any half: reported, not counted")
                continue
            found = np.array(rows)
            margin, spent, same = found[:, 0].mean(), found[:, 1:4], found[:, 4:]
            cells = [
                f"{s:13.3f}{k:13.0%}" for s, k in zip(spent.mean(axis=0), same.mean(axis=0), strict=True)
            ]
            gaps = [spent[:, k] - spent[:, 0] for k in (1, 2)]
            told = [f"{gap.mean():+14.3f} ± {2 * gap.std() / np.sqrt(len(gap)):.3f}" for gap in gaps]
            print(f"{name:18}{'named' if named else 'best':>10}{len(rows):7}{100 * margin:8.1f}{''.join(cells)}"
                  f"{''.join(told)}", flush=True)  # fmt: skip


def _halves(data: Data, named: bool, seed: int) -> tuple[float, ...] | None:
    """Margin; share of dollars by kind of prior; whether each reached the decision of its half's whole grid."""
    quality, cost, group, _ = data
    rng = np.random.default_rng([3, seed])
    groups = np.unique(group)
    before = np.isin(group, rng.permutation(groups)[: len(groups) // 2])
    rows = rng.permutation(np.flatnonzero(~before))
    q, c, g = quality[rows], cost[rows], group[rows]
    best = int(q.mean(axis=0).argmax())
    decided = ((margin, _decision(q, c, g, best, margin)) for margin in FINE)
    margin, decision = next(((m, d) for m, d in decided if d is not None), (None, None))
    if margin is None:
        return None
    means = cluster_means(quality[before], np.unique(group[before], return_inverse=True)[1])
    kinds = (None, prior_of(means), prior_of(means[:, rng.permutation(means.shape[1])]))
    reference = best if named else None
    spent, same = [], []
    for prior in kinds:
        draw = np.random.default_rng([5, seed])
        run = replay_race(q, c, g, RaceRule(margin, CONFIDENCE), draw, reference=reference, prior=prior)
        spent.append(float((c * run.ran).sum() / c.sum()))
        same.append(float(_raced_decision(run, q, c, g, reference, margin) == decision))
    return (margin, *spent, *same)


def samples(sets: dict[str, Data]) -> None:
    """A line for each data set: means over the candidates within CLOSE of the best, and over all."""
    print(f"\n{'data':18}{'close':>7}{'balanced':>10}{'drawn':>8}{'all':>6}{'balanced':>10}{'drawn':>8}")
    for name, (quality, _, group, _) in sets.items():
        means = cluster_means(quality, np.unique(group, return_inverse=True)[1])
        best = int(means.mean(axis=0).argmax())
        others = [k for k in range(means.shape[1]) if k != best]
        if len(others) < 2:
            continue
        found = np.array([_by_strata(means, k, best) for k in others])
        close = found[found[:, 0] < CLOSE]
        cells = [
            f"{len(part):{width}}{part[:, 1].mean():10.3f}{part[:, 2].mean():8.3f}"
            if len(part)
            else f"{0:{width}}"
            for part, width in ((close, 7), (found, 6))
        ]
        print(f"{name:18}{''.join(cells)}", flush=True)


def _by_strata(means: Floats, column: int, best: int) -> tuple[float, float, float]:
    """Size of the mean difference; its variance with balanced waves, and with clusters drawn by spread, each over
    that of a random order."""
    gap = means[:, column] - means[:, best]
    easy = np.delete(means, [column, best], axis=1).mean(axis=1)
    order = np.lexsort((np.random.default_rng(0).random(len(easy)), easy))
    parts = np.array_split(gap[order], STRATA)
    share = np.array([len(part) for part in parts]) / len(gap)
    within = np.array([part.var(ddof=1) for part in parts])
    total = float(gap.var(ddof=1))
    # Each half is drawn by the spread that the other shows, with a pseudo-observation a stratum, for none is sure.
    drawn = []
    for shown, ours in ((0, 1), (1, 0)):
        size = np.sqrt([((part[shown::2] ** 2).sum() + 1) / (len(part[shown::2]) + 1) for part in parts])
        often = share * size / (share * size).sum()
        squares = np.array([(part[ours::2] ** 2).mean() for part in parts])
        drawn.append(float((share * share * squares / often).sum() - gap.mean() * gap.mean()) / total)
    return float(abs(gap.mean())), float((share * within).sum()) / total, float(np.mean(drawn))


Misleads = Callable[[Floats, Floats, np.random.Generator], Prior]
"""A prior for a world of true quality [c], of which a race will see cluster means [G, c]."""


def _lies(margin: float) -> Misleads:
    def lie(truth: Floats, means: Floats, rng: np.random.Generator) -> Prior:
        told = np.where(truth < truth.max() - margin, truth.max(), truth)
        return prior_of((rng.random((1000, len(truth))) < told).astype(np.float64))

    return lie


def _leaks(truth: Floats, means: Floats, rng: np.random.Generator) -> Prior:
    return prior_of(means)


def worlds(draws: int, only: str) -> None:
    """A line for each world, kind of reference and prior."""
    print(f"\n{'world':30}{'reference':>10}{'prior':>15}{'draws':>7}{'wrong':>9}{'spent':>9}")
    for name, (world, n, margin) in WORLDS.items():
        if only not in name:
            continue
        told = {"misleads": _lies(margin), "its own (never)": _leaks}
        for named in (False, True):
            for kind, make in told.items():
                _world(name, world, n, margin, named, kind, make, draws)


def _world(
    name: str, world: World | Fixed, n: int, margin: float, named: bool, kind: str, make: Misleads, draws: int
) -> None:
    truth, price = truth_of(world)
    found = []
    for seed in range(draws):
        rng = np.random.default_rng([7, seed])
        quality, cost, group = rows_of(world, n, rng)
        order = rng.permutation(n)
        q, c, g = quality[order], cost[order], group[order]
        prior = make(truth, _means(q, g), np.random.default_rng([8, seed]))
        reference = int(truth.argmax()) if named else None
        run = replay_race(q, c, g, RaceRule(margin, CONFIDENCE), rng, reference=reference, prior=prior)
        found.append((erred(run, truth, price, margin, reference).wrong, (c * run.ran).sum() / c.sum()))
    wrong, spent = np.array(found).mean(axis=0)
    verdict = binomtest(round(wrong * draws), draws, 1 - CONFIDENCE, alternative="greater").pvalue
    flag = "" if verdict > 0.05 else f"  TOO OFTEN (p {verdict:.3g})"
    print(
        f"{name:30}{'named' if named else 'best':>10}{kind:>15}{draws:7}{wrong:9.4f}{spent:9.3f}{flag}",
        flush=True,
    )


def _means(quality: Floats, group: Ints) -> Floats:
    return cluster_means(quality, np.unique(group, return_inverse=True)[1])


if __name__ == "__main__":
    main()
