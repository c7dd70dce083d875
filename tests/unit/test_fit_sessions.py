"""What a fit keeps of sessions of several turns, by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.describe_policy import sessions_told
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.problem import prepare
from router_lab.fit.sessions import sessions_of
from router_lab.outcomes import validate_outcomes
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.model import Session, Sessions


def outcomes(**changes: object) -> pd.DataFrame:
    """20 samples in each of two suites; in `agent` small takes 3 turns and reads 600 tokens or 5 turns and 1,500,
    large always one of 100; in `plain` all take one turn of 40."""
    rows = [
        {
            "suite": suite, "sample_id": f"{suite}-{n}", "group": f"{suite}-{n}", "model": model,
            "prompt": f"question {suite} {n}", "quality": float(n % 2), "cost_usd": 0.01,
            "turns": (3 + 2 * (n % 2) if model == "small" else 1) if suite == "agent" else 1,
            "input_tokens": ((500 if n % 2 == 0 else 1_400) if model == "small" else 100) if suite == "agent" else 40,
            "cache_read_tokens": 100 if suite == "agent" and model == "small" else 0, "output_tokens": 5,
        }
        for suite in ("agent", "plain")
        for model in ("large", "small")
        for n in range(20)
    ]  # fmt: skip
    return pd.DataFrame([row | changes for row in rows])


def found(frame: pd.DataFrame, holdout: float = 0.0) -> Sessions | None:
    return sessions_of(prepare(Recipe(name="r", holdout=holdout), frame))


def test_means_by_suite_and_candidate() -> None:
    """Three prompts of 600 tokens in all: the last has 2 × 600 / 4 = 300; five of 1,500: 2 × 1,500 / 6 = 500."""
    agent = (Session(1.0, 100.0, 0.0), Session(4.0, 400.0, (300 + 1_000) / 2))
    plain = (Session(1.0, 40.0, 0.0), Session(1.0, 40.0, 0.0))
    pooled = (Session(1.0, 70.0, 0.0), Session(2.5, 220.0, 325.0))
    assert found(outcomes()) == Sessions("none", (pooled, agent, plain))


def test_what_the_dollars_assume_is_kept() -> None:
    frame = outcomes()
    frame.attrs = {"provenance": {"caching": "prefix"}}
    kept = found(frame)
    assert kept is not None and kept.caching == "prefix"


def test_samples_that_are_held_back_say_nothing() -> None:
    frame = outcomes()
    held = prepare(Recipe(name="r", holdout=0.5), frame)
    develop = set(held.develop.sample_id)
    rows = frame[frame["sample_id"].isin(develop) & (frame["suite"] == "agent") & (frame["model"] == "small")]
    kept = sessions_of(held)
    assert kept is not None and 0 < len(rows) < 20
    assert kept.rows[1][1] is not None and kept.rows[1][1].turns == pytest.approx(rows["turns"].mean())


@pytest.mark.parametrize("changes", [{"turns": 1}, {"turns": None}, {"input_tokens": None}])
def test_without_a_second_turn_or_tokens_nothing_is_kept(changes: dict[str, object]) -> None:
    assert found(outcomes(**changes)) is None
    bare = outcomes().drop(columns=list(changes))
    assert found(bare) is None


def test_a_row_that_says_nothing_is_left_out() -> None:
    frame = outcomes()
    frame.loc[frame["sample_id"] == "agent-0", "turns"] = None
    frame.loc[frame["sample_id"] == "agent-1", "status"] = "infra"
    frame.loc[frame["sample_id"] == "agent-1", "quality"] = None
    kept = found(validate_outcomes(frame))
    # Of small's 20 samples 9 are left of each kind.
    assert kept is not None and kept.rows[1][1] == Session(4.0, 400.0, 650.0)


def test_a_fitted_policy_has_it() -> None:
    assert fit_policy(Recipe(name="r", holdout=0.0, escalate=False), outcomes()).spec.sessions == found(
        outcomes()
    )


def test_show_says_where_a_running_session_is_looked_at_to_its_end(tmp_path: Path) -> None:
    policy = fit_policy(Recipe(name="r", holdout=0.0, escalate=False), outcomes())
    shown = CliRunner().invoke(cli, ["show", str(save_revision(policy, tmp_path))]).output
    assert "sessions" in shown and "must pay to the session's end in agent; elsewhere" in " ".join(
        shown.split()
    )
    bare = fit_policy(Recipe(name="r", holdout=0.0, escalate=False), outcomes(turns=None))
    assert "session" not in CliRunner().invoke(cli, ["show", str(save_revision(bare, tmp_path))]).output
    assert sessions_told(bare) is None
