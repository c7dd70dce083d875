"""The kinds of tokens, one row each: prices, tables, reports, the command line and the docs' tables
follow.

A further kind is a further row at the end: what is written already keeps its order and its bytes.
`python tests/unit/test_kinds.py` and `python tests/unit/test_architecture.py` then write the docs.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """One kind of token: what it is called, how it is counted, what it costs, and who reports it
    under which name.

    - name: in a prices file and in code: `cache_read` of `Tokens`, `Rates` and `Prices`,
      `--cache-read` of `prices add`
    - column: of outcomes and calls; kinds that only their price tells apart share one
    - side: `input` (the model read it) or `output` (the model wrote it)
    - word: what the report calls its column (of what was written: what is left without the kinds
      within it)
    - heading: above its column in the tables of candidates; empty = not shown there.  brief: the
      same in a terminal
    - listed: above its column in `prices show`; empty = told behind the line, where it has a price
    - within: the kind whose count holds these tokens, too, and whose price they have without one
      of their own; None = they are counted beside all others
    - split: the kind with which it shares a column and a figure of usage, and from which these
      tokens are taken for their price alone
    - cached: it is there only where a provider caches prompts
    - needed: a price entry must have it
    - at_most: kinds that never cost less; a price above theirs looks like a slip
    - usage: its field in Inspect's `ModelUsage`, or the further one that a provider's may have
    - answered: where a provider's own answer has it, for what Inspect's usage leaves out: dotted
      paths below `usage`
    - genai: its price in genai-prices, the preferred key first
    - others: names of its column in the tables of others
    - help: of its option in `prices add`
    """

    name: str
    column: str
    side: str
    word: str
    heading: str = ""
    brief: str = ""
    listed: str = ""
    within: str | None = None
    split: str | None = None
    cached: bool = False
    needed: bool = False
    at_most: tuple[str, ...] = ()
    usage: str | None = None
    answered: tuple[str, ...] = ()
    genai: tuple[str, ...] = ()
    others: str = ""
    help: str | None = None
    unit: str = "tokens"


KINDS: tuple[Kind, ...] = (
    Kind(
        "input", "input_tokens", "input", "input", heading="input", brief="in", listed="input", needed=True,
        at_most=("output",), usage="input_tokens", genai=("input_mtok",),
        others="prompt_tokens tokens_in in_tokens input_token_count num_input_tokens n_input_tokens",
        help="$ per million input tokens; 0 if it is free.",
    ),
    Kind(
        "cache_read", "cache_read_tokens", "input", "cache read", heading="cached", listed="read", cached=True,
        at_most=("input", "cache_write_5m", "cache_write_1h"), usage="input_tokens_cache_read",
        genai=("cache_read_mtok",), others="cached_tokens cached_input_tokens cache_read_input_tokens",
    ),
    Kind(
        "cache_write_5m", "cache_write_tokens", "input", "cache written", listed="write 5m", cached=True,
        at_most=("cache_write_1h",), usage="input_tokens_cache_write",
        genai=("cache_write_mtok", "cache_write_5m_mtok"), others="cache_creation_input_tokens cache_creation_tokens",
    ),
    Kind(
        "cache_write_1h", "cache_write_tokens", "input", "cache written", listed="write 1h", cached=True,
        split="cache_write_5m", answered=("cache_creation.ephemeral_1h_input_tokens",), genai=("cache_write_1h_mtok",),
    ),
    Kind(
        "output", "output_tokens", "output", "answer", heading="output", brief="out", listed="output", needed=True,
        usage="output_tokens", genai=("output_mtok",),
        others="completion_tokens tokens_out out_tokens output_token_count num_output_tokens generated_tokens",
        help="$ per million output tokens.",
    ),
    Kind(
        "reasoning", "reasoning_tokens", "output", "reasoning", heading="reasoning", within="output",
        usage="reasoning_tokens", genai=("output_reasoning_mtok",), others="thinking_tokens thought_tokens",
        help="Where reasoning has a price of its own; default: that of output.",
    ),
)  # fmt: skip

# In the order of price entries.
PRICED = (*(kind for kind in KINDS if kind.needed), *(kind for kind in KINDS if not kind.needed))
# One for each column, and the columns in outcomes and calls.
COUNTED = tuple(kind for kind in KINDS if kind.split is None)
TOKENS = tuple(kind.column for kind in COUNTED)
# All that a model reads, each token once.
PROMPT = tuple(kind for kind in KINDS if kind.side == "input" and kind.within is None)
PROMPT_COLUMNS = tuple(dict.fromkeys(kind.column for kind in PROMPT))


def record(name: str, fields: Sequence[str], defaults: Sequence[object]) -> Any:
    """A named tuple to inherit from, whose fields follow the rows above; `defaults` are of the
    last of them."""
    return namedtuple(name, fields, defaults=defaults)


def inside(name: str) -> tuple[Kind, ...]:
    """The kinds whose tokens are counted within that one."""
    return tuple(kind for kind in KINDS if kind.within == name)
