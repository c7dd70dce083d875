"""Turn the logs of a live sweep into recordings: `python -m router_lab.providers.export LOGS…
OUT_DIR`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from router_lab.providers.evallog import RawLog, event_input, find_logs, model_events, resolve
from router_lab.providers.keys import canonical_messages, marks, request_key
from router_lab.providers.store import file_name, read_recording, write_recording
from router_lab.runtime.errors import InputError, RouterLabError
from router_lab.runtime.kinds import KINDS
from router_lab.runtime.model import Candidate
from router_lab.runtime.visible import visible
from router_lab.sweep_manifest import SweepManifest

USAGE = (*(kind.usage for kind in KINDS if kind.usage is not None), "total_tokens")


def export_generations(
    logs: Sequence[str | Path], out_dir: str | Path, model_sha: Mapping[str, str] | None = None
) -> list[Path]:
    """Write what the candidates of a sweep answered, one file per candidate and suite, and return
    the files.

    Generations of one (candidate, suite) in several logs are joined; for one key the first wins,
    in the order of sample ids. What a file in `out_dir` holds already stays as it is. Raises
    InputError for a log that no sweep of ours made, two datasets under one suite, or a file that
    was recorded on another dataset or with other weights.

    Args:
        logs: logs, or log directories.
        out_dir: usually datasets/recorded.
        model_sha: sha256 of the weights by candidate model name, kept in the files.
    """
    kept: dict[tuple[str, str, str | None, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    headers: dict[tuple[str, str, str | None, str], dict[str, Any]] = {}
    for path in find_logs(logs):
        log = RawLog(path)
        header = _header(log, model_sha or {})
        cell = (header["suite"], header["model"], header["effort"], header["settings_sha"])
        if headers.setdefault(cell, header) != header:
            raise InputError(
                f"{path}: suite `{cell[0]}` was recorded on two different datasets or with two weights"
            )
        for sample in sorted(log.samples(), key=lambda s: (str(s["id"]), s["epoch"])):
            for record in sample_records(sample, header, log.spec["model"]):
                kept[cell].setdefault(record["key"], record)
    folder = Path(out_dir)
    joined = [
        (headers[cell], rows | _held(folder, headers[cell])) for cell, rows in sorted(kept.items(), key=str)
    ]
    return [write_recording(folder, header, rows.values()) for header, rows in joined]


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


def sample_records(
    sample: Mapping[str, Any], header: Mapping[str, Any], model: str
) -> Iterator[dict[str, Any]]:
    """The candidate's finished calls of one sample, keyed as the provider will ask for them."""
    asked: Counter[str] = Counter()
    who = (header["model"], header["effort"], header["settings_sha"])
    for event in model_events(dict(sample)):
        output = event.get("output") or {}
        if event["model"] != model or event.get("role") or event.get("error") or not output.get("choices"):
            continue
        messages = canonical_messages(event_input(dict(sample), event))
        bare = request_key(*who, messages, "")
        key = request_key(*who, messages, f"{sample['epoch']}.{asked[bare]}")
        asked[bare] += 1
        yield {
            "key": key,
            "sample_id": str(sample["id"]),
            "epoch": sample["epoch"],
            **_answer(dict(sample), output),
        }


def _answer(sample: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
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
    }
    return {key: value for key, value in answer.items() if value not in (None, [])}


def _header(log: RawLog, model_sha: Mapping[str, str]) -> dict[str, Any]:
    suite, candidate = marks(log.spec.get("metadata"), log.spec.get("model_args"))
    if not candidate or not suite:
        raise InputError(
            f"{log.path}: names no candidate and suite; only logs of `router-lab sweep` can be recorded"
        )
    settings = {key: candidate[key] for key in ("config", "few_shot", "task_args")}
    return {
        "suite": suite["suite"],
        "model": candidate["model"],
        "effort": candidate["effort"],
        "settings_sha": candidate["settings_sha"],
        "settings": settings,
        "request": _requests(log.path.parent).get((suite["suite"], Candidate.of(candidate))),
        "dataset_sha": suite["dataset_sha"],
        "model_sha": model_sha.get(candidate["model"]),
    }


def _requests(folder: Path) -> dict[tuple[str, Candidate], dict[str, Any]]:
    """What the sweep's recorder saw each candidate send, by suite and candidate."""
    candidates = SweepManifest.of(folder).candidates
    return {(one.suite, one.candidate): one.request for one in candidates if one.request}


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
