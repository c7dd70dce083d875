"""prices.yaml: dated prices, each with the place where it can be read, and what no price is
believed without a word."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from router_lab.config.base import Positive, Strict
from router_lab.masking import masked
from router_lab.runtime.kinds import KINDS, PRICED

NotNegative = Annotated[float, Field(ge=0)]
_EACH: dict[str, Any] = {kind.name: (NotNegative | None, None) for kind in PRICED}
_NEEDED: dict[str, Any] = {kind.name: (NotNegative, ...) for kind in PRICED if kind.needed}

LEAST, MOST = 0.01, 2_000.0
"""$ per million output tokens between which hosted models lie; a figure below is per 1,000 tokens
or per token."""


def price_doubts(prices: Mapping[str, Any]) -> Iterator[str]:
    """What looks like a slip in the $ per million tokens of one model, by kind: swapped columns,
    another unit.

    Published tables have had output and cached swapped, cached above input, prices per 1,000
    tokens.
    """
    known = {kind.name: value for kind in KINDS if (value := prices.get(kind.name)) is not None}
    for less, more in ((kind.name, more) for kind in KINDS for more in kind.at_most):
        if more in known and less in known and known[more] < known[less]:
            yield f"{more} {known[more]} is below {less} {known[less]}: swapped?"
    for tier in ("batch", "flex"):
        if (factor := (prices.get("tiers") or {}).get(tier, 1.0)) > 1:
            yield f"tiers.{tier} {factor:g} makes it dearer: a factor, such as 0.5?"
    if (output := known.get("output")) and not LEAST <= output <= MOST:
        unit = "$ per 1,000 tokens, or per token?" if output < LEAST else "not in $ per million tokens?"
        yield f"output {output:g} is no usual price of a million tokens: {unit}"


class SelfHosted(Strict):
    """A model on one's own machine: dollars per hour ÷ measured tokens per second."""

    usd_per_hour: Positive
    input_tokens_per_s: Positive
    output_tokens_per_s: Positive


class _Over(Strict):
    over_input_tokens: Annotated[int, Field(ge=1)]


class _Dated(Strict):
    starts: dt.date
    """First day, in UTC, as providers bill."""


_OverOfKinds: Any = create_model("_OverOfKinds", __base__=_Over, **{**_EACH, **_NEEDED})
_PriceOfKinds: Any = create_model("_PriceOfKinds", __base__=_Dated, **_EACH)


class LongContext(_OverOfKinds):  # type: ignore[misc]
    """Prices of a request whose input (cached included) exceeds `over_input_tokens`."""


class Price(_PriceOfKinds):  # type: ignore[misc]
    """One dated entry: $ per million tokens of each kind (`kinds.KINDS`), from `starts` until a
    later entry of the same model. 0 means free; a kind within another (`reasoning`) is priced as
    that one where it has no price."""

    per_1k_requests: NotNegative | None = None
    """$ per 1,000 requests, beside their tokens."""
    tools: dict[str, NotNegative] = Field(default_factory=dict)
    """$ per 1,000 calls of a tool that the provider runs, such as `web_search: 10`."""
    other: dict[str, NotNegative] = Field(default_factory=dict)
    """$ per million of a kind of usage that has no key of its own; 0 where input or output holds
    it already."""
    long_context: list[LongContext] = Field(default_factory=list)
    tiers: dict[Literal["batch", "flex", "priority"], Positive] = Field(default_factory=dict)
    """Multipliers of every price of tokens, e.g. `batch: 0.5`; fees for requests and tool calls
    stay."""
    self_hosted: SelfHosted | None = None
    source: Annotated[str, AfterValidator(masked)] = Field(min_length=1)
    """URL or command where the number can be read."""
    checked: dt.date
    confirmed: bool = False
    """Says that what looks like a slip (`price_doubts`) is none."""
    context_window: Annotated[int, Field(ge=1)] | None = None
    cache_least_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens below which the provider caches no prompt; null = it caches any."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.self_hosted is None) == (self.input is None or self.output is None):
            raise ValueError("give input and output in $ per million tokens, or self_hosted")
        rows = [self.model_dump(include={*_EACH, "tiers"})]
        rows += [tier.model_dump(include=set(_EACH)) for tier in self.long_context]
        doubt = next((doubt for row in rows for doubt in price_doubts(row)), None)
        if doubt and not self.confirmed and self.self_hosted is None:
            raise ValueError(f"{doubt} If it is right, add `confirmed: true` (prices add: --confirmed)")
        return self


class ToolPrice(Strict):
    """What one's own tool costs, from `starts` on: a search API that the harness calls, for
    instance."""

    starts: dt.date
    per_1k_calls: NotNegative
    source: str = Field(min_length=1)
    checked: dt.date


class Prices(Strict):
    """prices.yaml: entries by model name, oldest first; a past entry is never edited.

    `tools`: dated prices of tools that the harness itself runs, by the tool's name.
    """

    models: dict[str, Annotated[list[Price], Field(min_length=1)]]
    tools: dict[str, Annotated[list[ToolPrice], Field(min_length=1)]] = Field(default_factory=dict)
