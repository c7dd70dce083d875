"""`router-lab`: the one place that wires stages together. A command is a module of its own,
imported when it runs."""

from __future__ import annotations

import importlib
import os

import click

from router_lab import __version__
from router_lab.cli.common import ERROR, INTERRUPTED, echo, flush_output, plain_warnings
from router_lab.cli.examples import with_example
from router_lab.cli.faults import TRACEBACK, traceback_lines, user_message
from router_lab.cli.places import addresses_in
from router_lab.masking import masked
from router_lab.runtime.visible import visible

COMMANDS = {
    "init": ("router_lab.cli.init:init", "Write a first sweep of one's own, ready to edit."),
    "import": ("router_lab.cli.traces:import_traces", "Traces of others to a bill, and to a suite."),
    "sweep": ("router_lab.cli.sweep:sweep", "Run suites across candidates; resumes where it stopped."),
    "collect": ("router_lab.cli.collect:collect", "Logs or tables, and prices, to outcomes."),
    "prices": ("router_lab.cli.prices:prices", "Show the price table, or add a dated price."),
    "plan": ("router_lab.cli.plan:plan", "Samples and dollars that a verdict needs."),
    "chains": ("router_lab.cli.chains:chains", "Whether asking a cheaper candidate first would pay."),
    "fit": ("router_lab.cli.fit:fit", "Outcomes and a recipe to a certified policy."),
    "replay": ("router_lab.cli.replay:replay", "Score a policy on recorded outcomes."),
    "caches": (
        "router_lab.cli.caches:caches",
        "What prompts share, and what switching models in a session costs.",
    ),
    "evaluate": (
        "router_lab.cli.evaluate:evaluate",
        "Another policy from decision logs alone (exit 0, 3 or 4).",
    ),
    "audit": ("router_lab.cli.audit:audit", "Answers that people are to judge, where a model judged."),
    "gate": ("router_lab.cli.gate:gate", "Pass or fail a policy on thresholds (exit 0, 3 or 4)."),
    "show": ("router_lab.cli.show:show", "A policy read by a person."),
    "diff": ("router_lab.cli.diff:diff", "What moves between two policies."),
    "route": ("router_lab.cli.route:route", "Decide for one prompt, with the reason."),
    "verify": (
        "router_lab.cli.verify:verify",
        "Check an artifact's integrity and recompute its certificate.",
    ),
    "report": ("router_lab.cli.report:report", "One self-contained page: the front, the bill, the verdict."),
    "publish": ("router_lab.cli.publish:publish", "Put a gated policy into production's place."),
    "rollback": ("router_lab.cli.publish:rollback", "Put the last release back."),
    "keygen": ("router_lab.cli.publish:keygen", "Make an Ed25519 key pair for signing releases."),
    "sign": ("router_lab.cli.publish:sign", "Sign a release with a private key."),
    "demo": ("router_lab.cli.demo:demo", "The whole walk on recorded generations of real models."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them, so that
    `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return with_example(cmd_name, command)

    def invoke(self, ctx: click.Context) -> object:
        """An error that a user can act on is one line and exit status 1, never a traceback; so is
        a warning a line."""
        try:
            with plain_warnings():
                return super().invoke(ctx)
        except click.ClickException as error:  # click's own of what was typed, which may be a file's name
            error.message = visible(masked(addresses_in(error.message)))  # type: ignore[misc]  # its only text
            raise
        except KeyboardInterrupt:
            echo("", "interrupted", err=True)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:
            told = None if os.environ.get(TRACEBACK) else user_message(error)
            if told is None:
                raise
            raise click.ClickException(visible(masked(addresses_in(told)))) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="router-lab")
def cli() -> None:
    """Show that a cheaper model would have done, certify it, and route to it in microseconds.

    \b
    sweep → collect → fit → replay → gate → publish → decide

    Exit status: 0 ok, 1 error, 2 usage, 3 gate failed, 4 inconclusive.
    """


def main() -> None:
    """Entry point of the `router-lab` script."""
    try:
        cli(prog_name="router-lab")
    except Exception as error:  # noqa: BLE001  # what nobody expected: shown whole, since it is ours to mend
        # Such as a full disk under `--help >file`.
        told = None if os.environ.get(TRACEBACK) else user_message(error)
        for line in traceback_lines(error) if told is None else [f"Error: {told}"]:
            echo(line, err=True)
        flush_output()
        raise SystemExit(ERROR) from None


if __name__ == "__main__":
    main()
