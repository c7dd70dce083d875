"""Inspect's private parts: in one file, each listed, each still there, and none with a public call that replaces it."""

import ast
import asyncio
import importlib
import inspect
import os
import pkgutil
import re
import tomllib
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import anyio
import inspect_ai
import pytest
import rich
from anyio.abc import TaskGroup
from inspect_ai import SampleSource, Task, TaskSource, eval_set
from inspect_ai._util.background import set_background_task_group
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSampleSummary
from inspect_ai.log._recorders.buffer import database
from inspect_ai.log._recover import _buffer as recovery
from inspect_ai.model import BatchConfig, GenerateConfig, Model, ModelAPI, get_model
from inspect_ai.model._providers.util.batch import BatchCheckResult, Batcher
from inspect_ai.solver import Generate, Solver, TaskState, solver
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tenacity import stop_after_attempt

from router_lab.inspect_compat import (
    ASSUMED,
    FOLDER,
    NOBODY,
    PARTS,
    TESTED,
    around_generate,
    batches_go_on,
    cancel_sample,
    disown_buffers,
    drop_half_recovered,
    one_line,
    recovery_beside,
    running_sample,
    turns_are_used,
    unwritten,
)
from router_lab.sweep.evalset import ALWAYS
from router_lab.sweep.plan import silent_console

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "router_lab" / "inspect_compat.py"
ROOMS = "agent approval dataset event hooks log model scorer solver tool util"
PUBLIC = ("inspect_ai", *(f"inspect_ai.{name}" for name in ROOMS.split()))
TUPLES = {"_replace", "_asdict", "_fields", "_make"}
"""Underscored and public: of named tuples."""
CALLS = (
    "setattr",
    "getattr",
    "hasattr",
    "patch.object",
    "patch.multiple",
    "import_module",
    "importlib.import_module",
)
METHODS = {"request"} | {
    name for owner in (Model, ModelAPI) for name in dir(owner)
    if callable(getattr(owner, name)) and name[0] != "_" and name not in GenerateConfig.model_fields
}  # fmt: skip


