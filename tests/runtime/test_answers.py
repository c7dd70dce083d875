"""What is read of an answer, counted by hand; and no answer breaks it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.runtime.answers import FEATURES, agrees, features_many, features_of, said, text_of


def read(answer: str) -> dict[str, float]:
    return dict(zip(FEATURES, features_of(answer), strict=True))


def test_an_answer_counted_by_hand() -> None:
    """15 characters: log2(16); words a1, é, b: log2(4) = 2; one line feed: 1; three digits: 2; brackets ( ) ]: 2."""
    assert read("a1 é-(b)\n23]? !"[:15]) == {
        "length": 4.0, "words": 2.0 + 1 / 4, "lines": 1.0, "digits": 2.0, "brackets": 2.0, "refusal": 0.0,
    }  # fmt: skip
    assert features_of("") == (0.0,) * 6


def test_long_answers_are_capped_and_yet_told_apart_by_length() -> None:
    """Of 10,000 digits 3,072 and 1,024 are counted: log2ish(4096) = 12 + 1/4096; of length 9,999 + 1 it is 13 + …"""
    ten = read("7" * 10_000)
    assert ten["digits"] == 12 + 1 / 4096
    assert ten["length"] == 13 + (10_001 / 8192 - 1)
    assert ten["words"] == 1 + 1 / 2  # the space that the cap puts between makes two
    assert read("7" * 2_000_000)["length"] == 20.0


@pytest.mark.parametrize(("answer", "refusal"), [
    ("I'm sorry, but no.", 1.0), ("I’M SORRY", 1.0), ("Sadly, as an AI model I", 1.0), ("i cannot", 1.0),
    ("I can. Not", 0.0), ("x" * 248 + "i cannot", 1.0), ("x" * 249 + "i cannot", 0.0), ("é" * 125 + "i cannot", 0.0),
    ("i’m sorry"[:7], 0.0),
])  # fmt: skip
def test_a_refusal_stands_in_the_first_256_bytes(answer: str, refusal: float) -> None:
    assert read(answer)["refusal"] == refusal


def test_what_is_said_has_no_case_spaces_or_marks() -> None:
    assert said(" The ANSWER is: 42.\n") == b"theansweris42"
    assert said("É\x7f日!") == "É日".encode()
    assert said("a\ud800b") == b"ab"
    assert agrees(said("42."), said("42")) == 1.0
    assert agrees(said("42"), said("43")) == agrees(b"", b"") == agrees(b"42", None) == 0.0


@given(st.text(st.characters(), max_size=200), st.integers(1, 60))
def test_any_text_gives_finite_numbers(text: str, times: int) -> None:
    """Lone surrogates too; and what is said of a text is what is said of it in capitals, where those are ASCII."""
    answer = text * times
    assert all(math.isfinite(value) and 0 <= value <= 20 for value in features_of(answer))
    upper = "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in answer)
    assert said(upper) == said(answer)
    assert features_many([answer, None])[0].tolist() == list(features_of(answer))


def test_what_is_no_text_is_unknown() -> None:
    class Loud(str):
        def __getitem__(self, _: object) -> str:
            raise RuntimeError("never asked")

        def __len__(self) -> int:
            raise RuntimeError("never asked")

    class Liar:
        __class__ = str  # type: ignore[assignment]

    assert [text_of(x) for x in (None, b"42", 42, ["42"], Liar())] == [None] * 5
    assert text_of(Loud("42")) == text_of(np.str_("42")) == "42"
    assert type(text_of(Loud("42"))) is str
    found = features_many(["42", None, b"42"])
    assert np.isnan(found[1:]).all() and found.shape == (3, len(FEATURES))
    assert features_many([]).shape == (0, len(FEATURES))
