"""Who serves a request: a point's pieces, the routing table and the fallbacks, by the comparisons
in `rule`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection
from operator import add

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.arguments import DecideArguments
from router_lab.runtime.chains import Stage
from router_lab.runtime.constraints import Cache, Field
from router_lab.runtime.model import POOLED, PolicySpec
from router_lab.runtime.odds import CERTAIN, At, Chance, Lot, Told, explores
from router_lab.runtime.points import Assign, Cascade, Follow, Piece
from router_lab.runtime.predict import Predictions
from router_lab.runtime.ready import Case, Choice, Ints, Ready, Stretches
from router_lab.runtime.rule import (
    ASSIGNED,
    BARRED,
    CHAINED,
    EXPLORED,
    KEPT,
    MIXED,
    ONLY,
    PREDICTED,
    REFERENCE,
    RETIRED,
    STICKY,
    TABLE,
    UNCOVERED,
    Floats,
    blocked,
    by_prediction,
    by_prediction_many,
    stays,
)
from router_lab.runtime.sessions import Remainders
from router_lab.runtime.stages import Place
from router_lab.runtime.standing import NOBODY, may_explore, standing

PLACED = frozenset({REFERENCE, MIXED, UNCOVERED, BARRED})
"""Codes of the reference's own, or of who stands in its place."""


