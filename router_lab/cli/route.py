"""`router-lab route`: one decision, with its reason."""

from __future__ import annotations

import datetime as dt
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from router_lab.cli.common import EXISTING_FOLDER, Finite, echo, json_option, open_policy, print_json
from router_lab.cli.describe_around import around_json, around_rows
from router_lab.cli.describe_chains import decision_rows
from router_lab.cli.describe_policy import escalates, notes, with_escalation
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.reading import open_regular, read_regular
from router_lab.runtime.shares import part

LARGEST_VECTOR = 16 << 20
LONGEST_PROMPT = 64 << 20
"""Bytes; a decision reads the beginning of it."""


@click.command()
@click.argument("policy", type=EXISTING_FOLDER)
@click.argument("prompt", required=False)
@click.option("--suite", help="The suite that the prompt belongs to, if known.")
@click.option("--point", help="An operating point of the policy; by default its own.")
@click.option("--max-cost-usd", type=Finite(), help="Dollars that the request may cost at most.")
@click.option("--min-quality", type=Finite(), help="Predicted quality that the candidate must reach.")
@click.option("--key", help="What chance (`mix`) is drawn by; by default the prompt.")
@click.option(
    "--date", type=click.DateTime(["%Y-%m-%d"]),
    help="Decide as on that day (UTC), for policies that expire or candidates that retire; default: today.",
)  # fmt: skip
@click.option(
    "--vector",
    metavar="FILE",
    help="The request's vector: a .npy file, a file with a JSON list, or the list.",
)
@click.option(
    "--explain", is_flag=True, help="Show prediction, utility and guard for every candidate as well."
)
@json_option
def route(
    policy: Path, prompt: str | None, date: dt.datetime | None, vector: str | None, explain: bool, as_json: bool,
    **asked: Any,
) -> None:  # fmt: skip
    """Decide who serves PROMPT (standard input if left out) under POLICY, an artifact or a folder
    of releases."""
    loaded = open_policy(policy)
    if date is not None:
        moment = date.replace(tzinfo=dt.UTC).timestamp()
        loaded = loaded.renewed(revision=loaded.revision, clock=lambda: moment)
    numbers = None if vector is None else read_vector(vector, loaded)
    text = read_prompt() if prompt is None else prompt
    decision = loaded.decide(text, vector=numbers, **asked)
    told = notes(loaded, decision, asked["suite"])
    day = dt.datetime.now(dt.UTC) if date is None else date
    rows = explained(loaded, decision, text, asked["suite"], numbers, day.date(), asked) if explain else []
    if as_json:
        chain = {"stages": [list(one) for one in decision.chain], "signals": list(decision.signals)}
        print_json(
            decision.to_dict() | {"propensity": decision.propensity, "notes": told}
            | ({"candidates": rows} if explain else {})
            | (chain if decision.chain else {}) | around_json(decision.profile)
        )  # fmt: skip
        return
    limits = [f"{name} {value:g}" for name, value in decision.limits._asdict().items() if value is not None]
    more = ["", *table(rows, decision)] if explain else []
    more += [f"  {escalates(loaded)}"] if explain and loaded.spec.escalation else []
    echo(
        decision.candidate,
        f"  because   {decision.reason}",
        *(
            [f"  drawn     with probability {chance:.4g}, by the key"]
            if (chance := decision.propensity) < 1
            else []
        ),
        _predicted(decision, with_escalation(loaded, loaded.candidates.index(decision.candidate))),
        *(f"  note      {note}" for note in told),
        *(f"  {name:10}{text}" for name, text in (*around_rows(decision), *decision_rows(decision))),
        f"  fallbacks {', '.join(map(str, decision.fallbacks)) or 'none'}",
        *([f"  limits    {', '.join(limits)}"] if limits else []),
        *more,
        f"  revision  {decision.revision}",
    )


def _predicted(decision: Decision, further: bool) -> str:
    more = ", with escalation" if further else ""
    if decision.under_cap:
        more += ", of a run that is stopped at its cap (a limit below)"
    elif decision.cap_usd is not None or decision.cap_turns is not None:
        more += ", of a run that nothing stops (its cap is a limit below; `replay` has the dollars under it)"
    return (
        f"  predicted quality {decision.quality:.3f}, ${decision.cost_usd:.6f} on tier {decision.tier}{more}"
    )


def read_prompt() -> str:
    """The prompt on standard input; what is no UTF-8 becomes `\\ufffd`. Raises InputError for one
    without an end."""
    data = sys.stdin.buffer.read(LONGEST_PROMPT + 1)
    if len(data) > LONGEST_PROMPT:
        raise InputError(
            f"standard input: has more than {LONGEST_PROMPT >> 20} MiB, and no prompt is as long"
        )
    return data.decode("utf-8", "replace")


def read_vector(given: str, policy: Policy) -> list[float]:
    """The numbers of a .npy file, of a file that holds a JSON list, or of such a list itself.

    Raises InputError for what is none of these, another length than the policy's, or a policy that
    takes no vector.
    """
    where, found = _where(given), _numbers(given)
    if policy.vector_length is None:
        raise InputError(f"{where}: policy {policy.spec.name!r} was fitted without vectors; leave it out")
    if len(found) != policy.vector_length:
        raise InputError(
            f"{where}: has {len(found):,} numbers; policy {policy.spec.name!r} was fitted on vectors of "
            f"{policy.vector_length:,}"
        )
    return found


def _is_list(given: str) -> bool:
    return given.lstrip().startswith("[")


def _where(given: str) -> str:
    """The option as errors quote it: a path as a whole, of a list the beginning."""
    return f"--vector {given[:60]}…" if _is_list(given) and len(given) > 60 else f"--vector {given}"


