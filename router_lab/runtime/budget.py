"""`Budget`: an agent loop may not spend more than it was given. Reserve before each call, settle
after it.

The promise has two halves. A call is let through only if its input and at least one token of
output fit into what is left, and `Reservation.max_output_tokens` says how long the answer may be:
with that passed on to the provider, the limit is never overrun. And nothing else stops a call: an
agent whose calls do fit is never stopped.
"""

from __future__ import annotations

import math
import operator
import threading
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from router_lab.runtime.errors import RouterLabError, RouterLabWarning
from router_lab.runtime.model import Prices
from router_lab.runtime.team import RoleDecision

if TYPE_CHECKING:
    from router_lab.runtime.decision import Decision


MOST_TOKENS = 10**12
"""No call uses more: a larger figure is damage, not use."""
MOST_USD = 1e6
"""No call costs more."""


class BudgetExceeded(RouterLabError):
    """The next call does not fit. `limit` is "turns", "tokens", "tokens of output" or "usd";
    `needed` and `left` are in its unit. of: whose budget it is, "" = not known."""

    def __init__(self, limit: str, needed: float, left: float, of: str = "") -> None:
        figures = [f"${one:,.6f}" if limit == "usd" else f"{one:,.0f}" for one in (needed, max(left, 0.0))]
        whose, unit = f"budget of {of}" if of else "budget", "" if limit == "usd" else f" {limit}"
        super().__init__(f"{whose}: the next call needs {figures[0]}{unit} and {figures[1]} are left")
        self.limit, self.needed, self.left = limit, needed, left

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._again, (self.args, self.limit, self.needed, self.left)

    @classmethod
    def _again(cls, told: tuple[Any, ...], limit: str, needed: float, left: float) -> BudgetExceeded:
        """From a pickle."""
        error = cls(limit, needed, left)
        error.args = told
        return error


class Forecast(NamedTuple):
    """The next turn, if the context goes on growing as it did: tokens in and out, and dollars."""

    input_tokens: int
    output_tokens: int
    usd: float


class Rates(NamedTuple):
    """The most that a call may cost: dollars per million tokens of fresh input, of input read from
    the cache, and of output; and for being made."""

    fresh: float
    read: float
    written: float
    asked: float


