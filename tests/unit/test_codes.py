"""Rows by whole numbers: the same rows as by their texts, in the same order, and no copy of a table in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from router_lab.metrics.estimate import dense
from router_lab.outcomes import OutcomeMatrix, by_row, scored_figures, validate_outcomes
from router_lab.outcomes.candidates import by_candidate, candidates_of, whose
from router_lab.outcomes.codes import coded, coded_samples, coded_texts, each, has_doubles, ranked, sorting
from router_lab.runtime.model import Candidate

CELLS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ab", "", "é", None]), st.sampled_from(["x", "a", None]))
)


def table(rows: list[tuple[str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["one", "other"], dtype="str")


def outcomes() -> pd.DataFrame:
    """Two suites with a sample of one name each, two candidates, one row that was kept from a score."""
    frame = pd.DataFrame({
        "suite": ["b", "a", "b", "a", "a"], "sample_id": ["1", "1", "1", "2", "1"],
        "model": ["m", "m", "k", "k", "k"], "effort": ["low", None, None, None, None],
        "prompt": ["two", "one", "two", "three", "one"], "quality": [1.0, 0.5, 0.25, np.nan, 0.75],
        "status": ["ok", "ok", "ok", "infra", "ok"],
    })  # fmt: skip
    return validate_outcomes(frame)


def test_codes_count_in_the_order_of_first_rows() -> None:
    found = coded(
        *(table([("b", "x"), ("a", "x"), ("b", None), ("b", "x"), ("b", None)])[c] for c in ("one", "other"))
    )
    assert found.code.tolist() == [0, 1, 2, 0, 2]
    assert found.first.tolist() == [0, 1, 2]
    assert found.place("pqr", {"p": 7, "r": 9}).tolist() == [7, -1, 9, 7, 9]
    assert found.spread(["p", None, "r"], pd.RangeIndex(5)).tolist() == ["p", None, "r", "p", "r"]
    assert each(3).code.tolist() == [0, 1, 2]


@given(CELLS)
def test_rows_have_one_code_exactly_where_their_cells_are_equal(
    rows: list[tuple[str | None, str | None]],
) -> None:
    frame = table(rows)
    found = coded(frame["one"], frame["other"])
    known: dict[tuple[str | None, str | None], int] = {}
    assert found.code.tolist() == [known.setdefault(row, len(known)) for row in rows]
    assert [rows[at] for at in found.first] == list(known)


@given(CELLS)
def test_ranks_sort_rows_as_their_texts_do(rows: list[tuple[str | None, str | None]]) -> None:
    """Missing cells first; None of an order that rows have."""
    frame = table(rows)
    ranks = ranked(frame, ["one", "other"])
    keys = [tuple((cell is not None, cell or "") for cell in row) for row in rows]
    expected = sorted(range(len(rows)), key=keys.__getitem__)
    order = sorting(ranks)
    assert (list(range(len(rows))) if order is None else order.tolist()) == expected
    assert (order is None) == (keys == sorted(keys))
    assert has_doubles(ranks, order) == (len(set(rows)) < len(rows))


@given(st.lists(st.sampled_from([0, 1, 2, 5, 9, 2**40, -3])))
def test_dense_codes_are_places_among_those_that_occur(codes: list[int]) -> None:
    assert dense(np.array(codes, np.int64)).tolist() == [sorted(set(codes)).index(code) for code in codes]


def test_candidates_by_row() -> None:
    frame = outcomes()
    assert frame["model"].tolist() == ["k", "m", "k", "k", "m"]
    low, plain, k = Candidate("m", "low"), Candidate("m"), Candidate("k")
    assert by_row(frame) == [k, plain, k, k, low]
    assert candidates_of(frame) == (k, plain, low)
    assert whose(frame).places([low, k]).tolist() == [1, -1, 1, 1, 0]
    assert [(who, len(rows)) for who, rows in by_candidate(frame)] == [(k, 3), (plain, 1), (low, 1)]


def test_samples_of_one_name_in_two_suites_are_two() -> None:
    frame = outcomes()
    found, keys = coded_samples(frame)
    assert keys == [("a", "1"), ("a", "2"), ("b", "1")]
    assert found.code.tolist() == [0, 0, 1, 2, 2]
    assert coded_texts(frame["suite"], ["b", "c"]).tolist() == [-1, -1, -1, 0, 0]


def test_a_matrix_knows_the_rows_of_its_samples() -> None:
    """Sample 2 of suite a was never scored, so it is in no matrix."""
    frame = outcomes()
    data = OutcomeMatrix.from_frame(frame)
    assert data.sample_id == ("1", "1")
    assert data.quality.tolist()[0][:2] == [0.75, 0.5]
    assert data.places_in(frame).tolist() == [0, 0, -1, 1, 1]
    assert data.rows_in(frame, np.array([False, True])).tolist() == [False, False, False, True, True]


def test_figures_are_of_scored_rows_and_without_long_texts() -> None:
    found = scored_figures(outcomes())
    assert found["quality"].tolist() == [0.75, 0.5, 0.25, 1.0]
    assert "prompt" not in found
    assert "group" in found


def test_a_table_in_order_is_validated_without_a_copy_of_its_texts() -> None:
    frame = outcomes()
    again = validate_outcomes(frame)
    pd.testing.assert_frame_equal(again, frame)
    for column in ("prompt", "group", "sample_id"):
        assert texts_at(again[column]) == texts_at(frame[column])


def texts_at(values: pd.Series[str]) -> list[int]:
    """Where the texts of a column lie in memory."""
    held = values.array.__arrow_array__()
    chunks = held.chunks if hasattr(held, "chunks") else [held]
    return [chunk.buffers()[2].address for chunk in chunks]
