"""Which folders of this machine are copies of what lies at an address: people are told the
address."""

from __future__ import annotations

from pathlib import Path

_MOST = 256
_SHOWN: dict[str, str] = {}


def stands_for(folder: Path, address: str) -> None:
    """From now on `told` says `address` where a text names `folder`; the last few hundred are
    known."""
    _SHOWN.pop(str(folder), None)
    _SHOWN[str(folder)] = address
    while len(_SHOWN) > _MOST:
        del _SHOWN[next(iter(_SHOWN))]


def told(text: str) -> str:
    """A text for people, with addresses instead of the folders that copy them."""
    for folder in sorted(_SHOWN, key=len, reverse=True):
        text = text.replace(folder, _SHOWN[folder])
    return text


def address_of(path: Path) -> str | None:
    """The address that a file or folder of a copy has; None for any other."""
    shown = told(str(path))
    return None if shown == str(path) else shown


def copies_of(address: str) -> list[Path]:
    """The folders that copy what lies at `address`, or would be there beneath a copy."""
    address = address.rstrip("/")
    found = [(Path(folder), root) for folder, root in _SHOWN.items()]
    return [
        folder / address.removeprefix(root).lstrip("/")
        for folder, root in found
        if address == root or address.startswith(root + "/")
    ]