def _numbers(given: str) -> list[float]:
    import numpy as np

    path, listed, where = Path(given), _is_list(given), _where(given)
    if not listed and not path.exists():
        raise InputError(
            f"{where}: no such file; give a .npy file, a file with a JSON list of numbers, or the list"
        )
    try:
        if path.suffix == ".npy" and not listed:
            with open_regular(path) as file:
                values = np.load(file, allow_pickle=False)
            if not isinstance(values, np.ndarray):
                raise ValueError("it is an archive of several arrays")
        else:
            # `null` is how JSON writes what is not a number; `decide` takes such a vector as
            # missing.
            values = np.array(
                decode(given if listed else read_regular(path, LARGEST_VECTOR)), dtype=np.float64
            )
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            raise ValueError(f"its shape is {list(values.shape)} and its kind {values.dtype}")
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        OverflowError,
        MemoryError,
        zipfile.BadZipFile,
    ) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{where}: is not one list of numbers: {said}") from None
    return [float(value) for value in values]


def excluded(
    policy: Policy, column: int, suite: str | None, day: dt.date, asked: Mapping[str, Any], told: tuple[float, float]
) -> str:  # fmt: skip
    """Which rule keeps a candidate out, in the order in which they hold. told: what is predicted
    of it, quality and dollars; asked: bounds of the request."""
    spec, (quality, usd) = policy.spec, told
    kept = None if suite is None else spec.allowed.get(suite)
    if kept is not None and column not in kept:
        names = ", ".join(str(policy.candidates[one]) for one in kept)
        return f"excluded by `allowed` of the recipe: {suite} is kept to {names}"
    gone = spec.retires[column] if spec.retires else None
    if gone is not None and gone <= day.isoformat():
        return f"excluded: it retired on {gone}"
    if (most := asked.get("max_cost_usd")) is not None and usd > most:
        return f"excluded by --max-cost-usd {most:g}"
    if (least := asked.get("min_quality")) is not None and quality < least:
        return f"excluded by --min-quality {least:g}"
    return "excluded: the prompt may not fit its context window"


def explained(
    policy: Policy, decision: Decision, text: str, suite: str | None, vector: list[float] | None, day: dt.date,
    asked: Mapping[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each candidate: model, effort, quality, cost_usd, utility = quality − tradeoff ×
    cost_usd, ahead (of the reference's utility; both None where no rule on predictions decided),
    `standing`: in words, how that compares with the guard, or why it may not serve; and
    `with_escalation`: whether these figures count a second call where the answer fails its
    check."""
    spec, evidence, place = policy.spec, decision.evidence, decision.reference
    quality, cost = (
        part[0] for part in policy.predict([text], [suite], None if vector is None else [vector])
    )
    known = evidence["guard"] is not None
    utility = quality - (evidence["tradeoff"] if known else 0.0) * cost
    ahead = utility - utility[policy.candidates.index(place)]
    row = spec.suites.index(suite) + 1 if suite in spec.suites else 0
    open_ = {decision.candidate, *decision.fallbacks}  # who is not among them, the constraints exclude
    rows = []
    for column, candidate in enumerate(policy.candidates):
        if candidate not in open_:
            told = float(quality[column]), float(cost[column])
            standing = excluded(policy, column, suite, day, asked, told)
        elif candidate == place:
            standing = "the reference" if place == policy.reference else "in the reference's place"
        elif spec.eligible is not None and not spec.eligible[row, column]:
            standing = "may not be chosen here: seen on too few samples, or not shown for such requests"
        elif not known:
            standing = "predictions do not decide"
        else:
            standing = "beats the guard" if ahead[column] > evidence["guard"] else "does not beat the guard"
        figures = zip(
            ("quality", "cost_usd", "utility", "ahead"), (quality, cost, utility, ahead), strict=True
        )
        rows.append({
            **candidate.named(), "standing": standing,
            "chosen": candidate == decision.candidate, "with_escalation": with_escalation(policy, column),
            **{name: float(values[column]) if known or name in ("quality", "cost_usd") else None
               for name, values in figures},
        })  # fmt: skip
    return rows


def _rule(evidence: Mapping[str, Any]) -> str:
    """The numbers of the rule that decided, or that none on predictions did."""
    tradeoff, share, mix = evidence["tradeoff"], evidence["share"], f"mix {evidence['mix']:g}"
    if evidence["guard"] is None:
        acts = "no piece of it acts" if share is None else f"for this key a piece of {part(share)} acts"
        return f"  {mix}: {acts}, and no rule on predictions decides"
    drawn = "" if share in (None, evidence["mix"]) else f" (this key draws a piece of {part(share)})"
    return (
        f"  tradeoff {tradeoff:g}, guard {evidence['guard']:g}, {mix}{drawn}: utility = quality − tradeoff × cost; "
        "who is ahead of the reference by more than the guard beats it"
    )


def table(rows: Sequence[Mapping[str, Any]], decision: Decision) -> list[str]:
    """`explained`, for a person."""
    known = decision.evidence["guard"] is not None
    lines = [
        _rule(decision.evidence),
        f"  quality   cost_usd{'   utility     ahead' if known else ''}  candidate",
    ]
    for row in rows:
        mark = "→" if row["chosen"] else " "
        both = "; figures with escalation" if row["with_escalation"] else ""
        ranked = f"{row['utility']:9.4f} {row['ahead']:+9.4f}  " if known else " "
        lines.append(
            f"{mark} {row['quality']:7.3f} {row['cost_usd']:10.6f} {ranked}"
            f"{Candidate.of(row)} ({row['standing']}{both})"
        )
    return lines
