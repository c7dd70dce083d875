"""Multi-step word problems: hand-written templates, numbers drawn with a fixed seed, answers computed, never typed."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.make.common import NAMES, pick, spread

SEED = 20261122
WEIGHTS = {1: 5, 2: 3, 3: 2, 4: 2}
"""Samples per template by number of steps: small models must be able to do a good part."""
R = range

# (steps, text, slots, answer). `{n}` is a name. Every answer is a whole number, 0 or more.
TEMPLATES: list[tuple[int, str, dict[str, Any], str]] = [
    # one step
    (1, "{n} has {a} stickers and buys {b} more. How many stickers does {n} have?", {"a": R(5, 30), "b": R(3, 20)}, "a+b"),
    (1, "A bus carries {a} people. At a stop {b} get off. How many are left?", {"a": R(25, 60), "b": R(3, 24)}, "a-b"),
    (1, "There are {a} boxes with {b} eggs in each. How many eggs are there?", {"a": R(2, 10), "b": R(2, 11)}, "a*b"),
    (1, "{a} sweets are shared equally by {b} children. How many does each get?", {"b": R(2, 7), "q": R(2, 11), "a": "b*q"}, "q"),
    (1, "A film lasts {a} minutes and {b} have passed. How many minutes remain?", {"a": R(90, 130, 5), "b": R(20, 80, 10)}, "a-b"),
    (1, "{n} runs {a} km every day. How many km is that in {b} days?", {"a": R(2, 11), "b": R(2, 11)}, "a*b"),
    (1, "A library had {a} books and received {b} as a gift. How many books now?", {"a": R(100, 900, 10), "b": R(11, 60)}, "a+b"),
    (1, "What is {a}% of {b}?", {"a": (10, 20, 25, 50, 75), "b": (40, 60, 80, 120, 200, 240, 400)}, "a*b//100"),
    (1, "How many minutes are there in {a} hours?", {"a": R(2, 15)}, "a*60"),
    (1, "A rope of {a} m is cut into pieces of {b} m. How many pieces?", {"b": R(2, 7), "q": R(2, 11), "a": "b*q"}, "q"),
    (1, "A tank holds {a} litres. It contains {b} litres. How many litres are missing?", {"a": R(80, 200, 10), "b": R(15, 75, 5)}, "a-b"),
    (1, "Tickets cost ${a}. What do {b} tickets cost, in dollars?", {"a": R(5, 16), "b": R(2, 8)}, "a*b"),
    (1, "{n} is {a} years old. How old will {n} be in {b} years?", {"a": R(6, 50), "b": R(4, 30)}, "a+b"),
    (1, "A number is doubled and gives {a}. What is the number?", {"q": R(5, 31), "a": "2*q"}, "q"),
    # two steps
    (2, "{n} has {a} apples, buys {b} more and eats {c}. How many apples are left?", {"a": R(4, 20), "b": R(5, 20), "c": R(2, 8)}, "a+b-c"),
    (2, "A shop sells {a} pens a day at ${b} each. How many dollars does it take in {c} days?", {"a": R(4, 15), "b": R(2, 6), "c": R(2, 7)}, "a*b*c"),
    (2, "{n} buys {a} cakes at ${b} each and pays with ${p}. How much change in dollars?", {"a": R(2, 7), "b": R(2, 7), "p": (50, 100)}, "p-a*b"),
    (2, "There are {a} rows of {b} chairs. {c} chairs are broken. How many are fine?", {"a": R(4, 12), "b": R(5, 12), "c": R(2, 15)}, "a*b-c"),
    (2, "{n} earns ${a} an hour and works {b} hours, then spends ${c}. How many dollars remain?", {"a": R(9, 25), "b": R(3, 9), "c": R(5, 25)}, "a*b-c"),
    (2, "A baker makes {a} rolls and packs them {b} to a bag. Each bag sells for ${c}. How many dollars in all?", {"b": R(4, 9), "q": R(3, 12), "a": "b*q", "c": R(2, 6)}, "q*c"),
    (2, "{n} reads {a} pages a day for {b} days. The book has {t} pages. How many pages remain?", {"a": R(8, 25), "b": R(3, 8), "x": R(10, 90), "t": "a*b+x"}, "x"),
    (2, "A class has {a} girls and {b} boys. They form teams of {c}. How many teams?", {"c": R(3, 6), "q": R(4, 9), "b": R(5, 12), "a": "c*q-b"}, "q"),
    (2, "A train leaves with {a} people, {b} get on and {c} get off. How many are on it?", {"a": R(60, 200), "b": R(12, 50), "c": R(7, 45)}, "a+b-c"),
    (2, "A farmer has {a} hens. Each lays {b} eggs a week. He sells {c} eggs. How many are left after a week?", {"a": R(5, 15), "b": R(4, 7), "c": R(5, 19)}, "a*b-c"),
    (2, "A coat costs ${a}. It is {b}% off. What does it cost now, in dollars?", {"a": (40, 60, 80, 120, 200), "b": (10, 25, 50, 20)}, "a-a*b//100"),
    (2, "{n} is twice as old as {m}. {m} is {a}. How old will {n} be in {b} years?", {"a": R(6, 30), "b": R(2, 15)}, "2*a+b"),
    (2, "A car uses {a} litres per 100 km. How many litres does it use for {k} km?", {"a": R(4, 10), "h": R(2, 8), "k": "100*h"}, "a*h"),
    (2, "{n} saves ${a} a week and already has ${b}. How many dollars after {c} weeks?", {"a": R(5, 25), "b": R(10, 60), "c": R(3, 11)}, "b+a*c"),
    (2, "A recipe for {s} people needs {g} grams of flour. How many grams for {t} people?", {"s": (2, 4, 5), "u": R(40, 90, 10), "g": "s*u", "t": R(6, 13)}, "u*t"),
    (2, "A rectangle is {a} m long and {b} m wide. What is its perimeter in metres?", {"a": R(6, 30), "b": R(2, 14)}, "2*(a+b)"),
    (2, "{a} friends split a bill of ${t} and each adds ${c} as a tip. How many dollars does each pay?", {"a": R(2, 8), "q": R(8, 25), "t": "a*q", "c": R(1, 5)}, "q+c"),
    (2, "A parking lot has {a} cars and {b} motorbikes. How many wheels is that?", {"a": R(5, 25), "b": R(3, 15)}, "4*a+2*b"),
    (2, "A lift carries {a} people. How many trips are needed for {t} people?", {"a": R(4, 9), "q": R(3, 9), "x": R(1, 4), "t": "a*(q-1)+x"}, "q"),
    (2, "{n} had {t} marbles, gave a third to {m}, and then found {c}. How many has {n} now?", {"q": R(4, 16), "t": "3*q", "c": R(2, 12)}, "2*q+c"),
    (2, "Pipes come in packs of {a}. {n} buys {b} packs and uses {c} pipes. How many remain?", {"a": R(6, 13), "b": R(3, 9), "c": R(4, 17)}, "a*b-c"),
    # three steps
    (3, "{n} buys {a} shirts at ${b} and {c} hats at ${d}. How much change from ${p}, in dollars?", {"a": R(2, 4), "b": R(8, 16), "c": R(2, 4), "d": R(5, 11), "p": (100, 150, 200)}, "p-a*b-c*d"),
    (3, "A hotel has {a} floors with {b} rooms each. {c} rooms are closed and the rest hold 2 guests each. How many guests?", {"a": R(3, 8), "b": R(5, 13), "c": R(2, 9)}, "2*(a*b-c)"),
    (3, "{n} has ${a}. {n} spends half of it, then earns ${b}, then spends ${c}. How many dollars are left?", {"h": R(15, 60), "a": "2*h", "b": R(5, 30), "c": R(3, 14)}, "h+b-c"),
    (3, "A machine makes {a} parts an hour. It runs {b} hours a day for {c} days, and {d} parts are bad. How many are good?", {"a": R(6, 20), "b": R(4, 9), "c": R(2, 6), "d": R(5, 25)}, "a*b*c-d"),
    (3, "A cinema sells {a} adult tickets at ${b} and {c} child tickets at ${d}. Rent is ${e}. What is the profit in dollars?", {"a": R(10, 25), "b": R(9, 14), "c": R(8, 20), "d": R(4, 8), "e": R(20, 90, 5)}, "a*b+c*d-e"),
    (3, "{n} drives {a} km/h for {b} hours, then {c} km/h for {d} hours. How many km in all?", {"a": R(50, 100, 5), "b": R(2, 5), "c": R(30, 80, 5), "d": R(2, 4)}, "a*b+c*d"),
    (3, "A crate holds {a} bags, and a bag holds {b} nuts. {c} crates arrive and {d} nuts are rotten. How many are good?", {"a": R(3, 8), "b": R(6, 13), "c": R(2, 5), "d": R(5, 25)}, "a*b*c-d"),
    (3, "{n} is {a} years older than {m}. In {b} years {m} will be {t}. How old is {n} now?", {"a": R(2, 12), "b": R(3, 10), "x": R(6, 30), "t": "x+b"}, "x+a"),
    (3, "A garden is {a} m by {b} m. Fence costs ${c} per metre. What does a fence all round cost, in dollars?", {"a": R(5, 16), "b": R(4, 13), "c": R(3, 9)}, "2*(a+b)*c"),
    (3, "{n} walks {a} km to work and back, {b} days a week. How many km in {c} weeks?", {"a": R(2, 6), "b": R(3, 6), "c": R(2, 7)}, "2*a*b*c"),
    (3, "A printer prints {a} pages a minute. It has run {b} minutes and has {t} pages in all to print. How many more minutes?", {"a": R(5, 15), "b": R(3, 9), "q": R(3, 12), "t": "a*(b+q)"}, "q"),
    (3, "{n} picks {a} plums, {m} picks {b} more than {n}. They share them equally. How many does each get?", {"a": R(8, 40), "h": R(2, 9), "b": "2*h"}, "a+h"),
    (3, "A phone costs ${a} at once, or ${b} a month for {c} months. How many dollars dearer is the second?", {"b": R(22, 45), "c": (12, 24), "x": R(20, 90, 5), "a": "b*c-x"}, "x"),
    (3, "A pool of {t} litres gains {a} litres a minute and loses {b}. In how many minutes is it full, starting empty?", {"b": R(5, 15), "d": R(6, 20), "a": "b+d", "q": R(10, 30), "t": "d*q"}, "q"),
    (3, "{n} buys {a} kg of rice at ${b} a kg and gets {p}% off the whole. What does {n} pay in dollars?", {"a": (10, 20, 5), "b": (2, 4, 6), "p": (10, 50, 20)}, "a*b-a*b*p//100"),
    (3, "Of {t} pupils, a quarter walk, {b} cycle and the rest take the bus. How many take the bus?", {"q": R(10, 40), "t": "4*q", "b": R(7, 25)}, "3*q-b"),
    (3, "{n} packs {a} boxes an hour and {m} packs {b}. Together, how many boxes in {c} hours?", {"a": R(6, 18), "b": R(5, 16), "c": R(3, 8)}, "(a+b)*c"),
    # four steps and more
    (4, "A shop buys {a} lamps at ${b} and sells {c} of them at ${d}; the rest go at ${e}. What is the profit in dollars?", {"a": R(12, 20), "b": R(8, 14), "c": R(6, 11), "d": R(22, 30), "e": R(14, 20)}, "c*d+(a-c)*e-a*b"),
    (4, "{n} works {a} hours at ${b}, and {c} extra hours at double pay. Tax takes ${d}. How many dollars remain?", {"a": R(20, 40), "b": R(9, 18), "c": R(2, 8), "d": R(50, 120, 10)}, "a*b+2*c*b-d"),
    (4, "Three shelves hold {a}, {b} and {c} books. A third of all are sold and {d} new ones arrive. How many now?", {"a": R(9, 30), "b": R(9, 30), "q": R(25, 40), "c": "3*q-a-b", "d": R(4, 20)}, "2*q+d"),
    (4, "{n} has {a} coins. {m} has twice as many, and Zoe has {b} fewer than {m}. How many have all three together?", {"a": R(10, 40), "b": R(3, 15)}, "5*a-b"),
    (4, "A van makes {a} trips with {b} crates each, a truck {c} trips with {d} crates. {e} crates break. How many arrive whole?", {"a": R(3, 8), "b": R(6, 14), "c": R(2, 6), "d": R(15, 30), "e": R(3, 20)}, "a*b+c*d-e"),
    (4, "A camp has {a} tents for 4 and {b} tents for 6. {c} people come. How many places stay empty?", {"a": R(8, 16), "b": R(5, 12), "x": R(3, 25), "c": "4*a+6*b-x"}, "x"),
    (4, "{n} reads {a} pages on Monday, double that on Tuesday, and {b} fewer than Tuesday on Wednesday. How many in all?", {"a": R(10, 40), "b": R(3, 12)}, "5*a-b"),
    (4, "A gym has {a} members paying ${b} a month. {c} leave and {d} join. What does it earn in the next 2 months, in dollars?", {"a": R(30, 60), "b": R(10, 30, 5), "c": R(4, 12), "d": R(5, 15)}, "2*b*(a-c+d)"),
    (4, "A cake needs {a} eggs and a pie needs {b}. {n} bakes {c} cakes and {d} pies from {t} eggs. How many eggs are left?", {"a": R(3, 6), "b": R(2, 4), "c": R(3, 7), "d": R(3, 7), "x": R(2, 20), "t": "a*c+b*d+x"}, "x"),
    (4, "Two trains are {t} km apart and drive towards each other at {a} and {b} km/h. After {h} hours, how far apart are they, in km?", {"a": R(50, 90, 5), "b": R(40, 80, 5), "h": R(2, 4), "x": R(20, 90, 10), "t": "h*(a+b)+x"}, "x"),
    (4, "A tray holds {a} pots. {n} fills {b} trays, sells {c} pots at ${d}, and gives the rest away. How many are given away?", {"a": R(6, 13), "b": R(4, 9), "c": R(10, 23), "d": R(2, 9)}, "a*b-c"),
    (4, "{n} buys a bike for ${a}, pays ${b} for repairs and sells it for {p}% more than both together. Profit in dollars?", {"a": R(60, 160, 20), "b": (20, 40), "p": (10, 20, 50)}, "(a+b)*p//100"),
]  # fmt: skip


def rows(n_samples: int = 200) -> list[dict[str, Any]]:
    """`n_samples` problems as dataset rows; the group is the template."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    seen: set[str] = set()
    counts = spread([WEIGHTS[steps] for steps, *_ in TEMPLATES], n_samples)
    for t, ((steps, text, slots, answer), count) in enumerate(zip(TEMPLATES, counts, strict=True)):
        made = 0
        while made < count:
            problem, target = _draw(rng, text, slots, answer)
            if problem in seen:
                continue
            seen.add(problem)
            made += 1
            out.append({
                "id": f"arith-{t:02d}-{made}",
                "input": f"{problem}\nAnswer with one number.",
                "target": str(target),
                "group": f"arith-{t:02d}",
                "difficulty": steps,
            })  # fmt: skip
    return out


def _draw(rng: np.random.Generator, text: str, slots: dict[str, Any], answer: str) -> tuple[str, int]:
    first, second = (NAMES[int(i)] for i in rng.permutation(len(NAMES))[:2])
    values: dict[str, int] = {}
    for name, source in slots.items():
        values[name] = _compute(source, values) if isinstance(source, str) else int(pick(rng, source))
    target = _compute(answer, values)
    if target < 0:
        raise ValueError(f"negative answer: {text!r} {values}")
    return text.format(n=first, m=second, **values), target


def _compute(expression: str, values: dict[str, int]) -> int:
    # The expressions are the literals above, so eval sees nothing from outside.
    return int(eval(expression, {"__builtins__": {}}, dict(values)))
