"""Logging to MLflow, for `report --mlflow` and `demo`: candidates, the sweep with its pages, and a
policy.

Policy and candidates are set beside each other on the same rows: everybody paired with the
reference there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from router_lab import tracking
from router_lab.certificate import Certificate, Compared, Figure, SuiteRow, deploy
from router_lab.cli.common import echo, step
from router_lab.replay import Replay, replay
from router_lab.report import candidate_table
from router_lab.report.life import life_rows
from router_lab.report.policy import figures, reference_row
from router_lab.report.teams import teams_found
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy

Metrics = dict[str, float]


def mirror(
    outcomes: pd.DataFrame, sweep: str, uri: str | None, pages: Sequence[Path], policy: Policy | None = None,
    directory: Path | None = None, calls: pd.DataFrame | None = None,
) -> str | None:  # fmt: skip
    """Log everything under the name `sweep`, and return the path of the saved view behind the
    server's address.

    directory: the policy's files, logged with it. calls: what roles of teams cost. uri: as
    `tracking.store_uri` takes it. A mirror that cannot be written is a warning, and None: what was
    found stands in the files that were written before.
    """
    table = candidate_table(outcomes)
    replayed = None if policy is None or directory is None else replay(policy, outcomes)
    beside = {} if policy is None or replayed is None else same_rows(policy, replayed)
    try:
        with step("logging to MLflow"):
            each: dict[Candidate, dict[str, Metrics]] = {}
            for rows, (_, fixed) in beside.items():
                for pair, metrics in fixed.items():
                    each.setdefault(pair, {})[rows] = metrics
            logged = tracking.log_sweep(
                table,
                outcomes,
                sweep=sweep,
                uri=uri,
                files=pages,
                beside=each,
                usd_by_role=by_role(outcomes, calls),
            )
            if policy is not None and directory is not None and replayed is not None:
                metrics, tags = placed(policy, replayed, table)
                metrics |= chain_metrics(policy)
                tracking.log_policy(
                    f"policy {(policy.revision or 'unsaved')[:12]}", metrics, sweep=sweep, directory=directory, uri=uri,
                    tags={**verdict_tags(policy), **tags},
                    beside={rows: mine for rows, (mine, _) in beside.items()},
                )  # fmt: skip
    except tracking.MirrorError as error:
        echo(f"warning: not in MLflow: {error}", err=True)
        return None
    return logged.view


def by_role(outcomes: pd.DataFrame, calls: pd.DataFrame | None) -> dict[Candidate, Metrics]:
    """Of each team, the mean dollars of a request by role, where they are known."""
    return {
        team.candidate: {one.role: one.usd_per_1k / 1000 for one in team.roles if one.usd_per_1k is not None}
        for team in teams_found(outcomes, calls)
    }


def verdict_tags(policy: Policy) -> dict[str, str]:
    """The verdict with its reason and what to deploy; as the run's description, too. And who
    retires, whom suites are kept to, what is explored."""
    lives: dict[str, str] = {}
    for key, told in life_rows(policy):
        lives[key] = f"{lives[key]}; {told}" if key in lives else told
    shown = Certificate.of(policy)
    word, reason, text = str(shown.verdict), shown.reason or "no certificate", deploy(policy)
    return {
        "verdict": word, "reason": reason, "deploy": text,
        "mlflow.note.content": f"certificate: {word} · {text} {reason}", **lives,
    }  # fmt: skip


def same_rows(policy: Policy, replayed: Replay) -> dict[str, tuple[Metrics, dict[Candidate, Metrics]]]:
    """Name of a set of rows → metrics of the policy there, and of each candidate: what the charts
    set side by side.

    `certificate`: out of fold, as the certificate says; `fresh` (or `in_sample`): the replay's.
    Each is the reference's mean there, moved by the paired difference and the paired saving, so
    that all of them stand on the same rows.
    """
    found: dict[str, tuple[Metrics, dict[Candidate, Metrics]]] = {}
    shown = Certificate.of(policy)
    base, figure = shown.always.get(policy.reference), shown.quality_difference
    if base is not None and figure is not None and figure.value is not None and shown.n is not None:
        found["certificate"] = (
            moved(base.quality, base.cost_usd, shown, shown.n),
            {c: moved(base.quality, base.cost_usd, r, shown.n) for c, r in shown.always.items()},
        )
    quality, cost = replayed.reference_quality, replayed.reference_cost_usd
    difference, saving = (Figure.of(replayed.estimate(name)) for name in ("quality_difference", "savings"))
    routed = SuiteRow(quality_difference=difference, savings=saving)
    found["in_sample" if replayed.in_sample else "fresh"] = (
        moved(quality, cost, routed, replayed.n),
        {
            Candidate.of(row): moved(
                quality,
                cost,
                SuiteRow(
                    quality_difference=Figure(
                        value=row["quality_difference"], low=row["low"], high=row["high"]
                    ),
                    savings=Figure(value=row["savings"]),
                ),
                replayed.n,
            )
            for row in replayed.fixed
        },
    )
    return found


def moved(quality: float | None, cost: float | None, row: Compared, n: int) -> Metrics:
    """A reference's mean `quality` and `cost` (dollars a request) moved by a row's paired
    difference and saving."""
    difference, saving = row.quality_difference or Figure(), (row.savings or Figure()).value
    numbers = {
        "quality": None if quality is None or difference.value is None else quality + difference.value,
        "quality_difference": difference.value,
        "quality_difference_low": difference.low,
        "quality_difference_high": difference.high,
        "cost_usd_per_1k": None if cost is None or saving is None else 1000 * cost * (1 - saving),
        "savings": saving,
        "n": n,
    }
    return {
        name: float(value) for name, value in numbers.items() if value is not None and math.isfinite(value)
    }


def chain_metrics(policy: Policy) -> Metrics:
    """What the certificate says of chains, of all requests; nothing of a policy without."""
    shown = Certificate.of(policy)
    if shown.chains is None:
        return {}
    told = {
        "chains_share": shown.chains.share, "chains_escalated": shown.chains.escalated,
        "chains_stopped": shown.chains.stopped, "chains_signals_usd": shown.chains.signals_usd,
        "chains_savings_without_signals": shown.chains.savings_without_signals,
        "chains_gain": None if shown.escalation_gain is None else shown.escalation_gain.value,
    }  # fmt: skip
    return {name: float(value) for name, value in told.items() if value is not None and math.isfinite(value)}


def placed(policy: Policy, replayed: Replay, table: pd.DataFrame) -> tuple[Metrics, dict[str, str]]:
    """Where the policy stands among the candidates on every row of the sweep, as in the report's
    picture: the reference's place there, moved by the paired difference and saving; and the tag
    that says so."""
    found, base = figures(policy, replayed), reference_row(policy, table)
    if base is None:
        return {}, {"router_lab.rows": "none: the sweep has no outcome of the policy's reference"}
    difference = found.quality_difference
    metrics = moved(base["quality"], base["cost_usd_per_1k"] / 1000, found, found.n)
    metrics = {
        name: value for name, value in metrics.items() if name in ("quality", "cost_usd_per_1k", "savings")
    }
    ends = {"low": difference.low, "high": difference.high}
    metrics |= {
        f"quality_{e}": min(1.0, max(0.0, base["quality"] + v)) for e, v in ends.items() if v is not None
    }
    rows = f"the reference's place on every row, moved by what was measured on {found.source}"
    return metrics, {"router_lab.rows": rows}
