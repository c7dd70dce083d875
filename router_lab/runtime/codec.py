"""policy.json and the .npy files <-> `PolicySpec`; docs/artifact-format.md is the specification. A
policy of which candidates retire, that keeps suites to some of them, or that explores, is version
6; any other with a harness or a team among its candidates is version 5; any other with chains is
version 4; any other with a point of several pieces, or of one that assigns candidates to suites, is
version 3; any other is version 2 if it takes vectors, else version 1, to the same bytes as before
there was a later one.

Rules for a new version: a key added with a default that means what its absence meant keeps the
number; anything else takes the next one, gets a reader here, and every older reader stays, with a
golden artifact of it in tests/golden.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime import npy
from router_lab.runtime.candidatecodec import HARNESSES, limits_in, limits_out, profile_in, profile_out
from router_lab.runtime.chaincodec import chains_in, chains_out
from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.heads import heads_in, heads_out
from router_lab.runtime.lifecodec import LIFE_KEYS, life_in, life_out
from router_lab.runtime.linearcodec import featuriser_in, featuriser_out, linear_in, linear_out
from router_lab.runtime.model import (
    PolicySpec,
    Profile,
    Route,
)
from router_lab.runtime.points import (
    Point,
    numbers_out,
    piece_out,
    point_in_chains,
    point_in_numbers,
    point_in_pieces,
)
from router_lab.runtime.sessions import sessions_in, sessions_out
from router_lab.runtime.typed import as_list, as_number, as_whole, only_keys
from router_lab.runtime.vectors import VectorWeights, vector_length

FORMAT = "router-lab policy"
LIVES = 6
"""The first version in which candidates may retire, suites be kept to some, and points explore."""
_POLICY_KEYS = frozenset((
    "schema_version", "format", "name", "candidates", "reference", "suites", "featuriser", "linear", "points", "point",
    "coverage", "routes", "fallbacks", "escalation", "eligible", "limits", "expires", "groups_digest", "provenance",
))  # fmt: skip
_OPTIONAL_KEYS: dict[str, Callable[[Any], Any]] = {
    "coverage_unknown": as_number, "sessions": sessions_in, "suffix_guard": as_whole,
    "heads": heads_in,
}  # fmt: skip
"""Keys that may be absent, and what reads them."""


def encode(spec: PolicySpec) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(policy.json as a value, the .npy files by name)."""
    linear, featuriser = spec.linear, spec.featuriser
    value: dict[str, Any] = {
        "schema_version": 1,
        "format": FORMAT,
        "name": spec.name,
        "candidates": [profile_out(profile) for profile in spec.profiles],
        "reference": int(spec.reference),
        "suites": list(spec.suites),
        "featuriser": featuriser_out(featuriser),
        "linear": linear_out(linear),
        "point": spec.point,
        "coverage": float(spec.coverage),
        "routes": {suite: [int(route.candidate), route.verdict] for suite, route in spec.routes.items()},
        "fallbacks": [int(index) for index in spec.fallbacks],
        "escalation": [int(index) for index in spec.escalation],
        "eligible": None if spec.eligible is None else spec.eligible.astype(int).tolist(),
        "limits": [[limits_out(limit) for limit in row] for row in spec.limits],
        "expires": spec.expires,
        "groups_digest": digest_of(spec.groups),
        "provenance": dict(spec.provenance),
        **_optional_out(spec),
    }
    weights = linear.weights
    if linear.vector is not None:
        value |= {"schema_version": 2, "vector": linear.vector.to_json()}
        weights = np.concatenate([weights, linear.vector.weights])
    teams = any(profile.roles or profile.candidate.harness is not None for profile in spec.profiles)
    more = life_out(spec)
    value |= _points_out(spec, pieces=teams or bool(more)) | ({"schema_version": HARNESSES} if teams else {})
    value |= more | ({"schema_version": LIVES} if more else {})
    arrays: dict[str, NDArray[Any]] = {
        "weights.npy": weights,
        "buckets.npy": linear.seen,
        "groups.npy": spec.groups,
    }
    return value, {name: npy.dump(array) for name, array in arrays.items()}


