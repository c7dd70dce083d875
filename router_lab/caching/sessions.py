"""Recorded sessions, turn by turn, of every candidate that went through the same sample."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd

from router_lab.prices import Tokens, utc
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import COUNTED
from router_lab.runtime.model import Candidate

Key = tuple[str, str, int]
"""Suite, sample and epoch."""
Texts = Mapping[tuple[Key, Candidate, int], str]
"""What a runtime would be asked with, by sample, candidate and turn (from 0)."""
NEEDED = ("suite", "sample_id", "model", "turn", "input_tokens", "output_tokens", "started_at")


class Turn(NamedTuple):
    """One recorded call. model: whose prices hold. wait: seconds until the next turn of the same
    session began; None for its last. text: what a runtime would be asked with."""

    model: str
    tokens: Tokens
    started: dt.datetime
    wait: float | None
    text: str


class Session(NamedTuple):
    """A sample, and for each candidate that was recorded on it the turns that it took (`lanes`)."""

    key: Key
    lanes: Mapping[Candidate, tuple[Turn, ...]]

    @property
    def name(self) -> str:
        """Tells sessions apart: a key to draw chance by."""
        return "/".join(map(str, self.key))


def sessions_of(calls: pd.DataFrame, texts: Texts | None = None) -> list[Session]:
    """The sessions of a calls table: the candidates' own calls of each last attempt.

    texts: of turns; "" for those that are not in it. Candidates whose calls lack a figure of
    tokens, in any turn, have no lane. Raises InputError for a table without a needed column.
    """
    missing = [column for column in NEEDED if column not in calls.columns]
    if missing:
        raise InputError(
            f"calls: column {', '.join(missing)} is missing; sessions are priced by {', '.join(NEEDED)}; "
            "`router-lab collect` writes such a calls.parquet from logs"
        )
    own = calls[calls["role"].isna()] if "role" in calls.columns else calls
    found: dict[Key, dict[Candidate, list[Mapping[Any, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in own.to_dict("records"):
        key = str(row["suite"]), str(row["sample_id"]), _count(row.get("epoch"), 1)
        found[key][Candidate.of({str(k): v for k, v in row.items()})].append(row)
    sessions = []
    for key in sorted(found):
        lanes = {
            candidate: lane
            for candidate, rows in sorted(found[key].items())
            if (lane := _lane(key, candidate, rows, texts or {}))
        }
        sessions.append(Session(key, lanes))
    return sessions


def _lane(key: Key, candidate: Candidate, rows: list[Mapping[Any, Any]], texts: Texts) -> tuple[Turn, ...]:
    last = max(_count(row.get("attempt"), 1) for row in rows)
    kept = [row for row in rows if _count(row.get("attempt"), 1) == last]
    kept.sort(key=lambda row: int(row["turn"]))
    tokens = [_tokens(row) for row in kept]
    begun = [utc(str(row["started_at"])) for row in kept]
    if any(one is None for one in tokens):
        return ()
    waits = [(after - at).total_seconds() for at, after in pairwise(begun)]
    return tuple(
        Turn(
            _text(row.get("call_model")) or candidate.model,
            known,
            at,
            wait,
            texts.get((key, candidate, number), ""),
        )
        for number, (row, known, at, wait) in enumerate(zip(kept, tokens, begun, [*waits, None], strict=True))
        if known is not None
    )


def _tokens(row: Mapping[Any, Any]) -> Tokens | None:
    if pd.isna(row["input_tokens"]) or pd.isna(row["output_tokens"]):
        return None
    return Tokens(**{kind.name: _count(row.get(kind.column), 0) for kind in COUNTED})


def _count(value: Any, otherwise: int) -> int:
    return otherwise if value is None or pd.isna(value) else int(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
