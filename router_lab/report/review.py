"""The bill in people's words: sentences for a review, each with its figures and how they were
made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from router_lab.report.format import count, figure, money, percent
from router_lab.report.hardware import Hardware, break_even, hardware_svg
from router_lab.report.served import Served
from router_lab.report.sources import SOURCES


class Question(NamedTuple):
    """What is asked of the bill beside the volume; None = not asked. Dollars of a task's price, of
    a task that a person does, and of one check; the share of the savings that may go into
    checks."""

    price_per_task: float | None = None
    person_usd: float | None = None
    check_usd: float | None = None
    check_share: float = 0.1
    hardware: Hardware | None = None


class Said(NamedTuple):
    """A sentence, the figures in it (None = not known), and how they were computed."""

    name: str
    text: str
    figures: Mapping[str, float | None]
    how: str


@dataclass(frozen=True)
class Review:
    """alone: the reference, or the best candidate of a sweep without a policy. routed: the policy.
    difference: the policy's quality less the reference's, as it is told. volume: tasks a month."""

    alone: Served
    routed: Served | None
    difference: str
    volume: float
    question: Question

    @property
    def ways(self) -> list[tuple[str, Served]]:
        """Figures' prefix and who it is: the reference alone, then the policy."""
        return [("alone", self.alone), *([("routed", self.routed)] if self.routed is not None else [])]

    @property
    def last(self) -> Served:
        """What is to be deployed: the policy, if there is one."""
        return self.routed or self.alone

    @property
    def saved(self) -> float:
        """Dollars a month; 0 without a policy."""
        return 0.0 if self.routed is None else self.alone.bill.month - self.routed.bill.month

    def picture(self) -> Markup:
        """Owned hardware beside the bill; nothing unless it is asked for and known."""
        hardware, last = self.question.hardware, self.last
        if hardware is None or not last.written > 0 or not last.bill.mean > 0:
            return Markup()
        name = "the bill, routed" if self.routed is not None else f"the bill of {last.bill.name}"
        return hardware_svg(hardware, last.bill.mean, last.written, self.volume, name)


def sentences(review: Review) -> list[Said]:
    """All that can be answered; nothing where no dollars are known."""
    if not math.isfinite(review.alone.bill.mean):
        return []
    told: Sequence[Callable[[Review], Said | None]] = (
        _p95, _routed, _success, _failed, _sources, _margin, _person, _checks, _hardware,
    )  # fmt: skip
    return [said for said in (one(review) for one in told) if said is not None]


def plain(review: Review) -> dict[str, Any]:
    """As data: who is meant, at which volume, and the sentences."""
    return {
        "alone": review.alone.bill.name,
        "routed": review.routed is not None,
        "tasks_a_month": review.volume,
        "sentences": [one._asdict() for one in sentences(review)],
    }


