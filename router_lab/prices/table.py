"""PriceTable: which price holds for a model on a day."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from router_lab.config import Price, Prices, load
from router_lab.prices.rates import Rates, Tokens, from_entry
from router_lab.runtime.errors import InputError


class PriceTable:
    """Dated entries by model name; where they say nothing, genai-prices; where that says nothing, an error."""

    def __init__(
        self, entries: Mapping[str, Sequence[Price]] | None = None, *, where: str = "prices.yaml", default: bool = True
    ) -> None:
        """`entries`: prices by model. `where` names them in errors. `default=False` leaves genai-prices out.

        Raises InputError for two entries of one model that start on one day, or an output price below the input price
        that is not marked as confirmed (a swapped column).
        """
        self.where, self.default = where, default
        self.entries = {model: sorted(rows, key=lambda e: e.starts) for model, rows in (entries or {}).items()}
        for model, rows in self.entries.items():
            days = [entry.starts for entry in rows]
            if len(set(days)) < len(days):
                raise InputError(f"{where}: model {model!r} has two entries that start on one day")
        self.label = where
        """Names the table in what is written down: the file's name and a digest of what is in it, no path."""
        self._resolved: dict[tuple[str, dt.date], Rates] = {}

    @classmethod
    def load(cls, path: str | Path | None = None, *, default: bool = True) -> PriceTable:
        """The table of a prices.yaml over genai-prices; without a path genai-prices alone. Raises InputError."""
        if path is None:
            return cls({}, where="(no prices.yaml given)", default=default)
        table = cls(load(Prices, path).models, where=str(path), default=default)
        table.label = f"{Path(path).name} sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}"
        return table

    def rates(self, model: str, day: dt.date) -> Rates:
        """Prices of `model` on `day`. Raises InputError with the command that mends it; never a zero."""
        key = (model, day)
        if key not in self._resolved:
            self._resolved[key] = self._checked(self._find(model, day), model)
        return self._resolved[key]

    def cost(self, model: str, tokens: Tokens, day: dt.date, tier: str = "standard") -> float:
        """Dollars of one call of `model` on `day`. Raises InputError."""
        return self.rates(model, day).cost(tokens, tier)

    def knows(self, model: str, day: dt.date) -> bool:
        """Whether `rates` would answer."""
        try:
            self.rates(model, day)
        except InputError:
            return False
        return True

    def _find(self, model: str, day: dt.date) -> Rates:
        rows = self.entries.get(model, [])
        current = [entry for entry in rows if entry.starts <= day]
        if current:
            return from_entry(model, current[-1], self.where)
        if self.default:
            from router_lab.prices.genai import genai_rates

            rates = genai_rates(model, day)
            if rates is not None:
                return rates
        if rows:
            raise InputError(
                f"{self.where}: model {model!r} has no price on {day}; its first entry starts {rows[0].starts}; "
                f"add the earlier one: router-lab prices add {model!r} --starts … --input … --output … --source URL"
            )
        known = "neither it nor genai-prices knows" if self.default else "it does not know"
        raise InputError(
            f"{self.where}: {known} the price of model {model!r}; add it: "
            f"router-lab prices add {model!r} --input $/Mtok --output $/Mtok --source URL"
        )

    def _checked(self, rates: Rates, model: str) -> Rates:
        confirmed = any(entry.confirmed for entry in self.entries.get(model, []))
        hosted = any(entry.self_hosted for entry in self.entries.get(model, []))
        if rates.output < rates.input and not confirmed and not hosted:
            raise InputError(
                f"{rates.source}: model {model!r}: output {rates.output:g} is below input {rates.input:g} $/Mtok; "
                "swapped columns? If it is right, add it yourself with --confirmed"
            )
        return rates
