"""The request that was measured, of a log: its frame, put through Inspect's own provider against a
recorder.

So the artifact holds what the provider's SDK was really handed (which API, which names its
arguments have there), also for logs that no sweep of ours made. Nothing leaves this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from router_lab.collect.frames import Frame
from router_lab.masking import hidden
from router_lab.providers.keys import CANDIDATE_KEY, RECORDED, canonical_json
from router_lab.runtime.errors import InputError
from router_lab.runtime.frame import holds_slot

if TYPE_CHECKING:
    from router_lab.collect.logs import LogSource
    from router_lab.providers.recorder import Recorder, Request

SPEAKING = frozenset(
    {"openai", "anthropic", "openai-api", "azureai", "cloudflare", "deepseek", "fireworks", "hf-inference-providers",
     "litellm-proxy", "llama-cpp-python", "meta", "moonshot", "ollama", "openrouter", "perplexity", "sambanova",
     "sglang", "together", "vllm"}
)  # fmt: skip
"""Inspect's providers that speak one of the APIs that decisions are for, and that take a base URL.
Others would load weights, or go to a server of their own."""

STAND_INS = {
    "openai_chat": ("openai-api/recorded/{}", {}),
    "openai_responses": ("openai/{}", {"responses_api": True}),
    "anthropic": ("anthropic/{}", {}),
}
"""By API, the provider that puts a frame into its form where the measured one only answered from
recordings."""

TASKS_OWN = ("tools", "tool_choice", "response_format", "text")
"""Arguments that come from the task and not from the candidate's settings."""


class Requests:
    """Requests by log, each kind asked once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._done: dict[str, Any] = {}

    def of(self, source: LogSource, noted: Mapping[str, Any] | None) -> dict[str, Any]:
        """What `source` measured; `noted` is what the sweep's own recorder saw before it began, if
        a sweep made it."""
        frame = source.frames.frame()
        known = dict(noted) if noted else {"api": None, "arguments": {}, **_texts(source)}
        asked = frame.asked or source.frames.last
        if asked is None:
            return {**known, "reproducible": False, "reason": frame.reason}
        model, arguments = str(source.log.spec["model"]), dict(source.log.spec.get("model_args") or {})
        arguments.pop(CANDIDATE_KEY, None)
        stands_in = model.partition("/")[0] not in SPEAKING
        if stands_in:
            if known["api"] is None:
                return {**known, "reason": _unknown(model)}
            pattern, arguments = STAND_INS[known["api"]]
            model = pattern.format(known["arguments"].get("model", "x"))
            # Only the frame is taken from it; asking once for all efforts saves time.
            asked = {**asked, "config": {k: v for k, v in asked["config"].items() if k == "response_schema"}}
        sent, why = self._sent(model, arguments, asked, source.arguments.get("few_shot") or ())
        if sent is None or sent.api is None:
            return {**known, "reason": why or _unknown(model)}
        if stands_in:
            own = {key: sent.arguments[key] for key in TASKS_OWN if key in sent.arguments}
            known["arguments"] = {**known["arguments"], **own}
        else:
            known |= {"api": sent.api, "arguments": hidden(sent.arguments, "arguments", {})}
        return {**known, **_framed(frame, sent)}

    def _sent(
        self, model: str, arguments: Mapping[str, Any], asked: Mapping[str, Any], few_shot: Sequence[Any]
    ) -> tuple[Request | None, str | None]:
        """(the recorded request, why there is none)."""
        from router_lab.providers.asking import Ask, record
        from router_lab.providers.recorder import Request

        key = canonical_json([model, arguments, asked, list(few_shot)])
        if key not in self._done:
            try:
                raw = (asked["config"].get("extra_body") or {}).keys()
                sent = record(model, Ask(**asked), self._recorder, arguments=arguments, few_shot=few_shot)
                found = (
                    None
                    if sent is None
                    else Request.of(sent, {name: sent[2][name] for name in raw & sent[2].keys()})
                )
                self._done[key] = (found, None)
            except (InputError, ValueError, TypeError) as error:
                self._done[key] = (
                    None,
                    f"its request cannot be built here: {' '.join(str(error).split())[:200]}",
                )
        result: tuple[Request | None, str | None] = self._done[key]
        return result


def _framed(frame: Frame, sent: Request) -> dict[str, Any]:
    if frame.asked is None:
        return {"reproducible": False, "reason": frame.reason}
    if not holds_slot(sent.content):
        return {"reproducible": False, "reason": "its provider changes the question on the way"}
    return {"content": sent.content}


def _unknown(model: str) -> str:
    provider = model.partition("/")[0]
    if provider in ("mockllm", "none", RECORDED.rstrip("/")):
        return f"provider {provider!r} sends no request"
    return f"provider {provider!r} speaks none of the APIs that decisions hand out, or cannot be recorded"


def _texts(source: LogSource) -> dict[str, Any]:
    """What is asked for beside the task's own messages, as the log's header has it."""
    asked = source.arguments.get("config") or source.log.spec.get("model_generate_config") or {}
    few_shot = list(source.arguments.get("few_shot") or [])
    return {"system": asked.get("system_message"), "few_shot": few_shot}
