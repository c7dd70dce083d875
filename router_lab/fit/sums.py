"""What options come to, cluster by cluster: the sums that bounds and gains are made of, by fold, so
that any half of the folds can be judged by adding up."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import scipy.sparse as sp

from router_lab.fit.evidence import Evidence, Goal
from router_lab.metrics.estimate import dense
from router_lab.metrics.paired import Columns, Floats, Ints

BLOCK = 1 << 18
"""Rows times options whose sums are worked out at a time."""
Sums = namedtuple("Sums", "m share s ss sm mm sss ssm smm mmm gained base heaviest")
"""Sums over clusters of values s and sizes m (`ssm`: of s^2 m), `share` of the clusters' mean
weights, of what was `gained` and out of how much (`base`); last the heaviest mean weight."""


def statistics(
    actions: Columns,
    evidence: Evidence,
    goal: Goal,
    places: Ints | None = None,
    folds: Ints | None = None,
) -> Floats:
    """[options, folds, sums], the last as `Sums` names them. `pooled` adds folds up.

    places: of the options among `actions` [options, n] that are asked for, default all; folds:
    those that are, default all; of the others sums are 0."""
    places = np.arange(len(actions)) if places is None else places
    found = np.zeros((len(places), int(evidence.fold.max(initial=0)) + 1, len(Sums._fields)))
    for fold in np.unique(evidence.fold) if folds is None else folds:
        rows = np.flatnonzero(evidence.fold == fold)
        here = evidence.take(rows)
        # So few at a time that what is worked out for them need not be fetched from memory twice.
        width = max(1, BLOCK // max(1, len(rows)))
        by_group = sp.csr_array((np.ones(len(rows)), (dense(here.group), np.arange(len(rows)))))
        groups = by_group.shape[0]
        every = sp.csr_array((np.ones(groups), np.arange(groups), np.array([0, groups])), shape=(1, groups))
        for start in range(0, len(places), width):
            action = actions[places[start : start + width]][:, rows].T
            found[start : start + width, fold] = _sums(action, here, goal, by_group, every)
    return found


def _sums(
    action: Columns, evidence: Evidence, goal: Goal, by_group: sp.csr_array, every: sp.csr_array
) -> Floats:
    """[options, sums] of rows of one fold; action [n, options], by_group [groups, n], every [1,
    groups] of ones."""
    values = evidence.values(action, goal)
    seen, weight = ~np.isnan(values), evidence.weights(action)
    heavy = seen.astype(np.float64) if weight is None else np.where(seen, weight, 0.0)
    s, m = by_group @ np.where(seen, values * heavy, 0.0), by_group @ heavy
    money = [by_group @ np.nan_to_num(part * heavy) for part in evidence.gain_and_base(action, goal)]
    rows_of = m if weight is None else by_group @ seen.astype(np.float64)
    share = np.asarray(m) / np.maximum(np.asarray(rows_of), 1)
    if evidence.drawn is not None:  # what is predicted counts for the bound as those that were drawn
        share = share * (by_group @ evidence.drawn.astype(np.float64) > 0)[:, None]
    squares, mixed = s * s, s * m
    powers = (m, share, s, squares, mixed, m * m, squares * s, squares * m, mixed * m, m * m * m)
    added = [(every @ part)[0] for part in (*powers, *money)]
    return np.stack([*added, share.max(axis=0, initial=0.0)], axis=1)


def pooled(sums: Floats) -> Sums:
    """Of statistics [..., folds, sums], each [...]."""
    pooled = Sums(*np.moveaxis(sums.sum(axis=-2), -1, 0))
    return pooled._replace(heaviest=sums[..., -1].max(axis=-1, initial=0.0))
