"""Engines of a sweep: portions and their folders, one ledger for several processes, and who may serve which folder.

Ray itself is not here (tests/integrations/test_ray.py): what runs on its machines is called directly.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import Task
from inspect_ai.dataset import Sample

from router_lab.cli import cli
from router_lab.config import Price
from router_lab.config.sweep import RaySpec
from router_lab.prices import PriceTable, Tokens
from router_lab.providers.boundary import CODE_KEY
from router_lab.providers.evallog import all_logs
from router_lab.providers.keys import MANIFEST, SLICES
from router_lab.runtime.errors import InputError
from router_lab.runtime.locks import FolderLock
from router_lab.runtime.model import Candidate
from router_lab.sweep import Plan, prepare, run_sweep
from router_lab.sweep.budget import HeldBackError, Spending
from router_lab.sweep.engines import slices
from router_lab.sweep.engines.bank import Bank, RemoteLedger
from router_lab.sweep.engines.portions import Portions, cpus_of, refuse_halves, refuse_one_process
from router_lab.sweep.engines.slices import Slice, begun, cut, due_of, keep, lacking, portion_size
from router_lab.sweep.engines.worker import Ended, Job, run_slice
from router_lab.sweep.finished import finished_samples, identity
from router_lab.sweep.ledger import LEDGER, Ledger
from router_lab.sweep.progress import Counts
from router_lab.sweep.shared import SharedCalls
from router_lab.sweep_manifest import SweepManifest
from tests.servers.grid import price, write_project

# Inspect leaves streams to the garbage collector; our own code runs in the same process.
INSPECT = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:The 'initial' parameter:DeprecationWarning",
)
DAY = dt.date(2020, 1, 1)
TABLE = PriceTable({"m": [Price(starts=DAY, input=1, output=1, source="s", checked=DAY)]}, default=False)
CELL = ("echo", "0123", "1+ab", "m", None, None)
WHERE = ("echo", Candidate("m", None))
TENTH = Tokens(input=100_000)
"""Ten cents at a dollar a million."""


def bank(folder: Path) -> Bank:
    return taken(Bank(folder, TABLE, priced=True, tier="standard"))


def taken(one: Bank) -> Bank:
    one.take()
    return one


@pytest.mark.parametrize(
    ("samples", "places", "size"),
    [(20_000, 2, 500), (1_000, 8, 32), (1_000, 7, 36), (3, 64, 1), (0, 4, 1), (10, 0, 3)],
)
def test_portions_are_four_for_each_place_and_of_five_hundred_at_most(
    samples: int, places: int, size: int
) -> None:
    assert portion_size(samples, places) == size


@given(st.integers(0, 40), st.integers(1, 12))
def test_every_sample_is_in_one_portion_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, n: int, size: int
) -> None:
    folder, names = tmp_path_factory.mktemp("cut"), [f"s{i}" for i in range(n)]
    made = cut(folder, CELL, names, size)
    assert [name for one in made for name in one.samples] == names
    assert all(one.asked == len(one.samples) <= size for one in made)
    found = {one.name: one for one in begun(folder, {CELL})}
    assert {one.name: one.samples for one in made} == {name: one.samples for name, one in found.items()}
    assert list(begun(folder, {("echo", "0123", "1+ab", "m", "low", None)})) == []


def test_what_a_portion_has_is_asked_for_with_what_it_lacks() -> None:
    """Of four samples a has run and is in the log directory, b is in the portion's own folder, c is due, d is not."""
    one = Slice("x", CELL, ("a", "b", "c", "d"), 0)
    wanted = {"a": 1, "b": 1, "c": 1}
    settled, own = {("a", 1)}, {("a", 1), ("b", 1)}
    assert due_of(one, wanted, settled, own) == Slice("x", CELL, ("a", "b", "c", "d"), 3)
    assert due_of(one, {"c": 1}, settled, {("a", 1)}) == Slice("x", CELL, ("a", "c", "b", "d"), 2)
    # Nothing is due, but b was paid for and is in no log yet.
    assert due_of(one, {"a": 1}, settled, own) == Slice("x", CELL, ("a", "b", "c", "d"), 2)
    assert due_of(one, {"a": 1}, settled, {("a", 1)}) is None
    assert due_of(one, {"a": 2}, settled, {("a", 1)}) == Slice("x", CELL, ("a", "b", "c", "d"), 1)
    assert lacking(["a", "b"], 2, {("a", 1), ("a", 2), ("b", 1)}) == ["b"]


