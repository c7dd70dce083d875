"""The data of a policy. Nothing here decides anything: `policy` does, on these; `artifact` writes
and reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.chains import Chain
from router_lab.runtime.features import Featuriser
from router_lab.runtime.harness import Harness
from router_lab.runtime.heads import Begun
from router_lab.runtime.kinds import PRICED, inside, record
from router_lab.runtime.linear import Linear
from router_lab.runtime.points import Point
from router_lab.runtime.visible import visible


class _Nothing(Mapping[str, Any]):
    """An empty mapping that nobody can fill, and that comes out of a pickle as itself."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __reduce__(self) -> str:
        return "_NOTHING"

    def __repr__(self) -> str:
        return "{}"


_NOTHING = _Nothing()

VERDICTS = ("pass", "fail", "inconclusive")
CACHING = ("none", "prefix")
"""Assumptions about prompt caching under which dollars are stated."""
POOLED = 0
"""Row of every per-suite table for an unknown or absent suite; suite i of `PolicySpec.suites` is
row i + 1."""


def _whole(name: str) -> str:
    """A name as one: in quotes where it could be read as two."""
    if "@" not in name and "+" not in name and name[:1] != '"':
        return name
    alone = f" {name} "
    if " @ " not in alone and " + " not in alone and name[:1] != '"':
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Candidate(tuple[str | None, ...]):
    """A model, the effort it is asked at (None = the provider's default) and the harness around it
    (None = as the suite has it). A team's model is its name. Fields: nothing ever parses a string.

    Being a tuple, it equals and hashes like the plain pair `(model, effort)`, with a harness like
    `(model, effort, harness)`. Sorts by (model, effort or "", harness or "").
    """

    __slots__ = ()

    def __new__(cls, model: str, effort: str | None = None, harness: str | None = None) -> Candidate:
        return super().__new__(cls, (model, effort) if harness is None else (model, effort, harness))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Candidate:
        """The candidate that a row of a table or of JSON names; what is no text is null there."""
        effort, harness = row.get("effort"), row.get("harness")
        return cls(
            row["model"],
            effort if isinstance(effort, str) else None,
            harness if isinstance(harness, str) else None,
        )

    @property
    def model(self) -> str:
        return self[0]  # type: ignore[return-value]

    @property
    def effort(self) -> str | None:
        return self[1]

    @property
    def harness(self) -> str | None:
        return self[2] if len(self) > 2 else None

    def named(self) -> dict[str, str | None]:
        """As JSON: `model`, `effort`, and `harness` where there is one."""
        return dict(zip(("model", "effort", "harness"), self, strict=False))

    def __getnewargs__(self) -> tuple[str | None, ...]:
        return tuple(self)

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return tuple(part or "" for part in self) < tuple(part or "" for part in other)

    def __str__(self) -> str:
        """For people only, escaped for a terminal; model ids hold '@', ':' and '/', so this is
        never read back. No two candidates look alike: a name that holds what stands between names
        is in quotes."""
        effort = "" if self.effort is None else f" @ {_whole(self.effort)}"
        harness = "" if self.harness is None else f" + {_whole(self.harness)}"
        return visible(f"{_whole(self.model)}{effort}{harness}")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.named().items())
        return f"Candidate({fields})"


_EVER, _BEFORE = 5, 6
"""Prices that artifacts have had from the first, null or not; kinds older than the price of a
request: later ones stand behind it, so that nothing given by position moves."""
_KINDS = [kind.name for kind in PRICED]
_WITHIN = {kind: (kind, *(one.name for one in inside(kind))) for kind in _KINDS}
_FEW = (*_KINDS[_EVER:_BEFORE], "per_1k_requests", *_KINDS[_BEFORE:])
_Fields: Any = record(
    "_Fields",
    (*_KINDS[:_EVER], "tiers", "price_date", *_FEW),
    (*(None for _ in _KINDS[2:_EVER]), _NOTHING, None, *(None for _ in _FEW)),
)


