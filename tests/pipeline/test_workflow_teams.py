"""Teams of real small models, played from the recording: what was recorded is what comes out, step by step."""

import json

import pytest

from router_lab.collect import collect
from router_lab.runtime.model import Candidate
from router_lab.sweep import run_sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STRONG, WEAK = (
    f"planner qwen2.5-coder-{planner}, executor qwen2.5-coder-0.5b" for planner in ("1.5b", "0.5b")
)


@pytest.fixture(scope="module")
def played(root, tmp_path_factory):
    """Outcomes and calls of the first four tasks, for fifteen candidates."""
    logs = tmp_path_factory.mktemp("workflow")
    result = run_sweep(root / "evals/sweeps/workflow.yaml", logs, limit=4, quiet=True)
    assert (result.generated, result.failed) == (60, 0)
    return collect([logs], prices=root / "evals/prices.yaml")


def outcome(outcomes, model, harness, sample):
    """(quality, check, answer, steps) of one sample."""
    mine = outcomes[outcomes["model"].eq(model) & outcomes["harness"].eq(harness)].set_index("sample_id")
    row = mine.loc[sample]
    steps = [(one["name"], one["passed"]) for one in json.loads(row["steps"])]
    return row["quality"], row["check"], json.loads(row["answer"]), steps


def test_nine_teams_in_one_harness_and_three_in_three(played):
    outcomes, _ = played
    by_harness = outcomes.groupby("harness")["model"].nunique().to_dict()
    assert by_harness == {"checked": 9, "terse": 3, "unchecked": 3}
    assert (outcomes["status"] == "ok").all()
    assert outcomes["group"].str.fullmatch(r"workflow-\d\d").all()


def test_outcomes_are_those_that_were_read_by_hand(played):
    """The small planner sends one to the file of parking for the tenant: the executor finds none there, the checker
    rejects that, and the file of tenants is read. Who plans better needs no check."""
    outcomes, _ = played
    want = {"tenant": "Jonas", "rent": "327"}
    reads = [("plan", True), ("read field 1", True), ("read field 2", True)]
    assert outcome(outcomes, STRONG, "unchecked", "workflow-00-1") == (1.0, True, want, reads)
    checks = [("check field 1", True), ("check field 2", True)]
    assert outcome(outcomes, STRONG, "checked", "workflow-00-1") == (1.0, True, want, reads + checks)
    assert outcome(outcomes, WEAK, "unchecked", "workflow-00-1")[0] == 0
    quality, check, answer, steps = outcome(outcomes, WEAK, "checked", "workflow-00-1")
    assert (quality, answer) == (1.0, want) and steps[0] == ("plan", False)
    assert ("read field 1 again", True) in steps
    # A false alarm costs the right value: the ladder is what the other document says.
    assert outcome(outcomes, STRONG, "unchecked", "workflow-37-1")[0] == 1
    quality, check, answer, steps = outcome(outcomes, STRONG, "checked", "workflow-37-1")
    assert (quality, check, answer["lent item"]) == (0.0, True, "ladder")
    assert ("check field 2", False) in steps


def test_each_call_is_a_step_of_its_role(played):
    outcomes, calls = played
    told = [
        (*Candidate.of(row), row["sample_id"], one["turn"], one["role"])
        for row in outcomes.to_dict("records")
        for one in json.loads(row["steps"])
    ]
    made = [
        (*Candidate.of(row), row["sample_id"], row["turn"], row["role"]) for row in calls.to_dict("records")
    ]
    assert sorted(told, key=str) == sorted(made, key=str)
