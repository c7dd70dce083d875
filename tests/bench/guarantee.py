"""`make bench-guarantee`: how often a certified loss is larger than certified, and what the caution costs.

Simulated worlds with a known truth. Prints one row a cell, then Holm-corrected binomial tests over all of them, and
keeps the figures in tests/bench/guarantee.json. `--draws N` (2000), `--pipeline N` (200), `--only NAME`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from edge_worlds import BOUNDS, CROWDS, bound_draws, crowd_draws
from pipeline_worlds import CELLS, passes, pipeline_draws
from twophase_worlds import CHOSEN, PHASED, phased_choices, phased_draws
from worlds import Draw, World, draw

from router_lab.fit.choose import Choice, act, choose, family
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.fit.table import routing_table
from router_lab.metrics import clustered_mean, holm
from router_lab.metrics.paired import Recorded
from router_lab.metrics.steady import t_below

Job = tuple[str, str, Callable[[str, int, int], list[Any]], int, float]
DELTAS = (0.10, 0.05, 0.01, 0.001)
"""Of the bound alone; all else promises DELTA."""
DELTA = 0.10
HERE = Path(__file__).resolve().parent

DYNAMIC: dict[str, tuple[World, int, float, bool]] = {
    "2 candidates, n 100": (World(2), 100, 0.05, False),
    "2 candidates, n 1000": (World(2), 1000, 0.02, False),
    "5 candidates, n 300": (World(5), 300, 0.03, False),
    "5 candidates, n 1000": (World(5), 1000, 0.02, False),
    "5 candidates, n 5000": (World(5), 5000, 0.01, False),
    "10 alike, n 500": (World(10, spread=0.2), 500, 0.03, False),
    "40 candidates, n 300": (World(40), 300, 0.03, False),
    "blind predictor, n 500": (World(5, noise=np.inf), 500, 0.03, False),
    "clusters of 6, n 600": (World(5, cluster=6), 600, 0.03, False),
    "3 epochs, n 200": (World(3, epochs=3), 200, 0.03, False),
    "mostly ties, n 300": (World(5, easy=3.5), 300, 0.02, False),
    "unbalanced, n 500": (World(5, missing=0.04), 500, 0.03, False),
    "5 candidates, n 500": (World(5), 500, 0.03, False),
    "strict, n 500": (World(5), 500, 0.03, True),
}
TABLES: dict[str, tuple[World, int, float]] = {
    "2 x 4 suites, n 400": (World(2, suites=4, spread=0.3), 400, 0.05),
    "5 x 8 suites, n 2000": (World(5, suites=8, spread=0.4), 2000, 0.05),
    "10 x 3 suites, clusters of 4, n 1200": (World(10, suites=3, cluster=4, spread=0.3), 1200, 0.05),
    "40 x 2 suites, n 300": (World(40, suites=2, spread=0.3), 300, 0.05),
}


def evidence_of(rows: Draw, *, fold_seed: int = 0, reference: int | None = None) -> Evidence:
    """What the fit would see of a draw: the reference is the best mean on it, candidates under 95 % are not open."""
    seen = ~np.isnan(rows.quality)
    share = seen.mean(axis=0)
    means = np.where(seen, rows.quality, 0).sum(axis=0) / np.maximum(1, seen.sum(axis=0))
    best = int(np.where(share >= 0.9, means, -1).argmax()) if reference is None else reference
    n = len(rows.group)
    eligible = np.tile(share >= 0.9, (n, 1))
    folds = group_folds(np.zeros(n, np.int64), rows.group, fold_seed, 6)
    outcomes = Recorded(rows.quality, rows.costs, best, group=rows.group)
    return Evidence.bare(outcomes, eligible=eligible, fold=folds)


def truth_of(choice: Choice, population: Draw, evidence: Evidence) -> tuple[float, float]:
    """True loss of quality and true saving of what is deployed, against its reference."""
    if not choice.acts:
        return 0.0, 0.0
    ref, n = evidence.reference, len(population.group)
    everybody = Recorded(population.quality, population.costs, ref, group=population.group)
    at = Evidence.bare(everybody, eligible=np.tile(evidence.eligible[:1], (n, 1)))
    every, lost, saved = np.arange(n), 0.0, 0.0
    for share, option in choice.pieces:
        if option is None:
            continue
        action = act(population.scores, population.guesses, option, at)
        loss = population.truth[:, ref] - population.truth[every, action]
        spared = population.costs[:, ref] - population.costs[every, action]
        lost += share * float(loss.mean())
        saved += share * float(spared.mean() / population.costs[:, ref].mean())
    return choice.mix * lost, choice.mix * saved


def best_true_saving(population: Draw, evidence: Evidence, margin: float) -> float:
    """What the best operating point of the family saves with the truth known: mixes up to the margin."""
    few = Draw(*(part[:8000] for part in population.__dict__.values()))
    truth = Recorded(few.truth, few.costs, evidence.reference, group=few.group)
    known = Evidence.bare(truth, eligible=np.tile(evidence.eligible[:1], (8000, 1)))
    options, actions = family({"blend": (few.scores, few.guesses)}, known)
    best = 0.0
    for i in range(len(options)):
        action = actions[i].astype(np.int64)
        rows = np.arange(8000)
        loss = float((few.truth[:, evidence.reference] - few.truth[rows, action]).mean())
        saved = float((few.costs[:, evidence.reference] - few.costs[rows, action]).mean())
        mix = 1.0 if loss <= margin else margin / loss
        best = max(best, mix * saved / float(few.costs[:, evidence.reference].mean()))
    return best


def dynamic_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float]]:
    """For each draw: violated, true saving, saving of the oracle threshold."""
    world, n, margin, strict = DYNAMIC[name]
    population = draw(world, 20_000 if n <= 1000 else 50_000, np.random.default_rng(10_000))
    oracle: dict[int, float] = {}
    result = []
    for i in range(draws):
        rows = draw(world, n, np.random.default_rng([seed, i]))
        evidence = evidence_of(rows, fold_seed=i)
        options, actions = family({"blend": (rows.scores, rows.guesses)}, evidence)
        found: Choice = choose(options, actions, evidence, Goal("margin", margin, 1 - DELTA, strict=strict))
        loss, saving = truth_of(found, population, evidence)
        if evidence.reference not in oracle:
            oracle[evidence.reference] = best_true_saving(population, evidence, margin)
        result.append((loss > margin, saving, oracle[evidence.reference]))
    return result


def table_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float, float]]:
    """For each draw: any passed cell that truly loses more, saving of the table, saving of the true table, and what
    plain paired t-tests with Holm's correction would have let through."""
    world, n, margin = TABLES[name]
    population = draw(world, 20_000 if n <= 1000 else 50_000, np.random.default_rng(10_000))
    truth = np.array([population.truth[population.suite == s].mean(axis=0) for s in range(world.suites)])
    price = population.costs.mean(axis=0)
    result = []
    for i in range(draws):
        rows = draw(world, n, np.random.default_rng([seed, i]))
        reference = world.candidates - 1
        outcomes = Recorded(rows.quality, rows.costs, reference, group=rows.group, suite=rows.suite)
        opened = np.ones((world.suites, world.candidates), bool)
        cells = routing_table(outcomes, opened, margin=margin, confidence=1 - DELTA)
        passed = {cell.suite: cell.column for cell in cells if cell.verdict == "pass"}
        bad = any(truth[s, reference] - truth[s, column] > margin for s, column in passed.items())
        saved = sum(1 - price[column] / price[reference] for column in passed.values()) / world.suites
        plain = plain_table(rows, price, reference, margin)
        fine = [
            max(
                (1 - price[j] / price[reference] for j in range(reference) if row[reference] - row[j] <= margin),
                default=0,
            )
            for row in truth
        ]
        result.append((bad, saved, float(np.mean(fine)), plain))
    return result


