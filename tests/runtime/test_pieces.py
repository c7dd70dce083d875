"""Points of several pieces, on numbers worked out by hand, and what holds for all of them.

`make_spec` (conftest): at a tradeoff of 100 cheap's utility is .60, middle's .59, the dear reference's .40; at 200 they
are .50, .39 and −.10; at 0 .70, .79 and .90, and nobody beats the reference.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime import odds
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.codec import decode, encode
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.golden import cases
from router_lab.runtime.model import Candidate
from router_lab.runtime.points import (
    Assign,
    Follow,
    Point,
    described,
    ends_of,
    follows,
    mix_of,
    pieces_described,
)
from router_lab.runtime.policy import Policy
from router_lab.runtime.rule import draw

SEEN = "the quick brown fox jumps over the lazy dog"
UNSEEN = "zyx wvu tsr qpo nml kji hgf edc"
CHEAP, MIDDLE, DEAR = Candidate("cheap", "low"), Candidate("cheap", "max"), Candidate("dear")
MIXED = (Follow(100.0, 0.05, 0.25), Assign((2, 1, 1), 0.25), Follow(0.0, 0.0, 0.25))
"""Draws below .25 go to cheap, to .5 to middle in a known suite, to .75 to the reference on its merits; the rest is its
for want of a piece."""


def key_between(low: float, high: float) -> str:
    return next(key for key in map(str, range(10_000)) if low <= draw(key) < high)


FIRST, SECOND, THIRD, REST = (key_between(end - 0.25, end) for end in (0.25, 0.5, 0.75, 1.0))


def made(make_spec: Any, point: Point = MIXED, **changes: Any) -> Policy:
    return Policy(make_spec(points={"default": point}, **changes))


def outcome(policy: Policy, prompt: str = SEEN, **asked: Any) -> tuple[Candidate, str]:
    decision = policy.decide(prompt, **asked)
    return decision.candidate, decision.code


def test_each_piece_acts_in_its_own_stretch_of_the_draw(make_spec: Any) -> None:
    policy = made(make_spec)
    seen = {key: policy.decide(SEEN, suite="maths", key=key) for key in (FIRST, SECOND, THIRD, REST)}
    assert [(d.candidate, d.code) for d in seen.values()] == [
        (CHEAP, "predicted"), (MIDDLE, "assigned"), (DEAR, "reference"), (DEAR, "mixed"),
    ]  # fmt: skip
    told = [
        [d.evidence[name] for name in ("piece", "share", "tradeoff", "guard", "mix")] for d in seen.values()
    ]
    assert told == [
        [0, 0.25, 100.0, 0.05, 0.75], [1, 0.25, None, None, 0.75], [2, 0.25, 0.0, 0.0, 0.75],
        [None, None, None, None, 0.75],
    ]  # fmt: skip
    drawn = "this key draws a piece, of 25% of the requests, that assigns it every prompt of this suite, whatever is "
    assert seen[SECOND].reason.startswith(f"{drawn}predicted: ")
    whole = made(make_spec, (Assign((2, 1, 1)),)).decide(SEEN, suite="maths").reason
    assert whole.startswith("the policy assigns it every prompt of this suite, whatever is predicted: ")
    assert seen[REST].reason == "the reference: another beats it, but this key is not among the 75% that move"
    assert policy.shares([SEEN], ["maths"])[0].tolist() == [0.25, 0.25, 0.5]
    # Without a known suite the table's first row acts: the reference.
    assert outcome(policy, key=SECOND) == (DEAR, "assigned")


def test_a_draw_on_the_edge_belongs_to_the_later_piece(make_spec: Any) -> None:
    edge = draw("some key")
    for share, column in ((edge, 1), (np.nextafter(edge, 1.0), 0)):
        point = (Assign((0, 0, 0), float(share)), Assign((1, 1, 1), float(1.0 - share)))
        assert outcome(made(make_spec, point), key="some key")[0] == (CHEAP, MIDDLE)[column]


def test_shares_that_add_up_to_one_but_for_rounding_leave_nothing_over(make_spec: Any) -> None:
    tenths = tuple(Assign((0, 0, 0), 0.1) for _ in range(10))  # ten of them make .9999999999999999
    assert sum(piece.share for piece in tenths) < 1 == ends_of(tenths)[-1]
    assert made(make_spec, tenths).shares([SEEN])[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-15)
    more = (Follow(100.0, 0.05, 0.6), Follow(100.0, 0.05, 0.4 + 5e-10))
    assert mix_of(more) == 1.0
    assert mix_of((Follow(1.0, 0.0, 0.5), Follow(1.0, 0.0, 0.4))) == 0.9


@pytest.mark.parametrize(("point", "suite", "by_key"), [
    # Both kinds: who is assigned needs no prompt; the rest of the draw goes by the routing table.
    (MIXED, "triage", [(CHEAP, "table"), (MIDDLE, "assigned"), (CHEAP, "table"), (CHEAP, "table")]),
    (MIXED, "maths", [(DEAR, "uncovered"), (MIDDLE, "assigned"), (DEAR, "uncovered"), (DEAR, "uncovered")]),
    (MIXED, None, [(DEAR, "uncovered")] * 4),
    (MIXED, "nobody's", [(DEAR, "uncovered")] * 4),
    # Assigned alone: nothing of the prompt matters, and the routing table never acts.
    (MIXED[1:2], "triage", [(MIDDLE, "assigned"), *[(DEAR, "mixed")] * 3]),
    ((Assign((0, 0, 0)),), "maths", [(CHEAP, "assigned")] * 4),
    ((Assign((0, 0, 0)),), None, [(DEAR, "uncovered")] * 4),
    # Predictions alone: the table, whatever the draw.
    ((Follow(100.0, 0.05, 0.25), Follow(0.0, 0.0, 0.25)), "triage", [(CHEAP, "table")] * 4),
])  # fmt: skip
def test_too_little_coverage(make_spec: Any, point: Point, suite: str | None, by_key: list[Any]) -> None:
    policy = made(make_spec, point)
    assert [outcome(policy, UNSEEN, suite=suite, key=key) for key in (FIRST, SECOND, THIRD, REST)] == by_key
    expected = np.zeros(3)
    for candidate, _ in by_key:
        expected[policy.candidates.index(candidate)] += 0.25
    assert policy.shares([UNSEEN], [suite])[0].tolist() == expected.tolist()


def test_what_is_covered_is_what_the_point_decides_and_not_the_table(make_spec: Any) -> None:
    points = {"default": MIXED, "table": MIXED[1:2]}
    policy = Policy(make_spec(points=points))
    asked = [SEEN, UNSEEN, UNSEEN], ["maths", "maths", None]
    assert policy.covered(*asked).tolist() == [True, False, False]
    assert policy.covered(*asked, point="table").tolist() == [True, True, False]


def test_no_draw_where_chance_decides_nothing(make_spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(odds, "shared_key", lambda *asked: drawn.append(asked) or "key")
    for point in (
        (Assign((0, 1, 2)),),
        (Assign((2, 2, 2), 0.5),),
        (Follow(0.0, 0.0, 0.5),),
        (Follow(100.0, 0.05),),
    ):
        made(make_spec, point).decide(SEEN, suite="maths")
    made(make_spec).decide(UNSEEN)
    made(make_spec, (Assign((0, 0, 0), 0.5),)).decide(SEEN, allowed=[CHEAP, MIDDLE])
    assert drawn == []
    made(make_spec).decide(SEEN, suite="maths")
    assert len(drawn) == 1


@pytest.mark.parametrize(("asked", "by_key"), [
    ({"allowed": [CHEAP, DEAR]},
     [(CHEAP, "predicted"), (DEAR, "barred"), (DEAR, "reference"), (DEAR, "mixed")]),
    ({"allowed": [MIDDLE]}, [(MIDDLE, "only"), (MIDDLE, "assigned"), (MIDDLE, "only"), (MIDDLE, "only")]),
    # Without the reference the rest of the draw goes where the first piece goes.
    ({"allowed": [CHEAP, MIDDLE]}, [(CHEAP, "only"), (MIDDLE, "assigned"), (MIDDLE, "only"), (CHEAP, "only")]),
    ({"allowed": [CHEAP]}, [(CHEAP, "only")] * 4),
    ({"min_quality": 0.85}, [(DEAR, "reference"), (DEAR, "barred"), (DEAR, "reference"), (DEAR, "reference")]),
])  # fmt: skip
def test_constraints_bind_every_piece(make_spec: Any, asked: dict[str, Any], by_key: list[Any]) -> None:
    policy = made(make_spec)
    assert [
        outcome(policy, suite="maths", key=key, **asked) for key in (FIRST, SECOND, THIRD, REST)
    ] == by_key


def test_who_is_assigned_serves_where_the_constraints_exclude_the_reference(make_spec: Any) -> None:
    policy = made(make_spec, (Assign((2, 1, 1), 0.25),))
    asked = {"suite": "maths", "allowed": [CHEAP, MIDDLE]}
    assert {outcome(policy, key=str(k), **asked) for k in range(20)} == {(MIDDLE, "assigned")}
    barred = policy.decide(SEEN, suite="maths", allowed=[CHEAP, DEAR])
    assert (
        barred.reason
        == "the reference: the constraints exclude the candidate that the policy assigns this suite to"
    )


def test_chance_moves_no_conversation(make_spec: Any) -> None:
    """cheap is what the first piece picks, middle the second: whoever serves stays at every draw."""
    policy = made(make_spec)
    for previous in (CHEAP, MIDDLE):
        said = {
            outcome(policy, suite="maths", key=key, previous=previous) for key in (FIRST, SECOND, THIRD, REST)
        }
        assert said == {(previous, "kept")}
    assert "still beats the reference" in policy.decide(SEEN, suite="maths", previous=CHEAP, key=REST).reason
    assert (
        "still has this suite assigned"
        in policy.decide(SEEN, suite="maths", previous=MIDDLE, key=REST).reason
    )
    alone = made(make_spec, (Assign((2, 1, 1), 0.25),))
    assert outcome(alone, suite="maths", key=REST, previous=MIDDLE) == (MIDDLE, "kept")
    assert outcome(alone, suite="maths", key=REST, previous=CHEAP) == (DEAR, "mixed")


def test_a_conversation_is_worth_its_cache_to_every_piece(make_spec: Any) -> None:
    """dear's cache saves $9 per million tokens; from dear to middle saves $.003: 300 tokens are worth less, 400 more.
    cheap's saves $.9 per million: to leave it for the reference, which costs more, saves less than nothing."""
    alone = made(make_spec, (Assign((2, 1, 1), 0.5),))
    asked = {"suite": "maths", "key": FIRST}
    assert outcome(alone, previous=DEAR, cached_tokens=300, **asked) == (MIDDLE, "assigned")
    assert outcome(alone, previous=DEAR, cached_tokens=400, **asked) == (DEAR, "sticky")
    assert outcome(alone, previous=CHEAP, cached_tokens=1, suite="maths", key=REST) == (CHEAP, "sticky")
    # Utility at 100: the cache of 10,000 tokens is worth 9, far more than .20 ahead.
    several = made(make_spec)
    for key in (FIRST, SECOND, THIRD, REST):
        assert outcome(several, previous=DEAR, cached_tokens=10_000, suite="maths", key=key)[0] == DEAR


