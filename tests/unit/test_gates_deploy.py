"""A gate passes nothing that the policy's own certificate says not to deploy, and says who retires soon."""

from __future__ import annotations

import datetime as dt
import json
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab import load_policy
from router_lab.certificate import retiring_soon
from router_lab.cli.gate import gate as command
from router_lab.config import Gate
from router_lab.gates import GateReport, run_gates
from router_lab.outcomes import write_outcomes
from router_lab.publish import history, publish, rollback
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.chains import Stage
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Route
from router_lab.runtime.points import Assign, Cascade
from router_lab.runtime.policy import Policy
from tests import log_worlds
from tests.unit.test_gates import CHEAP, DEAR, TODAY, always, world

GATES = [Gate(metric="quality", against="reference", margin=0.03), Gate(metric="savings", min=0.1)]
GONE = (None, TODAY.isoformat())
SAID = (
    f"Do not deploy: the reference, {DEAR}, retired on 2026-11-22, and nothing is shown beside {CHEAP}, who serves in "
    "its place; fit again with another `reference`."
)
FAILED = {"verdict": "fail", "reason": "lost", "margin": 0.03, "confidence": 0.9, "n": 4000}


def judged(policy: Policy, day: dt.date = TODAY) -> GateReport:
    return run_gates(policy, world(), GATES, today=day)


def test_a_reference_that_has_retired_fails_in_every_format() -> None:
    report = judged(always(0, retires=GONE))
    assert (report.verdict, report.exit_code) == ("fail", 3)
    assert [one.verdict for one in report.results] == ["pass", "pass", "fail"]
    name = "deploy by the certificate"
    [line] = [one for one in report.to_text().splitlines() if one.startswith(f"✗ {name} ")]
    assert line.endswith(f" all suites: fail; {SAID}")
    assert "always: fail (2 passed, 1 failed, 0 inconclusive)" in report.to_text()
    told = json.loads(json.dumps(report.to_json()))
    assert (told["verdict"], told["exit_code"], told["deploy"]) == ("fail", 3, SAID)
    last = told["results"][-1]
    assert (last["name"], last["verdict"], last["reason"], last["rows"]) == (
        name,
        "fail",
        SAID,
        "certificate",
    )
    assert (
        "### Gate: fail" in report.to_markdown()
        and f"| ✗ fail | {name} | all suites |" in report.to_markdown()
    )
    [suite] = ElementTree.fromstring(report.to_junit())
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    [failure] = suite.iter("failure")
    assert failure.get("message") == SAID


def test_what_may_be_deployed_has_no_line_of_its_own() -> None:
    """Not the day before, nor where another than the reference has retired."""
    before = judged(always(0, retires=GONE), TODAY - dt.timedelta(days=1))
    other = judged(always(0, retires=(TODAY.isoformat(), None)))
    for report in (before, other):
        assert (report.verdict, report.exit_code, len(report.results)) == ("pass", 0, 2)


def test_a_certificate_that_failed_fails_whatever_the_gates_are() -> None:
    report = judged(always(0, certificate=FAILED))
    assert report.verdict == "fail" and report.results[0].verdict != "fail"
    assert report.results[-1].reason == report.deploy == "Do not deploy this policy: keep the reference."


def test_the_command_ends_with_3_and_what_it_wrote_is_not_published(tmp_path: Path) -> None:
    folder = save_revision(always(0, retires=(None, "2020-01-01")), tmp_path / "policies")
    outcomes, written = write_outcomes(world(), tmp_path / "o.parquet"), tmp_path / "gate.json"
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates:\n  - {metric: savings, min: 0.1}\n")
    arguments = [str(folder), "--outcomes", str(outcomes), "--gates", str(gates)]
    done = CliRunner().invoke(command, [*arguments, "--write-json", str(written)])
    assert done.exit_code == 3 and "1 passed, 1 failed" in done.output, done.output
    with pytest.raises(InputError, match=r"its gate says fail; .* --force, which leaves a trace"):
        publish(folder, gate=json.loads(written.read_text()))
    assert CliRunner().invoke(command, [*arguments, "--check", str(written)]).exit_code == 0


# Who retires soon


@pytest.mark.parametrize(("left", "said"), [
    (31, ()), (0, ()), (-1, ()),
    (30, (f"{CHEAP} retires on 2026-12-22, in 30 days: fit again without it by then",)),
    (1, (f"{CHEAP} retires on 2026-11-23, in 1 day: fit again without it by then",)),
])  # fmt: skip
def test_who_retires_within_thirty_days_is_a_warning_and_no_failure(left: int, said: tuple[str, ...]) -> None:
    policy = always(0, retires=((TODAY + dt.timedelta(days=left)).isoformat(), None))
    report = judged(policy)
    assert report.retiring == said == retiring_soon(policy, TODAY)
    assert report.verdict == "pass"
    assert report.to_json().get("retiring") == (list(said) or None)
    for text in (report.to_text(), report.to_markdown()):
        assert text.count("Warning: ") == len(said) and all(one.split(" @")[0] in text for one in said)