def test_a_log_is_in_the_log_directory_once_its_run_has_ended_and_the_folder_goes_with_the_last(
    tmp_path: Path,
) -> None:
    (one,) = cut(tmp_path, CELL, ["a", "b"], 2)
    home = one.home(tmp_path)
    (home / "1.eval").write_text("died")
    (home / "2.eval").write_text("half")
    keep(home, tmp_path, home / "2.eval", whole=False)
    assert [path.name for path in begun_folders(tmp_path)] == [one.name]
    assert (tmp_path / "2.eval").read_text() == (home / "2.eval").read_text() == "half"
    (home / "3.eval").write_text("whole")
    keep(home, tmp_path, home / "3.eval", whole=True)
    assert begun_folders(tmp_path) == []
    assert {path.name: path.read_text() for path in tmp_path.glob("*.eval")} == {
        "1.eval": "died", "2.eval": "half", "3.eval": "whole"
    }  # fmt: skip


def begun_folders(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / SLICES).iterdir() if path.is_dir())


def test_a_portion_that_does_not_say_its_samples_and_one_that_is_held_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = cut(tmp_path, CELL, ["a"], 1)
    monkeypatch.setattr(slices, "DEATH_S", 0.05)
    with (
        FolderLock(one.home(tmp_path), "a portion"),
        pytest.raises(InputError, match=r"a portion .* holds this folder"),
    ):
        slices.claim(tmp_path)
    slices.claim(tmp_path)
    (one.home(tmp_path) / slices.RECORD).write_text('{"cell": []}')
    with pytest.raises(InputError, match=r"slice\.json: does not say which samples .* move the folder away"):
        list(begun(tmp_path, {CELL}))


def test_two_processes_never_pass_one_budget(tmp_path: Path) -> None:
    """A dollar, calls of at most 40 cents: two fit, the third of whichever process does not; answered ones free their
    rest."""
    teller = bank(tmp_path)
    one, two = (Spending(RemoteLedger(teller, by), {}, budget_usd=1.0, sample_usd=1.0) for by in ("p", "q"))
    one.before("s1", "m", 0.4)
    two.before("s2", "m", 0.4)
    with pytest.raises(HeldBackError, match=r"does not hold one more call: \$0\.800000 are spent or at risk"):
        two.before("s3", "m", 0.4)
    one.answered("s1", "m", {"input_tokens": 100_000, "output_tokens": 0})
    two.before("s3", "m", 0.4)
    assert (one.ledger.spent_usd, one.ledger.reserved_usd) == (pytest.approx(0.1), 0.0)
    two.failed("s2", "m", refused=True)
    two.failed("s3", "m", refused=False)
    assert two.ledger.spent_usd == pytest.approx(0.5)
    again = Ledger(tmp_path, TABLE, priced=True, reading=True)
    assert (again.spent_usd, again.reserved_usd) == (pytest.approx(0.5), pytest.approx(0.4))


def test_what_a_dead_process_had_open_is_lost_when_its_portion_is_taken_up_again(tmp_path: Path) -> None:
    teller = bank(tmp_path)
    dead, alive = RemoteLedger(teller, "p"), RemoteLedger(teller, "q")
    dead.close(dead.open(0.3), "m", TENTH)
    dead.open(0.25)
    other = alive.open(0.125)
    assert teller.state()[:2] == (pytest.approx(0.1), 0.0)
    assert teller.begin("p", WHERE) is None
    assert teller.state()[:2] == (pytest.approx(0.35), pytest.approx(0.25))
    alive.close(other, "m", TENTH)
    assert teller.state()[:2] == (pytest.approx(0.45), pytest.approx(0.25))
    assert teller.begin("p", WHERE) is None  # once only
    assert Ledger(tmp_path, TABLE, priced=True, reading=True).spent_usd == pytest.approx(0.45)


