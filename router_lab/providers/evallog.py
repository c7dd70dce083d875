"""Inspect .eval and .json logs as plain dicts, one sample at a time, without building Inspect's
objects.

Inspect's own readers validate every event of every sample; reading 10,000 samples that way takes
minutes, this takes seconds. The files are zip archives of the JSON that Inspect documents as its
log schema.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from router_lab.providers.keys import MANIFEST, SLICES, marked, marks
from router_lab.providers.scenes import pooled
from router_lab.runtime.errors import InputError
from router_lab.runtime.jsonio import decode
from router_lab.runtime.model import Candidate
from router_lab.runtime.reading import open_regular, read_regular
from router_lab.sweep_manifest import SweepManifest

if sys.version_info < (3, 14):
    import zipfile_zstd  # type: ignore[import-untyped]  # noqa: F401  # teaches zipfile the compression that Inspect uses

ATTACHMENT = "attachment://"

LISTED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}[:-]\d{2}[:-]\d{2}")
"""How a JSON file's name begins that Inspect lists as a log (`inspect_ai.log._file.is_log_file`):
whatever pattern INSPECT_EVAL_LOG_FILE_PATTERN asks for stands after the time. An .eval file is a
log by its suffix."""
OPENING = re.compile(rb'\s*\{\s*"(version|status|eval)"\s*:')
"""How the content of a JSON log begins; renamed ones are known by it."""
OLD_FIELDS = frozenset({"score", "transcript"})
"""Fields of a sample under which logs once had what is now in `scores`, `events` and
`attachments`."""


LARGEST_PART = 512 << 20
"""Bytes of a JSON log, or of one sample in an .eval log, once unpacked: a few bytes can be packed
gigabytes."""
_DAMAGED = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged or forged archive raises: cut short, not JSON, encrypted, packed in a way
nobody knows."""


_ONE: tuple[type, ...] = (dict,)
_MANY: tuple[type, ...] = (list,)
_HEADER = {"stats": _ONE, "results": _ONE, "plan": _ONE, "error": _ONE}
_SPEC = {"model": (str,), "task": (str,), "created": (str,), "model_args": _ONE, "metadata": _ONE,
         "model_generate_config": _ONE, "config": _ONE, "dataset": _ONE, "scorers": _MANY}  # fmt: skip
_SAMPLE = {"id": (str, int), "epoch": (int,), "input": (str, list), "events": _MANY, "messages": _MANY,
           "error_retries": _MANY, "scores": _ONE, "output": _ONE, "metadata": _ONE, "attachments": _ONE,
           "events_data": _ONE, "error": _ONE}  # fmt: skip
_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
"""What a log must be where it says anything; lists are of objects. All else is read as it
comes."""


