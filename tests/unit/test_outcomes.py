"""The outcomes table: what is refused, what is filled in, and that nothing depends on the order of rows."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.outcomes import (
    OutcomeMatrix,
    read_outcomes,
    split_column,
    split_of,
    validate_outcomes,
    write_outcomes,
)
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.values import plain


def table(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "suite": ["s", "s", "s", "s"],
        "sample_id": ["1", "1", "2", "2"],
        "model": ["a", "b", "a", "b"],
        "quality": [1.0, 0.0, 0.5, 1.0],
    }
    return pd.DataFrame({**base, **columns})


REFUSED = [
    (table().drop(columns="quality"), "column quality is missing"),
    (table().iloc[:0], "has no rows"),
    (table(quality=[1.7, 0, 0, 0]), r"row 0: `quality` is 1.7; it must lie in \[0, 1\]"),
    (table(quality=[1, 0, -0.1, 0]), "row 2: `quality` is -0.1"),
    (table(quality=[1, None, 0, 0]), "row 1: `quality` is null with status 'ok'"),
    (table(quality=[1, "good", 0, 0]), "row 1: `quality` is 'good'; it must be a number"),
    (
        table(status=["ok", "okay", "ok", "ok"]),
        "row 1: `status` is 'okay'; known: ok, error, limit, infra, budget",
    ),
    (table(cost_usd=[1, -2, 0, 0]), "row 1: `cost_usd` is -2.0"),
    (table(epoch=[0, 1, 1, 1]), "row 0: `epoch` is 0"),
    (table(model=["a", None, "a", "b"]), "row 1: `model` is empty"),
    (table(model=["a", "a", "a", "b"]), "two different rows for suite 's', sample '1', epoch 1, a; keep one"),
    (
        table(settings_sha=["x" * 64, "y" * 64, "z" * 64, "y" * 64]),
        "candidate a stands for two settings",
    ),
]


@pytest.mark.parametrize(("frame", "expected"), REFUSED, ids=[e[:40] for _, e in REFUSED])
def test_a_broken_rule_is_named(frame: pd.DataFrame, expected: str) -> None:
    with pytest.raises(InputError, match=f"^o: .*{expected}"):
        validate_outcomes(frame, where="o")


def test_nothing_is_written_when_refused(tmp_path: Path) -> None:
    target = tmp_path / "o.parquet"
    write_outcomes(table(), target)
    before = target.read_bytes()
    with pytest.raises(InputError):
        write_outcomes(table(quality=[2, 0, 0, 0]), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["o.parquet"]


def test_defaults_and_order() -> None:
    out = validate_outcomes(table().iloc[::-1])
    assert list(out["sample_id"]) == ["1", "1", "2", "2"]
    assert list(out["model"]) == ["a", "b", "a", "b"]
    assert (out["epoch"] == 1).all()
    assert (out["status"] == "ok").all()
    assert list(out["group"]) == ["1", "1", "2", "2"]  # no prompt: each sample is a cluster of its own


def test_equal_prompts_are_one_cluster_whatever_else_is_in_the_table() -> None:
    frame = table(prompt=["p", "p", "p", "p"])
    assert validate_outcomes(frame)["group"].nunique() == 1
    alone = validate_outcomes(frame.iloc[:1])["group"].iloc[0]
    assert alone == validate_outcomes(frame)["group"].iloc[0]


def test_exact_copies_are_dropped() -> None:
    assert len(validate_outcomes(pd.concat([table(), table()]))) == 4


def test_rows_that_are_not_evidence_carry_no_quality() -> None:
    out = validate_outcomes(table(status=["ok", "infra", "budget", "ok"], quality=[1, 1, None, 1]))
    assert out["quality"].isna().tolist() == [False, True, True, False]


def test_attrs_and_unknown_columns_survive_a_file(tmp_path: Path) -> None:
    frame = table(mine=[1, 2, 3, 4])
    frame.attrs["candidates"] = [{"model": "a", "effort": None, "request": {"arguments": {"seed": 1}}}]
    back = read_outcomes(write_outcomes(frame, tmp_path / "o.parquet"))
    assert back.attrs["candidates"] == frame.attrs["candidates"]
    assert list(back["mine"]) == [1, 2, 3, 4]


def test_attrs_outlive_pandas_own_way_of_reading_and_writing(tmp_path: Path) -> None:
    frame = table()
    frame.attrs["candidates"] = [{"model": "a", "effort": None, "prices": {"input": 1.0, "output": 4.0}}]
    plain = pd.read_parquet(write_outcomes(frame, tmp_path / "o.parquet"))
    plain[plain["sample_id"] == "1"].to_parquet(tmp_path / "part.parquet")
    part = read_outcomes(tmp_path / "part.parquet")
    assert len(part) == 2 and part.attrs == {"candidates": frame.attrs["candidates"]}


def test_a_file_that_lost_what_is_known_of_its_candidates_says_so(tmp_path: Path) -> None:
    """Only one that pandas wrote: `collect` keeps all that there is, and a table without prices of its own is whole."""
    lost = tmp_path / "lost.parquet"
    table().to_parquet(lost)
    with pytest.warns(RouterLabWarning) as said:
        read_outcomes(lost)
    assert str(said[0].message) == (
        f"{lost}: was written by pandas alone and holds no prices and no request settings of its candidates, so a "
        "policy fitted on it hands out no request arguments and knows no prices (nor does a gate on price_drift); to "
        "keep them, change what `router_lab.outcomes.read_outcomes` gives and save it by `write_outcomes`"
    )
    assert len(said) == 1
    read_outcomes(write_outcomes(table(), tmp_path / "ours.parquet"))
    shown = CliRunner().invoke(cli, ["plan", str(lost), "--margin", "0.03"])
    assert shown.exit_code == 0 and shown.stderr.startswith(f"warning: {lost}: was written by pandas alone")
    assert shown.stderr.count("\n") == 1


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    path.write_text("suite,sample_id\n")
    with pytest.raises(InputError, match=r"o\.parquet: is not a Parquet file.*router-lab collect"):
        read_outcomes(path)
    with pytest.raises(InputError, match="no such file"):
        read_outcomes(tmp_path / "nowhere.parquet")


def test_matrix_by_hand() -> None:
    frame = validate_outcomes(
        pd.DataFrame(
            {
                "suite": ["t", "s", "s", "s", "s"],
                "sample_id": ["9", "1", "1", "2", "2"],
                "epoch": [1, 1, 2, 1, 1],
                "model": ["m", "m", "m", "m", "m"],
                "effort": ["low", "low", "low", "low", None],
                "quality": [1.0, 0.0, 1.0, 0.25, None],
                "cost_usd": [3.0, 1.0, None, 2.0, 5.0],
                "status": ["ok", "ok", "error", "ok", "infra"],
            }
        )
    )
    m = OutcomeMatrix.from_frame(frame)
    # The infra row is no evidence of a candidate.
    assert [(c.model, c.effort) for c in m.candidates] == [("m", "low")]
    assert m.suites == ("s", "t")
    assert m.sample_id == ("1", "2", "9")
    np.testing.assert_array_equal(m.quality, [[0.5], [0.25], [1.0]])
    # A null cost leaves the cost mean, not quality.
    np.testing.assert_array_equal(m.cost_usd, [[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(m.epochs, [[2], [1], [1]])
    part = m.take(np.array([False, True, True]))
    assert part.sample_id == ("2", "9")
    np.testing.assert_array_equal(part.suite, [0, 1])


@given(st.text(max_size=20), st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_test_share_only_adds(suite: str, group: str, a: float, b: float) -> None:
    small, large = sorted((a, b))
    assert split_of(suite, group, small) == "develop" or split_of(suite, group, large) == "test"


def test_split_share_and_agreement() -> None:
    frame = validate_outcomes(
        pd.DataFrame({"suite": "s", "sample_id": [str(i) for i in range(5000)], "model": "m", "quality": 1.0})
    )
    splits = split_column(frame)
    assert splits.tolist() == [split_of("s", g) for g in frame["group"]]
    assert abs((splits == "test").mean() - 0.2) < 0.02  # 3.5 standard errors; the hash is fixed


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)))
def test_same_table_same_bytes_whatever_the_row_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    frame = pd.DataFrame(
        {
            "suite": ["s"] * 6 + ["t"] * 6,
            "sample_id": [str(i // 2) for i in range(12)],
            "model": ["a", "b"] * 6,
            "effort": [None, "low"] * 6,
            "quality": np.linspace(0, 1, 12),
        }
    )
    folder = tmp_path_factory.mktemp("same")
    one = write_outcomes(frame, folder / "one.parquet").read_bytes()
    two = write_outcomes(frame.iloc[order], folder / "two.parquet").read_bytes()
    assert one == two


@pytest.mark.parametrize("column", ["cost_usd", "latency_s", "output_tokens", "check"])
@pytest.mark.parametrize(
    "value",
    [pd.Timedelta(seconds=1), pd.Timestamp("2026-01-01"), np.timedelta64(1, "s"), 1j, [1.0], "\ud800"],
    ids=["span", "moment", "numpy span", "complex", "list", "half a character"],
)
def test_what_pandas_would_make_a_number_of_is_none(column: str, value: object) -> None:
    cells = pd.Series([value, None, None, None], dtype=object)
    with pytest.raises(InputError, match=f"row 0: `{column}` is .*; it must be"):
        validate_outcomes(table(**{column: cells}))


@pytest.mark.parametrize("dtype", ["timedelta64[ns]", "datetime64[ns]", "complex128"])
def test_columns_of_spans_moments_and_complex_numbers_are_no_numbers(dtype: str) -> None:
    with pytest.raises(InputError, match=r"row 0: `latency_s` is .*; it must be a number"):
        validate_outcomes(table(latency_s=pd.Series([1, 2, 3, 4]).astype(dtype)))


def test_fractions_are_numbers_and_what_no_float_holds_is_refused() -> None:
    cells = pd.Series([Fraction(1, 4), Decimal("0.50"), np.float32(0.125), Decimal("NaN")], dtype=object)
    assert validate_outcomes(table(cost_usd=cells))["cost_usd"].fillna(-1).tolist() == [0.25, 0.5, 0.125, -1]
    with pytest.raises(InputError, match="`output_tokens` is inf; it must be finite"):
        validate_outcomes(table(output_tokens=pd.Series([10**400, 1, 1, 1], dtype=object)))
    with pytest.raises(InputError, match=r"`cost_usd` is Decimal\('sNaN'\); it must be a number"):
        validate_outcomes(table(cost_usd=pd.Series([Decimal("sNaN"), 1, 1, 1], dtype=object)))


@pytest.mark.parametrize("epoch", [float("inf"), 1e20, 2.0**53])
def test_an_epoch_that_no_integer_holds_is_refused(epoch: float) -> None:
    with pytest.raises(InputError, match=r"row 0: `epoch` is .*; epochs count from 1"):
        validate_outcomes(table(epoch=[epoch, 1, 1, 1]))


def test_a_frame_with_a_column_twice_is_refused_by_its_places() -> None:
    doubled = pd.concat([table(), table()[["quality"]]], axis=1)
    with pytest.raises(
        InputError, match=r"outcomes: column 'quality' is there more than once \(columns 4 and 5\)"
    ):
        validate_outcomes(doubled)


VALUES = [0, 1, True, 0.5, -0.0, -1e-12, 1 + 1e-12, 2**53 + 1, 10**400, 5e-324, float("nan"), float("inf"), -1, 1j,
          np.float16(0.5), np.int8(1), np.bool_(True), np.longdouble("0.5"), np.timedelta64(1, "s"), Decimal("0.5"),
          Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Fraction(1, 3), pd.NA, pd.NaT, pd.Timedelta(1), [1],
          {}]  # fmt: skip


@pytest.mark.parametrize("column", ["quality", "output_tokens", "turns", "cost_usd", "latency_s", "check"])
@pytest.mark.parametrize("value", VALUES, ids=[repr(v)[:20] for v in VALUES])
def test_the_decision_log_takes_what_a_table_takes_and_nothing_else(column: str, value: object) -> None:
    cells = pd.Series([value, *[1.0] * 3], dtype=object)
    try:
        logged = plain({column: value}, "log")
    except InputError:
        with pytest.raises(InputError, match=f"`{column}` is "):
            validate_outcomes(table(**{column: cells}))
    else:
        read = validate_outcomes(table(**{column: cells}))[column].iloc[0]
        assert (logged[column] == read) if column in logged else pd.isna(read)


def test_copies_of_a_table_share_what_its_attrs_list(tmp_path: Path) -> None:
    frame = pd.DataFrame([{"suite": "q", "sample_id": "1", "model": "m", "quality": 1.0}])
    frame.attrs["candidates"] = [{"model": "m", "effort": None, "request": {"system": "long " * 1000}}]
    table = validate_outcomes(frame)
    assert table.attrs == frame.attrs
    assert table[["suite"]].attrs["candidates"] is table.attrs["candidates"]
    write_outcomes(table, tmp_path / "o.parquet")
    again = read_outcomes(tmp_path / "o.parquet")
    assert again.attrs["candidates"] == frame.attrs["candidates"]
    assert again.copy().attrs["candidates"] is again.attrs["candidates"]
