"""What a span is told of a decision and of its answer: names of OpenTelemetry's GenAI conventions,
and our own.

One row an attribute, in `ATTRIBUTES`; the table of docs/operations.md follows from it (`python
tests/unit/test_semconv.py` writes it). The conventions are in development: when their names
change, change the rows, `SCHEMA_URL` and the changelog together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
"""The version of the conventions that the names are of, for `trace.get_tracer(…,
schema_url=SCHEMA_URL)`."""
Value = str | int | float | tuple[str, ...]


class Attribute(NamedTuple):
    """A name, the type of its value as the conventions call it, whether it is known with the
    decision or with the answer, and what it is."""

    name: str
    type: str
    known: str
    meaning: str


ATTRIBUTES = (
    Attribute("gen_ai.operation.name", "string", "decision", "`chat`"),
    Attribute("gen_ai.provider.name", "string", "decision", "`openai` or `anthropic`: by the API that was measured"),
    Attribute("gen_ai.request.model", "string", "decision", "the model as the request names it"),
    Attribute("gen_ai.request.max_tokens", "int", "decision", "of the request that was measured, if it has one"),
    Attribute("gen_ai.request.reasoning.level", "string", "decision", "the provider's effort, if the request has one"),
    Attribute("router_lab.effort", "string", "decision", "effort of the candidate: a provider's, or a preset's name"),
    Attribute("router_lab.harness", "string", "decision", "harness of the candidate"),
    Attribute("router_lab.tier", "string", "decision", "`standard`, `batch`, `flex` or `priority`"),
    Attribute("router_lab.code", "string", "decision", "which kind of reason: `decision.code`"),
    Attribute("router_lab.revision", "string", "decision", "revision of the policy that decided"),
    Attribute("router_lab.predicted_quality", "double", "decision", "in [0, 1]"),
    Attribute("router_lab.predicted_cost_usd", "double", "decision", "dollars of the request"),
    Attribute("gen_ai.response.id", "string", "answer", "as the provider gave it"),
    Attribute("gen_ai.response.model", "string", "answer", "the model that answered"),
    Attribute("gen_ai.response.finish_reasons", "string[]", "answer", "of each choice"),
    Attribute("gen_ai.usage.input_tokens", "int", "answer", "all input, what caches held included"),
    Attribute("gen_ai.usage.cache_read.input_tokens", "int", "answer", "of these, read from a cache"),
    Attribute("gen_ai.usage.cache_write.input_tokens", "int", "answer", "of these, written to a cache"),
    Attribute("gen_ai.usage.output_tokens", "int", "answer", "all output, reasoning included"),
    Attribute("gen_ai.usage.reasoning.output_tokens", "int", "answer", "of these, reasoning"),
)  # fmt: skip
"""Every attribute that is set, in the order of the docs. One whose value is not known is left
out."""

_PROVIDERS = {"anthropic": "anthropic", "openai_chat": "openai", "openai_responses": "openai"}
_MOST = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_LEVEL = (("reasoning_effort",), ("reasoning", "effort"), ("output_config", "effort"))


def span_attributes(decision: Decision, answer: object = None) -> dict[str, Value]:
    """What a span can be told, by the names of `ATTRIBUTES`; what is not known is left out.

    answer: what the provider's SDK gave back, or the same as a mapping; a stream, which ends
    later, says nothing.
    """
    request = decision.measured
    arguments = request.get("arguments") or {}
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(request.get("api") or ""),
        "gen_ai.request.model": str(arguments.get("model", decision.model)),
        "gen_ai.request.max_tokens": _first(_count(arguments.get(name)) for name in _MOST),
        "gen_ai.request.reasoning.level": _first(_text(_at(arguments, *path)) for path in _LEVEL),
        "router_lab.effort": decision.effort,
        "router_lab.harness": decision.candidate.harness,
        "router_lab.tier": decision.tier,
        "router_lab.code": decision.code,
        "router_lab.revision": decision.revision,
        "router_lab.predicted_quality": decision.quality,
        "router_lab.predicted_cost_usd": decision.cost_usd,
    }
    found |= {} if answer is None else _of_answer(answer)
    return {name: value for name, value in found.items() if value is not None}


def mark_span(decision: Decision, answer: object = None) -> None:
    """Put `span_attributes` on the current OpenTelemetry span, if there is such a thing."""
    try:
        from opentelemetry import trace
    except ImportError:
        return
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(span_attributes(decision, answer))


def _of_answer(answer: object) -> dict[str, Value | None]:
    usage = _at(answer, "usage")
    kept = ("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens")
    beside = _count(_at(usage, "cache_read_input_tokens")), _count(_at(usage, "cache_creation_input_tokens"))
    given, fresh = _count(_at(usage, "prompt_tokens")), _count(_at(usage, "input_tokens"))
    if given is None and fresh is not None:  # beside which Anthropic counts what caches held
        given = fresh + sum(tokens or 0 for tokens in beside)
    thought = ("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens")
    return {
        "gen_ai.response.id": _text(_at(answer, "id")),
        "gen_ai.response.model": _text(_at(answer, "model")),
        "gen_ai.response.finish_reasons": _finished(answer),
        "gen_ai.usage.input_tokens": given,
        "gen_ai.usage.cache_read.input_tokens": _first(
            (beside[0], *(_count(_at(usage, *path)) for path in kept))
        ),
        "gen_ai.usage.cache_write.input_tokens": beside[1],
        "gen_ai.usage.output_tokens": _first(
            _count(_at(usage, name)) for name in ("completion_tokens", "output_tokens")
        ),
        "gen_ai.usage.reasoning.output_tokens": _first(_count(_at(usage, *path)) for path in thought),
    }


def _finished(answer: object) -> tuple[str, ...] | None:
    choices = _at(answer, "choices")
    if isinstance(choices, list | tuple):
        reasons = [_text(_at(choice, "finish_reason")) for choice in choices]
    else:
        reasons = [_text(_at(answer, "stop_reason"))]
    return tuple(reason for reason in reasons if reason is not None) or None


def _at(value: object, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _first(values: Any) -> Any:
    return next((value for value in values if value is not None), None)
