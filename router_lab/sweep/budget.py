"""A budget that is never passed: every sample's limit is set aside before it is scheduled.

A wave is admitted only if each of its samples could cost its whole limit and the budget would
still hold. Within a sample a call is made only if its worst case fits into what is left of the
sample's limit. Which samples run is settled by the shuffled order and by the money, never by what
the samples say.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from anyio.lowlevel import checkpoint
from inspect_ai.hooks import BeforeModelGenerate, Hooks, ModelUsageData, SampleEnd, hooks
from inspect_ai.model import ModelOutput
from inspect_ai.util import LimitExceededError

from router_lab.inspect_compat import cancel_sample, running_sample, turns_are_used
from router_lab.prices import PriceTable, Tokens, provider_tools, read_usage, served_by, today, told_apart
from router_lab.prices.table import PAID_TOOLS
from router_lab.providers.keys import APART_NOTE, CACHE_TTL_NOTE, RECORDED, SHARED_NOTE
from router_lab.runtime.errors import InputError
from router_lab.runtime.kinds import KINDS
from router_lab.sweep.ledger import Book

OVERHEAD_TOKENS = 64
"""Added to a prompt for roles and separators, a message."""

UNBOUNDED_OUTPUT = 16_384
"""Output tokens assumed of a judge's call that names no max_tokens; candidates must name
theirs."""


class HeldBackError(RuntimeError):
    """A call that the sweep as a whole cannot pay or write down: it is not made; its sample runs
    again on resume."""


class _Open(NamedTuple):
    model: str
    name: str
    worst: float


class Answer(NamedTuple):
    """What an answer says beside its usage: tools that the provider ran, how long its prompt is
    cached, its tier …"""

    tools: Mapping[str, int]
    ttl: str | None
    tier: str | None
    served: str | None = None
    """The model that the provider fell back on."""
    apart: Mapping[str, int] = {}
    """Tokens by kind that Inspect's usage has no field for."""
    shared: bool = False
    """It was there from another candidate's call: nothing is paid."""


