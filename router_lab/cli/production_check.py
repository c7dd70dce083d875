"""`report DECISIONS`: whether a policy's promise still holds. Exit status 0 it does, 3 it does
not, 4 not known yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from router_lab.certificate import Certificate
from router_lab.cli.common import (
    GATE_FAILED,
    INCONCLUSIVE,
    OK,
    echo,
    echo_block,
    open_policy,
    print_json,
    print_path,
    same_or_fail,
)
from router_lab.cli.outcomes_page import page_differences
from router_lab.outcomes.columns import WHO, candidate_columns
from router_lab.outcomes.tablefile import read_labels
from router_lab.report.production_check import ProductionCheck, production_check
from router_lab.report.production_check_findings import BROKEN, HOLDS
from router_lab.report.production_check_page import production_check_html
from router_lab.runtime.decisionfiles import log_parts
from router_lab.runtime.decisions import masked_id, read_decisions
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy


class Promise(TypedDict, total=False):
    """What a policy's certificate says that a log can be held against, as `production_check` takes
    it."""

    reference: Candidate
    margin: float | None
    confidence: float
    expected_suites: dict[str, float] | None
    expected_escalated: tuple[float, int] | None


@dataclass
class _Seen:
    """What is noted of the decisions while they are read: how many the promise does not speak of,
    by the reason, and the ids of those that were audited."""

    exceptions: Counter[str] = field(default_factory=Counter)
    audited: set[str] = field(default_factory=set)


def production_check_command(
    logs: list[Path], policies: list[Path], audit: Path | None, before: Path | None, html: Path | None,
    check: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run every check on the decision `logs`, print or write the answer, and exit with its
    status."""
    policy = open_policy(policies[0]) if policies else None
    result = _checked(logs, policy, audit, before)
    page = production_check_html(result, logs[0].stem if policy is None else policy.spec.name)
    if check is not None:
        same_or_fail(check, page_differences(check, page))
        return
    if html is not None:
        atomic_write(html, page.encode("utf-8", "replace"))
    if as_json:
        print_json({"verdict": result.verdict, **asdict(result)})
    else:
        echo_block(result.to_text())
    if html is not None:
        print_path(html)
    raise SystemExit({HOLDS: OK, BROKEN: GATE_FAILED}.get(result.verdict, INCONCLUSIVE))


def _checked(
    logs: list[Path], policy: Policy | None, audit: Path | None, before: Path | None
) -> ProductionCheck:
    """Every check's answer; what the logs hold that no check can use is a warning."""
    parts = list(dict.fromkeys(part for log in logs for part in log_parts(log)))
    if len(parts) > len(logs):
        echo(f"read {len(parts)} files, oldest first: {', '.join(part.name for part in parts)}", err=True)
    promise = Promise() if policy is None else promised(policy)
    audited = {} if audit is None else read_reference_qualities(audit, promise.get("reference"))
    # As a masked log has them.
    labels = audited | {masked_id(one): quality for one, quality in audited.items()}
    seen = _Seen()
    rows = _noting(read_decisions(logs, strict=False), policy, labels, seen)
    earlier = read_decisions(before, strict=False) if before else ()
    result = production_check(rows, audit=labels, before=earlier, **promise)
    if not result.n:
        raise InputError(f"{logs[0]}: holds no decision")
    for text, n in seen.exceptions.items():
        echo(f"warning: {n:,} of {result.n:,} decisions {text}", err=True)
    lost = [one for one in audited if not {one, masked_id(one)} & seen.audited]
    if lost:
        said = f"{len(lost):,} of {len(audited):,} audited requests are no decision of this log, the first {lost[0]!r:.80}"
        echo(f"warning: {audit}: {said}; sample_id is the decision's id", err=True)
    return result


def promised(policy: Policy) -> Promise:
    """What the policy's certificate says of the reference, the margin, the shares of suites and the
    share that escalates."""
    shown = Certificate.of(policy)
    suites = {name: float(row.n or 0) for name, row in (shown.suites or {}).items()}
    total = sum(suites.values())
    return {
        "reference": policy.reference,
        "margin": shown.margin,
        "confidence": shown.confidence or 0.9,
        "expected_suites": {name: n / total for name, n in suites.items()} if total else None,
        "expected_escalated": None if shown.chains is None else (shown.chains.escalated, shown.clusters or 1),
    }


def _noting(
    rows: Iterator[dict[str, Any]], policy: Policy | None, labels: Mapping[str, float], seen: _Seen
) -> Iterator[dict[str, Any]]:
    """`rows` one by one; of each, `seen` gets what its caller says when all were read."""
    for row in rows:
        if policy is not None and row.get("revision") != policy.revision:
            seen.exceptions[
                "were made by another revision than the policy's, so its promise is not theirs"
            ] += 1
        if row.get("vector_missing"):
            seen.exceptions[
                "had no vector, which their policy was fitted on; they were made as for the mean vector"
            ] += 1
        if row["id"] in labels:
            seen.audited.add(row["id"])
        yield row


def read_reference_qualities(path: Path, reference: Candidate | None) -> dict[str, float]:
    """Decision id → the reference's quality, from a CSV, JSONL or Parquet table of audited
    requests.

    Columns sample_id (the decision's id) and quality; with `model` (and `effort`), only the
    reference's rows count. Raises InputError for a missing column, a quality outside [0, 1], or a
    decision with two different qualities.
    """
    table = read_labels(path, ("sample_id", "quality"))
    if reference is not None and "model" in table.columns:
        names = candidate_columns(table.columns)
        wanted = dict(zip(WHO, (*reference, None), strict=False))
        for name in names:
            table = table[table[name].fillna("") == (wanted[name] or "")]
    found: dict[str, float] = {}
    for number, quality in zip(table["sample_id"], table["quality"], strict=True):
        if found.setdefault(number, float(quality)) != quality:
            raise InputError(
                f"{path}: decision {number!r} has two qualities, {found[number]:g} and {quality:g}; keep one"
            )
    return found
