"""Where a judge scored, human labels of a sample correct the judge's mean and widen its interval
by the judge's error.

Prediction-powered inference in its simplest form (Angelopoulos et al. 2023, "Prediction-powered
inference"): the mean of the judge's scores plus the mean of (label − score) over the audited
outcomes, variances added.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from router_lab.gates.arms import Arm
from router_lab.metrics import Estimate, clustered_mean
from router_lab.metrics.paired import Mask
from router_lab.outcomes.candidates import by_row
from router_lab.outcomes.columns import REQUIRED, candidate_columns
from router_lab.outcomes.tablefile import read_labels
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


def read_audit(path: str, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Human labels from a CSV, JSONL or Parquet table beside the judge's scores; column `error` is
    label − score.

    Raises InputError for a missing column, a label outside [0, 1], or a file none of whose rows is
    in the outcomes.
    """
    labels = read_labels(Path(path), REQUIRED)
    # A label of a candidate in a harness is none of the same model without one.
    who = candidate_columns([*outcomes.columns, *labels.columns])
    keys = ["suite", "sample_id", *who]
    labels, named = (
        table.assign(**{name: table[name].fillna("") if name in table else "" for name in who[1:]})
        for table in (labels, outcomes)
    )
    scored = named.groupby(keys, as_index=False)["quality"].mean()
    joined = labels.merge(scored, on=keys, suffixes=("", "_judge"))
    if joined.empty:
        raise InputError(f"{path}: no row matches an outcome by {', '.join(keys[:-1])} and {keys[-1]}")
    return joined.assign(error=joined["quality"] - joined["quality_judge"])


def shifted_quality(estimate: Estimate, arm: Arm, rows: Mask, audit: pd.DataFrame, sign: int) -> Estimate:
    """The (signed) estimate of a mean quality, corrected and widened."""
    return _add(estimate, _weighted(audit, arm, arm.answered[rows].mean(axis=0)).scaled(sign))


def shifted_difference(estimate: Estimate, mine: Arm, other: Arm | None, audit: pd.DataFrame) -> Estimate:
    """The estimate of a quality difference against `other`'s policy or the reference, corrected
    and widened."""
    own = mine.answered.mean(axis=0)
    if other is None:
        own[mine.policy.spec.reference] -= 1.0
        return _add(estimate, _weighted(audit, mine, own))
    theirs = _weighted(audit, other, -other.answered.mean(axis=0))
    return _add(_add(estimate, _weighted(audit, mine, own)), theirs)


def _weighted(
    audit: pd.DataFrame, arm: Arm, weights: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Estimate:
    """The judge's mean error on what a policy serves: audited errors by candidate, times `weights`
    [c]. A candidate without labels of its own takes the error of all labels together."""
    everything = clustered_mean(audit["error"].to_numpy(np.float64))
    value = variance = 0.0
    for weight, candidate in zip(weights, arm.policy.candidates, strict=True):
        if weight == 0:
            continue
        own = audit[
            [
                Candidate(one.model, one.effort or None, one.harness or None) == candidate
                for one in by_row(audit)
            ]
        ]
        error = clustered_mean(own["error"].to_numpy(np.float64)) if len(own) > 1 else everything
        value += float(weight) * error.value
        spread = float(weight) * error.se
        variance += spread * spread
    return Estimate(value, math.sqrt(variance), len(audit), len(audit))


def _add(first: Estimate, second: Estimate) -> Estimate:
    """The sum of two independent estimates, with the degrees of freedom of the weaker one."""
    return replace(
        first,
        value=first.value + second.value,
        se=math.sqrt(first.se * first.se + second.se * second.se),
        clusters=min(first.clusters, second.clusters),
    )
