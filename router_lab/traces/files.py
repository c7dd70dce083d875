"""What an import writes: the calls as a table, and what could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.masking import without_keys
from router_lab.outcomes.files import write_frame
from router_lab.runtime.files import atomic_write
from router_lab.runtime.kinds import TOKENS
from router_lab.traces.call import Problem
from router_lab.traces.conversation import written
from router_lab.traces.dollars import Priced
from router_lab.traces.personal import Masked

PLAIN = (
    "file",
    "place",
    "route",
    "session",
    "trace",
    "span",
    "model",
    "provider",
    "seconds",
    "error",
    "finish",
    "tier",
)


def calls_frame(calls: Sequence[Priced], *, texts: bool = False) -> pd.DataFrame:
    """A row for each call. Of texts a digest (`request_sha`), and with `texts` themselves, masked
    by rule. `input_tokens` includes cached ones, as gateways count."""
    metadata = without_keys([dict(one.call.metadata) for one in calls])
    return pd.DataFrame([_row(one, kept, texts) for one, kept in zip(calls, metadata, strict=True)])


def _row(one: Priced, metadata: object, texts: bool) -> dict[str, Any]:
    call, mask = one.call, Masked()
    counts = dict.fromkeys(TOKENS) if call.tokens is None else call.tokens.columns()
    read = None if call.tokens is None else call.tokens.prompt
    told = (
        {"prompt": mask(call.prompt or ""), "answer": mask(call.answer.text if call.answer else "")}
        if texts
        else {}
    )
    return {
        **{name: getattr(call, name) for name in PLAIN}, "error": call.error and mask(call.error),
        "started_at": None if call.started is None else call.started.isoformat(), **counts, "input_tokens": read,
        "cost_usd": one.usd, "priced_by": one.by, "request_sha": call.request,
        "tools": json.dumps([tool.name for tool in call.tools]), "metadata": mask(written(metadata)), **told,
    }  # fmt: skip


def write_traces(folder: Path, calls: Sequence[Priced], problems: Sequence[Problem], *, texts: bool) -> Path:
    """`traces.parquet` and, where there are some, `problems.jsonl`; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "problems.jsonl").unlink(missing_ok=True)  # of an earlier import
    if problems:
        lines = "".join(json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in problems)
        atomic_write(folder / "problems.jsonl", lines.encode("utf-8", "replace"))
    return write_frame(calls_frame(calls, texts=texts), folder / "traces.parquet")
