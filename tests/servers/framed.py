"""Tasks that put something of their own around a sample: what a sweep sends of them is what a decision must send."""

FRAMED = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, prompt_template, solver, system_message, use_tools
from inspect_ai.tool import tool


@tool
def add():
    async def execute(y: int, x: int):
        """Add two numbers.

        Args:
            y: the second
            x: the first
        """
        return x + y
    return execute


@solver
def shots():
    """An example of the task's own, before the question."""
    async def solve(state, generate):
        state.messages[-1:-1] = [ChatMessageUser(content="Question: Say 7"), ChatMessageAssistant(content="7")]
        return state
    return solve


@solver
def doubt():
    async def solve(state, generate):
        state = await generate(state)
        state.messages.append(ChatMessageUser(content="Are you sure?"))
        return await generate(state)
    return solve


@solver
def dated():
    """A line that differs by sample and is no part of its input."""
    async def solve(state, generate):
        state.user_prompt.text += f" It is {state.sample_id}."
        return state
    return solve


def samples():
    return [Sample(id=f"s{i}", input=f"Say {i}" + " please" * (i % 3), target=str(i)) for i in range(5)]


@task
def framed():
    solvers = [system_message("You are exact."), prompt_template("Question: {prompt}\\nOne number, 7 or not."), shots()]
    config = GenerateConfig(temperature=0.5)
    return Task(dataset=samples(), solver=[*solvers, generate()], scorer=includes(), config=config)


@task
def tooled():
    return Task(dataset=samples(), solver=[use_tools([add()]), generate()], scorer=includes())


@task
def doubted():
    return Task(dataset=samples(), solver=doubt(), scorer=includes())


@task
def varied():
    return Task(dataset=samples(), solver=[dated(), generate()], scorer=includes())


@task
def fixed():
    """What it sets itself overrides every effort."""
    return Task(dataset=samples(), solver=generate(max_tokens=64), scorer=includes())
'''
