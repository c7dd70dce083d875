"""An SDK's stream, watched from within: its user holds the very object that the SDK made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from router_lab.integrations.answers import Answer, Stream


def watch(
    stream: Any,
    api: str,
    ended: Callable[[Answer], None],
    hides: bool,
    passed: Callable[[object], None] = lambda event: None,
) -> bool:
    """Have `ended` called once, with what the stream's events told, when it ends, fails or is
    dropped, and `passed` with each event that its user sees. hides: the event that tells nothing
    but the usage is not passed on. False for what is no stream of the SDKs, or holds its events
    otherwise than they do."""
    events = getattr(stream, "_iterator", None)
    if hasattr(events, "__anext__"):
        stream._iterator = Awaited(events, api, ended, hides, passed)
    elif hasattr(events, "__next__"):
        stream._iterator = Watched(events, api, ended, hides, passed)
    else:
        return False
    return True


class _Ending:
    """Tells of the end once, also where nobody reads on."""

    def __init__(
        self,
        events: Any,
        api: str,
        ended: Callable[[Answer], None],
        hides: bool,
        passed: Callable[[object], None],
    ) -> None:
        self._events, self._seen, self._hides, self._passed = events, Stream(api), hides, passed
        self._ended: Callable[[Answer], None] | None = ended

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._seen.answer)

    def __del__(self) -> None:
        self._end()


class Watched(_Ending):
    """The events of a sync stream."""

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        try:
            while True:
                event: object = next(self._events)
                if not (self._seen.see(event) and self._hides):
                    self._passed(event)
                    return event
        except BaseException:
            self._end()
            raise


class Awaited(_Ending):
    """The events of an async stream."""

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        try:
            while True:
                event: object = await anext(self._events)
                if not (self._seen.see(event) and self._hides):
                    self._passed(event)
                    return event
        except BaseException:
            self._end()
            raise
