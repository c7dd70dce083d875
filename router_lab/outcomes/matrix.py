"""From rows to matrices: one row per sample, one column per candidate; and the split that never
moves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from router_lab.outcomes.candidates import by_row, candidates_of
from router_lab.outcomes.columns import GATED
from router_lab.outcomes.copies import join_names, names_of, prompts_of, with_near
from router_lab.outcomes.near import Ints
from router_lab.outcomes.schema import INVALIDATED, SCORED
from router_lab.outcomes.vectors import Floats, vectors_of
from router_lab.runtime.model import Candidate

DRAWN_ERRORS = 4.0
"""Standard errors by which the rows that a draw left may be fewer than their probabilities say."""

FOLDS = 5
"""Parts into which groups are dealt, each predicted by what was fitted on the others."""
SEEN_ENOUGH = 0.95
"""Share of the samples on which a candidate must have been seen for its means to be compared with
others'."""


def split_of(suite: str, group: str, test_share: float = 0.2) -> str:
    """`develop` or `test`, from a hash of (suite, group): adding samples moves none, and a larger
    share only adds."""
    digest = hashlib.sha256(f"{suite}\0{group}".encode("utf-8", "replace")).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_share * 2**64 else "develop"


def split_column(frame: pd.DataFrame, test_share: float = 0.2) -> pd.Series[str]:
    """`split_of` for every row of an outcomes table."""
    names = list(zip(frame["suite"], frame["group"], strict=True))
    splits = {name: split_of(*name, test_share) for name in set(names)}
    return pd.Series([splits[name] for name in names], index=frame.index, dtype="str")


