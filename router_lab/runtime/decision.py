"""`Decision`: what the runtime answers, with its reason, its fallbacks and its request
arguments."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from operator import attrgetter
from typing import Any, NoReturn

from router_lab.runtime import clients, pickled, stages
from router_lab.runtime.constraints import Field
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.harness import PLAIN, Harness
from router_lab.runtime.model import Candidate, Limits, PolicySpec, Profile
from router_lab.runtime.odds import CERTAIN, Chance, Told
from router_lab.runtime.points import Assign, Follow, Point, mix_of
from router_lab.runtime.reasons import OUTSIDE, reason
from router_lab.runtime.requesting import Requests
from router_lab.runtime.rule import EXPLORED
from router_lab.runtime.team import RoleDecision, role_decisions

FAILURES = ("check", "unavailable", "refused", "malformed", "context", "limit")
"""What `Decision.next` understands: the answer failed its check; no answer in time; the model
declined; the answer could not be read; the context did not fit; a limit was reached."""


class Decision(Requests):
    """An immutable answer of `Policy.decide`. It keeps the policy's data alive that it was made
    from, and only that: everything it says belongs to one revision, however often the running
    policy is swapped.
    """

    __slots__ = (
        "_chain", "_cost", "_coverage", "_field", "_index", "_limits_row", "_odds", "_piece", "_point", "_quality",
        "_reference", "_revision", "_spec", "_suite", "_tried", "_vector_missing", "code", "unknown_point",
    )  # fmt: skip
    _spec: PolicySpec
    _revision: str | None
    _index: int
    _quality: tuple[float, ...]
    _cost: tuple[float, ...]
    _coverage: float
    _limits_row: int
    _point: Point
    _piece: int | None
    _field: Field | None
    _tried: tuple[int, ...]
    _suite: str | None
    _vector_missing: bool
    _chain: stages.Place | None
    _reference: int
    _odds: Chance | Told
    code: str
    """Which kind of `reason` it has."""
    unknown_point: str | None
    """The point that a `PolicyStore` was asked for and its policy does not have: the policy's
    default point decided."""

    def __new__(
        cls,
        spec: PolicySpec,
        revision: str | None,
        index: int,
        code: str,
        quality: tuple[float, ...],
        cost: tuple[float, ...],
        coverage: float,
        row: int,
        point: Point,
        piece: int | None = None,
        field: Field | None = None,
        tried: tuple[int, ...] = (),
        suite: str | None = None,
        vector_missing: bool = False,
        unknown_point: str | None = None,
        chain: stages.Place | None = None,
        reference: int | None = None,
        odds: Chance | Told = CERTAIN,
    ) -> Decision:
        self = object.__new__(cls)  # not __init__, which could be called again
        put = object.__setattr__  # a line each: a loop over the names takes twice as long, on every request
        put(self, "_spec", spec)
        put(self, "_revision", revision)
        put(self, "_index", index)
        put(self, "code", code)
        put(self, "_quality", quality)
        put(self, "_cost", cost)
        put(self, "_coverage", coverage)
        put(self, "_limits_row", row)
        put(self, "_point", point)
        put(self, "_piece", piece)
        put(self, "_field", field)
        put(self, "_tried", tried)
        put(self, "_suite", suite)
        put(self, "_vector_missing", vector_missing)
        put(self, "unknown_point", unknown_point)
        put(self, "_chain", chain)
        put(self, "_reference", spec.reference if reference is None else reference)
        put(self, "_odds", odds)
        return self

    def _but(self, **changes: Any) -> Decision:
        """The same decision but for some of what it is made of, by the names of `__slots__`."""
        return Decision(*{**dict(zip(_ORDER, _PARTS(self), strict=True)), **changes}.values())

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a Decision never changes ({name}); `next` and `decide` make another")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Decision never changes ({name})")

    def __copy__(self) -> Decision:
        return self

    def __deepcopy__(self, memo: Any) -> Decision:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """With what its answers need of the policy, and without the weights. For processes of
        one's own."""
        return pickled.reduced_decision(self, _ORDER)

    @property
    def candidate(self) -> Candidate:
        return self._spec.profiles[self._index].candidate

    @property
    def model(self) -> str:
        return self.candidate.model

    @property
    def effort(self) -> str | None:
        return self.candidate.effort

    @property
    def harness(self) -> Harness:
        """What was measured around the model: `apply` it to the messages before each call of a
        loop. One that changes nothing where the suite had its own."""
        return self._profile.harness or PLAIN

    @property
    def roles(self) -> Mapping[str, RoleDecision]:
        """Of a team, by role: whom to ask for it, with request methods and limits of its own. Empty
        for a single model."""
        return role_decisions(self)

    @property
    def tier(self) -> str:
        """Where to run the request: the cheapest of the tiers asked for that keeps the
        deadline."""
        return "standard" if self._field is None else self._field.tier[self._index]

    @property
    def profile(self) -> Profile:
        """A copy of one's own: whatever is written into it reaches no other request."""
        return deepcopy(self._profile)

    @property
    def _profile(self) -> Profile:
        return self._spec.profiles[self._index]

    @property
    def unmet(self) -> tuple[str, ...]:
        """Names of the constraints that no candidate could meet."""
        return () if self._field is None else self._field.unmet

    @property
    def unknown_suite(self) -> str | None:
        """The suite that was asked for, where the policy does not know it: the rates of all suites
        pooled decided."""
        return None if self._limits_row else self._suite

    @property
    def vector_missing(self) -> bool:
        """Whether the policy was fitted on vectors and none came with the request, or one that was
        not finite."""
        return self._vector_missing

    @property
    def constrained(self) -> bool:
        """Whether constraints of the request kept a candidate from it, beside those whom no
        request of its suite gets: a log holds everything that decided, but for these."""
        if self.code == OUTSIDE:  # the request allows nobody of the policy
            return True
        return self._field is not None and self._field.narrowed

    @property
    def allowed(self) -> tuple[Candidate, ...] | None:
        """Whom the names that the request allows have left; None where they kept nobody from it, or
        more than names did."""
        if self._field is None or not self._field.by_name:
            return None
        return tuple([one for one, may in zip(self._spec.candidates, self._field.open, strict=True) if may])

    @property
    def fallbacks(self) -> tuple[Candidate, ...]:
        """Who to ask, in this order, when the chosen candidate cannot be."""
        return tuple(self._spec.profiles[index].candidate for index in self._rest(self._spec.fallbacks))

    @property
    def limits(self) -> Limits:
        """From the recorded distribution; but `usd`, or `turns`, of a stage with such a cap is the
        cap, at which a run of it was stopped when the chain was measured."""
        table = self._spec.limits
        found = table[self._limits_row][self._index] if table else Limits()
        if self._chain is None:
            return found
        usd, turns = self.cap_usd, self.cap_turns
        found = found if usd is None else found._replace(usd=usd)
        return found if turns is None else found._replace(turns=turns)

    @property
    def cap_usd(self) -> float | None:
        """Dollars at which a run of this stage of a chain is stopped; None where it is not."""
        return None if self._chain is None else self._chain.stage.cap_usd

    @property
    def cap_turns(self) -> int | None:
        """Model calls after which a run of this stage of a chain is stopped; None where it is
        not."""
        return None if self._chain is None else self._chain.stage.cap_turns

    @property
    def quality(self) -> float:
        """Predicted quality of the chosen candidate on this prompt, in [0, 1]; of a stage with a
        cap that of a run which is stopped there, where the policy knows it (`under_cap`)."""
        return self._predicted[0]

    @property
    def cost_usd(self) -> float:
        """Predicted dollars of the request on the chosen tier; of a stage with a cap as
        `quality`."""
        return self._predicted[1]

    @property
    def under_cap(self) -> bool:
        """Whether `quality` and `cost_usd` are of a run that is stopped at this stage's cap."""
        left = None if self._chain is None else self._chain.stage.under_cap
        return left is not None and self._limits_row in left.rows

    @property
    def _predicted(self) -> tuple[float, float]:
        quality, cost = self._quality[self._index], self._cost[self._index]
        capped = None if self._chain is None else self._chain.stage.predicted(self._limits_row, quality, cost)
        return (quality, cost) if capped is None else capped

    @property
    def reference(self) -> Candidate:
        """Who stood in the reference's place: the policy's reference, unless it has retired or may
        not serve the suite."""
        return self._spec.profiles[self._reference].candidate

    @property
    def propensity(self) -> float:
        """The probability, above 0 and up to 1, with which `decide` was to ask first whom it did:
        exact, over all values of `key`, for this very request with its constraints, point and
        conversation. 1.0 where nothing is drawn. `next` and `judge` keep it: given the answers,
        nothing of them is drawn."""
        return self._odds.propensity

    @property
    def draw(self) -> str:
        """16 hex digits, the same for the same key, which repeats its draws; "" where nothing can
        be drawn."""
        return self._odds.draw

    @property
    def explored(self) -> bool:
        """Whether exploration drew this candidate."""
        return self.code == EXPLORED

    @property
    def revision(self) -> str:
        """Revision of the artifact that decided; "unsaved" for a policy that never was one."""
        return self._revision or "unsaved"

    @property
    def reason(self) -> str:
        """One sentence; `evidence` has its data and `code` its kind."""
        return reason(self)

    @property
    def evidence(self) -> dict[str, Any]:
        """The data behind `reason`. `piece` is the place of the point's piece that acted, `share`
        its share, null where none did; `tradeoff` and `guard` are its own (or the only piece's),
        null where it has none; `mix` is the sum of the shares. In a chain also `stage`, from 0, and
        `stages`, how many it has."""
        reference, pieces = self._reference, self._point
        acted = None if self._piece is None else pieces[self._piece]
        rule = pieces[0] if len(pieces) == 1 else acted
        tradeoff = None if rule is None or isinstance(rule, Assign) else rule.tradeoff
        place = self._chain
        chain = {} if place is None else {"stage": place.at, "stages": len(place.chain)}
        return {
            "code": self.code,
            "coverage": self._coverage,
            "coverage_needed": self._spec.coverage_needed(self._limits_row),
            "quality": self.quality,
            "cost_usd": self.cost_usd,
            "reference_quality": self._quality[reference],
            "reference_cost_usd": self._cost[reference],
            "tradeoff": tradeoff,
            "guard": rule.guard if isinstance(rule, Follow) else None,
            "mix": mix_of(pieces),
            "piece": self._piece,
            "share": None if acted is None else acted.share,
            "unmet": list(self.unmet),
            "unknown_suite": self.unknown_suite,
            "unknown_point": self.unknown_point,
            "vector_missing": self.vector_missing,
            "tried": [list(self._spec.profiles[index].candidate) for index in self._tried],
        } | chain

    @property
    def chain(self) -> tuple[Candidate, ...]:
        """Who the chain asks, in its order, `evidence["stage"]` of them before this one; () where
        there is none."""
        if self._chain is None:
            return ()
        return tuple(self._spec.profiles[stage.column].candidate for stage in self._chain.chain)

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals by which `judge` decides about this stage's answer, sorted; () where
        none do, or nobody is left to ask."""
        return () if self._chain is None else stages.wanted(self)

    def judge(
        self,
        answer: object = None,
        *,
        signals: Mapping[str, float | None] | None = None,
        check: bool | None = None,
        stopped: str | None = None,
    ) -> Decision | None:
        """Who is asked after this stage's answer; None = keep it, or nobody is left.

        answer: its text. signals: numbers known of it, by the names in `Decision.signals`; others
        are passed over. check: whether it passed a check of its own. stopped: "limit" if the run
        was stopped at its cap.

        A stopped run goes to the chain's next stage, and is a failed request where there is none
        (None). A failed check does what `next("check")` does, with None for its PolicyError. Else
        the stage's acceptance model decides, if it has one; where a wanted signal is missing (not
        there, None, no finite number), or the text that the model reads, the next stage is asked,
        whatever is predicted. Stages that the constraints exclude are passed over. No answer makes
        it raise; PolicyError only for `stopped` and `signals` that can never be valid.
        """
        told = stages.answer_of(answer, signals, check, stopped)
        found = stages.after(self, told)
        if found is not None:
            return self._onward(*found)
        if stopped is not None or not told.forced:
            return None
        try:
            return self.next("check")
        except PolicyError:
            return None

    def _onward(self, column: int, place: stages.Place | None = None, code: str = "escalated") -> Decision:
        return self._but(_index=column, code=code, _tried=(*self._tried, self._index), _chain=place)

    def next(self, failure: str) -> Decision:
        """The decision after this one failed: `failure` is one of FAILURES.

        A failed `check` of the answer goes to the next stage of the chain, along the escalation
        order that was measured, if the policy has one, and then to the next of `fallbacks`, which
        no figure of the certificate speaks of: its code is `escalated` before, `unmeasured` after.
        `context` goes to the next fallback with a larger window, everything else to the next
        fallback; both leave the chain. PolicyError once nobody is left, so that a loop over
        failures ends.
        """
        if failure not in FAILURES:
            raise PolicyError(f"next: failure {failure!r} is not one of {', '.join(FAILURES)}")
        spec = self._spec
        rest, code = self._rest(spec.fallbacks), "fallback"
        if failure == "context":
            window = self._profile.context_window or float("inf")
            rest = [index for index in rest if (spec.profiles[index].context_window or float("inf")) > window]
        elif failure == "check":
            if (stage := stages.after(self, stages.FAILED)) is not None:
                return self._onward(*stage)
            order, own = spec.escalation, self._index  # from the chosen one on, if it is one of them
            measured = self._rest(order[order.index(own) + 1 :] if own in order else order)
            rest, code = (measured, "escalated") if measured else (rest, "unmeasured")
        if not rest:
            raise PolicyError(f"next: {self._end(failure)}")
        return self._onward(rest[0], code=code)

    def _end(self, failure: str) -> str:
        """Why nobody is left, and what to do."""
        tried = ", ".join(str(self._spec.profiles[index].candidate) for index in (*self._tried, self._index))
        left = self.fallbacks if failure == "context" else ()
        if left:
            return (
                f"no candidate is left with a larger context window than {self.candidate}; shorten the context, or "
                f"ask one of {', '.join(map(str, left))} with a part of it"
            )
        barred = "" if self._field is None else " that the constraints allow"
        return (
            f"no candidate is left after {self.candidate} failed ({failure}): every one{barred} was tried ({tried}); "
            "stop here, or start again with `decide`"
        )

    def _rest(self, order: tuple[int, ...]) -> list[int]:
        """The columns of `order` that may serve and are not yet tried."""
        gone = {self._index, *self._tried}
        return [i for i in order if i not in gone and (self._field is None or self._field.open[i])]

    @property
    def _measured(self) -> Profile:
        """The profile as it was measured on the suite that was decided for."""
        row = self._limits_row
        return clients.for_suite(self._profile, self._spec.suites[row - 1] if row else None)

    @property
    def measured(self) -> dict[str, Any]:
        """What is known of the request that was measured: that of the suite decided for, where
        they differ. A copy."""
        request = self._profile.request
        row = self._limits_row
        by_suite: Mapping[str, Mapping[str, Any]] = request.get("suites") or {}
        found: dict[str, Any] = pickled.plain(
            by_suite.get(self._spec.suites[row - 1], request) if row else request
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; two decisions are equal if these are."""
        return {
            **self.candidate.named(),
            "tier": self.tier,
            "fallbacks": [list(candidate) for candidate in self.fallbacks],
            "limits": self.limits._asdict(),
            "quality": self.quality,
            "cost_usd": self.cost_usd,
            "reason": self.reason,
            "evidence": self.evidence,
            "revision": self.revision,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.candidate, self.tier, self.code, self.revision))

    def __repr__(self) -> str:
        return f"Decision({self.candidate}, tier={self.tier!r}, {self.reason!r}, revision={self.revision[:12]!r})"


_ORDER = (
    "_spec", "_revision", "_index", "code", "_quality", "_cost", "_coverage", "_limits_row", "_point", "_piece",
    "_field", "_tried", "_suite", "_vector_missing", "unknown_point", "_chain", "_reference", "_odds",
)  # fmt: skip
"""What a Decision is made of, in the order of `__new__`."""
_PARTS = attrgetter(*_ORDER)
