"""What a policy is judged against and shown beside."""

from __future__ import annotations

from dataclasses import dataclass, field

from router_lab.certificate.figures import Figure, OfCandidate
from router_lab.certificate.shape import OMITTED, Count, Number, Part, Share, Text
from router_lab.runtime.model import Candidate


@dataclass(frozen=True, kw_only=True)
class Reference(OfCandidate):
    """The candidate that the policy was judged against."""


@dataclass(frozen=True, kw_only=True)
class Fixed(OfCandidate):
    """One candidate for everything: mean quality and dollars a request, and paired with the
    reference; `cut_off`: the share of its answers that ended at max_tokens."""

    quality: Number | None = None
    cost_usd: Number | None
    quality_difference: Figure | None = None
    savings: Figure | None = None
    cut_off: Share | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, kw_only=True)
class Mixed(OfCandidate):
    """A candidate, and the probability with which it serves, whatever is asked."""

    effort: Text | None = None
    probability: Share


@dataclass(frozen=True, kw_only=True)
class RandomMix(Mixed):
    """The baseline that reads nothing: the candidate that serves most beside the reference with
    its probability, and `others` where halves of the rows chose more than one; the figures are of
    all of it."""

    others: tuple[Mixed, ...] | None = field(default=None, metadata=OMITTED)
    quality_difference: Figure | None
    savings: Figure | None

    @property
    def parts(self) -> dict[Candidate, float]:
        """The probability of each of its candidates, the reference's left out."""
        return {row.candidate: row.probability for row in (self, *(self.others or ())) if row.probability}

    @property
    def moved(self) -> float:
        """Share of the requests that leave the reference."""
        return sum(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Oracle(Part):
    """Hindsight: mean quality and dollars a request of each row's best outcome."""

    quality: Number | None = None
    cost_usd: Number | None = None
    n: Count | None = None
