"""What leaving whoever serves a session is worth to its end, by hand. In micro-dollars where not said otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Prices, Profile, Session, Sessions
from router_lab.runtime.points import Assign, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.sessions import Remainders

CHEAP, MIDDLE, DEAR = ("cheap", "low"), ("cheap", "max"), ("dear", None)
SEEN = "the quick brown fox"
# Four turns, each 1,000 tokens longer than the one before: 10,000 in all, of which 6,000 are sent again.
FOUR = Session(4.0, 4_000.0, 6_000.0)


def known(make_spec: Any, caching: str = "none", rows: Any = None, **changes: Any) -> Any:
    """cheap at $1 a million (read .1, written 1.25), middle without a cache, dear at ten times cheap's prices."""
    prices = (Prices(1.0, 4.0, 0.1, 1.25), Prices(1.0, 4.0), Prices(10.0, 40.0, 1.0, 12.5))
    spec = make_spec()
    profiles = tuple(p._replace(prices=each) for p, each in zip(spec.profiles, prices, strict=True))
    sessions = Sessions(caching, ((FOUR,) * 3,) * 3 if rows is None else rows)
    return dataclasses.replace(spec, **({"profiles": profiles, "sessions": sessions} | changes))


def worth(spec: Any, previous: int, index: int, costs: tuple[float, float], tokens: float) -> float:
    found = Remainders(spec).worth_usd(1, previous, index, (costs[0] / 1e6, costs[1] / 1e6), tokens, tokens)
    assert found is not None
    return 1e6 * found


def test_what_is_left_of_a_session_by_hand(make_spec: Any) -> None:
    """Two of four turns are done: the third prompt has 3,000 tokens, the fourth 4,000.

    dear goes on: reads 2,000 and 3,000 at 1, writes 1,000 twice at 12.5: 30,000. cheap takes over: writes 3,000 and
    1,000 at 1.25, reads 3,000 at .1: 5,300. Of a whole session, uncached, they are predicted at 100,000 and 10,000.
    """
    spec = known(make_spec)
    # Half is left, so twice −24,700, beside the −90,000 by which it is predicted to be cheaper.
    assert worth(spec, 2, 0, (100_000, 10_000), 2_000) == pytest.approx(-2 * 24_700 + 90_000)
    # The other way: cheap goes on for 3,000; dear writes 3,000 and 1,000 at 12.5, reads 3,000 at 1: 53,000.
    assert worth(spec, 0, 2, (10_000, 100_000), 2_000) == pytest.approx(2 * 50_000 - 90_000)
    # middle has no cache: 3,000 and 4,000 at 1.
    assert worth(spec, 0, 1, (10_000, 10_000), 2_000) == pytest.approx(2 * (7_000 - 3_000))


def test_dollars_that_count_a_cache_already(make_spec: Any) -> None:
    """Cached, a session with cheap costs 4,000 × 1.25 + 6,000 × .1 = 5,600, one with dear ten times that."""
    spec = known(make_spec, "prefix")
    assert worth(spec, 2, 0, (56_000, 5_600), 2_000) == pytest.approx(-2 * 24_700 + 50_400)


def test_answers_and_what_else_is_paid_go_on(make_spec: Any) -> None:
    # 4,000 more for the answers of dear's four turns, half of them left.
    spec = known(make_spec)
    base = worth(spec, 2, 0, (100_000, 10_000), 2_000)
    assert worth(spec, 2, 0, (104_000, 10_000), 2_000) == pytest.approx(base - 4_000 + 4_000)


def test_whoever_has_gone_on_for_longer_has_one_more_turn(make_spec: Any) -> None:
    # A quarter is left, whatever the context: dear reads 8,000 at 1 and writes 1,000; cheap writes 9,000 at 1.25.
    found = worth(known(make_spec), 2, 0, (100_000, 10_000), 8_000)
    assert found == pytest.approx(4 * (11_250 - 20_500) + 90_000)


def test_nothing_is_known_of_a_session_that_nobody_recorded(make_spec: Any) -> None:
    rows = ((FOUR, FOUR, None),) * 3
    assert Remainders(known(make_spec, rows=rows)).worth_usd(1, 2, 0, (1.0, 1.0), 5.0, 5.0) is None
    assert Remainders(make_spec()).worth_usd(1, 2, 0, (1.0, 1.0), 5.0, 5.0) is None
    bare = known(make_spec)
    bare = dataclasses.replace(bare, profiles=tuple(Profile(one) for one in bare.candidates))
    assert Remainders(bare).worth_usd(1, 2, 0, (1.0, 1.0), 5.0, 5.0) is None


def decided(policy: Policy, **asked: Any) -> tuple[Any, str]:
    decision = policy.decide(SEEN, suite="maths", **asked)
    return decision.candidate, decision.code


