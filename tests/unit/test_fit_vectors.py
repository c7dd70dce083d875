"""A user's own vectors: read from outcomes, learned from where the text tells nothing, and never depended on."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.design import Given
from router_lab.gates.arms import arm
from router_lab.outcomes import OutcomeMatrix, read_outcomes, validate_outcomes, write_outcomes
from router_lab.replay import replay
from router_lab.runtime.artifact import encode_policy, load_policy, save_policy
from router_lab.runtime.errors import InputError, PolicyError, RouterLabWarning
from router_lab.runtime.features import Z_UNIT
from tests.fit_worlds import constant, directions, two_kinds

EASY, HARD = (3.0, 3.0, 0.0, 7.0), (-3.0, -3.0, 0.0, 7.0)
ASKED = "question red blue green fast slow"


def recipe(**settings: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "rule": {"margin": 0.05, "confidence": 0.9}, **settings})


def test_it_learns_the_direction_that_the_text_does_not_tell(tmp_path: Path) -> None:
    policy = load_policy(save_policy(fit_policy(recipe(holdout=0), directions()), tmp_path / "p"))
    assert policy.vector_length == 4
    assert policy.decide(ASKED, suite="mixed", vector=EASY, key="a").model == "small"
    assert policy.decide(ASKED, suite="mixed", vector=HARD).model == "large"
    quality, _ = policy.predict([ASKED] * 3, ["mixed"] * 3, [EASY, HARD, None])
    small = policy.candidates.index(("small", None))
    # Truth .95 and .20, each 6 / 2.83 = 2.1 deviations of the sum off its mean; their mean where nothing is known.
    assert quality[0, small] > 0.85 and quality[1, small] < 0.35
    assert quality[2, small] == pytest.approx((0.95 + 0.20) / 2, abs=0.1)
    # Noise, and what never varied, say nothing: 5 deviations of either move less than a quarter of the way.
    other = policy.predict([ASKED] * 2, ["mixed"] * 2, [(0, 0, 10.0, 7.0), (0, 0, 0, 99.0)])[0][:, small]
    assert abs(other - quality[2, small]).max() < 0.2
    fresh = directions(seed=1).assign(
        sample_id=lambda t: "x" + t["sample_id"], group=lambda t: "x" + t["group"]
    )
    scored = replay(policy, fresh)
    assert not scored.in_sample
    # 45 % is what always routing right saves; a mix that may lose 5 points of 37.5 saves 12 %.
    assert 0.25 < scored.savings < 0.55
    assert scored.savings > scored.random_mix["savings"] + 0.1
    with pytest.warns(RouterLabWarning, match="400 of 400 samples have no `vector`"):
        blind = replay(policy, fresh.drop(columns="vector"))
    assert blind.served[:, small].std() < scored.served[:, small].std() / 2
    assert (arm(policy, fresh).served == scored.served).all()


def test_vectors_of_other_samples_save_no_more_than_the_random_mix() -> None:
    certificate = fit_policy(recipe(), directions(tell=False)).spec.certificate
    assert certificate["over_random_mix"]["low"] <= 0


def test_the_vectors_alone_steer_where_prompts_are_null() -> None:
    table = directions(prompts=False)
    policy = fit_policy(recipe(holdout=0), table)
    assert policy.decide("", suite="mixed", vector=EASY, key="a").model == "small"
    assert policy.decide("", suite="mixed", vector=HARD).model == "large"
    assert replay(policy, table).savings > 0.25


@pytest.mark.parametrize("fitter", ["default", "knn"])
def test_same_bytes_whatever_the_order_of_rows(fitter: str) -> None:
    table = directions(120)
    shuffled = table.sample(frac=1, random_state=3)
    first, second = (encode_policy(fit_policy(recipe(fitter=fitter), t, seed=1)) for t in (table, shuffled))
    assert first == second


def test_a_policy_takes_vectors_if_its_outcomes_had_any_whatever_was_chosen() -> None:
    table = constant({"good": 0.9, "bad": 0.5}, {"good": 0.01, "bad": 0.05})
    table["vector"] = [[float(i % 3), 1.0] for i in table["sample_id"].str[1:].astype(int)]
    policy = fit_policy(recipe(), validate_outcomes(table))
    assert policy.spec.certificate["action"] == "do not route" and policy.vector_length == 2
    assert policy.decide("question 1 of many", vector=(1.0, 1.0)).model == "good"
    plain = fit_policy(recipe(), two_kinds(60).assign(vector=None))
    with pytest.raises(PolicyError, match="fitted without vectors"):
        plain.decide("a", vector=(1.0, 1.0))


LACKING = {"half without": 40, "one vector only": 79}
"""Samples of an odd table below that have no vector, of 80."""
ODD = {
    "constant vectors": lambda t: t.assign(vector=[(1.0, 2.0)] * len(t)),
    "one number": lambda t: t.assign(vector=[(v[0],) for v in t["vector"]]),
    "one vector only": lambda t: t.assign(vector=[v if i == 5 else None for i, v in enumerate(t["vector"])]),
    "half without": lambda t: t.assign(vector=t["vector"].where(t["sample_id"] < "s0040", None)),
    "null prompts for half": lambda t: t.assign(prompt=t["prompt"].where(t["sample_id"] < "s0040", None)),
    "one candidate": lambda t: t[t["model"] == "large"],
    "one group": lambda t: t.assign(group="g"),
    "one sample": lambda t: t[t["sample_id"] == "s0001"],
    "far apart": lambda t: t.assign(vector=[v * 1e8 for v in t["vector"]]),
    "close together": lambda t: t.assign(vector=[v * 1e-12 for v in t["vector"]]),
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_vectors_give_a_policy_and_a_reason(name: str) -> None:
    table = validate_outcomes(ODD[name](directions(80)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        policy = fit_policy(recipe(holdout=0), table)
    expected = [f"{LACKING[name]} of 80 samples have no `vector`; they are fitted"] if name in LACKING else []
    assert [str(w.message)[: len(e)] for w, e in zip(said, expected, strict=True)] == expected
    certificate = policy.spec.certificate
    assert certificate["verdict"] in ("pass", "fail", "inconclusive") and certificate["reason"]
    assert policy.vector_length is not None
    for vector in (None, [1e9] * policy.vector_length, [math.nan] * policy.vector_length):
        assert policy.decide("anything", vector=vector).model in ("large", "small")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        replay(policy, table).to_json()
    assert len(said) == (name in LACKING)


@pytest.mark.parametrize("fitter", ["default", "knn"])
def test_forty_candidates_on_fifty_samples(fitter: str) -> None:
    names = [f"m{i:02d}" for i in range(40)]
    table = constant(dict.fromkeys(names, 0.5), {m: 0.01 * (i + 1) for i, m in enumerate(names)}, n=50)
    vectors = np.random.default_rng(0).normal(size=(50, 8))
    table["vector"] = [vectors[i] for i in table["sample_id"].str[1:].astype(int)]
    policy = fit_policy(recipe(fitter=fitter), validate_outcomes(table))
    assert policy.spec.certificate["verdict"] in ("pass", "inconclusive")


def test_standardised_by_hand() -> None:
    # Components 1, 3 (mean 2, deviation 1) and 5, 5; the third row is missing.
    given = Given.of(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]))
    assert given.standard.centre.tolist() == [2.0, 5.0] and given.standard.spread.tolist() == [1.0, 1.0]
    assert given.numbers * given.weight / Z_UNIT == pytest.approx(
        np.array([[-1, 0], [1, 0], [0, 0]]) / math.sqrt(2)
    )
    assert given.present.tolist() == [True, True, False]
    assert given.standard.units(np.array([2.5, 1e300])).tolist() == [32.0, 512.0]


def test_missing_vectors_are_warned_of_once_and_by_count(tmp_path: Path) -> None:
    """A fit speaks of all rows, test split included, and replay and gate of those that they look at: 12 of 60."""
    lacking = directions(60)
    lacking["vector"] = lacking["vector"].where(lacking["sample_id"] >= "s0012", None)
    with pytest.warns(RouterLabWarning) as fitting:
        fit_policy(recipe(), lacking)
    assert [str(w.message) for w in fitting] == [
        "12 of 60 samples have no `vector`; they are fitted as having the mean of the others"
    ]
    policy = fit_policy(recipe(holdout=0), directions(60, seed=1))
    fresh = lacking.assign(group="x" + lacking["group"])
    said = (
        r"^12 of 60 samples have no `vector`, which policy 'test' was fitted on \(4 numbers\); they are decided as for "
        "the mean vector$"
    )
    for look in (replay, arm):
        with pytest.warns(RouterLabWarning, match=said) as looking:
            look(policy, fresh)
        assert len(looking) == 1
    file, saved = write_outcomes(fresh, tmp_path / "o.parquet"), save_policy(policy, tmp_path / "p")
    shown = CliRunner().invoke(cli, ["show", str(saved), "--outcomes", str(file)])
    assert [line for line in shown.stderr.splitlines() if line.startswith("warning: ")] == [
        "warning: 12 of 60 samples have no `vector`, which policy 'test' was fitted on (4 numbers); they are decided "
        "as for the mean vector"
    ]


def test_replay_wants_the_vectors_that_the_policy_was_fitted_on() -> None:
    policy = fit_policy(recipe(), directions(60))
    other = directions(60).assign(vector=[[1.0, 2.0]] * 120)
    with pytest.raises(
        InputError, match=r"`vector` of the outcomes has 2 numbers; policy 'test' was fitted on vectors of"
    ):
        replay(policy, validate_outcomes(other))
    replay(fit_policy(recipe(), two_kinds(60)), directions(60))


def table(*vectors: Any, samples: str = "abcdefg") -> pd.DataFrame:
    return pd.DataFrame([
        {"suite": "s", "sample_id": samples[i], "model": "m", "epoch": i + 1, "quality": 1.0, "vector": vector}
        for i, vector in enumerate(vectors)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (
            ([1.0, 2.0], [1.0]),
            "row 1: `vector` has 1 numbers and row 0's has 2; all must have the same length",
        ),
        (
            ([1.0, 2.0], [1.0, math.nan]),
            "row 1: `vector` holds nan at position 1; every number must be finite",
        ),
        (([math.inf],), "row 0: `vector` holds inf at position 0"),
        (
            ([2e9],),
            "row 0: `vector` holds 2e\\+09 at position 0; every number must be finite and within 1e\\+09",
        ),
        (([10**400],), "row 0: `vector` is .* it must be a list of numbers"),
        (([],), "row 0: `vector` has 0 numbers; it must have 1 to 4096"),
        ((3.0,), "row 0: `vector` is '3.0'; it must be a list of numbers"),
        (("[1, 2",), "row 0: `vector` is '\\[1, 2'; it must be a list of numbers"),
        ((["x"],), "must be a list of numbers"),
        (([None, 1.0],), "must be a list of numbers"),
    ],
)
def test_a_bad_vector_names_the_row_and_the_rule(vectors: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate_outcomes(table(*vectors))


def test_a_sample_has_one_vector() -> None:
    with pytest.raises(
        InputError, match="row 1: `vector` is not that of other rows of suite 's', sample 'a'"
    ):
        validate_outcomes(table([1.0], [2.0], samples="aa"))


def test_vectors_by_sample_from_whatever_holds_them(tmp_path: Path) -> None:
    # The second row of sample a has the vector; c has none; text as CSV has it, tuples and arrays are one.
    frame = table(None, [1.0, 2.0], "[3, 4]", None, np.float32([5, 6]), samples="aabcd")
    path = write_outcomes(frame, tmp_path / "outcomes.parquet")
    again = read_outcomes(path)
    assert write_outcomes(again, tmp_path / "again.parquet").read_bytes() == path.read_bytes()
    vectors = OutcomeMatrix.from_frame(again).vectors
    assert vectors is not None
    assert np.array_equal(vectors, [[1, 2], [3, 4], [np.nan] * 2, [5, 6]], equal_nan=True)
    taken = OutcomeMatrix.from_frame(again).take(np.array([3, 0])).vectors
    assert taken is not None and taken.tolist() == [[5, 6], [1, 2]]
    assert OutcomeMatrix.from_frame(validate_outcomes(table(None))).vectors is None
    # Copies of a row are dropped, vectors included.
    assert len(validate_outcomes(pd.concat([frame, frame]))) == 5
