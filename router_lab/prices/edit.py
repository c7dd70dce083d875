"""Add a dated entry to a prices.yaml without touching anything that is already written there."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import yaml

from router_lab.config import Price, Prices, parse, read_yaml
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write

LONGEST_KEY = 1000
"""Characters of a model's name as YAML writes it, which takes keys of up to 1,024 on one line."""


def add_price(path: str | Path, model: str, **fields: Any) -> Price:
    """Append an entry for `model` to `path` (made if absent) and return it. Comments and order stay as they are.

    Args:
        fields: those of `config.Price`; `starts` and `checked` default to today.

    Raises InputError, writing nothing, for an entry that breaks a rule or would stand beside one of the same day: a
    past entry is never edited, since outcomes were priced with it.
    """
    # Two date objects: YAML would write one object that stands in two places as an anchor and an alias.
    given = {
        "starts": dt.date.today(),
        "checked": dt.date.today(),
        **{k: v for k, v in fields.items() if v not in (None, {}, [])},
    }
    entry = parse(Price, given, where=f"prices add {model!r}")
    target = Path(path)
    text = target.read_text(encoding="utf-8") if target.exists() else ""
    existing = parse(Prices, read_yaml(target), where=target).models.get(model, []) if text.strip() else []
    if any(old.starts == entry.starts for old in existing):
        raise InputError(
            f"{target}: model {model!r} already has an entry that starts {entry.starts}; a past entry is never edited: "
            "choose another --starts"
        )
    changed = _insert(text, model, _lines(given | {"source": entry.source}))
    parse(Prices, yaml.safe_load(changed), where=target)
    atomic_write(target, changed.encode())
    return entry


def _lines(fields: dict[str, Any]) -> list[str]:
    body = yaml.safe_dump(fields, sort_keys=False, default_flow_style=False, allow_unicode=True).splitlines()
    return ["    - " + body[0], *("      " + line for line in body[1:])]


def _insert(text: str, model: str, entry: list[str]) -> str:
    key = _key(model)
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader) if text.strip() else None
    if root is None:
        return "\n".join([*lines, "models:", f"  {key}:", *entry]) + "\n"
    models = next(value for name, value in root.value if name.value == "models")
    rows = next((value for name, value in models.value if name.value == model), None)
    if rows is not None:
        if rows.flow_style:
            raise InputError(f"model {model!r} is written in [...] style; write its entries as a list of lines first")
        indent = " " * (rows.value[0].start_mark.column - 2)
        entry = [indent + line[4:] for line in entry]
        at = _last_line(rows) + 1
    else:
        indent = " " * models.value[0][0].start_mark.column if models.value else "  "
        entry = [f"{indent}{key}:", *(indent + line[2:] for line in entry)]
        at = _last_line(models) + 1
    return "\n".join([*lines[:at], *entry, *lines[at:]]) + "\n"


def _key(model: str) -> str:
    """A model's name as a key of YAML, on one line. Raises InputError for one that is too long to be a key."""
    key = yaml.safe_dump({model: None}, default_flow_style=False).rsplit(":", 1)[0]
    if "\n" in key or key.startswith("? "):  # a long or odd one, which would be written over several lines
        key = yaml.safe_dump(model, default_style='"', width=math.inf).strip()
    if len(key) > LONGEST_KEY:
        raise InputError(
            f"prices add: the model's name takes {len(key):,} characters in YAML, at most {LONGEST_KEY:,} do"
        )
    return key


def _last_line(node: yaml.Node) -> int:
    """The line of the last scalar under `node`; a block's own end mark is only where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    end: int = node.end_mark.line
    return end
