"""What a sweep lets a harness read of messages, and which roles a team may have."""

from __future__ import annotations

import pytest
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool
from inspect_ai.tool import ToolCall

from router_lab.config import TeamSpec, parse
from router_lab.runtime.errors import InputError
from router_lab.runtime.harness import transcript
from router_lab.sweep.around import _view


def test_a_summary_is_made_of_calls_too_as_in_an_application() -> None:
    call = ToolCall(id="t", function="read", arguments={"n": 1})
    answer = ChatMessageAssistant(content="", tool_calls=[call])
    assert transcript(_view(answer, 0)) == 'assistant: read({"n": 1})'
    assert transcript(_view(ChatMessageTool(content="seen", tool_call_id="t"), 1)) == "tool: seen"


def test_a_team_does_not_judge_itself() -> None:
    with pytest.raises(InputError, match="grader is who judges"):
        parse(TeamSpec, {"roles": {"planner": "m", "grader": "m"}}, where="sweep.yaml")
    assert list(parse(TeamSpec, {"roles": {"None": "m", "check": "m"}}, where="x").roles) == ["None", "check"]
