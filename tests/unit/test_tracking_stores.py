"""Which store a word means, folders of any name, and what goes wrong: one line on what to do, no password in it."""

from __future__ import annotations

import multiprocessing
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from router_lab import tracking
from router_lab.runtime.errors import InputError
from router_lab.tracking import runs
from router_lab.tracking.store import open_client
from router_lab.tracking.uri import artifact_location, database_path, shown, store_uri
from tests.servers.many import served

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def no_store_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "DATABRICKS_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


RUN = tracking.Run("c", "candidate", {"quality": 0.5, "cost_usd_per_1k": 1.0})


@pytest.mark.parametrize(
    "uri",
    ["databricks", "databricks://profile", "http://h:5000", "https://h/mlflow/", "HTTP://h", "postgresql://u@h/d",
     "postgresql+psycopg2://u@h/d", "mysql+pymysql://u@h/d", "mssql+pyodbc://h/d", "sqlite:///mlflow.db"],
)  # fmt: skip
def test_a_uri_is_taken_as_it_is(uri: str) -> None:
    assert store_uri(uri) == uri


@pytest.mark.parametrize(
    ("word", "advice"),
    [("file:///x", "use sqlite"), ("file:x", "use sqlite"), ("uc", "use databricks"), ("uc:m", "use databricks"),
     ("databricks-uc", "use databricks"), ("databricks-uc://p", "use databricks"), ("s3://b/k", "place for files"),
     ("gs://b", "place for files"), ("dbfs:/x", "place for files"), ("postgres://u@h/d", "postgresql://"),
     ("localhost:5000", "write http://localhost:5000"), ("mlflow.example.com:80/x", "write http://mlflow.example.com"),
     ("arn:aws:sagemaker:eu:1:x", "no scheme that MLflow knows"), ("models:/a@b", "name the store"),
     ("https://", "names no host"), ("http://[::1", "names no host"), ("sqlite://", "in memory"),
     ("sqlite:///:memory:", "in memory"), ("azureml://x", "no scheme that MLflow knows")],
)  # fmt: skip
def test_a_word_that_is_no_store_says_what_is(word: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice) as caught:
        store_uri(word)
    assert "\n" not in str(caught.value)


