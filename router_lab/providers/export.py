"""Turn the logs of a live sweep into recordings: `python -m router_lab.providers.export LOGS…
OUT_DIR`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from router_lab.providers.evallog import RawLog, event_input, find_logs, model_events, resolve
from router_lab.providers.keys import CHECK, canonical_messages, marks, request_key
from router_lab.providers.logprobs import LOGPROBS, rounded_logprobs, rounded_words
from router_lab.providers.store import file_name, read_recording, write_recording
from router_lab.runtime.errors import InputError, RouterLabError
from router_lab.runtime.kinds import KINDS
from router_lab.runtime.model import Candidate
from router_lab.runtime.visible import visible
from router_lab.sweep_manifest import SweepManifest

USAGE = (*(kind.usage for kind in KINDS if kind.usage is not None), "total_tokens")


class Asked(NamedTuple):
    """A model that a log's sample asks: as Inspect names it, what is to be said of its recording,
    and whether it is asked about an answer of its own."""

    model: str
    header: dict[str, Any]
    checks: bool = False


def export_generations(
    logs: Sequence[str | Path], out_dir: str | Path, model_sha: Mapping[str, str] | None = None
) -> list[Path]:
    """Write what the candidates of a sweep answered, one file per candidate and suite, and return
    the files. A team's answers are those of the models that have its roles: each role's model,
    effort and settings have one file, whatever teams they served in.

    Generations of one (candidate, suite) in several logs are joined; for one key the first wins,
    in the order of sample ids: answers that teams did not share (`share_calls`) at a temperature
    above 0 may differ. What a file in `out_dir` holds already stays as it is, and gains the
    log-probabilities of a call that came out the same and was asked for them. Raises InputError for
    a log that no sweep of ours made, two datasets under one suite, or a file that was recorded on
    another dataset or with other weights.

    Args:
        logs: logs, or log directories.
        out_dir: usually datasets/recorded.
        model_sha: sha256 of the weights by candidate model name, kept in the files.
    """
    kept: dict[tuple[str, str, str | None, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    headers: dict[tuple[str, str, str | None, str], dict[str, Any]] = {}
    for path in find_logs(logs):
        log = RawLog(path)
        asked = asked_in(log, model_sha or {})
        for header in (one.header for one in asked.values()):
            known = headers.setdefault(_cell(header), header)
            if known != header:
                raise InputError(
                    f"{path}: suite `{header['suite']}` was recorded on two different datasets or with two weights"
                )
        for sample in sorted(log.samples(), key=lambda s: (str(s["id"]), s["epoch"])):
            for header, record in sample_records(sample, asked):
                kept[_cell(header)].setdefault(record["key"], record)
    folder = Path(out_dir)
    joined = [
        (headers[cell], _joined(rows, _held(folder, headers[cell])))
        for cell, rows in sorted(kept.items(), key=str)
    ]
    return [write_recording(folder, header, rows.values()) for header, rows in joined]


def _cell(header: Mapping[str, Any]) -> tuple[str, str, str | None, str]:
    return header["suite"], header["model"], header["effort"], header["settings_sha"]


def _held(folder: Path, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By key, what was recorded of the same candidate and suite before. Nothing recorded is ever
    lost to an export."""
    path = folder / file_name(header)
    if not path.exists():
        return {}
    before, rows = read_recording(path)
    for key in ("suite", "model", "effort", "settings_sha", "dataset_sha", "model_sha"):
        if before.get(key) != header.get(key):
            raise InputError(
                f"{path}: {key} is {before.get(key)!r}, these logs have {header.get(key)!r}; generations of two kinds "
                "are never joined: move the file away, or export into another folder"
            )
    return {row["key"]: row for row in rows}


