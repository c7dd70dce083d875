"""A sweep file resolved to settings: what wins, what identifies a candidate, and the one line for every mistake."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from router_lab.providers.keys import canonical_messages, request_key
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.sweep.forecast import CellEstimate, render
from router_lab.sweep.plan import prepare
from router_lab.sweep.settings import Grid, load_grid
from tests.servers.grid import write_project

EFFORTS = {
    "brief": {"max_tokens": 16, "stop": ["\n"], "suites": {"other": {"max_tokens": 99}}},
    "shots": {"few_shot": {"echo": [{"user": "u", "assistant": "a"}]}, "task_args": {"turns": 3}},
}
SUITES = {"echo": {"task": "tasks.py@echo"}, "other": {"task": "tasks.py@echo"}, "old": {"logs": "old-logs"}}


def grid(folder: Path, suites: list[Any] | None = None, **sweep: Any) -> Grid:
    file = write_project(
        folder, {"models": ["p/m"], "suites": suites or ["echo"], **sweep}, SUITES, efforts=EFFORTS
    )
    return load_grid(file)


def test_sweep_then_model_then_effort_and_transport_is_no_setting(tmp_path: Path) -> None:
    model = {"model": "p/m", "config": {"temperature": 0.5, "max_tokens": 8}, "max_connections": 2}
    cells = grid(
        tmp_path,
        models=[model],
        efforts=[None, "brief", "low"],
        config={"temperature": 0, "seed": 1, "timeout": 9},
    ).cells
    assert [dict(c.settings.config) for c in cells] == [
        {"temperature": 0.5, "seed": 1, "max_tokens": 8},
        {"temperature": 0.5, "seed": 1, "max_tokens": 16, "stop_seqs": ["\n"]},
        {"temperature": 0.5, "seed": 1, "max_tokens": 8, "reasoning_effort": "low"},
    ]
    assert dict(cells[0].transport) == {
        "cache_prompt": False,
        "max_retries": 3,
        "timeout": 9,
        "max_connections": 2,
        "attempt_timeout": 1800,
    }
    assert len({c.settings.sha for c in cells}) == 3


def test_a_candidate_is_written_in_one_form(tmp_path: Path, root: Path) -> None:
    cells = grid(tmp_path, models=["p/m"], efforts=[None, "brief"]).cells
    assert [cell.label for cell in cells] == ["echo × p/m", "echo × p/m @ brief"]
    line = render(
        [CellEstimate("echo", Candidate("p/m", "brief"), 3, None, None, None, None, None, None, 0)]
    ).splitlines()[1]
    assert line.split()[:4] == ["echo", "p/m", "@", "brief"]
    by_hand = re.compile(r"""\(\{[\w.\[\]"']*effort[\w\[\]"']*[},]|@ \{|\bat effort""")
    found = [
        f"{path.name}: {text.strip()}"
        for path in sorted((root / "router_lab").rglob("*.py"))
        for text in path.read_text(encoding="utf-8").splitlines()
        if by_hand.search(text) and path.name != "model.py"
    ]
    assert found == []


def test_a_preset_may_differ_by_suite(tmp_path: Path) -> None:
    cells = {
        (c.suite, c.effort): c.settings
        for c in grid(tmp_path, ["echo", "other"], efforts=["brief", "shots"]).cells
    }
    assert cells["echo", "brief"].config["max_tokens"] == 16
    assert cells["other", "brief"].config["max_tokens"] == 99
    assert cells["echo", "shots"].few_shot == ({"user": "u", "assistant": "a"},)
    assert cells["other", "shots"].few_shot == ()
    assert cells["other", "shots"].task_args == {"turns": 3}


def test_recorded_is_a_way_of_answering_and_not_a_name(tmp_path: Path) -> None:
    models = ["recorded/p/m:x@1", {"model": "p/n", "name": "en"}]
    assert [c.candidate for c in grid(tmp_path, models=models).cells] == [("p/m:x@1", None), ("en", None)]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"suites": ["nope"]}, r"sweep\.yaml: suite `nope` is not in .*suites\.yaml; known: echo, old, other"),
        ({"suites": ["old"]}, "suite `old` is a folder of finished logs; nothing to run"),
        ({"efforts": ["lots"]}, r"effort `lots` is neither a provider's level .* nor a preset in .* \(brief, shots\)"),
        ({"models": ["p/m", "p/m"]}, r"candidate p/m is written 2 times for suite `echo`"),
        ({"modles": []}, r"sweep\.yaml: unknown key `modles`; known: name, models"),
        ({"budget_usd": -1}, r"sweep\.yaml: `budget_usd` is -1: .*greater than 0"),
        ({"budget_usd": math.nan}, r"sweep\.yaml: line \d+: \.nan is not a finite number"),
        ({"budget_usd": math.inf}, r"sweep\.yaml: line \d+: \.inf is not a finite number"),
        ({"suites_file": "gone.yaml"}, r"gone\.yaml: no such file"),
        ({"efforts_file": "gone.yaml"}, r"gone\.yaml: no such file"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_key_value_and_rule(
    tmp_path: Path, sweep: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        grid(tmp_path, **sweep)
    assert "\n" not in str(caught.value)


def test_a_key_forgets_ids_and_how_messages_were_cut_but_not_what_they_say() -> None:
    one = [{"role": "user", "content": "a\nb", "id": "1"}]
    two = [
        {"role": "user", "content": [{"type": "text", "text": "a"}], "id": "2"},
        {"role": "user", "content": "b"},
    ]
    assert canonical_messages(one) == canonical_messages(two)
    call = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "7", "function": "f", "arguments": {"x": 1}}],
    }
    other = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "8", "function": "f", "arguments": {"x": 2}}],
    }
    assert canonical_messages([call]) == canonical_messages(
        [{**call, "tool_calls": [{**call["tool_calls"][0], "id": "9"}]}]
    )
    assert canonical_messages([call]) != canonical_messages([other])
    keys = {
        request_key("m", effort, sha, canonical_messages(one), draw)
        for effort in (None, "low") for sha in ("s", "t") for draw in ("1.0", "1.1", "2.0")
    }  # fmt: skip
    assert len(keys) == 12


