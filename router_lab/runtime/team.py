"""A team's decision, role by role: who plans, who executes, who checks, and with which request."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

from router_lab.runtime.harness import PLAIN, Harness
from router_lab.runtime.model import Candidate, Limits, Profile
from router_lab.runtime.requesting import Requests

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision


class RoleDecision(Requests):
    """One role of a team that was decided for. It has the request methods of a `Decision`, limits
    from what the role alone was recorded to use, and the team's harness.

    Shapes and units are a Decision's. `share` is the role's part of the team's recorded dollars,
    None where nothing was priced.
    """

    __slots__ = ("_decision", "role")

    def __init__(self, decision: Decision, role: str) -> None:
        self._decision, self.role = decision, role

    @property
    def _profile(self) -> Profile:
        return self._decision._profile.roles[self.role].profile

    @property
    def _measured(self) -> Profile:
        return self._profile

    @property
    def team(self) -> Decision:
        """The decision that this role is part of."""
        return self._decision

    @property
    def candidate(self) -> Candidate:
        """The role's model and effort."""
        return self._profile.candidate

    @property
    def model(self) -> str:
        return self.candidate.model

    @property
    def effort(self) -> str | None:
        return self.candidate.effort

    @property
    def profile(self) -> Profile:
        """A copy of one's own."""
        return deepcopy(self._profile)

    @property
    def tier(self) -> str:
        """The team's."""
        return self._decision.tier

    @property
    def limits(self) -> Limits:
        """From what the role was recorded to use in one request."""
        return self._decision._profile.roles[self.role].limits

    @property
    def share(self) -> float | None:
        """The role's share of the team's dollars, as recorded."""
        return self._decision._profile.roles[self.role].share

    @property
    def harness(self) -> Harness:
        """The team's."""
        return self._decision._profile.harness or PLAIN

    @property
    def signals(self) -> tuple[str, ...]:
        """(): acceptance models were fitted on the answer of the whole team, not on a role's."""
        return ()

    def judge(
        self, answer: object = None, *, check: bool | None = None, stopped: str | None = None
    ) -> RoleDecision | None:
        """Who has this role after its answer was looked at; None = keep it, or nobody is left.

        check: whether a check of one's own passed it. stopped: "limit" where the role's budget was
        reached. Either failing makes the team fail as `Decision.judge` has it: the same role in
        whoever is asked next, if that is a team with this role. `answer` alone never moves
        anything: no model of a role's answers was fitted. PolicyError for an unknown `stopped`.
        """
        if check is not False and stopped is None:
            return None
        onward = self._decision.judge(check=check, stopped=stopped)
        return None if onward is None else onward.roles.get(self.role)

    def __repr__(self) -> str:
        return f"RoleDecision({self.role!r}, {self.candidate}, team={self._decision.model!r})"


def role_decisions(decision: Decision) -> Mapping[str, RoleDecision]:
    """A decision's roles, in the order of their names."""
    return {role: RoleDecision(decision, role) for role in decision._profile.roles}
