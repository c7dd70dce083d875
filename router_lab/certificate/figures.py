"""An estimate with its interval, and of whom it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Protocol, Self

from router_lab.certificate.shape import OMITTED, Count, Number, Part, Text
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    from router_lab.metrics import Estimate


class Compared(Protocol):
    """Something with a difference in quality to the reference, and a share of the reference's cost
    that it saves."""

    @property
    def quality_difference(self) -> Figure | None: ...
    @property
    def savings(self) -> Figure | None: ...


@dataclass(frozen=True, kw_only=True)
class Figure(Part):
    """An estimate with its two-sided interval at `confidence`, and the rows and clusters that it
    stands on; `alike`: as how many of one size these count, where a few large (of dollars: dear)
    ones carry it."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    confidence: Number | None = None
    n: Count | None = None
    clusters: Count | None = None
    alike: Count | None = field(default=None, metadata=OMITTED)

    @classmethod
    def of(cls, estimate: Estimate, confidence: float = 0.95) -> Self:
        """What is not finite is not known."""
        # Which advises by certificates, so it knows this module.
        from router_lab.metrics.verdict import (
            uneven,
        )

        ends = (estimate.value, *estimate.interval(confidence))
        value, low, high = (end if isfinite(end) else None for end in ends)
        return cls(
            value=value, low=low, high=high, confidence=confidence, n=estimate.n, clusters=estimate.clusters,
            alike=uneven(estimate),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OfCandidate(Part):
    model: Text
    effort: Text | None
    harness: Text | None = field(default=None, metadata=OMITTED)

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.model, self.effort, self.harness)
