"""Addresses: what is written there is read back whole, two writers lose nothing unseen, and a path stays a path."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_lab import load_policy
from router_lab import publish as releases
from router_lab.cli import cli
from router_lab.outcomes import read_outcomes, write_outcomes
from router_lab.outcomes.looks import LOOKS
from router_lab.places import (
    address_of,
    copies_of,
    copy,
    fetched,
    follow,
    is_address,
    keeping,
    kept,
    lease,
    local_path,
    told,
)
from router_lab.places.lease import Lease, LostError
from router_lab.places.mirror import Mirror
from router_lab.places.scratch import OWNED, Scratch, sweep
from router_lab.places.store import ABSENT, ChangedThereError, Store
from router_lab.publish import publish
from router_lab.runtime.artifact import MANIFEST, save_policy, save_revision
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.errors import InputError, PolicyError, RouterLabWarning
from router_lab.runtime.files import atomic_write, temporary_beside
from router_lab.runtime.locks import LOCK
from router_lab.runtime.release import RELEASE
from router_lab.runtime.store import PolicyStore
from tests.log_worlds import always

STORE = "memory://bucket"
names = st.lists(st.text("ab.é ~%*[", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join).filter(
    lambda name: not {".", ".."} & set(name.split("/"))
)  # fmt: skip


@pytest.fixture(autouse=True)
def memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MemoryFileSystem]:
    monkeypatch.setenv(keeping.VARIABLE, str(tmp_path / "kept"))
    scratch = str(tmp_path_factory.mktemp("scratch"))  # what a refused put keeps goes with the tests
    monkeypatch.setattr("tempfile.tempdir", scratch)
    monkeypatch.setenv("TMPDIR", scratch)
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def objects(memory: MemoryFileSystem, below: str = "/bucket") -> dict[str, bytes]:
    return {name.removeprefix(f"{below}/"): memory.cat_file(name) for name in memory.find(below)}


def test_an_address_is_told_from_a_path() -> None:
    assert all(map(is_address, ["s3://b/x", "gs://b", "memory://b/x", "s3:/b/x", Path("s3://b/x")]))
    assert not any(
        map(is_address, ["logs", "/tmp/a:b", "C:/x", r"C:\x", "file:///x", "file:/x", "a/s3://b", "s3://"])
    )
    assert local_path("file:///tmp/a%20b") == Path("/tmp/a b") and local_path("file://localhost/x") == Path(
        "/x"
    )
    assert local_path("logs/a%20b") == Path("logs/a%20b")
    with pytest.raises(InputError, match="is a file of the machine 'other'"):
        local_path("file://other/x")


@pytest.mark.parametrize(
    "use",
    [
        load_policy,
        lambda where: save_policy(always("dear"), where),
        lambda where: save_revision(always("dear"), where),
        lambda where: publish(Path(where)),
        lambda where: atomic_write(where, b""),
        DecisionLog,
        lambda where: PolicyStore(where, default=("a", None)),
    ],
)
def test_who_takes_folders_alone_says_what_to_do_with_an_address(use, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for where in ("s3://bucket/p", Path("s3://bucket/p")):
        with pytest.raises((InputError, PolicyError), match=r"is an address.*router_lab\.places"):
            use(where)
    assert list(tmp_path.iterdir()) == []


@given(files=st.dictionaries(names, st.binary(max_size=300), max_size=5), again=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_what_is_put_is_read_back_whole(
    memory: MemoryFileSystem, tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], again: bytes
) -> None:
    inner = {"/".join(n.split("/")[:i]) for n in files for i in range(1, n.count("/") + 1)}
    files = {n: d for n, d in files.items() if n not in inner}  # a file is no folder
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    mine, yours = (Mirror(Store(STORE), root, whole=True) for root in (one, two))
    for name, data in files.items():
        atomic_write(one / name, data)
    assert sorted(mine.put()) == sorted(files) and mine.put() == []
    assert objects(memory) == files
    yours.bring(yours.store.entries())
    assert {n: (two / n).read_bytes() for n in files} == files and yours.put() == []
    for name in files:
        atomic_write(two / name, again)
    yours.put()
    assert mine.bring(mine.store.entries()) == sorted(files)
    assert {(one / n).read_bytes() for n in files} <= {again}
    for name in list(files)[:1]:
        (one / name).unlink()
        assert mine.put() == [name]
        yours.bring(yours.store.entries())
        assert not (two / name).exists()


class Failing(MemoryFileSystem):
    """Refuses the n-th put, as a network does."""

    protocol = "memory"
    cachable = False
    left = 10**9

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        Failing.left -= 1
        if Failing.left < 0:
            raise ConnectionError("gone")
        super().pipe_file(path, value, mode, **kwargs)


def test_a_publish_that_is_cut_short_leaves_what_was_served(
    memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every put a loader gets the release of before, after the last the new one; the next publish goes on."""
    old, new = always("dear"), always("cheap")
    with copy(f"{STORE}/p") as folder:
        publish(save_revision(old, folder), force=True)
    served = load_policy(fetched(f"{STORE}/p")).revision
    before = dict(memory.store)
    monkeypatch.setattr("router_lab.places.store._opened", lambda address, scheme: (Failing(), address[8:]))
    for puts in itertools.count():
        memory.store.clear()
        memory.store.update(before)
        monkeypatch.setattr(Failing, "left", puts)
        try:
            with copy(f"{STORE}/p") as folder:
                publish(save_revision(new, folder), force=True)
            break
        except InputError as error:
            assert str(error).startswith("memory://bucket/p/") and "ConnectionError: gone" in str(error)
        monkeypatch.setattr(Failing, "left", 10**9)
        assert load_policy(fetched(f"{STORE}/p")).revision == served
        with copy(f"{STORE}/p") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", RouterLabWarning)  # of a release that never came to be
            publish(save_revision(new, folder), force=True)
        assert load_policy(fetched(f"{STORE}/p")).revision not in (None, served)
    assert (
        puts == len(objects(memory, "/bucket/p")) - len([n for n in before if n.startswith("/bucket/p/")]) + 2
    )
    assert load_policy(fetched(f"{STORE}/p")).revision not in (None, served)


