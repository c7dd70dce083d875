"""A budget that is never passed: every sample's limit is set aside before it is scheduled.

A wave is admitted only if each of its samples could cost its whole limit and the budget would still hold. Within a
sample a call is made only if its worst case fits into what is left of the sample's limit. Which samples run is settled
by the shuffled order and by the money, never by what the samples say.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from inspect_ai.hooks import BeforeModelGenerate, Hooks, ModelUsageData, SampleEnd, hooks
from inspect_ai.log._samples import sample_active
from inspect_ai.util import LimitExceededError
from inspect_ai.util._limit import turn_limit_tree

from router_lab.prices import PriceTable, Tokens
from router_lab.providers.keys import RECORDED
from router_lab.runtime.errors import InputError
from router_lab.sweep.ledger import Ledger

OVERHEAD_TOKENS = 64
"""Added to a prompt for roles and separators, a message."""

UNBOUNDED_OUTPUT = 16_384
"""Output tokens assumed of a judge's call that names no max_tokens; candidates must name theirs."""


class _Open(NamedTuple):
    model: str
    name: str
    worst: float


class Spending:
    """The money of one running sweep; calls arrive through Inspect's hooks and the guard around each candidate."""

    def __init__(
        self,
        ledger: Ledger,
        names: dict[str, str],
        *,
        budget_usd: float | None = None,
        sample_usd: float | None = None,
        extra_bytes: int = 0,
    ) -> None:
        """`names`: Inspect's model name to ours; `sample_usd`: limit of a sample; `extra_bytes`: of few-shot texts."""
        self.ledger, self.names, self.extra_bytes = ledger, names, extra_bytes
        self.budget_usd, self.sample_usd = budget_usd, sample_usd
        self.fault: str | None = None
        """Why the sweep must stop: a limit that not even one call fits into, or a model without a price."""
        self._held: dict[str, float] = defaultdict(float)
        self._open: dict[str, list[_Open]] = defaultdict(list)

    def admits(self, samples: int) -> bool:
        """Whether that many samples could all cost their limit without passing the budget."""
        if self.budget_usd is None:
            return True
        return self.ledger.spent_usd + samples * (self.sample_usd or 0.0) <= self.budget_usd

    def before(self, sample: str, model: str, worst: float) -> None:
        """Open a call. Raises LimitExceededError if its worst case does not fit into the sample's limit."""
        assert self.sample_usd is not None
        held = self._held[sample]
        if held + worst > self.sample_usd:
            if held == 0.0:
                self.stop(
                    f"limits.usd is {self.sample_usd:g}, but one call of {model!r} may cost ${worst:.6f} (its prompt's "
                    "bytes as tokens, and max_tokens of output); raise limits.usd or lower max_tokens"
                )
            reason = f"sample limit: ${held:.6f} held, and the next call may cost ${worst:.6f}"
            raise LimitExceededError("cost", value=held + worst, limit=self.sample_usd, message=reason)
        self._held[sample] += worst
        self._open[sample].append(_Open(model, self.ledger.open(worst), worst))

    def answered(self, sample: str, model: str, tokens: Tokens) -> None:
        """Close the call that `model` answered."""
        call = self._take(sample, model)
        usd = self.ledger.close(call.name if call else None, model, tokens)
        if call is not None:
            self._held[sample] += usd - call.worst

    def failed(self, sample: str, model: str, refused: bool) -> None:
        """An attempt failed: `refused` with a status code (it costs nothing), else perhaps after it was computed."""
        call = self._take(sample, model)
        if call is None:
            return
        if refused:
            self._held[sample] -= call.worst
            self.ledger.void(call.name)
        else:
            self.ledger.lose(call.name)

    def ended(self, sample: str) -> None:
        """The sample is over; calls of it that were never answered count at their worst case."""
        for call in self._open.pop(sample, []):
            self.ledger.lose(call.name)
        self._held.pop(sample, None)

    def stop(self, fault: str) -> None:
        """Remember the first reason to stop the sweep after this wave."""
        self.fault = self.fault or fault

    def worst_usd(self, model: str, data: BeforeModelGenerate) -> float:
        """What the call in `data` can cost at most: a token is at least a byte, and the dearest input kind is paid."""
        prompt = sum(len(_sent(message).encode()) + OVERHEAD_TOKENS for message in data.input) + self.extra_bytes
        prompt += sum(len(tool.model_dump_json().encode()) for tool in data.tools)
        return worst_call_usd(self.ledger.table, model, prompt, data.config.max_tokens or UNBOUNDED_OUTPUT)

    def _take(self, sample: str, model: str) -> _Open | None:
        calls = self._open.get(sample, [])
        found = next((call for call in calls if call.model == model), None)
        if found is not None:
            calls.remove(found)
        return found


