"""The one rule that turns an estimate into `pass`, `fail` or `inconclusive`, and the sample sizes
beside it."""

from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan, prod, sqrt
from typing import Literal

from router_lab.metrics.bound import growth_needed
from router_lab.metrics.estimate import Estimate
from router_lab.metrics.steady import normal_quantile

MIN_CLUSTERS = 20
"""With fewer, the t approximation of cluster sums is not trusted and nothing is concluded."""
MAX_INFRA = 0.01
"""Share of runs that gave no evidence above which the missing could be the hard ones."""
NO_EVIDENCE = (
    "gave no evidence (an outage of the infrastructure, the operator's error, cancelled, or not scored: `collect` says "
    "which; run or score them again)"
)
POWER = 0.8
Word = Literal["pass", "fail", "inconclusive"]
WIDEST = 2.0
"""Length of the range in which the mean difference of two qualities in [0, 1] can lie."""
DIFFER = 0.2
"""Share of samples on which two candidates of like quality were found to differ (FACTS: the d of
9.8 d / margin^2)."""


def too_few(
    n: int | None, clusters: int | None, low: float | None = None, high: float | None = None
) -> str | None:
    """`too few to say (6 rows)`, or `(90 rows in 12 groups)`, where a figure with its interval
    says nothing; else None.

    That is with fewer than MIN_CLUSTERS clusters (None = not known), or where the interval from
    `low` to `high` is longer than everything that it could cover (WIDEST; for a saving, as a share
    of the reference's cost, likewise).
    """
    known = low is not None and high is not None and isfinite(low) and isfinite(high)
    wide = known and float(high or 0.0) - float(low or 0.0) > WIDEST
    if not wide and (clusters is None or clusters >= MIN_CLUSTERS):
        return None
    if n is None:
        return "too few to say"
    groups = "" if clusters in (None, n) else f" in {clusters:,} groups"
    return f"too few to say ({n:,} {'row' if n == 1 else 'rows'}{groups})"


def uneven(estimate: Estimate) -> int | None:
    """As how many clusters alike an estimate's count, where there are enough of them and these are
    too few to conclude anything: a few large ones, or for dollars a few dear ones, carry it. None
    elsewhere."""
    few = estimate.independent < MIN_CLUSTERS <= estimate.clusters
    return estimate.independent if few else None


def uneven_told(alike: int | None) -> str:
    """What to say of a figure beside its interval, which may then miss more often than it says; ``
    for None."""
    return "" if alike is None else f", carried by few: all groups count as {alike:,}"


@dataclass(frozen=True)
class Verdict:
    """What was concluded about "the truth is at least `floor`", from what, and what would settle
    it."""

    verdict: Word
    value: float
    floor: float
    low: float
    high: float
    confidence: float
    n: int
    clusters: int
    samples_needed: int | None
    dollars_needed: float | None
    reason: str


def verdict(
    estimate: Estimate,
    floor: float,
    confidence: float = 0.95,
    *,
    infra: float = 0.0,
    min_clusters: int = MIN_CLUSTERS,
    dollars_per_sample: float | None = None,
) -> Verdict:
    """Judge whether a quantity is at least `floor` (negate estimate and floor for a ceiling).

    `pass` when the one-sided lower bound at `confidence` reaches the floor, `fail` when the upper
    bound stays below it, else `inconclusive`, with the further samples (and dollars) that would
    settle it with power .8 were the estimate the truth. Fewer than `min_clusters` clusters, or a
    share of runs lost to the infrastructure (`infra`) above 1 %, is always inconclusive.
    """
    low, high = estimate.low(confidence), estimate.high(confidence)
    further = samples_needed(estimate, estimate.value - floor, confidence)
    word, reason = _word(estimate, floor, low, high, infra, min_clusters)
    if word != "inconclusive" or infra > MAX_INFRA:
        further = None  # what was lost has to be mended or run again: more samples settle nothing
    elif estimate.independent < min_clusters:
        least = ceil(min_clusters * max(1.0, estimate.n / max(1, estimate.independent))) - estimate.n
        further = max(least, further or 0)
    dollars = None if further is None or dollars_per_sample is None else further * dollars_per_sample
    return Verdict(
        verdict=word, value=estimate.value, floor=floor, low=low, high=high, confidence=confidence,
        n=estimate.n, clusters=estimate.clusters, samples_needed=further, dollars_needed=dollars,
        reason=reason,
    )  # fmt: skip


