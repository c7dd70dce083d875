"""`python -m evals.make [SUITE…]`: write datasets/<suite>/data.jsonl again, byte for byte, and its sha256."""

from __future__ import annotations

import importlib
import sys
from collections import Counter

from evals.make.common import ROOT, sha256, to_jsonl

SUITES = ("arithmetic", "extraction", "triage", "dates", "code", "agent", "workflow")


def build(suite: str) -> bytes:
    """The bytes of a suite's data.jsonl. Raises ValueError when a group is over 5 % or there are fewer than 60."""
    rows = importlib.import_module(f"evals.make.{suite}").rows()
    sizes = Counter(row["group"] for row in rows)
    if len(sizes) < 60 or max(sizes.values()) > 0.05 * len(rows):
        raise ValueError(
            f"{suite}: {len(sizes)} groups, the largest has {max(sizes.values())} of {len(rows)} samples"
        )
    return to_jsonl(rows)


def main(names: list[str]) -> None:
    for suite in names or SUITES:
        data = build(suite)
        path = ROOT / "datasets" / suite / "data.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{sha256(data)}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
