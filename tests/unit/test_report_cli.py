"""gate, publish, show, diff and report as commands, and the examples in docs/ against what they claim to be."""

from __future__ import annotations

import json
import os
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from router_lab.cli.describe_policy import READS
from router_lab.cli.diff import diff
from router_lab.cli.gate import gate
from router_lab.cli.plan import plan
from router_lab.cli.publish import publish, rollback
from router_lab.cli.report import report
from router_lab.cli.route import route
from router_lab.cli.show import show
from router_lab.config import Gates, load
from router_lab.fit.certificate import SEVERAL
from router_lab.fit.choose import CHAINS, FIXED
from router_lab.fit.model import READS as READS_PROMPTS
from router_lab.gates import FACTS, MEASURED
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy


def save(folder: Path, best: int, **changes: Any) -> Path:
    """A policy that sends everything to `best` (0 cheap, 1 dear); the reference is dear."""
    linear = Linear.quantised(
        seen=np.arange(1 << 8), weights=np.zeros((1 << 8, 4)),
        bias=np.array([[float(best == 0), float(best == 1), 0.001, 0.01]] * 2), dense=np.zeros((len(DENSE), 4)),
        cost_bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
    )  # fmt: skip
    spec = PolicySpec(
        name="support", profiles=(Profile(Candidate("cheap")), Profile(Candidate("dear"))), reference=1, suites=("s",),
        featuriser=Featuriser(buckets=1 << 8), linear=linear, points={"default": (Follow(0.0, 0.0, 1.0),)},
        point="default", coverage=0.0, routes={}, fallbacks=(1, 0),
        **({"certificate": {"verdict": "pass", "reason": "shown"}} | changes),
    )  # fmt: skip
    return save_revision(Policy(spec), folder)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {"suite": "s", "sample_id": str(i), "model": model, "quality": float(i % 5 > 0), "cost_usd": cost,
         "prompt": f"question {i}", "status": "ok"}
        for i in range(60) for model, cost in (("cheap", 0.001), ("dear", 0.01))
    ]  # fmt: skip
    return write_outcomes(validate_outcomes(pd.DataFrame(rows)), tmp_path / "outcomes.parquet")


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]


def test_gate_then_publish_then_rollback(tmp_path: Path, table: Path) -> None:
    folder = tmp_path / "support"
    old, new = save(folder, 1), save(folder, 0)
    assert run(publish, old, "--force").exit_code == 0
    (tmp_path / "gates.yaml").write_text("gates: [{metric: savings, min: 0.5}]")
    arguments = (
        new,
        "--outcomes",
        table,
        "--gates",
        tmp_path / "gates.yaml",
        "--write-json",
        tmp_path / "g.json",
    )
    assert (
        run(gate, *arguments, "--junit", tmp_path / "g.xml", "--markdown", tmp_path / "g.md").exit_code == 0
    )
    assert (
        "savings ≥ 0.5" in (tmp_path / "g.md").read_text()
        and b"<testsuites" in (tmp_path / "g.xml").read_bytes()
    )
    done = run(publish, new, "--gate", tmp_path / "g.json")
    assert done.exit_code == 0 and f"{new.name} (pass)" in done.output, done.output
    assert "back to" in run(rollback, folder).output
    failing = run(gate, old, "--outcomes", table, "--gates", tmp_path / "gates.yaml", "--json")
    assert failing.exit_code == 3 and json.loads(failing.stdout)["verdict"] == "fail"


def test_show_and_diff(tmp_path: Path, table: Path) -> None:
    old, new = save(tmp_path / "support", 1), save(tmp_path / "support", 0)
    shown = run(show, new, "--outcomes", table).output
    assert "reference  dear" in shown and "s (60): 100% cheap" in shown
    moved = run(diff, old, new, "--outcomes", table, "--json")
    value = json.loads(moved.stdout)
    assert value["moves"] == {"dear → cheap": pytest.approx(1.0)}
    assert value["quality_difference"]["value"] == 0.0 and value["savings"]["value"] == pytest.approx(0.9)


