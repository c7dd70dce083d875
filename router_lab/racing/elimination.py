"""Who left a race and why, as data: `reason` is a code, and words are made of it where people
read; and what a race leaves in its sweep's manifest, with the probability of each sample."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AliasChoices, Field, PlainSerializer, PlainValidator

from router_lab.config.base import ForwardCompatible, parse
from router_lab.outcomes.candidates import by_row
from router_lab.outcomes.columns import candidate_columns
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    import pandas as pd

Names = dict[str, list[str]]
EARLIER = {"hopeless": "cannot_pass", "needless": "not_needed"}
"""Words of earlier versions for a reason."""


class Reason(StrEnum):
    """Why a candidate leaves; the value is what files hold."""

    DOMINATED = "dominated"
    WORSE = "worse"
    DEARER = "dearer"
    CANNOT_PASS = "cannot_pass"
    NOT_NEEDED = "not_needed"
    SETTLED = "settled"

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        return cls(EARLIER[value]) if isinstance(value, str) and value in EARLIER else None

    @property
    def final(self) -> bool:
        """Whether it is about the candidate alone, so that no further samples of it would change
        anything."""
        return self not in (Reason.NOT_NEEDED, Reason.SETTLED)

    @property
    def words(self) -> str:
        """For people, as in `cannot pass after 271 samples`."""
        return self.value.replace("_", " ")


SENTENCE = re.compile(rf"raced: ({'|'.join([*(one.words for one in Reason), *EARLIER])}) after (\d+) samples")
"""What outcomes say, in `reason`, of a sample that was not run: all that tables of earlier
versions have, and CSV."""


OneCandidate = Annotated[
    Candidate,
    PlainValidator(lambda value: value if isinstance(value, Candidate) else Candidate(*value)),
    PlainSerializer(list),
]
"""A candidate as a list of its fields."""


class OfCandidate(ForwardCompatible):
    """What a file says of a candidate."""

    model: str
    effort: str | None = None
    harness: str | None = Field(None, exclude_if=lambda harness: harness is None)

    @classmethod
    def of(cls, candidate: Candidate, **fields: Any) -> Self:
        """With the candidate's own fields beside `fields`. Raises pydantic's ValidationError."""
        return cls.model_validate({**candidate.named(), **fields})

    @property
    def candidate(self) -> Candidate:
        """By its name in outcomes."""
        return Candidate(self.model, self.effort, self.harness)


class Elimination(OfCandidate):
    """A candidate left the race of `suite` after `after` of its samples, at the race's `look`,
    counted from 1; `by` is the one that showed it up, or what was settled on. look, by: None where
    a file does not say."""

    suite: str
    after: int
    look: int | None = None
    reason: Reason
    by: OneCandidate | None = None

    @property
    def sentence(self) -> str:
        """As outcomes say it of each sample that was not run."""
        return f"raced: {self.reason.words} after {self.after} samples"

    def __str__(self) -> str:
        """In words, as progress says it."""
        by = "another candidate" if self.by is None else self.by
        words = {
            Reason.DOMINATED: f"{by} is cheaper and at least as good",
            Reason.WORSE: f"{by} is better by more than the margin",
            Reason.DEARER: f"it costs more than the reference {by}",
            Reason.CANNOT_PASS: f"it cannot be shown within the margin of {by} on these samples any more",
            Reason.NOT_NEEDED: f"{by} is cheaper, within the margin of it, and passes on these samples",
            Reason.SETTLED: f"the suite is settled on {by}",
        }
        return f"{self.suite}, after {self.after} samples: {self.candidate} leaves: {words[self.reason]}"


class _Attrs(ForwardCompatible):
    eliminations: tuple[Elimination, ...] = ()


def eliminations_of(outcomes: pd.DataFrame) -> list[Elimination]:
    """Who left a race among the candidates of outcomes: what `attrs["eliminations"]` says, and of
    whom it says nothing (a table of an earlier version, or CSV) the sentences in `reason`. Raises
    InputError for attrs that are damaged."""
    given = {key: value for key, value in outcomes.attrs.items() if key == "eliminations"}
    found = list(parse(_Attrs, given, where="outcomes").eliminations)
    if "reason" not in outcomes:
        return found
    known = {(one.suite, one.candidate) for one in found}
    columns = ["suite", *candidate_columns(outcomes.columns), "reason"]
    rows = outcomes[columns].dropna(subset=["reason"]).drop_duplicates()
    for suite, reason, who in zip(rows["suite"], rows["reason"], by_row(rows), strict=True):
        said = SENTENCE.fullmatch(str(reason))
        if said is not None and (suite, who) not in known:
            known.add((suite, who))
            why, after = Reason(said[1].replace(" ", "_")), int(said[2])
            found.append(Elimination.of(who, suite=suite, reason=why, after=after))
    return found


class Skipped(OfCandidate):
    """From where to where, in the race's order, a candidate was due on the control share of a
    suite alone."""

    suite: str
    ranges: list[tuple[int, int]]


class PriorFile(ForwardCompatible):
    """Earlier outcomes that a race started from: the file as it was named, a hash of its bytes, and
    by new models the names of those whose place they take."""

    file: str
    sha256: str
    was: dict[str, str] = Field(default_factory=dict)


class RaceRecord(ForwardCompatible):
    """order: ids of the samples in the race's order, by suite; on_control: those of the control
    share; left: who left; winners: what each suite was settled on; prior: what it started
    from. on_control, skipped: None where a file does not say."""

    control_share: float = Field(gt=0, le=1, validation_alias=AliasChoices("control_share", "floor"))
    order: Names
    on_control: Names | None = Field(None, validation_alias=AliasChoices("on_control", "on_floor"))
    left: tuple[Elimination, ...] = ()
    skipped: list[Skipped] | None = None
    winners: dict[str, OneCandidate] = Field(default_factory=dict)
    prior: PriorFile | None = Field(None, exclude_if=lambda prior: prior is None)

    def elimination(self, suite: str, candidate: Candidate) -> Elimination | None:
        """How a candidate left the race of a suite; None if it did not."""
        return next((one for one in self.left if (one.suite, one.candidate) == (suite, candidate)), None)

    def inclusion(self, suite: str, candidate: Candidate) -> dict[str, float]:
        """Probability with which each sample was run: 1 but where the candidate was due on the
        control share alone."""
        order = self.order.get(suite, [])
        return dict.fromkeys(order, 1.0) | dict.fromkeys(self._skipped(suite, candidate), self.control_share)

    def not_due(self, suite: str, candidate: Candidate) -> set[str]:
        """Samples that the candidate was not due on, so that what is there of them was run by an
        earlier race."""
        control = (self.on_control or {}).get(suite)
        return set() if control is None else set(self._skipped(suite, candidate)) - set(control)

    def why_unrun(self, suite: str, candidate: Candidate) -> str | None:
        """Why a sample of the suite was not run for the candidate; None where that was not for the
        race."""
        left = self.elimination(suite, candidate)
        if left is not None:
            return left.sentence
        return "raced: was not needed then" if self._skipped(suite, candidate) else None

    def _skipped(self, suite: str, candidate: Candidate) -> list[str]:
        """Samples of the parts in which the candidate was due on the control share alone."""
        order, left = self.order.get(suite, []), self.elimination(suite, candidate)
        if self.skipped is None:  # by a version in which all that was left out came after leaving
            return [] if left is None else order[left.after :]
        mine = (one for one in self.skipped if (one.suite, one.candidate) == (suite, candidate))
        return [name for one in mine for start, end in one.ranges for name in order[start:end]]
