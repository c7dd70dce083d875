"""What happened in a sample, of logs new and old: model and tool calls, and whether a scorer made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SCORING = ("scorer", "scorers")
"""Types of spans, and of the steps that older logs have instead, within which even the candidate's model is a judge."""

MEDIA = ("audio", "image", "video", "document")


class Scene(NamedTuple):
    """A model or tool event, raw, and whether it happened while the sample was scored."""

    event: Mapping[str, Any]
    scoring: bool


def scenes(events: Sequence[Mapping[str, Any]], output: Mapping[str, Any] | None = None) -> Iterator[Scene]:
    """Model and tool events in the order of time, with those that older logs keep inside of subtasks and tools.

    output: the sample's own answer. Logs from before spans and steps say nothing of scorers: there whatever was called
    after the call that gave this answer was the judge.
    """
    spans = _scorer_spans(events)
    found = list(_walk(events, spans, False))
    if any(event.get("event") in ("span_begin", "step") for event in events):
        yield from found
        return
    answer = _answer(output)
    given = [i for i, scene in enumerate(found) if answer and _answer(scene.event.get("output")) == answer]
    after = given[0] if given else len(found)
    for i, scene in enumerate(found):
        yield scene if i <= after else scene._replace(scoring=True)


def media_of(sample: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[str, ...]:
    """Kinds of media that a model call was given or gave, such as `input_image`; text is none."""
    pool = (sample.get("events_data") or {}).get("messages") or []
    messages = list(event.get("input") or [])
    for start, end in event.get("input_refs") or []:
        messages.extend(pool[start:end])
    choices = (event.get("output") or {}).get("choices") or []
    answers = [choice.get("message") or {} for choice in choices]
    return tuple(sorted({*_media("input", messages), *_media("output", answers)}))


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
        if event.get("event") == "span_begin" and (event.get("type") in SCORING or event.get("parent_id") in inside):
            inside.add(event["id"])
    return inside


def _answer(output: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    """What tells one answer from another in logs whose messages have no ids yet: its text, reason and usage."""
    choices = (output or {}).get("choices") or []
    if not choices:
        return None
    message = choices[0].get("message") or {}
    return message.get("content"), choices[0].get("stop_reason"), (output or {}).get("usage")


def _media(direction: str, messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            if part.get("type") in MEDIA:
                yield f"{direction}_{part['type']}"
