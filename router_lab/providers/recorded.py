"""The `recorded` provider: answers from recorded generations, so that scoring, logs, usage and
cost run as if live.

`recorded/<model>` with model arguments `folder` and either `candidate` (a sweep gives it) or
`effort`. A request that was never recorded is an error that says so; nothing is ever made up.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from router_lab.inspect_compat import running_sample
from router_lab.providers.keys import CHECK, canonical_messages, request_key
from router_lab.providers.logprobs import told_logprobs
from router_lab.providers.store import candidate_label, read_header, read_recording, recordings
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


class NotRecordedError(InputError):
    """A request whose generation is not among the recorded ones."""


@modelapi(name="recorded")
class RecordedAPI(ModelAPI):
    """One candidate's recorded generations behind Inspect's model interface."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature; never changed
        folder: str = "datasets/recorded",
        effort: str | None = None,
        candidate: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """`candidate`: model, effort and settings_sha as a sweep writes them. Raises InputError if
        none is recorded."""
        super().__init__(model_name, base_url, api_key, [], config)
        self.folder = Path(folder)
        if candidate is None:
            candidate = _only_settings(self.folder, model_name, effort)
        self.candidate = candidate
        self._records = _load(self.folder, candidate)
        self.checked = any(record.get("role") == CHECK for record in self._records.values())
        """Whether it was asked about answers of its own."""
        self._asked: dict[str, Counter[str]] = {}

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> tuple[ModelOutput, ModelCall]:
        """The recorded answer to `input`. The k-th identical request of a sample's epoch gets the
        k-th draw."""
        messages = canonical_messages([message.model_dump(exclude_none=True) for message in input])
        key = self._key(messages)
        record = self._records.get(key)
        if record is None:
            raise NotRecordedError(
                f"{self._name()}: nothing recorded in {self.folder} for {_shorten(messages)!r} (key {key[:12]}…); "
                "record it with a live sweep and `python -m router_lab.providers.export`"
            )
        call = ModelCall.create(request={"key": key}, response={}, time=record.get("time"))
        return output_of(record, logprobs=bool(config.logprobs)), call

    def _key(self, messages: list[dict[str, Any]]) -> str:
        sample, epoch = running_sample()
        who = (self.candidate["model"], self.candidate["effort"], self.candidate["settings_sha"])
        bare = request_key(*who, messages, "")
        asked = self._asked.setdefault(sample, Counter())
        draw = asked[bare]
        asked[bare] += 1
        return request_key(*who, messages, f"{epoch}.{draw}")

    def _name(self) -> str:
        return f"recorded/{Candidate(self.candidate['model'], self.candidate['effort'])}"

    def max_connections(self) -> int:
        """Answering takes no time, so more at once only costs memory."""
        return 20

    def should_retry(self, ex: BaseException) -> bool:
        """What was not recorded will not be recorded a moment later."""
        return False


def output_of(record: dict[str, Any], *, logprobs: bool = False) -> ModelOutput:
    """A recorded generation as Inspect's output, with its usage, stop reason and time; where they
    are asked for and were recorded, with its tokens' log-probabilities."""
    message = ChatMessageAssistant(
        content=record["content"],
        tool_calls=[ToolCall(**call) for call in record["tool_calls"]] if record.get("tool_calls") else None,
        source="generate",
        model=record["answered_by"],
    )
    return ModelOutput(
        model=record["answered_by"],
        choices=[
            ChatCompletionChoice(
                message=message,
                stop_reason=record["stop_reason"],
                logprobs=told_logprobs(record) if logprobs else None,
            )
        ],
        usage=ModelUsage(**record["usage"]),
        time=record.get("time"),
        error=record.get("error"),
    )


def _load(folder: Path, candidate: dict[str, Any]) -> dict[str, dict[str, Any]]:
    label = candidate_label(candidate["model"], candidate["effort"], candidate["settings_sha"])
    paths = recordings(folder, label)
    if not paths:
        raise InputError(
            f"model recorded/{Candidate(candidate['model'], candidate['effort'])} with settings "
            f"{candidate['settings_sha']} was never recorded in {folder}; there is: {_inventory(folder)}"
        )
    return {record["key"]: record for path in paths for record in read_recording(path)[1]}


def _only_settings(folder: Path, model: str, effort: str | None) -> dict[str, Any]:
    headers = [read_header(path) for path in recordings(folder)]
    found = {h["settings_sha"] for h in headers if (h["model"], h["effort"]) == (model, effort)}
    if len(found) != 1:
        raise InputError(
            f"model recorded/{Candidate(model, effort)}: {len(found)} settings recorded in {folder}, need one; "
            f"there is: {_inventory(folder)}"
        )
    return {"model": model, "effort": effort, "settings_sha": found.pop()}


def _inventory(folder: Path) -> str:
    headers = [read_header(path) for path in recordings(folder)]
    names = sorted({f"{Candidate(h['model'], h['effort'])} ({h['settings_sha']})" for h in headers})
    return ", ".join(names) or "nothing"


def _shorten(messages: list[dict[str, Any]]) -> str:
    text = str(messages[-1]["content"]) if messages else ""
    return text if len(text) <= 60 else text[:57] + "..."