def test_the_first_comes_first_and_the_reference_is_named_as_such() -> None:
    policy = Policy(replace(log_worlds.always("cheap").spec, retires=("2026-12-10", "2026-12-01", None)))
    assert [text.split(" on ")[0] for text in retiring_soon(policy, TODAY)] == [
        "the reference, dear, retires", "cheap retires",
    ]  # fmt: skip


@pytest.mark.parametrize(("changes", "used"), [
    ({"points": {"default": (Assign((1, 1, 1), 1.0),)}}, False),
    ({"points": {"default": (Assign((1, 1, 0), 1.0),)}}, True),
    ({"points": {"default": (Assign((1, 1, 1), 1.0),), "cheaper": (Assign((0, 0, 0), 1.0),)}}, True),
    ({"points": {"default": (Assign((1, 1, 1), 1.0),)}, "explore": {"default": 0.1}}, True),
    ({"points": {"default": (Cascade((None, 0, None), 1.0, 1.0),)}, "chains": ((Stage(0),),)}, True),
    ({"points": {"default": (Cascade((None, 0, None), 1.0, 1.0),)}, "chains": ((Stage(1),),)}, False),
    ({"points": {"default": (Assign((1, 1, 1), 1.0),)}, "routes": {"a": Route(0, "pass")}}, True),
    ({"points": {"default": (Assign((1, 1, 1), 1.0),)}, "routes": {"a": Route(0, "fail")}}, False),
])  # fmt: skip
def test_only_those_whom_the_policy_uses(changes: dict[str, Any], used: bool) -> None:
    policy = always(1, retires=("2026-12-10", None), **changes)
    assert bool(retiring_soon(policy, TODAY)) is used


# Publishing


def at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")


def test_a_gate_that_passed_before_the_reference_retired_publishes_no_longer(tmp_path: Path) -> None:
    folder = save_revision(always(0, retires=(None, "2026-12-01")), tmp_path)
    passed = {"revision": load_policy(folder).revision, "verdict": "pass"}
    with pytest.raises(
        InputError, match=r"its gate passed, but by 2026-12-01 its certificate says: Do not deploy: "
    ):
        publish(folder, gate=passed, now=at("2026-12-01"))
    assert not history(tmp_path)
    with pytest.warns(
        RouterLabWarning, match=r"^always: the reference, dear, retires on 2026-12-01, in 1 day: "
    ) as warned:
        done = publish(folder, gate=passed, now=at("2026-11-30"))
    assert warned[0].filename == __file__
    assert (done.release.verdict, done.entry["forced"]) == ("pass", False)
    # Who forces is told what who rolls back is told.
    said = "^always: the reference, dear, retired on 2026-12-01 and serves nothing any more: fit again without it$"
    with pytest.warns(RouterLabWarning, match=said):
        forced = publish(folder, gate=passed, force=True, now=at("2026-12-02"))
    assert (forced.release.verdict, forced.entry["forced"]) == ("fail", True)


def test_the_day_is_the_one_in_utc(tmp_path: Path) -> None:
    """23:30 on 30 November in New York is the first of December in UTC."""
    folder = save_revision(always(0, retires=(None, "2026-12-01")), tmp_path)
    passed = {"revision": load_policy(folder).revision, "verdict": "pass"}
    with pytest.raises(InputError, match="by 2026-12-01 its certificate says"):
        publish(folder, gate=passed, now=dt.datetime.fromisoformat("2026-11-30T23:30:00-05:00"))


def test_who_rolls_back_is_told_who_has_retired_meanwhile(tmp_path: Path) -> None:
    first = save_revision(always(0, retires=("2026-12-01", None)), tmp_path)
    second = save_revision(always(1, retires=("2026-12-20", None)), tmp_path)
    for folder in (first, second):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RouterLabWarning)
            publish(folder, force=True, now=at("2026-11-20"))
    said = f"^always: {CHEAP} retired on 2026-12-01 and serves nothing any more: fit again without it$"
    with pytest.warns(RouterLabWarning, match=said) as warned:
        done = rollback(tmp_path, now=at("2026-12-05"))
    assert warned[0].filename == __file__
    assert done.release.revision == load_policy(first).revision
