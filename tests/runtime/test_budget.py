"""An agent that would loop for ever stops before its limit; one that would finish within it never does."""

from __future__ import annotations

import math
import pickle
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.budget import Budget, BudgetExceeded
from router_lab.runtime.chains import Stage
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.model import Limits, Prices
from router_lab.runtime.points import Cascade
from router_lab.runtime.policy import Policy

PRICES = Prices(1.0, 10.0, cache_read=0.1)  # $1, $10 and $.10 a million tokens


def test_dollars_by_hand() -> None:
    budget = Budget(max_usd=0.01, prices=PRICES)
    call = budget.reserve(2_000, max_output_tokens=500)  # .002 + .005 at most
    assert call.max_output_tokens == 500
    assert call.usd == pytest.approx(0.007)
    call.settle(2_000, 100)  # .002 + .001
    assert budget.usd == pytest.approx(0.003)
    call = budget.reserve(3_000, max_output_tokens=500)  # .007 left, .003 for the input: 400 tokens of output
    assert call.max_output_tokens == 400
    with pytest.raises(BudgetExceeded) as error:
        budget.reserve(1)  # all of it is reserved
    assert error.value.limit == "usd"
    call.settle(3_000, 400)
    assert budget.usd == pytest.approx(0.01)
    with pytest.raises(BudgetExceeded):
        budget.reserve(1)


def test_cached_tokens_are_priced_as_such() -> None:
    budget = Budget(max_usd=0.0012, prices=PRICES)
    with pytest.raises(BudgetExceeded):
        budget.reserve(2_000)
    call = budget.reserve(2_000, cached_tokens=1_000, max_output_tokens=9)  # .001 + .0001 + .00009
    call.settle(2_000, 9, cached_tokens=1_000)
    assert budget.usd == pytest.approx(0.00119)
    call = Budget(max_usd=1.0, prices=PRICES).reserve(10)
    call.settle(10, 10, usd=0.5)
    assert call._budget.usd == 0.5


def test_turns_and_tokens() -> None:
    budget = Budget(max_turns=2, max_tokens=100)
    budget.reserve(40).settle(40, 10)
    assert budget.reserve(30, max_output_tokens=50).max_output_tokens == 20
    with pytest.raises(BudgetExceeded, match="turns"):
        budget.reserve(0)
    with pytest.raises(BudgetExceeded, match="51 tokens and 50 are left"):
        again = Budget(max_tokens=100)
        again.reserve(40).settle(40, 10)
        again.reserve(50)


def test_the_forecast_follows_the_growing_context() -> None:
    budget = Budget(max_usd=1.0, prices=PRICES)
    assert budget.forecast() == (0, 0, 0.0)
    budget.reserve(1_000).settle(1_000, 200)
    # 1,000 + 200 in, 200 out: $.0012 + $.002
    assert budget.forecast() == (1_200, 200, pytest.approx(0.0032))
    budget.reserve(1_500).settle(1_500, 100)  # a tool added 300 tokens: 1,500 = 1,000 + 200 + 300
    assert budget.forecast() == (1_900, 100, pytest.approx(0.0029))
    tight = Budget(max_usd=0.004515, prices=PRICES)
    tight.reserve(1_000).settle(1_000, 200)
    with pytest.raises(
        BudgetExceeded
    ):  # .004515 − .003 = .001515 are left: too little for 1,510 in and 1 out …
        tight.reserve(1_510)
    assert tight.reserve().max_output_tokens == 31  # … and enough for the 1,200 forecast, with 31.5 out


def test_a_call_that_fails_half_way_counts_as_spent_and_one_never_made_does_not() -> None:
    budget = Budget(max_turns=9, max_usd=1.0, prices=PRICES)
    with pytest.raises(TimeoutError), budget.reserve(1_000, max_output_tokens=100):
        raise TimeoutError
    assert budget.usd == pytest.approx(0.002)
    assert budget.turns == 1
    call = budget.reserve(1_000)
    call.release()
    assert (budget.turns, budget.usd) == (1, pytest.approx(0.002))
    with pytest.raises(ValueError, match="settled already"):
        call.settle(1, 1)


def test_a_decision_brings_its_limits(make_spec: Any) -> None:
    decision = Policy(make_spec()).decide("the quick brown fox")
    budget = Budget.of(decision, slack=2.0)
    assert (budget.max_turns, budget.max_usd, budget.max_tokens) == (2, 0.02, None)


def test_a_decision_without_limits_is_unlimited_only_where_it_is_told_so(make_spec: Any) -> None:
    bare = Policy(make_spec(limits=())).decide("the quick brown fox")
    with pytest.raises(ValueError, match=r"'cheap' has no limits \(turns, usd\): make Budget"):
        Budget.of(bare)
    free = Budget.of(bare, unlimited=True)
    assert (free.max_turns, free.max_usd, free.max_tokens) == (None, None, None)
    dollars = ((Limits(100, None, 0.01),) * 3,) * 3
    profiles = tuple(profile._replace(prices=None) for profile in make_spec().profiles)
    unpriced = Policy(make_spec(limits=dollars, profiles=profiles)).decide("the quick brown fox")
    with pytest.raises(ValueError, match="has a limit in dollars but no prices"):
        Budget.of(unpriced)
    assert Budget.of(unpriced, unlimited=True).max_usd is None
    for slack in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"slack .* is not a finite number above 0"):
            Budget.of(Policy(make_spec()).decide("the quick brown fox"), slack=slack)


