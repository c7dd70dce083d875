"""The semantic rules of a policy, checked whether it was fitted, written by hand or loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime import chainrules, lifecodec, profilerules
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.features import DENSE, MAX_CAP, Z_LIMIT, Featuriser
from router_lab.runtime.heads import MOST_GUARDED
from router_lab.runtime.linear import COST_LINKS
from router_lab.runtime.model import CACHING, VERDICTS, PolicySpec
from router_lab.runtime.points import MOST_PIECES, NEAR, Assign, Cascade, Follow, Point
from router_lab.runtime.typed import GREATEST, real
from router_lab.runtime.vectors import MAX_LENGTH, VectorWeights

MAX_CANDIDATES = 256
MAX_SUITES = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def check_spec(spec: PolicySpec) -> None:
    """Raise PolicyError with the first rule that `spec` breaks."""
    for problem in _problems(spec):
        raise PolicyError(f"policy {spec.name!r}: {problem}")


def _problems(spec: PolicySpec) -> Iterator[str]:
    """Only the first is asked for, so what comes after a rule may rely on that it is kept."""
    yield from _names(spec)
    yield from _tables(spec)
    yield from _numbers(spec)
    yield from _sessions(spec)
    yield from chainrules.problems(spec)
    for name, point in spec.points.items():
        yield from _point(spec, f"points: {shown(name)}", point)
    yield from chainrules.unused(spec)
    yield from lifecodec.problems(spec)
    yield from profilerules.problems(spec)
    yield from _featuriser(spec.featuriser)
    yield from _linear(spec)
    if spec.linear.vector is not None:
        yield from _vector(spec.linear.vector, 2 * len(spec.profiles))


def _names(spec: PolicySpec) -> Iterator[str]:
    count = len(spec.profiles)
    if not isinstance(spec.name, str) or not _NAME.match(spec.name):
        yield f"name {spec.name!r} is not 1 to 100 letters, digits, '.', '_' or '-'"
    yield from too_many(len(spec.suites), count)
    yield from profilerules.names(spec)
    if any(not first < second for first, second in zip(spec.candidates, spec.candidates[1:], strict=False)):
        yield "candidates are not sorted by (model, effort, harness) without repeats"
    if not all(isinstance(suite, str) and suite for suite in spec.suites):
        yield "suites are not texts"
    if list(spec.suites) != sorted(set(spec.suites)):
        yield "suites are not sorted without repeats"
    if spec.expires is not None:
        try:
            date.fromisoformat(spec.expires)
        except (TypeError, ValueError):
            yield f"expires {spec.expires!r} is not a date (YYYY-MM-DD)"


def too_many(suites: int, candidates: int) -> Iterator[str]:
    """More, or fewer, than any policy may have."""
    if not 1 <= candidates <= MAX_CANDIDATES:
        yield f"{candidates} candidates, not 1 to {MAX_CANDIDATES}"
    if suites > MAX_SUITES:
        yield f"{suites:,} suites, not up to {MAX_SUITES:,}"


def _tables(spec: PolicySpec) -> Iterator[str]:
    columns = range(len(spec.profiles))
    if spec.reference not in columns:
        yield f"reference {spec.reference!r} is not a column of {len(columns)} candidates"
    if sorted(spec.fallbacks) != list(columns):
        yield f"fallbacks {spec.fallbacks!r} do not name every column once"
    if len(set(spec.escalation)) != len(spec.escalation) or not all(
        index in columns for index in spec.escalation
    ):
        yield f"escalation {spec.escalation!r} names a column twice or one that is not there"
    suites = set(spec.suites)
    for suite, route in spec.routes.items():
        if suite not in suites:
            yield f"routes: {suite!r} is not among the suites"
        if route.candidate not in columns:
            yield f"routes: candidate {route.candidate!r} of {suite!r} is not a column"
        if route.verdict not in VERDICTS:
            yield f"routes: verdict {route.verdict!r} of {suite!r} is not one of {', '.join(VERDICTS)}"
    rows = len(spec.suites) + 1
    if spec.eligible is not None and spec.eligible.shape != (rows, len(columns)):
        yield f"eligible has shape {spec.eligible.shape}, not {(rows, len(columns))}"
    if spec.limits and (len(spec.limits) != rows or any(len(row) != len(columns) for row in spec.limits)):
        yield f"limits are not {rows} rows of {len(columns)}"


def _numbers(spec: PolicySpec) -> Iterator[str]:
    if not real(spec.coverage) or not 0 <= spec.coverage <= 2:
        yield f"coverage {spec.coverage!r} is not a number from 0 to 2"
    unknown = spec.coverage_unknown
    if unknown is not None and (not real(unknown) or not 0 <= unknown <= 2):
        yield f"coverage_unknown {unknown!r} is not a number from 0 to 2"
    guard = spec.suffix_guard
    if not isinstance(guard, int) or isinstance(guard, bool) or not 0 <= guard <= MOST_GUARDED:
        yield f"suffix_guard {guard!r} is not a whole number of words from 0 to {MOST_GUARDED}"
    elif guard and spec.linear.vector is not None:
        yield f"suffix_guard {guard} beside vectors, which are of whole prompts"
    if spec.heads is not None and not guard:
        yield "heads without a suffix_guard, which says what a head is"
    if spec.heads is not None and not (real(spec.heads.slack) and 0 <= spec.heads.slack <= 1):
        yield f"heads: slack {spec.heads.slack!r} is not a number from 0 to 1"
    if spec.point not in spec.points:
        yield f"point {spec.point!r} is not among the points {sorted(spec.points)}"
    for row in spec.limits:
        for limit in row:
            if not all(value is None or (real(value) and value >= 0) for value in limit):
                yield f"limits: {limit!r} is not made of null and numbers of 0 or more"


def _sessions(spec: PolicySpec) -> Iterator[str]:
    if spec.sessions is None:
        return
    caching, rows = spec.sessions
    if caching not in CACHING:
        yield f"sessions: caching {shown(caching)} is not one of {', '.join(CACHING)}"
    count, width = len(spec.suites) + 1, len(spec.profiles)
    if len(rows) != count or any(len(row) != width for row in rows):
        yield f"sessions: rows are not {count} of {width}"
    for one in (one for row in rows for one in row if one is not None):
        if not all(real(value) and value >= 0 for value in one) or one.turns < 1:
            yield f"sessions: {shown(tuple(one))} is not 1 or more turns and two numbers of tokens, 0 or more"


def _point(spec: PolicySpec, where: str, point: Point) -> Iterator[str]:
    if not isinstance(point, tuple) or not 1 <= len(point) <= MOST_PIECES:
        size = f"{len(point)} pieces" if isinstance(point, tuple) else shown(point)
        yield f"{where} has {size}, not a tuple of 1 to {MOST_PIECES}"
    for number, piece in enumerate(point, 1):
        one = where if len(point) == 1 else f"{where}, piece {number},"
        if not isinstance(piece, Follow | Assign | Cascade):
            yield f"{one} is {shown(piece)}, not a Follow, an Assign or a Cascade"
        if not real(piece.share) or not 0 <= piece.share <= 1 + NEAR:
            yield f"{one} has the share (mix) {shown(piece.share)}, not a number above 0 and up to 1"
        if piece.share == 0 and (len(point) > 1 or not isinstance(piece, Follow)):
            yield f"{one} has the share 0; leave it out (only a point's one piece that follows predictions may have 0)"
        if isinstance(piece, Assign):
            yield from _assigned(spec, one, piece.table)
        elif isinstance(piece, Cascade):
            yield from chainrules.cascade(spec, one, piece)
        elif not all(real(value) and value >= 0 for value in piece[:2]):
            yield f"{one} has a tradeoff or guard that is not a finite number of 0 or more"
    total = sum(piece.share for piece in point)
    if total > 1 + NEAR:
        yield f"{where} has shares (mix) that add up to {total!r}, above 1"


def _assigned(spec: PolicySpec, where: str, table: tuple[int, ...]) -> Iterator[str]:
    rows = len(spec.suites) + 1
    if not isinstance(table, tuple) or len(table) != rows:
        size = f"of {len(table)} columns" if isinstance(table, tuple) else shown(table)
        yield f"{where} has a table {size}, not a tuple of {rows}: one for no known suite, then one for each suite"
    count = len(spec.profiles)
    for row, column in enumerate(table):
        suite = shown(spec.suites[row - 1]) if row else "no known suite"
        if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < count:
            yield f"{where} has {shown(column)} in its table for {suite}, not a column of {count} candidates"
        elif spec.eligible is not None and not spec.eligible[row, column] and column != spec.reference:
            yield f"{where} has column {column} in its table for {suite}, where it may not be chosen (`eligible`)"


def _featuriser(featuriser: Featuriser) -> Iterator[str]:
    buckets, cap, centre, spread, least, greatest = featuriser
    if buckets < 2 or buckets > 1 << 22 or buckets & (buckets - 1):
        yield f"featuriser: buckets {buckets} is not a power of two from 2 to {1 << 22}"
    if not 16 <= cap <= MAX_CAP:
        yield f"featuriser: cap {cap} is not from 16 to {MAX_CAP} characters"
    if len(centre) != len(DENSE) or len(spread) != len(DENSE):
        yield f"featuriser: centre and spread need {len(DENSE)} numbers each"
    if not all(map(real, centre)) or not all(real(value) and value >= 1 / GREATEST for value in spread):
        yield "featuriser: centre must be finite, and spread finite and above 0"
    bounds = [*zip(least, greatest, strict=False)]
    if not len(least) == len(greatest) == len(DENSE) or not all(
        -Z_LIMIT <= low <= high <= Z_LIMIT for low, high in bounds
    ):
        yield f"featuriser: least and greatest are not {len(DENSE)} pairs within ±{Z_LIMIT}, the lesser first"


def _linear(spec: PolicySpec) -> Iterator[str]:
    linear, width = spec.linear, 2 * len(spec.profiles)
    seen = len(linear.seen)
    yield from _arrays(
        "linear",
        ("seen", linear.seen, (seen,), np.uint32),
        ("weights", linear.weights, (seen + 1, width), np.int8),
        ("scale", linear.scale, (width,), np.float64),
        ("bias", linear.bias, (len(spec.suites) + 1, width), np.float64),
        ("dense", linear.dense, (len(DENSE), width), np.int16),
        ("dense_scale", linear.dense_scale, (width,), np.float64),
        ("cost_bounds", linear.cost_bounds, (2, width // 2), np.float64),
    )
    if spec.heads is not None:
        yield from _arrays("heads", ("bias", spec.heads.bias, linear.bias.shape, np.float64))
    if seen and (linear.seen[-1] >= spec.featuriser.buckets or (linear.seen[1:] <= linear.seen[:-1]).any()):
        yield f"linear: seen is not sorted without repeats below {spec.featuriser.buckets}"
    if linear.weights[0].any():
        yield "linear: row 0 of weights, for buckets never seen, is not zero"
    if linear.cost_link not in COST_LINKS:
        yield f"linear: cost_link {linear.cost_link!r} is not one of {', '.join(COST_LINKS)}"
    if (linear.cost_bounds[0] < 0).any() or (linear.cost_bounds[0] > linear.cost_bounds[1]).any():
        yield "linear: cost_bounds are not 0 <= least <= greatest"
    if spec.groups.dtype != np.uint64 or spec.groups.ndim != 1 or (spec.groups[1:] <= spec.groups[:-1]).any():
        yield "groups are not sorted uint64 codes without repeats"


def _vector(vector: VectorWeights, width: int) -> Iterator[str]:
    centre, spread = vector.standard
    length = len(centre)
    if not 1 <= length <= MAX_LENGTH:
        yield f"vector: {length} numbers, not 1 to {MAX_LENGTH}"
    yield from _arrays(
        "vector",
        ("centre", centre, (length,), np.float64),
        ("spread", spread, (length,), np.float64),
        ("weights", vector.weights, (length, width), np.int8),
        ("scale", vector.scale, (width,), np.float64),
    )
    if not (spread >= 1 / GREATEST).all():
        yield f"vector: spread holds a number below {1 / GREATEST:g}"


def _arrays(
    where: str, *arrays: tuple[str, NDArray[Any], tuple[int, ...], type[np.generic]]
) -> Iterator[str]:
    """Each has its name, and the shape and the type that it must have; floats are bounded."""
    for key, array, shape, kind in arrays:
        if array.shape != shape or array.dtype != kind:
            yield f"{where}: {key} is {array.dtype}{list(array.shape)}, not {np.dtype(kind)}{list(shape)}"
        if array.dtype == np.float64 and not (np.abs(array) <= GREATEST).all():
            yield f"{where}: {key} holds a number that is not finite, or beyond {GREATEST:g}"
