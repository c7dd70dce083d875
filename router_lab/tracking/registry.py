"""The MLflow registry: a version is a policy's plain files (never pyfunc, which is code); an alias
says who serves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from router_lab.masking import without_keys
from router_lab.runtime.errors import InputError
from router_lab.tracking.faults import plain_faults
from router_lab.tracking.runs import Run, log_runs
from router_lab.tracking.store import open_client
from router_lab.tracking.uri import shown, store_uri


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
    experiment: str | None = None,
) -> Version:
    """Log the artifact in `directory` as plain files, register it under `name`, and point `alias`
    at it.

    tags: go to the version (verdict, revision, certificate digest). Raises InputError for a name
    or an alias that MLflow cannot hold (see `refuse_name`), MirrorError for a registry that cannot
    be written.
    """
    refuse_name(name, alias)
    client, kept = open_client(uri), {k: str(v) for k, v in without_keys(tags or {}).items()}
    from mlflow.exceptions import MlflowException

    release = Run(
        f"{name} (published)", "release", tags=dict(tags or {}), artifacts={"policy": [Path(directory)]}
    )
    logged = log_runs([release], sweep=f"release of {name}", suites=[], uri=uri, experiment=experiment)
    with plain_faults(uri):
        try:
            about = "Routing policies of router-lab: data only, no code."
            client.create_registered_model(name, description=about)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run_id = logged.run_ids[0]
        source = f"{client.get_run(run_id).info.artifact_uri}/policy"
        made = client.create_model_version(name, source, run_id=run_id, tags=kept)
        if alias is not None:
            client.set_registered_model_alias(name, alias, made.version)
    return Version(name, str(made.version), run_id, alias)


def refuse_name(name: str, alias: str | None = None) -> None:
    """Raises InputError for a policy's name or an alias that the registry cannot hold: before
    anything is published."""
    if not re.fullmatch(r"\w[\w ()+=.-]*", name) or len(name) > 250:
        raise InputError(
            f"policy name {name!r}: the MLflow registry takes letters, digits, blanks and . _ - ( ) + =, at most 250, "
            "the first a letter, a digit or _"
        )
    if alias is not None and (
        not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"[vV]\d+|latest", alias)
    ):
        raise InputError(
            f"alias {alias!r}: MLflow takes letters, digits, _ and -, but not `latest` nor v1, v2, …"
        )


def move_alias_to_revision(name: str, alias: str, revision: str, uri: str | None = None) -> str:
    """Point `alias` at the newest version tagged with `revision` (a rollback), and return that
    version.

    Raises InputError when the registry holds none.
    """
    refuse_name(name, alias)
    client = open_client(uri)
    with plain_faults(uri):
        found = client.search_model_versions(f"name = '{name}'")
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
    client = open_client(uri)
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as scratch:
        with plain_faults(uri):
            try:
                found = (
                    client.get_model_version_by_alias(name, alias)
                    if alias
                    else client.get_model_version(name, number)
                )
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                text = (
                    f"champion {reference!r}: not in the registry at {shown(store_uri(uri))}: {error.message}"
                )
                raise InputError(text) from None
            place = found.source.rsplit("/artifacts/", 1)[-1]
            files = client.download_artifacts(found.run_id, place, scratch)
        yield Path(files)
