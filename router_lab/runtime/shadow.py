"""`Shadow`: a challenger's candidate is asked beside the champion's, on a capped budget, and both
outcomes are logged: what the challenger would have given, request by request.

Nothing of it can fail a request. Who is asked is drawn by the hash of a key, at a share; dollars
are set aside in a file before a call and settled after it, so that several processes, and a
restart, keep one cap.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from router_lab.runtime.addresses import local_path
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.features import Featuriser, cap_text
from router_lab.runtime.files import append_line
from router_lab.runtime.messages import prompt_text
from router_lab.runtime.reasons import BARE
from router_lab.runtime.rule import draw

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision
    from router_lab.runtime.decisions import DecisionLog

WINDOWS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d"}
"""What a cap is for: how a window of it is called, in UTC."""
CAP = Featuriser().cap
"""Characters of a text that a key is drawn by, the same whatever policy serves."""


class Beside(NamedTuple):
    """What a shadow's row in the decision log says. of: the id of the decision beside which it
    stands; share: the probability with which this request was drawn; same: both policies chose one
    candidate, which was asked once."""

    of: str
    share: float
    same: bool = False


class Shadow:
    """Whether to ask a challenger's candidate too, within `max_usd` for each hour or day.

    log: gets the shadow's rows. share: of requests, drawn by the hash of their key. state: a folder
    that holds what was spent, one file a window; whoever shares it shares the cap. per: `hour` or
    `day`, in UTC. clock: gives UTC seconds. `passed` counts the requests that were drawn and not
    asked, by cause: `budget`, `unpriced` (no dollars are known that a call costs at most), `state`
    (the folder cannot be written), and those that could not be drawn: `key` (it is neither text,
    bytes nor messages). Raises InputError for a share, a cap or a window that cannot be.
    """

    def __init__(
        self, log: DecisionLog, *, share: float, max_usd: float, state: str | os.PathLike[str],
        per: str = "day", clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        if not 0 < share <= 1:
            raise InputError(f"Shadow: share is {share!r}; it must lie in (0, 1]")
        if not 0 <= max_usd < math.inf:
            raise InputError(f"Shadow: max_usd is {max_usd!r}; it must be finite and not negative")
        if per not in WINDOWS:
            raise InputError(f"Shadow: per is {per!r}; use {' or '.join(WINDOWS)}")
        self.share, self.max_usd, self.per = share, max_usd, per
        self.passed: Counter[str] = Counter()
        self._log, self._clock, self._spent = log, clock, _Spent(local_path(state))

    @property
    def spent_usd(self) -> float:
        """Dollars spent or set aside in this window, by all who share the folder. Raises
        OSError."""
        return self._spent.total(self._window())

    def ask(
        self, champion: Decision, challenger: Decision, *, of: str, key: object,
        prompt: object = None, suite: str | None = None,
    ) -> Asked | None:  # fmt: skip
        """The call to make beside the champion's, its dollars set aside; None = make none.

        of: the id of the champion's decision in the log. key: what the two were decided by, else
        the prompt. prompt, suite: as for `DecisionLog.write`. Where both policies chose one
        candidate, the row is logged and nothing is asked: the outcome is the champion's. The cap
        passes such a request over as any other, and a cheap candidate's as a dear one's: else the
        pairs left would be those that agree, or those of the cheap.
        """
        drawn = shadow_draw(key)
        if drawn is None:
            self.passed["key"] += 1
        if drawn is None or drawn >= self.share:
            return None
        same = champion.candidate == challenger.candidate
        window, held = self._window(), _most_usd(challenger)
        if held is None:
            self.passed["unpriced"] += 1
            return None
        if not self._set_aside(window, held, max(held, _dearest_usd(challenger))):
            return None
        if same:
            self._give_back(window, held)
        beside = Beside(of, self.share, same)
        number = self._log.write(challenger, prompt=prompt, suite=suite, beside=beside)
        return None if same else Asked(self, number, challenger, window, held)

    def _set_aside(self, window: str, usd: float, dearest: float) -> bool:
        """Whether `usd` fit into the window's cap; they are then written down. Near the cap what
        counts is whether the dearest call would: else the last pairs would all be of cheap
        candidates."""
        try:
            fits = self._spent.add(window, usd, self.max_usd - (dearest - usd))
        except OSError:
            self.passed["state"] += 1
            return False
        if not fits:
            self.passed["budget"] += 1
        return fits

    def _give_back(self, window: str, usd: float) -> None:
        """Dollars that were set aside and not spent; where that cannot be written, they count as
        spent."""
        try:
            self._spent.add(window, -usd)
        except OSError as error:
            told = f"shadow: ${usd:g} could not be given back ({error.strerror}) and count as spent"
            warnings.warn(RouterLabWarning(told), stacklevel=3)

    def _window(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime(WINDOWS[self.per])


class Asked:
    """A call that a shadow may make. `decision`: whom to ask; `id`: of its row in the log; `usd`:
    what was set aside. As a context manager: left before `settle`, all of it counts as spent, since
    the provider may have done the work."""

    def __init__(self, shadow: Shadow, number: str, decision: Decision, window: str, usd: float) -> None:
        self.id, self.decision, self.usd = number, decision, usd
        self._shadow, self._window, self._open = shadow, window, True

    def settle(self, *, cost_usd: float | None = None, **columns: Any) -> None:
        """Log what became of it, as `DecisionLog.outcome` does, and put what it cost in the place
        of what was set aside; without `cost_usd` all of that counts as spent. Raises InputError as
        `outcome` does, and where it was settled before."""
        if not self._open:
            raise InputError(f"shadow {self.id!r}: is settled already")
        self._shadow._log.outcome(self.id, cost_usd=cost_usd, **columns)
        self._open = False
        if cost_usd is not None and math.isfinite(cost_usd):
            self._shadow._give_back(self._window, self.usd - cost_usd)

    def release(self) -> None:
        """Give the dollars back: the call was never made."""
        if self._open:
            self._open = False
            self._shadow._give_back(self._window, self.usd)

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False


class _Spent:
    """What was spent, a line each in a file for each window. Thread-safe.

    A sum is written down before it is known whether it fits, and taken back where it does not: two
    processes that reach the cap at once may both step back, and never pass it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._name, self._read, self._usd = "", 0, 0.0

    def total(self, window: str) -> float:
        """Dollars in the window's file. Raises OSError."""
        with self._lock:
            return self._total(window)

    def add(self, window: str, usd: float, most: float = math.inf) -> bool:
        """Write `usd` down; whether the window's sum is then at most `most`. Raises OSError."""
        with self._lock:
            self._write(window, usd)
            fits = self._total(window) <= most + 1e-12
            if not fits:
                self._write(window, -usd)
            return fits

    def _write(self, window: str, usd: float) -> None:
        append_line(self._folder / f"{window}.jsonl", json.dumps({"usd": usd}).encode(), wait_s=0.25)

    def _total(self, window: str) -> float:
        """Only what is new since the last look is read; a line that was torn counts nothing. What
        was read still counts where somebody has removed or cut the file since."""
        if window != self._name:
            self._name, self._read, self._usd = window, 0, 0.0
        path = self._folder / f"{window}.jsonl"
        if not path.exists():
            self._read = 0
            return self._usd
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._read:
                self._read = 0
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        self._usd += math.fsum(_usd_of(line) for line in whole.split(b"\n"))
        return self._usd


