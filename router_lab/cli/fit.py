"""`router-lab fit`: outcomes and a recipe to a certified policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.cli.common import echo, json_option, print_json, print_path, step
from router_lab.cli.looks import look_of_fit, looks_json
from router_lab.cli.words import escalates, fitted_by, reads, weight_of_vectors
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    from router_lab.config import Recipe
    from router_lab.runtime.policy import Policy


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--outcomes", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the policy's revisions.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of --diagnostics alone: its shuffle and its parts. Nothing of the policy or its verdict depends on it.",
)
@click.option("--diagnostics", is_flag=True, help="Add a label-shuffle control and a learning curve (three more fits).")
@json_option
def fit(recipe: Path, outcomes: Path, out: Path, seed: int, diagnostics: bool, as_json: bool) -> None:
    """Fit the policy that RECIPE asks for on recorded outcomes, and certify it.

    The artifact is written to OUT/<revision>. An inconclusive verdict is an answer, not an error: the exit status is 0.
    Looks at the same rows are counted beside the outcomes, in .router-lab-looks.jsonl; a second one is told.
    """
    from router_lab.config import Recipe, load
    from router_lab.fit import fit_policy
    from router_lab.outcomes import read_outcomes
    from router_lab.runtime.artifact import refuse_file, save_revision

    wanted = load(Recipe, recipe)
    # Whatever can be known to be wrong is said before minutes are spent on the fit, in the order of the command line.
    refuse_unknown_names(wanted, recipe)
    refuse_file(out)
    table = read_outcomes(outcomes)
    with step(f"fitting {wanted.name} on {len(table)} outcomes"):
        policy = fit_policy(wanted, table, seed, diagnostics=diagnostics)
        # Before anything is to be seen: a look that a kill leaves uncounted would be one for free.
        looks = look_of_fit(outcomes, table, wanted, policy)
        target = save_revision(policy, out)
    if as_json:
        told = {"fitter": wanted.fitter, "reads": reads(policy), "vectors": weight_of_vectors(policy)}
        print_json({"path": str(target), **looks_json(looks), **told, "certificate": policy.spec.certificate})
        return
    for line in summary(policy):
        echo(line)
    if looks.told() is not None:
        echo(f"looks       {looks.told()}")
    print_path(target)


def refuse_unknown_names(wanted: Recipe, path: Path) -> None:
    """Raises InputError for a fitter or a gate of the recipe that no fit, or no gate, will know."""
    from router_lab.fit import FITTERS
    from router_lab.gates import refuse_unknown
    from router_lab.runtime.errors import InputError

    if wanted.fitter not in FITTERS:
        raise InputError(f"{path}: `fitter` is {wanted.fitter!r}; known: {', '.join(sorted(FITTERS))}")
    for number, gate in enumerate(wanted.gates):
        refuse_unknown(gate, where=f"{path}: `gates.{number}`")


def summary(policy: Policy) -> list[str]:
    """What was fitted, and its certificate, in a few lines for a person."""
    from router_lab.metrics import advice
    from router_lab.report.policy import certificate_rows, least_told, quality_told

    certificate = policy.spec.certificate
    reference, mix, vectors = certificate["reference"], certificate["random_mix"], weight_of_vectors(policy)
    lines = [
        f"verdict     {certificate['verdict']}: {certificate['reason']}",
        f"deploy      {advice(certificate).text}",
        f"judged on   {certificate_rows(certificate)}; `gate` judges fresh rows",
        f"reference   {_name(reference)}",
        f"reads       {reads(policy)}{fitted_by(policy)}",
        *([] if vectors is None else [f"vectors     {vectors}"]),
        *([f"escalation  on: {escalates(policy)}"] if policy.spec.escalation else []),
        f"quality     {quality_told(certificate, digits=2)}; out of fold",
        f"savings     {_percent(certificate['savings'])}",
        f"random mix  {_percent(mix['savings'])} with {_name(mix)} at {mix['probability']:.2f}",
        f"over it     {_percent(certificate['over_random_mix'])}, paired; two-sided 95 %, as all in brackets here",
    ]
    test = certificate["test"]
    if test is not None:
        told = [_points(_on(test, "quality_difference")), _percent(_on(test, "savings"))]
        on = f" on {test['n']} fresh rows"  # which is said where they are too few
        lines.append(f"test split  {', '.join(dict.fromkeys(told))}{'' if len(set(told)) == 1 else on}")
    if certificate["smallest_margin"] is not None:
        rows = f"{certificate['n']:,} samples"
        lines.append(f"margin      the least that {rows} can certify: {least_told(certificate, digits=2)}")
    for name, row in _diagnosed(certificate):
        lines.append(f"{name:12}{_percent(row['savings'])}, over the random mix {_percent(row['over_random_mix'])}")
    if certificate["samples_needed"]:
        cost = certificate["dollars_needed"]
        price = "" if cost is None else f", about ${cost:,.2f}"
        lines.append(f"needed      {certificate['samples_needed']:,} more samples would settle it{price}")
    return lines


def _diagnosed(certificate: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = certificate.get("diagnostics")
    if found is None:
        return []
    return [("shuffled", found["label_shuffle"]), *((f"on {row['n']} rows", row) for row in found["learning_curve"])]


def _name(row: Mapping[str, Any]) -> str:
    return str(Candidate(row["model"], row["effort"]))


def _points(figure: Mapping[str, Any]) -> str:
    return _figure(figure, 100, "+.2f", "", " points")


def _percent(figure: Mapping[str, Any]) -> str:
    return _figure(figure, 100, ".1f", " %")


def _on(part: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"n": part.get("n"), "clusters": part.get("clusters")} | dict(part[name])


def _figure(figure: Mapping[str, Any], factor: float, form: str, unit: str, noun: str = "") -> str:
    from router_lab.metrics import too_few

    value, low, high = (figure[k] for k in ("value", "low", "high"))
    if value is None:
        return "unknown"
    few = too_few(figure.get("n"), figure.get("clusters"), low, high)
    if few is not None:
        return few

    def written(number: float) -> str:
        text = f"{factor * number:{form}}"
        return (f"{0.0:{form}}" if float(text) == 0 else text).replace("-", "−")

    reach = "" if low is None or high is None else f" [{written(low)}, {written(high)}]"
    return f"{written(value)}{unit}{reach}{noun}"
