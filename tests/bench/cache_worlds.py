"""A world of two candidates and sessions of 40 turns: for `make bench-caches`, and for tests that work its figures out
by hand."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np

from router_lab.caching.sessions import Session, Turn
from router_lab.config import Price
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime import model as spec
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy

SMALL, LARGE = Candidate("small"), Candidate("large")
COMMON = {"starts": dt.date(2026, 1, 1), "source": "s", "checked": dt.date(2026, 1, 1)}
SMALL_PRICES = {"input": 1.0, "output": 4.0, "cache_read": 0.1, "cache_write_5m": 1.25, "cache_write_1h": 2.0}
LARGE_PRICES = {kind: 10 * price for kind, price in SMALL_PRICES.items()}
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def table(**changes: float | None) -> PriceTable:
    rows = {"small": SMALL_PRICES, "large": LARGE_PRICES}
    return PriceTable(
        {name: [Price(**(COMMON | row | changes))] for name, row in rows.items()}, default=False
    )


def lane(
    model: str, prompts: Sequence[int], output: int, waits: Sequence[float], texts: Sequence[str] = ()
) -> tuple[Turn, ...]:
    every = [*texts, *("" for _ in prompts)]
    times: list[float | None] = [*waits, None]
    return tuple(
        Turn(model, Tokens(input=n, output=output), DAY, wait, text)
        for n, wait, text in zip(prompts, times, every, strict=False)
    )


TURNS = 40
PROMPTS = [1000 * turn for turn in range(1, TURNS + 1)]


def long(texts: Sequence[str] = (), waits: Sequence[float] = (10.0,) * (TURNS - 1)) -> Session:
    """40 turns, each 1,000 tokens longer than the one before and answered in 100."""
    lanes = {who: lane(who.model, PROMPTS, 100, waits, texts or ["easy"] * TURNS) for who in (LARGE, SMALL)}
    return Session(("chat", " ".join(texts)[:40] or "s", 1), lanes)


def policy(*, sessions: bool = True, tradeoff: float = 0.05) -> Policy:
    """small is as good as large on `easy` and far worse on `hard`; each predicted at what 40 turns cost uncached:
    $.836 and $8.36. Utilities .90 − .042 against .90 − .418 on easy, .30 − .042 against .482 on hard."""
    features = Featuriser(buckets=1 << 12)
    easy, hard = (features(text).buckets for text in ("easy", "hard"))
    seen = np.unique(np.concatenate([easy, hard]))
    weights = np.zeros((len(seen), 4))
    weights[np.isin(seen, hard), 1] = -0.6 / math.sqrt(len(np.unique(hard)))
    known = spec.Session(float(TURNS), 40_000.0, 780_000.0)
    return Policy(
        PolicySpec(
            name="p",
            profiles=tuple(
                Profile(Candidate(name), prices=spec.Prices(**prices))
                for name, prices in (("large", LARGE_PRICES), ("small", SMALL_PRICES))
            ),
            reference=0, suites=("chat",), featuriser=features,
            linear=Linear.quantised(
                seen=seen, weights=weights, bias=np.array([[0.9, 0.9, 8.36, 0.836]] * 2),
                dense=np.zeros((len(DENSE), 4)), cost_bounds=np.array([[0.0] * 2, [100.0] * 2]),
            ),
            points={"default": (Follow(tradeoff, 0.0, 1.0),)}, point="default", coverage=0.5, routes={},
            fallbacks=(0, 1),
            sessions=spec.Sessions("none", ((known, known), (known, known))) if sessions else None,
        )
    )  # fmt: skip


def random_sessions(share: float, count: int, seed: int = 19) -> list[Session]:
    """Sessions in which each turn is hard at that probability."""
    random = np.random.default_rng(seed)
    worlds = [long(["hard" if x else "easy" for x in random.random(TURNS) < share]) for _ in range(count)]
    return [one._replace(key=("chat", str(number), 1)) for number, one in enumerate(worlds)]
