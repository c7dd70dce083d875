"""Files of traces to calls: which format a file is, and every record of it read, named or
counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from router_lab.runtime.errors import InputError, shown
from router_lab.traces.call import Problem, TracedCall, Traces
from router_lab.traces.fields import flat, text
from router_lab.traces.formats import FORMATS
from router_lab.traces.records import Record, files_of, records_of

LOOKED_AT = 50
"""Records of a file by which its format is told."""


def read_traces(sources: Sequence[Path], *, format: str | None = None, route: str | None = None) -> Traces:
    """The model calls in files, or in the files of folders.

    format: a name in FORMATS; None = told by the records of each file. route: a dotted name of the
    metadata whose value is the route, instead of what the format takes.

    A record that appears twice (same trace and span id, in whichever file) counts once. Raises
    InputError for a file that cannot be opened, and where no file holds a call.
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
        formats[str(path)] = name
        found, broken, others = _read(name, records, str(path))
        calls += found
        problems += broken
        left += others
    kept, twice = _once(calls)
    left += Counter({"a call that was read before (same id)": twice} if twice else {})
    if not kept:
        raise InputError(_nothing(sources, problems, left))
    named = kept if route is None else [_rerouted(call, route) for call in kept]
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
    return calls, [*other, *wrong], left


def _once(calls: Sequence[TracedCall]) -> tuple[list[TracedCall], int]:
    seen: set[tuple[str | None, str]] = set()
    kept = []
    for call in calls:
        if call.span is not None and (call.trace, call.span) in seen:
            continue
        if call.span is not None:
            seen.add((call.trace, call.span))
        kept.append(call)
    return kept, len(calls) - len(kept)


def _rerouted(call: TracedCall, route: str) -> TracedCall:
    found = text(dict(flat(dict(call.metadata))).get(route))
    return call if found is None else replace(call, route=found)


def _unknown(records: Sequence[Record]) -> str:
    keys = sorted(map(str, records[0].value))[:8] if records else []
    known = ", ".join(FORMATS)
    return f"is none of the formats {known}; its first record has {shown(keys, 200)} (--format names one)"


def _nothing(sources: Sequence[Path], problems: Sequence[Problem], left: Counter[str]) -> str:
    where = ", ".join(map(str, sources[:3])) + (" …" if len(sources) > 3 else "")
    why = [f"{p.file}: {p.place}: {p.rule}" for p in problems[:1]] + [
        f"{n:,} × {reason}" for reason, n in left.most_common(2)
    ]
    return f"{where}: no model call was read; {'; '.join(why) or 'there is no record'}"
