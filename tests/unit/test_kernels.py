"""A fit gives the same bytes, and a policy the same decisions, whatever the processor: see tests/kernels.py."""

from __future__ import annotations

import pytest

from tests.kernels import FEW, RECIPES, Configuration, answers

SEEDS = ("0", "3")
"""Three worlds, which go through all recipes."""


@pytest.fixture(scope="module")
def here() -> dict[str, list[str]]:
    """As this machine does it."""
    return answers(Configuration("as it is", {}), *SEEDS)


def test_every_recipe_is_fitted(here: dict[str, list[str]]) -> None:
    assert {name.split(", ")[1] for name in here if "," in name} == {*RECIPES, "race"}
    assert len({tuple(words) for words in here.values()}) == len(here)


@pytest.mark.parametrize("other", FEW, ids=lambda configuration: configuration.name)
def test_another_processor_gives_the_same(other: Configuration, here: dict[str, list[str]]) -> None:
    if other.lacking is not None:
        pytest.skip(other.lacking)
    found = answers(other, *SEEDS)
    if "OPENBLAS_CORETYPE" in other.env:
        assert found["libraries"] != here["libraries"], "the configurations do not differ, so this shows nothing"
    assert found | {"libraries": None} == here | {"libraries": None}
