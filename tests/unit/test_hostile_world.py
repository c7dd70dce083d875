"""Texts from outside that nobody sees every day: of logs, servers, histories, certificates and decision logs, in
whatever the commands print and write. What holds for all of it is checked in one place, `faults`."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from router_lab.certificate import Certificate
from router_lab.cli import cli
from router_lab.cli.common import plain_warnings
from router_lab.gates.result import GateReport
from router_lab.outcomes.looks import LOOKS
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.visible import visible
from router_lab.sweep.progress import Progress
from tests.servers.grid import price
from tests.unit.test_collect import model_event, sample, write_log
from tests.unit.test_hostile_names import HOSTILE, World, build

pytestmark = pytest.mark.filterwarnings("ignore")

ODD = HOSTILE["all"] + "](http://x)\n# forged\n| a | b |"
IN_A_FILE = re.sub(r"[/\x00\ufffe]", "", ODD)[:60]
FORGED = re.compile(r"^(FAKE|# forged|\| a \| b \|)", re.MULTILINE)


def faults(name: str, text: str) -> list[str]:
    """What is wrong with an output, by the ending of its name: `.md`, `.html`, `.svg`, `.xml`, `.json`, else text."""
    found = [f"{name}: raw {char!r}" for char in {*text} - {"\n"} if visible(char) != char]
    found += [f"{name}: a line of its own: {line!r}" for line in FORGED.findall(text)]
    ending = Path(name).suffix
    if ending in (".html", ".svg", ".md"):
        found += [
            f"{name}: {tag}" for tag in re.findall(r"<script>alert|<img|<a |javascript:alert\(1\)\"", text)
        ]
    if ending == ".md":
        found += [
            f"{name}: markup at {text[m.start() :][:30]!r}" for m in re.finditer(r"(?<!\\)\]\(|<[a-z/]", text)
        ]
    if ending in (".xml", ".svg"):
        ElementTree.fromstring(text)
    if ending == ".json":
        json.loads(text)
    return found


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    return done


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("hostile"), ODD)


def forged(world: World) -> Path:
    """A policy whose certificate and provenance somebody wrote by hand."""
    spec = world.loaded.spec
    certificate: dict[str, Any] = {
        **spec.certificate, "verdict": ODD, "procedure": ODD, "action": ODD, "rows": ODD,
    }  # fmt: skip
    provenance = {**spec.provenance, "fitter": ODD, "by": ODD, "git": ODD}
    points = {**spec.points, ODD: (Follow(1.0, 0.0, 1.0),)}
    return save_revision(
        Policy(replace(spec, certificate=certificate, provenance=provenance, points=points)),
        world.folder / "forged",
    )


def logs(world: World) -> Path:
    """Logs of a harness: a file's name, the task, scorers, what they explain, errors and a manifest are all odd."""
    folder = world.folder / "logs"
    shutil.rmtree(folder, ignore_errors=True)
    scored = {ODD: {"value": "C", "answer": ODD, "explanation": ODD, "metadata": {"judge": ODD}}}
    error = {"message": f"Error code: 400 - {ODD}", "traceback": ODD, "traceback_ansi": ODD}
    limit = {"type": ODD, "limit": 5, "reason": ODD}
    samples = [
        sample(1) | {"scores": scored}, sample(2) | {"error": error, "scores": {}},
        sample(3, events=[model_event({"input_tokens": 1, "output_tokens": 1}, model=ODD)]) | {"scores": scored},
        sample(4) | {"scores": {}, "limit": limit},
    ]  # fmt: skip
    named = [one | {"id": f"{one['id']}{ODD}", "metadata": {"g": ODD}} for one in samples]
    suite = {"suite": "s" + ODD, "dataset_sha": ODD, "scorer": None, "quality": {"C": 1, "I": 0}, "value": None,
             "group": "g", "check": None}  # fmt: skip
    made = write_log(folder, *named, suite=suite, model="big" + ODD, task_args={"x": ODD}, tags=[ODD])
    made.rename(folder / f"2026_{IN_A_FILE}_x.json")
    (folder / f"2026_broken{IN_A_FILE}.json").write_text('{"status": "success", "eval": {}}')
    return folder


