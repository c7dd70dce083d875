"""One text alone is predicted as among many, to the last bit, whatever a policy knows of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.policy import Policy

TEXTS = ["", "the quick brown fox", "What is 12 × 7?", "a b a b", "日本語 \ud800", "the fox " * 60]
BIAS = np.linspace(-0.2, 1.2, 18).reshape(3, 6)
BOUNDS = np.array([[1e-6] * 3, [1.0] * 3])


def knowing(known: int, dense: float = 0.0) -> Linear:
    """`known` of 2**17 buckets, each with weights of its own, and the same weight on all dense features."""
    draw = np.random.default_rng(known)
    return Linear.quantised(
        seen=np.sort(draw.permutation(1 << 17)[:known]).astype(np.uint32),
        weights=draw.normal(0, 0.1, (known, 6)),
        bias=BIAS,
        dense=np.full((len(DENSE), 6), dense),
        cost_bounds=BOUNDS,
    )


def made(make_spec: Any, linear: Linear) -> Policy:
    return Policy(make_spec(linear=linear, featuriser=Featuriser(buckets=1 << 17, cap=2_000)))


@pytest.mark.parametrize(
    "linear",
    [knowing(0), knowing(0, dense=0.05), knowing(1), knowing(65_535), knowing(65_536)],
    ids=["nothing", "dense alone", "one bucket", "the most of 16 bits", "one more"],
)
def test_one_is_predicted_as_among_many(make_spec: Any, linear: Linear) -> None:
    policy = made(make_spec, linear)
    for suite in (None, "maths", "triage"):
        many = policy.predictions(TEXTS, [suite] * len(TEXTS))
        for row, text in enumerate(TEXTS):
            decision = policy.decide(text, suite=suite)
            assert list(decision._quality) == many.quality[row].tolist()
            assert list(decision._cost) == many.cost_usd[row].tolist()
            assert decision._coverage == many.coverage[row]


def test_every_bucket_has_weights_of_its_own(make_spec: Any) -> None:
    """Of 65,535 and of 65,536 known buckets the last is another than the first, and than those that are not known."""
    for known in (65_535, 65_536):
        policy = made(make_spec, knowing(known))
        rows = policy._predictor._row_of
        assert sorted(rows[rows > 0].tolist()) == list(range(1, known + 1))
        assert rows[policy.spec.linear.seen].tolist() == list(range(1, known + 1))


def test_a_constant_policy_says_its_rates_within_their_bounds(make_spec: Any) -> None:
    linear = knowing(0)
    policy = made(make_spec, linear)
    first, second = policy.decide("one"), policy.decide("quite another text, of other words: 1, 2, 3")
    assert first._quality == second._quality
    expected = np.clip(linear.bias[0][:3], 0, 1)
    assert list(first._quality) == expected.tolist() and first._coverage == 0.0
