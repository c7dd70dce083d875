"""A fit in many suites: each half is served by the suite rates of the other half alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from router_lab.config import Recipe
from router_lab.fit.build import fit_on
from router_lab.fit.choose import act, splits
from router_lab.fit.problem import prepare
from router_lab.outcomes import validate_outcomes


def test_no_half_is_served_by_rates_that_it_helped_to_make() -> None:
    """Of six candidates some, alike, are fit for a suite: whom a half takes there is luck, so halves disagree."""
    rng = np.random.default_rng(2)
    fit_for = (np.arange(240)[:, None] + np.arange(6)) % 4 < 2
    good = rng.random((240, 7)) < np.hstack([np.where(fit_for, 0.88, 0.3), np.full((240, 1), 0.9)])
    outcomes = pd.DataFrame([
        {
            "suite": f"suite {i % 4}", "sample_id": f"s{i:03d}", "model": f"m{j}", "prompt": None,
            "quality": float(good[i, j]), "cost_usd": 0.1 + 0.001 * j if j < 6 else 1.0,
        }
        for i in range(240) for j in range(7)
    ])  # fmt: skip
    recipe = Recipe.model_validate(
        {
            "name": "halves",
            "rule": {"margin": 0.1, "confidence": 0.8},
            "reference": {"model": "m6"},
            "holdout": 0.0,
        }
    )
    fitted = fit_on(prepare(recipe, validate_outcomes(outcomes)), 0)
    choice, differs = fitted.choices["default"], 0
    chosen = [option for option in choice.options if option.column is None]
    assert len(chosen) > 1
    for column, pair in enumerate(splits(choice.evidence.fold)):
        for half in pair:
            known = np.isin(choice.evidence.fold, half)
            served = choice.action[~known, column]
            ways = list(act(chosen, fitted.predicted.knowing(known), choice.evidence)[:, ~known])
            fixed = [np.full(len(served), o.column) for o in choice.options if o.column is not None]
            assert any((served == way).all() for way in (*ways, *fixed, np.full(len(served), 6)))
            whole = list(act(chosen, fitted.predicted.found, choice.evidence)[:, ~known])
            differs += not any((served == way).all() for way in whole)
    assert differs > 0
