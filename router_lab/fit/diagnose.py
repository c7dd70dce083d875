"""Would it have saved as much by luck, and would more samples help? Costly, so asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from router_lab.certificate import Diagnostics, Refit
from router_lab.fit.problem import Problem

SHARES = (0.25, 0.5)


def diagnose(problem: Problem, figures: Callable[[Problem], Refit], seed: int) -> Diagnostics:
    """`label_shuffle`: the figures when outcomes are dealt to other prompts, so that there is
    nothing to learn; `learning_curve`: the figures on a quarter and on half of the groups.
    `figures` fits a problem and returns its figures."""
    data = problem.develop
    rng = np.random.default_rng([seed, 17])
    dealt = rng.permutation(len(data))
    shuffled = replace(
        data,
        quality=data.quality[dealt],
        cost_usd=data.cost_usd[dealt],
        check=data.check[dealt],
        weight=data.weight[dealt],
        missing=data.missing[dealt],
    )
    groups = rng.permutation(np.unique(data.group))
    curve = []
    for share in SHARES:
        some = np.isin(data.group, groups[: max(1, round(share * len(groups)))])
        curve.append(figures(replace(problem, develop=data.take(some))))
    return Diagnostics(label_shuffle=figures(replace(problem, develop=shuffled)), learning_curve=tuple(curve))
