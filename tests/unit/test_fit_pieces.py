"""What the fit chose is what its artifact does: a class that reads no prompt is one candidate for each suite."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.choose import FIXED, Option
from router_lab.fit.model import READS
from router_lab.fit.pieces import piece_of
from router_lab.outcomes import validate_outcomes
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import POOLED, Candidate, PolicySpec, Profile
from router_lab.runtime.points import Assign, Follow, Point
from router_lab.runtime.policy import Policy
from tests.fit_worlds import constant, two_kinds

SUITES = ("a", "b")
PROMPTS = ["", "question 3 of many", "never seen before, not a word"]
ASKED = [(prompt, suite) for prompt in PROMPTS for suite in (None, "nobody's", *SUITES)]


def policy(linear: Linear, point: Point, eligible: np.ndarray, reference: int, coverage: float) -> Policy:
    count = eligible.shape[1]
    return Policy(
        PolicySpec(
            name="p", profiles=tuple(Profile(Candidate(f"m{j}")) for j in range(count)), reference=reference,
            suites=SUITES, featuriser=Featuriser(buckets=1 << 8), linear=linear, points={"default": point},
            point="default", coverage=coverage, coverage_unknown=0.0, routes={}, fallbacks=tuple(range(count)),
            eligible=eligible,
        )
    )  # fmt: skip


def imitated(option: Option, share: float, rates: tuple[np.ndarray, np.ndarray], eligible: np.ndarray, told: bool,
             reference: int) -> Policy:  # fmt: skip
    """The same choice as artifacts had it before there were pieces: a linear model without weights whose predictions,
    followed everywhere, lead to it; and who may be chosen narrowed to those that it means."""
    quality, cost = rates
    may = eligible.copy()
    if option.column is not None:
        may &= np.isin(np.arange(may.shape[1]), (option.column, reference))
    if not told:
        may[POOLED] = np.arange(may.shape[1]) == reference
    linear = Linear.constant(
        np.hstack([quality, cost]), np.array([[0.0] * may.shape[1], [1.0] * may.shape[1]])
    )
    return policy(linear, (Follow(option.tradeoff, option.guard, share),), may, reference, 0.0)


def reading(count: int) -> Linear:
    """Whatever predicts: a piece that assigns looks at none of it."""
    return Linear.quantised(
        seen=np.arange(100), weights=np.random.default_rng(3).normal(size=(100, 2 * count)),
        bias=np.full((3, 2 * count), 0.5), dense=np.zeros((len(DENSE), 2 * count)),
        cost_bounds=np.array([[0.0] * count, [1.0] * count]),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["rates", FIXED]), st.booleans(), st.floats(0.01, 1.0))
def test_a_table_decides_what_the_model_that_imitated_it_decided(
    seed: int, name: str, told: bool, share: float
) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    reference, column = rng.permutation(count)[:2].tolist()
    quality, cost = rng.random((3, count)).round(1), rng.random((3, count)).round(1)  # ties are usual
    eligible = rng.random((3, count)) < 0.7
    eligible[:, reference] = True
    if name == FIXED:  # as `constants` makes it: cheaper for certain, so that the greatest tradeoff picks it
        quality, cost = np.full((3, count), 0.5), np.full((3, count), 0.5)
        cost[:, column] = 0.1
        option = Option(FIXED, 10_000.0, 0.0, column)
    else:
        option = Option(name, float(rng.choice([0.0, 0.5, 3.0])), float(rng.choice([0.0, 0.1, 0.2])))
    before = imitated(option, share, (quality, cost), eligible, told, reference)
    piece = piece_of(option, share, (quality, cost), eligible, reference, told=told)
    after = policy(reading(count), (piece,), eligible, reference, 0.0)
    prompts, suites = [p for p, _ in ASKED], [s for _, s in ASKED]
    assert before.shares(prompts, suites).tolist() == after.shares(prompts, suites).tolist()
    for number, (prompt, suite) in enumerate(ASKED):
        one, two = (p.decide(prompt, suite=suite, key=f"{seed} {number}") for p in (before, after))
        assert one.candidate == two.candidate


def test_pieces_by_hand() -> None:
    """Utilities at 2: .5, .6 and .3 without a suite (guard .05: the second); .7, .3, .3 in a; .3, .7, .3 in b."""
    rates = (
        np.array([[0.7, 0.7, 0.9], [0.9, 0.4, 0.9], [0.4, 0.8, 0.9]]),
        np.array([[0.1, 0.05, 0.3], [0.1, 0.05, 0.3], [0.05, 0.05, 0.3]]),
    )
    every = np.ones((3, 3), bool)
    some = every.copy()
    some[2, 1] = False
    assert piece_of(Option("rates", 2.0, 0.05), 0.5, rates, every, 2) == Assign((1, 0, 1), 0.5)
    # .3 against .3.
    assert piece_of(Option("rates", 2.0, 0.05), 0.5, rates, some, 2) == Assign((1, 0, 2), 0.5)
    assert piece_of(Option("rates", 2.0, 0.35), 0.5, rates, every, 2) == Assign((2, 0, 1), 0.5)
    assert piece_of(Option("rates", 2.0, 0.05), 0.5, rates, every, 2, told=False) == Assign((2, 0, 1), 0.5)
    assert piece_of(Option(FIXED, 9.0, 0.0, 1), 0.5, rates, some, 2) == Assign((1, 1, 2), 0.5)
    assert piece_of(Option(READS, 2.0, 0.05), 0.5, rates, some, 2) == Follow(2.0, 0.05, 0.5)


def fitted(table: pd.DataFrame, **settings_: object) -> Policy:
    known = {"name": "t", "holdout": 0, "escalate": False, "rule": {"margin": 0.05, "confidence": 0.9}}
    return fit_policy(Recipe.model_validate(known | settings_), table)


def by_suite() -> pd.DataFrame:
    """`ok` is nearly as good as `good` on suite-0, and always wrong on suite-1; no word of a prompt says anything."""
    table = constant({"good": 0.9, "ok": 0.88}, {"good": 0.05, "ok": 0.02}, 400)
    wrong = (table["suite"] == "suite-1") & (table["model"] == "ok")
    return validate_outcomes(table.assign(quality=np.where(wrong, 0.0, table["quality"])))


def test_a_policy_that_goes_by_the_suite_says_so_and_predicts_by_the_prompt_all_the_same() -> None:
    policy = fitted(by_suite())
    spec = policy.spec
    assert spec.certificate["points"]["default"]["predictor"] == "rates"
    assert dict(spec.points) == {"default": (Assign((0, 1, 0), 1.0),)}
    assert spec.coverage == 0.0
    for prompt in PROMPTS:
        assert (policy.decide(prompt, suite="suite-0").model, policy.decide(prompt, suite="suite-0").code) == (
            "ok", "assigned",
        )  # fmt: skip
        assert policy.decide(prompt, suite="suite-1").model == "good"
        # Held out, neither suite was served well by the other's rates: prompts of others stay on the reference, however
        # familiar their words are.
        assert policy.decide(prompt).candidate == policy.reference
    assert spec.coverage_unknown == 2.0 == spec.certificate["unknown_suites"]["coverage"]
    assert spec.linear.seen.size > 0
    assert policy.decide("question 3 of many").evidence["coverage"] == 1.0


def test_points_by_the_suite_beside_a_point_that_stands_still() -> None:
    """Where nothing was chosen for the first point, another's choice by the suite was left to a model that reads
    prompts, and to the routing table where they are strange."""
    table = constant({"good": 0.9, "ok": 0.5}, {"good": 0.05, "ok": 0.01}, 400)
    rules = {
        "rule": {"min_quality": 0.97, "confidence": 0.9},
        "points": {"bold": {"min_quality": 0.2, "confidence": 0.9}},
    }
    policy = fitted(table, fitter="rates", **rules)
    assert policy.spec.certificate["points"]["default"]["predictor"] is None
    assert policy.spec.points["default"] == (Follow(0.0, 1.0, 0.0),)
    (bold,) = policy.spec.points["bold"]
    assert isinstance(bold, Assign) and set(bold.table) == {1}
    assert 0 < policy.spec.coverage < 1
    shares = policy.shares(PROMPTS, ["suite-0"] * 3, "bold")
    assert shares.tolist() == [[1 - bold.share, bold.share]] * 3


@pytest.mark.parametrize("fitter", ["default", "rates"])
def test_without_prompts_a_request_of_no_known_suite_stays_on_the_reference(fitter: str) -> None:
    policy = fitted(two_kinds(300, prompts=False), fitter=fitter)
    (piece,) = policy.spec.points["default"]
    large, small = (policy.candidates.index(Candidate(name)) for name in ("large", "small"))
    assert isinstance(piece, Assign) and piece.table == (large, small)
    assert policy.shares([""], [None])[0, large] == 1.0
    assert policy.shares([""], ["mixed"])[0, small] == pytest.approx(piece.share)
