"""`make bench-twophase`: how many samples of the reference a drawn part spares, on real recorded outcomes.

For each data set the reference (the best mean; `Set` of bench-quality) is taken from all samples but those of groups
drawn with probability `--share` (.25), and each other candidate is compared with it on what is left: once by weighting
the drawn rows, once by regression on the others' outcomes. `needs` is the ratio of the two variances: so many samples
of the reference show as much, were there more of both kinds. Then policies: what a fit certifies of either, at margin
.03 and confidence .9, in `--fits N` (2) draws. `--draws N` (20), `--only NAME`. What is not there is skipped, said so.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import build
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence
from router_lab.fit.folds import deal_of, group_folds
from router_lab.fit.problem import prepare
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix
from router_lab.racing.order import in_share
from router_lab.runtime.errors import RouterLabWarning
from tests.bench.quality import Set, load

NAMES = ("mmlu", "gsm8k", "pricerev_prevgen", "lineage_bench", "recorded")
FITTED = ("gsm8k", "pricerev_prevgen", "lineage_bench", "recorded")
SHOWN = 3
"""Candidates of each set that are printed, those nearest to the reference in quality."""


def drawn_of(data: OutcomeMatrix, share: float, seed: int) -> np.ndarray:
    """[n] rows of the groups that a sweep with this seed draws."""
    kept = [in_share(seed, *name, share, part="reference") for name in data.groups]
    return np.array(kept)[data.name]


def without(data: OutcomeMatrix, reference: int, drawn: np.ndarray, share: float) -> OutcomeMatrix:
    """The outcomes without those of the reference that were not drawn."""
    quality, cost, weight = data.quality.copy(), data.cost_usd.copy(), data.weight.copy()
    quality[~drawn, reference] = cost[~drawn, reference] = np.nan
    weight[:, reference] = 1 / share
    return replace(data, quality=quality, cost_usd=cost, weight=weight)


def evidence_of(data: OutcomeMatrix, reference: int) -> Evidence:
    folds = group_folds(data.suite, data.group, deal_of(data), 6)
    return Evidence.bare(Recorded.of(data, reference), fold=folds)


def reference_of(data: OutcomeMatrix) -> tuple[int, list[int]]:
    """The best mean of those who ran nearly everywhere, and the others of them, nearest first."""
    everywhere = (~np.isnan(data.quality)).mean(axis=0) >= 0.95
    means = np.where(everywhere, np.nanmean(data.quality, axis=0), -1)
    best = int(means.argmax())
    others = [int(j) for j in np.argsort(-means, kind="stable") if everywhere[j] and j != best]
    return best, others


def pairs(one: Set, share: float, draws: int) -> None:
    """A line a candidate: variance by regression over that by weighting, of quality and of savings, and what is left
    of the reach of the bound."""
    data = one.data
    reference, others = reference_of(data)
    ratios: dict[int, list[tuple[float, ...]]] = {j: [] for j in others[:SHOWN]}
    for seed in range(draws):
        drawn = drawn_of(data, share, seed)
        before = evidence_of(without(data, reference, drawn, share), reference)
        after = completed(before, drawn, data.suite)
        assert after.phases is not None
        for j in ratios:
            found = [e.always(j) for e in (after, before)]
            (gain, saved), (plain, spared) = [(paired.gain(), paired.saving()) for paired in found]
            squares = [one.se * one.se for one in (gain, plain, saved, spared)]
            reaches = [one.value - one.low(0.9) for one in (gain, plain)]
            ratios[j].append((*squares, *reaches, float(after.phases.completed)))
    for j, rows in ratios.items():
        square, plain_square, money, plain_money, reach, plain_reach, used = np.mean(rows, axis=0)
        print(
            f"{one.name:18}{len(data):7}  {str(data.candidates[j])[:34]:36}{square / plain_square:7.2f}"
            f"{money / plain_money:9.2f}"
            f"{100 * plain_reach:9.2f}{100 * reach:7.2f}{used:7.2f}",
            flush=True,
        )


def policies(one: Set, share: float, fits: int) -> None:
    """What a fit certifies with the reference on all rows, and on a drawn part by regression and by weighting."""
    data = one.data
    reference = data.candidates[reference_of(data)[0]]
    recipe = Recipe.model_validate(
        {"name": "two", "rule": {"margin": 0.03, "confidence": 0.9}, "holdout": 0, "escalate": False,
         "reference": {"model": reference.model, "effort": reference.effort}}
    )  # fmt: skip
    whole = prepare(recipe, one.frame)
    saved = [_saved(whole), [], []]
    for seed in range(fits):
        drawn = drawn_of(whole.develop, share, seed)
        part = replace(whole, develop=without(whole.develop, whole.reference, drawn, share))
        saved[1] += _saved(part)
        with patch.object(build, "completed", lambda evidence, *_, **__: evidence):
            saved[2] += _saved(part)
    told = "".join(f"{np.mean(row):12.3f}" for row in saved)
    print(f"{one.name:18}{len(data):7}{told}", flush=True)


def _saved(problem: object) -> list[float]:
    policy = build.fit_problem(problem, deal_of(problem.develop))  # type: ignore[attr-defined,arg-type]
    shown = Certificate.of(policy)
    return [(shown.savings.value or 0.0) if shown.savings is not None and shown.verdict == "pass" else 0.0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--fits", type=int, default=2)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RouterLabWarning)
    sets = [found for name in NAMES if asked.only in name and (found := load(name)) is not None]
    print(
        f"reference on {asked.share:g} of the groups, {asked.draws} draws; reach of the 90 % bound in points"
    )
    print(
        f"{'set':18}{'n':>7}  {'candidate':36}{'needs':>7}{'savings':>9}{'weighted':>9}{'now':>7}{'used':>7}"
    )
    for one in sets:
        pairs(one, asked.share, asked.draws)
    print(f"\ncertified saving at margin .03, {asked.fits} draws")
    print(f"{'set':18}{'n':>7}{'on all':>12}{'regression':>12}{'weighting':>12}")
    for one in sets:
        if one.name in FITTED and asked.fits:
            policies(one, asked.share, asked.fits)


if __name__ == "__main__":
    main()
