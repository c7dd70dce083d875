"""`chains` and `judges` of policy.json, version 4 <-> chains. A judge that several stages have is
stored once, in the order of first use, and is one object again once read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime import jsonio
from router_lab.runtime.chains import (
    MOST_CHAINS,
    MOST_STAGES,
    MOST_TERMS,
    Chain,
    Judge,
    Stage,
    Term,
    UnderCap,
)
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.typed import as_list, as_number, as_whole, only_keys

MOST_JUDGES = MOST_CHAINS * (MOST_STAGES - 1)


def chains_out(chains: Sequence[Chain]) -> dict[str, object]:
    """The two keys of policy.json."""
    judges: dict[bytes, int] = {}
    values: list[dict[str, object]] = []
    known: dict[int, int] = {}

    def number(judge: Judge | None) -> int | None:
        if judge is None:
            return None
        if id(judge) not in known:  # all are alive as long as `chains` is
            value = _judge_out(judge)
            at = known[id(judge)] = judges.setdefault(jsonio.dumps(value), len(judges))
            if at == len(values):
                values.append(value)
        return known[id(judge)]

    rows = [[_stage_out(stage, number(stage.judge)) for stage in chain] for chain in chains]
    return {"chains": rows, "judges": values}


def _stage_out(stage: Stage, judge: int | None) -> dict[str, object]:
    cap = None if stage.cap_usd is None else float(stage.cap_usd)
    turns = {} if stage.cap_turns is None else {"cap_turns": int(stage.cap_turns)}
    left = {} if stage.under_cap is None else {"under_cap": _under_cap_out(stage.under_cap)}
    return {"column": int(stage.column), "cap_usd": cap, "judge": judge, **turns, **left}


def _under_cap_out(left: UnderCap) -> dict[str, object]:
    parts = {"cost_usd": left.cost_usd, "quality": left.quality}
    return {
        "rows": list(map(int, left.rows)),
        **{name: list(map(float, part)) for name, part in parts.items()},
    }


def _judge_out(judge: Judge) -> dict[str, object]:
    return {
        "later": [int(column) for column in judge.later],
        "signals": list(judge.signals),
        "bias": judge.bias.tolist(),
        "terms": [
            {
                "source": term.source,
                "knots": [float(knot) for knot in term.knots],
                "heights": term.heights.tolist(),
            }
            for term in judge.terms
        ],
        **({} if judge.rows is None else {"rows": judge.rows.tolist()}),
    }


def chains_in(chains: object, judges: object) -> tuple[Chain, ...]:
    """PolicyError for what has not the form; the rules are `chainrules`'."""
    for key, rows, most in (("chains", chains, MOST_CHAINS), ("judges", judges, MOST_JUDGES)):
        if not isinstance(rows, list) or len(rows) > most:
            size = f"{len(rows):,}" if isinstance(rows, list) else shown(rows)
            raise PolicyError(f"policy.json: {key}: {size}, not a list of up to {most:,}")
    where = "policy.json"
    used: set[int] = set()
    try:
        read = []
        for at, row in enumerate(as_list(judges)):
            where = f"policy.json: judges: {at}"
            read.append(_judge_in(where, row))
        found = []
        for at, chain in enumerate(as_list(chains)):
            where = f"policy.json: chains: {at}"
            found.append(tuple(_stage_in(where, row, read, used) for row in as_list(chain)))
    except (TypeError, OverflowError) as error:
        raise PolicyError(f"{where}: {error}") from error
    if len(used) != len(read):
        unused = next(at for at in range(len(read)) if at not in used)
        raise PolicyError(f"policy.json: judges: {unused} is named by no stage; leave it out")
    return tuple(found)


def _stage_in(where: str, row: Any, judges: Sequence[Judge], used: set[int]) -> Stage:
    later = {"cap_turns", "under_cap"} & set(row if isinstance(row, dict) else ())
    only_keys(row, frozenset({"column", "cap_usd", "judge", *later}), where)
    cap, judge = row["cap_usd"], row["judge"]
    if judge is not None and not 0 <= as_whole(judge) < len(judges):
        raise PolicyError(f"{where}: judge {shown(judge)} is not an index of {len(judges)} judges")
    if judge is not None:
        used.add(judge)
    return Stage(
        as_whole(row["column"]),
        None if judge is None else judges[judge],
        None if cap is None else as_number(cap),
        as_whole(row["cap_turns"]) if "cap_turns" in later else None,
        _under_cap_in(f"{where}: under_cap", row["under_cap"]) if "under_cap" in later else None,
    )


def _under_cap_in(where: str, row: Any) -> UnderCap:
    only_keys(row, frozenset(UnderCap._fields), where)
    cost_usd, quality = (tuple(map(as_number, as_list(row[name]))) for name in ("cost_usd", "quality"))
    return UnderCap(tuple(map(as_whole, as_list(row["rows"]))), cost_usd, quality)


def _judge_in(where: str, row: Any) -> Judge:
    shared = isinstance(row, dict) and "rows" in row
    only_keys(row, frozenset({"later", "signals", "bias", "terms", *(["rows"] if shared else [])}), where)
    later, terms = tuple(map(as_whole, as_list(row["later"]))), as_list(row["terms"])
    if len(terms) > MOST_TERMS:
        raise PolicyError(f"{where}: {len(terms):,} terms, not up to {MOST_TERMS}")
    bias = _floats(f"{where}: bias", row["bias"], len(later))
    named = ((f"{where}: term {at}", term) for at, term in enumerate(terms))
    return Judge(
        later,
        tuple(as_list(row["signals"])),
        bias,
        tuple(_term_in(here, term, len(later)) for here, term in named),
        _rows_in(row["rows"]) if shared else None,
    )


def _rows_in(rows: object) -> NDArray[np.int64]:
    array = np.array([as_whole(row) for row in as_list(rows)], np.int64)
    array.flags.writeable = False
    return array


def _term_in(where: str, row: Any, later: int) -> Term:
    only_keys(row, frozenset({"source", "knots", "heights"}), where)
    knots = tuple(map(as_number, as_list(row["knots"])))
    return Term(row["source"], knots, _floats(f"{where}: heights", row["heights"], later, len(knots)))


def _floats(where: str, rows: object, *shape: int) -> NDArray[np.float64]:
    """A read-only array [rows, *shape] from lists of numbers in each other."""
    flat = as_list(rows)
    for length in shape:
        if any(not isinstance(row, list) or len(row) != length for row in flat):
            raise PolicyError(f"{where} has not the shape [suites + 1, {', '.join(map(str, shape))}]")
        flat = [value for row in flat for value in row]
    array = np.array([as_number(value) for value in flat], np.float64).reshape(len(as_list(rows)), *shape)
    array.flags.writeable = False
    return array