def test_a_fallback_and_an_expired_policy_are_as_ever(make_spec: Any) -> None:
    first = made(make_spec).decide(SEEN, suite="maths", key=SECOND)
    second = first.next("unavailable")
    assert (second.candidate, second.code, second.fallbacks) == (DEAR, "fallback", (CHEAP,))
    late = made(make_spec, expires="2020-01-01").decide(SEEN, suite="maths", key=SECOND)
    assert (late.candidate, late.code, late.evidence["piece"]) == (DEAR, "expired", None)


def pieces(columns: int = 5, rows: int = 3) -> st.SearchStrategy[Point]:
    """Points whose shares are whole 64ths, so that sums are exact."""
    follow = st.builds(Follow, st.floats(0, 100), st.floats(0, 0.3))
    assign = st.builds(Assign, st.tuples(*[st.integers(0, columns - 1)] * rows))
    kinds = st.lists(follow | assign, min_size=1, max_size=6)
    return kinds.flatmap(lambda found: st.lists(st.integers(1, 10), min_size=len(found), max_size=len(found)).map(
        lambda parts: tuple(piece._replace(share=part / 64) for piece, part in zip(found, parts, strict=True))
    ))  # fmt: skip


TEXTS = ["", "hello there", "what is 2 + 2?", "fox " * 50, "日本語 text", "x" * 90]


