"""What router_lab asks of a store of objects: list, read, and put one object whole.

fsspec knows how each kind of store is asked. A put is whole or not there, so nothing here renames
or syncs; and a put can demand what it replaces (`expected`), so that two writers never lose each
other's work unseen.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from router_lab.runtime.errors import InputError

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Which extra of this package a kind of address needs."""
ONE_PUT: Final = 5 << 30
"""Bytes that S3 takes in a single put."""
CREATE: Final = ("s3", "s3a", "gs", "gcs", "memory")
"""Whose library can put an object only where none is."""
LONGEST_NAME: Final = 255
"""Bytes of a file's name, which disks of every system take."""
ABSENT: Final = ""
"""The stamp of what is not there."""
_DIGESTS = ("ETag", "etag", "generation", "md5Hash")
"""What other bytes have another of; a store without them says when an object was made, and its
size."""
_TIMES = ("LastModified", "mtime", "created")


class Entry(NamedTuple):
    """An object of a store. stamp: other bytes have another; size: in bytes; modified: seconds
    since 1970, or None."""

    stamp: str
    size: int
    modified: float | None


class ChangedThereError(Exception):
    """An object is not the one that a put or a deletion was to replace."""


class UnlistedError(InputError):
    """The names of what is at an address may not be seen, whatever else may be done there."""


