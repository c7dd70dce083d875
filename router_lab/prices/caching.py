"""What a prompt cache makes of one call's tokens: read, written, or plain input. The one place of
that assumption, for `collect` and for whoever prices sessions."""

from __future__ import annotations

from router_lab.prices.rates import Rates, Tokens
from router_lab.runtime.kinds import inside


def cacheable(tokens: Tokens, rates: Rates) -> int:
    """How many tokens of the prompt a cache may hold; 0 where the model has no price for reading
    one, or where the prompt is shorter than `rates.cache_least_tokens`.

    What is priced apart within the input stays there: nothing says what it costs in a cache.
    """
    plain = tokens.uncached()
    apart = sum(
        getattr(plain, kind.name) for kind in inside("input") if rates.prices.get(kind.name) is not None
    )
    count = max(plain.input - apart, 0)
    return 0 if rates.cache_read is None or count < rates.cache_least_tokens else count


def as_cached(tokens: Tokens, rates: Rates, held: int, *, hour: bool = False) -> Tokens:
    """The same call beside a cache that holds `held` tokens of its prompt: they are read, the rest
    of the prompt is written (for five minutes, or an `hour`) where the model has a price for that.

    `held`: 0 or more; of what the call itself cannot have cached nothing is read.
    """
    plain, count = tokens.uncached(), cacheable(tokens, rates)
    if not count:
        return plain
    read = min(held, count)
    kind = written_as(rates, hour)
    written = 0 if kind is None else count - read
    fresh = plain._replace(input=plain.input - read - written, cache_read=read)
    cached: Tokens = fresh if kind is None else fresh._replace(**{kind: written})
    return cached


def written_as(rates: Rates, hour: bool = False) -> str | None:
    """The kind as which tokens are written to the cache; None: they are input like any other.
    Where only the price of five minutes is known, it holds for an hour, too."""
    kinds = ("cache_write_1h", "cache_write_5m") if hour else ("cache_write_5m",)
    return next((kind for kind in kinds if rates.prices.get(kind) is not None), None)
