"""Means, ratios and their errors when rows come in clusters, and tests on them.

The unit of independence is the cluster (near-duplicate prompts, one template, one conversation),
so every error here is that of cluster sums: `sum_g u_g^2 * G / (G - 1) / n^2` with `u_g` the
summed residuals of cluster g (the linearised ratio estimator, Cochran, Sampling Techniques, 3rd
ed., section 6.3) and G Kish's number of clusters, n^2 / sum m^2 of their sizes m. How far bounds
lie from it: `metrics.bound`.

Rows that were run at a known probability only (a race's control share) count with a weight of one
over it (Hajek 1971), and clusters of unequal weight as the number that the heaviest of them would
make up, sum w / max w: what a few heavy rows did not show may well be there. With Kish's
larger number certificates after a race broke more often than they may
(tests/bench/race_certificates.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from router_lab.metrics import steady
from router_lab.metrics.bound import Spread, p_values, reach
from router_lab.metrics.steady import Floats, Ints


@dataclass(frozen=True)
class Estimate:
    """A mean or ratio with what its bounds are made of: see `metrics.bound`, whose `Spread` has
    the units.

    n: rows. clusters: of them. alike: as how many clusters of one size they count (Kish 1965: n^2
    / sum m^2), which is what degrees of freedom and least numbers go by; 0 = all are. above: what
    one more cluster that was not seen could raise the value by, where that is not the `size` by
    which it could lower it.
    """

    value: float
    se: float
    n: int
    clusters: int
    size: float = 0.0
    lost: float = 0.0
    alike: int = 0
    above: float | None = None

    @property
    def independent(self) -> int:
        return self.alike or self.clusters

    @property
    def error(self) -> float:
        """Standard error with the pseudo-observation included."""
        unseen = max(self.size, self.above or 0.0)
        return sqrt(self.se * self.se + unseen * unseen)

    def low(self, confidence: float) -> float:
        """One-sided lower bound; -inf with fewer than two clusters."""
        return self.value - self._reach(confidence, self.below)

    def high(self, confidence: float) -> float:
        """One-sided upper bound; inf with fewer than two clusters."""
        return self.value + self._reach(confidence, self.beyond)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval: `confidence` lies between the two bounds."""
        side = 0.5 + confidence / 2
        return self.low(side), self.high(side)

    def p_below(self, floor: float) -> float:
        """p-value of the hypothesis that the truth is at most `floor`: the least error at which
        `low` reaches it."""
        return float(p_values_below([self], floor)[0])

    def scaled(self, factor: float) -> "Estimate":
        """The estimate of `factor` times the quantity."""
        down, up = (self.below, self.beyond) if factor >= 0 else (self.beyond, self.below)
        return replace(
            self, value=self.value * factor, se=self.se * abs(factor), size=down.size * abs(factor),
            lost=self.lost * factor * factor * factor, above=None if self.above is None else up.size * abs(factor),
        )  # fmt: skip

    @property
    def below(self) -> Spread:
        """What the lower bound is made of."""
        return Spread(self.se * self.se, self.lost, self.size)

    @property
    def beyond(self) -> Spread:
        """What the upper bound is made of."""
        return Spread(self.se * self.se, -self.lost, self.size if self.above is None else self.above)

    def _reach(self, confidence: float, spread: Spread) -> float:
        if self.independent < 2:
            return inf
        return float(reach(spread, self.independent - 1, confidence))


def p_values_below(estimates: Sequence[Estimate], floor: float) -> Floats:
    """`Estimate.p_below` of many at once; 1 for what has fewer than two clusters."""
    told = [e.independent >= 2 and not np.isnan(e.value) for e in estimates]
    found = np.ones(len(told))
    known = [e for e, one in zip(estimates, told, strict=True) if one]
    if known:
        columns = np.array(
            [(e.value - floor, e.se * e.se, e.lost, e.size, e.independent - 1) for e in known]
        ).T
        found[told] = p_values(columns[0], Spread(columns[1], columns[2], columns[3]), columns[4])
    return found