class RawLog:
    """One log: `header` (status, eval, plan, results …) and its samples."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises InputError if the file is no Inspect log or was never
        finished."""
        self.path = path
        self._samples: list[dict[str, Any]] | None = None
        try:
            if path.suffix == ".json":
                content = decode(read_regular(path, LARGEST_PART))
                self._samples = content.pop("samples", None) or []
                self.count = len(self._samples)
                self.header: dict[str, Any] = content
            else:
                with _archive(path) as archive:
                    names = set(archive.namelist())
                    self.count = sum(name.startswith("samples/") for name in names)
                    name = "header.json" if "header.json" in names else "_journal/start.json"
                    self.header = _member(archive, name)
                self.header.setdefault("status", "started")
            self.spec: dict[str, Any] = self.header["eval"]
            self.spec["model"], self.spec["task"]  # what no log can do without
            # Older logs have the settings of the model in the plan.
            self.spec.setdefault("model_generate_config", (self.header.get("plan") or {}).get("config") or {})
            _refuse_shape(self.header, _HEADER)
            _refuse_shape(self.spec, _SPEC)
            dt.datetime.fromisoformat(self.spec.get("created") or "2000-01-01")
        except (KeyError, TypeError, AttributeError, *_DAMAGED) as error:
            raise InputError(f"{path}: not an Inspect log, or a damaged one: {_short(error)}") from None

    @property
    def status(self) -> str:
        """`success`, `error`, `cancelled`, or `started` for a run that died or is still going."""
        return str(self.header["status"])

    @property
    def invalidated(self) -> bool:
        """Whether a person has set samples of it aside; which ones, the samples say."""
        return bool(self.header.get("invalidated"))

    def samples(self) -> Iterator[dict[str, Any]]:
        """Every sample as a dict, in the order in which it finished; damaged ones raise
        InputError."""
        if self._samples is not None:
            for number, sample in enumerate(self._samples, start=1):
                self._refuse(sample, f"sample {number}")
            old = any(OLD_FIELDS & sample.keys() for sample in self._samples)
            yield from self._migrated() if old else self._samples
            return
        with _archive(self.path) as archive:
            # A sample that was run again is in the archive twice; the later entry is the valid
            # one.
            for name in dict.fromkeys(n for n in archive.namelist() if n.startswith("samples/")):
                try:
                    sample = _member(archive, name)
                except _DAMAGED as error:
                    raise InputError(f"{self.path}: {name} cannot be read: {_short(error)}") from None
                self._refuse(sample, name)
                if OLD_FIELDS & sample.keys():
                    yield from self._migrated()
                    return
                yield sample

    def _refuse(self, sample: Any, name: str) -> None:
        try:
            if not isinstance(sample, dict) or not {"id", "epoch", "input"} <= sample.keys():
                raise ValueError("a sample is an object with id, epoch and input")
            _refuse_shape(sample, _SAMPLE)
        except ValueError as error:
            raise InputError(
                f"{self.path}: {name}: {error}; the log is damaged, or no log of Inspect"
            ) from None

    def _migrated(self) -> Iterator[dict[str, Any]]:
        """The samples of an older log as Inspect's own reader migrates them; some ten times as
        slow as to read them raw, so only where a field stands that today's logs have no more."""
        from inspect_ai.log import read_eval_log

        try:
            log = read_eval_log(str(self.path))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.path}: Inspect cannot read this older log: {_short(error)}") from None
        for sample in log.samples or []:
            yield sample.model_dump(mode="json", exclude_none=True, fallback=str)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    """The JSON object `name` in an archive. Raises one of _DAMAGED, and KeyError where it is not
    there."""
    size = archive.getinfo(name).file_size
    if size > LARGEST_PART:
        raise ValueError(f"it unpacks to {size:,} bytes, and {LARGEST_PART:,} are the most that is read")
    found = decode(archive.read(name))
    if not isinstance(found, dict):
        raise ValueError(f"{name} holds {type(found).__name__} and no object")
    return found


def _refuse_shape(given: Mapping[str, Any], shapes: Mapping[str, tuple[type, ...]]) -> None:
    """Raises ValueError where what stands in a log is of another sort than what Inspect writes
    there."""
    for name, kinds in shapes.items():
        value = given.get(name)
        wrong = value is not None and not isinstance(value, kinds)
        if wrong or (kinds is _MANY and value and not all(isinstance(one, dict) for one in value)):
            wanted = "a list of objects" if kinds is _MANY else " or ".join(_NAMES[kind] for kind in kinds)
            raise ValueError(f"`{name}` is {str(value)[:40]!r}; it must be {wanted}")


def _short(error: Exception) -> str:
    return f"{error}".splitlines()[0][:200] if str(error) else type(error).__name__


def model_events(sample: dict[str, Any]) -> list[dict[str, Any]]:
    """The sample's model calls in time order, every attempt of its own; message texts still as
    they were stored."""
    return [event for event in sample.get("events") or [] if event.get("event") == "model"]


