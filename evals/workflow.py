"""Workflow: a planner, an executor and a checker read two fields from three documents of mixed quality.

The planner sees what the documents are called and says which one to trust for each field; the executor reads one field
from one document, a call each; the checker sees fields and values, and accepts them or names the wrong one, which the
executor then reads again from another document that speaks of it. Quality is 1 where every value is right, else 0; each
step is scored beside it.

Every role's prompt depends on the task and on little else (a read on document and field, a check on the values), so
teams that differ in one role make many calls in common. A role that nobody has is the evaluated model's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inspect_ai import Task, task
from inspect_ai.model import ModelOutput, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolInfo, ToolParam, ToolParams
from suite_lib import same_value, scored, suite_task

NOTHING = "none"
"""What a reader answers where a paper does not say."""
ASSIGN = ToolInfo(
    name="assign",
    description="Say which file is to be read for a field. Call it once for each field.",
    parameters=ToolParams(
        properties={
            "field": ToolParam(type="string", description="The field."),
            "file": ToolParam(type="string", description="The file's name."),
        },
        required=["field", "file"],
    ),
)


@task
def workflow(retries: int = 1, terse: bool = False, tools: bool = False) -> Task:
    """Args: rounds of a check with what it rejects read again (0: no checker); an executor that sees only the sentences
    with the field's name; a planner that answers by tool calls, where its model can."""
    return suite_task("workflow", whole(), roles(retries, terse, tools))


@dataclass
class Run:
    """What was done in one sample: the values read and from where, the steps, and what the checker said last."""

    documents: list[dict[str, Any]]
    fields: list[str]
    want: Mapping[str, str]
    values: dict[str, str] = field(default_factory=dict)
    read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    accepted: bool | None = None

    def note(self, name: str, role: str, passed: bool) -> None:
        """A step that was made; its turn counts the role's own calls."""
        turn = 1 + sum(step["role"] == role for step in self.steps)
        self.steps.append({"name": name, "passed": passed, "role": role, "turn": turn})

    def wrong(self) -> list[str]:
        """The fields whose values are not the wanted ones."""
        return [name for name in self.fields if not same_value(self.values[name], self.want[name])]

    def another(self, name: str) -> dict[str, Any] | None:
        """The next document that speaks of the field and was not read for it."""
        others = (one for one in self.documents if one not in self.read[name])
        return next((one for one in others if name.casefold() in one["text"].casefold()), None)


@solver
def roles(retries: int = 1, terse: bool = False, tools: bool = False) -> Solver:
    """Plan, read every field, then check and read again up to `retries` times."""
    if retries < 0:
        raise ValueError(f"retries is {retries}; it must be 0 or more")

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        run = Run(state.metadata["documents"], state.metadata["fields"], json.loads(state.target.text))
        plan = await _plan(run, state.input_text, tools)
        for number, name in enumerate(run.fields, start=1):
            await _read(run, name, plan[name], f"read field {number}", terse)
        for _ in range(retries):
            rejected = await _check(run)
            another = None if rejected is None else run.another(rejected)
            if rejected is None or another is None:
                break
            await _read(run, rejected, another, "read again", terse)
        state.output = ModelOutput.from_content(str(state.model), json.dumps(run.values, ensure_ascii=False))
        state.metadata |= {"values": run.values, "steps": run.steps, "accepted": run.accepted}
        return state

    return solve


async def _plan(run: Run, prompt: str, tools: bool) -> dict[str, dict[str, Any]]:
    """The document of each field; the first one where the planner names none."""
    output = await get_model(role="planner").generate(prompt, tools=[ASSIGN] if tools else [])
    calls = [call.arguments for call in output.message.tool_calls or ()]
    said = ", ".join(f"{call.get('field')}: {call.get('file')}" for call in calls) or output.completion
    named = read_plan(said, run.fields, [document["name"] for document in run.documents])
    by_name = {document["name"]: document for document in run.documents}
    plan = {name: by_name.get(named[name] or "", run.documents[0]) for name in run.fields}
    run.note("plan", "planner", all(plan[name]["holds"][name] == run.want[name] for name in run.fields))
    return plan


