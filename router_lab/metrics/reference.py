"""With whom candidates are compared where nobody was named."""

from __future__ import annotations

import numpy as np

from router_lab.metrics.paired import column_means
from router_lab.outcomes.matrix import SEEN_ENOUGH, OutcomeMatrix


def usual_reference(data: OutcomeMatrix) -> int:
    """The column of who ran on a drawn part alone, else of the best mean among those seen about
    everywhere."""
    drawn = [j for j in range(len(data.candidates)) if data.drawn(j) is not None]
    if drawn:
        return drawn[0]
    seen = (~np.isnan(data.quality)).mean(axis=0)
    means = column_means(data.quality, data.weighting)
    return int(np.where(seen >= min(SEEN_ENOUGH, float(seen.max())), means, -1).argmax())
