"""A fit gives the same bytes, and a policy the same decisions, whatever the processor: see tests/kernels.py."""

from __future__ import annotations

from functools import cache

import pytest

from tests.kernels import FEW, RECIPES, Configuration, answers


@cache
def found(configuration: Configuration) -> dict[str, list[str]]:
    """What three worlds give, which go through all recipes."""
    return answers(configuration, "0", "3")


def test_every_recipe_is_fitted() -> None:
    here = found(FEW[0])
    assert {name.split(", ")[1] for name in here if "," in name} == {*RECIPES, "race"}
    assert len({tuple(words) for words in here.values()}) == len(here)


@pytest.mark.parametrize("other", FEW[1:], ids=lambda configuration: configuration.name)
def test_another_processor_gives_the_same(other: Configuration) -> None:
    if other.lacking is not None:
        pytest.skip(other.lacking)
    assert found(other) | {"libraries": None} == found(FEW[0]) | {"libraries": None}


def test_the_libraries_differ_so_that_this_shows_something() -> None:
    there = [other for other in FEW if other.lacking is None]
    if len(there) < 3:
        pytest.skip("this machine can play no other")
    assert len({found(other)["libraries"][0] for other in there}) >= 2