def test_a_run_that_its_cap_stops_goes_on_to_the_next_stage(make_spec: Any) -> None:
    """The cap of a stage is its limit in dollars, and no slack widens it: four calls of $.001 fit into $.004."""
    chain, prices = (Stage(0, None, 0.004), Stage(2)), Prices(1.0, 1.0)
    profiles = tuple(profile._replace(prices=prices) for profile in make_spec().profiles)
    spec = make_spec(
        points={"default": (Cascade((0, 0, 0), 1.0),)}, chains=(chain,), profiles=profiles,
        limits=((Limits(100, None, 0.5),) * 3,) * 3,
    )  # fmt: skip
    first = Policy(spec).decide("the quick brown fox")
    budget = Budget.of(first, slack=3.0)
    assert (first.cap_usd, first.limits.usd, budget.max_usd) == (0.004, 0.004, 0.004)
    calls = 0
    with pytest.raises(BudgetExceeded) as stopped:
        while True:
            with budget.reserve(900) as call:
                call.settle(900, 100)
            calls += 1
    assert (calls, stopped.value.limit, budget.usd) == (4, "usd", pytest.approx(0.004))
    later = first.judge(stopped="limit")
    assert later is not None and (later.model, later.cap_usd, later.limits.usd) == ("dear", None, 0.5)
    assert Budget.of(later, slack=2.0).max_usd == 1.0
    assert later.judge(stopped="limit") is None


def test_a_run_is_stopped_after_its_cap_in_turns_whatever_the_slack_and_the_prices(make_spec: Any) -> None:
    chain = (Stage(0, cap_turns=3), Stage(2))
    table = ((Limits(100, 40, 0.5),) * 3,) * 3
    for prices in (Prices(1.0, 1.0), None):
        profiles = tuple(profile._replace(prices=prices) for profile in make_spec().profiles)
        spec = make_spec(
            points={"default": (Cascade((0, 0, 0), 1.0),)}, chains=(chain,), profiles=profiles, limits=table
        )
        first = Policy(spec).decide("the quick brown fox")
        budget = Budget.of(first, slack=4.0)
        assert (first.cap_turns, first.cap_usd, first.limits) == (3, None, Limits(100, 3, 0.5))
        assert (budget.max_turns, budget.max_usd) == (3, None if prices is None else 2.0)
        for _ in range(3):
            budget.reserve(900).settle(900, 100)
        with pytest.raises(BudgetExceeded) as stopped:
            budget.reserve(900)
        assert stopped.value.limit == "turns"
        later = first.judge(stopped="limit")
        assert later is not None and (later.model, later.cap_turns, later.limits.turns) == ("dear", None, 40)


IMPOSSIBLE: list[dict[str, Any]] = [
    {"max_usd": 1.0}, {"max_turns": -1}, {"max_tokens": float("nan")}, {"max_turns": True}, {"max_tokens": "5"},
]  # fmt: skip


@pytest.mark.parametrize("asked", IMPOSSIBLE)
def test_limits_that_make_no_sense(asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**asked)
    with pytest.raises(ValueError, match="cannot be"):
        Budget().reserve(5, cached_tokens=6)


def trace(rng: random.Random) -> tuple[Prices, list[tuple[int, int, int]]]:
    """(prices, turns of (input, cached, output) tokens): a context that grows by each answer and a tool's result."""
    prices = Prices(rng.uniform(0.05, 20), rng.uniform(0.1, 100), rng.choice([None, rng.uniform(0.01, 2)]))
    context, turns = rng.randint(1, 5_000), []
    for _ in range(rng.randint(1, 40)):
        output = rng.randint(1, 2_000)
        turns.append((context, rng.choice([0, rng.randint(0, context)]), output))
        context += output + rng.randint(0, 3_000)
    return prices, turns


def bill(prices: Prices, turns: list[tuple[int, int, int]]) -> float:
    read = prices.input if prices.cache_read is None else prices.cache_read
    return sum(((a - c) * prices.input + c * read + o * prices.output) / 1e6 for a, c, o in turns)


