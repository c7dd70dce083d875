"""Options of `report` that ask "what if": each group comes to the command as one object."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import Finite

if TYPE_CHECKING:
    from router_lab.report.steps import Asked

SHARE = Finite(min=0, max=1)


def check_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`asked`: what a check after each step of a run is supposed to do."""

    @wraps(command)
    def with_checks(*, catch: float, check_usd: float, false_alarms: float, checks: int, **more: Any) -> Any:
        def asked() -> Asked:
            from router_lab.report.steps import Asked

            return Asked(catch, check_usd, false_alarms, checks)

        return command(asked=asked, **more)

    options = [
        click.option(
            "--catch", default=0.8, show_default=True, type=SHARE,
            help="Of runs with steps: the share of failed steps that a check after each step would catch.",
        ),
        click.option(
            "--check-usd", default=0.0, show_default=True, type=Finite(min=0), help="Dollars of such a check."
        ),
        click.option(
            "--false-alarms", default=0.0, show_default=True, type=SHARE,
            help="The share of good steps that it would reject.",
        ),
        click.option(
            "--checks", default=2, show_default=True, type=click.IntRange(1, 5),
            help="How often a step is checked at most, and made again where it is rejected.",
        ),
    ]  # fmt: skip
    return _decorated(with_checks, options)


def _decorated(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    """The command with these options, the first of them first in its help."""
    return reduce(lambda made, option: option(made), reversed(options), command)
