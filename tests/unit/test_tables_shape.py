"""Tables of other shapes: renamed, wide, of one suite, of another dialect; and what is said where it cannot be told."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.collect import pairs
from router_lab.collect import collect
from router_lab.collect.names import LIKELY, OURS, look_alikes, ours_for
from router_lab.outcomes import read_outcomes
from router_lab.runtime.errors import InputError, RouterLabWarning

LONG = "task,question,llm,score,cost\nqa,NA,m,0.5,0.25\nqa,007,m,1,0.125\n"
WIDE = (
    "sample_id,prompt,eval_name,gpt,claude,gpt|total_cost,claude|total_cost,oracle\n"
    "1,hi,mmlu,1,0,0.1,0.2,gpt\n"
    "2,ho,mmlu,,1.0,,0.3,claude\n"
)
COSTS = {"cost_usd": "{model}|total_cost"}


def table(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells(frame: pd.DataFrame, *columns: str) -> list[list[Any]]:
    part = frame[list(columns)].astype(object)
    found: list[list[Any]] = part.where(part.notna(), None).to_numpy().tolist()
    return found


def test_columns_are_mapped_and_one_may_serve_twice(tmp_path: Path) -> None:
    names = {"suite": "task", "sample_id": "question", "prompt": "question", "model": "llm", "quality": "score",
             "cost_usd": "cost"}  # fmt: skip
    made = collect([table(tmp_path, LONG)], map=names)[0]
    assert cells(made, "suite", "sample_id", "prompt", "model", "quality", "cost_usd") == [
        ["qa", "007", "007", "m", 1.0, 0.125], ["qa", "NA", "NA", "m", 0.5, 0.25],
    ]  # fmt: skip
    assert not {"task", "question", "llm", "score", "cost"} & set(made.columns)


def test_names_may_be_exchanged_and_a_rating_put_aside(tmp_path: Path) -> None:
    text = "suite,sample_id,model,quality,score\ns,a,m,5,0.5\n"
    made = collect([table(tmp_path, text)], map={"quality": "score", "stars": "quality"})[0]
    assert cells(made, "quality", "stars") == [[0.5, "5"]]
    made = collect([table(tmp_path, text)], map={"quality": "score", "score": "quality"})[0]
    assert cells(made, "quality", "score") == [[0.5, "5"]]


def test_jsonl_and_parquet_are_mapped_too_and_keep_every_digit(tmp_path: Path) -> None:
    row = '{"uid": %s, "model": "m", "score": 1}\n'
    path = table(tmp_path, row % "12345678901234567890" + row % "1.50", "t.jsonl")
    options: dict[str, Any] = {"map": {"sample_id": "uid", "quality": "score"}, "suite": "s"}
    assert collect([path], **options)[0]["sample_id"].tolist() == ["1.50", "12345678901234567890"]
    frame = pd.DataFrame({"uid": pd.array([2**53 + 1, 7], dtype="Int64"), "model": "m", "score": [1, 0]})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(RouterLabWarning, match="written by pandas alone"):
        assert collect([tmp_path / "t.parquet"], **options)[0]["sample_id"].tolist() == [
            "7",
            "9007199254740993",
        ]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (LONG, {}, "column suite, sample_id, model, quality is missing; .*; it has task, question, llm, score, cost; "
     "is it there under another name\\? --map suite=task,model=llm,quality=score$"),
    ("prompt,model,quality\nx,m,1\n", {}, "rows of one suite are named by --suite NAME; --map sample_id=prompt takes"),
    (WIDE, {}, "a column for each model is read by --wide 'MODEL,MODEL'"),
    ("Suite,Sample ID,Model,qualtiy\ns,a,m,1\n", {},
     "--map 'suite=Suite,sample_id=Sample ID,model=Model,quality=qualtiy'"),
    (LONG, {"map": {"quality": "scoer"}}, "has no column 'scoer'; did you mean 'score'\\? it has task, question"),
    (LONG, {"map": {"quality": "beauty"}}, "has no column 'beauty'; it has task, question"),
    ("suite,quality\ns,1\n", {"map": {"quality": "score"}},
     "has no column 'score'; it has suite, quality; 'quality' is there already: collect this table apart"),
    ("suite,quality\ns,1\n", {"map": {"suite": "score"}}, "has no column 'score'"),
    (LONG, {"map": {"score": "quality"}}, "has no column 'quality'; .*--map is OURS=YOURS: --map quality=score"),
    (LONG, {"map": {"qualty": "score"}}, "--map qualty=score: 'qualty' is no column of ours; did you mean 'quality'"),
    ("suite,quality,score\ns,1,1\n", {"map": {"quality": "score"}},
     "there is a column 'quality' too; give it another name, --map quality=score,table_quality=quality"),
    ("suite,model\ns,m\n", {"suite": "t"}, "--suite t: the table has a column `suite` that says s; leave --suite out"),
    (WIDE, {"wide": ["gpt", "cluade"]}, "--wide cluade: has no column 'cluade'; did you mean 'claude'"),
    (WIDE, {"wide": "mistral-*"}, "--wide mistral-\\*: has no column"),
    (WIDE, {"wide": "gpt", "wide_columns": {"cost_usd": "{model}|cost"}},
     "--wide-column cost_usd=\\{model\\}|cost: has no column 'gpt|cost'; did you mean 'gpt|total_cost'"),
    ("model,quality,a\nm,1,1\n", {"wide": "a"}, "has a column 'model', which --wide makes"),
    (LONG, {"wide_columns": COSTS}, "--wide-column says more of the models of --wide"),
    (LONG, {"wide": "score", "wide_columns": {"cost_usd": "cost"}}, "must hold \\{model\\}"),
    ("suite,sample_id,model,quality\ns,a,gpt-5@high,1\n", {"candidates": {"gpt5@high": ("gpt-5", "high")}},
     "--candidate gpt5@high: no row has this model; did you mean 'gpt-5@high'"),
    ("suite,sample_id,model,effort,quality\ns,a,x,low,1\n", {"candidates": {"x": ("gpt-5", "high")}},
     "line 2: --candidate x: the row has an effort of its own, 'low'"),
    (LONG, {"decimal": ";"}, "--decimal is ';'; it must be ',' or '.'"),
    (LONG, {"delimiter": "||"}, "--delimiter is '\\|\\|'; it must be one character"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "said"), REFUSED, ids=[said[:40] for _, _, said in REFUSED])
def test_what_is_not_there_is_named_with_what_to_write(
    tmp_path: Path, text: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        collect([table(tmp_path, text)], **options)
    assert "\n" not in str(caught.value)


def test_columns_that_look_like_ours_are_kept_and_said(tmp_path: Path) -> None:
    text = (
        "suite,sample_id,model,quality,score,cost,Latency_S,latency_ms,promt,region\ns,a,m,1,2,3,4,5,6,EU\n"
    )
    with pytest.warns(RouterLabWarning) as said:
        made = collect([table(tmp_path, text)])[0]
    assert [str(w.message).split(": ", 1)[1] for w in said] == [
        "`cost`, `Latency_S`, `promt`: kept, and read by nothing; to have it read: "
        "--map cost_usd=cost,latency_s=Latency_S,prompt=promt"
    ]
    assert cells(made, "score", "cost", "Latency_S", "latency_ms", "promt", "region") == [
        ["2", "3", "4", "5", "6", "EU"]
    ]


@pytest.mark.parametrize(
    ("name", "ours"),
    [("Quality", "quality"), ("qualtiy", "quality"), ("cost", "cost_usd"), ("Cost (USD)", "cost_usd"),
     ("score", "quality"), ("latency", "latency_s"), ("prompt_tokens", "input_tokens"),
     ("completionTokens", "output_tokens"),
     ("Question", "prompt"), ("SampleID", "sample_id"), ("reasoning_effort", "effort"), ("is_correct", "quality"),
     ("latency_ms", None), ("cost_cents", None), ("cost_per_1k", None), ("quality_pct", None), ("region", None),
     ("signal_score", None), ("quality", None), ("log", None), ("ticket", None), ("customer", None)],
)  # fmt: skip
def test_which_of_ours_a_name_may_be(name: str, ours: str | None) -> None:
    """A unit other than ours is no other name for it: its figures would be wrong."""
    assert ours_for(name) == ours


def test_no_name_of_ours_is_taken_for_another() -> None:
    assert look_alikes(OURS) == {} and set(OURS) <= LIKELY


def test_a_wide_table_has_a_row_for_each_model_that_was_run(tmp_path: Path) -> None:
    """An empty cell is no outcome, and never quality 0."""
    for wide in (["gpt,claude"], ["gpt", "claude"], "[gc]*"):
        with pytest.warns(RouterLabWarning, match=r"cells without a quality make no row \(1 of gpt\)"):
            made = collect(
                [table(tmp_path, WIDE)], wide=wide, wide_columns=COSTS, map={"suite": "eval_name"}
            )[0]
        assert cells(
            made, "suite", "sample_id", "model", "effort", "prompt", "quality", "cost_usd", "oracle"
        ) == [
            ["mmlu", "1", "claude", None, "hi", 0.0, 0.2, "gpt"],
            ["mmlu", "1", "gpt", None, "hi", 1.0, 0.1, "gpt"],
            ["mmlu", "2", "claude", None, "ho", 1.0, 0.3, "claude"],
        ]


def test_a_wide_pattern_and_efforts_that_no_name_is_split_for(tmp_path: Path) -> None:
    head = "sample_id,a@high_score,a_score,org/b:1_score,a@high_cost,a_cost,org/b:1_cost\n"
    text = head + "1,1,0.5,0,3,2,1\n2,0,NA,1,3,2,1\n"
    options: dict[str, Any] = {
        "wide": "{model}_score",
        "wide_columns": {"cost_usd": "{model}_cost"},
        "suite": "s",
    }
    with pytest.warns(RouterLabWarning, match=r"\(1 of a\)"):
        plain = collect([table(tmp_path, text)], **options)[0]
    assert set(plain["model"]) == {"a@high", "a", "org/b:1"} and plain["effort"].isna().all()
    named = {"a@high": ("a", "high"), "org/b:1": ("b", None)}
    with pytest.warns(RouterLabWarning, match=r"\(1 of a\)"):
        made = collect([table(tmp_path, text)], **options, candidates=named)[0]
    assert cells(made, "sample_id", "model", "effort", "quality", "cost_usd") == [
        ["1", "a", None, 0.5, 2.0], ["1", "a", "high", 1.0, 3.0], ["1", "b", None, 0.0, 1.0],
        ["2", "a", "high", 0.0, 3.0], ["2", "b", None, 1.0, 1.0],
    ]  # fmt: skip


def test_a_wide_table_with_statuses_keeps_what_failed(tmp_path: Path) -> None:
    text = "sample_id,a,b,a status,b status\n1,1,,ok,infra\n2,0,0.5,error,ok\n"
    made = collect(
        [table(tmp_path, text)], wide=["a", "b"], wide_columns={"status": "{model} status"}, suite="s"
    )[0]
    assert cells(made, "sample_id", "model", "quality", "status") == [
        ["1", "a", 1.0, "ok"], ["1", "b", None, "infra"], ["2", "a", 0.0, "error"], ["2", "b", 0.5, "ok"],
    ]  # fmt: skip


def test_a_mistake_in_a_wide_table_names_its_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"t\.csv: line 3, column b: `quality` is 'good'; it must be a number"
    ):
        collect([table(tmp_path, "sample_id,a,b\n1,1,0\n2,1,good\n")], wide="a,b", suite="s")


def test_a_suite_is_for_tables_that_have_none(tmp_path: Path) -> None:
    """Or that have it in some rows."""
    without = table(tmp_path, "sample_id,model,quality\n1,m,1\n")
    same = table(tmp_path, "suite,sample_id,model,quality\n007,2,m,1\n,3,m,1\n", "same.csv")
    assert collect([without, same], suite="007")[0]["suite"].tolist() == ["007"] * 3


def test_options_for_tables_need_a_table(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(InputError, match=r"the options for tables .* need a table, and no source is one"):
        collect([tmp_path / "logs"], suite="s")
    log = table(tmp_path, '{"kind": "decision", "id": "a"}\n', "decisions.jsonl")
    with pytest.raises(InputError, match="is a log of decisions and has our columns; collect it apart"):
        collect([log], suite="s")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["quality=score,cost_usd=cost"], {"quality": "score", "cost_usd": "cost"}),
     (["quality=score", "cost_usd=cost"], {"quality": "score", "cost_usd": "cost"}),
     (["quality=score (0,1),prompt=a=b"], {"quality": "score (0,1)", "prompt": "a=b"}),
     (["quality=score", "quality=score"], {"quality": "score"})],
)  # fmt: skip
def test_pairs_of_a_command_line(texts: list[str], expected: dict[str, str]) -> None:
    assert pairs(texts, "--map") == expected


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["quality"], "--map quality: must be OURS=YOURS"), (["=score"], "must be OURS=YOURS"),
     (["quality=score", "quality=grade"], "--map: quality cannot be both 'score' and 'grade'")],
)  # fmt: skip
def test_a_command_line_that_is_no_pair(tmp_path: Path, texts: list[str], said: str) -> None:
    words = [word for text in texts for word in ("--map", text)]
    result = CliRunner().invoke(
        cli, ["collect", str(table(tmp_path, LONG)), "--out", str(tmp_path / "o.parquet"), *words]
    )
    assert result.exit_code == 2 and said in result.stderr, result.output
    assert not (tmp_path / "o.parquet").exists()


HEAD = "suite{0}sample_id{0}model{0}prompt{0}quality{0}cost_usd\n"
DIALECTS = [
    ("semicolons", "t.csv", HEAD.format(";") + "q;007;m;a, b;0,5;1,25\nq;2;m;c;1;0,000001\n", "utf-8", {},
     "';' between columns, decimal commas"),
    ("quoted commas", "t.csv", HEAD.format(",") + 'q,007,m,"a, b","0,5","1,25"\nq,2,m,c,1,"0,000001"\n', "utf-8", {},
     "decimal commas"),
    ("tabs", "t.tsv", HEAD.format("\t") + "q\t007\tm\ta, b\t.5\t1.25\nq\t2\tm\tc\t1\t1e-6\n", "utf-8", {},
     "tab between columns"),
    ("pipes", "t.txt", HEAD.format("|") + "q|007|m|a, b|0.5|1.25\nq|2|m|c|1|1E-06\n", "utf-8", {},
     "'|' between columns"),
    ("UTF-16", "t.csv", HEAD.format("\t") + "q\t007\tm\ta, b\t0.5\t1.25\nq\t2\tm\tc\t1\t.000001\n", "utf-16", {},
     "tab between columns, text in UTF-16"),
    ("Windows", "t.csv", HEAD.format(";") + "q;007;m;a, b;0,5;1,25\r\nq;2;m;c;1;1e-6\r\n", "utf-8-sig", {},
     "';' between columns, decimal commas"),
    ("said", "t.csv", HEAD.format("#") + "q#007#m#a, b#0,5#1,25\nq#2#m#c#1#1e-6\n", "utf-8",
     {"delimiter": "#", "decimal": ","}, "'#' between columns, decimal commas"),
    ("Excel", "t.csv", "sep=;\r\n" + HEAD.format(";") + "q;007;m;a, b;0,5;1,25\r\nq;2;m;c;1;1e-6\r\n", "utf-8-sig", {},
     "';' between columns, decimal commas"),
    ("plain", "t.csv", HEAD.format(",") + 'q,007,m,"a, b",0.5,1.25\nq,2,m,c,1,1e-6\n', "utf-8", {}, ""),
    ("old Mac", "t.csv", HEAD.format(",")[:-1] + '\rq,007,m,"a, b",0.5,1.25\rq,2,m,c,1,1e-6\r', "utf-8", {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "encoding", "options", "found"), [d[1:] for d in DIALECTS], ids=[d[0] for d in DIALECTS]
)
def test_a_dialect_is_found_or_named_and_said(
    tmp_path: Path, name: str, text: str, encoding: str, options: dict[str, Any], found: str
) -> None:
    path = table(tmp_path, text.encode(encoding), name)
    made = collect([path], **options)[0]
    assert cells(made, "sample_id", "prompt", "quality", "cost_usd") == [
        ["007", "a, b", 0.5, 1.25], ["2", "c", 1.0, 0.000001],
    ]  # fmt: skip
    assert made.attrs.get("notes", []) == ([f"{path}: {found}"] if found else [])


START = "suite;sample_id;model;quality;input_tokens\n"
UNSURE: list[tuple[str | bytes, dict[str, Any], str]] = [
    ("a,b;c\n1,2;3\n", {}, "its header may be split by ',' \\(2 columns\\) or ';' .*`collect --delimiter ';'`"),
    (START + "q;a;m;0,5;1.5\n", {}, "line 2: `quality` '0,5' and line 2: `input_tokens` '1.5' write decimals in two"),
    (START + "q;a;m;1;1,234\n", {}, "line 2: `input_tokens` '1,234' may be a decimal comma or thousands"),
    (START + "q;a;m;1;1,234\n", {"decimal": "."}, "`input_tokens` is '1,234'; it must be a number: write 0.5 for 0,5"),
    (START + "q;a;m;1;1.234\n", {"decimal": ","}, "`input_tokens` '1.234' has a point, and the decimal sign is"),
    (START + "q;a;m;1;1,234,567\n", {}, "`input_tokens` is '1,234,567'; it must be a number"),
    (START + "q;a;m;1\n", {}, "line 2: has 4 cells, and the header has 5"),
    ("\n" + START + "q;\"a\n\";m;1;1\nq;b;m;1;1;1\n", {}, "line 5: has 6 cells, and the header has 5"),
    (START.replace("model", "suite"), {}, "column 'suite' is there more than once \\(columns 1 and 3\\)"),
    ("suite,sample_id,model,quality\nq,a,m,1\nq,é,m,1\n".encode("cp1252"), {},
     "line 3: byte 0xe9 is not UTF-8; `collect --encoding cp1252` reads most tables from Windows"),
    ("suite,sample_id,model,quality\n".encode("utf-16-le"), {}, "holds zero bytes, .*`collect --encoding utf-16-le`"),
    (START, {"encoding": "klingon"}, "encoding 'klingon' is not known"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "said"), UNSURE, ids=[said[:40] for _, _, said in UNSURE])
def test_what_may_be_two_things_is_refused(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=rf"t\.csv: .*{said}") as caught:
        collect([table(tmp_path, text)], **options)
    assert "\n" not in str(caught.value)


def test_encodings_are_read_when_named(tmp_path: Path) -> None:
    text = "suite,sample_id,model,quality\nq,é€,m,1\n"
    for encoding in ("cp1252", "utf-16-le"):
        made = collect([table(tmp_path, text.encode(encoding))], encoding=encoding)[0]
        assert made["sample_id"].tolist() == ["é€"]


def test_thousands_beside_a_clear_decimal_comma_are_decimals(tmp_path: Path) -> None:
    """One cell that can only be a decimal says what the commas of the file are."""
    made = collect([table(tmp_path, "suite;sample_id;model;quality;cost_usd\nq;a;m;0,5;1,234\nq;b;m;1;2\n")])[
        0
    ]
    assert cells(made, "quality", "cost_usd") == [[0.5, 1.234], [1.0, 2.0]]


def test_what_a_spreadsheet_leaves_behind_is_no_row_and_no_column(tmp_path: Path) -> None:
    made = collect([table(tmp_path, "suite, sample_id ,model,quality,\nq,a,m,1,\n,,,,\n,,,,\n")])[0]
    assert len(made) == 1 and not any(c.startswith("unnamed") for c in made.columns)
    made = collect([table(tmp_path, ",suite,sample_id,model,quality\n0,q,a,m,1\n")])[0]
    assert made["unnamed_1"].tolist() == ["0"]  # the index that pandas writes


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    path, out = table(tmp_path, WIDE.replace(",", ";").replace(".", ",")), tmp_path / "o.parquet"
    words = ["--wide", "gpt,claude", "--wide-column", "cost_usd={model}|total_cost", "--map", "suite=eval_name",
             "--candidate", "gpt", "openai/gpt-5", "low", "--candidate", "claude", "haiku", ""]  # fmt: skip
    result = CliRunner().invoke(cli, ["collect", str(path), "--out", str(out), *words, "--delimiter", ";"])
    assert result.exit_code == 0, result.output
    assert f"read as: {path}: ';' between columns, decimal commas" in result.stderr.splitlines()
    assert "warning: " in result.stderr and "3 outcomes: 3 ok" in result.stderr
    assert cells(read_outcomes(out), "model", "effort", "cost_usd") == [
        ["haiku", None, 0.2], ["openai/gpt-5", "low", 0.1], ["haiku", None, 0.3],
    ]  # fmt: skip


def test_a_table_by_tab_and_a_cell_beyond_the_limit_of_csv(tmp_path: Path) -> None:
    prompt = "long, " * 50_000
    text = f'suite\tsample_id\tmodel\tprompt\tquality\nq\ta\tm\t"{prompt}"\t1\n'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = collect([table(tmp_path, text)], delimiter="\t")[0]
    assert made["prompt"].tolist() == [prompt]


HEAD = "suite,sample_id,model,quality,prompt\n"
MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    (HEAD + 's,1,m,1,x\ns,2,m,1,"a\ns,3,m,0,x\n', {}, "line 3: a cell starts with a quote that never closes"),
    (HEAD + 's,1,m,1,"two\nlines"\ns,2,m,0,"say "hi" now"\n', {},
     "line 4: a cell starts with a quote that closes before"),
    ("s,1,m,1\ns,2,m,0\n", {}, "its first row, 's,1,m,1', names no columns"),
    ("suite;sample_id;model;quality;output_tokens\ns;1;m;1;1.234\n", {},
     "line 2: `output_tokens` '1.234' may be thousands; write 1234"),
    ("suite;sample_id;model;quality;output_tokens\ns;1;m;1;1\u202f234\n", {}, "write the digits alone, 1234 for 1 234"),
    ("suite,sample_id,model,quality,cost_usd\ns,1,m,1,0.02 USD\n", {}, "the number alone, in US dollars"),
    ("suite,sample_id,model,quality,epoch\ns,1,m,1,inf\n", {}, "`epoch` is inf; epochs count from 1"),
    ("suite,sample_id,gpt,haiku\ns,1,1,1\ns,2,1,50%\n", {"wide": ["gpt", "haiku"]},
     "line 3, column haiku: `quality` is '50%'"),
    ("suite,sample_id,gpt,haiku\ns,1,,NA\n", {"wide": ["gpt", "haiku"]},
     "no cell of gpt, haiku \\(--wide\\) holds a quality"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "said"), MALFORMED, ids=[said[:40] for _, _, said in MALFORMED])
def test_what_would_be_read_wrongly_is_refused_at_its_place(
    text: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        collect([table(tmp_path, text)], **options)


def test_thousandths_of_tokens_may_be_meant(tmp_path: Path) -> None:
    text = "suite,sample_id,model,quality,output_tokens\ns,1,m,1,1.234\n"
    assert collect([table(tmp_path, text)], decimal=".")[0]["output_tokens"].tolist() == [1.234]
    assert collect([table(tmp_path, text.replace("1.234", "2.34"))])[0]["output_tokens"].tolist() == [2.34]


def test_lines_are_counted_beside_a_very_long_cell(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 4: `quality` is 7"):
        collect([table(tmp_path, HEAD + f's,1,m,1,"{"x" * 200_000}\n"\ns,2,m,7,y\n')])


def test_rows_of_two_files_that_clash_are_named_by_their_files(tmp_path: Path) -> None:
    first, second = (
        table(tmp_path, HEAD + "s,1,m,1,x\n", "a.csv"),
        table(tmp_path, HEAD + "s,1,m,0,x\n", "b.csv"),
    )
    with pytest.raises(
        InputError, match=r"a row of \S*a\.csv and a row of \S*b\.csv: two different rows .*in quality"
    ):
        collect([first, second])


def test_a_parquet_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    columns = [pa.array(["s"]), pa.array(["1"]), pa.array(["m"]), pa.array([1.0]), pa.array([0.5])]
    pq.write_table(
        pa.table(columns, ["suite", "sample_id", "model", "quality", "quality"]), tmp_path / "t.parquet"
    )
    with pytest.raises(InputError, match=r"'quality' is there more than once \(columns 4 and 5\)"):
        collect([tmp_path / "t.parquet"])
