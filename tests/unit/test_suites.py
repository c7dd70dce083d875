"""The suites: datasets are what their READMEs say, and scorers read real answers as a person would."""

import hashlib
import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

ANSWERS = Path(__file__).parent / "real_answers.jsonl"
SUITES = ("arithmetic", "extraction", "triage")


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    """Inspect puts a task file's folder on the path; here the tests do."""
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in [n for n in sys.modules if n in {*SUITES, "suite_lib"}]:
        del sys.modules[name]


def rows_of(root, suite):
    return [json.loads(line) for line in (root / "datasets" / suite / "data.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("suite", SUITES)
def test_data_is_what_the_generator_makes_and_the_readme_says(root, suite):
    data = (root / "datasets" / suite / "data.jsonl").read_bytes()
    assert importlib.import_module("evals.make.__main__").build(suite) == data
    assert hashlib.sha256(data).hexdigest() in (root / "datasets" / suite / "README.md").read_text()


@pytest.mark.parametrize("suite", SUITES)
def test_groups_are_many_and_small(root, suite):
    rows = rows_of(root, suite)
    sizes = Counter(row["group"] for row in rows)
    assert len(rows) == 200
    assert len(sizes) >= 60
    assert max(sizes.values()) <= 0.05 * len(rows)
    assert len({row["id"] for row in rows}) == len({row["input"] for row in rows}) == len(rows)
    assert len({row["difficulty"] for row in rows}) >= 3


@pytest.mark.parametrize("suite", SUITES)
def test_every_target_given_as_the_answer_scores_one_and_passes_the_check(root, suite):
    grade = importlib.import_module(suite).grade
    for row in rows_of(root, suite):
        assert grade(row["target"], row["target"])[::2] == (1.0, True), row["id"]


def test_spread_gives_every_template_its_share():
    spread = importlib.import_module("evals.make.common").spread
    assert spread([1, 1, 1], 10) == [4, 3, 3]
    assert spread([5, 3, 2], 10) == [5, 3, 2]
    assert spread([5, 1], 4) == [3, 1]


@pytest.mark.parametrize(
    "case", [json.loads(line) for line in ANSWERS.read_text().splitlines()], ids=lambda c: c["id"]
)
def test_real_answers_are_read_as_a_person_reads_them(case):
    quality, _, check = importlib.import_module(case["suite"]).grade(
        case["completion"], case["target"], cut=case["cut"]
    )
    assert (round(quality, 3), check) == (case["quality"], case["check"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"So \boxed{42}.", 42),
        (r"\[ \boxed{\text{42}} \]", 42),
        (r"\boxed{\$1,250}", 1250),
        ("The answer is 42.", 42),
        ("**Answer:** 42", 42),
        ("Final answer: $42.00", 42),
        ("The answer is 42. I used 3 steps.", 42),
        ("6*7=42", 42),
        ("The answer is 14 + 2 = 16 km.", 16),
        ("Answer: 6*7=42. Or 6+7=13?", 42),
        ("First 12.\nThen 42 dollars.", 42),
        ("1,200", 1200),
        ("forty-two", None),
        ("", None),
    ],
)
def test_final_number(text, number):
    assert importlib.import_module("suite_lib").final_number(text) == number


@pytest.mark.parametrize("text", ["Step 1: 6*7 = 42", "The answer is 4", "so 42 apples and"])
def test_a_cut_text_has_settled_on_no_number(text):
    assert importlib.import_module("suite_lib").final_number(text, cut=True) is None


def test_a_stated_answer_counts_though_the_rest_was_cut():
    assert (
        importlib.import_module("suite_lib").final_number("The answer is 42. To check, take", cut=True) == 42
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": "x"}\n```', {"a": "x"}),
        ('Maybe {"a": 1}, no: {"a": 2}. Done.', {"a": 2}),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ('{"a": "x", "b": ', None),
        ("{a: 1}", None),
        ('{a: 1} {"b": 2}', {"b": 2}),
        ('{"item": {"name": "x", "price": 1}, "more": ', None),
        ("[" * 1200, None),
        ("{" * 1200, None),
        ('{"a":' * 1200, None),
    ],
)
def test_last_object(text, found):
    assert importlib.import_module("suite_lib").last_object(text) == found


@pytest.mark.parametrize(
    ("got", "want", "same"),
    [
        ("Lisbon", "lisbon", True),
        ("$ 12.50", "$12.50", True),
        (12.5, "$12.50", True),
        ("1,200", "1200", True),
        ("12.5 kg", "$12.50", False),
        ("$12.51", "$12.50", False),
        ("Lisbon, Portugal", "Lisbon", False),
        (True, "1", False),
        (None, "None", False),
        (["x"], "x", False),
    ],
)
def test_same_value(got, want, same):
    assert importlib.import_module("suite_lib").same_value(got, want) is same


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("bug", "bug"),
        ("**Billing**.", "billing"),
        (r"\boxed{bug}", "bug"),
        ("It speaks of billing, but the label is: bug", "bug"),
        ("Not billing or login.\nbug", "bug"),
        ("billing or bug", None),
        ("This is about debugging", None),
        ("none of these", None),
    ],
)
def test_final_label(text, label):
    assert importlib.import_module("suite_lib").final_label(text, ("billing", "bug", "login")) == label
