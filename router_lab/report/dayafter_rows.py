"""The rows of a decision log that may enter a figure, and why others may not, wherever they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router_lab.runtime.errors import InputError
from router_lab.runtime.values import LOGGED, plain


def usable(decisions: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """(rows, reasons). A prediction or an outcome that cannot be is taken out of its row, and the reason is kept.

    A quality outside [0, 1], negative or infinite dollars or tokens: the outcome is unknown as a whole, since nobody
    can tell which of its values the same fault has spoiled. Prompts are dropped; no figure needs them.
    """
    rows: list[Mapping[str, Any]] = []
    reasons: list[str] = []
    for decision in decisions:
        row = {key: value for key, value in decision.items() if key not in ("prompt", "reason")}
        wrong = [row.pop("refused")] if "refused" in row else []
        for column in ("quality", "cost_usd"):
            value = row.get(column)
            if value is not None and not 0 <= value <= (1 if column == "quality" else 1e300):  # nor is NaN
                wrong.append(f"decision {row.get('id')!r}: predicted `{column}` is {value!r}")
                row[column] = None
        outcome = row.get("outcome")
        if outcome:
            try:
                row["outcome"] = plain({k: v for k, v in outcome.items() if k in LOGGED}, f"decision {row.get('id')!r}")
            except InputError as error:
                wrong.append(str(error))
                row["outcome"] = None
        rows.append(row)
        reasons += wrong[:1]
    return rows, reasons
