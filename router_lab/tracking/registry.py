"""The MLflow registry: a version is a policy's plain files (never pyfunc, which is code); an alias says who serves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from router_lab.runtime.errors import InputError
from router_lab.tracking.log import EXPERIMENT, Run, log_runs
from router_lab.tracking.store import open_client, store_uri


@dataclass(frozen=True)
class Version:
    """A registered version of a policy."""

    name: str
    version: str
    run_id: str
    alias: str | None


def register_version(
    directory: str | Path,
    name: str,
    *,
    alias: str | None = None,
    tags: Mapping[str, str] | None = None,
    uri: str | None = None,
    experiment: str = EXPERIMENT,
) -> Version:
    """Log the artifact in `directory` as plain files, register it under `name`, and point `alias` at it.

    tags: go to the version (verdict, revision, certificate digest). Raises InputError for a name MLflow cannot hold.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", name):
        raise InputError(f"policy name {name!r}: the MLflow registry takes letters, digits, blanks, dots, _ and -")
    from mlflow.exceptions import MlflowException

    client = open_client(uri)
    release = Run(f"{name} (published)", "release", tags=dict(tags or {}), artifacts={"policy": [Path(directory)]})
    logged = log_runs([release], sweep=f"release of {name}", suites=[], uri=uri, experiment=experiment)
    try:
        client.create_registered_model(name, description="Routing policies of router-lab: data only, no code.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run_id = logged.run_ids[0]
    source = f"{client.get_run(run_id).info.artifact_uri}/policy"
    made = client.create_model_version(name, source, run_id=run_id, tags={k: str(v) for k, v in (tags or {}).items()})
    if alias is not None:
        client.set_registered_model_alias(name, alias, made.version)
    return Version(name, str(made.version), run_id, alias)


def move_alias_to_revision(name: str, alias: str, revision: str, uri: str | None = None) -> str:
    """Point `alias` at the newest version tagged with `revision` (a rollback), and return that version.

    Raises InputError when the registry holds none.
    """
    client = open_client(uri)
    found = client.search_model_versions(f"name = '{name.replace(chr(39), '')}'")
    versions = [int(v.version) for v in found if v.tags.get("revision") == revision]
    if not versions:
        raise InputError(f"MLflow registry: {name!r} has no version of revision {revision[:16]}")
    client.set_registered_model_alias(name, alias, str(max(versions)))
    return str(max(versions))


@contextmanager
def fetch_version(reference: str, uri: str | None = None) -> Iterator[Path]:
    """The files of `models:/NAME@ALIAS` or `models:/NAME/VERSION`, for the length of the block.

    Raises InputError when the registry holds no such version.
    """
    matched = re.fullmatch(r"models:/([^@/]+)(?:@([^@/]+)|/(\d+))", reference)
    if matched is None:
        raise InputError(f"champion {reference!r}: write models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, number = matched.groups()
    from mlflow.exceptions import MlflowException

    client = open_client(uri)
    try:
        version = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        raise InputError(f"champion {reference!r}: not in the registry at {store_uri(uri)}: {error.message}") from None
    with TemporaryDirectory() as scratch:
        place = version.source.rsplit("/artifacts/", 1)[-1]
        yield Path(client.download_artifacts(version.run_id, place, scratch))