def _joined(
    new: Mapping[str, dict[str, Any]], held: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What was held, what is new, and of what is both and the same the log-probabilities that only
    the new one has."""
    gained = {
        key: before | {LOGPROBS: new[key][LOGPROBS]}
        for key, before in held.items()
        if LOGPROBS in new.get(key, {}) and LOGPROBS not in before and _said(before) == _said(new[key])
    }
    return {**new, **held, **gained}


def _said(record: Mapping[str, Any]) -> dict[str, Any]:
    """A generation without what differs from call to call and says nothing of the answer."""
    return {key: value for key, value in record.items() if key not in ("time", LOGPROBS)}


def sample_records(
    sample: Mapping[str, Any], asked: Mapping[str, Asked]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The finished calls of one sample by those who are `asked`, each with its recording's header,
    keyed as the provider will ask for them: it counts repeated requests of each role by itself."""
    draws: Counter[tuple[str, str]] = Counter()
    for event in model_events(dict(sample)):
        output, role = event.get("output") or {}, event.get("role") or ""
        one = asked.get(role)
        if one is None or event["model"] != one.model or event.get("error") or not output.get("choices"):
            continue
        who = (one.header["model"], one.header["effort"], one.header["settings_sha"])
        messages = canonical_messages(event_input(dict(sample), event))
        bare = request_key(*who, messages, "")
        key = request_key(*who, messages, f"{sample['epoch']}.{draws[role, bare]}")
        draws[role, bare] += 1
        record = {"key": key, "sample_id": str(sample["id"]), "epoch": sample["epoch"]}
        told = {"role": CHECK, LOGPROBS: rounded_words(output)} if one.checks else {}
        yield one.header, {**record, **_answer(dict(sample), output, told)}


def _answer(sample: dict[str, Any], output: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What an output says, as a recording has it. told: what stands in place of that."""
    choice = output["choices"][0]
    message = resolve(sample, choice["message"])
    usage = output.get("usage") or {}
    answer = {
        "content": message["content"],
        "tool_calls": [
            {key: call[key] for key in ("id", "function", "arguments", "type", "parse_error") if key in call}
            for call in message.get("tool_calls") or []
        ],
        "stop_reason": choice["stop_reason"],
        "usage": {key: usage[key] for key in USAGE if usage.get(key) is not None},
        "time": output.get("time"),
        "answered_by": output.get("model") or "",
        "error": output.get("error"),
        LOGPROBS: rounded_logprobs(output),
        **told,
    }
    return {key: value for key, value in answer.items() if value not in (None, [])}


def asked_in(log: RawLog, model_sha: Mapping[str, str]) -> dict[str, Asked]:
    """Whom the samples of a log ask, by role; the empty one for calls that name no role: of a team
    these are the first role's, and whoever is no team checks its own answers. Raises InputError
    for a log that no sweep of ours made."""
    suite, candidate = marks(log.spec.get("metadata"), log.spec.get("model_args"))
    if not candidate or not suite:
        raise InputError(
            f"{log.path}: names no candidate and suite; only logs of `router-lab sweep` can be recorded"
        )
    swept = next(
        (
            one
            for one in SweepManifest.of(log.path.parent).candidates
            if (one.suite, one.candidate) == (suite["suite"], Candidate.of(candidate))
        ),
        None,
    )
    team = candidate.get("roles") or {}
    if not team:
        request = None if swept is None else swept.request
        one = Asked(log.spec["model"], _header(suite, candidate, request, model_sha))
        return {"": one, CHECK: one._replace(checks=True)}
    told = {} if swept is None else (swept.model_extra or {}).get("roles") or {}
    found = {
        role: Asked(part["asked"], _header(suite, part, (told.get(role) or {}).get("request"), model_sha))
        for role, part in team.items()
    }
    return {"": next(iter(found.values())), **found}


def _header(
    suite: Mapping[str, Any],
    candidate: Mapping[str, Any],
    request: Mapping[str, Any] | None,
    model_sha: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "suite": suite["suite"],
        "model": candidate["model"],
        "effort": candidate["effort"],
        "settings_sha": candidate["settings_sha"],
        "settings": {key: candidate[key] for key in ("config", "few_shot", "task_args")},
        "request": request or None,
        "dataset_sha": suite["dataset_sha"],
        "model_sha": model_sha.get(candidate["model"]),
    }


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("out_dir", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model-sha", multiple=True, metavar="MODEL=SHA256", help="Hash of the weights behind a model name."
)
def main(logs: tuple[Path, ...], out_dir: Path, model_sha: tuple[str, ...]) -> None:
    """Write recorded generations from the LOGS (files or folders) of a live sweep into OUT_DIR."""
    hashes = dict(pair.rpartition("=")[::2] for pair in model_sha)
    try:
        for path in export_generations(logs, out_dir, hashes):
            click.echo(visible(path))  # noqa: TID251  # no command of the command line
    except RouterLabError as error:
        raise click.ClickException(visible(error)) from None


if __name__ == "__main__":
    main()
