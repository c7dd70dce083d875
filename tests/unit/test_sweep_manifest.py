"""`sweep.json` of every version: what is written is read again, what is damaged is named, what follows for a log."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab.collect import collect
from router_lab.outcomes import read_outcomes, validate_outcomes, write_outcomes
from router_lab.plan import plan
from router_lab.racing.elimination import Elimination, Reason, eliminations_of
from router_lab.runtime.errors import InputError
from router_lab.sweep_manifest import DrawnPart, PricesFile, SweepManifest, SweptCell
from tests.unit.test_race_record import FAR, GOOD, OLD, POOR

FULL: dict[str, Any] = {
    "sweep": "mine",
    "logs": ["one.eval"],
    "planned": {"one.eval": 5},
    "order": {"v1": ["a", "b", "c", "d", "e"]},
    "needed": 15,
    "budget_usd": 2.5,
    "spent_usd": 1,
    "reserved_usd": 0.0,
    "prices": {"file": "../prices.yaml", "sha256": None},
    "unrun": 0,
    "candidates": [
        {"suite": "s", "model": "poor", "effort": "low", "settings_sha": "1f", "config": {"max_tokens": 9},
         "few_shot": [], "task_args": {}, "request": {"max_tokens": 9}, "task_version": "v1", "planned": 5}
    ],
}  # fmt: skip
LEFT_OLD = {
    "suite": "s",
    "model": "poor",
    "effort": "low",
    "after": 2,
    "reason": "hopeless",
    "by": ["good", None],
}
DRAWN = {
    "model": "good",
    "effort": None,
    "share": 0.4,
    "samples": {"s": ["b"]},
    "order": {"s": ["a", "b", "c"]},
}


@pytest.mark.parametrize(
    "more", [{}, {"interrupted": True}, {"drawn": DRAWN}], ids=["ended", "interrupted", "drawn"]
)
def test_what_is_written_is_what_was_read(tmp_path: Path, more: dict[str, Any]) -> None:
    manifest = SweepManifest.model_validate({**FULL, **more})
    manifest.write(tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text()) == {**FULL, **more}
    assert SweepManifest.of(tmp_path) == manifest
    [cell] = manifest.candidates
    assert (cell.suite, cell.model, cell.effort, cell.planned) == ("s", "poor", "low", 5)
    assert manifest.prices == PricesFile(file="../prices.yaml") and manifest.interrupted is bool(
        "interrupted" in more
    )


def test_a_folder_without_one_says_nothing() -> None:
    nothing = SweepManifest.of(Path("/nowhere"))
    assert nothing == SweepManifest() and nothing.due("s", GOOD, "v1") == ()
    assert nothing.inclusion("s", GOOD) == {} and nothing.not_due("s", GOOD) == set()


def test_the_first_versions_and_newer_ones_are_read() -> None:
    """The first named no suite and no version; a later one may say more than this version knows."""
    first = SweepManifest.model_validate(
        {"sweep": "x", "logs": [], "needed": 4, "candidates": [{"model": "poor"}]}
    )
    assert first.candidates == (SweptCell(model="poor"),) and first.order == {} and first.budget_usd is None
    newer = SweepManifest.model_validate({**FULL, "clouds": 7, "race": {**OLD, "tempo": {"a": 1}}})
    assert newer.needed == 15 and newer.race is not None and newer.race.control_share == 0.25
    newer = SweepManifest.model_validate({**FULL, "candidates": [{**FULL["candidates"][0], "colour": "red"}]})
    assert newer.to_json()["candidates"][0]["colour"] == "red"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("logs", "one.eval", "`logs` is 'one.eval': Input should be a valid tuple"),
        ("logs", [1], "`logs.0` is 1: Input should be a valid string"),
        ("planned", {"one.eval": "many"}, "`planned.one.eval` is 'many': Input should be a valid integer"),
        ("order", {"v1": "abc"}, "`order.v1` is 'abc': Input should be a valid list"),
        ("budget_usd", "much", "`budget_usd` is 'much': Input should be a valid number"),
        ("prices", {"sha256": None}, "key `prices.file` is missing"),
        ("candidates", [3], "`candidates.0` is 3: Input should be"),
        ("candidates", [{"effort": None}], "key `candidates.0.model` is missing"),
        ("race", {"floor": 0.1, "left": []}, "key `race.order` is missing"),
        ("race", {**OLD, "floor": "much"}, "`race.floor` is 'much': Input should be a valid number"),
        ("race", {**OLD, "left": [{"suite": "s"}]}, "key `race.left.0.model` is missing"),
        (
            "race",
            {**OLD, "left": [{**LEFT_OLD, "reason": "bored"}]},
            "`race.left.0.reason` is 'bored': Input should be",
        ),
        (
            "race",
            {**OLD, "skipped": [{"suite": "s", "model": "m", "ranges": [[1]]}]},
            "`race.skipped.0.ranges.0.1`",
        ),
        (
            "drawn",
            {**DRAWN, "samples": {"s": None}},
            "`drawn.samples.s` is None: Input should be a valid list",
        ),
        ("drawn", [], "`drawn`: Input should be"),
        ("drawn", {**DRAWN, "share": 0}, "`drawn.share` is 0: Input should be greater than 0"),
        ("race", {**OLD, "floor": 5}, "`race.floor` is 5: Input should be less than or equal to 1"),
    ],
)
def test_what_is_no_manifest_is_named_by_file_and_key(
    tmp_path: Path, key: str, value: Any, told: str
) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({**FULL, key: value}))
    with pytest.raises(InputError) as caught:
        SweepManifest.of(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'sweep.json'}: not a sweep's manifest: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", "null", '"race"', "[" * 9999])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(InputError, match=r"sweep.json: not a sweep's manifest: "):
        SweepManifest.of(tmp_path)


def test_how_much_a_log_was_to_run_by_its_name_or_else_by_its_cell() -> None:
    manifest = SweepManifest.model_validate(FULL)
    assert manifest.planned_of("one.eval", "other", GOOD, None, None) == 5
    assert manifest.planned_of("new.eval", "s", POOR, "1f", "v1") == 5
    for who in (
        ("t", POOR, "1f", "v1"),
        ("s", GOOD, "1f", "v1"),
        ("s", POOR, "2", "v1"),
        ("s", POOR, "1f", "v2"),
    ):
        assert manifest.planned_of("new.eval", *who) is None


def test_what_was_due_and_why_it_was_not_run() -> None:
    ended = SweepManifest.model_validate({**FULL, "budget_usd": None})
    assert ended.due("s", POOR, "v1") == ()  # nothing was left out, so nothing is told
    budget = SweepManifest.model_validate(FULL)
    assert budget.due("s", POOR, "v1") == FULL["order"]["v1"] and budget.due("s", POOR, "v2") == ()
    assert budget.why_unrun("s", POOR) == "not run for lack of money"
    cut = SweepManifest.model_validate({**FULL, "budget_usd": None, "interrupted": True})
    assert cut.due("s", POOR, "v1") == FULL["order"]["v1"]
    assert cut.why_unrun("s", POOR).startswith("not run: the sweep was interrupted; run it again: ")
    raced = SweepManifest.model_validate(
        {**FULL, "budget_usd": None, "race": {**OLD, "order": {"s": ["e", "a"]}}}
    )
    assert raced.due("s", POOR, "v1") == ["e", "a"] and raced.due("t", POOR, "v1") == ()
    assert raced.why_unrun("s", POOR) == "raced: cannot pass after 2 samples"
    assert raced.why_unrun("s", GOOD) == "not run for lack of money"


def test_a_drawn_part_is_one_candidates_alone() -> None:
    manifest = SweepManifest.model_validate({**FULL, "drawn": DRAWN})
    assert manifest.drawn_for("s", GOOD) == DrawnPart.model_validate(DRAWN)
    assert manifest.drawn_for("t", GOOD) is None is manifest.drawn_for("s", POOR)
    assert (
        manifest.inclusion("s", GOOD) == {"a": 0.4, "b": 0.4, "c": 0.4}
        and manifest.inclusion("s", POOR) == {}
    )
    assert manifest.not_due("s", GOOD) == {"a", "c"} and manifest.due("s", GOOD, "v1") == ["b"]


LEFT = [
    Elimination(suite="s", model="poor", effort="low", after=2, look=1, reason=Reason.CANNOT_PASS, by=GOOD),
    Elimination(suite="s", model="far", after=5, look=3, reason=Reason.NOT_NEEDED, by=GOOD),
]


def outcomes(**reasons: str) -> pd.DataFrame:
    """Five samples of three candidates; `reasons` of the last, by model."""
    rows = [
        {"suite": "s", "sample_id": str(i), "model": who.model, "effort": who.effort, "quality": 1.0, "cost_usd": 1.0}
        for who in (GOOD, POOR, FAR) for i in range(5)
    ]  # fmt: skip
    for row in (row for row in rows if row["sample_id"] == "4" and row["model"] in reasons):
        row |= {"status": "budget", "quality": None, "cost_usd": None, "reason": reasons[str(row["model"])]}
    return validate_outcomes(pd.DataFrame(rows))


def test_who_left_travels_with_outcomes_as_data(tmp_path: Path) -> None:
    frame = outcomes(poor="raced: cannot pass after 2 samples", far="raced: not needed after 5 samples")
    frame.attrs["eliminations"] = [one.model_dump(mode="json") for one in LEFT]
    read = read_outcomes(write_outcomes(frame, tmp_path / "o.parquet"))
    assert eliminations_of(read) == LEFT
    read.to_parquet(tmp_path / "pandas.parquet")
    with pytest.warns(UserWarning, match="written by pandas alone"):
        assert eliminations_of(read_outcomes(tmp_path / "pandas.parquet")) == LEFT
    # Only what is about the candidate itself ends the need for samples of it.
    assert {need.candidate: need.raced for need in plan(read, 0.1).needs} == {POOR: "cannot pass", FAR: None}
    assert eliminations_of(read.drop(columns="reason")) == LEFT


def test_who_left_is_still_told_of_a_table_that_is_joined_to_another(tmp_path: Path) -> None:
    frame = outcomes(poor="raced: cannot pass after 2 samples", far="raced: not needed after 5 samples")
    frame.attrs["eliminations"] = [one.model_dump(mode="json") for one in LEFT]
    write_outcomes(frame, tmp_path / "o.parquet")
    (tmp_path / "t.csv").write_text("suite,sample_id,model,quality\nt,1,good,1\nt,2,good,0\n")
    both, _ = collect([tmp_path / "o.parquet", tmp_path / "t.csv"])
    assert len(both) == 17 and eliminations_of(both) == LEFT


def test_words_of_who_left_where_nobody_is_named() -> None:
    bare = LEFT[0].model_copy(update={"by": None, "reason": Reason.WORSE})
    assert (
        str(bare)
        == "s, after 2 samples: poor @ low leaves: another candidate is better by more than the margin"
    )


@pytest.mark.parametrize(
    ("poor", "far"),
    [("hopeless", "needless"), ("cannot pass", "not needed")],
    ids=["an earlier version's", "of CSV"],
)
def test_of_tables_that_have_the_sentence_alone_that_is_read(poor: str, far: str) -> None:
    frame = outcomes(poor=f"raced: {poor} after 2 samples", far=f"raced: {far} after 5 samples")
    bare = [one.model_copy(update={"look": None, "by": None}) for one in LEFT]
    assert sorted(eliminations_of(frame), key=lambda one: one.after) == bare
    # Joined from a table that has it and one that has not.
    frame.attrs["eliminations"] = [LEFT[0].model_dump(mode="json")]
    assert eliminations_of(frame) == [LEFT[0], bare[1]]


@pytest.mark.parametrize(
    "reason",
    [
        "raced: was not needed then",
        "raced: bored after 2 samples",
        "not run for lack of money",
        "raced: worse",
    ],
)
def test_other_reasons_eliminate_nobody(reason: str) -> None:
    assert eliminations_of(outcomes(poor=reason)) == []


@pytest.mark.parametrize("damaged", [7, [7], [{"suite": "s"}], [{**LEFT_OLD, "reason": "bored"}]])
def test_damaged_data_on_who_left_is_refused(damaged: Any) -> None:
    frame = outcomes()
    frame.attrs["eliminations"] = damaged
    with pytest.raises(InputError, match=r"^outcomes: (key )?`eliminations"):
        eliminations_of(frame)