def touched(source: str) -> list[str]:
    """Private parts of Inspect that a module names: dotted where it imports them, else as the code has them."""
    found = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "inspect_ai":
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in dotted if "._" in name]
        elif isinstance(node, ast.Import):
            found += [
                alias.name
                for alias in node.names
                if alias.name.startswith("inspect_ai.") and "._" in alias.name
            ]
        elif isinstance(node, ast.Attribute) and node.attr[0] == "_" and not node.attr.startswith("__"):
            if node.attr not in TUPLES and ast.unparse(node.value) not in ("self", "cls"):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            owner = ast.unparse(node.args[0])
            texts = [
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            ]
            texts += [word.arg for word in node.keywords if word.arg]
            found += [f"{owner}.{text}" for text in texts if text[:1] == "_"]
            found += [text for text in texts if "inspect_ai" in text and "._" in text]
        if isinstance(node, ast.Assign):
            targets = [
                t
                for target in node.targets
                for t in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            found += [
                f"{ast.unparse(t)} = …"
                for t in targets
                if isinstance(t, ast.Attribute) and t.attr in METHODS and ast.unparse(t.value) != "self"
            ]
    return found


def replacements(instead: str) -> list[str]:
    """Public names of the installed Inspect that a part's `instead` asks for."""
    place, _, globs = instead.removesuffix(")").partition("(" if instead.endswith(")") else ":")
    if instead.endswith(")"):
        module, _, function = place.rpartition(".")
        names = list(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    else:
        names = list(importlib.import_module(place).__all__)
    return [
        name for name in names if name[0] != "_" and any(fnmatchcase(name, glob) for glob in globs.split("|"))
    ]


def test_one_file_alone_touches_what_inspect_does_not_show() -> None:
    others = [path for path in sorted((ROOT / "router_lab").rglob("*.py")) if path != COMPAT]
    inspecting = [
        path for path in others if "inspect_ai" in path.read_text() or "inspect_compat" in path.read_text()
    ]
    assert len(inspecting) > 15
    assert {str(p.relative_to(ROOT)): names for p in inspecting if (names := touched(p.read_text()))} == {}
    rooms = {
        path.relative_to(ROOT / "router_lab").parts[0]
        for path in others
        if "inspect_compat" in path.read_text()
    }
    assert rooms == {"sweep", "providers"}


def test_the_walk_sees_each_way_of_touching() -> None:
    seen = touched(
        "from inspect_ai.log._samples import sample_active\nimport inspect_ai._util.error\nfrom inspect_ai.log import _log\n"
        "model._thing\nself._mine\nrow._replace(a=1)\nsetattr(task, '_x', 1)\napi.generate = f\nModel._a, b = c, d\n"
        "patch.multiple(Model, _b=f)\nimportlib.import_module('inspect_ai.util._limit')\n"
    )
    imported = ["inspect_ai.log._samples.sample_active", "inspect_ai._util.error", "inspect_ai.log._log"]
    imported.append("inspect_ai.util._limit")
    assert sorted(seen) == sorted(
        [*imported, "api.generate = …", "model._thing", "task._x", "Model._a", "Model._b"]
    )


def test_each_private_part_is_listed_and_still_there() -> None:
    whole = {"model": "inspect_ai.model.Model", "Model": "inspect_ai.model.Model",
             "Batcher": "inspect_ai.model._providers.util.batch.Batcher"}  # fmt: skip
    names = {
        re.sub(r"^(model|Model|Batcher)(?=\._)", lambda found: whole[found[0]], name)
        for name in touched(COMPAT.read_text())
    }
    used = {name for name in names if "…" not in name}
    assert used == PARTS.keys()
    assert {name for name in names if "…" in name} == {
        "api.generate = …",
        "api.initialize = …",
        "client_of(api).request = …",
    }
    made = get_model("mockllm/model", memoize=False, custom_outputs=[])
    for name in PARTS:
        owner, _, attribute = name.rpartition(".")
        there = made if owner == "inspect_ai.model.Model" else pkgutil.resolve_name(owner)
        assert hasattr(there, attribute), name


@pytest.mark.parametrize("name", PARTS)
def test_no_public_call_replaces_it_yet(name: str) -> None:
    """Where this fails Inspect has got one: use it, and take the part out of the list."""
    own = name.rpartition(".")[2].lstrip("_")
    shown = {module for module in PUBLIC if own in importlib.import_module(module).__all__}
    # A function of that name that makes a model's answer is public: what is replaced is how it is asked.
    assert shown <= ({"inspect_ai.solver"} if name.endswith("Model._generate") else set())
    assert replacements(PARTS[name].instead) == []
    assert PARTS[name].why.endswith(".")


def test_a_public_call_that_comes_is_noticed() -> None:
    assert replacements("inspect_ai.util:registry_inf*|sample_active*") == ["registry_info"]
    assert replacements("inspect_ai.eval_set(*buffer_dir*|log_di*)") == ["log_dir", "log_dir_allow_dirty"]


def test_the_pin_is_what_was_tested() -> None:
    lab = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["lab"]
    pin = next(one for one in map(Requirement, lab) if one.name == "inspect-ai")
    assert pin.specifier == SpecifierSet(TESTED)
    assert inspect_ai.__version__ in pin.specifier


def test_what_is_assumed_is_held_by_a_test_that_is_there() -> None:
    for said, test in ASSUMED.items():
        assert (ROOT / test).is_file(), said
        for quoted in (word for word in said.split("`")[1::2] if word.endswith(".py")):
            assert (ROOT / "router_lab" / quoted).is_file(), quoted


def test_outside_of_a_sample_nothing_runs_is_counted_or_cancelled() -> None:
    assert running_sample() == ("", 1)
    assert turns_are_used() is None and cancel_sample() is False


def test_a_message_of_inspect_is_told_in_one_line() -> None:
    assert one_line(ValueError("[bold]ERROR[/bold]: no\n  [blue]key[/blue]")) == "no key"
    assert one_line(KeyError()) == "KeyError"


def test_wrappers_of_a_model_lie_around_each_other() -> None:
    api = get_model("mockllm/model", memoize=False, custom_outputs=[]).api
    said: list[str] = []

    def saying(word: str) -> object:
        async def around(ask: object, *arguments: object) -> object:
            said.append(word)
            return await ask(*arguments)  # type: ignore[operator]

        return around

    async def answer(*arguments: object) -> object:
        return arguments

    api.generate = answer  # type: ignore[method-assign,assignment]
    around_generate(api, saying("inner"))  # type: ignore[arg-type]
    around_generate(api, saying("outer"))  # type: ignore[arg-type]
    assert asyncio.run(api.generate(1, 2, 3, 4)) == (1, 2, 3, 4)  # type: ignore[arg-type]
    assert said == ["outer", "inner"]


def test_buffers_are_beside_the_logs_for_writing_and_reading_and_only_for_so_long(tmp_path: Path) -> None:
    before = database.resolve_db_dir
    with recovery_beside(tmp_path):
        assert database.resolve_db_dir() == recovery.resolve_db_dir() == tmp_path / FOLDER
        assert recovery.resolve_db_dir(tmp_path / "given") == tmp_path / "given"
    assert database.resolve_db_dir is before and recovery.resolve_db_dir is before
    assert not (tmp_path / FOLDER).exists()


def test_a_dead_run_with_the_same_process_id_is_recovered_all_the_same(tmp_path: Path) -> None:
    disown_buffers(tmp_path)  # nothing there
    folder = tmp_path / FOLDER / "0123"
    folder.mkdir(parents=True)
    for name in (f"a.eval.{os.getpid()}.db", f"a.eval.{os.getpid()}.db-wal", "b.eval.77.db"):
        (folder / name).write_text(name)
    disown_buffers(tmp_path)
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert found == {
        f"a.eval.{NOBODY}.db": f"a.eval.{os.getpid()}.db",
        f"a.eval.{NOBODY}.db-wal": f"a.eval.{os.getpid()}.db-wal",
        "b.eval.77.db": "b.eval.77.db",
    }
    disown_buffers(tmp_path, anyones=True)  # whoever holds the folder knows that nobody else lives there
    names = {file.name for file in folder.iterdir()}
    assert names == {f"a.eval.{NOBODY}.db", f"a.eval.{NOBODY}.db-wal", f"b.eval.{NOBODY}.db"}


def test_a_recovery_that_was_killed_is_begun_anew_and_one_that_ended_is_kept(tmp_path: Path) -> None:
    for name, members in {
        "a": (),
        "a-recovered": ("samples/1.json",),
        "b": (),
        "b-recovered": ("header.json",),
    }.items():
        with zipfile.ZipFile(tmp_path / f"{name}.eval", "w") as archive:
            for member in members:
                archive.writestr(member, "{}")
    (tmp_path / "c.eval").touch()
    (tmp_path / "c-recovered.eval").write_bytes(b"PK cut short")
    with zipfile.ZipFile(tmp_path / "d-recovered.eval", "w") as archive:  # of which there is no other
        archive.writestr("samples/1.json", "{}")
    drop_half_recovered(tmp_path)
    names = {path.stem for path in tmp_path.glob("*-recovered.eval")}
    assert names == {"b-recovered", "d-recovered"} and len(list(tmp_path.glob("?.eval"))) == 3


def test_what_a_killed_run_had_finished_is_named_and_a_living_ones_is_not(tmp_path: Path) -> None:
    log = str(tmp_path / "a.eval")
    at = "2026-11-29T12:00:00+00:00"
    done = EvalSampleSummary(id="s1", epoch=1, input="q", target="t", completed=True, completed_at=at)
    with recovery_beside(tmp_path):
        buffer = database.SampleBufferDatabase(log)
        buffer.start_sample(EvalSampleSummary(id="s1", epoch=1, input="q", target="t"))
        buffer.start_sample(EvalSampleSummary(id="s2", epoch=1, input="q", target="t"))
        buffer.complete_sample(done, sample_metadata={})
    assert [path.suffixes[-2:] for path in (tmp_path / FOLDER).rglob("*.db")] == [[f".{os.getpid()}", ".db"]]
    assert unwritten(tmp_path, log) == []
    disown_buffers(tmp_path)
    assert [(sample.id, sample.epoch) for sample in unwritten(tmp_path, log)] == [("s1", 1)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_inspects_own_sources_cannot_carry_a_sweep_yet(tmp_path: Path) -> None:
    """Where this fails they may: see the table in docs/architecture.md, and what waves they would replace."""
    ran: list[object] = []
    samples = [Sample(id=f"s{i}", input="q", target="t") for i in range(3)]

    @solver
    def noting() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            ran.append(state.sample_id)
            return state

        return solve

    def swept(upto: int) -> None:
        async def further() -> list[Sample] | None:
            more, source.at = samples[source.at : upto], upto  # type: ignore[attr-defined]
            return more or None

        source = SampleSource.from_samples(samples[:1], next_samples=further)
        source.at = 1  # type: ignore[attr-defined]
        task = Task(dataset=source, solver=noting(), name="t", model="none/none")
        with silent_console():
            done, _ = eval_set([task], log_dir=str(tmp_path / "logs"), **ALWAYS)
        assert done

    swept(2)
    assert sorted(map(str, ran)) == ["s0", "s1"]
    swept(3)
    assert len(ran) == 2  # the third is never run: the log had come to its end
    with pytest.raises(ValueError, match="TaskSource is only supported by `eval"):
        eval_set(TaskSource(), log_dir=str(tmp_path / "tasks"), **ALWAYS)


def test_a_silent_console_lays_out_nothing_and_speaks_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    laid_out: list[str] = []

    class Table:
        def __rich__(self) -> str:
            laid_out.append("it")
            return "a table"

    console = rich.get_console()
    before = console.quiet
    console.quiet = False
    try:
        with pytest.raises(KeyError), silent_console():
            console.print(Table())
            raise KeyError
        assert laid_out == [] and not console.quiet
        with console.capture() as said:
            console.print(Table())
        assert laid_out == ["it"] and said.get() == "a table\n" and capsys.readouterr().out == ""
        with silent_console():
            rich.reconfigure(quiet=True)  # as Inspect does when it first runs in a process
        assert "print" not in vars(console) and not console.quiet
    finally:
        console.quiet = before


class Slow(Batcher[str, str]):
    """Answers a batch once it is `done`."""

    done = False

    async def _create_batch(self, batch: list[Any]) -> str:
        return f"batch of {batch[0].request['name']}"

    async def _check_batch(self, batch: Any) -> BatchCheckResult[str]:
        return BatchCheckResult(
            completed_count=0, failed_count=0, created_at=0, completion_info="all" if self.done else None
        )

    async def _handle_batch_result(self, batch: Any, completion_info: str) -> dict[str, str | Exception]:
        return dict.fromkeys(batch.requests, batch.id)


def test_a_batch_of_an_eval_that_ended_holds_up_none_of_the_next() -> None:
    config = BatchConfig(size=1, send_delay=0.01, tick=0.01, max_size=1)
    slow = Slow(config, {"stop": stop_after_attempt(1)}, 10, 1)  # type: ignore[typeddict-item]

    async def an_eval(name: str, within: float) -> str | None:
        answered: str | None = None

        async def sample(group: TaskGroup) -> None:
            nonlocal answered
            answered = await slow.generate_for_request({"name": name})
            group.cancel_scope.cancel()

        with anyio.move_on_after(within):
            async with anyio.create_task_group() as group:
                set_background_task_group(group)
                group.start_soon(sample, group)
        return answered

    with batches_go_on():
        assert anyio.run(an_eval, "first", 0.2) is None and not slow._inflight_batches
        slow.done = True
        assert anyio.run(an_eval, "second", 30.0) == "batch of second"
