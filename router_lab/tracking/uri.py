"""Which MLflow store a word means, where its files lie, and the link that opens it: without ever
showing a password."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from router_lab.runtime.errors import InputError

DEFAULT_DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:\ is a drive
_ELSEWHERE = {
    "file": "MLflow no longer writes file stores; use sqlite:///path/mlflow.db",
    "uc": "Unity Catalog is a registry, not a store of runs; use databricks, or databricks://PROFILE",
    "databricks-uc": "Unity Catalog is a registry, not a store of runs; use databricks, or databricks://PROFILE",
    "postgres": "SQLAlchemy spells it postgresql://user@host/database",
    "models": "that is a model of the registry; name the store that holds it",
    "runs": "that is a run; name the store that holds it",
    "mlflow-artifacts": "that is a place for artifacts; name the server itself, http://…",
    **dict.fromkeys(
        ("s3", "gs", "abfss", "wasbs", "dbfs", "hdfs", "ftp", "sftp", "r2"),
        "that is a place for files; MLflow keeps runs in a database (a path, postgresql://…) or on a server (http://…)",
    ),
}


def store_uri(uri: str | None = None) -> str:
    """The tracking URI to use: `uri`, else MLFLOW_TRACKING_URI, else sqlite in `./mlflow.db`.

    Taken for URIs: `databricks` (and `databricks://PROFILE`), http(s), the databases that MLflow
    knows with or without a driver (`mysql+pymysql://…`), and what plugins of MLflow bring
    (`arn:aws:sagemaker:…`). All else is the path of a database. `./databricks` is a file. Raises
    InputError for what MLflow cannot keep runs in, and says what can.
    """
    chosen = (uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_DATABASE).strip()
    scheme = scheme_of(chosen)
    if scheme in _ELSEWHERE:
        raise InputError(f"MLflow store {shown(chosen)}: {_ELSEWHERE[scheme]}")
    if scheme == "":
        return _database_at(chosen)
    if re.fullmatch(r"(localhost|[\w-]+(\.[\w-]+)*):\d+(/.*)?", chosen):
        raise InputError(
            f"MLflow store {chosen}: is a server's address without its scheme; write http://{chosen}"
        )
    if scheme == "sqlite" and database_path(chosen) is None and "file:" not in chosen:
        raise InputError(f"MLflow store {chosen}: is in memory, gone when the command ends; name a file")
    if scheme in SERVERS and not _host(chosen):
        raise InputError(f"MLflow store {shown(chosen)}: names no host; write {scheme}://HOST:PORT")
    known = scheme == "databricks" or scheme in SERVERS or scheme.split("+")[0] in DATABASES
    if not known and scheme not in plugins():
        raise InputError(
            f"MLflow store {shown(chosen)}: {scheme}: is no scheme that MLflow knows here (http, https, databricks, "
            f"{', '.join(DATABASES)}); for a file of that name write ./{chosen}"
        )
    return chosen


def scheme_of(uri: str) -> str:
    """What a word means to MLflow: its scheme in lower case, `databricks` and `uc` being words
    alone; "" for a path."""
    if uri in ("databricks", "databricks-uc", "uc"):
        return uri
    found = _SCHEME.match(uri)
    return "" if found is None else found.group(1).lower()


def plugins() -> frozenset[str]:
    """Schemes that installed plugins of MLflow bring."""
    from importlib.metadata import entry_points

    return frozenset(e.name for e in entry_points(group="mlflow.tracking_store"))


def _database_at(path: str) -> str:
    """The sqlite URI of a path. SQLAlchemy takes everything behind `?` for options, and decodes
    `%`."""
    place = Path(path).absolute()
    try:
        place.stat()
    except FileNotFoundError:
        pass  # to be made
    except (
        OSError,
        ValueError,
    ) as error:  # too long, a byte that no path holds, a file where a folder must be
        raise InputError(f"MLflow store {path[:80]}: cannot be a database's path: {error.args[-1]}") from None
    if place.is_dir():
        raise InputError(
            f"MLflow store {path}: is a folder; name the database in it, {Path(path) / DEFAULT_DATABASE}"
        )
    return SQLITE + str(place).replace("%", "%25").replace("?", "%3F")


def database_path(uri: str) -> Path | None:
    """The file of a sqlite URI; None for other stores and for a database in memory."""
    if not uri.startswith(SQLITE):
        return None
    path = unquote(uri.removeprefix(SQLITE).partition("?")[0])
    return None if path in ("", ":memory:") or path.startswith("file:") else Path(path).absolute()


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its files: beside a sqlite database; else the server
    decides."""
    database = database_path(uri)
    return None if database is None else (database.parent / "mlflow-artifacts").as_uri()