@settings(max_examples=60, deadline=None)
@given(pieces(), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
def test_shares_are_how_often_decide_picks(
    random_policy: Policy, point: Point, least: float, more: float, s: int
) -> None:
    """Of any point, at any coverage needed: a draw's candidate is the one of its stretch, and the stretches add up."""
    spec = dataclasses.replace(
        random_policy.spec,
        points={"half": point},
        coverage=least,
        coverage_unknown=more,
        routes=random_policy.spec.routes,
    )
    policy = Policy(spec)
    for suite in (None, "a", "b", "nobody's"):
        found = policy.stretches(TEXTS, [suite] * len(TEXTS))
        shares = policy.shares(TEXTS, [suite] * len(TEXTS))
        assert shares.sum(axis=1).tolist() == [1.0] * len(TEXTS)
        for i, text in enumerate(TEXTS):
            key = f"{s} {i} {suite}"
            column = policy.candidates.index(policy.decide(text, suite=suite, key=key).candidate)
            assert column == found.columns[i, bisect_right(found.ends[:-1].tolist(), draw(key))]
            assert shares[i, column] > 0


@settings(max_examples=60, deadline=None)
@given(
    pieces(),
    st.floats(0, 1),
    st.sampled_from([None, "a", "b", "nobody's"]),
    st.sampled_from(TEXTS),
    st.text(max_size=3),
)
def test_chance_moves_no_conversation_at_any_point(
    random_policy: Policy, point: Point, least: float, suite: str | None, text: str, key: str
) -> None:
    """Whoever is not the reference and was picked at one draw stays at every other, whatever their cache is worth."""
    policy = Policy(dataclasses.replace(random_policy.spec, points={"half": point}, coverage=least))
    first = policy.decide(text, suite=suite, key=key).candidate
    for number in range(12):
        if first != policy.reference:
            again = policy.decide(text, suite=suite, key=f"{number}", previous=first)
            assert again.candidate == first


def test_the_frequencies_of_many_keys_are_the_shares(make_random: Any) -> None:
    point = (Follow(30.0, 0.0, 0.2), Assign((4, 1, 2), 0.35), Follow(5.0, 0.02, 0.15))
    policy = Policy(make_random(points={"half": point}))
    for text, suite in (("hello there", "a"), ("what is 2 + 2?", "b"), ("zz", None)):
        counts = np.zeros(5)
        for key in range(2000):
            counts[policy.candidates.index(policy.decide(text, suite=suite, key=str(key)).candidate)] += 1
        assert counts / 2000 == pytest.approx(policy.shares([text], [suite])[0], abs=0.04)


def test_a_policy_of_pieces_survives_its_artifact_and_its_pickle(make_spec: Any, tmp_path: Path) -> None:
    points = {"default": MIXED, "one": (Assign((0, 1, 2), 0.5),), "still": (Follow(0.0, 1.0, 0.0),)}
    policy = load_policy(save_policy(Policy(make_spec(points=points)), tmp_path / "new"))
    value = json.loads((tmp_path / "new" / "policy.json").read_text())
    assert value["schema_version"] == 3 and "vector" not in value
    assert value["points"]["default"][:2] == [
        {"share": 0.25, "tradeoff": 100.0, "guard": 0.05}, {"share": 0.25, "table": [2, 1, 1]},
    ]  # fmt: skip
    assert dict(policy.spec.points) == points
    copied = pickle.loads(pickle.dumps(policy))  # noqa: S301  # written a moment ago
    for key in (FIRST, SECOND, THIRD, REST):
        decision = policy.decide(SEEN, suite="maths", key=key)
        again = pickle.loads(pickle.dumps(decision))  # noqa: S301
        assert copied.decide(SEEN, suite="maths", key=key) == decision == again


@pytest.mark.parametrize(
    "point", [(Follow(100.0, 0.05, 1.0),), (Follow(5.0, 0.02, 0.5),), (Follow(0.0, 1.0, 0.0),)]
)
def test_a_policy_that_older_readers_can_read_is_written_for_them(
    make_spec: Any, tmp_path: Path, point: Point
) -> None:
    save_policy(made(make_spec, point), tmp_path / "new")
    value = json.loads((tmp_path / "new" / "policy.json").read_text())
    assert (value["schema_version"], value["points"]) == (1, {"default": list(point[0])})


def test_the_self_test_draws_every_piece(make_spec: Any) -> None:
    sixteen = tuple(Assign((i % 3, 0, 1), 0.06) for i in range(16))
    for points in ({"default": MIXED}, {"default": MIXED, "other": MIXED[:2]}, {"default": sixteen}):
        spec = make_spec(points=points)
        for name, point in points.items():
            ends = ends_of(point)
            drawn = {bisect_right(ends, draw(case["key"])) for case in cases(spec) if case["point"] == name}
            assert drawn == set(range(len(point) + 1))
    plain = [case["key"] for case in cases(make_spec())]
    # As in every artifact before there were pieces.
    assert plain == [f"golden-{index}" for index in range(21)]


def edit(artifact: Path, **changes: Any) -> None:
    value = json.loads((artifact / "policy.json").read_text())
    (artifact / "policy.json").write_text(json.dumps(value | changes))


FOLLOW, ASSIGN = {"share": 0.5, "tradeoff": 1.0, "guard": 0.0}, {"share": 0.5, "table": [0, 1, 2]}
FORGED: list[tuple[Any, str]] = [
    ([], "points: 'half': 0 pieces, not a list of 1 to 32"),
    ([{**ASSIGN, "share": 0.01}] * 33, "points: 'half': 33 pieces, not a list of 1 to 32"),
    ({"0": FOLLOW}, "not a list of 1 to 32"),
    (None, "points: 'half': None, not a list of 1 to 32"),
    ([0.0, 1.0, 1.0], "points: 'half', piece 1: needs `share` and either `tradeoff` and `guard` or `table`, not 0.0"),
    ([FOLLOW, {"share": 0.5}], "points: 'half', piece 2: needs `share` and either"),
    ([FOLLOW | ASSIGN], "points: 'half', piece 1: needs `share` and either"),
    ([{**ASSIGN, "guard": 0.0}], "points: 'half', piece 1: needs `share` and either"),
    ([{"share": 0.5, "tradeoff": 1.0}], "points: 'half', piece 1: unknown or missing keys: guard"),
    ([{"table": [0, 1, 2]}], "points: 'half', piece 1: unknown or missing keys: share"),
    ([{**FOLLOW, "mix": 1.0}], "points: 'half', piece 1: unknown or missing keys: mix"),
    ([FOLLOW, {**ASSIGN, "share": 0.0}], "points: 'half', piece 2, has the share 0; leave it out"),
    ([{**ASSIGN, "share": 0}], "points: 'half' has the share 0; leave it out"),
    ([FOLLOW, {**FOLLOW, "share": -0.25}], "points: 'half', piece 2, has the share .mix. -0.25"),
    ([{**FOLLOW, "share": 1.5}], "points: 'half' has the share .mix. 1.5"),
    ([FOLLOW, {**ASSIGN, "share": 0.6}], "points: 'half' has shares .mix. that add up to 1.1, above 1"),
    ([FOLLOW, FOLLOW, {**ASSIGN, "share": 1e-8}], "points: 'half' has shares .mix. that add up to 1.00000001"),
    ([{**FOLLOW, "share": True}], "points: 'half', piece 1: True is not a number"),
    ([{**FOLLOW, "share": "1"}], "points: 'half', piece 1: '1' is not a number"),
    ([{**FOLLOW, "tradeoff": False}], "points: 'half', piece 1: False is not a number"),
    ([{**FOLLOW, "tradeoff": -1.0}], "points: 'half' has a tradeoff or guard that is not a finite number"),
    ([FOLLOW, {**FOLLOW, "guard": 1e10}], "points: 'half', piece 2, has a tradeoff or guard"),
    ([{**ASSIGN, "table": [0, 1]}], "points: 'half' has a table of 2 columns, not a tuple of 3"),
    ([{**ASSIGN, "table": [0, 1, 2, 3]}], "points: 'half' has a table of 4 columns, not a tuple of 3"),
    ([{**ASSIGN, "table": "012"}], "points: 'half', piece 1: '012' is not a list"),
    ([{**ASSIGN, "table": [0, 1, 5]}], "points: 'half' has 5 in its table for 'b', not a column of 5 candidates"),
    ([FOLLOW, {**ASSIGN, "table": [-1, 1, 2]}], "piece 2, has -1 in its table for no known suite, not a column"),
    ([{**ASSIGN, "table": [0, True, 2]}], "points: 'half', piece 1: True is not a whole number"),
    ([{**ASSIGN, "table": [0, 1.0, 2]}], "points: 'half', piece 1: 1.0 is not a whole number"),
    ([{**ASSIGN, "table": [0, 3, 2]}], "has column 3 in its table for 'a', where it may not be chosen .`eligible`."),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "message"), FORGED)
