"""The bill from traces, in sentences, in a terminal's tables, and as a page with a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from router_lab.columns import aligned, named
from router_lab.report.format import count, money, percent, tick_money
from router_lab.report.html import PARTS, page, table
from router_lab.report.sources import SOURCES
from router_lab.report.stacked import Bar, stacked_svg
from router_lab.report.traces import LEAST_DAYS, MONTH_DAYS, Row, TraceBill
from router_lab.runtime.kinds import COUNTED
from router_lab.traces.call import Traces
from router_lab.traces.tasks import Bound

TITLE = "The bill, from traces"
SHORT = {"frame": "first prompt", "history": "sent again", "results": "new in later prompts", "answers": "answers",
         "unknown": "unknown"}  # fmt: skip
UNDIVIDED = "what some of its dollars were paid for is not known"
MOST_ROWS, MOST_BARS = 30, 12
TOKEN_KINDS = tuple(kind for kind in COUNTED if kind.name != "reasoning")


def bill_lines(bill: TraceBill) -> list[str]:
    """The bill in a terminal: sentences, then routes and models."""
    head = ("", "calls", "tasks", "dollars", "share", "P50 task", "P95 task")
    parts = [[(name, *head[1:]), *(_cells(row, bill) for row in rows[:MOST_ROWS])]
             for name, rows in (("route", bill.routes), ("model", bill.models))]  # fmt: skip
    return [*sentences(bill), "", *aligned(*parts)]


def _cells(row: Row, bill: TraceBill) -> tuple[str, ...]:
    share = percent(row.usd / bill.usd if bill.usd else None)
    return (
        named(row.name),
        count(row.calls),
        count(row.tasks),
        money(row.usd),
        share,
        money(row.p50),
        money(row.p95),
    )


def sentences(bill: TraceBill) -> list[str]:
    """What a reader asks first, a sentence each."""
    return [*_spent(bill), *_where(bill), *_wasted(bill), *_repeated(bill)]


def _many(number: int, word: str) -> str:
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def _spent(bill: TraceBill) -> Iterator[str]:
    yield f"{_many(bill.calls, 'call')} in {_many(bill.tasks, 'task')}: {money(bill.usd)}."
    if bill.unpriced:
        have = "has" if bill.unpriced == 1 else "have"
        yield f"{_many(bill.unpriced, 'call')} {have} no known dollars; none of these figures holds them."
    yield f"Half of the tasks cost {money(bill.p50)} or less; one in twenty costs more than {money(bill.p95)} (P95)."
    if bill.month is not None and bill.days is not None:
        yield f"At the rate of these {bill.days:.1f} days a month of {MONTH_DAYS:.1f} days costs {money(bill.month)}."
    else:
        span = (
            "tell no time"
            if bill.days is None
            else f"span {24 * bill.days:.1f} hours, and {LEAST_DAYS:g} day is needed"
        )
        yield f"What a month costs is not told: the calls {span}."


def _where(bill: TraceBill) -> Iterator[str]:
    whole = {name: sum(own[name] for own in bill.sources.values()) for name in SHORT}
    if bill.usd > 0:
        parts = [f"{percent(usd / bill.usd)} {SOURCES[name]}" for name, usd in whole.items() if usd > 0]
        yield f"The dollars go to: {'; '.join(parts)}."


def _wasted(bill: TraceBill) -> Iterator[str]:
    calls, usd = bill.failed
    tasks, lost = bill.failed_tasks
    if calls:
        yield (
            f"{_many(calls, 'call')} without a whole answer (an error, or cut off): {money(usd)}; {_many(tasks, 'task')} "
            f"that ended so: {money(lost)} in all."
        )
    else:
        yield "No call failed or was cut off, as far as the traces tell."
    loops = bill.loops
    if not loops.tasks:
        yield "No task loops."
        return
    dearest, rule = loops.rules[0]
    yield f"{_many(loops.tasks, 'looping task')}: {money(loops.usd)}; the dearest, {dearest}: {rule}."
    yield from map(_bounded, loops.bounds)
    if not loops.bounds:
        yield "No max_turns stops one of them without stopping more than 5 % of the tasks that end well."


def _bounded(one: Bound) -> str:
    lost = f"{count(one.lost)} of {count(one.of)} tasks that end with a whole answer would be lost" if one.lost else (
        "none of the tasks that end with a whole answer would be lost"
    )  # fmt: skip
    return f"max_turns {one.max_turns} would have stopped {count(one.stopped)} of them and spared {money(one.usd)}; {lost}."


def _repeated(bill: TraceBill) -> Iterator[str]:
    found = bill.repeats
    if not found.told:
        yield "Whether requests repeat is not told: the traces keep neither their texts nor a key of them."
        return
    yield (
        f"Of {count(found.told)} requests whose text or key is known, {count(found.exact)} repeat an earlier one: an output "
        f"cache saves {money(found.exact_usd)}. {count(found.near)} more are near-duplicates of one: "
        f"{money(found.near_usd)} at most, for their answers may differ."
    )


def picture(bill: TraceBill) -> Markup:
    """Dollars by route, and in each by what was paid for; nothing where nothing has dollars."""
    bars = [
        Bar(row.name, [(SHORT[name], usd) for name in SHORT if (usd := bill.sources[row.name][name]) > 0])
        for row in bill.routes[:MOST_BARS] if row.usd > 0 and row.name in bill.sources
    ]  # fmt: skip
    return stacked_svg(bars, "dollars", tick_money, title="Dollars by route and source") if bars else Markup()


def bill_page(
    bill: TraceBill, traces: Traces, lacking: Mapping[str, str], undivided: Mapping[str, str] | None = None
) -> str:
    """The whole page. lacking, undivided: reasons by model, as `traces.dollars` gives them."""
    cards = [(money(bill.usd), f"{count(bill.calls)} calls"), (money(bill.p50), "median task"),
             (money(bill.p95), "P95 task"), (money(bill.month), "a month")]  # fmt: skip
    drawn = picture(bill)
    return page(
        TITLE,
        PARTS.lead(
            ", ".join(f"{count(n)} file{'s' * (n > 1)} read as {name}" for name, n in _formats(traces))
        ),
        PARTS.cards(cards),
        PARTS.section("In words", PARTS.bullets(sentences(bill))),
        PARTS.section(
            "Where the dollars go", PARTS.figure(drawn, "Dollars by route and source") if drawn else Markup()
        ),
        PARTS.section("By route", _table(bill.routes, bill)),
        PARTS.section("By model", _table(bill.models, bill)),
        _loops(bill),
        _left(traces, lacking, undivided or {}),
    )


def _formats(traces: Traces) -> list[tuple[str, int]]:
    names = list(traces.formats.values())
    return [(name, names.count(name)) for name in dict.fromkeys(names)]


def _table(rows: Sequence[Row], bill: TraceBill) -> Markup:
    def tokens(column: str) -> Any:
        return lambda r: count(r["row"].tokens[column])

    shown = [{"row": row} for row in rows[:MOST_ROWS]]
    figures = ("calls", "tasks", "dollars", "share", "P50 task", "P95 task")
    columns = [
        (name, lambda r, at=at: _cells(r["row"], bill)[at]) for at, name in enumerate(figures, start=1)
    ]
    body = table(shown, [
        ("", lambda r: r["row"].name), *columns, *((kind.word, tokens(kind.column)) for kind in TOKEN_KINDS),
        ("no dollars known", lambda r: count(r["row"].unpriced)),
    ])  # fmt: skip
    more = len(rows) - len(shown)
    return body + PARTS.paragraph(f"{count(more)} more are in bill.json.", "note") if more else body


def _loops(bill: TraceBill) -> Markup:
    rows = [one._asdict() for one in bill.loops.bounds]
    if not rows:
        return Markup()
    body = table(rows, [
        ("max_turns", lambda r: str(r["max_turns"])), ("looping tasks stopped", lambda r: count(r["stopped"])),
        ("dollars spared", lambda r: money(r["usd"])),
        ("whole answers lost", lambda r: f"{r['lost']:,} of {r['of']:,}"),
    ])  # fmt: skip
    rules = [f"{key}: {rule}" for key, rule in bill.loops.rules]
    return PARTS.section("Looping tasks", body, PARTS.details("The dearest", PARTS.bullets(rules)))


def _left(traces: Traces, lacking: Mapping[str, str], undivided: Mapping[str, str]) -> Markup:
    told = [f"{model}: no dollars known: {why}" for model, why in sorted(lacking.items())]
    told += [f"{model}: {UNDIVIDED}: {why}" for model, why in sorted(undivided.items())]
    told += [f"{count(n)} × not counted: {reason}" for reason, n in traces.left.most_common()]
    told += [f"{p.file}: {p.place}: {p.rule}" for p in traces.problems[:MOST_ROWS]]
    more = len(traces.problems) - MOST_ROWS
    told += [f"… and {count(more)} more, in problems.jsonl"] if more > 0 else []
    return PARTS.section("What is not in it", PARTS.bullets(told)) if told else Markup()
