"""Who serves a request: a point's pieces, the routing table and the fallbacks, by the comparisons
in `rule`."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.arguments import DecideArguments, shared_key
from router_lab.runtime.constraints import Cache, Field
from router_lab.runtime.model import POOLED, PolicySpec
from router_lab.runtime.points import Assign, Cascade, Follow, Piece, Point, ends_of, follows
from router_lab.runtime.predict import Predictions
from router_lab.runtime.rule import (
    ASSIGNED,
    BARRED,
    CHAINED,
    KEPT,
    MIXED,
    ONLY,
    PREDICTED,
    REFERENCE,
    STICKY,
    TABLE,
    UNCOVERED,
    Floats,
    blocked,
    by_prediction,
    by_prediction_many,
    draw,
    stays,
)
from router_lab.runtime.sessions import Remainders
from router_lab.runtime.stages import Place

Ints = NDArray[np.int64]
Choice = tuple[int, str, int | None]
"""The column that serves, the code of the reason, and the piece that acted; None where no piece
did."""


class Case(NamedTuple):
    """A request to choose for: `quality`, `cost` [c] predicted, `row` of its suite, whether enough
    of the prompt is known (`covered`), what constraints leave (None: all) and who served the
    conversation so far (None: nobody)."""

    quality: Floats
    cost: Floats
    row: int
    covered: bool
    field: Field | None
    stay: Cache | None


class Stretches(NamedTuple):
    """Who serves n prompts, by the draw: `ends` [k + 1], ascending to 1, are where its stretches
    end, `columns` [n, k + 1] the candidate of each prompt in each stretch, or c + the index of its
    chain. The last is the reference's, if no piece is left for it. `first` [chains]: the column of
    each chain's first stage."""

    ends: Floats
    columns: Ints
    first: tuple[int, ...] = ()

    def asked(self, candidates: int) -> Ints:
        """[n, k + 1] `columns`, for a chain that of its first stage: who is asked first."""
        return np.array([*range(candidates), *self.first])[self.columns] if self.first else self.columns

    def shares(self, candidates: int) -> Floats:
        """[n, candidates] the probability, over `key`, that each is asked first."""
        return self._added(self.asked(candidates), candidates)

    def by_chain(self, candidates: int, chains: int) -> Floats:
        """[n, candidates + chains] the probability, over `key`, of each candidate alone and of each
        chain."""
        return self._added(self.columns, candidates + chains)

    def _added(self, columns: Ints, width: int) -> Floats:
        found = np.zeros((len(columns), width))
        every = np.arange(len(columns))
        for stretch, length in zip(columns.T, np.diff(self.ends, prepend=0.0), strict=True):
            found[every, stretch] += length
        return found


class Ready(NamedTuple):
    """A point, made ready to draw from."""

    pieces: Point
    ends: tuple[float, ...]
    mix: float
    follows: bool
    assigns: bool
    """Whether a piece has its candidate, or its chain, by suite."""
    cascades: bool

    @classmethod
    def of(cls, point: Point) -> Ready:
        ends = ends_of(point)
        assigns = any(isinstance(piece, Assign | Cascade) for piece in point)
        return cls(
            point, ends, ends[-1], follows(point), assigns, any(isinstance(one, Cascade) for one in point)
        )