def shown_certificate(n: int) -> dict[str, Any]:
    figure = {"value": -0.01, "low": -1.13, "high": 1.11, "confidence": 0.95, "n": n, "clusters": n}
    test = {"n": 6, "clusters": 6, "quality_difference": figure, "savings": figure, "over_random_mix": figure}
    return {
        "verdict": "pass", "action": "route", "reason": "shown", "margin": 0.03, "confidence": 0.9, "n": n,
        "clusters": n, "quality_difference": figure, "savings": figure, "smallest_margin": 1.12, "test": test,
    }  # fmt: skip


def test_page_and_show_say_which_rows_a_verdict_speaks_of(tmp_path: Path, table: Path) -> None:
    policy = save(tmp_path / "support", 0, certificate=shown_certificate(257))
    page = tmp_path / "r.html"
    run(report, table, policy, "--html", page)
    text = page.read_text()
    assert '<b class="word">certificate: pass</b>' in text
    assert "Verdict and figures are those of the certificate&#39;s 257 rows, each left out" in text
    assert "judges fresh rows" in text and "fresh rows, which the fit has not used" in text
    shown = run(show, policy, "--outcomes", table).output
    assert (
        "judged on  the certificate's 257 rows, each left out of the fit that it was judged by; `gate`"
        in shown
    )
    assert "on 60 fresh rows, which the fit has not used" in shown
    assert json.loads(run(show, policy, "--json").stdout)["rows"] == "certificate"


def test_page_and_show_print_no_interval_that_is_wider_than_its_range(tmp_path: Path, table: Path) -> None:
    policy = save(tmp_path / "support", 0, certificate=shown_certificate(6))
    page = tmp_path / "r.html"
    run(report, table, policy, "--html", page)
    shown = run(show, policy).output
    for text in (shown, page.read_text()):
        assert "too few to say (6 rows)" in text and "112" not in text and "113" not in text
    assert "margin     the least that 6 samples can certify: none" in shown
    kept = json.loads(run(show, policy, "--json").stdout)["certificate"]["quality_difference"]
    assert (kept["low"], kept["high"]) == (-1.13, 1.11)


def test_show_explains_the_numbers_of_an_operating_point(tmp_path: Path) -> None:
    shown, asked = run(show, save(tmp_path / "support", 0)).output, run(show, "--help").output
    for text in (shown, asked):
        assert "(lambda) what a dollar is worth in quality" in text
        assert "guard     by how much utility a candidate must beat the reference" in text
        assert "mix       the share of requests on which such a candidate does" in text


def test_a_policy_that_escalates_says_so(tmp_path: Path) -> None:
    plain, path = save(tmp_path / "plain", 0), save(tmp_path / "support", 0, escalation=(1,))
    said = 'an answer that fails its check is asked again of dear (`Decision.next("check")`); predicted and measured'
    for command, more in ((show, ()), (route, ("hi", "--explain"))):
        assert said in run(command, path, *more).output
        assert "fails its check" not in run(command, plain, *more).output
    explained = run(route, path, "hi", "--explain").output
    assert "predicted quality 1.000, $0.001000 on tier standard, with escalation\n" in explained
    assert (
        "cheap (beats the guard; figures with escalation)\n" in explained
        and "dear (the reference)\n" in explained
    )
    assert "with escalation" not in run(route, plain, "hi", "--explain").output
    rows = json.loads(run(route, path, "hi", "--explain", "--json").stdout)["candidates"]
    assert [row["with_escalation"] for row in rows] == [True, False]


def test_plan_says_for_what_it_planned_and_how_to_change_that(table: Path) -> None:
    first, second, *_ = run(plan, table, "--margin", "0.03").output.splitlines()
    assert first == "planned for a margin of 3 points at confidence 0.95, against cheap"
    assert (
        second
        == "--margin and --confidence change that; a recipe's rule says its own, by default 3 points at 0.9"
    )
    assert "at confidence 0.9," in run(plan, table, "--margin", "0.03", "--confidence", "0.9").output


