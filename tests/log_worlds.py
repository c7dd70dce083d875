"""Policies for tests of decision logs: three candidates, of which pieces choose without reading."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from router_lab.runtime.features import Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Assign, Piece
from router_lab.runtime.policy import Policy


class Cast(NamedTuple):
    """The candidates, sorted; what is predicted of each, quality and dollars; which is the reference."""

    names: tuple[str, ...]
    quality: tuple[float, ...]
    usd: tuple[float, ...]
    reference: int


THREE = Cast(("cheap", "dear", "middle"), (0.7, 0.8, 0.75), (0.002, 0.01, 0.004), 1)
PAGE = Cast(("gpt-5", "gpt-5-mini", "haiku"), (0.8, 0.75, 0.7), (0.01, 0.002, 0.001), 0)


def policy(*pieces: Piece, name: str = "challenger", cast: Cast = THREE) -> Policy:
    rest = [column for column in range(3) if column != cast.reference]
    return Policy(PolicySpec(
        name=name, profiles=tuple(Profile(Candidate(one)) for one in cast.names), reference=cast.reference,
        suites=("triage",), featuriser=Featuriser(buckets=1 << 8),
        linear=Linear.constant(np.array([cast.quality + cast.usd] * 2), np.array([[0.0] * 3, [1.0] * 3])),
        coverage=0.0, routes={}, fallbacks=(cast.reference, *rest), points={"default": pieces}, point="default",
        certificate={"verdict": "pass", "reason": "shown"},
    ))  # fmt: skip


def always(who: str, share: float = 1.0, *, name: str = "challenger", cast: Cast = THREE) -> Policy:
    """One candidate for a share of all requests, the reference for the rest."""
    return policy(Assign((cast.names.index(who),) * 2, share), name=name, cast=cast)
