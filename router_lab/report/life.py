"""What a policy does not do for ever or for everything, in words: who retires and who serves then,
whom suites are kept to, what is explored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from router_lab.certificate import Certificate
from router_lab.report.format import percent, points
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.policy import Policy
from router_lab.runtime.shares import part
from router_lab.runtime.standing import in_place, retirements


def life_rows(policy: Policy, today: dt.date | None = None) -> list[tuple[str, str]]:
    """(key, sentence) of each; empty for a policy of which none of it holds. today: by default the
    day in UTC."""
    day = dt.datetime.now(dt.UTC).date() if today is None else today
    return [
        *(("retires", text) for text in retiring(policy.spec, day)),
        *(("allowed", text) for text in kept(policy.spec)),
        *(("explores", text) for text in exploring(policy)),
    ]


def retiring(spec: PolicySpec, today: dt.date) -> Iterator[str]:
    """Who retires, the first first, how soon, and who serves then."""
    gone: frozenset[int] = frozenset()
    for _, lost in retirements(spec):
        for column in sorted(lost - gone):
            date = spec.retires[column] or ""
            left = (dt.date.fromisoformat(date) - today).days
            when = f"in {left:,} day{'s' * (left != 1)}" if left > 0 else "so it serves nothing any more"
            told = [_then(spec, suite, column, gone, lost) for suite in (None, *spec.suites)]
            then = dict.fromkeys(text for text in told if text)
            what = "; ".join(then) or "whoever the policy would choose it for gets another"
            yield f"{spec.candidates[column]} on {date}, {when}: from then on {what}"
        gone = lost


def _then(
    spec: PolicySpec, suite: str | None, column: int, gone: frozenset[int], lost: frozenset[int]
) -> str | None:
    """Who takes its place in a suite where it stood in the reference's; None where it did not."""
    if in_place(spec, suite, gone) != column:
        return None
    after = in_place(spec, suite, lost)
    named = "named for that" if after == spec.successor else "the next"
    where = f" in {suite}" if suite in spec.allowed else ""
    return f"{spec.candidates[after]} ({named}) serves in the reference's place{where}"


def kept(spec: PolicySpec) -> Iterator[str]:
    """Whom suites are kept to."""
    for suite, own in sorted(spec.allowed.items()):
        names = ", ".join(str(spec.candidates[column]) for column in own)
        who = "" if spec.reference in own else f", judged against {spec.candidates[own[0]]}"
        yield f"{suite} is served by {names} alone, whatever a request allows{who}"


def exploring(policy: Policy) -> Iterator[str]:
    """What is explored at which point, and what that does by the certificate."""
    shown = Certificate.of(policy).exploration
    for name, share in sorted(policy.spec.explore.items()):
        told = f"{part(share, ' %')} of the requests at point {name}, each to anybody who may serve it"
        if name == policy.spec.point and shown is not None:
            gain, saved = shown.quality_difference, shown.savings
            does = [] if gain is None or gain.value is None else [f"{points(gain.value)} points"]
            if saved is not None and saved.value is not None:
                does.append(f"{percent(saved.value)} of the reference's cost saved")
            told += f"; that does {', '.join(does)}, counted in all figures" if does else ""
        yield told
