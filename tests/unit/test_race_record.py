"""Who left a race and what was run of it, as data: this version's files and those written under earlier words."""

import json
from pathlib import Path

import pytest

from router_lab.config import Sweep
from router_lab.config.base import parse
from router_lab.racing.elimination import Elimination, RaceRecord, Reason
from router_lab.racing.log import RaceLog
from router_lab.racing.race import RaceRule
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.model import Candidate
from tests.unit.test_racing import LOOKS, ended, fresh, waiting_outcomes

GOOD, POOR, FAR = Candidate("good"), Candidate("poor", "low"), Candidate("far")
ORDER = ["a", "b", "c", "d", "e"]
OLD = {
    "floor": 0.25,
    "order": {"s": ORDER},
    "on_floor": {"s": ["b", "d"]},
    "left": [
        {
            "suite": "s",
            "model": "poor",
            "effort": "low",
            "after": 2,
            "reason": "hopeless",
            "by": ["good", None],
        },
        {
            "suite": "s",
            "model": "far",
            "effort": None,
            "after": 5,
            "reason": "needless",
            "by": ["good", None],
        },
    ],
    "skipped": [
        {"suite": "s", "model": "poor", "effort": "low", "ranges": [[2, 5]]},
        {"suite": "s", "model": "far", "effort": None, "ranges": [[1, 2], [3, 5]]},
    ],
    "winners": {"s": ["good", None]},
}
"""As version 0.1 wrote it."""


def test_a_record_under_earlier_words_is_read_and_written_under_todays() -> None:
    record = RaceRecord.model_validate(OLD)
    assert record.left == (
        Elimination(suite="s", model="poor", effort="low", after=2, reason=Reason.CANNOT_PASS, by=GOOD),
        Elimination(suite="s", model="far", after=5, reason=Reason.NOT_NEEDED, by=GOOD),
    )
    assert [type(one.by) for one in record.left] == [Candidate, Candidate] and record.winners == {"s": GOOD}
    written = json.loads(json.dumps(record.model_dump(mode="json")))
    assert [one["reason"] for one in written["left"]] == ["cannot_pass", "not_needed"]
    assert written["control_share"] == 0.25 and written["on_control"] == {"s": ["b", "d"]}
    assert not {"floor", "on_floor"} & written.keys() and RaceRecord.model_validate(written) == record


def test_what_a_record_says_of_each_sample() -> None:
    record = RaceRecord.model_validate(OLD)
    assert record.inclusion("s", POOR) == {"a": 1.0, "b": 1.0, "c": 0.25, "d": 0.25, "e": 0.25}
    assert record.inclusion("s", FAR) == {"a": 1.0, "b": 0.25, "c": 1.0, "d": 0.25, "e": 0.25}
    assert record.inclusion("s", GOOD) == dict.fromkeys(ORDER, 1.0) and record.inclusion("t", POOR) == {}
    # Of c, d and e only d is of the control share, and of b, d and e both b and d are.
    assert record.not_due("s", POOR) == {"c", "e"} and record.not_due("s", FAR) == {"e"}
    assert record.not_due("s", GOOD) == set() == record.not_due("t", POOR)
    assert record.why_unrun("s", POOR) == "raced: cannot pass after 2 samples"
    assert (
        record.why_unrun("s", FAR) == "raced: not needed after 5 samples"
        and record.why_unrun("s", GOOD) is None
    )
    still = RaceRecord.model_validate({**OLD, "left": []})
    assert still.why_unrun("s", POOR) == "raced: was not needed then" and still.why_unrun("t", POOR) is None


def test_a_record_without_ranges_left_out_all_that_came_after_leaving() -> None:
    """As the first version wrote it, which knew of nobody who waits."""
    old = {key: value for key, value in OLD.items() if key not in ("skipped", "on_floor", "winners")}
    record = RaceRecord.model_validate(old)
    assert record.inclusion("s", POOR) == {"a": 1.0, "b": 1.0, "c": 0.25, "d": 0.25, "e": 0.25}
    assert record.inclusion("s", FAR) == dict.fromkeys(ORDER, 1.0)  # it left when all had been run
    assert record.not_due("s", POOR) == set() and record.winners == {}


def test_reasons_are_codes_in_files_and_words_for_people() -> None:
    assert Reason("hopeless") is Reason.CANNOT_PASS and Reason("needless") is Reason.NOT_NEEDED
    assert [Reason(code).words for code in ("cannot_pass", "not_needed", "worse")] == [
        "cannot pass", "not needed", "worse",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'bored' is not a valid Reason"):
        Reason("bored")
    assert str(
        Elimination(suite="s", model="poor", effort="low", after=9, look=2, reason=Reason.NOT_NEEDED, by=GOOD)
    ) == (
        "s, after 9 samples: poor @ low leaves: good is cheaper, within the margin of it, and passes on these samples"
    )


def old_words(path: Path) -> None:
    """The file as it was written before `not_needed` and `control_share` were called so."""
    text = path.read_text().replace('"not_needed"', '"needless"').replace('"control_share":', '"floor":')
    assert text.count('"needless"') == 2 and text.count('"floor":') == 1
    path.write_text(text)


def test_a_race_that_an_earlier_version_began_goes_on_with_the_same_decisions(tmp_path: Path) -> None:
    """`ended` has six looks, of which the last releases two."""
    suite, quality, _ = ended()
    log, (_, dollars) = RaceLog(tmp_path, RaceRule(0.1), None, [suite]), waiting_outcomes()
    log.begin()
    again, start = fresh(), 0
    for end in LOOKS:
        seen, cost = quality[start:end].tolist(), dollars[start:end].tolist()
        look = {
            "suite": "s",
            "upto": end,
            "quality": seen,
            "cost_usd": cost,
            "leaves": again.take(end, seen, cost),
        }
        log.write([look], start)
        start = end
    log.write(
        [{"suite": "s", "upto": None, "quality": quality.tolist(), "leaves": again.finish(quality.tolist())}],
        6,
    )
    old_words(log.path)
    resumed = fresh()
    assert RaceLog(tmp_path, RaceRule(0.1), None, [resumed]).replay() == 6
    assert resumed.eliminations == again.eliminations and [one.look for one in again.eliminations] == [6, 6]
    other = RaceLog(tmp_path, RaceRule(0.1, control_share=0.2), None, [fresh()])
    with pytest.raises(InputError, match=r"another race: `race.control_share` was 0.1, is 0.2;"):
        other.replay()


def test_a_sweep_file_may_still_say_floor_and_is_told_of_the_new_name() -> None:
    sweep = {"name": "s", "models": ["m"], "suites": ["echo"]}
    with pytest.warns(
        RouterLabWarning, match=r"^race.floor is called race.control_share now; it counts as that$"
    ):
        read = parse(Sweep, {**sweep, "race": {"floor": 0.3}}, where="sweep.yaml")
    assert read.race.control_share == 0.3
    assert parse(Sweep, {**sweep, "race": {"control_share": 0.3}}, where="sweep.yaml") == read
    both = {**sweep, "race": {"floor": 0.3, "control_share": 0.3}}
    with pytest.raises(
        InputError, match=r"^sweep.yaml: `race`: gives control_share and floor, .* take floor out$"
    ):
        parse(Sweep, both, where="sweep.yaml")
    with (
        pytest.warns(RouterLabWarning),
        pytest.raises(InputError, match=r"`race.control_share` is 2: .* less than"),
    ):
        parse(Sweep, {**sweep, "race": {"floor": 2}}, where="sweep.yaml")
