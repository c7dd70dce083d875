"""What another policy would have given, from rows of which one candidate's outcome each is known.

Doubly robust (Dudik, Langford & Li 2011): a model's prediction of what the target gives, and the
residuals of the rows that chance answered by the target's candidate, each with weight

    w = (target's probability of who was asked) / (probability with which he was asked)

The residuals' mean is self-normalised, sum(w e) / sum(w) (Swaminathan & Joachims 2015), so that
luck in how many such rows there are does not count as quality. Right if the propensities are,
whatever the model says; a good model makes the interval short.

- **Clipping.** No row may carry more than 1 / LEAST_ROWS of all weight (Su et al. 2020). What that
  changes is at most the distance between the two sets of weights times the range of the residuals
  (`Told.bias`), and widens the interval by as much.
- **Few heavy rows.** Degrees of freedom are those of cluster sums with variances as the squares of
  their weights (Satterthwaite 1946; of weights alone it is Kish's number of the squares, Owen 2013,
  section 9.3). A heavy cluster pulls the ratio to itself, so its residual is taken against the
  others (jackknife). One more heavy cluster that was not seen may hide a loss: `metrics.bound`.
- **What nobody showed.** Candidates of the target that were never asked are told by the model
  alone: their mass, times the range, widens the interval too; above a limit nothing is concluded
  (`metrics.overlap`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from router_lab.metrics.bound import Spread
from router_lab.metrics.estimate import Estimate, by_cluster, effective_number
from router_lab.metrics.steady import Floats, Ints

LEAST_ROWS = 20
"""A row carries at most one part in so many of all weight."""
PARTS = 5
PRIOR_ROWS = 20.0
"""Rows as which the policy's own prediction counts against what was logged of a candidate."""
DUST = 1e-9
"""Differences of such a share of what a policy gives are rounding, and so are such shares."""
LONG_TAIL = 3.0
"""A third moment of dollars counts so many times: few rows of a long tail do not show how long it
is."""


class Logged(NamedTuple):
    """n requests, one outcome each. action [n]: the target's column of who was asked first, -1 =
    nobody of its candidates; propensity [n] in (0, 1]: the probability with which he was; reward
    [n]: quality or dollars, no NaN; group [n]: codes of clusters."""

    action: Ints
    propensity: Floats
    reward: Floats
    group: Ints

    def take(self, rows: Any) -> Logged:
        """The same on some rows (indices or a mask)."""
        return Logged(*(part[rows] for part in self))


@dataclass(frozen=True)
class OffEstimate(Estimate):
    """An estimate that may also be wrong by `bias`, in either direction, however many rows come."""

    bias: float = 0.0

    def _reach(self, confidence: float, spread: Spread) -> float:
        return super()._reach(confidence, spread) + self.bias


class Told(NamedTuple):
    """What is told of one policy on the rows of a log.

    value: the mean per request. influence [n]: by how much each row moves it, times n; sums to 0.
    load [n]: the row's weight over the mean weight. down, up: the most by which a residual lies
    below and above their mean. bias: of clipping, and of candidates that nobody asked.
    """

    value: float
    influence: Floats
    load: Floats
    down: float = 0.0
    up: float = 0.0
    bias: float = 0.0


def weights_of(logged: Logged, target: Floats) -> Floats:
    """[n] how much more often the target asks whom the log asked; target [n, c]: its
    probabilities."""
    known = logged.action >= 0
    chosen = target[np.arange(len(known)), np.where(known, logged.action, 0)]
    return np.where(known, chosen, 0.0) / logged.propensity


def clipped(weights: Floats, least: int = LEAST_ROWS) -> tuple[Floats, float]:
    """The weights, none above 1 / `least` of their sum; and how far that moves their distribution
    over the rows (total variation)."""
    total = float(weights.sum())
    cut = np.minimum(weights, total / least)
    if total <= 0 or cut.sum() <= 0:
        return cut, 0.0
    moved = float(np.abs(weights / total - cut / cut.sum()).sum()) / 2
    return cut, moved if moved > DUST else 0.0


def told_of_log(logged: Logged) -> Told:
    """The logging policy's own mean."""
    value = float(logged.reward.mean()) if len(logged.reward) else nan
    return Told(value, logged.reward - value, np.ones(len(logged.reward)))


def told_of(
    logged: Logged, target: Floats, model: Floats, *, span: float | None = None, least: int = LEAST_ROWS
) -> Told:
    """The target's mean; model [n, c]: predicted rewards, of each row without that row's own.

    span: the range of residuals, 1 on each side for a quality; None = as wide as was seen, and with
    a long tail. least: no row carries more than one part in so many of all weight. NaN where no row
    was answered as the target would.
    """
    expected = np.where(target > 0, target * model, 0.0).sum(axis=1)
    weights = weights_of(logged, target)
    cut, moved = clipped(weights, least)
    total, n = float(cut.sum()), len(cut)
    if total <= 0:
        return Told(nan, np.full(n, nan), np.zeros(n))
    column = np.maximum(logged.action, 0)
    left = np.where(cut > 0, logged.reward - model[np.arange(n), column], 0.0)
    middle = float((cut * left).sum()) / total
    load = cut * (n / total)
    seen = left[cut > 0]
    dust = DUST * float(np.abs(logged.reward).max())
    down, up = (
        (span, span)
        if span is not None
        else (
            side if side > dust else 0.0 for side in (float(middle - seen.min()), float(seen.max() - middle))
        )
    )
    value = float(expected.mean()) + middle
    influence = expected - expected.mean() + load * (left - middle)
    bias = moved * (down + up) + unasked(logged, target) * max(down, up)
    return Told(value, influence, load, down, up, bias)