def test_a_level_becomes_what_the_table_says_and_the_users_rows_come_first(tmp_path: Path) -> None:
    wire = [
        {"provider": "p", "family": "m*", "effort": "high", "config": {"reasoning_tokens": 4096}},
        {
            "family": "n",
            "effort": "*",
            "config": {"extra_body": {"think": {"level": "$effort"}}},
            "args": {"raw": 1},
        },
        {"provider": "p", "effort": "ultra", "config": {"reasoning_effort": "max", "max_tokens": 9}},
    ]

    def asked(**sweep: Any) -> dict[tuple[str, str | None], tuple[dict[str, Any], dict[str, Any]]]:
        cells = grid(tmp_path, models=["p/m-1", "p/n"], efforts=["low", "high"], **sweep).cells
        return {c.candidate: (dict(c.settings.config), dict(c.settings.model_args)) for c in cells}

    built_in = asked()
    assert built_in["p/m-1", "high"] == ({"reasoning_effort": "high"}, {})
    mine = asked(wire=wire)
    assert mine["p/m-1", "high"] == ({"reasoning_tokens": 4096}, {})
    assert mine["p/m-1", "low"] == built_in["p/m-1", "low"]
    assert mine["p/n", "low"] == ({"extra_body": {"think": {"level": "low"}}}, {"raw": 1})
    (tmp_path / "wire.yaml").write_text("- {family: n, effort: low, config: {reasoning_effort: minimal}}\n")
    assert asked(wire="wire.yaml")["p/n", "low"] == ({"reasoning_effort": "minimal"}, {})
    [cell] = grid(tmp_path, models=["p/m"], efforts=["ultra"], wire=wire).cells
    assert dict(cell.settings.config) == {"reasoning_effort": "max", "max_tokens": 9}
    (tmp_path / "wire.yaml").write_text("- {famly: n}\n")
    with pytest.raises(
        InputError, match=r"wire\.yaml: row 1: unknown key `famly`; known: provider, family, effort"
    ):
        asked(wire="wire.yaml")


@pytest.mark.parametrize("budget", [math.nan, math.inf, -0.01])
def test_a_budget_of_a_call_is_a_number_that_can_be_held(tmp_path: Path, budget: float) -> None:
    sweep = write_project(tmp_path, {"models": ["mockllm/model"], "limits": {"usd": 0.1}})
    with pytest.raises(InputError, match=r"budget_usd .* is not a finite number of 0 or more"):
        prepare(sweep, base=tmp_path, budget_usd=budget)
