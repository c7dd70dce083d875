"""Opening an MLflow store: which one, without telemetry, and with artifacts beside a local database."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from router_lab.runtime.errors import InputError

DEFAULT_DATABASE = "mlflow.db"


def store_uri(uri: str | None = None) -> str:
    """The tracking URI to use: `uri`, else MLFLOW_TRACKING_URI, else sqlite in `./mlflow.db`.

    A bare path of a database is taken as sqlite. Raises InputError for `file:` stores, which MLflow 3.17 refuses.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_DATABASE
    if chosen.startswith("file:"):
        raise InputError(f"MLflow store {chosen}: MLflow no longer writes file stores; use sqlite:///path/mlflow.db")
    return chosen if "://" in chosen else f"sqlite:///{Path(chosen).absolute()}"


def open_client(uri: str | None = None) -> Any:
    """An `mlflow.MlflowClient` on `store_uri(uri)`. Nothing is sent anywhere but to that store."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "true")
    for talkative in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    chosen = store_uri(uri)
    if chosen.startswith("sqlite:///"):
        Path(chosen.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its libraries: nobody here can act on them
        import mlflow

        return mlflow.MlflowClient(tracking_uri=chosen, registry_uri=chosen)


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its files: beside a sqlite database; else the server decides."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()


def server_command(uri: str | None = None, port: int = 5000) -> str:
    """The command that shows this store in a browser."""
    chosen = store_uri(uri)
    if chosen.startswith(("http://", "https://")):
        return f"open {chosen}"
    return f"mlflow server --backend-store-uri {chosen} --host 127.0.0.1 --port {port}"


def warning_about_inspect_mlflow() -> str | None:
    """A sentence for the user when the package `inspect-mlflow` would log the sweep a second time, and slowly."""
    if importlib.util.find_spec("inspect_mlflow") is None:
        return None
    return (
        "inspect-mlflow is installed: with MLFLOW_TRACKING_URI set it logs every sample by itself, makes a sweep about "
        "three times slower and turns two efforts of one model into identical runs; uninstall it or unset the variable"
    )
