"""A short text in plain Python gives what numpy gives, to the last bit; a longer one is left to numpy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_lab.runtime import brief
from router_lab.runtime.brief import BRIEF_BYTES, BRIEF_COLUMNS, read
from router_lab.runtime.features import extract
from router_lab.runtime.policy import Policy
from tests.runtime.conftest import random_spec

TEXTS = st.text(max_size=80) | st.text("aZ9 é日本한\n.,!()\x7f\ud800\x00", max_size=80)


@given(TEXTS, st.sampled_from([1, 8, 18, 22]))
@example("", 18)
@example("What IS 12 × 7, 日本語? \ud800", 18)
def test_features_are_those_of_numpy(text: str, bits: int) -> None:
    found = read(text, 1 << bits, 2048)
    assert found is not None
    features = extract(text, buckets=1 << bits, cap=2048)
    assert sorted(found[0]) == features.buckets.tolist() and found[1] == features.counts.tolist()


def test_what_is_long_in_bytes_or_cut_is_left_to_numpy() -> None:
    assert read("x" * BRIEF_BYTES, 256, 2048) == ({71}, [BRIEF_BYTES, 1, 0, 0, 2, *[0] * 8])
    assert read("x" * (BRIEF_BYTES + 1), 256, 2048) is None
    assert read("é" * (BRIEF_BYTES // 2 + 1), 256, 2048) is None
    assert read("x" * 17, 256, 16) is None


def linked(columns: int) -> Policy:
    """Costs on the scale of `log2ish`: some $1e-6 to $1, the bounds among them."""
    spec = random_spec(seed=3, columns=columns)
    bias = spec.linear.bias.copy()
    bias[:, columns:] = np.random.default_rng(4).uniform(9.0, 31.0, bias[:, columns:].shape)
    scale = spec.linear.scale * np.repeat([1.0, 200.0], columns)
    return Policy(
        dataclasses.replace(
            spec, linear=dataclasses.replace(spec.linear, bias=bias, scale=scale, cost_link="log2ish")
        )
    )


POLICIES = {
    "identity": Policy(random_spec(columns=4)),
    "log2ish": linked(4),
    "as many candidates as can be": linked(BRIEF_COLUMNS // 2),
    "one candidate more": linked(BRIEF_COLUMNS // 2 + 1),
}


@pytest.mark.parametrize("name", POLICIES)
@given(text=TEXTS | TEXTS.map(lambda text: 9 * text), row=st.integers(0, 2))
def test_predictions_are_those_of_many(name: str, text: str, row: int) -> None:
    policy = POLICIES[name]
    suite = (None, "a", "b")[row]
    many = policy.predictions([text, "another"], [suite, None])
    quality, cost, coverage = policy._predictor.one(text, row)
    assert list(quality) == many.quality[0].tolist() and list(cost) == many.cost_usd[0].tolist()
    assert coverage == many.coverage[0]


@pytest.mark.parametrize("name", POLICIES)
def test_short_texts_of_few_candidates_ask_numpy_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr(
        "router_lab.runtime.predict.extract",
        lambda text, **rest: asked.append(text) or extract(text, **rest),
    )
    for text in ("what is 2 + 2", "what " * 60):
        POLICIES[name].decide(text)
    left = ["what is 2 + 2"] if name == "one candidate more" else []
    assert asked == [*left, "what " * 60]


def test_the_words_are_stretches_of_one_kind() -> None:
    assert brief._words("ab 12,(x+y)! é日本".encode()) == [
        b"ab", b"12", b",(", b"x", b"+", b"y", b")!", "é".encode(), b"\xe6", b"\x97\xa5", b"\xe6", b"\x9c\xac",
    ]  # fmt: skip
