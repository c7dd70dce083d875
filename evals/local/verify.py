"""`python -m evals.local.verify`: are the recorded generations what they say they are?

Every file is tied to its source: bytes → SHA256SUMS; dataset, settings and weights hashes in its header → the samples,
presets and weights.yaml of this checkout; each generation's key → the very request that the sweep would send. With
`--live N` the model is started and N generations, drawn at random, are asked for again and compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import Model

from evals.local.fetch import HERE, catalogue
from evals.local.server import API_KEY, running_server, template_sha
from evals.local.worker import SETTINGS
from evals.shipped import SUMS_SHA256
from router_lab.providers.boundary import GUARD_VARIABLE
from router_lab.providers.keys import SUITE_KEY, canonical_messages, request_key
from router_lab.providers.store import read_recording, recordings
from router_lab.runtime.errors import InputError
from router_lab.sweep import Cell, prepare
from router_lab.sweep.bind import models_of

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "datasets" / "recorded"
SUMS = "SHA256SUMS"
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Known:
    """A cell of the live sweeps, of a team one role's, with its task and model."""

    cell: Cell
    task: Task
    model: Model
    first: bool = True
    """Whether it is asked what the samples say; else what a solver makes of others' answers."""

    @property
    def dataset_sha(self) -> str:
        return str((self.task.metadata or {})[SUITE_KEY]["dataset_sha"])

    @property
    def name(self) -> tuple[str, str, str | None]:
        return self.cell.suite, self.cell.model, self.cell.effort


def known_cells() -> dict[tuple[str, str, str | None], Known]:
    """Every (suite, model, effort) that sweeps/local-*.yaml name, as this checkout would run it."""
    os.environ.setdefault(API_KEY, "none")
    files = sorted((ROOT / "evals" / "sweeps").glob("local-*.yaml"))
    found: dict[tuple[str, str, str | None], Known] = {}
    with mock.patch.dict(os.environ, {GUARD_VARIABLE: "yes"}):  # no answer is scored here, so no code is run
        for cell, task in (pair for file in files for pair in prepare(file).tasks):
            for part, model in models_of(cell, task):
                known = Known(part, task, model, part is cell.main)
                # Whoever has several roles is known by the one that is asked first.
                if known.first or known.name not in found:
                    found[known.name] = known
    return found


def sums(folder: Path) -> str:
    """The text of SHA256SUMS for the recordings under `folder`, as `sha256sum -c` reads it."""
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder)}" for p in recordings(folder)
    ]
    return "".join(f"{line}\n" for line in lines)


def provenance() -> dict[str, Any]:
    """What answers under this checkout: the server's pin and settings, the template's hash and the weights'."""
    return {
        "server": (HERE / "requirements.lock").read_text().splitlines()[-1],
        "server_settings": SETTINGS,
        "chat_template_sha256": template_sha(),
        "weights_sha256": {name: entry["gguf_sha256"] for name, entry in catalogue().items()},
    }


def faults(folder: Path, cells: dict[tuple[str, str, str | None], Known]) -> Iterator[str]:
    """One line for each broken link of the chain. Prints a line per file that holds."""
    if (folder / SUMS).read_text() != sums(folder):
        yield f"{folder / SUMS}: does not match the files; `cd {folder} && sha256sum -c {SUMS}` names them"
    if (
        folder.resolve() == RECORDED
        and hashlib.sha256((folder / SUMS).read_bytes()).hexdigest() != SUMS_SHA256
    ):
        yield f"{folder / SUMS}: SUMS_SHA256 in evals/shipped.py is another list's; if this one is meant, write its own"
    now = provenance()
    for key, value in json.loads((folder / PROVENANCE).read_text()).items():
        if now.get(key) != value:
            yield f"{folder / PROVENANCE}: {key} was {value} when it was recorded, this checkout has {now.get(key)}"
    for path in recordings(folder):
        header, rows = read_recording(path)
        known = cells.get((header["suite"], header["model"], header["effort"]))
        if known is None:
            yield f"{path}: no sweeps/local-*.yaml names {header['suite']}, {header['model']}, {header['effort']}"
            continue
        wanted = {
            "dataset_sha": known.dataset_sha,
            "settings_sha": known.cell.settings.sha,
            "model_sha": now["weights_sha256"].get(header["model"]),
        }
        for key, value in wanted.items():
            if header.get(key) != value:
                yield f"{path}: {key} is {header.get(key)}, this checkout has {value}"
        yield from key_faults(path, header, rows, known)
        click.echo(f"{path.relative_to(folder)}: {len(rows)} generations, {len(_samples(rows))} samples")


