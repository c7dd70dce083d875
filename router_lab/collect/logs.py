"""One Inspect log as rows of the outcomes and calls tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from router_lab.collect.calls import Call, ToolCall, paid, request_cost, sample_calls, turn_costs
from router_lab.collect.frames import FrameFinder
from router_lab.collect.notes import Notes
from router_lab.collect.quality import check_of, quality_of, scorer_of, unscored
from router_lab.collect.signals import signals_of
from router_lab.collect.status import (
    CANCELLED,
    NEVER_ANSWERED,
    UNSCORED,
    cut_off,
    refused_as_asked,
    sample_status,
)
from router_lab.config import Suite
from router_lab.outcomes.schema import INVALIDATED
from router_lab.outcomes.steps import STEPS, steps_of, steps_text
from router_lab.outcomes.turns import TURNS, turns_text
from router_lab.prices import PriceTable, Tokens, utc
from router_lab.providers.evallog import RawLog, resolve
from router_lab.providers.keys import RECORDED, TRANSPORT, label_of, marks, tier_of
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import TOKENS
from router_lab.runtime.messages import group_mark, last_user_text
from router_lab.runtime.model import Candidate


@dataclass(frozen=True)
class LogSource:
    """A log with its names settled: which candidate it measured, under which suite."""

    log: RawLog
    candidate: Candidate
    """As outcomes name it."""
    settings_sha: str
    arguments: Mapping[str, Any]
    """What a sweep wrote about the candidate: config, few_shot, task_args; empty for a foreign
    log."""
    suite_name: str
    suite: Suite
    dataset_sha: str | None
    frames: FrameFinder = field(default_factory=FrameFinder, compare=False)
    """What `log_rows` learns of the requests on its way."""

    @property
    def team(self) -> dict[str, str]:
        """Of a team, by role, our name of its model."""
        return {role: part["model"] for role, part in (self.arguments.get("roles") or {}).items()}

    @property
    def first(self) -> str:
        """Our name of the model that is asked where no role is named."""
        return next(iter(self.team.values()), self.candidate.model)

    @property
    def models(self) -> tuple[str, ...]:
        """Our names of all models that are the candidate's."""
        return tuple(dict.fromkeys(self.team.values())) or (self.candidate.model,)

    @property
    def eval_id(self) -> str:
        """Inspect's id of this run."""
        return str(self.log.spec.get("eval_id") or self.log.path.stem)

    @property
    def tier(self) -> str:
        """At which tier the requests were really made."""
        return tier_of(
            self.log.spec.get("model_generate_config") or {}, self.log.spec.get("model_args") or {}
        )


def open_log(path: Path, suites: Mapping[str, Suite], folders: Mapping[Path, str]) -> LogSource:
    """Read a log's header and settle its names.

    A suite of `folders` (from `logs:` in suites.yaml) wins, then the suite that the sweep wrote
    into the log, then the task's own name with the default quality map. Raises InputError.
    """
    log = RawLog(path)
    written, candidate = marks(log.spec.get("metadata"), log.spec.get("model_args"))
    name = next((folders[f] for f in (path.resolve(), *path.resolve().parents) if f in folders), None)
    name = name or written.get("suite") or str(log.spec.get("task_display_name") or log.spec["task"])
    if name in suites:
        suite = suites[name]
    else:
        keys = ("scorer", "quality", "value", "group", "check")
        suite = Suite(logs=str(path), **{key: written[key] for key in keys if written.get(key) is not None})
    config = log.spec.get("model_generate_config") or {}
    asked = {k: v for k, v in config.items() if k not in TRANSPORT}
    model = str(candidate.get("model") or str(log.spec["model"]).removeprefix(RECORDED))
    effort = candidate["effort"] if candidate else (config.get("reasoning_effort") or config.get("effort"))
    sha = candidate.get("settings_sha") or label_of(asked)
    return LogSource(
        log,
        Candidate(model, effort, candidate.get("harness")),
        sha,
        candidate,
        name,
        suite,
        written.get("dataset_sha"),
    )


@dataclass(frozen=True)
class LogRows:
    """What a log gave: (outcome row, call rows) of each sample, and the scorer that judged them
    all, None without one.

    A row's `uuid` is Inspect's id of that run of the sample: a log that goes on from another holds
    the same run again.
    """

    source: LogSource
    rows: list[tuple[dict[str, Any], list[dict[str, Any]]]]
    scorer: str | None


