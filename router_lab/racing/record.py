"""What a race leaves in its sweep's manifest: who left and why, and at which probability each
sample was run."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from router_lab.config.base import ForwardCompatible
from router_lab.racing.elimination import Elimination, OfCandidate
from router_lab.runtime.model import Candidate

Names = dict[str, list[str]]


class Skipped(OfCandidate):
    """From where to where, in the race's order, a candidate was due on the control share of a
    suite alone."""

    suite: str
    ranges: list[tuple[int, int]]


class RaceRecord(ForwardCompatible):
    """order: ids of the samples in the race's order, by suite; on_control: those of the control
    share; left: who left; winners: what each suite was settled on. on_control, skipped: None where
    a file does not say."""

    control_share: float = Field(gt=0, le=1, validation_alias=AliasChoices("control_share", "floor"))
    order: Names
    on_control: Names | None = Field(None, validation_alias=AliasChoices("on_control", "on_floor"))
    left: tuple[Elimination, ...] = ()
    skipped: list[Skipped] | None = None
    winners: dict[str, Candidate] = Field(default_factory=dict)

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
