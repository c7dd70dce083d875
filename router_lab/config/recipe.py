"""recipe.yaml and gates files: what a policy is to be, and what a deploy must meet."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from router_lab.config.base import Name, NotTruth, Positive, Share, Strict
from router_lab.runtime.heads import MOST_GUARDED
from router_lab.runtime.model import Candidate


class CandidateFields(Strict):
    """A candidate by its fields; `effort: null` is the model at its own default, `harness: null`
    the suite's own. A team's model is its name."""

    model: str = Field(min_length=1)
    effort: str | None = None
    harness: str | None = None

    @property
    def candidate(self) -> Candidate:
        """As outcomes name it."""
        return Candidate(self.model, self.effort, self.harness)


class CandidateRef(CandidateFields):
    """A candidate that may retire: from the first second (UTC) of that day on it serves nothing."""

    retires: dt.date | None = None


def _explained(value: object) -> object:
    if isinstance(value, str) and value != "best":
        raise ValueError("write `best`, or a mapping with model and effort (ids are never split)")
    return value


Reference = Annotated[Literal["best"] | CandidateFields, BeforeValidator(_explained)]


RecipeReference = Annotated[Literal["best"] | CandidateRef, BeforeValidator(_explained)]


class Rule(Strict):
    """What a policy must hold; exactly one of the three kinds.

    margin: lose at most this much quality against the reference (0.03 = 3 points), with
    probability `confidence`. budget_usd_per_1k: the best quality for at most this many dollars per
    1,000 requests. min_quality: the cheapest whose mean quality is at least this, with probability
    `confidence`.
    """

    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    budget_usd_per_1k: Positive | None = None
    min_quality: Share | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.90

    @model_validator(mode="before")
    @classmethod
    def _default_margin(cls, data: object) -> object:
        kinds = {"margin", "budget_usd_per_1k", "min_quality"}
        return {"margin": 0.03, **data} if isinstance(data, dict) and not kinds & data.keys() else data

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [k for k in ("margin", "budget_usd_per_1k", "min_quality") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of margin, budget_usd_per_1k, min_quality; got {' and '.join(given)}"
            )
        return self

    @property
    def kind(self) -> Literal["margin", "budget", "quality"]:
        if self.margin is not None:
            return "margin"
        return "budget" if self.budget_usd_per_1k is not None else "quality"


class Gate(Strict):
    """One threshold. `min`/`max` are absolute; `margin` compares with `against`, paired, at
    `confidence`.

    suite: a name, `each` for every suite apart, or null for all samples pooled.
    """

    metric: Name
    min: float | None = None
    max: float | None = None
    margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    against: Literal["reference", "champion"] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.90
    suite: str | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.min is None and self.max is None and self.margin is None:
            raise ValueError("a gate needs min, max or margin")
        if self.margin is not None and self.against is None:
            raise ValueError("margin needs against: reference or against: champion")
        return self


class Recipe(Strict):
    """recipe.yaml: what a policy is to be. People review it, so everything that decides is here
    and nothing else."""

    page: ClassVar[str | None] = "docs/recipe.md"

    name: Name
    reference: RecipeReference = "best"
    rule: Rule = Field(default_factory=Rule)
    fitter: Name = "default"
    mix: bool = True
    holdout: Annotated[float, Field(ge=0, lt=0.9)] = 0.2
    points: dict[Name, Rule] = Field(default_factory=dict)
    gates: list[Gate] = Field(default_factory=list)
    candidates: Annotated[list[CandidateRef], Field(min_length=1)] | None = None
    """Restrict the choice to these; null means every candidate of the outcomes."""
    min_seen: Share = 0.95
    """A candidate seen on a smaller share of a suite's samples is predicted there but never
    chosen. Samples that were run at a known probability, as a race's control share is, count for
    as many as they stand for."""
    strict: bool = False
    """Use betting bounds (Waudby-Smith & Ramdas) instead of t bounds: valid at any n, about 70 %
    of the saving."""
    successor: CandidateFields | None = None
    """Who takes the reference's place once that has retired; null means the next of the
    fallbacks."""
    allowed: dict[
        Annotated[str, Field(min_length=1)], Annotated[list[CandidateFields], Field(min_length=1)]
    ] = Field(default_factory=dict)
    """By suite, the candidates that alone may ever serve it. Where the reference is not among
    them, the first stands in its place there."""
    explore: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of requests that is drawn, by `key`, to anybody who may serve them, each as likely as
    the others. Within the rule, or nothing is explored."""
    suffix_guard: Annotated[int, NotTruth, Field(ge=0, le=MOST_GUARDED)] = 0
    """The last words of a prompt, that many, can keep a request with the reference and hardly move
    it: whoever adds so many gains no more than a slack. 0 guards against nothing."""
    expires: dt.date | None = None
    escalate: bool = True
    """Consider chains of candidates where the outcomes hold answers, signals of them or `check`:
    the cheap answer is kept or asked again of a dearer one. Used only where it wins out of
    fold."""
    signals: list[Name] | None = None
    """Those that exist at run time, without `signal_`; null means every one of the outcomes."""
    stages: Annotated[int, NotTruth, Field(ge=1, le=3)] = 3
    """The most candidates that one request may be asked of in turn."""
    latency_p95_s: Positive | None = None
    """The most seconds, at the 95th percentile, that a request of a chain of several stages may
    take, in each suite; who takes longer is not considered. null bounds nothing."""
    caps: bool = False
    """Consider caps in dollars, and in turns where the outcomes hold `turns_usd`: a run that would
    cost more, or make more calls, is stopped, and fails or goes on to another candidate. What that
    loses is within the rule."""

    @model_validator(mode="after")
    def _no_chance_beside_exploration(self) -> Self:
        if self.explore > 0 and not self.mix:
            raise ValueError(
                f"`explore: {self.explore:g}` needs chance, and `mix: false` forbids it; take one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _one_day_for_each(self) -> Self:
        days = self.retirements
        if self.reference != "best" and self.reference.retires not in (
            None,
            days.get(self.reference.candidate),
        ):
            raise ValueError(
                f"`reference` and `candidates` say two days on which {self.reference.candidate} retires; give it one"
            )
        if self.successor is None:
            return self
        if self.reference != "best" and self.reference.candidate not in days:
            raise ValueError(
                f"`successor` is who comes after the reference, and {self.reference.candidate} never retires; give it "
                "`retires`, or take `successor` out"
            )
        return self

    @model_validator(mode="after")
    def _somebody_stays(self) -> Self:
        """What `fit` would refuse when it is done."""
        days = self.retirements
        if self.candidates and all(one.candidate in days for one in self.candidates):
            raise ValueError("`candidates` all retire; one must stay, or nobody is left to decide for")
        for suite, own in self.allowed.items():
            if all(one.candidate in days for one in own):
                raise ValueError(f"`allowed.{suite}`: every one of them retires; one must stay to serve it")
        if self.successor is None or self.reference == "best":
            return self
        first, then = self.reference.candidate, self.successor.candidate
        if then == first or (then in days and days[then] <= days[first]):
            raise ValueError(
                f"`successor`: {then} retires no later than the reference, {first}; name another"
            )
        return self

    @property
    def retirements(self) -> dict[Candidate, dt.date]:
        """Who retires, and from which day on."""
        named = [*([] if self.reference == "best" else [self.reference]), *(self.candidates or ())]
        return {one.candidate: one.retires for one in named if one.retires is not None}


class Gates(Strict):
    """A gates file of its own: thresholds that a deploy must meet."""

    page: ClassVar[str | None] = "docs/recipe.md"

    gates: Annotated[list[Gate], Field(min_length=1)]