class Store:
    """What lies beneath an address: objects by their names from there, as `a/b.json`.

    Raises InputError for a kind of address that nothing installed can read, and in every method
    for what the store refuses.
    """

    def __init__(self, address: str) -> None:
        scheme, _, rest = address.rstrip("/").partition("://")
        if any(part in ("", ".", "..") for part in rest.split("/")):
            raise InputError(
                f"{address}: an address is a bucket and names, with one / between them; none may be empty, . or .."
            )
        _refuse_version(address, rest)
        if (long := _too_long(rest)) is not None:
            raise InputError(f"{address}{long}; name another address")
        self.scheme = scheme.lower()
        self.address = f"{self.scheme}://{rest}"
        self._fs, root = _opened(self.address, self.scheme)
        self._root = root.rstrip("/")

    def entries(self, *, deep: bool = True) -> dict[str, Entry]:
        """Every object beneath; without `deep` none of a folder beneath. Empty where nothing is
        there."""
        with self._telling("listed"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._root, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return {}
            except Exception as error:
                if not _is_forbidden(error):
                    raise
                raise UnlistedError(f"{self.address}: may not be listed: {_words(error)}") from error
        names = {path: path.removeprefix(self._root).lstrip("/") for path in found}
        there = {
            names[path]: _entry(info)
            for path, info in sorted(found.items())
            if info["type"] == "file" and names[path] and not _is_marker(names[path], info)
            if deep or _fault(names[path]) is None
        }
        self._refuse(there)
        return there

    def _refuse(self, there: Mapping[str, Entry]) -> None:
        """InputError for names that a folder of files cannot have."""
        for name in there:
            fault = _fault(name)
            if fault is not None:
                raise InputError(f"{self.address}: holds an object named {name[:200]!r}{fault}; move it away")
            cuts = (at for at, letter in enumerate(name) if letter == "/")
            above = next((name[:at] for at in cuts if name[:at] in there), None)
            if above is not None:
                raise InputError(
                    f"{self.address}: holds an object named {above!r} and others in a folder of that name ({name[:200]!r}), "
                    "which files cannot be at once; move one of them away"
                )

    def entry(self, name: str) -> Entry | None:
        """The object `name`; None where there is none, or a folder."""
        with self._telling("looked at", name):
            self._fs.invalidate_cache()
            try:
                info = self._fs.info(self._path(name))
            except FileNotFoundError:
                return None
        return _entry(info) if info["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """The bytes of the object `name`."""
        with self._telling("read", name):
            data: bytes = self._fs.cat_file(self._path(name))
        return data

    def fetch(self, targets: Mapping[str, Path]) -> None:
        """Write objects into files, several at once where the store can do that."""
        with self._telling("read"):
            if targets:
                self._fs.get([*map(self._path, targets)], [str(path) for path in targets.values()])

    def write(self, name: str, data: bytes, expected: str) -> str:
        """Put `data` in place of the object with the stamp `expected` (ABSENT: of none); returns
        the new stamp.

        Raises ChangedThereError where another is there. S3 and Google's store decide that
        themselves, with others it is looked at just before.
        """
        more: dict[str, Any] = {}
        if expected == ABSENT and self.scheme in CREATE:
            more["mode"] = "create"
        elif self.scheme in ("s3", "s3a") and expected.startswith('"'):
            more["IfMatch"] = expected
        else:
            self._demand(name, expected)
        if self.scheme in ("s3", "s3a"):
            more["chunksize"] = ONE_PUT
        with self._telling("written", name):
            try:
                said = self._fs.pipe_file(self._path(name), data, **more)
            except Exception as error:
                if _was_refused(error, expected):
                    raise ChangedThereError(name) from error
                raise
        stamp = said.get("ETag") if isinstance(said, dict) else None
        if stamp is None:
            found = self.entry(name)
            stamp = ABSENT if found is None else found.stamp
        return str(stamp)

    def delete(self, name: str, expected: str) -> None:
        """Remove the object with the stamp `expected`; nothing where none is there. Raises
        ChangedThereError where it is another by now."""
        found = self.entry(name)
        if found is None:
            return
        if found.stamp != expected:
            raise ChangedThereError(name)
        with self._telling("deleted", name):
            self._fs.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _demand(self, name: str, expected: str) -> None:
        found = self.entry(name)
        if (ABSENT if found is None else found.stamp) != expected:
            raise ChangedThereError(name)

    @contextmanager
    def _telling(self, what: str, name: str = "") -> Iterator[None]:
        """Every kind of store has errors of its own: they are one to a user."""
        where = f"{self.address}/{name}".rstrip("/")
        try:
            yield
        except (InputError, ChangedThereError):
            raise
        except Exception as error:  # of the store's library, whichever that is
            raise InputError(f"{where}: cannot be {what}: {_words(error)}") from error


def _words(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {' '.join(str(error).split())[:300] or name}"


def _is_forbidden(error: Exception) -> bool:
    """Whether a store knows who asks, and refuses it."""
    codes = {getattr(error, name, None) for name in ("code", "status", "status_code")}
    return isinstance(error, PermissionError) or bool(codes & {403, "403"})


def _opened(address: str, scheme: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{address}: {_missing(scheme)}") from None
    try:
        fs, root = fsspec.url_to_fs(address)
    except ImportError:
        raise InputError(f"{address}: {_missing(scheme)}") from None
    except ValueError as error:
        raise InputError(f"{address}: {error}; docs/addresses.md names what works") from None
    return fs, str(root)


def _missing(scheme: str) -> str:
    extra = EXTRAS.get(scheme)
    if extra is None:
        return f"{scheme}:// needs a library that fsspec names: pip install fsspec, and see docs/addresses.md"
    return f"{scheme}:// needs an extra that is not installed: pip install 'router-lab[{extra}]'"


def _entry(info: Mapping[str, Any]) -> Entry:
    # A listing may say as a number what a look at one object says as a moment.
    found = {k: v.timestamp() if isinstance(v, dt.datetime) else v for k, v in info.items()}
    stamp = next((found[key] for key in _DIGESTS if found.get(key)), None)
    if stamp is None:
        stamp = "|".join(f"{key}={found[key]}" for key in (*_TIMES, "size") if found.get(key) is not None)
    modified = next((found[key] for key in _TIMES if isinstance(found.get(key), float | int)), None)
    return Entry(str(stamp), int(found.get("size") or 0), modified)


def _fault(name: str) -> str | None:
    """Why a key is no path on this machine, which may be any text in a store: it would leave the
    folder, or is too long. None where it is one."""
    leaves = any(part in ("", ".", "..") for part in name.split("/"))
    if leaves or "\0" in name or (os.sep == "\\" and "\\" in name):
        return ", which no file can be"
    return _too_long(name)


def _too_long(name: str) -> str | None:
    most = max(len(part.encode("utf-8", "surrogateescape")) for part in name.split("/"))
    if most <= LONGEST_NAME:
        return None
    return f": a part of the name has {most:,} bytes, and the name of a file {LONGEST_NAME} at most"


def _refuse_version(address: str, rest: str) -> None:
    if "?versionid=" in rest.lower():
        raise InputError(
            f"{address}: `?versionId=` names an old version of an object, and only the newest are read and replaced; copy "
            "that version to a name of its own (`aws s3api get-object --version-id …`) and give that"
        )


def _is_marker(name: str, info: Mapping[str, Any]) -> bool:
    """Whether an object is what consoles make of a new folder: empty, with a name that ends in
    /."""
    return name.endswith("/") and not info.get("size")


def _was_refused(error: BaseException, expected: str) -> bool:
    """Whether a put failed for what is there already."""
    if isinstance(error, FileExistsError):
        return True
    if isinstance(error, FileNotFoundError):
        return expected != ABSENT and _code(error) == "NoSuchKey"
    codes = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
    return (
        _code(error) in codes
        or getattr(error, "code", None) in (412, 409)
        or getattr(error, "errno", 0) == errno.EEXIST
    )


def _code(error: BaseException) -> str | None:
    """What S3 calls a failure."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    found = response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None
    return None if found is None else str(found)
