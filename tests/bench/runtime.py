"""`make bench-runtime`: what a decision costs, beside a scikit-learn pipeline of the same features and a table lookup.

1,000 MMLU prompts (seed 0) of the benchmark data. CPU time of this thread, since the machine may be shared; median and
99th percentile, each the median of PASSES passes. The first two candidates are fitted by ridge on the other prompts;
the rest are noisy mixtures of them, which costs a decision exactly as much.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from router_lab.runtime import features as f
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.model import Candidate, Linear, Point, PolicySpec, Prices, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.rule import by_prediction

DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", "../shared/data"))
PASSES = 3
COUNTS = (2, 8, 40)


def main() -> None:
    if not (DATA / "routellm_binary.parquet").exists():
        sys.exit(f"bench-runtime: skipped, {DATA} is absent (set ROUTER_LAB_BENCH_DATA)")
    train, test, quality = mmlu()
    print(f"fitting on {len(train)} prompts …", file=sys.stderr)
    fitted = ridge(train, quality)
    policies = {count: compile_policy(fitted, count) for count in COUNTS}

    print(f"\nDeciding for {len(test)} MMLU prompts, CPU µs a prompt, median of {PASSES} passes\n")
    print(f"  {'path':42s} {'median':>9s} {'p99':>9s}")
    medians = {}
    for count, policy in policies.items():
        medians[count], _ = show(f"decide, {count} candidates", policy.decide, test)
    pipeline = sklearn_pipeline(train[:2000], quality[:2000])
    slow, _ = show("scikit-learn pipeline, 2 candidates", lambda text: pipeline.predict([text]), test[:200])
    table = {str(index): Candidate("m", None) for index in range(57)}
    show("table lookup", lambda text: table.get(text[:1]), test)
    ratio = slow / max(medians.values())
    print(f"\n  scikit-learn / decide (slowest of the three): {ratio:.1f} times (required: 15)")

    print("\nLong prompts, 8 candidates, CPU µs\n")
    for size in (3_500, 20_000, 1_000_000):
        text = (" ".join(test) * 3)[:size]
        show(f"{size:,} characters", policies[8].decide, [text] * 200)

    print("\nWhere the microseconds go (8 candidates, prompts in order)\n")
    for name, median in stages(policies[8], test):
        print(f"  {name:42s} {median:9.1f}")
    cold_start(policies[8])


def mmlu() -> tuple[list[str], list[str], np.ndarray]:
    """(prompts to fit on, the 1,000 prompts to decide for, quality [n, 2] of the first)."""
    frame = pd.read_parquet(
        DATA / "routellm_binary.parquet", columns=["suite", "sample_id", "model", "prompt", "quality"]
    )
    frame = frame[frame.suite.str.startswith("mmlu")]
    wide = frame.pivot_table(index=["suite", "sample_id"], columns="model", values="quality")
    prompts = frame.drop_duplicates(["suite", "sample_id"]).set_index(["suite", "sample_id"]).prompt.loc[wide.index]
    chosen = np.random.default_rng(0).permutation(len(prompts))
    texts = prompts.to_numpy(object)
    return texts[chosen[1000:]].tolist(), texts[chosen[:1000]].tolist(), wide.to_numpy()[chosen[1000:]]


def ridge(texts: list[str], quality: np.ndarray) -> tuple[f.Featuriser, np.ndarray, np.ndarray, np.ndarray]:
    """(featuriser, buckets seen, their weights [n, 2], intercepts [2])."""
    featuriser, batch = f.Featuriser.fitted(texts)
    size = np.diff(batch.indptr)
    values = np.repeat(1 / np.sqrt(np.maximum(size, 1)), size)
    matrix = sparse.csr_matrix((values, batch.buckets.astype(np.int64), batch.indptr), (len(texts), featuriser.buckets))
    models = [Ridge(alpha=5.0, solver="lsqr", tol=1e-3).fit(matrix, quality[:, column]) for column in range(2)]
    seen = np.unique(batch.buckets)
    weights = np.column_stack([model.coef_[seen] for model in models])
    return featuriser, seen, weights, np.array([model.intercept_ for model in models])


def compile_policy(fitted: tuple[f.Featuriser, np.ndarray, np.ndarray, np.ndarray], count: int) -> Policy:
    featuriser, seen, weights, intercepts = fitted
    random = np.random.default_rng(count)
    share = np.concatenate([np.eye(2), random.dirichlet((1, 1), max(count - 2, 0))])[:count]
    quality = weights @ share.T + random.normal(0, 1e-3, (len(seen), count))
    prices = np.geomspace(1e-4, 1e-2, count)
    bias = np.concatenate([intercepts @ share.T, prices])[None, :]
    linear = Linear.quantised(
        seen=seen,
        weights=np.concatenate([quality, prices * random.normal(0, 0.1, (len(seen), count))], axis=1),
        bias=bias,
        dense=random.normal(0, 1e-4, (len(f.DENSE), 2 * count)) * np.concatenate([np.ones(count), prices]),
        cost_bounds=np.array([prices / 10, prices * 10]),
    )
    return Policy(
        PolicySpec(
            name="bench",
            profiles=tuple(Profile(Candidate(f"model-{i:02d}"), prices=Prices(1.0, 2.0)) for i in range(count)),
            reference=count - 1,
            suites=(),
            featuriser=featuriser,
            linear=linear,
            points={"default": Point(10.0, 0.02, 0.8)},
            point="default",
            coverage=0.3,
            routes={},
            fallbacks=tuple(reversed(range(count))),
        )
    )


def sklearn_pipeline(texts: list[str], quality: np.ndarray) -> Pipeline:
    """The same features as scikit-learn would be asked for: words and punctuation, 1–2-grams, hashed; byte counts."""

    def counts(rows: list[str]) -> np.ndarray:
        hist = np.array([np.bincount(np.frombuffer(row[:2048].encode(), np.uint8), minlength=256) for row in rows])
        return np.log2(hist[:, [10, 32, 46, 63, 40, 43, 45, 61]] + 1)

    hashed = HashingVectorizer(
        ngram_range=(1, 2), token_pattern=r"[a-z0-9]+|[^\sa-z0-9]+", binary=True, n_features=2**18
    )
    union = FeatureUnion([("words", hashed), ("bytes", FunctionTransformer(counts))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = Pipeline([("features", union), ("ridge", Ridge(alpha=5.0, solver="lsqr"))]).fit(texts, quality)
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
            np.frombuffer(data.translate(f._LOWER), np.uint8), np.frombuffer(data.translate(f._KIND), np.uint8)
        )

    steps: list[tuple[str, Callable[[str], Any]]] = [
        ("words and pairs, hashed", bag),
        ("all features (with distinct, byte counts)", spec.featuriser),
        ("and integer sums of their weights", predictor._sums),
        ("and quality and cost of all candidates", lambda text: predictor.one(text, 0)),
        ("and the whole decision", policy.decide),
    ]
    rows = [(name, statistics.median(measure(step, texts))) for name, step in steps]
    quality, cost, coverage = predictor.one(texts[0], 0)
    rows.append(
        ("   of which the rule", statistics.median(measure(lambda _: by_prediction(quality, reference, 0.02), texts)))
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
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, code in commands.items():
                spent[name].append(fresh(code))
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
        code = (
            "import router_lab, resource; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
            f"router_lab.load_policy({str(path)!r});"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
        )
        grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        size = sum(file.stat().st_size for file in path.iterdir()) / 2**20
        print(
            f"  loading adds {int(grown.stdout) / 1024:.1f} MiB of peak memory (required: 30); artifact {size:.1f} MiB"
        )
        start = time.thread_time()
        load_policy(path)
        print(f"  load_policy in a warm process: {1000 * (time.thread_time() - start):.1f} ms CPU")


def fresh(code: str) -> tuple[float, float]:
    """(CPU, wall) milliseconds of one interpreter running `code`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * cpu, 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
