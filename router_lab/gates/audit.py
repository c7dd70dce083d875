"""Where a judge scored, human labels of a sample correct the judge's mean and widen its interval
by the judge's error.

Prediction-powered inference in its simplest form (Angelopoulos et al. 2023, "Prediction-powered
inference"): the mean of the judge's scores plus the mean of (label − score) over the audited
outcomes, variances added. Rogan & Gladen 1978, "Estimating prevalence from the results of a
screening test", correct by the judge's two error rates instead; that divides by their distance from
chance and takes them to be the same for every candidate, which judges do not keep to. The rates are
told all the same (`judge_errors`), for they say in which direction a judge errs.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.gates.arms import Arm
from router_lab.metrics import Estimate, clustered_mean
from router_lab.metrics.estimate import bounded_interval
from router_lab.metrics.paired import Floats, Mask
from router_lab.outcomes.candidates import by_row
from router_lab.outcomes.cells import number_column, place
from router_lab.outcomes.codes import coded
from router_lab.outcomes.columns import REQUIRED, candidate_columns
from router_lab.outcomes.tablefile import read_labels
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate

PASSES = 0.5
"""Of this quality on, an answer passed."""


class Rate(NamedTuple):
    """A share with its 95 % interval, NaN where fewer than two clusters tell; n: of how many."""

    value: float
    low: float
    high: float
    n: int


class JudgeError(NamedTuple):
    """How the judge of a suite errs. false_pass: of answers that people failed, the share that it
    passed; false_fail: of those that people passed, the share that it failed."""

    suite: str
    false_pass: Rate
    false_fail: Rate


def read_audit(path: str | Path, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Human labels from a CSV, JSONL or Parquet table beside the judge's scores; column `error` is
    label − score, `cluster` the group. With a column `epoch` a label is of that run of the sample,
    else of all its runs.

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
    if "epoch" in labels.columns:
        keys.append("epoch")
        labels["epoch"] = _epochs(labels, str(path))
    together = "group" if "group" in named.columns else "sample_id"
    named = named.assign(cluster=named[together].astype(str))
    told = {"quality": ("quality", "mean"), "cluster": ("cluster", "first")}
    scored = named.groupby(keys, as_index=False).agg(**told)
    joined = labels[[*keys, "quality"]].merge(scored, on=keys, suffixes=("", "_judge"))
    by = f"{', '.join(keys[:-1])} and {keys[-1]}"
    if joined.empty:
        raise InputError(f"{path}: no row matches an outcome by {by}")
    if len(joined) < len(labels):
        lost = f"{len(labels) - len(joined):,} of {len(labels):,} labels match no outcome by {by}"
        warnings.warn(RouterLabWarning(f"{path}: {lost}, and are left out"), stacklevel=2)
    return joined.assign(error=joined["quality"] - joined["quality_judge"])


def _epochs(labels: pd.DataFrame, path: str) -> pd.Series[Any]:
    epochs = number_column(labels["epoch"], path, "epoch")
    wrong = ~(epochs.between(1, 1 << 31) & (epochs % 1 == 0)).to_numpy(bool)
    if wrong.any():
        at = int(wrong.argmax())
        said = f"{path}: {place(labels, at)}: `epoch` is {epochs.iloc[at]:g}"
        raise InputError(f"{said}; it must be a whole number of 1 or more, or take the column out")
    return epochs.astype("int64")


def judge_errors(audit: pd.DataFrame) -> tuple[JudgeError, ...]:
    """The judge's errors in each audited suite, by name."""
    found = []
    for suite, own in audit.groupby("suite", sort=True):
        right = own["quality"].to_numpy(np.float64) >= PASSES
        passed = own["quality_judge"].to_numpy(np.float64) >= PASSES
        codes = _codes(own)
        found.append(
            JudgeError(str(suite), _rate(passed[~right], codes[~right]), _rate(~passed[right], codes[right]))
        )
    return tuple(found)


def _rate(hit: Mask, clusters: npt.NDArray[np.int64]) -> Rate:
    if not len(hit):
        return Rate(math.nan, math.nan, math.nan, 0)
    mean = clustered_mean(hit, clusters)
    return Rate(mean.value, *bounded_interval(mean), len(hit))


def _codes(audit: pd.DataFrame) -> npt.NDArray[np.int64]:
    """[labels] of which cluster each is."""
    return coded(audit["suite"], audit["cluster"]).code


def shifted_quality(estimate: Estimate, arm: Arm, rows: Mask, audit: pd.DataFrame, sign: int) -> Estimate:
    """The (signed) estimate of a mean quality on `rows`, corrected and widened."""
    return _add(estimate, _shift(audit, arm, arm.answered, rows).scaled(sign))


def shifted_difference(
    estimate: Estimate, mine: Arm, other: Arm | None, rows: Mask, audit: pd.DataFrame
) -> Estimate:
    """The estimate of a quality difference on `rows` against `other`'s policy or the reference,
    corrected and widened."""
    own = mine.answered.astype(np.float64)
    if other is None:
        own[:, mine.policy.spec.reference] -= 1.0
        return _add(estimate, _shift(audit, mine, own, rows))
    theirs = _shift(audit, other, -other.answered, rows)
    return _add(_add(estimate, _shift(audit, mine, own, rows)), theirs)


def _shift(audit: pd.DataFrame, arm: Arm, shares: Floats, rows: Mask) -> Estimate:
    """The judge's mean error over `rows` whose requests the candidates answer in these shares
    [n, c]. A suite without a label is taken to be scored rightly: an exact scorer needs none."""
    value = variance = 0.0
    fewest = len(audit)
    for suite, own in audit.groupby("suite", sort=True):
        there = rows & (arm.suite == suite)
        if there.any():
            error = _weighted(own, arm, shares[there].sum(axis=0) / rows.sum())
            value, variance = value + error.value, variance + error.se * error.se
            fewest = min(fewest, error.clusters)
    return Estimate(value, math.sqrt(variance), len(audit), fewest)


def _weighted(audit: pd.DataFrame, arm: Arm, weights: Floats) -> Estimate:
    """The judge's mean error on what a policy serves: audited errors by candidate, times `weights`
    [c]. A candidate without labels of its own takes the error of all labels together."""
    errors, codes = audit["error"].to_numpy(np.float64), _codes(audit)
    everything = clustered_mean(errors, codes)
    who = [Candidate(one.model, one.effort or None, one.harness or None) for one in by_row(audit)]
    value = variance = 0.0
    for weight, candidate in zip(weights, arm.policy.candidates, strict=True):
        if weight == 0:
            continue
        own = np.array([one == candidate for one in who], bool)
        error = clustered_mean(errors[own], codes[own]) if own.sum() > 1 else everything
        value += float(weight) * error.value
        spread = float(weight) * error.se
        variance += spread * spread
    return Estimate(value, math.sqrt(variance), len(audit), len(np.unique(codes)))


def _add(first: Estimate, second: Estimate) -> Estimate:
    """The sum of two independent estimates, with the degrees of freedom of the weaker one."""
    return replace(
        first,
        value=first.value + second.value,
        se=math.sqrt(first.se * first.se + second.se * second.se),
        clusters=min(first.clusters, second.clusters),
    )