class Chooser:
    """The rule of one policy once the columns of `gone` have retired. Its `points` are by name;
    `needed` is the least coverage of a prompt that is `covered`, without a known suite and with
    one; `place` who stands in the reference's place, `keeps` what holds for every request, both by
    row of the tables."""

    def __init__(self, spec: PolicySpec, gone: Collection[int] = NOBODY) -> None:
        self.points = {
            name: Ready.of(point, spec.explore.get(name, 0.0)) for name, point in spec.points.items()
        }
        self._reference = spec.reference
        self._fallbacks = spec.fallbacks
        self._chains = spec.chains
        self._remainders = Remainders(spec)
        self._count = len(spec.profiles)
        self._cap = spec.featuriser.cap
        self._gone = frozenset(gone)
        found = standing(spec, gone)
        self.place, self.keeps, self._moved = found.place, found.keeps, found.moved
        self._explorable = may_explore(spec, found)
        may = found.open if spec.eligible is None else found.open & spec.eligible
        self._blocked = blocked(may, found.place)
        self._barred: list[list[float]] = [] if self._blocked is None else self._blocked.tolist()
        self.needed = (spec.coverage_needed(POOLED), spec.coverage)
        self._routes: list[int | None] = [None, *(_proven(spec, suite) for suite in spec.suites)]

    def choose(self, point: Ready, case: Case, arguments: DecideArguments) -> tuple[Choice, Chance | Told]:
        """Who serves, and with which probability. The key of `arguments` is only looked at where
        chance may decide."""
        lot = Lot(arguments, self._cap)
        column = self._explored(point, case, lot) if point.explore > 0 else None
        choice = self._greedy(point, case, lot) if column is None else (column, EXPLORED, None)
        if not (lot.drawn or point.explore > 0):
            return choice, CERTAIN
        return choice, Chance(self, point, case, choice[0], lot.mix)

    def odds(self, point: Ready, case: Case) -> Floats:
        """[c] the probability, over the key, that each candidate is asked first."""
        found: Floats = self._spread(point, case, 1)[0]
        return found

    def begun_odds(self, point: Ready, case: Case) -> Floats:
        """[1 + chains, c] the probability, over the key, that each candidate is asked first: alone,
        and as the beginning of each chain."""
        return self._spread(point, case, 1 + len(self._chains))

    def _spread(self, point: Ready, case: Case, height: int) -> Floats:
        """[height, c]: of height 1 whatever is begun is put into the one row."""
        found, begin = np.zeros((height, self._count)), 0.0
        for end in (*point.ends, 1.0):
            if end > begin:
                choice = self._greedy(point, case, At((begin + end) / 2))
                chain = self._chain_of(point, case.row, choice) if height > 1 else None
                found[0 if chain is None else chain + 1, choice[0]] += end - begin
            begin = end
        if np.count_nonzero(found) == 1:  # however its parts were rounded
            found[found > 0] = 1.0
        may = self._may_explore(case) if point.explore > 0 else []
        if not may:
            return found
        # Chance moves no conversation, so most of its draws leave one where it was.
        drawn = may if case.stay is None else [one for one in may if one == case.stay.column]
        share = point.explore / len(may)
        found *= 1 - share * len(drawn)
        found[0, drawn] += share
        return found

    def _explored(self, point: Ready, case: Case, lot: Lot) -> int | None:
        """Whom exploration gives the request; None where it does not, may give it to nobody, or
        would move a conversation."""
        pick = explores(lot.key, point.explore)
        may = [] if pick is None else self._may_explore(case)
        if pick is None or not may:
            return None
        column = may[pick * len(may) >> 64]
        return None if case.stay is not None and case.stay.column != column else column

    def _may_explore(self, case: Case) -> list[int]:
        may = self._explorable[case.row]
        return [column for column, one in enumerate(may) if one and self._open(column, case.field)]

    def _greedy(self, point: Ready, case: Case, lot: Lot | At) -> Choice:
        """Who serves where nothing is explored."""
        index, code, number = self._mixed(point, case, lot)
        if self._moved[case.row] and code in PLACED and index == self.place[case.row]:
            code = RETIRED
        return index, code, number

    def _mixed(self, point: Ready, case: Case, lot: Lot | At) -> Choice:
        if not case.covered and (case.row == POOLED or not point.assigns):
            return (*self._by_table(case), None)
        if len(point.pieces) > 1:
            return self._drawn(point, case, lot.at)
        (piece,), mix = point.pieces, point.mix
        index, code = (
            self._followed(piece, case) if isinstance(piece, Follow) else self._assigned(piece, case)
        )
        place = self.place[case.row]
        # Chance may leave with the reference what the piece would move, if the constraints leave
        # the reference.
        moves = code == PREDICTED or (
            (code == CHAINED or (code == ASSIGNED and index != place)) and self._open(place, case.field)
        )
        if moves and mix < 1.0 and lot.at >= mix:
            return self._left(point, MIXED, case)
        return index, code, 0

    def _drawn(self, point: Ready, case: Case, at: float) -> Choice:
        """Of several pieces the one in whose stretch the draw `at` lies. But chance moves no
        conversation: whoever serves it so far stays where any piece, or the routing table in its
        place, picks them."""
        place = self.place[case.row]
        if case.stay is not None and case.stay.column != place:
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
        if not self._open(place, case.field):
            return (*self._outcome(point.pieces[0], case), 0)
        moved = False
        for number, piece in enumerate(point.pieces):
            index, code = self._outcome(piece, case)
            if code == STICKY:
                return index, code, number
            moved = moved or code == CHAINED or index != place
            if moved and case.stay is None:
                break
        if moved:
            return self._left(point, MIXED, case)
        unmoved = ASSIGNED if not (point.follows or self._moved[case.row]) else REFERENCE
        return self._left(point, unmoved, case)

    def _left(self, point: Ready, code: str, case: Case) -> Choice:
        """The reference's own stretch."""
        place = self.place[case.row]
        if point.follows:
            return place, code, None
        return (*self._cached(place, code, case), None)

    def _outcome(self, piece: Piece, case: Case) -> tuple[int, str]:
        """What a piece does where it acts."""
        if isinstance(piece, Assign | Cascade):
            return self._assigned(piece, case)
        return self._followed(piece, case) if case.covered else self._by_table(case)

    def _followed(self, piece: Follow, case: Case) -> tuple[int, str]:
        utility, place = self._utility(piece.tradeoff, case), self.place[case.row]
        index, code = by_prediction(utility, place, piece.guard)
        # Nobody open may be chosen on a prediction.
        if case.field is not None and utility[index] == -math.inf:
            return self._otherwise(case, ONLY)
        stay = case.stay
        if stay is None:
            return index, code
        if stay.column == index:
            return index, code if index == place else KEPT
        worth, whole = self._worth(stay, index, case)
        bonus = piece.tradeoff * worth
        if stays(utility, index, stay.column, place, piece.guard, bonus):
            return stay.column, STICKY
        # What was measured is the quality of whole sessions: nothing shows what a dearer candidate
        # adds in the middle of one, so it is not paid for.
        if whole and _saving(case, stay, index) <= worth and utility[stay.column] > -math.inf:
            return stay.column, STICKY
        return index, code

    def _utility(self, tradeoff: float, case: Case) -> list[float]:
        """[c], -inf of whom the policy or the constraints bar."""
        found = [quality - tradeoff * cost for quality, cost in zip(case.quality, case.cost)]  # noqa: B905  # as in brief.py
        if self._blocked is not None:
            found = list(map(add, found, self._barred[case.row]))
        if case.field is None:
            return found
        return [own if may else -math.inf for own, may in zip(found, case.field.open)]  # noqa: B905

    def _assigned(self, piece: Assign | Cascade, case: Case) -> tuple[int, str]:
        """The suite's candidate, or the first open stage of its chain, else the reference; who
        serves already stays while its cache is worth more."""
        index, code = self._given(piece, case)
        if not self._open(index, case.field):
            return self._cached(*self._otherwise(case, RETIRED if index in self._gone else BARRED), case)
        if case.stay is not None and case.stay.column == index != self.place[case.row]:
            return index, KEPT
        return self._cached(index, code, case)

    def _given(self, piece: Assign | Cascade, case: Case) -> tuple[int, str]:
        """Whom a piece names for the suite, and the code of that."""
        number = None if isinstance(piece, Assign) else piece.chains[case.row]
        if number is None:
            named = piece.table[case.row] if isinstance(piece, Assign) else self._reference
            if named != self._reference:
                return named, ASSIGNED
            return self.place[case.row], RETIRED if self._moved[case.row] else ASSIGNED
        columns = [stage.column for stage in self._chains[number]]
        return next((one for one in columns if self._open(one, case.field)), columns[0]), CHAINED

    def begun(self, point: Ready, row: int, choice: Choice) -> Place | None:
        """The place in the chain that the choice begins; None where it begins none."""
        chain = self._chain_of(point, row, choice)
        piece = None if choice[2] is None else point.pieces[choice[2]]
        if chain is None or not isinstance(piece, Cascade):
            return None
        return Place.of(self._chains[chain], choice[0], piece.tradeoff)

    @staticmethod
    def _chain_of(point: Ready, row: int, choice: Choice) -> int | None:
        """Which chain the choice begins; None where it begins none."""
        piece = None if choice[2] is None else point.pieces[choice[2]]
        if not isinstance(piece, Cascade) or choice[1] not in (CHAINED, KEPT):
            return None
        return piece.chains[row]

    def begins(self, point: Ready, row: int, covered: bool) -> tuple[Stage, ...]:
        """The stages with caps, all of one candidate, with which the point's pieces begin their
        chains in the row; () where one of them, or chance, may ask him without a cap. Of a
        point that has chains."""
        if point.explore > 0 or not (covered or row != POOLED):
            return ()
        named = [piece.chains[row] if isinstance(piece, Cascade) else None for piece in point.pieces]
        found = tuple([self._chains[number][0] for number in named if number is not None])
        if len(found) < len(named) or not all(stage.capped for stage in found):
            return ()
        column = found[0].column
        left = column == self.place[row] and point.mix < 1.0  # without a cap, beside the pieces
        return () if left or any(stage.column != column for stage in found) else found

    def _by_table(self, case: Case) -> tuple[int, str]:
        """The suite's proven candidate, else the reference; who serves already stays while its
        cache is worth more."""
        index = self._routes[case.row]
        if index == self._reference:  # whoever stands in its place
            index = self.place[case.row]
        if index is not None and self._open(index, case.field):
            return self._cached(index, TABLE, case)
        return self._cached(*self._otherwise(case, RETIRED if index in self._gone else UNCOVERED), case)

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
        costs = case.cost[stay.column], case.cost[index]
        worth = self._remainders.worth_usd(case.row, stay.column, index, costs, stay.tokens, stay.context)
        return (stay.worth_usd, False) if worth is None else (worth, True)

    def otherwise(self, case: Case, code: str) -> Choice:
        """The reference, or where the constraints exclude it the first fallback that they
        leave."""
        return (*self._otherwise(case, code), None)

    def _otherwise(self, case: Case, code: str) -> tuple[int, str]:
        if self._open(self.place[case.row], case.field):
            return self.place[case.row], code
        return next(index for index in self._fallbacks if self._open(index, case.field)), ONLY

    @staticmethod
    def _open(index: int, field: Field | None) -> bool:
        return field is None or field.open[index]

    def stretches(self, point: Ready, found: Predictions, rows: Ints) -> Stretches:
        """`choose` for n prompts without constraints or conversations, at every draw."""
        covered, place = self.covered_many(found.coverage, rows), np.array(self.place)
        routed = np.array([
            own if index in (None, self._reference) else index
            for index, own in zip(self._routes, self.place, strict=True)
        ])[rows]  # fmt: skip
        columns = np.empty((len(rows), len(point.pieces) + 1), np.int64)
        for number, piece in enumerate(point.pieces):
            if isinstance(piece, Assign | Cascade):
                given = np.array(self._columns(piece))[rows]
                columns[:, number] = np.where(covered | (rows != POOLED), given, routed)
                continue
            utility = found.quality - piece.tradeoff * found.cost_usd
            if self._blocked is not None:
                utility += self._blocked[rows]
            picked = by_prediction_many(utility, place[rows], piece.guard)
            columns[:, number] = np.where(covered, picked, routed)
        columns[:, -1] = np.where(covered | (not point.follows), place[rows], routed)
        explored = np.array(self._explorable)[rows] if point.explore > 0 else None
        first = tuple(chain[0].column for chain in self._chains)
        return Stretches(np.array([*point.ends, 1.0]), columns, first, point.explore, explored)

    def _columns(self, piece: Assign | Cascade) -> list[int]:
        """[suites + 1] as `Stretches.columns` has them."""
        if isinstance(piece, Assign):
            pairs = zip(piece.table, self.place, strict=True)
            return [place if column == self._reference else column for column, place in pairs]
        chains = zip(piece.chains, self.place, strict=True)
        return [place if chain is None else self._count + chain for chain, place in chains]

    def covered_many(self, coverage: Floats, rows: Ints) -> NDArray[np.bool_]:
        """[n] whether enough of each prompt is known for its predictions to be followed."""
        return coverage >= np.where(rows == POOLED, *self.needed)


def _saving(case: Case, stay: Cache, index: int) -> float:
    """Predicted dollars that `index` costs less than who serves already."""
    return case.cost[stay.column] - case.cost[index]


def _proven(spec: PolicySpec, suite: str) -> int | None:
    route = spec.routes.get(suite)
    return None if route is None or route.verdict != "pass" else route.candidate
