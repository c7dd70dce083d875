"""Agent: read files and return fields, in a text protocol that small models can follow.

Quality is the share of right fields. Every turn is one action: `READ file`, `REPAIR file` (a badly formatted file can
only be read after that), or the answer as a JSON object. An answer is accepted when it has the keys asked for and every
value stands in a file that was read. Anything else comes back as an error, is appended to the conversation, and the
model tries again: the naive loop, whose bill grows with every turn. `max_turns`, `keep_results` and `terse` bound it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from inspect_ai import Task, task
from inspect_ai.model import ChatMessage, ChatMessageUser
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from suite_lib import last_object, same_value, scored, suite_task

MAX_TURNS = 6
ACTION = re.compile(r"\b(READ|REPAIR)\b(?:[ \t:`*\"'<\[]*([\w-]+(?:\.\w+)?))?")


@task
def agent(max_turns: int = MAX_TURNS, keep_results: int | None = None, terse: bool = False) -> Task:
    """Args: most turns; how many of the last tool results stay in the context (null: all); short observations."""
    return suite_task("agent", fields(), loop(max_turns, keep_results, terse))


class Desk:
    """What answers the model's actions: the documents, which of them are readable yet, and what was read."""

    def __init__(
        self, documents: Mapping[str, str], broken: list[str], wanted: list[str], terse: bool = False
    ) -> None:
        self.documents, self.wanted, self.terse = documents, wanted, terse
        self.garbled = set(broken)
        self.form = json.dumps(dict.fromkeys(wanted, "..."))
        self.seen: list[str] = []

    def step(self, reply: str) -> str | None:
        """The observation that answers `reply`, or None when its answer is accepted and the work is done."""
        action = ACTION.search(reply)
        # Of several actions in one reply the first counts: what follows was written before its result was known.
        if action and "{" not in reply[: action.start()]:
            return self._open(action[1], action[2], reply)
        fault = self.fault(last_object(reply))
        return None if fault is None else self._refuse(fault, reply)

    def fault(self, got: dict[str, Any] | None) -> str | None:
        """Why an answer cannot be right, as far as can be told without knowing it; else None."""
        if got is None:
            return "that is neither an action nor a JSON object"
        if got.keys() != set(self.wanted):
            return f"the keys must be {', '.join(self.wanted)}"
        for key, value in got.items():
            text = _plain(value)
            if not text or not any(_stands_in(text, _plain(document)) for document in self.seen):
                return f"{key} is in no document that you have read"
        return None

    def _open(self, verb: str, asked: str | None, reply: str) -> str:
        # A file may be named without its ending; no name, or the placeholder, means the next one that was not read.
        asked = None if asked and asked.casefold() == "file" else asked
        names = [asked.casefold()] if asked else [n.casefold() for n in self._unread()[:1]]
        found = [
            n for n in self.documents if names and names[0] in (n.casefold(), n.casefold().partition(".")[0])
        ]
        if not found:
            return self._refuse(f"there is no file {asked}" if asked else "every file was read", reply)
        name, text = found[0], self.documents[found[0]]
        if verb == "REPAIR":
            self.garbled.discard(name)
        elif name in self.garbled:
            return self._garbled(name, text)
        self.seen.append(text)
        more = "".join(f", or READ {n}" for n in self._unread()[:1])
        return f"{name}:\n{text}\n\nReply with JSON{'' if self.terse else ' like ' + self.form}{more}."

    def _unread(self) -> list[str]:
        return [name for name, text in self.documents.items() if text not in self.seen]

    def _garbled(self, name: str, text: str) -> str:
        if self.terse:
            return f"ERROR: {name} is garbled. Reply with one line:\nREPAIR {name}"
        raw = "".join("#" if i % 3 == 1 else c for i, c in enumerate(text)).replace("\n", "\\n")
        return (
            f"ERROR: reading {name} failed\nTraceback (most recent call last):\n"
            f'  File "reader.py", line 88, in parse\n    raise FormatError(repr(page))\n'
            f"FormatError: '{raw[:90]}'"
        )

    def _refuse(self, fault: str, reply: str) -> str:
        if self.terse:
            return f"ERROR: {fault}."
        files = ", ".join(self.documents)
        return (
            f"ERROR: {fault}.\nYour reply was: {reply.strip()[:120]}\nFiles: {files}.\n"
            f"Reply READ and a file, or JSON like {self.form}. Try again."
        )


@solver
def loop(max_turns: int = MAX_TURNS, keep_results: int | None = None, terse: bool = False) -> Solver:
    """Ask, act, append the observation, ask again, until an answer is accepted or `max_turns` were used."""
    if max_turns < 1:
        raise ValueError(f"max_turns is {max_turns}; it must be at least 1")
    if keep_results is not None and keep_results < 1:
        raise ValueError(f"keep_results is {keep_results}; it must be at least 1, or null for all")

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        desk = Desk(state.metadata["documents"], state.metadata["broken"], state.metadata["fields"], terse)
        for turn in range(max_turns):
            state = await generate(state)
            observation = desk.step(state.output.completion)
            if observation is None or turn == max_turns - 1:
                break
            state.messages.append(ChatMessageUser(content=observation))
            state.messages = recent(state.messages, keep_results)
        state.metadata["accepted"] = observation is None
        return state

    return solve


def recent(messages: list[ChatMessage], keep_results: int | None) -> list[ChatMessage]:
    """The task and the last `keep_results` pairs of action and result; everything if null."""
    head = next(i for i, message in enumerate(messages) if message.role == "user") + 1
    tail = messages[head:]
    return messages if keep_results is None else messages[:head] + tail[-2 * keep_results :]


@scorer(metrics=[mean(), stderr()])
def fields() -> Scorer:
    """The share of right fields in the last reply's answer; the check is that the loop accepted it."""

    async def score(state: TaskState, target: Target) -> Score:
        value, answer = grade(state.output.completion, target.text)
        return scored(value, answer=answer, check=bool(state.metadata.get("accepted")))

    return score


def grade(completion: str, target: str) -> tuple[float, str | None]:
    """(quality, the answer read). A reply that does not come to ANSWER is no answer."""
    want: dict[str, str] = json.loads(target)
    got = last_object(completion)
    if got is None:
        return 0.0, None
    right = sum(same_value(got.get(key), value) for key, value in want.items())
    return right / len(want), json.dumps(got, ensure_ascii=False)


def _plain(value: Any) -> str:
    return " ".join(str(value).casefold().split()) if isinstance(value, (str, int, float)) else ""


def _stands_in(value: str, document: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", document) is not None