def decided(world: World) -> Path:
    """A decision log somebody else's program wrote lines of."""
    path = world.folder / "week.jsonl"
    path.unlink(missing_ok=True)
    log = DecisionLog(path, prompts=True, clock=lambda: 1.8e9)
    for n in range(20):
        log.outcome(
            log.write(world.loaded.decide("q"), suite=f"s{ODD}", id=f"{n}{ODD}"), quality=1.0, group=ODD
        )
    [line, *_] = path.read_text().splitlines()
    strange = {**json.loads(line), "suite": ODD, "reason": ODD, "code": ODD, "model": ODD, "effort": ODD, "time": ODD,
               "revision": ODD, "tier": ODD, "status": ODD, "point": ODD, ODD: ODD}  # fmt: skip
    outcome = {"kind": "outcome", "id": f"lone{ODD}", "quality": ODD, "status": ODD, ODD: ODD}
    more = [{**strange, "id": f"x{ODD}"}, {**strange, "id": f"0{ODD}"}, outcome, {**outcome, "id": f"1{ODD}"}]
    with path.open("a") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in more)
    return path


def published(world: World) -> Path:
    """A policy folder, and in its history a line by somebody whose name is odd."""
    folder = world.folder / "served"
    shutil.rmtree(folder, ignore_errors=True)
    for revision in (forged(world), world.policy, forged(world), world.policy):
        shutil.copytree(revision, folder / revision.name, dirs_exist_ok=True)
        assert run("publish", folder / revision.name, "--force").exit_code == 0
    history = folder / "RELEASES.jsonl"
    rows = [
        {**json.loads(line), "by": ODD, "at": ODD, "key": ODD} for line in history.read_text().splitlines()
    ]
    odd = [
        {**rows[0], "alias": ODD, "verdict": ODD, "action": ODD, "number": 1 + n, "name": ODD}
        for n in range(2)
    ]
    history.write_text("".join(f"{json.dumps(row)}\n" for row in [*odd, *rows]) + f"torn {ODD}\n")
    return folder


