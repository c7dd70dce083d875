"""Cells of tables: text stays text, numbers are numbers, in every sort of file; what is wrong is named by its place."""

import datetime as dt
import gzip
import json
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.production_check import read_reference_qualities
from router_lab.collect import collect
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.gates import read_audit
from router_lab.outcomes import read_calls, read_outcomes, validate_outcomes, write_outcomes
from router_lab.outcomes.cells import text_of, written
from router_lab.runtime.errors import InputError, RouterLabWarning

TEXTS = ["NA", "null", "None", "nan", "N/A", "<NA>", "007", "001", "1e5", "1.10", "True", " padded ", "-", "2026-01-02",
         "12345678901234567890", "inf", "#N/A"]  # fmt: skip
COLUMNS = ("suite", "sample_id", "model", "effort", "prompt", "group", "answer", "harness")


def rows_of(column: str, texts: list[str]) -> list[dict[str, Any]]:
    base = {"suite": "q", "model": "m", "quality": 1}
    return [{**base, "sample_id": f"s{i}", column: text} for i, text in enumerate(texts)]


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def quietly(path: Path, **options: Any) -> pd.DataFrame:
    """What `collect` makes of a table, warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouterLabWarning)
        return collect([path], **options)[0]


def csv(tmp_path: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", COLUMNS)
def test_text_comes_through_as_it_is_written(tmp_path: Path, column: str, suffix: str) -> None:
    """And is the same text again after a file of ours in between."""
    made = quietly(write(rows_of(column, TEXTS), tmp_path / f"t{suffix}"))
    assert sorted(made[column]) == sorted(TEXTS)
    assert read_outcomes(write_outcomes(made, tmp_path / "o.parquet")).equals(made)


def test_a_column_of_numerals_alone_is_text_too(tmp_path: Path) -> None:
    made = collect(
        [csv(tmp_path, "suite,sample_id,model,prompt,quality\n001,007,3.50,12,1\n001,10,3.50,007,0\n")]
    )[0]
    assert made[["suite", "sample_id", "model", "prompt"]].to_numpy().tolist() == [
        ["001", "007", "3.50", "12"], ["001", "10", "3.50", "007"],
    ]  # fmt: skip


def test_jsonl_numbers_in_text_columns_are_as_written(tmp_path: Path) -> None:
    numbers = ["12345678901234567890", "9007199254740993", "7.0", "1.10", "1e5", "-0", "true", "0.1"]
    text = "".join(
        f'{{"suite": 1, "sample_id": {n}, "model": "m", "quality": 1, "prompt": {n}}}\n' for n in numbers
    )
    made = collect([csv(tmp_path, text, "t.jsonl")])[0]
    # -0 is an integer, and 0 the only text of it.
    assert sorted(made["sample_id"]) == sorted([*numbers[:5], "0", *numbers[6:]])
    assert (made["sample_id"] == made["prompt"]).all() and set(made["suite"]) == {"1"}


PARQUET = [
    (pa.array([2**53 + 1, 2**63], pa.uint64()),
     ["9007199254740993", "9223372036854775808"]),
    (pa.array([9007199254740993, None], pa.int64()), ["9007199254740993", None]),
    (pa.array([7.0, None]), ["7", None]),
    (pa.array([0.5, 1e-7]), ["0.5", "1e-07"]),
    (pa.array([0.1, 3.0], pa.float32()), ["0.1", "3"]),
    (pa.array(["NA", None]).dictionary_encode(), ["NA", None]),
    (pa.array([7, 8], pa.int8()).dictionary_encode(), ["7", "8"]),
    (pa.array(["None", None], pa.large_string()), ["None", None]),
    (pa.array(["null", None], pa.string_view()), ["null", None]),
    (pa.array(["é".encode(), None], pa.binary()), ["é", None]),
    (pa.array([dt.date(2026, 1, 2), None]), ["2026-01-02", None]),
    (pa.array([dt.datetime(2026, 1, 2, 3), None], pa.timestamp("ns")), ["2026-01-02T03:00:00", None]),
    (pa.array([True, None]), ["true", None]),
    (pa.array([Decimal("1.10"), None]), ["1.10", None]),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "expected"), PARQUET, ids=[str(cells.type) for cells, _ in PARQUET])
def test_every_type_of_parquet_is_text_by_one_rule(
    tmp_path: Path, cells: pa.Array, expected: list[str | None]
) -> None:
    table = pa.table({"suite": ["q", "q"], "sample_id": ["a", "b"], "model": ["m", "m"], "quality": [1, 0],
                      "prompt": cells})  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    for made in (collect([tmp_path / "t.parquet"])[0], read_outcomes(tmp_path / "t.parquet")):
        assert made["prompt"].astype(object).where(made["prompt"].notna(), None).tolist() == expected


@pytest.mark.parametrize(
    ("cells", "said"),
    [([1e16, 1.0], r"row 0: `sample_id` is 1e\+16; a float of that size may have lost digits"),
     ([np.float32(2**24), "x"], "a float of that size may have lost digits"),
     (["a", b"\xff"], "row 1: `sample_id` is '\ufffd'; bytes must be UTF-8"),
     (["a", object], "row 1: `sample_id` is <class 'object'>; it must be a text, and it is a type")],
)  # fmt: skip
def test_what_cannot_be_text_is_refused(cells: list[Any], said: str) -> None:
    frame = pd.DataFrame(
        {"suite": "q", "sample_id": pd.Series(cells, dtype=object), "model": "m", "quality": 1.0}
    )
    with pytest.raises(InputError, match=f"^o: .*{said}"):
        validate_outcomes(frame, where="o")


def test_a_dataframe_follows_the_same_rules() -> None:
    """Integers with a gap come as floats from pandas; an id of 7 is `7` either way."""
    frame = pd.DataFrame({"suite": pd.Categorical(["q", "q"]), "sample_id": [7, 8], "model": "m",
                          "quality": [True, False], "group": [3, None],
                          "effort": pd.Series(["", "low"], dtype="string"),
                          "epoch": ["1", " 2 "], "cost_usd": ["0.5", "NA"]})  # fmt: skip
    made = validate_outcomes(frame)
    assert made["sample_id"].tolist() == ["7", "8"] and made["group"].tolist() == ["3", "8"]
    assert made["quality"].tolist() == [1.0, 0.0] and made["epoch"].tolist() == [1, 2]
    assert made["effort"].isna().tolist() == [True, False]
    assert made["cost_usd"].fillna(-1).tolist() == [0.5, -1]


def test_a_fit_is_the_same_whatever_type_the_ids_come_in() -> None:
    """As pandas reads a table without asking: suites and ids as integers, groups with a gap as floats."""
    n = 60
    plain = pd.DataFrame({"suite": [1, 2] * n, "sample_id": np.repeat(range(n), 2), "model": ["a", "b"] * n})
    plain["suite"] = np.repeat([1, 2], n)
    plain["quality"] = [True, False, True] * (2 * n // 3)
    plain["cost_usd"] = [2, 1] * n
    plain["group"] = [None if i < 4 else float(i // 2) for i in range(2 * n)]
    text = plain.assign(suite=plain["suite"].astype(str), sample_id=plain["sample_id"].astype(str),
                        group=[None if i < 4 else str(i // 2) for i in range(2 * n)])  # fmt: skip
    recipe = Recipe(name="r")
    one, two = (fit_policy(recipe, frame) for frame in (plain, text))
    assert one.spec.certificate == two.spec.certificate and one.spec.suites == ("1", "2")


def test_an_empty_cell_is_missing_and_an_empty_text_is_a_prompt(tmp_path: Path) -> None:
    rows = ["q,a,m,,,,,1", 'q,b,m,"","","","",1', 'q,c,m,"","",x,g,1']
    text = "\n".join(["suite,sample_id,model,effort,prompt,answer,group,quality", *rows])
    made = collect([csv(tmp_path, text)])[0]
    assert made["prompt"].isna().tolist() == [True, False, False] and made["prompt"].tolist()[1:] == ["", ""]
    assert made["answer"].isna().tolist() == [True, False, False]
    assert made["effort"].isna().all()
    assert made["group"].tolist() == ["a", "b", "g"]  # prompts of no characters are not alike for that


def test_half_a_surrogate_pair_is_what_the_runtime_reads(tmp_path: Path) -> None:
    text = '{"suite": "q", "sample_id": "a", "model": "m", "quality": 1, "prompt": "x\\ud83d", "note": "y\\ud83d"}\n'
    made = collect([csv(tmp_path, text, "t.jsonl")])[0]
    assert made["prompt"].tolist() == ["x?"]
    assert read_outcomes(write_outcomes(made, tmp_path / "o.parquet"))["note"].tolist() == ["y?"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (float("nan"), None), (pd.NaT, None), (pd.NA, None), (Decimal("NaN"), None), (True, "true"),
     (np.bool_(False), "false"), (np.int64(-3), "-3"), (-0.0, "0"), (float("inf"), "inf"), (10**30, "1" + "0" * 30),
     (written("1.0"), "1.0"), (written("0.25"), "0.25"), (written("1E5"), "1E5"), (["a", 1], '["a", 1]'),
     ({"é": None}, '{"é": null}'), (np.array([1, 2]), "[1, 2]"), (dt.time(1, 2), "01:02:00")],
    ids=str,
)  # fmt: skip
def test_text_of(value: Any, expected: str | None) -> None:
    assert text_of(value) == expected


NUMBERS = [
    ("quality", "12 %", r"it must be a number, or true or false: write a share, 0\.12 for 12 %"),
    ("quality", "yes", "it must be a number, or true or false$"),
    ("quality", "C", "it must be a number, or true or false$"),
    ("quality", "1.5", r"it must lie in \[0, 1\]; .* in a table divide it by its maximum"),
    ("quality", "NA", "null with status 'ok'; a row that was not scored must say"),
    ("quality", "inf", r"it must lie in \[0, 1\]"),
    ("cost_usd", "$0.05", "it must be a number: write the number alone, in US dollars"),
    ("cost_usd", "-0.05", "it must be finite and not negative"),
    ("cost_usd", "0x10", "it must be a number$"),
    ("cost_usd", "True", "it must be a number$"),
    ("output_tokens", "1_000", "it must be a number: write the digits alone"),
    ("epoch", "1.5", "epochs count from 1, in whole numbers"),
    ("epoch", "0", "epochs count from 1"),
    ("check", "maybe", "it must be true or false$"),
    ("check", "2", "2; it must be true or false"),
    ("signal_logprob", "low", "it must be a number$"),
    ("status", "OK", "known: ok, error"),
]


@pytest.mark.parametrize(("column", "cell", "said"), NUMBERS, ids=[f"{c}={v}" for c, v, _ in NUMBERS])
def test_a_number_that_is_none_is_named_by_line_column_value_and_rule(
    tmp_path: Path, column: str, cell: str, said: str
) -> None:
    rows = [{"suite": "q", "sample_id": "a", "model": "m", "quality": "1", "check": "1", "cost_usd": "1", "epoch": "1",
             "output_tokens": "1", "signal_logprob": "1", "status": "ok"} | extra
            for extra in ({"prompt": "two\nlines"}, {}, {"sample_id": "b", column: cell})]  # fmt: skip
    del rows[1]
    with pytest.raises(InputError, match=rf"t\.csv: line 4: `{column}` is .*{said}"):
        quietly(write(rows, tmp_path / "t.csv"))


def test_describe_policy_for_a_missing_number_and_for_truth(tmp_path: Path) -> None:
    head = "suite,sample_id,model,quality,cost_usd,check,signal_x\n"
    cells = ["TRUE,NA,true,-1.5", "false, 5e-06 ,0,nan", "0.5,,False,N/A", "1,null,,-", "0,None,1.0,2"]
    made = collect([csv(tmp_path, head + "".join(f"q,s{i},m,{c}\n" for i, c in enumerate(cells)))])[0]
    assert made["quality"].tolist() == [1, 0, 0.5, 1, 0]
    assert made["cost_usd"].fillna(-1).tolist() == [-1, 5e-06, -1, -1, -1]
    assert made["check"].astype(object).where(made["check"].notna(), None).tolist() == [
        True,
        False,
        False,
        None,
        True,
    ]
    assert made["signal_x"].fillna(9).tolist() == [-1.5, 9, 9, 9, 2]


def test_columns_that_are_not_ours_are_kept_as_they_are(tmp_path: Path) -> None:
    first = csv(tmp_path, "suite,sample_id,model,quality,ticket\nq,a,m,1,007\n")
    rows: list[dict[str, Any]] = [
        {"ticket": 7, "tags": ["x", 1.5], "where": {"a": 1}, "n": 1, "x": 0.5}, {"tags": "none", "n": None, "x": 1}
    ]  # fmt: skip
    lines = [
        json.dumps({"suite": "q", "sample_id": str(i), "model": "m", "quality": 1} | r)
        for i, r in enumerate(rows)
    ]
    second = csv(tmp_path, "\n".join(lines), "t.jsonl")
    alone = collect([second])[0]
    assert (
        alone["n"].tolist() == [1, None]
        and alone["x"].tolist() == [0.5, 1.0]
        and alone["ticket"].tolist() == [7, None]
    )
    both = read_outcomes(write_outcomes(collect([first, second])[0], tmp_path / "o.parquet"))
    # Cells of several types have no type in common but text.
    assert both.sort_values("sample_id")["ticket"].dropna().tolist() == ["7", "007"]
    assert both["tags"].dropna().tolist() == ['["x", 1.5]', "none"]


def test_what_a_program_writes_for_nothing_is_kept_and_said(tmp_path: Path) -> None:
    text = "suite,sample_id,model,effort,group,quality\nq,a,m,None,nan,1\nq,b,m ,none,nan,1\nq,c,m,,g,1\n"
    with pytest.warns(RouterLabWarning) as said:
        made = collect([csv(tmp_path, text)])[0]
    assert [str(w.message).split(": ", 1)[1] for w in said] == [
        "effort 'None' (1 of 3 rows) is taken as a name; for none leave it empty",
        "group 'nan' (2 of 3 rows) is taken as a name; for none leave it empty",
        "the model 'm ' has spaces around it, which are kept as a part of its name",
    ]
    assert made["effort"].fillna("-").tolist() == ["None", "none", "-"]


def test_doubled_rows_are_named_by_their_lines(tmp_path: Path) -> None:
    head = "suite,sample_id,model,quality,cost_usd\n"
    differ = csv(tmp_path, head + "q,a,m,1,1\nq,b,m,1,1\n\nq,a,m,0,1\n")
    with pytest.raises(InputError) as caught:
        collect([differ])
    assert str(caught.value).split(": ", 1)[1] == (
        "line 2 and line 5: two different rows for suite 'q', sample 'a', epoch 1, m; keep one, or number them as "
        "epochs (they differ in quality; 2 rows are doubled)"
    )
    with pytest.warns(
        RouterLabWarning, match=r"left out \(1, line 4\); runs of one sample are told apart by a column"
    ):
        made = collect([csv(tmp_path, head + "q,a,m,1,1\nq,b,m,1,1\nq,a,m,1,1\n")])[0]
    assert made["sample_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_ids_of_an_audit_are_text(tmp_path: Path, suffix: str) -> None:
    """Of `report --audit`: decisions by id, the reference's rows alone where the table says whose they are."""
    ids = ["007", "1e5", "NA", "null", "12345678901234567890"]
    rows = [{"sample_id": i, "quality": q / 4, "model": m, "effort": e}
            for q, i in enumerate(ids) for m, e in (("dear", "high"), ("dear", "low"), ("cheap", "high"))]  # fmt: skip
    for row in rows:
        row["quality"] = row["quality"] if (row["model"], row["effort"]) == ("dear", "high") else 0.1
    path = write(rows, tmp_path / f"audit{suffix}")
    assert read_reference_qualities(path, ("dear", "high")) == dict(
        zip(ids, (0, 0.25, 0.5, 0.75, 1), strict=True)
    )
    with pytest.raises(InputError, match=r"decision '007' has two qualities, 0 and 0\.1; keep one"):
        read_reference_qualities(path, None)


