"""What teams cost, role by role: dollars, seconds, turns, and steps that passed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from router_lab.certificate import Figure
from router_lab.outcomes import scored_figures
from router_lab.outcomes.candidates import by_candidate
from router_lab.report.call_dollars import call_dollars, team_roles
from router_lab.report.steps import StepsOf
from router_lab.report.table import SAMPLE, candidate_table, pooled, records
from router_lab.runtime.model import Candidate


@dataclass(frozen=True)
class RoleCost:
    """One role in a team. None = not known.

    usd_per_1k: mean dollars of the role in 1,000 requests; share: of the team's. p95_usd: of the
    role in one request. seconds: median of the role's model time in one request. turns: mean calls
    of the role in one request. steps: the share of its steps that passed.
    """

    role: str
    who: str
    usd_per_1k: float | None
    share: float | None
    p95_usd: float | None
    seconds: float | None
    turns: float | None
    steps: Figure | None


@dataclass(frozen=True)
class TeamCost:
    """One team in one harness, over all suites. known: runs of which calls tell the roles, of n."""

    candidate: Candidate
    quality: float
    quality_low: float
    quality_high: float
    usd_per_1k: float
    p95_usd: float
    n: int
    known: int
    steps: Figure | None
    roles: tuple[RoleCost, ...]

    @property
    def label(self) -> str:
        return str(self.candidate)


def teams_found(
    outcomes: pd.DataFrame, calls: pd.DataFrame | None = None, steps: Sequence[StepsOf] = ()
) -> list[TeamCost]:
    """Of each team of a validated outcomes table, the dearest first; nothing where none is one.
    steps: what `steps_found` gave."""
    if not team_roles(outcomes):
        return []
    listed = {Candidate.of(one): one["roles"] for one in outcomes.attrs["candidates"] if one.get("roles")}
    priced = call_dollars(outcomes, calls)
    scored = dict(by_candidate(scored_figures(outcomes)))
    passed = {one.label: one for one in steps}
    return [
        _team(row, scored[who], priced, listed[who], passed.get(str(who)))
        for row in records(pooled(candidate_table(outcomes)))
        if (who := Candidate.of(row)) in listed
    ]


def _team(
    row: Mapping[str, Any],
    part: pd.DataFrame,
    priced: pd.DataFrame,
    roles: Mapping[str, Mapping[str, Any]],
    steps: StepsOf | None,
) -> TeamCost:
    """row: of the candidates' table; part: the team's scored runs."""
    mine = priced[priced["run"].isin(part.index)]
    runs = part[part.index.isin(mine["run"])]
    passed = {} if steps is None else dict(steps.by_role)
    found = [_role(role, roles[role], runs, mine, passed.get(role)) for role in sorted(roles)]
    total = math.fsum(one.usd_per_1k or 0.0 for one in found)
    return TeamCost(
        candidate=Candidate.of(row), quality=row["quality"], quality_low=row["quality_low"],
        quality_high=row["quality_high"], usd_per_1k=row["cost_usd_per_1k"], p95_usd=row["cost_p95_usd"],
        n=len(part), known=len(runs), steps=None if steps is None else steps.rate,
        roles=tuple(_with_share(one, total) for one in found),
    )  # fmt: skip


def _role(
    role: str, who: Mapping[str, Any], runs: pd.DataFrame, calls: pd.DataFrame, steps: Figure | None
) -> RoleCost:
    """A run without a call of the role spent nothing on it."""
    own = calls[calls["role"] == role]
    usd, seconds = (_sums(own, name, runs) for name in ("usd", "seconds"))
    made = own.groupby("run").size().reindex(runs.index, fill_value=0)
    mean = _mean(usd, runs)
    tail, middle = (float(values.quantile(share)) for values, share in ((usd, 0.95), (seconds, 0.5)))
    return RoleCost(
        role=role, who=str(Candidate.of(who)), usd_per_1k=None if mean is None else 1000 * mean, share=None,
        p95_usd=_known(tail), seconds=_known(middle), turns=_mean(made, runs), steps=steps,
    )  # fmt: skip


def _with_share(one: RoleCost, total: float) -> RoleCost:
    return one if one.usd_per_1k is None or not total > 0 else replace(one, share=one.usd_per_1k / total)


def _sums(calls: pd.DataFrame, name: str, runs: pd.DataFrame) -> pd.Series[float]:
    """Of each run, the sum over its calls; NaN where one of them is not known."""
    values = calls[name].astype("float64")
    unknown = values.isna().groupby(calls["run"]).any().reindex(runs.index, fill_value=False)
    return values.groupby(calls["run"]).sum().reindex(runs.index, fill_value=0.0).mask(unknown.astype(bool))


def _mean(values: pd.Series[Any], runs: pd.DataFrame) -> float | None:
    """Epochs are averaged per sample first, and samples weighted as the candidates' table does."""
    weight = runs.get("weight", 1.0)
    known = runs[SAMPLE].assign(value=values.astype("float64"), weight=weight).dropna(subset="value")
    if known.empty:
        return None
    samples = known.groupby(SAMPLE)[["value", "weight"]].mean()
    return float(np.average(samples["value"], weights=samples["weight"]))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
