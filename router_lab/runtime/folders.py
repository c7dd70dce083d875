"""Folders of files that are either whole or not there, such as an artifact.

The files are written into a folder beside the target, which is then renamed: a process that is
killed, or a disk that is full, leaves a folder with a temporary name, and nothing under the name
that is read.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from router_lab.runtime.files import atomic_write, is_leftover, sync_directory, temporary_beside
from router_lab.runtime.locks import WAIT_S, FolderLock

_TRIES = 100
_EARLIER = re.compile(r"\.(.+)\.\d+\.tmp")  # what this project's versions before November 2026 left


def place_folder(files: Mapping[str, bytes], target: Path, last: str) -> Path:
    """Make `target` the folder of `files`. The file `last` stands for the whole: where it is, the
    others are.

    target: new, empty, or left unfinished by an earlier writer of such a folder. Where the same
    was placed meanwhile by another process, nothing is done. Raises FileExistsError for a folder
    that holds anything else, and OSError: what is left then, if anything, is unfinished.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = temporary_beside(target.absolute())
        whole.mkdir()
    except OSError:
        if target.is_dir():  # of somebody who may write into it, but not beside it
            return _complete(files, target, last)
        raise
    try:
        for name in sorted(files):
            atomic_write(whole / name, files[name])
        _move(whole, files, target, last)
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    sync_directory(target.parent)
    return target


def is_unfinished(folder: Path, names: Mapping[str, object], last: str) -> bool:
    """Whether nothing is in `folder` but what a writer of a folder of `names` leaves that was
    stopped before `last`."""
    with contextlib.suppress(FileNotFoundError):  # another writer put it aside, or put it in place
        return all(entry.name != last and _ours(entry, names) for entry in folder.iterdir())
    return True


def _ours(entry: Path, names: Mapping[str, object]) -> bool:
    """Also what is gone again since it was listed: the unfinished file of another writer of the
    same."""
    earlier = _EARLIER.fullmatch(entry.name)
    named = entry.name in names or is_leftover(entry.name) or (earlier is not None and earlier[1] in names)
    with contextlib.suppress(FileNotFoundError):
        return named and stat.S_ISREG(entry.lstat().st_mode)
    return named


def _move(whole: Path, files: Mapping[str, bytes], target: Path, last: str) -> None:
    if _stays(target):
        _complete(files, target, last)
        return
    try:
        whole.rename(target)  # onto nothing, or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            if not target.is_dir():
                raise
            _complete(files, target, last)
            return
    with FolderLock(target.parent, "saving a policy", wait_s=WAIT_S):
        if _same(files, target, last):
            return
        _refuse_other(files, target, last)
        aside = temporary_beside(target.absolute())
        target.rename(aside)
        try:
            whole.rename(target)
        except OSError:
            if not _same(files, target, last):  # else somebody was quicker, with the same
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _stays(target: Path) -> bool:
    """Whether a folder must not be replaced: a symlink or a mount would go, and a process would
    lose where it is."""
    with contextlib.suppress(FileNotFoundError):  # another writer just puts it aside
        return target.is_dir() and (target.is_symlink() or target.is_mount() or target.samefile("."))
    return False


def _complete(files: Mapping[str, bytes], target: Path, last: str) -> Path:
    """File by file, `last` last: for a folder that only its files can be put into. No lock is to
    be had there: another writer of the same may take an unfinished file of ours for a leftover,
    and then it is written again."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            return _fill(files, target, last)
    return _fill(files, target, last)


def _fill(files: Mapping[str, bytes], target: Path, last: str) -> Path:
    if _same(files, target, last):
        return target
    _refuse_other(files, target, last)
    left = [entry for entry in target.iterdir() if entry.name not in files]
    for name in sorted(files.keys() - {last}):
        atomic_write(target / name, files[name])
    for entry in left:
        entry.unlink(missing_ok=True)
    return atomic_write(target / last, files[last]).parent


def _same(files: Mapping[str, bytes], target: Path, last: str) -> bool:
    try:
        return (target / last).read_bytes() == files[last]
    except OSError:
        return False


def _refuse_other(files: Mapping[str, bytes], target: Path, last: str) -> None:
    if not is_unfinished(target, files, last) and not _same(files, target, last):  # placed since we looked
        raise FileExistsError(errno.EEXIST, "not a new or empty directory", str(target))
