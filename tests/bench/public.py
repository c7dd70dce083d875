"""`make bench-public`: what policies save on public recorded outcomes, and every candidate's own verdict there.

Prints the tables of docs/results.md. Each policy is fitted on four of the folds that the table names in `fold` (the
project's own folds where it names none) with `holdout: 0`, and replayed on the fifth: no row that is counted was seen
by its fit. The data folder is $ROUTER_LAB_BENCH_DATA, by default ../shared/data; what is not there is skipped and said
so, and so is what its metadata gives no licence for. `--write` keeps the figures in tests/bench/public.json, and
renews the page's blocks, the README's and docs/results.svg. `--only NAME` prints the figures of one table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.folds import group_folds
from router_lab.metrics import Estimate
from router_lab.metrics.paired import Paired
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.matrix import SEEN_ENOUGH
from router_lab.replay import Replay, replay
from router_lab.report import Asked, candidate_verdicts, verdicts_data
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from tests.bench.public_page import blocks, write

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", ROOT.parent / "shared" / "data"))
KEPT = Path(__file__).with_name("public.json")
INCUMBENT = Candidate("openhands/claude-opus-4-8")
MARGINS = (0.02, 0.03, 0.05)
MARGIN, CONFIDENCE = 0.03, 0.90
OTHERS = (
    "agent_context/sweagent",
    "agent_context/openhands",
    "lineage_bench",
    "pricerev_prevgen",
    "routerarena_sub10",
)
"""Fitted against the best of each; a part after the slash is a suite."""


def source(name: str) -> dict[str, str] | None:
    """Repository, commit and licence that a table's metadata names; None where it is absent or has no licence."""
    path = DATA / f"{name}.parquet"
    if not path.exists():
        print(f"{name}: skipped, {path} is not there", file=sys.stderr)
        return None
    said = (pq.read_metadata(path).metadata or {}).get(b"source", b"").decode()
    repository, _, rest = said.partition(" @ ")
    commit, _, licence = rest.partition(" ")
    if "no licence" in licence or not licence:
        print(f"{name}: left out, {said or 'nothing says where it is from'}", file=sys.stderr)
        return None
    return {"repository": repository, "commit": commit, "licence": licence.strip("()")}


def table(name: str) -> pd.DataFrame:
    """A table as `fit` takes it, with its folds; of `file/suite` that suite alone."""
    file, _, suite = name.partition("/")
    frame = validate_outcomes(pd.read_parquet(DATA / f"{file}.parquet"))
    return folded(frame[frame["suite"] == suite] if suite else frame)


def folded(frame: pd.DataFrame) -> pd.DataFrame:
    """With the folds that it names, else with the project's own by group."""
    if "fold" in frame:
        return frame
    data = OutcomeMatrix.from_frame(frame)
    fold = dict(zip(zip((data.suites[s] for s in data.suite), data.sample_id, strict=True),
                    group_folds(data.suite, data.group).tolist(), strict=True))  # fmt: skip
    return frame.assign(fold=[fold[key] for key in zip(frame["suite"], frame["sample_id"], strict=True)])


def by_task(frame: pd.DataFrame) -> pd.DataFrame:
    """One group a task, though two suites ask for it (a fix and a test of one issue), and the project's folds."""
    own = frame.drop(columns=["fold", "group"]).assign(group=frame["sample_id"])
    return folded(validate_outcomes(own))


def recipe(reference: Candidate | None, margin: float) -> Recipe:
    named = "best" if reference is None else {"model": reference.model, "effort": reference.effort}
    rule = {"margin": margin, "confidence": CONFIDENCE}
    return Recipe.model_validate({"name": "results", "reference": named, "rule": rule, "holdout": 0.0})


def told(estimate: Estimate) -> list[float]:
    """Value and two-sided 95 % interval, in per cent or points, as printed."""
    return [round(100 * one, 2) for one in (estimate.value, *estimate.interval())]


def cell(frame: pd.DataFrame, reference: Candidate | None, margin: float) -> dict[str, Any]:
    """One reference at one margin: what the certificate of a fit on all rows says, and what five fits give on the
    rows of the folds that each did not see."""
    asked = recipe(reference, margin)
    shown = Certificate.of(fit_policy(asked, frame))
    return {"margin": margin, "certificate": certificate(shown), "fresh": fresh(frame, asked, margin)}


def certificate(shown: Certificate) -> dict[str, Any]:
    def figure(found: Any) -> list[float | None]:
        return [None if one is None else round(100 * one, 2) for one in (found.value, found.low, found.high)]

    mix = shown.random_mix
    return {
        "verdict": shown.verdict, "action": shown.action, "saving": figure(shown.savings),
        "points": figure(shown.quality_difference), "mix": None if mix is None else figure(mix.savings),
        "over_mix": figure(shown.over_mix), "n": shown.n,
    }  # fmt: skip


