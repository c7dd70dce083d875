"""Dates and small logic: hand-written templates, slots drawn with a fixed seed, answers computed, never typed.

Difficulty 1 needs one step or one fact, 2 two steps or a calendar, 3 a chain. `options` are the words that an answer may
be (a number or a time of day where empty); they can be told from the question alone.
"""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any

import numpy as np

from evals.make.common import NAMES, pick, spread

SEED = 20261125
FEW_SHOT = [
    ("What day comes 2 days after Monday?\nAnswer with one word.", "Wednesday"),
    ("Is 12 May before 3 May?\nAnswer yes or no.", "no"),
    ("How many days are there from 3 June to 9 June?\nAnswer with one number.", "6"),
]
DAYS = tuple(calendar.day_name)
MONTHS = tuple(calendar.month_name)[1:]
R = range
WEIGHTS = {1: 4, 2: 3, 3: 2}
ENDINGS = {
    "day": "Answer with one word.",
    "month": "Answer with one word.",
    "name": "Answer with one name.",
    "word": "Answer with one word.",
    "yes": "Answer yes or no.",
    "number": "Answer with one number.",
    "time": "Answer with the time only, as HH:MM.",
}

# (difficulty, kind, text, slots, answer). A slot is a range, a tuple or an expression of the slots before it. `d` and
# `m` in a text are written as weekday and month names; `n`, `o`, `p` are three different people.
TEMPLATES: list[tuple[int, str, str, dict[str, Any], str]] = [
    # weekdays
    (1, "day", "What day comes right after {D}?", {"d": R(7)}, "DAYS[(d+1)%7]"),
    (1, "day", "What day comes right before {D}?", {"d": R(7)}, "DAYS[(d-1)%7]"),
    (1, "day", "Today is {D}. What day was it yesterday?", {"d": R(7)}, "DAYS[(d-1)%7]"),
    (1, "day", "{n} arrives on {D} and leaves the next day. On what day does {n} leave?", {"d": R(7)}, "DAYS[(d+1)%7]"),
    (1, "day", "A shop is closed on {D} only. On what day is it closed?", {"d": R(7)}, "DAYS[d]"),
    (1, "day", "{n} runs every {D} and swims every {D2}. On what day does {n} swim?", {"d": R(7), "x": R(1, 7), "d2": "(d+x)%7"}, "DAYS[d2]"),
    (1, "day", "Today is {D}. What day is it in exactly one week?", {"d": R(7)}, "DAYS[d]"),
    (2, "day", "What day comes {k} days after {D}?", {"d": R(7), "k": R(2, 6)}, "DAYS[(d+k)%7]"),
    (2, "day", "Today is {D}. What day is it in {k} days?", {"d": R(7), "k": (7, 8, 10, 14)}, "DAYS[(d+k)%7]"),
    (2, "day", "A parcel is sent on {D} and takes {k} days. On what day does it arrive?", {"d": R(7), "k": R(2, 5)}, "DAYS[(d+k)%7]"),
    (2, "day", "The meeting was on {D} but has moved one day later. On what day is it now?", {"d": R(7)}, "DAYS[(d+1)%7]"),
    (2, "day", "The day after tomorrow is {D}. What day is it today?", {"d": R(7)}, "DAYS[(d-2)%7]"),
    (3, "day", "If 1 {M} is a {D}, what day is {k} {M}?", {"m": R(12), "d": R(7), "k": (4, 8, 10, 15)}, "DAYS[(d+k-1)%7]"),
    (3, "day", "{n} waters a plant every {k} days, last on {D}. On what day comes the next but one watering?", {"d": R(7), "k": R(2, 5)}, "DAYS[(d+2*k)%7]"),
    (1, "yes", "Is {D} a weekend day?", {"d": R(7)}, "yes if d > 4 else no"),
    (1, "yes", "In a week that starts on Monday, does {D} come before {D2}?", {"d": R(7), "x": R(1, 7), "d2": "(d+x)%7"}, "yes if d < d2 else no"),
    # months and leap years
    (1, "month", "What month comes right after {M}?", {"m": R(12)}, "MONTHS[(m+1)%12]"),
    (1, "month", "What month comes right before {M}?", {"m": R(12)}, "MONTHS[(m-1)%12]"),
    (1, "month", "What is month number {k} of the year?", {"k": R(1, 13)}, "MONTHS[k-1]"),
    (1, "number", "What is the number of the month {M} in the year (1 to 12)?", {"m": R(12)}, "m+1"),
    (1, "number", "How many days does {M} have?", {"m": (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)}, "DIM[m]"),
    (1, "yes", "Does {M} have 31 days?", {"m": R(12)}, "yes if DIM[m] == 31 else no"),
    (2, "number", "How many days does February have in {y}?", {"y": (1996, 2001, 2007, 2012, 2016, 2019, 2022, 2024, 2028)}, "calendar.monthrange(y, 2)[1]"),
    (2, "yes", "Is {y} a leap year?", {"y": (1995, 2004, 2009, 2014, 2020, 2021, 2024, 2026, 2032)}, "yes if calendar.isleap(y) else no"),
    (3, "yes", "Is {y} a leap year, by the rule for full centuries?", {"y": (1600, 1700, 1800, 1900, 2000, 2100, 2400)}, "yes if calendar.isleap(y) else no"),
    (2, "month", "What month is {k} months after {M}?", {"m": R(12), "k": R(2, 6)}, "MONTHS[(m+k)%12]"),
    (2, "month", "A course starts in {M} and lasts {k} months. In what month does the last month of it fall?", {"m": R(12), "k": R(2, 5)}, "MONTHS[(m+k-1)%12]"),
    (3, "number", "How many days are there from 28 {M} to 3 {M2}?", {"m": (0, 2, 3, 4, 5, 6, 7, 8, 9, 10), "m2": "m+1"}, "DIM[m]-28+3"),
    (3, "number", "What day of the month is {k} days after {e} {M}?", {"m": (0, 2, 3, 4, 5, 6, 7, 8), "e": R(25, 30), "k": R(8, 14)}, "e+k-DIM[m]"),
    # order of dates
    (1, "number", "Which year is earlier: {y} or {z}?", {"y": R(1900, 2025), "x": R(1, 40), "z": "y-x if x%2 else y+x"}, "min(y, z)"),
    (1, "yes", "Is {k} {M} before {j} {M}?", {"m": R(12), "k": R(1, 28), "x": R(1, 27), "j": "(k+x-1)%28+1"}, "yes if k < j else no"),
    (2, "yes", "Is {k} {M} before {j} {M2} of the same year?", {"m": R(12), "x": R(1, 12), "m2": "(m+x)%12", "k": R(1, 28), "j": R(1, 28)}, "yes if m < m2 else no"),
    (1, "month", "In one year, which comes first: {M} or {M2}?", {"m": R(12), "x": R(1, 12), "m2": "(m+x)%12"}, "MONTHS[min(m, m2)]"),
    (2, "name", "{n} was born in {y}, {o} in {z}. Who is older?", {"y": R(1950, 2010), "x": R(1, 20), "z": "y-x if x%2 else y+x"}, "n if y < z else o"),
    (2, "name", "{n} was born in {y}, {o} in {z}. Who is younger?", {"y": R(1950, 2010), "x": R(1, 20), "z": "y-x if x%2 else y+x"}, "n if y > z else o"),
    (2, "name", "{n} finished on {k} {M}, {o} on {j} {M}. Who finished first?", {"m": R(12), "k": R(1, 28), "x": R(1, 27), "j": "(k+x-1)%28+1"}, "n if k < j else o"),
    (3, "name", "Deadlines: {n} {k} {M}, {o} {j} {M2}, {p} {i} {M}. Whose deadline is the last?", {"m": R(11), "m2": "m+1", "k": R(2, 28), "i": "k-1", "j": R(1, 28)}, "o"),
    # durations
    (1, "number", "How many days are there in {k} weeks?", {"k": R(2, 10)}, "7*k"),
    (1, "number", "How many hours are there in {k} days?", {"k": R(2, 6)}, "24*k"),
    (1, "number", "How many months are there in {k} years?", {"k": R(2, 9)}, "12*k"),
    (1, "number", "{n} is born in {y}. In what year does {n} turn {k}?", {"y": R(1960, 2012), "k": (10, 18, 20, 30, 40)}, "y+k"),
    (1, "number", "How many days are there from {k} {M} to {j} {M}?", {"m": R(12), "k": R(1, 15), "x": R(2, 12), "j": "k+x"}, "x"),
    (2, "number", "A bridge was opened in {y} and closed in {z}. How many years was it open?", {"y": R(1900, 1990), "x": R(12, 60), "z": "y+x"}, "x"),
    (2, "number", "How many minutes are there from {h}:15 to {h}:{k}?", {"h": R(8, 20), "k": (35, 40, 45, 50, 55)}, "k-15"),
    (2, "number", "How many hours are there from {h}:00 to {i}:00 on the same day?", {"h": R(6, 12), "x": R(3, 10), "i": "h+x"}, "x"),
    (3, "number", "How many minutes are there from {h}:{k} to {i}:10?", {"h": R(8, 20), "i": "h+1", "k": (35, 40, 45, 50, 55)}, "70-k"),
    (2, "time", "A film starts at {h}:00 and lasts {k} minutes. When does it end?", {"h": R(14, 21), "k": R(20, 60, 5)}, "clock(60*h+k)"),
    (3, "time", "A train leaves at {h}:{k} and takes {j} minutes. When does it arrive?", {"h": R(10, 20), "k": (35, 40, 45, 50), "j": R(30, 60, 5)}, "clock(60*h+k+j)"),
    (2, "time", "A shift starts at {h}:30 and lasts {j} hours. When does it end?", {"h": R(10, 14), "j": R(2, 9)}, "clock(60*(h+j)+30)"),
    (3, "time", "A class ends at {h}:10 and lasts {j} minutes. When did it begin?", {"h": R(11, 20), "j": (20, 25, 30, 40, 45)}, "clock(60*h+10-j)"),
    # who is taller
    (1, "name", "{n} is taller than {o}. Who is taller?", {}, "n"),
    (1, "name", "{n} is taller than {o}. Who is shorter?", {}, "o"),
    (1, "name", "{n} has {k} coins, {o} has {j} coins. Who has more coins?", {"k": R(3, 60), "x": R(1, 20), "j": "k+x if x%2 else k-x+20"}, "n if k > j else o"),
    (2, "name", "{n} is taller than {o}, and {o} is taller than {p}. Who is the tallest?", {}, "n"),
    (2, "name", "{n} is taller than {o}, and {o} is taller than {p}. Who is the shortest?", {}, "p"),
    (2, "name", "{n} came before {o}, and {p} came after {o}. Who came last?", {}, "p"),
    (2, "name", "{n} came first, {o} came second, {p} came third. Who came right after {n}?", {}, "o"),
    (3, "name", "{n} is younger than {o}. {p} is older than {o}. Who is the oldest?", {}, "p"),
    (3, "name", "{n} is heavier than {o}. {p} is lighter than {o}. Who is in the middle?", {}, "o"),
    (3, "name", "{n}, {o} and {p} share a table. {n} sits left of {o}, {p} sits right of {o}. Who sits in the middle?", {}, "o"),
    # small logic
    (1, "yes", "All {a} are {b}. Rex is one of the {a}. Is Rex {b}?", {"a": ("dogs", "cats", "foxes", "robots"), "b": ("brown", "fast", "old")}, "yes"),
    (1, "word", "The {a} box holds pens, the {b} box holds keys. Which colour is the box with the keys?", {"a": ("red", "green"), "b": ("blue", "white", "black")}, "b"),
    (2, "word", "The cat is in the {a} box. The dog is not in the {a} box. There is one other box, the {b} one, and the dog is in a box. Which colour is its box?", {"a": ("red", "green"), "b": ("blue", "white", "black")}, "b"),
    (2, "yes", "If it rains, the match is off. It {v}. Is the match off?", {"v": ("rains", "rains hard", "is raining now")}, "yes"),
    (3, "yes", "Every shop on {D} is closed. This shop is open today. Can today be {D2}?", {"d": R(7), "x": R(0, 2), "d2": "(d+x)%7"}, "no if d == d2 else yes"),
    (2, "yes", "{n} is taller than {o}, and {o} is taller than {p}. Is {q} taller than {r}?", {"k": R(2), "q": "p if k else n", "r": "n if k else p"}, "no if k else yes"),
    (3, "yes", "The key is either in the drawer or in the bag. It is not in the {a}. Is it in the {b}?", {"a": ("drawer", "bag"), "b": ("drawer", "bag")}, "no if a == b else yes"),
]  # fmt: skip


