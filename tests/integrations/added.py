"""`make bench-integrations`: what a drop-in for agents adds to a model call, decision and budget included.

The host's own work (its messages made ready, its request, the answer read) is a stub. Times are of the thread itself:
what other processes took meanwhile is not its own. An agent of five tools, with ten messages before the question.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from tests.integrations.worlds import EASY, HARD, choosing

CALLS = 3_000
LONG = "Some earlier turn of an agent that has read a file. " * 40
SETTINGS: dict[str, Any] = {"suite": "triage", "session_turns": 10**6}
TOOLS = ("search", "read", "write", "run", "ask")
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "Of the file, from the root."}},
}


def questions() -> Iterator[str]:
    for number in range(CALLS):
        yield f"{(EASY, HARD)[number % 2]} {number}"


def pydantic_ai() -> Callable[[str], Awaitable[object]]:
    from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition

    from router_lab.integrations.pydantic_ai import RoutedModel

    class Stub(OpenAIChatModel):
        async def request(self, *_: Any) -> ModelResponse:
            return ModelResponse([TextPart("so")])

        def prepare_messages(self, messages: list[ModelMessage], *_: Any) -> list[ModelMessage]:
            return messages

    model = RoutedModel(
        Stub("own", provider=OpenAIProvider(api_key="x")), choosing("openai_chat"), **SETTINGS
    )
    tools = [ToolDefinition(name=name, description=LONG, parameters_json_schema=SCHEMA) for name in TOOLS]
    before: list[ModelMessage] = [
        ModelRequest([UserPromptPart(LONG)]),
        ModelResponse([TextPart(LONG)]),
    ] * 5

    def ask(text: str) -> Awaitable[object]:
        last = ModelRequest([UserPromptPart(text)], instructions="Help.", conversation_id="c")
        return model.request(
            [*before, last], ModelSettings(temperature=0.5), ModelRequestParameters(function_tools=tools)
        )

    return ask


def openai_agents() -> Callable[[str], Awaitable[object]]:
    from agents import FunctionTool, ModelSettings, ModelTracing, Usage
    from agents.items import ModelResponse

    from router_lab.integrations.openai_agents import RoutedProvider

    class Stub:
        async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
            return ModelResponse([], Usage(), None)

    stubs: Any = type("Stubs", (), {"get_model": lambda self, name: Stub()})()
    provider = RoutedProvider(choosing("openai_responses"), others=stubs, **SETTINGS)
    provider._by_api["openai_responses"] = stubs
    model: Any = provider.get_model("router_lab/triage")
    never: Any = None
    tools = [FunctionTool(name, LONG, SCHEMA, never) for name in TOOLS]
    before = [{"role": ("user", "assistant")[place % 2], "content": LONG} for place in range(10)]
    kept = {"previous_response_id": None, "conversation_id": None, "prompt": None}
    settings = ModelSettings(temperature=0.5, extra_headers={"x-router-lab-session": "s"})

    def ask(text: str) -> Awaitable[object]:
        asked = [*before, {"role": "user", "content": text}]
        found: Awaitable[object] = model.get_response(
            "Help.", asked, settings, tools, None, [], ModelTracing.DISABLED, **kept
        )
        return found

    return ask


def langchain() -> Callable[[str], Awaitable[object]]:
    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
    from langchain_core.tools import StructuredTool
    from langchain_openai import ChatOpenAI

    from router_lab.integrations.langchain import Routed

    def read(path: str) -> str:
        """Read a file."""
        return path

    routed = Routed(choosing("openai_responses"), **SETTINGS)
    model: Any = ChatOpenAI(model="own", api_key="x", temperature=0.5)  # type: ignore[arg-type]
    tools: list[Any] = [StructuredTool.from_function(read, name=name, description=LONG) for name in TOOLS]
    before: list[AnyMessage] = [HumanMessage(LONG), AIMessage(LONG)] * 5

    async def answered(request: ModelRequest[Any]) -> ModelResponse[Any]:
        return ModelResponse(result=[AIMessage("so")])

    def ask(text: str) -> Awaitable[object]:
        messages = [*before, HumanMessage(text)]
        request: ModelRequest[Any] = ModelRequest(
            model=model, messages=messages, tools=tools, system_message=SystemMessage("Help.")
        )
        return routed.awrap_model_call(request, answered)

    return ask


HOSTS = {"pydantic_ai": pydantic_ai, "openai_agents": openai_agents, "langchain": langchain}


async def main(name: str) -> None:
    ask, spent = HOSTS[name](), list[float]()
    for text in questions():
        begun = time.thread_time()
        await ask(text)
        spent.append((time.thread_time() - begun) * 1e6)
    spent.sort()
    middle, late = spent[len(spent) // 2], spent[int(0.99 * len(spent))]
    print(
        f"{'added to a call of ' + name:44} {len(spent):6,} {middle:9,.0f} {late:9,.0f} {spent[-1]:9,.0f} µs"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