def test_the_bank_tells_of_samples_stops_and_warnings(tmp_path: Path) -> None:
    teller = taken(Bank(tmp_path, TABLE, priced=False, tier="standard"))
    teller.heard(Counts(started=2))
    teller.heard(Counts(finished=1, failed=1))
    teller.stop(WHERE, "wrong key", "m is stopped")
    teller.stop(WHERE, "wrong key again", "m is stopped once more")
    ledger = RemoteLedger(teller, "p")
    assert ledger.close(None, "nobody", TENTH) == 0.0
    ledger.unknown("nobody")
    state = teller.state()
    assert (state.counts, state.stopped, teller.begin("q", WHERE)) == (
        Counts(2, 1, 1),
        {WHERE: "wrong key"},
        "wrong key",
    )
    assert (
        state.notes[0] == "m is stopped"
        and "calls of 'nobody' are not in what this sweep says" in state.notes[1]
    )
    assert len(state.notes) == 2 and teller.state(2).notes == ()


def test_one_bank_holds_a_ledger_and_without_room_no_call_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = bank(tmp_path)
    monkeypatch.setattr("router_lab.sweep.engines.bank.DEATH_S", 0.05)
    with pytest.raises(InputError, match=r"the ledger of a sweep .* holds this folder"):
        bank(tmp_path)
    ledger = RemoteLedger(teller, "p")
    name = ledger.open(0.5)
    (tmp_path / LEDGER).rename(tmp_path / "away")
    (tmp_path / LEDGER).mkdir()
    ledger.close(name, "m", TENTH)
    assert ledger.broken is not None and "the ledger cannot be written" in ledger.broken
    with pytest.raises(HeldBackError, match="the ledger cannot be written"):
        Spending(ledger, {}).check()
    with pytest.raises(InputError, match="the ledger cannot be written"):
        ledger.open(0.5)
    assert ledger.spent_usd == 0.5


HEARING = """
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

FILE = Path(__file__).with_name("asked.txt")


@modelapi(name="heard")
def heard():
    class Heard(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            text = input[-1].text
            seen = FILE.read_text().splitlines() if FILE.exists() else []
            FILE.write_text("\\n".join([*seen, text]))
            if "once" in text and text not in seen:
                raise ValueError("not this time")
            output = ModelOutput.from_content(self.model_name, text.split()[-1])
            output.usage = ModelUsage(input_tokens=100, output_tokens=10, total_tokens=110)
            return output

    return Heard


@task
def numbers():
    texts = ["say 0", "once say 1", "say 2", "say 3"]
    samples = [Sample(id=f"s{i}", input=text, target=str(i)) for i, text in enumerate(texts)]
    return Task(dataset=samples, solver=generate(), scorer=includes())
"""
USD = (100 * 1 + 10 * 2) / 1e6


def heard_sweep(folder: Path, **sweep: Any) -> Path:
    """One candidate over four samples, of which the second fails when it is first asked."""
    models = [{"model": "heard/a", "record": False}]
    suites = {"numbers": {"task": "hearing.py@numbers"}}
    more = {
        "models": models,
        "config": {"max_tokens": 10},
        "max_connections": 1,
        "ray": {"samples": 4},
        **sweep,
    }
    file = write_project(folder, more, suites, prices={"heard/a": price(1, 2)})
    (folder / "hearing.py").write_text(HEARING)
    return file


def asked(folder: Path) -> list[str]:
    return sorted((folder / "asked.txt").read_text().splitlines())


@pytest.fixture
def teller_of(tmp_path: Path) -> Callable[[Plan], Bank]:
    return lambda plan: taken(Bank(tmp_path / "logs", plan.prices(), priced=True, tier="standard"))


