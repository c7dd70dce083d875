"""The house keeps its size: lines that a window shows, functions that a reader holds in his head."""

from pathlib import Path

from tests.bench.house import FUNCTION, P90, measured


def test_lines_and_functions_fit_a_window() -> None:
    house = measured()
    assert house.p90 <= P90
    assert house.functions == []


def test_what_is_measured_is_counted_by_hand(tmp_path: Path) -> None:
    """Ten lines: nine of three characters and one of eleven; a function of one line more than is allowed."""
    (tmp_path / "a.py").write_text("x=1\n\n" * 9 + "longer = 12\n")
    house = measured(tmp_path)
    assert house[:3] == (10, 10, 11)  # the tenth of ten is the 90th percentile's
    body = "    pass\n" * FUNCTION
    (tmp_path / "b.py").write_text(f"def f():\n{body}async def g():\n{body}    pass\n")
    assert measured(tmp_path).functions == [(FUNCTION + 2, "b.py g"), (FUNCTION + 1, "b.py f")]
    assert measured(tmp_path).statements == 10 + 2 + 2 * FUNCTION + 1
    assert measured(tmp_path).modules == []
    (tmp_path / "c.py").write_text("x=1\n" * 351)
    assert measured(tmp_path).modules == [(351, "c.py")]