class Prices(_Fields):  # type: ignore[misc]
    """Dollars per million tokens, by kind (`kinds.KINDS`): `input`, `output`, `cache_read` …; None
    = none is known.

    `tiers` multiplies all of them (`batch: 0.5`); standard is 1 unless listed. A kind within
    another (`reasoning`) has None where it is priced as that one. `per_1k_requests`: dollars per
    1,000 requests beside their tokens. An artifact holds it, and kinds that few models have, only
    where a model has them.
    """

    __slots__ = ()
    input: float
    output: float
    cache_read: float | None
    tiers: Mapping[str, float]
    per_1k_requests: float | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON, without what few models have and this one has not."""
        few = [key for key in _FEW if getattr(self, key) is None]
        return {key: value for key, value in self._asdict().items() if key not in few} | {
            "tiers": dict(self.tiers)
        }

    def dearest(self, name: str) -> float:
        """What a token counted as that kind costs at most, whichever kind within it it is."""
        return max([getattr(self, kind) or 0.0 for kind in _WITHIN[name]])


class Limits(NamedTuple):
    """What a request should stay within, from the recorded distribution; None = nothing was
    recorded."""

    max_tokens: int | None = None
    turns: int | None = None
    usd: float | None = None


class Role(NamedTuple):
    """Who has a role in a team, what a request should use of it at most, and its share of the
    team's dollars, as recorded; None = not known."""

    profile: Profile
    limits: Limits = Limits()
    share: float | None = None


class Profile(NamedTuple):
    """What is known of a candidate: the request as it was measured, prices, capacity, and how long
    it takes.

    `request` is `{"api": "openai_chat" | "openai_responses" | "anthropic" | None, "arguments":
    {…}, "system": str | None, "few_shot": [{"user": …, "assistant": …}]}`. `tier_seconds` is the
    time within which a tier answers (the 95th percentile of what was recorded, or what the
    provider promises). A tier that is neither priced nor timed is not offered, except `standard`,
    which always is.
    """

    candidate: Candidate
    request: Mapping[str, Any] = _NOTHING
    prices: Prices | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    settings_sha: str | None = None
    tier_seconds: Mapping[str, float] = _NOTHING
    harness: Harness | None = None
    """What its `harness` does; None = it has none, or what it does is the application's own."""
    roles: Mapping[str, Role] = _NOTHING
    """Of a team, by role, sorted."""


def profile_from_dict(row: Mapping[str, Any]) -> Profile:
    """A Profile from the dict that travels with outcomes (`df.attrs["candidates"]`): every key but
    `model` optional."""
    prices = row.get("prices")
    return Profile(
        candidate=Candidate.of(row),
        request=dict(row.get("request") or {}),
        prices=None if prices is None else Prices(**prices),
        context_window=row.get("context_window"),
        max_output_tokens=row.get("max_output_tokens"),
        settings_sha=row.get("settings_sha"),
        tier_seconds=dict(row.get("tier_seconds") or {}),
        harness=_harness_of(row),
        roles={role: _role_of(part) for role, part in sorted((row.get("roles") or {}).items())} or _NOTHING,
    )


def _harness_of(row: Mapping[str, Any]) -> Harness | None:
    settings = row.get("harness_settings")
    return None if not row.get("harness") or settings is None else Harness.from_json(row["harness"], settings)


def _role_of(part: Mapping[str, Any]) -> Role:
    rest = {key: value for key, value in part.items() if key not in ("limits", "share")}
    return Role(profile_from_dict(rest), Limits(**(part.get("limits") or {})), part.get("share"))


class Session(NamedTuple):
    """How sessions of a candidate went in a suite, in means: model calls (`turns`, 1 or more),
    tokens of the `last` call's prompt, and tokens that calls sent `again`, having been in the
    prompt before."""

    turns: float
    last: float
    again: float