def _optional_out(spec: PolicySpec) -> dict[str, object]:
    """Those of `_OPTIONAL_KEYS` that say something."""
    found: dict[str, object] = {}
    if spec.coverage_unknown is not None:
        found["coverage_unknown"] = float(spec.coverage_unknown)
    if spec.suffix_guard:
        found["suffix_guard"] = int(spec.suffix_guard)
    if spec.heads is not None:
        found["heads"] = heads_out(spec.heads)
    if spec.sessions is not None:
        found["sessions"] = sessions_out(spec.sessions)
    return found


def _points_out(spec: PolicySpec, pieces: bool) -> dict[str, Any]:
    """`points`, and what comes with them from version 3 on; with `pieces` never as three
    numbers."""
    numbers = {name: numbers_out(point) for name, point in spec.points.items()}
    if None not in numbers.values() and not spec.chains and not pieces:
        return {"points": numbers}
    points = {name: [piece_out(piece) for piece in point] for name, point in spec.points.items()}
    chains = chains_out(spec.chains) if spec.chains else {}
    return {"schema_version": 4 if spec.chains else 3, "points": points, **chains}


def digest_of(groups: NDArray[np.uint64]) -> str:
    """SHA-256 of the sorted 64-bit group codes, little-endian: equal digests mean the same
    groups."""
    return hashlib.sha256(np.ascontiguousarray(groups, "<u8").tobytes()).hexdigest()


