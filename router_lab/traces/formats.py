"""The formats of traces: each a function that knows its records, and one that reads them. A new one
is a module and a row here; `tests/contract/test_trace_formats.py` then tests it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from router_lab.traces import chat, langfuse, litellm, otlp, phoenix
from router_lab.traces.call import Problem, TracedCall
from router_lab.traces.fields import Json
from router_lab.traces.records import Record

Found = tuple[list[TracedCall], list[Problem], Counter[str]]
"""Calls, records that could not be read, and how many are no model call, by the reason."""


class Format(NamedTuple):
    """what: in words, for the help. claims: whether a record is of this format; it raises nothing.
    read: the calls of a file's records, each of which it returns, names, or counts."""

    what: str
    claims: Callable[[Json], bool]
    read: Callable[[Sequence[Record], str], Found]


FORMATS: dict[str, Format] = {
    "otlp": Format("OpenTelemetry spans, OTLP JSON", otlp.claims, otlp.read),
    "litellm": Format("LiteLLM spend logs", litellm.claims, litellm.read),
    "phoenix": Format("Phoenix, OpenInference spans", phoenix.claims, phoenix.read),
    "langfuse": Format("Langfuse observations or traces", langfuse.claims, langfuse.read),
    "chat": Format("requests and responses of chat completions", chat.claims, chat.read),
}
"""By the name of `--format`, in the order in which a record is offered to them."""
