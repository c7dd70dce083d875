"""The README's walks end where it says, and print what it quotes."""

from __future__ import annotations

import pytest

from tests.bench.walks import README, WALK, Played, play

QUOTED = {m["name"]: m["printed"] for m in WALK.finditer(README.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    return {walk.name: walk for walk in play(tmp_path_factory.mktemp("walks"))}


@pytest.mark.parametrize("name", ["release", "fronts", "gate", "production"])
def test_a_walk_prints_what_the_readme_quotes(name: str, walks: dict[str, Played]) -> None:
    walk = walks[name]
    assert walk.status == 0, walk.stdout + walk.stderr
    assert walk.stdout == QUOTED[name]


def test_the_readme_has_these_walks_and_no_other() -> None:
    assert list(QUOTED) == ["release", "fronts", "gate", "production"]
