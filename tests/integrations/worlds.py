"""Small policies for drop-ins, of numbers that can be computed by hand. No host is needed here."""

from __future__ import annotations

from typing import Any

import numpy as np

from router_lab.runtime.chains import Judge, Stage, Term
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, Limits, PolicySpec, Prices, Profile
from router_lab.runtime.points import Cascade, Follow
from router_lab.runtime.policy import Policy

BUCKETS = 1 << 12
APIS = ("openai_chat", "openai_responses", "anthropic")
PRICES = (Prices(1.0, 4.0, cache_read=0.1), Prices(10.0, 40.0, cache_read=1.0))
"""Of `cheap` and `dear`: dollars per million tokens."""
EASY, HARD = "what is france capital city", "prove this theorem about primes"


def profile(name: str, api: str | None, prices: Prices | None = None, **request: Any) -> Profile:
    arguments = {"model": f"{name}-1", **({"max_tokens": 64} if api != "openai_responses" else {})}
    return Profile(
        Candidate(name), request={"api": api, "arguments": arguments, **request}, prices=prices, context_window=100_000
    )  # fmt: skip


def words(texts: tuple[str, ...]) -> Any:
    plain = Featuriser(buckets=BUCKETS)
    return np.unique(np.concatenate([plain(text).buckets for text in texts]))


def choosing(*apis: str, name: str = "support", worse: float = 0.30, **request: Any) -> Policy:
    """`cheap` and `dear` of each API, by default of all three. Cheap is .90 good on every word that was seen and
    `worse` less on those of HARD, dear is .90 on all: at $0.1 = 1 point of 1 cheap serves EASY, dear HARD."""
    named = [(kind, api) for api in (apis or APIS) for kind in ("cheap", "dear")]
    profiles = tuple(
        sorted(
            (
                profile(kind if len(apis) == 1 else f"{kind}-{api}", api, PRICES[kind == "dear"], **request)
                for kind, api in named
            ),
            key=lambda one: one.candidate,
        )
    )
    count, cheap = len(profiles), [one.candidate.model.startswith("cheap") for one in profiles]
    seen = words((EASY, HARD))
    weights = np.zeros((len(seen), 2 * count))
    hard = np.isin(seen, words((HARD,)))
    weights[np.ix_(hard, np.flatnonzero(cheap))] = -worse
    # Of the same kind the first by name is the better one, by so little that nobody else notices.
    quality = [0.9 - place * 1e-6 for place in range(count)]
    cost = [0.001 if one else 0.010 for one in cheap]
    return Policy(
        PolicySpec(
            name=name, profiles=profiles, reference=cheap.index(False), suites=("triage",),
            featuriser=Featuriser(buckets=BUCKETS),
            linear=Linear.quantised(
                seen=seen, weights=weights, bias=np.array([quality + cost] * 2),
                dense=np.zeros((len(DENSE), 2 * count)),
                cost_bounds=np.array([[0.0] * count, [1.0] * count]),
            ),
            points={"default": (Follow(10.0, 0.0),)}, point="default", coverage=0.5, routes={},
            fallbacks=tuple(sorted(range(count), key=lambda one: cheap[one])),
            limits=((Limits(200, 4, 1.0),) * count,) * 2,
            certificate={"verdict": "pass", "reason": "shown"},
        ),
        revision=f"{name}-revision",
    )  # fmt: skip


def chained(api: str, gain: float = 0.5, name: str = "support", told_apart: bool = False) -> Policy:
    """cheap first; then dear where the answer's log-probability is not known, or `gain` is above its cost. told_apart:
    they are named with their API, as `choosing` names those of several."""
    profiles = tuple(
        profile(f"{kind}-{api}" if told_apart else kind, api, prices)
        for kind, prices in zip(("cheap", "dear"), PRICES, strict=True)
    )
    signal = ("logprob",) if api != "anthropic" else ()
    source = "signal:logprob" if signal else "answer:length"
    term = Term(source, (-1.0, 0.0) if signal else (0.0, 1e6), np.full((2, 1, 2), gain))
    chain = (Stage(0, Judge((1,), signal, np.zeros((2, 1)), (term,))), Stage(1))
    return Policy(
        PolicySpec(
            name=name, profiles=profiles, reference=1, suites=("triage",), featuriser=Featuriser(buckets=1 << 8),
            linear=Linear.constant(np.array([[0.6, 0.9, 0.001, 0.01]] * 2), np.array([[0.0, 0.0], [1.0, 1.0]])),
            coverage=0.0, routes={}, fallbacks=(1, 0), points={"default": (Cascade((None, 0), 1.0),)},
            point="default", chains=(chain,), certificate={"verdict": "pass", "reason": "shown"},
        ),
        revision=f"{name}-chain",
    )  # fmt: skip
