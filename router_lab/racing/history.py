"""What a race has seen, cluster by cluster."""

from __future__ import annotations

import numpy as np

from router_lab.metrics.steady import Floats


class History:
    """means [G, c] of clusters, NaN = not run or not scored; share [G, c] the probability with
    which each candidate was due on the cluster, NaN where it waited or had left."""

    def __init__(self, columns: int) -> None:
        self.means, self.share = np.empty((0, columns)), np.empty((0, columns))

    def add(self, means: Floats, share: Floats) -> None:
        """The clusters [G, c] of a wave; share [c]."""
        self.means = np.concatenate([self.means, means])
        self.share = np.concatenate([self.share, np.tile(share, (len(means), 1))])

    def widen(self, means: Floats, share: Floats) -> None:
        """The same clusters [G, c] again, after the candidates have caught up to `share` [c] of
        them all; NaN = as it was."""
        kept = np.where(np.isnan(self.share), 0.0, self.share)
        self.share = np.where(np.isnan(share), self.share, np.maximum(kept, share))
        self.means = np.where(np.isnan(share), self.means, means)
