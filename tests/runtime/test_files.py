"""Whole files, whole lines, and one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from router_lab.runtime.errors import InputError
from router_lab.runtime.files import append_line, append_lines, atomic_write, read_records, remove_leftovers
from router_lab.runtime.locks import FolderLock
from router_lab.runtime.reading import read_bytes


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, room_for: Any) -> None:
    atomic_write(tmp_path / "a", b"old")
    with room_for(10), pytest.raises(OSError) as told:
        atomic_write(tmp_path / "a", b"new" * 100)
    assert told.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_two_writers_with_one_process_id_do_not_share_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in two containers on one volume, where both are process 1.
    monkeypatch.setattr(os, "getpid", lambda: 1)
    errors: list[Exception] = []

    def write(byte: bytes) -> None:
        try:
            for _ in range(100):
                atomic_write(tmp_path / "a", byte * 5000)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=write, args=(byte,)) for byte in (b"x", b"y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set((tmp_path / "a").read_bytes()) in ({ord("x")}, {ord("y")})


def test_leftovers_of_killed_writers_go_and_nothing_else_does(tmp_path: Path) -> None:
    kept = [".router-lab.lock", ".router-lab-0123456789abcdef.tmp.json", "notes.tmp"]
    for name in [*kept, ".router-lab-0123456789abcdef.tmp"]:
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(kept)


def test_a_line_without_room_is_taken_back_whole(tmp_path: Path, room_for: Any) -> None:
    path = tmp_path / "lines"
    append_line(path, b'{"n": 1}')
    with room_for(12), pytest.raises(OSError):
        append_line(path, b'{"n": 22222222}')
    assert path.read_bytes() == b'{"n": 1}\n'
    append_line(path, b'{"n": 3}')
    assert read_records(path).rows == [{"n": 1}, {"n": 3}]


def test_a_torn_line_costs_itself_alone_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"n": 1}\n{"n": 2, "x')
    append_line(path, b'{"n": 3}')
    records = read_records(path)
    assert (records.rows, records.numbers, records.torn) == ([{"n": 1}, {"n": 3}], [1, 3], [2])


@pytest.mark.parametrize("line", [b"[1]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"])
def test_what_is_no_object_is_counted_not_raised(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "lines").write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    assert read_records(tmp_path / "lines") == ([{"n": 1}, {"n": 3}], [1, 3], [2])


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from router_lab.runtime.files import append_line\n"
        "for n in range(50): append_line(sys.argv[1], b'{\"n\": \"' + sys.argv[2].encode() * 20000 + b'\"}')"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lines"), letter]) for letter in "abc"
    ]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    records = read_records(tmp_path / "lines")
    assert records.torn == []
    assert sorted({row["n"] for row in records.rows}) == ["a" * 20000, "b" * 20000, "c" * 20000]
    assert len(records.rows) == 150


def test_a_fifo_or_a_newline_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError):
        append_line(tmp_path / "fifo", b"{}")
    with pytest.raises(ValueError, match="newline"):
        append_line(tmp_path / "lines", b"{}\n{}")


def test_a_folder_is_held_by_one_at_a_time_and_says_by_whom(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path, "a sweep"),
        pytest.raises(InputError, match=rf"a sweep \(process {os.getpid()} on .*name another folder"),
        FolderLock(tmp_path, "a second"),
    ):
        pass
    with FolderLock(tmp_path, "a third"):
        pass


def test_a_lock_ends_with_its_process_and_is_not_kept_by_a_fork(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time; from router_lab.runtime.locks import FolderLock\n"
        "with FolderLock(sys.argv[1], 'it'):\n"
        "    child = os.fork()\n"
        "    if child == 0: os.close(1); time.sleep(60)\n"
        "    print(child, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        child = int(job.stdout.readline())
        try:
            with pytest.raises(InputError, match="holds this folder"), FolderLock(tmp_path, "me"):
                pass
            job.kill()
            job.wait()
            with FolderLock(tmp_path, "me", wait_s=30):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be opened to lock"), FolderLock(tmp_path / "file", "it"):
        pass


def test_a_new_file_never_replaces_another_and_has_its_mode_from_the_start(tmp_path: Path) -> None:
    atomic_write(tmp_path / "key", b"one", mode=0o600, new=True)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        atomic_write(tmp_path / "key", b"two", new=True)
    assert (tmp_path / "key").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_leftovers_that_are_young_may_be_somebodys_and_folders_go_too(tmp_path: Path) -> None:
    young, old = (tmp_path / f".router-lab-{digit * 16}.tmp" for digit in "01")
    for folder in (young, old):
        folder.mkdir()
        (folder / "weights.npy").write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    remove_leftovers(tmp_path, older_s=3600)
    assert [entry.name for entry in tmp_path.iterdir()] == [young.name]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_a_regular_file_of_a_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", 5) == b"12345"
    for path, most, follow in (("file", 4, True), ("fifo", 9, True), ("link", 9, False), (".", 9, True)):
        with pytest.raises(OSError):
            read_bytes(tmp_path / path, most, follow=follow)
    with pytest.raises(OSError, match="is a pipe"):
        read_records(tmp_path / "fifo")  # without waiting for who might write into it


def test_a_line_waits_for_another_writer_no_longer_than_it_is_told(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "x").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process holds the file"):
            append_line(tmp_path / "x", b"a", wait_s=0.01)
        fcntl.flock(held, fcntl.LOCK_UN)
    append_line(tmp_path / "x", b"b", wait_s=0.01)
    assert (tmp_path / "x").read_bytes() == b"b\n"


def test_several_lines_are_all_there_or_none(tmp_path: Path, room_for: Any) -> None:
    append_line(tmp_path / "a", b"old")
    with room_for(10), pytest.raises(OSError):
        append_lines(tmp_path / "a", [b"one", b"two" * 10])
    assert (tmp_path / "a").read_bytes() == b"old\n"
    append_lines(tmp_path / "a", [b"one", b"two"])
    append_lines(tmp_path / "a", [])
    assert (tmp_path / "a").read_bytes() == b"old\none\ntwo\n"
    with pytest.raises(ValueError, match="newline"):
        append_lines(tmp_path / "a", [b"one", b"t\nwo"])