def event_input(sample: dict[str, Any], event: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that `event` sent, attachments and message-pool references resolved."""
    return [resolve(sample, message) for message in pooled(sample, event)]


def resolve(sample: dict[str, Any], value: Any) -> Any:
    """`value` with every `attachment://…` string replaced by what it stands for."""
    attachments = sample.get("attachments") or {}
    if not attachments:
        return value
    if isinstance(value, str):
        return (
            attachments.get(value.removeprefix(ATTACHMENT), value) if value.startswith(ATTACHMENT) else value
        )
    if isinstance(value, list):
        return [resolve(sample, item) for item in value]
    if isinstance(value, dict):
        return {key: resolve(sample, item) for key, item in value.items()}
    return value


def find_logs(sources: Sequence[str | Path]) -> list[Path]:
    """The finished logs among files and folders, sorted, one for each task: the newest.

    In a folder with a sweep's manifest those that it names. Raises InputError for a missing or
    empty place.
    """
    newest: dict[tuple[str, str], tuple[float, Path]] = {}
    listed: list[Path] = []
    for path in all_logs(sources)[0]:
        if (path.parent / MANIFEST).is_file() or path in map(Path, sources):
            listed.append(path)
            continue
        log = RawLog(path)
        key, modified = (
            (str(log.spec.get("task_id", path.name)), str(log.spec["model"])),
            path.stat().st_mtime,
        )
        if log.status != "started" and (key not in newest or modified >= newest[key][0]):
            newest[key] = (modified, path)
    found = sorted({*listed, *(path for _, path in newest.values())})
    if not found:
        raise InputError(f"{_NO_LOG.format(', '.join(map(str, sources)))}")
    return found


_NO_LOG = "{}: holds no finished Inspect log (.eval or .json); run `router-lab sweep` first"


def all_logs(sources: Sequence[str | Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """(every log among files and folders, sorted; what looks like one and is left out, with the
    reason).

    In a folder with a sweep's manifest those that it names, in any other whatever Inspect would
    list, sub-folders included, and JSON files that hold a log under another name. Raises
    InputError for a missing or empty place.
    """
    found: list[Path] = []
    notes: list[tuple[Path, str]] = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        if source.is_file():
            found.append(source)
            continue
        logs, beside = _in_folder(source)
        if not logs:
            unread = "; ".join(f"{path.name}: {why}" for path, why in beside[:3])
            raise InputError(_NO_LOG.format(source) + (f" ({unread})" if unread else ""))
        found += logs
        notes += beside
    return sorted(set(found)), notes


def _in_folder(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    logs: list[Path] = []
    notes: list[tuple[Path, str]] = []
    named = {path.parent: _listed(path.parent) for path in sorted(folder.rglob(MANIFEST))}
    damaged: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".eval", ".json") and _claims(p)):
        if path.parent.parent.name == SLICES and path.parents[2] in named:
            notes.append((path, "a portion of a sweep that is not finished; run it again"))
            continue
        if path.parent in named:
            if path in named[path.parent]:
                logs.append(path)
            elif path.stat().st_mtime > (path.parent / MANIFEST).stat().st_mtime:
                notes.append(
                    (
                        path,
                        f"newer than {MANIFEST}, which does not name it: an interrupted sweep; run it again",
                    )
                )
            continue
        try:
            RawLog(path)
        except InputError as error:
            damaged.append(str(error))
        else:
            logs.append(path)
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise InputError(
            f"{damaged[0]}{more}; what it held would be missing: mend it, or move it out of {folder} to do without"
        )
    return logs, notes


def _claims(path: Path) -> bool:
    """Whether a file claims to be a log, by its name or by how its content begins."""
    if path.suffix == ".eval" or LISTED.match(path.name):
        return not path.is_dir()
    if not path.is_file():
        return False
    with open_regular(path) as file:
        return OPENING.match(file.read(200)) is not None


def _listed(folder: Path) -> list[Path]:
    """The logs that the manifest in `folder` names; of a run that did not come to its end, all
    that are of its sweep by what they say of themselves: Inspect writes a log anew, under another
    name, when a run goes on from it.

    Raises InputError for a named log that is gone where no other log is of the same suite,
    candidate, settings and dataset.
    """
    manifest = SweepManifest.of(folder)
    missing = [name for name in manifest.logs if not (folder / name).is_file()]
    if not missing and not manifest.interrupted:
        return [folder / name for name in manifest.logs]
    found = _of_sweep(folder, manifest)
    # A sweep that came to its end names one log for each candidate and suite.
    if missing and not manifest.interrupted and len(set(found.values())) < len(manifest.logs):
        raise InputError(f"{folder / MANIFEST}: names {missing[0]}, which is not there; run the sweep again")
    return sorted({folder / name for name in manifest.logs if name not in missing} | found.keys())


def log_cell(path: Path) -> tuple[str, Candidate] | None:
    """Suite and candidate of a log that a sweep made, else None. Raises InputError if it is no
    log."""
    spec = RawLog(path).spec
    return marked(spec.get("metadata"), spec.get("model_args"))


def _of_sweep(folder: Path, manifest: SweepManifest) -> dict[Path, tuple[str, ...]]:
    """Logs in `folder` of the suites, candidates, settings and datasets of a manifest, and which
    of these."""
    wanted = {_named(one.suite, one.candidate, one.settings_sha) for one in manifest.candidates}
    found = {}
    for path in (p for p in folder.iterdir() if p.suffix in (".eval", ".json") and _claims(p)):
        try:
            spec = RawLog(path).spec
        except InputError:  # killed before it was more than a name
            continue
        suite, candidate = marks(spec.get("metadata"), spec.get("model_args"))
        who = [candidate.get(key) for key in ("model", "effort", "harness")]
        name = _named(suite.get("suite"), who if who[2] else who[:2], candidate.get("settings_sha"))
        if name in wanted and str(spec.get("task_version")) in manifest.order:
            found[path] = name
    return found


def _named(*parts: Any) -> tuple[str, ...]:
    """Suite, candidate and settings, as they compare whatever a log holds there."""
    return tuple(map(json.dumps, parts))
