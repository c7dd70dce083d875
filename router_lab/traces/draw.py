"""Which calls become the samples of a suite: drawn with the probability of their weight, each route
in proportion to its own, and every repeat taken together."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from router_lab.runtime.errors import InputError
from router_lab.traces.dollars import Priced
from router_lab.traces.personal import Masked
from router_lab.traces.repeats import near_groups

Floats = npt.NDArray[np.float64]
By = Literal["dollars", "counts"]
LONGEST = 200_000
"""Characters of a request that becomes a sample, at most."""


class Sample(NamedTuple):
    """A request as a sample: messages and the incumbent's answer, masked.

    group: near-duplicates have one. weight: by which the mean over a suite's samples is that over
    the traffic they were drawn from; 1 in the mean. times: how often it was asked.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    answer: str
    route: str
    model: str
    group: str
    weight: float
    times: int
    usd: float
    trace: str | None


class Draw(NamedTuple):
    """samples; how many calls cannot be one, by the reason; values masked, by rule; different
    requests that they were drawn from."""

    samples: list[Sample]
    left: Counter[str]
    masked: Counter[str]
    requests: int

    def told(self, calls: int) -> str:
        """How many calls came down to how many samples, and those to groups."""
        groups = len({one.group for one in self.samples})
        usable = calls - self.left.total()
        kept = "all of them samples" if self.requests == len(self.samples) else f"{len(self.samples):,} drawn"
        near = "no two alike" if groups == len(self.samples) else f"{groups:,} groups of near-duplicates"
        left = "".join(f"; left out {n:,} × {why}" for why, n in self.left.most_common())
        return (
            f"{calls:,} calls, {usable:,} usable: {self.requests:,} different requests, {kept}, {near}{left}"
        )


class _Request(NamedTuple):
    calls: list[Priced]
    weight: float


def draw_samples(calls: Sequence[Priced], count: int, *, seed: int = 0, by: By = "dollars") -> Draw:
    """`count` requests, or all if they are fewer. by: what of the traffic a sample stands for: its
    dollars (a request without known dollars counts as the cheapest known), or its number of calls.

    Of equal requests the latest answer is kept. Raises InputError where no call can be a sample.
    """
    left = Counter[str]()
    requests = _requests(calls, by, left)
    if not requests:
        why = "; ".join(f"{n:,} × {reason}" for reason, n in left.most_common(3))
        raise InputError(f"--suite: no call can be a sample: {why}")
    generator = np.random.default_rng(seed)
    drawn = _stratified(requests, count, generator)
    masked = Counter[str]()
    samples = [_sample(requests[at], masked) for at in sorted(drawn)]
    groups = near_groups([""] * len(samples), [_question(one) for one in samples])
    inclusion = np.array([requests[at].weight / drawn[at] for at in sorted(drawn)])
    scaled = inclusion / inclusion.mean()
    done = [
        one._replace(id=f"t{at + 1:05d}", group=f"g{group + 1:05d}", weight=float(weight))
        for at, (one, group, weight) in enumerate(zip(samples, groups, scaled, strict=True))
    ]
    return Draw(done, left, masked, len(requests))


def _question(one: Sample) -> str:
    return next((m["content"] for m in reversed(one.messages) if m["role"] == "user"), "")


def why_not(one: Priced) -> str | None:
    """Why a call cannot be a sample; None if it can."""
    call = one.call
    if call.error is not None:
        return "it failed"
    if call.failed:
        return "its answer was cut off"
    if not call.prompt:
        return "the source keeps no text of the request"
    if call.tools or any(m.role == "tool" or m.tools for m in call.messages):
        return "it calls tools, or reads their results, which a sample cannot"
    if call.answer is None or not call.answer.text.strip():
        return "the source keeps no answer"
    return "it is longer than a sample may be" if sum(len(m.text) for m in call.messages) > LONGEST else None


def _requests(calls: Sequence[Priced], by: By, left: Counter[str]) -> list[_Request]:
    """Each different request once, with all the calls that made it and their weight together."""
    same: dict[tuple[str, str | None], list[Priced]] = defaultdict(list)
    for one in calls:
        why = why_not(one)
        if why is None:
            same[one.call.route, one.call.request].append(one)
        else:
            left[why] += 1
    known = [one.usd for own in same.values() for one in own if one.usd]
    least = min(known, default=1.0)
    return [
        _Request(own, float(len(own)) if by == "counts" else math.fsum(one.usd or least for one in own))
        for own in same.values()
    ]  # fmt: skip


