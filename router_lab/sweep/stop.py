"""A candidate whose requests fail for a reason that only the operator can mend is stopped at once.

A wrong key, model name or address, an empty account, settings that no request can have; the
candidate's own or its judge's: what ends a sample tells. The samples that are running end by
themselves, the rest is not begun (Inspect's `drain`), other candidates go on, and the next run
asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from inspect_ai.event import ModelEvent
from inspect_ai.hooks import Hooks, SampleEnd, TaskStart, hooks
from inspect_ai.log import EvalSample

from router_lab.inspect_compat import drain
from router_lab.masking import masked
from router_lab.providers.failures import Fault, fault, of_sample, reason_of
from router_lab.providers.keys import marked
from router_lab.sweep.guard import LATER_REFUSALS_TO_STOP, REFUSALS_TO_STOP, StoppedError
from router_lab.sweep.settings import Where


@dataclass
class _Eval:
    where: Where
    task_id: str
    answered: bool = False
    refusals: int = 0
    reason: str = ""


@dataclass
class Stops:
    """What was stopped in one running sweep: `reasons` by suite and candidate, as the server
    gave them."""

    note: Callable[[str], None]
    reasons: dict[Where, str] = field(default_factory=dict)
    answered: set[Where] = field(default_factory=set)
    """Who has answered before, in this run or one that it goes on from."""
    _evals: dict[str, _Eval] = field(default_factory=dict)

    def begun(self, eval_id: str, where: Where, task_id: str) -> None:
        """An eval of that cell runs."""
        self._evals[eval_id] = _Eval(where, task_id, where in self.answered)

    def ended(self, eval_id: str, sample: EvalSample) -> None:
        """A sample of it has run, well or badly."""
        of = self._evals.get(eval_id)
        if of is None:
            return
        if sample.error is None:
            of.answered, of.refusals = True, 0
            self.answered.add(of.where)
            return
        failure = of_sample(_raw(sample))
        whose = None if failure is None else fault(failure)
        if failure is None or not (whose is Fault.OPERATOR or (whose is Fault.REQUEST and not of.answered)):
            return
        final = StoppedError.__name__ in failure.names
        of.refusals += 1
        of.reason = of.reason or masked(reason_of(failure))
        if final or of.refusals >= (LATER_REFUSALS_TO_STOP if of.answered else REFUSALS_TO_STOP):
            self._stop(of)

    def close(self) -> None:
        """After a wave: a cell of fewer samples than it takes to be sure, all of them refused, is
        stopped as well."""
        for where, reason in self.doubtful().items():
            self.reasons.setdefault(where, reason)
        self._evals.clear()

    def doubtful(self) -> dict[Where, str]:
        """Cells that were refused and never answered, and with which reason."""
        return {of.where: of.reason for of in self._evals.values() if of.refusals and not of.answered}

    def _stop(self, of: _Eval) -> None:
        if of.where in self.reasons:
            return
        self.reasons[of.where] = of.reason
        suite, who = of.where
        self.note(f"{who} is stopped on {suite}: {of.reason}")
        drain(of.task_id)


@hooks(
    name="router_lab_stop", description="Stops a candidate of a router-lab sweep whose requests can only fail"
)
class _Watch(Hooks):
    """Inspect keeps one instance per process; it forwards to whichever sweep is running."""

    stops: Stops | None = None

    def enabled(self) -> bool:
        return _Watch.stops is not None

    async def on_task_start(self, data: TaskStart) -> None:
        where = marked(data.spec.metadata, data.spec.model_args)
        if _Watch.stops is not None and where is not None:
            _Watch.stops.begun(data.eval_id, where, data.spec.task_id)

    async def on_sample_end(self, data: SampleEnd) -> None:
        if _Watch.stops is not None:
            _Watch.stops.ended(data.eval_id, data.sample)


def watch(stops: Stops | None) -> None:
    """Let `stops` hear of every sample from now on; None ends it."""
    _Watch.stops = stops


def _raw(sample: EvalSample) -> dict[str, object]:
    """What `of_sample` reads of a sample, as a log would have it."""
    assert sample.error is not None
    calls = [event for event in sample.events if isinstance(event, ModelEvent)][-1:]
    events = [
        {
            "event": "model",
            "error": call.error,
            "call": {"response": call.call.response} if call.call else None,
        }
        for call in calls
    ]
    return {"error": {"message": sample.error.message, "traceback": sample.error.traceback}, "events": events}