class Budget:
    """Turns, tokens (in and out) and dollars that one agent run may spend; None = no such limit.
    Thread-safe.

    `prices` are needed for `max_usd`. Input is priced without cache, except for the
    `cached_tokens` that a reservation states; dollars that a provider reports itself can be
    settled instead.
    """

    _lock: threading.RLock

    def __init__(
        self,
        *,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        prices: Prices | None = None,
    ) -> None:
        if max_usd is not None and prices is None:
            raise ValueError("budget: max_usd needs prices")
        self._set(max_turns, max_tokens, max_usd, prices, None)

    def _set(
        self, max_turns: int | None, max_tokens: int | None, max_usd: float | None, prices: Prices | None,
        whole: Budget | None,
    ) -> None:  # fmt: skip
        """whole: the budget of the team that this role's is a part of."""
        self.max_turns = _limit("max_turns", max_turns)
        self.max_tokens = _limit("max_tokens", max_tokens)
        self.max_usd = _limit("max_usd", max_usd)
        self._rates = None if prices is None else _rates(prices)
        self._line: tuple[Budget, ...] = (self,) if whole is None else (self, whole)
        """Every budget that a call of this one must fit into."""
        self._roles: dict[str, Budget] = {}
        self._parts: dict[int, tuple[Prices | None, Budget]] = {}
        """Made by `at`, by the identity of the prices."""
        # Of a stream that is dropped the collector of garbage may settle, within whatever holds it.
        self._lock = threading.RLock() if whole is None else whole._lock
        self.turns = 0
        """Calls let through, less those given back."""
        self.tokens = 0
        self.usd = 0.0
        """What settled calls used and cost."""
        self._held_tokens = 0
        self._held_usd = 0.0
        self._turns: list[tuple[int, int]] = []
        """(input, output) tokens of the last two settled calls: enough to forecast from."""

    @classmethod
    def of(cls, decision: Decision, *, slack: float = 1.0, unlimited: bool = False) -> Budget:
        """The limits that a decision comes with (from the recorded distribution), times `slack`.

        The cap of a stage of a chain stays as it is, for what was shown holds at that cap; a run
        that it stops goes on with `decision.judge(stopped="limit")`.

        Raises ValueError for a decision that has no limits, or none that can be held without
        prices, unless it may be `unlimited`, and for a slack that is no finite number above 0.
        """
        if not (math.isfinite(slack) and slack > 0):
            raise ValueError(f"budget: slack {slack!r} is not a finite number above 0")
        if isinstance(decision, RoleDecision):
            raise ValueError(
                f"budget: role {decision.role!r} spends a part of its team's: "
                f"Budget.of(decision).role({decision.role!r}), of the decision for the team"
            )
        limits, prices = decision.limits, decision._profile.prices
        if decision.roles:
            return cls._of_team(decision, slack, unlimited)
        unpriced = limits.usd is not None and prices is None
        if decision.cap_usd is not None and unpriced:
            raise ValueError(
                f"budget: the decision for {decision.model!r} has a cap of ${decision.cap_usd:g} and no prices to hold "
                "it by: give them, Budget(max_usd=decision.cap_usd, prices=…), for what was shown holds at that cap"
            )
        held = decision.cap_turns is not None  # by its turns, whatever they cost
        if not (unlimited or held) and (unpriced or (limits.usd is None and limits.turns is None)):
            lacks = "a limit in dollars but no prices" if unpriced else "no limits (turns, usd)"
            raise ValueError(
                f"budget: the decision for {decision.model!r} has {lacks}: make Budget(max_turns=…, max_usd=…, "
                "prices=…) yourself, or say unlimited=True"
            )
        dollars = limits.usd if decision.cap_usd is not None or limits.usd is None else limits.usd * slack
        return cls(
            max_turns=_turns(decision, slack),
            max_usd=None if prices is None else dollars,
            prices=prices,
        )

    @classmethod
    def _of_team(cls, decision: Decision, slack: float, unlimited: bool) -> Budget:
        limits = decision.limits
        lacks = [role for role, who in decision.roles.items() if who._profile.prices is None]
        if limits.usd is not None and lacks and (decision.cap_usd is not None or not unlimited):
            raise ValueError(
                f"budget: team {decision.model!r} has a limit in dollars and {', '.join(lacks)} no prices; price the "
                "role's model and fit again, or say unlimited=True"
            )
        if not unlimited and limits.usd is None and limits.turns is None:
            raise ValueError(
                f"budget: the decision for {decision.model!r} has no limits (turns, usd): say unlimited=True"
            )
        whole = cls.__new__(cls)
        usd = limits.usd if decision.cap_usd is not None or limits.usd is None else limits.usd * slack
        whole._set(_turns(decision, slack), None, None if lacks else usd, None, None)
        for role, who in decision.roles.items():
            part, own = cls.__new__(cls), who.limits
            priced = who._profile.prices
            part._set(
                None if own.turns is None else math.ceil(own.turns * slack),
                None,
                None if own.usd is None or priced is None else own.usd * slack,
                priced,
                whole,
            )
            whole._roles[role] = part
        return whole

    def role(self, name: str) -> Budget:
        """The part of a team's budget that one role may spend: what it was recorded to use, within
        what is left to the whole team. Raises ValueError for a role that the team has not."""
        if name not in self._roles:
            known = ", ".join(self._roles) or "none: it is of a single model"
            raise ValueError(f"budget: role {name!r:.80} is not one of this budget's: {known}")
        return self._roles[name]

    def at(self, prices: Prices | None) -> Budget:
        """This budget for calls at other prices: what they use and cost is spent here. For a
        session whose turns several candidates serve. Raises ValueError for a limit in dollars and
        no prices, and for a team's budget, which its roles spend."""
        if self._roles or len(self._line) > 1:
            raise ValueError("budget: `at` is of a whole budget; a team's is spent by its roles")
        if self.max_usd is not None and prices is None:
            raise ValueError("budget: max_usd needs prices")
        known = self._parts.get(id(prices))
        if known is None or known[0] is not prices:
            part = type(self).__new__(type(self))
            part._set(None, None, None, prices, self)
            known = self._parts[id(prices)] = (prices, part)
        return known[1]

    def forecast(self) -> Forecast:
        """The next turn. Its input is the last one with its answer, grown by as much more as last
        time; its output, as long as the last. Nothing is known before the first call."""
        if not self._turns:
            return Forecast(0, 0, 0.0)
        last_input, last_output = self._turns[-1]
        more = 0
        if len(self._turns) > 1:
            before_input, before_output = self._turns[-2]
            more = max(last_input - before_input - before_output, 0)
        tokens = last_input + last_output + more
        return Forecast(tokens, last_output, self._price(tokens, 0, last_output))

    def reserve(
        self, input_tokens: int | None = None, *, max_output_tokens: int | None = None, cached_tokens: int = 0
    ) -> Reservation:
        """Let the next call through, or raise BudgetExceeded before anything is spent.

        input_tokens: size of the context about to be sent, as the provider counts it; None takes
        the forecast, which is a guess. max_output_tokens: what the request would ask for.
        cached_tokens: the part of the input that is sure to be read from the prompt cache. Pass
        the reservation's `max_output_tokens` on to the provider.
        """
        sent = self.forecast().input_tokens if input_tokens is None else input_tokens
        asked = 0 if max_output_tokens is None else max_output_tokens
        tokens, cached, most = _counts(sent, cached_tokens, asked)
        if tokens is None or cached is None or cached > tokens:
            raise ValueError(
                f"budget: {input_tokens!r} input tokens, {cached_tokens!r} of them cached, cannot be"
            )
        if most is None:
            raise ValueError(f"budget: max_output_tokens {max_output_tokens!r} is not a count of tokens")
        if self._roles:
            raise ValueError(
                f"budget: a team's is spent by its roles ({', '.join(self._roles)}): budget.role(…).reserve(…)"
            )
        with self._lock:
            room = math.inf if max_output_tokens is None else float(most)
            for one in self._line:
                if one.max_turns is not None or one.max_tokens is not None:
                    room = min(room, one._room(tokens))
            for one in self._line:
                if one.max_usd is not None:
                    room = min(room, self._affordable(tokens, cached, one))
            output = None if room == math.inf else int(room)
            hold_tokens, hold_usd = tokens + (output or 0), self._price(tokens, cached, output or 0)
            for one in self._line:
                one.turns += 1
                one._held_tokens += hold_tokens
                one._held_usd += hold_usd
        return Reservation(self, hold_tokens, hold_usd, output)

    def _room(self, tokens: int) -> float:
        """Tokens of output that turns and tokens left allow after the input, or BudgetExceeded."""
        if self.max_turns is not None and self.turns + 1 > self.max_turns:
            raise BudgetExceeded("turns", 1, self.max_turns - self.turns)
        if self.max_tokens is None:
            return math.inf
        left = self.max_tokens - self.tokens - self._held_tokens
        if tokens + 1 > left:
            raise BudgetExceeded("tokens", tokens + 1, left)
        return left - tokens

    def _affordable(self, tokens: int, cached: int, of: Budget) -> float:
        """Tokens of output that the dollars left `of` a budget can pay for after the input, at the
        prices of this one; at least 1, or BudgetExceeded."""
        assert of.max_usd is not None and self._rates is not None
        left = of.max_usd - of.usd - of._held_usd
        if self._price(tokens, cached, 1) > left:
            raise BudgetExceeded("usd", self._price(tokens, cached, 1), left)
        written = self._rates.written
        if written <= 0:
            return math.inf
        output = math.floor(min((left - self._price(tokens, cached, 0)) * 1e6 / written, MOST_TOKENS))
        # One step of rounding in either direction would break one of the two halves of the
        # promise.
        while output < MOST_TOKENS and self._price(tokens, cached, output + 1) <= left:
            output += 1
        while output > 1 and self._price(tokens, cached, output) > left:
            output -= 1
        return output

    def price(self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0) -> float:
        """Dollars that a call costs at this budget's prices, reasoning at the dearer; 0 without
        any."""
        return self._price(input_tokens, cached_tokens, output_tokens)

    def _price(self, tokens: int, cached: int, output: int) -> float:
        if self._rates is None:
            return 0.0
        fresh, read, written, asked = self._rates
        return ((tokens - cached) * fresh + cached * read + output * written) / 1e6 + asked

    def _settle(self, held_tokens: int, held_usd: float, used: tuple[int, int, float] | None) -> None:
        with self._lock:
            for one in self._line:
                one._held_tokens -= held_tokens
                one._held_usd -= held_usd
                if used is None:
                    one.turns -= 1
                    continue
                one.tokens += used[0] + used[1]
                one.usd += used[2]
                one._turns = [*one._turns[-1:], (used[0], used[1])]


