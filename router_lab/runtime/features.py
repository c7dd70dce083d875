"""Text -> numbers: the one featuriser that fitting, replay and `decide` share, so that train and
serve cannot differ.

A text becomes (a) the set of its hashed words and word pairs and (b) `len(DENSE)` cheap byte
counts. Everything up to the standardised dense vector is integer arithmetic or single correctly
rounded IEEE operations, so it gives the same numbers on every build of numpy and can be repeated
in another language: docs/artifact-format.md is the specification.

The hash of a word is polynomial, `SCALE * sum(byte_i * BASE**(i+1)) mod 2**32`: differences of one
running sum give the hashes of all words of a text at once, which is what makes this vectorisable.
The bucket is the hash's top bits, on which every byte acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEATURISER = "words12-bytes13"
"""Name of this algorithm in policy.json; any change of any constant below is a new name."""

DENSE = (
    "length", "words", "digits", "upper", "spaces", "newlines", "sentence", "quotes", "brackets", "operators",
    "marks", "controls", "non_ascii",
)  # fmt: skip
"""The dense features, in column order: log2-like counts of the whole text's characters (up to 4
caps), then of the capped text's words and bytes of each class."""

MAX_CAP = 16_384
Z_UNIT = 64
"""Standardised dense features are integers in units of 1/64 standard deviation, at most 8
deviations."""
Z_LIMIT = 8 * Z_UNIT

BASE, SCALE, PAIR = 0x9E3779B1, 0x85EBCA6B, 0x2C1B3C6D
_PAIR = np.uint32(PAIR)
_MOD = 1 << 32
_BEHIND = _MOD - 1
_SHIFT = {1 << bits: np.uint32(32 - bits) for bits in range(1, 23)}


class Features(NamedTuple):
    """One text: `buckets` uint32[k], sorted, distinct, of words and neighbouring pairs; `counts`
    int64[13]."""

    buckets: NDArray[np.uint32]
    counts: NDArray[np.int64]


class Batch(NamedTuple):
    """Many texts as a CSR matrix: text i owns `buckets[indptr[i]:indptr[i+1]]` and the raw
    `dense[i]` (float64)."""

    indptr: NDArray[np.int64]
    buckets: NDArray[np.uint32]
    dense: NDArray[np.float64]


def _lower() -> bytes:
    """The value of each byte in a word's hash: upper case has that of lower case, spaces and
    controls have 0."""
    table = bytearray(range(256)).lower()
    table[:33] = bytes(33)
    table[127] = 0
    return bytes(table)


def _kinds() -> bytes:
    """A word is a longest stretch of one kind: 1 letters, digits and non-ASCII, 3 punctuation; 0
    (space) is no word.

    Kind 2 is the first byte of a CJK or Hangul character: these stand without spaces, so each is a
    word of its first byte and one of its other two, joined again as a pair.
    """
    kinds = bytearray(3 if value else 0 for value in LOWER)
    for byte in range(256):
        if byte >= 128 or chr(byte).isalnum():
            kinds[byte] = 1
    kinds[0xE3:0xEE] = b"\x02" * 11
    return bytes(kinds)


def _classes() -> bytes:
    """The dense column of each byte; 0 (a column then overwritten) for lower case."""
    table = bytearray([DENSE.index("marks")]) * 256
    for name, members in {
        "digits": b"0123456789",
        "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "spaces": b" ",
        "newlines": b"\n",
        "sentence": b".,;:!?",
        "quotes": b"'\"`",
        "brackets": b"()[]{}",
        "operators": b"+-*/=<>^%",
    }.items():
        for byte in members:
            table[byte] = DENSE.index(name)
    for byte in (*range(10), *range(11, 32), 127):
        table[byte] = DENSE.index("controls")
    table[128:] = bytes([DENSE.index("non_ascii")]) * 128
    table[ord("a") : ord("z") + 1] = bytes(26)
    return bytes(table)


def _powers(base: int, count: int, first: int = 1) -> NDArray[np.uint32]:
    table = np.full(count, base, np.uint32)
    table[0] = first
    return np.cumprod(table, dtype=np.uint32)


LOWER = _lower()
KIND = _kinds()
BYTE_CLASS = _classes()
COUNTED = range(2, len(DENSE))
# Up to four bytes a character, and a space on either side.
_POWER = _powers(BASE, 4 * MAX_CAP + 3)
_INVERSE = _powers(pow(BASE, -1, _MOD), 4 * MAX_CAP + 3, SCALE)


def cap_text(text: str, cap: int) -> str:
    """The part of `text` that is looked at: all of it, or its first three and last quarter of
    `cap` characters."""
    if len(text) <= cap:
        return text
    tail = cap // 4
    return f"{text[: cap - tail]} {text[len(text) - tail :]}"


def most_counted(cap: int) -> int:
    """The greatest count that `extract` can give: every capped character four bytes, and the two
    spaces around them."""
    return 4 * cap + 3


def log2ish(count: NDArray[Any]) -> NDArray[np.float64]:
    """log2(count + 1), linear between powers of two: exact steps only, so the same everywhere
    (unlike np.log)."""
    mantissa, exponent = np.frexp(np.asarray(count, np.float64) + 1.0)
    return np.asarray(exponent + (2.0 * mantissa - 2.0), np.float64)


