"""What a `PolicyStore` keeps on disk: the last good policy, the one before it, and the newest release ever accepted.

Laid out like policies/<name>: revisions in directories of their own, and state.json. It is written only after a policy
passed every check, and read with the same suspicion as anything else.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from router_lab.runtime import jsonio
from router_lab.runtime.artifact import DIRECTORY_DIGITS, MANIFEST, Opened, write_files
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.release import RELEASE

_STATE = "state.json"


class Remembered(NamedTuple):
    """`current` and `previous` name directories under the state directory; `release` is the newest number accepted."""

    current: str | None = None
    previous: str | None = None
    release: int = 0


class State:
    """The state directory of one store. Two stores must not share one."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def read(self) -> Remembered:
        """What was remembered; nothing if nothing was, PolicyError if state.json is damaged."""
        path = self.directory / _STATE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Remembered()
        value = jsonio.loads(data[:4096], str(path))
        if not isinstance(value, dict) or value.keys() != set(Remembered._fields):
            raise PolicyError(f"{path}: not an object of {', '.join(Remembered._fields)}")
        found = Remembered(**value)
        if not isinstance(found.release, int) or not all(_is_name(name) for name in (found.current, found.previous)):
            raise PolicyError(f"{path}: not the state of a policy store")
        return found

    def path(self, name: str) -> Path:
        """The folder to open a remembered policy from: an artifact with its RELEASE.json, if it had one, around it."""
        return self.directory / name / "policy"

    def keep(self, opened: Opened, remembered: Remembered) -> Remembered:
        """Copy a policy that passed all checks, make it `current`, and forget all but it and the one before."""
        revision = opened.policy.revision or ""
        number = 0 if opened.release is None else opened.release.number
        # The release is part of the name: the same revision may be published again under a newer number.
        name = f"{revision[:DIRECTORY_DIGITS]}-{number}"
        folder = self.directory / name
        if not (folder / "policy" / MANIFEST).exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_files(opened.files, folder / "policy")
            if opened.release_bytes is not None:
                atomic_write(folder / RELEASE, opened.release_bytes)
        previous = remembered.current if remembered.current != name else remembered.previous
        return self.write(Remembered(name, previous, max(number, remembered.release)))

    def write(self, remembered: Remembered) -> Remembered:
        value: dict[str, Any] = remembered._asdict()
        atomic_write(self.directory / _STATE, jsonio.dumps(value))
        for entry in self.directory.iterdir():
            if entry.is_dir() and _is_name(entry.name) and entry.name not in (remembered.current, remembered.previous):
                shutil.rmtree(entry, ignore_errors=True)
        return remembered


def _is_name(name: Any) -> bool:
    """A directory that `keep` made: hex digits, a dash, digits; never a path."""
    if name is None:
        return True
    if not isinstance(name, str):
        return False
    revision, dash, number = name.partition("-")
    return (
        bool(dash)
        and number.isdecimal()
        and len(revision) == DIRECTORY_DIGITS
        and set(revision) <= set("0123456789abcdef")
    )