def test_forged_pieces_are_named_although_all_hashes_agree(artifact: Path, pieces: Any, message: str) -> None:
    eligible = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 1]]
    edit(artifact, schema_version=3, eligible=eligible, points={"half": pieces})
    with pytest.raises(PolicyError, match=message):
        load_policy(artifact, verify="off")


ODD: list[Any] = [
    None, True, -1, 0, 1, 7, 2**63, 10**400, -0.0, 0.5, 1e-9, 1e308, 5e-324, "", "x", [], {}, [[]], [0, 1, 2], [FOLLOW],
    FOLLOW, ASSIGN,
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside with each of its keys."""
    for key in list(value if isinstance(value, dict) else range(len(value))):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def test_whatever_stands_in_a_point_is_refused_or_decides(make_random: Any) -> None:
    """Each value in the points replaced by each odd one, and each left out: a PolicyError, or a policy of which shares
    and decisions agree and that is written as it was read."""
    points = {"half": (Follow(5.0, 0.02, 0.3), Assign((4, 1, 2), 0.25)), "cheap": (Assign((0, 1, 2)),)}
    original, arrays = encode(make_random(points=points))
    loaded = refused = 0
    for number in range(sum(1 for _ in places(original["points"]))):
        for odd in [*ODD, ...]:
            value = copy.deepcopy(original)
            container, key = list(places(value["points"]))[number]
            if odd is ...:
                del container[key]
            else:
                container[key] = copy.deepcopy(odd)
            try:
                policy = Policy(decode(value, arrays, {}))
            except PolicyError as error:
                assert "point" in str(error)
                refused += 1
                continue
            loaded += 1
            again, _ = encode(policy.spec)
            assert Policy(decode(again, arrays, {})).spec.points == policy.spec.points
            for point in policy.spec.points:
                column = policy.candidates.index(policy.decide("hello", suite="a", point=point).candidate)
                assert policy.shares(["hello"], ["a"], point)[0, column] > 0
    assert loaded > 20 and refused > 300


def test_numbers_that_json_has_not_are_refused_in_pieces(artifact: Path) -> None:
    edit(artifact, schema_version=3, points={"half": [{**FOLLOW, "share": float("nan")}]})
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(artifact, verify="off")


@pytest.mark.parametrize(("version", "points"), [
    (1, {"half": [FOLLOW]}), (2, {"half": [FOLLOW]}), (3, {"half": [5.0, 0.02, 0.5]}),
])  # fmt: skip
def test_points_are_in_the_form_of_their_version(artifact: Path, version: int, points: Any) -> None:
    edit(artifact, schema_version=version, points=points)
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(artifact, verify="off")


def test_a_version_that_is_not_known_asks_for_a_newer_router_lab(artifact: Path) -> None:
    edit(artifact, schema_version=7)
    with pytest.raises(
        PolicyError,
        match=r"schema_version 7 .*\(1, 2, 3, 4, 5, 6\); a newer artifact needs a newer router_lab",
    ):
        load_policy(artifact, verify="off")


@pytest.mark.parametrize(("point", "message"), [
    ((), "0 pieces"), ([Follow(1.0, 0.0)], "not a tuple of 1 to 32"),
    (Follow(1.0, 0.0), "not a Follow, an Assign or a Cascade"),
    (((1.0, 0.0, 1.0),), "not a Follow, an Assign or a Cascade"), ((Follow(float("nan"), 0.0),), "tradeoff or guard"),
    ((Follow(1.0, 0.0, float("nan")),), "share"), ((Follow(1.0, 0.0, float("inf")),), "share"),
    ((Assign([0, 0, 0]),), "table"), ((Assign((0, 0, np.int64(1))),), "not a column"),
    ((Follow(1.0, 0.0, 0.0), Follow(2.0, 0.0, 0.5)), "piece 1, has the share 0"),
])  # fmt: skip
def test_pieces_made_by_hand_are_checked_as_well(make_spec: Any, point: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=f"points: 'default'.*{message}"):
        made(make_spec, point)


def test_a_point_in_words() -> None:
    names = ["cheap", "middle", "dear"]
    assert described((Follow(100.0, 0.05, 0.75),), names) == "tradeoff 100, guard 0.05, mix 0.75"
    assert described(MIXED, names) == (
        "mix 0.75: 0.25 tradeoff 100, guard 0.05; 0.25 middle for 2 suites, dear for no known suite; "
        "0.25 tradeoff 0, guard 0"
    )
    assert described((Assign((0, 0, 0), 0.3),), names) == "mix 0.3: 0.3 cheap for all"
    many = (*MIXED, Follow(20.0, 0.1, 0.125))
    assert described(many, names) == (
        "mix 0.875: 4 pieces, 0.625 by predictions (tradeoff 0 to 100), 0.25 one candidate by suite"
    )
    assert pieces_described(many, names) == [
        "0.25 tradeoff 100, guard 0.05", "0.25 middle for 2 suites, dear for no known suite",
        "0.25 tradeoff 0, guard 0", "0.125 tradeoff 20, guard 0.1",
    ]  # fmt: skip
    tables = (Assign((0, 0, 0), 0.2), Assign((1, 1, 1), 0.2), Assign((0, 1, 0), 0.2), Assign((0, 0, 1), 0.2))
    assert described(tables, names) == "mix 0.8: 4 pieces, 0.8 one candidate by suite"
    assert [follows(MIXED), follows(MIXED[1:2])] == [True, False]
