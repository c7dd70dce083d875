"""Workflow: a planner, an executor and a checker read two fields from three documents of mixed quality.

The planner sees what the documents are called and says which one to trust for each field; the executor reads one field
from one document, a call each; the checker sees a field and its value, and accepts it or not, and what it does not is
read again from another document that speaks of the field. Quality is 1 where every value is right, else 0; each step is
scored beside it.

Every role's prompt depends on the task and on little else (a read on document and field, a check on field and value),
so teams that differ in one role make many calls in common. A role that nobody has is the evaluated model's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from inspect_ai import Task, task
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolInfo, ToolParam, ToolParams
from suite_lib import same_value, scored, suite_task

NOTHING = "none"
"""What a reader answers where a paper does not say."""
SHORT = GenerateConfig(max_tokens=12)
"""What a value, or a yes, needs at most."""
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
def workflow(check: bool = True, retries: int = 1, terse: bool = False, tools: bool = False) -> Task:
    """Args: whether values are checked; how often one that is rejected is read again; an executor that sees only the
    sentences with the field's name; a planner that answers by tool calls, where its model can."""
    return suite_task("workflow", whole(), roles(check, retries, terse, tools))


class Run:
    """What was done in one sample: the values read and from where, the steps, and what the checker last said of each."""

    def __init__(self, documents: list[dict[str, Any]], fields: list[str], want: Mapping[str, str]) -> None:
        self.documents, self.fields, self.want = documents, fields, want
        self.values: dict[str, str] = {}
        self.read: dict[str, list[dict[str, Any]]] = {name: [] for name in fields}
        self.steps: list[dict[str, Any]] = []
        self.verdicts: dict[str, bool] = {}

    def note(self, name: str, role: str, passed: bool) -> None:
        """A step that was made: each is one call, and its turn says which of the sample's."""
        self.steps.append({"name": name, "passed": passed, "role": role, "turn": 1 + len(self.steps)})

    def right(self, name: str) -> bool:
        """Whether the value that was read last is the wanted one."""
        return same_value(self.values[name], self.want[name])

    def another(self, name: str) -> dict[str, Any] | None:
        """The next document that speaks of the field and was not read for it."""
        others = (one for one in self.documents if one not in self.read[name])
        return next((one for one in others if name.casefold() in one["text"].casefold()), None)


@solver
def roles(check: bool = True, retries: int = 1, terse: bool = False, tools: bool = False) -> Solver:
    """Plan, read every field, then check each, and read what is rejected again up to `retries` times."""
    if retries < 0:
        raise ValueError(f"retries is {retries}; it must be 0 or more")

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        run = Run(state.metadata["documents"], state.metadata["fields"], json.loads(state.target.text))
        plan = await _plan(run, state.input_text, tools)
        for number, name in enumerate(run.fields, start=1):
            await _read(run, name, plan[name], f"read field {number}", terse)
        for number, name in enumerate(run.fields if check else [], start=1):
            await _check(run, name, f"check field {number}")
            for _ in range(retries):
                another = None if run.verdicts[name] else run.another(name)
                if another is None:
                    break
                await _read(run, name, another, f"read field {number} again", terse)
                await _check(run, name, f"check field {number} again")
        state.output = ModelOutput.from_content(str(state.model), json.dumps(run.values, ensure_ascii=False))
        state.metadata |= {"values": run.values, "steps": run.steps, "verdicts": run.verdicts}
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
    output = await get_model(role="executor").generate(prompt, config=SHORT)
    run.values[name] = value_in(output.completion, name)
    run.read[name].append(document)
    run.note(step, "executor", same_value(run.values[name], document["holds"][name] or NOTHING))


async def _check(run: Run, name: str, step: str) -> None:
    """Passed where the checker accepts a right value, or rejects another one."""
    prompt = f"{name}: {run.values[name]}\n\nDoes this look like a proper {name}? Reply yes or no."
    output = await get_model(role="checker").generate(prompt, config=SHORT)
    run.verdicts[name] = accepts(output.completion)
    run.note(step, "checker", run.verdicts[name] == run.right(name))


@scorer(metrics=[mean(), stderr()])
def whole() -> Scorer:
    """1 where every value is right, else 0; the check is that the checker accepted all of them, or, without one, that a
    value was found for each."""

    async def score(state: TaskState, target: Target) -> Score:
        values, want = state.metadata["values"], json.loads(target.text)
        right = all(same_value(values[name], value) for name, value in want.items())
        verdicts = state.metadata["verdicts"]
        found = all(value and value.casefold() != NOTHING for value in values.values())
        return scored(
            float(right),
            answer=state.output.completion,
            check=all(verdicts.values()) if verdicts else found,
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


def accepts(reply: str) -> bool:
    """Whether a checker's reply is a yes; whatever is neither yes nor no rejects nothing."""
    words = re.findall(r"\b(?:yes|no)\b", reply.casefold())
    return words[:1] != ["no"]


def sentences_with(text: str, name: str) -> str:
    """The sentences and lines of a document that name the field; all of it where none does."""
    parts = re.split(r"(?<=[.!?]) +|\n", text)
    return " ".join(part for part in parts if name.casefold() in part.casefold()) or text
