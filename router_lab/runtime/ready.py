"""A request to choose for, a point made ready to draw from, and who is chosen at every draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.constraints import Cache, Field
from router_lab.runtime.points import Assign, Cascade, Point, ends_of, follows
from router_lab.runtime.rule import Floats

Ints = NDArray[np.int64]
Choice = tuple[int, str, int | None]
"""The column that serves, the code of the reason, and the piece that acted; None where no piece
did."""


class Case(NamedTuple):
    """A request to choose for: `quality`, `cost` [c] predicted, `row` of its suite, whether enough
    of the prompt is known (`covered`), what constraints leave (None: all) and who served the
    conversation so far (None: nobody)."""

    quality: tuple[float, ...]
    cost: tuple[float, ...]
    row: int
    covered: bool
    field: Field | None
    stay: Cache | None


class Stretches(NamedTuple):
    """Who serves n prompts, by the draw: `ends` [k + 1], ascending to 1, are where its stretches
    end, `columns` [n, k + 1] the candidate of each prompt in each stretch, or c + the index of its
    chain. The last is the reference's, if no piece is left for it. `first` [chains]: the column of
    each chain's first stage. Beside these draws, a share `explore` of the requests goes in equal
    parts to the candidates of `explored` [n, c]."""

    ends: Floats
    columns: Ints
    first: tuple[int, ...] = ()
    explore: float = 0.0
    explored: NDArray[np.bool_] | None = None

    def asked(self, candidates: int) -> Ints:
        """[n, k + 1] `columns`, for a chain that of its first stage: who is asked first."""
        return np.array([*range(candidates), *self.first])[self.columns] if self.first else self.columns

    def shares(self, candidates: int) -> Floats:
        """[n, candidates] the probability, over `key`, that each is asked first."""
        return self._added(self.asked(candidates), candidates)

    def by_chain(self, candidates: int, chains: int) -> Floats:
        """[n, candidates + chains] the probability, over `key`, of each candidate alone and of each
        chain."""
        return self._added(self.columns, candidates + chains)

    def _added(self, columns: Ints, width: int) -> Floats:
        found = np.zeros((len(columns), width))
        every = np.arange(len(columns))
        for stretch, length in zip(columns.T, np.diff(self.ends, prepend=0.0), strict=True):
            found[every, stretch] += length
        even = self.even
        if even is not None:
            found *= 1 - self.explore
            found[:, : even.shape[1]] += even
        return found

    @property
    def even(self) -> Floats | None:
        """[n, candidates] the probability that each is drawn by exploration; None where nothing
        explores."""
        if self.explored is None:
            return None
        return np.asarray(self.explore * self.explored / self.explored.sum(axis=1, keepdims=True))


class Ready(NamedTuple):
    """A point, made ready to draw from."""

    pieces: Point
    ends: tuple[float, ...]
    mix: float
    follows: bool
    assigns: bool
    """Whether a piece has its candidate, or its chain, by suite."""
    cascades: bool
    explore: float

    @classmethod
    def of(cls, point: Point, explore: float = 0.0) -> Ready:
        ends = ends_of(point)
        assigns = any(isinstance(piece, Assign | Cascade) for piece in point)
        cascades = any(isinstance(one, Cascade) for one in point)
        return cls(point, ends, ends[-1], follows(point), assigns, cascades, explore)
