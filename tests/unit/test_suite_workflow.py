"""The workflow suite: what is read out of replies, and who is asked what until a sample is scored."""

import hashlib
import importlib
import json
import sys
from collections import Counter

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.model import ModelOutput, ModelUsage, get_model

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    """Inspect puts a task file's folder on the path; here the tests do."""
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in ("workflow", "suite_lib"):
        sys.modules.pop(name, None)


@pytest.fixture
def rows(root):
    return [json.loads(line) for line in (root / "datasets/workflow/data.jsonl").read_text().splitlines()]


@pytest.fixture
def workflow():
    return importlib.import_module("workflow")


def test_data_is_what_the_generator_makes_and_the_readme_says(root, rows):
    data = (root / "datasets/workflow/data.jsonl").read_bytes()
    readme = (root / "datasets/workflow/README.md").read_text()
    assert importlib.import_module("evals.make.__main__").build("workflow") == data
    assert hashlib.sha256(data).hexdigest() in readme
    sizes, levels = Counter(row["group"] for row in rows), Counter(row["difficulty"] for row in rows)
    assert (len(rows), len(sizes), max(sizes.values())) == (100, 60, 2)
    assert f"difficulty 1 / 2 / 3: {levels[1]} / {levels[2]} / {levels[3]}" in readme.replace("\n", " ")


def test_each_right_value_stands_in_one_document_alone(rows):
    for row in rows:
        for name, value in json.loads(row["target"]).items():
            held = [document["holds"][name] for document in row["documents"]]
            assert held.count(value) == 1, row["id"]
            assert all(
                one is None or one in doc["text"] for one, doc in zip(held, row["documents"], strict=True)
            )


FIELDS, FILES = ["rent", "tenant"], ["rents.txt", "tenants_draft.txt", "tenants_signed.txt"]


@pytest.mark.parametrize(
    ("reply", "plan"),
    [
        ('{"rent": "rents.txt", "tenant": "tenants_signed.txt"}', ["rents.txt", "tenants_signed.txt"]),
        ("tenant: tenants_draft, rent: rents", ["rents.txt", "tenants_draft.txt"]),
        ("rents.txt\ntenants_signed.txt", ["rents.txt", "tenants_signed.txt"]),
        ("rents.txt", ["rents.txt", None]),
        ('{"rent": "rents.txt", "tenants": "tenants_signed.txt"}', ["rents.txt", None]),
        ("tenant: tenants.txt, rent: Rents.TXT", ["rents.txt", None]),
        ("rent: file, tenant: file", [None, None]),
        ("", [None, None]),
    ],
)
def test_a_plan_is_read_out_of_what_models_write(workflow, reply, plan):
    assert workflow.read_plan(reply, FIELDS, FILES) == dict(zip(FIELDS, plan, strict=True))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Jonas", "Jonas"), ("The tenant is Jonas.", "Jonas"), ("tenant: `Jonas`", "Jonas"),
        ("\nJonas\nis the tenant", "Jonas"), ("", ""), ("None.", "None"), ("Tenant Jonas", "Tenant Jonas"),
    ],
)  # fmt: skip
def test_a_value_is_read_out_of_what_models_write(workflow, reply, value):
    assert workflow.value_in(reply, "tenant") == value


def test_only_a_no_rejects(workflow):
    assert [workflow.accepts(reply) for reply in ("No.", "no, yes", "Yes", "Nothing", "")] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_a_terse_executor_sees_the_sentences_with_the_fields_name(workflow):
    text = "The rent is $5, not $6. Ask Uma.\nPaid: no\nThe Rent was late"
    assert workflow.sentences_with(text, "rent") == "The rent is $5, not $6. The Rent was late"
    assert workflow.sentences_with(text, "tenant") == text


def play(workflow, tmp_path, replies, sample, **arguments):
    """The log of one sample whose roles answer with `replies` by role, in order."""
    task = workflow.workflow(**arguments)
    task.dataset = task.dataset.filter(lambda one: one.id == sample)
    models = {}
    for role, said in replies.items():
        outputs = [
            one if isinstance(one, ModelOutput) else ModelOutput.from_content("mockllm/model", one)
            for one in said
        ]
        for one in outputs:
            one.usage = ModelUsage()  # else it is counted, by a tokenizer that is downloaded
        models[role] = get_model("mockllm/model", custom_outputs=outputs, memoize=False)
    (log,) = inspect_eval(
        task, model="mockllm/model", model_roles=models, log_dir=str(tmp_path), display="none", score=True
    )
    assert log.status == "success", log.error
    return log.samples[0]


