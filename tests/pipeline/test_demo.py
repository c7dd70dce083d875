"""The whole walk, as `make demo` runs it."""

import json
import shutil
from pathlib import Path

from router_lab import load_policy
from router_lab.outcomes import read_calls, read_outcomes
from tests import warm
from tests.pipeline.conftest import Demo


def test_ends_with_a_policy_and_a_verdict(demo: Demo) -> None:
    lines = demo.stdout.strip().splitlines()
    assert lines[-2].startswith("verdict: ")
    assert lines[-2].split()[1] in ("pass", "fail", "inconclusive")
    policy = load_policy(demo.policy)
    assert policy.decide("A ticket about nothing in particular").candidate in policy.candidates


def test_prints_what_a_stranger_looks_for(demo: Demo) -> None:
    for part in (
        "$/success", "● candidate", "policy  ", "random mix", "oracle (hindsight: an upper bound)", "(reference)",
        "samples of the fit can certify", "rows alone could certify", "report.html",
        "mlflow server --backend-store-uri",
    ):  # fmt: skip
        assert part in demo.stdout, part
    assert demo.stdout.count("  → ") == 3  # three routed prompts, each with a reason


def test_every_outcome_is_real_and_priced(demo: Demo) -> None:
    outcomes, calls = read_outcomes(demo.out / "outcomes.parquet"), read_calls(demo.out / "calls.parquet")
    assert (outcomes["status"] == "ok").all()
    assert (outcomes["cost_usd"] > 0).all()
    assert outcomes["prompt"].notna().all()
    single = outcomes["suite"] != "agent"
    assert (calls["suite"] != "agent").sum() == single.sum()  # one call a sample but for the agent's loop
    assert len(calls) > len(outcomes)
    per_cell = outcomes.groupby(["suite", "model", "effort"], dropna=False).size()
    assert per_cell.groupby("suite").nunique().eq(1).all()  # every candidate saw every sample
    assert per_cell.groupby(["model", "effort"]).sum().tolist() == [1200] * 8


def test_losing_the_mlflow_database_loses_nothing_that_fit_needs(
    demo: Demo, root: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "out"
    shutil.copytree(demo.out, kept)
    (kept / "mlflow.db").unlink()
    shutil.rmtree(kept / "mlflow-artifacts")
    recipe, outcomes = root / "policies" / "demo" / "recipe.yaml", kept / "outcomes.parquet"
    done = warm.run(["fit", recipe, "--outcomes", outcomes, "--out", kept / "again"], cwd=root)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip().splitlines()[-1]).name == demo.policy.name  # same outcomes, same bytes


def test_collect_again_gives_the_same_bytes(demo: Demo, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "outcomes.parquet"
    done = warm.run(["collect", demo.out / "logs", "--out", out, "--prices", "evals/prices.yaml"], cwd=root)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (demo.out / "outcomes.parquet").read_bytes()


def test_the_artifact_is_data(demo: Demo) -> None:
    names = {p.name for p in demo.policy.iterdir()}
    assert {"policy.json", "certificate.json", "golden.jsonl", "MANIFEST.json"} <= names
    assert {p.suffix for p in demo.policy.iterdir()} <= {".json", ".jsonl", ".npy", ".npz"}
    prompts = set(read_outcomes(demo.out / "outcomes.parquet")["prompt"])
    golden = [json.loads(line) for line in (demo.policy / "golden.jsonl").read_text().splitlines()]
    assert golden
    assert not prompts & {row.get("prompt") for row in golden}  # never a user's prompt


def test_request_arguments_are_those_that_were_measured(demo: Demo) -> None:
    policy = load_policy(demo.policy)
    limits = {"arithmetic": 40, "extraction": 64, "triage": 16}  # max_tokens of evals/efforts.yaml, by suite
    for suite, most in limits.items():
        arguments = policy.decide("2 + 2?", suite=suite).openai_chat("2 + 2?")
        assert (arguments["max_tokens"], arguments["temperature"]) == (most, 0)
        assert arguments["messages"][-1] == {"role": "user", "content": "2 + 2?"}


def test_teams_are_whole_and_their_certificate_is_recomputed(demo: Demo, root: Path) -> None:
    """Nine teams in one harness and three in two more, each on 100 workflows; what a fit made of them comes again."""
    folder = demo.out / "teams"
    outcomes = read_outcomes(folder / "outcomes.parquet")
    assert (outcomes["status"] == "ok").all() and (outcomes["cost_usd"] > 0).all()
    counted = outcomes.groupby(["model", "harness"]).size()
    assert counted.tolist() == [100] * 15 and outcomes["group"].nunique() == 60
    best = outcomes.groupby(["model", "harness"])["quality"].mean().max()
    assert 0.3 <= best <= 0.9
    (policy,) = (folder / "policy").iterdir()
    assert str(policy) in demo.stdout and (folder / "report.html").exists()
    done = warm.run(["verify", policy, "--outcomes", folder / "outcomes.parquet"], cwd=root)
    assert done.returncode == 0, done.stderr
    assert "fitted again: the same bytes" in done.stdout
