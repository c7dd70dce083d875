"""`report DECISIONS`: whether a policy's promise still holds. Exit status 0 it does, 3 it does
not, 4 not known yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from router_lab.runtime.policy import Policy


def production_check_command(
    logs: list[Path],
    policies: list[Path],
    audit: Path | None,
    before: Path | None,
    html: Path | None,
    check: Path | None,
    as_json: bool,
) -> None:
    """Run every check on the decision `logs`, print or write the answer, and exit with its
    status."""
    from dataclasses import asdict

    from router_lab.report.production_check import BROKEN, HOLDS, production_check
    from router_lab.report.production_check_page import production_check_html
    from router_lab.runtime.decisionfiles import log_parts
    from router_lab.runtime.decisions import masked_id, read_decisions
    from router_lab.runtime.errors import InputError
    from router_lab.runtime.files import atomic_write

    parts = list(dict.fromkeys(part for log in logs for part in log_parts(log)))
    if len(parts) > len(logs):
        echo(f"read {len(parts)} files, oldest first: {', '.join(part.name for part in parts)}", err=True)
    policy = open_policy(policies[0]) if policies else None
    promise = {} if policy is None else promised(policy)
    labels = None if audit is None else read_reference_qualities(audit, promise.get("reference"))
    odd = Counter[str]()
    rows = _noting(read_decisions(logs, strict=False), policy, odd)
    audited = labels or {}
    labels = audited | {
        masked_id(number): quality for number, quality in audited.items()
    }  # as a masked log has them
    met: set[str] = set()
    rows = _meeting(rows, labels, met)
    result = production_check(
        rows, audit=labels, before=read_decisions(before, strict=False) if before else (), **promise
    )
    if not result.n:
        raise InputError(f"{logs[0]}: holds no decision")
    for text, n in odd.items():
        echo(f"warning: {n:,} of {result.n:,} decisions {text}", err=True)
    lost = [number for number in audited if not {number, masked_id(number)} & met]
    if lost:
        told = f"{len(lost):,} of {len(audited):,} audited requests are no decision of this log, the first {lost[0]!r:.80}"
        echo(f"warning: {audit}: {told}; sample_id is the decision's id", err=True)
    page = production_check_html(result, logs[0].stem if policy is None else policy.spec.name)
    if check is not None:
        from router_lab.cli.outcomes_page import page_differences

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


def promised(policy: Policy) -> dict[str, Any]:
    """What `production_check` holds a log against: reference, margin, confidence and shares of suites of
    the certificate."""
    from router_lab.certificate import Certificate

    shown = Certificate.of(policy)
    suites = {name: float(row.n or 0) for name, row in (shown.suites or {}).items()}
    total = sum(suites.values())
    return {
        "reference": tuple(policy.reference), "margin": shown.margin, "confidence": shown.confidence or 0.9,
        "expected_suites": {name: n / total for name, n in suites.items()} if total else None,
    }  # fmt: skip


def _noting(
    rows: Iterator[dict[str, Any]], policy: Policy | None, odd: Counter[str]
) -> Iterator[dict[str, Any]]:
    """`rows` one by one, of which those are counted that the policy's promise does not speak
    of."""
    for row in rows:
        if policy is not None and row.get("revision") != policy.revision:
            odd["were made by another revision than the policy's, so its promise is not theirs"] += 1
        if row.get("vector_missing"):
            odd["had no vector, which their policy was fitted on; they were made as for the mean vector"] += 1
        yield row


def _meeting(
    rows: Iterator[dict[str, Any]], audit: Mapping[str, float], met: set[str]
) -> Iterator[dict[str, Any]]:
    """`rows` one by one; `met` gets the ids of those that were audited."""
    for row in rows:
        if row["id"] in audit:
            met.add(row["id"])
        yield row


def read_reference_qualities(path: Path, reference: tuple[str, str | None] | None) -> dict[str, float]:
    """Decision id → the reference's quality, from a CSV, JSONL or Parquet table of audited
    requests.

    Columns sample_id (the decision's id) and quality; with `model` (and `effort`), only the
    reference's rows count. Raises InputError for a missing column, a quality outside [0, 1], or a
    decision with two different qualities.
    """
    from router_lab.outcomes.tablefile import read_labels
    from router_lab.runtime.errors import InputError

    table = read_labels(path, ("sample_id", "quality"))
    if reference is not None and "model" in table.columns:
        table = table[table["model"] == reference[0]]
        if "effort" in table.columns:
            table = table[table["effort"].fillna("") == (reference[1] or "")]
    found: dict[str, float] = {}
    for number, quality in zip(table["sample_id"], table["quality"], strict=True):
        if found.setdefault(number, float(quality)) != quality:
            raise InputError(
                f"{path}: decision {number!r} has two qualities, {found[number]:g} and {quality:g}; keep one"
            )
    return found
