"""docs/architecture.md: its table of columns is the schema's, and the files that it names are there.

`python tests/unit/test_architecture.py` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from router_lab.outcomes.columns import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- columns: [^>]*-->\n)(.*?)(<!-- end -->)", flags=re.S)


def columns_table() -> str:
    rows = ["| column | in | cells | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        tables = [name for name, letter in (("outcomes", "o"), ("calls", "c")) if letter in column.tables]
        cells = {"text": "text", "flag": "true, false"}.get(column.cells, "number")
        needed = ", needed" if column.needed else ""
        where = ", ".join(tables) or "outcomes, if given"
        rows.append(f"| `{column.name}` | {where} | {cells}{needed} | {column.meaning} |")
    return "\n".join(rows) + "\n"


def test_the_page_tells_every_column() -> None:
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None and found[2] == columns_table(), (
        "python tests/unit/test_architecture.py writes it anew"
    )


def test_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 30
    for name in named:
        assert any(
            (folder / name).exists()
            for folder in (
                ROOT,
                ROOT / "tests",
                ROOT / "router_lab",
                ROOT / "router_lab" / "fit",
                ROOT / "router_lab" / "metrics",
            )
        ), name


if __name__ == "__main__":
    PAGE.write_text(
        BLOCK.sub(lambda found: found[1] + columns_table() + found[3], PAGE.read_text(encoding="utf-8"))
    )
