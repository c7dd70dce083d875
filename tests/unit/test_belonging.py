"""Raw tables are taken wherever validated ones are, and outcomes that are not the policy's are named as such."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.cli.diff import effect
from router_lab.config import Gate, Recipe
from router_lab.fit import fit_policy
from router_lab.fit.reproduce import reproduce
from router_lab.gates import run_gates
from router_lab.outcomes import outcomes_for, validate_outcomes, write_outcomes
from router_lab.plan import plan
from router_lab.replay import replay
from router_lab.report import report_html
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from tests.fit_worlds import two_kinds

GATES = [Gate.model_validate({"metric": "quality", "against": "reference", "margin": 0.05})]
USES: dict[str, Callable[[Policy, pd.DataFrame], Any]] = {
    "replay": lambda policy, table: replay(policy, table).to_json(),
    "gate": lambda policy, table: run_gates(policy, table, GATES).to_json(),
    "champion": lambda policy, table: run_gates(policy, table, GATES, champion=policy).to_json(),
    "plan": lambda policy, table: plan(table, 0.03),
    "diff": lambda policy, table: effect(policy, policy, table),
    "report": lambda policy, table: report_html(table, policy=policy),
    "verify": lambda policy, table: reproduce(policy, table),
}


@pytest.fixture(scope="module")
def world() -> tuple[Policy, pd.DataFrame]:
    table = two_kinds(200)
    return fit_policy(Recipe.model_validate({"name": "test", "rule": {"margin": 0.05}}), table), table


@pytest.mark.parametrize("use", USES)
def test_a_raw_table_is_as_good_as_a_validated_one(use: str, world: tuple[Policy, pd.DataFrame]) -> None:
    """What `fit_policy` takes: no `effort`, no `epoch`, no `status`, no `group`, in any order."""
    _, table = world
    raw = table[["suite", "sample_id", "model", "quality", "cost_usd", "prompt"]].sample(
        frac=1, random_state=0
    )
    fitted = fit_policy(Recipe.model_validate({"name": "test", "rule": {"margin": 0.05}}), raw)
    settled = validate_outcomes(raw)
    assert USES[use](fitted, raw) == USES[use](fitted, settled)


def test_validating_twice_changes_nothing(world: tuple[Policy, pd.DataFrame]) -> None:
    pd.testing.assert_frame_equal(outcomes_for(*world, "replay"), world[1])


UNRELATED = [use for use in USES if use != "plan"]


@pytest.mark.parametrize("use", UNRELATED)
def test_unrelated_models_are_named_and_not_the_fit(use: str, world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    other = table.assign(model=table["model"] + "-2")
    said = (
        "the outcomes hold no scored row of any candidate of policy 'test' (large, small); they hold large-2, small-2. "
        "Give outcomes of a sweep over the policy's candidates"
    )
    with pytest.raises(InputError, match=re.escape(said)):
        USES[use](policy, other)


@pytest.mark.parametrize("use", UNRELATED)
def test_another_effort_is_another_candidate(use: str, world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    with pytest.raises(
        InputError, match=r"they hold large @ high, small @ high\. .*model and effort written alike"
    ):
        USES[use](policy, table.assign(effort="high"))


@pytest.mark.parametrize("use", UNRELATED)
def test_a_reference_that_was_not_run_is_named(use: str, world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    assert policy.reference == Candidate("large")
    with pytest.raises(
        InputError, match=r"no scored row of large, the reference of policy 'test'.*they hold small"
    ):
        USES[use](policy, table[table["model"] == "small"])


@pytest.mark.parametrize("use", UNRELATED)
def test_no_suite_in_common_is_said(use: str, world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    with pytest.raises(
        InputError, match=r"no suite of the outcomes \(poems\) is one of policy 'test' \(mixed\)"
    ):
        USES[use](policy, table.assign(suite="poems"))


def test_rows_that_were_not_scored_are_no_rows(world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    with pytest.raises(InputError, match="none of their rows was scored"):
        replay(policy, table.assign(status="infra", quality=None))


def test_what_is_partly_there_is_scored_with_a_warning(world: tuple[Policy, pd.DataFrame]) -> None:
    policy, table = world
    with pytest.warns(
        RouterLabWarning, match="hold no row of small of policy 'test'; samples that it sends there are"
    ):
        assert replay(policy, table[table["model"] == "large"]).skipped > 0
    both = validate_outcomes(pd.concat([table, table.assign(suite="poems")], ignore_index=True))
    with pytest.warns(
        RouterLabWarning, match=r"400 of 800 rows are of suites that .* does not know \(poems\)"
    ):
        replay(policy, both)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(policy, table)


def test_fresh_rows_without_an_outcome_are_not_the_fault_of_the_fit(
    world: tuple[Policy, pd.DataFrame],
) -> None:
    """Rows that the fit has used were run; of those that it has not, only another candidate was."""
    policy, table = world
    fresh = {key for key, seen in zip(table["sample_id"], _used(policy, table), strict=True) if not seen}
    other = table.assign(
        model=table["model"].where(~table["sample_id"].isin(fresh), "other-" + table["model"])
    )
    report = run_gates(policy, other, GATES)
    assert report.verdict == "inconclusive" and report.n == 0
    assert (
        report.results[0].reason
        == "no row that the fit has not used was scored for a candidate of the policy"
    )


def _used(policy: Policy, table: pd.DataFrame) -> list[bool]:
    from router_lab.runtime.model import group_code

    codes = set(policy.spec.groups.tolist())
    return [group_code(s, g) in codes for s, g in zip(table["suite"], table["group"], strict=True)]


@pytest.mark.parametrize(
    "command",
    ["replay {p} --outcomes {o}", "gate {p} --outcomes {o}", "diff {p} {p} --outcomes {o}", "verify {p} --outcomes {o}",
     "report {o} {p} --html r.html", "show {p} --outcomes {o}", "report {o} {p} --pareto p.html"],
)  # fmt: skip
def test_every_command_says_so_in_one_line(
    command: str, world: tuple[Policy, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    policy, table = world
    path = save_revision(policy, tmp_path / "p")
    outcomes = write_outcomes(
        validate_outcomes(table.assign(model=table["model"] + "-2")), tmp_path / "o.parquet"
    )
    done = CliRunner().invoke(cli, command.format(p=path, o=outcomes).split())
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.exit_code == 1 and len(errors) == 1
    assert (
        "no scored row of any candidate of policy 'test' (large, small); they hold large-2, small-2"
        in errors[0]
    )
