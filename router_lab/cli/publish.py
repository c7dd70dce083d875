"""`router-lab publish`, `rollback`, `keygen`, `sign`: what production serves."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import re
from collections.abc import Callable
from pathlib import Path

import click

from router_lab import publish as releases
from router_lab.cli.common import (
    ERROR,
    EXISTING_FILE,
    EXISTING_FOLDER,
    echo,
    open_policy,
    print_path,
    step,
)
from router_lab.cli.places import Here, put_back
from router_lab.runtime import keys
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.release import Release, moment

key_option = click.option(
    "--key",
    type=Here(exists=True, dir_okay=False),
    help="Private Ed25519 key (PEM) to sign the release with (extra `sign`).",
)
trusted_option = click.option(
    "--trusted",
    type=EXISTING_FILE,
    help="Keys that loaders believe, as they read them: refuse what they would refuse.",
)
expires_option = click.option(
    "--expires",
    metavar="WHEN",
    help="From when no loader takes the release: 12h, 30d, 8w, 2027-01-31. Default: never.",
)
registry_option = click.option(
    "--registry", is_flag=True, help="Also tell MLflow's registry: the files, and the alias."
)
uri_option = click.option(
    "--tracking-uri", help="MLflow store; default: MLFLOW_TRACKING_URI, or mlflow.db here."
)


@click.command(
    epilog="""\b
Example:
  router-lab gate policies/support/3f2a… --outcomes outcomes.parquet --gates gates.yaml --write-json gate.json
  router-lab publish policies/support/3f2a… --gate gate.json --alias champion
  router-lab publish policies/support/3f2a… --gate gate.json --key release.pem --trusted trusted.keys --expires 30d
"""
)
@click.argument("policy", type=EXISTING_FOLDER)
@click.option("--alias", default="champion", show_default=True)
@click.option(
    "--gate", "gate_file", type=EXISTING_FILE, help="What `gate --write-json` wrote for this revision."
)
@click.option("--force", is_flag=True, help="Publish without a passed gate; RELEASES.jsonl remembers it.")
@key_option
@trusted_option
@expires_option
@registry_option
@uri_option
def publish(
    policy: Path, alias: str, gate_file: Path | None, force: bool, key: Path | None, trusted: Path | None,
    expires: str | None, registry: bool, tracking_uri: str | None,
) -> None:  # fmt: skip
    """Make the revision POLICY what loaders of its parent folder get, atomically.

    Of two at once the second waits, half a minute at most. With --registry, MLflow is told
    afterwards; where it cannot be, that is a warning and exit status 1, and the release is in
    place all the same.
    """
    from router_lab.config import read_yaml

    gate = None if gate_file is None else read_yaml(gate_file)  # JSON is YAML, and faults are one line
    if gate is not None and not isinstance(gate, dict):
        raise InputError(f"{gate_file}: is not the JSON that `gate --write-json` writes")
    if registry:
        # Said before anything is published: what no registry could hold.
        from router_lab.tracking import refuse_name, store_uri

        refuse_name(open_policy(policy).spec.name, alias)
        store_uri(tracking_uri)
    done = releases.publish(
        policy, alias=alias, gate=gate, force=force, private_key=_careful(key), trusted=trusted,
        expires=_until(expires), by=_who(),
    )  # fmt: skip
    put_back()  # what is said from here on holds at an address, too
    release = done.release
    word = release.verdict if gate is not None else "no gate"
    if done.entry["forced"]:
        why = "without a gate" if gate is None else f"though its gate says {word}"
        echo(f"warning: published by force, {why}; {done.folder} remembers it", err=True)
    told = not registry or _in_registry(done, lambda: _register(policy, done, tracking_uri), tracking_uri)
    head = f"release {release.number} of {release.name} as {alias}: {release.revision[:16]} ({word})"
    echo(head, *_signed_until(done))
    print_path(policy.parent if policy.name else done.folder)
    if not told:
        raise SystemExit(ERROR)


@click.command(
    epilog="""\b
Examples:
  router-lab rollback policies/support
  router-lab rollback policies/support --to 7
