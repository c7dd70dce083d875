"""A short text in plain Python: the features of `features.extract`, and what `Predictor.one` makes
of them, to the last bit.

numpy is as fast in a loop. Between two requests of a service, though, its code has left the
processor's caches, and of each of some forty array operations the first call costs microseconds,
while the interpreter itself is always there (`make bench-integrations`). So it is with rare
functions of Python's own: what `enumerate` or an operator can do, `itertools`, `operator` or a
keyword of `zip` would do at ten times the price.
"""
# ruff: noqa: B905

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.features import BASE, BYTE_CLASS, COUNTED, DENSE, KIND, LOWER, PAIR, SCALE
from router_lab.runtime.heads import biases
from router_lab.runtime.linear import unlinked
from router_lab.runtime.model import PolicySpec

BRIEF_BYTES = 160
"""A longer text is numpy's."""
BRIEF_COLUMNS = 32
"""So are the predictions of a policy of more than half as many candidates."""
Prediction: TypeAlias = tuple[tuple[float, ...], tuple[float, ...], float]
"""Of one text: quality [c], cost_usd [c], coverage."""
_MOST_ADDED = 2048
"""Weights of one text; more are numpy's: of many candidates, or of a text without spaces."""
_LAST = (1 << 32) - 1
_ROOTS = tuple(map(math.sqrt, range(2 * BRIEF_BYTES)))
"""Of a count of features."""


def _stretches() -> bytes:
    """A pattern of one word: a longest stretch of bytes of one kind that is not 0."""
    kinds = (bytes(byte for byte in range(256) if KIND[byte] == kind) for kind in range(1, max(KIND) + 1))
    return b"|".join(b"[%b]+" % re.escape(members) for members in kinds)


_words = re.compile(_stretches()).findall
_MOST_COUNTED = BRIEF_BYTES + 2
"""With the spaces around a text."""


def read(text: str, buckets: int, cap: int) -> tuple[set[int], list[int]] | None:
    """The `buckets` and `counts` of `extract`, or None where the text is not short.

    `text` a str itself, `buckets` and `cap` as of `extract`.
    """
    if len(text) > BRIEF_BYTES or len(text) > cap:
        return None
    data = text.encode("utf-8", "replace")
    if len(data) > BRIEF_BYTES:
        return None
    shift = 33 - buckets.bit_length()
    found: set[int] = set()
    first = words = 0
    for letters in _words(data.translate(LOWER)):
        word = 0
        for byte in letters[::-1]:
            word = (word + byte) * BASE & _LAST
        word = word * SCALE & _LAST
        if not word:
            continue
        words += 1
        found.add(word >> shift)
        if first:
            found.add((first * PAIR + word & _LAST) >> shift)
        first = word
    classes = (b" " + data + b" ").translate(BYTE_CLASS)
    return found, [len(text), words, *map(classes.count, COUNTED)]


class Brief:
    """The tables of a `Predictor` as plain numbers."""

    def __init__(
        self,
        spec: PolicySpec,
        row_of: NDArray[Any],
        scores: NDArray[np.float64],
        least: NDArray[np.float64],
        most: NDArray[np.float64],
    ) -> None:
        linear = spec.linear
        self._buckets, self._cap = spec.featuriser.buckets, spec.featuriser.cap
        self._link = linear.cost_link
        self._row_of = row_of.data
        # What each count adds to what none of any kind gives: whole numbers, exact in any order.
        added = scores[: _MOST_COUNTED + 1, :, None] * linear.dense.astype(np.float64)
        self._none = added[0].sum(axis=0).tolist()
        self._counted = (added - added[0]).ravel().data
        self._rows = np.ascontiguousarray(linear.weights).ravel().data
        columns = linear.scale, linear.dense_scale, least, most
        self._columns = tuple(zip(*(one.tolist() for one in columns), strict=True))
        self._bias = biases(spec).tolist()

    def one(self, text: str, row: int) -> Prediction | None:
        """As `Predictor.one` without a vector; None where that is numpy's."""
        found = read(text, self._buckets, self._cap)
        if found is None:
            return None
        buckets, counts = found
        row_of, rows, counted, width = self._row_of, self._rows, self._counted, len(self._columns)
        known = [number * width for bucket in buckets if (number := row_of[bucket])]
        if len(known) * width > _MOST_ADDED:
            return None
        weights = [rows[begin : begin + width].tolist() for begin in known]
        sums = map(sum, zip(*weights)) if weights else (0,) * width
        begin, dense = 0, [self._none]
        for count in counts:
            if count:
                place = count * len(DENSE) * width + begin
                dense.append(counted[place : place + width].tolist())
            begin += width
        return self.of(sums, map(sum, zip(*dense)), len(known), len(buckets), row)

    def of(self, sums: Iterable[float], dense: Iterable[float], seen: int, own: int, row: int) -> Prediction:
        """From whole-number sums [2c] of hashed and of dense weights, the features seen in fitting,
        and all of them, as `Predictor._sums` has them."""
        size = own or 1
        root = _ROOTS[size] if size < len(_ROOTS) else math.sqrt(size)
        values: list[float] = []
        for hashed, counted, (scale, dense_scale, least, most), bias in zip(
            sums, dense, self._columns, self._bias[row]
        ):
            value = hashed * scale / root + counted * dense_scale + bias
            values.append(least if value < least else most if value > most else value)
        half = len(values) // 2
        cost = values[half:]
        if self._link != "identity":
            cost = [unlinked(value) for value in cost]
        return tuple(values[:half]), tuple(cost), seen / size
