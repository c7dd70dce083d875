"""Add to a prices.yaml without touching anything that is already written there."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any, cast

import yaml

from router_lab.config import Price, Prices, ToolPrice, parse, parse_yaml
from router_lab.prices.moments import today
from router_lab.prices.table import parse_prices, read_prices
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.reading import read_regular

LONGEST_KEY = 1000
"""Characters of a model's name as YAML writes it, which takes keys of up to 1,024 on one line."""
ONE = {"models": "model", "tools": "tool"}


def add_price(path: str | Path, model: str, **fields: Any) -> Price:
    """Append an entry for `model` to `path` (made if absent) and return it. Comments and order
    stay as they are.

    An entry of the same day that lacks every one of the fields given (and neither `input` nor
    `output` is among them) is completed instead: nothing was priced by what was not there.

    Args:
        fields: those of `config.Price`; `starts` and `checked` default to today, in UTC.

    Raises InputError, writing nothing, for an entry that breaks a rule or would stand beside one
    of the same day: a past entry is never edited, since outcomes were priced with it.
    """
    if not model.strip():
        raise InputError("prices add: the model's name is empty; write it as in the sweep file")
    given = {key: value for key, value in fields.items() if value not in (None, {}, [])}
    target = Path(path)
    text, existing = _existing(target)
    starts = given.get("starts") or today()
    old = next((entry for entry in existing.models.get(model, []) if entry.starts == starts), None)
    if old is not None and _completes(old, given):
        return _complete(target, text, model, old, given)
    if not given.keys() & {"input", "output", "self_hosted"}:
        raise InputError(
            f"{target}: model {model!r} has no entry that starts {starts}, to which this could be added; give --input "
            "and --output too, or the --starts of an entry that lacks it"
        )
    _add(target, text, "models", model, existing.models.get(model, []), Price, given)
    return parse(Price, {"starts": today(), "checked": today(), **given}, where=f"prices add {model!r}")


def add_tool(path: str | Path, tool: str, **fields: Any) -> ToolPrice:
    """The same for a tool that the harness itself runs, by the name under which the model calls
    it."""
    target = Path(path)
    text, existing = _existing(target)
    given = {key: value for key, value in fields.items() if value is not None}
    _add(target, text, "tools", tool, existing.tools.get(tool, []), ToolPrice, given)
    return parse(ToolPrice, {"starts": today(), "checked": today(), **given}, where=f"prices tool {tool!r}")


def _existing(target: Path) -> tuple[str, Prices]:
    if not target.exists():
        return "", Prices(models={})
    prices = read_prices(target)
    text = read_regular(target).decode("utf-8-sig")
    if not isinstance(yaml.compose(text, Loader=yaml.SafeLoader), yaml.MappingNode):
        # `null`, or comments alone: a mapping without keys, to which lines are added.
        text = "".join(f"{line}\n" for line in text.splitlines() if line.lstrip().startswith("#"))
    return text, prices


def _add(
    target: Path, text: str, root: str, name: str, rows: list[Any], kind: type[Price] | type[ToolPrice],
    given: dict[str, Any],
) -> None:  # fmt: skip
    # Two date objects: YAML would write one object that stands in two places as an anchor and an
    # alias.
    fields = {"starts": today(), "checked": dt.date.fromordinal(today().toordinal()), **given}
    entry = parse(kind, fields, where=f"prices add {name!r}")
    if any(old.starts == entry.starts for old in rows):
        raise InputError(
            f"{target}: {ONE[root]} {name!r} already has an entry that starts {entry.starts}; a past entry is never "
            "edited: choose another --starts"
        )
    changed = _insert(text, root, name, fields | {"source": entry.source})
    _write(target, changed, root, name, [*rows, entry])


def _write(target: Path, text: str, root: str, name: str, rows: list[Any]) -> None:
    """Write a file that is read back as the one before with `rows` as the entries of `name`: an
    entry that an alias (`*`) puts in two places would change in both."""
    before, after = _existing(target)[1], parse_prices(parse_yaml(text, target), target)
    if after != before.model_copy(update={root: {**getattr(before, root), name: rows}}):
        raise InputError(
            f"{target}: the entries of {ONE[root]} {name!r} cannot be added to without a change of others (shared by an "
            "alias, `*`?); write its entry by hand"
        )
    atomic_write(target, text.encode())


def _completes(old: Price, given: dict[str, Any]) -> bool:
    """Whether every field given is one that `old` leaves open."""
    news = given.keys() - {"starts", "source", "checked"}
    if not news or news & {"input", "output", "self_hosted", "long_context"}:
        return False
    return all(_lacks(getattr(old, key), value) for key, value in ((key, given[key]) for key in news))


def _lacks(old: Any, value: Any) -> bool:
    return not old.keys() & value.keys() if isinstance(old, dict) else old is None or old is False


