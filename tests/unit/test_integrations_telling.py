"""Who answered, on objects made as the SDKs' stream helpers are; `tests/integrations` has the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from router_lab.integrations.answers import Answer
from router_lab.integrations.telling import mark_within, marked, telling, told
from router_lab.integrations.turns import Told
from router_lab.integrations.watching import watch
from router_lab.runtime.model import Candidate

FOUND = Told(Candidate("m"), "r", "predicted", "why")


class Stream:
    """Gives one event that holds the answer as it stands, and the whole answer."""

    def __init__(self, raw: Any) -> None:
        self._raw_stream = raw
        self._iterator = iter([SimpleNamespace(response=SimpleNamespace()), SimpleNamespace()])

    def __iter__(self) -> Iterator[Any]:
        yield from self._iterator

    def get_final_response(self) -> Any:
        return SimpleNamespace(output=[])


class Manager:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __enter__(self) -> Stream:
        return Stream(self._raw)

    def __exit__(self, *_: object) -> None:
        self._raw.closed = True


class Awaited(Stream):
    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._iterator: Any = self._events()

    async def _events(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(message=SimpleNamespace())

    async def get_final_message(self) -> Any:
        return SimpleNamespace()


class AwaitedManager(Manager):
    async def __aenter__(self) -> Awaited:
        return Awaited(self._raw)

    async def __aexit__(self, *_: object) -> None:
        self._raw.closed = True


@pytest.mark.parametrize("found", [FOUND, None])
def test_what_a_stream_hands_over_is_told_of_as_the_stream_is(found: Told | None) -> None:
    raw = marked(SimpleNamespace(), found)
    manager = Manager(raw)
    assert (
        telling(manager) is manager and isinstance(manager, Manager) and type(manager).__name__ == "Manager"
    )
    with manager as stream:
        first, second = stream
        assert isinstance(stream, Stream) and told(stream) == told(stream.get_final_response()) == found
    assert told(first.response) == found and vars(second) == {} and raw.closed
    assert type(telling(Manager(raw))) is type(manager)  # a class is derived once


def test_what_an_awaited_stream_hands_over() -> None:
    async def streamed() -> list[Told | None]:
        async with telling(AwaitedManager(marked(SimpleNamespace(), FOUND))) as stream:
            events = [told(event.message) async for event in stream._iterator]
            return [*events, told(await stream.get_final_message()), told(stream.get_final_response())]

    assert asyncio.run(streamed()) == [FOUND] * 3


class Slotted:
    """A stream, or what opens one, as an instrumentation may have it: it takes no mark, and holds no events."""

    __slots__ = ("stream",)

    def __init__(self, stream: object = None) -> None:
        self.stream = stream

    def __enter__(self) -> Any:
        return self.stream

    def __exit__(self, *_: object) -> None: ...


class Other(Slotted):
    """One that opens a stream of another kind than the SDKs'."""


@pytest.mark.parametrize(
    "manager", [Slotted(Slotted()), Other(Slotted()), Other(None), Other(SimpleNamespace())]
)
def test_what_stands_in_the_place_of_an_sdks_stream_works_on(manager: Any) -> None:
    with telling(manager) as stream:
        assert stream is manager.stream and told(stream) is None


class Breaks:
    """An event, or an answer, whose every field fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_events_that_break_when_they_are_looked_at_are_handed_over() -> None:
    broken, ended = Breaks(), list[Answer]()
    stream = SimpleNamespace(_iterator=iter([broken, SimpleNamespace(message=broken)]))
    assert watch(stream, "anthropic", ended.append, False, lambda event: mark_within(event, FOUND))
    assert next(stream._iterator) is broken and next(stream._iterator).message is broken and ended == []
    assert told(broken) == FOUND  # which can be set
    assert told(Breaks()) is None is told(SimpleNamespace(_raw_stream=Breaks(), output=[Breaks()]))


def test_an_answer_that_a_runner_makes_of_marked_items() -> None:
    item, other = marked(SimpleNamespace(), FOUND), SimpleNamespace()
    assert told(SimpleNamespace(output=[item, other])) == FOUND == told({"output": [item]})
    for answer in (
        SimpleNamespace(output=[other, item]),
        SimpleNamespace(output=[]),
        {"output": None},
        None,
        3,
    ):
        assert told(answer) is None


def test_what_takes_no_mark_is_as_it_was() -> None:
    answers = ({"a": 1}, iter([1]), 3)
    assert [marked(one, FOUND) is one and told(one) is None for one in answers] == [True] * 3
    assert vars(marked(SimpleNamespace(), None)) == {}
