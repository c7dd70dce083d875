"""Rows that docs/extending.md shows, at the end of a registry that is read from disk for the rest: what follows from a
row is then seen in a process that was told nothing else."""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def shown(marker: str) -> str:
    """The block after `<!-- rows: marker -->` of the page."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    return page.partition(f"<!-- rows: {marker} -->\n```text\n")[2].partition("```")[0]


def paste(name: str, registry: str, rows: str) -> None:
    """Module `name` with `rows` at the end of its tuple `registry`, in the place of the one on disk, before all else is
    read. Rows whose name the registry has already are left out: somebody may have taken the page's into it."""
    text = ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    end = text.index("\n)", text.index(f"{registry}: tuple["))
    sys.path.insert(0, str(ROOT))
    known = {row.name for row in getattr(_module(name, text), registry)}
    listed = f"[\n{rows}]"
    calls = [call for call in ast.walk(ast.parse(listed)) if isinstance(call, ast.Call)]
    further = [call for call in calls if ast.literal_eval(call.args[0]) not in known]
    more = "".join(f"\n{ast.get_source_segment(listed, call)}," for call in further)
    _module(name, text[:end] + more + text[end:])


def _module(name: str, text: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.util.spec_from_loader(name, None)
    sys.modules[name] = module
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)  # noqa: S102
    return module