def _complete(target: Path, text: str, model: str, old: Price, given: dict[str, Any]) -> Price:
    fields = {key: value for key, value in given.items() if key not in ("starts", "source", "checked")}
    for key, value in fields.items():
        node = _entry_node(text, model, old)
        there = next((inner for name, inner in node.value if name.value == key), None)
        if isinstance(value, dict) and isinstance(there, yaml.MappingNode) and there.value:
            for name, one in value.items():
                node = _entry_node(text, model, old)
                there = next(inner for known, inner in node.value if known.value == key)
                text = _into(text, there, name, one)
        else:
            text = _into(text, node, key, value)
    done: Price = old.model_copy(
        update={k: {**getattr(old, k), **v} if isinstance(v, dict) else v for k, v in fields.items()}
    )
    rows = _existing(target)[1].models[model]
    _write(target, text, "models", model, [done if entry == old else entry for entry in rows])
    return done


def _into(text: str, node: yaml.MappingNode, key: str, value: Any) -> str:
    """`key: value` as the last of a mapping, in the style in which that is written."""
    if node.flow_style:
        return _before_end(text, node, _flow({key: value})[1:-1])
    body = yaml.safe_dump(
        {key: value}, sort_keys=False, default_flow_style=False, allow_unicode=True
    ).splitlines()
    lines, at, indent = text.splitlines(), _last_line(node) + 1, " " * node.value[0][0].start_mark.column
    return "\n".join([*lines[:at], *(indent + line for line in body), *lines[at:]]) + "\n"


def _flow(value: Any) -> str:
    return yaml.safe_dump(
        value, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10_000
    ).strip()


def _before_end(text: str, node: yaml.Node, more: str) -> str:
    """`more` as the last of a `[…]` or `{…}` that is not empty."""
    at = node.end_mark.index - 1
    head = text[:at].rstrip()
    return head + (" " if head.endswith(",") else ", ") + more + text[at:]


def _entry_node(text: str, model: str, old: Price) -> yaml.MappingNode:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    models = next(value for name, value in root.value if name.value == "models")
    rows = next(value for name, value in models.value if name.value == model)
    starts = old.starts.isoformat()
    return cast(
        yaml.MappingNode,
        next(
            row for row in rows.value if any(k.value == "starts" and v.value == starts for k, v in row.value)
        ),
    )


def _lines(fields: dict[str, Any]) -> list[str]:
    body = yaml.safe_dump(fields, sort_keys=False, default_flow_style=False, allow_unicode=True).splitlines()
    return ["    - " + body[0], *("      " + line for line in body[1:])]


def _insert(text: str, section: str, name: str, fields: dict[str, Any]) -> str:
    entry = _lines(fields)
    key = _key(name)
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader) if text.strip() else None
    place = None if root is None else next(((k, v) for k, v in root.value if k.value == section), None)
    if place is None:
        return "\n".join([*lines, f"{section}:", f"  {key}:", *entry]) + "\n"
    named = place[1]
    if not isinstance(named, yaml.MappingNode) or not named.value:
        return _first(lines, place, key, entry)
    rows = next((value for known, value in named.value if known.value == name), None)
    if rows is not None and rows.flow_style:
        return _before_end(text, rows, _flow(fields))
    if rows is None and named.flow_style:
        return _before_end(text, named, _flow({name: [fields]})[1:-1])
    if rows is not None:
        first = rows.value[0].start_mark  # the mark of `rows` may be an anchor's
        blanks, dash, _ = lines[first.line][: first.column].partition("-")
        indent = blanks if dash else " " * (first.column - 2)
        entry = [indent + line[4:] for line in entry]
        at = _last_line(rows) + 1
    else:
        indent = " " * named.value[0][0].start_mark.column
        entry = [f"{indent}{key}:", *(indent + line[2:] for line in entry)]
        at = _last_line(named) + 1
    return "\n".join([*lines[:at], *entry, *lines[at:]]) + "\n"


def _key(name: str) -> str:
    """A name as a key of YAML, on one line. Raises InputError for one that is too long to be a
    key."""
    key = yaml.safe_dump({name: None}, default_flow_style=False).rsplit(":", 1)[0]
    if "\n" in key or key.startswith("? "):  # a long or odd one, which would be written over several lines
        key = yaml.safe_dump(name, default_style='"', width=math.inf).strip()
    if len(key) > LONGEST_KEY:
        raise InputError(
            f"prices add: the name takes {len(key):,} characters in YAML, at most {LONGEST_KEY:,} do"
        )
    return key


def _first(lines: list[str], place: tuple[yaml.Node, yaml.Node], key: str, entry: list[str]) -> str:
    """The first entry of a section that is left empty or written `models: {}`, as `init` does; a
    comment stays."""
    start, end = place[1].start_mark, place[1].end_mark
    if start.index == end.index:
        start = end = place[0].end_mark  # nothing is written there; the colon is
        head, tail = lines[start.line][: start.column] + ":", lines[end.line][end.column :].lstrip(": ")
    else:
        head, tail = lines[start.line][: start.column].rstrip(), lines[end.line][end.column :].strip()
    first = f"{head}  {tail}" if tail else head
    return "\n".join([*lines[: start.line], first, f"  {key}:", *entry, *lines[end.line + 1 :]]) + "\n"


def _last_line(node: yaml.Node) -> int:
    """The line of the last scalar under `node`; a block's own end mark is only where the next
    thing begins."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(node, yaml.MappingNode) else last)
    return int(node.end_mark.line)