def key_faults(path: Path, header: dict[str, Any], rows: list[dict[str, Any]], known: Known) -> Iterator[str]:
    """Do the recorded keys follow from what the samples ask? Later turns of an agent follow from its earlier answers, and
    what a team's other roles are asked from those of the first, so there the first turn is checked here and the others
    by sweeping the recording, where a wrong key is an error."""
    keys = {row["key"] for row in rows}
    samples = {str(sample.id): sample for sample in known.task.dataset}
    who = (header["model"], header["effort"], header["settings_sha"])
    asked = [i for i in _samples(rows) if i in samples and known.first]
    first = {request_key(*who, messages_of(samples[i]), "1.0"): i for i in asked}
    for sample_id in sorted(_samples(rows) - samples.keys()):
        yield f"{path}: sample {sample_id!r} is not in the suite"
    for key, sample_id in first.items():
        if key not in keys:
            yield f"{path}: sample {sample_id!r} was not asked what the suite asks"


def messages_of(sample: Sample) -> list[dict[str, Any]]:
    """The canonical first request of a sample."""
    if isinstance(sample.input, str):
        return canonical_messages([{"role": "user", "content": sample.input}])
    return canonical_messages([message.model_dump(exclude_none=True) for message in sample.input])


def missing(cells: dict[tuple[str, str, str | None], Known], folder: Path) -> Iterator[str]:
    """What the live sweeps name and no file holds: said, never filled in."""
    held: dict[tuple[str, str, str | None], set[str]] = {}
    for path in recordings(folder):
        header, rows = read_recording(path)
        held[header["suite"], header["model"], header["effort"]] = _samples(rows)
    for name, known in sorted(cells.items(), key=str):
        lacking = len(known.task.dataset) - len(held.get(name, set()))
        if lacking > 0:
            yield f"{' '.join(str(part) for part in name)}: {lacking} of {len(known.task.dataset)} samples"


def regenerate(
    folder: Path, cells: dict[tuple[str, str, str | None], Known], count: int, seed: int
) -> list[str]:
    """Ask `count` random recorded first requests again on live servers; a line for each that came out different."""
    drawn = list(_draw(folder, cells, count, np.random.default_rng(seed)))
    wrong = []
    for model in sorted({known.cell.model for known, _, _ in drawn}):
        with running_server([model]) as running:
            for known, sample, row in drawn:
                if known.cell.model == model:
                    same = asyncio.run(_same_again(known, sample, row))
                    click.echo(
                        f"{' '.join(map(str, known.name))} {sample.id}: {'same' if same else 'DIFFERENT'}"
                    )
                    wrong += [] if same else [f"{known.name} {sample.id}: another answer on {running.build}"]
    return wrong


def _draw(
    folder: Path, cells: dict[tuple[str, str, str | None], Known], count: int, rng: np.random.Generator
) -> Iterator[tuple[Known, Sample, dict[str, Any]]]:
    """Random (cell, sample, recorded row): first turns only, since those need no history to be asked again."""
    choices = []
    for path in recordings(folder):
        header, rows = read_recording(path)
        known = cells[header["suite"], header["model"], header["effort"]]
        by_key = {row["key"]: row for row in rows}
        who = (header["model"], header["effort"], header["settings_sha"])
        for sample in known.task.dataset:
            row = known.first and by_key.get(request_key(*who, messages_of(sample), "1.0"))
            choices += [(known, sample, row)] if row else []
    for i in rng.choice(len(choices), size=min(count, len(choices)), replace=False):
        yield choices[int(i)]


async def _same_again(known: Known, sample: Sample, row: dict[str, Any]) -> bool:
    output = await known.model.generate(sample.input)
    usage = output.usage.model_dump() if output.usage else {}
    counts = all(usage.get(kind) == number for kind, number in row["usage"].items())
    return counts and output.completion == row["content"] and output.stop_reason == row["stop_reason"]


def _samples(rows: list[dict[str, Any]]) -> set[str]:
    return {row["sample_id"] for row in rows}


@click.command()
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RECORDED)
@click.option(
    "--live", type=click.IntRange(min=1), help="Ask this many random generations again on a live server."
)
@click.option("--seed", type=int, help="Of the random draw; default: a new one, printed.")
@click.option(
    "--write-sums",
    is_flag=True,
    help="First write SHA256SUMS and provenance.json anew: right after an export, never to silence a fault.",
)
def main(folder: Path, live: int | None, seed: int | None, write_sums: bool) -> None:
    """Check the hash chain of every recorded generation; exit 1 when a link is broken."""
    if write_sums:
        (folder / SUMS).write_text(sums(folder))
        (folder / PROVENANCE).write_text(json.dumps(provenance(), indent=1) + "\n")
    cells = known_cells()
    wrong = list(faults(folder, cells))
    for line in missing(cells, folder):
        click.echo(f"not recorded: {line}")
    if live and not wrong:
        drawn = seed if seed is not None else int(np.random.default_rng().integers(2**31))
        click.echo(f"asking {live} again, seed {drawn}")
        try:
            wrong += regenerate(folder, cells, live, drawn)
        except InputError as error:
            raise click.ClickException(str(error)) from None
    for line in wrong:
        click.echo(f"WRONG {line}", err=True)
    click.echo("every link holds" if not wrong else f"{len(wrong)} faults")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