def unasked(logged: Logged, target: Floats) -> float:
    """The share of the target's requests that go to candidates whom nobody asked."""
    asked = np.bincount(logged.action[logged.action >= 0], minlength=target.shape[1]) > 0
    share = float(target[:, ~asked].sum()) / max(1, len(target))
    return share if share > DUST else 0.0


def estimate_of(
    told: Told, group: Ints, other: Told | None = None, *, long_tail: bool = False
) -> OffEstimate:
    """The mean of one policy; with `other`, by how much it is above the other's on the same rows.

    long_tail: of dollars, whose third moment counts LONG_TAIL times.
    """
    n = len(group)
    beside = Told(0.0, np.zeros(n), np.ones(n)) if other is None else other
    value, pull = told.value - beside.value, told.influence - beside.influence
    if not np.isfinite(value):
        return OffEstimate(nan, nan, 0, 0)
    if max(abs(value), float(np.abs(pull).max())) <= DUST * abs(told.value):
        value, pull = 0.0, np.zeros(n)
    apart = told.load - beside.load
    heavy = told.load if other is None else np.abs(apart)
    columns = {
        "left": pull, "heavy": heavy, "over": np.maximum(apart, 0.0),
        "under": np.maximum(-apart, 0.0),
    }  # fmt: skip
    sums, sizes = by_cluster(columns, group)
    alike = _alike(sizes, sums["heavy"])
    part = np.minimum(sums["heavy"] / n, 1.0 - 1.0 / LEAST_ROWS)
    left = sums["left"] / n / (1 - part)
    square, third = float((left * left).sum()), -float((left * left * left).sum())
    cubes = (float((part * part * part).sum()) for part in (sums["over"], sums["under"]))
    over, under = (sqrt(cube / (n * n * n)) for cube in cubes)
    # What hides in a row that the other policy weighs more counts the other way round.
    size = max(over * told.down, under * beside.up)
    above = max(over * told.up, under * beside.down)
    se = sqrt(square * alike / (alike - 1)) if alike > 1 else inf
    return OffEstimate(
        value, se, n, len(sizes), size, third * (LONG_TAIL if long_tail else 1.0), int(alike), above,
        bias=told.bias + beside.bias,
    )  # fmt: skip


def _alike(sizes: Floats, heavy: Floats) -> float:
    """As how many clusters of one weight they count: by their rows, and by their squared weights,
    to which variances are proportional."""
    rows, squares = float(sizes.sum()), heavy * heavy
    alike = float(effective_number(rows * rows, float((sizes * sizes).sum())))
    total, fourth = float(squares.sum()), float((squares * squares).sum())
    if fourth > 0:
        alike = min(alike, float(effective_number(total * total, fourth)))
    return alike


def cross_fitted(logged: Logged, prior: Floats, stratum: Ints, *, ratio: bool = False) -> Floats:
    """[n, c] predictions, set right by what was logged of each candidate on other clusters.

    prior [n, c]: somebody's predictions, made without these rows (the policy's own). stratum [n]:
    codes, such as of suites, of which each gets a correction of its own as far as it has rows.
    ratio: corrections multiply (dollars), else they add (quality, which stays in [0, 1]).
    """
    fold = folds_of(logged.group)
    known, action = logged.action >= 0, np.maximum(logged.action, 0)
    said = prior[np.arange(len(action)), action]
    found = np.empty(prior.shape)
    for number in range(PARTS):
        others = known & (fold != number)
        mine = fold == number
        cells = action[others], stratum[others]
        shape = prior.shape[1], int(stratum.max(initial=0)) + 1
        change = (_factors if ratio else _shifts)(cells, said[others], logged.reward[others], shape)
        own = change[:, stratum[mine]].T
        found[mine] = prior[mine] * own if ratio else np.clip(prior[mine] + own, 0.0, 1.0)
    return found


def folds_of(group: Ints) -> Ints:
    """[n] fold of each row; a cluster is whole in one of PARTS."""
    codes, inverse = np.unique(group, return_inverse=True)
    return np.random.default_rng(0).permutation(len(codes))[inverse] % PARTS


def _shifts(cells: tuple[Ints, Ints], said: Floats, reward: Floats, shape: tuple[int, int]) -> Floats:
    """[c, strata] mean residuals, of a candidate shrunken to 0 and of its strata to that."""
    action, stratum = cells
    left, count = reward - said, np.bincount(action, minlength=shape[0])
    whole = np.bincount(action, left, shape[0]) / (count + PRIOR_ROWS)
    flat, size = action * shape[1] + stratum, shape[0] * shape[1]
    rows = np.bincount(flat, minlength=size)
    own = np.bincount(flat, left - whole[action], size) / (rows + PRIOR_ROWS)
    return whole[:, None] + own.reshape(shape)


def _factors(cells: tuple[Ints, Ints], said: Floats, reward: Floats, shape: tuple[int, int]) -> Floats:
    """[c, strata] what was paid over what was predicted, shrunken as `_shifts` are."""
    action, stratum = cells
    count = np.maximum(np.bincount(action, minlength=shape[0]), 1)
    told, paid = np.bincount(action, said, shape[0]), np.bincount(action, reward, shape[0])
    prior = PRIOR_ROWS * told / count
    whole = np.where(told > 0, (paid + prior) / np.maximum(told + prior, 1e-300), 1.0)
    flat, size = action * shape[1] + stratum, shape[0] * shape[1]
    rows = np.maximum(np.bincount(flat, minlength=size), 1)
    said_here = np.bincount(flat, said * whole[action], size)
    held = PRIOR_ROWS * said_here / rows
    paid_here = np.bincount(flat, reward, size)
    own = np.where(said_here > 0, (paid_here + held) / np.maximum(said_here + held, 1e-300), 1.0)
    return whole[:, None] * own.reshape(shape)
