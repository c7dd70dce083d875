"""What a `PolicyStore` answers, whatever policy serves: no error, ever, for what a swap can
change.

A point that is not in this policy means its default point; a suite that is not, the pooled rates;
a vector that it does not take is left out. `allowed` is never passed over: where the policy knows
none of them, one of them answers bare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from router_lab.runtime.arguments import DecideArguments, pair
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.features import Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.reasons import NO_POLICY, OUTSIDE
from router_lab.runtime.validate import MAX_CANDIDATES


class Requires(NamedTuple):
    """What callers rely on: the points, candidates and suites that a policy must have to be
    served, and by suite those to whom it must be kept (`allowed`)."""

    points: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    suites: tuple[str, ...] = ()
    allowed: tuple[tuple[str, tuple[Candidate, ...]], ...] = ()

    @classmethod
    def of(cls, value: Requires | Mapping[str, Any] | None) -> Requires:
        """From a mapping of these names to collections. Raises PolicyError for anything else."""
        if value is not None and not isinstance(value, Requires | Mapping):
            raise PolicyError(f"requires: {shown(value)} is not a mapping of {', '.join(cls._fields)}")
        given = value._asdict() if isinstance(value, Requires) else dict(value or {})
        unknown = sorted(map(str, given.keys() - set(cls._fields)))
        if unknown:
            raise PolicyError(f"requires: {unknown[0]!r} is not one of {', '.join(cls._fields)}")
        return cls(
            _texts(given.get("points", ()), "points"),
            _pairs(given.get("candidates", ()), "candidates"),
            _texts(given.get("suites", ()), "suites"),
            _kept(given.get("allowed", ())),
        )

    def both(self, other: Requires) -> Requires:
        """What either asks for."""
        return Requires(
            tuple(dict.fromkeys(self.points + other.points)),
            tuple(dict.fromkeys(self.candidates + other.candidates)),
            tuple(dict.fromkeys(self.suites + other.suites)),
            tuple(dict.fromkeys(self.allowed + other.allowed)),
        )

    def missing(self, policy: Policy) -> list[str]:
        """What `policy` lacks, in words."""
        spec = policy.spec
        return [
            *(f"point {shown(point)}" for point in self.points if point not in spec.points),
            *(f"candidate {candidate}" for candidate in self.candidates if candidate not in spec.candidates),
            *(f"suite {shown(suite)}" for suite in self.suites if suite not in spec.suites),
            *(
                f"that {shown(suite)} is kept to {', '.join(map(str, own))}"
                for suite, own in self.allowed
                if not {spec.candidates[one] for one in spec.allowed.get(suite, range(len(spec.profiles)))}
                <= {*own}
            ),
        ]

    def check(self, policy: Policy) -> Policy:
        """`policy` itself; PolicyError naming what it lacks."""
        missing = self.missing(policy)
        if missing:
            raise PolicyError(
                f"policy {policy.spec.name!r} ({(policy.revision or 'unsaved')[:16]}) lacks what this store requires: "
                f"{', '.join(missing)}; publish one that has it, or change `requires`"[:1000]
            )
        return policy


class Serving:
    """How one store answers: the candidate named in code, and what the store requires of a
    policy."""

    def __init__(self, default: Candidate | tuple[str, str | None] | Profile, requires: Any = None) -> None:
        profile = default if isinstance(default, Profile) else Profile(pair(default, "default"))
        self.profile = profile
        self.default = bare_policy((profile,))
        """What serves until a policy is loaded."""
        self.requires = Requires.of(requires)
        self._bare = lru_cache(maxsize=64)(self._among)
        self._fitting: tuple[Policy, bool] = (self.default, False)

    def fits(self, policy: Policy) -> bool:
        """Whether another store's policy may answer for this one."""
        known, fits = self._fitting
        if known is not policy:
            fits = policy.revision != NO_POLICY and not self.requires.missing(policy)
            self._fitting = (policy, fits)  # one assignment: threads see both or neither
        return fits

    def decide(self, policy: Policy, arguments: DecideArguments) -> Decision:
        """The decision of `policy`, or of `self.default` while none is loaded. Raises for no
        argument that was read."""
        allowed = arguments.allowed
        if policy is self.default or not (
            allowed is None or policy.keeps(arguments.suite) or any(policy.knows(c) for c in allowed)
        ):
            return self._without(policy, arguments)
        point, vector = arguments.point, arguments.vector
        strange = None if point is None or point in policy.spec.points else point
        if strange is not None:
            arguments = arguments._replace(point=None)
        if vector is not None and len(vector) != policy.vector_length:
            arguments = arguments._replace(vector=None)
        decision = policy.answer(arguments)
        return decision if strange is None else decision._but(unknown_point=strange)

    def _without(self, policy: Policy, arguments: DecideArguments) -> Decision:
        """The candidate named in code if it may serve, else the first who may; then the others, in
        the order given."""
        mine = self.profile.candidate
        own = policy is self.default and (arguments.allowed is None or mine in arguments.allowed)
        bare = self.default if arguments.allowed is None else self._bare(arguments.allowed)
        plain = arguments._replace(suite=None, allowed=None, previous=None, point=None, vector=None)
        decision = bare.answer(plain)
        field = decision._field
        if field is not None and arguments.max_cost_usd is not None and "max_cost_usd" not in field.unmet:
            # No price was measured: $0 is no prediction.
            field = field._replace(unmet=(*field.unmet, "max_cost_usd"))
        return decision._but(code="default" if own else OUTSIDE, _revision=policy.revision, _field=field)

    def _among(self, allowed: tuple[Candidate, ...]) -> Policy:
        mine = self.profile.candidate
        order = [mine, *(one for one in allowed if one != mine)] if mine in allowed else list(allowed)
        return bare_policy(
            tuple(self.profile if one == mine else Profile(one) for one in order[:MAX_CANDIDATES])
        )


