"""What runs that are scored step by step tell: how often steps pass, where failures begin, what is
spent after them, and what a check after each step would buy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from router_lab.certificate import Figure
from router_lab.metrics import Estimate, paired_saving, weighted_quantile
from router_lab.metrics.estimate import bounded_interval, clustered_mean
from router_lab.metrics.steady import Floats
from router_lab.metrics.steps import (
    Check,
    Runs,
    all_passed,
    checked,
    clustering,
    curves,
    first_failures,
    independent,
)
from router_lab.outcomes.steps import Step
from router_lab.report.call_dollars import call_dollars
from router_lab.report.step_runs import MOST_PLACES, Part, parts_of


class Validator(NamedTuple):
    """What a check after each step is supposed to do: options of `report`."""

    catch: float = 0.8
    usd: float = 0.0
    alarm: float = 0.0
    most: int = 2


@dataclass(frozen=True)
class CheckRow:
    """A candidate whose steps are each checked at most `checks` times, 0 = as recorded.

    success: runs of which all steps pass. usd: of a run. usd_per_success. better, saving: paired
    with the dearest candidate alone on the same runs; None for that one itself.
    """

    checks: int
    success: Figure
    usd: Figure
    usd_per_success: Figure
    better: Figure | None = None
    saving: Figure | None = None


@dataclass(frozen=True)
class StepsOf:
    """What the steps of one candidate's runs tell. Shares are of runs, weighted where a race
    weighs them.

    by_step, by_role: (name, share that passed). seen, alone: shares of runs without a failure up
    to each step, as recorded and of independent steps. first: (step from 1, share of runs whose
    first failure it is). failed_usd: share of dollars in runs of which a step failed. tail_usd:
    share of dollars spent after the first failed step; None = not known; tail_known: of so many of
    the `failed` runs. p95: (turn, P95 of the dollars of a call, calls).
    """

    label: str
    n: int
    clusters: int
    steps: float
    quality: float
    rate: Figure
    end_to_end: Figure
    independent: Figure
    clustering: Figure
    by_step: Sequence[tuple[str, Figure]]
    by_role: Sequence[tuple[str, Figure]]
    seen: Sequence[float]
    alone: Sequence[float]
    first: Sequence[tuple[int, float]]
    failed: int
    failed_usd: float | None
    tail_usd: float | None
    tail_known: int
    p95: Sequence[tuple[int, float, int]]
    checks: Sequence[CheckRow] = field(default=())


def steps_found(
    outcomes: pd.DataFrame, calls: pd.DataFrame | None = None, validator: Validator | None = None
) -> list[StepsOf]:
    """Of each candidate with steps, the dearest run first; nothing where a validated outcomes
    table has none."""
    validator = Validator() if validator is None else validator
    parts = parts_of(outcomes)
    if not parts:
        return []
    roles = frozenset(one.role for part in parts for run in part.steps for one in run if one.role)
    priced = call_dollars(outcomes, calls, roles)
    rivals = [_with_checks(part, validator) for part in parts]
    return [
        _told(part, priced, _check_rows(mine, rivals[0])) for part, mine in zip(parts, rivals, strict=True)
    ]


def _told(part: Part, priced: pd.DataFrame, checks: Sequence[CheckRow]) -> StepsOf:
    runs, heavy = part.runs, part.runs.heavy()
    first, whole = first_failures(runs), all_passed(runs)
    seen, alone = curves(runs)
    failed = first >= 0
    tail, known = _tail(part, priced, first)
    return StepsOf(
        label=part.label, n=len(part.frame), clusters=len(np.unique(runs.group)),
        steps=float(np.average(runs.made, weights=heavy)),
        quality=float(np.average(part.frame["quality"].to_numpy(np.float64), weights=heavy)),
        rate=_share(runs.ratio(np.nansum(runs.passed, axis=1), runs.made)), end_to_end=_share(runs.mean(whole)),
        independent=_share(runs.mean(runs.moved(independent(runs)))), clustering=Figure.of(clustering(runs)),
        by_step=_by_step(part), by_role=_by_role(part), seen=seen.tolist(), alone=alone.tolist(),
        first=[(int(k) + 1, float(heavy[first == k].sum() / heavy.sum())) for k in np.unique(first[failed])],
        failed=int(failed.sum()), failed_usd=_part_of_dollars(runs, failed.astype(np.float64)), tail_usd=tail,
        tail_known=known, p95=_by_turn(part, priced), checks=checks,
    )  # fmt: skip


def _share(mean: Estimate) -> Figure:
    """A share of runs or steps, with Wilson's interval."""
    low, high = bounded_interval(mean)
    finite = [None if math.isnan(end) else end for end in (mean.value, low, high)]
    return Figure(
        value=finite[0], low=finite[1], high=finite[2], confidence=0.95, n=mean.n, clusters=mean.clusters
    )


def _by_step(part: Part) -> list[tuple[str, Figure]]:
    """By place, named where all steps of that place have one name."""
    found = []
    for at in range(min(part.runs.passed.shape[1], MOST_PLACES)):
        names = {run[at].name for run in part.steps if len(run) > at}
        figure = _share(part.runs.mean(part.runs.passed[:, at]))
        found.append((f"{at + 1}{f' {names.pop()}' if len(names) == 1 else ''}", figure))
    return found


