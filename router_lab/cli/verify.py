"""`router-lab verify`: an artifact's integrity, and its certificate recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from router_lab.cli.common import GATE_FAILED, echo, json_option, open_policy, print_json, step


@click.command()
@click.argument("policy", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--outcomes", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What it was fitted on.")
@json_option
def verify(policy: Path, outcomes: Path | None, as_json: bool) -> None:
    """Check POLICY's hashes, rules and self-test; with --outcomes, fit again from its own recipe and compare.

    Exit status 3 when the certificate cannot be reproduced.
    """
    loaded = open_policy(policy)
    result: dict[str, Any] = {"revision": loaded.revision, "intact": True}
    if outcomes is not None:
        from router_lab.fit.reproduce import reproduce
        from router_lab.outcomes import read_outcomes

        with step("fitting again"):
            result |= reproduce(loaded, read_outcomes(outcomes))
    if as_json:
        print_json(result)
    else:
        echo(f"intact: every hash, rule and golden decision of {loaded.revision}")
        if outcomes is not None:
            same = "the same bytes" if result["same_revision"] else "another artifact"
            echo(f"fitted again: {same}; verdict {result['verdict']} (was {result['was']})")
            for name in result["differences"]:
                echo(f"  differs: {name}")
    if result.get("differences"):
        raise SystemExit(GATE_FAILED)
