"""What each role of a team used of a request: its limits and its share of the dollars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from router_lab.collect.logs import LogSource
from router_lab.runtime.model import Candidate

TEAM_REQUEST: dict[str, Any] = {
    "api": None,
    "arguments": {},
    "reproducible": False,
    "reason": "a team makes several: ask `decision.roles[…]` for the request of each role",
}
SLACK, TAIL = 2.0, 99.0
"""As limits of a whole request are set: twice the 99th percentile of what was recorded."""

Usage = Mapping[Candidate, Mapping[str, Mapping[str, Any]]]


def usage_by_role(calls: Sequence[Mapping[str, Any]], logs: Sequence[LogSource]) -> Usage:
    """By team and role: `limits` (output tokens of a call, turns and dollars of a request) and
    `share` of the team's dollars, from the last attempts of rows of the calls table."""
    teams = {source.candidate: tuple(source.team) for source in logs if source.team}
    cells: dict[Candidate, dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]]] = {
        team: defaultdict(lambda: defaultdict(list)) for team in teams
    }
    last: dict[tuple[Any, ...], int] = defaultdict(int)
    mine = [
        (Candidate.of(row), (row["suite"], row["sample_id"], row["epoch"]), row)
        for row in calls
        if row["role"] in teams.get(Candidate.of(row), ())
    ]
    for team, sample, row in mine:
        last[team, sample] = max(last[team, sample], row["attempt"])
    for team, sample, row in mine:
        if row["attempt"] == last[team, sample]:
            cells[team][sample][row["role"]].append(row)
    return {team: _roles(cells[team], roles) for team, roles in teams.items()}


def _roles(
    samples: Mapping[tuple[Any, ...], Mapping[str, list[Mapping[str, Any]]]], roles: Sequence[str]
) -> dict[str, dict[str, Any]]:
    made = {role: [of.get(role, []) for of in samples.values()] for role in roles}
    usd = {role: np.array([_dollars(calls) for calls in made[role]], np.float64) for role in roles}
    total = float(sum(values.sum() for values in usd.values()))
    return {
        role: {
            "limits": {
                "max_tokens": _whole([row["output_tokens"] or 0 for calls in made[role] for row in calls]),
                "turns": _whole([len(calls) for calls in made[role]]),
                "usd": _tail(usd[role]) or None,
            },
            "share": float(usd[role].sum()) / total if total > 0 else None,
        }
        for role in roles
    }


def _dollars(calls: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(row["cost_usd"] or 0.0 for row in calls))


def _tail(values: npt.NDArray[np.float64]) -> float:
    return SLACK * float(np.percentile(values, TAIL)) if len(values) else 0.0


def _whole(values: Sequence[int]) -> int | None:
    found = _tail(np.array(values, np.float64))
    return max(1, int(np.ceil(found))) if found > 0 else None
