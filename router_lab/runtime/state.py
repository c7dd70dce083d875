"""What a `PolicyStore` keeps on disk: the last good policy, the one before it, and the newest
release ever accepted.

Laid out like policies/<name>: revisions in directories of their own, and state.json. It is written
only after a policy passed every check, and read with the same suspicion as anything else. The
worker processes of a service may share one: writes are under a lock, and what another worker has
kept is never taken back.
"""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.runtime import jsonio
from router_lab.runtime.addresses import local_path
from router_lab.runtime.artifact import DIRECTORY_DIGITS, Opened, read_files, write_files
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.files import atomic_write, remove_leftovers, temporary_beside
from router_lab.runtime.locks import FolderLock
from router_lab.runtime.reading import SMALL, read_bytes
from router_lab.runtime.release import (
    NUMBERS,
    RELEASE,
    Release,
    is_revision,
    parse_release,
    read_release_bytes,
)

_STATE = "state.json"
_WAIT_S = 5.0
_DIGITS = len(str(NUMBERS))


class Remembered(NamedTuple):
    """`current` and `previous` name directories under the state directory; `release` is the newest
    number accepted, of policy `name` as `alias`, signed by `signer` (None: not known); `rejected`
    are revisions rolled back from."""

    current: str | None = None
    previous: str | None = None
    release: int = 0
    name: str | None = None
    alias: str | None = None
    signer: str | None = None
    rejected: tuple[str, ...] = ()


