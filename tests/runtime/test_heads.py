"""What the last words of a prompt may do: never more than the prompt does without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.heads import guarded, guarded_many, head
from router_lab.runtime.model import Linear
from router_lab.runtime.policy import Policy
from router_lab.runtime.vectors import VectorScale

SOME = st.text(st.sampled_from("ab 7'\t\n\x1c\x85\u3000é日\ud800"), max_size=40)
WORD = st.text(st.sampled_from("ab7'.é日"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "words", "left"),
    [
        ("one two three", 1, "one two"),
        ("one two three", 2, "one"),
        ("one two three", 3, ""),
        ("  one\n two\t", 1, "  one"),
        ("one\u3000two\x1cthree", 1, "one\u3000two"),
        ("日本語です", 1, ""),
        ("a,b c", 1, "a,b"),
        ("", 5, ""),
        (" \n", 5, ""),
    ],
)
def test_a_head_by_hand(text: str, words: int, left: str) -> None:
    assert head(text, words) == left


@given(SOME, st.lists(WORD, min_size=1, max_size=8), st.sampled_from([" ", "\n", "\t\u3000"]))
def test_what_was_added_is_what_is_left_out(text: str, added: list[str], space: str) -> None:
    whole = space.join([text, *added])
    assert head(whole, len(added)) == text.rstrip()


def test_the_worse_of_two_predictions_by_hand() -> None:
    """Beside the reference, column 1: .5 − .9 = −.4 and .7 − .8 = −.1 of quality, so −.4; $.9 and $.5 saved, so $.5.
    Coverage .75, which is less than 1."""
    whole = (0.5, 0.9), (0.1, 1.0), 1.0
    begun = (0.7, 0.8), (0.25, 0.75), 0.75
    quality, cost, coverage = guarded(whole, begun, 1)
    assert (quality, cost, coverage) == (pytest.approx((0.5, 0.9)), pytest.approx((0.5, 1.0)), 0.75)
    quality, cost, _ = guarded(begun, whole, 1)
    assert quality == pytest.approx((0.4, 0.8)) and cost == pytest.approx((0.25, 0.75))


def knowing(seed: int) -> Linear:
    """Every bucket of 2**12 has weights of its own, and so have the byte counts."""
    draw = np.random.default_rng(seed)
    return Linear.quantised(
        seen=np.arange(1 << 12, dtype=np.uint32),
        weights=draw.normal(0, 0.3, (1 << 12, 6)),
        bias=np.full((3, 6), 0.5),
        dense=draw.normal(0, 1e-3, (len(DENSE), 6)),
        cost_bounds=np.array([[0.0] * 3, [1.0] * 3]),
    )


def both(make_spec: Any, words: int, seed: int = 0) -> tuple[Policy, Policy]:
    """The same policy with a guard of so many words, and without."""
    spec = {"linear": knowing(seed), "featuriser": Featuriser(buckets=1 << 12, cap=500)}
    return Policy(make_spec(**spec, suffix_guard=words)), Policy(make_spec(**spec))


def test_nobody_is_moved_by_the_words_that_a_guard_leaves_out(make_spec: Any) -> None:
    """Whatever three words are added: no candidate stands better beside the reference than the prompt alone says."""
    guarding, plain = both(make_spec, 3)
    reference = plain.spec.reference

    @given(SOME, st.lists(WORD, min_size=3, max_size=3))
    @settings(max_examples=200)
    def check(text: str, added: list[str]) -> None:
        (alone,), (paid,) = plain.predict([text.rstrip()])
        (quality,), (cost,) = guarding.predict([" ".join([text, *added])])
        assert (quality - quality[reference] <= alone - alone[reference] + 1e-12).all()
        assert (cost[reference] - cost <= paid[reference] - paid + 1e-12).all()

    check()


def test_one_is_guarded_as_among_many(make_spec: Any) -> None:
    texts = ["", "one", "the quick brown fox jumps over the lazy dog", "日本語 \ud800 x y z", "a b " * 400]
    for words in (1, 3, 1000):
        guarding, plain = both(make_spec, words)
        assert guarding.spec.suffix_guard == words
        many = guarding.predictions(texts)
        by_hand = [plain.predictions(some) for some in (texts, [head(text, words) for text in texts])]
        quality, cost = guarded_many(by_hand[0][:2], by_hand[1][:2], plain.spec.reference)
        assert many.quality.tolist() == quality.tolist() and many.cost_usd.tolist() == cost.tolist()
        assert many.coverage.tolist() == np.minimum(by_hand[0].coverage, by_hand[1].coverage).tolist()
        for row, text in enumerate(texts):
            decision = guarding.decide(text)
            assert list(decision._quality) == many.quality[row].tolist()
            assert list(decision._cost) == many.cost_usd[row].tolist()
            assert decision._coverage == many.coverage[row]


def test_a_guard_is_saved_with_the_policy_and_absent_without(make_spec: Any, tmp_path: Any) -> None:
    for number, policy in enumerate(both(make_spec, 7)):
        saved = save_policy(policy, tmp_path / str(number))
        assert load_policy(saved).spec.suffix_guard == policy.spec.suffix_guard
        assert ("suffix_guard" in (saved / "policy.json").read_text()) == (policy.spec.suffix_guard > 0)


@pytest.mark.parametrize("words", [-1, 1001, 2.0, True])
def test_a_guard_is_a_number_of_words(make_spec: Any, words: Any) -> None:
    with pytest.raises(PolicyError, match=r"suffix_guard .* is not a whole number of words from 0 to 1000"):
        both(make_spec, words)


def test_no_guard_beside_vectors(make_spec: Any) -> None:
    given = Linear.constant(np.zeros((3, 6)), np.zeros((2, 3)), VectorScale(np.zeros(2), np.ones(2)))
    with pytest.raises(PolicyError, match="suffix_guard 3 beside vectors"):
        Policy(make_spec(linear=given, suffix_guard=3))
