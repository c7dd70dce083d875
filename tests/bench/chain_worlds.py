"""`make bench-chains` on made-up worlds, run apart: how often a chain or a cap that was certified loses more than the
margin, where the truth is known.

    python tests/bench/chain_worlds.py [--draws N] [--only WORLD]
    python tests/bench/chain_worlds.py --kept [--draws N]

In each world the cheap candidate loses a little more than the margin if it serves everything, so that luck alone makes
a fit pass there. The truth of a policy is its replay on FRESH rows of the same world. Of `informative` and `shifted`
the saving and the loss are printed as well: after a shift no promise holds, and it is shown how far.

`--kept`: in the worlds of UNINFORMATIVE each draw is also fitted with `escalate: false`. Printed is how much of that
fit's true saving is kept by the one that may judge answers by noise: the ratio of the mean savings over all draws, with
its 95 % interval (draws as clusters), against KEPT.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.metrics.estimate import clustered_ratio
from router_lab.metrics.paired import Floats
from router_lab.replay import replay

MARGIN, DELTA, ROWS, FRESH = 0.04, 0.10, 400, 6_000
BEYOND = 1.2
"""What the cheap candidate loses, in margins."""
KEPT = 0.97
"""Of the saving without chains, at least, where no signal tells anything."""
Rng = np.random.Generator


@dataclass(frozen=True)
class World:
    """signals: name -> what it says of the cheap answers [n], from their quality; costs of the cheap runs; caps;
    suites; shifted: what signals say once the policy serves."""

    signals: Callable[[Rng, Floats], dict[str, Floats]]
    costs: Callable[[Rng, Floats], Floats] = lambda rng, quality: np.full(len(quality), 0.001)
    caps: bool = False
    suites: int = 1
    shifted: Callable[[Rng, Floats], dict[str, Floats]] | None = None


def noise(count: int) -> Callable[[Rng, Floats], dict[str, Floats]]:
    return lambda rng, quality: {f"signal_{k}": rng.normal(size=len(quality)) for k in range(count)}


def telling(rng: Rng, quality: Floats) -> dict[str, Floats]:
    return {"signal_sure": 2.0 * quality + rng.normal(size=len(quality))}


def mumbling(rng: Rng, quality: Floats) -> dict[str, Floats]:
    """Tells nearly nothing, on a scale of its own in each half of the rows."""
    scale = np.where(np.arange(len(quality)) % 2 == 0, 1.0, 1e6)
    return {"signal_sure": (0.2 * quality + rng.normal(size=len(quality))) * scale}


def lying(rng: Rng, quality: Floats) -> dict[str, Floats]:
    """The other way round."""
    return {"signal_sure": -2.0 * quality + rng.normal(size=len(quality))}


def heavy(rng: Rng, quality: Floats) -> Floats:
    """Dollars of runs with a tail, whatever becomes of them."""
    return 0.001 * np.exp(1.5 * rng.normal(size=len(quality)))


WORLDS = {
    "one signal of noise": World(noise(1)),
    "thirty signals of noise": World(noise(30)),
    "a signal that mumbles, on two scales": World(mumbling),
    "noise, twenty suites": World(noise(3), suites=20),
    "caps at a heavy tail": World(lambda rng, quality: {}, heavy, caps=True),
    "informative": World(telling),
    "shifted: the signal lies once it serves": World(telling, shifted=lying),
}


UNINFORMATIVE = ("one signal of noise", "thirty signals of noise")


def rows(world: World, rng: Rng, n: int, *, serving: bool = False) -> pd.DataFrame:
    large = (rng.random(n) < 0.8).astype(float)
    lost = rng.random(n) < BEYOND * MARGIN / 0.8 + 0.06
    won = rng.random(n) < 0.06 * 0.8 / 0.2
    small = np.where(large > 0, np.where(lost, 0.0, 1.0), np.where(won, 1.0, 0.0))
    names = {"suite": [f"s{i % world.suites}" for i in range(n)], "sample_id": [str(i) for i in range(n)]}
    said = world.shifted if serving and world.shifted is not None else world.signals
    cheap = pd.DataFrame(
        names | {"model": "small", "quality": small, "cost_usd": world.costs(rng, small)} | said(rng, small)
    )
    dear_costs = world.costs(rng, large) * 20 if world.caps else np.full(n, 0.02)
    dear = pd.DataFrame(names | {"model": "large", "quality": large, "cost_usd": dear_costs})
    return pd.concat([cheap, dear], ignore_index=True)


def played(world: World, draw: int, *, escalate: bool = True) -> tuple[float, float]:
    """(true loss, true saving) of what is deployed; what does not route loses nothing."""
    rng = np.random.default_rng([18, draw])
    recipe = Recipe.model_validate(
        {"name": "w", "reference": {"model": "large", "effort": None}, "rule": {"margin": MARGIN, "confidence": 1 - DELTA},
         "holdout": 0.0, "caps": world.caps, "escalate": escalate}
    )  # fmt: skip
    policy = fit_policy(recipe, rows(world, rng, ROWS))
    fresh = rows(world, rng, FRESH, serving=True).assign(
        sample_id=lambda table: "fresh " + table["sample_id"]
    )
    found = replay(policy, fresh)
    return found.reference_quality - found.quality, found.savings


def kept(name: str, draws: int) -> str:
    """The share of the saving without chains that is kept, over draws of a world."""
    found = []
    for draw in range(draws):
        found.append([played(WORLDS[name], draw, escalate=may)[1] for may in (True, False)])
        print(f"  {name}: {draw + 1} of {draws}", end="\r", file=sys.stderr, flush=True)
    judged, plain = np.array(found).T
    share = clustered_ratio(judged, plain)
    low, high = share.interval(0.95)
    verdict = "kept" if low >= KEPT else "not kept" if high < KEPT else "not shown"
    same, less = np.isclose(judged, plain).mean(), (judged < KEPT * plain).mean()
    return (
        f"{name:<26} saved {100 * judged.mean():.2f} % and {100 * plain.mean():.2f} % without chains: {share.value:.4f} "
        f"of it [{low:.4f}, {high:.4f}], at least {KEPT} is asked: {verdict}; the same in {same:.2f} of {draws} draws, "
        f"less than {KEPT} of it in {less:.2f}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, help="300 of a world, or 100 of what is kept")
    options.add_argument("--only", choices=tuple(WORLDS))
    options.add_argument("--kept", action="store_true", help="what is kept of the saving without chains")
    given = options.parse_args()
    draws = given.draws or (100 if given.kept else 300)
    warnings.simplefilter("ignore")
    print(
        f"margin {100 * MARGIN:.0f} points, delta {DELTA}, {ROWS} rows, {draws} draws; violation: more is lost"
    )
    if given.kept:
        for name in (given.only,) if given.only else UNINFORMATIVE:
            print(kept(name, draws), flush=True)
        return
    for name in (given.only,) if given.only else WORLDS:
        results = []
        for draw in range(draws):
            results.append(played(WORLDS[name], draw))
            print(f"  {name}: {draw + 1} of {draws}", end="\r", file=sys.stderr, flush=True)
        loss, saving = np.array(results).T
        rate = float((loss > MARGIN).mean())
        error = 1.96 * np.sqrt(rate * (1 - rate) / len(loss))
        print(f"{name:<42} violations {rate:.3f} ± {error:.3f}   loss {100 * loss.mean():+.2f} points   "
              f"saved {100 * saving.mean():.1f} %   routes {(saving != 0).mean():.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