def steps_of(sample):
    score = sample.scores["whole"]
    told = [(s["name"], s["role"], s["turn"], s["passed"]) for s in score.metadata["steps"]]
    return score.value, score.metadata["check"], told


def stale(rows):
    """A task with a document that does not hold: its fields in the order (there twice, there once)."""
    row = next(one for one in rows if one["situation"] == "stale")
    want = json.loads(row["target"])
    twice = next(
        name for name in row["fields"] if sum(d["holds"][name] is not None for d in row["documents"]) == 2
    )
    good, bad = sorted(
        (d for d in row["documents"] if d["holds"][twice] is not None),
        key=lambda d: d["holds"][twice] != want[twice],
    )
    once = next(d for d in row["documents"] if d["holds"][twice] is None)
    return row, want, twice, good, bad, once


def test_what_a_checker_rejects_is_read_again_from_another_document(workflow, rows, tmp_path):
    row, want, twice, _, bad, once = stale(rows)
    files = {name: bad["name"] if name == twice else once["name"] for name in row["fields"]}
    first = [bad["holds"][name] if name == twice else want[name] for name in row["fields"]]
    verdicts = [word for name in row["fields"] for word in (("no", "yes") if name == twice else ("yes",))]
    sample = play(
        workflow, tmp_path, {"planner": [json.dumps(files)], "executor": [*first, want[twice]], "checker": verdicts},
        row["id"],
    )  # fmt: skip
    value, check, steps = steps_of(sample)
    at = row["fields"].index(twice) + 1
    expected = [
        ("plan", "planner", False), ("read field 1", "executor", True), ("read field 2", "executor", True),
        ("check field 1", "checker", True), ("check field 2", "checker", True),
    ]  # fmt: skip
    expected[3 + at : 3 + at] = [
        (f"read field {at} again", "executor", True),
        (f"check field {at} again", "checker", True),
    ]
    assert (value, check) == (1.0, True)
    assert steps == [
        (name, role, turn, passed) for turn, (name, role, passed) in enumerate(expected, start=1)
    ]
    assert json.loads(sample.output.completion) == want


def test_an_unchecked_run_ends_with_the_reads(workflow, rows, tmp_path):
    row, want, twice, good, _, once = stale(rows)
    files = {name: good["name"] if name == twice else once["name"] for name in row["fields"]}
    reads = [want[name] if name == twice else "none" for name in row["fields"]]
    sample = play(
        workflow, tmp_path, {"planner": [json.dumps(files)], "executor": reads}, row["id"], check=False
    )
    value, check, steps = steps_of(sample)
    assert (value, check) == (0.0, False)
    assert [(name, passed) for name, _, _, passed in steps] == [
        ("plan", True),
        *((f"read field {n}", name == twice) for n, name in enumerate(row["fields"], start=1)),
    ]


def test_a_planner_may_answer_by_tool_calls(workflow, rows, tmp_path):
    row, want, twice, good, _, once = stale(rows)
    planned = ModelOutput.for_tool_call("mockllm/model", "assign", {"field": twice, "file": good["name"]})
    other = next(name for name in row["fields"] if name != twice)
    more = ModelOutput.for_tool_call("mockllm/model", "assign", {"field": other, "file": once["name"]})
    planned.message.tool_calls += more.message.tool_calls
    reads = [want[name] for name in row["fields"]]
    sample = play(
        workflow,
        tmp_path,
        {"planner": [planned], "executor": reads, "checker": ["yes", "yes"]},
        row["id"],
        tools=True,
    )
    value, check, steps = steps_of(sample)
    assert (value, check, [passed for *_, passed in steps]) == (1.0, True, [True] * 5)


def test_retries_below_none_are_refused(workflow):
    with pytest.raises(ValueError, match="retries is -1; it must be 0 or more"):
        workflow.workflow(retries=-1)
