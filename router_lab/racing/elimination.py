"""Who left a race and why, as data: `reason` is a code, and words are made of it where people read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate
from router_lab.runtime.typed import as_list, as_name, as_whole

if TYPE_CHECKING:
    import pandas as pd

ATTRS = "eliminations"
"""Where outcomes keep them, in `DataFrame.attrs`, as JSON."""
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
        """Of files that were written under earlier words."""
        return cls(EARLIER[value]) if isinstance(value, str) and value in EARLIER else None

    @property
    def final(self) -> bool:
        """Whether it is about the candidate alone, so that no further samples of it would change anything."""
        return self not in (Reason.NOT_NEEDED, Reason.SETTLED)

    @property
    def words(self) -> str:
        """For people, as in `cannot pass after 271 samples`."""
        return self.value.replace("_", " ")


SENTENCE = re.compile(rf"raced: ({'|'.join([*(one.words for one in Reason), *EARLIER])}) after (\d+) samples")
"""What outcomes say, in `reason`, of a sample that was not run: all that tables of earlier versions have, and CSV."""


class Elimination(NamedTuple):
    """`candidate` left the race of `suite` after `after` of its samples, at the race's `look`, counted from 1; `by` is
    the one that showed it up, or what was settled on. look, by: None where a file does not say."""

    suite: str
    candidate: Candidate
    reason: Reason
    after: int
    look: int | None
    by: Candidate | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Elimination:
        """Of any version's file. Raises LookupError, TypeError or ValueError for what is none."""
        look, by = data.get("look"), data.get("by")
        return cls(
            as_name(data["suite"]), candidate_of(data["model"], data["effort"]), Reason(data["reason"]),
            as_whole(data["after"]), None if look is None else as_whole(look),
            None if by is None else candidate_of(*by),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        model, effort = self.candidate
        return {
            "suite": self.suite, "model": model, "effort": effort, "after": self.after, "look": self.look,
            "reason": self.reason.value, "by": self.by and list(self.by),
        }  # fmt: skip

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


def candidate_of(model: Any, effort: Any) -> Candidate:
    """Raises TypeError where these are no names."""
    return Candidate(as_name(model), None if effort is None else as_name(effort))


def told(elimination: Elimination) -> str:
    """The sentence that SENTENCE reads."""
    return f"raced: {elimination.reason.words} after {elimination.after} samples"


def eliminations_of(outcomes: pd.DataFrame) -> list[Elimination]:
    """Who left a race among the candidates of outcomes; without `look` and `by` where sentences alone tell. Raises
    InputError for attrs that hold something else."""
    try:
        found = [Elimination.from_json(one) for one in as_list(outcomes.attrs.get(ATTRS, []))]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"outcomes: what they hold of who left a race (`{ATTRS}`) is damaged: {error}") from None
    if "reason" not in outcomes:
        return found
    known = {(one.suite, one.candidate) for one in found}
    rows = outcomes[["suite", "model", "effort", "reason"]].dropna(subset=["reason"]).drop_duplicates()
    for suite, model, effort, reason in rows.itertuples(index=False):
        said = SENTENCE.fullmatch(str(reason))
        who = Candidate(str(model), str(effort) if isinstance(effort, str) else None)
        if said is not None and (suite, who) not in known:
            known.add((suite, who))
            found.append(Elimination(suite, who, Reason(said[1].replace(" ", "_")), int(said[2]), None, None))
    return found
