"""What surrounds a model in a loop, as data: how much of the past is kept, which tools are shown,
how far the loop may go. A sweep and an application send messages through the same `Harness.apply`,
so that what was measured is what is served. Standard library alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeGuard

from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.messages import text_of

Message = Mapping[str, Any]
Summarise = Callable[[str], str]

POLICIES = ("last", "mask", "fresh", "summarise")
"""Keys of a context policy; each has a number of rounds."""
OBSERVERS = ("tool", "user")
"""Whose messages are observations: results of tool calls, or, where an agent speaks a text
protocol, what the user says after the first answer."""
LEFT_OUT = "[an earlier result of {count} characters was left out]"
CUT_OFF = "\n[… {count} more characters were left out]"
SUMMARY = "Summary of what was done so far:\n{text}"
_CHAT_RESULT, _ANTHROPIC_RESULT, _RESPONSES_RESULT = "tool", "tool_result", "function_call_output"


@dataclass(frozen=True)
class Harness:
    """A named way to surround a model. None or empty = as the suite has it.

    context: {} keeps all; `{"last": k}` the last k rounds (a round is an answer and what came back
    of it); `{"mask": k}` puts a line in the place of results older than the last k rounds;
    `{"fresh": k}` begins anew after every k rounds, with the task and the last round;
    `{"summarise": k}` has a summary in the place of what is older than the last k rounds.
    observations: `tool` or `user`. result_chars: the most that is kept of one result. tools: names
    of those that are shown. turns: the most model calls of a request. retries: how often the loop
    may try a failed step again; the loop's own to keep, as are `task_args`.
    """

    name: str
    context: Mapping[str, int] | None = None
    observations: str = "tool"
    result_chars: int | None = None
    tools: tuple[str, ...] | None = None
    turns: int | None = None
    retries: int | None = None
    task_args: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise PolicyError(f"harness {shown(self.name)}: {fault}")

    def _faults(self) -> list[str]:
        wrong = [f"{key} {shown(value)} is not a mapping" for key, value in (
            ("context", self.context), ("task_args", self.task_args),
        ) if value is not None and not isinstance(value, Mapping)]  # fmt: skip
        if wrong:
            return wrong
        context = self.context or {}
        if len(context) > 1 or not set(context) <= set(POLICIES):
            wrong.append(
                f"context {shown(dict(context))} is not one of {', '.join(POLICIES)} and its number of rounds"
            )
        for key, value, least in (
            *((f"context.{policy}", rounds, 1) for policy, rounds in context.items()),
            ("result_chars", self.result_chars, 1), ("turns", self.turns, 1), ("retries", self.retries, 0),
        ):  # fmt: skip
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                wrong.append(f"{key} {shown(value)} is not a whole number of at least {least}")
        if self.observations not in OBSERVERS:
            wrong.append(f"observations {shown(self.observations)} is not {' or '.join(OBSERVERS)}")
        listed = self.tools is None or isinstance(self.tools, list | tuple)
        if not listed or not all(isinstance(tool, str) and tool for tool in self.tools or ()):
            wrong.append(f"tools {shown(self.tools)} are not names")
        return wrong

    @property
    def changes_messages(self) -> bool:
        """Whether `apply` can change anything."""
        return bool(self.context) or self.result_chars is not None

    def apply(self, messages: Sequence[Message], *, summarise: Summarise | None = None) -> list[Message]:
        """The messages as they are to be sent: a new list; those that stay are the same objects.

        In the form of OpenAI's chat API, of Anthropic's, or items of OpenAI's responses. What comes
        before the first answer (system message, task) always stays, and no answer loses the results
        of its calls. summarise: turns the text of what is dropped into a shorter one, for a
        `summarise` policy, which raises PolicyError without. Raises PolicyError for what is no list
        of messages.
        """
        if not isinstance(messages, list | tuple) or not all(isinstance(one, Mapping) for one in messages):
            raise PolicyError(f"harness: {shown(messages)} is not a list of messages (dicts)")
        head, rounds = _rounds(messages)
        older: list[Message] = []
        recent = rounds
        for policy, kept in (self.context or {}).items():
            older, recent = self._kept(policy, kept, rounds, summarise)
        latest = [self._shortened(message, False) for one in recent for message in one]
        return [*(self._shortened(message, True) for message in head), *older, *latest]

    def shown_tools(self, tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of an application's tool definitions that were shown when the harness was measured,
        in their order. PolicyError where one of them is not among them."""
        if self.tools is None:
            return list(tools)
        named = {tool_name(tool): tool for tool in tools}
        missing = [name for name in self.tools if name not in named]
        if missing:
            raise PolicyError(
                f"harness {shown(self.name)} was measured with tool {missing[0]!r}, which is not among "
                f"{', '.join(map(repr, named)) or 'none'}; pass all tools that it was measured with"
            )
        return [tool for name, tool in named.items() if name in self.tools]

    def to_json(self) -> dict[str, Any]:
        """As policy.json, logs and outcomes hold it: what is set, without the name."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "name"}
        found["observations"] = None if self.observations == OBSERVERS[0] else self.observations
        return {
            key: list(value)
            if isinstance(value, tuple)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for key, value in found.items()
            if value is not None
        }

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, Any]) -> Harness:
        """What `to_json` gave. PolicyError for anything else."""
        known = {one.name for one in fields(cls)} - {"name"}
        extra = sorted(set(value) - known)
        if extra:
            raise PolicyError(
                f"harness {shown(name)}: unknown key {shown(extra[0])}; known: {', '.join(sorted(known))}"
            )
        tools = value.get("tools")
        if tools is not None and not isinstance(tools, list | tuple):
            raise PolicyError(f"harness {shown(name)}: tools {shown(tools)} are not a list of names")
        return cls(name, **{**value, **({} if tools is None else {"tools": tuple(tools)})})

    def _kept(
        self, policy: str, kept: int, rounds: list[list[Message]], summarise: Summarise | None
    ) -> tuple[list[Message], list[list[Message]]]:
        """(what stands in the place of earlier rounds, the rounds that stay as they are)."""
        if policy == "fresh":
            # The last round before a beginning stays: its results are what comes next.
            return [], rounds[-(len(rounds) % kept + 1) :] if len(rounds) >= kept else rounds
        older, recent = rounds[:-kept], rounds[-kept:]
        if policy == "last" or not older:
            return [], recent
        if policy == "mask":
            return [self._masked(message) for one in older for message in one], recent
        if summarise is None:
            raise PolicyError(
                f"harness {shown(self.name)} summarises what is older than {kept} rounds: pass `summarise`, a function "
                "of the text that gives the shorter one, with the model that it was measured with"
            )
        text = "\n\n".join(said for one in older for message in one if (said := transcript(message)))
        return [{"role": "user", "content": SUMMARY.format(text=summarise(text))}], recent

    def _masked(self, message: Message) -> Message:
        return self._with_results(message, lambda text: LEFT_OUT.format(count=len(text)))

    def _shortened(self, message: Message, first: bool) -> Message:
        most = self.result_chars
        if most is None or (self.observations == "user" and first):
            return message

        def cut(text: str) -> str:
            return text if len(text) <= most else text[:most] + CUT_OFF.format(count=len(text) - most)

        return self._with_results(message, cut)

    def _with_results(self, message: Message, change: Callable[[str], str]) -> Message:
        """The message with `change` at the text of each result; itself where that is the same."""
        role, content = message.get("role"), message.get("content")
        if message.get("type") == _RESPONSES_RESULT:
            return _changed(message, "output", message.get("output"), change)
        if role == _CHAT_RESULT or (
            self.observations == "user" and role == "user" and not _holds_results(content)
        ):
            return _changed(message, "content", content, change)
        if role == "user" and isinstance(content, list | tuple):
            parts = [
                _changed(part, "content", part.get("content"), change) if _is_result(part) else part
                for part in content
            ]
            return (
                message
                if all(new is old for new, old in zip(parts, content, strict=True))
                else {**message, "content": parts}
            )
        return message


def _is_result(part: object) -> TypeGuard[Message]:
    return isinstance(part, Mapping) and part.get("type") == _ANTHROPIC_RESULT


def _holds_results(content: object) -> bool:
    """Whether it answers calls of tools: then a text in its place would leave them unanswered."""
    return isinstance(content, list | tuple) and any(map(_is_result, content))


def _changed(holder: Message, key: str, content: object, change: Callable[[str], str]) -> Message:
    text = text_of(content)
    new = change(text)
    return holder if not text or new == text else {**holder, key: new}


def _rounds(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """(what comes before the first answer, the rounds): a round begins with an answer that follows
    something else, so that calls and their results stay together."""
    answers = [_is_answer(message) for message in messages]
    starts = [at for at, is_one in enumerate(answers) if is_one and not (at and answers[at - 1])]
    first, ends = (starts[0], [*starts[1:], len(messages)]) if starts else (len(messages), [])
    return list(messages[:first]), [list(messages[a:b]) for a, b in zip(starts, ends, strict=True)]


def _is_answer(message: Message) -> bool:
    return message.get("role") == "assistant" or message.get("type") in ("function_call", "reasoning")


def transcript(message: Message) -> str:
    """Who said what, as plain text: a model's calls of tools and their results with it."""
    role = str(message.get("role") or message.get("type") or "")
    content = message.get("content", message.get("output"))
    parts = [text_of(content)]
    for part in content if isinstance(content, list | tuple) else ():
        if isinstance(part, Mapping) and part.get("type") == _ANTHROPIC_RESULT:
            parts.append(text_of(part.get("content")))
        elif isinstance(part, Mapping) and part.get("type") == "tool_use":
            parts.append(f"{part.get('name')}({part.get('input')})")
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list | tuple) else ():
        asked = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(asked, Mapping):
            parts.append(f"{asked.get('name')}({asked.get('arguments')})")
    if message.get("type") == "function_call":
        parts.append(f"{message.get('name')}({message.get('arguments')})")
    said = "\n".join(part for part in parts if part)
    return f"{role}: {said}" if said else ""


def tool_name(tool: Mapping[str, Any]) -> str:
    """What a tool definition of any of the APIs calls its tool."""
    inner = tool.get("function")
    return str((inner if isinstance(inner, Mapping) else tool).get("name") or tool.get("type") or "")


PLAIN = Harness("")
"""Changes nothing: of a candidate without a harness."""
