"""`router-lab gate`: thresholds, and an exit status that a deploy can hang on."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.certificate import Certificate, advice, shown_to_lose
from router_lab.cli.common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FILE,
    echo,
    echo_block,
    json_option,
    open_policy,
    print_json,
    same_or_fail,
    step,
)
from router_lab.cli.looks import look_of_gate, looks_json
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.model import Candidate, Prices
from router_lab.runtime.visible import in_markdown, visible_json

if TYPE_CHECKING:
    from router_lab.config import Gate
    from router_lab.gates import GateReport
    from router_lab.runtime.policy import Policy

EXAMPLE = """\b
Example:
  router-lab gate policies/support --outcomes outcomes.parquet --gates gates.yaml --write-json gate.json
  router-lab gate policies/support --outcomes outcomes.parquet --gates gates.yaml --check gate.json

\b
gates.yaml:
  gates:
    - {metric: quality, against: reference, margin: 0.03}
    - {metric: quality, min: 0.70, suite: each}
    - {metric: over_random_mix, min: 0}
    - {metric: cost_p95_usd, max: 0.02}
"""


@click.command(epilog=EXAMPLE)
@click.argument("policy", type=EXISTING_FOLDER)
@click.option("--outcomes", required=True, type=EXISTING_FILE)
@click.option(
    "--gates",
    "gates_file",
    type=EXISTING_FILE,
    help="Thresholds in YAML, or a recipe with gates; default: the gates of the recipe that the policy was fitted by.",
)
@click.option(
    "--champion", help="The policy in production: a directory, or models:/NAME@ALIAS of the MLflow registry."
)
@click.option(
    "--tracking-uri", help="MLflow store of a models:/ champion; default: MLFLOW_TRACKING_URI, or mlflow.db."
)
@click.option(
    "--prices",
    type=EXISTING_FILE,
    help="Prices of today for price_drift; default: those in the outcomes.",
)
@click.option(
    "--audit",
    type=EXISTING_FILE,
    help="CSV of human labels of outcomes that a judge scored: suite, sample_id, model, effort, quality.",
)
@click.option("--junit", type=FILE, help="Also write JUnit XML there.")
@click.option("--markdown", type=FILE, help="Also write Markdown there.")
@click.option(
    "--write-json",
    type=FILE,
    help="Also write JSON there: what `publish --gate` wants to see.",
)
@click.option(
    "--check",
    type=EXISTING_FILE,
    help="Recompute what --write-json wrote there, as of its date; exit status 3 unless every digit is the same.",
)
@json_option
def gate(
    policy: Path, outcomes: Path, gates_file: Path | None, champion: str | None, tracking_uri: str | None,
    prices: Path | None, audit: Path | None, junit: Path | None, markdown: Path | None,
    write_json: Path | None, check: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Judge POLICY by thresholds, on outcomes that its fit has not used.

    Exit status: 0 every gate passed, 3 one failed, 4 one is inconclusive. Looks at the same fresh
    rows are counted beside the outcomes, in .router-lab-looks.jsonl; a second one is told.
    --check, which asks nothing new, is none.
    """
    from router_lab.gates import read_audit, run_gates
    from router_lab.outcomes import read_outcomes

    loaded, table = open_policy(policy), read_outcomes(outcomes)
    gates, rival = gates_for(loaded, gates_file), champion_policy(champion, tracking_uri)
    written = None if check is None else read_written(check)
    today = dt.datetime.now(dt.UTC).date() if written is None else dt.date.fromisoformat(written["date"])
    with step(f"gating {loaded.spec.name} on {len(table)} outcomes"):
        report = run_gates(
            loaded, table, gates, champion=rival,
            prices=None if prices is None else prices_on(prices, loaded, today),
            audit=None if audit is None else read_audit(audit, table),
            today=today,
        )  # fmt: skip
    if check is not None:
        same_or_fail(check, differences(written, json.loads(json.dumps(report.to_json()))))
        return
    looks = look_of_gate(outcomes, table, loaded, rival, gates, report)
    shown = Certificate.of(loaded)
    # What the certificate says against routing at all, whatever the gates are.
    doubts = [f"by the policy's own certificate: {advice(shown).text}"] if shown_to_lose(shown) else []
    doubt = "; ".join([*doubts, *([] if rival is None else loosened(rival, loaded))])
    write_reports(report, doubt, junit, markdown, write_json)
    if as_json:
        print_json(report.to_json() | looks_json(looks))
    else:
        echo_block(report.to_text())
        if looks is not None and looks.told() is not None:
            echo(looks.told())
    if doubt:
        echo(f"warning: {doubt}", err=True)
    raise SystemExit(report.exit_code)


