"""Outcomes that are missing by no plan where a sample was run several times, or the reference on a drawn part alone."""

import numpy as np
import pandas as pd
import pytest

from router_lab.certificate import Certificate
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.drawn import completed
from router_lab.fit.evidence import Evidence
from router_lab.metrics.paired import Recorded
from router_lab.outcomes import OutcomeMatrix, validate_outcomes

REF, CHEAP = "ref", "cheap"
ASIDE = "invalidated by a person: looked wrong"


def row(sample: str, epoch: int, model: str, quality: float | None, **more: object) -> dict[str, object]:
    found = {
        "suite": "s",
        "sample_id": sample,
        "epoch": epoch,
        "model": model,
        "quality": quality,
        "status": "ok",
    }
    return {**found, "cost_usd": 1.0 if model == REF else 0.1, "group": sample, "reason": None, **more}


def test_the_share_of_epochs_that_is_missing_by_hand() -> None:
    rows = [row(s, e, m, 1.0) for s in "abcde" for e in (1, 2, 3, 4) for m in (REF, CHEAP)]
    rows += [row(s, 1, "once", 1.0) for s in "abcde"]  # one epoch everywhere: what it never ran is not due
    rows += [row("f", e, m, 1.0) for e in (1, 2) for m in (REF, CHEAP)]  # nobody ran it more often
    frame = pd.DataFrame(rows)
    frame["quality"] = frame["quality"].astype(float)

    def put(sample: str, epoch: int, model: str, status: str, reason: str | None = None) -> None:
        here = (frame["sample_id"] == sample) & (frame["epoch"] == epoch) & (frame["model"] == model)
        assert here.sum() == 1
        frame.loc[here, ["quality", "status", "reason"]] = [np.nan, status, reason]

    put("a", 2, CHEAP, "infra")
    put("b", 3, CHEAP, "budget", ASIDE)
    put("c", 3, CHEAP, "budget", "not run: no money")
    put("d", 1, REF, "infra")
    put("d", 2, REF, "infra")
    frame = frame[~((frame["sample_id"] == "e") & (frame["epoch"] == 4) & (frame["model"] == CHEAP))]
    data = OutcomeMatrix.from_frame(validate_outcomes(frame))
    assert [c.model for c in data.candidates] == [CHEAP, "once", REF]
    assert data.missing.T.tolist() == [
        [1 / 4, 1 / 4, 0.0, 0.0, 1 / 4, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 1 / 2, 0.0, 0.0],
    ]
    gain = Recorded.of(data, 2, data.missing).always(0).gain()
    assert gain.value == pytest.approx((-0.25 - 0.25 + 0 + 0 - 0.25 + 0) / 6)
    quality, half = np.array([[0.5, 0.4]]), np.array([[0.5, 0.5]])
    halves = Recorded(quality, np.ones((1, 2)), 1, missing=half, group=np.zeros(1, int))
    assert halves.least.tolist() == [[0.25, 0.7]]


@pytest.mark.parametrize("how", ["aside", "gone"])
def test_wrong_epochs_that_were_lost_are_not_hidden_under_the_margin(how: str) -> None:
    """Six points are lost, half of the wrong answers but the first of a sample go missing: 4 % of all outcomes."""
    rng = np.random.default_rng(5)
    rows, lost = [], 0
    for i in range(500):
        for epoch in (1, 2, 3, 4):
            right = rng.random() < 0.94
            rows.append(row(f"{i:03}", epoch, REF, 1.0))
            if right or epoch == 1 or rng.random() < 0.1:
                rows.append(row(f"{i:03}", epoch, CHEAP, float(right)))
                continue
            lost += 1
            if how == "aside":
                rows.append(row(f"{i:03}", epoch, CHEAP, None, status="budget", reason=ASIDE))
    recipe = Recipe.model_validate({
        "name": "r", "rule": {"margin": 0.03, "confidence": 0.9}, "reference": {"model": REF}, "holdout": 0,
    })  # fmt: skip
    shown = Certificate.of(fit_policy(recipe, validate_outcomes(pd.DataFrame(rows))))
    assert shown.missing == lost > 50
    assert shown.mix is not None and shown.mix * 0.06 <= 0.03


@pytest.mark.parametrize("strict", [True, False])
def test_a_drawn_outcome_that_was_begun_and_lost_counts_as_right(strict: bool) -> None:
    """The reference runs on every second of 200 groups, its rows say so; of those drawn, ten were lost on the way. The
    share of all runs that they are is what a recipe warns of, and may be tiny."""
    rows = []
    for i in range(200):
        right = float(i % 10 < 8)
        mine = row(f"{i:03}", 1, REF, right, inclusion=0.5)
        if i % 2:
            mine |= {"quality": None, "cost_usd": None, "status": "budget", "reason": "not drawn"}
        elif i % 20 == 0:
            mine |= {"quality": None, "cost_usd": None, "status": "infra", "reason": "timeout"}
        rows += [mine, row(f"{i:03}", 1, CHEAP, 0.5 + 0.1 * right, inclusion=1.0)]
    data = OutcomeMatrix.from_frame(validate_outcomes(pd.DataFrame(rows)))
    drawn = data.drawn(1)
    assert drawn is not None and drawn.tolist() == [i % 2 == 0 for i in range(200)]
    assert data.missing[:, 1].tolist() == [float(i % 20 == 0) for i in range(200)]
    assert data.weight[drawn, 1].tolist() == [2.0] * 100
    known = Recorded.of(data, 1, data.missing)
    seen = completed(Evidence.bare(known, fold=np.arange(200) // 4 % 6), drawn, data.suite, strict=strict)
    assert seen.phases is not None and seen.phases.completed is not strict
    gain = seen.always(0).gain()
    # As if the ten were known to have been right, which they were here: .58 instead of .8.
    assert gain.n == (100 if strict else 200)
    assert gain.value == pytest.approx(0.58 - 0.8, abs=1e-9 if strict else 0.01)


def test_where_nothing_is_concluded_the_mix_is_not_deployed_either() -> None:
    rows = [row(f"{i:03}", 1, m, 1.0) for i in range(300) for m in (REF, CHEAP)]
    for i in range(0, 300, 20):
        rows[2 * i] |= {"quality": None, "status": "infra"}
    recipe = Recipe.model_validate({"name": "r", "reference": {"model": REF}, "holdout": 0})
    shown = Certificate.of(fit_policy(recipe, validate_outcomes(pd.DataFrame(rows))))
    assert shown.verdict == "inconclusive" and shown.mix == 0
    assert shown.random_mix is not None and shown.random_mix.probability == 0
    assert shown.over_mix.value == 0


@pytest.mark.parametrize("reference, told", [("best", ", the best single one"), ({"model": CHEAP}, "")])
def test_a_named_reference_is_not_called_the_best(reference: object, told: str) -> None:
    right = {REF: 1.0, CHEAP: 0.9} if reference != "best" else {REF: 0.9, CHEAP: 1.0}
    rows = [row(f"{i:03}", 1, m, float(i % 10 < 10 * q)) for i in range(60) for m, q in right.items()]
    recipe = Recipe.model_validate({"name": "r", "reference": reference, "holdout": 0})
    shown = Certificate.of(fit_policy(recipe, validate_outcomes(pd.DataFrame(rows))))
    assert shown.reason == f"do not route: no eligible candidate costs less than {CHEAP}{told}"
