"""What a caller of LiteLLM's proxy may not say of a request that a policy decides: who else is
asked in the candidate's place, and with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.integrations.answers import field

_OF_A_KEY = "router_settings_override"
"""Settings of the router. LiteLLM puts those of the caller's key or team into the same place."""
_REPLACING = frozenset({
    "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "context_window_fallback_dict",
    "additional_drop_params", "custom_llm_provider", "extra_body", "litellm_system_prompt", "prompt_id", _OF_A_KEY,
})  # fmt: skip
"""Keys of a body by which LiteLLM asks another model, or the same with other arguments or messages
than were decided: past the policy, and for more than was set aside."""


def without_replacing(data: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A request without what its caller may not say, and the names of that, sorted."""
    if _REPLACING.isdisjoint(data):
        return data, ()
    left = {name for name in _REPLACING & data.keys() if name != _OF_A_KEY or _callers(data)}
    return {key: value for key, value in data.items() if key not in left}, tuple(sorted(left))


def _callers(data: Mapping[str, Any]) -> bool:
    """Whether the router's settings are what the caller sent, not those that his key has."""
    sent = field(data.get("proxy_server_request"), "body")
    return bool(field(sent, _OF_A_KEY) == data[_OF_A_KEY])
