"""A grid with an obvious winner: three models, of which one is always right, one often, one never; and one where the
dear wait for a cheap one, and nothing is settled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback

RIGHT = {"good": 1.0, "fair": 0.6, "poor": 0.0}
DEAR = {"cheap": (0.98, 1), "good": (1.0, 90), "fair": (0.95, 60)}
"""Share of right answers and dollars a million tokens."""


def answers(share: float) -> Any:
    """Right on `share` of the numbers asked for, the same ones every time."""

    def answer(prompt: str) -> str:
        number = prompt.rsplit(maxsplit=1)[-1]
        return number if int(number) * 37 % 100 < 100 * share else "none"

    return answer


PLAIN = dict(zip(RIGHT, zip(RIGHT.values(), (9, 3, 1), strict=True), strict=True))


@contextmanager
def race_servers(
    folder: Path,
    samples: int,
    delay: float = 0.0,
    grid: Mapping[str, tuple[float, float]] = PLAIN,
    **sweep: Any,
) -> Iterator[tuple[Path, list[Loopback]]]:
    """The sweep file and the running servers, one a model; the better a model, the dearer."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Loopback(answer=answers(share), delay=delay)) for share, _ in grid.values()
        ]
        models = [
            {"model": f"openai-api/local/{name}", "base_url": server.url, "max_connections": 2}
            for name, server in zip(grid, servers, strict=True)
        ]
        prices = {f"openai-api/local/{name}": price(usd, 2 * usd) for name, (_, usd) in grid.items()}
        suites = {"echo": {"task": "tasks.py@echo", "args": {"n": samples}}}
        yield write_project(folder, {"models": models, **sweep}, suites, prices=prices), servers


def decisions(folder: Path) -> list[Any]:
    """Every look of a race with what it saw and who left, from `race.jsonl`."""
    return [json.loads(line) for line in (folder / "race.jsonl").read_text().splitlines()]
