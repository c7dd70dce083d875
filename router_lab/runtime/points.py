"""Operating points: a few pieces, one of which acts on a request, drawn by the hash of its `key`.

A point is a tuple of pieces. Piece i acts where the draw lies between the sum of the shares before
it and that sum and its own; where it lies beyond them all, the reference serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import fsum
from typing import NamedTuple

from router_lab.runtime.chains import Chain, Stage
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.typed import as_list, as_number, as_whole, only_keys

MOST_PIECES = 32
NEAR = 1e-9
"""Shares that add up to no more than this above or below 1 add up to 1."""


class Follow(NamedTuple):
    """Follows predictions: utility is `quality - tradeoff * cost_usd`; another candidate replaces
    the reference if its utility is greater by more than `guard`. `share`: of all requests, drawn
    by `key`."""

    tradeoff: float
    guard: float
    share: float = 1.0


class Assign(NamedTuple):
    """The same candidate for every prompt of a suite, whatever is predicted: `table` has its
    column by suite, row POOLED (no suite, or an unknown one) first. `share`: of all requests,
    drawn by `key`."""

    table: tuple[int, ...]
    share: float = 1.0


class Cascade(NamedTuple):
    """A chain for every prompt of a suite, whatever is covered: `chains` has its index in
    `PolicySpec.chains` by suite, row POOLED first, None = the reference. After an answer it goes
    on where that is expected to add more quality than `tradeoff` times the dollars it costs.
    `share`: of all requests, drawn by `key`."""

    chains: tuple[int | None, ...]
    tradeoff: float
    share: float = 1.0


Piece = Follow | Assign | Cascade
Point = tuple[Piece, ...]
"""1 to MOST_PIECES pieces."""


def ends_of(point: Point) -> tuple[float, ...]:
    """Where each piece's stretch of the draw ends, in [0, 1]; the reference's goes from the last
    to 1."""
    ends = [min(end, 1.0) for end in accumulate(piece.share for piece in point)]
    if ends[-1] >= 1.0 - NEAR:
        ends[-1] = 1.0
    return tuple(ends)


def mix_of(point: Point) -> float:
    """The share of requests on which some piece acts."""
    return ends_of(point)[-1]


def follows(point: Point) -> bool:
    """Whether a piece of it follows predictions."""
    return any(isinstance(piece, Follow) for piece in point)


FEW = 3
"""Pieces that are told in one line."""


def described(
    point: Point, candidates: Sequence[object], digits: int = 6, chains: Sequence[Chain] = ()
) -> str:
    """For people, in a line: `tradeoff 10, guard 0.02, mix 0.75`, a few pieces with their shares,
    or how much of what more of them do; `candidates` by column, `chains` of the policy."""
    if len(point) == 1 and isinstance(point[0], Follow):
        return f"{_rule(point[0], digits)}, mix {point[0].share:.{digits}g}"
    if len(point) > FEW:
        return summed(point, digits)
    told = pieces_described(point, candidates, digits, chains)
    return f"mix {mix_of(point):.{digits}g}: {'; '.join(told)}"


def pieces_described(
    point: Point, candidates: Sequence[object], digits: int = 6, chains: Sequence[Chain] = ()
) -> list[str]:
    """For people, a line for each piece: its share and what it does, in the order in which they
    are drawn."""
    told = (_piece(piece, candidates, digits, chains) for piece in point)
    return [f"{piece.share:.{digits}g} {text}" for piece, text in zip(point, told, strict=True)]


def chain_described(chain: Chain, candidates: Sequence[object]) -> str:
    """For people: `a → b → c`, with its cap after who is stopped at one."""
    caps = (f" (to {cap_described(stage)})" if stage.capped else "" for stage in chain)
    return " → ".join(f"{candidates[stage.column]}{cap}" for stage, cap in zip(chain, caps, strict=True))


def cap_described(stage: Stage) -> str:
    """For people: `$0.4`, `12 turns`, or both; empty where nobody is stopped."""
    turns = "" if stage.cap_turns is None else f"{stage.cap_turns:,} turn{'s' * (stage.cap_turns != 1)}"
    dollars = "" if stage.cap_usd is None else f"${stage.cap_usd:.4g}"
    return " or ".join(filter(None, (dollars, turns)))


def _piece(piece: Piece, candidates: Sequence[object], digits: int, chains: Sequence[Chain]) -> str:
    if isinstance(piece, Follow):
        return _rule(piece, digits)
    if isinstance(piece, Assign):
        return _by_suite([str(candidates[column]) for column in piece.table])
    return _by_suite(chains_described(piece, candidates, chains)) + chain_rule(piece, digits, chains)


def chains_described(piece: Cascade, candidates: Sequence[object], chains: Sequence[Chain]) -> list[str]:
    """For people, by suite as `piece.chains`: who is asked, in order."""
    return [
        "the reference" if index is None else chain_described(chains[index], candidates)
        for index in piece.chains
    ]


def chain_rule(piece: Cascade, digits: int, chains: Sequence[Chain]) -> str:
    """`, tradeoff 10`; nothing where no chain of the piece has a second stage."""
    several = any(len(chains[index]) > 1 for index in piece.chains if index is not None)
    return f", tradeoff {piece.tradeoff:.{digits}g}" if several else ""


def summed(point: Point, digits: int = 6) -> str:
    """For people, in a line: how much of what the pieces of a point do."""
    rules = [piece for piece in point if isinstance(piece, Follow)]
    least, most = (
        (f"{end(p.tradeoff for p in rules):.{digits}g}" for end in (min, max)) if rules else ("", "")
    )
    kinds: dict[type[Piece], str] = {
        Follow: f"by predictions (tradeoff {least} to {most})",
        Assign: "one candidate by suite",
        Cascade: "one chain by suite",
    }
    shares = {kind: [piece.share for piece in point if isinstance(piece, kind)] for kind in kinds}
    told = [f"{fsum(shares[kind]):.{digits}g} {text}" for kind, text in kinds.items() if shares[kind]]
    pieces = f"{len(point)} piece{'s' * (len(point) > 1)}"
    return f"mix {mix_of(point):.{digits}g}: {pieces}, {', '.join(told)}"


def _rule(piece: Follow, digits: int) -> str:
    return f"tradeoff {piece.tradeoff:.{digits}g}, guard {piece.guard:.{digits}g}"


def _by_suite(told: Sequence[str]) -> str:
    """`cheap for all`, or who has how many suites; the first is of no known suite."""
    if len(set(told)) == 1:
        return f"{told[0]} for all"
    counts = Counter(told[1:]).most_common()
    suites = ", ".join(f"{who} for {n} suite{'s' * (n > 1)}" for who, n in counts)
    return f"{suites}, {told[0]} for no known suite"


def numbers_out(point: Point) -> list[float] | None:
    """As versions 1 and 2 have it; None for a point that they cannot have."""
    piece = point[0]
    return [float(number) for number in piece] if len(point) == 1 and isinstance(piece, Follow) else None


def point_in_numbers(_: str, row: Sequence[object]) -> Point:
    tradeoff, guard, mix = map(as_number, as_list(row))
    return (Follow(tradeoff, guard, mix),)


def piece_out(piece: Piece) -> dict[str, object]:
    share: dict[str, object] = {"share": float(piece.share)}
    if isinstance(piece, Assign):
        return share | {"table": [int(column) for column in piece.table]}
    if isinstance(piece, Cascade):
        chains = [None if index is None else int(index) for index in piece.chains]
        return share | {"tradeoff": float(piece.tradeoff), "chains": chains}
    return share | {"tradeoff": float(piece.tradeoff), "guard": float(piece.guard)}


def point_in_pieces(name: str, rows: Sequence[object]) -> Point:
    """As version 3 has it."""
    return _pieces_in(name, rows, False)


def point_in_chains(name: str, rows: Sequence[object]) -> Point:
    """As version 4 has it: a piece may name chains."""
    return _pieces_in(name, rows, True)


def _pieces_in(name: str, rows: Sequence[object], chained: bool) -> Point:
    where = f"policy.json: points: {shown(name)}"
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_PIECES:
        size = f"{len(rows):,} pieces" if isinstance(rows, list) else shown(rows)
        raise PolicyError(f"{where}: {size}, not a list of 1 to {MOST_PIECES}")
    return tuple(_piece_in(f"{where}, piece {number}", row, chained) for number, row in enumerate(rows, 1))


def _piece_in(where: str, row: object, chained: bool) -> Piece:
    if chained and isinstance(row, dict) and "chains" in row:
        return _cascade_in(where, row)
    if not isinstance(row, dict) or ("table" in row) == bool(row.keys() & {"tradeoff", "guard"}):
        also = ", or `tradeoff` and `chains`" * chained
        raise PolicyError(
            f"{where}: needs `share` and either `tradeoff` and `guard` or `table`{also}, not {shown(row)}"
        )
    only_keys(row, frozenset({"share", *(["table"] if "table" in row else ["tradeoff", "guard"])}), where)
    try:
        if "table" in row:
            return Assign(tuple(map(as_whole, as_list(row["table"]))), as_number(row["share"]))
        return Follow(as_number(row["tradeoff"]), as_number(row["guard"]), as_number(row["share"]))
    except (TypeError, OverflowError) as error:
        raise PolicyError(f"{where}: {error}") from error


def _cascade_in(where: str, row: dict[str, object]) -> Cascade:
    only_keys(row, frozenset({"share", "tradeoff", "chains"}), where)
    try:
        chains = tuple(None if index is None else as_whole(index) for index in as_list(row["chains"]))
        return Cascade(chains, as_number(row["tradeoff"]), as_number(row["share"]))
    except (TypeError, OverflowError) as error:
        raise PolicyError(f"{where}: {error}") from error
