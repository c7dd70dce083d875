"""`make bench-chains`: what chains and caps save on real recorded outcomes, and what `judge` costs.

Every policy is fitted on four of the folds that come with the data (`holdout: 0`) and replayed on the fifth; what is
printed is pooled over the folds, paired and clustered. The data folder is $ROUTER_LAB_BENCH_DATA, by default
../shared/data; what is not there is skipped and said so. `--only cascade|mmlu|agents|pools|judge`.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics import Estimate
from router_lab.metrics.estimate import clustered_mean, paired_saving
from router_lab.metrics.paired import Floats, Ints
from router_lab.replay import Replay, replay
from router_lab.runtime.decision import Decision
from router_lab.runtime.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", ROOT.parent / "shared" / "data"))
ANSWERS, HOSTILE = 1_000, 100_000
"""Answers that are timed, and that may not raise."""


class Folds(NamedTuple):
    """What a recipe gives over all folds, row by row, in their order."""

    cost: Floats
    base: Floats
    gain: Floats
    group: Ints
    mix: Floats
    policies: tuple[Policy, ...]
    by_fold: tuple[float, ...]

    @property
    def saving(self) -> Estimate:
        return paired_saving(self.cost, self.base, self.group, reference=self.base)

    def over(self, cost: Floats) -> Estimate:
        """What is saved more than by paying `cost`."""
        return paired_saving(self.cost, cost, self.group, reference=self.base)

    @property
    def difference(self) -> Estimate:
        return clustered_mean(self.gain, self.group)


def folds(frame: pd.DataFrame, reference: tuple[str, str | None], margin: float, **changes: object) -> Folds:
    recipe = Recipe.model_validate(
        {"name": "bench", "reference": {"model": reference[0], "effort": reference[1]},
         "rule": {"margin": margin, "confidence": 0.9}, "holdout": 0.0} | changes
    )  # fmt: skip
    parts: list[Replay] = []
    policies = []
    for fold in sorted(frame["fold"].unique()):
        policies.append(fit_policy(recipe, frame[frame["fold"] != fold]))
        parts.append(replay(policies[-1], frame[frame["fold"] == fold]))
        print(f"  fold {fold} …", end="\r", file=sys.stderr, flush=True)
    groups, start = [], 0
    for part in parts:
        groups.append(part.rows.group + start)
        start = int(groups[-1].max()) + 1

    def every(values: Callable[[Replay], Floats]) -> Floats:
        return np.concatenate([values(part) for part in parts])

    return Folds(
        every(lambda one: one.rows.cost_usd), every(lambda one: one.rows.reference_cost_usd),
        every(lambda one: one.rows.quality - one.rows.reference_quality), np.concatenate(groups),
        every(lambda one: one.mix.cost_usd), tuple(policies), tuple(part.savings for part in parts),
    )  # fmt: skip


def told(estimate: Estimate, unit: str = "%") -> str:
    low, high = estimate.interval(0.95)
    digits = 2 if unit == "points" else 1
    return f"{100 * estimate.value:.{digits}f} {unit} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def line(name: str, found: Folds) -> str:
    each = ", ".join(f"{100 * saving:.1f}" for saving in found.by_fold)
    return f"{name:<34} saved {told(found.saving):<24} {told(found.difference, 'points'):<30} folds {each}"


def cascade(frame: pd.DataFrame, name: str) -> None:
    """Chains beside the same fit without, and beside the random mix."""
    print(
        f"\n{name}: {len(frame.drop_duplicates(['suite', 'sample_id'])):,} samples, margin 2.0 points, 90 %"
    )
    reference = ("llama3.1-405b", None)
    chains, alone = (folds(frame, reference, 0.02, escalate=on) for on in (True, False))
    print(line("chains", chains))
    print(line("escalate: false", alone))
    print(f"{'chains over escalate: false':<34} saved {told(chains.over(alone.cost))}, lower 95 % bound "
          f"{100 * chains.over(alone.cost).low(0.95):+.1f}")  # fmt: skip
    mix = paired_saving(chains.mix, chains.base, chains.group, reference=chains.base)
    print(f"{'random mix':<34} saved {told(mix)}")
    print(f"{'chains over the random mix':<34} saved {told(chains.over(chains.mix))}")


def agents(frame: pd.DataFrame) -> None:
    """Each agent that keeps all of its context, capped."""
    raw = frame[frame["effort"] == "raw"]
    print(f"\nagents alone: dollar caps, margin 3.0 points, 90 %, {raw['sample_id'].nunique()} tasks each")
    for (suite, model), own in raw.groupby(["suite", "model"]):
        found = folds(own, (str(model), "raw"), 0.03, escalate=False, caps=True)
        print(line(f"{suite} {model}", found))


def pools(frame: pd.DataFrame) -> None:
    """All agents of a scaffold as one pool, against its best."""
    for suite, own in frame.groupby("suite"):
        means = own.groupby(["model", "effort"])["quality"].mean().sort_values()
        model, effort = means.index[-1]
        print(
            f"\npool of {suite}: {len(means)} agents, reference {model} @ {effort}, margin 3.0 points, 90 %"
        )
        every = {
            name: folds(own, (model, effort), 0.03, **recipe)
            for name, recipe in (("caps and stages", {"caps": True}), ("without", {"escalate": False}))
        }
        for name, found in every.items():
            print(line(name, found))
        print(
            f"{'caps and stages over without':<34} saved {told(every['caps and stages'].over(every['without'].cost))}"
        )


def judge(frame: pd.DataFrame) -> None:
    """CPU time of `judge` on answers of 1,000 characters, and hostile ones."""
    recipe = Recipe.model_validate(
        {"name": "bench", "reference": {"model": "llama3.1-405b", "effort": None}, "rule": {"margin": 0.02}}
    )
    policy = fit_policy(recipe, frame)
    first = _chained(policy)
    rng = random.Random(0)
    answers = ["".join(rng.choices("abcdefghij 0123456789\n(.", k=1000)) for _ in range(ANSWERS)]
    signals = [{name: rng.uniform(-3, 0) for name in first.signals} for _ in answers]
    passes = []
    for _ in range(5):
        took = []
        for answer, known in zip(answers, signals, strict=True):
            start = time.thread_time_ns()
            first.judge(answer, signals=known)
            took.append((time.thread_time_ns() - start) / 1000)
        passes.append((statistics.median(took), float(np.quantile(took, 0.99))))
    median, tail = (statistics.median(each) for each in zip(*passes, strict=True))
    print(f"\njudge: p50 {median:.0f} µs, p99 {tail:.0f} µs on {ANSWERS:,} answers of 1,000 characters")
    made = np.random.default_rng(1)
    for _ in range(HOSTILE):
        text = bytes(made.integers(0, 256, int(made.integers(0, 60)), dtype=np.uint8)).decode(
            "utf-8", "surrogateescape"
        )
        odd = made.choice(np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, -0.5]))
        first.judge(text, signals=dict.fromkeys(first.signals, odd))
    print(f"{HOSTILE:,} hostile answers: none raised")


def _chained(policy: Policy) -> Decision:
    """A decision of the policy that has something to judge by."""
    for suite in policy.spec.suites:
        for key in range(1000):
            decision = policy.decide("What is 2 + 2?", suite=suite, key=str(key))
            if decision.signals:
                return decision
    sys.exit("bench-chains: the policy has no chain that judges")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", choices=("cascade", "mmlu", "agents", "pools", "judge"))
    only = options.parse_args().only
    warnings.simplefilter("ignore")
    paths = {name: DATA / f"{name}.parquet" for name in ("cascade_llama", "agent_context")}
    missing = [str(path) for path in paths.values() if not path.exists()]
    if missing:
        sys.exit(f"bench-chains: skipped, {', '.join(missing)} is absent (set ROUTER_LAB_BENCH_DATA)")
    llama, runs = (pd.read_parquet(path) for path in paths.values())
    if only in (None, "cascade"):
        cascade(llama, "cascade_llama")
    if only in (None, "mmlu"):
        cascade(llama[llama["suite"].isin(("mmlu", "medmcqa"))], "MMLU and MedMCQA, log-probabilities alone")
    if only in (None, "agents"):
        agents(runs)
    if only in (None, "pools"):
        pools(runs)
    if only in (None, "judge"):
        judge(llama)


if __name__ == "__main__":
    main()
