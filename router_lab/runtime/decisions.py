"""`DecisionLog`: decisions and what became of them, as JSON lines, and back as rows of an outcomes
table.

Deciding never waits for this: the caller writes when it likes. Prompts are written only if asked
for.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import math
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from router_lab.runtime.addresses import local_path
from router_lab.runtime.decisionfiles import LINE_BYTES
from router_lab.runtime.decisionrows import read_decisions
from router_lab.runtime.decisionstages import KEPT, REPLACED
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import append_lines
from router_lab.runtime.messages import prompt_text
from router_lab.runtime.outcomerows import outcome_rows
from router_lab.runtime.semconv import mark_span, span_attributes
from router_lab.runtime.values import name_of, plain
from router_lab.runtime.visible import visible

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision
    from router_lab.runtime.shadow import Beside

__all__ = ["DecisionLog", "mark_span", "outcome_rows", "read_decisions", "span_attributes"]


PROMPT_CHARS = 100_000
"""A longer prompt is cut to this many characters; the row then has its length as `prompt_cut`."""
NAME_CHARS = 500
"""A longer id or suite is its first characters and a digest of all of it, alike where an outcome
names it."""
MASKABLE = ("id", "suite", "prompt", "reason", "group", "draw")
WAIT_S = 0.25
"""How long a line waits for another process that writes; for a second after one waited in vain, a
fiftieth of it."""
BATCH = 256
"""Lines that the thread of a buffer writes at once, under one lock."""
Mask = Iterable[str] | Callable[[dict[str, Any]], dict[str, Any]]
_LOGS: weakref.WeakSet[DecisionLog] = weakref.WeakSet()


def _forked() -> None:
    """The child has neither its parent's threads nor the right to the lines that they are yet to
    write."""
    for log in _LOGS:
        log._anew()


def _at_exit() -> None:
    for log in list(_LOGS):
        log.flush(timeout_s=5.0)


if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_forked)
atexit.register(_at_exit)


class DecisionLog:
    """Appends to the file `path`; safe among threads and processes, after a fork, and under a log
    that is renamed.

    prompts=True writes the prompts too. `clock` gives UTC seconds. buffer: 0 writes in the
    caller's thread; n keeps up to n lines for a thread that writes them, and drops what comes
    while n wait. mask: fields that are never written (of MASKABLE; an id is replaced by its
    SHA-256), or a function from row to row. A line that cannot be written never fails the request,
    nor holds it longer than WAIT_S: it is counted in `lost`, by cause in `dropped`, and the first
    one is said through `logging`. Raises InputError for a mask or a buffer that cannot be.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, prompts: bool = False, clock: Callable[[], float] = time.time,
        buffer: int = 0, mask: Mask = (),
    ) -> None:  # fmt: skip
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 0:
            raise InputError(f"DecisionLog: buffer is {buffer!r}; it must be a number of lines, 0 for none")
        self.path = local_path(path)
        self.dropped: dict[str, int] = {}
        self._prompts, self._clock, self._buffer = prompts, clock, buffer
        self._mask: Callable[[dict[str, Any]], dict[str, Any]] | frozenset[str] = (
            mask if callable(mask) else frozenset([mask] if isinstance(mask, str) else mask)
        )
        if isinstance(self._mask, frozenset) and (wrong := sorted(map(str, self._mask - set(MASKABLE)))):
            raise InputError(
                f"DecisionLog: mask names {wrong[0]!r}; use {', '.join(MASKABLE)}, or a function"
            )
        self._impatient_until = 0.0
        self._anew()
        _LOGS.add(self)

    @property
    def lost(self) -> int:
        """Lines that were not written, for whatever cause."""
        return sum(self.dropped.copy().values())

    def write(
        self,
        decision: Decision,
        *,
        prompt: object = None,
        suite: str | None = None,
        id: object = None,
        after: object = None,
        beside: Beside | None = None,
        by: str | None = None,
        kept: bool = False,
    ) -> str:
        """Log a decision and return the id for its outcome (`id` as text, else a new one); never
        raises.

        after: the id of the request's first decision, where `decision` is what `judge` or `next`
        gave; it is returned, for a request has one outcome: the quality of the answer that was
        kept, and the dollars of all calls.

        beside: of a shadow's decision, which served nobody (`runtime.shadow`).

        by: the model that answered in the place of `decision`'s, beside `after`: a gateway fell
        back to it by itself. The row has its name, code `replaced`, and no prediction.

        kept: beside `after`: whoever was asked after `decision` gave no answer, and its own is
        kept after all. Without it the outcome is that of the last who was asked.

        Also marks the current OpenTelemetry span, if any. prompt: as `decide` takes it; of a list
        of messages the text is written that `decide` reads. A decision that lacked the vector its
        policy was fitted on has `vector_missing: true` in its row.
        """
        number = uuid.uuid4().hex
        try:
            given = id if after is None else after
            number = number if given is None or name_of(given) == "" else _short(name_of(given))
            row = self._row(decision, prompt, suite, number)
            stage = {"kind": "stage", "code": KEPT} if kept else {"kind": "stage"}
            row |= _drawn(decision) if after is None else stage
            if by is not None:
                row = _replaced(row, by)
            self._append(row if beside is None else row | {"shadow": True, **beside._asdict()})
            mark_span(decision)
        except Exception as error:  # noqa: BLE001  # a log must not fail the request that it is about
            self._lose(error)
        return number

    def outcome(self, id: object, **columns: Any) -> None:
        """Log what became of decision `id`: columns of the outcomes table (`values.LOGGED`), None
        where not known.

        Raises InputError for what `collect` would refuse later; never because the file cannot be
        written.
        """
        number = _short(name_of(id))
        known = plain(columns, f"{self.path}: outcome of {number!r}")
        if "group" in known:
            known["group"] = _short(known["group"])
        try:
            self._append({"kind": "outcome", "id": number, "time": self._clock(), **known})
        except Exception as error:  # noqa: BLE001  # as above
            self._lose(error)

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        """Wait until the buffer is written; whether it was in that time. Called when the program
        ends."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, timeout_s)

    close = flush

    def _anew(self) -> None:
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._writing = False
        self._thread: threading.Thread | None = None

    def _row(self, decision: Decision, prompt: object, suite: object, number: str) -> dict[str, object]:
        data = decision.to_dict()
        named = None if suite is None else _short(name_of(suite))
        row = {"kind": "decision", "id": number, "time": self._clock(), "suite": named} | {
            key: data[key]
            for key in ("model", "effort", "harness", "tier", "quality", "cost_usd", "reason", "revision")
            if key in data
        }
        row["code"] = decision.code
        row |= {key: data["evidence"][key] for key in ("stage", "stages") if key in data["evidence"]}
        if decision.cap_usd is not None or decision.cap_turns is not None:
            row["capped"] = True
        if decision.vector_missing:
            row["vector_missing"] = True
        if decision.constrained:
            row["constrained"] = True
            if decision.allowed is not None:
                row["allowed"] = [list(one) for one in decision.allowed]
        masked = isinstance(self._mask, frozenset) and "prompt" in self._mask
        if self._prompts and prompt is not None and not masked:
            text = prompt if isinstance(prompt, str) else prompt_text(prompt)
            row["prompt"] = None if text is None else text[:PROMPT_CHARS]
            if text is not None and len(text) > PROMPT_CHARS:
                row["prompt_cut"] = len(text)
        return row

    def _masked(self, row: dict[str, Any]) -> dict[str, object]:
        if callable(self._mask):
            return self._mask(row)
        if "id" in self._mask:
            row |= {name: masked_id(row[name]) for name in ("id", "of") if name in row}
        return {key: value for key, value in row.items() if key == "id" or key not in self._mask}

    def _append(self, row: dict[str, Any]) -> None:
        row = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self._masked(row).items()
        }
        line = json.dumps(row, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii")
        if len(line) + 2 > LINE_BYTES:  # no reader would take it
            raise ValueError(f"the line has {len(line):,} bytes, more than {LINE_BYTES:,}")
        if not self._buffer:
            self._put([line])
            return
        with self._changed:
            full = len(self._lines) >= self._buffer
            if not full:
                self._lines.append(line)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._drain, name="router-lab-log", daemon=True)
                    self._thread.start()
                if not self._writing:
                    self._changed.notify_all()
        if full:
            raise BufferError(f"{self._buffer:,} lines wait to be written")

    def _put(self, lines: list[bytes]) -> None:
        patient = time.monotonic() >= self._impatient_until
        try:
            append_lines(self.path, lines, wait_s=WAIT_S if patient else WAIT_S / 50)
        except TimeoutError:
            self._impatient_until = time.monotonic() + 1.0
            raise

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                lines = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
                self._writing = True
            while not self._written(lines):
                pass

    def _written(self, lines: list[bytes]) -> bool:
        """Whether nothing of `lines` waits any more. No request waits for this thread: what is
        held stays held."""
        try:
            append_lines(self.path, lines, wait_s=1.0)
        except TimeoutError:
            return False
        except Exception:  # noqa: BLE001  # one of them may fit where all do not
            for line in lines:
                try:
                    self._put([line])
                except Exception as error:  # noqa: BLE001  # the next line may have room
                    self._lose(error)
        return True

    def _lose(self, error: Exception) -> None:
        known = {TimeoutError: "held", BufferError: "buffer full"}
        cause = known.get(type(error), "disk" if isinstance(error, OSError) else "row")
        with self._changed:
            first = not self.dropped
            self.dropped[cause] = self.dropped.get(cause, 0) + 1
        if first:
            said = "%s: a line of the decision log was lost: %s: %s; further ones are counted in DecisionLog.lost"
            logging.getLogger("router_lab").warning(
                said, visible(self.path), type(error).__name__, visible(error)
            )


def _replaced(row: dict[str, Any], by: str) -> dict[str, Any]:
    """Of another model's answer: which gave it, and nothing that was predicted."""
    reason = f"the gateway fell back to {by}, which answered in the place of {row['model']}"
    kept = {key: row[key] for key in ("kind", "id", "time", "suite", "tier", "revision")}
    nothing = {"effort": None, "quality": None, "cost_usd": None}
    return kept | nothing | {"model": by, "code": REPLACED, "reason": reason}


def _drawn(decision: Decision) -> dict[str, object]:
    """What chance did, as docs/tables.md has it."""
    found: dict[str, object] = {"propensity": decision.propensity}
    if decision.explored:
        found["explored"] = True
    if decision.draw:
        found["draw"] = decision.draw
    return found


def masked_id(text: str) -> str:
    """What a log with a masked `id` holds in place of one: the first 32 hex digits of its
    SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 33]}-{masked_id(name)}"
