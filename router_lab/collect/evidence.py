"""Which of several logs' rows count, and what of them is no evidence: named, by kind and
candidate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.collect.logs import LogRows, LogSource, unrun_rows
from router_lab.collect.status import CANCELLED, UNRUN, UNSCORED
from router_lab.outcomes import SCORED
from router_lab.outcomes.candidates import by_row
from router_lab.outcomes.schema import INVALIDATED
from router_lab.providers.failures import Failure, of_sample, reason_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

Note = tuple[str, str]
"""A log and why it, or what in it, does not count."""
RowKey = tuple[str, str, int, Candidate]
RANK = {"success": 2, "cancelled": 1, "error": 1}
"""A finished log's rows go before those of one that was stopped, and these before a dead
process's."""
EXAMPLES = 3


def standing_logs(sources: Sequence[LogSource]) -> tuple[list[LogSource], list[Note]]:
    """The logs to read, oldest first, without those that a later finished log of the same task has
    gone on from."""
    chains: dict[tuple[Any, ...], list[LogSource]] = defaultdict(list)
    for source in sorted(sources, key=_age):
        task = source.log.spec.get("task_id") or source.log.path
        chains[task, source.suite_name, source.candidate, source.settings_sha].append(source)
    kept: list[LogSource] = []
    notes: list[Note] = []
    for chain in chains.values():
        last = max((i for i, source in enumerate(chain) if source.log.status == "success"), default=0)
        kept += chain[last:]
        notes += [(old.log.path.name, f"superseded by {chain[last].log.path.name}") for old in chain[:last]]
    return sorted(kept, key=_age), notes


def standing_rows(
    logs: Sequence[LogRows],
) -> tuple[list[tuple[dict[str, Any], list[dict[str, Any]]]], list[Note]]:
    """The rows of all logs, one for each sample, epoch and candidate, as far as logs do not
    contradict each other.

    Evidence goes before what is none; a finished log's before a stopped one's; of one task's logs
    the latest. A run that a person has invalidated counts in no log. Two finished logs of one
    candidate are left to validation, which refuses them.
    """
    invalid = {
        row["uuid"]
        for log in logs
        for row, _ in log.rows
        if row["uuid"] and is_kind(row["reason"], INVALIDATED)
    }
    found: dict[RowKey, list[tuple[LogRows, int]]] = defaultdict(list)
    for log in logs:
        for index, (row, _) in enumerate(log.rows):
            found[_key(row)].append((log, index))
    dropped: dict[tuple[str, str], int] = defaultdict(int)
    rows = []
    for places in found.values():
        kept = _best(places, invalid) if len(places) > 1 else places
        rows += [log.rows[index] for log, index in kept]
        for log, _ in (place for place in places if place not in kept):
            dropped[log.source.log.path.name, kept[0][0].source.log.path.name] += 1
    return rows, [(log, f"{n} samples are taken from {other}") for (log, other), n in dropped.items()]


def _best(places: Sequence[tuple[LogRows, int]], invalid: set[str]) -> Sequence[tuple[LogRows, int]]:
    """Those of the rows of one key that count; `places` are oldest first."""

    def rank(place: tuple[LogRows, int]) -> tuple[bool, int]:
        row = place[0].rows[place[1]][0]
        return row["status"] in SCORED and row["uuid"] not in invalid, RANK.get(place[0].source.log.status, 0)

    best = max(map(rank, places))
    equal = [place for place in places if rank(place) == best]
    tasks = {place[0].source.log.spec.get("task_id"): place for place in equal}  # the latest of each task
    return list(tasks.values()) if best[0] else equal[-1:]