def extract(text: str, *, buckets: int, cap: int) -> Features:
    """Features of one text; any str is legal (a lone surrogate counts as '?').

    `buckets` is a power of two from 2 to 2**22, `cap` at most MAX_CAP characters.
    """
    data = b" %b " % cap_text(text, cap).encode("utf-8", "replace")
    bag, words = _bag(
        np.frombuffer(data.translate(LOWER), np.uint8), np.frombuffer(data.translate(KIND), np.uint8)
    )
    bag >>= _SHIFT[buckets]
    classes = data.translate(BYTE_CLASS)
    # Not by np.bincount: it lets go of the interpreter, which another thread then takes.
    counts = np.array([min(len(text), 4 * cap), words, *map(classes.count, COUNTED)], np.int64)
    return Features(_distinct(bag), counts)


def _bag(codes: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], int]:
    """Hashes of all words, of all neighbouring pairs and one free place at the end; and the number
    of words.

    The first and last byte must not belong to a word. A stretch of spaces has sum 0, and so hash
    0: dropped.
    """
    edges = (kinds[1:] != kinds[:-1]).nonzero()[0]
    sums = np.add.accumulate(codes * _POWER[: len(codes)], 0, np.uint32)[edges]
    words = sums[1:] - sums[:-1]
    words *= _INVERSE[edges[:-1]]
    words = words[words.nonzero()[0]]
    count = len(words)
    bag = np.empty(2 * count or 1, np.uint32)
    bag[:count] = words
    if count > 1:
        pairs = bag[count:-1]
        np.multiply(words[:-1], _PAIR, pairs)
        pairs += words[1:]
    return bag, count


def _distinct(bag: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Sorted, without repeats, less the free place: presence routes better than counts (MMLU, APGR
    .696 against .688).

    The free place takes a number that sorts behind every bucket, so that each value's last copy
    has another behind it.
    """
    bag[-1] = _BEHIND
    bag.sort()
    return np.asarray(bag[(bag[1:] != bag[:-1]).nonzero()[0]], np.uint32)


class Featuriser(NamedTuple):
    """Parameters of the featuriser that a policy was fitted with.

    `buckets`: number of hash buckets, a power of two up to 2**22. `cap`: characters looked at.
    `centre`, `spread`: mean and standard deviation of each dense feature after `log2ish`, in DENSE
    order. `least`, `greatest`: between what it is kept once standardised, in units of 1/Z_UNIT
    deviations, within ±Z_LIMIT.
    """

    buckets: int = 1 << 18
    cap: int = 2048
    centre: tuple[float, ...] = (0.0,) * len(DENSE)
    spread: tuple[float, ...] = (1.0,) * len(DENSE)
    least: tuple[int, ...] = (-Z_LIMIT,) * len(DENSE)
    greatest: tuple[int, ...] = (Z_LIMIT,) * len(DENSE)

    def __call__(self, text: str) -> Features:
        return extract(text, buckets=self.buckets, cap=self.cap)

    def batch(self, texts: Sequence[str]) -> Batch:
        """Features of many texts (about 20 µs each); `dense` is raw: `log2ish` counts, not yet
        standardised."""
        found = [self(text) for text in texts]
        indptr = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(one.buckets) for one in found], out=indptr[1:])
        flat = np.concatenate([one.buckets for one in found]) if found else np.zeros(0, np.uint32)
        counts = np.array([one.counts for one in found], np.int64).reshape(-1, len(DENSE))
        return Batch(indptr, flat, log2ish(counts))

    def standardise(self, dense: NDArray[np.float64]) -> NDArray[np.int64]:
        """Raw dense features [13] or [n, 13] -> integers in units of 1/Z_UNIT deviations, `least`
        to `greatest`."""
        scaled = np.rint((dense - np.array(self.centre)) / np.array(self.spread) * Z_UNIT)
        return np.asarray(np.clip(scaled, self.least, self.greatest), np.int64)

    def standardised_counts(self, most: int) -> NDArray[np.int16]:
        """int16[13, most + 1]: what `standardise(log2ish(count))` gives each feature at counts
        0..most."""
        levels = log2ish(np.arange(most + 1))
        table = np.empty((len(DENSE), most + 1), np.int16)
        # `standardise`, a feature at a time: small arrays cost no page faults, which are most of
        # the time here.
        for row, *parts in zip(table, self.centre, self.spread, self.least, self.greatest, strict=True):
            centre, spread, least, greatest = parts
            row[:] = np.clip(np.rint((levels - centre) / spread * Z_UNIT), least, greatest)
        return table

    def standardised_on(self, dense: NDArray[np.float64]) -> Featuriser:
        """The same buckets and cap, with centre, spread and bounds of the raw features `dense` [n,
        13] of a fit's texts. A constant column gets spread 1; without texts nothing changes."""
        if not len(dense):
            return self
        spread = np.where(dense.std(axis=0) > 1e-9, dense.std(axis=0), 1.0)
        free = Featuriser(self.buckets, self.cap, tuple(dense.mean(axis=0).tolist()), tuple(spread.tolist()))
        # To the least and the greatest score seen, so that what the fit trains on stays as it is.
        # Cutting off more, at a percentile, was tried: it costs saving where rows are few.
        scores = free.standardise(dense)
        return free._replace(
            least=tuple(scores.min(axis=0).tolist()), greatest=tuple(scores.max(axis=0).tolist())
        )

    @classmethod
    def fitted(
        cls, texts: Iterable[str], *, buckets: int = 1 << 18, cap: int = 2048
    ) -> tuple[Featuriser, Batch]:
        """A featuriser standardised on `texts`, and their features."""
        plain = cls(buckets=buckets, cap=cap)
        batch = plain.batch(list(texts))
        return plain.standardised_on(batch.dense), batch