def test_everything_else_is_the_path_of_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("./databricks", "runs.db", "./s3:x.db", "a b.db", "C:\\x.db", "ü.db"):
        assert database_path(store_uri(path)) == tmp_path / path
    with pytest.raises(InputError, match=r"is a folder; name the database in it, .*mlflow\.db"):
        store_uri(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["feature%2Flogin", "100%", "a?b=c&d", "a#b", "sp ace+plus", "it's \"q\"", "ünï 日本", "a@b:c", "%25", "a;b$c"],
)  # fmt: skip
def test_a_folder_of_any_name_holds_its_database_and_files(
    tmp_path: Path, mlflow_database: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(mlflow_database, folder / "mlflow.db")
    (tmp_path / "page.html").write_text(name, encoding="utf-8")
    run = tracking.Run("r", "sweep", artifacts={"": [tmp_path / "page.html"]})
    logged = tracking.log_runs([RUN, run], sweep="s", suites=[], uri=str(folder / "mlflow.db"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "page.html"])  # nothing beside it
    assert sorted(p.name for p in folder.iterdir()) == ["mlflow-artifacts", "mlflow.db"]
    path = open_client(str(folder / "mlflow.db")).download_artifacts(
        logged.run_ids[1], "page.html", str(tmp_path)
    )
    assert Path(path).read_text(encoding="utf-8") == name
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("select count(*) from runs").fetchone() == (2,)


def test_the_command_of_an_odd_folder_can_be_pasted(tmp_path: Path) -> None:
    command = tracking.server_command("/w/feature%2Flogin/mlflow.db")
    assert command.startswith(
        "cd /w/feature%2Flogin && mlflow server --backend-store-uri sqlite:///mlflow.db "
    )
    assert "'sqlite:////w/it'\"'\"'s here/m.db'" in tracking.server_command("/w/it's here/m.db")
    assert artifact_location(store_uri("/w/a%2Fb/m.db")) == "file:///w/a%252Fb/mlflow-artifacts"


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://mlflow.example.com:8080/", "http://mlflow.example.com:8080"),
        ("https://h/team/mlflow/", "https://h/team/mlflow"),
        ("https://user:hunter22@h/x?token=abc", "https://h/x"),
        ("https://h", "https://h"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_the_link_of_a_server_leads_to_that_server(uri: str, address: str) -> None:
    found = tracking.opening(uri)
    assert (found.command, found.address) == ("", address) and found.to("#/x") == f"{address}/#/x"
    assert tracking.server_command(uri) == f"open {address}"


def test_the_links_of_databases_and_workspaces(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.opening("/w/m.db").address == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://lab:hunter22@h/d")
    assert tracking.server_command().startswith('mlflow server --backend-store-uri "$MLFLOW_TRACKING_URI" ')
    assert "hunter22" not in tracking.server_command("postgresql://lab:hunter22@h/d")
    monkeypatch.setenv("DATABRICKS_HOST", "https://w.cloud.databricks.com/")
    assert tracking.opening("databricks").to("#/x") == "https://w.cloud.databricks.com/ml/x"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://u:p@ss/w@h:1/x", "http://***@h:1/x"),
        ("postgresql://u:p@h/d?sslpassword=q&x=1", "postgresql://***@h/d?sslpassword=***&x=1"),
        ("http://h:5000/a@b", "http://h:5000/a@b"),
        ("http://deadbeefdeadbeefdeadbeef@h", "http://***@h"),
        ("sqlite:////a:b/c@d", "sqlite:////a:b/c@d"),
    ],
)
def test_no_password_is_shown(uri: str, told: str) -> None:
    assert shown(uri) == told


@contextmanager
def answering(
    status: int,
    body: bytes = b"",
    wait: threading.Event | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A server that is no MLflow: one answer to everything, or none until `wait` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if wait is not None:
                wait.wait(30)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with served(Handler) as server:
        try:
            yield server.server_address[1]
        finally:
            if wait is not None:
                wait.set()


def one_line(uri: str) -> str:
    with pytest.raises(tracking.MirrorError) as caught:
        open_client(uri)
    text = str(caught.value)
    assert (
        "\n" not in text
        and "Traceback" not in text
        and "hunter22" not in text
        and text.startswith("MLflow at ")
    )
    return text


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, b"", "set MLFLOW_TRACKING_TOKEN"),
        (403, b'{"message": "no"}', "permission"),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "--allowed-hosts"),
        (404, b"", "is a path missing"),
        (
            500,
            b'{"message": "the disk is full"}',
            "fails (500): look at the server's log, or try again later: the disk is full",
        ),
        (502, b"<html>", "fails (502)"),
        (503, b"", "try again later"),
        (429, b"", "too many requests"),
        (302, b"", "sends elsewhere"),
        (200, b"<html>sign in", "login page"),
        (400, b"HTTP request to an HTTPS server", "write https://"),
        (418, b"", "answers 418"),
    ],
)
def test_what_a_server_answers_is_said_in_one_line(status: int, body: bytes, advice: str) -> None:
    with answering(status, body) as port:
        assert advice in one_line(f"http://u:hunter22@127.0.0.1:{port}")


def test_a_server_that_is_away_hangs_or_speaks_otherwise() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        assert "does not answer in time" in one_line(f"http://127.0.0.1:{port}")  # accepts, and says nothing
    assert "nothing listens there: start the server" in one_line(f"http://u:hunter22@127.0.0.1:{port}")
    assert "no host of that name" in one_line("http://no-such-host.invalid:5000")
    with answering(200, wait=threading.Event()) as port:
        assert "MLFLOW_HTTP_REQUEST_TIMEOUT" in one_line(f"http://127.0.0.1:{port}")
    with answering(200) as port:
        assert "write http:// instead" in one_line(f"https://127.0.0.1:{port}")


def test_a_redirect_names_the_host_and_not_what_it_carries() -> None:
    with answering(302, headers={"Location": "https://sso.example/login?token=hunter22"}) as port:
        assert "sends elsewhere (302), to https://sso.example: name the address" in one_line(
            f"http://127.0.0.1:{port}"
        )


