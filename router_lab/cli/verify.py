"""`router-lab verify`: an artifact's integrity, and its certificate recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from router_lab.certificate import Certificate
from router_lab.cli.common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    GATE_FAILED,
    echo,
    json_option,
    print_json,
    step,
)
from router_lab.runtime.artifact import open_artifact, revision_in
from router_lab.runtime.release import release_row


@click.command()
@click.argument("policy", type=EXISTING_FOLDER)
@click.option("--outcomes", type=EXISTING_FILE, help="What it was fitted on.")
@click.option(
    "--public-key",
    "keys",
    multiple=True,
    metavar="KEY|FILE",
    help="Check the signature of the release too, as a loader with these keys does. May be repeated.",
)
@click.option("--name", help="The name that the policy must have.")
@click.option("--alias", help="The alias that it must be published under.")
@json_option
def verify(
    policy: Path, outcomes: Path | None, keys: tuple[str, ...], name: str | None, alias: str | None, as_json: bool
) -> None:  # fmt: skip
    """Check POLICY's hashes, rules and self-test; with --outcomes, fit again from its own recipe
    and compare.

    With --public-key, --name or --alias, check its release as a loader does that was given these.
    Exit status 3 when the certificate cannot be reproduced.
    """
    opened = open_artifact(revision_in(policy), public_key=keys or None, name=name, alias=alias)
    loaded, release = opened.policy, opened.release
    Certificate.of(loaded)  # raises where it cannot be read
    result: dict[str, Any] = {"revision": loaded.revision, "intact": True}
    if release is not None and (keys or alias is not None):
        result |= {"release": release_row(release), "signer": opened.signer}
    if outcomes is not None:
        from router_lab.fit.reproduce import reproduce
        from router_lab.outcomes import read_outcomes

        with step("fitting again"):
            result |= reproduce(loaded, read_outcomes(outcomes))
    if as_json:
        print_json(result)
    else:
        published = [_release(result["release"], opened.signer)] if "release" in result else []
        echo(f"intact: every hash, rule and golden decision of {loaded.revision}", *published)
        if outcomes is not None:
            same = "the same bytes" if result["same_revision"] else "another artifact"
            head = f"fitted again: {same}; verdict {result['verdict']} (was {result['was']})"
            echo(head, *(f"  differs: {part}" for part in result["differences"]))
    if result.get("differences"):
        raise SystemExit(GATE_FAILED)


def _release(row: Mapping[str, object], signer: str | None) -> str:
    by = "" if signer is None else f", signed by {signer}"
    until = f", expires {row['expires']}" if "expires" in row else ""
    return f"release {row['number']} of {row['name']} as {row['alias']}{by}{until}"
