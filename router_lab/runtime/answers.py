"""Text of an answer -> the few numbers that an acceptance model may read of it, and what of it is
compared with another stage's answer.

Rules on bytes and whole numbers alone, on a capped text: the same on every machine and in every
language (docs/artifact-format.md is the specification), and as quick for ten megabytes as for ten
thousand characters. Any change of them is a new version of the artifact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.features import cap_text

FEATURES = ("length", "words", "lines", "digits", "brackets", "refusal")
"""What can be read of an answer, in this order."""
CAP = 4096
"""Characters that are looked at: the first three quarters and the last one."""
MOST_COUNTED = (1 << 20) - 1
"""Characters beyond these do not count."""
BEGINNING = 256
"""Bytes in which a refusal is looked for."""
REFUSALS = (
    b"i cannot",
    b"i can't",
    b"i can not",
    b"i won't",
    b"i will not",
    b"i'm sorry",
    b"i am sorry",
    b"i'm unable",
    b"i am unable",
    b"i'm not able",
    b"i am not able",
    b"i apologize",
    b"i apologise",
    b"as an ai",
    b"unable to answer",
    b"unable to help",
)
_APOSTROPHE = "’".encode()

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
_SPOKEN = frozenset(_LETTERS + _LETTERS.upper() + _DIGITS)
_LOWER = bytes(range(256)).lower()
_DROPPED = bytes(byte for byte in range(128) if byte not in _SPOKEN)
_WORDS = bytes(b"x"[0] if byte >= 128 or byte in _SPOKEN else b" "[0] for byte in range(256))


def text_of(answer: object) -> str | None:
    """The answer as a plain text; None, which is unknown, for whatever else was passed."""
    return str.__str__(answer) if issubclass(type(answer), str) else None


def features_of(answer: str) -> tuple[float, ...]:
    """In the order of FEATURES; `log2ish` counts of whole text (length) and capped text (words,
    lines, digits, brackets), and 1.0 or 0.0. Any text is legal: a lone surrogate counts as "?"."""
    data = _bytes(answer)
    counts = (
        min(len(answer), MOST_COUNTED),
        len(data.translate(_WORDS).split()),
        data.count(b"\n"),
        len(data) - len(data.translate(None, _DIGITS)),
        len(data) - len(data.translate(None, b"()[]{}")),
    )
    return (*map(_log2ish, counts), _refusal(answer))


def _log2ish(count: int) -> float:
    """`features.log2ish` of one count, by the same steps."""
    mantissa, exponent = math.frexp(count + 1.0)
    return exponent + (2.0 * mantissa - 2.0)


def features_many(answers: Sequence[object]) -> NDArray[np.float64]:
    """[n, len(FEATURES)]; a row of NaN for an answer that is no text."""
    texts = map(text_of, answers)
    unknown = (np.nan,) * len(FEATURES)
    rows = [unknown if text is None else features_of(text) for text in texts]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def said(answer: str) -> bytes:
    """What is compared: of the capped text's bytes the letters and digits, as lower case, and what
    is not ASCII."""
    return _bytes(answer).translate(_LOWER, _DROPPED)


def agrees(now: bytes, before: bytes | None) -> float:
    """1.0 if two answers say the same, and something; 0.0 otherwise, also where no answer came
    before."""
    return float(bool(now) and now == before)


def _bytes(answer: str) -> bytes:
    return cap_text(answer, CAP).encode("utf-8", "replace")


def _refusal(answer: str) -> float:
    beginning = answer[:BEGINNING].encode("utf-8", "replace")[:BEGINNING]
    plain = beginning.replace(_APOSTROPHE, b"'").translate(_LOWER)
    return float(any(phrase in plain for phrase in REFUSALS))
