"""The `request` column of a table: what each candidate was really asked with, where no log says
it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from router_lab.outcomes.candidates import by_row
from router_lab.runtime.clients import APIS
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate

REQUEST = "request"
UNSAID: dict[str, Any] = {"api": None, "arguments": {}, "reason": "its outcomes on this suite do not say"}
"""The request on a suite of which nothing is said, where something is said of another."""
KEYS = ("api", "arguments", "system", "few_shot", "content")


def take_requests(out: pd.DataFrame, where: str) -> dict[Any, Any]:
    """`out.attrs` with the requests of `out["request"]` at their candidates; the column goes.

    A cell is null, or an object (in CSV its JSON) of `api` and `arguments`, perhaps `system` and
    `few_shot`, the same in all rows of a candidate and suite; one row of these may say it for all.
    Raises InputError naming the row.
    """
    found: dict[Candidate, dict[str, dict[str, Any]]] = defaultdict(dict)
    unsaid: dict[Candidate, set[str]] = defaultdict(set)
    rows = zip(out.index, by_row(out), out["suite"], out.pop(REQUEST), strict=True)
    for label, who, suite, cell in rows:
        request = _read(cell, f"{where}: {out.index.name or 'row'} {label}")
        of = found[who]
        if request is None:
            unsaid[who].add(str(suite))
        elif of.setdefault(str(suite), request) != request:
            raise InputError(
                f"{where}: {out.index.name or 'row'} {label}: `request` differs from that of an earlier row of "
                f"{who.model!r} on suite {suite!r}; two requests are two candidates: give one an `effort` of its own"
            )
    known = {Candidate.of(row): dict(row) for row in out.attrs.get("candidates", ())}
    said = {name: by_suite for name, by_suite in found.items() if by_suite}
    for name, by_suite in said.items():
        whole = {**dict.fromkeys(sorted(unsaid[name]), UNSAID), **by_suite}
        known.setdefault(name, name.named())["request"] = one_request(dict(sorted(whole.items())))
    return {**out.attrs, "candidates": list(known.values())} if said else dict(out.attrs)


def one_request(by_suite: Mapping[str, dict[str, Any]]) -> dict[str, object]:
    """One request of a candidate from those of its suites; requests that differ between them stand
    under `suites`."""
    requests = list(by_suite.values())
    if all(request == requests[0] for request in requests):
        return requests[0]
    shared = {k: v for k, v in requests[0].items() if all(r.get(k) == v for r in requests)}
    empty: dict[str, Any] = {"api": None, "arguments": {}, "system": None, "few_shot": []}
    return {**empty, **shared, "suites": dict(by_suite)}


def merged(frames: Sequence[pd.DataFrame]) -> dict[Candidate, dict[str, Any]]:
    """The request of each candidate from several tables: what one says of a suite does not hold
    for another's suites.

    Where two say different things of one suite, or one of them nothing, no request is what was
    measured there.
    """
    found: dict[Candidate, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        said = {Candidate.of(c): c.get("request") or UNSAID for c in frame.attrs.get("candidates", ())}
        for who, suite in dict.fromkeys(zip(by_row(frame), frame["suite"], strict=True)):
            request = said.get(who, UNSAID)
            found[who][suite].append((request.get("suites") or {suite: request}).get(suite, UNSAID))
    return {
        name: one_request({suite: joined(requests) for suite, requests in sorted(by_suite.items())})
        for name, by_suite in found.items()
        if any(request is not UNSAID for requests in by_suite.values() for request in requests)
    }


def joined(requests: Sequence[dict[str, Any]]) -> dict[str, object]:
    """One request from those of several sources of one candidate and suite."""
    first = requests[0]
    if all(request == first for request in requests):
        return first
    kept = next((request for request in requests if request.get("reproducible") is False), None)
    reason = kept["reason"] if kept else "it was sent in different frames, or with different settings"
    reason = (
        reason if UNSAID not in requests else "a part of its outcomes does not say how they were asked for"
    )
    return {key: value for key, value in first.items() if key != "content"} | {
        "reproducible": False,
        "reason": reason,
    }


def _read(cell: Any, where: str) -> dict[str, Any] | None:
    try:
        value = decode(cell) if isinstance(cell, str) else cell
    except ValueError as error:
        raise InputError(f"{where}: `request` is not JSON: {error}") from None
    if value is None or (not isinstance(value, dict) and pd.isna(value)):
        return None
    if not isinstance(value, dict) or not value.keys() <= set(KEYS):
        raise InputError(
            f"{where}: `request` is {str(value)[:80]!r}; it must be an object of {', '.join(KEYS)}"
        )
    if value.get("api") not in APIS or not isinstance(value.get("arguments"), dict):
        raise InputError(
            f"{where}: `request` needs `api`, one of {', '.join(APIS)}, and `arguments`, an object of what that SDK's "
            f"method was called with; api is {value.get('api')!r}"
        )
    # Parquet fills up the objects of a column with nulls.
    arguments = {key: item for key, item in value["arguments"].items() if item is not None}
    return {key: item for key, item in value.items() if item is not None} | {"arguments": arguments}
