"""What goes wrong with MLflow, in one line that says what to do; and no password in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from router_lab.masking import masked
from router_lab.runtime.errors import InputError
from router_lab.tracking.uri import DATABASES, SERVERS, scheme_of, shown, store_uri


class MirrorError(InputError):
    """MLflow cannot be written or read now. What a stage has found and written stays as it is."""


@contextmanager
def plain_faults(uri: str | None) -> Iterator[None]:
    """Turn whatever MLflow, SQLAlchemy, a driver or the network raises in the block into a
    MirrorError of one line.

    InputError (a wrong name, a wrong URI) passes as it is.
    """
    try:
        yield
    except InputError:
        raise
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise fault(store_uri(uri), error) from error
    except Exception as error:
        # MlflowException, SQLAlchemyError and alembic's CommandError have no base in common but
        # this.
        if not type(error).__module__.startswith(
            ("mlflow", "sqlalchemy", "alembic", "databricks", "sqlite3")
        ):
            raise
        raise fault(store_uri(uri), error) from error


def fault(uri: str, error: BaseException) -> MirrorError:
    """The line about an error at a store: where, what, and what to do."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    # Without SQL, addresses of the program or secrets.
    told = masked(shown(re.sub(r"\(Background on this error.*|\[SQL:.*", "", first)))[:300]
    return MirrorError(f"MLflow at {shown(uri)}: {_advice(uri, error, told)}")


def answered(uri: str, status: int, text: str, location: str = "") -> MirrorError | None:
    """The line about a server's answer to a first question; None where MLflow has answered it.

    location: the address that a redirect names.
    """
    host = shown(uri)
    if status == 200 and text.lstrip().startswith("{"):
        return None
    causes = {
        401: f"refuses the sign-in (401): set {_SIGN_IN}",
        403: f"this account may not use it (403): ask for the permission, or set other {_SIGN_IN}",
        404: "has no MLflow at this address (404): is a path missing (http://host/mlflow), or is it another service?",
        429: "has too many requests: try again later",
        407: "the proxy wants a sign-in (407): set NO_PROXY for this host, or the proxy's user in HTTPS_PROXY",
    }
    if status == 200:
        cause = "answers with a page that is not MLflow's: a login page or another service; name the tracking server"
    elif 300 <= status < 400:
        place = urlsplit(location)
        to = f"{place.scheme}://{place.hostname}" if place.hostname else "another address"
        cause = f"sends elsewhere ({status}), to {to}: name the address of MLflow itself, or sign in if that is a login"
    elif status == 403 and "Invalid Host" in text:
        cause = "refuses requests under this host name: start it with --allowed-hosts, or name it as it knows itself"
    elif status == 400 and "https" in text.lower():
        cause = f"speaks https: write {re.sub('^http:', 'https:', host)}"
    elif status >= 500:
        cause = f"fails ({status}): look at the server's log, or try again later{_told(text)}"
    else:
        cause = causes.get(status, f"answers {status}{_told(text)}")
    return MirrorError(f"MLflow at {host}: {cause}")


