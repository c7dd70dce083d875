"""The semantic rules of chains, as `validate` has those of all else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.answers import FEATURES
from router_lab.runtime.chains import (
    AGREES,
    ANSWER,
    MOST_CHAINS,
    MOST_KNOTS,
    MOST_SIGNALS,
    MOST_STAGES,
    MOST_TERMS,
    MOST_TURNS,
    QUALITY,
    SIGNAL,
    Chain,
    Judge,
    Stage,
    Term,
    UnderCap,
)
from router_lab.runtime.errors import shown
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.points import Cascade
from router_lab.runtime.typed import GREATEST, real

SIGNAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def problems(spec: PolicySpec) -> Iterator[str]:
    """Of the chains; those of the pieces that name them are `cascade`'s."""
    chains, rows, count = spec.chains, len(spec.suites) + 1, len(spec.profiles)
    if not isinstance(chains, tuple) or len(chains) > MOST_CHAINS:
        size = f"{len(chains):,} of them" if isinstance(chains, tuple) else shown(chains)
        yield f"chains: {size}, not a tuple of up to {MOST_CHAINS:,}"
    sound: set[int] = set()  # judges already looked at: many chains may share one
    for number, chain in enumerate(chains):
        where = f"chains: {number}"
        yield from _chain(where, chain, rows, count)
        for at, stage in enumerate(chain[:-1]):
            judge = stage.judge
            if judge is None:
                continue
            if not isinstance(judge, Judge) or judge.later != tuple(one.column for one in chain[at + 1 :]):
                later = shown(judge.later) if isinstance(judge, Judge) else shown(judge)
                yield f"{where}, stage {at}: its judge is of later stages {later}, not of those after it"
            if id(judge) not in sound:
                sound.add(id(judge))
                yield from _judge(f"{where}, stage {at}: judge:", judge, rows, count)


def _chain(where: str, chain: Chain, rows: int, count: int) -> Iterator[str]:
    if not isinstance(chain, tuple) or not 1 <= len(chain) <= MOST_STAGES:
        size = f"{len(chain)} stages" if isinstance(chain, tuple) else shown(chain)
        yield f"{where} has {size}, not a tuple of 1 to {MOST_STAGES}"
    for at, stage in enumerate(chain):
        if not isinstance(stage, Stage):
            yield f"{where}, stage {at} is {shown(stage)}, not a Stage"
        if (
            isinstance(stage.column, bool)
            or not isinstance(stage.column, int)
            or not 0 <= stage.column < count
        ):
            yield f"{where}, stage {at}: column {shown(stage.column)} is not a column of {count} candidates"
        if stage.cap_usd is not None and not (real(stage.cap_usd) and stage.cap_usd > 0):
            yield f"{where}, stage {at}: cap_usd {shown(stage.cap_usd)} is not null, nor above 0 and up to 1e9"
        turns = stage.cap_turns
        whole = isinstance(turns, int) and not isinstance(turns, bool) and 1 <= turns <= MOST_TURNS
        if turns is not None and not whole:
            told = f"cap_turns {shown(turns)} is not null, nor a whole number from 1 to {MOST_TURNS:,}"
            yield f"{where}, stage {at}: {told}"
        if stage.under_cap is not None:
            yield from _under_cap(f"{where}, stage {at}: under_cap", stage, stage.under_cap, rows)
    if len({stage.column for stage in chain}) != len(chain):
        yield f"{where} asks a candidate twice: columns {shown([stage.column for stage in chain])}"
    if chain[-1].judge is not None:
        yield f"{where}: its last stage has a judge, and nobody is left to ask; give it none"


def _under_cap(where: str, stage: Stage, left: UnderCap, rows: int) -> Iterator[str]:
    if not stage.capped:
        yield f"{where} stands where nothing stops a run: give the stage a cap, or leave it out"
    if not isinstance(left, UnderCap) or not all(isinstance(part, tuple) for part in left):
        yield f"{where} is {shown(left)}, not an UnderCap of tuples"
        return
    sound = all(isinstance(row, int) and not isinstance(row, bool) and 0 <= row < rows for row in left.rows)
    if not sound or not left.rows or not all(low < high for low, high in pairwise(left.rows)):
        yield f"{where} rows {shown(left.rows)} are not some of 0 to {rows - 1}, ascending"
    for name, part in (("cost_usd", left.cost_usd), ("quality", left.quality)):
        if len(part) != len(left.rows) or not all(real(one) and 0 <= one <= 1 for one in part):
            yield f"{where} {name} {shown(part)} is not a number from 0 to 1 for each of its rows"


