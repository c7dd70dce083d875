"""Functions that no machine changes, against tables, against scipy, and against themselves in other company."""

from __future__ import annotations

import ast
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import special

from router_lab.fit.fitters.neighbours import BITS, Near, Reach, departures, nearest
from router_lab.fit.limits import _tails
from router_lab.metrics import steady
from router_lab.racing.sequential import STAKES, log_mean
from tests.conftest import ROOT

RNG = np.random.default_rng(0)


def test_logarithm_and_exponential() -> None:
    spread = np.concatenate([10.0 ** RNG.uniform(-300, 300, 2000), RNG.uniform(0.5, 2, 2000), [1.0, 5e-324]])
    assert steady.log(spread) == pytest.approx(np.log(spread), rel=1e-15, abs=1e-16)
    near = np.concatenate([RNG.uniform(-0.999, 5, 2000), 10.0 ** RNG.uniform(-20, -1, 500)])
    assert steady.log1p(near) == pytest.approx(np.log1p(near), rel=2e-15, abs=0)
    wide = RNG.uniform(-700, 700, 4000)
    assert steady.exp(wide) == pytest.approx(np.exp(wide), rel=1e-15, abs=0)
    assert steady.log([1.0, 0.0, np.inf]).tolist() == [0.0, -np.inf, np.inf] and np.isnan(steady.log(-1.0))
    assert steady.exp([0.0, -800.0, -np.inf, 710.0]).tolist() == [1.0, 0.0, 0.0, np.inf]
    assert steady.log2([0.25, 8.0]).tolist() == pytest.approx([-2, 3], rel=1e-15)


def test_normal_distribution() -> None:
    z = RNG.uniform(-37, 8, 4000)
    assert steady.normal_below(z) == pytest.approx(special.ndtr(z), rel=1e-12, abs=0)
    p = np.concatenate([10.0 ** RNG.uniform(-300, -0.31, 1000), RNG.uniform(0, 1, 1000)])
    assert steady.normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-12, abs=1e-15)
    assert steady.normal_quantile([0.0, 0.5, 1.0]) == pytest.approx([-np.inf, 0, np.inf], abs=1e-15)
    assert float(steady.normal_quantile(0.975)) == pytest.approx(1.959963984540054, rel=1e-15)


@pytest.mark.parametrize("df", [1, 2, 3, 4.5, 5, 10, 33.25, 199, 200, 1000, 1e6])
def test_student_t(df: float) -> None:
    t = RNG.uniform(-8, 8, 500)
    assert steady.t_below(df, t) == pytest.approx(special.stdtr(df, t), rel=1e-9, abs=1e-14)
    for p in (0.55, 0.9, 0.975, 0.9999, 0.3, 1e-5):
        assert steady.t_quantiles(df, p) == pytest.approx(special.stdtrit(df, p), rel=1e-11)


def test_student_t_by_hand() -> None:
    """One degree of freedom is Cauchy's distribution; with two, below t lies (1 + t / sqrt(2 + t^2)) / 2."""
    assert steady.t_quantiles(1, 0.75) == pytest.approx(1, rel=1e-15)
    assert float(steady.t_below(2, 1.0)) == pytest.approx((1 + 1 / math.sqrt(3)) / 2, rel=1e-14)
    assert steady.t_quantiles(2, 0.95) == pytest.approx(0.9 * math.sqrt(2 / (1 - 0.81)), rel=1e-14)
    assert [steady.t_quantiles(9, 0.5), float(steady.t_below(9, 0.0))] == pytest.approx([0.0, 0.5], abs=1e-15)


def test_a_quantile_does_not_depend_on_those_beside_it() -> None:
    """Else one fit after another in one process would not be the fit alone."""
    many = np.concatenate([np.arange(1.0, 400.0), RNG.uniform(1, 300, 200)])
    together = steady._t_quantiles(many, 0.9321)
    alone = [float(steady._t_quantiles(np.array([df]), 0.9321)[0]) for df in many[::7]]
    assert together[::7].tolist() == alone
    t = np.linspace(0.1, 4, len(many))
    assert steady.t_below(many, t)[::7].tolist() == [
        float(steady.t_below(a, b)) for a, b in zip(many[::7], t[::7], strict=True)
    ]
    assert steady.t_quantiles(many[:3].reshape(3, 1), 0.9321).tolist() == together[:3].reshape(3, 1).tolist()


def test_stakes_are_in_even_ratios() -> None:
    assert np.diff(np.log(STAKES)) == pytest.approx((math.log(0.95) - math.log(0.02)) / 7, rel=2e-3)


