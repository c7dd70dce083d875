"""Tables of other shapes: columns renamed, a column for each model, one suite for all, candidates
by other names."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from router_lab.collect.names import OURS, as_option, listed, no_such_column, ours_for
from router_lab.outcomes.cells import missing_numbers, place, text_column
from router_lab.runtime.errors import InputError

MODEL = "{model}"


@dataclass(frozen=True)
class TableOptions:
    """How a table is to be read, as `collect` takes it.

    map: column of ours → column of the table. suite: the suite of every row. wide: columns whose
    cells are the quality of the model that they name: names, globs, or patterns with `{model}`.
    wide_columns: column of ours → pattern with `{model}` of further columns for each model.
    candidates: what the table calls a model → (model, effort or None). delimiter, decimal,
    encoding: of text files; None = found out. reprice: dollars of its own are priced anew.
    """

    map: Mapping[str, str] = field(default_factory=dict)
    suite: str | None = None
    wide: Sequence[str] = ()
    wide_columns: Mapping[str, str] = field(default_factory=dict)
    candidates: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    reprice: bool = False

    def __post_init__(self) -> None:
        if self.decimal not in (None, ",", "."):
            raise InputError(f"--decimal is {self.decimal!r}; it must be ',' or '.'")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InputError(
                f"--delimiter is {self.delimiter!r}; it must be one character, such as ';', or `tab`"
            )
        if self.wide_columns and not self.wide:
            raise InputError(
                "--wide-column says more of the models of --wide; name their columns with --wide"
            )
        for ours, pattern in self.wide_columns.items():
            if MODEL not in pattern:
                raise InputError(
                    f"--wide-column {ours}={pattern}: must hold {MODEL}, where the model's name stands"
                )


def shaped(frame: pd.DataFrame, options: TableOptions, where: str) -> tuple[pd.DataFrame, list[str]]:
    """(`frame` with the columns of an outcomes table as far as `options` say where they are,
    warnings).

    Raises InputError for what the options name and the table does not have, or has twice.
    """
    said: list[str] = []
    frame = _renamed(frame, options.map, where)
    if options.wide:
        frame, said = _long(frame, options, where)
    if options.suite is not None:
        frame = _with_suite(frame, options.suite, where)
    return _with_candidates(frame, options.candidates, where), said


def _renamed(frame: pd.DataFrame, names: Mapping[str, str], where: str) -> pd.DataFrame:
    columns = list(map(str, frame.columns))
    for ours, name in names.items():
        if name not in columns:
            turned = (
                f"; --map is OURS=YOURS: {as_option({name: ours})}"
                if ours in columns and name in OURS
                else ""
            )
            there = (
                f"; {ours!r} is there already: collect this table apart, and then both Parquet files together"
                if ours in columns and not turned
                else ""
            )
            raise InputError(f"{where}: {no_such_column(name, columns)}{turned}{there}")
        if ours in columns and ours not in names.values():
            raise InputError(
                f"{where}: --map {ours}={name}: there is a column {ours!r} too; give it another name, "
                f"{as_option({ours: name, f'table_{ours}': ours})}"
            )
        meant = ours_for(ours)
        if meant is not None and meant != ours and meant not in names:
            raise InputError(
                f"{where}: --map {ours}={name}: {ours!r} is no column of ours; did you mean {meant!r}?"
            )
    kept = {c: frame[c] for c in columns if c not in names.values()}
    made = pd.DataFrame(kept | {ours: frame[name] for ours, name in names.items()}, index=frame.index)
    made.attrs = dict(frame.attrs)
    return made


def _long(frame: pd.DataFrame, options: TableOptions, where: str) -> tuple[pd.DataFrame, list[str]]:
    """A row for each model that a wide row has a quality (or a status) of."""
    columns = list(map(str, frame.columns))
    models = _models(columns, options, where)
    for model in models:
        for ours, pattern in options.wide_columns.items():
            name = pattern.replace(MODEL, model)
            if name not in columns:
                raise InputError(f"{where}: --wide-column {ours}={pattern}: {no_such_column(name, columns)}")
    further = {pattern.replace(MODEL, model) for model in models for pattern in options.wide_columns.values()}
    shared = [c for c in columns if c not in models.values() and c not in further]
    for ours in ("model", "quality", *options.wide_columns):
        if ours in shared:
            raise InputError(
                f"{where}: has a column {ours!r}, which --wide makes; a table is wide or it is not"
            )
    blocks, unrun = [], {}
    for model, column in models.items():
        more = {ours: frame[pattern.replace(MODEL, model)] for ours, pattern in options.wide_columns.items()}
        block = frame[shared].assign(model=model, quality=frame[column], **more)
        if "status" not in options.wide_columns:
            missing = missing_numbers(block["quality"]).to_numpy(bool)
            unrun[model] = int(missing.sum())
            block = block[~missing]
        blocks.append(block)
    if not any(len(block) for block in blocks):
        raise InputError(f"{where}: no cell of {listed(models.values(), 5)} (--wide) holds a quality")
    # An error names the cell by its column and its line.
    made = pd.concat(blocks, keys=list(models.values()), names=["column", frame.index.name])
    made.attrs = dict(frame.attrs)
    empty = {model: count for model, count in unrun.items() if count}
    told = ", ".join(f"{count} of {model}" for model, count in empty.items())
    text = f"{where}: cells without a quality make no row ({told}): that model was not run on that sample"
    return made, [text] if empty else []


def _models(columns: Sequence[str], options: TableOptions, where: str) -> dict[str, str]:
    """Model → its column of qualities, in the order of the table; globs pass over columns of ours
    and further ones."""
    found: dict[str, str] = {}
    globbed: set[str] = set()
    asked = [part for text in options.wide for part in ([text] if text in columns else text.split(","))]
    for part in asked:
        if part in columns:
            hits = {part: part}
        elif MODEL in part:
            before, after = part.split(MODEL, 1)
            match = re.compile(re.escape(before) + "(.+)" + re.escape(after)).fullmatch
            hits = {m[1]: c for c in columns if (m := match(c)) is not None}
        else:
            hits = {c: c for c in columns if fnmatch.fnmatchcase(c, part) and c not in OURS}
            globbed |= hits.keys()
        if not hits:
            raise InputError(f"{where}: --wide {part}: {no_such_column(part, columns)}")
        found |= hits
    for pattern in options.wide_columns.values():
        extra = {pattern.replace(MODEL, model) for model in found} - ({*found} - globbed)
        found = {model: column for model, column in found.items() if model not in extra}
    order = {column: at for at, column in enumerate(columns)}
    return dict(sorted(found.items(), key=lambda pair: order[pair[1]]))


def _with_suite(frame: pd.DataFrame, suite: str, where: str) -> pd.DataFrame:
    if "suite" not in frame.columns:
        return frame.assign(suite=suite)
    other = sorted(
        {str(name) for name in text_column(frame["suite"], where, "suite").dropna().unique()} - {suite}
    )
    if other:
        raise InputError(
            f"{where}: --suite {suite}: the table has a column `suite` that says {listed(other, 5)}; leave "
            "--suite out, or give that column another name: --map table_suite=suite"
        )
    return frame.assign(suite=suite)


def _with_candidates(
    frame: pd.DataFrame, candidates: Mapping[str, tuple[str, str | None]], where: str
) -> pd.DataFrame:
    if not candidates or "model" not in frame.columns:
        return frame
    model = text_column(frame["model"], where, "model")
    known = list(model.dropna().unique())
    for name in candidates:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"{where}: --candidate {name}: no row has this model; {meant}it has {listed(known, 10)}"
            )
    effort: pd.Series[Any]
    effort = (
        text_column(frame["effort"], where, "effort")
        if "effort" in frame
        else pd.Series(None, index=frame.index)
    )
    told = (model.isin(list(candidates)) & effort.notna()).to_numpy(bool)
    if told.any():
        at = int(told.argmax())
        raise InputError(
            f"{where}: {place(frame, at)}: --candidate {model.iloc[at]}: the row has an effort of its own, "
            f"{effort.iloc[at]!r}; leave one of them out"
        )
    cells = [
        candidates.get(m, (m, e if isinstance(e, str) else None)) for m, e in zip(model, effort, strict=True)
    ]
    return frame.assign(
        model=[m for m, _ in cells], effort=pd.Series([e for _, e in cells], frame.index, "str")
    )
