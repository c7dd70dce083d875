"""Whole-pipeline worlds: prompts whose words tell how hard they are, fitted by `fit_policy`, judged by known truth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtri

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.features import extract
from router_lab.runtime.policy import Policy
from router_lab.runtime.predict import Predictor

WORDS = [
    f"{a}{b}" for a in ("ba", "ke", "lo", "mi", "nu", "pa", "re", "so", "tu", "vi") for b in "bdfgklmnprst"
]


@dataclass(frozen=True)
class Texts:
    """candidates, rows, mean rows a cluster, suites, and how much the words tell (0 = nothing).

    copies_across: each prompt stands in that many suites. template: rows of one template, which differ in a name and a
    number. Copies get the same answers, whatever the suite, and the table has no `group`. vocabulary: words that there
    are; with few, fresh prompts are made of what was seen, so that their coverage keeps no policy from being followed.
    """

    candidates: int
    n: int
    margin: float
    cluster: int = 1
    suites: int = 2
    told: float = 1.0
    holdout: float = 0.0
    copies_across: int = 1
    template: int = 1
    vocabulary: int = len(WORDS)

    @property
    def alike(self) -> int:
        """Rows that get the same answers."""
        return max(self.copies_across, self.template)


CELLS = {
    "2 candidates, n 300": Texts(2, 300, 0.05),
    "4 candidates, n 500": Texts(4, 500, 0.04),
    "4 candidates, clusters of 4, n 600": Texts(4, 600, 0.05, cluster=4),
    "8 candidates, words tell nothing, n 300": Texts(8, 300, 0.05, told=0.0),
    "2 candidates, the same 60 prompts in 5 suites": Texts(
        2, 300, 0.05, suites=5, told=0.0, copies_across=5, vocabulary=10
    ),
    "4 candidates, the same 60 prompts in 5 suites": Texts(
        4, 300, 0.05, suites=5, told=0.3, copies_across=5, vocabulary=10
    ),
    "4 candidates, 30 templates of 10 without group": Texts(
        4, 300, 0.05, told=0.0, template=10, vocabulary=10
    ),
    "4 candidates, 60 templates of 5 without group": Texts(4, 300, 0.05, told=0.3, template=5, vocabulary=10),
}
NAMES = ("Ana", "Farid", "Gita", "Hugo", "Ines", "Jack", "Kira", "Liam", "Mona", "Nils", "Omar", "Priya")
Population = tuple[list[str], list[str], NDArray[np.float64], NDArray[np.float64]]


def texts(
    cell: Texts, n: int, rng: np.random.Generator, *, even: bool = False
) -> tuple[list[str], list[str], Any, Any, Any]:
    """Prompts, suites, true probabilities [n, c], mean costs [n, c] and groups of n rows; `even` takes the quantiles of
    the difficulty instead of drawing it, so that the mean over rows is nearly the truth."""
    group = np.arange(n) // cell.cluster
    hard = (rng.permutation(ndtri((np.arange(n) + 0.5) / n)) if even else rng.normal(0, 1, n))[group]
    suite = group % cell.suites
    prompts, words = [], WORDS[: cell.vocabulary]
    for i in range(n):
        tilt = cell.told * hard[i]
        weights = np.exp(tilt * np.linspace(-1, 1, len(words)))
        prompts.append(" ".join(rng.choice(words, 12, p=weights / weights.sum())))
        prompts[i] += f" for {NAMES[i % len(NAMES)]} and {i % 29 + 2}" if cell.template > 1 else ""
        prompts[i] += f" {i}" if cell.alike == 1 else ""
    strength = np.linspace(0, 1.5, cell.candidates)
    truth = 1 / (
        1 + np.exp(-2 * (strength + 0.5 - (hard + (0.5 if cell.alike == 1 else 0) * suite)[:, None]))
    )
    costs = 10.0 ** np.linspace(-2, 0, cell.candidates) * np.ones((n, 1))
    return prompts, [f"suite-{s}" for s in suite], truth, costs, group


def table(cell: Texts, rng: np.random.Generator, n: int | None = None) -> pd.DataFrame:
    """Outcomes of one draw, raw."""
    prompts, suites, truth, costs, group = texts(cell, n or cell.n, rng)
    if cell.alike > 1:
        return _alike(cell, (prompts, suites, truth, costs), rng)
    rows = [
        {
            "suite": suites[i], "sample_id": f"s{i:06d}", "model": f"m{j}", "prompt": prompts[i],
            "group": f"g{group[i]}",
            "quality": float(rng.random() < truth[i, j]), "cost_usd": float(costs[i, j] * rng.uniform(0.8, 1.2)),
        }
        for i in range(len(prompts))
        for j in range(cell.candidates)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _alike(cell: Texts, first: Population, rng: np.random.Generator) -> pd.DataFrame:
    """The first row of every `cell.alike` rows, told again: in other suites, or with another name and number."""
    prompts, suites, truth, costs = first
    rows = []
    for i in range(0, len(prompts), cell.alike):
        draws = rng.random(cell.candidates) < truth[i]
        for again in range(cell.alike):
            prompt, suite = prompts[i], suites[i]
            if cell.copies_across > 1:
                suite = f"suite-{again}"
            else:
                at = i + 7 * again
                prompt = f"{prompt.rsplit(' for ', 1)[0]} for {NAMES[at % len(NAMES)]} and {at % 29 + 2}"
            rows += [
                {
                    "suite": suite, "sample_id": f"s{i + again:06d}", "model": f"m{j}", "prompt": prompt,
                    "quality": float(draws[j]), "cost_usd": float(costs[i, j] * rng.uniform(0.8, 1.2)),
                }
                for j in range(cell.candidates)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def true_loss(policy: Policy, population: Population) -> tuple[float, float]:
    """True loss of quality and true saving of a deployed policy against its reference."""
    prompts, suites, truth, costs = population
    told = Told.of(tuple(prompts), policy.spec.featuriser.buckets, policy.spec.featuriser.cap)
    with patch.object(Predictor, "_sums", told.summed(policy).__getitem__):
        shares = policy.shares(prompts, suites)
    ref = policy.spec.reference
    loss = float((truth[:, ref] - (shares * truth).sum(axis=1)).mean())
    return loss, 1 - float((shares * costs).sum() / costs[:, ref].sum())


@dataclass(frozen=True)
class Told:
    """What fresh prompts tell any policy, read once: which of the `buckets` [K] each has (a matrix [n, K]), and its
    counts [n, d]."""

    prompts: tuple[str, ...]
    buckets: NDArray[np.int64]
    has: sp.csr_array
    counts: NDArray[np.int64]

    @staticmethod
    @lru_cache(maxsize=8)
    def of(prompts: tuple[str, ...], buckets: int, cap: int) -> Told:
        read = [extract(prompt, buckets=buckets, cap=cap) for prompt in prompts]
        known, place = np.unique(np.concatenate([one.buckets for one in read]), return_inverse=True)
        row = np.repeat(np.arange(len(read)), [len(one.buckets) for one in read])
        has = sp.csr_array((np.ones(len(row)), (row, place)), shape=(len(read), len(known)))
        return Told(prompts, known.astype(np.int64), has, np.array([one.counts for one in read]))

    def summed(self, policy: Policy) -> dict[str, Any]:
        """`Predictor._sums` of all prompts at once: sums of whole numbers, so the same; tried on the first."""
        own = policy._predictor
        rows = own._row_of[self.buckets].astype(np.int64)
        sums = (self.has @ own._rows[rows].astype(np.float64)).astype(np.int64)
        dense = own._scores[self.counts, own._features] @ own._dense
        seen, size = self.has @ (rows > 0).astype(np.float64), np.diff(self.has.indptr)
        found = dict(zip(self.prompts, zip(sums, dense, seen, size, strict=True), strict=True))
        for mine, right in zip(found[self.prompts[0]], own._sums(self.prompts[0]), strict=True):
            assert np.array_equal(np.asarray(mine), np.asarray(right))
        return found


@lru_cache(maxsize=4)
def fresh(cell: Texts, n: int = 20_000) -> Population:
    """Rows that no fit sees: so many that their mean loss is within .002 of the truth, which all draws share."""
    prompts, suites, truth, costs, _ = texts(
        replace(cell, cluster=1), n, np.random.default_rng(99), even=True
    )
    return prompts, suites, truth, costs


def fitted(recipe: Recipe, outcomes: pd.DataFrame, seed: int = 0) -> Policy:
    """`fit_policy`, whose warnings are the same for every draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouterLabWarning)
        return fit_policy(recipe, outcomes, seed=seed)


