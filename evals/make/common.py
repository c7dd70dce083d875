"""What the generators share: seeded drawing of slots, and one JSON object a line, the same bytes on every run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "Ana", "Ben", "Chloe", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mona",
    "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tara", "Uma", "Viktor", "Wanda", "Yusuf",
)  # fmt: skip


def pick(rng: np.random.Generator, items: tuple[Any, ...] | list[Any] | range) -> Any:
    """One of `items`, each as likely as the next."""
    return items[int(rng.integers(len(items)))]


def spread(weights: list[int], n_samples: int, most: list[int] | None = None) -> list[int]:
    """How many samples each template gives: in proportion to its weight, by largest remainders, and none more than
    its `most`; what one cannot give is spread over the others. Raises ValueError when all together give too few."""
    limits = most if most is not None else [n_samples] * len(weights)
    if sum(limits) < n_samples:
        raise ValueError(f"{n_samples} samples are more than the templates give ({sum(limits)})")
    counts = [0] * len(weights)
    while sum(counts) < n_samples:
        free = [i for i in range(len(weights)) if counts[i] < limits[i]]
        rest = n_samples - sum(counts)
        for i, share in zip(free, _remainders([weights[i] for i in free], rest), strict=True):
            counts[i] = min(counts[i] + share, limits[i])
    return counts


def _remainders(weights: list[int], n_samples: int) -> list[int]:
    exact = [w * n_samples / sum(weights) for w in weights]
    counts = [int(x) for x in exact]
    by_rest = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_rest[: n_samples - sum(counts)]:
        counts[i] += 1
    return counts


def to_jsonl(rows: list[dict[str, Any]]) -> bytes:
    """`rows` as UTF-8 JSON lines. Raises ValueError when an id or a prompt occurs twice."""
    for key in ("id", "input"):
        values = [row[key] for row in rows]
        doubled = {v for v in values if values.count(v) > 1}
        if doubled:
            raise ValueError(f"{key} occurs twice: {sorted(doubled)[0]!r}")
    lines = (json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(", ", ": ")) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
