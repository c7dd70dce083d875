"""`make bench-scaling`: CPU seconds and memory of `fit` without diagnostics, at three sizes or those asked for.

Prints one row a size, CPU seconds of this process and its peak memory, and the growth from size to size.
`--sizes 1000x5 3000x10 10000x10`, `--big` adds 100000x20.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np
import pandas as pd


def outcomes(n: int, c: int) -> pd.DataFrame:
    """n prompts of about 60 words with a vocabulary of 20,000, c candidates."""
    from router_lab.outcomes import validate_outcomes

    rng = np.random.default_rng(0)
    words = np.array([f"w{i:x}" for i in range(20_000)])
    frequency = 1 / np.arange(1, 20_001)
    picks = rng.choice(words, size=(n, 60), p=frequency / frequency.sum())
    hard = rng.normal(size=n)
    prompts = [" ".join(row) + (" prove" if hard[i] > 0 else " add") for i, row in enumerate(picks)]
    sample = np.repeat(np.arange(n), c)
    column = np.tile(np.arange(c), n)
    right = rng.random(n * c) < 1 / (1 + np.exp(-(column / c * 2 - hard[sample])))
    frame = pd.DataFrame({
        "suite": [f"suite-{i % 7}" for i in sample], "sample_id": [f"s{i:06d}" for i in sample],
        "model": [f"m{j:02d}" for j in column], "prompt": [prompts[i] for i in sample], "quality": right.astype(float),
        "cost_usd": 10.0 ** (column / c * 2 - 3) * rng.uniform(0.5, 1.5, n * c), "group": [f"g{i:06d}" for i in sample],
    })  # fmt: skip
    return validate_outcomes(frame)


def measure(n: int, c: int) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak memory in GB of one fit, in this process."""
    from router_lab.config import Recipe
    from router_lab.fit import fit_policy

    table = outcomes(n, c)
    start, wall = time.process_time(), time.perf_counter()
    policy = fit_policy(Recipe.model_validate({"name": "scaling", "rule": {"margin": 0.02}}), table)
    spent = time.process_time() - start, time.perf_counter() - wall
    assert policy.spec.certificate["verdict"]
    return *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["1000x10", "3000x10", "10000x10"])
    parser.add_argument("--big", action="store_true")
    asked = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in asked.sizes] + [(100_000, 20)] * asked.big
    print(f"{'prompts':>9}{'candidates':>12}{'cpu s':>8}{'wall s':>8}{'GB':>7}{'us a cell':>11}")
    for n, c in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            cpu, wall, memory = pool.apply(measure, (n, c))
        print(f"{n:9}{c:12}{cpu:8.1f}{wall:8.1f}{memory:7.2f}{1e6 * cpu / n / c:11.1f}", flush=True)


if __name__ == "__main__":
    main()
