"""Options of `report` that ask "what if": they come to the command as one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce, wraps
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import Finite

if TYPE_CHECKING:
    from router_lab.report.review import Question
    from router_lab.report.steps import Validator

SHARE = Finite(min=0, max=1)
PART = Finite(min=0, max=1, min_open=True)


@dataclass(frozen=True)
class WhatIf:
    """What is asked of the bill, and of steps; each field is an option."""

    price_per_task: float | None
    person_usd: float | None
    check_share: float
    hardware_usd_hour: float | None
    tokens_per_second: float | None
    utilisation: float
    catch: float
    check_usd: float
    false_alarms: float
    checks: int

    def validator(self) -> Validator:
        """Of checks after each step of a run."""
        from router_lab.report.steps import Validator

        return Validator(self.catch, self.check_usd, self.false_alarms, self.checks)

    def question(self) -> Question:
        """Of the bill."""
        from router_lab.report.hardware import Hardware
        from router_lab.report.review import Question

        owned = None
        if self.hardware_usd_hour is not None and self.tokens_per_second is not None:
            owned = Hardware(self.hardware_usd_hour, self.tokens_per_second, self.utilisation)
        elif (self.hardware_usd_hour, self.tokens_per_second) != (None, None):
            raise click.UsageError("name --hardware-usd-hour and --tokens-per-second together, or neither")
        return Question(self.price_per_task, self.person_usd, self.check_usd or None, self.check_share, owned)


OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option("--price-per-task", type=Finite(min=0), help="Dollars that a task brings in: the margin."),
    click.option("--person-usd", type=Finite(min=0), help="Dollars that a person takes for a task."),
    click.option("--hardware-usd-hour", type=Finite(min=0), help="Dollars an hour of a machine of your own, idle or not."),
    click.option("--tokens-per-second", type=Finite(min=0, min_open=True), help="Output tokens a second of that machine."),
    click.option(
        "--utilisation", default=0.5, show_default=True, type=PART, help="The share of its hours in which it has work."
    ),
    click.option("--check-usd", default=0.0, show_default=True, type=Finite(min=0), help="Dollars of one check."),
    click.option(
        "--check-share", default=0.1, show_default=True, type=SHARE,
        help="The share of what routing saves that checks may cost.",
    ),
    click.option(
        "--catch", default=0.8, show_default=True, type=SHARE,
        help="The share of failed steps that a check after each step of a run would catch.",
    ),
    click.option(
        "--false-alarms", default=0.0, show_default=True, type=SHARE, help="The share of good steps that it would reject."
    ),
    click.option(
        "--checks", default=2, show_default=True, type=click.IntRange(1, 5),
        help="How often a step is checked at most; it is made again where it is rejected.",
    ),
)  # fmt: skip


def what_if(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with these options, as its argument `what_if`."""

    @wraps(command)
    def with_options(**given: Any) -> Any:
        mine = {one.name: given.pop(one.name) for one in fields(WhatIf)}
        return command(what_if=WhatIf(**mine), **given)

    return reduce(lambda made, option: option(made), reversed(OPTIONS), with_options)
