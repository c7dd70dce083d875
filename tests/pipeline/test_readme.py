"""What the README quotes is what the commands print, to the last digit; its Python runs as it stands."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab import Policy, load_policy
from router_lab.cli import COMMANDS, cli
from router_lab.publish import publish
from router_lab.runtime.artifact import save_revision
from tests.bench.walks import REVISION
from tests.conftest import ROOT
from tests.pipeline.conftest import Demo
from tests.servers.loopback import serving

README = (ROOT / "README.md").read_text()
DEMO = (ROOT / "docs" / "demo.md").read_text()
PYTHON = README + (ROOT / "docs" / "python.md").read_text()
QUOTED = re.findall(r"<!-- printed by: make demo -->\n```text\n(.*?)```", README + DEMO, flags=re.S)


def test_quoted_output_is_what_the_demo_prints(demo: Demo) -> None:
    printed, quoted = (
        [line.rstrip() for line in REVISION.sub("revision", text).splitlines()]
        for text in (demo.stdout, "".join(QUOTED))
    )
    assert len(quoted) > 40
    assert [line for line in quoted if line and line not in printed] == []


def test_pairs_of_the_demo_are_those_that_chains_prints(demo: Demo) -> None:
    page = (ROOT / "docs" / "chains.md").read_text()
    [quoted] = re.findall(r"<!-- printed: chains -->\n```text\n(.*?)```", page, flags=re.S)
    done = CliRunner().invoke(cli, ["chains", str(demo.out / "outcomes.parquet")])
    assert done.exit_code == 0, done.output
    assert quoted == done.stdout


def test_figures_in_the_prose_stand_in_the_quoted_output() -> None:
    """In full on the demo's page, in short in the README, which is no longer than a reader's first look."""
    quoted = "".join(QUOTED)
    for page, start in ((DEMO, "Read it like this"), (README, "Eight candidates")):
        numbers = re.findall(r"\d+\.\d", page[page.index(start) :].split("\n\n")[0])
        assert len(numbers) > 4
        for number in numbers:
            assert number in quoted, number
    assert len(README.splitlines()) <= 220


DOCS = [p for p in sorted((ROOT / "docs").glob("*.md")) if p.stem != "artifact-format"]
PAGES = README + "".join(p.read_text() for p in DOCS)


@pytest.mark.parametrize("line", sorted(set(re.findall(r"router-lab ([a-z]+[^\n#|`]*)", PAGES))))
def test_commands_exist_with_these_options(line: str) -> None:
    name, *rest = line.split()
    assert name in COMMANDS
    inner = [rest[0]] if name == "prices" else []  # a group: the options are its command's
    shown = CliRunner().invoke(cli, [name, *inner, "--help"]).output
    for option in (word for word in rest if word.startswith("--")):
        assert option in shown, f"{name} has no {option}"


def test_linked_files_exist() -> None:
    for page in [ROOT / "README.md", *DOCS]:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
            assert (page.parent / Path(target)).exists(), (page.name, target)


def test_the_picture_is_the_demos(demo: Demo) -> None:
    assert (ROOT / "docs" / "front.svg").read_bytes() == (demo.out / "front.svg").read_bytes()


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_request_from_ones_own_python(api: str, demo: Demo, tmp_path: Path) -> None:
    """The README's file, run as a user runs it, against a server on loopback; only the address comes from outside."""
    block = re.search(rf"<!-- run: {api} -->\n```python\n(.*?)```", PYTHON, flags=re.S)
    assert block is not None
    (tmp_path / "mine.py").write_text(block[1])
    save_revision(measured_through(load_policy(demo.policy), api), tmp_path / "policies" / "support")
    only = next((tmp_path / "policies" / "support").iterdir())
    publish(only, force=True)
    with serving(answer=lambda prompt: "Press reset.") as server:
        env = {**os.environ, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": server.url, "ANTHROPIC_API_KEY": "x",
               "ANTHROPIC_BASE_URL": server.root}  # fmt: skip
        command = [sys.executable, "mine.py"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("Press reset.")
    assert len(server.requests) == 1
    assert done.stdout.startswith(server.requests[0]["body"]["model"])


def test_an_agent_loop_ends_before_it_overspends(demo: Demo, tmp_path: Path) -> None:
    """The README's loop, whose agent never succeeds: it ends by the budget, and by itself."""
    block = re.search(r"<!-- run: budget -->\n```python\n(.*?)```", PYTHON, flags=re.S)
    assert block is not None
    (tmp_path / "mine.py").write_text(block[1])
    save_revision(load_policy(demo.policy), tmp_path / "policies" / "support")
    publish(next((tmp_path / "policies" / "support").iterdir()), force=True)
    with serving(answer=lambda prompt: "I have tried.") as server:
        env = {**os.environ, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": server.url}
        command = [sys.executable, "mine.py"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("budget: the next call needs 1 turns and 0 are left after 8 calls;")
    assert len(server.requests) == 8


def measured_through(policy: Policy, api: str) -> Policy:
    """The demo's policy as it would be had its candidates been measured through this provider's own models."""
    named = {"openai": ("openai_responses", "max_output_tokens"), "anthropic": ("anthropic", "max_tokens")}[
        api
    ]
    profiles = []
    for profile in policy.spec.profiles:
        arguments = {"model": profile.candidate.model, named[1]: 64}
        profiles.append(profile._replace(request={"api": named[0], "arguments": arguments}))
    return Policy(replace(policy.spec, profiles=tuple(profiles)))