def log_rows(
    source: LogSource, table: PriceTable, caching: str, notes: Notes | None = None, answers: bool = True
) -> LogRows:
    """The rows of a log, with their answers unless answers=False. Raises InputError, naming log
    and sample, for a score that is no quality, and for a finished log in which nothing is scored;
    doubts of usage and prices that do not stop anything go to `notes`."""
    notes = Notes() if notes is None else notes
    cache_ttl = (source.log.spec.get("model_args") or {}).get("cache_ttl")
    rows, scores, wrong = [], [], []
    for sample in source.log.samples():
        where = f"{source.log.path}: sample {sample['id']!r}"
        begun = str(sample.get("started_at") or source.log.spec["created"])
        calls, tools = sample_calls(
            sample, str(source.log.spec["model"]), source.first, cache_ttl, begun, source.team
        )
        notes.of_calls(calls, tools, table)
        last = len(sample.get("error_retries") or []) + 1
        ended = [call for call in calls if call.attempt == last]
        helper = next((call.model for call in ended if not call.own and call.solving), None)
        if not source.team:  # whose requests are those of its roles
            source.frames.see(sample, [c.event for c in ended if c.own and c.event is not None], helper)
        key = {
            "suite": source.suite_name,
            "sample_id": str(sample["id"]),
            "epoch": int(sample["epoch"]),
            **source.candidate.named(),
        }
        row = {
            **key,
            **_became(source, sample, where),
            **_spent(source, sample, calls, tools, table, caching, notes),
            **signals_of(sample, ended, table, answers),
        }
        rows.append((row, [{**key, **_call_row(call, source.tier, table)} for call in calls]))
        scores.append((where, _kept(sample, source.suite)))
        wrong.append(refused_as_asked(sample))
    if not any(row["turns"] or row["status"] == "ok" for row, _ in rows):
        for row in (row for (row, _), refused in zip(rows, wrong, strict=True) if refused):
            row |= {"status": "infra", "reason": f"{NEVER_ANSWERED}: {row['reason']}"[:200]}
    return LogRows(source, rows, _judge(source, [row for row, _ in rows], scores))


def unrun_rows(
    source: LogSource, ids: Sequence[str], seen: set[tuple[str, int]], reason: str
) -> Iterator[dict[str, Any]]:
    """Rows with status `budget` for those of `ids` that were planned and never begun."""
    epochs = int(source.log.spec.get("config", {}).get("epochs") or 1)
    for name, epoch in ((name, epoch) for name in ids for epoch in range(1, epochs + 1)):
        if (name, epoch) not in seen:
            yield {
                "suite": source.suite_name,
                "sample_id": name,
                "epoch": epoch,
                **source.candidate.named(),
                "status": "budget",
                "reason": reason,
                "settings_sha": source.settings_sha,
                "dataset_sha": source.dataset_sha,
                "log": source.log.path.name,
            }


def prompt_of(sample: Mapping[str, Any]) -> str | None:
    """The text that a runtime would see: the sample's input, of a conversation its last user turn.
    None if that has no text (an image alone): two of those are not one question."""
    text = resolve(dict(sample), sample["input"])
    return text if isinstance(text, str) else last_user_text(text) or None


def _became(source: LogSource, sample: Mapping[str, Any], where: str) -> dict[str, Any]:
    status, reason = sample_status(sample)
    return {
        "prompt": prompt_of(sample),
        "quality": None,
        "status": status,
        "reason": reason,
        "check": None,
        "group": _group(source, sample, where),
        "settings_sha": source.settings_sha,
        "dataset_sha": source.dataset_sha,
        "log": source.log.path.name,
        "eval_id": source.eval_id,
        "uuid": sample.get("uuid"),
    }


def _kept(sample: Mapping[str, Any], suite: Suite) -> dict[str, dict[str, Any]]:
    """The sample's scores without what may be long: explanations and the rest of the metadata."""
    short = {"unscored_reason", suite.check, STEPS}
    return {
        name: {
            "value": score.get("value"),
            "reason": score.get("reason"),
            "metadata": {key: value for key, value in (score.get("metadata") or {}).items() if key in short},
        }
        for name, score in (sample.get("scores") or {}).items()
        if score is not None
    }


def _judge(
    source: LogSource, rows: Sequence[dict[str, Any]], scores: Sequence[tuple[str, dict[str, dict[str, Any]]]]
) -> str | None:
    """Fill in quality and check of every row, by one scorer; returns it."""
    finished = [row["status"] in ("ok", "limit") for row in rows]
    declared = [str(scorer["name"]) for scorer in source.log.spec.get("scorers") or []]
    seen = [had for (_, had), counts in zip(scores, finished, strict=True) if counts]
    scorer = scorer_of(source.suite, declared, seen, str(source.log.path))
    for row, (where, had), counts in zip(rows, scores, finished, strict=True):
        row["check"] = check_of(had.get(scorer or ""), source.suite)
        row |= _steps(had.get(scorer or ""), where)
        if row["status"] == "error" or (row["status"] == "limit" and not had):
            row["quality"] = 0.0  # at its limit and without any score, as Inspect leaves who never answered
        elif counts and (why := unscored(had, scorer, source.suite)) is not None:
            stopped = source.log.status == "cancelled" and not had
            why = row["reason"] if row["status"] == "ok" and row["reason"] else why
            row |= {"status": "infra", "reason": f"{CANCELLED if stopped else UNSCORED}: {why}"}
        elif counts:
            row["reason"] = row["reason"] if row["status"] == "limit" else None
            row["quality"] = quality_of(had[scorer or ""]["value"], source.suite, where)
    if (
        source.log.status == "success"
        and any(finished)
        and not any(row["status"] in ("ok", "limit") for row in rows)
    ):
        _refuse_unscored(
            source.suite, scorer, next(pair for pair, counts in zip(scores, finished, strict=True) if counts)
        )
    if source.log.invalidated and not any((row["reason"] or "").startswith(INVALIDATED) for row in rows):
        for row in rows:
            row |= {"status": "budget", "reason": f"{INVALIDATED}: the log as a whole", "quality": None}
    return scorer