def loosened(champion: Policy, policy: Policy) -> list[str]:
    """The suites that the champion keeps to some candidates and that others may serve under the
    policy: no figure shows it."""
    found = []
    for suite, own in sorted(champion.spec.allowed.items()):
        before = {champion.candidates[column] for column in own}
        now = policy.spec.allowed.get(suite)
        may = policy.candidates if now is None else [policy.candidates[column] for column in now]
        others = [str(one) for one in may if one not in before]
        if others:
            found.append(
                f"{suite} may be served by {', '.join(others)}, which the champion keeps out of it (`allowed`)"
            )
    return found


def write_reports(
    report: GateReport, doubt: str, junit: Path | None, markdown: Path | None, write_json: Path | None
) -> None:
    """The files that a run of gates is asked for; `doubt` stands below the Markdown."""
    if junit is not None:
        atomic_write(junit, report.to_junit())
    if markdown is not None:
        below = f"\n**Warning:** {in_markdown(doubt)}\n" if doubt else ""
        atomic_write(markdown, (report.to_markdown() + below).encode())
    if write_json is not None:
        text = visible_json(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        atomic_write(write_json, text.encode())


def gates_for(policy: Policy, gates_file: Path | None) -> list[Gate]:
    """The gates of a gates file or a recipe; without one, those of the policy's own recipe, or of
    its certificate."""
    from router_lab.config import Gate, Gates, Recipe, load, read_yaml

    if gates_file is not None:
        read = read_yaml(gates_file)
        own = load(Recipe, gates_file).gates if isinstance(read, dict) and "name" in read else None
        return list(load(Gates, gates_file).gates if own is None else own)
    recipe = policy.spec.provenance.get("recipe") or {}
    if recipe.get("gates"):
        return [Gate.model_validate(dict(gate)) for gate in recipe["gates"]]
    shown = Certificate.of(policy)
    gates = [Gate(metric="certificate", min=1), Gate(metric="expires_in_days", min=7)]
    if shown.margin is not None:
        loss = {
            "metric": "quality",
            "against": "reference",
            "margin": shown.margin,
            "confidence": shown.confidence,
        }
        gates.insert(0, Gate.model_validate(loss))
    return gates


def champion_policy(champion: str | None, tracking_uri: str | None) -> Policy | None:
    """The champion named on the command line, from a directory or the MLflow registry."""
    if champion is None:
        return None
    if not champion.startswith("models:/"):
        return open_policy(champion)
    from router_lab.tracking import fetch_version

    with fetch_version(champion, tracking_uri) as directory:
        return open_policy(directory)


def prices_on(prices: Path, policy: Policy, day: dt.date) -> dict[Candidate, Any]:
    """What the policy's candidates cost on a day by a prices file; those without a price there are
    left out."""
    from router_lab.gates.measure import priced
    from router_lab.prices import PriceTable

    table = PriceTable.load(prices)
    return {
        candidate: Prices(**table.rates(candidate.model, day).as_dict())
        for candidate, _ in priced(policy.spec.profiles)
        if table.knows(candidate.model, day)
    }


def read_written(path: Path) -> dict[str, Any]:
    """What `--write-json` wrote. Raises InputError for anything else."""
    from router_lab.config import read_yaml

    found = read_yaml(path)  # JSON is YAML, and faults are one line
    if not isinstance(found, dict) or "results" not in found or "date" not in found:
        raise InputError(f"{path}: is not the JSON that `gate --write-json` writes")
    return {**found, "date": str(found["date"])}


def differences(was: object, now: object, where: str = "") -> list[str]:
    """Every place in which two JSON values are not exactly equal."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted(was.keys() | now.keys())
        return [
            line for k in keys for line in differences(was.get(k), now.get(k), f"{where}.{k}" if where else k)
        ]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [
            line
            for i, pair in enumerate(zip(was, now, strict=True))
            for line in differences(*pair, f"{where}[{i}]")
        ]
    return [] if was == now else [f"{where}: {was!r}, now {now!r}"]
