"""One model call as a trace tells of it, whichever format it came in; and what could not be
read."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from router_lab.prices import Tokens
from router_lab.traces.conversation import Message, ToolUse, last_question

CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
"""Finish reasons of an answer that ended because there was no more room."""
UNNAMED = "all"
"""The route of calls whose source names none."""


class Problem(NamedTuple):
    """A line, span or row that could not be read: where it stands, and the rule that it breaks."""

    file: str
    place: str
    rule: str


@dataclass(frozen=True)
class TracedCall:
    """A model call. What the source does not say is None, or empty.

    - file, place: where it was read
    - model, provider: as the source names them
    - route: what of the application asked: the suite of these calls
    - session, trace, span: ids of the source
    - messages: what the model read, as far as the source keeps it; answer: what it wrote
    - tokens: `input` without cached ones, `output` with reasoning, as everywhere here
    - begun: what the source says of the start where that is no time
    - behind: the tools that ran behind the call, where its answer names none
    - usd: dollars as the source says; None = it says nothing
    - error: the failure in the source's words; finish: why the answer ended
    - key: what names the whole request where its text is not kept, such as a cache's key
    - metadata: all that the source says beside this, under its own names
    """

    file: str
    place: str
    model: str
    provider: str | None = None
    route: str = UNNAMED
    session: str | None = None
    trace: str | None = None
    span: str | None = None
    started: dt.datetime | None = None
    seconds: float | None = None
    messages: tuple[Message, ...] = ()
    answer: Message | None = None
    tokens: Tokens | None = None
    usd: float | None = None
    error: str | None = None
    finish: str | None = None
    tier: str = "standard"
    key: str | None = None
    behind: tuple[ToolUse, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    begun: str | None = None

    @property
    def tools(self) -> tuple[ToolUse, ...]:
        """The tools that it called."""
        return (self.answer.tools if self.answer else ()) or self.behind

    @cached_property
    def prompt(self) -> str | None:
        """The text that a runtime would see: the last user turn's."""
        return last_question(self.messages)

    @cached_property
    def request(self) -> str | None:
        """A digest of all that the model was sent; None where the source keeps neither texts nor a
        key. Calls with one digest, model and route are repeats."""
        if self.messages:
            text = json.dumps([[m.role, m.text, m.tools] for m in self.messages])
            return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return None if self.key is None else f"key:{self.key}"

    @property
    def opens(self) -> bool:
        """Whether its texts show a conversation that begins: nothing was answered before, and they
        are all that was read. Some sources keep of each request what is new; a token has a
        character or more."""
        begins = all(one.role in ("system", "user") for one in self.messages)
        kept = sum(len(one.text) for one in self.messages)
        return begins and kept > 0 and (self.tokens is None or self.tokens.prompt <= kept)

    @property
    def failed(self) -> bool:
        """Whether the call gave no whole answer: an error, or cut off."""
        return self.error is not None or (self.finish or "").lower() in CUT_OFF

    @property
    def done(self) -> bool:
        """Whether a task may end with it: no failure, and no tool waits for its result."""
        return not self.failed and not self.tools


@dataclass(frozen=True)
class Traces:
    """All that was read.

    formats: by file, the format that it was read as. left: how many records are no model call, by
    the reason. problems: every record that could not be read.
    """

    calls: tuple[TracedCall, ...]
    problems: tuple[Problem, ...]
    left: Counter[str]
    formats: Mapping[str, str]