def _judge(where: str, judge: Judge, rows: int, count: int) -> Iterator[str]:
    names, terms = judge.signals, judge.terms
    if not isinstance(names, tuple) or len(names) > MOST_SIGNALS:
        yield f"{where} signals {shown(names)} are not a tuple of up to {MOST_SIGNALS}"
    for name in names:
        if not isinstance(name, str) or not SIGNAL_NAME.match(name):
            yield f"{where} signal {shown(name)} is not 1 to 64 letters, digits, '_', '.' or '-'"
    if list(names) != sorted(set(names)):
        yield f"{where} signals {shown(names)} are not sorted without repeats"
    if judge.rows is not None:
        yield from _shared(where, judge.rows, rows)
        rows = int(judge.rows.max(initial=0)) + 1
    yield from _array(f"{where} bias", judge.bias, (rows, len(judge.later)))
    if not isinstance(terms, tuple) or len(terms) > MOST_TERMS:
        size = f"{len(terms)} terms" if isinstance(terms, tuple) else shown(terms)
        yield f"{where} {size}, not a tuple of up to {MOST_TERMS}"
    for number, term in enumerate(terms):
        if not isinstance(term, Term):
            yield f"{where} term {number} is {shown(term)}, not a Term"
        yield from _source(f"{where} term {number}:", term.source, names, count)
        yield from _knots(f"{where} term {number}:", term.knots)
        yield from _array(
            f"{where} term {number}: heights", term.heights, (rows, len(judge.later), len(term.knots))
        )


def _shared(where: str, rows: NDArray[np.int64], count: int) -> Iterator[str]:
    """Of which row each suite has: they stand in the order of first use, and some is shared."""
    if not isinstance(rows, np.ndarray) or rows.shape != (count,) or rows.dtype != np.int64:
        found = f"{rows.dtype}{list(rows.shape)}" if isinstance(rows, np.ndarray) else shown(rows)
        yield f"{where} rows are {found}, not int64[{count}]"
        return
    before = np.maximum.accumulate(np.concatenate([[-1], rows[:-1]]))
    if (rows < 0).any() or (rows > before + 1).any():
        yield f"{where} rows {shown(rows.tolist())} do not name rows from 0 in the order of their first use"
    if rows.max(initial=0) + 1 == count:
        yield f"{where} rows: each suite has its own; leave them out"


def _source(where: str, source: object, names: tuple[str, ...], count: int) -> Iterator[str]:
    if not isinstance(source, str):
        yield f"{where} source {shown(source)} is not a text"
        return
    known = {AGREES, *(ANSWER + name for name in FEATURES), *(SIGNAL + name for name in names)}
    column = source.removeprefix(QUALITY)
    predicted = source.startswith(QUALITY) and column.isascii() and column.isdigit() and len(column) <= 3
    if source not in known and not (predicted and str(int(column)) == column and int(column) < count):
        yield (
            f"{where} source {shown(source)} is not one of {AGREES}, {ANSWER}({', '.join(FEATURES)}), {QUALITY}COLUMN "
            f"with a column of {count} candidates, and {SIGNAL}NAME with a name of `signals`"
        )


def _knots(where: str, knots: object) -> Iterator[str]:
    if not isinstance(knots, tuple) or not 2 <= len(knots) <= MOST_KNOTS or not all(map(real, knots)):
        yield f"{where} knots {shown(knots)} are not a tuple of 2 to {MOST_KNOTS} numbers within ±{GREATEST:g}"
    elif any(not low < high for low, high in pairwise(knots)):
        yield f"{where} knots {shown(knots)} do not ascend strictly"


def _array(where: str, array: NDArray[np.float64], shape: tuple[int, ...]) -> Iterator[str]:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.float64:
        found = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else shown(array)
        yield f"{where} is {found}, not float64{list(shape)}"
    elif not (np.abs(array) <= GREATEST).all():
        yield f"{where} holds a number that is not finite, or beyond {GREATEST:g}"


def unused(spec: PolicySpec) -> Iterator[str]:
    """Once the points are known to keep their rules."""
    pieces = (piece for point in spec.points.values() for piece in point)
    if spec.chains and not any(isinstance(piece, Cascade) for piece in pieces):
        yield f"chains: no piece of a point names one of the {len(spec.chains)}; leave them out"


def cascade(spec: PolicySpec, where: str, piece: Cascade) -> Iterator[str]:
    """Of a piece that names chains."""
    if not real(piece.tradeoff) or piece.tradeoff < 0:
        yield f"{where} has the tradeoff {shown(piece.tradeoff)}, not a finite number of 0 or more"
    rows = len(spec.suites) + 1
    if not isinstance(piece.chains, tuple) or len(piece.chains) != rows:
        size = f"{len(piece.chains)} chains" if isinstance(piece.chains, tuple) else shown(piece.chains)
        yield f"{where} has {size}, not a tuple of {rows}: one for no known suite, then one for each suite"
    if not any(one is not None for one in piece.chains):
        yield f"{where} names no chain; a table of the reference does the same"
    for row, number in enumerate(piece.chains):
        suite = shown(spec.suites[row - 1]) if row else "no known suite"
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(spec.chains):
            yield f"{where} has {shown(number)} in `chains` for {suite}, not an index of {len(spec.chains)} chains"
            return
        for stage in spec.chains[number]:
            may = spec.eligible is None or spec.eligible[row, stage.column] or stage.column == spec.reference
            if not may:
                yield (
                    f"{where} has chain {number} for {suite}, where its column {stage.column} may not be chosen "
                    "(`eligible`)"
                )
