"""Tables and sentences at the width of a terminal: nothing lost, nothing beyond its edge, and as they were where none is."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from router_lab.cli.common import echo
from router_lab.columns import aligned, wrapped
from tests.terminal import in_terminal

HEAD = ("suite", "quality", "95 % interval", "$/1k")
ROWS = [("vendor/a-model @ high", "76.5 %", "72.7–80.0", "$0.0736"), ("b", "9.1 %", "5.1–16.6", "$12")]


def test_a_pipe_has_no_end() -> None:
    assert aligned([HEAD, *ROWS]) == [
        "suite                  quality  95 % interval     $/1k",
        "vendor/a-model @ high   76.5 %      72.7–80.0  $0.0736",
        "b                        9.1 %       5.1–16.6      $12",
    ]


def test_headings_fold_before_names_and_names_before_figures() -> None:
    # 21 + 7 + 9 + 7 and three gaps of 2 are 50: the heading of the interval alone is broken.
    assert aligned([HEAD, *ROWS], width=50) == [
        "suite                  quality       95 %     $/1k",
        "                                 interval",
        "vendor/a-model @ high   76.5 %  72.7–80.0  $0.0736",
        "b                        9.1 %   5.1–16.6      $12",
    ]


def test_a_name_gives_room_where_that_brings_all_into_one_line() -> None:
    name = "vendor/a-model-of-some-size @ high"
    # 24 + 7 + 9 + 7 and three gaps of 2: the name has its least, and breaks at a hyphen and before its effort.
    assert aligned([HEAD, (f"● {name}", *ROWS[0][1:])], width=53)[2:] == [
        "● vendor/a-model-of-       76.5 %  72.7–80.0  $0.0736",
        "    some-size @ high",
    ]
    assert aligned([HEAD, (f"● {name}", *ROWS[0][1:])], width=52)[-2:] == [
        "● vendor/a-model-of-some-size   $0.0736",
        "    @ high",
    ]


def test_figures_without_room_follow_in_a_block_of_their_own() -> None:
    assert aligned([HEAD, *ROWS], width=43, indent=2) == [
        "  suite                  quality       95 %",
        "                                   interval",
        "  vendor/a-model @ high   76.5 %  72.7–80.0",
        "  b                        9.1 %   5.1–16.6",
        "",
        "  suite                     $/1k",
        "  vendor/a-model @ high  $0.0736",
        "  b                          $12",
    ]


def test_parts_are_aligned_with_each_other_and_a_sole_head_is_a_table() -> None:
    parts = aligned([("a", "n"), ("x", "1")], [("bbbb", "n"), ("y", "1,000")])
    assert parts == ["a         n", "x         1", "", "bbbb      n", "y     1,000"]
    assert aligned([("a", "b")]) == ["a  b"] and aligned([], indent=2) == aligned() == []


def test_a_word_without_end_is_cut_where_its_column_ends_and_an_empty_heading_takes_nothing() -> None:
    # Beside another column a text has at most half of the room, but 24 columns at least.
    assert aligned([("x" * 50, "")], width=40) == ["x" * 24, "x" * 24, "xx"]


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), st.integers(60, 200))
def test_no_character_of_any_cell_is_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    """Whatever names and figures are made of, markup and emoji codes of rich among it; each figure stands whole."""
    from router_lab.runtime.visible import visible

    said = aligned([("name", "figure", "why"), *rows], texts=(0, 2), width=width)
    text = "".join("".join(line.split()) for line in said)
    for row in rows:
        figure = visible(row[1]).strip()
        assert re.sub(r"\s+", "", figure) in text
        assert sorted(set("".join(visible("".join(row)).split())) - set(text)) == []


def test_markup_is_text() -> None:
    rows = [("name", "n"), ("[red]x[/red] :smile: [/]", "[b]1[/b]")]
    assert aligned(rows)[1] == "[red]x[/red] :smile: [/]  [b]1[/b]"


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("short", ["short"]),
        ("one two three four five six", ["one two three four", "  five six"]),
        ("  mix  the share of it all", ["  mix  the share", "       of it all"]),
        ("a share of some 62 % of it", ["a share of some", "  62 % of it"]),
        ("served by model-x @ high today", ["served by model-x", "  @ high today"]),
        ("see /a/path/that/is/longer/than/that now", ["see", "  /a/path/that/is/longer/than/that", "  now"]),
        ("模型模型 模型模型 模型", ["模型模型 模型模型", "  模型"]),
        ("", [""]),
    ],
)  # fmt: skip
def test_a_sentence_breaks_at_words_and_hangs(line: str, broken: list[str]) -> None:
    assert wrapped(line, 18) == broken


@pytest.mark.parametrize(("columns", "lines"), [(200, 1), (80, 2), (1, 5), (0, 1)])
def test_the_command_line_breaks_lines_for_a_terminal_alone(columns: int, lines: int) -> None:
    words = " ".join(["word"] * 30)  # 149 columns
    printed = in_terminal(lambda: echo(words), columns)
    assert printed.split() == ["word"] * 30 and len(printed.splitlines()) == lines
    assert max(map(cell_len, printed.splitlines())) <= (max(40, columns) if columns else 149)
    program = f"from router_lab.cli.common import echo; echo({words!r})"
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert piped.stdout == f"{words}\n"
