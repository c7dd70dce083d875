"""How far a sweep is: one line that rewrites itself on a terminal, a line every few seconds in a
log file."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import NamedTuple, Protocol, TextIO

from inspect_ai.hooks import Hooks, SampleEnd, SampleStart, hooks
from rich.cells import cell_len, chop_cells

from router_lab.columns import terminal_width
from router_lab.masking import masked
from router_lab.runtime.visible import visible

LINE_EVERY_S = 15.0
TERMINAL_EVERY_S = 0.2
ENOUGH = 5
"""Samples that must be done, at least, before a pace and a time left are worth saying."""


class Counts(NamedTuple):
    """Samples that have begun, that have run, and that have run badly."""

    started: int = 0
    finished: int = 0
    failed: int = 0

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        return Counts(*(one + other for one, other in zip(self, more, strict=True)))


class Listener(Protocol):
    """Who is told of samples as they run in this process."""

    def sample_begun(self) -> None:
        """One more sample runs."""

    def sample_done(self, failed: bool) -> None:
        """One more sample has run, well or badly."""


class Progress(AbstractContextManager["Progress"]):
    """Counts finished samples against the number needed. `stream=None` keeps silent."""

    def __init__(self, name: str, needed: int, reused: int, stream: TextIO | None) -> None:
        self.name, self.needed, self.reused, self.stream = name, needed, reused, stream
        self.started = 0
        self.finished = 0
        self.failed = 0
        self._terminal = stream is not None and stream.isatty()
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Progress:
        listen(self)
        self._write(f"{self.name}: {self.needed} samples, {self.reused} already there", end="\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listen(None)
        if self.finished and kind is not KeyboardInterrupt:  # what was cancelled counts as failed there
            self._write(self.line(), end="\n")

    def sample_begun(self) -> None:
        """One more sample runs."""
        self.started += 1

    def sample_done(self, failed: bool) -> None:
        """One more sample has run, well or badly."""
        self.heard(Counts(self.started, self.finished + 1, self.failed + failed))

    def heard(self, counts: Counts) -> None:
        """So many have begun, have run, and have run badly, wherever that was."""
        self.started, self.finished, self.failed = counts
        now = time.monotonic()
        if now - self._printed >= (TERMINAL_EVERY_S if self._terminal else LINE_EVERY_S):
            self._printed = now
            self._write(self.line(), end="" if self._terminal else "\n")

    def line(self) -> str:
        """`name: done/needed, pace, time left, failures`; pace and time left only once they can be
        known."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        done, pace = self.reused + self.finished, self.finished / seconds
        failed = f", {self.failed} failed" if self.failed else ""
        clock = _clock(seconds)
        if self.paced:
            clock = f"{pace:.1f}/s, {clock} + {_clock(max(0, self.needed - done) / pace)} left"
        return f"{self.name}: {done}/{self.needed} samples, {clock}{failed}"

    @property
    def paced(self) -> bool:
        """Whether the pace is known: a few samples are done, and as many as are on their way.
        Before that, those under way have taken time that the pace would not count."""
        return self.finished >= max(ENOUGH, self.started - self.finished)

    def note(self, text: str) -> None:
        """A line of its own, such as the start of a wave."""
        self._write(f"{self.name}: {text}", end="\n")

    def _write(self, text: str, end: str) -> None:
        if self.stream is None:
            return
        # The name is the user's, a reason a server's: one line, whatever is in them.
        text = visible(masked(text))
        width = terminal_width(self.stream)
        if not end and cell_len(text) >= width:  # of two lines only the second would be written over
            text = f"…{chop_cells(text[::-1], width - 2)[0][::-1]}"
        # Nobody reads any more, or there is no room: no reason to stop what is paid for.
        with suppress(OSError):
            self.stream.write(f"\r{text}\x1b[K{end}" if self._terminal else text + "\n")
            self.stream.flush()


@hooks(name="router_lab_progress", description="Counts finished samples for router-lab's progress line")
class _Counter(Hooks):
    """Inspect keeps one instance per process; it forwards to whichever sweep is running."""

    listener: Listener | None = None

    def enabled(self) -> bool:
        return _Counter.listener is not None

    async def on_sample_start(self, data: SampleStart) -> None:
        if _Counter.listener is not None:
            _Counter.listener.sample_begun()

    async def on_sample_end(self, data: SampleEnd) -> None:
        if _Counter.listener is not None:
            _Counter.listener.sample_done(data.sample.error is not None)


def listen(listener: Listener | None) -> None:
    """Let `listener` hear of every sample from now on; None ends it."""
    _Counter.listener = listener


def default_stream() -> TextIO:
    """Where progress goes: standard error, so that standard output stays the command's result."""
    return sys.stderr


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