class Sessions(NamedTuple):
    """`rows` [suites + 1][c], None = not recorded. caching: how predicted dollars count what is
    sent again: at the price of input (`none`) or as read from a cache (`prefix`)."""

    caching: str
    rows: tuple[tuple[Session | None, ...], ...]


class Route(NamedTuple):
    """A row of the routing table: the candidate (column) for prompts of a suite, used only with
    verdict `pass`."""

    candidate: int
    verdict: str


def group_code(suite: str, group: str) -> int:
    """The 64-bit mark under which a policy remembers that a group was used in its fit; the text is
    not recoverable from it, but somebody who has a text can test whether it was used."""
    return int.from_bytes(hashlib.sha256(f"{suite}\0{group}".encode("utf-8", "replace")).digest()[:8], "big")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PolicySpec:
    """All that `decide` depends on. c = len(profiles); per-suite tables have len(suites) + 1 rows,
    POOLED first."""

    name: str
    profiles: tuple[Profile, ...]
    """Sorted by candidate: the column order of every array."""
    reference: int
    suites: tuple[str, ...]
    """Sorted."""
    featuriser: Featuriser
    linear: Linear
    points: Mapping[str, Point]
    point: str
    """Name of the point used when none is asked for."""
    chains: tuple[Chain, ...] = ()
    """What a `Cascade` names by its index."""
    coverage: float
    """Least share of a prompt's features seen in fitting for the predictions to be trusted; above
    1 = never."""
    coverage_unknown: float | None = None
    """The same for a prompt whose suite is not named or not known; None = `coverage`."""
    suffix_guard: int = 0
    """The last words of a prompt that may not move it from the reference (`heads`); 0 = none are
    looked at apart."""
    heads: Begun | None = None
    """What is left of a prompt without these words, predicted at a level of its own; None = as
    prompts are."""
    routes: Mapping[str, Route]
    """By suite; suites without a row stay on the reference."""
    fallbacks: tuple[int, ...]
    """All columns, best of their own (without escalation) first: who is asked when the chosen
    candidate cannot be."""
    escalation: tuple[int, ...] = ()
    """Columns in the order in which a failed check of the answer moves through them, as measured;
    then `fallbacks`."""
    eligible: NDArray[np.bool_] | None = None
    """[suites + 1, c]: may be chosen (not only predicted) for that suite; None = all. The
    reference always may."""
    limits: tuple[tuple[Limits, ...], ...] = ()
    """[suites + 1][c]; empty = none."""
    sessions: Sessions | None = None
    """What is known of sessions of several turns; None: a conversation is judged by its next turn
    alone."""
    expires: str | None = None
    """UTC date, YYYY-MM-DD: from its first second on the policy decides the reference."""
    retires: tuple[str | None, ...] = ()
    """[c] UTC dates, YYYY-MM-DD: from its first second on that candidate serves nothing more; None
    = it stays. Empty = all stay."""
    successor: int | None = None
    """Column that takes the reference's place once that has retired; None = the first fallback."""
    allowed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By suite, the columns that alone may serve it. Where the reference is not among them, the
    first stands in its place."""
    explore: Mapping[str, float] = field(default_factory=dict)
    """By point, the share of requests that go, by the hash of `key`, to anybody who may serve
    them; points that are not named explore nothing."""
    groups: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Sorted `group_code`s of the groups that the fit used."""
    certificate: Mapping[str, Any] = field(default_factory=dict)
    """certificate.json, as written by the fit; `decide` never reads it."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Free JSON: seed, library versions, recipe digest. Nothing that changes from run to run, or
    the bytes would."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(profile.candidate for profile in self.profiles)

    @property
    def first_retirement(self) -> str | None:
        """The first of the days in `retires`; None where nobody retires."""
        return min((day for day in self.retires if day is not None), default=None)

    def coverage_needed(self, row: int) -> float:
        """Least coverage for a prompt of the suite in this row of the tables, POOLED = of none
        that is known."""
        return self.coverage if row != POOLED or self.coverage_unknown is None else self.coverage_unknown