"""
)
@click.argument("folder", metavar="NAME", type=EXISTING_FOLDER)
@click.option(
    "--to", metavar="NUMBER|REVISION", help="The release to put back, instead of the last good one."
)
@key_option
@trusted_option
@expires_option
@registry_option
@uri_option
def rollback(
    folder: Path, to: str | None, key: Path | None, trusted: Path | None, expires: str | None, registry: bool,
    tracking_uri: str | None,
) -> None:  # fmt: skip
    """Put back, under a new number, what was published in the policy folder NAME before the
    current release.

    What was itself rolled back from is passed over, so that a second rollback goes further back.
    --to names a release by its number in RELEASES.jsonl, or by the first digits of its revision.
    """
    done = releases.rollback(
        folder, to=to, private_key=_careful(key), trusted=trusted, expires=_until(expires), by=_who()
    )
    put_back()
    release = done.release
    told = not registry or _in_registry(done, lambda: _move_alias(release, tracking_uri), tracking_uri)
    head = f"release {release.number} of {release.name} as {release.alias}: back to {release.revision[:16]}"
    echo(head, *_signed_until(done))
    print_path(done.folder)
    if not told:
        raise SystemExit(ERROR)


def _signed_until(done: releases.Published) -> list[str]:
    by, until = done.entry["key"], done.release.expires
    signed = [] if by is None else [f"signed by {by}"]
    return signed if until is None else [*signed, f"expires {moment(until)}"]


def _until(text: str | None) -> dt.datetime | None:
    """What --expires says, as a moment. Raises InputError."""
    if text is None:
        return None
    units = {"h": "hours", "d": "days", "w": "weeks"}
    span = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", text)
    try:
        if span is not None:
            return dt.datetime.now(dt.UTC) + dt.timedelta(**{units[span[2]]: int(span[1])})
        found = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InputError(
            f"--expires {text[:40]!r}: is not 12h, 30d, 8w or a date such as 2027-01-31"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _careful(key: Path | None) -> Path | None:
    """The file of a private key; a word to who leaves it open."""
    if key is not None and os.name == "posix" and key.stat().st_mode & 0o006:
        echo(
            f"warning: {key}: everybody on this machine may read or change this private key; `chmod 600` it",
            err=True,
        )
    return key


def _register(policy: Path, done: releases.Published, tracking_uri: str | None) -> str:
    """Register the files of a release in MLflow; the version's number."""
    from router_lab.tracking import register_version

    release = done.release
    tags = {
        "verdict": release.verdict, "revision": release.revision, "release": str(release.number),
        "certificate_sha256": str(done.entry["certificate_sha256"]), "forced": str(done.entry["forced"]).lower(),
    }  # fmt: skip
    return register_version(policy, release.name, alias=release.alias, tags=tags, uri=tracking_uri).version


def _move_alias(release: Release, tracking_uri: str | None) -> str:
    from router_lab.tracking import move_alias_to_revision

    return move_alias_to_revision(release.name, release.alias, release.revision, tracking_uri)


def _in_registry(done: releases.Published, write: Callable[[], str], tracking_uri: str | None) -> bool:
    """Mirror a release that is in place already; a registry that cannot be written is a warning,
    and False."""
    release = done.release
    try:
        with step("registering in MLflow"):
            version = write()
            newest = releases.current_release(done.folder)
            if newest is not None and newest.number > release.number:
                # Another published meanwhile, and may have told MLflow before us.
                echo(f"MLflow: release {newest.number} is in place by now, so the alias goes there", err=True)
                version = _move_alias(newest, tracking_uri)
    except InputError as error:
        echo(
            f"warning: release {release.number} is in place, but MLflow's registry does not know it: publish "
            f"revision {release.revision[:16]} again with --registry once it can be reached: {error}",
            err=True,
        )
        return False
    echo(f"MLflow: models:/{release.name}@{release.alias} is version {version}")
    return True


@click.command(epilog="\b\nExample:\n  router-lab keygen release.pem\n")
@click.argument("file", type=Here(dir_okay=False))
def keygen(file: Path) -> None:
    """Make an Ed25519 key pair: the private key to FILE (mode 600), the public key printed for
    loaders."""
    private, public = keys.keygen()
    try:
        atomic_write(file, private, mode=0o600, new=True)
    except FileExistsError:
        raise InputError(f"{file}: exists; a key is never written over") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}; no key was made") from error
    echo(f"public key: {public}", f"fingerprint: {keys.fingerprint(public)}")
    print_path(file)


@click.command(epilog="\b\nExample:\n  router-lab sign policies/support --key release.pem\n")
@click.argument("folder", metavar="NAME", type=EXISTING_FOLDER)
@click.option(
    "--key", type=Here(exists=True, dir_okay=False), required=True, help="Private Ed25519 key (PEM)."
)
@trusted_option
def sign(folder: Path, key: Path, trusted: Path | None) -> None:
    """Sign the release that stands in the policy folder NAME, for loaders that require a
    signature."""
    path = releases.sign(folder, _careful(key) or key, trusted=trusted)
    put_back()
    echo(f"signed by {keys.fingerprint(keys.load_private_key(key).public_key())}")
    print_path(path)


def _who() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
