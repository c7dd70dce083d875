"""`collect`: every source to one outcomes table and one calls table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from router_lab.collect.agreement import with_agreement
from router_lab.collect.anew import CALLS
from router_lab.collect.anew import reprice as priced_anew
from router_lab.collect.attrs import Tables, merged_attrs, with_attrs
from router_lab.collect.evidence import (
    Note,
    died,
    left_out,
    refuse_two_scorers,
    standing_logs,
    standing_rows,
    unbegun_rows,
    was_used,
)
from router_lab.collect.logs import LogSource, log_rows, open_log, unrun_rows
from router_lab.collect.notes import Notes
from router_lab.collect.pricing import Given, Pricing
from router_lab.collect.shape import TableOptions
from router_lab.collect.tables import read_table
from router_lab.config import Suite, load_map
from router_lab.outcomes import CALL_COLUMNS, validate_calls, validate_outcomes
from router_lab.outcomes.tablefile import table_kind
from router_lab.places import copies_of, copy, is_address, local_path
from router_lab.prices import utc
from router_lab.providers.evallog import all_logs
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import CACHING, Candidate
from router_lab.sweep_manifest import SweepManifest

Manifests = Mapping[Path, SweepManifest]
"""What sweeps say of their log directories, by directory."""


def collect(
    sources: Sequence[str | Path], *, prices: Given = None, otherwise: str | Path | None = None,
    suites: str | Path | None = None, caching: str = "none", as_logged: bool = False,
    answers: bool = True, agreement: bool = False,
    map: Mapping[str, str] | None = None, suite: str | None = None, wide: Sequence[str] = (),
    wide_columns: Mapping[str, str] | None = None,
    candidates: Mapping[str, tuple[str, str | None]] | None = None,
    delimiter: str | None = None, decimal: str | None = None, encoding: str | None = None, reprice: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """(outcomes, calls) of logs, log folders, sweeps and tables. Raises InputError.

    Args:
        sources: paths or addresses: .eval or .json logs, folders of them, CSV/TSV/JSONL/Parquet
            tables of outcomes, logs of decisions whose outcomes are known (`DecisionLog`, .jsonl).
        prices: a prices.yaml or a table; by default the file that the sweep of a log folder was
            run with, which it remembers, else `otherwise`, else genai-prices alone. Tables are
            priced only if it is given (`collect.anew.reprice`).
        otherwise: a prices.yaml for logs of which no sweep says anything.
        suites: a suites.yaml; its `logs:` suites claim the logs in their folders, its other suites
            override what a log says about their scores.
        caching: assumption of `cost_usd`, `none` or `prefix` (see `collect.calls.request_cost`).
        as_logged: the rows of logs alone, without what a sweep or a race says of them: for a race
            on its way; without their answers.
        answers: False leaves the column `answer` out, whatever it comes from.
        agreement: `signal_agreement` of answers (`collect.agreement.with_agreement`).
        map, suite, wide, wide_columns, candidates, delimiter, decimal, encoding, reprice: how the
            tables among the sources are to be read (`collect.shape.TableOptions`, docs/tables.md);
            logs and logs of decisions need none of it.

    `outcomes.attrs` carries `candidates`, `suites` and `provenance`, and in `notes` and `dollars`
    what was found out of tables; calls of tables that bring none are absent.
    `provenance` names what is no evidence: `left_out` of the rows (`collect.evidence.left_out`),
    `logs_left_out` (log and reason) of logs that gave none or whose rows another log has.
    """
    options = TableOptions(
        map or {}, suite, (wide,) if isinstance(wide, str) else tuple(wide), wide_columns or {}, candidates or {},
        delimiter, decimal, encoding, reprice=reprice)  # fmt: skip
    kept = (answers or agreement) and not as_logged
    with ExitStack() as stack:
        paths = [stack.enter_context(copy(one, beside=(CALLS,))) for one in sources]
        outcomes, calls = _collected(paths, options, prices, otherwise, suites, caching, as_logged, kept)
    if agreement:
        outcomes = validate_outcomes(with_agreement(outcomes))
    return outcomes if answers else outcomes.drop(columns="answer", errors="ignore"), calls


def _collected(
    paths: Sequence[Path], options: TableOptions, prices: Given, otherwise: str | Path | None, suites: str | Path | None,
    caching: str, as_logged: bool, answers: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    if caching not in CACHING:
        raise InputError(f"caching is {caching!r}; known: {', '.join(CACHING)}")
    if options.reprice and prices is None:
        raise InputError("reprice needs prices: name a prices.yaml")
    # Tables before prices: what is wrong is said in the order in which a user named it.
    tables = _tables(paths, options)
    pricing, aside = Pricing(prices, otherwise), list[Note]()
    logs = _logs([path for path in paths if path not in dict(tables)], suites, aside)
    if not tables and not logs:
        raise InputError("nothing to collect: name logs, a log folder or a table of outcomes")
    outcomes, calls = _of_logs(logs, pricing, caching, as_logged, aside, answers) if logs else (None, [])
    if logs and outcomes is None and not tables:
        said = "; ".join(f"{log}: {why}" for log, why in aside[:3])
        raise InputError(f"{paths[0]}: none of its logs holds a sample ({said}); run it again")
    frames = [] if outcomes is None else [("the logs", outcomes)]
    if prices is not None:
        tables = [(p, priced_anew(f, p, pricing.table, caching, every=options.reprice)) for p, f in tables]
    frames += [(str(path), frame) for path, frame in tables]
    where = ", ".join(str(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    return _validated(frames, tables, aside, where), _calls_frame(calls, where)


def _tables(paths: Sequence[Path], options: TableOptions) -> list[tuple[Path, pd.DataFrame]]:
    """The tables among the sources, as they were read."""
    gone = next((path for path in paths if not path.exists()), None)
    if gone is not None:
        raise InputError(f"{gone}: no such file or folder")
    found = [path for path in paths if table_kind(path) is not None]
    if options != TableOptions() and not found:
        raise InputError(
            "the options for tables (--map, --suite, --wide, …) need a table, and no source is one"
        )
    return [(path, read_table(path, replace(options, reprice=False))) for path in found]


def _logs(paths: Sequence[Path], suites: str | Path | None, aside: list[Note]) -> list[LogSource]:
    """The logs among the sources; why others beside them are none is added to `aside`."""
    known, folders = _suites(suites)
    found, beside = all_logs(paths)
    aside += [(path.name, why) for path, why in beside]
    return [open_log(path, known, folders) for path in found]


def _validated(
    frames: Sequence[tuple[str, pd.DataFrame]], tables: Sequence[tuple[Path, pd.DataFrame]], aside: Sequence[Note],
    where: str,
) -> pd.DataFrame:  # fmt: skip
    """One table of all, with what was found out and what was left out in its attributes."""
    # Before a table gets others.
    said = {
        key: [note for _, frame in tables for note in frame.attrs.get(key, ())]
        for key in ("notes", "dollars")
    }
    table = frames[0][1]
    if len(frames) > 1:
        table = pd.concat([frame for _, frame in frames], ignore_index=True)
        # Rows of several tables clash: an error names which.
        names = np.repeat(np.array([name for name, _ in frames], object), [len(frame) for _, frame in frames])
        table.index = pd.Index(names, name="a row of")
    table.attrs = merged_attrs([frame for _, frame in frames])
    whole = validate_outcomes(table, where=where)
    whole.attrs |= {key: notes for key, notes in said.items() if notes}
    told = {"left_out": left_out(whole), "logs_left_out": [{"log": log, "reason": why} for log, why in aside]}
    if any(told.values()):
        whole.attrs["provenance"] = whole.attrs.get("provenance", {}) | {k: v for k, v in told.items() if v}
    return whole


def _of_logs(
    logs: Sequence[LogSource],
    pricing: Pricing,
    caching: str,
    as_logged: bool,
    aside: list[Note],
    answers: bool,
) -> tuple[pd.DataFrame | None, list[dict[str, Any]]]:
    """The rows of logs and their calls; what does not count is added to `aside`. No rows where
    nothing was ever run."""
    manifests = {
        folder: SweepManifest.of(folder) for folder in sorted({source.log.path.parent for source in logs})
    }
    tables = {folder: pricing.of(folder, manifest) for folder, manifest in manifests.items()}
    _check_prices(logs, tables)
    doubts = Notes()
    kept, superseded = standing_logs(logs)
    read = [log_rows(source, tables[source.log.path.parent], caching, doubts, answers) for source in kept]
    refuse_two_scorers(read)
    rows, taken = standing_rows(read)
    aside += [*superseded, *died(read), *taken]
    if not as_logged:
        doubts.warn()
        not_wanted = {
            source.log.path.name: manifests[source.log.path.parent].not_due(
                source.suite_name, source.candidate
            )
            for source in kept
        }
        rows = [pair for pair in rows if pair[0]["sample_id"] not in not_wanted[pair[0]["log"]]]
    made = [row for row, _ in rows]
    if made and not as_logged:
        made += _unrun(kept, manifests, made)
        made += _as_others_have(unbegun_rows(read, made), made)
        made = _with_inclusion(kept, manifests, made)
    if not made:
        return None, []
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "uuid"} for row in made])
    answered = [call for _, calls in rows for call in calls]
    frame = with_attrs(frame, kept, tables, caching, as_logged, answered)
    left = [] if as_logged else _eliminations(kept, manifests)
    frame.attrs |= {"eliminations": left} if left else {}
    return frame, answered


def _suites(path: str | Path | None) -> tuple[dict[str, Suite], dict[Path, str]]:
    """The suites of a file, and which of them own a folder of logs."""
    if path is None:
        return {}, {}
    known = load_map(Suite, path)
    base = Path(path).resolve().parent
    owned: dict[Path, str] = {}
    for name, suite in known.items():
        if suite.logs is not None:
            places = copies_of(suite.logs) if is_address(suite.logs) else [base / local_path(suite.logs)]
            owned |= {place.resolve(): name for place in places}
    return known, owned


def _check_prices(logs: Sequence[LogSource], tables: Tables) -> None:
    """Fail on a model without a price before reading a single sample."""
    for source in filter(was_used, logs):
        for model in source.models:
            tables[source.log.path.parent].rates(model, utc(source.log.spec["created"]).date())


def _as_others_have(rows: list[dict[str, Any]], made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of samples that were not run, with prompt and group as other candidates' rows have
    them."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for row in made:
        if "prompt" in row:
            known.setdefault(
                (row["suite"], row["sample_id"]), {"prompt": row["prompt"], "group": row["group"]}
            )
    return [{**row, **known.get((row["suite"], row["sample_id"]), {})} for row in rows]


def _unrun(
    logs: Sequence[LogSource], manifests: Manifests, made: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows for what a budget left out."""
    seen: dict[tuple[str, Candidate], set[tuple[str, int]]] = defaultdict(set)
    for row in made:
        seen[row["suite"], Candidate.of(row)].add((row["sample_id"], row["epoch"]))
    rows: list[dict[str, Any]] = []
    for source in logs:
        manifest, who = manifests[source.log.path.parent], (source.suite_name, source.candidate)
        version = source.log.spec.get("task_version")
        planned = manifest.planned_of(source.log.path.name, *who, source.settings_sha, version)
        drawn, there = manifest.drawn_for(*who), seen[who]
        unrun: list[dict[str, Any]] = []
        if drawn is not None:
            unrun += unrun_rows(
                source, sorted(manifest.not_due(*who)), there, f"not drawn: share {drawn.share:g}"
            )
        if planned is not None:
            unrun += unrun_rows(
                source, manifest.due(*who, version)[:planned], there, manifest.why_unrun(*who)
            )
        there |= {(row["sample_id"], row["epoch"]) for row in unrun}
        rows += unrun
    return _as_others_have(rows, made)


def _with_inclusion(
    logs: Sequence[LogSource], manifests: Manifests, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows with `inclusion`, where a race, or the share of a reference, has dealt with
    them."""
    chance = {
        source.log.path.name: manifest.inclusion(source.suite_name, source.candidate)
        for source in logs
        if (manifest := manifests[source.log.path.parent]).race or manifest.drawn
    }
    if not chance:
        return rows
    return [{**row, "inclusion": chance.get(row["log"], {}).get(row["sample_id"], 1.0)} for row in rows]


def _eliminations(logs: Sequence[LogSource], manifests: Manifests) -> list[dict[str, Any]]:
    """Who of the logs' candidates left a race, as JSON."""
    raced = ((source, manifests[source.log.path.parent].race) for source in logs)
    left = [race and race.elimination(source.suite_name, source.candidate) for source, race in raced]
    return [one.model_dump(mode="json") for one in left if one is not None]


def _calls_frame(calls: list[dict[str, Any]], where: str) -> pd.DataFrame:
    frame = pd.DataFrame(calls, columns=None if calls else list(CALL_COLUMNS))
    return validate_calls(frame, where=where)
