"""`Policy`: the data of `model.PolicySpec`, made ready to decide with."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime import decision_lock, pickled
from router_lab.runtime.arguments import STANDARD, DecideArguments, read
from router_lab.runtime.chooser import Chooser
from router_lab.runtime.constraints import CHARACTERS_PER_TOKEN, Field, Offers
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.model import POOLED, Candidate, PolicySpec
from router_lab.runtime.odds import CERTAIN
from router_lab.runtime.predict import Predictions, Predictor
from router_lab.runtime.ready import Case, Ready, Stretches
from router_lab.runtime.rule import EXPIRED
from router_lab.runtime.standing import first_second, retirements
from router_lab.runtime.validate import check_spec
from router_lab.runtime.vectors import Floats, Vector, Vectors


class Policy:
    """An immutable policy, safe to share among threads. Build one from a `PolicySpec` (fit does)
    or load one with `router_lab.load_policy`.

    `revision` names the artifact that it came from; None for a policy not yet saved. `clock` gives
    UTC seconds and is only looked at for `expires` and `retires`.
    """

    __slots__ = (
        "_chooser", "_clock", "_expires", "_later", "_offers", "_predictor", "_retired", "_row", "candidates",
        "revision", "spec",
    )  # fmt: skip
    spec: PolicySpec
    revision: str | None
    candidates: tuple[Candidate, ...]
    """Sorted by (model, effort or ""): the column order of every array."""
    _clock: Callable[[], float]
    _expires: float
    _retired: tuple[float, ...]
    """When somebody retires, ascending; `_later` has the rule from each of these moments on."""
    _later: tuple[Chooser, ...]
    _row: dict[str, int]
    _predictor: Predictor
    _offers: Offers
    _chooser: Chooser

    def __init__(
        self, spec: PolicySpec, *, revision: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if hasattr(self, "spec"):
            raise AttributeError("a Policy never changes (__init__)")
        check_spec(spec)
        moments = retirements(spec)
        self._set(
            spec=spec,
            revision=revision,
            candidates=spec.candidates,
            _clock=clock,
            # Its first UTC second; infinity = never.
            _expires=math.inf if spec.expires is None else first_second(spec.expires),
            _retired=tuple(moment for moment, _ in moments),
            _later=tuple(Chooser(spec, gone) for _, gone in moments),
            _row={suite: index + 1 for index, suite in enumerate(spec.suites)},
            _predictor=Predictor(spec),
            _offers=Offers(spec),
            _chooser=Chooser(spec),
        )

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Policy never changes ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Policy never changes ({name})")

    def __copy__(self) -> Policy:
        return self

    def __deepcopy__(self, memo: Any) -> Policy:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For processes of one's own; what others are to load is the artifact. PolicyError for a
        clock that cannot be pickled."""
        return restored, pickled.policy_parts(self.spec, self.revision, self._clock)

    def renewed(self, *, revision: str | None, clock: Callable[[], float] = time.time) -> Policy:
        """The same policy under another revision and clock, sharing all tables."""
        twin = object.__new__(Policy)
        twin._set(
            **{name: getattr(self, name) for name in Policy.__slots__}
            | {"revision": revision, "_clock": clock}
        )
        return twin

    @property
    def reference(self) -> Candidate:
        """Who the policy is judged against, and who serves whenever nothing is proven; where he may
        not, or not any more, who stands in his place (`standing.in_place`)."""
        return self.candidates[self.spec.reference]

    @property
    def vector_length(self) -> int | None:
        """How many numbers a `vector` must have; None where the policy was fitted without vectors
        and takes none."""
        known = self.spec.linear.vector
        return None if known is None else len(known.standard.centre)

    def knows(self, candidate: Candidate) -> bool:
        """Whether the candidate is one of this policy's."""
        return candidate in self._offers.columns

    def keeps(self, suite: str | None) -> bool:
        """Whether the suite is kept to some of the candidates: nobody else ever serves it."""
        return suite in self.spec.allowed

    def decide(
        self,
        prompt: str | list[dict[str, Any]],
        *,
        suite: str | None = None,
        tiers: Sequence[str] = STANDARD,
        allowed: Collection[Any] | None = None,
        max_cost_usd: float | None = None,
        min_quality: float | None = None,
        deadline_s: float | None = None,
        context_tokens: int | None = None,
        previous: Candidate | tuple[str, str | None] | None = None,
        cached_tokens: int = 0,
        point: str | None = None,
        key: str | bytes | None = None,
        vector: Vector | None = None,
    ) -> Decision:
        """Choose who serves `prompt` (a text, or chat messages: their last user turn). No I/O, no
        logging.

        suite: name of the suite that the prompt belongs to, if known. tiers: those the caller can
        wait for. allowed: the only candidates that may serve. max_cost_usd, min_quality: bounds on
        the predictions. deadline_s: seconds until the answer is needed. context_tokens: size of
        the whole context (None: guessed from the text). previous, cached_tokens: who served the
        conversation so far, and how much of the context its prompt cache holds (0: it is cold); it
        stays unless a switch pays, to the session's end where the fit knew sessions. point: name
        of an operating point. key: what chance is drawn by (None: the capped prompt). vector: the
        numbers that the fit had for each sample in column `vector`; None, or one with NaN or
        infinity in it, is missing and counts as their mean (`Decision.vector_missing`).

        A constraint that nobody meets never raises: the candidates that come nearest are left, and
        the decision's `unmet` and reason say so. Whoever a suite is kept to (`keeps`) serves it,
        whatever else is asked, `allowed` included. PolicyError only for arguments that can never
        be valid, whatever the text.
        """
        return self.answer(
            read(
                prompt=prompt, suite=suite, tiers=tiers, allowed=allowed, max_cost_usd=max_cost_usd,
                min_quality=min_quality, deadline_s=deadline_s, context_tokens=context_tokens,
                previous=previous, cached_tokens=cached_tokens, point=point, key=key, vector=vector,
            )
        )  # fmt: skip

    def answer(self, arguments: DecideArguments) -> Decision:
        """`decide`, for what was read before; PolicyError only for a point that is not this
        policy's, `allowed` that names nobody it knows for a suite that is kept to nobody, and a
        vector that it cannot take."""
        now = self._clock()  # a caller's own: not within the turn
        with decision_lock.LOCK:
            return self._answer(arguments, now)

    def _answer(self, arguments: DecideArguments, now: float) -> Decision:
        text, suite = arguments.text, arguments.suite
        at = self._point(arguments.point)
        row = POOLED if suite is None else self._row.get(suite, POOLED)
        added = None if arguments.vector is None else self._predictor.steered(arguments.vector)
        quality, cost, coverage = self._predictor.one(text, row, added)

        chooser = self._chooser if not self._retired else self._rule_at(now)
        covered, expired = coverage >= chooser.needed[row > POOLED], now >= self._expires
        keeps = chooser.keeps[row]
        field: Field | None = None
        context_tokens = arguments.context_tokens
        if context_tokens is None and len(text) > self._offers.short_text:
            context_tokens = float(len(text) // CHARACTERS_PER_TOKEN)
        bounds = (
            arguments.allowed,
            arguments.max_cost_usd,
            arguments.min_quality,
            arguments.deadline_s,
            context_tokens,
            keeps,
        )
        if bounds.count(None) < len(bounds) or arguments.tiers != STANDARD:
            begins = () if expired or not at.cascades else chooser.begins(at, row, covered)
            field = self._offers.apply(quality, cost, row, arguments, context_tokens, keeps, begins)
            cost = field.cost_usd
        stay = (
            None
            if arguments.previous is None
            else self._offers.cache(arguments.previous, arguments.cached_tokens, arguments.context_tokens)
        )

        case = Case(quality, cost, row, covered, field, stay)
        choice, odds = (
            (chooser.otherwise(case, EXPIRED), CERTAIN) if expired else chooser.choose(at, case, arguments)
        )
        index, code, piece = choice
        chain = chooser.begun(at, row, choice) if at.cascades else None
        missing = added is None and self.spec.linear.vector is not None
        return Decision(
            spec=self.spec, revision=self.revision, index=index, code=code, quality=quality, cost=cost,
            coverage=coverage, row=row, point=at.pieces, piece=piece, field=field, tried=(), suite=suite,
            vector_missing=missing, chain=chain, reference=chooser.place[row], odds=odds,
        )  # fmt: skip

    def _rule_at(self, now: float) -> Chooser:
        """Of those whom no retirement has taken yet."""
        passed = bisect_right(self._retired, now)
        return self._later[passed - 1] if passed else self._chooser

    def _point(self, name: str | None) -> Ready:
        try:
            return self._chooser.points[self.spec.point if name is None else name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self.spec.points))
            raise PolicyError(
                f"decide: point {shown(name)} is not one of this policy's: {known}"[:1000]
            ) from None

    def _rows(self, suites: Sequence[str | None] | None, count: int) -> NDArray[np.int64]:
        """Rows of the suites in the tables; None or unknown = POOLED."""
        if suites is None:
            return np.zeros(count, np.int64)
        if len(suites) != count:
            raise PolicyError(f"predict: {len(suites)} suites for {count} prompts")
        return np.array(
            [POOLED if suite is None else self._row.get(suite, POOLED) for suite in suites], np.int64
        )

    def covered(
        self,
        prompts: Sequence[str],
        suites: Sequence[str | None] | None = None,
        vectors: Vectors | None = None,
        point: str | None = None,
    ) -> NDArray[np.bool_]:
        """[n]: whether enough is known of each prompt for its point to decide, not the routing
        table: enough of it was seen in fitting, or its suite is known and the point follows no
        prediction."""
        at, rows = self._point(point), self._rows(suites, len(prompts))
        known = self._chooser.covered_many(self.predictions(prompts, suites, vectors).coverage, rows)
        return known if at.follows else known | (rows != POOLED)

    def predictions(
        self,
        prompts: Sequence[str],
        suites: Sequence[str | None] | None = None,
        vectors: Vectors | None = None,
    ) -> Predictions:
        """quality [n, c], cost_usd [n, c] and coverage [n]: to the last bit what `decide` sees for
        each prompt."""
        return self._predictor.many(prompts, self._rows(suites, len(prompts)), vectors)

    def predict(
        self,
        prompts: Sequence[str],
        suites: Sequence[str | None] | None = None,
        vectors: Vectors | None = None,
    ) -> tuple[Floats, Floats]:
        """Predicted quality [n, c] in [0, 1] and cost_usd [n, c]; a suite that is None or unknown
        gets pooled rates.

        `vectors`: [n, d] or n of them, None = missing; PolicyError for another length, or a policy
        without vectors.
        """
        found = self.predictions(prompts, suites, vectors)
        return found.quality, found.cost_usd

    def shares(
        self,
        prompts: Sequence[str],
        suites: Sequence[str | None] | None = None,
        point: str | None = None,
        vectors: Vectors | None = None,
    ) -> Floats:
        """[n, c]: the probability, over `key`, with which `decide(prompt, suite=…, point=…,
        vector=…)` picks each candidate; of a chain its first stage.

        Rows sum to 1. The date is not looked at: an expired policy gets the shares it had.
        """
        return self.stretches(prompts, suites, point, vectors).shares(len(self.candidates))

    def stretches(
        self,
        prompts: Sequence[str],
        suites: Sequence[str | None] | None = None,
        point: str | None = None,
        vectors: Vectors | None = None,
    ) -> Stretches:
        """Which draw by `key` gives a prompt to whom, or to which chain: `shares`, before they are
        added up."""
        at, found = self._point(point), self.predictions(prompts, suites, vectors)
        return self._chooser.stretches(at, found, self._rows(suites, len(prompts)))

    def __repr__(self) -> str:
        revision = (self.revision or "unsaved")[:12]
        return f"Policy({self.spec.name!r}, {len(self.candidates)} candidates, revision={revision!r})"


def restored(spec: PolicySpec, revision: str | None, clock: Callable[[], float]) -> Policy:
    """A policy from its pickle: checked like any other, its arrays read-only."""
    return Policy(pickled.hardened(spec), revision=revision, clock=clock)
