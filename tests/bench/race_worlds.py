"""Suites with a known truth for races: those of `worlds`, and some whose qualities are set to be hard to judge, with
rare losses, clusters of uneven sizes and dollars with long tails among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.worlds import World, draw

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fixed:
    """Candidates of these true qualities and prices; in a share `alike` of the clusters all have the same luck. zipf:
    clusters of sizes g^-zipf that are right or wrong as a whole (0 = of one row); tail: deviation of log dollars."""

    truth: tuple[float, ...]
    price: tuple[float, ...]
    alike: float = 0.0
    zipf: float = 0.0
    tail: float = 0.3


def edge(margin: float, cheap: int, alike: float, best: float = 0.8, zipf: float = 0.0) -> Fixed:
    """The best, and `cheap` ones that lose a hair more than the margin: nobody may settle on one. A best one that is
    always right makes losses rare, and nothing makes up for them."""
    truth = (*[best - margin - 0.001] * cheap, best)
    return Fixed(truth, (*np.geomspace(1, 2, cheap).tolist(), 10.0), alike, zipf)


PERFECT = Fixed(
    (0.7, 0.99, *np.linspace(0.5, 0.98, 10).tolist()), (0.5, 1.0, *np.geomspace(2, 30, 10).tolist())
)
WIDE = Fixed(
    (0.55, 0.42, 0.7, 0.62, 0.8, 0.5, 0.9, 0.74, 0.66, 0.85, 0.58, 0.78, 0.93, 0.7, 0.88, 0.82, 0.6, 0.9, 0.86, 0.94),
    tuple(np.geomspace(1, 200, 20).tolist()), 0.4,
)  # fmt: skip
SCOUTS = Fixed((*[0.749] * 4, 0.8, 0.8, 0.78), (1.0, 1.2, 1.4, 1.6, 60.0, 80.0, 100.0), 0.5)
GATE = Fixed((*[0.749] * 4, 0.79, 0.8), (1.0, 2.0, 3.0, 4.0, 20.0, 40.0), 0.5)
LONG = Fixed((0.8,) * 5, (1.0, 1.2, 1.5, 2.0, 3.0), 0.5, tail=1.5)
SHORT = Fixed((0.72, 0.79, 0.80), (1.0, 4.0, 10.0), 0.5)
WORLDS: dict[str, tuple[World | Fixed, int, float]] = {
    "5 alike, n 300": (World(5, spread=0.0), 300, 0.03),
    "5 close, n 500": (World(5, spread=0.3), 500, 0.03),
    "5 spread, n 500": (World(5), 500, 0.03),
    "5 far, clusters of 4, n 600": (World(5, cluster=4, spread=2.5), 600, 0.05),
    "12 spread, n 300": (World(12, spread=2.0), 300, 0.05),
    "5 mostly ties, n 300": (World(5, easy=3.0, spread=0.6), 300, 0.03),
    "12, a cheap one of .99, n 160": (PERFECT, 160, 0.08),
    "20 at prices to 200, n 200": (WIDE, 200, 0.10),
    "20 at prices to 200, n 1000": (WIDE, 1000, 0.06),
    "3, the cheapest short, n 2000": (SHORT, 2000, 0.05),
    "edge, n 500": (edge(0.05, 1, 0.0), 500, 0.05),
    "edge, same luck on .8, n 500": (edge(0.05, 1, 0.8), 500, 0.05),
    "edge, 6 cheap, n 300": (edge(0.05, 6, 0.5), 300, 0.05),
    "edge, 4 scouts, n 400": (SCOUTS, 400, 0.05),
    "edge, 4 behind a gate, n 500": (GATE, 500, 0.05),
    "losses alone, n 80": (edge(0.05, 1, 0.0, 1.0), 80, 0.05),
    "losses alone, n 110": (edge(0.05, 1, 0.0, 1.0), 110, 0.05),
    "losses alone, n 200": (edge(0.03, 1, 0.0, 1.0), 200, 0.03),
    "losses alone, n 1000": (edge(0.02, 1, 0.0, 1.0), 1000, 0.02),
    "losses alone, 6 cheap, n 110": (edge(0.05, 6, 0.0, 1.0), 110, 0.05),
    "losses alone, 6 at once, n 110": (edge(0.05, 6, 1.0, 1.0), 110, 0.05),
    "losses alone, 23 cheap, n 110": (edge(0.05, 23, 0.0, 1.0), 110, 0.05),
    "losses alone, 23 cheap, n 300": (edge(0.03, 23, 0.0, 1.0), 300, 0.03),
    "Zipf 1, 40 clusters": (edge(0.10, 1, 0.8, zipf=1.0), 40, 0.10),
    "Zipf 0.7, 100 clusters": (edge(0.05, 1, 0.8, zipf=0.7), 100, 0.05),
    "Zipf 1, 400 clusters": (edge(0.05, 4, 0.8, zipf=1.0), 400, 0.05),
    "Zipf 1, losses alone, 110": (edge(0.05, 1, 0.0, 1.0, 1.0), 110, 0.05),
    "dollars with long tails, n 300": (LONG, 300, 0.05),
}


def truth_of(world: World | Fixed) -> tuple[Floats, Floats]:
    """True quality and mean price [c]; of a `World` on 50,000 rows."""
    if isinstance(world, Fixed):
        return np.array(world.truth), np.array(world.price)
    people = draw(world, 50_000, np.random.default_rng(10_000))
    return people.truth.mean(axis=0), people.costs.mean(axis=0)


def rows_of(
    world: World | Fixed, n: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Quality and dollars [rows, c], clusters [rows]; n rows, of a `Fixed` clusters."""
    if isinstance(world, World):
        rows = draw(world, n, rng)
        return rows.quality, rows.costs, rows.group
    sizes = np.arange(1, n + 1) ** -world.zipf
    sizes = np.maximum(1, np.round(sizes / sizes[-1])).astype(np.int64)
    group = np.repeat(np.arange(n), sizes)
    truth, price = np.array(world.truth), np.array(world.price)
    luck = np.where((rng.random(n) < world.alike)[:, None], rng.random((n, 1)), rng.random((n, len(truth))))
    spread = rng.normal(0, world.tail, (len(group), len(truth)))
    costs = price * np.exp(spread - world.tail**2 / 2)
    return (luck < truth).astype(np.float64)[group], costs, group