def test_report_writes_pages_and_prints_their_paths(tmp_path: Path, table: Path) -> None:
    policy = save(tmp_path / "support", 0)
    page, front = tmp_path / "r.html", tmp_path / "p.html"
    done = run(report, table, policy, "--html", page, "--pareto", front)
    assert done.output.splitlines()[-2:] == [str(page), str(front)], done.output
    assert "Routing policy support" in page.read_text() and "data-label=" in front.read_text()
    assert "● cheap" in run(report, table).output


def test_the_example_gates_are_gates(root: Path) -> None:
    gates = load(Gates, root / "docs" / "examples" / "gates.yaml").gates
    assert {g.metric for g in gates} <= {*MEASURED, *FACTS}


def test_the_example_workflow_gates_with_options_that_exist(root: Path) -> None:
    workflow = yaml.safe_load((root / "docs" / "examples" / "gate-workflow.yml").read_text())
    script = next(s["run"] for s in workflow["jobs"]["gate"]["steps"] if s.get("name") == "Gate")
    known = {option for parameter in gate.params for option in parameter.opts}
    ours = script[script.index("champion=") :].replace("(", " ")
    assert {word for word in ours.split() if word.startswith("--")} <= known


def test_the_example_workflow_gates_what_a_pull_request_adds(root: Path, tmp_path: Path) -> None:
    """Revisions are named by digests: the last in order may be the one in production."""
    workflow = yaml.safe_load((root / "docs" / "examples" / "gate-workflow.yml").read_text())
    assert workflow["defaults"] == {"run": {"shell": "bash"}}
    script = next(s["run"] for s in workflow["jobs"]["gate"]["steps"] if s.get("name") == "Gate")
    (tmp_path / "bin").mkdir()
    told = tmp_path / "bin" / "router-lab"
    told.write_text('#!/bin/sh\necho "$1 $2"\n')
    told.chmod(0o755)
    env = {
        **os.environ,
        "POLICY": "policies/support",
        "OUTCOMES": "o",
        "PATH": f"{told.parent}:{os.environ['PATH']}",
    }

    def sh(text: str) -> str:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        ).stdout

    def committed(revision: str) -> None:
        (tmp_path / "policies" / "support" / revision).mkdir(parents=True)
        (tmp_path / "policies" / "support" / revision / "MANIFEST.json").write_text("{}")
        sh("git add policies && git -c user.name=a -c user.email=a@b -c commit.gpgsign=false commit -qm so")

    sh("git init -q -b main")
    committed("fff")
    sh("git update-ref refs/remotes/origin/main HEAD")
    gated = script.replace("${{ github.base_ref }}", "main")
    assert sh(gated) == "gate policies/support\n"
    committed("aaa")
    assert sh(gated) == "gate policies/support/aaa\n"


def test_a_verdict_is_recomputed_to_the_last_digit(tmp_path: Path, table: Path) -> None:
    policy, written = save(tmp_path / "policies", 1), tmp_path / "gate.json"
    run(gate, policy, "--outcomes", table, "--write-json", written)
    again = run(gate, policy, "--outcomes", table, "--check", written)
    assert again.exit_code == 0 and "the same to the last digit" in again.output
    changed = json.loads(written.read_text())
    changed["n"] += 1
    written.write_text(json.dumps(changed))
    refused = run(gate, policy, "--outcomes", table, "--check", written)
    assert refused.exit_code == 3 and "n: 61, now 60" in refused.output


def test_the_date_of_a_verdict_is_kept(tmp_path: Path, table: Path) -> None:
    """A verdict about expiry is checked as of the day it was given."""
    policy, written, gates = save(tmp_path / "policies", 1), tmp_path / "gate.json", tmp_path / "gates.yaml"
    gates.write_text("gates: [{metric: expires_in_days, min: 7}]")
    run(gate, policy, "--outcomes", table, "--gates", gates, "--write-json", written)
    old = json.loads(written.read_text()) | {"date": "2020-01-01"}
    written.write_text(json.dumps(old))
    assert run(gate, policy, "--outcomes", table, "--gates", gates, "--check", written).exit_code == 0


