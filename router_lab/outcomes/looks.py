"""Looks at the same rows, counted in a file beside them: who asks often enough hears what he likes
by luck.

A certificate is wrong with probability δ at most where its rows are asked one question. k
questions are wrong somewhere with up to the sum of their δ (Bonferroni), and who keeps the answer
that passed keeps that risk. So the count belongs to the rows, wherever the answers are put:
`looks_file` lies in the folder of the outcomes, one line of JSON a look.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from router_lab.outcomes.codes import Ints, coded
from router_lab.outcomes.columns import candidate_columns
from router_lab.outcomes.near import GOLDEN, Hashes, mixed_bits
from router_lab.outcomes.questions import same_questions, signature
from router_lab.outcomes.schema import SCORED
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.files import append_line, read_records
from router_lab.runtime.model import VERDICTS

LOOKS = ".router-lab-looks.jsonl"
"""One file for a folder, not for a file: a table saved again in another format holds the same
rows."""
SKETCH = 64
ALIKE = 0.75
"""Share of samples from which on two tables are the same rows: a sample more or less makes no new
evidence."""
WAIT_S = 10.0
"""How long another process may hold the file; one that was stopped holds it until it goes on."""


@dataclass(frozen=True)
class Rows:
    """What rows are known by. digest: sha256 of every sample with its outcomes; sketch: the SKETCH
    smallest of the samples' hashes (hex), by which the overlap of two tables is estimated
    (bottom-k, Broder 1997); n: samples; prompts: signatures of the sketch's samples
    (`questions.signature`), () where nobody wrote them down."""

    digest: str
    sketch: tuple[str, ...]
    n: int
    prompts: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Rows:
        """The scored rows of a validated table: suite, sample, epoch, candidate and quality. Not
        their order, the file, groups or prices: asking the same outcomes at other prices or in
        other groups is asking them again. Prompts tell apart what is numbered alike."""
        hashes, first = _sample_hashes(frame)
        order = np.argsort(hashes, kind="stable")
        digest = hashlib.sha256(hashes[order].astype("<u8").tobytes()).hexdigest()
        least = order[:SKETCH]
        prompts = frame["prompt"].iloc[first[least]] if "prompt" in frame.columns else ()
        return cls(
            digest,
            tuple(f"{int(h):016x}" for h in hashes[least]),
            len(hashes),
            tuple(map(signature, prompts)),
        )

    def alike(self, other: Rows) -> bool:
        """Whether ALIKE of the samples of both together are in both: by name and outcomes, and,
        where both have prompts, by what is asked."""
        mine, theirs = (dict(zip(one.sketch, one.told, strict=True)) for one in (self, other))
        lowest = sorted({*mine, *theirs})[:SKETCH]
        both = [one for one in lowest if one in mine and one in theirs]
        same = int(same_questions([mine[one] for one in both], [theirs[one] for one in both]).sum())
        return self.digest == other.digest if not lowest else same >= ALIKE * len(lowest)

    @property
    def told(self) -> tuple[str, ...]:
        """`prompts`, of the length of `sketch`."""
        return self.prompts if len(self.prompts) == len(self.sketch) else ("",) * len(self.sketch)


@dataclass(frozen=True)
class Look:
    """A question put to rows, and its answer. question, answer: plain data, compared by digest;
    delta: the probability with which the answer may be wrong; asked: what a person who reads the
    file recognises the question by."""

    command: str
    rows: Rows
    question: Any
    answer: Any
    verdict: str
    delta: float
    asked: Mapping[str, Any]


class Looks(NamedTuple):
    """number: different looks at these rows, this one included; error: the most with which one of
    them may be wrong; exact: whether all were at exactly these rows; first: the first look in
    words: its command, whose it was, verdict and day."""

    number: int
    error: float
    deltas: tuple[float, ...]
    exact: bool
    first: str
    path: Path

    def told(self) -> str | None:
        """What must be known before the answer is believed; None at a first look."""
        if self.number < 2:
            return None
        promised = " or ".join(f"{delta:.3g}" for delta in sorted(set(self.deltas)))
        rows = "these rows" if self.exact else "these rows, or most of them"
        return (
            f"look {self.number} at {rows}: {self.number} different questions have been asked of them, and that "
            f"one of the answers is wrong can be as likely as {self.error:.3g}, where each alone promised {promised}. "
            f"Trust the first ({self.first}), or ask rows that nobody has looked at"
        )


def looks_file(outcomes: str | os.PathLike[str]) -> Path:
    """Where looks at the outcomes file are counted: beside the file itself, also if `outcomes` is
    a link to it."""
    return Path(outcomes).resolve().with_name(LOOKS)


def count_look(outcomes: str | os.PathLike[str], look: Look) -> Looks:
    """Write `look` beside `outcomes`, unless its question was answered so before, and count the
    different ones.

    To be called before the answer is shown. Warns (RouterLabWarning) where the file cannot be read
    or written (the count then holds what is known, and this look), and of lines that are no looks,
    which are passed over.
    """
    path = looks_file(outcomes)
    mine = _line(look)
    known: list[Mapping[str, Any]] = []
    try:
        known = _read(path)
        if _key(mine) not in {_key(row) for row in known if look.rows.alike(_rows(row))}:
            append_line(
                path, json.dumps(mine, separators=(",", ":")).encode("ascii"), sync=True, wait_s=WAIT_S
            )
            known = _read(path)  # others may have looked meanwhile
    except OSError as error:
        text = f"{path}: {error.strerror or error}: this look is not counted there, so later ones may be told too few"
        warnings.warn(
            RouterLabWarning(f"{text}; let the outcomes lie in a folder that can be written"), stacklevel=2
        )
        known = [*known, mine]
    different: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in known:
        if look.rows.alike(_rows(row)):
            different.setdefault(_key(row), row)
    deltas = tuple(float(row["delta"]) for row in different.values())
    first = next(iter(different.values()))
    when = f"{first['command']}{_whose(first)} on {first['time'][:10]}: {first['verdict']}"
    exact = {row["rows"] for row in different.values()} == {look.rows.digest}
    return Looks(len(different), min(1.0, round(math.fsum(deltas), 12)), deltas, exact, when, path)


def _line(look: Look) -> dict[str, object]:
    return {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": look.command,
        "asked": dict(look.asked),
        "verdict": look.verdict,
        "delta": round(look.delta, 12),
        "rows": look.rows.digest,
        "samples": look.rows.n,
        "sketch": list(look.rows.sketch),
        "prompts": list(look.rows.prompts),
        "question": _sha(look.question),
        "answer": _sha(look.answer),
    }


def _rows(row: Mapping[str, Any]) -> Rows:
    """What an earlier version wrote has no prompts."""
    return Rows(row["rows"], tuple(row["sketch"]), row["samples"], tuple(row.get("prompts", ())))


def _whose(row: Mapping[str, Any]) -> str:
    """The recipe or policy of a look and its revision, as far as the file names them as we do."""
    asked = row.get("asked")
    texts = {k: v for k, v in asked.items() if isinstance(v, str)} if isinstance(asked, Mapping) else {}
    name, revision = texts.get("recipe") or texts.get("policy") or "", texts.get("revision", "")
    who = f" of {name}" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) else ""
    return who + (f", revision {revision[:16]}," if re.fullmatch(r"[0-9a-f]{64}", revision) else "")


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["rows"], row["command"], row["question"], row["answer"]


def _read(path: Path) -> list[Mapping[str, Any]]:
    """The looks in a file, in the order in which they were taken."""
    found = read_records(path)
    wrong = sorted(
        [*found.torn, *(n for n, row in zip(found.numbers, found.rows, strict=True) if not _is_look(row))]
    )
    if wrong:
        lines = ", ".join(map(str, wrong[:5])) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        text = f"{path}: line {lines}: is no look and is passed over, so looks may be told too few"
        warnings.warn(RouterLabWarning(text), stacklevel=3)
    return [row for row in found.rows if _is_look(row)]


def _is_look(row: Mapping[str, Any]) -> bool:
    """Also its texts are checked: what is printed of a file that anybody may write is a word, names
    as ours are (`_whose`), a verdict and a day."""
    texts = all(isinstance(row.get(k), str) for k in ("time", "command", "rows", "question", "answer"))
    if (
        not texts
        or row.get("verdict") not in VERDICTS
        or not row["command"].isidentifier()
        or len(row["command"]) > 20
    ):
        return False
    sketch, delta, samples = row.get("sketch"), row.get("delta"), row.get("samples")
    try:
        dt.date.fromisoformat(row["time"][:10])
    except ValueError:
        return False
    numbers = isinstance(delta, float | int) and 0 < delta <= 1 and isinstance(samples, int)
    return numbers and all(
        isinstance(parts, list) and all(isinstance(part, str) for part in parts)
        for parts in (sketch, row.get("prompts", []))
    )


def _sha(value: object) -> str:
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()


def _sample_hashes(frame: pd.DataFrame) -> tuple[Hashes, Ints]:
    """A hash of each sample with all its outcomes that were scored, in whatever order the rows
    come; and the first row of each."""
    scored = frame["status"].isin(SCORED).to_numpy(bool)
    row = np.zeros(int(scored.sum()), np.uint64)
    for column in ("epoch", *candidate_columns(frame.columns)):
        row = _mixed(row ^ _text_hashes(frame[column])[scored])
    quality = frame["quality"].to_numpy(np.float64)[scored] + 0.0  # −0 is 0
    row = _mixed(row ^ quality.view(np.uint64))
    samples = coded(frame["suite"], frame["sample_id"])
    total = np.zeros(len(samples.first), np.uint64)
    np.add.at(total, samples.code[scored], row)  # modulo 2**64, so that no order matters
    for name in ("suite", "sample_id"):
        total = _mixed(total ^ _text_hashes(frame[name].iloc[samples.first]))
    there = np.unique(samples.code[scored])
    return total[there], samples.first[there]


def _text_hashes(values: pd.Series[Any]) -> Hashes:
    """[n] the first 64 bits of the sha256 of each value's text; 0 for a missing one."""
    codes, found = pd.factorize(values)
    digests = [hashlib.sha256(str(v).encode("utf-8", "replace")).digest()[:8] for v in found]
    known = np.array([*(int.from_bytes(d, "little") for d in digests), 0], np.uint64)
    return np.asarray(known[codes], np.uint64)  # a missing value has the code −1


def _mixed(values: Hashes) -> Hashes:
    return mixed_bits(values + GOLDEN)
