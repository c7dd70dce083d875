"""Whose fault it is that no answer came: the candidate's, the infrastructure's, the operator's; or
it was stopped.

One function judges what an exception says while a sweep runs and what a log has kept of it
afterwards. What is typed goes first (status code, the provider's own error code, the exception's
class); words are read where nothing else is. Status codes and error codes are those of the
providers' public API references.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """Whose. `UNREACHABLE`: no such server, or one that speaks no API: the operator's until it has
    answered once. `REQUEST`: refused as it was asked: the candidate's if others of its requests
    were answered, else the operator's, who chose settings that no request can have (`max_tokens`
    above the model's, a temperature that it does not take).
    """

    CANDIDATE = "candidate"
    INFRA = "infra"
    OPERATOR = "operator"
    UNREACHABLE = "unreachable"
    REQUEST = "request"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Failure:
    """What is known of one: classes of the exception and its causes, HTTP status, the provider's
    codes, its text."""

    names: tuple[str, ...] = ()
    status: int | None = None
    codes: tuple[str, ...] = ()
    text: str = ""
    call: bool = True
    """Whether a model call is known to have failed so, and not some other step of the sample."""


OVERFLOW = re.compile(
    r"context.?(length|window)|maximum context|too many (input )?tokens|prompt is too long|request_too_large",
    re.I,
)
REFUSAL = re.compile(r"content.?(policy|filter|management)|safety|flagged|moderation|usage policy", re.I)
CANCELLED = re.compile(
    r"^(asyncio\.exceptions\.)?(CancelledError|Cancelled|KeyboardInterrupt|TerminateTaskError)\("
    r"|interrupted by operator|unattributed cancellation|Task cancelled by user"
)
"""How Inspect writes down a sample that somebody stopped: by Ctrl-C, by a sibling's failure, or in
its screen."""

MONEY = re.compile(
    r"insufficient.?(quota|balance|credit|funds)|exceeded your (current|monthly) quota|credit balance is too low"
    r"|out of credits|quota exceeded|billing.{0,20}(limit|not active|disabled|inactive)|payment required",
    re.I,
)
PACE = re.compile(r"per.?(minute|second|hour|day)|rate.?limit", re.I)
"""A quota that refills by itself."""
KEY = re.compile(
    r"(invalid|incorrect|missing|expired|revoked|wrong).{0,12}\b(api|access|x-api|security).?(key|token)"
    r"|api.?key.{0,20}(not valid|invalid|expired|required|missing|not found)|UnrecognizedClient|NoCredentials",
    re.I,
)
MODEL = re.compile(
    r"model.{0,80}(not found|does not exist|doesn't exist|not exist|is not supported|not available|is invalid)"
    r"|(unknown|invalid|no such|unsupported) (model|deployment)|model_not_found|DeploymentNotFound|\bNotFoundError",
    re.I,
)
SETTING = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed)[ _](parameter|value|argument|request argument)", re.I
)
UNREACHABLE_TEXT = re.compile(
    r"connection refused|name or service not known|nodename nor servname|name resolution|getaddrinfo|no route to host"
    r"|certificate verify failed|all connection attempts failed|invalid url|unsupportedprotocol",
    re.I,
)
PAGE_HINT = "a web page, not an API: is base_url right?"
WEB_PAGE = re.compile(rf"<!doctype|<html|{re.escape(PAGE_HINT)}", re.I)
"""What a server that speaks no API answers with."""
OURS = frozenset({"RefusedError", "StoppedError"})
"""What `router_lab.sweep.guard` raises once it has judged a failure to be the operator's."""
INFRA_TEXT = re.compile(
    r"rate.?limit|too many requests|overloaded|service.?unavailable|bad gateway|gateway.?time|internal.?server.?error"
    r"|server had an error|time.?out|timed out|connection|connect(ed|ing)? error"
    r"|network|remoteprotocol|incomplete read|peer closed|broken pipe|reset by peer|ssl"
    r"|circuit.?breaker|NotRecordedError|RetryError|JSONDecodeError|NoStreamData|StreamIdle"
    r"|authenticat|permission|unauthori[sz]ed|invalid.?api.?key",
    re.I,
)

