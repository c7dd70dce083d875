"""What the last words of a prompt may do: never more than the prompt does without them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.heads import Begun, guarded, guarded_many, head, heads_in
from router_lab.runtime.linear import Linear
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


def test_what_a_head_is_forgiven_by_hand() -> None:
    """Beside the reference, column 1, the head says −.375 and the prompt −.125: with .125 forgiven that is −.25, with
    .5 it is the prompt's own word. Dollars and the reference itself are forgiven nothing."""
    whole, begun = ((0.75, 0.875), (0.25, 1.0), 1.0), ((0.5, 0.875), (0.5, 1.0), 1.0)
    for slack, quality in ((0.0, 0.5), (0.125, 0.625), (0.5, 0.75)):
        assert guarded(whole, begun, 1, slack) == ((quality, 0.875), (0.5, 1.0), 1.0)
        many = guarded_many(*((np.array([q]), np.array([c])) for q, c, _ in (whole, begun)), 1, slack)
        assert [part.tolist() for part in many] == [[[quality, 0.875]], [[0.5, 1.0]]]


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


def own_level(seed: int) -> Begun:
    return Begun(0.5 + np.random.default_rng(seed).uniform(-0.1, 0.1, (3, 6)), 0.03)


def both(make_spec: Any, words: int, heads: Begun | None = None) -> tuple[Policy, Policy]:
    """The same policy with a guard of so many words, and one without that predicts as this one does heads."""
    spec = {"linear": knowing(0), "featuriser": Featuriser(buckets=1 << 12, cap=500)}
    guarding = Policy(make_spec(**spec, suffix_guard=words, heads=heads))
    if heads is not None:
        spec["linear"] = dataclasses.replace(knowing(0), bias=heads.bias)
    return guarding, Policy(make_spec(**spec))


@pytest.mark.parametrize("heads", [None, own_level(1)])
def test_nobody_is_moved_by_the_words_that_a_guard_leaves_out(make_spec: Any, heads: Begun | None) -> None:
    """Whatever three words are added: no candidate stands better beside the reference than the prompt alone says as a
    head, by more than the slack."""
    guarding, plain = both(make_spec, 3, heads)
    reference, slack = plain.spec.reference, 0.0 if heads is None else heads.slack

    @given(SOME, st.lists(WORD, min_size=3, max_size=3))
    @settings(max_examples=200)
    def check(text: str, added: list[str]) -> None:
        (alone,), (paid,) = plain.predict([text.rstrip()])
        (quality,), (cost,) = guarding.predict([" ".join([text, *added])])
        assert (quality - quality[reference] <= alone - alone[reference] + slack + 1e-12).all()
        assert (cost[reference] - cost <= paid[reference] - paid + 1e-12).all()

    check()


def test_one_is_guarded_as_among_many(make_spec: Any) -> None:
    texts = ["", "one", "the quick brown fox jumps over the lazy dog", "日本語 \ud800 x y z", "a b " * 400]
    for words in (1, 3, 1000):
        guarding, plain = both(make_spec, words)
        assert guarding.spec.suffix_guard == words
        check_one_and_many(guarding, [plain, plain], texts, 0.0)
        level = own_level(words)
        guarding, as_heads = both(make_spec, words, level)
        check_one_and_many(guarding, [plain, as_heads], texts, level.slack)


def check_one_and_many(guarding: Policy, plain: list[Policy], texts: list[str], slack: float) -> None:
    """`plain`: who predicts prompts, and who their heads, as `guarding` does. In every suite and in none."""
    words, reference = guarding.spec.suffix_guard, guarding.spec.reference
    for suite in (None, *guarding.spec.suites):
        suites = [suite] * len(texts)
        many = guarding.predictions(texts, suites)
        whole = plain[0].predictions(texts, suites)
        begun = plain[1].predictions([head(text, words) for text in texts], suites)
        quality, cost = guarded_many(whole[:2], begun[:2], reference, slack)
        assert many.quality.tolist() == quality.tolist() and many.cost_usd.tolist() == cost.tolist()
        assert many.coverage.tolist() == np.minimum(whole.coverage, begun.coverage).tolist()
        for row, text in enumerate(texts):
            decision = guarding.decide(text, suite=suite)
            assert list(decision._quality) == many.quality[row].tolist()
            assert list(decision._cost) == many.cost_usd[row].tolist()
            assert decision._coverage == many.coverage[row]


def test_a_guard_is_saved_with_the_policy_and_absent_without(make_spec: Any, tmp_path: Any) -> None:
    for number, policy in enumerate(both(make_spec, 7)):
        saved = save_policy(policy, tmp_path / str(number))
        assert load_policy(saved).spec.suffix_guard == policy.spec.suffix_guard
        assert ("suffix_guard" in (saved / "policy.json").read_text()) == (policy.spec.suffix_guard > 0)


def test_a_level_of_heads_is_saved_with_the_policy(make_spec: Any, tmp_path: Any) -> None:
    level = own_level(5)
    policy, _ = both(make_spec, 7, level)
    saved = save_policy(policy, tmp_path / "saved")
    found = load_policy(saved).spec.heads
    assert found is not None and found.slack == level.slack and found.bias.tolist() == level.bias.tolist()
    for wrong in ({"bias": [[0.5]]}, {"bias": [[0.5]], "slack": 0.0, "more": 1}):
        with pytest.raises(PolicyError, match="heads: unknown or missing keys"):
            heads_in(wrong)


@pytest.mark.parametrize(
    ("words", "heads", "rule"),
    [
        (0, own_level(0), "heads without a suffix_guard"),
        (3, own_level(0)._replace(slack=-0.1), "heads: slack -0.1 is not a number from 0 to 1"),
        (3, own_level(0)._replace(slack=float("nan")), "heads: slack nan is not a number"),
        (3, Begun(np.full((2, 6), 0.5), 0.1), r"heads: bias is float64\[2, 6\], not .*\[3, 6\]"),
        (3, Begun(np.full((3, 6), np.inf), 0.1), "heads: bias holds a number that is not finite"),
    ],
)
def test_a_level_of_heads_has_rules(make_spec: Any, words: int, heads: Begun, rule: str) -> None:
    with pytest.raises(PolicyError, match=rule):
        Policy(make_spec(suffix_guard=words, heads=heads))


@pytest.mark.parametrize("words", [-1, 1001, 2.0, True])
def test_a_guard_is_a_number_of_words(make_spec: Any, words: Any) -> None:
    with pytest.raises(PolicyError, match=r"suffix_guard .* is not a whole number of words from 0 to 1000"):
        both(make_spec, words)


def test_no_guard_beside_vectors(make_spec: Any) -> None:
    given = Linear.constant(np.zeros((3, 6)), np.zeros((2, 3)), VectorScale(np.zeros(2), np.ones(2)))
    with pytest.raises(PolicyError, match="suffix_guard 3 beside vectors"):
        Policy(make_spec(linear=given, suffix_guard=3))
