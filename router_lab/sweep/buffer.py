"""Where Inspect keeps what a killed run had finished but not yet written to its logs: beside the
logs.

By default it is the user's data directory, which a container loses with its home: up to ten
finished samples a log would be paid for again. Writing every sample to its log at once
(`log_buffer=1`) copies the whole log each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inspect_ai.log import EvalSampleSummary
from inspect_ai.log._recorders.buffer import database
from inspect_ai.log._recover import _buffer as recovery

FOLDER = ".recovery"

NOBODY = 2**22 + 1
"""A process id that no Linux process has."""


def disown_buffers(log_dir: Path) -> None:
    """Call before the first sample: buffers that bear this process's id are another's, which died.

    Inspect does not recover the buffer of a living process, and in containers a run and the next
    have the same id.
    """
    mine = f".{os.getpid()}.db"
    for file in sorted((log_dir / FOLDER).rglob(f"*{mine}*")):
        file.rename(file.with_name(file.name.replace(mine, f".{NOBODY}.db")))


def unwritten(log_dir: Path, log: str) -> list[EvalSampleSummary]:
    """What a run that died had finished of the log at `log` (a path or URI) without writing it
    there: the next run recovers it, so it is there. Empty while that run lives, and where it left
    no buffer."""
    found = recovery.read_buffer_recovery_data(log, log_dir / FOLDER)
    return [] if found is None else [sample for sample in found.completed if sample.error is None]


@contextmanager
def recovery_beside(log_dir: Path) -> Iterator[None]:
    """Inspect's sample buffers are in `log_dir` for as long as this lasts; both who writes and who
    reads them look."""
    folder = log_dir / FOLDER
    folder.mkdir(exist_ok=True)
    before = database.resolve_db_dir

    def resolve(db_dir: Path | None = None) -> Path:
        return db_dir or folder

    for module in (database, recovery):
        setattr(module, "resolve_db_dir", resolve)  # noqa: B010  # mypy: a module's function is replaced on purpose
    try:
        yield
    finally:
        for module in (database, recovery):
            setattr(module, "resolve_db_dir", before)  # noqa: B010
        with suppress(OSError):  # not empty: another run needs it
            folder.rmdir()