@pytest.mark.parametrize("limit", ["usd", "tokens", "turns"])
def test_a_thousand_random_agents(limit: str) -> None:
    rng = random.Random(limit)
    for _ in range(1_000):
        prices, turns = trace(rng)
        whole = {"usd": bill(prices, turns), "tokens": sum(a + o for a, _, o in turns), "turns": len(turns)}[
            limit
        ]

        # It finishes within its limit, even exactly at it (dollars: to the last bit of their sum): never stopped.
        most = whole * (1 + 1e-12) if limit == "usd" else whole
        budget = Budget(**{f"max_{limit}": most}, prices=prices)
        for tokens, cached, output in turns:
            call = budget.reserve(tokens, cached_tokens=cached)
            assert call.max_output_tokens is None or call.max_output_tokens >= output
            call.settle(tokens, output, cached_tokens=cached)

        # It loops for ever: stopped, before the limit.
        most = whole * rng.uniform(0.05, 3) if limit == "usd" else max(int(whole * rng.uniform(0.05, 3)), 0)
        budget = Budget(**{f"max_{limit}": most}, prices=prices)
        context = turns[0][0]
        with pytest.raises(BudgetExceeded):
            for step in range(100_000):
                wished = turns[step % len(turns)][2]
                with budget.reserve(context, max_output_tokens=wished) as call:
                    assert call.max_output_tokens is not None
                    call.settle(context, call.max_output_tokens)  # the worst it can do
                    context += call.max_output_tokens + rng.randint(0, 500)
        assert {"usd": budget.usd, "tokens": budget.tokens, "turns": budget.turns}[limit] <= most


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "said",
    [{"input_tokens": -10**9}, {"output_tokens": -1}, {"cached_tokens": -1}, {"cached_tokens": 1001}, {"usd": -6000.0},
     {"usd": NAN}, {"usd": INF}, {"usd": 1e18}, {"input_tokens": NAN}, {"output_tokens": 10**18},
     {"output_tokens": True}, {"input_tokens": "1000"}],
)  # fmt: skip
def test_figures_that_cannot_be_never_refill_a_budget(said: dict[str, Any]) -> None:
    budget = Budget(max_usd=0.01, max_tokens=5_000, prices=PRICES)
    call = budget.reserve(1_000, max_output_tokens=500)  # .001 + .005
    with pytest.warns(RouterLabWarning, match="the whole reservation counts as spent"):
        call.settle(**{"input_tokens": 1_000, "output_tokens": 10, **said})
    assert (budget.tokens, budget.usd) == (1_500, pytest.approx(0.006))


@pytest.mark.parametrize("most", [-1, -(10**9), NAN, 1.5, True, 10**18])
def test_a_length_that_cannot_be_is_refused_and_reserves_nothing(most: Any) -> None:
    budget = Budget(max_usd=0.01, prices=PRICES)
    with pytest.raises(ValueError, match="max_output_tokens"):
        budget.reserve(10, max_output_tokens=most)
    assert budget.turns == 0 and budget.reserve(1_000).max_output_tokens == 900  # (.01 - .001) / .00001


def test_numbers_of_narrow_types_are_counted_in_full() -> None:
    budget = Budget(max_tokens=50_000)
    reservation = budget.reserve(np.int16(20_000), max_output_tokens=np.int16(20_000))  # type: ignore[arg-type]
    reservation.settle(np.int16(20_000), np.int16(20_000))  # type: ignore[arg-type]
    assert (budget.tokens, type(budget.tokens)) == (40_000, int)
    with pytest.raises(BudgetExceeded, match="needs 20,001 tokens and 10,000 are left"):
        budget.reserve(20_000)


@pytest.mark.parametrize(("name", "match"), [("max_turns", "1 turn"), ("max_tokens", "11 tokens and 10 are")])
def test_a_limit_that_is_set_later_holds(name: str, match: str) -> None:
    budget = Budget(max_usd=1.0, prices=PRICES)
    setattr(budget, name, 10 if name == "max_tokens" else 0)
    with pytest.raises(BudgetExceeded, match=match):
        budget.reserve(10)


@pytest.mark.parametrize(
    "most", [1e6, 1e18, float(np.finfo(np.float64).max), np.float64(1e18), Decimal(10**18)]
)
def test_a_budget_of_any_size_says_how_long_an_answer_may_be(most: Any) -> None:
    reservation = Budget(max_usd=most, prices=Prices(0.01, 0.01)).reserve(100)
    assert reservation.max_output_tokens == 10**12
    assert reservation.usd <= most


@pytest.mark.parametrize("name", ["max_turns", "max_tokens", "max_usd"])
@pytest.mark.parametrize("value", [10**400, np.array([1.0]), "5", True, NAN, -1, math.inf, [1]])
def test_what_is_no_limit_is_refused_at_once(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"budget: {name} .* is not a finite number of 0 or more"):
        Budget(**{name: value}, prices=Prices(1.0, 1.0))


def test_what_was_exceeded_is_said_in_its_unit_and_outlives_a_pickle() -> None:
    raised = BudgetExceeded("usd", 6.1e-5, -1.0, "the session")
    error = pickle.loads(pickle.dumps(raised))  # noqa: S301  # written a moment ago
    assert (error.limit, error.needed, error.left) == ("usd", 6.1e-5, -1.0)
    assert str(error) == "budget of the session: the next call needs $0.000061 and $0.000000 are left"
    assert str(BudgetExceeded("turns", 1, 0)) == "budget: the next call needs 1 turns and 0 are left"