def test_the_labels_of_a_gate_are_text(tmp_path: Path) -> None:
    keys = {
        "suite": ["001", "NA"],
        "sample_id": ["007", "null"],
        "model": ["None", "m"],
        "effort": ["low", None],
    }
    outcomes = validate_outcomes(pd.DataFrame({**keys, "quality": [1.0, 0.0]}))
    path = csv(
        tmp_path,
        "suite;sample_id;model;effort;quality\n001;007;None;low;0,5\nNA;null;m;;0,25\n",
        "labels.csv",
    )
    assert read_audit(str(path), outcomes)["error"].tolist() == [-0.5, 0.25]
    path.write_text("suite,sample_id,model,quality\nNA,null,m,1.25\n")
    with pytest.raises(
        InputError, match=r"labels\.csv: line 2: `quality` is 1\.25; `quality` must lie in \[0, 1\]"
    ):
        read_audit(str(path), outcomes)
    path.write_text("suite,sample_id,model\nNA,null,m\n")
    with pytest.raises(
        InputError, match="column quality is missing; an audit needs suite, sample_id, model, quality"
    ):
        read_audit(str(path), outcomes)


def test_calls_beside_a_table_have_text_ids_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"suite": ["q"], "sample_id": pa.array([7], pa.int64()), "model": ["m"], "turn": [1]}),
                   tmp_path / "calls.parquet")  # fmt: skip
    assert read_calls(tmp_path / "calls.parquet")["sample_id"].tolist() == ["7"]