def commands(world: World) -> Iterator[tuple[str, list[object]]]:
    folder, outcomes, bad, served = world.folder, world.outcomes, forged(world), published(world)
    week, key = decided(world), folder / "key.pem"
    table = folder / "prices.yaml"
    entry = {**price(1, 2)[0], "source": ODD}
    table.write_text(json.dumps({"models": {f"{name}{ODD}": [entry] for name in ("big", "mid", "tiny")}}))
    gates = folder / "gates.yaml"
    asked = [{"metric": "quality", "min": 0.99, "suite": "each"}, {"metric": "certificate", "min": 1}]
    gates.write_text(json.dumps({"gates": asked}))
    no_gates = folder / "no-gates.yaml"
    no_gates.write_text(json.dumps({"gates": [{"metric": ODD, "min": 0.99, "suite": ODD, ODD: ODD}]}))
    recipes = [folder / "recipe.yaml", folder / "no-recipe.yaml"]
    recipes[0].write_text(json.dumps({"name": "support", "reference": {"model": "no" + ODD, "effort": None}}))
    recipes[1].write_text(json.dumps({"name": ODD, ODD: ODD}))
    audit = folder / "audit.csv"
    pd.DataFrame({"sample_id": [f"none{ODD}"], "quality": [1.0], ODD: [ODD]}).to_csv(audit, index=False)
    yield "collect logs", ["collect", logs(world), "--out", folder / "l.parquet", "--prices", table]
    (folder / "logs" / f"2026_broken{IN_A_FILE}.json").unlink()
    yield "collect rest", ["collect", folder / "logs", "--out", folder / "l.parquet", "--prices", table]
    yield "collect unpriced", ["collect", folder / "logs", "--out", folder / "m.parquet"]
    whole = folder / "whole.jsonl"
    rows = [json.loads(line) for line in week.read_text().splitlines()]
    possible = [row for row in rows if ODD not in (row.get("quality"), row.get("status"))]
    odd = [row | {"time": 1.8e9} if row.get("time") == ODD else row for row in possible]
    whole.write_text("".join(f"{json.dumps(row)}\n" for row in odd))
    yield "collect bad week", ["collect", week, "--out", folder / "w.parquet"]
    yield "collect week", ["collect", whole, "--out", folder / "w.parquet"]
    yield "report collected", ["report", folder / "w.parquet"]
    yield "collect strange", ["collect", outcomes, "--out", folder / "s.parquet", "--map", f"quality={ODD}"]
    yield "report rest", ["report", folder / "l.parquet", "--html", folder / "rest.html"]
    yield "report week", ["report", week, "--html", folder / "week.html"]
    yield "report week.json", ["report", week, "--json"]
    yield "report audit", ["report", week, world.policy, "--audit", audit, "--before", week]
    yield (
        "report forged",
        ["report", outcomes, bad, "--html", folder / "forged.html", "--pareto", folder / "f.html"],
    )
    yield "report.json", ["report", outcomes, bad, "--json"]
    for name, arguments in {
        "show": [bad, "--outcomes", outcomes], "diff": [world.policy, bad], "verify": [bad, "--name", ODD],
        "route": [bad, ODD, "--explain", "--point", ODD], "replay": [bad, "--outcomes", outcomes, "--point", ODD],
        "gate": [bad, "--outcomes", outcomes, "--gates", gates, "--junit", folder / "g.xml", "--markdown",
                 folder / "g.md", "--write-json", folder / "g.json"],
    }.items():  # fmt: skip
        yield name, [name, *arguments]
        yield f"{name}.json", [name, *arguments, "--json"]
    yield "gate no", ["gate", bad, "--outcomes", outcomes, "--gates", no_gates]
    yield "gate audit", ["gate", bad, "--outcomes", outcomes, "--audit", audit]
    yield "gate check", ["gate", bad, "--outcomes", outcomes, "--gates", gates, "--check", folder / "g.json"]
    yield "fit", ["fit", recipes[0], "--outcomes", outcomes, "--out", folder / "fitted"]
    yield "fit no", ["fit", recipes[1], "--outcomes", outcomes, "--out", folder / "fitted"]
    yield "plan.json", ["plan", outcomes, "--margin", "0.03", "--by-suite", "--json"]
    yield "prices.json", ["prices", "show", "--prices", table, "--json"]
    yield (
        "prices tool",
        ["prices", "add", ODD, "--input", 1, "--output", 2, "--source", ODD, "--tool", f"{ODD}=x"],
    )
    yield "keygen", ["keygen", key]
    yield "publish alias", ["publish", served / world.policy.name, "--force", "--alias", ODD]
    yield "publish gate", ["publish", bad, "--gate", folder / "g.json"]
    yield "publish expires", ["publish", served / world.policy.name, "--force", "--expires", ODD]
    yield "rollback to", ["rollback", served, "--to", ODD]
    yield "rollback", ["rollback", served]
    yield "publish again", ["publish", served / world.policy.name, "--force", "--key", key]
    yield "sign", ["sign", served, "--key", key]
    yield "show served", ["show", served]
    for changed in (
        {"name": ODD},
        {"alias": "a" + ODD[:40]},
        {"revision": ODD},
        {"verdict": ODD},
        {ODD: ODD},
    ):
        for command, *more in (
            ["show"],
            ["verify"],
            ["sign", "--key", key],
            ["rollback"],
            ["publish", "--force"],
        ):
            stands = json.loads((served / "RELEASE.json").read_text())
            stands["release"] |= changed
            (served / "RELEASE.json").write_text(json.dumps(stands))
            place = served / world.policy.name if command == "publish" else served
            yield f"{command} {next(iter(changed))[:9]}", [command, place, *more]


def test_nothing_from_outside_is_more_than_text_anywhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.folder)
    wrong, said = [], 0
    for name, arguments in commands(world):
        done = run(*arguments)
        said += "FAKE" in done.output
        parsed = name if done.exit_code in (0, 3, 4) else "refused"
        wrong += faults(parsed, done.stdout) + faults(f"{name} (stderr)", done.stderr)
    for file in world.folder.iterdir():
        if file.suffix in (".html", ".md", ".xml", ".svg") or file.name == "g.json":
            wrong += faults(file.name, file.read_text())
    assert wrong == []
    written = {file.name for file in world.folder.iterdir()}
    assert written >= {"rest.html", "week.html", "forged.html", "f.html", "g.xml", "g.md", "g.json"}
    assert said > 25  # outputs in which such a text is quoted at all


