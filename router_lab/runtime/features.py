"""Text -> numbers: the one featuriser that fitting, replay and `decide` share, so that train and serve cannot differ.

A text becomes (a) a bag of hashed words and word pairs and (b) `len(DENSE)` cheap byte counts. Everything up to the
standardised dense vector is integer arithmetic or single correctly rounded IEEE operations, so it gives the same
numbers on every build of numpy and can be repeated in another language: docs/artifact-format.md is the specification.

The hash of a word is polynomial, `sum(VALUE[byte_i] * BASE**i) mod 2**32`: differences of one running sum give the
hashes of all words of a text at once, which is what makes this vectorisable. A murmur-like finish mixes the low bits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.errors import PolicyError

FEATURISER = "words-12-bytes-13"
"""Name of this algorithm in policy.json; any change of any constant below is a new name."""

DENSE = (
    "length", "words", "digits", "upper", "spaces", "newlines", "sentence", "quotes", "brackets", "operators",
    "marks", "controls", "non_ascii",
)  # fmt: skip
"""The dense features, in column order: log2-like counts, of characters (the whole text), then of the capped text's
words and bytes of each class."""

MAX_CAP = 16_384
Z_UNIT = 64
"""Standardised dense features are integers in units of 1/64 standard deviation, at most 8 deviations."""
_Z_LIMIT = 8 * Z_UNIT

_BASE = 0x9E3779B1
_PAIR, _MIX = 0x2C1B3C6D, 0x85EBCA6B
_MOD = 1 << 32


class Features(NamedTuple):
    """One text: `buckets` int64[k] with repeats (words in order, then neighbouring pairs); `dense` int64[13] counts."""

    buckets: NDArray[np.int64]
    dense: NDArray[np.int64]


class Batch(NamedTuple):
    """Many texts as a CSR matrix: text i owns `buckets[indptr[i]:indptr[i+1]]` and the raw `dense[i]` (float64)."""

    indptr: NDArray[np.int64]
    buckets: NDArray[np.int64]
    dense: NDArray[np.float64]


def _values() -> NDArray[np.uint32]:
    """The 32-bit value of each byte in a word's hash; upper case has that of lower case, a byte outside words 0."""
    table = np.zeros(256, np.uint32)
    state = 1
    for byte in (*range(ord("0"), ord("9") + 1), *range(ord("a"), ord("z") + 1), *range(128, 256)):
        state = (state * 1_664_525 + 1_013_904_223) % _MOD
        table[byte] = state | 1
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1]
    return table


def _kinds() -> bytes:
    """1 for bytes of a word, 2 for the first byte of a CJK or Hangul character, 0 for the rest.

    A word ends where the kind changes, so such a character, which stands without spaces, is a word of its first byte
    and one of its other two, joined again as a pair.
    """
    kinds = bytearray(int(value != 0) for value in _VALUE.tolist())
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


def _powers(base: int, count: int) -> NDArray[np.uint32]:
    table = np.full(count, base, np.uint32)
    table[0] = 1
    return np.cumprod(table, dtype=np.uint32)


_VALUE = _values()
_KIND = _kinds()
_CLASS = _classes()
# Up to four bytes a character, and a space on either side.
_POWER = _powers(_BASE, 4 * MAX_CAP + 3)
_INVERSE = _powers(pow(_BASE, -1, _MOD), 4 * MAX_CAP + 3)


def cap_text(text: str, cap: int) -> str:
    """The part of `text` that is looked at: all of it, or its first three and last quarter of `cap` characters."""
    if len(text) <= cap:
        return text
    tail = cap // 4
    return f"{text[: cap - tail]} {text[len(text) - tail :]}"


def log2ish(count: NDArray[Any]) -> NDArray[np.float64]:
    """log2(count + 1), linear between powers of two: exact steps only, so the same everywhere (unlike np.log)."""
    mantissa, exponent = np.frexp(np.asarray(count, np.float64) + 1.0)
    return np.asarray(exponent + (2.0 * mantissa - 2.0), np.float64)


def extract(text: str, *, buckets: int, cap: int) -> Features:
    """Features of one text; any str is legal (a lone surrogate counts as '?').

    `buckets` is a power of two, `cap` at most MAX_CAP characters.
    """
    data = b" %b " % cap_text(text, cap).encode("utf-8", "replace")
    codes = np.frombuffer(data, np.uint8)
    kinds = np.frombuffer(data.translate(_KIND), np.uint8)
    hashes = _word_hashes(codes, kinds)
    bag = _with_pairs(hashes)
    bag ^= bag >> np.uint32(15)
    bag *= np.uint32(_MIX)
    bag ^= bag >> np.uint32(13)
    bag &= np.uint32(buckets - 1)
    dense = np.bincount(np.frombuffer(data.translate(_CLASS), np.uint8), minlength=len(DENSE))
    dense[0] = len(text)
    dense[1] = len(hashes)
    return Features(bag.astype(np.int64), dense)


