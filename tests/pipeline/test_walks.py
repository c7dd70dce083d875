"""The walks of docs/walks.md end where it says, and print what it quotes."""

from __future__ import annotations

import pytest

from tests import warm
from tests.bench.walks import PAGE, WALK, Played, masked, play

QUOTED = {m["name"]: m["printed"] for m in WALK.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    path = warm.on_path(tmp_path_factory.mktemp("bin"))
    return {walk.name: walk for walk in play(tmp_path_factory.mktemp("walks"), path)}


@pytest.mark.parametrize("name", ["release", "fronts", "gate", "production"])
def test_a_walk_prints_what_the_readme_quotes(name: str, walks: dict[str, Played]) -> None:
    walk = walks[name]
    assert walk.status == 0, walk.stdout + walk.stderr
    assert masked(walk.stdout) == masked(QUOTED[name])


def test_revisions_are_compared_by_which_is_which() -> None:
    one, two = "1bf4104e36ab8d61" * 4, "222c06f8ab7f3ed9" * 4
    text = f"release 1: {one[:16]}\n{one[:12]} → {two[:12]}\nrevision  {two}\nback to {one[:16]}, 123456789012 rows"
    said = (
        "release 1: revision 1/16\nrevision 1/12 → revision 2/12\nrevision  revision 2/64\n"
        "back to revision 1/16, revision 3/12 rows"
    )
    assert masked(text) == said
    other = text.replace(one[:16], "0" * 16).replace(one[:12], "0" * 12)
    assert masked(other) == said
    assert masked(text.replace(f"back to {one[:16]}", f"back to {two[:16]}")) != said
    assert masked("cost 0.000123456789012, sha deadbeef") == "cost 0.000123456789012, sha deadbeef"


def test_the_readme_has_these_walks_and_no_other() -> None:
    assert list(QUOTED) == ["release", "fronts", "gate", "production"]