def test_a_report_is_recomputed_to_the_last_byte(tmp_path: Path, table: Path) -> None:
    policy, page = save(tmp_path / "policies", 1), tmp_path / "report.html"
    run(report, table, policy, "--html", page)
    assert "the same to the last digit" in run(report, table, policy, "--check", page).output
    other = run(report, table, policy, "--check", page, "--volume", 5)
    assert other.exit_code == 3 and "first in line" in other.output


def test_a_folder_of_revisions_is_as_good_as_the_only_one(tmp_path: Path, table: Path) -> None:
    folder = tmp_path / "policies"
    only = save(folder, 1)
    assert run(show, folder).output == run(show, only).output
    other = save(folder, 0)
    asked = run(show, folder)
    assert isinstance(asked.exception, PolicyError)
    assert f"{only} (pass)" in str(asked.exception) and f"{other} (pass)" in str(asked.exception)
    assert run(publish, only, "--force").exit_code == 0
    assert run(show, folder).output == run(show, only).output
    assert isinstance(run(show, tmp_path).exception, PolicyError)


def test_gates_come_from_the_recipe(tmp_path: Path, table: Path) -> None:
    """A recipe named as --gates, and without --gates the recipe that the policy was fitted by."""
    recipe = {"name": "support", "gates": [{"metric": "cost_usd_per_1k", "max": 100}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    policy = save(tmp_path / "policies", 1)
    named = run(gate, policy, "--outcomes", table, "--gates", tmp_path / "recipe.yaml")
    assert named.exit_code == 0 and "cost_usd_per_1k ≤ 100" in named.output
    fitted = save(tmp_path / "fitted", 1, provenance={"recipe": recipe})
    again = run(gate, fitted, "--outcomes", table).output
    # Another revision asks the same rows.
    assert again.startswith(named.output) and "look 2 at these rows" in again


LOSES = "Do not route: send 32 % of the requests to cheap, at random."


def test_a_policy_that_loses_to_the_random_mix_is_headed_by_the_mix(tmp_path: Path, table: Path) -> None:
    """Whatever the gates ask (here they pass), and on every page: the same sentence, and never `Route.`"""
    shown = shown_certificate(257)
    figures = {name: shown[name] for name in ("quality_difference", "savings")}
    shown["random_mix"] = {"model": "cheap", "effort": None, "probability": 0.32, **figures}
    for value, high, sure in ((-0.04, -0.02, "is shown to save"), (-0.04, 0.01, "saved"), (0.04, 0.06, None)):
        over = {"value": value, "low": -0.06, "high": high, "n": 257, "clusters": 257}
        policy = save(tmp_path / f"{value}{high}", 0, certificate={**shown, "over_random_mix": over})
        done = run(gate, policy, "--outcomes", table, "--markdown", tmp_path / "g.md")
        assert run(report, table, policy, "--html", tmp_path / "r.html").exit_code == 0
        pages = [done.stdout, (tmp_path / "g.md").read_text(), run(show, policy).output]
        pages.append(unescape((tmp_path / "r.html").read_text()))
        if sure is None:
            assert all("Route." in page and "Do not" not in page for page in pages)
            assert "arning" not in done.stderr
            continue
        said = f"{LOSES} That {sure} 4.0 % more of the reference's cost, on the same rows."
        assert done.exit_code == 0
        assert all(said in page and "Route." not in page for page in pages), pages
        assert '<b class="word">certificate: pass</b> · Do not route: send 32 %' in pages[-1]
        assert (f"warning: by the policy's own certificate: {said}\n" in done.stderr) == (high < 0)


def test_every_class_of_predictors_is_told_in_words() -> None:
    assert {READS_PROMPTS, FIXED, CHAINS, "rates", "pooled", SEVERAL, None} == set(READS)
