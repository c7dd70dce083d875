"""What every source of prices must hold: parametrized over SOURCES, so a new one is tested by being named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from router_lab.prices import PriceTable
from router_lab.prices.rates import Rates
from router_lab.prices.sources import SOURCES
from router_lab.runtime.errors import InputError

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("name", sorted(SOURCES))
@pytest.mark.parametrize(
    "model", ["", "nobody/never", "openai/", "/gpt-5", "openai/gpt-5-that-never-was", "ü/☃"]
)
def test_a_model_that_it_does_not_list_has_no_price(name: str, model: str) -> None:
    source = SOURCES[name]()
    assert source.rates(model, NOON) is None and source.by_hour(model) is False


class Ours:
    """One model at $2 and $6 a million tokens."""

    def rates(self, model: str, moment: dt.datetime) -> Rates | None:
        return Rates(model, {"input": 2.0, "output": 6.0}, source="ours") if model == "us/one" else None

    def by_hour(self, model: str) -> bool:
        return False


@pytest.fixture
def ours() -> Iterator[None]:
    SOURCES["ours"] = Ours
    yield
    del SOURCES["ours"]


@pytest.mark.usefixtures("ours")
def test_a_further_source_is_asked_where_the_earlier_know_nothing() -> None:
    table = PriceTable()
    found = table.rates("us/one", dt.date(2026, 11, 1))
    assert (found.input, found.output, found.source) == (2.0, 6.0, "ours")
    with pytest.raises(
        InputError, match=f"neither it nor {' nor '.join(SOURCES)} knows the price of model 'us/two'"
    ):
        table.rates("us/two", dt.date(2026, 11, 1))
    assert table.rates("openai/gpt-4o", dt.date(2026, 11, 1)).source.startswith("genai-prices")
