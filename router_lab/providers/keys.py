"""What makes two model requests the same request: canonical JSON and its sha256. Standard library
alone.

A request is (candidate, settings, messages, draw). Message ids, times and sources are not part of
it, because Inspect makes new ones at every run; neither is how a list of equal-role messages was
cut, because providers join such messages differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from router_lab.runtime.model import Candidate

SHA_LENGTH = 16
"""Hex digits kept where a hash is a label in a table; file names and request keys keep 64."""

CANDIDATE_KEY = "candidate"
"""Model argument in which a log keeps the candidate's name, effort and settings."""

SUITE_KEY = "router_lab"
"""Log metadata key under which a log keeps the suite's name, dataset hash and how its score
becomes quality."""

RECORDED = "recorded/"
"""Prefix of the provider that answers from recorded generations: a way of answering, not part of a
model's name."""

TRANSPORT = frozenset(
    {"max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
     "batch", "cache", "cache_prompt"}
)  # fmt: skip
"""GenerateConfig fields that change when and how a request travels, not what is asked."""

CACHE_TTL_NOTE = "cache_write_ttl"
"""Key of an answer's metadata under which a sweep notes that its prompt was written to the cache
for an hour."""
SHARED_NOTE = "shared_call"
"""The same for an answer that another candidate's call had brought: nothing was paid for it."""
APART_NOTE = "tokens_apart"
"""The same for tokens by kind that the provider told and Inspect's usage has no field for."""


def marks(metadata: Any, model_args: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(suite, candidate) as a sweep wrote them into a log; empty of one that no sweep of ours
    made."""
    return (metadata or {}).get(SUITE_KEY) or {}, (model_args or {}).get(CANDIDATE_KEY) or {}


def marked(metadata: Any, model_args: Any) -> tuple[str, Candidate] | None:
    """Suite and candidate of a log that a sweep made, else None."""
    suite, candidate = marks(metadata, model_args)
    return (suite["suite"], Candidate.of(candidate)) if suite and candidate else None


def tier_of(config: Mapping[str, Any], model_args: Mapping[str, Any]) -> str:
    """At which tier requests with these settings are made: `standard`, `batch`, `flex` or
    `priority`."""
    if config.get("batch"):
        return "batch"
    tier = model_args.get("service_tier") or (config.get("extra_body") or {}).get("service_tier")
    return tier if tier in ("flex", "priority") else "standard"


CHECK = "check"
"""Role of the calls in which a candidate was asked whether its own answer is right."""

MANIFEST = "sweep.json"
SLICES = "slices"
"""File in a log directory that lists the logs which belong to the sweep as it last ended."""


def canonical_json(value: Any) -> str:
    """`value` as JSON that does not depend on key order, platform or Python version; NaN is
    refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_of(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def label_of(value: Any) -> str:
    """A short sha256 of `value` for tables."""
    return sha256_of(value)[:SHA_LENGTH]


def canonical_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages (as dicts with role, content, perhaps tool_calls and function) reduced to what a
    model sees.

    Text parts are joined with a newline, and so are consecutive messages of one role, as Inspect
    joins them for providers that need it. Tool calls keep function and arguments; reasoning and
    all ids are dropped.
    """
    result: list[dict[str, Any]] = []
    for message in messages:
        role = str(message["role"])
        content, media = _content(message.get("content"))
        calls = [
            {"function": call["function"], "arguments": call.get("arguments") or {}}
            for call in message.get("tool_calls") or ()
        ]
        last = result[-1] if result else None
        if last is not None and last["role"] == role and role != "tool":
            last["content"] = f"{last['content']}\n{content}"
            last["media"] += media
            last["tool_calls"] += calls
        else:
            result.append({"role": role, "content": content, "media": media, "tool_calls": calls})
    return [{key: value for key, value in message.items() if value != []} for message in result]


def request_key(
    model: str, effort: str | None, settings_sha: str, messages: list[dict[str, Any]], draw: str
) -> str:
    """The key of one recorded generation; `messages` are canonical, `draw` names the repetition
    (`epoch.k`)."""
    return sha256_of([model, effort, settings_sha, messages, draw])


def _content(content: Any) -> tuple[str, list[str]]:
    """Visible text of a message, and the hashes of whatever else it carries (images, audio,
    documents)."""
    if content is None or isinstance(content, str):
        return content or "", []
    parts = [part for part in content if part.get("type") != "reasoning"]
    text = "\n".join(part["text"] for part in parts if part.get("type") == "text")
    stable = ({k: v for k, v in part.items() if k not in ("id", "internal")} for part in parts)
    return text, [sha256_of(part) for part in stable if part.get("type") != "text"]
