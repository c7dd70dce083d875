"""Whatever text a cell holds, it comes out of a table as it went in, whoever wrote the file."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.collect.tables import read_table
from router_lab.runtime.errors import InputError, RouterLabWarning

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    [
        "NA",
        "null",
        "None",
        "007",
        "1e5",
        '"',
        "''",
        "a\nb",
        "\r",
        " ",
        ",",
        ";",
        "0,5",
        "True",
        "\ufeff",
        "=1+1",
        "\\",
    ]
)
HEADER = ["suite", "sample_id", "model", "effort", "prompt", "quality"]


def collected(data: bytes, suffix: str) -> list[tuple[str, str, str, str]]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RouterLabWarning)
        path = Path(folder) / f"t{suffix}"
        path.write_bytes(data)
        made = read_table(path)
    return sorted(zip(made["suite"], made["model"], made["effort"], made["prompt"], strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_delimited_table_gives_back_what_was_written(
    cells: list[tuple[str, str, str, str]], delimiter: str, quoting: int, end: str, encoding: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerow(HEADER)
    writer.writerows([s, f"id{i}", m, e, p, 1] for i, (s, m, e, p) in enumerate(cells))
    assert collected(out.getvalue().encode(encoding), ".csv") == sorted(cells)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4), st.booleans())
def test_a_jsonl_table_gives_back_what_was_written(
    cells: list[tuple[str, str, str, str]], ascii_only: bool
) -> None:
    rows = [dict(zip(HEADER, (s, f"id{i}", m, e, p, 1), strict=True)) for i, (s, m, e, p) in enumerate(cells)]
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert collected(text.encode(), ".jsonl") == sorted(cells)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv", ".jsonl", ".csv.gz"]))
def test_any_bytes_are_a_table_or_one_line_of_error(data: bytes, suffix: str) -> None:
    with pytest.raises(InputError) as caught:
        collected(data, suffix)
    assert str(caught.value).count("\n") == 0
