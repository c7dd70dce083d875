"""Which recorded sessions say something about a policy: those that its fit did not use."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from router_lab.caching.sessions import Session
from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.copies import used_names
from router_lab.runtime.policy import Policy


def unused(policy: Policy, sessions: Sequence[Session], outcomes: pd.DataFrame) -> tuple[list[Session], bool]:
    """(the sessions whose samples, and copies of whose prompts, the fit of `policy` did not use;
    False). Where it used all of them: (all, True), which is no evidence.

    outcomes: a validated table that has the sessions' samples; others are left out.
    """
    data = OutcomeMatrix.from_frame(outcomes, policy.candidates)
    seen = used_names(data.groups, data.name, data.prompts, data.joined, policy.spec)[data.name]
    names = [data.suites[i] for i in data.suite]
    used = {key: bool(was) for key, was in zip(zip(names, data.sample_id, strict=True), seen, strict=True)}
    known = [one for one in sessions if one.key[:2] in used]
    fresh = [one for one in known if not used[one.key[0], one.key[1]]]
    return (fresh, False) if fresh else (known, bool(known))
