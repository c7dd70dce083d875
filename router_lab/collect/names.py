"""Columns under other names: which of ours a user's column probably is, and what to write to say
so."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from router_lab.outcomes.columns import COLUMNS, REQUIRED

OURS = (*(c.name for c in COLUMNS if c.tables != "c" and c.name != "weight"), "vector")
"""Columns of an outcomes table that a table may bring (besides `signal_NAME`)."""
_SYNONYMS = {c.name: c.others for c in COLUMNS if c.others}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_PLAIN = {_plain(name): ours for ours, names in _SYNONYMS.items() for name in names.split()}
_PLAIN |= {_plain(name): name for name in OURS}
LIKELY = frozenset({*OURS, *(name for names in _SYNONYMS.values() for name in names.split())})
"""Names that the header of somebody's table is likely to hold."""


def ours_for(name: str) -> str | None:
    """The column of ours that `name` probably is: another way to write it, a usual name for it, or
    a slip of the pen.

    A name with a unit other than ours (`latency_ms`, `cost_cents`) is none: renaming it would
    change its figures.
    """
    if name in OURS or name.startswith("signal_"):
        return None
    if re.search(
        r"(?:^|[_\W])(?:ms|millis|milliseconds|minutes|cents?|eur|per_\w+|pct|percent)$", name.lower()
    ):
        return None
    plain = _plain(name)
    if plain in _PLAIN:
        return _PLAIN[plain]
    near = difflib.get_close_matches(plain, [_plain(ours) for ours in OURS], n=1, cutoff=0.82)
    return _PLAIN[near[0]] if near and len(plain) > 4 else None


def look_alikes(columns: Iterable[str]) -> dict[str, str]:
    """Column of ours → the column of the table that may be meant by it, for those that the table
    does not have."""
    present = list(columns)
    found: dict[str, str] = {}
    for name in present:
        ours = ours_for(name)
        if ours is not None and ours not in present:
            found.setdefault(ours, name)
    return found


def missing_columns(columns: Iterable[str], missing: Collection[str]) -> str:
    """What is said where columns of REQUIRED are not there: what to write for each that can be
    told."""
    present = list(columns)
    alike = {ours: name for ours, name in look_alikes(present).items() if ours in missing}
    hints = []
    if alike:
        hints.append(f"is it there under another name? {as_option(alike)}")
    if "suite" in missing and "suite" not in alike:
        hints.append("rows of one suite are named by --suite NAME")
    if {"model", "quality"} <= {*missing} - {*alike}:
        hints.append("a column for each model is read by --wide 'MODEL,MODEL'")
    if "sample_id" in missing and "sample_id" not in alike and "prompt" in present:
        hints.append("--map sample_id=prompt takes the prompt's own text")
    return (
        f"column {', '.join(c for c in REQUIRED if c in missing)} is missing; an outcomes table needs "
        f"{', '.join(REQUIRED)}; it has {listed(present)}" + "".join(f"; {hint}" for hint in hints)
    )


def as_option(pairs: dict[str, str]) -> str:
    """`--map` as it is written on a command line."""
    told = ",".join(f"{ours}={name}" for ours, name in pairs.items())
    return f"--map '{told}'" if re.search(r"[^\w=,.@/:-]", told) else f"--map {told}"


def no_such_column(name: str, columns: Iterable[str]) -> str:
    """What is said of a column that an option names and the table does not have."""
    present = list(columns)
    by_plain = {_plain(column): column for column in present}
    near = difflib.get_close_matches(_plain(name), list(by_plain), n=1, cutoff=0.7)
    return f"has no column {name!r}; " + (f"did you mean {by_plain[near[0]]!r}? " if near else "") + (
        f"it has {listed(present)}"
    )  # fmt: skip


def listed(columns: Iterable[str], most: int = 20) -> str:
    """Names of columns for a message."""
    names = list(columns)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