def by_cluster(columns: dict[str, Floats], clusters: Ints) -> tuple[dict[str, Floats], Floats]:
    """Sums [G] of columns [n] by cluster code, and the rows in each, for the clusters that occur,
    in code order."""
    codes = dense(clusters)
    summed = {name: np.bincount(codes, weights=values).astype(np.float64) for name, values in columns.items()}
    return summed, np.bincount(codes).astype(np.float64)


def dense(clusters: Ints) -> Ints:
    """[n] the place of each code among those that occur, in their order."""
    if (
        not len(clusters)
        or clusters.dtype.kind not in "iu"
        or clusters.min() < 0
        or clusters.max() > 4 * len(clusters)
    ):
        return np.unique(clusters, return_inverse=True)[1]
    # Without sorting: half of the time of a report on a million samples.
    place = np.cumsum(np.bincount(clusters) > 0) - 1
    return np.asarray(place[clusters], np.int64)


def clustered_mean(
    values: Any, clusters: Any = None, *, weights: Any = None, span: float = 0.0, drawn: Any = None
) -> Estimate:
    """Mean of `values[n]`; rows with one `clusters` code belong together (default: every row on
    its own).

    NaN values are left out. `weights[n]`: one over the known probability with which a row was run
    (default: 1). `span`: the most that a row can lose, of a paired difference: 1 for two
    candidates, the share of requests that may move for a mix, 0 for what is the same or is no
    difference; of that size is the loss that was not seen (`metrics.bound`). `drawn[n]`: the rows
    whose values are no predictions (`metrics.twophase`); default: all.
    """
    numbers = np.asarray(values, dtype=np.float64)
    return clustered_ratio(
        numbers, np.where(np.isnan(numbers), nan, 1.0), clusters, weights=weights, span=span, drawn=drawn
    )


def clustered_ratio(
    numerator: Any,
    denominator: Any,
    clusters: Any = None,
    *,
    weights: Any = None,
    span: float = 0.0,
    drawn: Any = None,
) -> Estimate:
    """`sum(numerator) / sum(denominator)` over rows, its error by linearisation over cluster sums.

    Rows where either is NaN are left out; `weights[n]` multiplies both. An empty or zero
    denominator gives a NaN estimate without clusters.
    """
    summed = _summed(numerator, denominator, clusters, weights, drawn)
    return Estimate(nan, nan, 0, 0) if summed is None else summed.estimate(span)


def clustered_value(values: Any, clusters: Any, *, weights: Any = None) -> float:
    """`clustered_mean(…).value`, to the last bit, where nobody asks how sure it is."""
    numbers = np.asarray(values, dtype=np.float64)
    summed = _summed(numbers, np.where(np.isnan(numbers), nan, 1.0), clusters, weights, None)
    return nan if summed is None else float(summed.sums.sum()) / float(summed.sizes.sum())


class Summed(NamedTuple):
    """Weighted numerators and denominators by cluster, both [G]; of the clusters' rows the mean
    weight, where they are weighted, and how many were drawn, where not all were; n: rows that have
    both."""

    sums: Floats
    sizes: Floats
    shares: Floats | None
    drawn: Floats | None
    n: int

    def estimate(self, span: float = 0.0) -> Estimate:
        found = estimate_of_sums(self.sums, self.sizes, shares=self.shares, span=span, drawn=self.drawn)
        return replace(found, n=self.n)


def _summed(numerator: Any, denominator: Any, clusters: Any, weights: Any, drawn: Any) -> Summed | None:
    """None without a denominator."""
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    seen = ~(np.isnan(top) | np.isnan(bottom))
    weight = np.ones(int(seen.sum())) if weights is None else np.asarray(weights, dtype=np.float64)[seen]
    top, bottom = top[seen] * weight, bottom[seen] * weight
    if not len(top) or float(bottom.sum()) == 0:
        return None
    codes = np.arange(len(top)) if clusters is None else np.asarray(clusters)[seen]
    columns = {"top": top, "bottom": bottom, "weight": weight}
    if drawn is not None:
        columns["drawn"] = np.asarray(drawn)[seen].astype(np.float64)
    sums, rows = by_cluster(columns, codes)
    shares = None if weights is None else sums["weight"] / rows
    return Summed(sums["top"], sums["bottom"], shares, sums.get("drawn"), len(top))


