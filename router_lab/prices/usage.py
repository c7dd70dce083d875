"""A call's usage, as Inspect or a table has it, as tokens. The one place where a provider's way of
counting is read.

Inspect documents `input_tokens` without cached tokens and `output_tokens` with reasoning, but
passes on what some servers count otherwise: xAI counts reasoning beside the output, OpenAI-like
servers cached tokens inside the input. `total_tokens` tells: it is the sum of what is counted
apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from router_lab.prices.rates import Tokens
from router_lab.runtime.budget import MOST_TOKENS
from router_lab.runtime.kinds import KINDS

FIELDS = {kind.usage: kind for kind in KINDS if kind.usage is not None}
CLOSE = 2
"""Servers that count a token or two of their own in the total still say by it how they count."""
NO_TOKENS = ("total_tokens", "total_cost")
SEARCHES = ("search", "web_search", "google_search_web", "google_search_image")
"""Names that providers give to one web search; a page opened or fetched afterwards goes by another
name."""


class Counted(NamedTuple):
    """The tokens (None: no figure can be relied on), and what could not be told of them, for a
    warning."""

    tokens: Tokens | None
    doubt: str | None = None


def read_usage(
    usage: Mapping[str, Any] | None, *, written_1h: int = 0, answered: Mapping[str, int] | None = None
) -> Counted:
    """Inspect's usage of one call (`ModelUsage` as a mapping; other keys with a number are further
    kinds of usage).

    written_1h: how many of the tokens written to the cache are kept for an hour, at most all.
    answered: counts of kinds that only the provider's own answer has (`told_apart`).

    | `total_tokens` is | so |
    | input + cached + output | cached outside the input, reasoning inside the output |
    | input + cached + output + reasoning | reasoning is outside the output and billed with it |
    | input + output | cached tokens (or the kind that closes the sum) are inside the input |
    | input + output + reasoning | both |
    | one or two tokens from one of these | the closest, with a doubt |
    | 0 (none told), none of these | the same with a doubt, save reasoning above output |
    | absent, which Inspect never writes | the same without a doubt: written by its documentation |
    """
    if usage is None:
        return Counted(None)
    try:
        total = _count(usage, "total_tokens")
        counts = {kind.name: _count(usage, key) for key, kind in FIELDS.items()}
        told = {**(answered or {}), "cache_write_1h": max(written_1h, 0)}
        apart = {kind.name: _count(told, kind.name) for kind in KINDS}
        further = (
            (key, count) for key, count in _numbers(usage) if key not in FIELDS and key not in NO_TOKENS
        )
        other = tuple((key, _count({key: count}, key)) for key, count in further)
    except ValueError as error:
        return Counted(None, f"usage that cannot be: {error}; their cost is unknown")
    inside, outside, doubt = _convention(counts, total)
    counts["input"] -= inside
    counts["output"] += outside
    for kind in KINDS:
        counts[kind.name] = counts.get(kind.name) or apart[kind.name]
        if kind.split is not None:
            counts[kind.name] = min(counts[kind.name], counts[kind.split])
            counts[kind.split] -= counts[kind.name]
    return Counted(Tokens(**counts, other=other), doubt if "total_tokens" in usage else None)


def told_apart(answer: Any) -> dict[str, int]:
    """Tokens by kind, as a provider's own answer tells them, of the kinds that Inspect's usage may
    leave out."""
    told = dict(_numbers(answer.get("usage") if isinstance(answer, Mapping) else None))
    paths = ((kind.name, told.get(path)) for kind in KINDS for path in kind.answered)
    return {name: count for name, count in paths if isinstance(count, int) and 0 < count <= MOST_TOKENS}


def served_by(asked: str, output: Mapping[str, Any]) -> str | None:
    """The model that gave an answer (Inspect's `ModelOutput` as a mapping) and is paid for it,
    where the provider of `asked` (Inspect's name) fell back on another one; None where it did
    not."""
    name = (output.get("fallback") or {}).get("fallback_model")
    provider = asked.partition("/")[0]
    if not name:
        return None
    return str(name) if str(name).startswith(f"{provider}/") else f"{provider}/{name}"


def provider_tools(output: Mapping[str, Any], response: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Calls of tools that the provider ran within one answer (Inspect's `ModelOutput` as a
    mapping), by the tool.

    A call that failed is not charged. `response`: the provider's own answer, where the log has it.
    """
    contents = ((choice.get("message") or {}).get("content") for choice in output.get("choices") or ())
    parts = (part for content in contents if isinstance(content, list) for part in content)
    counts = Counter(_tool(p) for p in parts if p.get("type") == "tool_use" and not p.get("error"))
    told = [(output.get("metadata") or {}).get("num_search_queries")]
    raw = ((response or {}).get("usage") or {}) if isinstance(response, Mapping) else {}
    told.append((raw.get("server_tool_use") or {}).get("web_search_requests"))
    searches = max([counts.get("web_search", 0), *(n for n in told if isinstance(n, int))])
    return {**counts, **({"web_search": searches} if searches else {})}


def written_for_an_hour(usage: Mapping[str, Any] | None, event: Mapping[str, Any], asked: str | None) -> int:
    """Tokens of a call that were written to the cache for an hour: as the provider's answer splits
    them, where the log has it; else all of them where the request, or the model's arguments
    (`asked`), said an hour."""
    written = (usage or {}).get("input_tokens_cache_write") or 0
    if not written:
        return 0
    call = event.get("call") or {}
    raw = (call.get("response") or {}).get("usage") if isinstance(call.get("response"), Mapping) else None
    if isinstance(raw, Mapping) and isinstance(raw.get("cache_creation"), Mapping):
        return told_apart(call["response"]).get("cache_write_1h", 0)
    return int(written) if "1h" in (asked, *_lifetimes(call.get("request"))) else 0


def _convention(counts: Mapping[str, int], total: int) -> tuple[int, int, str | None]:
    """(cached tokens inside the input, reasoning outside the output, doubt): what providers count
    either way."""
    fresh, output, reasoning = counts["input"], counts["output"], counts["reasoning"]
    read, written = counts["cache_read"], counts["cache_write_5m"]
    documented = sum(counts[kind.name] for kind in FIELDS.values() if kind.within is None)
    apart = reasoning if reasoning > output else 0
    if not reasoning and not read and not written:
        return 0, 0, None if total in (0, documented) else _differs(total, documented)
    if total:
        ways = [
            (inside, outside, documented - inside + outside)
            for inside in (0, read + written, read, written)
            for outside in ((apart,) if apart else (0, reasoning))
            if inside <= fresh
        ]
        inside, outside, parts = min(ways, key=lambda way: abs(way[2] - total))
        if parts == total:
            return inside, outside, None
        if abs(parts - total) <= CLOSE:
            return inside, outside, _differs(total, parts, "by what comes closest")
        return 0, apart, _differs(total, documented + apart)
    if apart and not read and not written:
        return 0, apart, None
    kinds = " and ".join(["cached"] * bool(read or written) + ["reasoning"] * bool(reasoning and not apart))
    rule = f"no total_tokens, which would tell how {kinds} tokens were counted; they are read as Inspect documents"
    return 0, apart, rule


def _differs(total: int, parts: int, how: str = "as Inspect documents") -> str:
    word = "more" if total > parts else "fewer"
    return f"a total_tokens with {word} tokens than its parts in any way of counting; they are read {how}"


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key) or 0
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MOST_TOKENS or value != int(value):  # a NaN is in no range
        raise ValueError(f"`{key}` is {value!r}")
    return int(value)


def _numbers(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every number in nested mappings that is not 0, by its keys, joined by dots."""
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and value:
            yield f"{prefix}{key}", value


def _tool(part: Mapping[str, Any]) -> str:
    name = str(part.get("name") or "").lower()
    kind = part.get("tool_type")
    if kind == "web_search":
        return "web_search" if name in SEARCHES else name
    return str(kind) if kind == "code_execution" else name


def _lifetimes(request: Any) -> Iterator[str]:
    """Every `cache_control: {ttl: …}` of a request."""
    if isinstance(request, Mapping):
        control = request.get("cache_control")
        if isinstance(control, Mapping) and control.get("ttl"):
            yield str(control["ttl"])
        for value in request.values():
            yield from _lifetimes(value)
    elif isinstance(request, list):
        for value in request:
            yield from _lifetimes(value)
