"""`make bench-offpolicy`: how often 90 % intervals from a log with one outcome a request hold the truth.

Of full matrices (the demo's recording, pricerev_prevgen, cascade_llama; `Set` of bench-quality) two folds fit a policy
and the others are production: one candidate of each row is drawn by the log's propensities, all other outcomes are
hidden, and another policy is estimated from what is left, as `router-lab evaluate` does. Each row once, where the
truth is the rows' own mean, and weeks of `--week N` (10,000) requests, clusters drawn with replacement. A cell is
(log, target, explore): the reference served and the fitted policy is asked about, the other way round, and uniform
logging. Beside each stands what exploring cost, and what a sweep of both policies costs until its interval for the
difference is as short. Kept in tests/bench/offpolicy.json. `--draws N` (500), `--only NAME`; what is not there is
skipped, said so. Ends with status 1 where a coverage is below .88.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics.offpolicy import Logged, cross_fitted, estimate_of, told_of, told_of_log
from router_lab.metrics.overlap import overlap_of
from router_lab.metrics.verdict import MIN_CLUSTERS
from router_lab.runtime.errors import RouterLabWarning
from tests.bench.quality import Set, load

NAMES = ("recorded", "pricerev_prevgen", "cascade_llama")
NEEDED, CONFIDENCE = 0.88, 0.90
HERE = Path(__file__).resolve().parent
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class World(NamedTuple):
    """A full matrix [n, c] of one set's later folds, the fitted policy's predictions and shares on it, the column of
    its reference, and for each cluster where its rows begin in `order`, and how many there are."""

    name: str
    reward: dict[str, Floats]
    prior: dict[str, Floats]
    shares: Floats
    reference: int
    suite: Ints
    group: Ints
    order: Ints
    start: Ints
    size: Ints


class Cell(NamedTuple):
    """log, target: [n, c] probabilities; week: requests of a draw, 0 = each row once."""

    world: World
    title: str
    log: Floats
    target: Floats
    explore: float
    week: int


def world_of(found: Set) -> World:
    keys = pd.MultiIndex.from_arrays(
        [[found.data.suites[s] for s in found.data.suite], list(found.data.sample_id)]
    )
    at = pd.MultiIndex.from_frame(found.frame[["suite", "sample_id"]])
    folds = pd.Series(found.fold, index=keys).reindex(at).to_numpy()
    recipe = {"name": "bench", "rule": {"margin": 0.05, "confidence": 0.9}, "holdout": 0.0, "escalate": False}
    policy = fit_policy(Recipe.model_validate(recipe), found.frame[folds < 2])
    kept = [found.data.candidates.index(candidate) for candidate in policy.candidates]
    quality, cost = found.data.quality[:, kept], found.data.cost_usd[:, kept]
    rows = np.flatnonzero((found.fold >= 2) & ~np.isnan(quality + cost).any(axis=1))
    data = found.data.take(rows)
    asked = [prompt or "" for prompt in data.prompts], [data.suites[code] for code in data.suite]
    likely, dollars = policy.predict(*asked)
    order = np.argsort(data.group, kind="stable")
    _, start, size = np.unique(data.group[order], return_index=True, return_counts=True)
    return World(
        found.name, {"quality": quality[rows], "cost_usd": cost[rows]},
        {"quality": likely, "cost_usd": dollars}, policy.shares(*asked), policy.spec.reference,
        data.suite, data.group, order, start, size,
    )  # fmt: skip


def cells_of(world: World, week: int) -> Iterator[Cell]:
    kept = np.zeros_like(world.shares)
    kept[:, world.reference] = 1.0
    even = np.full_like(kept, 1 / kept.shape[1])
    for title, base, target in (("ref → fit", kept, world.shares), ("fit → ref", world.shares, kept)):
        for explore in (0.02, 0.1):
            log = (1 - explore) * base + explore * even
            for requests in (0, week):
                yield Cell(world, title, log, target, explore, requests)
    yield Cell(world, "even → fit", even, world.shares, 1.0, 0)
    yield Cell(world, "even → fit", even, world.shares, 1.0, week)


def requests_of(world: World, week: int, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Rows of the matrix, and their clusters: a cluster that is drawn twice is two."""
    if not week:
        return np.arange(len(world.group)), world.group
    drawn = random.integers(len(world.start), size=round(week / float(world.size.mean())))
    sizes = world.size[drawn]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = world.order[np.repeat(world.start[drawn], sizes) + within]
    return rows, np.repeat(np.arange(len(drawn)), sizes)


FIGURES = ("quality", "cost_usd", "Δ quality", "Δ cost_usd")


