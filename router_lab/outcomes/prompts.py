"""The `prompt` column as text, however a table holds it: the same text that `decide` reads of the
same messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from router_lab.runtime.errors import InputError
from router_lab.runtime.messages import group_mark, prompt_text

MAY_BE_MESSAGES = (str, list, tuple, dict, np.ndarray)


def settle_prompts(out: pd.DataFrame, where: str) -> None:
    """Put text in the place of messages in `out["prompt"]` (see `runtime.messages.prompt_text`),
    and give rows whose messages hold more than text, and that have no `group`, one of their own
    content. Raises InputError naming the row.
    """
    values = list(out["prompt"])
    texts: list[Any] = []
    marks: list[str | None] = []
    for label, value in zip(out.index, values, strict=True):
        try:
            # Numbers, dates and bytes are text by the rule of every text column
            # (`outcomes.cells`).
            texts.append(prompt_text(value) if isinstance(value, MAY_BE_MESSAGES) else value)
        except ValueError as error:
            raise InputError(f"{where}: {out.index.name or 'row'} {label}: {error}") from None
        marks.append(None if texts[-1] is value else group_mark(value))
    if all(text is value for text, value in zip(texts, values, strict=True)):
        return
    out["prompt"] = pd.Series(texts, index=out.index, dtype=object)
    if any(marks):
        given = (
            out["group"].astype("str")
            if "group" in out.columns
            else pd.Series(None, index=out.index, dtype="str")
        )
        out["group"] = given.where(given.notna(), pd.Series(marks, index=out.index, dtype="str"))