async def _read(run: Run, name: str, document: dict[str, Any], step: str, terse: bool) -> None:
    """Passed where the executor read what the document says, or that it does not say."""
    text = sentences_with(document["text"], name) if terse else document["text"]
    prompt = f"{text}\n\nWhat is the {name}? Reply with its value, or {NOTHING}."
    output = await get_model(role="executor").generate(prompt)
    run.values[name] = value_in(output.completion, name)
    run.read.setdefault(name, []).append(document)
    run.note(step, "executor", same_value(run.values[name], document["holds"][name] or NOTHING))


async def _check(run: Run) -> str | None:
    """The field that the checker names as wrong, or None where it accepts. Passed where that is so."""
    listed = "\n".join(f"{name}: {value}" for name, value in run.values.items())
    prompt = f"{listed}\n\nWhich has no fitting value: {', '.join(run.fields)} or neither?"
    output = await get_model(role="checker").generate(prompt)
    rejected = rejected_in(output.completion, run.fields)
    run.accepted = rejected is None
    wrong = run.wrong()
    run.note("check", "checker", rejected in wrong if wrong else run.accepted)
    return rejected


@scorer(metrics=[mean(), stderr()])
def whole() -> Scorer:
    """1 where every value is right, else 0; the check is the checker's, or, without one, that every value was found."""

    async def score(state: TaskState, target: Target) -> Score:
        values, want = state.metadata["values"], json.loads(target.text)
        right = all(same_value(values[name], value) for name, value in want.items())
        accepted = state.metadata["accepted"]
        found = all(value and value != NOTHING for value in values.values())
        return scored(
            float(right),
            answer=state.output.completion,
            check=found if accepted is None else accepted,
            steps=state.metadata["steps"],
        )

    return score


def read_plan(reply: str, fields: list[str], files: list[str]) -> dict[str, str | None]:
    """The file that a reply names for each field: the first behind the field's name and before the next one's, or, in a
    reply without fields' names, the first for the first and so on. A name may lack its ending."""
    text = reply.casefold()
    stems = {file.rpartition(".")[0].casefold(): file for file in files}
    pattern = "|".join(map(re.escape, sorted(stems, key=len, reverse=True)))
    named = [(m.start(), stems[m[0]]) for m in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text)]
    starts = {name: re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text) for name in fields}
    if not any(starts.values()):
        return {name: next((file for _, file in named[at : at + 1]), None) for at, name in enumerate(fields)}
    places = sorted(found.end() for found in starts.values() if found)
    plan: dict[str, str | None] = {}
    for name, found in starts.items():
        start = found.end() if found else len(text)
        end = next((place for place in places if place > start), len(text))
        plan[name] = next((file for at, file in named if start <= at < end), None)
    return plan


def value_in(reply: str, name: str) -> str:
    """The value that a reply gives: its first line, without the field's name before it and a full stop behind it."""
    line = next((line.strip() for line in reply.splitlines() if line.strip()), "")
    bare = re.sub(rf"^(?:the\s+)?{re.escape(name)}\s*(?:is|:|=)\s*", "", line, flags=re.I)
    return bare.strip(" .`\"'*")


def rejected_in(reply: str, fields: list[str]) -> str | None:
    """The field that a checker's reply names first; None where it names none, or says `neither`."""
    text = reply.casefold()
    found = sorted((text.find(name.casefold()), name) for name in fields if name.casefold() in text)
    return found[0][1] if found and "neither" not in text else None


def sentences_with(text: str, name: str) -> str:
    """The sentences and lines of a document that name the field; all of it where none does."""
    parts = re.split(r"(?<=[.!?]) +|\n", text)
    return " ".join(part for part in parts if name.casefold() in part.casefold()) or text
