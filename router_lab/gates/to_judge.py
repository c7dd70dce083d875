"""Answers that people are to judge, where a model judged: a table with an empty column, which comes
back as the labels of `audit.read_audit`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import pandas as pd

from router_lab.outcomes import SCORED
from router_lab.outcomes.cells import no_formula
from router_lab.outcomes.columns import KEY, candidate_columns
from router_lab.runtime.errors import InputError

TEXTS = ("prompt", "answer")
"""They stand between KEY, which names an answer, and `quality`, to be filled in."""


def to_judge(
    outcomes: pd.DataFrame, suite: str | None = None, samples: Collection[str] | None = None, *,
    count: int = 50, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """One row for each candidate's first answer to each drawn sample, in random order, without what
    the judge said of it.

    suite: of which suite; None = of the only one. samples: the sample ids; None = `count` of them
    are drawn at random, the same for every candidate, so that differences are audited as pairs.
    Raises InputError where the outcomes hold no answers, or none of these samples.
    """
    if "answer" not in outcomes.columns or outcomes["answer"].isna().all():
        raise InputError("outcomes: hold no answers; collect them again without --no-answers")
    suites = sorted(outcomes["suite"].unique())
    if suite is None and len(suites) > 1:
        raise InputError(
            f"outcomes: hold {len(suites)} suites ({', '.join(suites[:6])}); name one with --suite"
        )
    own = outcomes[(outcomes["suite"] == (suites[0] if suite is None else suite))]
    own = own[own["status"].isin(SCORED) & own["answer"].notna()]
    ids = sorted(own["sample_id"].unique(), key=lambda one: _mixed(seed, one))[:count]
    kept = own[own["sample_id"].isin(set(ids if samples is None else samples))]
    if kept.empty:
        asked = "no sample" if samples is None else f"none of the {len(samples):,} samples named"
        raise InputError(f"outcomes: {asked} of suite {suite or suites[0]!r} has an answer")
    who = ["sample_id", *candidate_columns(kept.columns)]
    kept = kept.sort_values("epoch", kind="stable").drop_duplicates(who)
    order = [_mixed(seed, *map(str, cells)) for cells in kept[who].itertuples(index=False)]
    rows = kept.assign(_order=order).sort_values("_order", ignore_index=True)
    names = [name for name in (*KEY, *TEXTS) if name in rows.columns]
    texts = {name: rows[name].map(no_formula, na_action="ignore") for name in names if name in TEXTS}
    return rows[names].assign(**texts, quality="")


def _mixed(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode("utf-8", "replace")).hexdigest()