def _word(
    estimate: Estimate, floor: float, low: float, high: float, infra: float, min_clusters: int
) -> tuple[Word, str]:
    if isnan(estimate.value):
        return "inconclusive", "there is nothing to judge: no row has both values"
    if estimate.independent < min_clusters:
        uneven = f"in {estimate.clusters:,} groups, so uneven that they count as {estimate.independent:,}"
        few = too_few(estimate.n, estimate.clusters) or f"too few to say ({estimate.n:,} rows {uneven})"
        return "inconclusive", f"{few}; fewer than {min_clusters} groups conclude nothing"
    if infra > MAX_INFRA:
        return (
            "inconclusive",
            f"{infra:.1%} of runs {NO_EVIDENCE}; above {MAX_INFRA:.0%} nothing is concluded",
        )
    word: Word = "pass" if low >= floor else "fail" if high < floor else "inconclusive"
    return word, bounds_told(word, low, high, floor)


def bounds_told(
    word: Word, low: float, high: float, floor: float, *, digits: int = 4, scale: float = 1.0
) -> str:
    """The bounds that a verdict was made of, in words, with as many digits as it takes to see the
    verdict in them."""
    if word == "pass":
        near, limit = apart(low, floor, digits, scale)
        return f"lower bound {near} reaches {limit}"
    if word == "fail":
        near, limit = apart(high, floor, digits, scale)
        return f"upper bound {near} stays below {limit}"
    (below, limit), (above, _) = apart(low, floor, digits, scale), apart(high, floor, digits, scale)
    return f"{limit} lies between the bounds {below} and {above}"


def apart(value: float, limit: float, digits: int, scale: float = 1.0, sign: str = "+") -> tuple[str, str]:
    """`value` and `limit`, times `scale`, as text: with the fewest decimals, at least `digits`, at
    which what is printed stands on the side of the limit on which the value does, below it or not.
    `sign` is that of a format."""
    asked = round(scale * limit, 9)
    exact = next((d for d in range(digits, 7) if round(asked, d) == asked), None)
    for places in range(digits, 13):
        kept = places if exact is None else exact
        near, bound = round(scale * value, places), round(asked, kept)
        if (near >= bound) == (value >= limit):
            break
    texts = f"{near + 0.0:{sign}.{places}f}", f"{bound + 0.0:{sign}.{kept}f}"
    return texts[0].replace("-", "−"), texts[1].replace("-", "−")


def samples_needed(
    estimate: Estimate, gap: float, confidence: float = 0.95, power: float = POWER
) -> int | None:
    """Further samples until a true distance `gap` from the floor is shown at `confidence` with
    `power`.

    By the formula of the bounds with normal quantiles, so that what they leave open always needs
    some, were further samples of the kind of those there are. None when no number would do (no
    distance, or 1e9 and more) or the variance is unknown.
    """
    if not isfinite(estimate.error) or isnan(gap) or gap == 0 or estimate.n == 0:
        return None
    spread = estimate.below if gap > 0 else estimate.beyond
    total = estimate.n * growth_needed(abs(gap), spread, confidence, power)
    return max(0, ceil(total) - estimate.n) if total < 1e9 else None


def certifiable_margin(estimate: Estimate, confidence: float = 0.95, power: float = 0.5) -> float:
    """The smallest margin at which a candidate exactly as good as the reference would pass with
    `power`.

    At the default even odds this is the reach of the lower bound; NaN values and single clusters
    give inf.
    """
    if isnan(estimate.value) or estimate.independent < 2:
        return inf
    return estimate.value - estimate.low(confidence) + float(normal_quantile(power)) * estimate.error


def first_samples(margin: float, confidence: float, *, holdout: float, differ: float = DIFFER) -> int:
    """Samples until a candidate as good as the reference is shown to lose at most `margin`, with
    power .8.

    By `samples_needed`, which `plan` and certificates use, for a paired difference of variance
    `differ`; a fit chooses on what its `holdout` leaves. A policy that sends only some requests
    elsewhere (a partial mix) needs fewer.
    """
    one = samples_needed(Estimate(0.0, sqrt(differ), 1, 1), margin, confidence) or 0
    return ceil((one + 1) / (1 - holdout))


def first_groups(holdout: float, sure: float = 0.95) -> int:
    """Groups until at least MIN_CLUSTERS of them are held out, with probability `sure`: with fewer
    no gate concludes.

    Which groups those are is settled by a hash, so their number is binomial.
    """
    groups = MIN_CLUSTERS
    while _at_most(MIN_CLUSTERS - 1, groups, holdout) > 1 - sure:
        groups += 1
    return groups


def _at_most(most: int, draws: int, chance: float) -> float:
    """Probability of `most` or fewer among independent `draws` of a `chance`."""
    term = total = prod([1 - chance] * draws)
    for hits in range(most):
        term *= (draws - hits) / (hits + 1) * chance / (1 - chance)
        total += term
    return total
