"""The rows of a decision log that may enter a figure, and why others may not, wherever they came
from."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from router_lab.report.format import candidate_label
from router_lab.runtime.decisionstages import KEPT, escalated
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.runtime.values import LOGGED, plain

FIGURES = ("promised_quality", "promised_cost", "quality", "cost", "audited", "escalated")
PREDICTED = {"promised_quality": ("quality", 1.0), "promised_cost": ("cost_usd", 1e300)}
"""By figure: a prediction's key in the log, and the most that it can be."""


class _Names:
    """A column of texts of which there are few: a number each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._column = array("i")

    def append(self, name: str) -> None:
        self._column.append(self._numbers.setdefault(name, len(self._numbers)))

    def categories(self) -> object:
        return pd.Categorical.from_codes(list(self._column), categories=pd.Index(list(self._numbers)))


def usable(
    decisions: Iterable[Mapping[str, Any]],
    audit: Mapping[str, float] | None = None,
    reference: Candidate | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """(rows, reasons): a row a decision, in order, in some 60 bytes.

    Columns: suite, label (of the candidate whose answer was kept), code; promised_quality and
    promised_cost, what was predicted; quality and cost, what was logged of its outcome; audited,
    where `audit` knows the request, the quality of who served it less that of `reference`;
    escalated, 1 where another was asked since an answer was not kept, else 0. NaN is unknown: so is
    the promised quality in a chain, whose kept answers are better than was predicted of them all.

    A prediction or an outcome that cannot be is taken out of its row, and the reason is kept. A
    quality outside [0, 1], negative or infinite dollars or tokens: the outcome is unknown as a
    whole, since nobody can tell which of its values the same fault has spoiled.
    """
    names = {column: _Names() for column in ("suite", "label", "code")}
    figures = {column: array("d") for column in FIGURES}
    reasons: list[str] = []
    for decision in decisions:
        wrong = [decision["refused"]] if "refused" in decision else []
        for column, value in _figures(decision, audit or {}, reference, wrong).items():
            figures[column].append(value)
        names["suite"].append(str(decision.get("suite") or "none"))
        names["label"].append(candidate_label(*_kept(decision)))
        names["code"].append(str(decision.get("code", "unknown")))
        reasons += wrong[:1]
    columns: dict[str, Any] = {name: column.categories() for name, column in names.items()}
    return pd.DataFrame(
        columns | {name: pd.Series(column, dtype=float) for name, column in figures.items()}
    ), reasons


def _figures(
    decision: Mapping[str, Any], audit: Mapping[str, float], reference: Candidate | None, wrong: list[str]
) -> dict[str, float]:  # fmt: skip
    """A decision's FIGURES; `wrong` gets what cannot be."""
    found = {}
    for column, (key, most) in PREDICTED.items():
        value = decision.get(key)
        if value is not None and not 0 <= value <= most:  # nor is NaN
            wrong.append(f"decision {decision.get('id')!r}: predicted `{key}` is {value!r}")
            value = None
        found[column] = _number(value)
    outcome: Mapping[str, Any] = {}
    try:
        logged = {k: v for k, v in (decision.get("outcome") or {}).items() if k in LOGGED}
        outcome = plain(logged, f"decision {decision.get('id')!r}")
    except InputError as error:
        wrong.append(str(error))
    quality, base = _number(outcome.get("quality")), math.nan
    if audit:
        base = audit.get(decision["id"], math.nan)
    audited = 0.0 * base if _kept(decision) == reference else quality - base
    found |= {"quality": quality, "cost": _number(outcome.get("cost_usd")), "audited": audited}
    return found | _chained(decision, found["promised_cost"])


def _kept(decision: Mapping[str, Any]) -> Candidate:
    """Whose answer was kept: the last who was asked."""
    then = decision.get("then")
    return then[-1].candidate if then else Candidate.of(decision)


def _chained(decision: Mapping[str, Any], cost: float) -> dict[str, float]:
    """Of a request in a chain, or that went on: what was promised of all who were asked; and
    whether it escalated. cost: dollars predicted of the first."""
    then = decision.get("then", ())
    found = {"escalated": float(escalated(decision))}
    if "stages" not in decision and not then:
        return found
    later = [one.cost_usd for one in then if one.code != KEPT]  # who was asked twice was paid once
    known = [float(usd) for usd in later if usd is not None and 0 <= usd <= PREDICTED["promised_cost"][1]]
    total = cost + sum(known) if len(known) == len(later) else math.nan
    return found | {"promised_quality": math.nan, "promised_cost": total}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
