"""PriceTable: which price holds for a model on a day."""

from __future__ import annotations

import datetime as dt
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from router_lab.config import Price, Prices, ToolPrice, parse, price_doubts, read_yaml
from router_lab.prices.mend import entry_command, new_command, tool_command
from router_lab.prices.moments import midday
from router_lab.prices.rates import PER_FEE, Rates, Tokens, from_entry
from router_lab.prices.sources import SOURCES, depends_on_hour, known_to_others
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.reading import read_regular

Moment = dt.date | dt.datetime
"""A day in UTC, or a moment: some providers are cheaper at night."""

PAID_TOOLS = ("web_search", "x_search", "file_search")
"""Tools that providers run for money; of others, such as a fetch or code in a container, the call
itself is free."""


class PriceTable:
    """Dated entries by model name; where they say nothing, the sources of `sources.SOURCES`; where
    these say nothing, an error."""

    def __init__(
        self,
        entries: Mapping[str, Sequence[Price]] | None = None,
        *,
        tools: Mapping[str, Sequence[ToolPrice]] | None = None,
        where: str = "prices.yaml",
        default: bool = True,
        file: str | None = None,
    ) -> None:
        """`entries`: prices by model; `tools`: of one's own tools. `where` names them in errors,
        `file` in the commands that mend. `default=False` leaves the sources out.

        Raises InputError for two entries of one model that start on one day.
        """
        self.where, self.default, self.file = where, default, file
        self.entries = {
            model: sorted(rows, key=lambda e: e.starts) for model, rows in (entries or {}).items()
        }
        self.tools = {name: sorted(rows, key=lambda e: e.starts) for name, rows in (tools or {}).items()}
        for kind, named in (("model", self.entries), ("tool", self.tools)):
            for name, rows in named.items():
                days = [entry.starts for entry in rows]
                if len(set(days)) < len(days):
                    raise InputError(f"{where}: {kind} {name!r} has two entries that start on one day")
        self.label = where
        """Names the table in what is written down: the file's name and a digest of what is in it,
        no path."""
        self._resolved: dict[tuple[str, Moment], Rates] = {}

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, default: bool = True, missing: bool = False
    ) -> PriceTable:
        """The table of a prices.yaml over the sources; without a path the sources alone. Raises
        InputError.

        missing: the file may not exist yet; then the sources alone, and what errors suggest would
        make it.
        """
        if path is None or (missing and not Path(path).exists()):
            file = None if path is None else str(path)
            return cls({}, where="(no prices.yaml given)", default=default, file=file)
        content = read_prices(path)
        table = cls(content.models, tools=content.tools, where=str(path), default=default, file=str(path))
        table.label = f"{Path(path).name} sha256:{digest(path)[:16]}"
        return table

    def rates(self, model: str, day: Moment) -> Rates:
        """Prices of `model` on `day`. Raises InputError with the command that mends it; never a
        zero."""
        key = (model, self._as_priced(model, day))
        if key not in self._resolved:
            self._resolved[key] = self._checked(self._find(*key), model)
        return self._resolved[key]

    def cost(self, model: str, tokens: Tokens, day: Moment, tier: str = "standard") -> float:
        """Dollars of one call of `model` on `day`. Raises InputError."""
        return self.rates(model, day).cost(tokens, tier)

    def knows(self, model: str, day: Moment) -> bool:
        """Whether `rates` would answer."""
        try:
            self.rates(model, day)
        except InputError:
            return False
        return True

    def provider_tools(self, model: str, counts: Mapping[str, int], day: Moment) -> float:
        """Dollars of calls of tools that the model's provider ran. Raises InputError for a paid
        one without a price."""
        total = 0.0
        for name, count in counts.items():
            rates = self.rates(model, day)
            fee = rates.tools.get(name)
            if fee is None and name in PAID_TOOLS:
                raise InputError(
                    f"model {model!r} called its provider's paid tool `{name}` {count} times, of which {rates.source} "
                    f"names no price; add it, in $ per 1,000 calls: {tool_command(rates, name)}"
                )
            total += (fee or 0.0) * count / PER_FEE
        return total

    def own_tools(self, counts: Mapping[str, int], day: Moment) -> float:
        """Dollars of calls of tools that the harness ran, by `tools:` of the file; one that is not
        there is free."""
        total, date = 0.0, day.date() if isinstance(day, dt.datetime) else day
        for name, count in counts.items():
            current = [row for row in self.tools.get(name, ()) if row.starts <= date]
            if name in self.tools and not current:
                first = self.tools[name][0].starts
                raise InputError(
                    f"{self.where}: tool {name!r} has no price on {date}; its first entry starts {first}"
                )
            total += (current[-1].per_1k_calls if current else 0.0) * count / PER_FEE
        return total

    def _as_priced(self, model: str, day: Moment) -> Moment:
        """The day, or the hour where the price depends on it."""
        date = day.date() if isinstance(day, dt.datetime) else day
        if (
            not isinstance(day, dt.datetime)
            or not self.default
            or any(e.starts <= date for e in self.entries.get(model, ()))
        ):
            return date
        return day.astimezone(dt.UTC).replace(second=0, microsecond=0) if depends_on_hour(model) else date

    def _find(self, model: str, day: Moment) -> Rates:
        rows, date = self.entries.get(model, []), day.date() if isinstance(day, dt.datetime) else day
        current = [entry for entry in rows if entry.starts <= date]
        if current:
            return from_entry(model, current[-1], self.where, self.file)
        if self.default:
            rates = known_to_others(model, day if isinstance(day, dt.datetime) else midday(day))
            if rates is not None:
                return replace(rates, file=self.file)
        command = new_command(model, date, self.file)
        if rows:
            raise InputError(
                f"{self.where}: model {model!r} has no price on {date}; its first entry starts {rows[0].starts}; "
                f"add the earlier one: {command}"
            )
        known = f"neither it nor {' nor '.join(SOURCES)} knows" if self.default else "it does not know"
        raise InputError(
            f"{self.where}: {known} the price of model {model!r}; add it: {command} (0 if it is free)"
        )

    def _checked(self, rates: Rates, model: str) -> Rates:
        """One's own entries were held to the rules when they were read; others' are warned of, or
        refused."""
        if rates.unknown:
            raise InputError(
                f"model {model!r}: {rates.source} charges {', '.join(rates.unknown)}, a kind of price that is not "
                "known here and whose amount no log tells, so no call has a known price; name what a call costs by its "
                f"tokens yourself: {entry_command(rates)}"
            )
        doubt = None if rates.own else next(price_doubts({**rates.as_dict(), "tiers": {}}), None)
        if doubt is None:
            return rates
        said = f"{rates.source}: model {model!r}: {doubt}"
        mend = f"If it is right, say so: {entry_command(rates, confirmed=True)}"
        if rates.output < rates.input:
            raise InputError(f"{said} {mend}")
        mend = mend.replace(f" --starts {rates.starts}", "")  # one text for all days is said once
        warnings.warn(RouterLabWarning(f"{said} It is used as listed. {mend}"), stacklevel=4)
        return rates


def read_prices(path: str | Path) -> Prices:
    """A prices.yaml; an empty one, or an empty section, has no entries. Raises InputError."""
    return parse_prices(read_yaml(path), path)


def parse_prices(content: Any, where: str | Path) -> Prices:
    """The same of what was read from YAML."""
    if content is None or isinstance(content, dict):
        sections = ("models", "tools")
        given = {
            key: value for key, value in (content or {}).items() if value is not None or key not in sections
        }
        content = {"models": {}, **given}
    return parse(Prices, content, where=where)


def digest(path: str | Path) -> str:
    """SHA-256 of a prices file."""
    return hashlib.sha256(read_regular(path)).hexdigest()
