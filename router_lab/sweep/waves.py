"""In which portions a sweep runs: growing prefixes of one fixed order, as far as the money
reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from router_lab.sweep.settings import Where

FIRST_WAVE = 8
"""Samples per suite in the first wave under a budget, where the sweep file does not say."""

WORTH = 0.02
"""A wave that would add less than this share of what is done costs more time than it is worth; the
money is kept."""


@dataclass
class Prefixes:
    """Samples still missing in a prefix of the order; `keys[cell]` are (sample id, epoch) keys by
    position."""

    keys: Mapping[Where, Sequence[frozenset[tuple[str, int]]]]
    done: dict[Where, set[tuple[str, int]]] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """Positions of the longest suite."""
        return max(len(positions) for positions in self.keys.values())

    def missing(self, size: int) -> int:
        """Samples × epochs that the first `size` positions of all cells still lack."""
        total = 0
        for cell, positions in self.keys.items():
            done = self.done.get(cell, set())
            total += sum(len(keys - done) for keys in positions[:size])
        return total

    def mark(self, size: int) -> None:
        """The first `size` positions have been run."""
        for cell, positions in self.keys.items():
            self.done.setdefault(cell, set()).update(*positions[:size])


def free_waves(longest: int, first: int | None) -> Iterator[int]:
    """Sizes without a budget: one wave, or doubling from `first`."""
    size = first or longest
    while size < longest:
        yield size
        size *= 2
    yield longest


def budget_waves(
    prefixes: Prefixes,
    admits: Callable[[int], bool],
    first: int | None,
    finished: Callable[[], Mapping[Where, set[tuple[str, int]]]] | None = None,
) -> Iterator[int]:
    """Sizes that `admits`, asked before each wave what the money allows; stops where the next wave
    does not fit.

    finished: what is there after a wave, for what failed in it is asked again in the next and has
    to be admitted once more; None takes all as finished. Doubling at most, so that an estimate is
    never needed; the last waves shrink as the money does.
    """
    size = _largest(0, prefixes.longest, lambda k: prefixes.missing(k) == 0)
    if size == prefixes.longest:
        yield size
        return
    while size < prefixes.longest:
        target = min(max(2 * size, first or FIRST_WAVE), prefixes.longest)
        fitting = _largest(size, target, lambda k: admits(prefixes.missing(k)))
        if fitting == size or (fitting < target and fitting - size < WORTH * size):
            return
        yield fitting
        if finished is None:
            prefixes.mark(fitting)
        else:
            prefixes.done = dict(finished())
        size = fitting


def _largest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest k in (low, high] for which `holds` (monotone), else `low`."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
