"""What sessions cost under a prompt cache, by hand: a recorded agent's sample, and one of 40 turns. In micro-dollars."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.caching.billing import FIVE_MINUTES, HOUR, Lifetime, Now, Played, play
from router_lab.caching.evidence import unused
from router_lab.caching.policies import CLOSE, Compared, compare
from router_lab.caching.sessions import Session, sessions_of
from router_lab.outcomes import validate_outcomes
from router_lab.prices import Tokens
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate, group_code
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from tests.bench.cache_worlds import LARGE, SMALL, TURNS, lane, long, policy, random_sessions, table

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def recorded(wait: float = 10.0) -> Session:
    """Sample agent-30-1 of the recorded agent suite under `low`: the prompts and answers of qwen2.5-coder-0.5b and
    -1.5b, as calls.parquet has them, at prices of our own."""
    small, large = (80, 152, 224, 296, 368, 440), (80, 126, 198, 270, 342, 414)
    waits = [wait] * 5
    lanes = {LARGE: lane("large", large, 6, waits), SMALL: lane("small", small, 6, waits)}
    return Session(("agent", "agent-30-1", 1), lanes)


def played(session: Session, served: Sequence[Candidate], life: Lifetime = FIVE_MINUTES) -> Played:
    return play(session, len(served), lambda now: served[now.turn], table(), life)


def micro(session: Session, served: Sequence[Candidate], life: Lifetime = FIVE_MINUTES) -> float:
    return 1e6 * played(session, served, life).usd


ALTERNATING = [LARGE, SMALL] * 3


def test_a_recorded_session_by_hand() -> None:
    # small writes 440 at 1.25, reads 80 + 152 + 224 + 296 + 368 = 1,120 at .1, answers 36 at 4: 550 + 112 + 144.
    assert micro(recorded(), [SMALL] * 6) == pytest.approx(806)
    # large writes 414 at 12.5, reads 80 + 126 + 198 + 270 + 342 = 1,016 at 1, answers 36 at 40.
    assert micro(recorded(), [LARGE] * 6) == pytest.approx(5175 + 1016 + 1440)
    # Without a cache: 80 + 152 + 224 + 296 + 368 + 440 = 1,560 at 1, and the answers.
    assert micro(recorded(), [SMALL] * 6, Lifetime(0)) == pytest.approx(1560 + 144)
    # An hour: written at 2.
    assert micro(recorded(), [SMALL] * 6, HOUR) == pytest.approx(880 + 112 + 144)


def test_a_session_that_switches_by_hand() -> None:
    # large: 80, 198, 342 of which 80 and 198 are read and 80 + 118 + 144 = 342 written; small: 152, 296, 440 of
    # which 152 and 296 are read and 440 written. Answers 18 at 40 and at 4.
    one = played(recorded(), ALTERNATING)
    assert 1e6 * one.usd == pytest.approx((342 * 12.5 + 278 + 720) + (440 * 1.25 + 44.8 + 72))
    assert (one.switches, one.read, one.written, one.fresh) == (5, 278 + 448, 342 + 440, 0)


def test_what_is_not_used_in_time_is_forgotten() -> None:
    # 200 s between turns: whoever serves each turn is in time, whoever serves every other one comes after 400 s.
    assert micro(recorded(200), [SMALL] * 6) == pytest.approx(806)
    cold = (80 + 198 + 342) * 12.5 + 720 + (152 + 296 + 440) * 1.25 + 72
    assert micro(recorded(200), ALTERNATING) == pytest.approx(cold)
    warm = 342 * 20 + 278 + 720 + 440 * 2 + 44.8 + 72
    assert micro(recorded(200), ALTERNATING, HOUR) == pytest.approx(warm)
    # Kept as long as it takes, to the second.
    assert (
        micro(recorded(200), ALTERNATING, Lifetime(400))
        < cold
        == micro(recorded(200), ALTERNATING, Lifetime(399))
    )


def test_a_prompt_below_the_least_is_not_cached() -> None:
    # From 224 tokens on: written 224, then 72 a turn, 440 in all; read 224 + 296 + 368; the first two are input.
    least = table(cache_least_tokens=200)
    one = play(recorded(), 6, lambda now: SMALL, least, FIVE_MINUTES)
    assert 1e6 * one.usd == pytest.approx((80 + 152) + 440 * 1.25 + (224 + 296 + 368) * 0.1 + 144)
    assert one.fresh == 232


def test_without_a_price_for_writing_what_is_new_is_input() -> None:
    free = table(cache_write_5m=None, cache_write_1h=None)
    assert 1e6 * play(recorded(), 6, lambda now: SMALL, free, HOUR).usd == pytest.approx(440 + 112 + 144)
    none = table(cache_read=None, cache_write_5m=None, cache_write_1h=None)
    assert 1e6 * play(recorded(), 6, lambda now: SMALL, none, HOUR).usd == pytest.approx(1560 + 144)


def test_who_chooses_is_told_of_the_cache_of_whoever_served() -> None:
    seen: list[Now] = []

    def choose(now: Now) -> Candidate:
        seen.append(now)
        return ALTERNATING[now.turn]

    play(recorded(), 6, choose, table(), FIVE_MINUTES)
    assert [now.cached for now in seen] == [0, 80, 152, 198, 296, 342]
    assert [now.previous for now in seen] == [None, *ALTERNATING[:5]]


def test_tokens_are_never_invented() -> None:
    short = recorded()
    short = short._replace(lanes={LARGE: short.lanes[LARGE][:2], SMALL: short.lanes[SMALL]})
    with pytest.raises(
        InputError, match=r"agent-30-1/1: large was recorded on 2 turns, and was chosen for turn 3"
    ):
        micro(short, [SMALL, SMALL, LARGE])


def test_forty_turns_by_hand() -> None:
    # 40,000 tokens are written; 1,000 × (1 + … + 39) = 780,000 are read; 4,000 are answers.
    assert micro(long(), [SMALL] * TURNS) == pytest.approx(50_000 + 78_000 + 16_000)
    assert micro(long(), [LARGE] * TURNS) == pytest.approx(1_440_000)
    assert micro(long(), [SMALL] * TURNS, Lifetime(0)) == pytest.approx(820_000 + 16_000)
    # A pause of 600 s after turn 20: 20,000 tokens are written again, at 1.25, instead of read.
    waits = [10.0] * 19 + [600.0] + [10.0] * 19
    assert micro(long(waits=waits), [SMALL] * TURNS) == pytest.approx(144_000 + 20_000 * 1.15)
    assert micro(long(waits=waits), [SMALL] * TURNS, HOUR) == pytest.approx(80_000 + 78_000 + 16_000)


def costs(found: Compared) -> dict[str, float]:
    return {name: 1e6 * way.usd for name, way in found.ways.items()}


def test_the_four_ways_where_one_turn_in_the_middle_is_hard() -> None:
    texts = ["easy"] * 20 + ["hard"] + ["easy"] * 19
    found = compare(policy(), [long(texts)], table())
    # Turn 21 alone on large: 21,000 at 12.5 and the answer at 40. small misses it: it reads 20,000 less there, and at
    # turn 22 reads 20,000 and writes 2,000; it writes as much as before, reads 1,000 × (780 − 20 − 1), answers 3,900.
    free = 21_000 * 12.5 + 4_000 + 50_000 + 759_000 * 0.1 + 15_600
    assert costs(found) == pytest.approx(
        {"pinned": 144_000, "free": free, "boundaries": 144_000, "policy": 144_000}
    )
    assert found.ways["free"].switches == 2 and found.excess == pytest.approx(0)
    # Of large's predicted quality (.9) small has .3 on the hard turn.
    assert [round(found.ways[name].quality, 4) for name in ("free", "policy")] == [0.9, (39 * 0.9 + 0.3) / 40]
    # Without what is known of sessions the rule looks one turn ahead, and goes with the text.
    assert costs(compare(policy(sessions=False), [long(texts)], table()))["policy"] == pytest.approx(free)


def test_the_four_ways_where_the_first_turn_is_hard() -> None:
    texts = ["hard"] + ["easy"] * 39
    found = compare(policy(), [long(texts)], table())
    # Turn 1 on large: 1,000 at 12.5, 100 at 40. Then small: 40,000 written, 1,000 × (2 + … + 39) read.
    free = 12_500 + 4_000 + 50_000 + 77_900 + 15_600
    assert costs(found) == pytest.approx(
        {"pinned": 1_440_000, "free": free, "boundaries": 1_440_000, "policy": free}
    )
    # After a pause the cache is cold: there is a boundary, at turn 21. large has 20 turns behind it: 20,000 written,
    # 190,000 read, 2,000 answered; small 20,000 + … : 40,000 written, 1,000 × (21 + … + 39) read, 2,000 answered.
    waits = [10.0] * 19 + [600.0] + [10.0] * 19
    bounded = compare(policy(), [long(texts, waits)], table())
    assert costs(bounded)["boundaries"] == pytest.approx(
        (250_000 + 190_000 + 80_000) + (50_000 + 57_000 + 8_000)
    )
    assert bounded.ways["boundaries"].switches == 1


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_rule_is_close_to_the_better_of_pinned_and_free(share: float) -> None:
    """On the mean of 12 sessions with hard turns at random, none of which anything was fitted on."""
    worlds = random_sessions(share, 12)
    found = compare(policy(), worlds, table())
    assert found.excess <= CLOSE
    assert compare(policy(sessions=False), worlds, table()).excess > 5 * CLOSE


def test_sessions_are_compared_over_the_turns_that_all_have() -> None:
    one = recorded()
    texts = {who: tuple(t._replace(text="easy hard") for t in turns) for who, turns in one.lanes.items()}
    both = Session(("chat", "a", 1), {LARGE: texts[LARGE][:4], SMALL: texts[SMALL]})
    alone = Session(("chat", "b", 1), {LARGE: texts[LARGE][:1], SMALL: texts[SMALL]})
    two = policy()
    # Both are in play: the point draws large half of the time.
    mixed = Policy(replace(two.spec, points={"default": (Follow(0.05, 0.0, 0.5),)}))
    found = compare(mixed, [both, alone], table())
    assert (found.sessions, found.turns, found.left_out, found.beyond) == (1, 4, 1, 2)
    assert found.to_json()["close"] is True
    with pytest.raises(InputError, match="none of 1 sessions has two turns"):
        compare(mixed, [alone], table())


def calls(**changes: list[object]) -> pd.DataFrame:
    rows = {
        "suite": ["s"] * 4, "sample_id": ["a"] * 4, "epoch": [1] * 4, "model": ["m"] * 4, "effort": [None] * 4,
        "turn": [1, 1, 2, 1], "attempt": [1, 2, 2, 2], "role": [None, None, None, "grader"],
        "input_tokens": [5, 10, 20, 7], "output_tokens": [1, 2, 3, 4], "cache_read_tokens": [0, 0, 8, 0],
        "started_at": ["2026-03-01T00:00:00+00:00", "2026-03-01T00:01:00+00:00", "2026-03-01T00:01:30+00:00",
                       "2026-03-01T00:02:00+00:00"],
    }  # fmt: skip
    return pd.DataFrame(rows | changes)


def test_sessions_are_the_candidates_own_calls_of_the_last_attempt() -> None:
    key = ("s", "a", 1)
    (one,) = sessions_of(calls(), {(key, Candidate("m"), 1): "second"})
    (first, second) = one.lanes[Candidate("m")]
    assert one.key == key and one.name == "s/a/1"
    assert (first.tokens, first.wait, first.text) == (Tokens(input=10, output=2), 30.0, "")
    assert (second.tokens, second.wait, second.text) == (
        Tokens(input=20, cache_read=8, output=3), None, "second"
    )  # fmt: skip


def test_a_call_without_tokens_leaves_its_candidate_out() -> None:
    (one,) = sessions_of(calls(input_tokens=[5, 10, None, 7]))
    assert one.lanes == {}
    with pytest.raises(InputError, match="calls: column started_at is missing"):
        sessions_of(calls().drop(columns="started_at"))


def test_sessions_that_the_fit_used_are_no_evidence() -> None:
    known = policy()
    rows = [("chat", name, who.model) for name in "ab" for who in (LARGE, SMALL)]
    frame = validate_outcomes(
        pd.DataFrame(rows, columns=["suite", "sample_id", "model"]).assign(
            quality=1.0, prompt=lambda f: f["sample_id"], group=lambda f: f["sample_id"]
        )
    )
    sessions = [Session(("chat", name, 1), {}) for name in "ab"]
    fitted = Policy(replace(known.spec, groups=np.array([group_code("chat", "a")], np.uint64)))
    assert unused(fitted, sessions, frame) == ([sessions[1]], False)
    both = np.array(sorted(group_code("chat", name) for name in "ab"), np.uint64)
    assert unused(Policy(replace(known.spec, groups=both)), sessions, frame) == (sessions, True)


SERVED = st.lists(st.sampled_from([SMALL, LARGE]), min_size=2, max_size=6)
STEPS = st.lists(st.integers(1, 5_000), min_size=6, max_size=6)
WAITS = st.lists(st.sampled_from([0.0, 100.0, 299.0, 301.0, 4_000.0]), min_size=5, max_size=5)


def world(steps: Sequence[int], waits: Sequence[float]) -> Session:
    prompts = [int(n) for n in np.cumsum(steps)]
    return Session(("s", "a", 1), {who: lane(who.model, prompts, 9, waits) for who in (LARGE, SMALL)})


@given(SERVED, STEPS, WAITS)
def test_without_a_cache_a_session_costs_its_calls(
    served: list[Candidate], steps: list[int], waits: list[float]
) -> None:
    session, prices = world(steps, waits), table()
    plain = sum(
        prices.cost(who.model, session.lanes[who][turn].tokens, DAY) for turn, who in enumerate(served)
    )
    assert played(session, served, Lifetime(0)).usd == pytest.approx(plain)
    without = table(cache_read=None, cache_write_5m=None, cache_write_1h=None)
    one = play(session, len(served), lambda now: served[now.turn], without, HOUR)
    assert one.usd == pytest.approx(plain)


@given(SERVED, STEPS, WAITS)
def test_a_longer_life_costs_no_more_at_the_same_prices(
    served: list[Candidate], steps: list[int], waits: list[float]
) -> None:
    session = world(steps, waits)
    usd = [played(session, served, Lifetime(seconds)).usd for seconds in (1.0, 300.0, 3_600.0, math.inf)]
    assert all(longer <= shorter * (1 + 1e-12) for shorter, longer in pairwise(usd))


@given(SERVED, STEPS, WAITS)
def test_every_token_is_read_written_or_fresh(
    served: list[Candidate], steps: list[int], waits: list[float]
) -> None:
    session = world(steps, waits)
    one = played(session, served)
    whole = sum(session.lanes[who][turn].tokens.prompt for turn, who in enumerate(served))
    assert one.read + one.written + one.fresh == whole


@given(STEPS, WAITS)
def test_who_stays_reads_at_least_as_much_as_who_switches(steps: list[int], waits: list[float]) -> None:
    session = world(steps, waits)
    assert played(session, [SMALL] * 6).read >= played(session, ALTERNATING).read
