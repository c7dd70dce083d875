"""`make bench-guarantee`: how often a certified loss is larger than certified, and what the caution costs.

Simulated worlds with a known truth. Prints one row a cell, then Holm-corrected binomial tests over all of them, and
keeps the figures in tests/bench/guarantee.json, cell by cell: whatever is run alone leaves the others as they are.
`--draws N` (2000), `--pipeline N` (200), `--only NAME`, `--workers N` (1; figures do not depend on it).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

# Before numpy is there: the draws are what runs side by side.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.fit.choose import Choice, act, constants, family
from router_lab.fit.evidence import Evidence, Goal
from router_lab.fit.folds import group_folds
from router_lab.fit.rivals import rivals
from router_lab.fit.table import routing_table
from router_lab.metrics import clustered_mean, holm
from router_lab.metrics.paired import Recorded
from router_lab.metrics.steady import t_below
from router_lab.runtime.files import atomic_write
from tests.bench.edge_pipelines import EDGES, edge_draws
from tests.bench.edge_worlds import BOUNDS, CROWDS, bound_draws, crowd_draws
from tests.bench.pipeline_worlds import CELLS, passes, pipeline_draws
from tests.bench.savings_worlds import INTERVALS, SIDES, interval_draws
from tests.bench.twophase_worlds import CHOSEN, PHASED, phased_choices, phased_draws
from tests.bench.worlds import Draw, World, draw

Draws = Callable[[str, int, int], list[Any]]


class Job(NamedTuple):
    """A cell: its draws, how many, and the promised error. one: draws of a part, each with a seed of its own."""

    kind: str
    name: str
    draws_of: Draws
    draws: int
    delta: float
    one: int = 500


DELTAS = (0.10, 0.05, 0.01, 0.001)
"""Of the bound alone; all else promises DELTA."""
SIDE_DELTAS = (0.025, 0.10)
"""Of each side of a saving's interval: as it is shown, and as a gate asks for it."""
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
        action = act([option], {option.predictor: (population.scores, population.guesses)}, at)[0]
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


@lru_cache
def population_of(world: World, n: int) -> Draw:
    return draw(world, 20_000 if n <= 1000 else 50_000, np.random.default_rng(10_000))


def dynamic_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float]]:
    """For each draw: violated, true saving, saving of the oracle threshold."""
    world, n, margin, strict = DYNAMIC[name]
    population = population_of(world, n)
    oracle: dict[int, float] = {}
    result = []
    for i in range(draws):
        rows = draw(world, n, np.random.default_rng([seed, i]))
        evidence = evidence_of(rows, fold_seed=i)
        options, actions = family({"blend": (rows.scores, rows.guesses)}, evidence)
        goal = Goal("margin", margin, 1 - DELTA, strict=strict)
        found = rivals(options, actions, *constants(evidence, goal), evidence, goal).deployed
        loss, saving = truth_of(found, population, evidence)
        if evidence.reference not in oracle:
            oracle[evidence.reference] = best_true_saving(population, evidence, margin)
        result.append((loss > margin, saving, oracle[evidence.reference]))
    return result


def table_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float, float]]:
    """For each draw: any passed cell that truly loses more, saving of the table, saving of the true table, and what
    plain paired t-tests with Holm's correction would have let through."""
    world, n, margin = TABLES[name]
    population = population_of(world, n)
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
                (
                    1 - price[j] / price[reference]
                    for j in range(reference)
                    if row[reference] - row[j] <= margin
                ),
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
        max(
            (1 - price[j] / price[reference] for j in range(reference) if adjusted[s, j] <= DELTA),
            default=0.0,
        )
        for s in np.unique(rows.suite)
    ]
    return float(np.mean(saved))


def timed(job: Draws, name: str, draws: int, seed: int) -> tuple[list[Any], float]:
    start = time.process_time()
    return job(name, draws, seed), time.process_time() - start


def parts(job: Job) -> list[int]:
    """Draws of each part: the same whoever runs them."""
    return [min(job.one, job.draws - first) for first in range(0, job.draws, job.one)]


def results(jobs: list[Job], workers: int) -> Iterator[tuple[Job, list[Any], float]]:
    """Each job's draws and the seconds of a processor that they took, in order; in `workers` processes."""
    with ProcessPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
        begun = [[begin(pool, job, draws, seed) for seed, draws in enumerate(parts(job), 1)] for job in jobs]
        for job, pieces in zip(jobs, begun, strict=True):
            found = [piece.result() if isinstance(piece, Future) else piece() for piece in pieces]
            yield job, [row for rows, _ in found for row in rows], sum(seconds for _, seconds in found)


def begin(pool: Executor | None, job: Job, draws: int, seed: int) -> Any:
    """A part under way in `pool`; without one what does it when called."""
    one = partial(timed, job.draws_of, job.name, draws, seed)
    return one if pool is None else pool.submit(one)


