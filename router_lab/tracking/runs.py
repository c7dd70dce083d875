"""Writing runs into an experiment: all of them or none, the older ones taken out of the view,
names that stay apart."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from router_lab.masking import file_with_key, masked, without_keys
from router_lab.tracking.faults import MirrorError, plain_faults
from router_lab.tracking.names import file_name, folded, label, metric_name
from router_lab.tracking.store import open_client, patiently
from router_lab.tracking.uri import artifact_location, scheme_of, shown, store_uri
from router_lab.tracking.view import MOST_TEXT, NOTE_TAG, NOTED, TAG, chart_view, note, view_key, view_path

EXPERIMENT = "router-lab"
VIEW_OF = "router_lab.view"
"""Tag of a run: the key of the sweep whose view shows it. The sweep's name may hold what no filter
of MLflow can."""
SUPERSEDED = "router_lab.superseded"
_METRICS_AT_ONCE, _TEXTS_AT_ONCE, _VALUE = 900, 90, 6000  # MLflow takes 1,000, 100 and 6,000 characters


@dataclass(frozen=True)
class Run:
    """What one flat run holds. artifacts: path in the run ("" = its root) → files or directories
    to copy there."""

    name: str
    kind: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, Sequence[Path]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracked:
    """Where runs went: the store, the experiment, run ids in the order given, and the saved view's
    path."""

    uri: str
    experiment_id: str
    run_ids: tuple[str, ...]
    view: str


def log_runs(
    runs: Sequence[Run], *, sweep: str, suites: Sequence[str], uri: str | None = None, experiment: str | None = None,
    outcomes: str | None = None, beside: Sequence[str] = (),
) -> Tracked:  # fmt: skip
    """Write `runs` to the experiment, one `log_batch` each, and bring the sweep's saved view and
    note up to date.

    experiment: default MLFLOW_EXPERIMENT_NAME, else `router-lab`.  outcomes: digest of what the
    runs were measured on; default that of the sweep's candidates.  beside: sets of rows that the
    candidates were also measured on. Where one run cannot be written, none of them stays. Raises
    MirrorError.
    """
    chosen, sweep = store_uri(uri), masked(sweep)
    for path in (p for run in runs for paths in run.artifacts.values() for p in paths):
        held = file_with_key(path)  # what is in MLflow, a whole team can read
        if held is not None:
            raise MirrorError(
                f"MLflow: {held} holds a key that stands in the environment, so nothing was logged"
            )
    client = open_client(uri)
    with plain_faults(chosen):
        experiment_id = _experiment(client, experiment, chosen)
        key = view_key(sweep, client.get_experiment(experiment_id).tags)
        current = _current(client, experiment_id, sweep, key)
        digest = outcomes or next((r.data.tags[_OUTCOMES] for r in current if _OUTCOMES in r.data.tags), "")
        batch = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}-{len(runs)}"
        tags = {"router_lab.sweep": sweep, VIEW_OF: key, _OUTCOMES: digest, _BATCH: batch}
        ids = _write_all(client, experiment_id, runs, tags)
        # Looked at again: another process may have logged the same meanwhile, and one of the two
        # is to stay.
        others = [r for r in _current(client, experiment_id, sweep, key) if r.info.run_id not in ids]
        before = {r.info.run_id for r in current}
        earlier = [r for r in others if r.info.run_id in before or r.data.tags.get(_BATCH, "") < batch]
        late = _replaced_by(_complete([r for r in others if r not in earlier]), runs)
        for run_id in [*_replaced(earlier, runs, digest), *(ids[at] for at in late)]:
            client.set_tag(run_id, SUPERSEDED, sweep)
            client.set_tag(run_id, "router_lab.sweep", f"{sweep} (superseded)")
            client.set_tag(run_id, VIEW_OF, f"{key}/superseded")  # no view's key holds a slash
        if any(r.kind == "candidate" for r in runs):
            view = chart_view(sweep, key, suites, beside, int(time.time() * 1000))
            _tag(client, experiment_id, TAG + key, view)
            _note_down(client, experiment_id, sweep, key)
        _write_note(client, experiment_id)
    return Tracked(chosen, experiment_id, ids, view_path(experiment_id, key))


_OUTCOMES = "router_lab.outcomes"
_BATCH = "router_lab.batch"
"""When the runs that were written together were begun, a random part, and how many they are."""


def _tag(client: Any, experiment_id: str, key: str, value: str) -> None:
    """Set a tag of an experiment; two processes that do so for the first time at once both insert
    it, and one fails."""
    patiently(lambda: client.set_experiment_tag(experiment_id, key, value))


def _experiment(client: Any, name: str | None, uri: str) -> str:
    """Id of the experiment, made where it is not there yet. Raises MirrorError for one that was
    deleted."""
    from mlflow.exceptions import MlflowException

    default = f"/Shared/{EXPERIMENT}" if scheme_of(uri) == "databricks" else EXPERIMENT
    wanted = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or default
    found = client.get_experiment_by_name(wanted)
    if found is None:
        try:
            created = client.create_experiment(wanted, artifact_location=artifact_location(uri))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(wanted)  # another process was first
        else:
            _tag(client, created, "mlflow.experimentKind", "custom_model_development")
            return str(created)
    if found.lifecycle_stage == "deleted":
        raise MirrorError(
            f"MLflow at {shown(uri)}: the experiment {wanted!r} was deleted: bring it back with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}` (MLFLOW_TRACKING_URI set to this store), or log into "
            "another with MLFLOW_EXPERIMENT_NAME=NAME"
        )
    return str(found.experiment_id)


def _current(client: object, experiment_id: str, sweep: str, key: str) -> list[Any]:
    """The runs that the sweep's view shows; those of older versions are known by the sweep's name
    alone."""
    mine = list(_search(client, experiment_id, f"tags.`{VIEW_OF}` = '{key}'"))
    earlier = sweep.replace("'", "")
    if not earlier.isprintable():
        return mine
    found = _search(client, experiment_id, f"tags.`router_lab.sweep` = '{earlier}'")
    return mine + [
        r for r in found if VIEW_OF not in r.data.tags and r.data.tags["router_lab.sweep"] == earlier
    ]


def _search(client: Any, experiment_id: str, query: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _replaced(current: Sequence[Any], runs: Sequence[Run], outcomes: str) -> list[str]:
    """Ids of what `runs` replace: the sweep's runs of the same kind; of policies those of the same
    name, and, with new candidates, those that were measured on other outcomes."""
    kinds = {r.kind for r in runs} - {"policy"}
    policies = {_label(r) for r in runs if r.kind == "policy"}

    def goes(kind: str | None, name: str, digest: str | None) -> bool:
        if kind != "policy":
            return kind in kinds
        return name in policies or ("candidate" in kinds and digest != outcomes)

    return [
        r.info.run_id for r in current
        if goes(r.data.tags.get("router_lab.kind"), r.info.run_name, r.data.tags.get(_OUTCOMES))
    ]  # fmt: skip


def _complete(runs: Sequence[Any]) -> list[Any]:
    """Those of `runs` whose whole batch is written: half of one may yet be taken back."""
    finished = [r for r in runs if r.info.status == "FINISHED"]
    counts = Counter(r.data.tags[_BATCH] for r in finished)
    return [r for r in finished if counts[r.data.tags[_BATCH]] == int(r.data.tags[_BATCH].rpartition("-")[2])]


def _replaced_by(newer: Sequence[Any], runs: Sequence[Run]) -> list[int]:
    """Which of `runs` stand once more in `newer`: of a kind, and policies of one name."""
    there = {(r.data.tags.get("router_lab.kind"), r.info.run_name) for r in newer}
    kinds = {kind for kind, _ in there} - {"policy"}
    return [at for at, run in enumerate(runs) if run.kind in kinds or (run.kind, _label(run)) in there]


def _label(run: Run) -> str:
    return label(masked(run.name))


def _write_all(
    client: Any, experiment_id: str, runs: Sequence[Run], tags: Mapping[str, str]
) -> tuple[str, ...]:
    ids: list[str] = []
    try:
        for run in runs:
            begun = client.create_run(experiment_id, run_name=_label(run), start_time=int(time.time() * 1000))
            ids.append(str(begun.info.run_id))
            _write(client, ids[-1], run, tags)
    except BaseException:
        for run_id in ids:  # half a sweep beside the whole one before it would be two points for a candidate
            with contextlib.suppress(Exception):
                client.delete_run(run_id)
        raise
    return tuple(ids)


def _write(client: Any, run_id: str, run: Run, tags: Mapping[str, str]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    own = {"router_lab.kind": run.kind, **tags, "mlflow.source.name": "router-lab", **run.tags}
    metrics = [
        Metric(k, float(v), now, 0) for k, v in run.metrics.items() if v is not None and math.isfinite(v)
    ]
    texts = [RunTag(k, str(v)) for k, v in without_keys(own).items()]
    settings = [
        Param(metric_name(k), str(v)[:_VALUE]) for k, v in without_keys(run.params).items() if v is not None
    ]
    # One batch for nearly every run; more is more than MLflow takes at once.
    first = _METRICS_AT_ONCE - min(len(texts), _TEXTS_AT_ONCE // 2) - min(len(settings), _TEXTS_AT_ONCE // 2)
    half = _TEXTS_AT_ONCE // 2
    client.log_batch(run_id, metrics[:first], settings[:half], texts[:half])
    for start in range(first, len(metrics), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics[start : start + _METRICS_AT_ONCE])
    for start in range(half, max(len(texts), len(settings)), half):
        client.log_batch(run_id, (), settings[start : start + half], texts[start : start + half])
    for place, paths in run.artifacts.items():
        _copy(client, run_id, place or None, paths)
    client.set_terminated(run_id)


def _copy(client: Any, run_id: str, place: str | None, paths: Sequence[Path]) -> None:
    """Files under their own names, two of one name apart also where case does not count."""
    taken: set[str] = set()
    for path in paths:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), place)
            continue
        plain = name = file_name(path.name)
        number = 1
        while folded(name) in taken:
            number += 1
            name = f"{Path(plain).stem}-{number}{Path(plain).suffix}"
        taken.add(folded(name))
        with TemporaryDirectory() as scratch:
            file = path if name == path.name else Path(shutil.copyfile(path, Path(scratch) / name))
            client.log_artifact(run_id, str(file), place)


def _note_down(client: Any, experiment_id: str, sweep: str, key: str) -> None:
    """The sweep's key in the experiment's tags; an older version's key of the same sweep leaves
    the note."""
    _tag(client, experiment_id, NOTED + key, sweep)
    for tag, name in client.get_experiment(experiment_id).tags.items():
        if tag.startswith(NOTED) and name == sweep and tag != NOTED + key:
            client.delete_experiment_tag(experiment_id, tag)


def _write_note(client: Any, experiment_id: str) -> None:
    tags = client.get_experiment(experiment_id).tags
    keys = [k.removeprefix(NOTED) for k in tags if k.startswith(NOTED)]
    made = {key: json.loads(tags.get(TAG + key, "{}")).get("createdAt", 0) for key in keys}
    newest = sorted(keys, key=lambda key: (-made[key], key))
    links = [(tags[NOTED + key], view_path(experiment_id, key)) for key in newest]
    _tag(client, experiment_id, NOTE_TAG, note(links, MOST_TEXT))
