"""The progress line: what is done, and a time left only once there is something to judge it by."""

import io
import re
import sys

import pytest
from rich.cells import cell_len

from router_lab.sweep import progress
from router_lab.sweep.progress import ENOUGH, Progress
from tests.terminal import in_terminal


def test_neither_pace_nor_time_left_before_a_few_samples_are_done() -> None:
    out = io.StringIO()
    with Progress("s", needed=20, reused=4, stream=out) as counter:
        for done in range(1, ENOUGH):
            counter.sample_done(failed=done == 1)
            assert re.fullmatch(rf"s: {4 + done}/20 samples, \d+:\d\d, 1 failed", counter.line())
        counter.sample_done(failed=False)
        assert re.fullmatch(r"s: 9/20 samples, [\d.]+/s, \d+:\d\d \+ \d+:\d\d left, 1 failed", counter.line())
    assert out.getvalue().splitlines()[0] == "s: 20 samples, 4 already there"
    assert len(out.getvalue().splitlines()) == 2


def test_no_time_left_while_more_samples_are_on_their_way_than_are_done() -> None:
    counter = Progress("s", needed=100, reused=0, stream=None)
    counter.started, counter.finished = 20, 9
    assert "left" not in counter.line()  # 11 under way
    counter.finished = 10
    assert "left" in counter.line()


def test_no_stream_no_word() -> None:
    with Progress("s", needed=1, reused=0, stream=None) as counter:
        counter.sample_done(failed=False)
    assert counter.finished == 1


def test_a_line_that_rewrites_itself_is_one_line_and_keeps_what_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal of 60 columns would break a longer one in two, and every count would add a line."""
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.0)

    def run() -> None:
        with Progress("模型 of the sweep " * 6, needed=20, reused=0, stream=sys.stdout) as counter:
            for _ in range(3):
                counter.sample_done(failed=True)

    first, *rewritten = in_terminal(run, 60).split("\r")[1:]
    assert first.endswith("20 samples, 0 already there\x1b[K\n")
    lines = [line.removesuffix("\x1b[K") for line in rewritten[:3]]
    assert [cell_len(line) <= 59 and line[0] == "…" for line in lines] == [True] * 3
    assert re.search(r": 3/20 samples, \d+:\d\d, 3 failed$", lines[2])