def _word_hashes(codes: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint32 hash of every word; the first and last byte must not belong to one."""
    edges = np.flatnonzero(kinds[1:] != kinds[:-1])
    values = _VALUE.take(codes)
    values *= _POWER[: len(values)]
    sums = values.cumsum(dtype=np.uint32).take(edges)
    # Edge e lies between bytes e and e + 1; a stretch that is no word is dropped.
    starts = edges[:-1]
    hashes = (sums[1:] - sums[:-1]) * _INVERSE.take(starts)
    return np.asarray(hashes[kinds.take(starts + 1) != 0], np.uint32)


def _with_pairs(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The words' hashes followed by those of neighbouring pairs: `first * _PAIR + second`."""
    count = len(words)
    if count < 2:
        return words
    bag = np.empty(2 * count - 1, np.uint32)
    bag[:count] = words
    np.multiply(words[:-1], np.uint32(_PAIR), out=bag[count:])
    bag[count:] += words[1:]
    return bag


@dataclass(frozen=True, slots=True)
class Featuriser:
    """Parameters of the featuriser that a policy was fitted with.

    `buckets`: number of hash buckets, a power of two up to 2**22. `cap`: characters looked at. `centre`, `spread`:
    mean and standard deviation of each dense feature after `log2ish`, in DENSE order.
    """

    buckets: int = 1 << 18
    cap: int = 2048
    centre: tuple[float, ...] = (0.0,) * len(DENSE)
    spread: tuple[float, ...] = (1.0,) * len(DENSE)

    def __post_init__(self) -> None:
        if self.buckets < 2 or self.buckets > 1 << 22 or self.buckets & (self.buckets - 1):
            raise PolicyError(f"featuriser: buckets {self.buckets} is not a power of two from 2 to {1 << 22}")
        if not 16 <= self.cap <= MAX_CAP:
            raise PolicyError(f"featuriser: cap {self.cap} is not from 16 to {MAX_CAP} characters")
        if len(self.centre) != len(DENSE) or len(self.spread) != len(DENSE):
            raise PolicyError(f"featuriser: centre and spread need {len(DENSE)} numbers each")
        if not (np.isfinite(self.centre).all() and np.isfinite(self.spread).all() and min(self.spread) > 0):
            raise PolicyError("featuriser: centre must be finite and spread finite and above 0")

    def __call__(self, text: str) -> Features:
        return extract(text, buckets=self.buckets, cap=self.cap)

    def batch(self, texts: Sequence[str]) -> Batch:
        """Features of many texts (about 20 µs each); `dense` is raw: `log2ish` counts, not yet standardised."""
        found = [self(text) for text in texts]
        indptr = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(one.buckets) for one in found], out=indptr[1:])
        flat = np.concatenate([one.buckets for one in found]) if found else np.zeros(0, np.int64)
        counts = np.array([one.dense for one in found], np.int64).reshape(-1, len(DENSE))
        return Batch(indptr, flat, log2ish(counts))

    def standardise(self, dense: NDArray[np.float64]) -> NDArray[np.int64]:
        """Raw dense features [13] or [n, 13] -> integers in units of 1/Z_UNIT deviations, clipped to 8 deviations."""
        scaled = np.rint((dense - np.array(self.centre)) / np.array(self.spread) * Z_UNIT)
        return np.asarray(np.clip(scaled, -_Z_LIMIT, _Z_LIMIT), np.int64)

    @classmethod
    def fitted(cls, texts: Iterable[str], *, buckets: int = 1 << 18, cap: int = 2048) -> "tuple[Featuriser, Batch]":
        """A featuriser standardised on `texts`, and their features. A constant column gets spread 1."""
        plain = cls(buckets=buckets, cap=cap)
        batch = plain.batch(list(texts))
        centre = batch.dense.mean(axis=0) if len(batch.dense) else np.zeros(len(DENSE))
        spread = batch.dense.std(axis=0) if len(batch.dense) else np.ones(len(DENSE))
        spread = np.where(spread > 1e-9, spread, 1.0)
        return cls(buckets, cap, tuple(centre.tolist()), tuple(spread.tolist())), batch
