"""What an earlier sweep lets a race expect: pseudo-clusters beside its own, for heuristics alone.

A prior has no part in any test. It stands beside the data where a race chooses whom to put forward
and who may wait (`router_lab.racing.standing`), so it decides what is run, never what is
concluded. For that it must say nothing of the clusters that are to come: whoever makes one leaves
out what the earlier sweep saw of them (`router_lab.racing.earlier`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_lab.metrics.steady import Floats
from router_lab.racing.sequential import Tally


@dataclass(frozen=True)
class Prior:
    """Of one suite. earlier: what the stand-in of each candidate scored, by cluster; drift [c]:
    squared error of a stand-in's mean beyond that of its sample, as known beforehand."""

    earlier: Tally
    drift: Floats

    def weights(self, quality: Tally, most: float) -> Floats:
        """Pseudo-clusters [c], up to `most`, that each candidate's earlier outcomes count as
        beside what `quality` has seen.

        As many as their error is worth, by the method of moments: it is the sampling error, and
        the largest of `drift`, what all candidates together are off beyond chance, and what this
        one is. Each candidate is measured from the mean of all, so that no lucky leader is in
        every difference.
        """
        was, scatter, count = _from_the_mean(self.earlier)
        now, spread, seen = _from_the_mean(quality)
        known = (seen > 0) & (count > 0)
        chance = scatter / np.maximum(count, 1) + spread / np.maximum(seen, 1)
        beyond = np.where(known, np.square(now - was) - chance, 0.0)
        common = max(0.0, float(beyond.sum() / max(1, int(known.sum()))))
        off = np.maximum(np.maximum(self.drift, common), beyond)
        error = scatter / np.maximum(count, 1) + off
        # A candidate alone differs from nobody, so nothing is known beside it.
        worth = np.divide(scatter, error, out=np.zeros_like(error), where=error > 0)
        return np.where(count > 0, np.minimum(worth, most), 0.0)

    def beside(self, quality: Tally, most: float) -> Tally:
        """What `quality` has seen, and the pseudo-clusters, up to `most` of each candidate."""
        return quality.plus(self.earlier, self.weights(quality, most))


def _from_the_mean(tally: Tally) -> tuple[Floats, Floats, Floats]:
    """[c] mean difference to the mean of all candidates, its variance from cluster to cluster, and
    clusters.

    From the pairs, for a column need not have run what another has: the variance of a difference
    to a mean is the mean over the pairs with it, less half of that over all pairs. Two
    pseudo-observations, as in `standing.gap`.
    """
    pairs = np.maximum(tally.both, 1)
    gaps = tally.gaps / pairs
    scatter = np.maximum(tally.gap_squares / pairs - gaps * gaps, 0.0) + 2 / pairs
    np.fill_diagonal(scatter, 0.0)
    variance = scatter.mean(axis=0) - scatter.mean() / 2
    return gaps.mean(axis=0), np.maximum(variance, 0.0), tally.count
