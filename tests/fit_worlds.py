"""Small worlds with a known truth for tests of the fit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from router_lab.outcomes import validate_outcomes

EASY, HARD = "add the two numbers", "prove the deep theorem"


def two_kinds(n: int = 400, seed: int = 0, *, shuffle: bool = False, prompts: bool = True) -> pd.DataFrame:
    """Half the prompts say they are easy: there `small` is right 95 % of the time, else 20 %; `large` always 95 %.
    large costs 10 cents, small 1 cent. Always routing right thus saves 45 % and loses nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        easy = bool(rng.random() < 0.5)
        words = " ".join(rng.choice(["red", "blue", "green", "fast", "slow", "old", "new"], 5))
        for model, right, cost in (("large", 0.95, 0.10), ("small", 0.95 if easy else 0.2, 0.01)):
            rows.append({
                "suite": "mixed", "sample_id": f"s{i:04d}", "model": model, "quality": float(rng.random() < right),
                "cost_usd": cost * (1 + 0.1 * rng.random()), "prompt": f"{EASY if easy else HARD} {words} {i}",
                "group": f"g{i:04d}", "output_tokens": int(rng.integers(50, 100)),
            })  # fmt: skip
    frame = pd.DataFrame(rows)
    if not prompts:
        frame["prompt"] = None
    if shuffle:
        for _, part in frame.groupby("model"):
            frame.loc[part.index, "quality"] = rng.permutation(part["quality"].to_numpy())
    return validate_outcomes(frame)


def constant(
    qualities: dict[str, float], costs: dict[str, float], n: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Candidates whose quality is a coin that the prompt says nothing about."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "suite": f"suite-{i % 2}", "sample_id": f"s{i:04d}", "model": model, "prompt": f"question {i} of many",
            "quality": float(rng.random() < right), "cost_usd": costs[model], "group": f"g{i:04d}",
        }
        for i in range(n)
        for model, right in qualities.items()
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def checked(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """`small` is right on 70 % of prompts that say nothing about which; its check fails on nine wrong answers in ten
    and on no right one. Asking `large` after a failed check costs both and loses 3 points; no router can do it."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        right = bool(rng.random() < 0.7)
        check = right or bool(rng.random() < 0.1)
        common = {
            "suite": "s",
            "sample_id": f"s{i:04d}",
            "prompt": f"question number {i}",
            "group": f"g{i:04d}",
        }
        rows.append(common | {"model": "small", "quality": float(right), "cost_usd": 0.01, "check": check})
        rows.append(common | {"model": "large", "quality": 1.0, "cost_usd": 0.10, "check": None})
    return validate_outcomes(pd.DataFrame(rows))


def directions(n: int = 400, seed: int = 0, *, prompts: bool = True, tell: bool = True) -> pd.DataFrame:
    """What is easy stands in the vector alone: a sample is where components 0 and 1 sum to more than 0. There `small`
    is right 95 % of the time, else 20 %; `large` always 95 %. Prices as in `two_kinds`, so always routing right saves
    45 %. Component 2 is noise and 3 never varies. Without `tell` the vectors are dealt to other samples."""
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([rng.normal(0, 2, (n, 3)), np.full(n, 7.0)])
    easy = vectors[:, 0] + vectors[:, 1] > 0
    shown = vectors if tell else rng.permutation(vectors)
    rows = []
    for i in range(n):
        words = " ".join(rng.choice(["red", "blue", "green", "fast", "slow", "old", "new"], 5))
        for model, right, cost in (("large", 0.95, 0.10), ("small", 0.95 if easy[i] else 0.2, 0.01)):
            rows.append({
                "suite": "mixed", "sample_id": f"s{i:04d}", "model": model, "quality": float(rng.random() < right),
                "cost_usd": cost, "prompt": f"question {words}" if prompts else None, "group": f"g{i:04d}",
                "vector": shown[i].tolist(),
            })  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def answered(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """`small` is right on 70 % of prompts that say nothing about which, and its answer's signal `sure` tells: from 0.5
    on where it is right, below where it is wrong, but for one in twenty. `large` is right on 95 %."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for model, right, cost in (("large", 0.95, 0.10), ("small", 0.7, 0.01)):
            good = bool(rng.random() < right)
            told = good if rng.random() < 0.95 else not good
            rows.append({
                "suite": f"suite-{i % 2}", "sample_id": f"s{i:04d}", "model": model, "quality": float(good),
                "cost_usd": cost, "prompt": f"question {i} of many", "group": f"g{i:04d}",
                "answer": f"it is {i if good else -i}", "signal_sure": (0.5 if told else 0.0) + 0.5 * rng.random(),
                "latency_s": 10 * cost,
            })  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))