def _steps(score: Mapping[str, Any] | None, where: str) -> dict[str, str]:
    """What a scorer says of the steps of a run, as the column holds it; nothing where it says
    nothing."""
    try:
        text = steps_text(steps_of(((score or {}).get("metadata") or {}).get(STEPS)))
    except ValueError as error:
        raise InputError(f"{where}: the score's metadata `{STEPS}`: {error}") from None
    return {} if text is None else {STEPS: text}


def _refuse_unscored(suite: Suite, scorer: str | None, first: tuple[str, dict[str, dict[str, Any]]]) -> None:
    where, had = first
    if isinstance((had.get(scorer or "") or {}).get("value"), dict):
        quality_of(had[scorer or ""]["value"], suite, where)
    why = unscored(had, scorer, suite)
    raise InputError(
        f"{where}: has no score; only scored logs can be collected (`inspect score` adds scores): {why}"
    )


def _spent(
    source: LogSource, sample: Mapping[str, Any], calls: list[Call], tools: list[ToolCall], table: PriceTable,
    caching: str, notes: Notes,
) -> dict[str, Any]:  # fmt: skip
    last = len(sample.get("error_retries") or []) + 1
    own = [call for call in calls if call.own and call.attempt == last]
    tokens = [(call.tokens or Tokens()).columns() for call in own]
    # Without events nothing says what judges, earlier attempts and further turns cost.
    told = sample.get("events") or not (sample.get("output") or {}).get("choices")
    spent, judged = paid(calls, table, source.tier, tools, notes.unpriced_judge) if told else (None, None)
    started = own[0].started if own else utc(sample.get("started_at") or source.log.spec["created"])
    seconds = [call.seconds for call in own if call.seconds is not None]
    return {
        **{column: sum(counts[column] for counts in tokens) for column in TOKENS},
        "turns": len(own),
        "cut_off": cut_off([call.stop for call in own], sample),
        "cost_usd": request_cost(calls, table, caching, last, tools) if own else None,
        "paid_usd": spent,
        "judge_usd": judged,
        "retries": last - 1,
        "latency_s": sum(seconds) if seconds and source.tier != "batch" else None,
        "tier": source.tier,
        "started_at": started.isoformat(),
        "price_date": started.date().isoformat(),
        **_by_turn(turn_costs(calls, table, caching, last, tools)),
        **_tool_calls(own, [tool for tool in tools if tool.own and tool.attempt == last]),
    }


def _by_turn(dollars: Sequence[float] | None) -> dict[str, str]:
    """What each call of a run of several cost, as the column holds it; of one, `cost_usd` says
    it."""
    return {TURNS: turns_text(dollars)} if dollars is not None and len(dollars) > 1 else {}


def _tool_calls(calls: list[Call], tools: list[ToolCall]) -> dict[str, Any]:
    """How often which tool was called, as JSON, so that a table can be priced anew; nothing where
    none was."""
    counts: dict[str, Counter[str]] = {"provider": Counter(), "own": Counter(tool.name for tool in tools)}
    for call in calls:
        counts["provider"].update(call.tools)
    used = {where: dict(sorted(names.items())) for where, names in counts.items() if names}
    return {"tool_calls": json.dumps(used)} if used else {}


def _group(source: LogSource, sample: Mapping[str, Any], where: str) -> str | None:
    if source.suite.group is None:
        own = resolve(dict(sample), sample["input"])
        return None if isinstance(own, str) else group_mark(own)
    metadata = sample.get("metadata") or {}
    if source.suite.group not in metadata:
        raise InputError(
            f"{where}: metadata has no `{source.suite.group}`, which suite `{source.suite_name}` names as `group`; "
            f"it has: {', '.join(metadata) or 'nothing'}"
        )
    return str(metadata[source.suite.group])


def _call_row(call: Call, tier: str, table: PriceTable) -> dict[str, Any]:
    try:
        usd = request_cost([replace(call, teamed=True)], table, "none", call.attempt)
    except InputError:  # a judge's model without a price
        usd = None
    return {
        "turn": call.turn,
        "attempt": call.attempt,
        "role": call.role,
        "call_model": call.model,
        **(dict.fromkeys(TOKENS) if call.tokens is None else call.tokens.columns()),
        "seconds": call.seconds,
        "cost_usd": usd,
        "tier": tier,
        "started_at": call.started.isoformat(),
    }
