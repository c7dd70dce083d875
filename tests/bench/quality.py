"""`make bench-quality`: what the fit reaches on real recorded outcomes, pooled over the folds that came with them.

Every policy is fitted on four folds (`holdout: 0`) and scored on the fifth; points are chosen inside the four.
The data folder is $ROUTER_LAB_BENCH_DATA, by default ../shared/data; what is not there is skipped and said so. Prints
tables and keeps the figures in tests/bench/quality.json. `--seeds N` (4), `--only NAME`, `--fitter NAME` (default; of
another one the tables are printed and nothing is kept).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import FITTERS
from router_lab.fit.build import fit_on, fit_problem
from router_lab.fit.choose import family
from router_lab.fit.folds import deal_of, group_folds
from router_lab.fit.problem import prepare
from router_lab.fit.spec import spec_of
from router_lab.metrics import apgr, clustered_mean, cpt, non_decreasing_hull, paired_saving
from router_lab.outcomes import OutcomeMatrix, read_outcomes, validate_outcomes
from router_lab.replay import score, served
from router_lab.runtime.policy import Policy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", ROOT.parent / "shared" / "data"))
MARGIN, CONFIDENCE = 0.02, 0.90
MARGINS = (0.02, 0.03, 0.05)
"""At which no fit of any set may deploy what it shows to save less than the random mix."""
MORE_MARGINS = (0.05, 0.08)
"""At which the small sets are scored too."""
MEAN_SAVING = 14.93
"""Points of the mean saving over all sets that had been reached, less one."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Set:
    """A data set: its outcomes, their matrix, and the fold [n] of each row of the matrix."""

    name: str
    frame: pd.DataFrame
    data: OutcomeMatrix
    fold: NDArray[np.int64]

    def splits(self) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
        """(outcomes of the other folds, rows of this one) for each fold."""
        keys = pd.MultiIndex.from_arrays(
            [[self.data.suites[s] for s in self.data.suite], list(self.data.sample_id)]
        )
        fold_of = pd.Series(self.fold, index=keys)
        folds = fold_of.reindex(pd.MultiIndex.from_frame(self.frame[["suite", "sample_id"]])).to_numpy()
        for fold in range(int(self.fold.max()) + 1):
            yield self.frame[folds != fold], np.flatnonzero(self.fold == fold)


def load(name: str) -> Set | None:
    """The named set, or None with a line saying why."""
    path = recorded_outcomes() if name == "recorded" else DATA / f"{(FILE | CERTIFIED)[name]}.parquet"
    if not path.exists():
        print(f"{name}: skipped, {path} is not there")
        return None
    if name == "recorded":
        frame = read_outcomes(path)
    else:
        frame = pd.read_parquet(path)
        frame = validate_outcomes(PREPARE.get(name, lambda table: table)(frame))
    data = OutcomeMatrix.from_frame(frame)
    if "fold" in frame:
        firsts = frame.drop_duplicates(["suite", "sample_id"]).set_index(["suite", "sample_id"])["fold"]
        fold = np.array(
            [firsts[(data.suites[s], i)] for s, i in zip(data.suite, data.sample_id, strict=True)], np.int64
        )
    else:
        fold = group_folds(data.suite, data.group)
    return Set(name, frame, data, fold)


