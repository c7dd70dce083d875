"""Simulated worlds with a known truth: scores of a predictor and losses, without any text.

Every row has a difficulty, shared by its cluster; a candidate of strength a answers with probability
sigmoid(2 (a - difficulty) + its own whim). The predictor sees the difficulty through noise and no whim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """candidates: their number. cluster: mean rows a cluster. epochs: draws a row. noise: of the predictor (inf = none
    of it is signal). spread: of strengths; 0 = all alike. easy: added to all strengths (large = mostly ties).
    missing: share of outcomes lost at random; the last candidate is seen on 60 % where it is above 0."""

    candidates: int = 5
    cluster: float = 1.0
    epochs: int = 1
    noise: float = 0.7
    spread: float = 1.5
    easy: float = 0.5
    missing: float = 0.0
    suites: int = 1


@dataclass(frozen=True)
class Draw:
    """truth, scores, costs, guesses, quality: [n, c]; group, suite: [n]."""

    truth: Floats
    scores: Floats
    costs: Floats
    guesses: Floats
    quality: Floats
    group: NDArray[np.int64]
    suite: NDArray[np.int64]


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def draw(world: World, n: int, rng: np.random.Generator) -> Draw:
    """n rows of the world: true probabilities, predictions and outcomes."""
    c = world.candidates
    strength = world.easy + world.spread * np.linspace(-0.5, 0.5, c)
    group = (
        np.sort(rng.integers(0, max(1, round(n / world.cluster)), n)) if world.cluster > 1 else np.arange(n)
    )
    suite = group % world.suites
    # The world's own, not the draw's.
    tilt = np.random.default_rng(world.candidates).normal(0, 0.4, (world.suites, c))
    hard, whim = rng.normal(0, 1, n)[group], rng.normal(0, 0.6, (n, c))[group]
    centre = strength + tilt[suite] * (world.suites > 1)
    truth = sigmoid(2 * (centre - hard[:, None]) + whim)
    if np.isinf(world.noise):
        seen = rng.normal(0, 1, n)[group]
    else:
        seen = (hard + rng.normal(0, world.noise, n)[group]) / (1 + world.noise**2)
    scores = sigmoid(2 * (centre - seen[:, None]))
    price = 10.0 ** np.linspace(-2, 0, c) if c > 1 else np.ones(1)
    guesses = price * np.exp(rng.normal(0, 0.3, (n, c))[group])
    costs = guesses * np.exp(rng.normal(0, 0.3, (n, c)) - 0.045)
    quality = np.mean([_outcomes(truth, group, rng) for _ in range(world.epochs)], axis=0)
    if world.missing:
        lost = rng.random((n, c)) < world.missing
        lost[:, -1] |= rng.random(n) < 0.4
        quality = np.where(lost, np.nan, quality)
    return Draw(truth, scores, costs, guesses, quality, group.astype(np.int64), suite.astype(np.int64))


def _outcomes(truth: Floats, group: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Right or wrong; two in three rows of a cluster share their luck."""
    n, c = truth.shape
    together = np.asarray(rng.random(n) < 2 / 3)
    luck = np.where(together[:, None], rng.random((n, c))[group], rng.random((n, c)))
    return (luck < truth).astype(np.float64)
