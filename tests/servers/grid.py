"""A small project on disk: a task, suites, prices and a sweep against loopback servers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

TASK = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, get_model
from inspect_ai.scorer import Score, accuracy, includes, scorer
from inspect_ai.solver import generate, solver


@solver
def rounds(turns: int):
    """Ask, then ask again `turns - 1` times in the same conversation."""
    async def solve(state, generate):
        state = await generate(state)
        for turn in range(1, turns):
            state.messages.append(ChatMessageUser(content=f"again {state.sample_id[1:]}"))
            state = await generate(state)
        return state
    return solve


@scorer(metrics=[accuracy()])
def judged():
    """The candidate's own model says whether the answer is right."""
    async def score(state, target):
        verdict = await get_model().generate(f"is {state.output.completion} the same as {target.text}")
        right = target.text in state.output.completion
        return Score(value="C" if right else "I", answer=verdict.completion)
    return score


@task
def echo(n: int = 12, word: str = "say", marks: str = "", turns: int = 1, judge: bool = False, api_key: str = ""):
    """Ask for a number; samples whose number stands in `marks` (`3:429,5:down`) carry that marker."""
    extra = dict(pair.split(":") for pair in marks.split(",") if pair)
    samples = []
    for i in range(n):
        mark = f"[[{extra[str(i)]}]] " if str(i) in extra else ""
        samples.append(Sample(id=f"s{i}", input=f"{mark}{word} {i}", target=str(i), metadata={"topic": i % 5}))
    asking = rounds(turns) if turns > 1 else generate()
    return Task(dataset=samples, solver=asking, scorer=judged() if judge else includes())
'''


def write_project(
    folder: Path, sweep: dict[str, Any], suites: dict[str, Any] | None = None, **files: Any
) -> Path:
    """Write task, suites.yaml, efforts.yaml, prices.yaml and sweep.yaml into `folder`; returns the sweep file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tasks.py").write_text(textwrap.dedent(TASK))
    content = {
        "suites.yaml": suites or {"echo": {"task": "tasks.py@echo", "group": "topic"}},
        "efforts.yaml": files.pop("efforts", {}),
        "prices.yaml": {"models": files.pop("prices", {})},
        "sweep.yaml": {
            "name": "t",
            "suites": list(suites or {"echo": None}),
            "suites_file": "suites.yaml",
            "efforts_file": "efforts.yaml",
            "prices_file": "prices.yaml",
            **sweep,
        },
    }
    for name, value in content.items():
        (folder / name).write_text(yaml.safe_dump(value, sort_keys=False))
    return folder / "sweep.yaml"


def price(input: float, output: float, **more: Any) -> list[dict[str, Any]]:
    """One entry of prices.yaml that holds since ever."""
    return [
        {
            "starts": "2020-01-01",
            "input": input,
            "output": output,
            "source": "test",
            "checked": "2020-01-01",
            **more,
        }
    ]
