"""prices.yaml: dated prices, each with the place where it can be read."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from router_lab.config.base import Positive, Strict
from router_lab.masking import masked


class SelfHosted(Strict):
    """A model on one's own machine: dollars per hour ÷ measured tokens per second."""

    usd_per_hour: Positive
    input_tokens_per_s: Positive
    output_tokens_per_s: Positive


class LongContext(Strict):
    """Prices of a request whose input (cached included) exceeds `over_input_tokens`."""

    over_input_tokens: Annotated[int, Field(ge=1)]
    input: Positive
    output: Positive
    cache_read: Positive | None = None
    cache_write_5m: Positive | None = None
    cache_write_1h: Positive | None = None


class Price(Strict):
    """One dated entry: $ per million tokens, from `starts` until a later entry of the same model."""

    starts: dt.date
    input: Positive | None = None
    output: Positive | None = None
    cache_read: Positive | None = None
    cache_write_5m: Positive | None = None
    cache_write_1h: Positive | None = None
    long_context: list[LongContext] = Field(default_factory=list)
    tiers: dict[Literal["batch", "flex", "priority"], Positive] = Field(default_factory=dict)
    """Multipliers of every price above, e.g. `batch: 0.5`."""
    self_hosted: SelfHosted | None = None
    source: Annotated[str, AfterValidator(masked)] = Field(min_length=1)
    """URL or command where the number can be read."""
    checked: dt.date
    confirmed: bool = False
    """Says that an output price below the input price is no slip."""
    context_window: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.self_hosted is None) == (self.input is None or self.output is None):
            raise ValueError("give input and output in $ per million tokens, or self_hosted")
        if self.input and self.output and self.output < self.input and not self.confirmed:
            raise ValueError(
                f"output {self.output} is below input {self.input}: swapped? If it is right, add `confirmed: true`"
            )
        return self


class Prices(Strict):
    """prices.yaml: entries by model name, oldest first; a past entry is never edited."""

    models: dict[str, Annotated[list[Price], Field(min_length=1)]]
