"""Inspect .eval and .json logs as plain dicts, one sample at a time, without building Inspect's objects.

Inspect's own readers validate every event of every sample; reading 10,000 samples that way takes minutes, this takes
seconds. The files are zip archives of the JSON that Inspect documents as its log schema.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from router_lab.providers.keys import MANIFEST
from router_lab.runtime.errors import InputError

if sys.version_info < (3, 14):
    import zipfile_zstd  # type: ignore[import-untyped]  # noqa: F401  # teaches zipfile the compression that Inspect uses

ATTACHMENT = "attachment://"

OLD_FIELDS = frozenset({"score", "transcript"})
"""Fields of a sample under which logs once had what is now in `scores`, `events` and `attachments`."""


class RawLog:
    """One log: `header` (status, eval, plan, results …) and its samples."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises InputError if the file is no Inspect log or was never finished."""
        self.path = path
        self._samples: list[dict[str, Any]] | None = None
        try:
            if path.suffix == ".json":
                content = json.loads(path.read_bytes())
                self._samples = content.pop("samples", None) or []
                self.header: dict[str, Any] = content
            else:
                with zipfile.ZipFile(path) as archive:
                    names = set(archive.namelist())
                    name = "header.json" if "header.json" in names else "_journal/start.json"
                    self.header = json.loads(archive.read(name))
                self.header.setdefault("status", "started")
            self.spec: dict[str, Any] = self.header["eval"]
            # Older logs have the settings of the model in the plan.
            self.spec.setdefault("model_generate_config", (self.header.get("plan") or {}).get("config") or {})
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not an Inspect log: {error}") from None

    @property
    def status(self) -> str:
        """`success`, `error`, `cancelled`, or `started` for a run that died or is still going."""
        return str(self.header["status"])

    def samples(self) -> Iterator[dict[str, Any]]:
        """Every sample as a dict, in the order in which it finished; damaged ones raise InputError."""
        if self._samples is not None:
            old = any(OLD_FIELDS & sample.keys() for sample in self._samples)
            yield from self._migrated() if old else self._samples
            return
        with zipfile.ZipFile(self.path) as archive:
            # A sample that was run again is in the archive twice; the later entry is the valid one.
            for name in dict.fromkeys(n for n in archive.namelist() if n.startswith("samples/")):
                try:
                    sample = json.loads(archive.read(name))
                except (ValueError, zipfile.BadZipFile) as error:
                    raise InputError(f"{self.path}: {name} cannot be read: {error}") from None
                if OLD_FIELDS & sample.keys():
                    yield from self._migrated()
                    return
                yield sample

    def _migrated(self) -> Iterator[dict[str, Any]]:
        """The samples of an older log as Inspect's own reader migrates them; some ten times as slow as to read them
        raw, so only where a field stands that today's logs have no more."""
        from inspect_ai.log import read_eval_log

        try:
            log = read_eval_log(str(self.path))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.path}: Inspect cannot read this older log: {error}") from None
        for sample in log.samples or []:
            yield sample.model_dump(mode="json", exclude_none=True, fallback=str)


def model_events(sample: dict[str, Any]) -> list[dict[str, Any]]:
    """The sample's model calls in time order, every attempt of its own; message texts still as they were stored."""
    return [event for event in sample.get("events") or [] if event.get("event") == "model"]


def event_input(sample: dict[str, Any], event: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that `event` sent, attachments and message-pool references resolved."""
    pool = (sample.get("events_data") or {}).get("messages") or []
    messages = list(event.get("input") or [])
    for start, end in event.get("input_refs") or []:
        messages.extend(pool[start:end])
    return [resolve(sample, message) for message in messages]


def resolve(sample: dict[str, Any], value: Any) -> Any:
    """`value` with every `attachment://…` string replaced by what it stands for."""
    attachments = sample.get("attachments") or {}
    if not attachments:
        return value
    if isinstance(value, str):
        return attachments.get(value.removeprefix(ATTACHMENT), value) if value.startswith(ATTACHMENT) else value
    if isinstance(value, list):
        return [resolve(sample, item) for item in value]
    if isinstance(value, dict):
        return {key: resolve(sample, item) for key, item in value.items()}
    return value


def find_logs(sources: Sequence[str | Path]) -> list[Path]:
    """The logs that count among files and folders, sorted.

    In a folder with a sweep's manifest those that it names; in any other the newest finished log of each task id, since
    interrupted and superseded ones stay beside it. Raises InputError for a missing or empty place.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        if source.is_file():
            found.append(source)
            continue
        logs = _listed(source) or _newest(source)
        if not logs:
            raise InputError(f"{source}: holds no finished Inspect log (.eval or .json); run `router-lab sweep` first")
        found += logs
    return sorted(set(found))


def _listed(folder: Path) -> list[Path]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return []
    try:
        names = json.loads(manifest.read_text())["logs"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{manifest}: not a sweep's manifest: {error}") from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{manifest}: names {missing[0]}, which is not there; run the sweep again")
    return [folder / name for name in names]


def _newest(folder: Path) -> list[Path]:
    newest: dict[str, tuple[float, Path]] = {}
    paths = sorted(p for p in folder.rglob("*") if p.suffix == ".eval" or _is_json_log(p))
    for path in paths:
        log = RawLog(path)
        if log.status == "started":
            continue
        task, modified = str(log.spec.get("task_id", path.name)), path.stat().st_mtime
        if task not in newest or modified >= newest[task][0]:
            newest[task] = (modified, path)
    return sorted(path for _, path in newest.values())


def _is_json_log(path: Path) -> bool:
    """Inspect names logs `<time>_<task>_<id>.json`; its own bookkeeping files have no underscore."""
    return path.suffix == ".json" and path.stem.count("_") >= 2
