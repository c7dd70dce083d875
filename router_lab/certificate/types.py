"""What a certificate says: one type for each object of certificate.json, those of baselines and of
chains in modules of their own. None = not known, or does not apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from router_lab.certificate.baselines import Fixed, Oracle, RandomMix, Reference
from router_lab.certificate.chained import ChainsLost, ChainsShown, ChainsTooSlow, TurnCaps
from router_lab.certificate.figures import Figure
from router_lab.certificate.shape import OMITTED, Count, Flag, Number, Part, Share, Text, TextOrNull
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    from router_lab.runtime.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Rule(Part):
    """The recipe's rule: `margin`, `quality` or `budget`, at which level (of a request, in
    dollars, for a budget)."""

    kind: Text | None = None
    level: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Judged(Part):
    """What a verdict was judged by: value and one-sided bounds at `confidence`, in `unit`, against
    a floor or, under a budget, a ceiling; at which mix, on which rows."""

    unit: Text
    floor: Number | None = field(default=None, metadata=OMITTED)
    ceiling: Number | None = field(default=None, metadata=OMITTED)
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    confidence: Share
    sides: Count | None = None
    mix: Share | None = None
    rows: Text
    n: Count | None = None
    clusters: Count | None = None

    @classmethod
    def lacking(cls, value: Mapping[str, object]) -> list[str]:
        limit = "ceiling" if value.get("unit") == "usd_per_1k" else "floor"
        return [limit] if value.get(limit) is None else []


@dataclass(frozen=True, kw_only=True)
class PointShown(Part):
    """An operating point: its rule, its share of the error probability, and what was chosen for
    it."""

    kind: Text | None = None
    level: Number | None = None
    confidence: Number | None = None
    predictor: Text | None = None
    tradeoff: Number | None = None
    guard: Number | None = None
    mix: Share | None = None
    shown: Flag | None = None


@dataclass(frozen=True, kw_only=True)
class Explored(Part):
    """What is explored: the share of requests, and what that does to quality and saves, beside the
    same policy without it, paired; all figures of the certificate include it."""

    share: Share
    quality_difference: Figure | None = None
    savings: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class TableRow(Part):
    """The routing table's row of a suite."""

    model: Text | None = None
    effort: Text | None = None
    harness: Text | None = field(default=None, metadata=OMITTED)
    verdict: Text | None = None
    p_holm: Share | None = None
    quality_difference: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class SuiteRow(Part):
    """The policy's figures on the left-out rows of one suite. closed: left to the reference, since
    what would have been deployed was shown to lose more than the margin here. allowed: the
    candidates ([model, effort] and the harness, if any) that alone may serve it; where the
    reference is none of them, the first is who it was judged against."""

    n: Count | None = None
    clusters: Count | None = None
    quality_difference: Figure | None = None
    savings: Figure | None = None
    closed: Flag | None = field(default=None, metadata=OMITTED)
    allowed: tuple[tuple[TextOrNull, ...], ...] | None = field(default=None, metadata=OMITTED)
    table: TableRow | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, kw_only=True)
class TestSplit(Part):
    """The policy on the test split, which chose nothing."""

    __test__ = False  # no test of pytest's

    rows: Text | None = None
    n: Count | None = None
    clusters: Count | None = None
    skipped: Count | None = None
    quality_difference: Figure | None = None
    savings: Figure | None = None
    over_random_mix: Figure | None = None

    def on(self, figure: Figure | None) -> Figure | None:
        """One of its figures, which stands on the split's rows and clusters where it names
        none."""
        if figure is None or figure.n is not None:
            return figure
        return replace(figure, n=self.n, clusters=self.clusters)