def unbegun_rows(logs: Sequence[LogRows], made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows (`budget`) for the samples that a log's dataset has, that it never began, and that are
    not among `made`."""
    rows: dict[RowKey, dict[str, Any]] = {}
    for log in logs:
        ids = [str(name) for name in (log.source.log.spec.get("dataset") or {}).get("sample_ids") or []]
        begun = {(row["sample_id"], row["epoch"]) for row, _ in log.rows}
        rows |= {
            _key(row): row
            for row in unrun_rows(log.source, ids, begun, f"{UNRUN}: {why_unbegun(log.source)}")
        }
    seen = set(map(_key, made))
    return [row for key, row in rows.items() if key not in seen]


def was_used(source: LogSource) -> bool:
    """Whether a log may hold a paid call: where the model was misnamed, or the key refused, it has
    none, and such a model need not have a price."""
    used = (source.log.header.get("stats") or {}).get("model_usage")
    return bool(source.log.count) and (source.log.status == "success" or used is None or bool(used))


def died(read: Sequence[LogRows]) -> list[Note]:
    """Logs without a single sample."""
    return [
        (
            log.source.log.path.name,
            f"died before its first sample ({log.source.log.status}): {why_unbegun(log.source)}",
        )
        for log in read
        if not log.rows
    ]


def why_unbegun(source: LogSource) -> str:
    """What kept samples of a log from being begun."""
    header = source.log.header
    if source.log.status == "error":
        failure = of_sample({"error": header.get("error")}) or Failure(text="an error")
        return f"the log ended early: {reason_of(failure, most=120)}"
    if source.log.status == "success":
        early = (header.get("results") or {}).get("early_stopping")
        return (
            "the eval was stopped early, as it was set up" if early else "the finished log does not hold them"
        )
    return (
        "the log was cancelled"
        if source.log.status == "cancelled"
        else "the log is unfinished: its process died, or is still running"
    )


def refuse_two_scorers(logs: Sequence[LogRows]) -> None:
    """Raise InputError for a suite of which two logs are judged by two scorers that nobody has
    named."""
    first: dict[str, LogRows] = {}
    for log in logs:
        if log.scorer is None or log.source.suite.scorer is not None:
            continue
        other = first.setdefault(log.source.suite_name, log)
        if other.scorer != log.scorer:
            raise InputError(
                f"suite `{log.source.suite_name}`: {_by(other)}, {_by(log)}; the qualities of two scorers cannot be "
                "compared: name one for all with `scorer:` of the suite (suites.yaml, --suites)"
            )


def _by(log: LogRows) -> str:
    return f"{log.source.log.path.name} is judged by `{log.scorer}`"


def left_out(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What in an outcomes table is no evidence: kind, suite, candidate, number and a few sample
    ids, and a reason.

    Rows that money or a race left out are no part of it.
    """
    rows = frame[~frame["status"].isin(SCORED)]
    groups: dict[tuple[str, str, Candidate], list[tuple[str, str]]] = defaultdict(list)
    reasons = rows["reason"] if "reason" in rows else pd.Series("", index=rows.index)
    columns = (rows["status"], reasons, rows["suite"], by_row(rows), rows["sample_id"])
    for status, reason, suite, who, sample in zip(*columns, strict=True):
        said = reason if isinstance(reason, str) else ""
        kind = kind_of(status, said)
        if kind is not None:
            groups[kind, suite, who].append((sample, said))
    return [
        {"kind": kind, "suite": suite, **who.named(), "n": len(found),
         "samples": list(dict.fromkeys(sample for sample, _ in found))[:EXAMPLES], "reason": found[0][1]}
        for (kind, suite, who), found in sorted(groups.items(), key=lambda item: str(item[0]))
    ]  # fmt: skip


def kind_of(status: str, reason: str) -> str | None:
    """`cancelled`, `invalidated`, `unscored`, `not run` or `lost`; None for what a budget or a
    race left out."""
    for kind in (CANCELLED, INVALIDATED, UNSCORED, UNRUN):
        if is_kind(reason, kind):
            return kind
    return "lost" if status == "infra" else None


def is_kind(reason: str | None, kind: str) -> bool:
    """Whether a reason is one of that kind: it begins so, and a colon or ` by ` comes next, if
    anything."""
    rest = (reason or "").removeprefix(kind) if (reason or "").startswith(kind) else None
    return rest is not None and (not rest or rest.startswith((":", " by ")))


def told(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """`left_out` in lines: `3 cancelled: m on s (s2, s3, s4)`, with the reason where the kind does
    not say it."""
    lines = []
    for one in found:
        more = ", …" if one["n"] > len(one["samples"]) else ""
        why = one["reason"].removeprefix(one["kind"]).removeprefix(":").strip()
        who = Candidate.of(one)
        lines.append(
            f"{one['n']} {one['kind']}: {who} on {one['suite']} ({', '.join(one['samples'])}{more})"
            + (f": {why}" if why else "")
        )
    return lines


def _key(row: Mapping[str, Any]) -> RowKey:
    return row["suite"], row["sample_id"], row["epoch"], Candidate.of(row)


def _age(source: LogSource) -> tuple[str, float, Path]:
    return str(source.log.spec.get("created") or ""), source.log.path.stat().st_mtime, source.log.path