class Chooser:
    """The rule of one policy. Its `points` are by name; `needed` is the least coverage of a prompt
    that is `covered`, without a known suite and with one."""

    def __init__(self, spec: PolicySpec) -> None:
        self.points = {name: Ready.of(point) for name, point in spec.points.items()}
        self._reference = spec.reference
        self._fallbacks = spec.fallbacks
        self._chains = spec.chains
        self._remainders = Remainders(spec)
        self._count = len(spec.profiles)
        self._cap = spec.featuriser.cap
        self._blocked = blocked(spec.eligible, spec.reference)
        self.needed = (spec.coverage_needed(POOLED), spec.coverage)
        self._routes: list[int | None] = [None, *(_proven(spec, suite) for suite in spec.suites)]

    def choose(self, point: Ready, case: Case, arguments: DecideArguments) -> Choice:
        """Who serves. The key of `arguments` is only looked at where chance decides."""
        if not case.covered and (case.row == POOLED or not point.assigns):
            return (*self._by_table(case), None)
        if len(point.pieces) > 1:
            return self._drawn(point, case, draw(shared_key(arguments, self._cap)))
        (piece,), mix = point.pieces, point.mix
        index, code = (
            self._followed(piece, case) if isinstance(piece, Follow) else self._assigned(piece, case)
        )
        # Chance may leave with the reference what the piece would move, if the constraints leave
        # the reference.
        moves = code == PREDICTED or (
            (code == CHAINED or (code == ASSIGNED and index != self._reference))
            and self._open(self._reference, case.field)
        )
        if moves and mix < 1.0 and draw(shared_key(arguments, self._cap)) >= mix:
            return self._left(point, MIXED, case)
        return index, code, 0

    def _drawn(self, point: Ready, case: Case, at: float) -> Choice:
        """Of several pieces the one in whose stretch the draw `at` lies. But chance moves no
        conversation: whoever serves it so far stays where any piece, or the routing table in its
        place, picks them."""
        if case.stay is not None and case.stay.column != self._reference:
            for number, piece in enumerate(point.pieces):
                index, code = self._outcome(piece, case)
                if code == KEPT:
                    return index, code, number
                if code == TABLE and index == case.stay.column:
                    return index, code, None
        number = bisect_right(point.ends, at)
        acting = point.pieces[number] if number < len(point.pieces) else None
        if isinstance(acting, Assign | Cascade) or (acting is not None and case.covered):
            return (*self._outcome(acting, case), number)
        if not case.covered and point.follows:
            return (*self._by_table(case), None)
        if not self._open(self._reference, case.field):
            return (*self._outcome(point.pieces[0], case), 0)
        moved = False
        for number, piece in enumerate(point.pieces):
            index, code = self._outcome(piece, case)
            if code == STICKY:
                return index, code, number
            moved = moved or code == CHAINED or index != self._reference
            if moved and case.stay is None:
                break
        if moved:
            return self._left(point, MIXED, case)
        return self._left(point, REFERENCE if point.follows else ASSIGNED, case)

    def _left(self, point: Ready, code: str, case: Case) -> Choice:
        """The reference's own stretch."""
        if point.follows:
            return self._reference, code, None
        return (*self._cached(self._reference, code, case), None)

    def _outcome(self, piece: Piece, case: Case) -> tuple[int, str]:
        """What a piece does where it acts."""
        if isinstance(piece, Assign | Cascade):
            return self._assigned(piece, case)
        return self._followed(piece, case) if case.covered else self._by_table(case)

    def _followed(self, piece: Follow, case: Case) -> tuple[int, str]:
        utility = case.quality - piece.tradeoff * case.cost
        if self._blocked is not None:
            utility += self._blocked[case.row]
        if case.field is not None:
            utility[~case.field.open] = -math.inf
        index, code = by_prediction(utility, self._reference, piece.guard)
        # Nobody open may be chosen on a prediction.
        if case.field is not None and utility.item(index) == -math.inf:
            return self._otherwise(case.field, ONLY)
        stay = case.stay
        if stay is None:
            return index, code
        if stay.column == index:
            return index, code if index == self._reference else KEPT
        worth, whole = self._worth(stay, index, case)
        bonus = piece.tradeoff * worth
        if stays(utility, index, stay.column, self._reference, piece.guard, bonus):
            return stay.column, STICKY
        # What was measured is the quality of whole sessions: nothing shows what a dearer candidate
        # adds in the middle of one, so it is not paid for.
        if whole and _saving(case, stay, index) <= worth and utility.item(stay.column) > -math.inf:
            return stay.column, STICKY
        return index, code

    def _assigned(self, piece: Assign | Cascade, case: Case) -> tuple[int, str]:
        """The suite's candidate, or the first open stage of its chain, else the reference; who
        serves already stays while its cache is worth more."""
        index, code = self._given(piece, case)
        if not self._open(index, case.field):
            return self._cached(*self._otherwise(case.field, BARRED), case)
        if case.stay is not None and case.stay.column == index != self._reference:
            return index, KEPT
        return self._cached(index, code, case)

    def _given(self, piece: Assign | Cascade, case: Case) -> tuple[int, str]:
        """Whom a piece names for the suite, and the code of that."""
        if isinstance(piece, Assign):
            return piece.table[case.row], ASSIGNED
        number = piece.chains[case.row]
        if number is None:
            return self._reference, ASSIGNED
        columns = [stage.column for stage in self._chains[number]]
        return next((one for one in columns if self._open(one, case.field)), columns[0]), CHAINED

    def begun(self, point: Ready, row: int, choice: Choice) -> Place | None:
        """The place in the chain that the choice begins; None where it begins none."""
        index, code, number = choice
        piece = None if number is None else point.pieces[number]
        if not isinstance(piece, Cascade) or code not in (CHAINED, KEPT):
            return None
        chain = piece.chains[row]
        return None if chain is None else Place.of(self._chains[chain], index, piece.tradeoff)

    def _by_table(self, case: Case) -> tuple[int, str]:
        """The suite's proven candidate, else the reference; who serves already stays while its
        cache is worth more."""
        index = self._routes[case.row]
        if index is not None and self._open(index, case.field):
            return self._cached(index, TABLE, case)
        return self._cached(*self._otherwise(case.field, UNCOVERED), case)

    def _cached(self, index: int, code: str, case: Case) -> tuple[int, str]:
        """That choice, unless it saves less than the prompt cache that it throws away."""
        stay = case.stay
        if (
            stay is None
            or stay.worth_usd <= 0
            or stay.column == index
            or not self._open(stay.column, case.field)
        ):
            return index, code
        worth, _ = self._worth(stay, index, case)
        return (index, code) if _saving(case, stay, index) > worth else (stay.column, STICKY)

    def _worth(self, stay: Cache, index: int, case: Case) -> tuple[float, bool]:
        """Dollars by which `index` must be ahead for a switch to pay, and whether that is until the
        session's end, which is known where sessions of the suite were recorded; else it is in this
        turn."""
        if stay.worth_usd <= 0:
            return stay.worth_usd, False
        costs = case.cost.item(stay.column), case.cost.item(index)
        worth = self._remainders.worth_usd(case.row, stay.column, index, costs, stay.tokens, stay.context)
        return (stay.worth_usd, False) if worth is None else (worth, True)

    def otherwise(self, field: Field | None, code: str) -> Choice:
        """The reference, or where the constraints exclude it the first fallback that they
        leave."""
        return (*self._otherwise(field, code), None)

    def _otherwise(self, field: Field | None, code: str) -> tuple[int, str]:
        if self._open(self._reference, field):
            return self._reference, code
        return next(index for index in self._fallbacks if self._open(index, field)), ONLY

    @staticmethod
    def _open(index: int, field: Field | None) -> bool:
        return field is None or bool(field.open[index])

    def stretches(self, point: Ready, found: Predictions, rows: Ints) -> Stretches:
        """`choose` for n prompts without constraints or conversations, at every draw."""
        covered = self.covered_many(found.coverage, rows)
        routed = np.array([self._reference if index is None else index for index in self._routes])[rows]
        columns = np.empty((len(rows), len(point.pieces) + 1), np.int64)
        for number, piece in enumerate(point.pieces):
            if isinstance(piece, Assign | Cascade):
                given = np.array(self._columns(piece))[rows]
                columns[:, number] = np.where(covered | (rows != POOLED), given, routed)
                continue
            utility = found.quality - piece.tradeoff * found.cost_usd
            if self._blocked is not None:
                utility += self._blocked[rows]
            picked = by_prediction_many(utility, self._reference, piece.guard)
            columns[:, number] = np.where(covered, picked, routed)
        columns[:, -1] = np.where(covered | (not point.follows), self._reference, routed)
        return Stretches(
            np.array([*point.ends, 1.0]), columns, tuple(chain[0].column for chain in self._chains)
        )

    def _columns(self, piece: Assign | Cascade) -> list[int]:
        """[suites + 1] as `Stretches.columns` has them."""
        if isinstance(piece, Assign):
            return list(piece.table)
        return [self._reference if one is None else self._count + one for one in piece.chains]

    def covered_many(self, coverage: Floats, rows: Ints) -> NDArray[np.bool_]:
        """[n] whether enough of each prompt is known for its predictions to be followed."""
        return coverage >= np.where(rows == POOLED, *self.needed)


def _saving(case: Case, stay: Cache, index: int) -> float:
    """Predicted dollars that `index` costs less than who serves already."""
    return case.cost.item(stay.column) - case.cost.item(index)


def _proven(spec: PolicySpec, suite: str) -> int | None:
    route = spec.routes.get(suite)
    return None if route is None or route.verdict != "pass" else route.candidate
