"""`router-lab publish`, `rollback`, `keygen`, `sign`: what production serves."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.cli.common import ERROR, echo, open_policy, print_path, step

if TYPE_CHECKING:
    from router_lab.publish import Published
    from router_lab.runtime.release import Release

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Example:
  router-lab gate policies/support/3f2a… --outcomes outcomes.parquet --gates gates.yaml --write-json gate.json
  router-lab publish policies/support/3f2a… --gate gate.json --alias champion
"""
)
@click.argument("policy", type=FOLDER)
@click.option("--alias", default="champion", show_default=True)
@click.option("--gate", "gate_file", type=FILE, help="What `gate --write-json` wrote for this revision.")
@click.option("--force", is_flag=True, help="Publish without a passed gate; RELEASES.jsonl remembers it.")
@click.option("--key", type=FILE, help="Private Ed25519 key (PEM) to sign the release with (extra `sign`).")
@click.option("--registry", is_flag=True, help="Also register the files in MLflow and point the alias at them.")
@click.option("--tracking-uri", help="MLflow store; default: MLFLOW_TRACKING_URI, or mlflow.db here.")
def publish(
    policy: Path, alias: str, gate_file: Path | None, force: bool, key: Path | None, registry: bool,
    tracking_uri: str | None,
) -> None:  # fmt: skip
    """Make the revision POLICY what loaders of its parent folder get, atomically.

    With --registry, MLflow is told afterwards; where it cannot be, that is a warning and exit status 1, and the release
    is in place all the same.
    """
    from router_lab.config import read_yaml
    from router_lab.publish import publish as run
    from router_lab.runtime.errors import InputError

    gate = None if gate_file is None else read_yaml(gate_file)  # JSON is YAML, and faults are one line
    if gate is not None and not isinstance(gate, dict):
        raise InputError(f"{gate_file}: is not the JSON that `gate --write-json` writes")
    if registry:
        _refuse_registry(open_policy(policy).spec.name, alias, tracking_uri)
    done = run(policy, alias=alias, gate=gate, force=force, private_key=key, by=_who())
    release = done.release
    if done.entry["forced"]:
        echo(f"warning: published by force with verdict {release.verdict}; {done.folder} remembers it", err=True)
    told = not registry or _in_registry(release, lambda: _register(policy, done, tracking_uri))
    echo(f"release {release.number} of {release.name} as {alias}: {release.revision[:16]} ({release.verdict})")
    print_path(policy.parent if policy.name else done.folder)
    if not told:
        raise SystemExit(ERROR)


def _register(policy: Path, done: Published, tracking_uri: str | None) -> str:
    """Register the files of a release in MLflow; the version's number."""
    from router_lab.tracking import register_version

    release = done.release
    tags = {
        "verdict": release.verdict, "revision": release.revision, "release": str(release.number),
        "certificate_sha256": str(done.entry["certificate_sha256"]), "forced": str(done.entry["forced"]).lower(),
    }  # fmt: skip
    return register_version(policy, release.name, alias=release.alias, tags=tags, uri=tracking_uri).version


def _refuse_registry(name: str, alias: str, tracking_uri: str | None) -> None:
    """Raises InputError, before anything is published, for what no registry could hold."""
    from router_lab.tracking import refuse_name, store_uri

    refuse_name(name, alias)
    store_uri(tracking_uri)


def _in_registry(release: Release, write: Callable[[], str]) -> bool:
    """Mirror a release that is in place already; a registry that cannot be written is a warning, and False."""
    from router_lab.runtime.errors import InputError

    try:
        with step("registering in MLflow"):
            version = write()
    except InputError as error:
        echo(
            f"warning: release {release.number} is in place, but MLflow's registry does not know it: publish "
            f"revision {release.revision[:16]} again with --registry once it can be reached: {error}",
            err=True,
        )
        return False
    echo(f"MLflow: models:/{release.name}@{release.alias} is version {version}")
    return True


@click.command(epilog="\b\nExample:\n  router-lab rollback policies/support\n")
@click.argument("folder", metavar="NAME", type=FOLDER)
@click.option("--key", type=FILE, help="Private Ed25519 key (PEM) to sign the release with (extra `sign`).")
@click.option("--registry", is_flag=True, help="Also move the alias in MLflow back.")
@click.option("--tracking-uri", help="MLflow store; default: MLFLOW_TRACKING_URI, or mlflow.db here.")
def rollback(folder: Path, key: Path | None, registry: bool, tracking_uri: str | None) -> None:
    """Put back what the current release of the policy folder NAME replaced, under a new number."""
    from router_lab.publish import rollback as run

    done = run(folder, private_key=key, by=_who())
    release = done.release
    told = not registry or _in_registry(release, lambda: _move_alias(release, tracking_uri))
    echo(f"release {release.number} of {release.name} as {release.alias}: back to {release.revision[:16]}")
    print_path(done.folder)
    if not told:
        raise SystemExit(ERROR)


def _move_alias(release: Release, tracking_uri: str | None) -> str:
    from router_lab.tracking import move_alias_to_revision

    return move_alias_to_revision(release.name, release.alias, release.revision, tracking_uri)


@click.command(epilog="\b\nExample:\n  router-lab keygen release.pem\n")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make an Ed25519 key pair: the private key to FILE (mode 600), the public key printed for loaders."""
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.release import keygen as make

    private, public = make()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{file}: exists; a key is never written over") from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(private)
    echo(f"public key: {public}")
    print_path(file)


@click.command(epilog="\b\nExample:\n  router-lab sign policies/support --key release.pem\n")
@click.argument("folder", metavar="NAME", type=FOLDER)
@click.option("--key", type=FILE, required=True, help="Private Ed25519 key (PEM).")
def sign(folder: Path, key: Path) -> None:
    """Sign the release that stands in the policy folder NAME, for loaders that require a signature."""
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.files import atomic_write
    from router_lab.runtime.release import RELEASE, sign_release

    path = folder / RELEASE
    if not path.is_file():
        raise InputError(f"{folder}: nothing is published there, so there is nothing to sign")
    print_path(atomic_write(path, sign_release(path.read_bytes(), key)))


def _who() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