class Reservation:
    """One call that was let through. As a context manager: left by an exception before `settle`,
    the whole reservation counts as spent, since the provider may have done the work."""

    def __init__(self, budget: Budget, tokens: int, usd: float, max_output_tokens: int | None) -> None:
        self._budget = budget
        self._held = (tokens, usd)
        self.tokens = tokens
        """Tokens that the call uses at most, if `max_output_tokens` is passed on."""
        self.max_output_tokens = max_output_tokens
        """How long the answer may be (None = no limit applies): pass it on to the provider."""
        self.usd = usd
        """Dollars that the call costs at most, if that is passed on."""
        self._open = True

    def settle(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, usd: float | None = None
    ) -> None:
        """Replace the reservation by what was used; `usd` as billed, else from the prices,
        reasoning at the dearer.

        Figures that cannot be (negative, not finite, no numbers) never refill a budget: the whole
        reservation then counts as spent, and a RouterLabWarning says so.
        """
        read, written, cached = _counts(input_tokens, output_tokens, cached_tokens)
        billed = None if usd is None else _money(usd)
        unbilled = usd is not None and (billed is None or billed > MOST_USD)
        if read is None or written is None or cached is None or cached > read or unbilled:
            self._spend_all()
            figures = f"{(input_tokens, output_tokens, cached_tokens)} tokens (input, output, cached) and usd={usd!r}"
            told = f"budget: settled with {figures}, which cannot be; the whole reservation counts as spent"
            warnings.warn(RouterLabWarning(told), stacklevel=2)
            return
        self._close((read, written, self._budget._price(read, cached, written) if billed is None else billed))

    def release(self) -> None:
        """Give the reservation back: the call was never made."""
        self._close(None)

    def _close(self, used: tuple[int, int, float] | None) -> None:
        if not self._open:
            raise ValueError("budget: this reservation is settled already")
        self._open = False
        self._budget._settle(*self._held, used)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._spend_all()

    def _spend_all(self) -> None:
        tokens, usd = self._held
        output = self.max_output_tokens or 0
        self._close((tokens - output, output, usd))


