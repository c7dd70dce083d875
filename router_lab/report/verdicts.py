"""Every candidate's own verdict against a reference: does it lose more than the margin?

Many candidates are judged on the same rows, so each is judged at 1 − (1 − confidence) / k for k of
them (Bonferroni): whatever passes and fails, the chance that any of it is wrong stays within 1 −
confidence. Of "loses more" and "loses no more" one is false, so both need no more than k.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from router_lab.certificate import Certificate
from router_lab.metrics import Estimate, Verdict, verdict
from router_lab.metrics.paired import Paired, Recorded
from router_lab.metrics.reference import usual_reference
from router_lab.metrics.steady import Floats, Mask
from router_lab.metrics.verdict import Word
from router_lab.outcomes import OutcomeMatrix
from router_lab.outcomes.candidates import candidates_of, whose
from router_lab.outcomes.codes import coded
from router_lab.report.format import percent, points
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import COUNTED
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy

MARGIN, CONFIDENCE = 0.03, 0.90
"""Of a recipe that names none."""
SUFFIX = {"pass": "passes", "fail": "fails", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class Asked:
    """Against whom candidates are judged, and how: `reference`, or of each candidate its own model
    at `effort`, or its own model and effort in `harness` ("" = the suite's own); or where all are
    None who ran on a drawn part alone, else the best mean quality. margin: 0.03 = 3 points.
    """

    reference: Candidate | None = None
    effort: str | None = None
    margin: float = MARGIN
    confidence: float = CONFIDENCE
    harness: str | None = None

    def bases(self, data: OutcomeMatrix) -> list[int | None]:
        """[c] the column of each candidate's reference; None = it has none, or is one itself.
        Raises InputError for a reference that is not there, or a margin or confidence that is
        none."""
        if not 0 < self.margin < 1 or not 0.5 < self.confidence < 1:
            raise InputError(
                f"report: --margin {self.margin:g} must lie in (0, 1) and --confidence {self.confidence:g} in "
                "(0.5, 1); 0.03 is 3 points"
            )
        every = range(len(data.candidates))
        if self.effort is not None or self.harness is not None:
            return self._of_its_own(data)
        if self.reference is not None and self.reference not in data.candidates:
            raise InputError(
                f"report: --reference {self.reference} is not in the outcomes; they hold "
                f"{', '.join(str(c) for c in data.candidates)}"
            )
        named = self.reference is not None
        base = data.candidates.index(self.reference) if named else usual_reference(data)
        return [None if j == base else base for j in every]

    def _of_its_own(self, data: OutcomeMatrix) -> list[int | None]:
        """[c] of each candidate the one that is alike but for its effort, or its harness."""
        by_effort = self.effort is not None
        wanted = self.effort if by_effort else self.harness or None
        alike = [(c.model, c.harness if by_effort else c.effort) for c in data.candidates]
        at = {
            alike[j]: j
            for j, c in enumerate(data.candidates)
            if (c.effort if by_effort else c.harness) == wanted
        }
        if not at:
            axis = "effort" if by_effort else "harness"
            raise InputError(
                f"report: --reference-{axis} {wanted or 'of none'}: no candidate of the outcomes has that {axis}; "
                f"they hold {', '.join(str(c) for c in data.candidates)}"
            )
        return [at[one] if at.get(one, j) != j else None for j, one in enumerate(alike)]


def asked_of(policy: Policy | None, outcomes: pd.DataFrame) -> Asked:
    """What a policy's certificate asked, of its reference; what a recipe asks that says nothing,
    where there is no policy, or its reference is not in the outcomes."""
    if policy is None or policy.reference not in candidates_of(outcomes):
        return Asked()
    shown = Certificate.of(policy)
    return Asked(policy.reference, None, shown.margin or MARGIN, shown.confidence or CONFIDENCE)


@dataclass(frozen=True)
class CandidateVerdict:
    """One candidate beside its reference, on the samples that both have; suite None = on all.

    verdict: of the quality difference, whose bounds hold for all candidates together. saving:
    share of what the reference costs, in `unit`: dollars, tokens where dollars are not known of
    both, None where neither is. missing: samples that the reference has and this one, against no
    plan, has not.
    """

    candidate: Candidate
    reference: Candidate
    suite: str | None
    verdict: Verdict
    saving: Estimate
    unit: str | None
    missing: int

    @property
    def backfires(self) -> bool:
        """It saves, and it is shown to lose more than the margin: what is saved is paid for in
        quality."""
        return self.verdict.verdict == "fail" and self.saving.value > 0

    @property
    def label(self) -> str:
        return str(self.candidate)

    @property
    def told(self) -> str:
        """`saves 41.0 %, loses 11.2 points [−15.9, −6.5]: fails`; `costs 12.0 % more …`."""
        return f"{self.bill}, {self.change}: {SUFFIX[self.verdict.verdict]}"

    @property
    def bill(self) -> str:
        share = self.saving.value
        if self.unit is None or np.isnan(share):
            return "saving unknown"
        unit = " of tokens" if self.unit == "tokens" else ""
        return f"saves {percent(share)}{unit}" if share >= 0 else f"costs {percent(-share)} more{unit}"

    @property
    def change(self) -> str:
        found = self.verdict
        word = "loses" if found.value < 0 else "gains"
        return f"{word} {points(abs(found.value)).lstrip('+')} points {bounds(found.low, found.high)}"


@dataclass(frozen=True)
class Verdicts:
    """Of all candidates, the dearest first, and by suite where there are several: two families,
    each of which holds at the confidence that was asked for as a whole."""

    asked: Asked
    all: tuple[CandidateVerdict, ...]
    by_suite: tuple[CandidateVerdict, ...]

    @property
    def backfiring(self) -> tuple[CandidateVerdict, ...]:
        return tuple(one for one in self.all if one.backfires)


def candidate_verdicts(outcomes: pd.DataFrame, asked: Asked | None = None) -> Verdicts:
    """What each candidate of validated `outcomes` loses against its reference, and saves.

    Paired by sample, clustered by group. A sample that is missing counts against the verdict: as
    lost before a `pass`, as won before a `fail`. Raises InputError as `Asked.bases` does.
    """
    data, asked = OutcomeMatrix.from_frame(outcomes), asked or Asked()
    judge = _Judge(outcomes, data, asked)
    suites = [(name, data.suite == code) for code, name in enumerate(data.suites)]
    parts = tuple(judge.rows(suites)) if len(suites) > 1 else ()
    return Verdicts(asked, tuple(judge.rows([(None, np.ones(len(data), bool))])), parts)


def bounds(low: float, high: float, digits: int = 1) -> str:
    """`[−15.9, −6.5]`, in points."""
    return f"[{points(low, digits)}, {points(high, digits)}]"


class _Judge:
    def __init__(self, outcomes: pd.DataFrame, data: OutcomeMatrix, asked: Asked) -> None:
        self.data, self.asked, self.bases = data, asked, asked.bases(data)
        self.begun, self.infra = _begun(outcomes), _begun(outcomes[outcomes["status"] == "infra"])
        self.tokens = _tokens(outcomes, data)

    def rows(self, parts: Sequence[tuple[str | None, Mask]]) -> Iterator[CandidateVerdict]:
        """Who ran there at all, part by part, the dearest first."""
        known = ~np.isnan(self.data.quality)
        there = [
            (suite, rows, column, base)
            for suite, rows in parts
            for column, base in enumerate(self.bases)
            if base is not None and (known[rows, column] & known[rows, base]).any()
        ]
        each = 1 - (1 - self.asked.confidence) / max(1, len(there))
        found = [self._one(suite, rows, column, base, each) for suite, rows, column, base in there]
        for suite, _ in parts:
            mine = [one for one in found if one.suite == suite]
            yield from sorted(mine, key=lambda one: (np.nan_to_num(one.saving.value, nan=np.inf), one.label))

    def _one(self, suite: str | None, rows: Mask, column: int, base: int, each: float) -> CandidateVerdict:
        judged = rows & ~np.isnan(self.data.quality[:, base])
        here = self.data.take(judged)
        missing = np.where(np.arange(len(here.candidates)) == base, 0.0, here.missing)
        recorded = Recorded.of(here, base, missing)
        pair = replace(recorded, missing=None).always(column)
        won = replace(recorded, quality=recorded.filled(1.0), missing=None).always(column)
        infra = self._infra(suite, column, base)
        word = self._judged({"pass": recorded.always(column), "fail": won}, pair, each, infra)
        saving, unit = self._saving(pair, judged, column, base)
        return CandidateVerdict(
            candidate=self.data.candidates[column], reference=self.data.candidates[base], suite=suite,
            verdict=word, saving=saving, unit=unit, missing=int((missing[:, column] > 0).sum()),
        )  # fmt: skip

    def _judged(self, worst: Mapping[Word, Paired], pair: Paired, each: float, infra: float) -> Verdict:
        """The verdict on what both have, if what is missing cannot undo it: `worst` has, for a
        word, what would speak against it most."""
        found = verdict(pair.gain(), -self.asked.margin, each, infra=infra)
        against = worst.get(found.verdict)
        if against is None or verdict(against.gain(), -self.asked.margin, each).verdict == found.verdict:
            return found
        count = int((against.scored & ~pair.scored).sum())
        reason = f"{count:,} samples are missing, and what they would have been could undo a {found.verdict}"
        return replace(found, verdict="inconclusive", reason=reason)

    def _infra(self, suite: str | None, column: int, base: int) -> float:
        """The larger share that the infrastructure kept from one of the two."""
        suites = self.data.suites if suite is None else (suite,)
        pair = (self.data.candidates[column], self.data.candidates[base])
        lost, begun = (
            [sum(counts[one, s] for s in suites) for one in pair] for counts in (self.infra, self.begun)
        )
        return max(part / max(1, whole) for part, whole in zip(lost, begun, strict=True))

    def _saving(self, pair: Paired, rows: Mask, column: int, base: int) -> tuple[Estimate, str | None]:
        if not np.isnan(pair.cost_usd).all():
            return pair.saving(), "dollars"
        if self.tokens is None:
            return pair.saving(), None
        counted = Recorded.of(replace(self.data, cost_usd=self.tokens).take(rows), base).always(column)
        return counted.saving(), None if np.isnan(counted.cost_usd).all() else "tokens"


def _begun(outcomes: pd.DataFrame) -> Counter[tuple[Candidate, str]]:
    found = whose(outcomes)
    cells = coded(found.code, outcomes["suite"])
    suites, rows = outcomes["suite"].iloc[cells.first], np.bincount(cells.code)
    whos = [found.candidates[code] for code in found.code[cells.first]]
    return Counter(dict(zip(zip(whos, suites, strict=True), rows.tolist(), strict=True)))


def _tokens(outcomes: pd.DataFrame, data: OutcomeMatrix) -> Floats | None:
    """Tokens [n, c] of all kinds, of which some may be unknown; None where every candidate has
    dollars, or nobody tokens."""
    if not np.isnan(data.cost_usd).all(axis=0).any():
        return None
    counted = [kind.column for kind in COUNTED if kind.within is None]
    kinds = [name for name in counted if name in outcomes and outcomes[name].notna().any()]
    if not kinds:
        return None
    total = outcomes[kinds].astype("float64").sum(axis=1, min_count=1)
    return OutcomeMatrix.from_frame(outcomes.assign(cost_usd=total)).cost_usd
