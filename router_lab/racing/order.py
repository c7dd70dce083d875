"""In which order and waves a race runs, and which clusters are its control share: all known before
it starts."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from router_lab.metrics.steady import Ints

GROWTH, STEP = 1.25, 0.025
"""Each wave makes the race at least so many times longer, but none need add more than this share
of the suite (or than the first wave): late waves are where stopping in time is worth most."""
BATCH = (1 / 16, 2.0, 0.25)
"""First share of the suite, GROWTH and STEP where each wave is a batch, which may take a day."""


def waves(first: int, ends: Ints, *, batch: bool = False) -> list[int]:
    """Rows run after each wave, at `ends` of clusters: at least `first`, then GROWTH times the one
    before, or where that is less STEP of all rows more, or `first` more."""
    sizes: list[int] = []
    share, growth, step = BATCH if batch else (0.0, GROWTH, STEP)
    least = wanted = max(float(first), share * int(ends[-1]))
    for end in map(int, ends):
        if end >= wanted or end == ends[-1]:
            sizes.append(end)
            wanted = max(end + 1, min(end * growth, end + max(least, step * int(ends[-1]))))
    return sizes


CONTROL = "floor"
"""The part that those who left still run, by the word that its hash has always had: another would
draw another part."""


def in_share(seed: int, suite: str, cluster: str, share: float, *, part: str = CONTROL) -> bool:
    """Whether a cluster belongs to a random share: a hash decides, before anything is known, and a
    larger share only adds. `part`: which one; each is drawn independently of the others."""
    digest = hashlib.sha256(f"{seed}\0{suite}\0{cluster}\0{part}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def whole_clusters(clusters: Ints | NDArray[np.object_]) -> tuple[Ints, Ints]:
    """The order [n] in which a race runs rows, and the ends [G] of its clusters in that order.

    clusters [n]: codes or names in the fixed shuffled order of the suite. A cluster runs where its
    first row stands, for only complete clusters may be bet on; waves end where clusters do.
    """
    _, first, codes = np.unique(clusters, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first, kind="stable"), kind="stable")[codes]
    order = np.argsort(place, kind="stable")
    return order.astype(np.int64), np.cumsum(np.bincount(place)).astype(np.int64)
