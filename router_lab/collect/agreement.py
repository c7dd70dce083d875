"""Draws of one candidate for one sample: the share of the others that say the same."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from router_lab.outcomes import KEY
from router_lab.runtime.answers import said
from router_lab.runtime.errors import RouterLabWarning


def with_agreement(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Validated outcomes with `signal_agreement` where a candidate has two answers or more to a
    sample: of one draw, the share of the others that say the same as it does. An answer of which
    nothing is left to compare agrees with none.

    `signals_usd` grows by what the others cost: their mean `cost_usd`, where it is known, times
    their number; null where it is known of none. Rows that have the signal keep what they have.
    Warns (RouterLabWarning) where nothing can be compared.
    """
    draws = _draws(outcomes)
    if not len(draws):
        text = "--agreement compares answers of several epochs, and no sample has two of one candidate"
        warnings.warn(RouterLabWarning(text), stacklevel=3)
        return outcomes
    out = outcomes.copy(deep=False)
    unknown = pd.Series(np.nan, index=out.index)
    known, spent = (out.get(name, unknown) for name in ("signal_agreement", "signals_usd"))
    draws = draws[known.loc[draws.index].isna()]
    usd = spent.loc[draws.index].fillna(0.0) + draws["usd"]
    out["signal_agreement"] = known.where(~out.index.isin(draws.index), draws["share"])
    spent = spent.where(~out.index.isin(draws.index), usd)
    return out.assign(signals_usd=spent) if spent.notna().any() else out


def _draws(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Of every answer that is not the only one of its candidate and sample: `share` of the others
    that say the same, `usd` that they cost."""
    names = [name for name in (*KEY, "harness") if name != "epoch" and name in outcomes]
    answered = outcomes[outcomes["answer"].notna()] if "answer" in outcomes else outcomes.iloc[:0]
    draws = answered[names].assign(
        said=[said(text) for text in answered.get("answer", ())],
        cost=answered.get("cost_usd", np.nan),
    )
    of = draws.groupby(names, dropna=False, sort=False)
    others = of["said"].transform("size") - 1
    alike = draws.groupby([*names, "said"], dropna=False, sort=False)["said"].transform("size") - 1
    share = (alike / others).where(draws["said"] != b"", 0.0)
    priced = of["cost"].transform("count") - draws["cost"].notna()
    rest = of["cost"].transform("sum") - draws["cost"].fillna(0.0)
    usd = (rest / priced.where(priced > 0) * others).clip(lower=0.0)
    return pd.DataFrame({"share": share, "usd": usd})[others > 0]
