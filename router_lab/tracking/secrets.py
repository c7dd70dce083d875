"""Keys do not go into MLflow: what is known to be one is taken out of text, and a file that holds one is not logged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HIDDEN = "[redacted]"
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|access[_-]?key|private[_-]?key|authorization|credentials?|passw(?:or)?d|pwd|secret|token)$"
    r"|apikey$"
)
_IN_TEXT = re.compile(
    r"(?i)\bbearer\s+[\w.~+/=-]{8,}|\bsk-[\w-]{16,}|(?<=://)[^/@\s\"']*:[^/@\s\"']+(?=@)"
    r"|(?<=api_key=)[^\s&\"',)]+|(?<=apikey=)[^\s&\"',)]+"
)


def secrets() -> tuple[str, ...]:
    """Values of the environment that are keys by their variable's name (`…_API_KEY`, `…_TOKEN`), the longest first."""
    found = {v for k, v in os.environ.items() if _SECRET_NAME.search(k) and _hard_to_guess(v)}
    return tuple(sorted(found, key=lambda v: (-len(v), v)))


def _hard_to_guess(value: str) -> bool:
    """No word that a page could hold by chance: `postgres` is some people's password."""
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return len(value) >= 12 or bool(mixed and len(value) >= 8)


def without_secrets(text: str, known: tuple[str, ...] | None = None) -> str:
    """`text` with every known secret, and whatever has the form of one, as `[redacted]`."""
    for value in secrets() if known is None else known:
        text = text.replace(value, HIDDEN)
    return _IN_TEXT.sub(HIDDEN, text)


def bare(value: Any, known: tuple[str, ...] | None = None) -> Any:
    """`value` (plain data) without secrets: entries whose name says that they are one, and texts that hold one."""
    known = secrets() if known is None else known
    if isinstance(value, Mapping):
        return {k: HIDDEN if _is_secret(str(k), v) else bare(v, known) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [bare(item, known) for item in value]
    return without_secrets(value, known) if isinstance(value, str) else value


def _is_secret(name: str, value: Any) -> bool:
    return bool(_SECRET_NAME.search(name)) and isinstance(value, str) and value != ""


def holding_secrets(path: Path) -> Path | None:
    """The first file at or below `path` that holds a secret of the environment, or None."""
    known = [value.encode() for value in secrets()]
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return next((f for f in files if known and any(value in f.read_bytes() for value in known)), None)
