"""Texts to decide on, and two hundred requests at once, while the policy is swapped under them. No host is needed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from router_lab.publish import publish
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.store import PolicyStore
from tests.integrations.worlds import EASY, HARD, choosing

REQUESTS = 200
_WORDS, _DRAWS = [*EASY.split(), *HARD.split(), "unseen"], random.Random(0)
TEXTS = (EASY, HARD, "never seen", *(" ".join(_DRAWS.sample(_WORDS, 1 + n % 8)) for n in range(40)))
"""On some of them cheap is good enough, on others dear is asked, on others nothing was seen."""


def stored(folder: Path, api: str) -> tuple[PolicyStore, list[Path]]:
    """A store of the first of two revisions that decide alike, and both."""
    paths = [save_revision(choosing(api, worse=worse), folder) for worse in (0.3, 0.4)]
    publish(paths[0], force=True)
    store = PolicyStore(folder, default=("spare", None))
    assert store.check()
    return store, paths


async def storm(
    store: PolicyStore, paths: list[Path], one: Callable[[str, str], Awaitable[tuple[str, dict[str, str]]]]
) -> None:
    """`one(text, session)` is the answer to a text and what was told of it, as headers. Each answer is of the
    candidate that the policy named in it decides for."""

    async def checked(number: int) -> str:
        text = (EASY, HARD)[number % 2]
        answer, told = await one(text, f"s{number}")
        model = "cheap" if text == EASY else "dear"
        assert told["x-router-lab-model"] == model and answer.strip() == f"{model}-1 says so"
        return told["x-router-lab-revision"]

    async def swapping() -> None:
        place = 0
        while True:
            place = 1 - place
            await asyncio.to_thread(publish, paths[place], force=True)
            await asyncio.to_thread(store.check)

    swaps = asyncio.create_task(swapping())
    revisions = await asyncio.gather(*map(checked, range(REQUESTS)))
    swaps.cancel()
    await asyncio.gather(swaps, return_exceptions=True)
    assert {one[:12] for one in revisions} <= {path.name[:12] for path in paths}