def shown(uri: str) -> str:
    """A URI as it may be printed: a password, a token and options that hold one are `***`."""
    bare = re.sub(r"(?<=://)[^/@\s]*:(?!\d{1,5}(?:[/?#]|$))\S*@|(?<=://)[^/:@\s]{20,}@", "***@", uri)
    return re.sub(
        r"(?i)([?&;][^=&;\s]*(?:password|passwd|pwd|token|secret|key)[^=&;\s]*=)[^&;\s]*", r"\1***", bare
    )


@dataclass(frozen=True)
class Opening:
    """How a store is looked at: the command that starts its page, or "" where a server runs, and
    the page's address."""

    command: str
    address: str

    def to(self, fragment: str) -> str:
        """The address of a path of the page (`#/experiments/…`); a workspace of Databricks has it
        without the `#`, and what has no address is named alone."""
        if "://" not in self.address:
            return self.address
        return f"{self.address}/{fragment.removeprefix('#/') if self.address.endswith('/ml') else fragment}"


def opening(uri: str | None = None, port: int = 5000) -> Opening:
    """How to look at a store. A server's address is the store's own, its path kept and its
    password left out."""
    chosen = store_uri(uri)
    scheme = scheme_of(chosen)
    if scheme in SERVERS:
        parts = urlsplit(chosen)
        return Opening(
            "", urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        )
    if scheme == "databricks" or scheme.split("+")[0] not in DATABASES:
        return Opening("", _workspace(chosen))
    page = f"--host 127.0.0.1 --port {port}"
    return Opening(f"{_server(chosen, uri)} {page}", f"http://127.0.0.1:{port}")


def server_command(uri: str | None = None, port: int = 5000) -> str:
    """The command that shows this store in a browser."""
    found = opening(uri, port)
    return found.command or f"open {found.address}"


def _server(chosen: str, uri: str | None) -> str:
    """`mlflow server` on a database; a password stays in the environment variable that it came
    from."""
    database = database_path(chosen)
    # MLflow would make a folder of the escaped name.
    if database is not None and re.search(r"%(25|3F)", chosen):
        moved = f"cd {shlex.quote(str(database.parent))} && mlflow server --backend-store-uri "
        return moved + shlex.quote(SQLITE + database.name.replace("%", "%25").replace("?", "%3F"))
    if shown(chosen) == chosen:
        return f"mlflow server --backend-store-uri {shlex.quote(chosen)}"
    return "mlflow server --backend-store-uri " + (shown(chosen) if uri else '"$MLFLOW_TRACKING_URI"')


def _workspace(uri: str) -> str:
    """The address of a hosted workspace, where its sign-in tells it; else its name."""
    if scheme_of(uri) != "databricks":
        return shown(uri)
    host = os.environ.get("DATABRICKS_HOST", "") if uri == "databricks" else ""
    with suppress(Exception):  # no sign-in, of any of several kinds; then there is nothing to look at either
        from mlflow.utils.databricks_utils import get_databricks_host_creds

        host = host or get_databricks_host_creds(uri).host
    return (host if "://" in host else f"https://{host}").rstrip("/") + "/ml" if host else "databricks"


def _host(uri: str) -> str | None:
    try:
        return urlsplit(uri).hostname
    except ValueError:  # a bracket that is never closed
        return None
