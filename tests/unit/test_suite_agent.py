"""The agent suite: the desk's answers, the loop's growing bill and what bounds it."""

import asyncio
import hashlib
import importlib
import json
import re
import sys
from collections import Counter

import pytest


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    """Inspect puts a task file's folder on the path; here the tests do."""
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in ("agent", "suite_lib"):
        sys.modules.pop(name, None)


@pytest.fixture
def rows(root):
    return [json.loads(line) for line in (root / "datasets/agent/data.jsonl").read_text().splitlines()]


@pytest.fixture
def agent():
    return importlib.import_module("agent")


FILES = {"bill7.scan": "net: $5\ntotal: $7", "note7.txt": "Ana has the van."}


def test_data_is_what_the_generator_makes_and_the_readme_says(root):
    data = (root / "datasets/agent/data.jsonl").read_bytes()
    assert importlib.import_module("evals.make.__main__").build("agent") == data
    assert hashlib.sha256(data).hexdigest() in (root / "datasets/agent/README.md").read_text()


def test_groups_are_many_and_small_and_the_prompt_says_what_a_runtime_sees(rows):
    sizes = Counter(row["group"] for row in rows)
    assert len(rows) == 100
    assert len(sizes) >= 60
    assert max(sizes.values()) <= 0.05 * len(rows)
    assert Counter(row["difficulty"] for row in rows).keys() == {1, 2, 3}
    for row in rows:
        assert all(word in row["input"] for word in [*row["documents"], *row["fields"], "READ", "REPAIR"]), (
            row["id"]
        )
    assert 0.15 < sum(bool(row["broken"]) for row in rows) / len(rows) < 0.45


def test_an_agent_that_reads_and_repairs_everything_can_give_every_target(rows, agent):
    for row in rows:
        desk = agent.Desk(row["documents"], row["broken"], row["fields"])
        for name in row["documents"]:
            garbled = desk.step(f"READ {name}").startswith("ERROR")
            assert garbled == (name in row["broken"])
            if garbled:
                assert not desk.step(f"REPAIR {name}").startswith("ERROR")
        assert desk.step(row["target"]) is None, row["id"]
        assert agent.grade(row["target"], row["target"])[0] == 1.0


def test_a_garbled_file_shows_no_value_until_it_is_repaired(agent):
    desk = agent.Desk(FILES, ["bill7.scan"], ["total"])
    assert "$7" not in desk.step("READ bill7.scan")
    assert desk.step('{"total": "$7"}').startswith("ERROR: total is in no document that you have read")
    assert desk.step("REPAIR bill7.scan").startswith("bill7.scan:\nnet: $5\ntotal: $7\n")
    assert desk.step('{"total": "$7"}') is None


@pytest.mark.parametrize(
    ("reply", "start"),
    [
        ("READ note7.txt", "note7.txt:\nAna"),
        ("read: I would READ `note7.txt`.", "note7.txt:\nAna"),
        ("READ note7", "note7.txt:\nAna"),
        ("READ", "bill7.scan:\nnet"),
        ("REPAIR file", "bill7.scan:\nnet"),
        ("READ bill7.scan\nREAD note7.txt", "bill7.scan:\nnet"),
        ("READ nothing.txt", "ERROR: there is no file nothing.txt"),
        ("I do not know.", "ERROR: that is neither an action nor a JSON object"),
        ('{"sum": "$7"}', "ERROR: the keys must be total"),
        ('{"total": "..."}', "ERROR: total is in no document"),
        ('{"total": {"a": 1}}', "ERROR: total is in no document"),
    ],
)
def test_what_the_desk_says(agent, reply, start):
    assert agent.Desk(FILES, [], ["total"]).step(reply).startswith(start)


def test_a_part_of_a_value_is_not_grounded(agent):
    desk = agent.Desk({"a.txt": "total: $75"}, [], ["total"])
    desk.step("READ a.txt")
    assert desk.step('{"total": "$7"}') is not None
    assert desk.step('{"total": "75"}') is None


def test_quality_is_the_share_of_right_fields(agent):
    target = '{"total": "$7", "sender": "Ana"}'
    assert agent.grade('```json\n{"total": 7, "sender": "ana"}\n```', target)[0] == 1.0
    assert agent.grade('{"total": "$5", "sender": "Ana"}', target)[0] == 0.5
    assert agent.grade("READ a.txt", target) == (0.0, None)


def play(agent, replies, **bounds):
    """Run the solver against scripted replies; (state, what every turn was asked)."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelName, ModelOutput
    from inspect_ai.solver import TaskState

    asked = []

    async def generate(state):
        reply = replies[min(len(asked), len(replies) - 1)]
        asked.append([message.text for message in state.messages])
        state.output = ModelOutput.from_content("mockllm/model", reply)
        state.messages.append(ChatMessageAssistant(content=reply))
        return state

    metadata = {"documents": FILES, "broken": ["bill7.scan"], "fields": ["total"]}
    state = TaskState(
        ModelName("mockllm/model"), 1, 1, "go", [ChatMessageUser(content="go")], metadata=metadata
    )
    return asyncio.run(agent.loop(**bounds)(state, generate)), asked


def test_a_naive_loop_pays_more_every_turn_until_it_is_stopped(agent):
    state, asked = play(agent, ["READ bill7.scan"])
    sizes = [sum(map(len, turn)) for turn in asked]
    assert len(asked) == agent.MAX_TURNS
    assert sizes == sorted(set(sizes))
    assert state.metadata["accepted"] is False


def test_bounds_cut_turns_context_and_observations(agent):
    _, free = play(agent, ["READ bill7.scan"])
    state, asked = play(agent, ["READ bill7.scan"], max_turns=4, keep_results=1, terse=True)
    assert len(asked) == 4
    assert [len(turn) for turn in asked] == [1, 3, 3, 3]
    assert asked[3][0] == "go"
    assert len(asked[1][-1]) < len(free[1][-1]) / 2
    assert state.metadata["accepted"] is False


def test_the_loop_ends_with_the_accepted_answer(agent):
    replies = ["READ bill7.scan", "REPAIR bill7.scan", '{"total": "$7"}', "never asked"]
    state, asked = play(agent, replies)
    assert len(asked) == 3
    assert state.metadata["accepted"] is True
    assert state.output.completion == '{"total": "$7"}'


@pytest.mark.parametrize("bounds", [{"max_turns": 0}, {"keep_results": 0}])
def test_bounds_that_bound_nothing_are_refused(agent, bounds):
    with pytest.raises(ValueError, match=re.escape(f"{next(iter(bounds))} is 0")):
        agent.loop(**bounds)
