"""What `race.jsonl` says where a race is not the one that was begun."""

from router_lab.sweep.race_log import _differences


def terms(**given: object) -> dict[str, object]:
    suite = {"samples": 40, "ids": "a", "waves": "w", "candidates": [["m", None, "1"], ["n", "low", "2"]]}
    return {"race": 3, "rule": {"margin": 0.03, "floor": 0.1}, "reference": None, "suites": {"s": {**suite, **given}}}


def test_each_part_that_differs_is_named_with_what_it_was_and_is() -> None:
    other = {**terms(), "rule": {"margin": 0.05, "floor": 0.1}, "reference": ["n", "low"]}
    assert _differences(terms(), other) == [
        "`race.margin` was 0.03, is 0.05",
        "`race.reference` was the best candidate, is n @ low",
    ]
    assert _differences(terms(), terms(samples=60, ids="b", waves="x")) == ["suite `s` had 40 samples, has 60"]
    assert _differences(terms(), terms(ids="b", waves="x")) == [
        "suite `s` has other samples, or the same in another order (`seed`)"
    ]
    assert _differences(terms(), terms(waves="x")) == ["suite `s` has other waves (`wave`, `--batch`)"]
    assert _differences(terms(), terms(candidates=[["m", None, "1"], ["o", None, "3"]])) == [
        "suite `s` has no n @ low", "suite `s` has a new candidate o",
    ]  # fmt: skip
    changed = terms(candidates=[["m", None, "9"], ["n", "low", "2"]])
    assert _differences(terms(), changed) == ["suite `s`: the settings of m changed"]
    swapped = terms(candidates=[["n", "low", "2"], ["m", None, "1"]])
    assert _differences(terms(), swapped) == ["suite `s` lists its candidates in another order"]
    assert _differences({**terms(), "suites": {}}, terms()) == ["suite `s` was not there"]
    assert _differences(terms(), {**terms(), "suites": {}}) == ["suite `s` is gone"]
