"""Chains in the artifact: written and read to the same bytes, every rule refused by key and value, and a self-test that
a machine which judges otherwise does not pass."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime import jsonio, judging
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.chains import Chain, Judge, Stage, Term, UnderCap
from router_lab.runtime.codec import decode, encode
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.judging import gains_many, gains_of
from router_lab.runtime.points import Assign, Cascade, Follow
from router_lab.runtime.policy import Policy

SEEN = "hello there"


def term(source: str, later: int = 2, knots: tuple[float, ...] = (-1.0, 0.5, 2.0), **changes: Any) -> Term:
    heights = np.linspace(-0.5, 0.7, 3 * later * len(knots)).reshape(3, later, len(knots))
    return Term(source, knots, heights)._replace(**changes)


def judge(**changes: Any) -> Judge:
    terms = (
        term("signal:logprob"),
        term("answer:length", knots=(0.0, 4.0)),
        term("agrees"),
        term("quality:4"),
    )
    return Judge((2, 4), ("logprob", "self_check"), np.full((3, 2), 0.125), terms)._replace(**changes)


LEFT = UnderCap((0, 2), (0.25, 1.0), (0.5, 1.0))


def chains(**changes: Any) -> tuple[Chain, ...]:
    """Two that share a judge by value, and one alone."""
    return (
        (Stage(0, judge(**changes), 0.25), Stage(2, None), Stage(4)),
        (Stage(1, judge()), Stage(2), Stage(4, cap_usd=2.0, under_cap=LEFT)),
        (Stage(3),),
    )


POINTS = {
    "half": (Cascade((0, 1, None), 7.5, 0.5), Assign((1, 2, 3), 0.25)),
    "one": (Follow(5.0, 0.02, 0.5),),
    "cheap": (Cascade((2, 2, 0), 0.0),),
}


def made(make_random: Any, **changes: Any) -> Policy:
    return Policy(make_random(**{"chains": chains(), "points": POINTS, **changes}))


def test_a_policy_with_chains_is_written_as_it_is_read(make_random: Any, tmp_path: Path) -> None:
    policy = load_policy(save_policy(made(make_random), tmp_path / "one"))
    value = json.loads((tmp_path / "one" / "policy.json").read_text())
    assert (value["schema_version"], len(value["judges"])) == (4, 1)
    assert value["chains"] == [
        [{"cap_usd": 0.25, "column": 0, "judge": 0}, {"cap_usd": None, "column": 2, "judge": None},
         {"cap_usd": None, "column": 4, "judge": None}],
        [{"cap_usd": None, "column": 1, "judge": 0}, {"cap_usd": None, "column": 2, "judge": None},
         {"cap_usd": 2.0, "column": 4, "judge": None,
          "under_cap": {"cost_usd": [0.25, 1.0], "quality": [0.5, 1.0], "rows": [0, 2]}}],
        [{"cap_usd": None, "column": 3, "judge": None}],
    ]  # fmt: skip
    assert value["points"]["half"] == [
        {"chains": [0, 1, None], "share": 0.5, "tradeoff": 7.5}, {"share": 0.25, "table": [1, 2, 3]},
    ]  # fmt: skip
    assert dict(policy.spec.points) == POINTS
    first, second, _ = policy.spec.chains
    assert first[0].judge is not None and first[0].judge is second[0].judge
    assert not first[0].judge.bias.flags.writeable and not first[0].judge.terms[0].heights.flags.writeable
    again = load_policy(save_policy(policy, tmp_path / "two"))
    assert again.revision == policy.revision
    copied = pickle.loads(pickle.dumps(policy))  # noqa: S301  # written a moment ago
    for key in map(str, range(8)):
        decision = policy.decide(SEEN, suite="a", key=key)
        assert decision == again.decide(SEEN, suite="a", key=key)
        answers = [
            p.decide(SEEN, suite="a", key=key).judge("42", signals={"logprob": 0.1, "self_check": 1})
            for p in (again, copied)
        ]
        assert answers[0] == answers[1] or answers[0]._but(_revision=None) == answers[1]._but(_revision=None)


def test_suites_that_share_a_row_of_a_model_are_judged_alike_and_stored_once(
    make_random: Any, tmp_path: Path
) -> None:
    """Of three rows (no known suite, a, b) the first two share one: as if it stood there twice."""
    own = judge()
    one, two = np.array([[0.0, 0.0], [1.0, 1.0]]), np.zeros((2, 2, 3)) + np.array([0.0, 9.0])[:, None, None]
    few = own._replace(
        bias=one, terms=(term("agrees", heights=two),), rows=np.array([0, 0, 1], np.int64), signals=()
    )
    each = few._replace(bias=one[[0, 0, 1]], terms=(term("agrees", heights=two[[0, 0, 1]]),), rows=None)
    values = {"agrees": 0.5}
    many = {"agrees": np.array([0.5, 0.0, 1.0])}
    every = np.arange(3)
    for row in range(3):
        assert gains_of(few, row, values) == gains_of(each, row, values)
    assert gains_of(few, 2, values)[0] - gains_of(few, 1, values)[0] == 10.0
    assert gains_many(few, every, many).tolist() == gains_many(each, every, many).tolist()
    policy = Policy(
        make_random(
            chains=((Stage(0, few), Stage(2), Stage(4)),), points={"half": (Cascade((0, 0, 0), 1.0),)}
        )
    )
    folder = save_policy(policy, tmp_path / "one")
    [stored] = json.loads((folder / "policy.json").read_text())["judges"]
    assert stored["rows"] == [0, 0, 1] and len(stored["bias"]) == 2
    read = load_policy(folder).spec.chains[0][0].judge
    assert read is not None and read.rows is not None and not read.rows.flags.writeable
    assert gains_of(read, 2, values) == gains_of(few, 2, values)


def test_a_policy_without_chains_is_written_for_older_readers(make_random: Any) -> None:
    assert encode(make_random())[0]["schema_version"] == 1
    value = encode(make_random(points={"half": (Assign((0, 1, 2)),)}))[0]
    assert value["schema_version"] == 3 and not value.keys() & {"chains", "judges"}


BAD = float("nan")
RULES: list[tuple[dict[str, Any], str]] = [
    ({"chains": list(chains())}, "chains: .*not a tuple of up to 4,096"),
    ({"chains": (((Stage(3),),) * 4097)}, "chains: 4,097 of them"),
    ({"chains": (*chains(), ())}, "chains: 3 has 0 stages, not a tuple of 1 to 3"),
    ({"chains": ((Stage(0), Stage(1), Stage(2), Stage(3)), *chains())}, "chains: 0 has 4 stages"),
    ({"chains": ((Stage(5),), *chains())}, "chains: 0, stage 0: column 5 is not a column of 5 candidates"),
    ({"chains": ((Stage(-1),), *chains())}, "stage 0: column -1"),
    ({"chains": ((Stage(True),), *chains())}, "stage 0: column True"),
    ({"chains": ((3,), *chains())}, "chains: 0, stage 0 is 3, not a Stage"),
    ({"chains": ((Stage(3, None, 0.0),), *chains())}, "stage 0: cap_usd 0.0 is not null"),
    ({"chains": ((Stage(3, None, 2e9),), *chains())}, "stage 0: cap_usd 2000000000.0"),
    ({"chains": ((Stage(3, None, BAD),), *chains())}, "stage 0: cap_usd nan"),
    *(
        ({"chains": ((Stage(3, cap_turns=turns),), *chains())}, f"stage 0: cap_turns {told} is not null, nor a whole")
        for turns, told in ((0, "0"), (True, "True"), (1_000_001, "1000001"), (2.0, "2.0"))
    ),
    ({"chains": ((Stage(3, under_cap=LEFT),), *chains())}, "stage 0: under_cap stands where nothing stops a run"),
    *(
        ({"chains": ((Stage(3, None, 1.0, None, left),), *chains())}, f"stage 0: under_cap {told}")
        for left, told in (
            ((1,), "is "),
            (LEFT._replace(rows=[0, 2]), "is "),
            (LEFT._replace(rows=(2, 0)), r"rows \(2, 0\) are not some of 0 to 2, ascending"),
            (LEFT._replace(rows=(0, 3)), r"rows \(0, 3\) are not some"),
            (LEFT._replace(rows=(False, 2)), r"rows \(False, 2\) are not some"),
            (UnderCap((), (), ()), r"rows \(\) are not some"),
            (LEFT._replace(cost_usd=(0.5,)), r"cost_usd \(0.5,\) is not a number from 0 to 1 for each"),
            (LEFT._replace(quality=(0.5, 1.5)), r"quality \(0.5, 1.5\) is not a number from 0 to 1"),
            (LEFT._replace(quality=(0.5, BAD)), r"quality \(0.5, nan\) is not a number from 0 to 1"),
        )
    ),
    ({"chains": ((Stage(3), Stage(3)), *chains())}, r"asks a candidate twice: columns \[3, 3\]"),
    ({"chains": ((Stage(3, judge()),), *chains())}, "chains: 0: its last stage has a judge"),
    ({"chains": chains(later=(4, 2))}, r"stage 0: its judge is of later stages \(4, 2\)"),
    ({"chains": chains(later=(2,))}, r"later stages \(2,\)"),
    ({"chains": chains(signals=("self_check", "logprob"))}, "signals .* are not sorted without repeats"),
    ({"chains": chains(signals=("logprob", "logprob"))}, "signals .* are not sorted without repeats"),
    ({"chains": chains(signals=("log prob",))}, "signal 'log prob' is not 1 to 64"),
    ({"chains": chains(signals=("",))}, "signal '' is not 1 to 64"),
    ({"chains": chains(signals=("x" * 65,))}, "signal 'x+' is not 1 to 64"),
    ({"chains": chains(signals=tuple(f"{n:02}" for n in range(33)))}, "signals .* are not a tuple of up to 32"),
    ({"chains": chains(bias=np.zeros((2, 2)))}, r"bias is float64\[2, 2\], not float64\[3, 2\]"),
    ({"chains": chains(bias=np.zeros((3, 2), np.float32))}, "bias is float32"),
    ({"chains": chains(bias=np.full((3, 2), BAD))}, "bias holds a number that is not finite"),
    ({"chains": chains(bias=np.full((3, 2), 1e10))}, "bias holds a number .* beyond 1e"),
    ({"chains": chains(rows=np.zeros(2, np.int64))}, r"rows are int64\[2\], not int64\[3\]"),
    ({"chains": chains(rows=np.zeros(3))}, r"rows are float64\[3\], not int64\[3\]"),
    ({"chains": chains(rows=(0, 0, 1))}, r"rows are \(0, 0, 1\), not int64\[3\]"),
    ({"chains": chains(rows=np.array([0, -1, 0]))}, r"rows \[0, -1, 0\] do not name rows from 0 in the order"),
    ({"chains": chains(rows=np.array([1, 0, 0]))}, r"rows \[1, 0, 0\] do not name rows from 0 in the order"),
    ({"chains": chains(rows=np.array([0, 2, 1]))}, r"rows \[0, 2, 1\] do not name rows from 0 in the order"),
    ({"chains": chains(rows=np.array([0, 1, 2]))}, "rows: each suite has its own; leave them out"),
    ({"chains": chains(rows=np.array([0, 1, 0]))}, r"bias is float64\[3, 2\], not float64\[2, 2\]"),
    (
        {"chains": chains(rows=np.array([0, 1, 0]), bias=np.zeros((2, 2)))},
        r"heights is float64\[3, 2, \d\], not float64\[2, 2, ",
    ),
    ({"chains": chains(terms=(term("agrees"),) * 129)}, "129 terms, not a tuple of up to 128"),
    ({"chains": chains(terms=(("agrees", (0.0, 1.0)),))}, "term 0 is .*, not a Term"),
    *(({"chains": chains(terms=(term(source),))}, f"term 0: source {source!r} is not one of") for source in (
        "signal:unknown", "answer:colour", "quality:5", "quality:-1", "quality:01", "quality:", "quality:²", "agree", "",
    )),
    ({"chains": chains(terms=(term("agrees")._replace(source=7),))}, "term 0: source 7 is not a text"),
    ({"chains": chains(terms=(term("agrees", knots=(0.0,)),))}, r"knots \(0.0,\) are not a tuple of 2 to 32"),
    ({"chains": chains(terms=(term("agrees", knots=tuple(map(float, range(33)))),))}, "knots .* 2 to 32 numbers"),
    ({"chains": chains(terms=(term("agrees", knots=(0.0, BAD, 1.0)),))}, "knots .* 2 to 32 numbers"),
    ({"chains": chains(terms=(term("agrees", knots=(0.0, 1.0, 1.0)),))}, "knots .* do not ascend strictly"),
    ({"chains": chains(terms=(term("agrees", heights=np.zeros((3, 2, 4))),))}, r"heights is float64\[3, 2, 4\]"),
    ({"chains": chains(terms=(term("agrees", heights=np.full((3, 2, 3), -2e9)),))}, "heights holds a number"),
    ({"points": {"half": (Cascade((0, 1, 3), 1.0),)}}, "points: 'half' has 3 in `chains` for 'b', not an index of 3"),
    ({"points": {"half": (Cascade((0, 1, True), 1.0),)}}, "has True in `chains` for 'b'"),
    ({"points": {"half": (Cascade((-1, 1, 1), 1.0),)}}, "has -1 in `chains` for no known suite"),
    ({"points": {"half": (Cascade((0, 1), 1.0),)}}, "has 2 chains, not a tuple of 3"),
    ({"points": {"half": (Cascade((None, None, None), 1.0),)}}, "names no chain"),
    ({"points": {"half": (Cascade((0, 0, 0), -1.0),)}}, "has the tradeoff -1.0, not a finite number of 0 or more"),
    ({"points": {"half": (Cascade((0, 0, 0), BAD),)}}, "has the tradeoff nan"),
    ({"points": {"half": (Cascade((0, 0, 0), 1.0, 0.0),)}}, "has the share 0"),
    ({"points": {"half": (Follow(1.0, 0.0),)}}, "chains: no piece of a point names one of the 3"),
    ({"eligible": np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)},
     "has chain 1 for 'a', where its column 2 may not be chosen"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), RULES)
def test_every_rule_is_refused_by_key_and_value(make_random: Any, changes: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        made(make_random, **changes)


def test_the_reference_may_be_a_stage_wherever_it_is_not_eligible(make_random: Any) -> None:
    eligible = np.ones((3, 5), bool)
    eligible[:, 4] = False
    assert made(make_random, eligible=eligible).decide(SEEN, point="cheap").code in ("chained", "uncovered")


FORGED: list[tuple[str, Any, str]] = [
    ("chains", [], "chains: none"),
    ("chains", {}, "chains: .*not a list of up to 4,096"),
    ("chains", [[]] * 5000, "chains: 5,000, not a list"),
    ("chains", [[{"column": 0}]], "chains: 0: unknown or missing keys: cap_usd, judge"),
    ("chains", [[{"column": 0, "cap_usd": None, "judge": 3}]], "chains: 0: judge 3 is not an index of 1 judges"),
    ("chains", [[{"column": 0, "cap_usd": None, "judge": None, "cap_turns": None}]], "chains: 0: None is not a whole"),
    ("chains", [[{"column": 0, "cap_usd": None, "judge": None, "turns": 1}]], "chains: 0: unknown or missing keys: turns"),
    (
        "chains",
        [[{"column": 0, "cap_usd": 1.0, "judge": None, "under_cap": {"rows": [0], "cost_usd": [1.0]}}]],
        "chains: 0: under_cap: unknown or missing keys: quality",
    ),
    (
        "chains",
        [[{"column": 0, "cap_usd": 1.0, "judge": None, "under_cap": {"rows": [0], "cost_usd": ["1"], "quality": [1]}}]],
        "chains: 0: '1' is not a number",
    ),
    ("chains", [[{"column": "0", "cap_usd": None, "judge": None}]], "chains: 0: '0' is not a whole number"),
    ("chains", [[{"column": 3, "cap_usd": "1", "judge": None}]], "chains: 0: '1' is not a number"),
    ("chains", [[{"column": 3, "cap_usd": None, "judge": None}]], "judges: 0 is named by no stage"),
    ("judges", None, "judges: None, not a list"),
    ("judges", [7], "judges: 0: not an object"),
    ("judges", [{"later": 2, "signals": [], "bias": [], "terms": []}], "judges: 0: 2 is not a list"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0.0]], "terms": []}], "judges: 0: bias has not the shape"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0.0, "1"]], "terms": []}], "judges: 0: '1' is not a number"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0, 0]] * 3, "terms": [{}] * 129}], "judges: 0: 129 terms"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0, 0]], "terms": [], "rows": [0, 0.0, 0]}], "0.0 is not a whole"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0, 0]], "terms": [], "rows": 0}], "judges: 0: 0 is not a list"),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0, 0]], "terms": [], "rows": [0, 10**30, 0]}], "judges: 0: "),
    ("judges", [{"later": [2, 4], "signals": [], "bias": [[0, 10**400]] * 3, "terms": []}], "judges: 0: int too large"),
    ("judges", [{"later": [2, 4], "signals": [[]], "bias": [[0, 0]] * 3, "terms": []}], "signal .* is not 1 to 64"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), FORGED)
def test_what_has_not_the_form_is_named(make_random: Any, key: str, value: Any, message: str) -> None:
    original, arrays = encode(made(make_random).spec)
    with pytest.raises(PolicyError, match=message):
        Policy(decode({**original, key: value}, arrays, {}))


def test_chains_are_of_version_4_alone(make_random: Any) -> None:
    value, arrays = encode(made(make_random).spec)
    for version in (1, 2, 3):
        with pytest.raises(PolicyError, match=r"policy\.json"):
            decode({**value, "schema_version": version}, arrays, {})
    plain, arrays = encode(make_random(points={"half": (Assign((0, 1, 2)),)}))
    with pytest.raises(PolicyError, match="piece 1: unknown or missing keys: chains, guard"):
        decode(
            {**plain, "points": POINTS | {"half": [{"share": 1.0, "tradeoff": 1.0, "chains": [0, 0, 0]}]}},
            arrays,
            {},
        )


ODD: list[Any] = [None, True, -1, 0, 1, 4, 10**400, -0.0, 0.5, 1e308, "", "agrees", [], {}, [[]], [0.0, 1.0]]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside with each of its keys; of long lists of numbers the first two."""
    keys = list(value if isinstance(value, dict) else range(len(value)))
    for key in keys[:2] if len(keys) > 2 and isinstance(value[keys[0]], float) else keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def test_whatever_stands_in_chains_and_judges_is_refused_or_judges(make_random: Any) -> None:
    """Each value replaced by each odd one, and each left out: a PolicyError, or a policy that judges and that is written
    as it was read."""
    small = ((Stage(0, judge(terms=(term("signal:logprob"),)), 0.5), Stage(2), Stage(4)),)
    points = {"half": (Cascade((0, 0, 0), 1.0),)}
    original, arrays = encode(made(make_random, chains=small, points=points).spec)
    loaded = refused = 0
    parts = ("chains", "judges")
    for number in range(sum(1 for part in parts for _ in places(original[part]))):
        for odd in [*ODD, ...]:
            value = copy.deepcopy(original)
            container, key = [place for part in parts for place in places(value[part])][number]
            if odd is ...:
                del container[key]
            else:
                container[key] = copy.deepcopy(odd)
            try:
                policy = Policy(decode(value, arrays, {}))
            except PolicyError as error:
                assert "chain" in str(error) or "judge" in str(error)
                refused += 1
                continue
            loaded += 1
            again, _ = encode(policy.spec)
            assert jsonio.dumps(encode(decode(again, arrays, {}))[0]) == jsonio.dumps(again)
            begun = policy.decide(SEEN, suite="a")
            begun.judge("42", signals=dict.fromkeys(begun.signals, 0.5))
    assert loaded > 20 and refused > 200


def test_a_machine_that_judges_otherwise_is_refused(
    make_random: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last bit of one height."""
    path = save_policy(made(make_random), tmp_path / "saved")
    lines = [json.loads(line) for line in (path / "golden.jsonl").read_text().splitlines()]
    assert len(lines) == 21 and all({"answers", "signals", "judged"} <= line.keys() for line in lines)
    assert {len(line["judged"]) for line in lines} >= {1, 2}
    assert any(line["judged"][0]["gains"] for line in lines)
    height = judging._height
    monkeypatch.setattr(judging, "_height", lambda *asked: float(np.nextafter(height(*asked), 9.0)))
    with pytest.raises(
        PolicyError, match=r"golden\.jsonl: case \d+: this machine decides otherwise \(judged"
    ):
        load_policy(path)