class Spending:
    """The money of one running sweep; calls arrive through Inspect's hooks and the guard around
    each candidate."""

    def __init__(
        self,
        ledger: Book,
        names: dict[str, str],
        *,
        budget_usd: float | None = None,
        sample_usd: float | None = None,
        extra_bytes: int = 0,
        tiers: Collection[str] = (),
        hour_writes: bool = False,
    ) -> None:
        """`names`: Inspect's model name to ours; `sample_usd`: limit of a sample; `extra_bytes`:
        of few-shot texts; `tiers`: at which candidates are asked; `hour_writes`: whether prompts
        may be cached for an hour."""
        self.tiers, self.hour_writes = {"standard", *tiers} - {"batch"}, hour_writes
        self.ledger, self.names, self.extra_bytes = ledger, names, extra_bytes
        self.budget_usd, self.sample_usd = budget_usd, sample_usd
        self.fault: str | None = None
        """Why the sweep must stop: a limit that not even one call fits into, or a model without a
        price."""
        self._held: dict[str, float] = defaultdict(float)
        self._open: dict[str, list[_Open]] = defaultdict(list)
        self._answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)

    def admits(self, samples: int) -> bool:
        """Whether that many samples could all cost their limit without passing the budget."""
        if self.budget_usd is None:
            return True
        return self.ledger.spent_usd + samples * (self.sample_usd or 0.0) <= self.budget_usd

    def before(self, sample: str, model: str, worst: float) -> None:
        """Open a call. Raises LimitExceededError if its worst case does not fit into what is left
        of the sample's limit, HeldBackError if it can never fit, if the budget does not hold it,
        or if it cannot be written down."""
        assert self.sample_usd is not None
        held = self._held[sample]
        if held + worst > self.sample_usd:
            if held == 0.0:
                raise HeldBackError(
                    f"limits.usd is {self.sample_usd:g}, but one call of {model!r} may cost ${worst:.6f} (its prompt's "
                    "bytes as tokens, and max_tokens of output); raise limits.usd or lower max_tokens"
                )
            reason = f"sample limit: ${held:.6f} held, and the next call may cost ${worst:.6f}"
            raise LimitExceededError("cost", value=held + worst, limit=self.sample_usd, message=reason)
        try:
            name = self.ledger.open(worst, self.budget_usd)
        except InputError as error:
            raise HeldBackError(str(error)) from error
        self._held[sample] += worst
        self._open[sample].append(_Open(model, name, worst))

    def check(self) -> None:
        """Raises HeldBackError once the ledger cannot be written: no call may be made whose money
        is not known."""
        if self.ledger.broken:
            raise HeldBackError(self.ledger.broken)

    def noted(self, sample: str, model: str, answer: Answer) -> None:
        """`model` answered; its usage follows."""
        self._answers[sample, model].append(answer)

    def answered(
        self, sample: str, model: str, usage: Mapping[str, Any], seconds: float | None = None
    ) -> None:
        """Close the call that `model` answered with that usage, read and priced as `collect`
        will."""
        call, notes = self._take(sample, model), self._answers.get((sample, model))
        said = (
            notes.pop(0) if notes else Answer({}, None, None if model in self.names.values() else "standard")
        )
        written = usage.get("input_tokens_cache_write") or 0
        tokens, _ = read_usage(usage, written_1h=written if said.ttl == "1h" else 0, answered=said.apart)
        if tokens is None:  # figures that cannot be: what it cost is not known
            if call is not None:
                self.ledger.lose(call.name)
            else:
                self.ledger.unknown(model)
            return
        paid = said.served or model
        if said.shared:
            self._shared(sample, call, paid, tokens, said)
            return
        usd = self.ledger.close(call.name if call else None, paid, tokens, said.tools, seconds, said.tier)
        if call is not None:
            self._held[sample] += usd - call.worst

    def _shared(self, sample: str, call: _Open | None, model: str, tokens: Tokens, said: Answer) -> None:
        """A limit of the sample counts the call at its price, whoever had paid it; the ledger does
        not."""
        if call is None:
            return
        self.ledger.void(call.name)
        usd = self.ledger.table.cost(model, tokens, dt.datetime.now(dt.UTC), said.tier or "standard")
        self._held[sample] += usd - call.worst

    def failed(self, sample: str, model: str, refused: bool) -> None:
        """An attempt failed: `refused` with a status code (it costs nothing), else perhaps after
        it was computed."""
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
        for key in [key for key in self._answers if key[0] == sample]:
            del self._answers[key]

    def used_tools(self, events: Iterable[Any]) -> None:
        """Count the sample's calls of tools that the harness ran and that have a price."""
        for event in events:
            if event.event == "tool" and event.function in self.ledger.table.tools and event.error is None:
                self.ledger.tool(event.function, event.timestamp)

    def stop(self, fault: str) -> None:
        """Remember the first reason to stop the sweep after this wave."""
        self.fault = self.fault or fault

    def worst_usd(self, model: str, data: BeforeModelGenerate) -> float:
        """What the call in `data` can cost at most: a token is at least a byte, and the dearest
        input kind is paid.

        Raises InputError for a paid tool, since nothing bounds how often a call uses it.
        """
        paid = next((tool.name for tool in data.tools if self._is_paid(model, tool)), None)
        if paid is not None:
            raise InputError(
                f"a budget cannot hold with the paid tool `{paid}`, which one call may use any number of times: run "
                "these suites in a sweep without `limits.usd` and `budget_usd`, or without the tool"
            )
        prompt = (
            sum(len(_sent(message).encode()) + OVERHEAD_TOKENS for message in data.input) + self.extra_bytes
        )
        prompt += sum(len(tool.model_dump_json().encode()) for tool in data.tools)
        output = data.config.max_tokens or UNBOUNDED_OUTPUT
        return worst_call_usd(self.ledger.table, model, prompt, output, self.tiers, self.hour_writes)

    def _is_paid(self, model: str, tool: Any) -> bool:
        """Whether calls of a tool cost money: one's own with a price, or one that the provider can
        run."""
        table = self.ledger.table
        if tool.name in table.tools:
            return True
        fee = table.rates(model, today()).tools.get(tool.name, 1.0 if tool.name in PAID_TOOLS else 0.0)
        return bool(getattr(tool, "options", None)) and fee > 0

    def _take(self, sample: str, model: str) -> _Open | None:
        calls = self._open.get(sample, [])
        found = next((call for call in calls if call.model == model), None)
        if found is not None:
            calls.remove(found)
        return found


