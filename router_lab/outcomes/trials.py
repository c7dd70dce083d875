"""Outcomes draw by draw: what a policy that looks at answers sees, before any averaging over
epochs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.metrics.paired import Floats, Ints, Mask
from router_lab.outcomes.candidates import whose
from router_lab.outcomes.columns import ADDING, GATED
from router_lab.outcomes.matrix import OutcomeMatrix
from router_lab.outcomes.schema import SCORED
from router_lab.outcomes.turns import spent_by_turn
from router_lab.runtime.answers import FEATURES, agrees, features_many, said

PREFIX = "signal_"


@dataclass(frozen=True)
class Trials:
    """m draws of n samples by c candidates; NaN where nothing is known.

    row [m]: the sample's place in the matrix that the draws belong to. quality, cost_usd,
    signals_usd (0 where nothing is told), check (1 passed, 0 failed) [m, c]; signals and figures by
    name, each [m, c], figures those that a gate may bound. answers [m, c]: texts or None; None
    where the table has none. lost [m, c]: the share of a candidate's epochs on the sample that is
    missing. A candidate that ran fewer epochs than another on a sample has its own again, in turn.
    calls [m, c]: dollars after each model call (`turns.spent_by_turn`), None where they are not
    known; None where nobody asked.
    """

    row: Ints
    quality: Floats
    cost_usd: Floats
    signals_usd: Floats
    check: Floats
    lost: Floats
    signals: dict[str, Floats]
    figures: dict[str, Floats]
    answers: NDArray[np.object_] | None = None
    calls: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def take(self, samples: Mask) -> Self:
        """The draws of some samples [n] of the matrix; places become those in what is left."""
        kept, place = samples[self.row], np.cumsum(samples) - 1

        def part(values: Floats) -> Floats:
            return values[kept]

        found = replace(
            self, row=place[self.row[kept]], quality=part(self.quality), cost_usd=part(self.cost_usd),
            signals_usd=part(self.signals_usd), check=part(self.check), lost=part(self.lost),
            signals={name: part(values) for name, values in self.signals.items()},
            figures={name: part(values) for name, values in self.figures.items()},
            answers=None if self.answers is None else self.answers[kept],
            calls=None if self.calls is None else self.calls[kept],
        )  # fmt: skip
        for name, axis in (("_shapes", 1), ("_said", 0)):  # what is dear is not worked out again
            if name in vars(self):
                vars(found)[name] = np.compress(kept, vars(self)[name], axis=axis)
        return found

    def dealt(self, samples: Ints) -> Self:
        """The same where sample i has the outcomes of sample `samples[i]` [n], and answers and
        signals are of draws half a table away: nothing tells anything."""
        place = np.empty_like(samples)
        place[samples] = np.arange(len(samples))
        by = len(self) // 2
        signals = {name: np.roll(values, by, axis=0) for name, values in self.signals.items()}
        answers = None if self.answers is None else np.roll(self.answers, by, axis=0)
        return replace(self, row=place[self.row], signals=signals, answers=answers)

    def shape(self, feature: str) -> Floats:
        """[m, c] a feature of the answers (`runtime.answers.FEATURES`); NaN where there is none."""
        return np.asarray(self._shapes[FEATURES.index(feature)], np.float64)

    def agreement(self, column: int, previous: int | None) -> Floats:
        """[m] whether a candidate's answer says what another's does, 0 where there is no other;
        NaN where it has none itself."""
        mine = self._said[:, column]
        before = np.full(len(self), None) if previous is None else self._said[:, previous]
        return np.array(
            [np.nan if a is None else agrees(a, b) for a, b in zip(mine, before, strict=True)], np.float64
        )

    def turns(self, column: int) -> Ints:
        """[m] model calls of a candidate's runs; -1 where they are not known."""
        return self._counted(column)[0]

    def stopped(self, column: int, turns: int) -> tuple[Mask, Floats]:
        """[m] whether a candidate's run made more than `turns` calls, and its dollars where it is
        stopped after as many; NaN where its calls are not known."""
        count, summed = self._counted(column)
        over = count > turns
        at = min(turns, summed.shape[1]) - 1
        spent = np.where(over, summed[:, at], self.cost_usd[:, column])
        return over, np.where(count < 0, np.nan, spent)

    def _counted(self, column: int) -> tuple[Ints, Floats]:
        """Calls [m], and dollars after each [m, most calls]."""
        if column not in self._known:
            runs = [None] * len(self) if self.calls is None else self.calls[:, column].tolist()
            count = np.array([-1 if run is None else len(run) for run in runs], np.int64)
            summed = np.full((len(self), max(1, int(count.max(initial=0)))), np.nan)
            for at, run in enumerate(runs):
                if run is not None:
                    summed[at, : len(run)] = run
            self._known[column] = count, summed
        return self._known[column]

    @cached_property
    def _known(self) -> dict[int, tuple[Ints, Floats]]:
        return {}

    def read(self) -> Self:
        """The same, its answers read once for all parts that are taken of it."""
        if self.answers is not None:
            _ = self._shapes, self._said
        return self

    @cached_property
    def _shapes(self) -> Floats:
        """[features, m, c]"""
        texts = self._texts
        return np.moveaxis(features_many(texts.ravel().tolist()).reshape(*texts.shape, len(FEATURES)), 2, 0)

    @cached_property
    def _said(self) -> NDArray[np.object_]:
        texts = self._texts
        found = np.empty(texts.size, object)
        found[:] = [None if text is None else said(text) for text in texts.ravel()]
        return found.reshape(texts.shape)

    @property
    def _texts(self) -> NDArray[np.object_]:
        return np.full(self.quality.shape, None) if self.answers is None else self.answers

    def mean(self, values: Floats, samples: int, *, whole: bool = False) -> Floats:
        """[n] means over the draws of each sample that are known; `whole`: NaN where one is not:
        what calls add up to (`ADDING`) is least known where most was asked."""
        seen = ~np.isnan(values)
        if whole:
            lacking = np.bincount(self.row[~seen], minlength=samples) > 0
            seen = seen & ~lacking[self.row]
        total = np.bincount(self.row[seen], weights=values[seen], minlength=samples)
        count = np.bincount(self.row[seen], minlength=samples)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def signals_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """The signals that a table has a value of, without their prefix, sorted."""
    named = sorted(
        name for name in map(str, frame.columns) if name.startswith(PREFIX) and name != "signals_usd"
    )
    return tuple(name.removeprefix(PREFIX) for name in named if frame[name].notna().any())


