"""What a certificate says of chains, and of those that were left out."""

from __future__ import annotations

from dataclasses import dataclass

from router_lab.certificate.figures import Figure, OfCandidate
from router_lab.certificate.shape import Count, Number, Part, Share, Text, TextOrNull
from router_lab.runtime.model import Candidate


@dataclass(frozen=True, kw_only=True)
class StageShown(OfCandidate):
    """What a candidate did in chains: of all requests, the share that asked it and the share whose
    answer it gave; dollars of its calls, a request."""

    asked: Share
    kept: Share
    cost_usd: Number


@dataclass(frozen=True, kw_only=True)
class Without(Part):
    """The same fit without chains, on the same rows."""

    quality_difference: Figure | None = None
    savings: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class ChainsShown(Part):
    """What chains did on left-out rows, of all requests: the share that went through one, that
    asked more than one candidate, and that ended at a cap without an answer; what signals cost;
    `looks_at`: which kinds of things the acceptance models read; `without_signals`: the saving,
    and the difference in quality, if every signal went missing and each judged answer were asked
    again; `without`: the same fit without chains."""

    share: Share
    escalated: Share
    stopped: Share
    signals_usd: Number
    looks_at: tuple[Text, ...]
    signals: tuple[Text, ...]
    stages: tuple[StageShown, ...]
    savings_without_signals: Number | None = None
    quality_difference_without_signals: Number | None = None
    without: Without | None = None


@dataclass(frozen=True, kw_only=True)
class ChainsLost(Part):
    """Chains that were looked at where none is deployed: how many, and on left-out rows the best of
    those that lose no more than the rule allows, chosen on the same rows: all None where none
    does. over: saved more than by what is deployed."""

    considered: Count
    savings: Figure | None = None
    quality_difference: Figure | None = None
    over: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class TooSlow(Part):
    """A chain by its stages ([model, effort] and the harness, if any) that takes longer than the
    recipe allows: in which suites all of its versions (tradeoffs and caps) were left out, and in
    which some; the 95th percentile of a request's seconds, of the fastest and of the slowest that
    was."""

    stages: tuple[tuple[TextOrNull, ...], ...]
    least_s: Number
    most_s: Number
    suites: tuple[Text, ...]
    some_versions: tuple[Text, ...]

    @property
    def chain(self) -> str:
        """For people: `a → b`."""
        return " → ".join(str(Candidate(str(model), *rest)) for model, *rest in self.stages)


@dataclass(frozen=True, kw_only=True)
class ChainsTooSlow(Part):
    """The recipe's bound on the seconds of chains, how many of several stages there were, and which
    it left out."""

    latency_p95_s: Number
    considered: Count
    left_out: tuple[TooSlow, ...]


@dataclass(frozen=True, kw_only=True)
class WithoutCalls(Part):
    """A candidate ([model, effort] and the harness, if any) of whose runs some have no dollars by
    call, and of how many."""

    candidate: tuple[TextOrNull, ...]
    runs: Count
    of: Count

    @property
    def who(self) -> Candidate:
        model, *rest = self.candidate
        return Candidate(str(model), *rest)


@dataclass(frozen=True, kw_only=True)
class TurnCaps(Part):
    """Whose runs could be stopped after some model calls, and of whom that is not known."""

    considered: tuple[tuple[TextOrNull, ...], ...]
    left_out: tuple[WithoutCalls, ...]
