"""What is said at the end of a command that did not end well, by real processes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from router_lab.cli import LazyGroup, cli
from router_lab.cli.common import Finite
from router_lab.cli.faults import TRACEBACK, traceback_lines, user_message

START = "from router_lab.cli import main; main()"


def failing(error: BaseException) -> click.Group:
    """The command line with one command, which raises `error`."""

    class One(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            @click.command()
            def fail() -> None:
                raise error

            return fail

    return One("router-lab")


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), "not enough memory"), (OSError(28, "No space left", "a\x1b/b"), r"a\x1b/b: No space left"),
     (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "UnicodeDecodeError"),
     (zipfile.BadZipFile("end"), "BadZipFile: end"),
     (RuntimeError("Symlink loop from 'x'"), "Symlink loop from 'x'")],
    ids=["memory", "disk", "unicode", "end", "loop"],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(failing(error), ["fail"])
    assert done.exit_code == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.output
    monkeypatch.setenv(TRACEBACK, "1")
    assert CliRunner().invoke(failing(error), ["fail"]).exception is error


def test_a_fault_of_ours_is_not_hidden() -> None:
    error = KeyError("a\nError: all is well")
    assert user_message(error) is None
    assert CliRunner().invoke(failing(error), ["fail"]).exception is error
    assert "please report it" in list(traceback_lines(error))[-1]


def number_options(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            one = command.get_command(ctx, name)
            assert one is not None
            yield from number_options(one, *path, name)
    yield from ((path, p) for p in command.params if isinstance(p.type, click.types.FloatParamType))


def test_no_option_takes_a_number_that_is_none() -> None:
    options = list(number_options(cli))
    assert len(options) > 12 and (("sweep",), "budget_usd") in [(path, p.name) for path, p in options]
    for path, option in options:
        assert isinstance(option.type, Finite), (path, option.name)
        for value in ("nan", "inf", "-inf", "1e999"):
            with pytest.raises(click.BadParameter):
                option.type.convert(value, option, None)
        assert option.type.convert("0.5", option, None) == 0.5


def test_an_interrupt_is_130() -> None:
    done = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert (done.exit_code, done.stderr.split()) == (130, ["interrupted"])


def test_a_closed_pipe_changes_no_exit_status(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    row = "[{starts: 2020-01-01, input: 1, output: 2, source: s, checked: 2020-01-01}]"
    prices.write_text("models:\n" + "".join(f"  model-{i}: {row}\n" for i in range(50)))
    command = [sys.executable, "-c", START, "prices", "show", "--prices", str(prices)]
    for more, status in (
        ([], 0),
        (["no-such-model"], CliRunner().invoke(cli, [*command[3:], "no-such-model"]).exit_code),
    ):
        running = subprocess.Popen(
            [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()  # before it says anything
        said = running.stderr.read()
        running.stderr.close()
        assert running.wait() == status and "Broken" not in said and "Traceback" not in said, said