def bare_policy(order: tuple[Profile, ...]) -> Policy:
    """A policy that knows nothing of some candidates: the first decides, the others are its
    fallbacks."""
    profiles = tuple(sorted(order, key=lambda profile: profile.candidate))
    columns = {profile.candidate: index for index, profile in enumerate(profiles)}
    count = len(profiles)
    return Policy(
        PolicySpec(
            name="default",
            profiles=profiles,
            reference=columns[order[0].candidate],
            suites=(),
            featuriser=Featuriser(buckets=2, cap=16),
            linear=Linear.constant(np.zeros((1, 2 * count)), np.zeros((2, count))),
            points={"default": (Follow(0.0, 0.0),)},
            point="default",
            coverage=2.0,
            routes={},
            fallbacks=tuple(columns[profile.candidate] for profile in order),
        ),
        revision=NO_POLICY,
    )


def _each(values: object, name: str) -> Iterable[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise PolicyError(f"requires: {name}: {shown(values)} is not a collection")
    return values


def _pairs(values: object, name: str) -> tuple[Candidate, ...]:
    return tuple([pair(item, f"requires: {name}:") for item in _each(values, name)])


def _kept(value: object) -> tuple[tuple[str, tuple[Candidate, ...]], ...]:
    """From a mapping of suites to candidates, or what this made of one."""
    rows = tuple(value.items()) if isinstance(value, Mapping) else tuple(_each(value, "allowed"))
    if not all(isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], str) for row in rows):
        raise PolicyError(f"requires: allowed: {shown(value)} is not a mapping of suites to candidates")
    return tuple((suite, _pairs(own, "allowed")) for suite, own in rows)


def _texts(values: object, name: str) -> tuple[str, ...]:
    found = tuple(_each(values, name))
    for value in found:
        if not isinstance(value, str):
            raise PolicyError(f"requires: {name}: {shown(value)} is not a text")
    return found