def recorded_outcomes() -> Path:
    """The demo's outcomes of the recorded generations: swept and collected first where they are not there yet."""
    out = ROOT / "demo-out"
    if not (out / "outcomes.parquet").exists():
        command = [str(Path(sys.executable).parent / "router-lab"), "demo", "--out", str(out)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return out / "outcomes.parquet"


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    """The candidates that ran every suite, on the samples that all of them ran."""
    effort = frame["effort"].fillna("")
    suites = frame.groupby([frame["model"], effort])["suite"].transform("nunique")
    frame = frame[suites == frame["suite"].nunique()]
    count = frame.groupby(["suite", "sample_id"])["model"].transform("size")
    complete: pd.DataFrame = frame[count == count.max()]
    return complete


def _priced(frame: pd.DataFrame) -> pd.DataFrame:
    """RouteLLM's outcomes carry no cost: $24.7 and $0.24 per million tokens, 1,000 tokens a request."""
    return frame.assign(cost_usd=np.where(frame["model"].str.startswith("gpt"), 24.7, 0.24) / 1000)


def _mmlu(frame: pd.DataFrame) -> pd.DataFrame:
    return _priced(frame[frame["suite"].str.startswith("mmlu")])


def _gsm8k(frame: pd.DataFrame) -> pd.DataFrame:
    return _priced(frame[frame["suite"] == "gsm8k"])


FILE = {
    "mmlu": "routellm_binary", "gsm8k": "routellm_binary", "pricerev_prevgen": "pricerev_prevgen",
    "lineage_bench": "lineage_bench", "routerarena_sub10": "routerarena_sub10", "misguided_effort": "misguided_effort",
}  # fmt: skip
CERTIFIED = {name: name for name in ("cascade_llama", "agent_context", "openhands_index")}
"""Sets on which it is only looked at what certificates say."""
PREPARE = {"mmlu": _mmlu, "gsm8k": _gsm8k, "pricerev_prevgen": _complete}
NAMES = (*FILE, "recorded")


def recipe(fitter: str = "default", margin: float = MARGIN) -> Recipe:
    rule = {"margin": margin, "confidence": CONFIDENCE}
    return Recipe.model_validate({"name": "bench", "rule": rule, "holdout": 0.0, "fitter": fitter})


def ranking(found: Set, seed: int, fitter: str = "default") -> dict[str, float]:
    """APGR and CPT of the difference between the two candidates' predictions, each row predicted left out."""
    known, unknown = np.zeros(len(found.data)), np.zeros(len(found.data))
    strong = int(np.nanmean(found.data.quality, axis=0).argmax())
    for frame, rows in found.splits():
        fitted = fit_on(prepare(recipe(fitter), frame), seed)
        every = np.arange(len(fitted.problem.develop))
        linear = fitted.fitter.fit(fitted.task, every).compile(fitted.task)
        policy = Policy(spec_of(replace(fitted, linear=linear), seed))
        prompts = [found.data.prompts[i] or "" for i in rows]
        for store, suites in (
            (known, [found.data.suites[found.data.suite[i]] for i in rows]),
            (unknown, None),
        ):
            quality = policy.predict(prompts, suites)[0]
            store[rows] = quality[:, strong] - quality[:, 1 - strong]
    good, bad = found.data.quality[:, strong], found.data.quality[:, 1 - strong]
    return {
        "apgr_suite_known": apgr(known, bad, good), "apgr_suite_unknown": apgr(unknown, bad, good),
        "cpt50": cpt(known, bad, good, 0.5), "cpt80": cpt(known, bad, good, 0.8),
    }  # fmt: skip


def below_mix(found: Set, fitter: str) -> list[str]:
    """The fits, each of one fold left out at one of MARGINS, whose certificate shows less saved than the random mix
    saves."""
    missed = []
    for margin in MARGINS:
        for fold, (frame, _) in enumerate(found.splits()):
            problem = prepare(recipe(fitter, margin), frame)
            over = Certificate.of(fit_problem(problem, deal_of(problem.develop))).over_mix
            if over.value is not None and over.value < 0:
                missed.append(f"margin {margin}, fold {fold}: {100 * over.value:+.2f} %")
    return missed


def deployed(found: Set, seed: int, fitter: str = "default", margin: float = MARGIN) -> dict[str, Any]:
    """Left-out quality and cost [n] of policy, random mix and reference, each fitted without the row's fold."""
    parts = {k: np.full(len(found.data), np.nan) for k in ("gain", "cost", "mix_gain", "mix_cost", "base")}
    notes = []
    for frame, rows in found.splits():
        policy = fit_problem(prepare(recipe(fitter, margin), frame), seed)
        here = found.data.take(rows)
        names = [found.data.suites[s] for s in here.suite]
        asked = ([p or "" for p in here.prompts], names, None)
        shares, chains = served(policy, found.frame, here, asked, policy.stretches(*asked[:2]))
        result = score(policy, here, shares, in_sample=False, chains=chains)
        parts["base"][rows] = result.rows.reference_cost_usd
        parts["gain"][rows] = result.rows.quality - result.rows.reference_quality
        parts["cost"][rows] = result.rows.cost_usd
        parts["mix_gain"][rows] = result.mix.quality - result.mix.reference_quality
        parts["mix_cost"][rows] = result.mix.cost_usd
        certificate = policy.spec.certificate
        notes.append({k: certificate[k] for k in ("verdict", "action", "reason", "smallest_margin", "mix")})
    return {"rows": parts, "folds": notes}


def figures(found: Set, parts: dict[str, Floats]) -> dict[str, Any]:
    """Pooled figures with the paired difference to the random mix and its one-sided bounds."""
    group = found.data.group
    saving = paired_saving(parts["cost"], parts["base"], group)
    over = paired_saving(parts["cost"], parts["mix_cost"], group, reference=parts["base"])
    gain = clustered_mean(parts["gain"], group)
    return {
        "quality_points": 100 * gain.value, "quality_low95": 100 * gain.low(0.95), "saving": 100 * saving.value,
        "mix_quality_points": 100 * clustered_mean(parts["mix_gain"], group).value,
        "mix_saving": 100 * paired_saving(parts["mix_cost"], parts["base"], group).value,
        "difference": 100 * over.value, "difference_low90": 100 * over.low(0.90),
        "difference_low95": 100 * over.low(0.95), "n": saving.n,
    }  # fmt: skip


def hull_saving(found: Set, seed: int, fitter: str = "default") -> float:
    """Hindsight: the saving at the reference's quality on the hull of all operating points, none of them proven."""
    problem = prepare(recipe(fitter), found.frame)
    fitted = fit_on(problem, seed)
    evidence, rows = fitted.evidence, np.arange(len(problem.develop))
    quality, cost = [], []
    options, actions = family(
        fitted.predicted.found, replace(evidence, covered=np.ones_like(evidence.covered))
    )
    fixed = [np.full(len(rows), j) for j in np.flatnonzero(problem.eligible[0])]
    for action in [*(actions[i].astype(np.int64) for i in range(len(options))), *fixed]:
        pair = np.stack([evidence.quality[rows, action], evidence.cost_usd[rows, action]])
        both = ~np.isnan(pair).any(axis=0)
        quality.append(pair[0, both].mean())
        cost.append(pair[1, both].mean())
    corners, heights = non_decreasing_hull(cost, quality)
    goal = float(np.nanmean(evidence.quality[:, evidence.reference]))
    base = float(np.nanmean(evidence.cost_usd[:, evidence.reference]))
    reached = heights >= goal - 1e-12
    if not reached.any():
        return 0.0
    at = int(reached.argmax())
    if at == 0:
        return 1 - float(corners[0]) / base
    part = (goal - heights[at - 1]) / (heights[at] - heights[at - 1])
    return 1 - float(corners[at - 1] + part * (corners[at] - corners[at - 1])) / base


def bench(found: Set, seeds: int, fitter: str) -> dict[str, Any]:
    """All figures of a set, printed as they come."""
    result: dict[str, Any] = {"n": len(found.data), "candidates": len(found.data.candidates)}
    print(f"\n{found.name}: {result['n']} samples, {result['candidates']} candidates")
    if found.name in ("mmlu", "gsm8k"):
        result["ranking"] = ranking(found, 0, fitter)
        print("  " + ", ".join(f"{k} {v:.4f}" for k, v in result["ranking"].items()))
    if np.isnan(found.data.cost_usd).all():
        print("  no costs are recorded: only the certificate is looked at")
    runs = [deployed(found, seed, fitter) for seed in range(seeds)]
    print(
        f"  {'seed':6}{'points':>8}{'saving':>8}{'mix pts':>9}{'mix':>7}{'difference':>12}{'low 90':>8}{'low 95':>8}"
    )
    pooled = {k: np.mean([run["rows"][k] for run in runs], axis=0) for k in runs[0]["rows"]}
    rows = [*((str(i), run["rows"]) for i, run in enumerate(runs)), ("mean", pooled)]
    for label, parts in rows:
        f = figures(found, parts)
        result[f"seed {label}" if label != "mean" else "mean"] = f
        print(
            f"  {label:6}{f['quality_points']:8.2f}{f['saving']:8.1f}{f['mix_quality_points']:9.2f}"
            f"{f['mix_saving']:7.1f}"
            f"{f['difference']:+12.1f}{f['difference_low90']:+8.1f}{f['difference_low95']:+8.1f}"
        )
    result["folds"] = runs[0]["folds"]
    for note in result["folds"][:1]:
        margin = (
            "unknown" if note["smallest_margin"] is None else f"{100 * note['smallest_margin']:.2f} points"
        )
        print(
            f"  fold 0: {note['verdict']}, {note['action']}: {note['reason']}; smallest certifiable margin {margin}"
        )
    result["below_mix"] = missed = below_mix(found, fitter)
    fits = len(MARGINS) * (1 + int(found.fold.max()))
    print(f"  fits shown to save less than the mix, of {fits} at margins {MARGINS}: {missed or 'none'}")
    if found.name in ("lineage_bench", "recorded"):
        for wider in MORE_MARGINS:
            runs = [deployed(found, seed, fitter, wider)["rows"] for seed in range(seeds)]
            f = figures(found, {k: np.mean([run[k] for run in runs], axis=0) for k in runs[0]})
            result[f"margin {wider}"] = f
            told = f"{f['quality_points']:.2f} points, saving {f['saving']:.1f}, over the mix {f['difference']:+.1f}"
            print(f"  margin {margin}: {told}")
        result["hindsight_hull_saving_upper_bound"] = hull = hull_saving(found, 0, fitter)
        print(f"  hindsight hull, saving at parity (upper bound): {100 * hull:.1f} %")
    return result


def judge(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """(what, reached, needed) for each line of the acceptance table that is a number."""
    lines = []
    if "mmlu" in results:
        r = results["mmlu"]["ranking"]
        lines += [("MMLU APGR, suite known", r["apgr_suite_known"], 0.69)]
        lines += [("MMLU APGR, suite unknown", r["apgr_suite_unknown"], 0.665)]
    if "gsm8k" in results:
        lines += [("GSM8K APGR, question alone", results["gsm8k"]["ranking"]["apgr_suite_unknown"], 0.65)]
    if "pricerev_prevgen" in results:
        lines += [
            (
                "pricerev: over the random mix, lower 90 % bound",
                results["pricerev_prevgen"]["mean"]["difference_low90"],
                5.0,
            )
        ]
    scored = {name: result for name, result in results.items() if "mean" in result}
    if len(scored) == len(NAMES):
        lines.append(
            ("mean saving", float(np.mean([r["mean"]["saving"] for r in scored.values()])), MEAN_SAVING)
        )
    for name in ("lineage_bench", "recorded"):
        for part in ("mean", *(f"margin {margin}" for margin in MORE_MARGINS)) if name in scored else ():
            label = f"{name}: over the random mix, {part if part != 'mean' else f'margin {MARGIN}'}"
            lines.append((label, scored[name][part]["difference"], 0.0))
    for name, result in results.items():
        lines.append((f"{name}: fits below the mix", -float(len(result["below_mix"])), 0.0))
    for name, result in scored.items():
        low = result["mean"]["difference_low95"]
        if not np.isnan(low):
            lines.append((f"{name}: over the random mix, lower 95 % bound", low, -3.0))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", default="")
    parser.add_argument("--fitter", default="default", choices=sorted(FITTERS))
    asked = parser.parse_args()
    results = {}
    for name in NAMES:
        found = load(name) if asked.only in name else None
        if found is not None:
            results[name] = bench(found, asked.seeds, asked.fitter)
    for name in CERTIFIED:
        found = load(name) if asked.only in name else None
        if found is not None:
            results[name] = {"n": len(found.data), "below_mix": below_mix(found, asked.fitter)}
            print(
                f"\n{name}: {len(found.data)} samples, fits below the mix: {results[name]['below_mix'] or 'none'}"
            )
    print("\nacceptance")
    missed = 0
    for what, reached, needed in judge(results):
        missed += reached < needed
        print(
            f"  {what:52}{reached + 0.0:9.3f}  at least {needed:6.3f}  {'ok' if reached >= needed else 'MISSED'}"
        )
    if not asked.only and asked.fitter == "default":
        text = json.dumps(results, indent=1, default=float)
        (HERE / "quality.json").write_text(text.replace("NaN", "null") + "\n")
    sys.exit(int(missed > 0))


if __name__ == "__main__":
    main()
