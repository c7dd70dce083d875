"""The featuriser against a plain reading of its specification, one byte at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.runtime.features import DENSE, Featuriser, cap_text, extract, log2ish

BASE, SCALE, PAIR = 0x9E3779B1, 0x85EBCA6B, 0x2C1B3C6D
TEXTS = st.text(max_size=300) | st.text("aZ9 é日\n.,!(\ud800\x00", max_size=300)


def plain_words(data: bytes) -> list[int]:
    """Hash of every word, as docs/artifact-format.md says it."""

    def kind(byte: int) -> int:
        if 0xE3 <= byte <= 0xED:
            return 2
        if byte >= 128 or chr(byte).isalnum():
            return 1
        return 0 if byte <= 32 or byte == 127 else 3

    hashes, before, power, total = [], 0, BASE, 0
    for byte in [*data, 32]:
        if kind(byte) != before:
            if before and SCALE * total % 2**32:
                hashes.append(SCALE * total % 2**32)
            power, total, before = BASE, 0, kind(byte)
        lower = byte + 32 if 65 <= byte <= 90 else byte
        total = (total + (lower if kind(byte) else 0) * power) % 2**32
        power = power * BASE % 2**32
    return hashes


def plain_buckets(text: str, bits: int, cap: int) -> list[int]:
    if len(text) > cap:
        text = text[: cap - cap // 4] + " " + text[len(text) - cap // 4 :]
    words = plain_words(text.encode("utf-8", "replace"))
    pairs = [(PAIR * first + second) % 2**32 for first, second in itertools.pairwise(words)]
    return sorted({value >> (32 - bits) for value in words + pairs})


@given(TEXTS, st.sampled_from([1, 8, 18, 22]), st.sampled_from([16, 64, 2048]))
def test_vectorised_hashing_is_the_plain_one(text: str, bits: int, cap: int) -> None:
    assert extract(text, buckets=1 << bits, cap=cap).buckets.tolist() == plain_buckets(text, bits, cap)


def test_counts_by_hand() -> None:
    counts = dict(
        zip(DENSE, extract("Ab 12, (x+y)!\n\t`é", buckets=2, cap=2048).counts.tolist(), strict=True)
    )
    assert counts == {
        "length": 17, "words": 10, "digits": 2, "upper": 1, "spaces": 4, "newlines": 1, "sentence": 2, "quotes": 1,
        "brackets": 2, "operators": 1, "marks": 0, "controls": 1, "non_ascii": 2,
    }  # fmt: skip
    # The words are: ab 12 , ( x + y )! ` é


def test_case_of_ascii_and_runs_of_space_do_not_matter() -> None:
    one, two = (
        extract(text, buckets=1 << 18, cap=2048).buckets for text in ("What IS  2+2?", "what is\n2+2?")
    )
    assert one.tolist() == two.tolist()


def test_log2ish_is_exact_at_powers_of_two_and_linear_between() -> None:
    assert log2ish(np.array([0, 1, 2, 3, 5, 7, 1023])).tolist() == [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0]


def test_cap_keeps_the_beginning_and_the_end() -> None:
    assert cap_text("a" * 90 + "b" * 30, 100) == "a" * 75 + " " + "b" * 25
    assert cap_text("x" * 100, 100) == "x" * 100


@given(st.lists(TEXTS, max_size=8))
def test_batch_is_one_at_a_time(texts: list[str]) -> None:
    featuriser, batch = Featuriser.fitted(texts, buckets=1 << 10, cap=64)
    assert len(batch.indptr) == len(texts) + 1
    for i, text in enumerate(texts):
        one = featuriser(text)
        assert batch.buckets[batch.indptr[i] : batch.indptr[i + 1]].tolist() == one.buckets.tolist()
        assert batch.dense[i].tolist() == log2ish(one.counts).tolist()


def test_standard_scores_by_hand_and_by_table() -> None:
    featuriser = Featuriser(buckets=16, cap=16, centre=(1.0,) * len(DENSE), spread=(2.0,) * len(DENSE))
    # log2ish(3) = 2 -> (2 - 1) / 2 deviations = 32 of 64 units; log2ish(0) = 0 -> -32; far out is cut at 8 deviations
    assert (
        featuriser.standardise(np.array([2.0, 0.0, 1e9] + [1.0] * 10)).tolist() == [32, -32, 512] + [0] * 10
    )
    table = featuriser.standardised_counts(67)
    assert table.shape == (len(DENSE), 68)
    assert table[0, 3] == 32
    assert table[5, 0] == -32


def test_standard_scores_stay_within_what_the_fit_has_seen() -> None:
    # Lengths 100, 200 … 900 and one text of 2: nothing but the length and the lower case word differs.
    texts = ["a" * n for n in (2, *range(100, 1000, 100))] * 4
    featuriser, batch = Featuriser.fitted(texts, cap=2048)
    free = featuriser._replace(least=(-512,) * 13, greatest=(512,) * 13)
    seen = free.standardise(batch.dense)[:, 0]
    assert (featuriser.least[0], featuriser.greatest[0]) == (seen.min(), seen.max())
    longest = featuriser.standardise(log2ish(featuriser("a" * 5000).counts))
    assert longest[0] == seen.max() < free.standardise(log2ish(featuriser("a" * 5000).counts))[0]
    assert (
        featuriser.standardise(batch.dense) == free.standardise(batch.dense)
    ).all()  # the fit's own are untouched
    assert (featuriser.standardised_counts(2048)[0, [0, 1, 2]] == featuriser.least[0]).all()


def test_a_constant_column_is_no_division_by_zero() -> None:
    featuriser, _ = Featuriser.fitted(["same", "same"])
    assert all(math.isfinite(value) and value > 0 for value in featuriser.spread)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "\ud800", "a", "日", "\U0010ffff", "é" * 5000, "a b " * 300_000]
)
def test_edges(text: str) -> None:
    found = extract(text, buckets=1 << 18, cap=2048)
    assert (found.buckets < 1 << 18).all()
    assert found.counts.min() >= 0
    assert found.counts.max() <= 4 * 2048 + 3


def test_the_table_of_counts_is_what_standardise_gives() -> None:
    random = np.random.default_rng(3)
    featuriser = Featuriser(
        cap=64, centre=tuple(random.normal(3, 2, 13)), spread=tuple(random.uniform(0.1, 3, 13)),
        least=tuple(range(-300, -287)), greatest=tuple(range(60, 73)),
    )  # fmt: skip
    table = featuriser.standardised_counts(300)
    assert table.shape == (13, 301) and table.dtype == np.int16
    for count in (0, 1, 7, 8, 300):
        assert (table[:, count] == featuriser.standardise(log2ish(np.full(13, count)))).all()