def test_of_two_publishers_one_is_told_and_puts_nothing(memory: MemoryFileSystem) -> None:
    with copy(f"{STORE}/p") as folder:
        publish(save_revision(always("dear"), folder), force=True)
    told = r"^memory://bucket/p/RELEASES.jsonl: was changed there by another"
    with pytest.raises(InputError, match=told), copy(f"{STORE}/p") as slow:
        with copy(f"{STORE}/p") as quick:
            publish(save_revision(always("cheap"), quick), force=True, by="another")
        theirs = objects(memory)
        publish(save_revision(always("cheap"), slow), force=True)
    assert objects(memory) == theirs and theirs["p/RELEASES.jsonl"].count(b"\n") == 2


@pytest.mark.parametrize("command", ["publish", "rollback"])
def test_who_is_refused_has_not_said_that_it_is_released(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with copy(f"{STORE}/p") as folder:
        paths = [save_revision(always(name), folder) for name in ("dear", "cheap")]
        for path in paths:
            publish(path, force=True)
    before = getattr(releases, command)

    def beaten(folder: Path, **how: Any) -> releases.Published:
        """Another publishes between this one's copy and its put."""
        done = before(folder, **how)
        with copy(f"{STORE}/p") as theirs:
            publish(theirs / paths[0].name, force=True, by="another")
        return done

    monkeypatch.setattr(releases, command, beaten)
    arguments = {"publish": [f"{STORE}/p/{paths[1].name}", "--force"], "rollback": [f"{STORE}/p"]}[command]
    done = CliRunner().invoke(cli, [command, *arguments])
    assert done.exit_code == 1 and "was changed there by another" in done.stderr
    assert done.stdout == "" and "by force" not in done.stderr
    assert memory.cat_file("/bucket/p/RELEASES.jsonl").count(b"\n") == 3


def test_journals_that_both_wrote_have_the_lines_of_both(memory: MemoryFileSystem) -> None:
    memory.pipe_file("/bucket/o.parquet", b"rows")
    memory.pipe_file(f"/bucket/{LOOKS}", b"first\n")
    with copy(f"{STORE}/o.parquet", beside=(LOOKS,), journals=(LOOKS,)) as one:
        with copy(f"{STORE}/o.parquet", beside=(LOOKS,), journals=(LOOKS,)) as two:
            two.with_name(LOOKS).write_bytes(b"first\ntwo\n")
        one.with_name(LOOKS).write_bytes(b"first\none\n")
    assert memory.cat_file(f"/bucket/{LOOKS}") == b"first\ntwo\none\n"


def test_a_copy_that_cannot_be_made_leaves_nothing(
    memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/x", b"1")
    monkeypatch.setattr(MemoryFileSystem, "get_file", lambda self, *_, **__: 1 / 0)
    with (
        pytest.raises(InputError, match="memory://bucket: cannot be read: ZeroDivisionError"),
        copy(f"{STORE}/x"),
    ):
        pass
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_copy_of_a_file_brings_what_belongs_to_it_alone(memory: MemoryFileSystem) -> None:
    for name in ("a.jsonl", "a.jsonl.1", "a.jsonl-20261128.gz", "b.jsonl", "a.txt", "deep/a.jsonl"):
        memory.pipe_file(f"/bucket/{name}", name.encode())
    with copy(f"{STORE}/a.jsonl") as log:
        assert sorted(path.name for path in log.parent.iterdir()) == [
            "a.jsonl",
            "a.jsonl-20261128.gz",
            "a.jsonl.1",
        ]
        assert address_of(log) == f"{STORE}/a.jsonl" and told(f"{log}: torn") == f"{STORE}/a.jsonl: torn"
        assert copies_of(f"{STORE}/deep")[-1] == log.parent / "deep"
    assert not log.parent.exists()
    with copy(f"{STORE}/a.txt", beside=("b.jsonl",)) as text:
        assert sorted(path.name for path in text.parent.iterdir()) == ["a.txt", "b.jsonl"]
    with copy(f"{STORE}/none.txt") as none:
        assert not none.exists()
        none.write_bytes(b"new")
    assert memory.cat_file("/bucket/none.txt") == b"new"
    with pytest.raises(InputError, match=r"^memory://bucket/nothing: nothing is there"):
        fetched(f"{STORE}/nothing")


def test_what_a_command_would_overwrite_here_it_overwrites_there(memory: MemoryFileSystem) -> None:
    memory.pipe_file("/bucket/calls.parquet", b"of before")
    with copy(f"{STORE}/new.parquet") as file:
        file.write_bytes(b"1")
        file.with_name("calls.parquet").write_bytes(b"2")
    assert objects(memory) == {"new.parquet": b"1", "calls.parquet": b"2"}


def test_of_two_who_write_a_new_file_the_second_is_told_and_keeps_what_it_made(
    memory: MemoryFileSystem, tmp_path: Path
) -> None:
    with (
        pytest.raises(
            InputError, match=r"^memory://bucket/new.json: was changed there by another .*is kept in "
        ) as told_,
        copy(f"{STORE}/new.json") as mine,
    ):
        mine.write_bytes(b"mine")
        with copy(f"{STORE}/new.json") as other:
            other.write_bytes(b"other")
    assert objects(memory) == {"new.json": b"other"}
    found = re.search(r"kept in ([^)]*)\)", str(told_.value))
    assert found is not None and [path.read_bytes() for path in Path(found[1]).rglob("new.json")] == [b"mine"]


def test_of_two_who_write_where_nobody_may_list_the_second_is_told(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "find", refuse)
    with (
        pytest.raises(InputError, match=r"^memory://bucket/new.json: was changed there by another"),
        copy(f"{STORE}/new.json") as mine,
    ):
        with copy(f"{STORE}/new.json") as other:
            other.write_bytes(b"other")
        mine.write_bytes(b"mine")
    assert memory.cat_file("/bucket/new.json") == b"other"
    with copy(f"{STORE}/new.json") as again:  # one that is there is read, and replaced
        again.write_bytes(again.read_bytes() + b", and more")
    assert memory.cat_file("/bucket/new.json") == b"other, and more"
    with pytest.raises(
        InputError, match="memory://bucket: may not be listed: PermissionError: Access Denied"
    ):
        fetched(STORE)


WORKS = """
import sys
from router_lab.places.scratch import Scratch
made = [Scratch(), Scratch()]
for one in made:
    (one.path / "made.json").write_bytes(b"1")
print(made[0].path, made[1].keep(), flush=True)
sys.stdin.read()
"""


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", WORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    working, kept_ = map(Path, run.stdout.readline().split())
    scratch = Path(tempfile.gettempdir())
    strange = scratch / "router-lab-postgres-1"
    strange.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / OWNED).write_bytes(b"")
    (scratch / "router-lab-link").symlink_to(tmp_path / "elsewhere")
    mine = Scratch()
    Scratch().close()
    assert working.exists() and kept_.exists() and mine.path.exists()  # who works is left alone
    run.kill()
    run.communicate()
    assert working.exists()
    sweep(scratch)  # as the next process does before its first copy
    assert not working.parent.exists()
    assert (kept_ / "made.json").exists() and strange.exists() and mine.path.exists()
    assert (tmp_path / "elsewhere" / OWNED).exists()
    mine.close()
    assert not mine.path.exists()
    assert {one.name for one in scratch.iterdir()} == {strange.name, "router-lab-link", kept_.parent.name}


FORKS = """
import os, sys
from router_lab.places.scratch import Scratch
one, other = Scratch(), Scratch()
assert one.path.parent == other.path.parent
child = os.fork()
if child == 0:
    own = Scratch().path
    one.close()
    os._exit(0 if own.parent != one.path.parent and one.path.is_dir() else 1)
assert os.waitpid(child, 0)[1] == 0
assert one.path.is_dir() and other.path.is_dir()
one.close()
assert other.path.is_dir() and not one.path.exists()
other.close()
assert not other.path.parent.exists()
"""


def test_a_process_has_one_folder_and_the_child_of_a_fork_deletes_nothing_of_it() -> None:
    """However many copies it works on, it holds one descriptor."""
    subprocess.run([sys.executable, "-c", FORKS], check=True)


def test_an_old_version_is_no_address() -> None:
    for address in ("s3://b/outcomes.parquet?versionId=3HL4k", "s3a://b/a/b.json?versionid=null"):
        with pytest.raises(
            InputError, match=r"`\?versionId=` names an old version .* copy that version to a name"
        ):
            Store(address)


def test_names_that_no_folder_of_files_can_have_are_told(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "k" * 300
    with pytest.raises(
        InputError, match=r"k: a part of the name has 300 bytes, and .* 255 at most; name another"
    ):
        Store(f"{STORE}/{long}")
    memory.store[f"/bucket/logs/{long}"] = _file(memory, b"1")
    with pytest.raises(
        InputError, match=r"^memory://bucket/logs: holds an object named 'k+': a part .* move it away"
    ):
        fetched(f"{STORE}/logs")
    assert list(Store(f"{STORE}/logs").entries(deep=False)) == []
    info = {"type": "file", "size": 1, "created": 1.0}
    keys = ("/bucket/both/a", "/bucket/both/a/b")  # as S3 lists them; this store would show the first alone
    monkeypatch.setattr(
        MemoryFileSystem, "find", lambda *_, **__: {key: info | {"name": key} for key in keys}
    )
    with pytest.raises(
        InputError, match=r"named 'a' and others in a folder of that name \('a/b'\), which files cannot"
    ):
        Store(f"{STORE}/both").entries()


def test_of_two_who_begin_a_folder_the_second_is_told(memory: MemoryFileSystem) -> None:
    with (
        pytest.raises(InputError, match=r"^memory://bucket/new/a.json: was changed there by another"),
        copy(f"{STORE}/new") as mine,
    ):
        mine.mkdir()
        (mine / "a.json").write_bytes(b"mine")
        with copy(f"{STORE}/new") as other:
            other.mkdir()
            (other / "a.json").write_bytes(b"other")
    assert objects(memory) == {"new/a.json": b"other"}


def test_an_empty_folder_of_a_console_is_passed_over(memory: MemoryFileSystem) -> None:
    memory.store["/bucket/pol/archive/"] = _file(memory, b"")
    memory.pipe_file("/bucket/pol/a.json", b"1")
    assert list(Store(f"{STORE}/pol").entries()) == ["a.json"]
    assert (fetched(f"{STORE}/pol") / "a.json").read_bytes() == b"1"


@pytest.mark.parametrize("address", ["memory://b/../c", "memory://b/./c", "memory://b//c", "memory:///c"])
def test_an_address_has_no_dots_and_no_empty_names(address: str) -> None:
    with pytest.raises(InputError, match=r"none may be empty, \. or \.\."):
        Store(address)


def test_an_address_without_a_bucket_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("s3://", "gs:///", "s3:/"):
        with pytest.raises(InputError, match=r"names no bucket; write (s3|gs)://bucket/name"):
            local_path(text)
    assert local_path("C:/") == Path("C:/") and list(tmp_path.iterdir()) == []


def test_a_scheme_may_be_in_capitals(memory: MemoryFileSystem) -> None:
    memory.pipe_file("/bucket/a", b"1")
    assert Store("MEMORY://bucket").address == STORE and fetched("Memory://bucket/a").read_bytes() == b"1"


def test_names_that_would_leave_the_folder_are_refused(memory: MemoryFileSystem, tmp_path: Path) -> None:
    memory.store["/bucket/logs/../../../etc/passwd"] = memory.store.get("x") or _file(memory, b"no")
    with pytest.raises(
        InputError, match=r"holds an object named '../../../etc/passwd', which no file can be"
    ):
        fetched(f"{STORE}/logs")


def _file(memory: MemoryFileSystem, data: bytes) -> object:
    memory.pipe_file("/elsewhere/x", data)
    return memory.store["/elsewhere/x"]


def test_what_is_not_finished_and_locks_are_not_put(memory: MemoryFileSystem, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for path in (
        tmp_path / "here" / LOCK,
        temporary_beside(tmp_path / "here" / "x"),
        tmp_path / "here" / "whole",
    ):
        path.write_bytes(b"1")
    (tmp_path / "here/link").symlink_to("/etc/passwd")
    assert Mirror(Store(STORE), tmp_path / "here", whole=True).put() == ["whole"]


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(InputError, match=r"gs://b/x: gs:// needs an extra.*pip install 'router-lab\[gcs\]'"):
        fetched("gs://b/x")
    with pytest.raises(InputError, match=r"nowhere://b/x: .*docs/addresses.md"):
        fetched("nowhere://b/x")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_holds_an_address_until_it_lets_go_or_its_time_is_over(memory: MemoryFileSystem) -> None:
    clock, store = Clock(), Store(STORE)
    first, second = Lease(store, "a", "sweep one", clock=clock), Lease(store, "b", "sweep two", clock=clock)
    assert first.take() is False and first.until == 1300.0
    with pytest.raises(
        InputError, match=r"sweep one \(process \d+ on .*\) holds this address, at least until 00:21:40 UTC"
    ):
        second.take()
    assert Lease(store, "a", "sweep one", clock=clock).take() is True, "the same token, as after kill -9"
    clock.now = 1301.0
    assert second.take() is False and second.until == 1601.0
    with pytest.raises(LostError, match="memory://bucket: another run has taken it"):
        first.renew()
    clock.now = 1331.0
    second.renew()
    assert second.until == 1601.0, "not yet"
    clock.now = 1332.0
    second.renew()
    assert second.until == 1632.0 and not second.has_ended()
    first.release()
    assert json.loads(store.read(LOCK))["token"] == "b", "who lost it takes it from nobody"
    second.release()
    assert first.take() is False
    memory.pipe_file(f"/bucket/{LOCK}", b"[]")
    assert second.take() is False, "what no lease says holds nothing"


def test_of_two_that_take_it_at_once_one_holds_it(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(STORE), Lease(Store(STORE), "b", "sweep two")
    looked = store.entry

    def slow(name: str) -> object:
        found = looked(name)
        if not memory.exists(f"/bucket/{LOCK}"):
            other.take()
        return found

    monkeypatch.setattr(store, "entry", slow)
    with pytest.raises(InputError, match="sweep two"):
        Lease(store, "a", "sweep one").take()
    with pytest.raises(ChangedThereError):
        Store(STORE).write(LOCK, b"", ABSENT)


def waited(condition) -> bool:
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def test_what_grows_is_put_while_it_grows(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "EVERY_S", 0.02)
    memory.pipe_file("/bucket/logs/old", b"1")
    with kept(f"{STORE}/logs", "sweep t") as folder:
        assert (folder / "old").read_bytes() == b"1" and folder.name == "logs"
        assert address_of(folder) == f"{STORE}/logs"
        atomic_write(folder / "new", b"2")
        assert waited(lambda: objects(memory).get("logs/new") == b"2")
        with (
            pytest.raises(InputError, match=rf"{STORE}/logs: sweep t \(process .*holds"),
            kept(f"{STORE}/logs", "x"),
        ):
            pass
        (folder / "old").unlink()
        atomic_write(folder / "last", b"3")
    assert objects(memory) == {"logs/new": b"2", "logs/last": b"3"}
    with kept(f"{STORE}/logs", "sweep t") as again:
        assert again == folder and sorted(path.name for path in again.iterdir()) == ["last", "new"]


def test_who_is_killed_goes_on_from_what_was_not_put(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread dies with the process: here it never begins, and nothing is put at the end."""
    monkeypatch.setattr(keeping._Keeper, "_keep", lambda self: None)
    memory.pipe_file("/bucket/logs/log", b"1")
    monkeypatch.setattr(keeping._Keeper, "end", lambda self: None)
    with kept(f"{STORE}/logs", "sweep t") as folder:
        atomic_write(folder / "log", b"11")
        atomic_write(folder / "more", b"2")
    memory.pipe_file("/bucket/logs/more", b"0")  # put, but killed before it was noted
    assert objects(memory)["logs/log"] == b"1"
    monkeypatch.undo()
    monkeypatch.setenv(keeping.VARIABLE, str(folder.parents[2]))
    with kept(f"{STORE}/logs", "sweep t"):
        assert objects(memory)["logs/log"] == b"11" and objects(memory)["logs/more"] == b"2"
    assert LOCK not in "".join(objects(memory))


def test_where_another_machine_went_on_what_is_there_counts(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping._Keeper, "_keep", lambda self: None)
    end = keeping._Keeper.end
    monkeypatch.setattr(keeping._Keeper, "end", lambda self: None)
    with kept(f"{STORE}/logs", "sweep t") as folder:
        atomic_write(folder / "log", b"mine, not put")
        atomic_write(folder / "only", b"mine alone")
    monkeypatch.setattr(keeping._Keeper, "end", end)
    monkeypatch.setattr(lease, "HOLDS_S", -1.0)
    monkeypatch.setattr(lease, "_seconds", lambda: 300.0)
    memory.rm_file(f"/bucket/logs/{LOCK}")  # its time was over, and the other let go
    memory.pipe_file("/bucket/logs/log", b"theirs")
    with (
        pytest.warns(RouterLabWarning, match="memory://bucket/logs/log: was changed here, but not put there"),
        kept(f"{STORE}/logs", "sweep t") as again,
    ):
        assert (again / "log").read_bytes() == b"theirs"
    assert objects(memory)["logs/only"] == b"mine alone"


def test_who_loses_the_address_is_stopped_and_puts_nothing_more(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY_S", 0.02)
    monkeypatch.setattr(Lease, "renewed_s", -1.0)
    with (
        pytest.raises(
            InputError, match="memory://bucket/logs: another run has taken it, so this one was stopped"
        ),
        kept(f"{STORE}/logs", "sweep t") as folder,
    ):
        memory.pipe_file(f"/bucket/logs/{LOCK}", b'{"token": "b", "until": 1e10}')
        with pytest.raises(KeyboardInterrupt):
            waited(lambda: False)
        atomic_write(folder / "late", b"1")
    assert "logs/late" not in objects(memory)


def test_who_cannot_reach_the_address_for_so_long_that_another_may_is_stopped(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY_S", 0.02)
    monkeypatch.setattr("router_lab.places.store._opened", lambda address, scheme: (Failing(), address[8:]))
    never = r"memory://bucket/logs/log: cannot be written: ConnectionError: gone; so another may write there by now"
    with (
        pytest.warns(RouterLabWarning, match="tried again"),
        pytest.raises(InputError, match=never),
        kept(f"{STORE}/logs", "sweep t") as folder,
    ):
        monkeypatch.setattr(Failing, "left", 0)
        monkeypatch.setattr(Lease, "has_ended", lambda self: True)
        with pytest.raises(KeyboardInterrupt):
            atomic_write(folder / "log", b"1")
            waited(lambda: False)
    monkeypatch.setattr(Failing, "left", 10**9)


def test_what_could_not_be_put_is_told_once_and_at_the_end(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY_S", 0.02)
    monkeypatch.setattr("router_lab.places.store._opened", lambda address, scheme: (Failing(), address[8:]))
    tried, never = "gone; it is tried again", "the same command puts it there"
    with (
        pytest.warns(RouterLabWarning, match=tried) as said,
        pytest.raises(InputError, match=never),
        kept(f"{STORE}/logs", "sweep t") as folder,
    ):
        monkeypatch.setattr(Failing, "left", 0)
        atomic_write(folder / "log", b"1")
        assert waited(lambda: Failing.left < -5)
    assert len([one for one in said if "tried again" in str(one.message)]) == 1
    monkeypatch.setattr(Failing, "left", 10**9)
    with kept(f"{STORE}/logs", "sweep t"):
        assert objects(memory)["logs/log"] == b"1"


def test_a_store_follows_what_is_published(memory: MemoryFileSystem, tmp_path: Path) -> None:
    with copy(f"{STORE}/p") as folder:
        publish(save_revision(always("dear"), folder), force=True)
    default = always("dear").candidates[0]
    store = PolicyStore(follow(f"{STORE}/p", tmp_path / "served"), default=default, state=tmp_path / "state")
    assert store.check() and not store.check()
    first = store.policy.revision
    with copy(f"{STORE}/p") as folder:
        publish(save_revision(always("cheap"), folder), force=True)
    assert store.check() and store.policy.revision not in (None, first)
    memory.store.clear()
    assert not store.check() and store.status.refused is not None, "what serves goes on to"


def test_commands_take_addresses(
    memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with copy(f"{STORE}/p") as folder:
        revision = save_revision(always("dear"), folder).name
    done = CliRunner().invoke(cli, ["publish", f"{STORE}/p/{revision}", "--force"])
    assert done.exit_code == 0 and done.output.splitlines()[-1] == f"{STORE}/p", done.output
    assert {f"p/{RELEASE}", "p/RELEASES.jsonl", f"p/{revision}/{MANIFEST}"} <= objects(memory).keys()
    for command in (
        ["show", f"{STORE}/p"],
        ["route", f"{STORE}/p/{revision}", "hello"],
        ["diff", f"{STORE}/p", f"{STORE}/p"],
    ):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0 and str(tmp_path) not in done.output, done.output
    gone = CliRunner().invoke(cli, ["show", f"{STORE}/none"])
    assert gone.exit_code == 2 and f"'{STORE}/none' does not exist" in gone.output
    here = CliRunner().invoke(cli, ["keygen", f"{STORE}/key.pem"])
    assert here.exit_code == 2 and "must be on this machine" in here.output
    assert list(tmp_path.iterdir()) == [], "copies are gone"
    plain = CliRunner().invoke(cli, ["show", (tmp_path / "none").as_uri()])
    assert plain.exit_code == 2 and str(tmp_path / "none") in plain.output


def test_outcomes_are_read_from_an_address(memory: MemoryFileSystem) -> None:
    rows = [("s", str(i), model, 1.0) for i in range(3) for model in ("a", "b")]
    frame = pd.DataFrame(rows, columns=["suite", "sample_id", "model", "quality"])
    with copy(f"{STORE}/o.parquet") as file:
        write_outcomes(frame, file)
    assert len(read_outcomes(f"{STORE}/o.parquet")) == 6
    memory.pipe_file("/bucket/bad.parquet", b"no")
    with pytest.raises(InputError, match=r"^memory://bucket/bad.parquet: is not a Parquet file"):
        read_outcomes(f"{STORE}/bad.parquet")
    with pytest.raises(InputError, match="is an address"):
        write_outcomes(frame, f"{STORE}/o.parquet")


PAGE = Path(__file__).parents[2] / "docs" / "addresses.md"


def test_what_the_page_does_in_python_runs(memory: MemoryFileSystem, tmp_path: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    code = (
        block.replace("s3://", "memory://")
        .replace("/var/lib/app", str(tmp_path))
        .replace("gate=gate", "force=True")
    )
    policy = always("dear")
    (tmp_path / "page.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "page.py"), {"policy": policy, "incumbent": policy.candidates[0]})
    assert names["policy"].revision == load_policy(fetched("memory://bucket/policies/support")).revision
    assert names["store"].check() and names["store"].policy.revision == names["policy"].revision


def test_who_follows_a_policy_needs_numpy_and_fsspec_alone() -> None:
    code = "import sys, router_lab.places; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"fsspec", "pandas", "pyarrow", "pydantic", "yaml", "click", "inspect_ai", "scipy"}
    assert "numpy" in done.stdout.split() and heavy.isdisjoint(done.stdout.split())


def test_the_folder_and_the_time_of_a_lease_are_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(lease.VARIABLE, "8")
    held = Lease(Store(STORE), "a", "x", clock=Clock())
    held.take()
    assert held.until == 1008.0
    monkeypatch.setenv(lease.VARIABLE, "soon")
    with pytest.raises(InputError, match="ROUTER_LAB_LEASE_S=soon: must be seconds, 1 or more"):
        Lease(Store(STORE), "a", "x")
    monkeypatch.delenv(keeping.VARIABLE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert keeping._homes() == tmp_path / "state/router-lab/places"


def test_a_copy_that_is_collected_while_another_opens_neither_hangs_nor_takes_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Garbage is collected wherever memory is asked for: also by the thread that holds the lock, in the midst."""
    first, opened = Scratch(), list[Scratch]()
    is_dir = Path.is_dir

    def collected(path: Path) -> bool:
        first.close()
        return is_dir(path)

    def opens() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "is_dir", collected)
            opened.append(Scratch())

    thread = threading.Thread(target=opens, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive() and opened[0].path.is_dir() and first.is_over
    opened[0].close()
    assert not opened[0].path.exists()