def test_mean_of_logarithms_by_hand() -> None:
    logs = np.array([[math.log(1), -np.inf, -np.inf], [math.log(3), math.log(4), -np.inf]])
    assert log_mean(logs) == pytest.approx([math.log(2), math.log(2), -np.inf])
    assert log_mean(np.array([1000.0, 1000.0])) == pytest.approx(1000)


def test_percentiles_as_pandas_has_them() -> None:
    values, cell = RNG.lognormal(size=500), RNG.integers(0, 9, 500) * 3
    cells, tail, count = _tails(values, cell)
    grouped = pd.Series(values).groupby(cell)
    assert cells.tolist() == list(grouped.groups) and count.tolist() == grouped.size().tolist()
    assert tail == pytest.approx(grouped.quantile(0.99).to_numpy(), rel=1e-14)
    assert _tails(np.array([1.0, 3.0]), np.array([5, 5]))[1].tolist() == [1 + 2 * 0.99]


def test_of_equally_near_rows_the_earlier_are_neighbours() -> None:
    """Forty rows that are all alike: numpy's partition keeps other ones of equals with AVX-512 than without."""
    unit = np.full((41, 1), 2.0**BITS)
    unit[40] = 0
    known = np.arange(1, 41)
    near = nearest(sp.csr_array(unit), np.array([0, 40]), known, np.arange(41), 5)
    assert near.rows.tolist() == [[1, 2, 3, 4, 5]] * 2
    assert near.closeness.tolist() == [[1.0] * 5, [0.0] * 5]


def test_departures_are_exact_sums() -> None:
    close = np.array([[0.5, 0.25, 0.125]])
    residual = np.array([[0.1], [0.3], [-0.2]])
    found = departures(Near(np.array([[2, 0, 1]]), close), residual, np.ones((3, 1)), Reach(3, 0.125))
    wanted = (Fraction(-1, 10) + Fraction(1, 40) + Fraction(3, 80)) / (Fraction(7, 8) + Fraction(1, 8))
    assert found[0, 0] == pytest.approx(float(wanted), abs=0.3 * 2.0**-30)  # residuals are rounded to 31 bits


BANNED = {
    "exp", "log", "log2", "log10", "log1p", "expm1", "power", "float_power", "logaddexp", "geomspace", "logspace",
    "dot", "vdot", "inner", "matmul", "einsum", "tensordot", "cov", "corrcoef", "polyfit", "pow", "cbrt", "hypot",
    "sin", "cos", "tan", "tanh", "arctan", "argpartition", "interp", "convolve", "correlate",
}  # fmt: skip
PLACES = ("fit", "metrics", "racing", "outcomes", "gates", "runtime", "replay.py", "played.py", "plan.py")
EXACT = {
    ("fit/sums.py", "@"), ("fit/rows.py", "@"), ("fit/fitters/neighbours.py", "@"),
    ("racing/sequential.py", "@"), ("runtime/predict.py", "@"), ("runtime/vectors.py", "@"),
}  # fmt: skip
"""Products of whole numbers, or with sparse matrices of ones: their sums are exact, or in the order of the rows."""


def uses(path: Path) -> set[tuple[str, str]]:
    """What a file does that a processor may change: (file, function or operator)."""
    found = set()
    name = path.relative_to(ROOT / "router_lab").as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.add((name, "@"))
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Pow)
            and not isinstance(node.left, ast.Constant)
        ):
            found.add((name, "**"))
        if isinstance(node, ast.Attribute) and node.attr in BANNED:
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner != "steady":
                found.add((name, node.attr))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("scipy.special", "scipy.linalg")
        ):
            found.add((name, str(node.module)))
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "argsort"
        ):
            kind = [k.value for k in node.keywords if k.arg == "kind"]
            if not (kind and isinstance(kind[0], ast.Constant) and kind[0].value == "stable"):
                found.add((name, "argsort"))
    return found


def test_nothing_that_a_processor_may_change_decides() -> None:
    """What decides or is written is computed in these places; whoever needs one of these functions takes `steady`'s, or
    sums whole numbers, and says so here."""
    files = [f for place in PLACES for f in sorted((ROOT / "router_lab").glob(f"{place}/**/*.py"))]
    files += [ROOT / "router_lab" / place for place in PLACES if place.endswith(".py")]
    found = set().union(*(uses(path) for path in files))
    assert len(files) > 60
    assert found - EXACT == set()
    assert EXACT - found == set()
