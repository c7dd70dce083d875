"""Examples for the help of commands that bring none of their own: one place, held to the options
by tests/contract."""

from __future__ import annotations

import click

EXAMPLES = {
    "init": ["init mine"],
    "sweep": [
        "sweep evals/sweeps/first.yaml --dry-run --pilot 5",
        "sweep evals/sweeps/first.yaml --budget-usd 25",
    ],
    "collect": [
        "collect logs/first --out outcomes.parquet",
        "collect ours.csv --out outcomes.parquet --prices evals/prices.yaml",
        "collect ours.csv --out outcomes.parquet --suite support --map sample_id=id,quality=score,cost_usd=cost",
        "collect wide.csv --out outcomes.parquet --suite support --wide 'gpt-*' --wide-column 'cost_usd={model}_cost'",
    ],
    "prices": [
        "prices show",
        "prices add openai/new-model --input 1 --output 3 --source https://example.com/pricing",
    ],
    "prices show": ["prices show openai/gpt-5-mini"],
    "prices add": ["prices add openai/new-model --input 1 --output 3 --source https://example.com/pricing"],
    "prices tool": ["prices tool tavily_search --per-thousand 8 --source https://example.com/pricing"],
    "plan": ["plan outcomes.parquet --margin 0.03"],
    "fit": ["fit policies/support/recipe.yaml --outcomes outcomes.parquet --out policies/support"],
    "replay": ["replay policies/support --outcomes outcomes.parquet"],
    "caches": [
        "caches logs/agent",
        "caches logs/agent --policy policies/agent --ttl 1h",
        "caches calls.parquet --prices evals/prices.yaml --json",
    ],
    "route": ['route policies/support "Where is my parcel?" --suite triage --explain'],
    "verify": [
        "verify policies/support",
        "verify policies/support --outcomes outcomes.parquet",
        "verify policies/support --public-key trusted.keys --name support --alias champion",
    ],
}


def with_example(name: str, command: click.Command) -> click.Command:
    """`command`, and the commands of a group, with an example at the end of the help where it has
    none."""
    if command.epilog is None and name in EXAMPLES:
        calls = "".join(f"\n  router-lab {call}" for call in EXAMPLES[name])
        command.epilog = f"\b\nExample{'s' if len(EXAMPLES[name]) > 1 else ''}:{calls}\n"
    if isinstance(command, click.Group):
        for inner, one in command.commands.items():
            with_example(f"{name} {inner}", one)
    return command