@INSPECT
def test_a_portion_runs_anywhere_and_what_failed_in_it_is_asked_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teller_of: Callable[[Plan], Bank]
) -> None:
    """What a machine does, and what is found after it: four asked of which one failed, then that one."""
    monkeypatch.chdir(tmp_path)
    file, logs = heard_sweep(tmp_path, budget_usd=1.0, limits={"usd": 0.01}), tmp_path / "logs"
    plan = prepare(file)
    (where,), tasks = [cell.where for cell, _ in plan.tasks], [task for _, task in plan.tasks]
    portions, teller = Portions(plan, logs), teller_of(plan)
    job = Job("first", file, None, logs, tmp_path, plan.budget_usd)
    ((one, found),) = portions.due(tasks, 4, 1)
    assert (found, one.asked, len(one.samples)) == (where, 4, 4)
    assert run_slice(job, one, where, teller, False) == Ended()
    assert asked(tmp_path) == ["once say 1", "say 0", "say 2", "say 3"]
    assert finished_samples(logs, plan, settled=True)[where] == {("s0", 1), ("s2", 1), ("s3", 1)}
    # What is in the portion's folder is no second log.
    (kept,) = logs.glob("*.eval")
    SweepManifest(sweep="t", logs=(kept.name,), engine="ray").write(logs)
    unfinished = one.home(logs) / kept.name
    assert all_logs([logs]) == (
        [kept],
        [(unfinished, "a portion of a sweep that is not finished; run it again")],
    )
    assert SweepManifest.of(logs).engine == "ray"

    ((again, _),) = portions.due(tasks, 4, 1)
    assert (again.name, again.asked, set(again.samples)) == (one.name, 4, set(one.samples))
    assert run_slice(job, again, where, teller, True) == Ended()
    assert asked(tmp_path) == ["once say 1", "once say 1", "say 0", "say 2", "say 3"]
    assert portions.due(tasks, 4, 1) == [] and begun_folders(logs) == []
    latest = portions.logs(tasks)[-1]
    assert (latest.status, latest.results and latest.results.completed_samples) == ("success", 4)
    state = teller.state()
    assert state.counts == Counts(5, 5, 1)
    assert state.spent_usd - state.reserved_usd == pytest.approx(4 * USD)

    assert run_slice(job, again, where, teller, True) == Ended()  # by whoever was believed dead
    assert len(asked(tmp_path)) == 5 and begun_folders(logs) == []


@INSPECT
def test_a_machine_that_sees_other_files_runs_nothing_and_a_stopped_cell_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teller_of: Callable[[Plan], Bank]
) -> None:
    monkeypatch.chdir(tmp_path)
    file, logs = heard_sweep(tmp_path), tmp_path / "logs"
    plan = prepare(file)
    ((cell, task),), teller = plan.tasks, teller_of(plan)
    job = Job("second", file, None, logs, tmp_path, None)
    (other,) = cut(logs, ("numbers", "0123", "1+ab", "heard/a", None, None), ["s0"], 1)
    with pytest.raises(InputError, match="all machines must see the same files"):
        run_slice(job, other, cell.where, teller, False)
    with pytest.raises(InputError, match=r"sweep\.yaml: on .* has no numbers × nobody"):
        run_slice(job, other, ("numbers", Candidate("nobody", None)), teller, False)
    (mine,) = cut(logs, identity(cell, task), ["s0"], 1)
    elsewhere = Job("second", file, None, tmp_path / "of another machine", tmp_path, None)
    with pytest.raises(InputError, match=r"does not see .*of another machine.* set ROUTER_LAB_PLACES"):
        run_slice(elsewhere, mine, cell.where, teller, False)
    assert not elsewhere.folder.exists()
    teller.stop(cell.where, "wrong key", "heard/a is stopped")
    assert run_slice(job, mine, cell.where, teller, False) == Ended()
    assert not (tmp_path / "asked.txt").exists()