def test_a_dear_cache_is_left_early_and_a_dear_candidate_is_not_turned_to(make_spec: Any) -> None:
    """Utilities .60 and .40 at $1 = 100 points: cheap ($.001) is ahead of dear ($.005) by .20, which is $.002."""
    spec = known(make_spec, points={"default": (Follow(100.0, 0.0, 1.0),)})
    told, blind = Policy(spec), Policy(dataclasses.replace(spec, sessions=None))
    # One turn ahead dear's cache of 3,000 tokens saves 3,000 × 9 = 27,000, more than $.002 can pay for. To the end,
    # of a quarter of a session: predicted dollars are less than what is sent again, so only tokens read count.
    assert decided(blind, previous=DEAR, cached_tokens=3_000) == (DEAR, "sticky")
    assert decided(told, previous=DEAR, cached_tokens=3_000) == (DEAR, "sticky")
    assert Remainders(spec).worth_usd(1, 2, 0, (0.005, 0.001), 3_000.0, 3_000.0) == pytest.approx(
        4 * (3_000 * 1.25 - 3_000) / 1e6 + 0.004
    )
    # Written at .9, a move saves 300, $.0003 or .03 of utility; a quarter of the .20 of quality that dear is ahead is
    # more. At .3 it saves 2,100, which is worth .21.
    nearly = dataclasses.replace(spec, profiles=_write_at(spec, 0.9))
    assert decided(Policy(nearly), previous=DEAR, cached_tokens=3_000) == (DEAR, "sticky")
    lower = dataclasses.replace(spec, profiles=_write_at(spec, 0.3))
    assert decided(Policy(lower), previous=DEAR, cached_tokens=3_000) == (CHEAP, "predicted")


def _write_at(spec: Any, price: float) -> Any:
    first = spec.profiles[0]
    return (first._replace(prices=first.prices._replace(cache_write_5m=price)), *spec.profiles[1:])


def test_a_warm_session_is_not_moved_to_a_dearer_candidate(make_spec: Any) -> None:
    """At a tradeoff of 1 quality counts: .90 − .005 of dear against .70 − .001 of cheap."""
    spec = known(make_spec, points={"default": (Follow(1.0, 0.0, 1.0),)})
    told, blind = Policy(spec), Policy(dataclasses.replace(spec, sessions=None))
    assert decided(told) == decided(blind) == (DEAR, "reference")
    asked = {"previous": CHEAP, "cached_tokens": 1_000}
    assert decided(blind, **asked) == (DEAR, "reference")
    assert decided(told, **asked) == (CHEAP, "sticky")
    # A cold cache is a boundary; a constraint is stronger than a cache; who may not be chosen does not stay.
    assert decided(told, previous=CHEAP) == (DEAR, "reference")
    assert decided(told, **asked, allowed=[MIDDLE, DEAR])[0] == DEAR
    barred = dataclasses.replace(spec, eligible=np.array([[False, True, True]] * 3))
    assert decided(Policy(barred), **asked) == (DEAR, "reference")


def test_who_is_assigned_takes_over_where_that_pays_to_the_end(make_spec: Any) -> None:
    spec = known(make_spec, points={"default": (Assign((0, 0, 0), 1.0),)})
    # cheap writes 3,000 at .9, dear reads 3,000 at 1: predicted dollars count for nothing here, as above.
    lower = Policy(dataclasses.replace(spec, profiles=_write_at(spec, 0.9)))
    assert decided(lower, previous=DEAR, cached_tokens=3_000) == (CHEAP, "assigned")
    assert decided(Policy(spec), previous=DEAR, cached_tokens=3_000) == (DEAR, "sticky")


def test_the_whole_context_tells_how_far_a_session_is(make_spec: Any) -> None:
    spec = known(make_spec)
    found = Remainders(spec)
    half = found.worth_usd(1, 2, 0, (0.1, 0.01), 500.0, 2_000.0)
    early = found.worth_usd(1, 2, 0, (0.1, 0.01), 500.0, 500.0)

    # Of 500 cached tokens: dear reads (500 + 1,000 × (n − 1) / 2) a turn and writes 1,000 in each of the n turns left.
    def by_hand(left: float) -> float:
        n = 4 * left
        dear = n * (12_500 + 500 + 1_000 * (n - 1) / 2)
        return ((dear / 10 + 500 * 1.15 - dear) / left + 90_000) / 1e6

    assert half == pytest.approx(by_hand(0.5)) and early == pytest.approx(by_hand(1 - 500 / 4_000))


def test_an_artifact_keeps_what_is_known_of_sessions(make_spec: Any, tmp_path: Path) -> None:
    rows = ((FOUR, None, Session(1.5, 2.0, 0.5)),) * 3
    spec = known(make_spec, "prefix", rows)
    loaded = load_policy(save_policy(Policy(spec), tmp_path / "with"))
    assert loaded.spec.sessions == Sessions("prefix", rows)
    plain = load_policy(save_policy(Policy(dataclasses.replace(spec, sessions=None)), tmp_path / "without"))
    assert plain.spec.sessions is None
    assert "sessions" not in (tmp_path / "without" / "policy.json").read_text()


@pytest.mark.parametrize(("sessions", "said"), [
    (Sessions("some", ((FOUR,) * 3,) * 3), "sessions: caching 'some' is not one of none, prefix"),
    (Sessions("none", ((FOUR,) * 3,) * 2), "sessions: rows are not 3 of 3"),
    (Sessions("none", ((FOUR,) * 2,) * 3), "sessions: rows are not 3 of 3"),
    (Sessions("none", ((FOUR._replace(turns=0.5),) * 3,) * 3), "is not 1 or more turns and two numbers of tokens"),
    (Sessions("none", ((FOUR._replace(again=-1.0),) * 3,) * 3), "is not 1 or more turns and two numbers of tokens"),
    (Sessions("none", ((FOUR._replace(last=float("nan")),) * 3,) * 3), "two numbers of tokens"),
])  # fmt: skip
def test_what_cannot_be_is_refused(make_spec: Any, sessions: Sessions, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        Policy(make_spec(sessions=sessions))
