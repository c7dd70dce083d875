"""What a processor could change, seen from one machine: BLAS kernels, numpy's instructions, the C library's, threads.

`CONFIGURATIONS` are environments in which one and the same program is to give one and the same answer; those that this
machine lacks have a reason. Run as a program it fits small worlds, and prints a line for each: its name, its revision,
and a digest of what is decided, replayed, gated and raced with it. First comes what the libraries themselves give, so
that a comparison can show that its configurations differ at all.

    python -m tests.kernels FIRST LAST [OUTCOMES.parquet …]        seeds FIRST … LAST-1, then the files

Three seeds in a row go through all recipes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # type: ignore[import-not-found]
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX512 = [
    f for f in __cpu_dispatch__ if __cpu_features__.get(f) and (f == "X86_V4" or f.startswith("AVX512"))
]
AVX2 = [f for f in __cpu_dispatch__ if __cpu_features__.get(f) and f in ("X86_V3", "AVX2", "FMA3")]
NEEDS = {"Prescott": "SSE3", "Sandybridge": "AVX", "Haswell": "AVX2", "SkylakeX": "AVX512F"}
"""What a machine must have for OpenBLAS to use its kernels for a processor."""


@dataclass(frozen=True)
class Configuration:
    """Environment variables, and why they would show nothing here (None = they do)."""

    name: str
    env: dict[str, str] = field(compare=False)
    lacking: str | None = None


def kernels(name: str, *, avx512: bool = True) -> Configuration:
    """OpenBLAS's kernels for a processor, with numpy's own instructions or without AVX-512 ones."""
    env = {"OPENBLAS_CORETYPE": name} | ({} if avx512 else {"NPY_DISABLE_CPU_FEATURES": " ".join(AVX512)})
    lacking = None
    if not (X86 and __cpu_features__.get(NEEDS[name])):
        lacking = f"this machine has no {NEEDS[name]}, so OpenBLAS would not take {name}'s kernels"
    elif not avx512 and not AVX512:
        lacking = "this machine's numpy uses no AVX-512 that could be switched off"
    return Configuration(name if avx512 else f"{name}, numpy without AVX-512", env, lacking)


def old_machine() -> Configuration:
    """An x86 processor of 2011: no AVX2 and no fused multiply-add in numpy nor, with glibc, in the C library."""
    env = {
        "OPENBLAS_CORETYPE": "Sandybridge", "NPY_DISABLE_CPU_FEATURES": " ".join([*AVX2, *AVX512]),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    }  # fmt: skip
    lacking = None if AVX2 else "this machine's numpy uses no AVX2 that could be switched off"
    return Configuration("Sandybridge, no AVX2 nor FMA anywhere", env, lacking)


def threads(count: int) -> Configuration:
    return Configuration(f"as it is, {count} threads", {"OMP_NUM_THREADS": str(count)})


CORES = ("Prescott", "Sandybridge", "Haswell", "SkylakeX")
ALL = (
    *(kernels(name, avx512=own) for name in CORES for own in (True, False)),
    old_machine(), threads(3),
)  # fmt: skip
FEW = (threads(3), kernels("SkylakeX"), kernels("Haswell", avx512=False), old_machine())
"""Enough to differ in each of the ways, and few enough for a test; the first runs everywhere."""


def answers(configuration: Configuration, *arguments: str) -> dict[str, list[str]]:
    """What this program prints under a configuration: a list of words by name."""
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "NPY_DISABLE", "GLIBC_TUN"))
    }
    env = clean | {"OMP_NUM_THREADS": "1"} | configuration.env
    command = [sys.executable, "-W", "error", "-m", "tests.kernels", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{configuration.name}: {done.stderr}"
    return {name: words for name, *words in (line.split("\t") for line in done.stdout.splitlines())}


def libraries() -> str:
    """A digest of what BLAS, numpy's transcendental functions and the C library's give here."""
    numbers = np.sin(np.arange(4096.0)) * 3  # any: it is their last digits that matter
    single = numbers.astype(np.float32).reshape(64, 64)
    parts = [
        numbers @ numbers[::-1], (single @ single).tobytes(), np.exp(numbers).tobytes(),
        np.log(numbers * numbers + 1).tobytes(), [math.exp(v) + math.log(v + 4) for v in numbers.tolist()],
    ]  # fmt: skip
    return digest(parts)


def digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def world(seed: int, n: int = 60) -> pd.DataFrame:
    """Three candidates on two suites, with everything that a table may have: groups of several rows, two epochs,
    thirds as qualities, missing outcomes, known chances of a run, failed checks, vectors."""
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    words = (
        "add",
        "prove",
        "the",
        "sum",
        "of",
        "deep",
        "old",
        "new",
        "fast",
        "list",
        "(x)",
        "12",
        "why",
        "how",
    )
    rows: list[dict[str, object]] = []
    for i in range(n):
        hard, told = float(rng.random()), [float(v) for v in np.round(rng.random(3), 6)]
        text = " ".join(rng.choice(words, int(rng.integers(4, 12)))) + (
            " theorem" if hard > 0.5 else " numbers"
        )
        told[0] += hard
        shared = {"suite": f"suite-{i % 2}", "sample_id": f"s{i:04d}", "prompt": text, "group": f"g{i % 50}",
                  "vector": told}  # fmt: skip
        for model, skill, price in (("large", 0.9, 0.013), ("middle", 0.75, 0.0041), ("small", 0.5, 0.0007)):
            for epoch in (1, 2)[: 1 + (i % 3 == 0)]:
                right = float(np.clip(skill + 0.5 - hard + rng.random() - 0.5, 0, 1))
                rows.append(shared | {
                    "model": model, "epoch": epoch, "quality": round(3 * right) / 3,
                    "cost_usd": price * (0.3 + hard + rng.random()), "output_tokens": int(rng.integers(20, 900)),
                    "check": None if model == "large" else bool(right > 0.4 or rng.random() < 0.1),
                    "inclusion": 0.3 if model == "middle" and i > n // 2 else 1.0,
                    "signal_sure": 2 * right + other.normal(), "answer": f"it is {other.integers(0, 3)} or so",
                })  # fmt: skip
                if model == "middle" and i > n // 2 and rng.random() > 0.3:
                    rows.pop()
    return pd.DataFrame(rows)


PLAIN = ("check", "vector", "inclusion")
RECIPES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "margin": ({"rule": {"margin": 0.05}, "holdout": 0.2}, PLAIN),
    "quality": ({"rule": {"min_quality": 0.6}}, PLAIN),
    "points": (
        {"rule": {"margin": 0.04}, "points": {"low": {"margin": 0.1}, "rich": {"budget_usd_per_1k": 12}}},
        PLAIN,
    ),
    "strict": ({"rule": {"margin": 0.2}, "strict": True}, PLAIN),
    "no chance": ({"rule": {"margin": 0.1}, "mix": False}, PLAIN),
    "budget": ({"rule": {"budget_usd_per_1k": 9}}, ("check", "vector")),
    "weights": ({"rule": {"margin": 0.06}}, ("check", "vector")),
    "escalation": ({"rule": {"margin": 0.08}}, ("vector", "inclusion")),
    "vectors": ({"rule": {"margin": 0.05}}, ("check", "inclusion")),
    "knn": ({"rule": {"margin": 0.05}, "fitter": "knn"}, ("check", "inclusion")),
    "irt": ({"rule": {"margin": 0.05}, "fitter": "irt"}, PLAIN),
    "rates": ({"rule": {"margin": 0.05}, "fitter": "rates"}, ()),
    "chains": ({"rule": {"margin": 0.08}}, ("check", "vector", "inclusion")),
    "caps": ({"rule": {"margin": 0.08}, "caps": True, "escalate": False}, ("check", "vector", "inclusion")),
}
"""By name: the recipe, and the columns that it does without."""
TOLD = ("signal_sure", "answer")
"""Columns that only `chains` has."""
FILES = ("margin", "points", "strict", "knn")
"""Recipes for tables that were measured; a table that has vectors or checks keeps them."""


def fits(table: pd.DataFrame, names: list[str], seed: int, *, drop: bool) -> Iterator[tuple[str, str, str]]:
    """(recipe, revision, digest of what was done with it) for each recipe that `table` can be fitted with."""
    from router_lab.config import Recipe
    from router_lab.fit import fit_policy
    from router_lab.runtime.artifact import encode_policy, revision_of

    for name in names:
        recipe, without = RECIPES[name]
        left = (*without, *(TOLD if name != "chains" else ()))
        frame = table.drop(columns=[c for c in left if drop and c in table])
        fields = {"name": "world", "holdout": 0.0, "candidates": None} | recipe
        policy = fit_policy(Recipe.model_validate(fields), frame, seed)
        yield name, revision_of(encode_policy(policy))[:16], digest(uses(policy, frame))


def uses(policy: Any, table: pd.DataFrame) -> list[Any]:
    """What is predicted, decided (where it is a tie, too), replayed and gated with a policy on some of the table."""
    from router_lab.config import Gate
    from router_lab.gates import run_gates
    from router_lab.outcomes import OutcomeMatrix, validate_outcomes
    from router_lab.replay import replay, requests_of
    from router_lab.runtime.policy import Policy

    frame = validate_outcomes(table)
    keys = frame["sample_id"].drop_duplicates()[:80]
    some = frame[frame["sample_id"].isin(keys)]
    data = OutcomeMatrix.from_frame(some)
    prompts, suites, vectors = requests_of(policy, data)
    quality, cost = policy.predict(prompts, suites, vectors)
    told: list[Any] = [
        quality.tobytes(),
        cost.tobytes(),
        policy.shares(prompts, suites, vectors=vectors).tobytes(),
    ]
    told += [_tie(policy, i, prompts, suites, vectors, quality, cost) for i in range(0, len(prompts), 10)]
    unread = Policy(replace(policy.spec, groups=np.zeros(0, np.uint64)))  # so that every row counts as fresh
    gates = [
        Gate(metric="quality", min=0.7), Gate(metric="savings", min=0.1),
        Gate(metric="quality", margin=0.05, against="reference", suite="each"),
    ]  # fmt: skip
    judged = run_gates(unread, some, gates, today=dt.date(2026, 1, 1)).to_json()
    return [*told, json.dumps([replay(unread, some).to_json(), judged], sort_keys=True)]


def _tie(policy: Any, i: int, prompts: Any, suites: Any, vectors: Any, quality: Any, cost: Any) -> Any:
    """The decision at a guard that is the gain of prompt i to the last bit, and at the next smaller number: `keep` and
    `replace`. One bit more or less in a prediction would change one of them."""
    from router_lab.runtime.points import Follow
    from router_lab.runtime.policy import Policy

    tradeoff = 7.3
    utility = quality[i] - tradeoff * cost[i]
    gain = float(utility.max() - utility[policy.spec.reference])
    found = []
    for guard in (gain, math.nextafter(gain, -1.0)):
        points = {**policy.spec.points, policy.spec.point: (Follow(tradeoff, max(guard, 0.0)),)}
        asked = {} if vectors is None else {"vector": vectors[i]}
        found.append(
            Policy(replace(policy.spec, points=points, chains=()))
            .decide(prompts[i], suite=suites[i], **asked)
            .to_dict()
        )
    return found


def races(table: pd.DataFrame) -> list[Any]:
    """Who leaves a race of the table's candidates, and when."""
    from router_lab.outcomes import OutcomeMatrix, validate_outcomes
    from router_lab.racing.order import whole_clusters
    from router_lab.racing.race import Race, RaceRule

    data = OutcomeMatrix.from_frame(validate_outcomes(table))
    order, ends = whole_clusters(data.group)
    looks = tuple(range(10, len(ends) + 1, 10))
    race = Race(RaceRule(margin=0.1), len(data.candidates), looks=looks)
    told: list[Any] = []
    before = 0
    for look in looks:
        rows: NDArray[np.int64] = order[before : ends[look - 1]]
        clusters = np.searchsorted(ends, np.arange(before, ends[look - 1]), side="right")
        told.append(race.look(data.quality[rows], data.cost_usd[rows], clusters))
        told.append((race.waiting.tolist(), race.price.tolist(), race._against.capital.tolist()))
        before = int(ends[look - 1])
    return told


def main() -> None:
    from router_lab.outcomes import read_outcomes
    from router_lab.racing.alpha_spending import backward, forward

    first, last, *files = sys.argv[1:]
    print("libraries", libraries(), sep="\t")
    print("boundaries", digest([f((40, 80, 200, 333), 0.07) for f in (forward, backward)]), sep="\t")
    for seed in range(int(first), int(last)):
        table = world(seed)
        for name, *words in fits(table, list(RECIPES)[seed % 3 :: 3], seed, drop=True):
            print(f"seed {seed}, {name}", *words, sep="\t", flush=True)
        print(f"seed {seed}, race", digest(races(table.drop(columns="vector"))), sep="\t")
    for path in files:
        for name, *words in fits(read_outcomes(path), list(FILES), 0, drop=False):
            print(f"{Path(path).name}, {name}", *words, sep="\t", flush=True)


if __name__ == "__main__":
    main()