def test_packed_files_and_lists_are_tables(tmp_path: Path) -> None:
    row = {"suite": "q", "sample_id": "007", "model": "m", "quality": 1}
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"suite,sample_id,model,quality\nq,007,m,1\n"))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    (tmp_path / "c.json").write_text(json.dumps([row], indent=1))
    (tmp_path / "D.CSV").write_text("\ufeffsuite,sample_id,model,quality\r\nq,007,m,1\r\n", encoding="utf-8")
    for name in ("a.csv.gz", "b.jsonl.gz", "c.json", "D.CSV"):
        assert collect([tmp_path / name])[0]["sample_id"].tolist() == ["007"], name
    (tmp_path / "e.csv.gz").write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(InputError, match=r"e\.csv\.gz: cannot be read"):
        collect([tmp_path / "e.csv.gz"])
    result = CliRunner().invoke(
        cli, ["collect", str(tmp_path / "c.json"), "--out", str(tmp_path / "o.parquet")]
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("t.jsonl", '{"suite": "q"}\n\n{"suite": ', r"line 3: is not JSON: Expecting value at character 11"),
     ("t.jsonl", '{"suite": "q"}\n[1]\n', r"line 2: must be one whole JSON object, and it is '\[1\]'"),
     ("t.jsonl", '{\n "suite": "q"\n}\n', "line 1: is not JSON: .*one whole object a line"),
     ("t.jsonl", '{"suite": ' + "9" * 5000 + "}", "line 1: Exceeds the limit"),
     ("t.jsonl", '{"suite": "q", "quality": 1, "quality": 0}', "line 1: has 'quality' more than once"),
     ("t.jsonl", "\n\n", "is empty; a table has one JSON object a line"),
     ("t.json", "[1, 2]", "row 0: must be one whole JSON object"),
     ("t.xlsx", "PK", "is a spreadsheet; save the sheet as CSV"),
     ("t.pkl", "", r"is a pickle, which is code; save it as Parquet: pandas\.read_pickle"),
     ("t.csv", "", "is empty; a table starts with a row of column names"),
     ("t.csv", "suite,sample_id,model,quality\n", "has no rows")],
)  # fmt: skip
def test_a_file_that_is_no_table_says_why(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"{name.replace('.', '[.]')}: {said}"):
        collect([csv(tmp_path, text, name)])


def test_half_a_character_in_json_is_a_question_mark_in_values_and_names(tmp_path: Path) -> None:
    row = r'{"suite": "s", "sample_id": "\ud83d\ude00", "model": "m\ud800", "quality": 1, "note\udfff": "\ud800x"}'
    made = quietly(csv(tmp_path, row + "\n", "t.jsonl"))
    assert made[["sample_id", "model", "note?"]].to_numpy().tolist() == [["😀", "m?", "?x"]]
    with pytest.raises(InputError, match=r"line 1: `quality` is '\?'; it must be a number"):
        quietly(csv(tmp_path, row.replace('"quality": 1', r'"quality": "\ud800"') + "\n", "t.jsonl"))


@pytest.mark.parametrize("encoding", ["latin-99", "a\0b", "base64", "rot13"])
def test_an_encoding_that_is_none_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match=r"t\.csv: encoding .* is not known; utf-8, cp1252 and utf-16 are"):
        quietly(csv(tmp_path, "suite,sample_id,model,quality\ns,1,m,1\n"), encoding=encoding)
