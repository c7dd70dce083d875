"""Tokens of one call from whatever a source calls its counts. Sources differ in two things: the
names, and whether cached tokens are within the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.prices import Tokens
from router_lab.runtime.budget import MOST_TOKENS
from router_lab.traces.fields import count, first, flat


def _plain(name: str) -> str:
    """Providers write one count as `input_tokens` and as `inputTokens`."""
    return name.replace("_", "").lower()


def _names(*names: str) -> tuple[str, ...]:
    return tuple(map(_plain, names))


INPUT = _names(
    "prompt_tokens", "input_tokens", "input", "prompt", "prompt_token_count", "billed_units.input_tokens"
)
CACHED = _names(
    "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "cache_read_input_tokens",
    "input_cached_tokens", "input_cache_read", "cached_tokens", "cached_input_tokens", "prompt_cache_hit_tokens",
    "cache_read_tokens", "cached_content_token_count", "input_token_details.cache_read",
    "input_token_details.cache_read_tokens", "input_token_details.cached_tokens", "cache_read_input_token_count",
)  # fmt: skip
WRITTEN = _names(
    "cache_creation_input_tokens", "prompt_tokens_details.cache_creation_tokens", "input_cache_creation",
    "cache_creation_tokens", "cache_write_tokens", "prompt_tokens_details.cache_write_tokens",
    "cache_write_input_tokens", "cache_write_input_token_count", "input_token_details.cache_creation",
    "input_token_details.cache_write_tokens",
)  # fmt: skip
FOR_AN_HOUR = _names("cache_creation.ephemeral_1h_input_tokens", "input_cache_creation_1h")
TOOLS = _names("tool_use_prompt_token_count")
"""What Google's own tools put into the prompt: beside it, and billed like it."""
OUTPUT = _names(
    "completion_tokens", "output_tokens", "output", "completion", "candidates_token_count",
    "billed_units.output_tokens",
)  # fmt: skip
REASONING = _names(
    "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens", "output_reasoning_tokens",
    "output_reasoning", "reasoning_tokens", "thoughts_token_count", "output_token_details.reasoning",
    "output_token_details.reasoning_tokens",
)  # fmt: skip
TOTAL = _names("total_tokens", "total", "total_token_count")
BESIDE = _names(
    "cache_read_input_tokens", "cache_creation_input_tokens", "cache_write_input_tokens",
    "cache_read_input_token_count", "cache_write_input_token_count",
)  # fmt: skip
"""Anthropic's names and Bedrock's, who count cached tokens beside the input."""
BEYOND = _plain("thoughts_token_count")
"""Google's name, who counts thoughts beside the output."""


def usage_tokens(usage: Mapping[str, Any], *, apart: bool | None = None) -> Tokens | None:
    """Tokens of a `usage` object of OpenAI (chat or responses), Anthropic, Bedrock, Google, Cohere,
    LiteLLM, LangChain, the AI SDK or Langfuse, in camelCase or snake_case; None where it counts
    neither input nor output, or one of them in no number of tokens.

    apart: whether cached tokens stand beside the input, and reasoning beside the output; None = as
    whoever has these names counts (BESIDE, BEYOND). `total_tokens` tells first.
    """
    found = {_plain(name): value for name, value in flat(usage)}

    def named(names: tuple[str, ...]) -> int | None:
        # Some count under two names, nothing under one of them.
        told = [n for name in names if (n := count(found.get(name))) is not None]
        return next(filter(None, told), 0) if told else None

    if any(named(names) is None and first(found, *names) is not None for names in (INPUT, OUTPUT)):
        return None  # what cannot be read is not nothing
    read, tools = named(INPUT), named(TOOLS)
    if read is not None and tools is not None:
        read += tools
    beyond = BEYOND in found if apart is None else apart
    if apart is None:
        apart = INPUT[0] not in found and any(name in found for name in BESIDE)
    return tokens_of(
        read, named(OUTPUT), named(CACHED), named(WRITTEN), named(REASONING), hour=named(FOR_AN_HOUR),
        total=named(TOTAL), apart=apart, beyond=beyond,
    )  # fmt: skip


def tokens_of(
    read: int | None, wrote: int | None, cached: int | None = None, written: int | None = None,
    reasoning: int | None = None, *, hour: int | None = None, total: int | None = None, apart: bool = False,
    beyond: bool = False,
) -> Tokens | None:  # fmt: skip
    """Tokens by kind from counts as a source has them; None where it has neither input nor output.

    hour: of `written`, those kept for an hour. total: the sum of what is counted apart, which tells
    the convention where it fits one of the two. apart: the convention otherwise (cached and
    written tokens beside the input); beyond: of reasoning and the output. Counts that can be no
    part of the other are beside it.
    """
    if read is None and wrote is None:
        return None
    fresh, output, thought = read or 0, wrote or 0, reasoning or 0
    held, kept = cached or 0, written or 0
    if total and (held or kept or thought):
        ways = [(a, b) for a in (False, True) for b in (False, True)
                if fresh + a * (held + kept) + output + b * thought == total]  # fmt: skip
        apart, beyond = (
            ways[0] if len(ways) == 1 or (ways and (apart, beyond) not in ways) else (apart, beyond)
        )
    if not apart and held + kept <= fresh:
        fresh -= held + kept
    if beyond or thought > output:
        output += thought
    for_hour = min(hour or 0, kept)
    counts = {"input": fresh, "cache_read": held, "cache_write_5m": kept - for_hour, "cache_write_1h": for_hour,
              "output": output, "reasoning": thought}  # fmt: skip
    return Tokens(**{name: min(n, MOST_TOKENS) for name, n in counts.items()})