def _by_role(part: Part) -> list[tuple[str, Figure]]:
    roles = sorted({one.role for run in part.steps for one in run if one.role is not None})
    found = []
    for role in roles:
        mine = [[one.passed for one in run if one.role == role] for run in part.steps]
        made = np.array([len(run) or np.nan for run in mine], np.float64)
        right = np.array([float(sum(run)) for run in mine])
        found.append((role, _share(part.runs.ratio(right, made))))
    return found


def _part_of_dollars(runs: Runs, share: Floats) -> float | None:
    """Which share of all known dollars is in the given share [n] of each run."""
    known = ~np.isnan(runs.cost_usd) & ~np.isnan(share)
    total = float((runs.cost_usd * runs.heavy())[known].sum())
    return float((runs.cost_usd * runs.heavy() * share)[known].sum()) / total if total > 0 else None


def _tail(part: Part, priced: pd.DataFrame, first: Any) -> tuple[float | None, int]:
    """(share of dollars after the first failed step, failed runs of which it is known); the share
    is that of the runs of which it is known, those without a failure among them."""
    calls = _by_run(priced[priced["run"].isin(part.frame.index)])
    share = np.where(first < 0, 0.0, np.nan)
    for at, (run, place) in enumerate(zip(part.frame.index, first, strict=True)):
        if place >= 0:
            share[at] = _after(calls.get(run, []), part.steps[at][place])
    failed = first >= 0
    known = int((failed & ~np.isnan(share)).sum())
    return (_part_of_dollars(part.runs, share) if known or not failed.any() else None), known


class _Call(NamedTuple):
    turn: int
    role: str | None
    usd: float


def _by_run(priced: pd.DataFrame) -> dict[object, list[_Call]]:
    """The calls of each run, in their order."""
    found: dict[object, list[_Call]] = {}
    columns = (priced[name].tolist() for name in ("run", "turn", "role", "usd"))
    for run, turn, role, usd in zip(*columns, strict=True):
        found.setdefault(run, []).append(_Call(int(turn), role if isinstance(role, str) else None, usd))
    return found


def _after(calls: Sequence[_Call], step: Step) -> float:
    """The share of a run's dollars that came after the call of a step; NaN where it is not
    known."""
    role = step.role if any(one.role == step.role for one in calls) else None
    here = [at for at, one in enumerate(calls) if (one.turn, one.role) == (step.turn, role)]
    total = math.fsum(one.usd for one in calls)
    if not here or not total > 0:  # not known, or free
        return math.nan
    return math.fsum(one.usd for one in calls[here[-1] + 1 :]) / total


def _by_turn(part: Part, priced: pd.DataFrame) -> list[tuple[int, float, int]]:
    mine = priced[priced["run"].isin(part.frame.index) & priced["usd"].notna()]
    return [
        (turn, weighted_quantile(usd, np.ones(len(usd)), 0.95), len(usd))
        for turn in sorted(mine["turn"].astype("int64").unique().tolist())
        for usd in [mine["usd"][mine["turn"] == turn].to_numpy(np.float64)]
    ]


class _Rival(NamedTuple):
    """A candidate without checks and with 1 … most: by each, success and dollars [n] of its
    runs."""

    part: Part
    values: list[tuple[Floats, Floats]]


def _with_checks(part: Part, validator: Validator) -> _Rival:
    values = []
    for most in range(validator.most + 1):
        right, spent = checked(part.runs, Check(validator.catch, validator.usd, validator.alarm, most))
        values.append((part.runs.moved(right), part.runs.moved(spent)))
    return _Rival(part, values)


def _check_rows(mine: _Rival, dear: _Rival) -> list[CheckRow]:
    rows, runs = [], mine.part.runs
    for most, (right, spent) in enumerate(mine.values):
        better, saving = (None, None) if mine is dear and not most else _against(mine, most, dear)
        rows.append(
            CheckRow(
                most, _share(runs.mean(right)), Figure.of(runs.mean(spent)), Figure.of(runs.ratio(spent, right)),
                better, saving,
            )
        )  # fmt: skip
    return rows


def _against(mine: _Rival, most: int, dear: _Rival) -> tuple[Figure, Figure]:
    """(difference in success, share of the dearest candidate's dollars saved) on the runs that
    both made."""
    keys = ["suite", "sample_id", "epoch"]
    right, spent = mine.values[most]
    base_right, base_spent = dear.values[0]
    one = mine.part.frame[[*keys, "cluster"]].assign(right=right, spent=spent, heavy=mine.part.runs.heavy())
    two = dear.part.frame[keys].assign(
        base_right=base_right, base_spent=base_spent, base=dear.part.runs.heavy()
    )
    both = one.merge(two, on=keys)
    group = both["cluster"].to_numpy(np.int64)
    weight = np.maximum(both["heavy"].to_numpy(np.float64), both["base"].to_numpy(np.float64))
    gain = clustered_mean(both["right"] - both["base_right"], group, weights=weight, span=1.0)
    return Figure.of(gain), Figure.of(paired_saving(both["spent"], both["base_spent"], group, weights=weight))
