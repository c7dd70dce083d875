"""Every command's help: an example whose options exist; and `router-lab --help` imports nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from router_lab.cli import COMMANDS, cli

HEAVY = {"inspect_ai", "mlflow", "openai", "pandas", "pyarrow", "pydantic", "scipy", "sklearn"}


def commands() -> list[tuple[str, click.Command]]:
    """Every command, those of groups included, by the words that call it."""
    context = click.Context(cli)
    found = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [
                (f"{name} {inner}", command.commands[inner]) for inner in command.list_commands(context)
            ]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_help_has_an_example_whose_options_exist(name: str, command: click.Command) -> None:
    help_text = command.get_help(click.Context(command, info_name=name))
    assert "Example" in help_text, f"router-lab {name} --help shows no example"
    example = help_text[help_text.index("Example") :]
    calls = re.findall(rf"router-lab {name}\b([^\n]*)", example)
    assert calls, f"the example of {name} does not call it"
    known = {option for parameter in command.params for option in parameter.opts}
    for call in calls:
        options = set(re.findall(r"(?<!\S)--[a-z-]+", call))
        if not isinstance(command, click.Group):
            assert options <= known, f"{name}: {options - known}"


def test_help_imports_nothing_heavy() -> None:
    """Under half a second of CPU, judged by what is not imported (numpy is the runtime's own), not by a clock."""
    code = (
        "import sys\nfrom router_lab.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED", 1)[1].split())
    assert "router_lab" in loaded and not HEAVY & loaded
