"""`router-lab fit`: outcomes and a recipe to a certified policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from router_lab.certificate import Certificate, Figure, Refit, deploy, who_mixes
from router_lab.cli.common import EXISTING_FILE, echo, json_option, print_json, print_path, step
from router_lab.cli.describe_chains import chain_rows
from router_lab.cli.describe_policy import escalates, fitted_by, reads, unasked_told, weight_of_vectors
from router_lab.cli.looks import look_of_fit, looks_json
from router_lab.cli.places import Place
from router_lab.runtime.artifact import refuse_file, save_revision
from router_lab.runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from router_lab.runtime.policy import Policy


@click.command()
@click.argument("recipe", type=EXISTING_FILE)
@click.option("--outcomes", required=True, type=EXISTING_FILE)
@click.option("--out", required=True, type=Place(), help="Folder of the policy's revisions.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of --diagnostics alone: its shuffle and its parts. Nothing of the policy or its verdict depends on it.",
)
@click.option(
    "--diagnostics", is_flag=True, help="Add a label-shuffle control and a learning curve (three more fits)."
)
@json_option
def fit(recipe: Path, outcomes: Path, out: Path, seed: int, diagnostics: bool, as_json: bool) -> None:
    """Fit the policy that RECIPE asks for on recorded outcomes, and certify it.

    The artifact is written to OUT/<revision>. An inconclusive verdict is an answer, not an error:
    the exit status is 0. Looks at the same rows are counted beside the outcomes, in
    .router-lab-looks.jsonl; a second one is told.
    """
    from router_lab.config import Recipe, load
    from router_lab.fit import FITTERS, fit_policy
    from router_lab.gates import refuse_unknown
    from router_lab.outcomes import read_outcomes

    wanted = load(Recipe, recipe)
    # Whatever can be known to be wrong is said before minutes are spent on the fit, in the order
    # of the command line.
    if wanted.fitter not in FITTERS:
        raise InputError(f"{recipe}: `fitter` is {wanted.fitter!r}; known: {', '.join(sorted(FITTERS))}")
    for number, gate in enumerate(wanted.gates):
        refuse_unknown(gate, where=f"{recipe}: `gates.{number}`")
    refuse_file(out)
    table = read_outcomes(outcomes)
    with step(f"fitting {wanted.name} on {len(table)} outcomes"):
        policy = fit_policy(wanted, table, seed, diagnostics=diagnostics)
        # Before anything is to be seen: a look that a kill leaves uncounted would be one for free.
        looks = look_of_fit(outcomes, table, wanted, policy)
        target = save_revision(policy, out)
    if as_json:
        told = {"fitter": wanted.fitter, "reads": reads(policy), "vectors": weight_of_vectors(policy)}
        print_json(
            {"path": str(target), **looks_json(looks), **told, "certificate": dict(policy.spec.certificate)}
        )
        return
    counted = looks.told()
    echo(*summary(policy), *([] if counted is None else [f"looks       {counted}"]))
    print_path(target)


def summary(policy: Policy) -> list[str]:
    """What was fitted, and its certificate, in a few lines for a person."""
    from router_lab.report.life import life_rows
    from router_lab.report.told import certificate_rows, lost_told, quality_told, told

    def percent(figure: Figure | None) -> str:
        return told(figure, lambda v: f"{_written(v, '.1f')} %", reach=" [{}, {}]", unknown="unknown")

    shown, vectors, unasked = Certificate.of(policy), weight_of_vectors(policy), unasked_told(policy)
    lines = [
        f"verdict     {shown.verdict}: {shown.reason}",
        f"deploy      {deploy(policy)}",
        f"judged on   {certificate_rows(shown)}; `gate` judges fresh rows",
        f"reference   {policy.reference}",
        f"reads       {reads(policy)}{fitted_by(policy)}",
        *([] if vectors is None else [f"vectors     {vectors}"]),
        *([] if unasked is None else [f"drop-ins    {unasked}"]),
        *([f"escalation  on: {escalates(policy)}"] if policy.spec.escalation else []),
        *(f"{name:12}{text}" for name, text in (*life_rows(policy), *chain_rows(policy))),
        f"quality     {quality_told(shown, digits=2)}; out of fold",
        f"savings     {percent(shown.savings)}",
        *(f"counted     {line}" for line in lost_told(shown)),
    ]
    if shown.random_mix is not None:
        mix, more = shown.random_mix, percent(shown.over_random_mix)
        lines += [
            f"random mix  {percent(mix.savings)} with {who_mixes(mix)}",
            f"beyond mix  {more} saved beyond the random mix, paired; two-sided 95 %, as all in brackets",
        ]
    return lines + _further(shown, percent)


def _further(shown: Certificate, percent: Callable[[Figure | None], str]) -> list[str]:
    """The test split, what can be certified, how the reference was drawn, diagnostics, and what
    would settle it."""
    from router_lab.report.told import least_told, told, two_phases_told

    def points(figure: Figure | None) -> str:
        return told(
            figure, lambda v: _written(v, "+.2f"), reach=" [{}, {}]", unit=" points", unknown="unknown"
        )

    lines: list[str] = []
    if shown.test is not None:
        test = shown.test
        both = [points(test.on(test.quality_difference)), percent(test.on(test.savings))]
        on = f" on {test.n} fresh rows"  # which is said where they are too few
        fewer = (test.n or 0) < (shown.n or 0)
        on += f"; wider than out of fold, where there are {shown.n:,}" if fewer else ""
        lines.append(f"test split  {', '.join(dict.fromkeys(both))}{'' if len(set(both)) == 1 else on}")
    if shown.smallest_margin is not None:
        lines.append(f"margin      the least that {shown.samples} can certify: {least_told(shown, digits=2)}")
    if shown.two_phase is not None:
        lines.append(f"two phases  {two_phases_told(shown.two_phase)}")
    if shown.diagnostics is not None:
        fits = [(f"on {fit.n} rows", fit) for fit in shown.diagnostics.learning_curve or ()]
        for name, fit in [("shuffled", shown.diagnostics.label_shuffle or Refit()), *fits]:
            lines.append(
                f"{name:12}{percent(fit.savings)}, over the random mix {percent(fit.over_random_mix)}"
            )
    if shown.samples_needed:
        price = "" if shown.dollars_needed is None else f", about ${shown.dollars_needed:,.2f}"
        lines.append(f"needed      {shown.samples_needed:,} more samples would settle it{price}")
    return lines


def _written(value: float, form: str) -> str:
    """A share times a hundred; what rounds to nothing has no sign."""
    text = f"{100 * value:{form}}"
    return (f"{0.0:{form}}" if float(text) == 0 else text).replace("-", "−")