@dataclass(frozen=True, kw_only=True)
class UnknownSuites(Part):
    """What holding suites out showed: from which coverage predictions are followed, and for which
    share of rows."""

    coverage: Number | None = None
    followed: Share | None = None
    suites_held_out: Count | None = None
    gain: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class NotReproducible(Part):
    """A suite whose request no decision can hand out, why, and for which candidates ([model,
    effort] and the harness, if any)."""

    suite: Text | None = None
    reason: Text | None = None
    candidates: tuple[tuple[TextOrNull, ...], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TwoPhase(Part):
    """Of a reference that ran on a drawn part of the rows alone: the probability with which a
    row's group was drawn, the rows and clusters that were, the `estimator` (`regression` on the
    other candidates' outcomes, or `weighting`), and the share of a paired difference's variance
    that these outcomes explain, cross-fitted."""

    share: Share
    drawn: Count
    clusters: Count
    estimator: Text
    explained: Share | None = None


@dataclass(frozen=True, kw_only=True)
class Refit(Part):
    """The figures of another fit than the one that is certified."""

    n: Count | None = None
    savings: Figure | None = None
    over_random_mix: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnostics(Part):
    """Fits on outcomes dealt to other prompts, and on parts of the outcomes."""

    label_shuffle: Refit | None = None
    learning_curve: tuple[Refit, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate(Part):
    """What was shown, how, on which data, beside what it has to be compared with.

    Figures are of left-out rows, at the mix that is deployed. missing: outcomes of all candidates
    that no plan left out; they count as lost. `from_json` and `to_json` are the
    one way from and to certificate.json and `PolicySpec.certificate`, which the runtime never
    reads.
    """

    certificate_version: Count | None = None
    verdict: Text | None = None
    rows: Text | None = None
    reason: Text | None = None
    rule: Rule | None = None
    margin: Number | None = None
    confidence: Share | None = None
    procedure: Text | None = None
    steps_tested: Count | None = None
    judged: Judged | None = None
    n: Count | None = None
    clusters: Count | None = None
    unpaired: Count | None = None
    missing: Count | None = field(default=None, metadata=OMITTED)
    infra_share: Share | None = None
    reference: Reference | None = None
    quality_difference: Figure | None = None
    savings: Figure | None = None
    mix: Share | None = None
    mix_forbidden: Flag | None = None
    points: Mapping[str, PointShown] | None = None
    suites: Mapping[str, SuiteRow] | None = None
    fixed: tuple[Fixed, ...] | None = None
    random_mix: RandomMix | None = None
    over_random_mix: Figure | None = None
    escalation: Flag | None = None
    oracle_upper_bound: Oracle | None = None
    smallest_margin: Number | None = None
    samples_needed: Count | None = None
    dollars_needed: Number | None = None
    test: TestSplit | None = None
    digests: Mapping[str, Text] | None = None
    assumptions: tuple[Text, ...] | None = None
    action: Text | None = None
    exploration: Explored | None = field(default=None, metadata=OMITTED)
    escalation_gain: Figure | None = field(default=None, metadata=OMITTED)
    chains: ChainsShown | None = field(default=None, metadata=OMITTED)
    chains_lost: ChainsLost | None = field(default=None, metadata=OMITTED)
    chains_too_slow: ChainsTooSlow | None = field(default=None, metadata=OMITTED)
    turn_caps: TurnCaps | None = field(default=None, metadata=OMITTED)
    unknown_suites: UnknownSuites | None = field(default=None, metadata=OMITTED)
    requests_not_reproducible: tuple[NotReproducible, ...] | None = field(default=None, metadata=OMITTED)
    two_phase: TwoPhase | None = field(default=None, metadata=OMITTED)
    diagnostics: Diagnostics | None = field(default=None, metadata=OMITTED)

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """What a policy's certificate says; every field None where it carries none. Raises
        PolicyError where it cannot be read: an artifact may be forged with hashes that agree.

        A policy never changes, and a page asks some fifteen times: it is read at the first."""
        global _LAST
        said, (known, found) = policy.spec.certificate, _LAST
        if known is not said or not isinstance(found, cls):
            found = cls.from_json(said)
            _LAST = said, found
        return found

    @classmethod
    def lacking(cls, value: Mapping[str, object]) -> list[str]:
        told = value.get("quality_difference") is not None
        needed = [
            *(("n", "clusters") if told else ()),
            *(("confidence",) if value.get("margin") is not None else ()),
        ]
        lost = [name for name in needed if value.get(name) is None]
        return lost + (["savings"] if told and "savings" not in value else [])

    @property
    def counted(self) -> str:
        """`4,000 rows`, of which the certificate speaks."""
        return "rows" if self.n is None else f"{self.n:,} rows"

    @property
    def samples(self) -> str:
        """`4,000 samples`, on which it stands."""
        return f"{self.n:,} samples" if self.n else "so many samples"

    @property
    def always(self) -> Mapping[Candidate, Fixed]:
        """What each candidate alone would have done."""
        return {row.candidate: row for row in self.fixed or ()}

    @property
    def over_mix(self) -> Figure:
        """`over_random_mix`, of which nothing is known where it is missing."""
        return self.over_random_mix or Figure()


_LAST: tuple[Mapping[str, object] | None, Certificate | None] = (None, None)
"""The certificate that was asked for last, and what was read of it."""
