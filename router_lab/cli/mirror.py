"""Logging to MLflow, for `report --mlflow` and `demo`: candidates, the sweep with its pages, and a policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.common import step

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.runtime.policy import Policy


def mirror(
    outcomes: pd.DataFrame, sweep: str, uri: str | None, pages: Sequence[Path], policy: Policy | None = None,
    directory: Path | None = None,
) -> str:  # fmt: skip
    """Log everything under the name `sweep`, and return the path of the saved view behind the server's address.

    directory: the policy's files, logged with it. uri: as `tracking.store_uri` takes it.
    """
    from router_lab import tracking
    from router_lab.report import candidate_table

    with step("logging to MLflow"):
        logged = tracking.log_sweep(candidate_table(outcomes), outcomes, sweep=sweep, uri=uri, files=pages)
        if policy is not None and directory is not None:
            tracking.log_policy(
                f"policy {(policy.revision or 'unsaved')[:12]}", policy_metrics(policy, outcomes), sweep=sweep,
                directory=directory, uri=uri, tags=verdict_tags(policy),
            )  # fmt: skip
    return logged.view


def verdict_tags(policy: Policy) -> dict[str, str]:
    """The verdict with its reason and what to deploy; as the run's description, too."""
    from router_lab.metrics import advice

    shown = policy.spec.certificate
    word, reason, text = shown.get("verdict"), shown.get("reason", "no certificate"), advice(shown).text
    return {
        "verdict": str(word), "reason": str(reason), "deploy": text,
        "mlflow.note.content": f"certificate: {word} · {text} {reason}",
    }  # fmt: skip


def policy_metrics(policy: Policy, outcomes: pd.DataFrame) -> dict[str, float]:
    """What the policy reaches on rows that its fit has not used, under the names that candidates have."""
    from router_lab.replay import replay

    scored = replay(policy, outcomes)
    low, high = scored.interval("quality")
    metrics = {
        "quality": scored.quality, "quality_low": low, "quality_high": high,
        "cost_usd_per_1k": 1000 * scored.cost_usd, "savings": scored.savings,
    }  # fmt: skip
    return {name: value for name, value in metrics.items() if value == value}