def estimate_of_sums(
    sums: Floats,
    sizes: Floats,
    *,
    shares: Floats | None = None,
    span: float = 0.0,
    drawn: Floats | None = None,
) -> Estimate:
    """`clustered_ratio` of numerators and denominators that are already summed by cluster, both
    [G].

    `shares[G]`: the mean weight of each cluster's rows, where rows are weighted. `drawn[G]`: how
    many of its rows were drawn, where some of the values are predictions (`metrics.twophase`):
    what hides, hides among as many.
    """
    total = float(sizes.sum())
    value = float(sums.sum()) / total
    left = (sums - value * sizes) / total
    part = np.abs(sizes) / abs(total)
    alike = effective_number(1.0, float((part * part).sum()))
    if drawn is not None:
        part = drawn / max(1.0, float(drawn.sum()))
        alike = min(alike, effective_number(float(part.sum()), float((part * part).sum())))
    if shares is not None:
        alike = min(alike, effective_number(shares.sum(), shares.max()))
    square = float((left * left).sum())  # never `@`: BLAS adds in an order of the processor's
    se = sqrt(square * alike / (alike - 1)) if alike > 1 else inf
    unseen = max(sqrt(float((part * part * part).sum())), 0.0 if shares is None else 1 / alike)
    lost = -float((left * left * left).sum())
    return Estimate(value, se, round(total), len(sums), span * unseen, lost, int(alike))


def effective_number(total: Any, heaviest: Any) -> Any:
    """How many clusters as heavy as the heaviest make up the total weight; their number where all
    weigh the same."""
    return np.round(total / np.maximum(heaviest, 1e-300), 6)


