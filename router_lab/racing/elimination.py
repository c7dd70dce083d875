"""Who left a race and why, as data: `reason` is a code, and words are made of it where people read."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from router_lab.runtime.model import Candidate


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
        """Of files that were written under earlier words."""
        return {"hopeless": cls.CANNOT_PASS, "needless": cls.NOT_NEEDED}.get(str(value))

    @property
    def words(self) -> str:
        """For people, as in `cannot pass after 271 samples`."""
        return self.value.replace("_", " ")


class Elimination(NamedTuple):
    """`candidate` left the race of `suite` after `after` of its samples, at the race's `look`, counted from 1; `by` is
    the one that showed it up, or what was settled on. look: None where a file does not say."""

    suite: str
    candidate: Candidate
    reason: Reason
    after: int
    look: int | None
    by: Candidate

    def __str__(self) -> str:
        """In words, as progress says it."""
        words = {
            Reason.DOMINATED: f"{self.by} is cheaper and at least as good",
            Reason.WORSE: f"{self.by} is better by more than the margin",
            Reason.DEARER: f"it costs more than the reference {self.by}",
            Reason.CANNOT_PASS: f"it cannot be shown within the margin of {self.by} on these samples any more",
            Reason.NOT_NEEDED: f"{self.by} is cheaper, within the margin of it, and passes on these samples",
            Reason.SETTLED: f"the suite is settled on {self.by}",
        }
        return f"{self.suite}, after {self.after} samples: {self.candidate} leaves: {words[self.reason]}"