def cell(job: Job, rows: list[tuple[Any, ...]], seconds: float) -> dict[str, Any]:
    violated = int(sum(row[0] for row in rows))
    oracle = float(np.mean([row[2] for row in rows]))
    saving = float(np.mean([row[1] for row in rows]))
    plain = float(np.mean([row[3] for row in rows])) if len(rows[0]) > 3 else 0.0
    bound = job.kind.startswith(("bound", "interval"))
    return {
        "kind": job.kind, "name": job.name, "delta": job.delta, "draws": len(rows), "violations": violated,
        "rate": violated / len(rows), "acts": None if bound else float(np.mean([row[1] > 1e-9 for row in rows])),
        "saving": saving, "best_possible": oracle, "power": saving / oracle if oracle > 0 else None,
        "of_holm": saving / plain if plain > 0 else None,
        "p": float(binomtest(violated, len(rows), job.delta, alternative="greater").pvalue), "seconds": round(seconds),
    }  # fmt: skip


def pass_shares(draws: int, workers: int) -> dict[int, tuple[float, float]]:
    """By n, in a world where a saving truly exists: the share certified, and the share after the test split's veto."""
    print(f"\n{'n':>6}{'certified':>11}{'verdict pass':>14}   (3 candidates, margin .03, {draws} draws)")
    shares = {}
    for job, rows, _ in results(
        [Job("pass", str(n), passes, draws, DELTA, 25) for n in (100, 300, 1000)], workers
    ):
        before, after = (float(np.mean(column)) for column in zip(*rows, strict=True))
        shares[int(job.name)] = before, after
        print(f"{job.name:>6}{before:11.2f}{after:14.2f}", flush=True)
    return shares


def keep(
    cells: list[dict[str, Any]], shares: dict[int, tuple[float, float]], known: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Merge new cells into tests/bench/guarantee.json, leave out those of no `known` world, return all it now holds."""
    path = HERE / "guarantee.json"
    kept = json.loads(path.read_text()) if path.exists() else {"cells": [], "pass_shares": {}}
    every = {(c["kind"], c["name"]): c for c in [*kept["cells"], *cells]}
    told = [every[key] for key in sorted(every) if key in known]
    passed = kept["pass_shares"] | {str(n): share for n, share in shares.items()}
    text = json.dumps({"delta": DELTA, "cells": told, "pass_shares": passed}, indent=1)
    atomic_write(path, f"{text}\n".encode())
    return told


def run(jobs: list[Job], workers: int, known: set[tuple[str, str]]) -> None:
    """Every cell, printed and kept as it is done."""
    print(
        f"{'cell':80}{'draws':>7}{'violated':>10}{'acts':>7}{'saving':>9}{'possible':>10}{'power':>7}"
        f"{'of Holm':>9}{'p':>8}{'s':>7}",
        flush=True,
    )
    for job, rows, seconds in results(jobs, workers):
        one = cell(job, rows, seconds)
        keep([one], {}, known)
        acts, power, of_holm = (
            "-" if one[k] is None else f"{one[k]:.2f}" for k in ("acts", "power", "of_holm")
        )
        print(
            f"{job.kind + ': ' + job.name:80}{one['draws']:7}{one['rate']:10.3f}{acts:>7}{one['saving']:9.3f}"
            f"{one['best_possible']:10.3f}{power:>7}{of_holm:>9}{one['p']:8.3f}{one['seconds']:7}",
            flush=True,
        )


def every_job(draws: int, pipeline: int) -> list[Job]:
    return [
        *(Job("dynamic", name, dynamic_draws, draws, DELTA) for name in DYNAMIC),
        *(Job("crowd", name, partial(crowd_draws, delta=DELTA), draws, DELTA) for name in CROWDS),
        *(Job("table", name, table_draws, draws, DELTA) for name in TABLES),
        *(Job("pipeline", name, pipeline_draws, pipeline, DELTA, 50) for name in CELLS),
        *(
            Job("pipeline", name, edge_draws, max(1, pipeline // edge.fits), DELTA, 50)
            for name, edge in EDGES.items()
        ),
        *(
            Job(f"bound at {delta:g}", name, partial(bound_draws, delta=delta), draws, delta)
            for name in BOUNDS
            for delta in DELTAS
        ),
        *(
            Job(
                f"interval at {delta:g}",
                f"{name}: {side}",
                partial(interval_draws, delta=delta),
                draws,
                delta,
            )
            for name in INTERVALS
            for side in SIDES
            for delta in SIDE_DELTAS
        ),
        *(
            Job(f"two-phase bound at {delta:g}", name, partial(phased_draws, delta=delta), draws, delta)
            for name in PHASED
            for delta in DELTAS
        ),
        *(Job("two-phase choice", name, phased_choices, pipeline, DELTA) for name in CHOSEN),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--pipeline", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--only", default="", help="cells whose `kind: name` holds this text; `pass` = the shares alone"
    )
    asked = parser.parse_args()
    jobs = every_job(asked.draws, asked.pipeline)
    known = {(job.kind, job.name) for job in jobs}
    run([job for job in jobs if asked.only in f"{job.kind}: {job.name}" and job.draws], asked.workers, known)
    cells = keep(
        [],
        pass_shares(max(1, asked.pipeline // 4), asked.workers) if asked.only in ("", "pass") else {},
        known,
    )
    adjusted = holm([c["p"] for c in cells])
    worst = int(np.argmin(adjusted))
    sound = adjusted[worst] > 0.05
    finding = "no violation rate above delta was found" if sound else "ABOVE DELTA"
    least = f"least Holm-adjusted p {adjusted[worst]:.3f} ({cells[worst]['name']})"
    print(f"{len(cells)} cells: {least}: {finding}")
    sys.exit(int(not sound))


if __name__ == "__main__":
    main()