NOT_ASKED = frozenset({"NotRecordedError", "CircuitOpenError"})
"""Of ours, too: no model was asked. Their texts quote prompts and other errors."""
OPERATOR_CODES = frozenset(
    {"invalid_api_key", "authentication_error", "permission_error", "permission_denied", "model_not_found",
     "not_found_error", "insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active",
     "account_deactivated", "unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_model",
     "DeploymentNotFound", "unsupported_country_region_territory", "invalid_authentication", "access_terminated"}
)  # fmt: skip
OPERATOR_NAMES = frozenset(
    {"AuthenticationError", "PermissionDeniedError", "NotFoundError", "NoCredentialsError", "PrerequisiteError",
     "UnrecognizedClientException", "AccessDeniedException", "ResourceNotFoundException", "DefaultCredentialsError"}
)  # fmt: skip
UNREACHABLE_NAMES = frozenset(
    {"ConnectError", "ConnectionRefusedError", "gaierror", "ClientConnectorError", "ClientConnectorDNSError",
     "EndpointConnectionError", "UnsupportedProtocol", "InvalidURL"}
)  # fmt: skip
OPERATOR_STATUS = frozenset({401, 402, 404, 405, 407, 410, 421, 451, 501, 505})
INFRA_STATUS = frozenset({408, 409, 425, 429, 499})
ASKED_WRONG = frozenset({400, 403, 413, 422})
"""Where the request, and so the candidate, may be what was refused: too long, against a policy,
malformed."""

_STATUS = re.compile(r"Error code: ([45]\d\d)\b|^([45]\d\d) [A-Z_]{4,}\b")
"""As the SDKs of OpenAI and Anthropic, and Google's, write it."""
_LOOSE_STATUS = re.compile(
    r"(?:status(?:[ _]code)?|code|error|HTTP(?:/\d(?:\.\d)?)?)[^0-9a-z]{0,12}([45]\d\d)\b", re.I
)
_AWS = re.compile(r"\((\w+Exception)\)")
_CLASS = re.compile(r"^(?:\w+\.)*(\w+)[(:\[]")


def fault(failure: Failure) -> Fault:
    """Whose fault it is. What is not recognised is the candidate's: a crash can only lower it,
    never flatter it."""
    text, status = failure.text, failure.status
    if CANCELLED.search(text) or {"CancelledError", "Cancelled"} & set(failure.names[:1]):
        return Fault.CANCELLED
    if OURS & set(failure.names):
        return Fault.OPERATOR
    if NOT_ASKED & set(failure.names):
        return Fault.INFRA
    if status is not None:
        return _by_status(failure, status)
    if OVERFLOW.search(text):
        return Fault.CANDIDATE
    page = failure.call and WEB_PAGE.search(text)
    if UNREACHABLE_NAMES & set(failure.names) or UNREACHABLE_TEXT.search(text) or page:
        return Fault.UNREACHABLE
    if OPERATOR_NAMES & set(failure.names) or OPERATOR_CODES & set(failure.codes) or MODEL.search(text):
        return Fault.OPERATOR
    if MONEY.search(text) and not PACE.search(text):
        return Fault.OPERATOR
    return Fault.INFRA if INFRA_TEXT.search(text) else Fault.CANDIDATE


def _by_status(failure: Failure, status: int) -> Fault:
    text = failure.text
    if status in ASKED_WRONG and (OVERFLOW.search(text) or "context_length_exceeded" in failure.codes):
        return Fault.CANDIDATE
    if status == 429:
        spent = "insufficient_quota" in failure.codes or MONEY.search(text)
        return Fault.OPERATOR if spent and not PACE.search(text) else Fault.INFRA
    if status in OPERATOR_STATUS:
        return Fault.OPERATOR
    if status == 403:
        return Fault.CANDIDATE if REFUSAL.search(text) else Fault.OPERATOR
    if status in INFRA_STATUS or status >= 500:
        return Fault.INFRA
    # Of what was asked wrong only the beginning is read: some servers quote the whole request.
    said = any(words.search(text[:400]) for words in (MONEY, KEY, MODEL, SETTING))
    if said or OPERATOR_CODES & set(failure.codes):
        return Fault.OPERATOR
    return Fault.CANDIDATE if status not in (400, 422) or REFUSAL.search(text) else Fault.REQUEST