def test_a_certificates_verdict_is_text_in_markdown() -> None:
    certificate = Certificate(verdict="[x](http://x)<b>", n=5)
    report = GateReport("p", None, None, (), 60, None, certificate=certificate, clusters=60)
    assert faults("g.md", report.to_markdown()) == [] and r"\[x\](http\://x)&lt;b&gt;" in report.to_markdown()
    assert "[x](http://x)<b>" in report.to_text()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_servers_reason_begins_no_line_of_a_sweeps_progress(terminal: bool) -> None:
    out = io.StringIO()
    out.isatty = lambda: terminal  # type: ignore[method-assign]
    with Progress(f"s{ODD}", needed=2, reused=0, stream=out) as counter:
        counter.note(f"m is stopped: Error code: 400 - {ODD}")
        counter.sample_done(failed=False)
    lines = out.getvalue().replace("\r", "").replace("\x1b[K", "").splitlines()
    assert len(lines) == 3 and all(line.startswith("s<script>") for line in lines)
    assert faults("progress", "\n".join(lines)) == []


def test_what_libraries_warn_of_and_log_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("some.library")
    logger.propagate = False
    before = logging.lastResort
    with plain_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"column {ODD}", UserWarning, stacklevel=1)
        logger.warning("server said %s", ODD)
    lines = capsys.readouterr().err.splitlines()
    assert (
        len(lines) == 2 and "UserWarning: column" in lines[0] and lines[1].startswith("warning: server said")
    )
    assert faults("stderr", "\n".join(lines)) == [] and logging.lastResort is before


FULL = Path("/dev/full")
START = "from router_lab.cli import main; main()"


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["prices", "show"], ["prices", "show", "--json"]], ids=" ".join
)
def test_no_room_for_the_result_is_one_line_and_status_1(root: Path, arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", START, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        )
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and "No space left on device" in line and line.startswith("Error: ")


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
def test_every_result_goes_where_a_full_disk_is_told(world: World) -> None:
    """In one process, by the descriptor's own error."""

    arguments: list[list[object]] = [
        ["report", world.outcomes], ["show", world.policy], ["show", world.policy, "--json"],
        ["plan", world.outcomes, "--margin", "0.03"], ["route", world.policy, "x"], ["verify", world.policy],
        ["replay", world.policy, "--outcomes", world.outcomes], ["diff", world.policy, world.policy],
        ["gate", world.policy, "--outcomes", world.outcomes], ["report", decided(world)],
        ["publish", world.policy, "--force"], ["rollback", world.policy.parent],
    ]  # fmt: skip
    for command in arguments:
        said: list[str] = []

        def echo(
            text: Any = "", err: bool = False, nl: bool = True, said: list[str] = said, **_: Any
        ) -> None:
            if not err:
                raise OSError(28, "No space left on device")
            said.append(str(text))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("router_lab.cli.common.click.echo", echo)
            done = CliRunner().invoke(cli, [str(a) for a in command])
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert done.exit_code == 1 and len(lines) == 1, (command, done.output, done.exception)


def test_a_full_standard_error_stops_nothing(world: World) -> None:
    def echo(text: Any = "", err: bool = False, nl: bool = True, **_: Any) -> None:
        if err:
            raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("router_lab.cli.common.click.echo", echo)
        done = CliRunner().invoke(cli, ["replay", str(world.policy), "--outcomes", str(world.outcomes)])
    assert done.exit_code == 0, done.exception


def test_a_forged_file_of_looks_is_told_by_its_lines_and_quoted_nowhere(world: World, tmp_path: Path) -> None:
    outcomes, recipe, looks = tmp_path / "outcomes.parquet", tmp_path / "recipe.yaml", tmp_path / LOOKS
    outcomes.write_bytes(world.outcomes.read_bytes())
    done = []
    for margin in (0.03, 0.04):
        recipe.write_text(f"name: support\nrule: {{margin: {margin}}}\n")
        done.append(run("fit", recipe, "--outcomes", outcomes, "--out", tmp_path / "out"))
        if margin == 0.03:
            first = json.loads(looks.read_text())
            forged = [
                first | {key: ODD} for key in ("time", "command", "verdict", "delta", "samples", "sketch")
            ]
            asked = first | {"asked": ODD, "question": ODD}  # a look by its form, of which no text is printed
            looks.write_text("\n".join(["[" * 100_000, "7", *map(json.dumps, [*forged, asked, first])]))
    assert [one.exit_code for one in done] == [0, 0]
    assert "line 1, 2, 3, 4, 5 and 3 more: is no look" in done[1].stderr
    # That, the first, the new.
    assert "look 3 at these rows" in done[1].stdout and "as likely as 0.3," in done[1].stdout
    assert [faults("fit", one.stdout + one.stderr) for one in done] == [[], []]