class State:
    """The state directory of a service's stores, which may be several processes on one machine."""

    def __init__(self, directory: str | PathLike[str]) -> None:
        self.directory = local_path(directory)

    def read(self) -> tuple[Remembered, str | None]:
        """(what was remembered, what is wrong with state.json or None).

        Where state.json is damaged, or missing beside kept policies, their own RELEASE.json files
        say what is known.
        """
        path = self.directory / _STATE
        fault: str | None = None
        try:
            return _parsed(read_bytes(path, SMALL), str(path)), None
        except FileNotFoundError:
            pass
        except (OSError, PolicyError) as error:
            told = error.strerror if isinstance(error, OSError) else error
            fault = str(told) if str(path) in str(told) else f"{path}: {told}"
        try:
            kept = self._from_copies()
        except OSError as error:  # a folder that cannot be listed
            return Remembered(), fault or f"{self.directory}: cannot be read: {error.strerror}"
        return kept, fault or (f"{path}: is missing beside kept policies" if kept.current else None)

    def path(self, name: str) -> Path:
        """The folder to open a remembered policy from: an artifact with its RELEASE.json, if it
        had one, around it."""
        return self.directory / name / "policy"

    def release(self, name: str) -> Release | None:
        """What published a remembered policy, if anything did; unchecked, for what is said of
        it."""
        try:
            return parse_release(read_release_bytes(self.directory / name))[0]
        except PolicyError:
            return None

    def keep(self, opened: Opened, known: Remembered, *, restart: bool = False) -> Remembered:
        """Copy a policy that passed all checks, make it `current`, and forget all but it and the
        one before; where another process has kept a newer release meanwhile, that stays.

        restart: the number may be lower than what the disk remembers. Raises OSError, PolicyError,
        InputError.
        """
        revision = opened.policy.revision or ""
        number = 0 if opened.release is None else opened.release.number
        # The release is part of the name: the same revision may be published again under a newer
        # number.
        name = f"{revision[:DIRECTORY_DIGITS]}-{number}"
        with FolderLock(self.directory, "a policy store", wait_s=_WAIT_S):
            remove_leftovers(self.directory)
            disk = self._of_the_same(known)
            if not restart and disk.release > known.release:
                return disk
            self._place(name, opened)
            # Under another number perhaps.
            again = (disk.current or "").startswith(f"{revision[:DIRECTORY_DIGITS]}-")
            previous = disk.previous if again else disk.current
            newest = number if restart else max(number, known.release, disk.release)
            return self._write(known._replace(current=name, previous=previous, release=newest))

    def write(self, remembered: Remembered, *, restart: bool = False) -> Remembered:
        """Remember that, and forget every other policy; `restart` as in `keep`. Raises OSError,
        InputError."""
        with FolderLock(self.directory, "a policy store", wait_s=_WAIT_S):
            disk = self._of_the_same(remembered)
            newest = remembered.release if restart else max(remembered.release, disk.release)
            return self._write(remembered._replace(release=newest))

    def _of_the_same(self, known: Remembered) -> Remembered:
        """What the disk remembers; nothing, where that is another policy's, or of another
        alias."""
        disk = self.read()[0]
        same = disk.name in (None, known.name) and disk.alias in (None, known.alias)
        return disk if same else Remembered()

    def _write(self, remembered: Remembered) -> Remembered:
        value: dict[str, Any] = remembered._asdict()
        atomic_write(self.directory / _STATE, jsonio.dumps(value))
        for entry in self._copies():
            if entry.name not in (remembered.current, remembered.previous):
                shutil.rmtree(entry, ignore_errors=True)
        return remembered

    def _place(self, name: str, opened: Opened) -> None:
        """The copy `name`, whole or not at all; one that is there and intact stays."""
        folder = self.directory / name
        if _intact(folder, opened):
            return
        whole = temporary_beside(folder)
        try:
            write_files(opened.files, whole / "policy")
            if opened.release_bytes is not None:
                atomic_write(whole / RELEASE, opened.release_bytes)
            if folder.exists():
                folder.rename(temporary_beside(folder))  # damaged; the next to keep something removes it
            whole.rename(folder)
        finally:
            shutil.rmtree(whole, ignore_errors=True)

    def _copies(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return [entry for entry in self.directory.iterdir() if entry.is_dir() and _is_name(entry.name)]

    def _from_copies(self) -> Remembered:
        found = []
        for entry in self._copies():
            release = self.release(entry.name)
            number = int(entry.name.partition("-")[2]) if release is None else release.number
            found.append((number, entry.stat().st_mtime_ns, entry.name, release))
        found.sort(key=lambda row: row[:3])
        if not found:
            return Remembered()
        number, _, current, release = found[-1]
        known = Remembered(current, found[-2][2] if len(found) > 1 else None, number)
        return known if release is None else known._replace(name=release.name, alias=release.alias)


def _intact(folder: Path, opened: Opened) -> bool:
    try:
        same = read_files(folder / "policy")[1] == opened.policy.revision
        return same and (opened.release_bytes is None or read_release_bytes(folder) == opened.release_bytes)
    except (PolicyError, OSError):
        return False


def _parsed(data: bytes, path: str) -> Remembered:
    value = jsonio.loads(data, path)
    first = ("current", "previous", "release")  # all that versions before December 2026 wrote
    if not isinstance(value, dict) or not set(first) <= value.keys() <= set(Remembered._fields):
        raise PolicyError(f"{path}: not an object of {', '.join(Remembered._fields)}")
    rejected = value.get("rejected", [])
    texts = [value.get(key) for key in ("name", "alias", "signer")]
    release = value["release"]
    if (
        not isinstance(release, int) or isinstance(release, bool) or not 0 <= release < NUMBERS
        or not all(name is None or _is_name(name) for name in (value["current"], value["previous"]))
        or not all(text is None or (isinstance(text, str) and text and text.isprintable()) for text in texts)
        or not isinstance(rejected, list) or not all(map(is_revision, rejected))
    ):  # fmt: skip
        raise PolicyError(f"{path}: not the state of a policy store")
    return Remembered(**{**value, "rejected": tuple(rejected)})


def _is_name(name: object) -> bool:
    """A directory that `keep` made: hex digits, a dash, digits; never a path."""
    if not isinstance(name, str):
        return False
    revision, dash, number = name.partition("-")
    return (
        bool(dash)
        and number.isdecimal()
        and number.isascii()
        and len(number) <= _DIGITS
        and int(number) < NUMBERS
        and len(revision) == DIRECTORY_DIGITS
        and set(revision) <= set("0123456789abcdef")
    )
