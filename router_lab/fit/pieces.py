"""From a chosen option to the piece of an operating point that does the same at run time."""

from __future__ import annotations

import numpy as np

from router_lab.fit.choose import Option
from router_lab.fit.model import READS
from router_lab.metrics.paired import Floats, Mask
from router_lab.runtime.model import POOLED
from router_lab.runtime.points import Assign, Follow, Piece
from router_lab.runtime.rule import blocked, by_prediction_many


def piece_of(
    option: Option,
    share: float,
    rates: tuple[Floats, Floats],
    eligible: Mask,
    reference: int,
    *,
    told: bool = True,
) -> Piece:
    """The piece that does what `option` does, on `share` of the requests.

    An option that reads prompts follows the predictions; any other is the same candidate for a
    whole suite: its rule, applied once to `rates` (quality and cost_usd [suites + 1, c] of the
    suites, row POOLED first), or its one column, where `eligible` [suites + 1, c] allows it.
    `told`: whether the fit saw any prompt or vector; where it saw none, a request that names no
    known suite is unlike anything measured, and stays on the reference.
    """
    if option.predictor == READS:
        return Follow(option.tradeoff, option.guard, share)
    if option.column is not None:
        columns = np.where(eligible[:, option.column], option.column, reference)
    else:
        quality, cost = rates
        utility = quality - option.tradeoff * cost
        closed = blocked(eligible, reference)
        columns = by_prediction_many(utility if closed is None else utility + closed, reference, option.guard)
    if not told:
        columns[POOLED] = reference
    return Assign(tuple(int(column) for column in columns), share)
