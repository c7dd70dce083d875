"""Files of traces to calls: which format a file is, and every record of it read, named or
counted."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from router_lab.runtime.errors import InputError, RouterLabWarning, shown
from router_lab.traces.call import Problem, TracedCall, Traces
from router_lab.traces.fields import flat, text
from router_lab.traces.formats import FORMATS
from router_lab.traces.records import Record, files_of, records_of

LOOKED_AT = 50
"""Records of a file by which its format is told."""
NO_TIME = "counts, without a day: its start is no time, such as 2026-01-31T12:00:00Z or seconds since 1970"
NAMED = 12
"""Names of metadata that are told where none is the route's."""


def read_traces(sources: Sequence[Path], *, format: str | None = None, route: str | None = None) -> Traces:
    """The model calls in files, or in the files of folders.

    format: a name in FORMATS; None = told by the records of each file. route: a dotted name of the
    metadata whose value is the route, instead of what the format takes; calls without it keep that,
    and a warning counts them.

    A record that appears twice (same trace and span id, in whichever file; of one without a trace,
    whose id may be a row's number, all that it says as well) counts once. Raises
    InputError for a file that cannot be opened, where no file holds a call, and for a route that no
    call has.
    """
    calls, problems, left = list[TracedCall](), list[Problem](), Counter[str]()
    formats = dict[str, str]()
    for path in files_of(tuple(sources)):
        records, wrong = records_of(path)
        problems += wrong
        name = format or sniffed(records)
        if name is None:
            if records or not wrong:
                problems.append(Problem(str(path), "the file", _unknown(records)))
            continue
        if format is not None and not all(claimed := [FORMATS[name].claims(one.value) for one in records]):
            problems.append(Problem(str(path), "the file", _forced(format, records)))
            if not any(claimed):
                continue
        formats[str(path)] = name
        found, broken, others = _read(name, records, str(path))
        calls += found
        problems += broken
        left += others
    kept, twice = _once(calls)
    left += Counter({"a call that was read before (same id)": twice} if twice else {})
    if not kept:
        raise InputError(_nothing(sources, problems, left))
    named = kept if route is None else _rerouted(kept, route)
    return Traces(tuple(named), tuple(problems), left, formats)


def sniffed(records: Sequence[Record]) -> str | None:
    """The format that claims most of the first records, the first of FORMATS if several do."""
    votes = Counter(
        next((name for name, one in FORMATS.items() if one.claims(record.value)), None)
        for record in records[:LOOKED_AT]
    )
    del votes[None]
    return max(FORMATS, key=lambda name: votes[name]) if votes else None


def _read(
    name: str, records: Sequence[Record], file: str
) -> tuple[list[TracedCall], list[Problem], Counter[str]]:
    """Records that another format would claim are problems, as are those that no format does."""
    one = FORMATS[name]
    own = [record for record in records if one.claims(record.value)]
    rule = f"is no record of the format `{name}` as which the file is read (--format names another)"
    other = [Problem(file, record.place, rule) for record in records if not one.claims(record.value)]
    calls, wrong, left = one.read(own, file)
    timeless = [Problem(file, c.place, f"{NO_TIME}: {c.begun}") for c in calls if c.begun is not None]
    return calls, [*other, *wrong, *timeless], left


def _once(calls: Sequence[TracedCall]) -> tuple[list[TracedCall], int]:
    seen: set[tuple[object, ...]] = set()
    kept = []
    for call in calls:
        key: tuple[object, ...] = (call.trace, call.span)
        if call.trace is None:
            key += (call.model, call.started, call.request, call.tokens, call.answer)
        if call.span is not None and key in seen:
            continue
        seen.add(key)
        kept.append(call)
    return kept, len(calls) - len(kept)


def _rerouted(calls: Sequence[TracedCall], route: str) -> list[TracedCall]:
    metadata = [dict(flat(dict(call.metadata))) for call in calls]
    found = [text(own.get(route)) for own in metadata]
    lacking = found.count(None)
    if lacking == len(calls):
        known = Counter(name for own in metadata for name, value in own.items() if text(value) is not None)
        names = ", ".join(shown(name, 60) for name, _ in known.most_common(NAMED)) or "no metadata at all"
        more = f", and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
        raise InputError(f"--route {shown(route)}: no call has it; calls have {names}{more}")
    if lacking:
        text_ = f"--route {shown(route)}: {lacking:,} of {len(calls):,} calls have none, and keep the route of their format"
        warnings.warn(RouterLabWarning(text_), stacklevel=3)
    return [c if own is None else replace(c, route=own) for c, own in zip(calls, found, strict=True)]


def _forced(format: str, records: Sequence[Record]) -> str:
    """Of a file that holds what the format that is named for it does not know."""
    looks, asked = sniffed(records), f"was to be read as `{format}` (--format {format})"
    if looks is None:
        return f"{asked}, and {_unknown(records)}"
    if looks == format:
        return f"{asked}, and holds records of no such format, too"
    return f"{asked}, and looks like `{looks}` ({FORMATS[looks].what}): leave --format out, or name `{looks}`"


def _unknown(records: Sequence[Record]) -> str:
    keys = sorted(map(str, records[0].value))[:8] if records else []
    known = ", ".join(FORMATS)
    return f"is none of the formats {known}; its first record has {shown(keys, 200)} (--format names one)"


def _nothing(sources: Sequence[Path], problems: Sequence[Problem], left: Counter[str]) -> str:
    where = ", ".join(map(str, sources[:3])) + (" …" if len(sources) > 3 else "")
    problems = sorted(problems, key=lambda one: one.place != "the file")  # which says most
    why = [f"{p.file}: {p.place}: {p.rule}" for p in problems[:1]] + [
        f"{n:,} × {reason}" for reason, n in left.most_common(2)
    ]
    return f"{where}: no model call was read; {'; '.join(why) or 'there is no record'}"