def _stratified(requests: Sequence[_Request], count: int, generator: np.random.Generator) -> dict[int, float]:
    """Index → probability of the requests drawn: by route in proportion to its weight (at least one
    of each, as far as there is room), within it by systematic sampling."""
    rows: dict[str, list[int]] = defaultdict(list)
    for at, request in enumerate(requests):
        rows[request.calls[0].call.route].append(at)
    if count >= len(requests):
        return dict.fromkeys(range(len(requests)), 1.0)
    weight = {route: math.fsum(requests[at].weight for at in own) for route, own in rows.items()}
    shares = allotted({r: weight[r] for r in sorted(rows)}, {r: len(own) for r, own in rows.items()}, count)
    drawn: dict[int, float] = {}
    for route, number in shares.items():
        own = rows[route]
        chances = inclusion(np.array([requests[at].weight for at in own]), number)
        for at in systematic(chances, generator):
            drawn[own[at]] = float(chances[at])
    return drawn


def allotted(weight: Mapping[str, float], most: Mapping[str, int], count: int) -> dict[str, int]:
    """`count` samples over routes in proportion to their weight by largest remainders, at least one
    and at most `most` of each; with fewer samples than routes the heaviest have one."""
    if count <= len(weight):
        heaviest = sorted(weight, key=lambda route: (-weight[route], route))[:count]
        return {route: int(route in heaviest) for route in weight}
    found = dict.fromkeys(weight, 1)
    while (left := count - sum(found.values())) > 0:
        open_ = {route: weight[route] for route in weight if found[route] < most[route]}
        whole = math.fsum(open_.values())
        if not open_:
            break
        # The route that is farthest below its share of all samples gets the next one.
        lacking = {
            r: (w / whole if whole > 0 else 1 / len(open_)) * count - found[r] for r, w in open_.items()
        }
        best = max(lacking, key=lambda route: (lacking[route], route))
        found[best] += max(1, min(left, most[best] - found[best], math.floor(lacking[best] / 2)))
    return found


def inclusion(weight: Floats, number: int) -> Floats:
    """[n] probabilities in proportion to `weight` [n] that sum to `number`, none above 1: what
    would have more is certain, and the others share the rest."""
    weight = np.where(weight > 0, weight, np.finfo(float).tiny)
    sure = np.zeros(len(weight), bool)
    while True:
        rest = number - sure.sum()
        total = weight[~sure].sum()
        chances = np.where(sure, 1.0, weight / total * rest if total > 0 else 0.0)
        over = ~sure & (chances >= 1)
        if not over.any() or sure.all():
            return np.minimum(chances, 1.0)
        sure |= over


def systematic(chances: Floats, generator: np.random.Generator) -> list[int]:
    """Rows drawn with these probabilities [n], as many as they sum to: in random order, at even
    steps from one random start (Madow 1949)."""
    order = generator.permutation(len(chances))
    ends = np.cumsum(chances[order])
    number = round(float(ends[-1])) if len(ends) else 0
    marks = (generator.random() + np.arange(number)) * (ends[-1] / number if number else 1.0)
    return sorted({int(order[min(at, len(order) - 1)]) for at in np.searchsorted(ends, marks, side="right")})


def _sample(request: _Request, masked: Counter[str]) -> Sample:
    last = request.calls[-1].call
    mask = Masked()
    messages = tuple({"role": m.role, "content": mask(m.text)} for m in last.messages if m.text)
    answer = mask(last.answer.text if last.answer else "")
    masked.update(mask.found)
    usd = math.fsum(one.usd or 0.0 for one in request.calls)
    return Sample(
        "", messages, answer, last.route, last.model, group="", weight=1.0, times=len(request.calls), usd=usd,
        trace=last.trace,
    )  # fmt: skip


def as_row(one: Sample) -> dict[str, Any]:
    """A line of `data.jsonl`: a lone question as its text, else the messages."""
    alone = len(one.messages) == 1
    return {
        "id": one.id, "input": one.messages[0]["content"] if alone else list(one.messages), "target": one.answer,
        "group": one.group, "route": one.route, "incumbent": one.model, "traffic_weight": round(one.weight, 6),
        "times": one.times, "usd": one.usd,
    }  # fmt: skip