def _usd_of(line: bytes) -> float:
    try:
        usd = float(json.loads(line)["usd"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0.0
    return usd if math.isfinite(usd) else 0.0


def _most_usd(decision: Decision) -> float | None:
    """What a call is to cost at most: the limit that was recorded, else what is predicted, which
    may be nothing; None where neither is known."""
    known = () if decision.code in BARE else (decision.limits.usd, decision.cost_usd)
    return next((float(usd) for usd in known if usd is not None and math.isfinite(usd)), None)


def _dearest_usd(decision: Decision) -> float:
    """The most of `_most_usd` that this policy could have had to set aside, whomever it chose and
    whatever was asked; of candidates without limits, what is predicted of them here."""
    limits = [one.usd for row in decision._spec.limits for one in row if one.usd is not None]
    predicted = [float(usd) for usd in decision._cost if math.isfinite(usd)]
    return max((*limits, *([] if limits else predicted)), default=0.0)


def shadow_draw(key: object) -> float | None:
    """In [0, 1), by `key`: the one draw of every shadow, which nothing that decides looks at; of
    messages by the text that `decide` reads, of a long text by its capped part. None for what can
    be no key."""
    try:
        text = key if isinstance(key, str | bytes) else prompt_text(key)
    except ValueError:
        return None
    if text is None:
        return None
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(whole) > CAP:
        text = cap_text(whole, CAP)
    return draw(b"shadow:" + (text if isinstance(text, bytes) else text.encode("utf-8", "replace")))
