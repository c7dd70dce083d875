"""`router-lab gate`: thresholds, and an exit status that a deploy can hang on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import json_option, print_json, step

if TYPE_CHECKING:
    from router_lab.config import Gate
    from router_lab.runtime.policy import Policy

EXAMPLE = """\b
Example:
  router-lab gate policies/support --outcomes outcomes.parquet --gates gates.yaml --junit gate.xml

\b
gates.yaml:
  gates:
    - {metric: quality, against: reference, margin: 0.03}
    - {metric: quality, min: 0.70, suite: each}
    - {metric: cost_p95_usd, max: 0.02}
"""


@click.command(epilog=EXAMPLE)
@click.argument("policy", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--outcomes", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--gates",
    "gates_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Thresholds in YAML; default: what the certificate promises.",
)
@click.option("--champion", help="The policy in production: a directory, or models:/NAME@ALIAS of the MLflow registry.")
@click.option("--tracking-uri", help="MLflow store of a models:/ champion; default: MLFLOW_TRACKING_URI, or mlflow.db.")
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prices of today for price_drift; default: those in the outcomes.",
)
@click.option(
    "--audit",
    type=click.Path(exists=True, dir_okay=False),
    help="CSV of human labels of outcomes that a judge scored: suite, sample_id, model, effort, quality.",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Also write JUnit XML there.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Also write Markdown there.")
@click.option(
    "--write-json",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write JSON there: what `publish --gate` wants to see.",
)
@json_option
def gate(
    policy: Path,
    outcomes: Path,
    gates_file: Path | None,
    champion: str | None,
    tracking_uri: str | None,
    prices: Path | None,
    audit: str | None,
    junit: Path | None,
    markdown: Path | None,
    write_json: Path | None,
    as_json: bool,
) -> None:
    """Judge POLICY by thresholds, on outcomes that its fit has not used.

    Exit status: 0 every gate passed, 3 one failed, 4 one is inconclusive.
    """
    import json

    from router_lab.gates import read_audit, run_gates
    from router_lab.outcomes import read_outcomes
    from router_lab.runtime.artifact import load_policy
    from router_lab.runtime.files import atomic_write

    loaded, table = load_policy(policy), read_outcomes(outcomes)
    gates = gates_for(loaded, gates_file)
    with step(f"gating {loaded.spec.name} on {len(table)} outcomes"):
        report = run_gates(
            loaded, table, gates, champion=champion_policy(champion, tracking_uri),
            prices=None if prices is None else prices_today(prices, loaded),
            audit=None if audit is None else read_audit(audit, table),
        )  # fmt: skip
    if junit is not None:
        atomic_write(junit, report.to_junit())
    if markdown is not None:
        atomic_write(markdown, report.to_markdown().encode())
    if write_json is not None:
        atomic_write(write_json, json.dumps(report.to_json(), indent=2, ensure_ascii=False).encode())
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.to_text())
    raise SystemExit(report.exit_code)


def gates_for(policy: Policy, gates_file: Path | None) -> list[Gate]:
    """The gates of a file; without one, those that hold a policy to its own certificate."""
    from router_lab.config import Gate, Gates, load

    if gates_file is not None:
        return list(load(Gates, gates_file).gates)
    shown = policy.spec.certificate
    gates = [Gate(metric="certificate", min=1), Gate(metric="expires_in_days", min=7)]
    if shown.get("margin") is not None:
        loss = {"metric": "quality", "against": "reference", "margin": shown["margin"]}
        gates.insert(0, Gate.model_validate({**loss, "confidence": shown["confidence"]}))
    return gates


def champion_policy(champion: str | None, tracking_uri: str | None) -> Policy | None:
    """The champion named on the command line, from a directory or the MLflow registry."""
    from router_lab.runtime.artifact import load_policy

    if champion is None:
        return None
    if not champion.startswith("models:/"):
        return load_policy(champion)
    from router_lab.tracking import fetch_version

    with fetch_version(champion, tracking_uri) as directory:
        return load_policy(directory)


def prices_today(prices: Path, policy: Policy) -> dict[tuple[str, str | None], Any]:
    """What the policy's candidates cost today by a prices file; those without a price there are left out."""
    import datetime as dt

    from router_lab.prices import PriceTable
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.model import Prices

    table, today = PriceTable.load(prices), dt.datetime.now(dt.UTC).date()
    found: dict[tuple[str, str | None], Any] = {}
    for model, effort in policy.candidates:
        try:
            rates = table.rates(model, today)
        except InputError:
            continue
        found[(model, effort)] = Prices(input=rates.input, output=rates.output)
    return found