def recipe(cell: Texts) -> Recipe:
    rule = {"margin": cell.margin, "confidence": 0.9}
    return Recipe.model_validate({"name": "world", "rule": rule, "holdout": cell.holdout})


def pipeline_draws(name: str, draws: int, seed: int) -> list[tuple[bool, float, float]]:
    """For each draw: violated, true saving, saving of the best threshold on the true difficulty."""
    cell = CELLS[name]
    population = fresh(cell)
    possible = ceiling(cell)
    result = []
    for i in range(draws):
        policy = fitted(recipe(cell), table(cell, np.random.default_rng([seed, i])))
        loss, saving = true_loss(policy, population)
        result.append((loss > cell.margin, saving, possible))
    return result


@lru_cache
def ceiling(cell: Texts) -> float:
    """Saving of the best rule that knows the truth: per row the best q - lambda cost, for the largest lambda within the
    margin, the last step mixed."""
    _, _, truth, costs = fresh(cell)
    ref = cell.candidates - 1
    best = 0.0
    for tradeoff in np.geomspace(0.001, 30, 60):
        pick = (truth - tradeoff * costs).argmax(axis=1)
        rows = np.arange(len(pick))
        loss = float((truth[:, ref] - truth[rows, pick]).mean())
        saved = 1 - float(costs[rows, pick].sum() / costs[:, ref].sum())
        best = max(best, saved * (1.0 if loss <= cell.margin else cell.margin / loss))
    return best


def passes(n: str, draws: int, seed: int) -> list[tuple[bool, bool]]:
    """Where a saving truly exists, for each draw of `n` rows: `pass` before, and after a test split could veto."""
    cell = Texts(3, int(n), 0.03, holdout=0.2)
    result = []
    for i in range(draws):
        policy = fitted(recipe(cell), table(cell, np.random.default_rng([seed, int(n), i])))
        shown = policy.spec.certificate["points"]["default"]["shown"]
        result.append((shown, shown and policy.spec.certificate["verdict"] == "pass"))
    return result
