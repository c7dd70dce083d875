"""Nearest neighbours by hand: who is near, how far they are followed, and that nobody is their own."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.fit.design import Design
from router_lab.fit.fitters import FITTERS
from router_lab.fit.fitters.knn import Neighbours
from router_lab.fit.fitters.neighbours import Near, Neighbourhood, Reach, departures, nearest, unit_rows
from router_lab.fit.folds import group_folds
from router_lab.fit.task import Task
from router_lab.outcomes import OutcomeMatrix
from tests.fit_worlds import EASY, two_kinds


def test_departures_by_hand() -> None:
    near = Near(np.array([[1, 2], [2, 1], [0, 1]]), np.array([[1.0, 0.5], [0.0, 0.0], [0.5, 0.2]]))
    residual = np.array([[0.9], [0.4], [-0.2]])
    weights = np.array([[0.0], [1.0], [1.0]])
    told = departures(near, residual, weights, Reach(2, 0.5))
    # (1 * .4 - .5 * .2) / (1 + .5 + .5); nobody near; row 0 is missing, so .2 * .4 / (.2 + .5).
    assert told[:, 0] == pytest.approx([0.15, 0.0, 0.08 / 0.7])
    assert departures(near, residual, weights, Reach(1, 0.5))[:, 0] == pytest.approx([0.4 / 1.5, 0.0, 0.0])
    assert np.abs(departures(near, residual, weights, Reach(2, 1e9))).max() < 1e-9


def test_the_same_words_have_a_cosine_of_one_and_a_group_is_nobody_of_its_own() -> None:
    design = Design.of(["alpha beta", "alpha beta", "gamma delta", "alpha beta", "alpha epsilon"])
    unit = unit_rows(design)
    every = np.arange(5)
    near = nearest(unit, every, every, np.array([0, 0, 1, 2, 3]), 2)
    assert near.closeness[0, 0] == pytest.approx(1.0) and near.rows[0, 0] == 3
    assert set(near.rows[3, :2].tolist()) == {0, 1} and near.closeness[3] == pytest.approx([1.0, 1.0])
    assert near.closeness[2] == pytest.approx([0.0, 0.0])
    assert near.rows[4, 0] in (0, 1, 3) and 0 < near.closeness[4, 0] < 0.5


def test_vectors_count_half_beside_words_and_alone_without() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [np.nan, np.nan]])
    design = Design.of(["alpha beta", "gamma delta", None, "alpha beta"], vectors)
    near = nearest(unit_rows(design), np.arange(4), np.arange(4), np.arange(4), 3)
    first = dict(zip(near.rows[0].tolist(), near.closeness[0].tolist(), strict=True))
    # Row 1: other words, the same vector, so half; row 3: the same words and no vector, so 1 / sqrt(2).
    assert first[1] == pytest.approx(0.5) and first[3] == pytest.approx(0.5**0.5) and first.get(2, 0.0) == 0.0


def world(n: int = 120) -> tuple[Task, OutcomeMatrix]:
    data = OutcomeMatrix.from_frame(two_kinds(n))
    return Task.of(data, Design.of(data.prompts, data.vectors)), data


def test_no_row_teaches_itself_nor_its_group() -> None:
    task, data = world()
    group = np.arange(len(data)) // 3
    rows, reaches = np.arange(len(data)), (Reach(30, 0.5), Reach(30, 0.5))
    residual = np.random.default_rng(0).normal(size=task.targets.shape)
    before = Neighbourhood(task.design, group).among(rows, residual, task.weights, reaches)
    residual[:3] += 100.0  # the first group
    after = Neighbourhood(task.design, group).among(rows, residual, task.weights, reaches)
    assert after[:3] == pytest.approx(before[:3])
    assert np.abs(after[3:] - before[3:]).max() > 1.0


def test_left_out_rows_are_never_looked_at() -> None:
    task, data = world()
    folds = group_folds(data.suite, data.group)
    fitter = FITTERS["knn"].tuned(task, folds, 0)
    assert isinstance(fitter, Neighbours) and fitter.reaches is not None
    assert fitter.notes()["reaches"] == [list(g) for g in fitter.reaches]
    train = np.flatnonzero(folds != 0)
    before = fitter.fit(task, train)
    other = Task.of(data, task.design)
    other.targets[folds == 0] = 1e6
    after = fitter.fit(other, train)
    assert (before.text.coefficients == after.text.coefficients).all() and (before.rates == after.rates).all()


@pytest.mark.parametrize(("shuffle", "least", "most"), [(False, 0.3, 0.8), (True, -0.2, 0.2)])
def test_neighbours_are_followed_where_they_agree_and_not_where_they_are_noise(
    shuffle: bool, least: float, most: float
) -> None:
    data = OutcomeMatrix.from_frame(two_kinds(200, shuffle=shuffle))
    task = Task.of(data, Design.of(data.prompts))
    fitter = FITTERS["knn"].tuned(task, group_folds(data.suite, data.group), 0)
    rows = np.arange(len(data))
    _, departed = fitter.fit(task, rows).parts(task, rows)
    told = fitter.notes()["blend"][0] * departed[:, data.candidates.index(("small", None))]
    easy = np.array([str(p).startswith(EASY) for p in data.prompts])
    # In truth .95 - .20 = .75, shrunk; nothing once outcomes are dealt to other prompts.
    assert least < told[easy].mean() - told[~easy].mean() < most