_SIGN_IN = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_SERVER_CAUSES = (
    (r"WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|record layer failure", "does not speak https: write http:// instead"),
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here: set MLFLOW_TRACKING_SERVER_CERT_PATH"),
    (r"ProxyError|Unable to connect to proxy", "the proxy does not reach it: set NO_PROXY for this host"),
    (r"NameResolution|Name or service not known|getaddrinfo|nodename", "no host of that name: is it spelled rightly?"),
    (r"Connection refused|NewConnectionError|Errno 111", "nothing listens there: start the server or mend the address"),
    (r"timed out|Timeout", "does not answer in time: is it busy or down? MLFLOW_HTTP_REQUEST_TIMEOUT allows more"),
    (r"invalid path: \S+", "MLFLOW_TRACKING_SERVER_CERT_PATH names no certificates: mend or unset it"),
    (r"Invalid leading whitespace|header value", f"the sign-in has a blank or a newline in it: set {_SIGN_IN} anew"),
    (r"Invalid url|InvalidURL|Failed to parse|label (too long|empty)", "is no address: write http://HOST:PORT"),
    (r"aborted|reset by peer|RemoteDisconnected|BadStatusLine|IncompleteRead|failed to decode",
     "breaks off the connection: is it https or no MLflow?"),
    (r"PermissionError|Read-only file system",
     "keeps files on its own disk, not on this one: start it with --serve-artifacts, and log to a new experiment"),
    (r"(?:error code|Error code:?) 401|UNAUTHENTICATED", f"refuses the sign-in: set {_SIGN_IN}"),
    (r"(?:error code|Error code:?) 403|PERMISSION_DENIED", f"this account may not do that; ask, or set {_SIGN_IN}"),
)  # fmt: skip
_DATABASE_CAUSES = (
    (r"database is locked", "another program holds the database: wait for it, or log to a server that many may use"),
    (r"readonly database|read-only", "the database may not be written here: name another with --tracking-uri"),
    (r"unable to open database|disk I/O error|Permission denied|Errno 2\b|Read-only file system|(Not|Is) a directory",
     "cannot be opened or made there: name a place that may be written with --tracking-uri"),
    (r"file is not a database|malformed", "is no sqlite database, or a damaged one: move it away, or name another"),
    (r"disk is full|No space left", "the disk is full"),
    (r"password authentication failed|Access denied for user|no password supplied",
     "the database refuses the user or password of the URI"),
    (r"database \"[^\"]*\" does not exist|Unknown database", "has no database of that name: create it first"),
    (r"Connection refused|could not connect|Can't connect|on socket",
     "nothing listens there: start the server or mend the URI"),
    (r"timeout expired|timed out|connection timeout", "does not answer in time: is it down, or behind a firewall?"),
    (r"Name or service not known|getaddrinfo|resolve", "no host of that name: is it spelled rightly?"),
)  # fmt: skip


def _advice(uri: str, error: BaseException, told: str) -> str:
    scheme = scheme_of(uri)
    if isinstance(error, ImportError):
        return _missing_driver(scheme, error)
    if type(error).__name__ == "NoSuchModuleError":
        return "SQLAlchemy has no such driver: write postgresql://… or mysql+pymysql://…"
    if scheme == "databricks":
        if "credential" in told or "configure" in told or "databricks-sdk" in told:
            return (
                "no Databricks sign-in is set up: run `databricks auth login`, or set DATABRICKS_HOST and "
                "DATABRICKS_TOKEN (databricks://PROFILE names one of ~/.databrickscfg); for a file write ./databricks"
            )
        return f"{told}; names there are paths: set MLFLOW_EXPERIMENT_NAME=/Shared/router-lab"
    causes = (
        _SERVER_CAUSES if scheme in SERVERS else _DATABASE_CAUSES if scheme.split("+")[0] in DATABASES else ()
    )
    full = f"{type(error).__name__} {error} {error.__cause__ or ''}"
    found = next((advice for pattern, advice in causes if re.search(pattern, full, re.IGNORECASE)), None)
    return told if found is None else found


def _missing_driver(scheme: str, error: ImportError) -> str:
    wanted = {"psycopg": "router-lab[postgres]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
    name = (error.name or scheme).partition(".")[0]
    hint = " (or write mysql+pymysql:// and install pymysql)" if name == "MySQLdb" else ""
    return f"its driver {name} is not installed: pip install {wanted.get(name, name)}{hint}"


def _told(text: str) -> str:
    """What an answer says, where it says it in JSON."""
    found = re.search(r'"message"\s*:\s*"([^"]{1,200})', text)
    return "" if found is None else f": {masked(found.group(1))}"


def outdated(uri: str, found: str, expected: str, known: bool) -> MirrorError:
    """The line about a database of another MLflow: `known` says whether the installed one is the
    newer."""
    if not known:
        return MirrorError(
            f"MLflow at {shown(uri)}: the database was written by a newer MLflow (schema {found}, here {expected}): "
            "install that version, or log to another database"
        )
    return MirrorError(
        f"MLflow at {shown(uri)}: the database was written by an older MLflow (schema {found}, here {expected}): keep "
        f"a copy, then run `mlflow db upgrade {shlex.quote(shown(uri))}`"
    )