def _turns(decision: Decision, slack: float) -> int | None:
    """The limit of a decision in calls, which a cap is whatever the slack."""
    turns = decision.limits.turns
    return turns if turns is None or decision.cap_turns is not None else math.ceil(turns * slack)


def _rates(prices: Prices) -> Rates:
    fresh = prices.dearest("input")
    read = fresh if prices.cache_read is None else prices.dearest("cache_read")
    return Rates(fresh, read, prices.dearest("output"), (prices.per_1k_requests or 0.0) / 1e3)


def _counts(*values: Any) -> list[int | None]:
    """Numbers of tokens that a call can have as plain ints, which no sum overflows; None for
    anything else."""
    found: list[int | None] = []
    for value in values:
        try:
            whole = (
                value if type(value) is int else None if isinstance(value, bool) else operator.index(value)
            )
        except Exception:  # noqa: BLE001  # whatever a caller's own kind of number does
            whole = None
        found.append(whole if whole is not None and 0 <= whole <= MOST_TOKENS else None)
    return found


def _money(value: Any) -> float | None:
    """A finite number of 0 or more as a plain float; None for anything else."""
    try:
        number = math.nan if isinstance(value, bool | str) or hasattr(value, "__len__") else float(value)
    except Exception:  # noqa: BLE001
        return None
    return number if 0 <= number < math.inf else None


def _limit(name: str, value: object) -> float | None:
    """Raises ValueError for what is no limit."""
    if value is None:
        return None
    number = _money(value)
    if number is None:
        raise ValueError(f"budget: {name} {value!r:.80} is not a finite number of 0 or more")
    return int(number) if name != "max_usd" and number.is_integer() else number
