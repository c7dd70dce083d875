"""Whose fault it was: the candidate's, a limit's, or the infrastructure's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

INFRA = re.compile(
    r"rate.?limit|too many requests|overloaded|service.?unavailable|bad gateway|gateway.?time|internal.?server.?error"
    r"|server had an error|insufficient.?quota|quota exceeded|time.?out|timed out|connection|connect(ed|ing)? error"
    r"|network|remoteprotocol|incomplete read|peer closed|broken pipe|reset by peer|name resolution|ssl"
    r"|(status|code|error)[^0-9a-z]{0,12}(408|409|425|429|5\d\d)\b|circuit.?breaker|NotRecordedError|RetryError"
    r"|JSONDecodeError|NoStreamData|StreamIdle|authenticat|permission|unauthori[sz]ed|invalid.?api.?key",
    re.IGNORECASE,
)
"""What an error says when neither the question nor the answer caused it; keys and quotas are the operator's to mend."""

RETRIED = re.compile(r"RetryError\(<Future at 0x[0-9a-f]+ state=finished raised (\w+)>\)")
"""How Inspect's retry library says which error outlasted every retry; the address in it changes from run to run."""

OVERFLOW = re.compile(r"context.?(length|window)|maximum context|too many tokens|prompt is too long", re.IGNORECASE)


def failure_class(message: str) -> str:
    """`infra` or `error` for the text of an exception that ended a sample.

    A context overflow is the candidate's fault whatever status code it came with; what is not recognised as
    infrastructure is the candidate's too, so that a crash can only lower a candidate, never flatter it.
    """
    if OVERFLOW.search(message):
        return "error"
    return "infra" if INFRA.search(message) else "error"


def sample_status(sample: Mapping[str, Any]) -> tuple[str, str | None]:
    """(status, reason) of a raw Inspect sample, as DESIGN says: ok, error, limit or infra."""
    error = sample.get("error")
    if error:
        message = str(error.get("message", error) if isinstance(error, dict) else error)
        return failure_class(message), _first_line(message)
    limit = sample.get("limit")
    if limit:
        kind = limit["type"] if isinstance(limit, dict) else str(limit)
        return ("error" if kind == "context" else "limit"), f"{kind} limit"
    return _output_status(sample.get("output") or {})


def _output_status(output: Mapping[str, Any]) -> tuple[str, str | None]:
    """A refusal or an overflow that the provider reports as a normal answer, or a failure that the sweep caught."""
    choices = output.get("choices") or []
    reason = choices[0].get("stop_reason") if choices else None
    if reason == "content_filter":
        return "error", "refused"
    if reason == "model_length":
        return "error", "context overflow"
    if output.get("error"):
        return "error", _first_line(str(output["error"]))
    return "ok", None


def _first_line(text: str) -> str:
    line = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return RETRIED.sub(r"retries used up: \1", line)[:200]
