"""`router-lab replay`: a policy scored on recorded outcomes, beside its baselines."""

from __future__ import annotations

from pathlib import Path

import click

from router_lab.cli.common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    echo,
    json_option,
    open_policy,
    print_json,
    step,
)
from router_lab.metrics import too_few, uneven, uneven_told
from router_lab.runtime.shares import part


@click.command()
@click.argument("policy", type=EXISTING_FOLDER)
@click.option("--outcomes", required=True, type=EXISTING_FILE)
@click.option("--point", help="An operating point of the policy; by default its own.")
@json_option
def replay(policy: Path, outcomes: Path, point: str | None, as_json: bool) -> None:
    """Score POLICY on outcomes: rows that its fit did not use, or all of them, labelled
    in-sample."""
    from router_lab.columns import aligned
    from router_lab.outcomes import read_outcomes
    from router_lab.replay import replay as run
    from router_lab.report.format import percent, points
    from router_lab.report.life import life_rows

    loaded, table = open_policy(policy), read_outcomes(outcomes)
    with step(f"replaying {loaded.spec.name} on {len(table)} outcomes"):
        result = run(loaded, table, point)
    if as_json:
        print_json(result.to_json())
        return
    rows = [
        ("policy", result.quality, result.cost_usd, result.savings),
        ("reference", result.reference_quality, result.reference_cost_usd, 0.0),
        ("random mix", *(result.random_mix[k] for k in ("quality", "cost_usd", "savings"))),
        ("oracle (hindsight)", *(result.oracle[k] for k in ("quality", "cost_usd", "savings"))),
    ]
    figures = [(name, f"{q:.4f}", f"{cost:.6f}", percent(saved)) for name, q, cost, saved in rows]
    echo(*aligned([("", "quality", "cost_usd", "savings"), *figures]))
    for metric, label in (("quality_difference", "quality against the reference"), ("savings", "savings"),
                          ("savings_over_mix", "savings over the random mix")):  # fmt: skip
        found, (low, high) = result.estimate(metric), result.interval(metric)
        unit = "points" if metric == "quality_difference" else "%"
        said = f"{points(found.value, 2)} {unit}, two-sided 95 % [{points(low, 2)}, {points(high, 2)}]"
        echo(f"{label}: {too_few(found.n, found.clusters, low, high) or said + uneven_told(uneven(found))}")
    echo(*(f"{key}: {text}" for key, text in life_rows(loaded) if key != "retires"))
    sample = "in-sample: no evidence" if result.in_sample else "fresh: the fit did not use them"
    echo(
        *(f"  {part(share):>6}  {candidate}" for candidate, share in result.shares.items() if share > 0),
        f"{result.n} rows in {result.clusters} clusters ({sample}), {result.skipped} skipped for a missing outcome",
    )