@INSPECT
def test_what_one_process_alone_can_do_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, logs = heard_sweep(tmp_path), tmp_path / "logs"
    plan = prepare(file)
    refuse_one_process(plan)
    with pytest.raises(InputError, match="sweep t: --engine ray: --batch bounds by one process"):
        refuse_one_process(replace(plan, tier="batch"))
    with pytest.raises(InputError, match=r"--engine ray: .*write `share_calls: false` in the sweep file"):
        refuse_one_process(replace(plan, calls=SharedCalls()))
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "router_lab.sweep.engines.cluster", raising=False)
    with pytest.raises(InputError, match=r"needs Ray, .* pip install 'router-lab\[ray\]', on every machine"):
        run_sweep(file, logs, engine="ray", quiet=True)
    (logs / MANIFEST).write_text(json.dumps({"engine": "ray"}))
    with pytest.raises(InputError, match=r"as `--engine ray` writes them, .* give `--engine ray` here too"):
        run_sweep(file, logs, quiet=True)
    assert not (tmp_path / "asked.txt").exists()


@INSPECT
def test_half_a_sample_of_a_run_in_one_process_is_refused_and_whole_ones_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs, of which the second sample's first failed."""
    file, logs = heard_sweep(tmp_path, suites=[{"suite": "numbers", "epochs": 2}]), tmp_path / "logs"
    plan = prepare(file)
    ((cell, task),) = plan.tasks
    refuse_halves(plan, logs)
    run_sweep(file, logs, quiet=True)
    assert sum(text == "once say 1" for text in asked(tmp_path)) == 2
    with pytest.raises(
        InputError, match=r"has finished a part of 1 samples of numbers × heard/a, the first is s1"
    ):
        refuse_halves(plan, logs)
    run_sweep(file, logs, quiet=True)
    refuse_halves(plan, logs)
    assert Portions(plan, logs).due([task], 4, 1) == [] and cell.epochs == 2
    # What a killed run had finished, and no log has yet; of a portion it is recovered with the portion.
    left = {cell.where: {("s9", 1), ("s9", 2)}}
    monkeypatch.setattr("router_lab.sweep.engines.portions.unwritten_samples", lambda *_: left)
    with pytest.raises(InputError, match=r"a part of 1 samples .* the first is s9"):
        refuse_halves(plan, logs)
    cut(logs, identity(cell, task), ["s9"], 1)
    refuse_halves(plan, logs)


@INSPECT
def test_new_portions_go_by_turns_over_the_cells(tmp_path: Path) -> None:
    models = [{"model": f"heard/{name}", "record": False} for name in "ab"]
    plan = prepare(heard_sweep(tmp_path, models=models, ray={"samples": 3}))
    tasks, (first, second) = [task for _, task in plan.tasks], [cell.where for cell, _ in plan.tasks]
    made = Portions(plan, tmp_path / "logs").due(tasks, 4, 8)
    assert [(where, one.asked) for one, where in made] == [(first, 3), (second, 3), (first, 1), (second, 1)]
    names = [str(sample.id) for sample in tasks[0].dataset]
    assert made[0][0].samples == tuple(names[:3])


def test_samples_in_sandboxes_take_more_of_a_machine() -> None:
    spec = RaySpec(cpus=1, sandbox_cpus=4)
    assert cpus_of(Task(dataset=[Sample("a")]), spec) == 1
    assert cpus_of(Task(dataset=[Sample("a")], sandbox="local"), spec) == 4
    assert cpus_of(Task(dataset=[Sample("a"), Sample("b", sandbox="local")]), spec) == 4
    assert cpus_of(Task(dataset=[Sample("a")], metadata={CODE_KEY: {"said": "a guard"}}), spec) == 4


def test_many_machines_and_batches_are_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    file = heard_sweep(tmp_path)
    for more in ([], ["--dry-run"]):
        said = CliRunner().invoke(cli, ["sweep", str(file), "--engine", "ray", "--batch", *more])
        assert said.exit_code == 2 and "--engine ray runs no --batch" in said.output
