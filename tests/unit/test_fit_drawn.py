"""A fit on outcomes whose reference ran on a drawn part alone: what the certificate says, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from router_lab.certificate import Certificate, Figure
from router_lab.config import Recipe
from router_lab.fit import build, fit_policy
from router_lab.fit.build import fit_on
from router_lab.fit.certificate import certify
from router_lab.fit.problem import prepare
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.racing.order import in_share
from router_lab.report.told import two_phases_told
from router_lab.runtime.errors import InputError, RouterLabWarning

N = 500
DEAR, SMALL, TINY = "dear", "small", "tiny"


def outcomes(share: float, *, n: int = N) -> pd.DataFrame:
    """Prompts that are easy or hard, by their first word; the dear model gets nearly all, the small one what is easy
    and some of what is hard. The dear one ran on groups drawn with probability `share`, and rows say so."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(n):
        hard = i % 3 == 0
        luck = rng.random(3)
        right = {
            DEAR: luck[0] < 0.97,
            SMALL: luck[1] < (0.5 if hard else 0.985),
            TINY: luck[2] < (0.2 if hard else 0.9),
        }
        cost = {DEAR: 1.0, SMALL: 0.1, TINY: 0.02}
        for model, one in right.items():
            row = {
                "suite": "s", "sample_id": f"{i:04}", "model": model, "quality": float(one), "inclusion": 1.0,
                "prompt": f"{'prove' if hard else 'greet'} number {i}", "group": f"g{i}",
                "cost_usd": cost[model] * (1 + 0.2 * rng.random()), "status": "ok",
            }  # fmt: skip
            if model == DEAR:
                row["inclusion"] = share
                if not in_share(0, "s", f"g{i}", share, part="reference"):
                    row |= {"quality": None, "cost_usd": None, "status": "budget", "reason": "not drawn"}
            rows.append(row)
    return validate_outcomes(pd.DataFrame(rows))


def recipe(**extra: object) -> Recipe:
    rule = {"margin": 0.06, "confidence": 0.9}
    return Recipe.model_validate(
        {"name": "r", "rule": rule, "reference": {"model": DEAR}, "holdout": 0, **extra}
    )


def test_the_certificate_says_what_was_drawn_and_what_it_explained() -> None:
    frame = outcomes(0.4)
    ran = frame[(frame["model"] == DEAR) & (frame["status"] == "ok")]
    policy = fit_policy(recipe(), frame)
    shown = Certificate.of(policy)
    phases = shown.two_phase
    assert phases is not None and (phases.estimator, phases.share) == ("regression", 0.4)
    assert phases.drawn == phases.clusters == len(ran) < N / 2
    assert 0 < (phases.explained or 0) < 1
    assert (shown.n, shown.unpaired, shown.verdict) == (N, 0, "pass") and shown.savings is not None
    assert (shown.savings.value or 0) > 0.3
    assert two_phases_told(phases).startswith(
        f"the reference ran on {len(ran)} rows in {len(ran)} groups, drawn with probability 0.4; elsewhere it is pre"
    )
    assert Certificate.from_json(shown.to_json()) == shown

    strict = Certificate.of(fit_policy(recipe(strict=True), frame))
    assert strict.two_phase is not None and strict.two_phase.estimator == "weighting"
    assert strict.n == len(ran) and "these were weighted" in two_phases_told(strict.two_phase)


def test_drawn_for_certain_is_a_fit_as_ever() -> None:
    """Share 1: the same bytes as of outcomes that say nothing of inclusion, and no word of two phases."""
    frame = outcomes(1.0, n=200)
    told, plain = (fit_policy(recipe(), one) for one in (frame, frame.drop(columns=["inclusion", "weight"])))
    assert told.spec.certificate == plain.spec.certificate and "two_phase" not in told.spec.certificate


def test_the_best_of_what_did_not_all_run_cannot_be_told() -> None:
    with pytest.raises(
        InputError, match=r"`reference: best` cannot be told: dear ran on a drawn part .* name the ref"
    ):
        fit_policy(recipe(reference="best"), outcomes(0.4, n=100))


def test_no_question_is_sent_on_to_who_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a check fails and the reference was not drawn, nobody knows what it would have said: that is not tried."""
    frame = outcomes(0.4)
    frame["check"] = (frame["quality"] == 1).where(frame["model"] == TINY, None)
    monkeypatch.setattr(build, "_escalated", lambda *_: pytest.fail("an escalation was looked at"))
    assert Certificate.of(fit_policy(recipe(), frame)).escalation is False


def test_savings_are_told_by_the_drawn() -> None:
    problem = prepare(recipe(), outcomes(0.4))
    fitted = fit_on(problem, 1)
    saved = fitted.choices["default"].paired().saving()
    assert saved.independent < N / 2
    shown = certify(
        problem, fitted.evidence, fitted.goals, fitted.choices, fitted.random_mix, fitted.cells, fitted.evidence,
        fitted.closed,
    )  # fmt: skip
    assert shown.savings == Figure.of(saved) and shown.savings.low < shown.savings.value  # type: ignore[operator]


def test_which_candidates_were_drawn() -> None:
    data = OutcomeMatrix.from_frame(outcomes(0.4, n=100))
    column = {one.model: j for j, one in enumerate(data.candidates)}
    drawn = data.drawn(column[DEAR])
    assert drawn is not None and (drawn == ~np.isnan(data.quality[:, column[DEAR]])).all()
    assert data.drawn(column[SMALL]) is None
    pairs = replace(data, name=data.name // 2)  # a group was drawn if any of its samples was run
    wanted = [bool(drawn[pairs.name == name].any()) for name in pairs.name]
    assert pairs.drawn(column[DEAR]).tolist() == wanted != drawn.tolist()  # type: ignore[union-attr]
    assert data.take(drawn).drawn(column[DEAR]) is None  # on what was drawn, it ran on everything
    raced = OutcomeMatrix.from_frame(
        outcomes(0.4, n=100).assign(weight=lambda f: np.where(f.sample_id < "0020", 1, 2.5))
    )
    assert raced.drawn(column[DEAR]) is None  # all of the first rows: that is who left a race


def test_a_suite_in_which_the_reference_was_not_drawn_stays_with_it() -> None:
    """It ran on 2 of 60 samples of a second suite, and its rows say two in five: that was no draw."""
    frame = outcomes(0.4)
    other = frame["sample_id"] >= "0440"
    frame.loc[other, "suite"] = "t"
    ran = frame.index[other & (frame["model"] == DEAR) & (frame["status"] == "ok")]
    kept = frame.drop(ran[2:])
    with pytest.warns(RouterLabWarning, match=r"suite 't': dear ran on 2 of 60 samples, .* probability 0.4;"):
        policy = fit_policy(recipe(), kept)
    shown = Certificate.of(policy)
    assert shown.mix and shown.suites is not None
    lost = shown.suites["t"].quality_difference
    assert lost is not None and (lost.value, lost.low, lost.high) == (0.0, 0.0, 0.0)
    assert shown.suites["s"].savings is not None and (shown.suites["s"].savings.value or 0) > 0.3
    shares = policy.shares([f"greet number {i}" for i in range(20)], ["t"] * 20)
    assert (shares[:, policy.candidates.index(policy.reference)] == 1).all()
    prepare(recipe(), frame)  # all of them: a draw as recorded, and no warning