def drawn(cell: Cell, seed: int) -> tuple[dict[str, tuple[float, float]], float]:
    """One draw: the intervals that are told, by figure (none where overlap is too thin), and the effective size."""
    world, random = cell.world, np.random.default_rng([seed, cell.week, round(1000 * cell.explore)])
    rows, group = requests_of(world, cell.week, random)
    log, target = cell.log[rows], cell.target[rows]
    action = np.minimum(
        (log.cumsum(axis=1) <= random.random(len(rows))[:, None]).sum(axis=1), log.shape[1] - 1
    )
    each = np.arange(len(rows))
    told: dict[str, tuple[float, float]] = {}
    for metric in ("quality", "cost_usd"):
        money = metric == "cost_usd"
        logged = Logged(action, log[each, action], world.reward[metric][rows, action], group)
        model = cross_fitted(logged, world.prior[metric][rows], world.suite[rows], ratio=money)
        mine = told_of(logged, target, model, span=None if money else 1.0)
        for name, other in ((metric, None), (f"Δ {metric}", told_of_log(logged))):
            found = estimate_of(mine, group, other, long_tail=money)
            if found.independent >= MIN_CLUSTERS:
                told[name] = found.interval(CONFIDENCE)
    overlap = overlap_of(logged, target)
    return ({} if overlap.thin else told), overlap.effective


def truths(cell: Cell) -> dict[str, float]:
    found = {}
    for metric, reward in cell.world.reward.items():
        found[metric] = float((cell.target * reward).sum(axis=1).mean())
        found[f"Δ {metric}"] = found[metric] - float((cell.log * reward).sum(axis=1).mean())
    return found


def dollars(cell: Cell, requests: int, reach: float) -> tuple[float, float]:
    """What exploring added to the bill of the log, and what a sweep of both policies costs until its interval for the
    difference in quality is as short: dollars."""
    reward, cost = cell.world.reward["quality"], cell.world.reward["cost_usd"]
    base = cell.log
    if cell.explore < 1:  # without what was explored
        base = (cell.log - cell.explore / cell.log.shape[1]) / (1 - cell.explore)
    explored = requests * float(((cell.log - base) * cost).sum(axis=1).mean())
    gain = ((cell.target - base) * reward).sum(axis=1)
    samples = float(gain.var()) * (1.645 / reach) ** 2
    both = (np.maximum(cell.target, base) > 0) & ((cell.target > 0) | (base > 0))
    return explored, samples * float(np.where(both, cost, 0.0).sum(axis=1).mean())


def bench(cell: Cell, draws: int) -> dict[str, object]:
    """A cell's figures, printed."""
    true = truths(cell)
    told, sizes = zip(*(drawn(cell, seed) for seed in range(draws)), strict=True)
    requests = cell.week or len(cell.world.group)
    head = f"{cell.world.name[:10]:11}{cell.title:11}{cell.explore:5.2f}{requests:8,}{np.mean(sizes):8.0f}"
    result: dict[str, object] = {
        "set": cell.world.name, "cell": cell.title, "explore": cell.explore, "requests": requests,
        "each_row_once": not cell.week, "effective": float(np.mean(sizes)), "figures": {},
    }  # fmt: skip
    for name in FIGURES:
        known = [one[name] for one in told if name in one]
        hits = sum(low <= true[name] <= high for low, high in known)
        line = f"{head}  {name:11}{draws - len(known):8}"
        head = " " * 43
        if len(known) < 20:
            print(f"{line}   too few are told", flush=True)
            continue
        interval = binomtest(hits, len(known)).proportion_ci(0.95)
        reach = float(np.mean([(high - low) / 2 for low, high in known]))
        share = hits / len(known)
        scaled = f"{100 * reach:.1f} points" if "quality" in name else f"${1000 * reach:.3g} / 1,000"
        line += f"{share:8.3f} [{interval.low:.3f}, {interval.high:.3f}]  ±{scaled}"
        if name == "Δ quality":
            spent, swept = dollars(cell, requests, reach)
            line += f"; exploring ${spent:.2f}, a sweep ${swept:.2f}"
            result |= {"exploring_usd": spent, "sweep_usd": swept}
        figures = result["figures"]
        assert isinstance(figures, dict)
        figures[name] = {
            "refused": draws - len(known), "coverage": share, "low": interval.low, "high": interval.high,
            "reach": reach,
        }  # fmt: skip
        print(line + ("" if share >= NEEDED else "  MISSED"), flush=True)
    return result


def missed(results: list[dict[str, object]]) -> int:
    figures = [one["figures"] for one in results]
    return sum(f["coverage"] < NEEDED for one in figures if isinstance(one, dict) for f in one.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--week", type=int, default=10_000)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RouterLabWarning)
    print(
        f"{asked.draws} draws, 90 % intervals; refused: too thin an overlap, or under {MIN_CLUSTERS} clusters alike"
    )
    print(
        f"{'set':11}{'log':11}{'expl.':>5}{'n':>8}{'ESS':>8}  {'figure':11}{'refused':>8}{'coverage':>9} [95 % CI]"
    )
    results = []
    for name in NAMES:
        found = load(name) if asked.only in name else None
        if found is not None:
            results += [bench(cell, asked.draws) for cell in cells_of(world_of(found), asked.week)]
    if not asked.only:
        (HERE / "offpolicy.json").write_text(json.dumps(results, indent=1) + "\n")
    lost = missed(results)
    print(f"\ncoverages below {NEEDED}: {lost}")
    sys.exit(int(lost > 0))


if __name__ == "__main__":
    main()
