"""docs/architecture.md: its table of columns is the schema's, and the files that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

from router_lab.outcomes.schema import (
    CALL_COLUMNS,
    FLAGS,
    MEANINGS,
    NUMBERS,
    OUTCOME_COLUMNS,
    REQUIRED,
    TEXT,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- columns: [^>]*-->\n)(.*?)(<!-- end -->)", flags=re.S)
ORDER = (*dict.fromkeys((*OUTCOME_COLUMNS, *CALL_COLUMNS, *TEXT, *NUMBERS, *FLAGS)),)


def columns_table() -> str:
    rows = ["| column | in | cells | meaning |", "|---|---|---|---|"]
    for column in ORDER:
        tables = [
            name
            for name, known in (("outcomes", OUTCOME_COLUMNS), ("calls", CALL_COLUMNS))
            if column in known
        ]
        cells = "text" if column in TEXT else "true, false" if column in FLAGS else "number"
        needed = ", needed" if column in REQUIRED else ""
        rows.append(
            f"| `{column}` | {', '.join(tables) or 'outcomes, if given'} | {cells}{needed} | {MEANINGS[column]} |"
        )
    return "\n".join(rows) + "\n"


def test_every_column_has_a_meaning_and_the_page_tells_it() -> None:
    assert set(MEANINGS) == set(ORDER)
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None and found[2] == columns_table()


def test_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 30
    for name in named:
        assert any(
            (folder / name).exists()
            for folder in (
                ROOT,
                ROOT / "router_lab",
                ROOT / "router_lab" / "fit",
                ROOT / "router_lab" / "metrics",
            )
        ), name


if __name__ == "__main__":
    PAGE.write_text(
        BLOCK.sub(lambda found: found[1] + columns_table() + found[3], PAGE.read_text(encoding="utf-8"))
    )
