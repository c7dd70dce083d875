"""`router-lab route`: one decision, with its reason."""

from __future__ import annotations

import sys
from typing import Any

import click

from router_lab.cli.common import json_option, open_policy, print_json


@click.command()
@click.argument("policy", type=click.Path(exists=True, file_okay=False))
@click.argument("prompt", required=False)
@click.option("--suite", help="The suite that the prompt belongs to, if known.")
@click.option("--point", help="An operating point of the policy; by default its own.")
@click.option("--max-cost-usd", type=float, help="Dollars that the request may cost at most.")
@click.option("--min-quality", type=float, help="Predicted quality that the candidate must reach.")
@click.option("--key", help="What chance (`mix`) is drawn by; by default the prompt.")
@click.option("--explain", is_flag=True, help="Show the prediction for every candidate as well.")
@json_option
def route(policy: str, prompt: str | None, explain: bool, as_json: bool, **asked: Any) -> None:
    """Decide who serves PROMPT (standard input if left out) under POLICY, an artifact or a folder of releases."""
    loaded = open_policy(policy)
    text = sys.stdin.read() if prompt is None else prompt
    decision = loaded.decide(text, **asked)
    quality, cost = loaded.predict([text], [asked["suite"]])
    candidates = [
        {"model": model, "effort": effort, "quality": float(q), "cost_usd": float(c)}
        for (model, effort), q, c in zip(loaded.candidates, quality[0], cost[0], strict=True)
    ]
    if as_json:
        print_json(decision.to_dict() | ({"candidates": candidates} if explain else {}))
        return
    click.echo(f"{decision.candidate}\n  because   {decision.reason}")
    click.echo(f"  predicted quality {decision.quality:.3f}, ${decision.cost_usd:.6f} on tier {decision.tier}")
    click.echo(f"  fallbacks {', '.join(map(str, decision.fallbacks)) or 'none'}")
    limits = {name: value for name, value in decision.limits._asdict().items() if value is not None}
    if limits:
        click.echo("  limits    " + ", ".join(f"{name} {value:g}" for name, value in limits.items()))
    if explain:
        from router_lab.cli.show import escalates

        click.echo("\n  quality   cost_usd  candidate")
        for row, candidate in zip(candidates, loaded.candidates, strict=True):
            click.echo(f"  {row['quality']:7.3f} {row['cost_usd']:10.6f}  {candidate}")
        if loaded.spec.escalation:
            click.echo(f"  {escalates(loaded)}")
    click.echo(f"  revision  {decision.revision}")