TRIES = 400
"""Draws that show how many questions a template has; with fewer than twenty of them all but surely every one."""


def rows(n_samples: int = 350) -> list[dict[str, Any]]:
    """`n_samples` questions as dataset rows; the group is the template. A template gives no question twice."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    counts = spread(
        [WEIGHTS[difficulty] for difficulty, *_ in TEMPLATES], n_samples, [_room(t) for t in TEMPLATES]
    )
    for t, ((difficulty, kind, text, slots, answer), count) in enumerate(zip(TEMPLATES, counts, strict=True)):
        made: dict[str, tuple[str, tuple[str, ...]]] = {}
        while len(made) < count:
            values = _draw(rng, slots)
            question = f"{_write(text, values)}\n{ENDINGS[kind]}"
            made.setdefault(question, (str(_compute(answer, values)), _options(kind, values, text)))
        for k, (question, (target, options)) in enumerate(made.items(), start=1):
            out.append({
                "id": f"dates-{t:02d}-{k}",
                "input": question,
                "target": target,
                "group": f"dates-{t:02d}",
                "difficulty": difficulty,
                "kind": kind,
                "options": list(options),
            })  # fmt: skip
    return out


def _room(template: tuple[int, str, str, dict[str, Any], str]) -> int:
    """How many different questions a template can ask, as far as TRIES draws show."""
    rng = np.random.default_rng(SEED)
    return len({_write(template[2], _draw(rng, template[3])) for _ in range(TRIES)})


def _draw(rng: np.random.Generator, slots: dict[str, Any]) -> dict[str, Any]:
    first, second, third = (NAMES[int(i)] for i in rng.permutation(len(NAMES))[:3])
    values: dict[str, Any] = {"n": first, "o": second, "p": third}
    for name, source in slots.items():
        values[name] = _compute(source, values) if isinstance(source, str) else pick(rng, source)
    return values


def _write(text: str, values: dict[str, Any]) -> str:
    named = {key.upper(): DAYS[value] for key, value in values.items() if key in ("d", "d2")}
    named |= {key.upper(): MONTHS[value] for key, value in values.items() if key in ("m", "m2")}
    return text.format(**values, **named)


def _options(kind: str, values: dict[str, Any], text: str) -> tuple[str, ...]:
    if kind == "word":
        return values["a"], values["b"]
    people = tuple(values[key] for key in "nop" if "{" + key + "}" in text)
    return {"day": DAYS, "month": MONTHS, "name": people, "yes": ("yes", "no")}.get(kind, ())


def clock(minutes: int) -> str:
    return (dt.datetime(2026, 1, 1) + dt.timedelta(minutes=minutes)).strftime("%H:%M")


def _compute(expression: str, values: dict[str, Any]) -> Any:
    # The expressions are the literals above, so eval sees nothing from outside.
    days_in_month = [calendar.monthrange(2026, m)[1] for m in R(1, 13)]
    known = {
        "DAYS": DAYS,
        "MONTHS": MONTHS,
        "DIM": days_in_month,
        "calendar": calendar,
        "clock": clock,
        "min": min,
    }
    return eval(expression, {"__builtins__": {}}, {**known, "yes": "yes", "no": "no", **values})
