"""`make bench-runtime`: what a decision costs, beside a scikit-learn pipeline of the same features and a table lookup.

1,000 MMLU prompts (seed 0) of the benchmark data. CPU time of this thread, since the machine may be shared; median and
99th percentile, each the median of PASSES passes. The first two candidates are `fit_policy`'s on the other prompts, by
the features and settings of bench-quality; the rest are noisy mixtures of them, which costs a decision exactly as much.

`make bench-threads` has the waits of 8 threads, with and without hot swaps.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes
from router_lab.runtime import features as f
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Prices, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.rule import by_prediction
from router_lab.runtime.vectors import VectorScale, VectorWeights

DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", "../shared/data"))
PASSES = 3
COUNTS = (2, 8, 40)
DIMENSIONS = 384


def main() -> None:
    if not (DATA / "routellm_binary.parquet").exists():
        sys.exit(f"bench-runtime: skipped, {DATA} is absent (set ROUTER_LAB_BENCH_DATA)")
    train, test = mmlu()
    print(f"fitting on {train['sample_id'].nunique()} prompts …", file=sys.stderr)
    recipe = Recipe.model_validate(
        {"name": "bench", "rule": {"margin": 0.02}, "holdout": 0.0, "escalate": False}
    )
    fitted = fit_policy(recipe, train)
    policies = {count: widened(fitted.spec, count) for count in COUNTS}

    print(f"\nDeciding for {len(test)} MMLU prompts, CPU µs a prompt, median of {PASSES} passes\n")
    print(f"  {'path':42s} {'median':>9s} {'p99':>9s}")
    medians, worst = {}, 0.0
    for count, policy in policies.items():
        medians[count], p99 = show(f"decide, {count} candidates", policy.decide, test)
        worst = max(worst, p99)
    for count, policy in policies.items():
        taking = steered(policy.spec)
        given = np.random.default_rng(0).normal(size=(64, DIMENSIONS))
        turn = itertools.cycle(given)

        def with_vector(text: str, policy: Policy = taking, vectors: Iterator[Any] = turn) -> Decision:
            return policy.decide(text, vector=next(vectors))

        show(f"vector of {DIMENSIONS}, {count} candidates", with_vector, test)
        show("  without one", taking.decide, test)
    listed = itertools.cycle(given.tolist())
    show(f"vector of {DIMENSIONS} as a list", lambda t: taking.decide(t, vector=next(listed)), test)
    known = sorted(train["prompt"].unique())[:2000]
    pipeline = sklearn_pipeline(known, np.random.default_rng(0).random((len(known), 2)))
    slow, _ = show("scikit-learn pipeline, 2 candidates", lambda text: pipeline.predict([text]), test[:200])
    table = {str(index): Candidate("m", None) for index in range(57)}
    show("table lookup", lambda text: table.get(text[:1]), test)
    print(
        f"\n  slowest median {max(medians.values()):.1f} (required: 60), slowest p99 {worst:.1f} (required: 250)"
    )
    print(
        f"  scikit-learn / decide (slowest of the three): {slow / max(medians.values()):.1f} times (required: 15)"
    )

    print("\nLong prompts, 8 candidates, CPU µs (1,000,000 characters: at most 1,000)\n")
    for size in (3_500, 20_000, 1_000_000):
        text = (" ".join(test) * 3)[:size]
        show(f"{size:,} characters", policies[8].decide, [text] * 200)

    print("\nWhere the microseconds go (8 candidates, prompts in order)\n")
    for name, median in stages(policies[8], test):
        print(f"  {name:42s} {median:9.1f}")
    cold_start(policies[8])


def mmlu() -> tuple[pd.DataFrame, list[str]]:
    """(outcomes of the prompts to fit on, the 1,000 prompts to decide for); priced as bench-quality does."""
    frame = pd.read_parquet(DATA / "routellm_binary.parquet")
    frame = frame[frame["suite"].str.startswith("mmlu")]
    frame = frame.assign(cost_usd=np.where(frame["model"].str.startswith("gpt"), 24.7, 0.24) / 1000)
    firsts = frame.drop_duplicates(["suite", "sample_id"]).sort_values(["suite", "sample_id"])
    chosen = firsts.iloc[np.random.default_rng(0).permutation(len(firsts))[:1000]]
    keys = pd.MultiIndex.from_frame(frame[["suite", "sample_id"]])
    left_out = keys.isin(pd.MultiIndex.from_frame(chosen[["suite", "sample_id"]]))
    return validate_outcomes(frame[~left_out]), chosen["prompt"].tolist()


def widened(spec: PolicySpec, count: int) -> Policy:
    """A policy of `count` candidates: the two that were fitted, then noisy mixtures of them, at rising prices."""
    random, linear = np.random.default_rng(count), spec.linear
    share = np.concatenate([np.eye(2), random.dirichlet((1, 1), max(count - 2, 0))])[:count]
    prices = np.geomspace(1e-4, 1e-2, count)
    weights, dense = linear.weights[1:] * linear.scale, linear.dense * linear.dense_scale

    def mixed(columns: np.ndarray, noise: float) -> np.ndarray:
        return np.asarray(columns @ share.T) + random.normal(0, noise, (len(columns), count))

    wide = Linear.quantised(
        seen=linear.seen,
        weights=np.concatenate([mixed(weights[:, :2], 1e-3), mixed(weights[:, 2:], 1e-3)], axis=1),
        bias=np.concatenate([linear.bias[:, :2] @ share.T, np.tile(prices, (len(linear.bias), 1))], axis=1),
        dense=np.concatenate([mixed(dense[:, :2], 1e-4), mixed(dense[:, 2:], 1e-4)], axis=1),
        cost_bounds=np.array([prices / 10, prices * 10]),
    )
    return Policy(
        PolicySpec(
            name="bench",
            profiles=tuple(
                Profile(Candidate(f"model-{i:02d}"), prices=Prices(1.0, 2.0)) for i in range(count)
            ),
            reference=count - 1,
            suites=spec.suites,
            featuriser=spec.featuriser,
            linear=wide,
            points={"default": (Follow(10.0, 0.02, 0.8),)},
            point="default",
            coverage=0.3,
            routes={},
            fallbacks=tuple(reversed(range(count))),
        )
    )


def steered(spec: PolicySpec) -> Policy:
    """The same policy, taking vectors of DIMENSIONS numbers."""
    draw, columns = np.random.default_rng(1), 2 * len(spec.profiles)
    vector = VectorWeights(
        VectorScale(draw.normal(size=DIMENSIONS), draw.uniform(0.5, 2.0, DIMENSIONS)),
        draw.integers(-127, 128, (DIMENSIONS, columns)).astype(np.int8),
        np.full(columns, 1e-6),
    )
    return Policy(replace(spec, linear=replace(spec.linear, vector=vector)))


def sklearn_pipeline(texts: list[str], quality: np.ndarray) -> Pipeline:
    """The same features as scikit-learn would be asked for: words and punctuation, 1–2-grams, hashed; byte counts."""

    def counts(rows: list[str]) -> np.ndarray:
        data = (row[:2048].encode().translate(f.BYTE_CLASS) for row in rows)
        found: np.ndarray = np.array(
            [np.bincount(np.frombuffer(d, np.uint8), minlength=len(f.DENSE)) for d in data]
        )
        return np.asarray(np.log2(found + 1))

    hashed = HashingVectorizer(
        ngram_range=(1, 2), token_pattern=r"[a-z0-9]+|[^\sa-z0-9]+", binary=True, n_features=2**18
    )
    union = FeatureUnion([("words", hashed), ("bytes", FunctionTransformer(counts))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = Pipeline([("features", union), ("ridge", Ridge(alpha=5.0, solver="lsqr"))]).fit(
            texts, quality
        )
    # Its prediction would copy all coefficients into this order each time; it gets the benefit of doing that once.
    pipeline["ridge"].coef_ = np.asfortranarray(pipeline["ridge"].coef_)
    return pipeline


def measure(call: Callable[[str], Any], texts: list[str]) -> list[float]:
    """CPU µs of each call, less the clock's own."""
    clock = time.thread_time_ns
    own = statistics.median(-(clock() - clock()) for _ in range(1000))
    spent = []
    for text in texts:
        start = clock()
        call(text)
        spent.append((clock() - start - own) / 1000)
    return spent


