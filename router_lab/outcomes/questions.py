"""Whether two tables whose samples have the same names ask the same questions: told from short
signatures of prompts, so that a file which keeps them holds no text."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from router_lab.outcomes.near import READ, mixed_bits

GRAM = 4
"""Letters that are read together: no language needs its words told apart."""
ORDERS = 32
EXACT = 16
"""Hex digits of a signature that are equal for equal letters; two for each of ORDERS follow."""
LEAST_SHARED = 0.125
"""Of what two prompts have, at least, or they are two questions: unrelated ones share some .05."""
RANK = 0.75
"""A prompt that was only dressed otherwise is nearer to its own than to this share of the others;
one that has but the name is so by chance, a quarter of the time."""
_NO_LETTER = re.compile(r"[\W_]+")
_SALTS = mixed_bits(np.arange(1, ORDERS + 1, dtype=np.uint64))


def signature(prompt: object) -> str:
    """Hex of a prompt's letters and digits, whatever their case, spaces and punctuation; "" for
    none."""
    letters = _NO_LETTER.sub("", prompt.casefold()) if isinstance(prompt, str) else ""
    if not letters:
        return ""
    exact = hashlib.sha256(letters.encode("utf-8", "replace")).hexdigest()[:EXACT]
    read = letters if len(letters) <= 2 * READ else letters[:READ] + letters[-READ:]
    grams = {read[at : at + GRAM] for at in range(max(1, len(read) - GRAM + 1))}
    codes = np.array([zlib.crc32(gram.encode("utf-8", "replace")) for gram in sorted(grams)], np.uint64)
    least = mixed_bits(codes[None] ^ _SALTS[:, None]).min(axis=1)
    last: bytes = (least & np.uint64(0xFF)).astype(np.uint8).tobytes()
    return exact + last.hex()


def same_questions(mine: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.bool_]:
    """[n] whether sample n of two tables may be one question: its letters are equal, or nearer to
    each other than the samples of different names are, or one of the tables has no prompt of it.

    mine, theirs [n]: signatures. What is no signature counts as none.
    """
    pairs = [(_read(a), _read(b)) for a, b in zip(mine, theirs, strict=True)]
    told = np.array([bool(a and b) for a, b in pairs], bool)
    same = ~told | np.array([a[:EXACT] == b[:EXACT] for a, b in pairs], bool)
    at = np.flatnonzero(told)
    if len(at):
        near = _shared([pairs[i][0] for i in at], [pairs[i][1] for i in at])
        own = near.diagonal()
        others = np.sort(np.where(np.eye(len(at), dtype=bool), -1.0, near), axis=1)[:, 1:]
        needed = np.quantile(others, RANK, axis=1) if len(at) > 1 else np.zeros(1)
        same[at] |= (own >= LEAST_SHARED) & (own >= needed)
    return np.asarray(same, bool)


def _read(text: str) -> str:
    return text if re.fullmatch(rf"[0-9a-f]{{{EXACT + 2 * ORDERS}}}", text) else ""


def _shared(mine: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float64]:
    """[n, n] about which share of what either has each two prompts have in common (MinHash, Broder
    1997; of each least the last eight bits, Li & König 2010)."""
    one, other = (
        np.array([list(bytes.fromhex(text[EXACT:])) for text in texts], np.uint8) for texts in (mine, theirs)
    )
    return np.asarray((one[:, None] == other[None]).mean(axis=2), np.float64)
