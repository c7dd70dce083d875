"""What happened in a sample, of logs new and old: model and tool calls, and whether a scorer made
them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SCORING = ("scorer", "scorers")
"""Types of spans, and of the steps that older logs have instead, within which even the candidate's
model is a judge."""

TELLING = ("score", "span_begin", "step")
"""Events without which nobody can say which calls a scorer made."""

MEDIA = ("audio", "image", "video", "document")


class Scene(NamedTuple):
    """A model or tool event, raw, and whether it happened while the sample was scored."""

    event: Mapping[str, Any]
    scoring: bool


def scenes(events: Sequence[Mapping[str, Any]], sample: Mapping[str, Any] | None = None) -> Iterator[Scene]:
    """Model and tool events in the order of time, with those that older logs keep inside of
    subtasks and tools.

    sample: whose last attempt this is. Where neither spans nor steps say when it was scored,
    whatever was called after the call that gave its answer was the judge.
    """
    found = list(_walk(events, _scorer_spans(events), False))
    kinds = {event.get("event") for event in events}
    if sample is None or "score" not in kinds or kinds & {"span_begin", "step"}:
        yield from found
        return
    calls = [i for i, scene in enumerate(found) if scene.event["event"] == "model"]
    name, answer = _answer(sample.get("output"))
    given = [_answer(found[i].event.get("output")) for i in calls]
    gave = [n for n, (other, _) in enumerate(given) if name is not None and other == name]
    gave = gave or [n for n, (_, other) in enumerate(given) if answer is not None and other == answer]
    turns = sum(
        m.get("role") == "assistant" and m.get("source") != "input" for m in sample.get("messages") or ()
    )
    # An agent may give one answer several times; it gave the last one no earlier than in its last
    # turn.
    last = next((n for n in gave if n + 1 >= turns), gave[-1] if gave else None)
    for i, scene in enumerate(found):
        yield scene if last is None or i <= calls[last] else scene._replace(scoring=True)


def tells_scoring(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether events say at all when the sample was scored."""
    return any(event.get("event") in TELLING for event in events)


def reached_scoring(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether events say that the sample's solver had ended and its scorers had begun."""
    return any(
        (event.get("event") == "span_begin" and event.get("type") == "scorers")
        or (event.get("event") == "step" and event.get("action") == "begin" and event.get("type") == "scorer")
        for event in events
    )


def pooled(sample: Mapping[str, Any], event: Mapping[str, Any]) -> list[Any]:
    """The messages that a model call was given, those from the sample's pool among them."""
    pool = (sample.get("events_data") or {}).get("messages") or []
    refs = event.get("input_refs") or []
    return [*(event.get("input") or []), *(message for start, end in refs for message in pool[start:end])]


def media_of(sample: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[str, ...]:
    """Kinds of media that a model call was given or gave, such as `input_image`; text is none."""
    choices = (event.get("output") or {}).get("choices") or []
    answers = [choice.get("message") or {} for choice in choices]
    return tuple(sorted({*_media("input", pooled(sample, event)), *_media("output", answers)}))


def _walk(events: Sequence[Mapping[str, Any]], spans: set[str], within: bool) -> Iterator[Scene]:
    steps: list[str | None] = []
    for event in events:
        kind = event.get("event")
        if kind == "step":
            _step(event, steps)
            continue
        scoring = within or event.get("span_id") in spans or any(step in SCORING for step in steps)
        if kind in ("model", "tool"):
            yield Scene(event, scoring)
        nested = event.get("events")
        if kind in ("tool", "subtask") and nested:
            yield from _walk(nested, spans | _scorer_spans(nested), scoring)


def _step(event: Mapping[str, Any], steps: list[str | None]) -> None:
    if event.get("action") == "begin":
        steps.append(event.get("type"))
    elif steps:
        steps.pop()


def _scorer_spans(events: Sequence[Mapping[str, Any]]) -> set[str]:
    inside: set[str] = set()
    for event in events:
        if event.get("event") == "span_begin" and (
            event.get("type") in SCORING or event.get("parent_id") in inside
        ):
            inside.add(event["id"])
    return inside


def _answer(output: Mapping[str, Any] | None) -> tuple[str | None, Any]:
    """What tells one answer from another: the message's id, and, since older logs have none, its
    text and usage."""
    choices = (output or {}).get("choices") or []
    if not choices:
        return None, None
    message = choices[0].get("message") or {}
    return message.get("id"), (
        message.get("content"),
        choices[0].get("stop_reason"),
        (output or {}).get("usage"),
    )


def _media(direction: str, messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            if part.get("type") in MEDIA:
                yield f"{direction}_{part['type']}"
