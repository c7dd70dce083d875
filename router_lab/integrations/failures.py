"""What an SDK's error says of a call: whether another candidate is to be asked, and whether work
was done for it."""

from __future__ import annotations

from collections.abc import Iterable

from router_lab.runtime.errors import RouterLabError, shown

_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "prompt is too long",
    "ContextWindowExceeded",
)
_LOST = {"APIConnectionError", "APITimeoutError", "Timeout", "MidStreamFallbackError"}
_REFUSALS = {
    "AuthenticationError", "PermissionDeniedError", "NotFoundError", "BadRequestError", "UnprocessableEntityError",
    "ContextWindowExceededError", "ContentPolicyViolationError", "UnsupportedParamsError", "RateLimitError",
    "ServiceUnavailableError", "BadGatewayError", "RouterRateLimitError", "RouterRateLimitErrorBasic",
}  # fmt: skip
"""LiteLLM's errors before any work was done."""
_OWN = "HTTPException"
"""A gateway's own refusal, of a guardrail's say, which may stand behind the answer."""


def failure_of(error: BaseException) -> str | None:
    """What `Decision.next` calls an SDK's error: `unavailable`, `context`; None for one that the
    next candidate would meet, too."""
    if isinstance(error, RouterLabError) or not isinstance(error, Exception):
        return None
    status = _status(error)
    if status is None:
        return "unavailable" if _lost(error) else None
    said = f"{type(error).__name__} {shown(error, 2000)}"
    if status in (400, 413) and any(mark in said for mark in _TOO_LONG):
        return "context"
    return "unavailable" if status in (408, 409, 429) or status >= 500 else None


def refused(error: BaseException) -> bool:
    """Whether a call was refused, rather than its answer lost, for which gateways have a status,
    too."""
    if isinstance(error, RouterLabError):
        return True
    own = any(kind.__name__ == _OWN for kind in type(error).__mro__)
    status = _status(error)
    if status == 500 and type(error).__module__.startswith("litellm"):
        return False  # which it says of a connection that broke within an answer, too
    # Below 400 the answer had begun: an error within a stream has the stream's own status.
    return status is not None and status >= 400 and status not in (408, 504) and not own and not _lost(error)


def all_refused(kinds: Iterable[object]) -> bool:
    """Whether attempts were refused, of which the names of LiteLLM's errors are known alone."""
    return _REFUSALS.issuperset(kinds)


def _lost(error: BaseException) -> bool:
    """Whether a connection broke, or its time ran out, after whatever work."""
    # A framework's own error has the SDK's as its cause.
    names = {kind.__name__ for one in (error, error.__cause__) for kind in type(one).__mro__}
    return not names.isdisjoint(_LOST)


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None
