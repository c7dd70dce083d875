"""Policies and decisions between processes of one's own (multiprocessing, Ray, Celery), by pickle.

A pickle runs what it likes when it is read, so it is no way to hand a policy to anybody: that is
the artifact, and nothing in router_lab ever unpickles.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from router_lab.runtime.errors import PolicyError
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision


def policy_parts(
    spec: PolicySpec, revision: str | None, clock: Callable[[], float]
) -> tuple[PolicySpec, str | None, Callable[[], float]]:
    """What a policy is pickled as. PolicyError for a clock that pickle cannot name."""
    try:
        pickle.dumps(clock)
    except Exception as error:
        raise PolicyError(
            f"pickle: the clock of policy {spec.name!r} cannot be pickled ({error}); give it a function defined at the "
            "top of a module, or pickle policy.renewed(revision=policy.revision), which goes by time.time"
        ) from error
    return plain(spec), revision, clock


def reduced_decision(decision: Decision, order: tuple[str, ...]) -> tuple[Any, ...]:
    """`__reduce__` of a Decision: the class, and its parts in `order`, of the policy only what its
    answers need."""
    parts = {name: getattr(decision, name) for name in order}
    columns = 2 * len(parts["_spec"].profiles)
    # The same policy but for what only deciding reads: weights, groups, certificate, provenance.
    light = dataclasses.replace(
        parts["_spec"],
        linear=Linear.constant(np.zeros((1, columns)), np.zeros((2, columns // 2))),
        groups=np.zeros(0, np.uint64),
        chains=(),  # a decision holds its own
        sessions=None,
        certificate={},
        provenance={},
    )
    told = {"_spec": plain(light), "_odds": parts["_odds"].told()}
    return _decision, (type(decision), tuple((parts | told).values()))


def _decision(kind: type[Decision], parts: tuple[Any, ...]) -> Decision:
    return kind(*map(hardened, parts))


def plain(value: object) -> Any:
    """`value` with plain dicts where it has other mappings, such as read-only views, which pickle
    cannot take."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and not isinstance(value, Candidate):
        items = map(plain, value)
        return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, PolicySpec):
        return PolicySpec(**{one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)})
    return value


def hardened(value: object) -> Any:
    """`value` with every array in it read-only, as pickle forgets."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, tuple):
        for item in value:
            hardened(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            hardened(getattr(value, field.name))
    return value
