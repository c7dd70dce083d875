"""What the README quotes is what the commands print, to the last digit."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from router_lab.cli import COMMANDS, cli
from tests.conftest import ROOT
from tests.pipeline.conftest import Demo

README = (ROOT / "README.md").read_text()
QUOTED = re.findall(r"<!-- printed by: make demo -->\n```text\n(.*?)```", README, flags=re.S)


def test_quoted_output_is_what_the_demo_prints(demo: Demo) -> None:
    printed = {line.rstrip() for line in demo.stdout.splitlines()}
    quoted = [line.rstrip() for block in QUOTED for line in block.splitlines()]
    assert len(quoted) > 40
    assert [line for line in quoted if line and line not in printed] == []


def test_figures_in_the_prose_stand_in_the_quoted_output() -> None:
    prose = README[README.index("Read it like this") :].split("\n\n")[0]
    quoted = "".join(QUOTED)
    for number in re.findall(r"\d+\.\d", prose):
        assert number in quoted, number


@pytest.mark.parametrize("line", sorted(set(re.findall(r"router-lab ([a-z]+[^\n#|`]*)", README))))
def test_commands_exist_with_these_options(line: str) -> None:
    name, *rest = line.split()
    assert name in COMMANDS
    shown = CliRunner().invoke(cli, [name, "--help"]).output
    for option in (word for word in rest if word.startswith("--")):
        assert option in shown, f"{name} has no {option}"


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / Path(target)).exists(), target