@pytest.mark.parametrize("headers", [{"Content-Length": "99"}, {"Content-Encoding": "gzip"}])
def test_an_answer_that_cannot_be_read_is_one_line(headers: dict[str, str]) -> None:
    with answering(200, b"{}", headers=headers) as port:
        assert "breaks off the connection" in one_line(f"http://127.0.0.1:{port}")


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of sockets begin anew with each byte."""
    # Half a second in all, a second for each byte.
    monkeypatch.setattr("router_lab.tracking.store.PATIENCE_S", -0.5)
    monkeypatch.setattr("router_lab.tracking.store._patience", lambda: -0.5)
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def drip() -> None:
            with listening.accept()[0] as connection:
                while not over.wait(0.05):
                    connection.sendall(b"H")

        monkeypatch.setattr("mlflow.utils.rest_utils.http_request", lambda *_, **__: _read_all(listening))
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            said = one_line(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            over.set()
            thread.join()
    assert "does not answer in time" in said


def _read_all(listening: socket.socket) -> bytes:
    with socket.create_connection(listening.getsockname(), timeout=1) as connection:
        return b"".join(iter(lambda: connection.recv(1), b""))


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("http://127.0.0.1:99999", "is no address"),
        ("http://my host:5000", "is no address"),
        (f"http://{'a' * 70}.example", "is no address"),
    ],
)
def test_what_is_no_address_says_so(uri: str, advice: str) -> None:
    assert advice in one_line(uri)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "MLFLOW_HTTP_REQUEST_TIMEOUT",
            "soon",
            "MLFLOW_HTTP_REQUEST_TIMEOUT is 'soon'; it must be a whole number",
        ),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "0", "whole number of seconds above 0"),
        ("MLFLOW_TRACKING_TOKEN", "hunter22\nhunter22", "the sign-in has a blank or a newline in it"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with answering(401) as port, pytest.raises(InputError) as caught:
        open_client(f"http://127.0.0.1:{port}")
    assert said in str(caught.value) and "hunter22" not in str(caught.value)


@pytest.mark.parametrize("path", ["x" * 300 + ".db", "a\0b.db", "/dev/null/x.db"])
def test_a_path_that_no_file_can_have_is_one_line(path: str) -> None:
    with pytest.raises(InputError, match=r"cannot be a database's path: [^\n]+$"):
        tracking.store_uri(path)


def test_a_sign_in_that_a_server_repeats_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "team-token-12345")
    with answering(500, b'{"message": "bad token team-token-12345 of Bearer abcdefgh1234"}') as port:
        assert one_line(f"http://127.0.0.1:{port}").endswith("try again later: bad token *** of ***")


def test_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.setenv("no_proxy", "")
    with answering(401) as port:
        assert "(401)" in one_line(f"http://127.0.0.1:{port}")
    assert "the proxy does not reach it: set NO_PROXY" in one_line("http://mlflow.example.org:5000")


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("mysql+pymysql://u:hunter22@h/d", "pip install pymysql"),
        ("mysql://u:hunter22@h/d", "mysql+pymysql://"),
        ("postgresql+pg8000://u:hunter22@h/d", "pip install pg8000"),
        ("postgresql+nodriver://u:hunter22@h/d", "no such driver"),
        ("postgresql://u:hunter22@127.0.0.1:1/d", "nothing listens there"),
        ("sqlite:////proc/none/m.db", "name a place that may be written"),
        ("databricks", "databricks auth login"),
        ("databricks://nobody", "databricks auth login"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line(
    uri: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's sign-in
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    assert advice in one_line(uri)


def with_schema(mlflow_database: Path, folder: Path, revision: str) -> str:
    path = Path(shutil.copy(mlflow_database, folder / "old.db"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("update alembic_version set version_num = ?", (revision,))
        database.commit()
    return str(path)


def test_a_database_of_another_version_is_not_touched(tmp_path: Path, mlflow_database: Path) -> None:
    assert "by a newer MLflow (schema 0123456789ab" in one_line(
        with_schema(mlflow_database, tmp_path, "0123456789ab")
    )
    path = with_schema(mlflow_database, tmp_path, "90e64c465722")
    assert f"run `mlflow db upgrade sqlite:///{path}`" in one_line(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("select version_num from alembic_version").fetchone() == ("90e64c465722",)


def test_a_file_that_is_no_database_and_one_that_is_held(tmp_path: Path, mlflow_database: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    assert "is no sqlite database" in one_line(str(tmp_path / "text.db"))
    held = shutil.copy(mlflow_database, tmp_path / "held.db")
    with closing(sqlite3.connect(held)) as other:
        other.execute("begin exclusive")
        assert "another program holds the database" in one_line(f"sqlite:///{held}?timeout=0.1")


def test_a_deleted_experiment_says_how_it_comes_back(
    tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = str(shutil.copy(mlflow_database, tmp_path / "mlflow.db"))
    logged = tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    open_client(store).delete_experiment(logged.experiment_id)
    with pytest.raises(
        tracking.MirrorError, match=r"was deleted: .*mlflow experiments restore --experiment-id 1"
    ):
        tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    assert tracking.log_runs([RUN], sweep="s", suites=[], uri=store).experiment_id == "2"


def test_half_a_sweep_is_taken_back(tmp_path: Path, mlflow_database: Path) -> None:
    store = str(shutil.copy(mlflow_database, tmp_path / "mlflow.db"))
    whole = tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    broken = tracking.Run("p", "sweep", artifacts={"": [tmp_path / "page.html"]})
    (tmp_path / "page.html").write_text("x")
    (tmp_path / "mlflow-artifacts").write_text("a file where the folder should be")
    with pytest.raises(tracking.MirrorError, match="cannot be opened or made there"):
        tracking.log_runs([RUN, broken], sweep="s", suites=[], uri=store)
    left = open_client(store).search_runs([whole.experiment_id])
    assert [r.info.run_id for r in left] == list(whole.run_ids) and "router_lab.superseded" not in left[
        0
    ].data.tags


def shown_in(store: str, experiment_id: str) -> set[str]:
    found = open_client(store).search_runs([experiment_id])
    return {r.info.run_id for r in found if "router_lab.superseded" not in r.data.tags}


def test_of_two_processes_that_log_one_sweep_at_once_one_stays(
    tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real, other = str(shutil.copy(mlflow_database, tmp_path / "mlflow.db")), runs._write_all, []

    def meanwhile(*arguments: Any) -> tuple[str, ...]:
        monkeypatch.setattr(runs, "_write_all", real)
        other.append(tracking.log_runs([RUN], sweep="s", suites=[], uri=store))
        return real(*arguments)

    monkeypatch.setattr(runs, "_write_all", meanwhile)
    # Begun before the other, ended after it.
    first = tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    assert shown_in(store, first.experiment_id) == set(other[0].run_ids) and first.run_ids != other[0].run_ids
    # Whatever the clocks say, what was there before is replaced.
    monkeypatch.setattr("time.time_ns", lambda: 5)
    again = tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    assert shown_in(store, first.experiment_id) == set(again.run_ids)


def test_half_a_sweep_of_another_process_takes_nobodys_place(
    tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real, half = str(shutil.copy(mlflow_database, tmp_path / "mlflow.db")), runs._write_all, []

    def meanwhile(client: Any, experiment_id: str, written: Any, tags: dict[str, str]) -> tuple[str, ...]:
        later = {**tags, runs._BATCH: f"{'9' * 20}-x-2"}  # two runs, of which one is there
        half.extend(real(client, experiment_id, written, later))
        return real(client, experiment_id, written, tags)

    monkeypatch.setattr(runs, "_write_all", meanwhile)
    mine = tracking.log_runs([RUN], sweep="s", suites=[], uri=store)
    assert shown_in(store, mine.experiment_id) == {*mine.run_ids, *half} and len(half) == 1


def first_use(path: str, sweep: str) -> None:
    tracking.log_runs([RUN], sweep=sweep, suites=[], uri=path)


def test_several_processes_may_be_the_first(tmp_path: Path) -> None:
    path, context = str(tmp_path / "new" / "mlflow.db"), multiprocessing.get_context("fork")
    several = [context.Process(target=first_use, args=(path, f"s{i}")) for i in range(3)]
    for process in several:
        process.start()
    for process in several:
        process.join()
    assert [process.exitcode for process in several] == [0, 0, 0]
    client = open_client(path)
    found = client.search_experiments(filter_string=f"name = '{tracking.EXPERIMENT}'")
    assert len(found) == 1 and len(client.search_runs([found[0].experiment_id])) == 3
