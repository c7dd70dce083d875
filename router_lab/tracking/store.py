"""Opening an MLflow store: without telemetry, within seconds, and made ready once however many
open it at once."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from router_lab.runtime.errors import InputError
from router_lab.tracking.faults import MirrorError, answered, outdated, plain_faults
from router_lab.tracking.uri import DATABASES, SERVERS, database_path, scheme_of, store_uri

PATIENCE_S = 10
"""Seconds that a store may take to accept a connection or to answer a first question."""
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for our result
    # MLflow's own are seven retries of 120 s. A server that has answered once may still be slow
    # with a large file.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "30",
    "PGCONNECT_TIMEOUT": str(PATIENCE_S),  # libpq's own: without it, for ever
}  # fmt: skip
_TALKATIVE = (
    "alembic",
    "mlflow.store",
    "mlflow.utils",
    "mlflow.tracking",
    "urllib3.connectionpool",
    "databricks.sdk",
)
_FIRST_QUESTION = "/api/2.0/mlflow/experiments/search"


def open_client(uri: str | None = None) -> Any:
    """An `mlflow.MlflowClient` on `store_uri(uri)` that has answered. Nothing is sent anywhere but
    to that store.

    Settings of MLflow that the environment holds are kept; else a store has seconds, not minutes,
    to answer. Raises MirrorError, in one line, for a store that cannot be used.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    chosen = store_uri(uri)
    with warnings.catch_warnings(), plain_faults(chosen):
        warnings.simplefilter("ignore")  # MLflow's own, about its libraries: nobody here can act on them
        import mlflow

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is said once, by `faults`
        scheme = scheme_of(chosen)
        if scheme in SERVERS:
            _ask(chosen)
        elif scheme.split("+")[0] in DATABASES:
            _make_ready(chosen)
        # The registry is the store itself, unless the environment names another; Databricks has
        # one of its own.
        apart = os.environ.get("MLFLOW_REGISTRY_URI") or scheme == "databricks"
        registry = None if apart else chosen
        client = patiently(lambda: mlflow.MlflowClient(tracking_uri=chosen, registry_uri=registry))
        if scheme == "databricks":
            client.search_experiments(max_results=1)
        return client


def _ask(uri: str) -> None:
    """One question to a server, without a retry; to this machine's own never through a proxy.
    Raises MirrorError for what is no MLflow, or refuses."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    host = urlsplit(uri).hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127."):
        for name in ("NO_PROXY", "no_proxy"):  # `requests` reads the second first, other libraries the first
            os.environ[name] = ",".join(
                dict.fromkeys([*filter(None, os.environ.get(name, "").split(",")), host])
            )
    patience = _patience()
    response = _within(patience, lambda: http_request(
        get_default_host_creds(uri), _FIRST_QUESTION, "POST", json={"max_results": 1}, max_retries=0, timeout=patience,
        raise_on_status=False, allow_redirects=False,
    ))  # fmt: skip
    found = answered(uri, response.status_code, response.text, response.headers.get("Location", ""))
    if found is not None:
        raise found


def _patience() -> int:
    """Seconds for a first answer: ours, or what the environment allows. Raises InputError."""
    allowed = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    if not (allowed.isdecimal() and int(allowed) > 0):
        raise InputError(
            f"MLFLOW_HTTP_REQUEST_TIMEOUT is {allowed!r}; it must be a whole number of seconds above 0"
        )
    return PATIENCE_S if allowed == _SETTINGS["MLFLOW_HTTP_REQUEST_TIMEOUT"] else int(allowed)


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """`call()`, or TimeoutError: the libraries' own limits are for each byte, and a server may
    send one a second."""
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again below, where somebody waits for it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds + 1)
    if raised:
        raise raised[0]
    if not found:
        raise TimeoutError("timed out")
    return found[0]


def _make_ready(uri: str) -> None:
    """One engine for a database, connected once, its tables made or their version checked.

    MLflow's own way tries ten times over 100 s, makes a folder of what stands behind `sqlite:///`
    letter by letter, takes no lock where it makes the tables, and brings a database of an older
    version up to its own without asking.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    database = database_path(uri)
    # Since it was opened: its tables must be made again.
    gone = database is not None and not database.exists()
    if uri in Tracking._engine_map and uri in Registry._engine_map and not gone:
        return
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    engine = create_sqlalchemy_engine(uri)
    if database is None:
        _within(PATIENCE_S, lambda: engine.connect().close())
    patiently(lambda: _tables(uri, engine))
    Tracking._engine_map[uri] = Registry._engine_map[uri] = engine


def _tables(uri: str, engine: Any) -> None:
    """Raises MirrorError for a database of another version. A version on its way is one that
    another process makes at this moment, under the lock that MLflow's own server takes: one for a
    machine."""
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version, _initialize_tables
    from mlflow.utils.file_utils import ExclusiveFileLock

    expected = _get_latest_schema_revision()
    if _get_schema_version(engine) == expected:
        return
    digest = hashlib.md5(str(engine.url).encode(), usedforsecurity=False).hexdigest()
    with (
        nullcontext()
        if os.name == "nt"
        else ExclusiveFileLock(f"{tempfile.gettempdir()}/db_init_lock-{digest}")
    ):
        if _get_schema_version(engine) is None:
            _initialize_tables(engine)
        found = _get_schema_version(engine)
    if found != expected:
        raise outdated(uri, str(found), expected, _known(str(found)))


def _known(revision: str) -> bool:
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError
    from mlflow.store.db.utils import _get_alembic_config

    try:
        return ScriptDirectory.from_config(_get_alembic_config("")).get_revision(revision) is not None
    except CommandError:
        return False


def patiently(make: Any) -> Any:
    """`make()`, tried again for some seconds where another process is making the same thing at the
    same time."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return make()
        except Exception as error:
            # A table, a schema or the default experiment that came to be in between; of no common
            # class.
            if not _made_by_another(error) or time.monotonic() > end:
                raise
            time.sleep(0.3)


def _made_by_another(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}"
    signs = (
        "already exists",
        "UniqueViolation",
        "UNIQUE constraint",
        "duplicate key",
        "Duplicate entry",
        "deadlock",
    )
    return not isinstance(error, MirrorError) and any(sign in text for sign in signs)


def warning_about_inspect_mlflow() -> str | None:
    """A sentence for the user when the package `inspect-mlflow` would log the sweep a second time,
    and slowly."""
    if importlib.util.find_spec("inspect_mlflow") is None:
        return None
    return (
        "inspect-mlflow is installed: with MLFLOW_TRACKING_URI set it logs every sample by itself, makes a sweep about "
        "three times slower and turns two efforts of one model into identical runs; uninstall it or unset the variable"
    )