@dataclass(frozen=True)
class OutcomeMatrix:
    """Outcomes as arrays: n samples in the order of (suite, sample_id), c candidates in the order
    of `candidates`.

    quality, cost_usd: float64[n, c], the mean over the epochs that were scored; NaN where nothing
    was. figures: the same of every column that a gate may bound. check: float64[n, c], the share
    of epochs whose answer passed its run-time check; NaN where there is none. epochs: int64[n, c],
    how many epochs stand behind a cell. weight: float64[n, c], 1 / inclusion probability. missing:
    float64[n, c], the share of a cell's epochs that have no quality though no plan left them out:
    no budget, race or known probability (`_missing`). suite: int64[n] codes. name: int64[n] codes
    into `groups`, the names (suite, group); the split goes by name. joined: int64[names] which
    names hold copies of one another's prompts (`outcomes.copies`), so they may span suites. group:
    int64[n] clusters, what errors, folds and neighbours take for one: names that are joined, and
    near copies among prompts without a `group` of their own (`outcomes.near`). prompts: a text or
    None per sample. vectors: float64[n, d] of the user's own, NaN where a sample has none; None
    where none has.
    """

    candidates: tuple[Candidate, ...]
    suites: tuple[str, ...]
    sample_id: tuple[str, ...]
    prompts: tuple[str | None, ...]
    suite: Ints
    group: Ints
    name: Ints
    groups: tuple[tuple[str, str], ...]
    joined: Ints
    quality: Floats
    cost_usd: Floats
    check: Floats
    epochs: Ints
    weight: Floats
    missing: Floats
    figures: dict[str, Floats]
    vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, candidates: tuple[Candidate, ...] | None = None
    ) -> OutcomeMatrix:
        """The matrix of a validated outcomes table, without rows that are no evidence (`infra`,
        `budget`). With `candidates`, the columns are those, seen or not; rows of others are left
        out."""
        scored = frame[frame["status"].isin(SCORED)]
        columns = candidates if candidates is not None else candidates_of(scored)
        index = {c: j for j, c in enumerate(columns)}
        column = np.array([index.get(candidate, -1) for candidate in by_row(scored)], np.int64)
        scored, column = scored[column >= 0], column[column >= 0]
        samples = scored[["suite", "sample_id", "prompt", "group"]].drop_duplicates(["suite", "sample_id"])
        samples = samples.sort_values(["suite", "sample_id"], kind="stable")
        keys = {k: i for i, k in enumerate(zip(samples["suite"], samples["sample_id"], strict=True))}
        row = np.array([keys[k] for k in zip(scored["suite"], scored["sample_id"], strict=True)], np.int64)
        shape = (len(samples), len(columns))
        groups, name = names_of(samples)
        prompts = tuple(prompts_of(samples))
        vectors = vectors_of(scored, row, len(samples))
        joined = join_names(groups, name, prompts, vectors).component
        suites, suite = np.unique(samples["suite"].to_numpy(object), return_inverse=True)
        every = _Placed.of(frame, keys, index, shape)
        weight = every.weight()
        return cls(
            candidates=columns,
            suites=tuple(suites),
            sample_id=tuple(samples["sample_id"]),
            prompts=prompts,
            suite=suite,
            group=with_near(groups, name, suite, prompts, joined)[name],
            name=name,
            groups=groups,
            joined=joined,
            quality=_cell_means(scored, "quality", row, column, shape),
            cost_usd=_cell_means(scored, "cost_usd", row, column, shape),
            check=_cell_means(scored, "check", row, column, shape),
            epochs=np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape),
            weight=weight,
            missing=every.missing(suite, every.drawn(suite, weight)),
            figures={c.name: _cell_means(scored, c.name, row, column, shape) for c in GATED},
            vectors=vectors,
        )

    @property
    def used_groups(self) -> tuple[tuple[str, str], ...]:
        """The names of these rows and of copies of their prompts, which `take` may have left
        out."""
        return tuple(self.groups[k] for k in np.flatnonzero(np.isin(self.joined, self.joined[self.name])))

    @property
    def weighting(self) -> Floats | None:
        """`weight`, or None where every weight is 1: what needs no weighting costs none."""
        return self.weight if (self.weight != 1).any() else None

    def drawn(self, column: int) -> npt.NDArray[np.bool_] | None:
        """[n] rows on which a candidate was to run that ran on a drawn part alone, from its first
        sample on; None for any other. Whatever group it ran a sample of was drawn: where another
        sample of it has no outcome, that is missing. So is what it began and what was lost."""
        known = ~np.isnan(self.quality[:, column]) | (self.missing[:, column] > 0)
        rows = np.isin(self.name, self.name[known])
        return rows if known.any() and not rows.all() and (self.weight[known, column] > 1).all() else None

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> OutcomeMatrix:
        """The same candidates, suites and groups on a subset of the samples (indices or a
        mask)."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return OutcomeMatrix(
            candidates=self.candidates,
            suites=self.suites,
            sample_id=tuple(self.sample_id[i] for i in chosen),
            prompts=tuple(self.prompts[i] for i in chosen),
            suite=self.suite[chosen],
            group=self.group[chosen],
            name=self.name[chosen],
            groups=self.groups,
            joined=self.joined,
            quality=self.quality[chosen],
            cost_usd=self.cost_usd[chosen],
            check=self.check[chosen],
            epochs=self.epochs[chosen],
            weight=self.weight[chosen],
            missing=self.missing[chosen],
            figures={name: values[chosen] for name, values in self.figures.items()},
            vectors=None if self.vectors is None else self.vectors[chosen],
        )


@dataclass(frozen=True)
class _Placed:
    """All rows of a table that belong to a cell [n, c] of a matrix, evidence or not: their cells,
    epochs, whether they have a quality, and whether a plan left them out. What a person set aside
    is no plan: he may have seen it.
    """

    row: Ints
    column: Ints
    epoch: Ints
    shape: tuple[int, int]
    known: npt.NDArray[np.bool_]
    planned: npt.NDArray[np.bool_]
    frame: pd.DataFrame

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        keys: dict[tuple[str, str], int],
        index: dict[Candidate, int],
        shape: tuple[int, int],
    ) -> _Placed:
        row = np.array(
            [keys.get(k, -1) for k in zip(frame["suite"], frame["sample_id"], strict=True)], np.int64
        )
        column = np.array([index.get(candidate, -1) for candidate in by_row(frame)], np.int64)
        inside = (row >= 0) & (column >= 0)
        kept = frame[inside]
        reasons = kept["reason"] if "reason" in kept.columns else [None] * len(kept)
        aside = np.array([str(reason).startswith(INVALIDATED) for reason in reasons], bool)
        return cls(
            row=row[inside],
            column=column[inside],
            epoch=kept["epoch"].to_numpy(np.int64),
            shape=shape,
            known=(kept["status"].isin(SCORED) & kept["quality"].notna()).to_numpy(bool),
            planned=np.asarray(kept["status"].eq("budget") & ~np.asarray(aside, bool), bool),
            frame=kept,
        )

    def weight(self) -> Floats:
        """[n, c] of what was scored; where nothing was, of what was begun; else 1."""
        found = np.ones(self.shape)
        for rows in (~self.planned, self.known):
            of = _cell_means(self.frame[rows], "weight", self.row[rows], self.column[rows], self.shape)
            found = np.where(np.isnan(of), found, of)
        return found

    def drawn(self, suite: Ints, weight: Floats) -> npt.NDArray[np.bool_]:
        """[c] who ran at known probabilities, and on about as many rows of their suites as these
        say: weights add up to all of them, within DRAWN_ERRORS standard errors. Where they do not,
        something else left rows out.
        """
        begun = np.zeros(self.shape, bool)
        begun[self.row[~self.planned], self.column[~self.planned]] = True
        ran = np.zeros((int(suite.max(initial=-1)) + 1, self.shape[1]), bool)
        ran[suite[self.row], self.column] = True
        told = np.where(begun, weight, 0.0).sum(axis=0)
        error = np.sqrt(np.where(begun, weight * np.maximum(weight - 1, 0.0), 0.0).sum(axis=0))
        explained = told + DRAWN_ERRORS * error >= ran[suite].sum(axis=0)
        return np.asarray(explained & (weight > 1).any(axis=0), bool)

    def missing(self, suite: Ints, drawn: npt.NDArray[np.bool_]) -> Floats:
        """[n, c] the share of epochs without a quality that no plan left out. Of a column that was
        `drawn` [c], by a race or otherwise, a row must say so. Of any other an epoch is due on a
        sample where somebody ran it, and it ran that epoch somewhere in the suite; and one epoch
        is due where it ran none."""
        known, lost, left = np.zeros(self.shape), np.zeros(self.shape), np.zeros(self.shape, bool)
        for epoch in np.unique(self.epoch):
            here = self.epoch == epoch
            row, column = self.row[here], self.column[here]
            at, plan, said = (np.zeros(self.shape, bool) for _ in range(3))
            ran = np.zeros((int(suite.max(initial=-1)) + 1, self.shape[1]), bool)
            ran[suite[row], column] = True
            some = np.zeros(self.shape[0], bool)
            some[row] = True
            due = some[:, None] & ran[suite] & ~drawn
            at[row[self.known[here]], column[self.known[here]]] = True
            plan[row[self.planned[here]], column[self.planned[here]]] = True
            other = ~self.known[here] & ~self.planned[here]
            said[row[other], column[other]] = True
            known += at
            lost += (due | said) & ~at & ~plan
            left |= plan
        never = (known + lost == 0) & ~left & ~drawn
        return np.where(never, 1.0, lost / np.maximum(known + lost, 1))


def _cell_means(frame: pd.DataFrame, name: str, row: Ints, column: Ints, shape: tuple[int, int]) -> Floats:
    if name not in frame.columns:
        return np.full(shape, np.nan)
    values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    seen = ~np.isnan(values)
    flat = (row * shape[1] + column)[seen]
    total = np.bincount(flat, weights=values[seen], minlength=shape[0] * shape[1])
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
