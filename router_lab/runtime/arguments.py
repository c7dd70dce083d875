"""What a caller asks of `decide`, read and checked once: the same errors whatever policy, or none,
answers."""

from __future__ import annotations

from collections.abc import Iterable, Set
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.errors import PolicyError, shown
from router_lab.runtime.features import cap_text
from router_lab.runtime.messages import last_user_text, plain_text
from router_lab.runtime.model import Candidate
from router_lab.runtime.vectors import as_numbers

STANDARD = ("standard",)
MOST_NAMED = 10_000
"""Most candidates, or tiers, that one request may name; an endless generator ends here."""
_LARGEST = 1e15
_PLAIN = frozenset({str, type(None)})
_NUMBERS = (int, float, np.integer, np.floating)
"""A tuple: a union of types is made anew wherever it is written, on every request."""


class Named(tuple[Candidate, ...]):
    """What `allowed` was read to: at least one, each of plain texts, once. It is not read again."""

    __slots__ = ()


class DecideArguments(NamedTuple):
    """The arguments of one `Policy.decide`, of plain types: no text is a subclass with methods of
    its own, what was a generator is a tuple, numbers are finite floats of 0 or more, a vector is
    float64 [d]."""

    text: str
    suite: str | None = None
    tiers: tuple[str, ...] = STANDARD
    allowed: tuple[Candidate, ...] | None = None
    max_cost_usd: float | None = None
    min_quality: float | None = None
    deadline_s: float | None = None
    context_tokens: float | None = None
    previous: Candidate | None = None
    cached_tokens: float = 0.0
    point: str | None = None
    key: str | bytes | None = None
    vector: NDArray[np.float64] | None = None


def read(
    prompt: object,
    suite: object = None,
    tiers: object = STANDARD,
    allowed: object = None,
    max_cost_usd: object = None,
    min_quality: object = None,
    deadline_s: object = None,
    context_tokens: object = None,
    previous: object = None,
    cached_tokens: object = 0,
    point: object = None,
    key: object = None,
    vector: object = None,
) -> DecideArguments:
    """Arguments as in `Policy.decide`. PolicyError for what no policy could ever take; exceptions
    of the caller's own objects (a dict whose `get` fails, a generator that raises) become such
    errors too, interrupts pass."""
    try:
        return DecideArguments(
            text=prompt if type(prompt) is str else _prompt(prompt),
            suite=suite if suite is None or type(suite) is str else _text(suite, "suite"),
            tiers=tiers if tiers is STANDARD else _tiers(tiers),
            allowed=allowed if allowed is None or type(allowed) is Named else candidates(allowed),
            max_cost_usd=None if max_cost_usd is None else number(max_cost_usd, "max_cost_usd"),
            min_quality=None if min_quality is None else number(min_quality, "min_quality"),
            deadline_s=None if deadline_s is None else number(deadline_s, "deadline_s"),
            context_tokens=None if context_tokens is None else number(context_tokens, "context_tokens"),
            previous=None if previous is None else pair(previous, "decide: previous"),
            cached_tokens=0.0
            if type(cached_tokens) is int and cached_tokens == 0
            else number(cached_tokens, "cached_tokens"),
            point=point if point is None or type(point) is str else _text(point, "point"),
            key=key if key is None or type(key) is str else _key(key),
            vector=None if vector is None else as_numbers(vector, "decide: vector"),
        )
    except PolicyError:
        raise
    except Exception as error:  # a text, number or list of the caller's own kind may fail in any way
        raise PolicyError(f"decide: an argument cannot be read: {shown(error)}") from error


def number(value: object, argument: str, *, least: float = 0.0) -> float:
    """An argument of `decide` as a float of at most 1e15, or PolicyError: bool, str and NaN can
    never be valid.

    Infinity is a fine bound, but not a number to subtract from another.
    """
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise PolicyError(f"decide: {argument} {shown(value)} is not a number")
    if not value >= least:
        raise PolicyError(f"decide: {argument} {shown(value)} is below {least:g}")
    return float(min(value, _LARGEST))


def pair(value: object, where: str) -> Candidate:
    """A Candidate from one, or from (model, effort) or (model, effort, harness), or PolicyError."""
    if type(value) is Candidate and _PLAIN.issuperset(map(type, value)) and value[0] and "" not in value:
        return value
    if not (isinstance(value, (tuple, list)) and len(value) in (2, 3)):
        raise PolicyError(f"{where} {shown(value)} is not a Candidate or a (model, effort) pair")
    model, *rest = (plain_text(part) if isinstance(part, str) else part for part in value)
    if not (isinstance(model, str) and model and all(p is None or (isinstance(p, str) and p) for p in rest)):
        raise PolicyError(f"{where} {shown(value)} is not a (model, effort) pair of str and str or None")
    return Candidate(model, *rest)


def shared_key(arguments: DecideArguments, cap: int) -> str | bytes:
    """What a request is told apart by: its key, or the part of its text that a policy of `cap`
    looks at."""
    return cap_text(arguments.text, cap) if arguments.key is None else arguments.key


def _prompt(prompt: object) -> str:
    if isinstance(prompt, str):
        return plain_text(prompt)
    try:
        return last_user_text(prompt)
    except PolicyError:
        raise
    except Exception as error:  # a dict of the caller's own kind may fail in any way
        raise PolicyError(f"decide: prompt cannot be read: {shown(error)}") from error


def _text(value: object, argument: str) -> str:
    if not isinstance(value, str):
        raise PolicyError(f"decide: {argument} {shown(value)} is not a str")
    return plain_text(value)


def _key(key: object) -> str | bytes:
    if isinstance(key, str):
        return plain_text(key)
    if not isinstance(key, bytes):
        raise PolicyError(f"decide: key {shown(key)} is not a str or bytes")
    return key if type(key) is bytes else bytes.__getitem__(key, slice(None))


def _tiers(tiers: object) -> tuple[str, ...]:
    return tuple(_text(tier, "tiers: name") for tier in _items(tiers, "tiers", f"names such as {STANDARD!r}"))


def candidates(allowed: object) -> Named:
    """In the order given, without repeats; a set has none, and is sorted, so that every process
    has the same first. PolicyError for what names no candidates."""
    if type(allowed) is Named:
        return allowed
    found = dict.fromkeys(pair(item, "decide: allowed") for item in _items(allowed, "allowed", "Candidates"))
    if not found:
        raise PolicyError("decide: allowed names no candidate at all; leave it out to allow every one")
    return Named(sorted(found) if isinstance(allowed, Set) else found)


def _items(values: object, argument: str, of: str) -> list[object]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise PolicyError(f"decide: {argument} {shown(values)} is not a collection of {of}")
    try:
        found = list(islice(values, MOST_NAMED + 1))
    except Exception as error:  # a generator of the caller's may fail in any way
        raise PolicyError(f"decide: {argument} cannot be read: {shown(error)}") from error
    if len(found) > MOST_NAMED:
        raise PolicyError(f"decide: {argument} names more than {MOST_NAMED:,} {of}")
    return found