def trials_of(frame: pd.DataFrame, data: OutcomeMatrix, *, calls: bool = False) -> Trials:
    """The draws behind `data`, from the validated table that it was made of; with `calls`, what
    each of them cost."""
    row, column = data.places_in(frame), whose(frame).places(data.candidates)
    used = (row >= 0) & (column >= 0) & frame["status"].isin(SCORED).to_numpy(bool)
    row, column = row[used], column[used]
    epoch = frame["epoch"].to_numpy(np.int64)[used]
    source = _placed(row, column, epoch, (len(data), len(data.candidates)))
    of = np.repeat(np.arange(len(data)), _draws(row, column, len(data), len(data.candidates)))

    def numbers(name: str, unknown: float = np.nan) -> Floats:
        if name not in frame.columns:
            return np.where(source >= 0, unknown, np.nan)
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[used]
        found = np.where(source >= 0, np.append(values, np.nan)[source], np.nan)
        return found if np.isnan(unknown) else np.where(np.isnan(found), unknown, found)

    answers: NDArray[np.object_] | None = None
    if "answer" in frame.columns and frame["answer"].notna().any():
        told = (text if isinstance(text, str) else None for text in frame["answer"][used])
        texts = np.array([*told, None], object)
        answers = texts[source]  # the last is None
    check = numbers("check") if "check" in frame.columns else np.full(source.shape, np.nan)
    names = {c.name for c in GATED} | (set(ADDING) - {"cost_usd"})
    return Trials(
        row=of, quality=numbers("quality"), cost_usd=numbers("cost_usd"), signals_usd=numbers("signals_usd", 0.0),
        check=check, lost=data.missing[of],
        signals={name: numbers(PREFIX + name) for name in signals_of(frame)},
        figures={name: numbers(name) for name in sorted(names)}, answers=answers,
        calls=_calls(frame[used])[source] if calls else None,
    )  # fmt: skip


def _calls(frame: pd.DataFrame) -> NDArray[np.object_]:
    """[rows + 1] dollars after each call; the last is None."""
    found = np.empty(len(frame) + 1, object)
    for at, run in enumerate(spent_by_turn(frame)):  # a slice would make one array of runs of one length
        found[at] = run
    return found


def _draws(row: Ints, column: Ints, samples: int, candidates: int) -> Ints:
    """[n] the most draws that any candidate has of a sample, at least one."""
    count = np.bincount(row * candidates + column, minlength=samples * candidates).reshape(
        samples, candidates
    )
    return np.asarray(np.maximum(count.max(axis=1, initial=0), 1), np.int64)


def _placed(row: Ints, column: Ints, epoch: Ints, shape: tuple[int, int]) -> Ints:
    """[m, c] which line of the table each draw of a candidate is, its own in turn where another
    has more; -1 where it has none."""
    samples, candidates = shape
    cell = row * candidates + column
    order = np.lexsort((epoch, cell))
    count = np.bincount(cell, minlength=samples * candidates)
    start = np.cumsum(count) - count
    draws = _draws(row, column, samples, candidates)
    of = np.repeat(np.arange(samples), draws)
    turn = np.arange(len(of)) - np.repeat(np.cumsum(draws) - draws, draws)
    own = of[:, None] * candidates + np.arange(candidates)
    some = count[own] > 0
    place = start[own] + turn[:, None] % np.maximum(count[own], 1)
    lines: Ints = np.append(order, -1)
    return np.asarray(lines[np.where(some, place, -1)], np.int64)
