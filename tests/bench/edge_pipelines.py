"""Whole-pipeline worlds at the edge, through `fit_policy` alone: what a promise has to survive beside plain samples.

Each kind of prompt has words of its own, and a candidate is right on a kind with one probability, so the truth is
known: outcomes that are missing because they were wrong, levels that nobody reaches and a reference picked by its luck,
fits of the same rows repeated until one passes, outages, and a reader of prompts beside a candidate for everything who
both lose a little more than is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.config import Recipe
from router_lab.runtime.policy import Policy
from tests.bench.pipeline_worlds import WORDS, fitted

BEYOND = 1.02
"""What must not pass loses so many margins."""


@dataclass(frozen=True)
class Edge:
    """right[kind][candidate]: probability of a right answer; the last candidate is the reference of a margin. costs:
    dollars of an answer. level: the margin, or under `min_quality` the least quality, with reference `best`.
    hidden: share of rows on which the first candidate was wrong and its outcome is missing. missing: of all outcomes,
    at random. infra: share of the runs that an outage took. fits: of the same rows, in other orders and with other
    seeds; one that breaks the promise breaks it. told: whether there are prompts to read, which takes twice as long."""

    right: tuple[tuple[float, ...], ...]
    costs: tuple[float, ...]
    n: int
    level: float
    rule: Literal["margin", "min_quality"] = "margin"
    hidden: float = 0.0
    missing: float = 0.0
    infra: float = 0.0
    fits: int = 1
    told: bool = False
    suites: int = 1
    """Every candidate is as good in each, unless there are as many kinds, and they are `apart`: one a suite."""
    apart: bool = False

    @property
    def recipe(self) -> Recipe:
        last = {"model": model(len(self.costs) - 1)}
        rule = {self.rule: self.level, "confidence": 0.9}
        reference: Any = "best" if self.rule == "min_quality" else last
        return Recipe.model_validate({"name": "edge", "rule": rule, "reference": reference, "holdout": 0.0})


def cheap(loss: float, *, right: float = 0.8, **more: Any) -> Edge:
    """One candidate that loses `loss`, beside the reference."""
    return Edge(((right - loss, right),), (0.1, 1.0), **more)


def both(n: int, margin: float) -> Edge:
    """A candidate for everything and, still cheaper, two that are as good on one of two kinds of prompts each: both
    ways lose BEYOND margins."""
    loss = 0.8 - BEYOND * margin
    return Edge(
        ((loss, 0.3, loss, 0.8), (0.3, loss, loss, 0.8)), (0.05, 0.05, 0.1, 1.0), n, margin, told=True
    )


def crowd(candidates: int, suites: int, n: int, margin: float, *, kinds: int = 1, told: bool = False) -> Edge:
    """Candidates that each lose BEYOND margins in every suite: in each of them another may be the luckiest."""
    right = (*(0.95 - BEYOND * margin,) * candidates, 0.95)
    return Edge((right,) * kinds, crowded(candidates), n, margin, suites=suites, told=told)


def uneven(candidates: int, suites: int, n: int, margin: float, most: float) -> Edge:
    """Candidates that each lose between nothing and `most` in a suite, as drawn once: there is much to choose from."""
    lost = np.random.default_rng(5).uniform(0, most, (suites, candidates))
    right = tuple((*(float(0.9 - loss) for loss in row), 0.9) for row in lost)
    return Edge(right, crowded(candidates), n, margin, suites=suites, apart=True)


def crowded(candidates: int) -> tuple[float, ...]:
    """Dollars of an answer: nearly alike, and the reference ten times as dear."""
    return (*(0.1 + 0.001 * j for j in range(candidates)), 1.0)


def below(candidates: int, n: int, by: float) -> Edge:
    """All candidates reach the level less `by`."""
    costs = tuple(float(c) for c in np.linspace(0.1, 1, candidates))
    return Edge(((0.8 - by,) * candidates,), costs, n, 0.8, "min_quality")


EDGES = {
    "4 % missing that were wrong, n 500": cheap(BEYOND * 0.04, n=500, level=0.04, hidden=0.04),
    "4 % missing that were wrong, n 1000": cheap(BEYOND * 0.03, n=1000, level=0.03, hidden=0.04),
    "4 % missing by chance from an equal, n 1000": cheap(0.0, n=1000, level=0.05, missing=0.04),
    "25 candidates below a least quality, reference best, n 300": below(25, 300, 0.01),
    "5 candidates below a least quality, reference best, n 300": below(5, 300, 0.01),
    "5 candidates below a least quality, reference best, n 1000": below(5, 1000, 0.005),
    "5 candidates above a least quality, reference best, n 500": below(5, 500, -0.07),
    "1 candidate at the edge, one fit, n 300": cheap(BEYOND * 0.05, n=300, level=0.05, told=True),
    "1 candidate at the edge, 8 fits of the same rows, n 300": cheap(
        BEYOND * 0.05, n=300, level=0.05, fits=8, told=True
    ),
    "2 % infra, an equal that costs a tenth, n 500": cheap(0.0, n=500, level=0.05, infra=0.02),
    "a reader and a fixed candidate at the edge, n 300": both(300, 0.05),
    "a reader and a fixed candidate at the edge, n 1000": both(1000, 0.03),
    "8 candidates at the edge in 5 suites, n 500": crowd(8, 5, 500, 0.03),
    "3 candidates at the edge in 12 suites, n 1200": crowd(3, 12, 1200, 0.03),
    "8 candidates at the edge in 5 suites with 5 kinds of prompts, n 500": crowd(
        8, 5, 500, 0.03, kinds=5, told=True
    ),
    "4 candidates that lose otherwise in each of 6 suites, n 600": uneven(4, 6, 600, 0.03, 0.12),
    "3 candidates that lose otherwise in each of 12 suites, n 1200": uneven(3, 12, 1200, 0.03, 0.12),
}


def model(column: int) -> str:
    return f"m{column:02d}"


def prompts(kinds: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    """Eight words of each row's kind and, at the end, a number of its own."""
    of = max(2, int(kinds.max(initial=0)) + 1)
    words = rng.integers(0, len(WORDS) // of, (len(kinds), 8)) * of + kinds[:, None]
    return [" ".join(WORDS[w] for w in row) + f" {i}" for i, row in enumerate(words)]


def table(edge: Edge, rng: np.random.Generator) -> pd.DataFrame:
    """Outcomes of one draw, raw."""
    right = np.array(edge.right)
    kinds = np.arange(edge.n) % edge.suites if edge.apart else rng.integers(0, len(right), edge.n)
    good = rng.random((edge.n, right.shape[1])) < right[kinds]
    cost = np.array(edge.costs) * rng.uniform(0.8, 1.2, good.shape)
    gone = rng.random(good.shape) < edge.missing
    wrong = 1 - right[kinds, 0]
    gone[:, 0] |= ~good[:, 0] & (rng.random(edge.n) < edge.hidden / wrong)
    lost = rng.random(good.shape) < edge.infra
    told = prompts(kinds, rng) if edge.told else [None] * edge.n
    rows = [
        {
            "suite": f"suite {i % edge.suites}", "sample_id": f"s{i:06d}", "model": model(j), "prompt": told[i],
            "quality": None if lost[i, j] else float(good[i, j]), "cost_usd": float(cost[i, j]),
            "status": "infra" if lost[i, j] else "ok",
        }
        for i in range(edge.n)
        for j in range(right.shape[1])
        if not gone[i, j]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def judged(edge: Edge, policy: Policy, fresh: tuple[list[str], NDArray[np.int64]]) -> tuple[bool, float]:
    """Whether the promise is broken, and what is truly saved of the reference's cost."""
    told, kinds = fresh
    truth, cost, ref = np.array(edge.right)[kinds], np.array(edge.costs), policy.spec.reference
    shares = policy.shares(told, [f"suite {i % edge.suites}" for i in range(len(told))])
    quality = float((shares * truth).sum(axis=1).mean())
    saved = 1 - float((shares @ cost).mean()) / edge.costs[ref]
    if edge.infra:
        return bool(shares[:, ref].min() < 1), saved
    if edge.rule == "margin":
        return float(truth[:, ref].mean()) - quality > edge.level, saved
    passed = policy.spec.certificate["verdict"] == "pass"
    return passed and quality < edge.level, saved if passed else 0.0


def edge_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float]]:
    """For each draw: violated (by any of its fits), true saving of the first fit, and the most that may be saved."""
    edge = EDGES[name]
    kinds = np.arange(2000) % len(edge.right)
    fresh = (prompts(kinds, np.random.default_rng(99)), kinds)
    possible, result = most(edge), []
    for i in range(draws):
        rng = np.random.default_rng([seed, i])
        outcomes, found = table(edge, rng), []
        for again in range(edge.fits):
            rows = (
                outcomes
                if not again
                else outcomes.iloc[rng.permutation(len(outcomes))].reset_index(drop=True)
            )
            found.append(judged(edge, fitted(edge.recipe, rows, seed=again), fresh))
        result.append((any(broken for broken, _ in found), found[0][1], possible))
    return result


def most(edge: Edge) -> float:
    """The saving of the best way of each kind, mixed down to the margin; of a least quality that all reach the
    cheapest's against the mean candidate, which is as often the reference as any; nothing where nothing may be."""
    right, cost = np.array(edge.right), np.array(edge.costs)
    if edge.infra:
        return 0.0
    if edge.rule == "min_quality":
        return 1 - cost[0] / float(cost.mean()) if right.min() >= edge.level else 0.0
    best = 0.0
    for price in np.geomspace(1e-3, 1e3, 61):
        pick = (right - cost / price).argmax(axis=1)
        loss = float((right[:, -1] - right[np.arange(len(right)), pick]).mean())
        best = max(best, (1 - float(cost[pick].mean()) / cost[-1]) * min(1.0, edge.level / max(loss, 1e-9)))
    return best
