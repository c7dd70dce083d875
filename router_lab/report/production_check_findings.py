"""One check of a production check, and the error probabilities that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import norm

HOLDS, BROKEN, UNSURE = "still holds", "does not hold", "cannot tell yet"
ALPHA = 0.05
"""Chance that a quiet log ever raises an alarm over quality, and that one look at it raises any
other."""
OTHER_CHECKS = 4
Z_OTHER = float(norm.isf(ALPHA / OTHER_CHECKS))
Z_POWER = float(norm.ppf(0.8))


@dataclass(frozen=True)
class Finding:
    """One check. verdict: still holds, does not hold, or cannot tell yet; more: requests that
    would settle it.

    drift, within: a change worth naming, and the requests in which this check names it four times
    in five.
    """

    name: str
    verdict: str
    text: str
    more: int | None = None
    drift: str = ""
    within: int | None = None
