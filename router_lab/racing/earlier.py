"""The last sweep's outcomes, as a race may use them: who stands for whom, and what it expects.

Whom a race tests must not depend on the clusters that it tests them on. So a prior is made of the
suite's clusters that the race does not have; where there are too few, of the other suites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from router_lab.metrics.paired import column_means
from router_lab.metrics.steady import Floats, Mask
from router_lab.outcomes import OutcomeMatrix, by_row, candidates_of, validate_outcomes
from router_lab.outcomes.columns import candidate_columns
from router_lab.outcomes.files import read_parquet
from router_lab.places import copy
from router_lab.prices.table import digest
from router_lab.providers.keys import sha256_of
from router_lab.racing.prior import Prior
from router_lab.racing.sequential import Tally, cluster_means
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate

ENOUGH = 10
"""Clusters of a suite from which its own outcomes are a prior; with fewer it is from the others."""
UNKNOWN = 0.25
"""Squared error of what may be anything between 0 and 1, the most that it can be."""
SAME, WAS, FAMILY, ALL = "itself", "its forerunner", "its family", "the mean of all"


@dataclass(frozen=True)
class StandIn:
    """Whose earlier outcomes a candidate starts from: the mean of these, the nearest first. how:
    SAME, WAS (the model whose place it takes), FAMILY or ALL."""

    columns: tuple[int, ...]
    how: str

    @property
    def one(self) -> int | None:
        """The column that is nearest; None where no one is near."""
        return None if self.how == ALL else self.columns[0]


@dataclass(frozen=True)
class Expected:
    """The prior of a suite; None where nothing is known that the race does not ask itself. own:
    whether it is of this suite, else of the others; clusters: that it rests on; left_out: samples
    of the suite that it may not use, for the race has them."""

    prior: Prior | None
    own: bool
    clusters: int
    left_out: int


class Earlier:
    """Outcomes of an earlier sweep. file: as it was named; sha256: of its bytes; was: by a new
    model's name that of the one whose place it takes; frame: validated outcomes."""

    def __init__(self, file: str, sha256: str, frame: pd.DataFrame, was: Mapping[str, str]) -> None:
        """Raises InputError for a forerunner that is not in `frame`."""
        self.file, self.sha256, self.frame, self.was = file, sha256, frame, dict(was)
        names = sorted({one.model for one in candidates_of(frame)})
        for new, old in self.was.items():
            if old not in names:
                raise InputError(
                    f"`race.was`: {new}: {old!r} is no model of {file}; name one of {', '.join(names)}"
                )

    @classmethod
    def read(cls, file: str | Path, was: Mapping[str, str]) -> Earlier:
        """Of a file, perhaps at an address. Raises InputError."""
        with copy(file) as here:
            frame = validate_outcomes(read_parquet(here), where=str(file))
            return cls(str(file), digest(here), frame, was)

    @cached_property
    def matrix(self) -> OutcomeMatrix:
        """All of it."""
        return OutcomeMatrix.from_frame(self.frame)

    def named(self) -> dict[str, Any]:
        """For the sweep's manifest."""
        return {"file": self.file, **self.identity}

    @property
    def identity(self) -> dict[str, object]:
        """What a race has to have begun with to go on."""
        return {"sha256": self.sha256, "was": self.was}

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Raises InputError where it says nothing of any candidate of a sweep, or `was` names none
        of its models."""
        models = sorted({one.model for one in candidates})
        strange = [new for new in self.was if new not in models]
        if strange:
            raise InputError(
                f"`race.was`: {strange[0]!r} is no model of this sweep, as outcomes name it; name one of "
                f"{', '.join(models)}"
            )
        if all(self.stand_in(one).how == ALL for one in candidates):
            theirs = ", ".join(sorted({one.model for one in self.matrix.candidates}))
            raise InputError(
                f"`race.prior`: {self.file} has no outcome of any model of this sweep ({', '.join(models)}); it has "
                f"{theirs}. Say who takes whose place: `race: {{was: {{NEW: OLD}}}}`, or leave `prior` out"
            )

    def stand_in(self, who: Candidate) -> StandIn:
        """Whom a candidate starts from."""
        known = self.matrix.candidates
        old = self.was.get(who.model)
        for twin, how in ((who, SAME), (Candidate(old or "", who.effort, who.harness), WAS)):
            if twin in known:
                return StandIn((known.index(twin),), how)
        family = [k for k, one in enumerate(known) if one.model in (who.model, old)]
        near = sorted(family, key=lambda k: (known[k].model != who.model, known[k].harness != who.harness))
        return StandIn(tuple(near), FAMILY) if near else StandIn(tuple(range(len(known))), ALL)

    def expected(
        self, suite: str, candidates: Sequence[Candidate], samples: Sequence[str], clusters: Sequence[str]
    ) -> Expected:
        """The prior of a suite whose race has these samples and clusters, as `cluster_of` names
        them."""
        ours, fresh = self._of(suite), self._fresh(suite, samples, clusters)
        own = len(np.unique(self.matrix.group[ours & fresh])) >= ENOUGH
        rows = (ours if own else ~ours) & fresh
        left_out = int((ours & ~fresh).sum())
        if not rows.any():
            return Expected(None, own, 0, left_out)
        means = cluster_means(self.matrix.quality[rows], self.matrix.group[rows])
        stands = [self.stand_in(who) for who in candidates]
        earlier = Tally(len(stands))
        earlier.add(np.column_stack([column_means(means[:, one.columns].T) for one in stands]))
        families, all_ = self._spreads(column_means(means))
        beyond = {SAME: 0.0, WAS: 0.0, FAMILY: families, ALL: all_}
        drift = np.array([beyond[one.how] for one in stands]) + (0.0 if own else self._between_suites(rows))
        return Expected(Prior(earlier, drift), own, len(means), left_out)

    def as_if(self, candidates: Sequence[Candidate]) -> pd.DataFrame:
        """The earlier rows of those near enough to these candidates, under the candidates'
        names."""
        known, whose = self.matrix.candidates, by_row(self.frame)
        parts = []
        for who in candidates:
            near = self.stand_in(who).one
            if near is not None:
                rows = self.frame[[one == known[near] for one in whose]]
                parts.append(
                    rows.assign(**{name: getattr(who, name) for name in candidate_columns(rows.columns)})
                )
        return pd.concat(parts, ignore_index=True) if parts else self.frame.iloc[:0]

    def _of(self, suite: str) -> Mask:
        """[n] samples of a suite."""
        found = self.matrix.suites.index(suite) if suite in self.matrix.suites else -1
        return np.asarray(self.matrix.suite == found)

    def _fresh(self, suite: str, samples: Sequence[str], clusters: Sequence[str]) -> Mask:
        """[n] whether a race that has these samples and clusters has neither a sample nor anything
        of its cluster."""
        m, ids, names = self.matrix, set(samples), set(clusters)
        in_suite = self._of(suite)
        theirs = [
            bool(in_suite[i] and (m.sample_id[i] in ids or m.groups[m.name[i]][1] in names))
            or (m.prompts[i] is not None and sha256_of(m.prompts[i]) in names)
            for i in range(len(m))
        ]
        return ~np.isin(m.group, m.group[np.array(theirs, bool)])

    def _spreads(self, level: Floats) -> tuple[float, float]:
        """Variance of the means [c] of candidates: within a family, and of all."""
        known = np.flatnonzero(~np.isnan(level))
        all_ = float(level[known].var(ddof=1)) if len(known) > 1 else UNKNOWN
        families: dict[str, list[float]] = {}
        for k in known:
            families.setdefault(self.matrix.candidates[k].model, []).append(float(level[k]))
        squares = sum(float(np.var(one)) * len(one) for one in families.values())
        free = sum(len(one) - 1 for one in families.values())
        return (squares / free if free else all_), all_

    def _between_suites(self, rows: Mask) -> float:
        """Variance from suite to suite of a candidate's difference to the mean of all."""
        m = self.matrix
        levels = [column_means(m.quality[rows & (m.suite == code)]) for code in np.unique(m.suite[rows])]
        profiles = np.array([level - level.mean() for level in levels if not np.isnan(level).any()])
        return float(profiles.var(axis=0, ddof=1).mean()) if len(profiles) > 1 else UNKNOWN
