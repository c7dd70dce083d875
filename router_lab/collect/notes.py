"""What `collect` has to say of dollars that it could not be sure of: once for each candidate, not
for each call."""

from __future__ import annotations

import shlex
import warnings
from collections import Counter
from collections.abc import Sequence

from router_lab.collect.calls import Call, ToolCall
from router_lab.prices import PriceTable
from router_lab.runtime.errors import RouterLabWarning

SEARCH_TOOLS = ("web_search",)
"""Inspect's own tools that ask a paid service where the model's provider does not search
itself."""


class Notes:
    """Counted doubts; `warn` says them as RouterLabWarnings."""

    def __init__(self) -> None:
        self._doubts: Counter[tuple[str, str]] = Counter()
        self._unpriced: Counter[str] = Counter()
        self._tools: Counter[tuple[str, str | None]] = Counter()

    def of_calls(self, calls: Sequence[Call], tools: Sequence[ToolCall], table: PriceTable) -> None:
        """Take note of usage that does not add up, and of tools that cost money and have no
        price."""
        self._doubts.update((call.model, call.doubt) for call in calls if call.doubt)
        self._tools.update(
            (tool.name, table.file)
            for tool in tools
            if tool.name in SEARCH_TOOLS and tool.name not in table.tools
        )

    def of_row(self, model: str, doubt: str) -> None:
        """Take note of a table's row whose tokens do not add up."""
        self._doubts[model, doubt] += 1

    def unpriced_judge(self, error: str) -> None:
        """A call of a judge or helper has no price, as `error` says."""
        self._unpriced[error] += 1

    def warn(self) -> None:
        """Say it all."""
        for (model, doubt), count in sorted(self._doubts.items()):
            self._say(f"{model}: {count} call{'s' * (count > 1)} with {doubt}")
        for error, count in sorted(self._unpriced.items()):
            self._say(
                f"a judge or helper has no price, so `judge_usd` and `paid_usd` of {count} samples are empty "
                f"(`cost_usd`, the candidates' own, is not touched): {error}"
            )
        for (name, file), count in sorted(self._tools.items(), key=str):
            place = f" --prices {shlex.quote(file)}" if file else ""
            self._say(
                f"tool `{name}` was called {count} times by the harness and counts as free; if its service is paid: "
                f"router-lab prices tool {name} --per-thousand X --source URL{place}"
            )

    def _say(self, text: str) -> None:
        warnings.warn(RouterLabWarning(text), stacklevel=4)
