"""The interval of a saving where few rows carry most dollars: how often each side misses a truth that is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from router_lab.certificate import Figure
from router_lab.metrics import paired_saving, uneven
from router_lab.report.told import ranged_percent

Floats = NDArray[np.float64]
DRAWS = 400


def costs(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Lognormal with a mean of 1."""
    return np.exp(sigma * rng.normal(size=n) - sigma * sigma / 2)


def missed(
    n: int, sigma: float, share: float, *, own: bool = False, mix: bool = False
) -> tuple[float, float, float]:
    """The shares of draws whose 95 % interval lies above and below the truth, and its median length."""
    found = []
    for draw in range(DRAWS):
        rng = np.random.default_rng([n, draw])
        base = costs(rng, n, sigma)
        cheap = 0.1 * (costs(rng, n, sigma) if own else base)
        cost = (1 - share) * base + share * cheap if mix else np.where(rng.random(n) < share, cheap, base)
        found.append(paired_saving(cost, base).interval())
    low, high = np.array(found).T
    truth = share * 0.9
    return float((low > truth).mean()), float((high < truth).mean()), float(np.median(high - low))


@pytest.mark.parametrize(
    ("n", "sigma", "share", "own", "mix", "widest"),
    [
        (100, 2.0, 0.95, False, False, 0.50),  # the delta method missed 28 % on one side
        (300, 1.5, 0.95, False, False, 0.20),  # 15 %
        (300, 1.5, 0.10, False, False, 0.22),  # 11 % on the other
        (300, 1.5, 0.50, True, True, 0.10),  # 6 %
        (300, 1.5, 0.60, True, False, 0.36),
        (300, 0.7, 0.60, False, False, 0.14),  # where tails are short nothing much is added: .130
    ],
)
def test_each_side_of_a_savings_interval_misses_no_more_than_promised(
    n: int, sigma: float, share: float, own: bool, mix: bool, widest: float
) -> None:
    above, below, length = missed(n, sigma, share, own=own, mix=mix)
    allowed = 0.025 + 2 * np.sqrt(0.025 * 0.975 / DRAWS)
    assert above <= allowed and below <= allowed
    assert length < widest


def test_more_of_the_same_samples_are_surer() -> None:
    """Twice the samples, half the variance: neither the unseen row nor the tail stays as large as it was."""
    rng = np.random.default_rng(5)
    base = costs(rng, 200, 1.0)
    cost = np.where(rng.random(200) < 0.8, 0.1, 1.0) * base
    once, twice = paired_saving(cost, base), paired_saving(np.tile(cost, 2), np.tile(base, 2))
    assert twice.value == pytest.approx(once.value)
    assert twice.value - twice.low(0.95) < (once.value - once.low(0.95)) / 1.3
    copies = paired_saving(np.tile(cost, 2), np.tile(base, 2), np.tile(np.arange(200), 2))
    assert copies.interval() == pytest.approx(once.interval())


def test_a_row_that_stands_for_many_leaves_room_for_as_many() -> None:
    """A race's floor: one row in ten was run, at a weight of ten; it counts as the heaviest would make up, 60 / 10."""
    weight = np.where(np.arange(60) < 54, 1.0, 10.0)
    cost = np.where(np.arange(60) == 0, 1.0, 0.1)
    plain = paired_saving(cost, np.ones(60))
    heavy = paired_saving(cost, np.ones(60), weights=weight)
    assert heavy.independent == 11  # 114 / 10
    assert heavy.size == pytest.approx(heavy.value * (1 / 11) / (1 + 3 / 11))
    assert heavy.size > 4 * plain.size


def test_a_saving_that_few_dear_rows_carry_says_so() -> None:
    """50 rows of 1 dollar and 12 of 30: (50 + 360)^2 / (50 + 12 * 900) = 15.5 rows alike."""
    base = np.r_[np.ones(50), np.full(12, 30.0)]
    found = paired_saving(np.where(np.arange(62) % 2 == 0, 0.1, 1.0) * base, base)
    shown = Figure.of(found)
    assert (found.independent, uneven(found), shown.alike) == (15, 15, 15)
    assert Figure.from_json(shown.to_json()) == shown
    said = ranged_percent(shown, " of its cost")
    assert said == "45.0 % (17.0 to 73.0) of its cost, carried by few: all groups count as 15"


def test_a_saving_of_rows_alike_or_of_too_few_says_nothing_of_it() -> None:
    for n in (12, 62):
        found = paired_saving(np.where(np.arange(n) % 2 == 0, 0.1, 1.0), np.ones(n))
        assert uneven(found) is None and "alike" not in Figure.of(found).to_json()
        assert "carried" not in ranged_percent(Figure.of(found))
