"""What a race leaves in its sweep's manifest: who left and why, and at which probability each sample was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router_lab.racing.elimination import Elimination, candidate_of, told
from router_lab.runtime.model import Candidate
from router_lab.runtime.typed import as_list, as_name, as_names, as_number, as_whole

Where = tuple[str, Candidate]
"""Suite and candidate."""


@dataclass(frozen=True)
class RaceRecord:
    """order: ids of the samples in the race's order, by suite; on_control: those of the control share, None where a
    file does not say; skipped: from where to where, in that order, a candidate was due on the control share alone;
    winners: what each suite was settled on."""

    control_share: float
    order: Mapping[str, Sequence[str]]
    on_control: Mapping[str, Sequence[str]] | None
    eliminations: tuple[Elimination, ...]
    skipped: Mapping[Where, Sequence[tuple[int, int]]]
    winners: Mapping[str, Candidate]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RaceRecord:
        """Of any version's manifest. Raises LookupError, TypeError or ValueError for what is none."""
        order, left = as_names(data["order"]), tuple(map(Elimination.from_json, as_list(data.get("left", []))))
        if "skipped" in data:
            skipped = {
                (as_name(one["suite"]), candidate_of(one["model"], one["effort"])): [
                    (as_whole(start), as_whole(end)) for start, end in one["ranges"]
                ]
                for one in data["skipped"]
            }
        else:  # written by a version in which all that was left out came after leaving
            skipped = {(one.suite, one.candidate): [(one.after, len(order[one.suite]))] for one in left}
        share = as_number(data["control_share"] if "control_share" in data else data["floor"])
        control = data.get("on_control", data.get("on_floor"))
        winners = {suite: candidate_of(*who) for suite, who in data.get("winners", {}).items()}
        return cls(share, order, None if control is None else as_names(control), left, skipped, winners)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "control_share": self.control_share,
            "order": self.order,
            "on_control": self.on_control,
            "left": [one.to_json() for one in self.eliminations],
            "skipped": [
                {"suite": suite, "model": who.model, "effort": who.effort, "ranges": [list(one) for one in ranges]}
                for (suite, who), ranges in self.skipped.items()
            ],
            "winners": {suite: list(who) for suite, who in self.winners.items()},
        }  # fmt: skip

    def elimination(self, suite: str, candidate: Candidate) -> Elimination | None:
        """How a candidate left the race of a suite; None if it did not."""
        return next((one for one in self.eliminations if (one.suite, one.candidate) == (suite, candidate)), None)

    def inclusion(self, suite: str, candidate: Candidate) -> dict[str, float]:
        """Probability with which each sample was run: 1 but where the candidate was due on the control share alone."""
        order = self.order.get(suite, [])
        result = dict.fromkeys(order, 1.0)
        for start, end in self.skipped.get((suite, candidate), ()):
            result.update(dict.fromkeys(order[start:end], self.control_share))
        return result

    def not_due(self, suite: str, candidate: Candidate) -> set[str]:
        """Samples that the candidate was not due on, so that what is there of them was run by an earlier race."""
        if self.on_control is None or suite not in self.on_control:
            return set()
        order = self.order.get(suite, [])
        skipped = {name for start, end in self.skipped.get((suite, candidate), ()) for name in order[start:end]}
        return skipped - set(self.on_control[suite])

    def why_unrun(self, suite: str, candidate: Candidate) -> str | None:
        """Why a sample of the suite was not run for the candidate; None where that was not for the race."""
        left = self.elimination(suite, candidate)
        if left is not None:
            return told(left)
        return "raced: was not needed then" if self.skipped.get((suite, candidate)) else None
