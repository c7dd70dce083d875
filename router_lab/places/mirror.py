"""A local folder kept in step with what lies at an address: fetched, and put back where it
changed."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from router_lab.places.store import ABSENT, ChangedThereError, Entry, Store
from router_lab.runtime.artifact import MANIFEST
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.files import atomic_write, is_leftover, temporary_beside
from router_lab.runtime.locks import LOCK
from router_lab.runtime.release import RELEASE

_UNFINISHED = re.compile(r"\.inspect_tmp_.*")
"""How Inspect names a log that it has not written to its end."""
_TRIES = 20


class Known(NamedTuple):
    """A file when both sides were the same: the object's stamp, and the file's size, time and
    inode."""

    stamp: str
    size: int
    mtime_ns: int
    inode: int


class Mirror:
    """The files beneath `root`, and the objects beneath `store` that they were when last seen.

    whole: all of what is there was looked at, so that what is not known was not there; else `seen`
    is what lay directly beneath in the beginning, under the name `empty` there was nothing, file or
    folder, and what lies deeper elsewhere, or where nobody may list, is looked at before it is
    replaced. journals: names of files that only
    grow and whose lines may stand in any order: where two grew, both have all lines.
    """

    def __init__(
        self,
        store: Store,
        root: Path,
        *,
        whole: bool,
        journals: Collection[str] = (),
        known: Mapping[str, Known] | None = None,
        seen: Mapping[str, Entry] | None = None,
        empty: str | None = None,
    ) -> None:
        self._seen, self._empty = seen, empty
        self.store, self.root, self.whole, self.journals = store, root, whole, journals
        self.known = dict(known or {})

    def bring(self, there: Mapping[str, Entry], *, mine: bool = False) -> list[str]:
        """Make the files what these entries of the store are; returns which changed.

        What changed on both sides since they were the same is the store's, with a warning; with
        `mine` (nobody else wrote there since) it is the file's. Whole, also what is gone there is
        deleted, unless it changed here.
        """
        changed = self._changed()
        due = {}
        for name, entry in there.items():
            if is_passing(name) or (name in self.known and self.known[name].stamp == entry.stamp):
                continue
            if mine and (name in changed or (name in self.known and not (self.root / name).exists())):
                self.known[name] = Known(entry.stamp, -1, -1, -1)
                continue
            if name in changed:
                text = f"{self.store.address}/{name}: was changed here, but not put there, and changed there by another"
                warnings.warn(RouterLabWarning(f"{text}; what is there counts"), stacklevel=3)
            due[name] = entry
        self._fetch(due)
        if self.whole:
            for name in self.known.keys() - there.keys() - changed:
                del self.known[name]
                (self.root / name).unlink(missing_ok=True)
        return sorted(due)

    def put(self, before: Callable[[], None] = lambda: None) -> list[str]:
        """Put every file that changed, and delete every object whose file is gone; returns their
        names.

        Journals first, those last that make others count, else in the order in which they were
        written. before: called before each put; what it raises ends them. Raises InputError where
        another changed the same meanwhile; what came before that is there.
        """
        done = []
        for name in sorted(self._changed(), key=lambda name: _turn(self.root / name)):
            before()
            try:
                if self._put(name):
                    done.append(name)
            except ChangedThereError:
                raise InputError(
                    f"{self.store.address}/{name}: was changed there by another while this ran, and stays as it is "
                    "there; run the command again"
                ) from None
        for name in [n for n in self.known if not (self.root / n).exists()]:
            with contextlib.suppress(ChangedThereError):  # who wrote it anew wants it
                self.store.delete(name, self.known[name].stamp)
            del self.known[name]
            done.append(name)
        return done

    def _put(self, name: str) -> bool:
        """False for a file that is being written, or gone again: a later call puts it."""
        path = self.root / name
        for _ in range(_TRIES):
            before = _state(path)
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return False
            if before is None or _state(path) != before:
                return False
            expected = self._expected(name)
            try:
                stamp = self.store.write(name, data, expected)
            except ChangedThereError:
                if not self._agreed(name, data):
                    raise
                continue
            self.known[name] = Known(stamp, *before)
            return True
        raise ChangedThereError(name)

    def _expected(self, name: str) -> str:
        if name in self.known:
            return self.known[name].stamp
        folder, deeper, _ = name.partition("/")
        if self.whole or folder == self._empty:
            found = None
        elif self._seen is not None and not deeper:
            found = self._seen.get(name)
        else:
            found = self.store.entry(name)
        return ABSENT if found is None else found.stamp

    def _agreed(self, name: str, data: bytes) -> bool:
        """Whether what another put there meanwhile can stand beside `data`: it is the same or gone
        again, or both are journals."""
        entry = self.store.entry(name)
        if entry is None:
            self.known.pop(name, None)
            return True
        theirs = self.store.read(name)
        if theirs != data:
            if name not in self.journals:
                return False
            lines = theirs.splitlines()
            lines += [line for line in data.splitlines() if line not in set(lines)]
            atomic_write(self.root / name, b"".join(line + b"\n" for line in lines))
        self.known[name] = Known(entry.stamp, -1, -1, -1)
        return True

    def _changed(self) -> set[str]:
        """Files that are not what they were when both sides were the same."""
        return {
            name
            for name in self._files()
            if name not in self.known or self._state(name) != self.known[name][1:]
        }

    def _state(self, name: str) -> tuple[int, int, int] | None:
        return _state(self.root / name)

    def _files(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not is_leftover(name)]
            place = Path(folder).relative_to(self.root)
            for file in files:
                name = (place / file).as_posix()
                if not is_passing(name) and not (self.root / name).is_symlink():
                    yield name

    def _fetch(self, due: Mapping[str, Entry]) -> None:
        """All are there before the first stands under its name, those last that make others
        count."""
        temporary = {name: temporary_beside(self.root / name) for name in due}
        for path in temporary.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.store.fetch(temporary)
            for name in sorted(due, key=lambda name: _rank(name)):
                path, entry = temporary[name], due[name]
                if path.stat().st_size != entry.size:
                    raise InputError(
                        f"{self.store.address}/{name}: has {path.stat().st_size:,} bytes and was to have {entry.size:,}; "
                        "it is being changed: run the command again"
                    )
                if entry.modified is not None:
                    os.utime(path, (entry.modified, entry.modified))
                path.replace(self.root / name)
                self.known[name] = Known(entry.stamp, *(_state(self.root / name) or (-1, -1, -1)))
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)


def is_passing(name: str) -> bool:
    """Whether a file is nobody's result: a lock, or what is not written to its end."""
    parts = name.split("/")
    return parts[-1] == LOCK or _UNFINISHED.fullmatch(parts[-1]) is not None or any(map(is_leftover, parts))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _rank(name: str) -> int:
    """Journals say what is begun before anything comes of it. Loaders look for the release first,
    and for an artifact's manifest before its parts."""
    last = name.rpartition("/")[2]
    return {MANIFEST: 2, RELEASE: 3}.get(last, 0 if last.endswith(".jsonl") else 1)


def _turn(path: Path) -> tuple[int, int, str]:
    found = _state(path)
    return _rank(path.name), 0 if found is None else found[1], str(path)
