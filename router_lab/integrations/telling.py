"""Who answered, said on the very objects that an SDK hands over: an answer, a stream, and the whole
answer at a stream's end."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from router_lab.integrations.answers import field, items
from router_lab.integrations.turns import Told

_FINAL = ("get_final_completion", "get_final_response", "get_final_message")
_WHOLE = ("response", "message")
"""Where an event of a stream holds the answer as it stands."""
_DERIVED: dict[type, type] = {}
"""By a kind of the SDK's, of which it has a few."""


def told(answer: object) -> Told | None:
    """What was decided of a request, by its answer, its stream, or the whole answer at the stream's
    end; None of one that was not routed."""
    # Helpers of the SDKs read a stream; what a runner makes of a stream has the output's own items.
    for one in (answer, field(answer, "_raw_stream"), *items(field(answer, "output"))[:1]):
        found = field(one, "_router_lab")
        if isinstance(found, Told):
            return found
    return None


def marked(answer: Any, found: Told | None) -> Any:
    """The answer, of which `told` knows from now on."""
    if found is not None and not isinstance(answer, dict):
        with contextlib.suppress(Exception):  # a generator in a stream's place, say, takes no mark
            answer._router_lab = found
    return answer


def mark_within(event: object, found: Told | None) -> None:
    """Mark the answer as it stands, where an event of a stream holds it."""
    try:
        for name in _WHOLE:
            if (whole := getattr(event, name, None)) is not None:
                marked(whole, found)
    except Exception:  # noqa: BLE001  # whatever a host's event does, its user gets it
        return


def telling(manager: Any) -> Any:
    """What an SDK's `stream(…)` gives, where the final answer of the stream that it opens is marked
    as the stream is. It stays the very object, of a class derived from the SDK's."""
    with contextlib.suppress(Exception):  # somebody else's, in the SDK's place, stays as it is
        manager.__class__ = _derived(type(manager), ("__enter__", "__aenter__"), _opened)
    return manager


def _opened(_: object, stream: Any) -> Any:
    found = told(stream)
    with contextlib.suppress(Exception):
        events = stream._iterator
        stream._iterator = (_awaited if hasattr(events, "__anext__") else _read)(events, found)
        stream.__class__ = _derived(type(stream), _FINAL, _ended)
    return stream


def _ended(stream: object, answer: Any) -> Any:
    return marked(answer, told(stream))


def _read(events: Iterator[object], found: Told | None) -> Iterator[object]:
    for event in events:
        mark_within(event, found)
        yield event


async def _awaited(events: AsyncIterator[object], found: Told | None) -> AsyncIterator[object]:
    async for event in events:
        mark_within(event, found)
        yield event


def _derived(kind: type, names: tuple[str, ...], then: Callable[[Any, Any], Any]) -> type:
    """A class whose methods of these names, where it has them, give what `then` makes of the object
    and what they gave."""
    if kind not in _DERIVED:
        methods = {name: getattr(kind, name) for name in names if hasattr(kind, name)}
        changed = {name: _after(one, then) for name, one in methods.items()}
        _DERIVED[kind] = type(kind.__name__, (kind,), changed)
    return _DERIVED[kind]


def _after(method: Callable[[Any], Any], then: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    async def waited(self: Any) -> Any:
        return then(self, await method(self))

    def given(self: Any) -> Any:
        return then(self, method(self))

    return functools.wraps(method)(waited if inspect.iscoroutinefunction(method) else given)