def paired_saving(
    cost: Any,
    baseline: Any,
    clusters: Any = None,
    *,
    reference: Any = None,
    weights: Any = None,
    drawn: Any = None,
) -> Estimate:
    """Saving of `cost[n]` over `baseline[n]` as a share of what `reference[n]` (default: the
    baseline) costs.

    With `reference` given this is the difference between two savings against one reference, paired
    row by row. Few rows can carry most dollars, so its bounds are wider than those of a mean: see
    `_wary`.
    """
    spent, base = np.asarray(cost, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    summed = _summed(base - spent, base if reference is None else reference, clusters, weights, drawn)
    if summed is None:
        return Estimate(nan, nan, 0, 0)
    return _wary(summed, least=0.0 if reference is None else -1.0)


def left_of_budget(
    sums: Floats, sizes: Floats, *, shares: Floats | None = None, drawn: Floats | None = None
) -> Estimate:
    """`estimate_of_sums` of what is left of a budget: few clusters can carry most dollars, see
    `_wary`."""
    return _wary(Summed(sums, sizes, shares, drawn, round(float(sizes.sum()))), least=-inf)


LONGER = 2.0
"""A saving's third moment counts so many times: few samples of a long tail do not show how long it
is."""
REMAINS = 3.0
"""What an unseen cluster takes shrinks as the bound comes nearer to it; so many are unseen at d =
.05, ln(1/d)."""


def _wary(summed: Summed, *, least: float) -> Estimate:
    """A saving's estimate with bounds that hold where few clusters carry most dollars
    (bench-guarantee, `interval`).

    A large cluster pulls the ratio to itself and leaves a small residual, so each is measured
    against the ratio of the others, which is u / (1 - its share) (Efron 1982, the jackknife). And
    the next large one need not be like those that were seen: there is room for one, of the size in
    `metrics.bound`, that saves as little as any did (at worst `least`: nothing, or of a difference
    everything less), and for one that saves as much as any did (at best everything).
    """
    found, sums, sizes = summed.estimate(), summed.sums, summed.sizes
    weighted = summed.shares is not None or summed.drawn is not None
    part = np.maximum(sizes, 0.0) / float(sizes.sum())
    left = (sums / float(sizes.sum()) - found.value * part) / np.maximum(1 - part, 1e-9)
    heaviest = 1 / max(found.alike, 1) if weighted else 0.0
    alone = max(float((part * part).sum()), heaviest)  # one over the number of clusters alike, as for a mean
    unseen = max(sqrt(float((part * part * part).sum())), heaviest)
    unseen = unseen / (1 + REMAINS * unseen)
    saved = sums[part > 0] / sizes[part > 0]
    low, high = max(float(saved.min()), least), min(float(saved.max()), 1.0)
    return replace(
        found, se=sqrt(float((left * left).sum()) / (1 - alone)) if alone < 1 else inf,
        lost=-LONGER * float((left * left * left).sum()),
        size=unseen * max(0.0, found.value - low), above=unseen * max(0.0, high - found.value),
    )  # fmt: skip


def betting_p(values: Any, sizes: Any, floor: float, span: float = 1.0) -> float:
    """p-value that the mean of rows in [-span, span] is at most `floor`, valid at any number of
    clusters.

    `values[G]` are cluster sums, `sizes[G]` the numbers of rows. Under the hypothesis `sum - floor
    * size` has a mean of at most zero, so a capital that bets on it is a supermartingale; the
    p-value is one over the most it ever reached (Ville). Bets follow the predictable plug-in of
    Waudby-Smith & Ramdas 2023, "Estimating means of bounded random variables by betting", section
    4. The order of clusters must not depend on their values.
    """
    sums, counts = np.asarray(values), np.asarray(sizes)
    if not len(sums) or floor <= -span:
        return 0.0 if len(sums) else 1.0
    scale = float(counts.max()) * (span + floor)  # no cluster can lose more than this
    gains = (sums - floor * counts) / scale
    before = np.arange(1, len(gains) + 1)
    mean = (np.concatenate([[0.0], np.cumsum(gains)[:-1]])) / before
    away = gains - mean
    spread = (0.25 + np.concatenate([[0.0], np.cumsum(away * away)[:-1]])) / before
    bets = np.clip(mean / (spread + mean * mean), 0.0, 0.75)
    capital = np.cumsum(steady.log1p(bets * gains))
    return min(1.0, float(steady.exp(-max(0.0, float(capital.max())))))


def holm(p_values: Any) -> Floats:
    """Holm's step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def effective_size(mean: Estimate) -> float:
    """How many independent 0/1 answers would estimate this mean as well: q(1 − q) / se².

    Where every answer was the same nothing is known of the spread, and each cluster counts as one
    answer.
    """
    spread = mean.value * (1 - mean.value)
    return spread / (mean.se * mean.se) if mean.se > 0 and spread > 0 else float(mean.independent)


def bounded_interval(mean: Estimate, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a mean in [0, 1]: Wilson's score interval with the effective sample
    size.

    Does not shrink to nothing when every answer was right (Franco, Little, Louis & Slud 2019,
    "Comparative study of confidence intervals for proportions in complex sample surveys"). NaN
    with fewer than two clusters.
    """
    if mean.independent < 2 or isnan(mean.value):
        return nan, nan
    size, q = effective_size(mean), mean.value
    t = float(steady.t_quantiles(mean.independent - 1, 0.5 + confidence / 2))
    middle = (q + t * t / (2 * size)) / (1 + t * t / size)
    reach = t * sqrt(q * (1 - q) / size + t * t / (4 * size * size)) / (1 + t * t / size)
    return (0.0 if q == 0 else max(0.0, middle - reach)), (1.0 if q == 1 else min(1.0, middle + reach))
