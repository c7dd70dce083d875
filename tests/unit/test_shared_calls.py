"""Calls that candidates share: failures, cancelled samples, and files that were cut or damaged."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelOutput

from router_lab.masking import know
from router_lab.runtime.errors import InputError
from router_lab.sweep.shared import SharedCalls, share


class Server:
    """Answers with the number of the request; fails where `fails` says so."""

    def __init__(self, *fails: int) -> None:
        self.asked, self.fails = 0, fails
        self.release = asyncio.Event()
        self.release.set()

    async def generate(self, *_: Any, **__: Any) -> ModelOutput:
        self.asked += 1
        mine = self.asked
        await self.release.wait()
        if mine in self.fails:
            raise ConnectionError("gone")
        return ModelOutput.from_content("m", str(mine))


def team(server: Server, calls: SharedCalls) -> Any:
    """An API of its own of the one server, as each team has."""
    api = SimpleNamespace(generate=server.generate)
    share(api, calls, ["m"], always=True)  # type: ignore[arg-type]
    return api


async def ask(api: Any) -> str:
    result = await api.generate([ChatMessageUser(content="q")], [], "auto", GenerateConfig())
    return str((result[0] if isinstance(result, tuple) else result).completion)


def test_a_call_that_failed_is_asked_again_as_the_same_draw(tmp_path: Path) -> None:
    async def run() -> None:
        calls, server = SharedCalls(), Server(1)
        calls.keep_in(tmp_path)
        first, second = team(server, calls), team(server, calls)
        failed, answer = await asyncio.gather(ask(first), ask(second), return_exceptions=True)
        assert isinstance(failed, ConnectionError) and answer == "2"
        assert await ask(first) == "2" and server.asked == 2  # tried again: found, not paid for anew
        assert [await ask(first), await ask(second)] == ["3", "3"]  # the second draw of each

    asyncio.run(run())


def test_a_sample_that_is_cancelled_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def run() -> None:
        calls, server = SharedCalls(), Server()
        calls.keep_in(tmp_path)
        server.release.clear()
        first, second = team(server, calls), team(server, calls)
        running, waiting = asyncio.create_task(ask(first)), asyncio.create_task(ask(second))
        await asyncio.sleep(0)
        running.cancel()
        server.release.set()
        assert await waiting == "2" and running.cancelled()
        assert await ask(first) == "2" and server.asked == 2

    asyncio.run(run())


def filled(folder: Path) -> bytes:
    """The file of three answers."""

    async def run() -> None:
        calls = SharedCalls()
        calls.keep_in(folder)
        api = team(Server(), calls)
        assert [await ask(api) for _ in range(3)] == ["1", "2", "3"]

    asyncio.run(run())
    return (folder / "calls.jsonl").read_bytes()


def asked_again(folder: Path) -> int:
    """How many of three requests are sent."""

    async def run() -> int:
        calls, server = SharedCalls(), Server()
        calls.keep_in(folder)
        api = team(server, calls)
        for _ in range(3):
            await ask(api)
        return server.asked

    return asyncio.run(run())


def test_a_file_cut_anywhere_loses_what_was_cut_alone(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(0, len(whole) + 1, 7):
        (tmp_path / "calls.jsonl").write_bytes(whole[:cut])
        # A line is whole without its newline, too.
        assert asked_again(tmp_path) == sum(end - 1 > cut for end in ends), cut
        assert asked_again(tmp_path) == 0, cut


def test_a_key_that_a_server_gives_back_is_stars_in_the_file(tmp_path: Path) -> None:
    know("very-Secret-4711")

    async def leak(*_: Any, **__: Any) -> ModelOutput:
        return ModelOutput.from_content("m", "your key is very-Secret-4711")

    async def run() -> None:
        calls = SharedCalls()
        calls.keep_in(tmp_path)
        api = SimpleNamespace(generate=leak)
        share(api, calls, ["m"], always=True)  # type: ignore[arg-type]
        await ask(api)

    asyncio.run(run())
    written = (tmp_path / "calls.jsonl").read_text()
    assert "your key is ***" in written and "4711" not in written


def test_a_full_disk_takes_no_answer_that_was_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        calls, server = SharedCalls(), Server()
        calls.keep_in(tmp_path)
        first, second = team(server, calls), team(server, calls)
        assert [await ask(first), await ask(second)] == ["1", "1"] and server.asked == 1

    monkeypatch.setattr("router_lab.sweep.shared.append_line", full)
    asyncio.run(run())


def test_what_is_no_answer_is_told_with_its_line(tmp_path: Path) -> None:
    first, *rest = filled(tmp_path).splitlines()
    file = tmp_path / "calls.jsonl"
    file.write_bytes(b"\n".join([b'{"torn', b"", b"{}", first, *rest]))
    with pytest.raises(InputError, match="line 3 is no answer"):
        SharedCalls().keep_in(tmp_path)
    for change in ({"seconds": "soon"}, {"output": 5}):
        file.write_bytes(json.dumps({**json.loads(first), **change}).encode() + b"\n" + b"\n".join(rest))
        with pytest.raises(InputError, match="is damaged"):
            asked_again(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        SharedCalls().keep_in(tmp_path)


def test_answers_that_could_not_be_kept_stop_a_sweep_before_its_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that only another user may write: as root everything may be written, so opening it says no here."""
    filled(tmp_path)
    opened = os.open

    def refused(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).name == "calls.jsonl" and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(InputError, match="cannot be read and written: Permission denied; give the right to"):
        SharedCalls().keep_in(tmp_path)
