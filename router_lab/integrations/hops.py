"""A stream of LiteLLM's `Router`, looked at while it is read. Where it breaks off before it says
anything, a fallback goes on within it, and who gave it stands on the stream from then on."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

_EVENTS = ("_async_generator", "_sync_generator")
"""Where LiteLLM's streams hold their events."""


def look_at(stream: Any, look: Callable[[Any], None]) -> None:
    """Have `look` called with the stream as each event of it is read; never, where it holds its
    events otherwise."""
    for name in _EVENTS:
        events = getattr(stream, name, None)
        if events is not None:
            # Weak, as LiteLLM's own: a stream that nobody holds gives its connection back at once.
            setattr(stream, name, _Looked(events, weakref.ref(stream), look))


class _Looked:
    def __init__(self, events: Any, stream: Callable[[], Any], look: Callable[[Any], None]) -> None:
        self._events, self._stream, self._look = events, stream, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)  # how it is closed

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        return self._passed(next(self._events))

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        return self._passed(await anext(self._events))

    def _passed(self, event: object) -> object:
        stream = self._stream()
        if stream is not None:
            self._look(stream)
        return event
