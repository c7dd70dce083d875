"""What `race.jsonl` says where a race is not the one that was begun, or the file is damaged."""

from pathlib import Path

import numpy as np
import pytest

from router_lab.racing.log import RaceLog, _differences
from router_lab.racing.race import Race, RaceRule
from router_lab.racing.suite import Entrant, SuiteRace
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


def suite() -> SuiteRace:
    entrants, samples = [Entrant(Candidate(name), "1") for name in ("m", "n")], [str(i) for i in range(60)]
    return SuiteRace("s", entrants, samples, list(range(1, 61)), [30, 60], Race(RaceRule(), 2), [False] * 60)


def begun(folder: Path) -> RaceLog:
    """A race of which one wave was looked at."""
    first = suite()
    log = RaceLog(folder, RaceRule(), None, [first])
    log.begin()
    quality = np.ones((30, 2)).tolist()
    exits = first.take(30, quality, quality)
    log.write([{"suite": "s", "upto": 30, "quality": quality, "cost_usd": quality, "leaves": exits}], 0)
    return log


def test_a_race_is_where_its_file_says_and_a_torn_line_counts_as_not_written(tmp_path: Path) -> None:
    path = begun(tmp_path).path
    with path.open("a") as file:
        file.write('{"wave": 1, "lo')
    again = suite()
    assert RaceLog(tmp_path, RaceRule(), None, [again]).replay() == 1 and again.shown == 30


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("garbage", r"race.jsonl, line 3: is damaged; use a new log directory, or rename"),
        ('{"a": 1}', r"race.jsonl, line 3: is no look of this race; use a new"),
        ('{"looks": [{"suite": "t", "upto": 60}]}', r"line 3: is no look of this race"),
        (
            '{"looks": [{"suite": "s", "upto": 99, "quality": [[1]], "cost_usd": [[1]], "leaves": []}]}',
            r"line 3: is no",
        ),
        ("[]", r"line 3: is no look of this race"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    log = begun(tmp_path)
    with log.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=told):
        RaceLog(tmp_path, RaceRule(), None, [suite()]).replay()


def test_a_first_line_that_holds_no_terms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "race.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match="was begun under rules None of racing"):
        RaceLog(tmp_path, RaceRule(), None, [suite()]).replay()


def terms(**given: object) -> dict[str, object]:
    suite = {"samples": 40, "ids": "a", "waves": "w", "candidates": [["m", None, "1"], ["n", "low", "2"]]}
    return {
        "race": 3,
        "rule": {"margin": 0.03, "control_share": 0.1},
        "reference": None,
        "suites": {"s": {**suite, **given}},
    }


def test_each_part_that_differs_is_named_with_what_it_was_and_is() -> None:
    other = {**terms(), "rule": {"margin": 0.05, "control_share": 0.1}, "reference": ["n", "low"]}
    assert _differences(terms(), other) == [
        "`race.margin` was 0.03, is 0.05",
        "`race.reference` was the best candidate, is n @ low",
    ]
    assert _differences(terms(), terms(samples=60, ids="b", waves="x")) == [
        "suite `s` had 40 samples, has 60"
    ]
    assert _differences(terms(), terms(ids="b", waves="x")) == [
        "suite `s` has other samples, or the same in another order (`seed`)"
    ]
    assert _differences(terms(), terms(waves="x")) == ["suite `s` has other waves (`wave`, `--batch`)"]
    assert _differences(terms(), terms(candidates=[["m", None, "1"], ["o", None, "3"]])) == [
        "suite `s` has no n @ low", "suite `s` has a new candidate o",
    ]  # fmt: skip
    changed = terms(candidates=[["m", None, "9"], ["n", "low", "2"]])
    assert _differences(terms(), changed) == ["suite `s`: the settings of m changed"]
    harness = [["m", None, "1"], ["n", "low", "lean", "2"]]
    assert _differences(
        terms(candidates=harness), terms(candidates=[["m", None, "1"], ["n", "low", "lean", "3"]])
    ) == ["suite `s`: the settings of n @ low + lean changed"]
    assert _differences(terms(), terms(candidates=harness)) == [
        "suite `s` has no n @ low", "suite `s` has a new candidate n @ low + lean",
    ]  # fmt: skip
    named = {**terms(), "reference": ["n", "low", "lean"]}
    assert _differences(named, terms()) == ["`race.reference` was n @ low + lean, is the best candidate"]
    swapped = terms(candidates=[["n", "low", "2"], ["m", None, "1"]])
    assert _differences(terms(), swapped) == ["suite `s` lists its candidates in another order"]
    assert _differences({**terms(), "suites": {}}, terms()) == ["suite `s` was not there"]
    assert _differences(terms(), {**terms(), "suites": {}}) == ["suite `s` is gone"]
