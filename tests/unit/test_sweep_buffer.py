"""Inspect's recovery buffers beside the logs, and whose they are."""

import os
from pathlib import Path

from inspect_ai.log._recorders.buffer import database
from inspect_ai.log._recover import _buffer as recovery

from router_lab.sweep.buffer import FOLDER, NOBODY, disown_buffers, recovery_beside


def test_buffers_are_beside_the_logs_for_writing_and_reading_and_only_for_so_long(tmp_path: Path) -> None:
    before = database.resolve_db_dir
    with recovery_beside(tmp_path):
        assert database.resolve_db_dir() == recovery.resolve_db_dir() == tmp_path / FOLDER
        assert recovery.resolve_db_dir(tmp_path / "given") == tmp_path / "given"
    assert database.resolve_db_dir is before and recovery.resolve_db_dir is before
    assert not (tmp_path / FOLDER).exists()


def test_a_dead_run_with_the_same_process_id_is_recovered_all_the_same(tmp_path: Path) -> None:
    disown_buffers(tmp_path)  # nothing there
    folder = tmp_path / FOLDER / "0123"
    folder.mkdir(parents=True)
    for name in (f"a.eval.{os.getpid()}.db", f"a.eval.{os.getpid()}.db-wal", "b.eval.77.db"):
        (folder / name).write_text(name)
    disown_buffers(tmp_path)
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert found == {
        f"a.eval.{NOBODY}.db": f"a.eval.{os.getpid()}.db",
        f"a.eval.{NOBODY}.db-wal": f"a.eval.{os.getpid()}.db-wal",
        "b.eval.77.db": "b.eval.77.db",
    }
