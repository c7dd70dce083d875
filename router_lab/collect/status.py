"""What became of a sample: scored, the candidate's failure, or no evidence about it at all; and
why, in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.outcomes.schema import INVALIDATED
from router_lab.providers.failures import Failure, Fault, fault, of_sample, reason_of
from router_lab.providers.scenes import reached_scoring, scenes

CANCELLED, UNSCORED, UNRUN = "cancelled", "unscored", "not run"
"""First words of the reason of a row that is no evidence, other than an outage's: what `collect`
counts by."""
NEVER_ASKED = "before any model was asked"
NEVER_ANSWERED = "no request of the candidate's was ever answered in this log"
"""First words of what was lost without anybody's answer."""


def sample_status(sample: Mapping[str, Any]) -> tuple[str, str | None]:
    """(status, reason) of a raw Inspect sample, by what it says of itself, before its score is
    looked at.

    `infra`: it was begun and something other than the candidate kept it from an answer, somebody
    who stopped it included. `error`: the candidate's fault, and whatever is not recognised, so
    that a crash can only lower a candidate, never flatter it. `ok` with a reason: it was answered,
    and a scorer failed. `budget`: a person has set it aside (`invalidate_samples`), whatever its
    score.
    """
    if sample.get("invalidation"):
        return "budget", _invalidated(sample["invalidation"])
    failure = of_sample(sample)
    if failure is not None:
        status, reason = _status_of(failure)
        if status == "error" and _never_asked(sample):
            return "infra", f"{NEVER_ASKED}: {reason}"[:200]
        if status == "error" and reached_scoring(sample.get("events") or []):
            status, own = _output_status(sample.get("output") or {})
            reason = own or f"a scorer failed: {reason}"[:180]
        return status, reason
    limit = sample.get("limit")
    if limit:
        kind = limit["type"] if isinstance(limit, dict) else str(limit)
        if kind == "operator":
            return "infra", f"{CANCELLED}: stopped by the operator and scored as it stood"
        return ("error" if kind == "context" else "limit"), f"{kind} limit"
    return _output_status(sample.get("output") or {})


def cut_off(stops: Sequence[str | None], sample: Mapping[str, Any]) -> bool | None:
    """Whether an answer of the sample ended at `max_tokens`; None where none was given.

    stops: why each of the candidate's calls ended; Inspect's word for the last one stands in the
    sample's output, too.
    """
    choices = (sample.get("output") or {}).get("choices") or []
    known = {stop for stop in (*stops, *(choice.get("stop_reason") for choice in choices[:1])) if stop}
    return "max_tokens" in known if known else None


def _status_of(failure: Failure) -> tuple[str, str | None]:
    whose = fault(failure)
    if whose is Fault.CANCELLED:
        return "infra", CANCELLED
    return ("error" if whose in (Fault.CANDIDATE, Fault.REQUEST) else "infra"), reason_of(failure)


def refused_as_asked(sample: Mapping[str, Any]) -> bool:
    """Whether its request was refused as it stands: no evidence about a candidate that was never
    answered."""
    failure = of_sample(sample)
    return failure is not None and fault(failure) is Fault.REQUEST


def _never_asked(sample: Mapping[str, Any]) -> bool:
    """Whether the events of a sample say that it ended before any model was asked: what a setup, a
    sandbox or a solver did before is the same whoever would have answered."""
    events = sample.get("events") or []
    return bool(events) and not any(scene.event["event"] == "model" for scene in scenes(events))


def _invalidated(provenance: Any) -> str:
    """Who set a sample aside, and why; Inspect keeps an author, a time and perhaps a reason."""
    known = provenance if isinstance(provenance, Mapping) else {}
    by = f" by {known['author']}" if known.get("author") else ""
    why = f": {' '.join(str(known['reason']).split())}" if known.get("reason") else ""
    return f"{INVALIDATED}{by}{why}"[:200]


def _output_status(output: Mapping[str, Any]) -> tuple[str, str | None]:
    """A refusal or an overflow that the provider reports as a normal answer, or a failure that the
    sweep caught."""
    choices = output.get("choices") or []
    reason = choices[0].get("stop_reason") if choices else None
    if reason == "content_filter":
        return "error", "refused"
    if reason == "model_length":
        return "error", "context overflow"
    if output.get("error"):
        return _status_of(of_sample({"error": str(output["error"])}) or Failure())
    return "ok", None