def worst_call_usd(
    table: PriceTable, model: str, prompt_tokens: int, output_tokens: int, tiers: Collection[str] = ("standard",),
    hour_writes: bool = False,
) -> float:  # fmt: skip
    """Dollars of a call whose prompt and answer are at most that long, whichever way its prompt is
    cached and however much of the answer is reasoning, at the dearest of `tiers` that the model
    has, its fee included."""
    rates = table.rates(model, dt.datetime.now(dt.UTC))
    kinds = [k for k in KINDS if rates.prices.get(k.name) is not None and (hour_writes or k.split is None)]
    # All of the prompt, or of the answer, may be of any one kind that has a price.
    read, written = (
        [{kind.within or kind.name: count, kind.name: count} for kind in kinds if kind.side == side]
        for side, count in (("input", prompt_tokens), ("output", output_tokens))
    )
    calls = [Tokens(**prompt, **answer) for prompt in read for answer in written]
    priced = [tier for tier in tiers if tier == "standard" or tier in rates.tiers]
    return max(rates.cost(tokens, tier) for tokens in calls for tier in priced)


@hooks(name="router_lab_spending", description="Keeps router-lab's ledger and a sample's dollar limit")
class _Meter(Hooks):
    """Inspect keeps one instance per process; it forwards to whichever sweep is running."""

    spending: Spending | None = None

    def enabled(self) -> bool:
        return _Meter.spending is not None

    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        spending, turns = _Meter.spending, turns_are_used()
        if spending is None:
            return
        if turns is not None:  # Inspect itself raises after the call, when it is paid for
            reason = f"sample limit: {turns} turns"
            raise LimitExceededError("turn", value=turns, limit=turns, message=reason)
        try:
            spending.check()
            if spending.sample_usd is not None:
                model = spending.names.get(data.model_name, data.model_name.removeprefix(RECORDED))
                spending.before(running_sample().uuid, model, spending.worst_usd(model, data))
        except (HeldBackError, InputError) as error:
            spending.stop(str(error))
            if cancel_sample():
                await checkpoint()
            # In a scorer, which this does not cancel. Inspect swallows any other error of a hook,
            # and makes the call.
            raise LimitExceededError("cost", value=0, limit=0, message=str(error)) from None

    async def on_model_usage(self, data: ModelUsageData) -> None:
        spending, usage = _Meter.spending, data.usage
        if spending is not None:
            model = spending.names.get(data.model_name, data.model_name.removeprefix(RECORDED))
            spending.answered(
                running_sample().uuid, model, usage.model_dump(exclude_none=True), data.call_duration
            )

    async def on_sample_end(self, data: SampleEnd) -> None:
        if _Meter.spending is not None and data.sample.uuid is not None:
            _Meter.spending.ended(data.sample.uuid)
            _Meter.spending.used_tools(data.sample.events or ())


def meter(spending: Spending | None) -> None:
    """Let `spending` receive every call from now on; None ends it."""
    _Meter.spending = spending


def report_failure(model: str, refused: bool) -> None:
    """Candidate `model`, in its guard, made an attempt without an answer: tell the running sweep's
    money."""
    if _Meter.spending is not None:
        _Meter.spending.failed(running_sample().uuid, model, refused)


def report_answer(
    model: str, tier: str, asked: str, output: ModelOutput, ttl: str | None, response: Any
) -> None:
    """Candidate `model`, which is Inspect's `asked`, answered at `tier`: tell the running sweep's
    money, and note in the answer, for `collect`, that its prompt was cached for an hour, and
    tokens by kind that its usage has no field for."""
    # How many of the tokens written to the cache are kept for an hour is told by the ttl.
    apart = {name: n for name, n in told_apart(response).items() if n and name != "cache_write_1h"}
    notes = {CACHE_TTL_NOTE: ttl if ttl == "1h" else None, APART_NOTE: apart}
    if any(notes.values()):
        output.metadata = {**(output.metadata or {}), **{key: note for key, note in notes.items() if note}}
    if _Meter.spending is not None and output.usage is not None:
        parts = any(isinstance(choice.message.content, list) for choice in output.choices)
        tools = provider_tools(output.model_dump(include={"choices", "metadata"})) if parts else {}
        served = served_by(asked, output.model_dump(include={"fallback"})) if output.fallback else None
        shared = bool((output.metadata or {}).get(SHARED_NOTE))
        _Meter.spending.noted(running_sample().uuid, model, Answer(tools, ttl, tier, served, apart, shared))


def _sent(message: Any) -> str:
    """All that a message sends, generously: its JSON is never shorter than its text."""
    text: str = message.model_dump_json(exclude={"id", "metadata", "source"}, exclude_none=True)
    return text
