"""The plugin with a clock around each of its hooks: what it adds to a request, measured inside LiteLLM's proxy.

Of the hooks' own thread, as nothing in them waits: what other processes of the machine took in between is not theirs.

For `callbacks: tests.integrations.timed.plugin`; microseconds go to the file that TIMED names, a line a hook.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from router_lab.integrations.litellm import RouterLab, _id
from router_lab.runtime.decision import Decision
from router_lab.runtime.policy import Policy

_LINES = list[tuple[str, str, float]]()
_DECIDED = list[float]()


class Timed(RouterLab):
    """Each hook's name, its request's id and its time."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> Any:
        begun = time.thread_time()
        found = await super().async_pre_call_hook(user_api_key_dict, cache, data, call_type)
        tell("before", found or {}, begun)
        _LINES.extend(("decide", "-", spent) for spent in _DECIDED)
        _DECIDED.clear()
        return found

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        begun = time.thread_time()
        found = await super().async_post_call_success_hook(data, user_api_key_dict, response)
        tell("after", data, begun)
        return found

    async def async_post_call_response_headers_hook(
        self, data: dict[str, Any], *rest: Any, **more: Any
    ) -> Any:
        begun = time.thread_time()
        found = await super().async_post_call_response_headers_hook(data, *rest, **more)
        tell("headers", data, begun)
        return found

    async def async_log_success_event(self, kwargs: dict[str, Any], *rest: Any, **more: Any) -> None:
        begun = time.thread_time()
        await CustomLogger.async_log_success_event(self, kwargs, *rest, **more)
        tell("empty", kwargs, begun)
        begun = time.thread_time()
        await super().async_log_success_event(kwargs, *rest, **more)
        tell("logged", kwargs, begun)


def tell(hook: str, data: dict[str, Any], begun: float) -> None:
    spent = time.thread_time() - begun  # before anything of this file's own
    _LINES.append((hook, _id(data) if data else "-", spent))
    if hook == "logged":  # behind the answer: no hook waits for the file
        with Path(os.environ["TIMED"]).open("a") as out:
            out.writelines(f"{name} {id} {seconds * 1e6:.1f}\n" for name, id, seconds in _LINES)
        _LINES.clear()


def decided(self: Policy, *arguments: Any, **more: Any) -> Decision:
    """`Policy.decide` with a clock: the part of `before` that is the decision itself."""
    begun = time.thread_time()
    found = decide(self, *arguments, **more)
    _DECIDED.append(time.thread_time() - begun)  # little, for it is within the time of `before`
    return found


decide = Policy.decide
Policy.decide = decided  # type: ignore[method-assign]
plugin = Timed()
