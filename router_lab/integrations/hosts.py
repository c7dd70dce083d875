"""What a host can ask, and so who of a policy may serve its requests."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Set
from typing import NamedTuple

from router_lab.integrations.names import ToldOnce
from router_lab.integrations.requesting import LENGTHS, Frame, longest, size_of
from router_lab.runtime.arguments import Named, pair
from router_lab.runtime.clients import for_suite
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.model import Candidate, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.reasons import NO_POLICY

_NO_MODEL = "the host has no such model"


class Host(NamedTuple):
    """What a host is able to do. apis: those that it speaks (`runtime.clients.APIS`), None = any.
    models: names under which it knows models, each a candidate's model or the one in its measured
    arguments; None = any. frame: what it sends around a question. priced: only candidates with
    prices may serve, for a budget in dollars."""

    apis: tuple[str, ...] | None = None
    models: frozenset[str] | None = None
    frame: Frame = "measured"
    priced: bool = False

    def named(self, profile: Profile, suite: str | None = None) -> str | None:
        """The name under which the host knows a candidate's model; None if it does not."""
        own = profile.candidate.model
        if self.models is not None and own in self.models:
            return own
        arguments = for_suite(profile, suite).request.get("arguments") or {}
        measured = arguments.get("model")
        named = measured if isinstance(measured, str) else own
        return named if self.models is None or named in self.models else None

    def lacks(self, profile: Profile, suite: str | None) -> str | None:
        """Why the host cannot serve a candidate for a suite; None if it can."""
        try:
            request = for_suite(profile, suite).request
        except PolicyError:
            return "it was measured by suite, and not on this one: ask for `router_lab/SUITE`"
        api = request.get("api")
        if profile.roles:
            return "it is a team: ask its roles, `decision.roles`"
        if profile.harness is not None:
            return "it was measured in a harness: `decision.harness`"
        if api is None:
            return "through which API it was measured is not known: outcomes had no column `request`"
        if self.apis is not None and api not in self.apis:
            asked = " or ".join(self.apis)
            return f"it was measured through {api}, and this request is of {asked}: use a client of that API"
        if self.frame == "measured" and request.get("reproducible") is False:
            return 'no single request is what was measured; frame="caller" sends yours'
        if self.priced and profile.prices is None:
            return (
                "it has no prices, and session_usd counts dollars: `router-lab collect OUTCOMES --prices FILE` (a "
                "`cost_usd` of the table's own stays), then fit again; or limit session_tokens"
            )
        return _NO_MODEL if self.named(profile, suite) is None else None


class Askable(NamedTuple):
    """Who may serve: `allowed` for `decide`, None = all; `said` about the others, "" where there
    are none."""

    allowed: Named | None
    said: str = ""


class Sent(NamedTuple):
    """What was measured of a candidate's requests for a suite: tokens at most of what stood around
    the question, of the longest answer that they asked for, None = they do not say, and those that
    they set apart to think in, which an answer must be longer than."""

    around: int
    longest: int | None
    thinks: int = 0

    @classmethod
    def of(cls, profile: Profile, suite: str | None) -> Sent:
        request = for_suite(profile, suite).request
        settings = request.get("arguments") or {}
        asks = [asked for api in LENGTHS if (asked := longest(api, settings)) is not None]
        thinking = settings.get("thinking")
        thinks = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
        apart = thinks if isinstance(thinks, int) else 0
        return cls(size_of(request.get("content")), next(iter(asks), None), apart)


class Servable:
    """Who of a policy a host can serve, and what they are sent: worked out once for a policy, a
    host and a suite."""

    def __init__(self, allowed: Collection[object] | None = None) -> None:
        """allowed: the only candidates that may serve at all, as in `Policy.decide`."""
        named = None if allowed is None else Named(dict.fromkeys(pair(one, "allowed:") for one in allowed))
        if named is not None and not named:
            raise PolicyError("allowed names no candidate at all; leave it out to allow every one")
        self._allowed = named
        self._missing = ToldOnce()
        self._known: tuple[Policy, dict[tuple[Host, str | None], Askable]] | None = None
        self._sent: dict[tuple[int, str | None], tuple[Profile, Sent]] = {}

    def of(self, policy: Policy, host: Host, suite: str | None) -> Askable:
        """PolicyError where the host can serve nobody of the policy."""
        known = self._known
        if known is None or known[0] is not policy:
            known = self._known = (policy, {})  # one assignment: threads see both or neither
            self._sent = {}
        if suite not in policy.spec.suites:  # names that nobody knows are as many as callers like
            suite = None
        found = known[1].get((host, suite))
        if found is None:
            found = known[1][host, suite] = self._found(policy, host, suite)
        return found

    def sent(self, profile: Profile, suite: str | None) -> Sent:
        """Of a candidate of the policy, or of another that serves beside it. `suite`: one that the
        candidate's policy knows, or None."""
        sent = self._sent
        found = sent.get((id(profile), suite))
        if found is None or found[0] is not profile:
            found = sent[id(profile), suite] = (profile, Sent.of(profile, suite))
        return found[1]

    def _tell_missing(self, missing: list[Candidate], host: Host, others: Set[str]) -> None:
        """Warn once of each model that a host with a list of models has not: a typing error there
        would leave its candidate out for ever, and only a reason would say so."""
        for who in missing:
            near = difflib.get_close_matches(who.model, (host.models or frozenset()) - others, 1, 0.8)
            hint = f" (meant {near[0]!r}?)" if near else ""
            self._missing.once(
                who.model,
                f"{who} is never asked: the host has no model {who.model!r}{hint}. Name one so, or `allowed` candidates "
                "without it",
            )

    def _found(self, policy: Policy, host: Host, suite: str | None) -> Askable:
        if policy.revision == NO_POLICY:  # a store's default: of it nothing is known that could be lacking
            return Askable(self._allowed)
        profiles = policy.spec.profiles
        bars = {one.candidate: host.lacks(one, suite) for one in profiles}
        if self._allowed is not None:
            bars = {who: why for who, why in bars.items() if who in self._allowed}
            if not bars:
                raise PolicyError(
                    f"allowed {shown(self._allowed, 300)} names no candidate of policy {policy.spec.name!r}"
                )
        missing = [who for who, why in bars.items() if why == _NO_MODEL]
        self._tell_missing(missing, host, {one.candidate.model for one in profiles})
        left = Named(who for who, why in bars.items() if why is None)
        if not left:
            raise PolicyError(
                f"policy {policy.spec.name!r} has nobody that can be asked here: {'; '.join(_told(bars))}"
            )
        barred = {who: why for who, why in bars.items() if why is not None}
        if len(left) == len(profiles):
            return Askable(None)
        said = f"of {len(profiles)} candidates {len(left)} can be asked here" if barred else ""
        return Askable(left, f"{said} ({'; '.join(_told(barred))})" if barred else "")


def profile_of(decision: Decision) -> Profile:
    """The candidate's, and no copy of it, which takes longer than all else: nobody here writes
    into it."""
    return decision._profile


def _told(bars: Mapping[Candidate, str | None], most: int = 3) -> Iterator[str]:
    for place, (who, why) in enumerate(bars.items()):
        if place == most:
            yield f"and {len(bars) - most} more"
            return
        yield f"{who}: {why}"