def show(name: str, call: Callable[[str], Any], texts: list[str]) -> tuple[float, float]:
    for text in texts[:50]:
        call(text)
    passes = [measure(call, texts) for _ in range(PASSES)]
    median = statistics.median(statistics.median(spent) for spent in passes)
    p99 = statistics.median(float(np.percentile(spent, 99)) for spent in passes)
    print(f"  {name:42s} {median:9.1f} {p99:9.1f}", flush=True)
    return median, p99


def stages(policy: Policy, texts: list[str]) -> list[tuple[str, float]]:
    """Median CPU µs of each step of a decision, over the prompts."""
    spec, predictor = policy.spec, policy._predictor
    point, reference = spec.points["default"], spec.reference

    def bag(text: str) -> Any:
        data = b" %b " % text[:2048].encode()
        return f._bag(
            np.frombuffer(data.translate(f.LOWER), np.uint8),
            np.frombuffer(data.translate(f.KIND), np.uint8),
        )

    steps: list[tuple[str, Callable[[str], Any]]] = [
        ("words and pairs, hashed", bag),
        ("all features (with distinct, byte counts)", lambda text: spec.featuriser(text)),
        ("and integer sums of their weights", predictor._sums),
        ("and quality and cost of all candidates", lambda text: predictor.one(text, 0)),
        ("and the whole decision", policy.decide),
    ]
    rows = [(name, statistics.median(measure(step, texts))) for name, step in steps]
    quality, cost, coverage = predictor.one(texts[0], 0)
    rows.append(
        (
            "   of which the rule",
            statistics.median(measure(lambda _: by_prediction(quality, reference, 0.02), texts)),
        )
    )
    make = lambda _: Decision(spec, None, 0, "predicted", quality, cost, coverage, 0, point)
    rows.append(("   of which the Decision", statistics.median(measure(make, texts))))
    return rows


