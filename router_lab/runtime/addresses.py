"""What the text of a path may be: a path, `file://`, or an address of a store, which the runtime
does not read itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from router_lab.runtime.errors import InputError, RouterLabError

_EMPTY = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/+", re.IGNORECASE)
_FILE = re.compile(r"file:/", re.IGNORECASE)
# One slash is what pathlib leaves of two. A drive has one letter.
_ADDRESS = re.compile(r"(?!file:)([A-Za-z][A-Za-z0-9+.-]+):/+[^/]", re.IGNORECASE)


def is_address(given: object) -> bool:
    """Whether `given`, as a text, names a place in a store: `s3://bucket/logs`."""
    return _ADDRESS.match(str(given)) is not None


def local_path(given: str | os.PathLike[str], error: type[RouterLabError] = InputError) -> Path:
    """`given` as a path of this machine; `file:///a%20b` is `/a b`.

    Raises InputError, or `error`, for an address of a store, for one that names no bucket, and for
    a `file://` of another machine.
    """
    text = os.fspath(given)
    if is_address(text):
        raise error(
            f"{text}: is an address, and here a folder or file of this machine is needed; "
            "`router_lab.places.fetched` copies what is there, `router_lab.places.copy` puts back what changes, and a "
            "PolicyStore takes `router_lab.places.follow(…)` (pip install 'router-lab[s3]', docs/addresses.md)"
        )
    if _EMPTY.fullmatch(text) is not None:
        raise error(f"{text}: names no bucket; write {text.partition(':')[0]}://bucket/name")
    if _FILE.match(text) is None:
        return Path(given)
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise error(f"{text}: is a file of the machine {parts.netloc!r}; write file:///… with three slashes")
    return Path(url2pathname(unquote(parts.path) if os.name == "posix" else parts.path))
