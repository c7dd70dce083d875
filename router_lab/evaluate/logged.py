"""A decision log as arrays: who was asked, with which probability, what came of it, and what a
shadow was told beside it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from router_lab.metrics.steady import Floats, Ints
from router_lab.outcomes.near import least_linked
from router_lab.runtime.arguments import pair
from router_lab.runtime.decisionrows import Source, read_decisions
from router_lab.runtime.decisionstages import escalated, replaced
from router_lab.runtime.errors import InputError, PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.outcomerows import propensity_of, share_of, stands_for

FIGURES = ("quality", "cost_usd")
NOT_RUN = ("infra", "budget")
BOUND = "with an outcome, but made under constraints, which the log does not hold"
"""Of decisions from which a bound, a tier or a small context window kept somebody: another policy
might have been kept from others. Whom names alone kept out is in the log."""
ALONE, UNKNOWN = 0, -1
"""In place of the stages of a chain: who was asked alone, and a chain of which no more is known."""


@dataclass(frozen=True)
class Pair:
    """A shadow's row. revision: of the challenger; chosen: its candidate; same: the champion chose
    it, too; chance: that this request was drawn, whoever was then chosen; quality, cost_usd: NaN
    where not known."""

    revision: str
    chosen: Candidate
    same: bool
    chance: float
    quality: float
    cost_usd: float


@dataclass(frozen=True)
class LogRows:
    """n decisions of which the outcome counts, in the order of the log. asked [n]: whom first;
    allowed [n]: who alone might have been, None = everybody; stages [n]: of the chain that this
    began, 1 = one stage with a cap, or ALONE, UNKNOWN; propensity [n], NaN = not logged; quality,
    cost_usd [n], NaN = not known; prompts, suites [n], None = not logged; revision [n]: which
    decided; group [n] codes of clusters; time [n] UTC seconds, NaN = not known; pairs: a shadow's
    row by the place of the decision beside which it stands. left: decisions that count nowhere, by
    the reason; infra: the share that gave no evidence.
    """

    asked: tuple[Candidate, ...]
    allowed: tuple[tuple[Candidate, ...] | None, ...]
    stages: Ints
    propensity: Floats
    quality: Floats
    cost_usd: Floats
    prompts: tuple[str | None, ...]
    suites: tuple[str | None, ...]
    group: Ints
    time: Floats
    revision: tuple[str, ...]
    pairs: Mapping[int, Pair]
    left: Mapping[str, int]
    infra: float

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def days(self) -> float:
        """From the first decision to the last; NaN where no two times are known."""
        known = self.time[~np.isnan(self.time)]
        return float(known.max() - known.min()) / 86_400 if len(known) > 1 else float("nan")


@dataclass
class _Read:
    """What is noted of the rows while they are read."""

    asked: list[Candidate] = field(default_factory=list)
    allowed: list[tuple[Candidate, ...] | None] = field(default_factory=list)
    stages: list[int] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*FIGURES, "time")})
    propensity: list[float] = field(default_factory=list)
    prompts: list[str | None] = field(default_factory=list)
    suites: list[str | None] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)
    revision: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    bound: Counter[Candidate] = field(default_factory=Counter)
    place: dict[str, int] = field(default_factory=dict)
    beside: list[tuple[str, Pair]] = field(default_factory=list)
    infra: int = 0


def read_log(path: Source | Iterable[Source]) -> LogRows:
    """The decisions of a log, or of several, whose outcome is known.

    Left out, and counted: decisions without an outcome; those made under constraints other than
    names, which a log does not hold; rows that gave no evidence (`infra`, `budget`, or the answer
    is that of a model to which the gateway fell back by itself). Raises InputError for a log
    without any, and for values that no outcome can have.
    """
    read = _Read()
    for row in read_decisions(path, shadows=True):
        _noted(read, row)
    if not read.asked:
        where = path if isinstance(path, str | PathLike) else ", ".join(map(str, path))
        raise InputError(
            f"{where}: holds no decision with a quality or dollars that counts ({_told(read.left)}); {_mend(read)}"
        )
    pairs = {read.place[of]: pair for of, pair in read.beside if of in read.place}
    return LogRows(
        asked=tuple(read.asked), allowed=tuple(read.allowed), stages=np.array(read.stages, np.int64),
        propensity=np.array(read.propensity),
        quality=np.array(read.figures["quality"]), cost_usd=np.array(read.figures["cost_usd"]),
        prompts=tuple(read.prompts), suites=tuple(read.suites), group=_clusters(read.names),
        time=np.array(read.figures["time"]), revision=tuple(read.revision), pairs=pairs,
        left=dict(read.left), infra=read.infra / (read.infra + len(read.asked)),
    )  # fmt: skip


def _told(left: Mapping[str, int]) -> str:
    return "; ".join(f"it holds {n:,} {why}" for why, n in left.items()) or "it holds none at all"


def _mend(read: _Read) -> str:
    """What to do about a log of which nothing counts."""
    if not read.bound:
        return "log them: DecisionLog.outcome(id, quality=…, cost_usd=…)"
    asked = ", ".join(
        f"{who} on {n:,}" for who, n in sorted(read.bound.items(), key=lambda one: (-one[1], one[0]))
    )
    return (
        "their outcomes are there, and the constraints are the cause: `tiers`, `deadline_s`, `context_tokens` (too many for "
        f"somebody), `max_cost_usd` or `min_quality` kept a candidate from each of them. They asked {asked}. Log requests "
        "without such bounds, or serve a policy that is fitted on candidates which meet them (`candidates` in the recipe), "
        "and evaluate by what is logged then"
    )


def _noted(read: _Read, row: Mapping[str, Any]) -> None:
    outcome: Mapping[str, Any] = row["outcome"] or {}
    quality, cost = (_number(outcome.get(name)) for name in FIGURES)
    if outcome.get("status") in NOT_RUN:
        read.infra += outcome["status"] == "infra" and not row.get("shadow")
        read.left[f"without evidence (status `{outcome['status']}`)"] += 1
        return
    if row.get("shadow"):
        chance = share_of(row)
        if chance is not None:
            same = row.get("same") is True
            pair = Pair(row["revision"], Candidate.of(row), same, chance, quality, cost)
            read.beside.append((stands_for(row), pair))
        return
    if np.isnan(quality) and np.isnan(cost):
        read.left["without an outcome"] += 1
        return
    if replaced(row) is not None:  # an outage, of those whose outcome is known
        read.infra += 1
        read.left["answered by a model to which the gateway fell back by itself"] += 1
        return
    allowed = _allowed(row)
    if row.get("constrained") and allowed is None:
        read.left[BOUND] += 1
        read.bound[Candidate.of(row)] += 1
        return
    chance = propensity_of(row)
    read.place[row["id"]] = len(read.asked)
    read.asked.append(Candidate.of(row))
    read.allowed.append(allowed)
    read.stages.append(_stages(row))
    read.propensity.append(float("nan") if chance is None else chance)
    for name, value in zip((*FIGURES, "time"), (quality, cost, _number(row.get("time"))), strict=True):
        read.figures[name].append(value)
    prompt = row.get("prompt")
    read.prompts.append(prompt if isinstance(prompt, str) else None)
    read.suites.append(row.get("suite"))
    read.revision.append(row["revision"])
    # A draw is of a key, or of the prompt where there was none; without one the prompt tells.
    drawn = ("draw", row["draw"]) if isinstance(row.get("draw"), str) else ("prompt", prompt)
    known = (drawn, ("group", outcome.get("group")))
    read.names.append(tuple(f"{kind} {name}" for kind, name in known if isinstance(name, str)))


def _allowed(row: Mapping[str, Any]) -> tuple[Candidate, ...] | None:
    """Who alone might have been asked, in one order for a set; None where the log does not say."""
    names = row.get("allowed")
    if not isinstance(names, list) or not names:
        return None
    try:
        return tuple(sorted(pair(one, "allowed:") for one in names))
    except PolicyError:
        return None


def _stages(row: Mapping[str, Any]) -> int:
    """Of the chain that a decision began, from the stage with which it did. One stage without a cap
    is its candidate asked alone."""
    stages, onward, first = row.get("stages"), escalated(row), row.get("stage")
    if type(stages) is int and type(first) is int and 0 < first < stages:
        stages -= first
    if stages is None or isinstance(stages, bool) or not isinstance(stages, int) or stages < 1:
        return UNKNOWN if onward or stages is not None else ALONE
    if stages == 1 and row.get("capped") is not True:
        return UNKNOWN if onward else ALONE
    return stages


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        return float("nan")
    return float(value)


def _clusters(names: list[tuple[str, ...]]) -> Ints:
    """[n] codes: decisions of one draw had one key, and those of one group belong together; where
    nothing was drawn those of one prompt do. Who has none of these is a cluster alone. The order
    of the rows does not matter."""
    order = {name: code for code, name in enumerate(sorted({name for row in names for name in row}))}
    first = [order[row[0]] if row else -1 for row in names]
    pairs = np.array([[order[row[0]], order[name]] for row in names for name in row[1:]], np.int64)
    joined = np.arange(len(order)) if not len(pairs) else least_linked(len(order), pairs)
    alone = iter(range(len(order), len(order) + len(names)))
    return np.array([next(alone) if code < 0 else joined[code] for code in first], np.int64)
