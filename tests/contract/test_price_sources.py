"""What every source of prices must hold: parametrized over SOURCES, so a new one is tested by being named."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from router_lab.prices import PriceTable
from router_lab.prices.rates import Rates
from router_lab.prices.sources import SOURCES, depends_on_hour
from router_lab.runtime.errors import InputError
from tests.conftest import ROOT

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("name", sorted(SOURCES))
@pytest.mark.parametrize(
    "model", ["", "nobody/never", "openai/", "/gpt-5", "openai/gpt-5-that-never-was", "ü/☃"]
)
def test_a_model_that_it_does_not_list_has_no_price(name: str, model: str) -> None:
    assert SOURCES[name]().rates(model, NOON) is None and depends_on_hour(model) is False


class Ours:
    """One model at $2 and $6 a million tokens."""

    def rates(self, model: str, moment: dt.datetime) -> Rates | None:
        return Rates(model, {"input": 2.0, "output": 6.0}, source="ours") if model == "us/one" else None


class Nightly(Ours):
    """That at half the price before six."""

    def rates(self, model: str, moment: dt.datetime) -> Rates | None:
        found = super().rates(model, moment)
        return found if found is None or moment.hour >= 6 else Rates(model, {"input": 1.0, "output": 3.0})

    def by_hour(self, model: str) -> bool:
        return model == "us/one"


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "ours", Ours)


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


@pytest.mark.usefixtures("ours")
def test_a_source_that_says_nothing_of_hours_has_one_price_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    night = NOON.replace(hour=3)
    assert [PriceTable().rates("us/one", moment).input for moment in (night, NOON)] == [2.0, 2.0]
    monkeypatch.setitem(SOURCES, "ours", Nightly)
    assert [PriceTable().rates("us/one", moment).input for moment in (night, NOON)] == [1.0, 2.0]


def test_the_source_of_the_page_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- run: a source -->\n```python\n(.*?)```", page, flags=re.S)
    monkeypatch.setitem(SOURCES, "gateway", Ours)  # so that the registration is undone
    exec(compile(code, "extending.md", "exec"), {"__name__": "page"})  # noqa: S102
    assert capsys.readouterr().out == "0.1 0.4 the gateway's list\n"
