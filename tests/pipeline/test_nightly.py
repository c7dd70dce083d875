"""The nightly workflow that docs/ hands out, played as a runner plays it: step after step, over servers with batches."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm
from tests.servers.batches import BatchLoopback
from tests.servers.grid import price, write_project
from tests.servers.meter import Tariff

CHEAP, DEAR = "openai/gpt-5-mini", "anthropic/claude-haiku-4-5"
PRICES = {CHEAP: price(0.25, 2, tiers={"batch": 0.5}), DEAR: price(10, 50, tiers={"batch": 0.5})}
N = 160
RECIPE = {"name": "support", "reference": {"model": DEAR, "retires": "2999-03-01"}, "rule": {"margin": 0.08}}
SHELLS = {None: ["bash", "-e", "-c"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]}
"""What GitHub's runners make of `shell`: where none is said, a pipe fails with its last command alone."""
ELSEWHERE = {"SWEEP": "sweep.yaml", "LOGS": "logs/t", "PRICES": "prices.yaml", "RECIPE": "recipe.yaml"}


@pytest.fixture
def servers() -> Iterator[tuple[BatchLoopback, BatchLoopback]]:
    openai = BatchLoopback({"gpt-5-mini": Tariff("0.125", "1")})
    anthropic = BatchLoopback({"claude-haiku-4-5": Tariff("5", "25")})
    with openai as one, anthropic as two:
        yield one, two
    gc.collect()


@pytest.fixture
def job(root: Path) -> dict[str, Any]:
    workflow = yaml.safe_load((root / "docs" / "examples" / "nightly-workflow.yml").read_text())
    found: dict[str, Any] = workflow["jobs"]["nightly"]
    return found | {"shell": SHELLS[workflow.get("defaults", {}).get("run", {}).get("shell")]}


class Night:
    """One run of the job in `folder`, whose logs a new runner has only from its cache: its steps, in order, with what
    they wrote into the environment."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        self.ran: list[str] = []
        self.failed: str | None = None
        self.told: dict[str, str] = {}
        self._folder, self._summary, self._shell = folder, folder / "summary.md", job["shell"]
        self._path = warm.on_path(folder)
        self.said = ""
        shutil.rmtree(folder / "logs", ignore_errors=True)
        for step in job["steps"]:
            name, condition = step.get("name"), str(step.get("if", ""))
            if (self.failed and condition != "always()") or self._skips(condition):
                continue
            if "actions/cache" in step.get("uses", ""):
                self._cache(step["uses"], step["with"]["path"])
            elif "run" in step and name not in (None, "Keep it"):  # what a runner brings, and what git keeps
                self._run(name, step["run"], {**job["env"], **ELSEWHERE})

    def _cache(self, uses: str, path: str) -> None:
        """`actions/cache` itself saves at the end of a job that succeeds: none here may be it."""
        kept, here = self._folder.parent / f"{self._folder.name}-cache", self._folder / path
        source, target = {"restore": (kept, here), "save": (here, kept)}[uses.split("/")[2].partition("@")[0]]
        if source.exists():
            shutil.copytree(source, target, dirs_exist_ok=True)

    def _skips(self, condition: str) -> bool:
        return condition == "env.PUBLISHED != 'yes'" and self.told.get("PUBLISHED") == "yes"

    def _run(self, name: str, script: str, env: dict[str, str]) -> None:
        noted = self._folder / "env.txt"
        noted.write_text("")
        keys = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "NO_COLOR": "1"}
        given = {"GITHUB_ENV": str(noted), "GITHUB_STEP_SUMMARY": str(self._summary), "PATH": self._path}
        done = subprocess.run(
            [*self._shell, script], cwd=self._folder, capture_output=True, text=True, check=False,
            env={**os.environ, **env, **self.told, **keys, **given},
        )  # fmt: skip
        self.ran.append(name)
        self.said += done.stdout + done.stderr
        self.told |= dict(line.split("=", 1) for line in noted.read_text().splitlines())
        if done.returncode and self.failed is None:
            self.failed = name

    @property
    def summary(self) -> str:
        return self._summary.read_text()


def test_a_night_publishes_what_passed_and_nothing_else(
    job: dict[str, Any], servers: tuple[BatchLoopback, BatchLoopback], tmp_path: Path
) -> None:
    one, two = servers
    models = [{"model": CHEAP, "base_url": one.url}, {"model": DEAR, "base_url": two.root}]
    # Between two ticks a wave ends and the next begins, as with the 15 seconds of real batches.
    batch = {"in_flight": N, "send_delay": 0.2, "tick": 1.5}
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": N}}}
    write_project(
        tmp_path,
        {"models": models, "batch": batch, "config": {"max_tokens": 50}, "limits": {"usd": 0.01}},
        suites,
        prices=PRICES,
    )
    release = tmp_path / "policies" / "support" / "RELEASE.json"

    def recipe(**more: Any) -> None:
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | more))

    recipe(gates=[{"metric": "savings", "min": 0.999}])
    first = Night(job, tmp_path)
    assert first.failed == "Gate" and "Publish" not in first.ran and not release.exists(), first.said
    assert first.ran[-1] == "Show the verdict, and who retires" and "retires" in first.summary
    asked = sum(one.sizes) + sum(two.sizes)
    assert asked == 2 * N

    recipe()
    second = Night(job, tmp_path)
    assert second.failed is None and second.ran[-1] == "Publish", second.said
    published = json.loads(release.read_text())["release"]
    assert published["revision"].startswith(Path(second.told["CHALLENGER"]).name)
    assert (published["number"], published["verdict"]) == (1, "pass")

    third = Night(job, tmp_path)
    assert third.failed is None and not {"Gate", "Publish"} & {*third.ran}, third.said
    assert json.loads(release.read_text())["release"] == published
    assert sum(one.sizes) + sum(two.sizes) == asked, "a finished sample was paid for twice"

    recipe(reference={"model": "nobody"})
    fourth = Night(job, tmp_path)
    assert fourth.failed == "Fit" and "PUBLISHED" not in fourth.told, fourth.said
    assert json.loads(release.read_text())["release"] == published


def test_what_a_night_paid_for_is_kept_whatever_its_gate_says(job: dict[str, Any]) -> None:
    """`actions/cache` saves at the end of a job that succeeded, and of no other."""
    steps = [step.get("name") or step.get("uses") or step["run"] for step in job["steps"]]
    saved = steps.index("actions/cache/save@v4")
    assert steps.index("Run what is new") < saved < steps.index("Fit")
    assert job["steps"][saved]["if"] == "always()"
    assert not any(step.startswith("actions/cache@") for step in steps)