def of_exception(error: BaseException) -> Failure:
    """What a live exception tells: an SDK's, or one of the network beneath it."""
    names = tuple(type(one).__name__ for one in _chain(error))
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and isinstance(getattr(error, "code", None), int):
        status = error.code  # type: ignore[attr-defined]  # Google's SDK
    text, body = str(error) or type(error).__name__, getattr(error, "body", None)
    if isinstance(body, str) and WEB_PAGE.search(body):
        text = f"{text.splitlines()[0][:100]} - {PAGE_HINT}"
    known = status if isinstance(status, int) and 400 <= status < 600 else None
    return Failure(names, known, _codes(body), text)


def of_sample(sample: Mapping[str, Any]) -> Failure | None:
    """What a raw Inspect sample has kept of the error that ended it; None if none did.

    An error of a model call is read from the call (its error and the provider's answer): the
    sample's own message may be the whole request, prompt and all.
    """
    error = sample.get("error")
    if not error:
        return None
    message = str(error.get("message") or "") if isinstance(error, Mapping) else str(error)
    trace = str(error.get("traceback") or "") if isinstance(error, Mapping) else ""
    last = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "")
    names = tuple(match[1] for line in (last, message) if (match := _CLASS.match(line)))
    call = _failed_call(sample.get("events") or [], message)
    if call is None:
        return Failure(names, _status(message, call=False), (), message or last, call=False)
    said, response = str(call["error"]), (call.get("call") or {}).get("response")
    codes = _codes(response)
    if isinstance(response, Mapping) and WEB_PAGE.search(str(response.get("body") or "")):
        said = f"{said.splitlines()[0][:100]} - {PAGE_HINT}"
    names += tuple(_AWS.findall(said[:500]))
    return Failure(names, _status(said, call=True) or _status(last, call=True), codes, said)


def reason_of(failure: Failure, *, most: int = 200) -> str:
    """A failure in one line: the provider's words without their envelope."""
    line = next((line.strip() for line in reversed(failure.text.splitlines()) if line.strip()), "")
    line = _WRAPPED.sub(r"\2", _RETRIED.sub(r"retries used up: \1", line))
    match = _ENVELOPE.match(line)
    if match is not None:
        line = f"{match[1]} - {_message(match[2])}"
    return (line or (failure.names[0] if failure.names else "no reason given"))[:most]


_RETRIED = re.compile(r"RetryError\(<Future at 0x[0-9a-f]+ state=finished raised (\w+)>\)")
"""How Inspect's retry library says which error outlasted every retry; the address in it changes
from run to run."""
_WRAPPED = re.compile(rf"^(?:{'|'.join(sorted(OURS))})\((['\"])(.*)\1\)$")
_ENVELOPE = re.compile(r"^(Error code: \d+) - (\{.*\})$")


def _message(body: str) -> str:
    """The message in a provider's error body, which an SDK has printed as Python; the body itself
    if there is none."""
    try:
        value = ast.literal_eval(body)
    except (ValueError, SyntaxError):
        return body
    inner = value.get("error", value)
    return str(inner.get("message") or body) if isinstance(inner, Mapping) else body


def _failed_call(events: Sequence[Mapping[str, Any]], message: str) -> Mapping[str, Any] | None:
    """The last model call, if it failed and the sample's error is about it."""
    calls = [event for event in events if event.get("event") == "model"]
    if not calls or not calls[-1].get("error"):
        return None
    said = str(calls[-1]["error"])
    about = message.startswith("ModelGenerateError(") or (bool(said) and said in message)
    return calls[-1] if about else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _codes(body: Any) -> tuple[str, ...]:
    """`code` and `type` of a provider's error body, whether or not it stands in an envelope."""
    if not isinstance(body, Mapping):
        return ()
    inner = body.get("error")
    inner = inner if isinstance(inner, Mapping) else body
    return tuple(str(inner[key]) for key in ("code", "type") if isinstance(inner.get(key), str))


def _status(text: str, *, call: bool) -> int | None:
    """The HTTP status that a text speaks of. Outside of a model call a number near the word
    `error` is little to go by: only what speaks of the infrastructure is believed."""
    match = _STATUS.search(text[:2000])
    if match is not None:
        return int(match[1] or match[2])
    match = _LOOSE_STATUS.search(text[:2000])
    status = None if match is None else int(match[1])
    return status if call or status in INFRA_STATUS or (status or 0) >= 500 else None
