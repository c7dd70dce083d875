"""Acknowledgements: each host's store says in a file which release it took or refused, for who
publishes to read."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import NamedTuple

from router_lab.runtime import jsonio
from router_lab.runtime.errors import InputError, PolicyError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.reading import SMALL, read_bytes


class Ack(NamedTuple):
    """`revision` and `release` serve on a host since `at` (UTC seconds); `refused`: why the
    source's are not taken."""

    revision: str | None
    release: int
    at: float
    refused: str | None = None


def write_ack(path: str | PathLike[str], ack: Ack) -> Path:
    """Replace the file `path`. Raises OSError."""
    return atomic_write(path, jsonio.dumps(ack._asdict()))


def read_acks(folder: str | PathLike[str]) -> dict[str, Ack]:
    """What the hosts say whose stores write into `folder` (`PolicyStore(ack=folder/"host.json")`),
    by the file's name without `.json`. Raises InputError for a file that is no acknowledgement."""
    found = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            row = jsonio.loads(read_bytes(path, SMALL), path.name)
            found[path.stem] = Ack(row["revision"], int(row["release"]), float(row["at"]), row["refused"])
        except (OSError, PolicyError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is no acknowledgement of a PolicyStore: {error}") from error
    return found