def decode(value: Any, arrays: Mapping[str, bytes], certificate: Mapping[str, object]) -> PolicySpec:
    """A PolicySpec from what `encode` gave. PolicyError for an unknown version, key or type; the
    semantic rules are `validate.check_spec`'s."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    reader = READERS.get(version) if isinstance(version, int) and not isinstance(version, bool) else None
    if reader is None:
        raise PolicyError(
            f"policy.json: schema_version {shown(version)} is not one that this router_lab reads"
            f" ({', '.join(map(str, READERS))}); a newer artifact needs a newer router_lab"
        )
    try:
        return reader(value, arrays, certificate)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise PolicyError(
            f"policy.json: a value has the wrong type or is missing: {shown(error, 300)}"
        ) from error


def _read_version_1(
    value: dict[str, Any],
    arrays: Mapping[str, bytes],
    certificate: Mapping[str, Any],
    weights: NDArray[np.int8] | None = None,
    point_in: Callable[[str, Any], Point] = point_in_numbers,
) -> PolicySpec:
    """`weights`: of a reader that has taken them from the file already. `point_in`: how a newer
    version has points."""
    only_keys(
        {name: part for name, part in value.items() if name not in _OPTIONAL_KEYS},
        _POLICY_KEYS,
        "policy.json",
    )
    if value["format"] != FORMAT:
        raise PolicyError(f"policy.json: format {shown(value['format'])} is not {FORMAT!r}")
    profiles = _profiles_in(value)
    width, suites = 2 * len(profiles), tuple(as_list(value["suites"]))
    groups = npy.load(arrays["groups.npy"], "groups.npy", "<u8", (-1,)).astype(np.uint64, copy=False)
    if digest_of(groups) != value["groups_digest"]:
        raise PolicyError("policy.json: groups_digest is not that of groups.npy")
    eligible = value["eligible"]
    return PolicySpec(
        name=value["name"],
        profiles=profiles,
        reference=as_whole(value["reference"]),
        suites=suites,
        featuriser=featuriser_in(value["featuriser"]),
        linear=linear_in(value["linear"], arrays, width, len(suites) + 1, weights),
        points={name: point_in(name, point) for name, point in value["points"].items()},
        point=value["point"],
        coverage=as_number(value["coverage"]),
        routes={
            suite: Route(as_whole(column), verdict) for suite, (column, verdict) in value["routes"].items()
        },
        fallbacks=tuple(map(as_whole, as_list(value["fallbacks"]))),
        escalation=tuple(map(as_whole, as_list(value["escalation"]))),
        eligible=None if eligible is None else _flags(eligible, (len(suites) + 1, len(profiles))),
        limits=tuple(tuple(limits_in(limit) for limit in row) for row in as_list(value["limits"])),
        expires=value["expires"],
        groups=groups,
        certificate=certificate,
        provenance=dict(value["provenance"]),
        **{name: read(value[name]) for name, read in _OPTIONAL_KEYS.items() if name in value},
    )


def _profiles_in(value: Mapping[str, Any]) -> tuple[Profile, ...]:
    version = as_whole(value["schema_version"])
    return tuple(profile_in(row, version) for row in as_list(value["candidates"]))


def _read_version_2(
    value: dict[str, Any],
    arrays: Mapping[str, bytes],
    certificate: Mapping[str, Any],
    point_in: Callable[[str, Any], Point] = point_in_numbers,
) -> PolicySpec:
    """Version 1, and under `vector` what the caller's vectors add: their weights are the last rows
    of weights.npy."""
    vector = value["vector"]
    length, width = vector_length(vector), 2 * len(as_list(value["candidates"]))
    every = npy.load(arrays["weights.npy"], "weights.npy", "|i1", (-1, width)).astype(np.int8, copy=False)
    # Where it is not after the last bucket, version 1 refuses what comes before.
    cut = max(0, len(every) - length)
    first = {key: item for key, item in value.items() if key != "vector"}
    spec = _read_version_1(first, arrays, certificate, every[:cut], point_in)
    linear = replace(spec.linear, vector=VectorWeights.from_json(vector, every[cut:]))
    return replace(spec, linear=linear)


def _read_version_3(
    value: dict[str, Any],
    arrays: Mapping[str, bytes],
    certificate: Mapping[str, Any],
    point_in: Callable[[str, Any], Point] = point_in_pieces,
) -> PolicySpec:
    """Version 2, `vector` being optional, and every point a list of pieces."""
    if "vector" in value:
        return _read_version_2(value, arrays, certificate, point_in)
    return _read_version_1(value, arrays, certificate, point_in=point_in)


def _read_version_4(
    value: dict[str, Any], arrays: Mapping[str, bytes], certificate: Mapping[str, Any]
) -> PolicySpec:
    """Version 3, and chains, which pieces of its points may name, with their acceptance models."""
    if value["chains"] == []:
        raise PolicyError("policy.json: chains: none, and a policy without is of an earlier version")
    chains = chains_in(value["chains"], value["judges"])
    rest = {key: item for key, item in value.items() if key not in ("chains", "judges")}
    return replace(_read_version_3(rest, arrays, certificate, point_in_chains), chains=chains)


def _read_version_5(
    value: dict[str, Any], arrays: Mapping[str, bytes], certificate: Mapping[str, Any]
) -> PolicySpec:
    """Version 3 or 4, and candidates that have a harness, or are teams."""
    if not any("roles" in row or row.get("harness") is not None for row in as_list(value["candidates"])):
        raise PolicyError(
            "policy.json: candidates: no harness and no team, and a policy without is of an earlier version"
        )
    if "chains" in value:
        return _read_version_4(value, arrays, certificate)
    return _read_version_3(value, arrays, certificate)


def _read_version_6(
    value: dict[str, Any], arrays: Mapping[str, bytes], certificate: Mapping[str, Any]
) -> PolicySpec:
    """Version 3, 4 or 5, and who retires, whom suites are kept to, and what is explored."""
    rest = {key: item for key, item in value.items() if key not in LIFE_KEYS}
    if len(rest) == len(value):
        raise PolicyError(
            f"policy.json: none of {', '.join(LIFE_KEYS)}, and a policy without is of an earlier version"
        )
    read = _read_version_4 if "chains" in rest else _read_version_3
    return replace(read(rest, arrays, certificate), **life_in(value))


READERS: dict[int, Callable[[dict[str, Any], Mapping[str, bytes], Mapping[str, Any]], PolicySpec]] = {
    1: _read_version_1,
    2: _read_version_2,
    3: _read_version_3,
    4: _read_version_4,
    HARNESSES: _read_version_5,
    LIVES: _read_version_6,
}


def _flags(rows: list[list[int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if not all(value in (0, 1) and isinstance(value, int) for row in rows for value in row):
        raise PolicyError("policy.json: eligible holds something other than 0 and 1")
    array = np.array(rows, np.bool_)
    if array.shape != shape:
        raise PolicyError(f"policy.json: eligible has not the shape {list(shape)}")
    return array