def fresh(frame: pd.DataFrame, asked: Recipe, margin: float) -> dict[str, Any]:
    """Pooled over the folds: the policy, the random mix, and the best candidate that passes by itself on the rows of
    the fit; each row by what never saw it."""
    parts: list[tuple[Policy, Replay, Paired, Paired]] = []
    for fold in sorted(frame["fold"].unique()):
        seen, left = frame[frame["fold"] != fold], frame[frame["fold"] == fold]
        policy = fit_policy(asked, seen)
        played = replay(policy, left)
        column = single(seen, policy.reference, margin)
        where = played.recorded.reference if column is None else policy.candidates.index(column)
        parts.append((policy, played, mixed(policy, played, seen), played.recorded.always(where)))
    group = np.concatenate([part[1].rows.group + 10**6 * at for at, part in enumerate(parts)])
    served = {
        "policy": [part[1].rows for part in parts],
        "mix": [part[2] for part in parts],
        "single": [part[3] for part in parts],
    }
    every = {name: _joined(rows, group) for name, rows in served.items()}
    policies = [part[0] for part in parts]
    return {
        "n": every["policy"].gain().n, "folds": len(parts),
        "passed": sum(Certificate.of(policy).verdict == "pass" for policy in policies),
        "references": sorted({str(p.reference) for p in policies}),
        "by_fold": [round(100 * part[1].savings, 2) for part in parts],
        **{name: {"saving": told(one.saving()), "points": told(one.gain())} for name, one in every.items()},
        "over_mix": told(every["policy"].over(every["mix"])),
    }  # fmt: skip


def mixed(policy: Policy, played: Replay, seen: pd.DataFrame) -> Paired:
    """The random mix that the fit on `seen` certified, as it would be shipped: a suite on whose samples a candidate was
    hardly seen stays with the reference, as it does under the policy."""
    chosen = Certificate.of(policy).random_mix
    rows = played.recorded
    assert rows.suite is not None
    shares = np.zeros(rows.quality.shape)
    ran = seen.groupby(["suite", "model", seen["effort"].fillna("")]).size()
    samples = seen.groupby("suite")["sample_id"].nunique()
    for candidate, chance in ({} if chosen is None else chosen.parts).items():
        for code, suite in enumerate(played.suites):
            share = ran.get((suite, candidate.model, candidate.effort or ""), 0) / samples[suite]
            if share >= SEEN_ENOUGH:
                shares[rows.suite == code, policy.candidates.index(candidate)] = chance
    shares[:, rows.reference] = 1 - shares.sum(axis=1)
    return rows.served(shares).within(played.rows)


def _joined(parts: list[Paired], group: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Paired:
    names = ("quality", "cost_usd", "reference_quality", "reference_cost_usd", "moved")
    values = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return Paired(*values, group=group)


def single(frame: pd.DataFrame, reference: Candidate, margin: float) -> Candidate | None:
    """Of the candidates that pass by themselves, who saves most; None where nobody saves anything."""
    found = candidate_verdicts(frame, Asked(reference, None, margin, CONFIDENCE)).all
    passed = [one for one in found if one.verdict.verdict == "pass" and one.saving.value > 0]
    return max(passed, key=lambda one: one.saving.value).candidate if passed else None


def openhands() -> dict[str, Any]:
    """Both references at each margin, by task and with the groups and folds that came with the table; the
    verdicts."""
    frame = table("openhands_index")
    grouped = by_task(frame)
    asked = Asked(INCUMBENT, None, MARGIN, CONFIDENCE)
    return {
        **counted(frame),
        **{
            f"{name}{kind}": [cell(rows, reference, margin) for margin in MARGINS]
            for kind, rows in (("", grouped), (" as it came", frame))
            for name, reference in (("incumbent", INCUMBENT), ("best", None))
        },
        "verdicts": verdicts_data(candidate_verdicts(grouped, asked))["all"],
    }


def counted(frame: pd.DataFrame) -> dict[str, int]:
    samples = frame.drop_duplicates(["suite", "sample_id"])
    return {
        "samples": len(samples), "tasks": frame["sample_id"].nunique(),
        "candidates": len(frame[["model", "effort"]].fillna("").drop_duplicates()), "rows": len(frame),
    }  # fmt: skip


def contexts() -> list[dict[str, Any]]:
    """Each context policy of an agent against the same model's `raw`, by scaffold: one family of all."""
    asked = Asked(None, "raw", MARGIN, CONFIDENCE)
    rows: list[dict[str, Any]] = verdicts_data(candidate_verdicts(table("agent_context"), asked))["by_suite"]
    return rows


def others() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in OTHERS:
        if source(name.partition("/")[0]) is not None:
            frame = table(name)
            yield name, {**counted(frame), "cell": cell(frame, None, MARGIN)}


def measured(only: str = "") -> dict[str, Any]:
    """All figures, as tests/bench/public.json keeps them, or those of one table."""
    found: dict[str, Any] = {}
    names = ("openhands_index", "agent_context", *dict.fromkeys(name.partition("/")[0] for name in OTHERS))
    found["sources"] = {name: known for name in dict.fromkeys(names) if (known := source(name)) is not None}
    if only in ("", "openhands_index") and "openhands_index" in found["sources"]:
        found["openhands_index"] = openhands()
    if only in ("", "agent_context") and "agent_context" in found["sources"]:
        found["contexts"] = contexts()
    found["others"] = {name: one for name, one in others() if name.startswith(only)}
    return found


def drawn() -> tuple[pd.DataFrame, list[Policy]]:
    """What the picture shows: all outcomes, and the policies at MARGIN against INCUMBENT and the best."""
    frame = by_task(table("openhands_index"))
    return frame, [fit_policy(recipe(reference, MARGIN), frame) for reference in (INCUMBENT, None)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="renew the page, the README's lines and the picture"
    )
    parser.add_argument("--only", default="", help="openhands_index, agent_context or another table")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RouterLabWarning)
    found = measured(asked.only)
    if asked.write and not asked.only and "openhands_index" in found:
        KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write(found, *drawn())
    for name, text in blocks(found).items():
        print(f"\n── {name}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
