"""The dates suite: targets agree with the calendar, and answers are read as a person would read them."""

import calendar
import datetime as dt
import hashlib
import importlib
import json
import re
import sys
from collections import Counter

import pytest

DAYS = [day.casefold() for day in calendar.day_name]
MONTHS = [month.casefold() for month in calendar.month_name][1:]


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    """Inspect puts a task file's folder on the path; here the tests do."""
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    yield
    for name in ("dates", "suite_lib"):
        sys.modules.pop(name, None)


@pytest.fixture
def rows(root):
    return [json.loads(line) for line in (root / "datasets/dates/data.jsonl").read_text().splitlines()]


def test_data_is_what_the_generator_makes_and_the_readme_says(root):
    data = (root / "datasets/dates/data.jsonl").read_bytes()
    assert importlib.import_module("evals.make.__main__").build("dates") == data
    assert hashlib.sha256(data).hexdigest() in (root / "datasets/dates/README.md").read_text()


def test_groups_are_many_and_small(rows):
    sizes = Counter(row["group"] for row in rows)
    assert len(rows) == 350
    assert len(sizes) >= 60
    assert max(sizes.values()) <= 0.05 * len(rows)
    assert Counter(row["difficulty"] for row in rows).keys() == {1, 2, 3}


def test_every_target_given_as_the_answer_scores_one_and_passes_the_check(rows):
    grade = importlib.import_module("dates").grade
    for row in rows:
        got = grade(row["target"], row["target"], kind=row["kind"], options=row["options"])
        assert got[::2] == (1.0, True), row["id"]
        assert not row["options"] or row["target"] in row["options"], row["id"]


def test_yes_is_as_common_as_no(rows):
    sides = Counter(row["target"] for row in rows if row["kind"] == "yes")
    assert 0.4 <= sides["yes"] / sides.total() <= 0.6


def test_targets_agree_with_the_calendar(rows):
    seen = Counter()
    for row in rows:
        text, target = row["input"], row["target"]
        if found := re.match(r"What day comes (\d) days after (\w+)\?", text):
            monday = dt.date(2026, 11, 23)
            day = monday + dt.timedelta(days=int(found[1]) + DAYS.index(found[2].casefold()))
            assert target == day.strftime("%A")
        elif found := re.match(r"How many days are there from (\d+) (\w+) to (\d+) (\w+)\?", text):
            start, end = (dt.datetime.strptime(f"{found[i]} {found[i + 1]} 2026", "%d %B %Y") for i in (1, 3))
            assert int(target) == (end - start).days
        elif found := re.match(r"Is (\d{4}) a leap year", text):
            assert (target == "yes") == (dt.date(int(found[1]), 3, 1) - dt.timedelta(days=1)).day.__eq__(29)
        elif found := re.match(r"A train leaves at (\d+:\d+) and takes (\d+)", text):
            start = dt.datetime.strptime(found[1], "%H:%M")
            assert target == (start + dt.timedelta(minutes=int(found[2]))).strftime("%H:%M")
        else:
            continue
        seen[found.re.pattern] += 1
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("text", "target", "kind", "options", "right"),
    [
        ("Thursday", "Thursday", "day", DAYS, True),
        ("**Thursday**.", "Thursday", "day", DAYS, True),
        ("Three days after Monday is Thursday.", "Thursday", "day", DAYS, True),
        ("The answer is \\boxed{Thursday}", "Thursday", "day", DAYS, True),
        ("Monday + 1 = Tuesday, then Wednesday.\nAnswer: Thursday", "Thursday", "day", DAYS, True),
        ("It is Wednesday or Thursday.", "Thursday", "day", DAYS, False),
        ("It is Wednesday or it is Thursday.", "Thursday", "day", DAYS, False),
        ("It is not Thursday.", "Thursday", "day", DAYS, False),
        ("It isn't Thursday", "Thursday", "day", DAYS, False),
        ("Thursday, Friday", "Thursday", "day", DAYS, False),
        ("Wednesday", "Thursday", "day", DAYS, False),
        ("", "Thursday", "day", DAYS, False),
        ("```\nMay\n```", "May", "month", MONTHS, True),
        ("The month after April is May.", "May", "month", MONTHS, True),
        ("No, 1900 is not a leap year.", "no", "yes", ["yes", "no"], True),
        ("Yes.", "no", "yes", ["yes", "no"], False),
        ("Ana is taller than Ben.", "Ana", "name", ["Ana", "Ben"], False),
        ("The taller one is Ana.", "Ana", "name", ["Ana", "Ben"], True),
        ("The answer is **29** days.", "29", "number", [], True),
        ("29 or 30", "29", "number", [], False),
        ("19:05", "19:05", "time", [], True),
        ("The film ends at 7:05 PM.", "19:05", "time", [], True),
        ("It starts at 18:20 and ends at 19:05.", "19:05", "time", [], True),
        ("It ends at 19:05 or 19:15", "19:15", "time", [], False),
        ("7:05", "19:05", "time", [], False),
        ("25:05", "01:05", "time", [], False),
    ],
)
def test_wrapping_is_forgiven_and_content_is_not(text, target, kind, options, right):
    grade = importlib.import_module("dates").grade
    assert grade(text, target, kind=kind, options=options)[0] == float(right)


def test_a_text_that_was_cut_before_it_settled_is_no_answer():
    grade = importlib.import_module("dates").grade
    assert grade("First, Monday plus one is Tuesday", "Tuesday", cut=True, kind="day", options=DAYS)[0] == 0.0
    assert grade("It ends at 19:05", "19:05", cut=True, kind="time")[0] == 0.0


def test_the_check_knows_the_kind_but_not_the_answer():
    grade = importlib.import_module("dates").grade
    assert grade("Monday", "Tuesday", kind="day", options=DAYS)[::2] == (0.0, True)
    assert grade("soon", "Tuesday", kind="day", options=DAYS)[::2] == (0.0, False)
    assert grade("2.5", "3", kind="number")[::2] == (0.0, False)