def cold_start(policy: Policy, runs: int = 30) -> None:
    """CPU and wall seconds of a fresh interpreter that loads the policy, against one that imports numpy alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = save_policy(policy, Path(folder) / "policy")
        commands = {
            "import numpy": "import numpy",
            "import router_lab, load": f"import router_lab; router_lab.load_policy({str(path)!r})",
        }
        # As installed: an installer compiles what it installs, and a checkout may be kept from it by the environment.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for run in range(runs + 1):
            for name, code in commands.items():
                row = fresh(code, environment)
                if run:  # the first one compiled
                    spent[name].append(row)
        print(f"\nA fresh process, 8 candidates, median of {runs} interleaved runs\n")
        print(f"  {'':42s} {'CPU ms':>9s} {'wall ms':>9s}")
        for name, rows in spent.items():
            medians = [statistics.median(row[i] for row in rows) for i in (0, 1)]
            print(f"  {name:42s} {medians[0]:9.1f} {medians[1]:9.1f}")
        cpu, wall = (
            statistics.median(r[i] for r in spent["import router_lab, load"])
            / statistics.median(r[i] for r in spent["import numpy"])
            for i in (0, 1)
        )
        print(f"\n  ratio {cpu:.2f} by CPU, {wall:.2f} by the clock (required: 1.35)")
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        kept, peak = map(int, done.stdout.split())
        size = sum(file.stat().st_size for file in path.iterdir()) / 2**20
        print(
            f"  loading adds {kept / 1024:.1f} MiB of resident memory, at its peak {peak / 1024:.1f} (required: 30);"
            f" artifact {size:.1f} MiB"
        )
        start = time.thread_time()
        load_policy(path)
        print(f"  load_policy in a warm process: {1000 * (time.thread_time() - start):.1f} ms CPU")


MEMORY = """
import sys, router_lab

def resident(key):  # unlike getrusage's, the peak of /proc starts anew with each program
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

before = resident("VmRSS")
policy = router_lab.load_policy(sys.argv[1])
policy.decide("hello")
print(resident("VmRSS") - before, resident("VmHWM") - before)
"""


def fresh(code: str, environment: dict[str, str]) -> tuple[float, float]:
    """(CPU, wall) milliseconds of one interpreter running `code`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * cpu, 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