def worst_call_usd(table: PriceTable, model: str, prompt_tokens: int, output_tokens: int) -> float:
    """Dollars of a call whose prompt and answer are at most that long, whichever way its prompt is cached."""
    rates = table.rates(model, dt.datetime.now(dt.UTC).date())
    kinds = [Tokens(input=prompt_tokens, output=output_tokens)]
    if rates.cache_write_5m is not None:
        kinds.append(Tokens(cache_write_5m=prompt_tokens, output=output_tokens))
    return max(rates.cost(tokens) for tokens in kinds)


@hooks(name="router_lab_spending", description="Keeps router-lab's ledger and a sample's dollar limit")
class _Meter(Hooks):
    """Inspect keeps one instance per process; it forwards to whichever sweep is running."""

    spending: Spending | None = None

    def enabled(self) -> bool:
        return _Meter.spending is not None

    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        spending, sample = _Meter.spending, current_sample()
        if spending is not None:
            _stop_before_turn()
        if spending is None or spending.sample_usd is None or sample is None:
            return
        model = spending.names.get(data.model_name, data.model_name.removeprefix(RECORDED))
        try:
            worst = spending.worst_usd(model, data)
        except InputError as error:
            # Inspect swallows a hook's errors, and then the call would be made without a limit.
            spending.stop(str(error))
            raise LimitExceededError("cost", value=0, limit=0, message=str(error)) from None
        spending.before(sample, model, worst)

    async def on_model_usage(self, data: ModelUsageData) -> None:
        spending, usage = _Meter.spending, data.usage
        if spending is not None:
            model = spending.names.get(data.model_name, data.model_name.removeprefix(RECORDED))
            written, read = usage.input_tokens_cache_write or 0, usage.input_tokens_cache_read or 0
            spending.answered(
                current_sample(), model, Tokens(usage.input_tokens, read, written, 0, usage.output_tokens)
            )

    async def on_sample_end(self, data: SampleEnd) -> None:
        if _Meter.spending is not None and data.sample.uuid is not None:
            _Meter.spending.ended(data.sample.uuid)


def _stop_before_turn() -> None:
    """Raise where Inspect's own turn limit would raise after this call, with one turn more paid for than allowed.

    Scorers run outside of it, so a judge is not stopped.
    """
    node = None if turn_limit_tree.is_suspended() else turn_limit_tree.get()
    if node is not None and node.limit is not None and node.usage >= node.limit:
        reason = f"sample limit: {node.limit} turns"
        raise LimitExceededError("turn", value=node.usage, limit=node.limit, message=reason)


def meter(spending: Spending | None) -> None:
    """Let `spending` receive every call from now on; None ends it."""
    _Meter.spending = spending


def report_failure(model: str) -> Callable[[bool], None]:
    """For the guard around candidate `model`: tells the running sweep's money of an attempt without an answer."""

    def tell(refused: bool) -> None:
        if _Meter.spending is not None:
            _Meter.spending.failed(current_sample(), model, refused)

    return tell


def current_sample() -> str:
    """Inspect's unique id of the sample whose task is running; empty outside of one."""
    active = sample_active()
    return "" if active is None else str(active.sample_uuid)


def _sent(message: Any) -> str:
    """All that a message sends, generously: its JSON is never shorter than its text."""
    text: str = message.model_dump_json(exclude={"id", "metadata", "source"}, exclude_none=True)
    return text
