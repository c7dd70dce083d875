"""Who left a race and why, as data: `reason` is a code, and words are made of it where people
read."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from router_lab.config.base import ForwardCompatible, parse
from router_lab.runtime.model import Candidate

if TYPE_CHECKING:
    import pandas as pd

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


class OfCandidate(ForwardCompatible):
    """What a file says of a candidate."""

    model: str
    effort: str | None = None

    @property
    def candidate(self) -> Candidate:
        """By its name in outcomes."""
        return Candidate(self.model, self.effort)


class Elimination(OfCandidate):
    """A candidate left the race of `suite` after `after` of its samples, at the race's `look`,
    counted from 1; `by` is the one that showed it up, or what was settled on. look, by: None where
    a file does not say."""

    suite: str
    after: int
    look: int | None = None
    reason: Reason
    by: Candidate | None = None

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
    rows = outcomes[["suite", "model", "effort", "reason"]].dropna(subset=["reason"]).drop_duplicates()
    for suite, model, effort, reason in rows.itertuples(index=False):
        said = SENTENCE.fullmatch(str(reason))
        who = Candidate(str(model), effort if isinstance(effort, str) else None)
        if said is not None and (suite, who) not in known:
            known.add((suite, who))
            why, after = Reason(said[1].replace(" ", "_")), int(said[2])
            found.append(
                Elimination(suite=suite, model=who.model, effort=who.effort, reason=why, after=after)
            )
    return found