def plain_table(rows: Draw, price: Any, reference: int, margin: float) -> float:
    """Saving of a table that passes what one-sided paired t-tests on cluster sums show after Holm's correction, without
    pseudo-observations or a least number of clusters: the most that such tests can reach, right or wrong."""
    found = {
        (s, j): clustered_mean((rows.quality[:, j] - rows.quality[:, reference])[here], rows.group[here])
        for s, here in ((s, rows.suite == s) for s in np.unique(rows.suite))
        for j in range(reference)
    }
    plain = [
        float(t_below(one.independent - 1, (-margin - one.value) / one.se))
        if one.se > 0
        else float(one.value <= -margin)
        for one in found.values()
    ]
    adjusted = dict(zip(found, holm(plain), strict=True))
    saved = [
        max((1 - price[j] / price[reference] for j in range(reference) if adjusted[s, j] <= DELTA), default=0.0)
        for s in np.unique(rows.suite)
    ]
    return float(np.mean(saved))


def spread(job: Callable[[str, int, int], list[Any]], name: str, draws: int, workers: int) -> list[Any]:
    """Run a cell's draws in `workers` processes, with different seeds."""
    if workers == 1:
        return job(name, draws, 1)
    with ProcessPoolExecutor(workers) as pool:
        parts = [pool.submit(job, name, draws // workers, seed) for seed in range(1, workers + 1)]
        return [row for part in parts for row in part.result()]


def cell(kind: str, name: str, rows: list[tuple[Any, ...]], seconds: float, delta: float) -> dict[str, Any]:
    violated = int(sum(row[0] for row in rows))
    oracle = float(np.mean([row[2] for row in rows]))
    saving = float(np.mean([row[1] for row in rows]))
    plain = float(np.mean([row[3] for row in rows])) if len(rows[0]) > 3 else 0.0
    return {
        "kind": kind, "name": name, "delta": delta, "draws": len(rows), "violations": violated,
        "rate": violated / len(rows),
        "saving": saving, "best_possible": oracle, "power": saving / oracle if oracle > 0 else None,
        "of_holm": saving / plain if plain > 0 else None,
        "p": float(binomtest(violated, len(rows), delta, alternative="greater").pvalue), "seconds": round(seconds),
    }  # fmt: skip


def pass_shares(draws: int) -> dict[int, tuple[float, float]]:
    """By n, in a world where a saving truly exists: the share certified, and the share after the test split's veto."""
    print(f"\n{'n':>6}{'certified':>11}{'verdict pass':>14}   (3 candidates, margin .03, {draws} draws)")
    shares = {}
    for n in (100, 300, 1000):
        shares[n] = passes(n, draws)
        print(f"{n:6}{shares[n][0]:11.2f}{shares[n][1]:14.2f}", flush=True)
    return shares


def keep(cells: list[dict[str, Any]], shares: dict[int, tuple[float, float]]) -> list[dict[str, Any]]:
    """Merge new cells into tests/bench/guarantee.json, and return all that it now holds."""
    path = HERE / "guarantee.json"
    kept = json.loads(path.read_text()) if path.exists() else {"cells": [], "pass_shares": {}}
    new = {(c["kind"], c["name"]) for c in cells}
    every = [c for c in kept["cells"] if (c["kind"], c["name"]) not in new] + cells
    every.sort(key=lambda c: (c["kind"], c["name"]))
    passed = kept["pass_shares"] | {str(n): share for n, share in shares.items()}
    path.write_text(json.dumps({"delta": DELTA, "cells": every, "pass_shares": passed}, indent=1) + "\n")
    return every


def run(jobs: list[Job], workers: int) -> None:
    """Every cell, printed and kept as it is done."""
    print(
        f"{'cell':68}{'draws':>7}{'violated':>10}{'saving':>9}{'possible':>10}{'power':>7}"
        f"{'of Holm':>9}{'p':>8}{'s':>7}",
        flush=True,
    )
    for kind, name, job, draws, delta in jobs:
        start = time.time()
        rows = spread(job, name, draws, workers)
        one = cell(kind, name, rows, time.time() - start, delta)
        keep([one], {})
        power, of_holm = ("-" if one[k] is None else f"{one[k]:.2f}" for k in ("power", "of_holm"))
        print(
            f"{kind + ': ' + name:68}{one['draws']:7}{one['rate']:10.3f}{one['saving']:9.3f}"
            f"{one['best_possible']:10.3f}{power:>7}{of_holm:>9}{one['p']:8.3f}{one['seconds']:7}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--pipeline", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--only", default="", help="cells whose `kind: name` holds this text; `pass` = the shares alone"
    )
    asked = parser.parse_args()
    jobs: list[Job] = [
        *(("dynamic", name, dynamic_draws, asked.draws, DELTA) for name in DYNAMIC),
        *(("crowd", name, partial(crowd_draws, delta=DELTA), asked.draws, DELTA) for name in CROWDS),
        *(("table", name, table_draws, asked.draws, DELTA) for name in TABLES),
        *(("pipeline", name, pipeline_draws, asked.pipeline, DELTA) for name in CELLS),
        *(
            (f"bound at {delta:g}", name, partial(bound_draws, delta=delta), asked.draws, delta)
            for name in BOUNDS
            for delta in DELTAS
        ),
        *(
            (f"two-phase bound at {delta:g}", name, partial(phased_draws, delta=delta), asked.draws, delta)
            for name in PHASED
            for delta in DELTAS
        ),
        *(("two-phase choice", name, phased_choices, asked.pipeline, DELTA) for name in CHOSEN),
    ]
    run([job for job in jobs if asked.only in f"{job[0]}: {job[1]}" and job[3]], asked.workers)
    cells = keep([], pass_shares(max(1, asked.pipeline // 4)) if asked.only in ("", "pass") else {})
    adjusted = holm([c["p"] for c in cells])
    worst = int(np.argmin(adjusted))
    sound = adjusted[worst] > 0.05
    finding = "no violation rate above delta was found" if sound else "ABOVE DELTA"
    least = f"least Holm-adjusted p {adjusted[worst]:.3f} ({cells[worst]['name']})"
    print(f"{len(cells)} cells: {least}: {finding}")
    sys.exit(int(not sound))


if __name__ == "__main__":
    main()
