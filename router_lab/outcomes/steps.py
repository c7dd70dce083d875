"""Column `steps`: what a suite scored within a run, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from router_lab.outcomes.cells import json_of, place, storable
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode

STEPS = "steps"
RULE = (
    "it must be a JSON list of steps in the order of the run, each "
    '{"name": text, "passed": true or false, "role": text or null, "turn": whole number or null}'
)


class Step(NamedTuple):
    """One step of a run. role: whose it was, in a team. turn: the call in which it was made, as
    calls.parquet counts them."""

    name: str
    passed: bool
    role: str | None = None
    turn: int | None = None


def steps_of(value: object) -> tuple[Step, ...]:
    """The steps of a JSON text, or of a list as a scorer's metadata hold it; () for null and for
    no steps. Keys that are no step's are left out. Raises ValueError with key and rule."""
    told = decode(value) if isinstance(value, str) else value
    if told is None:
        return ()
    if not isinstance(told, list | tuple):
        raise ValueError(RULE)
    return tuple(_step(at, one) for at, one in enumerate(told, 1))


def steps_text(steps: tuple[Step, ...]) -> str | None:
    """As a table holds them: the same steps, the same text; None of none."""
    if not steps:
        return None
    plain = [{key: value for key, value in one._asdict().items() if value is not None} for one in steps]
    return storable(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))


def steps_column(values: pd.Series[Any], where: str) -> pd.Series[Any]:
    """A text column as `steps_text` writes it. Raises InputError naming `where`, the row, the key
    and the rule."""
    known: dict[str, str | None] = {}
    for text in values.dropna().unique():
        try:
            known[text] = steps_text(steps_of(text))
        except ValueError as error:
            at = int((values == text).to_numpy(bool).argmax())
            told = str(error) if str(error).startswith(("it ", "step ")) else f"{RULE} ({error})"
            raise InputError(
                f"{where}: {place(values, at)}: `{STEPS}` is {_brief(text)}; {told}{_hint(text)}"
            ) from None
    return values.map(known).astype("str")


def _step(at: int, one: object) -> Step:
    if not isinstance(one, Mapping):
        raise ValueError(f"step {at} is {_brief(one)}; {RULE}")
    name, passed, role, turn = (one.get(key) for key in Step._fields)
    if not isinstance(name, str) or not name:
        raise _fault(at, one, "name", "it must be a text")
    if not isinstance(passed, bool):
        raise _fault(at, one, "passed", "it must be true or false")
    if role is not None and (not isinstance(role, str) or not role):
        raise _fault(at, one, "role", "it must be a text, or null")
    if isinstance(turn, float) and turn.is_integer():
        turn = int(turn)  # pandas makes floats of integers beside a null
    if turn is not None and (not isinstance(turn, int) or isinstance(turn, bool) or not 0 <= turn < 2**53):
        raise _fault(at, one, "turn", "it must be a whole number from 0 on, or null")
    return Step(name, passed, role, turn)


def _fault(at: int, one: Mapping[str, Any], key: str, rule: str) -> ValueError:
    told = f"`{key}` is {_brief(one[key])}" if key in one else f"`{key}` is missing"
    return ValueError(f"step {at}: {told}; {rule}")


def _hint(text: str) -> str:
    """What a bare number in this column is likely to be."""
    try:
        float(text)
    except ValueError:
        return ""
    return "; a number of model calls belongs to the column `turns` (`collect --map turns=steps`)"


def _brief(value: object) -> str:
    text = repr(value) if isinstance(value, str) else json_of(value)
    return text if len(text) <= 60 else text[:57] + "…"