def _known(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _each(review: Review, form: Callable[[Served], str]) -> str:
    """`$1 alone, $2 routed`; without a policy one figure."""
    if review.routed is None:
        return form(review.alone)
    return f"{form(review.alone)} alone, {form(review.routed)} routed"


def _p95(review: Review) -> Said:
    figures = {
        f"{key}_{name}_usd": value
        for key, way in review.ways
        for name, value in (("p95", way.bill.p95), ("mean", way.bill.mean), ("month", way.bill.month))
    }
    name = review.alone.bill.name
    dear = f"{money(review.alone.bill.p95)} with {name}"
    if review.routed is not None:
        dear += f" alone, {money(review.routed.bill.p95)} routed"
    text = (
        f"One task in twenty costs more than {dear}; a month of {count(review.volume)} tasks costs "
        f"{_each(review, lambda way: money(way.bill.month))}."
    )
    how = "P95: 95th percentile of cost_usd over recorded tasks; month: mean cost_usd × tasks a month (--volume)"
    return Said("p95", text, _known(figures), how)


def _routed(review: Review) -> Said:
    if review.routed is None:
        text = f"What routing would save beside {review.alone.bill.name} alone is not known before a policy is fitted."
        return Said("routed", text, {"saved_usd": None, "saved": None}, "name a policy beside the outcomes")
    share = review.saved / review.alone.bill.month if review.alone.bill.month > 0 else math.nan
    name, quality = review.alone.bill.name, f"with quality {review.difference}."
    text = f"Routing takes {money(review.saved)} a month off {name} alone, {percent(share)} of it, {quality}"
    if review.saved < 0:
        text = f"Routing costs {money(-review.saved)} a month more than {name} alone, {quality}"
    how = "the two months' difference; the saving and the quality are the certificate's, or else the replay's"
    return Said("routed", text, _known({"saved_usd": review.saved, "saved": share}), how)


def _success(review: Review) -> Said:
    figures = {f"{key}_success_usd": _tried(way) for key, way in review.ways}
    figures |= {f"{key}_attempts": way.attempts for key, way in review.ways}
    more = max((way.attempts for _, way in review.ways), default=1.0)
    text = f"A success costs {_each(review, lambda way: money(_tried(way)))}, what failed included"
    if any(math.isnan(way.attempts) for _, way in review.ways):
        text += "; what attempts cost that were made again is not known."
    elif more > 1:
        text += f", and {figure(100 * (more - 1))} attempts made again in a hundred tasks at a task's price."
    else:
        text += "; no attempt was made again."
    if any(math.isnan(way.bill.per_success) for _, way in review.ways):
        text = "What a success costs is not known: somebody had none."
    how = "mean cost_usd ÷ mean quality × attempts per task (1 + mean retries; 1 where it is not known)"
    return Said("success", text, _known(figures), how)


def _tried(way: Served) -> float:
    return way.bill.per_success * (1.0 if math.isnan(way.attempts) else way.attempts)


def _failed(review: Review) -> Said:
    figures = {f"{key}_failed": way.failed for key, way in review.ways}
    text = f"Of all dollars, {_each(review, lambda way: percent(way.failed))}, went to tasks that failed."
    if any(math.isnan(way.failed) for _, way in review.ways):
        text = "Which share of the dollars goes to tasks that fail is not known."
    how = "sum of cost_usd × (1 − quality) ÷ sum of cost_usd: a task of quality .4 counts as .6 failed"
    return Said("failed", text, _known(figures), how)


def _sources(review: Review) -> Said:
    way = review.last
    total = math.fsum(way.sources.values())
    if not total > 0 or way.sources["unknown"] >= total - 1e-12:
        text = (
            "Where a task's dollars go is not known: that takes calls.parquet, and prices of the candidates."
        )
        return Said("sources", text, {f"{name}_usd": None for name in SOURCES}, "calls.parquet, or --calls")
    shares = {name: usd / total for name, usd in way.sources.items()}
    parts = [f"{percent(shares[name])} {words}" for name, words in SOURCES.items() if shares[name] > 0]
    who = "routed" if review.routed is not None else f"with {way.bill.name}"
    text = f"Of a task's {money(total)} {who}: {'; '.join(parts)}."
    how = (
        "each run's cost_usd divided over its calls by their tokens at list prices; of what a call reads, the first "
        "call's prompt, what earlier turns held, and the rest; routed: by who answers"
    )
    return Said("sources", text, _known({f"{name}_usd": usd for name, usd in way.sources.items()}), how)


def _margin(review: Review) -> Said | None:
    price = review.question.price_per_task
    if price is None:
        return None
    figures = {f"{key}_margin_usd": price - way.bill.mean for key, way in review.ways}
    figures |= {f"{key}_margin_p95_usd": price - way.bill.p95 for key, way in review.ways}

    def told(way: Served) -> str:
        left = price - way.bill.mean
        return f"{money(left)} ({percent(left / price)})" if price > 0 else money(left)

    text = (
        f"Of {money(price)} a task, {_each(review, told)}, is left in the mean; of the dearest task in twenty at most "
        f"{_each(review, lambda way: money(price - way.bill.p95))}."
    )
    return Said("margin", text, _known(figures), "--price-per-task less the mean cost_usd, and less its P95")


def _person(review: Review) -> Said | None:
    person = review.question.person_usd
    if person is None:
        return None

    def whole(way: Served) -> float:
        return way.bill.mean + (1 - way.quality) * person

    price = review.question.price_per_task
    figures = {f"{key}_with_person_usd": whole(way) for key, way in review.ways}
    text = (
        f"A person takes {money(person)} a task; if a person does what fails, a task costs "
        f"{_each(review, lambda way: money(whole(way)))}"
    )
    if price is not None:
        figures |= {f"{key}_margin_with_person_usd": price - whole(way) for key, way in review.ways}
        text += f"; of its price is left {_each(review, lambda way: money(price - whole(way)))}"
    how = "mean cost_usd + (1 − mean quality) × --person-usd: it takes for granted that failures are noticed"
    return Said("person", f"{text}.", _known(figures), how)


def _checks(review: Review) -> Said | None:
    usd, share = review.question.check_usd, review.question.check_share
    if not usd or review.routed is None:
        return None
    spent = share * max(review.saved, 0.0)
    each = spent / usd / review.volume if review.volume > 0 else math.nan
    text = (
        f"{percent(share, 0)} of what routing saves, {money(spent)} a month, buys {count(spent / usd)} checks of "
        f"{money(usd)}: {figure(each)} a task."
    )
    how = "--check-share × dollars saved a month ÷ --check-usd; ÷ tasks a month"
    return Said(
        "checks", text, _known({"spent_usd": spent, "checks": spent / usd, "checks_a_task": each}), how
    )


def _hardware(review: Review) -> Said | None:
    hardware, last = review.question.hardware, review.last
    if hardware is None:
        return None
    how = (
        "a machine's month: --hardware-usd-hour × 730; its tasks: --tokens-per-second × --utilisation × 3,600 × 730 ÷ "
        "mean output tokens; break-even: a machine's month ÷ mean cost_usd, if it can do so many; in whole machines. It "
        "takes for granted that the hardware answers as well, with as many tokens"
    )
    if not last.written > 0 or not last.bill.mean > 0:
        text = "Whether owned hardware pays is not known: that takes output_tokens, and dollars above 0."
        return Said("hardware", text, {"break_even_tasks": None}, how)
    found = break_even(hardware, last.bill.mean, last.written)
    owned = hardware.bill(last.written, review.volume)
    figures = {
        "machine_month_usd": hardware.month_usd, "machine_tasks": found.tasks, "owned_usd": owned,
        "break_even_tasks": math.nan if found.first is None else found.first,
        "always_from_tasks": math.nan if found.always is None else found.always, "written_tokens": last.written,
    }  # fmt: skip
    now = f"at {count(review.volume)} it costs {money(owned)} beside {money(last.bill.month)}"
    if found.first is None:
        text = (
            f"Owned hardware never breaks even: a machine of {money(hardware.month_usd)} a month does "
            f"{count(found.tasks)} tasks, which cost {money(found.tasks * last.bill.mean)} on the bill; {now}."
        )
    else:
        always = (
            ""
            if found.always in (None, found.first)
            else f" (whole machines: always from {count(found.always)} on)"
        )
        text = f"Owned hardware breaks even at {count(found.first)} tasks a month{always}; {now}."
    return Said("hardware", text, _known(figures), how)
