"""The self-test that travels with a policy: synthetic prompts from a built-in list, and the
decisions they must give.

A loader whose arithmetic differs in the last bit, on whatever machine and in whatever language,
finds out before it serves. No prompt of a user's is ever written into an artifact.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from router_lab.runtime import jsonio, stages
from router_lab.runtime.chains import MOST_STAGES, SIGNAL, Chain
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import PolicySpec
from router_lab.runtime.odds import encoded, explores
from router_lab.runtime.points import Follow, Point, ends_of
from router_lab.runtime.rule import draw
from router_lab.runtime.vectors import VectorScale

PROMPTS = (
    "",
    "hi",
    "What is the capital of France?",
    "A shop sells 12 pens for $3.60. How much do 30 pens cost? Think step by step and give the number only.",
    "Extract the invoice number, date and total as JSON: Invoice 2041-A, 3 March, EUR 1,204.50.",
    "Label this ticket as billing, bug or other: I was charged twice and nobody answers my mails!",
    "def f(xs):\n    return [x ** 2 for x in xs if x % 2]\n\nWhat does f([1, 2, 3]) return?",
    "Prove that the square root of 2 is irrational.",
    "Which of the following is true? (A) 7 is even (B) 9 is prime (C) 2 is prime (D) 1 is prime",
    "WRITE A POEM ABOUT THE SEA, IN CAPITALS, WITHOUT THE LETTER E.",
    "Übersetze ins Englische: Der Zug fährt um sieben Uhr vom Gleis neun.",
    "请用一句话解释什么是机器学习。",
    "اكتب جملة قصيرة عن البحر",
    "🙂🙂🙂 what do these mean? 🙃",
    "lone surrogate \ud800 and NUL \x00 and tab\tand bell \x07",
    "\n\n\n   \n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "f(x) = 3x^2 - 2x + 1; find f'(x), f(4) and the minimum of f. Show each step (numbers as fractions).",
    "the of and to in is that it was for on with as be at by this have from or one had not but what all were",
    "Summarise: " + "The committee met on Tuesday and adjourned without a vote. " * 60,
    "0123456789 " * 400,
)
"""Enough to touch every branch of the featuriser: kinds of bytes, long texts, nothing at all."""

ANSWERS = (
    "The answer is 42.",
    "  THE ANSWER IS: 42!\n",
    "",
    "I’m sorry, but I CANNOT help with that.",
    '{"invoice": "2041-A", "items": [{"total": 1204.5}], "paid": (false)}',
    "def f(xs):\n    return [x ** 2 for x in xs if x % 2]\n",
    "答えは四十二です 🙂 lone \ud800",
    "First, 12 pens cost $3.60, so each costs $0.30.\n" * 120 + "Answer: (9)",
    "?!",
)
"""What the stages of chains are made to answer."""

MOST_KEYS = 64
"""Keys tried for a draw in a wanted stretch: one that is a tenth of all is missed once in 900
times."""
MOST_EXPLORING = 1_000
"""The same for a draw that explores: at a share of .005 it is missed once in 150 times."""
MOST_PARSED = 8_000_000
"""Bytes of memory that one case may take once parsed."""


def cases(spec: PolicySpec) -> list[dict[str, Any]]:
    """What is asked of every policy: each prompt, walking through suites (and none), points and
    keys, which draw every piece of a point in turn; and, of one that takes vectors, made-up ones
    around their mean, and none."""
    suites: list[str | None] = [None, *spec.suites[:3]]
    points = sorted(spec.points)
    rows: list[dict[str, Any]] = [
        {
            "prompt": prompt,
            "suite": suites[index % len(suites)],
            "point": points[index % len(points)],
            "key": _key(f"golden-{index}", spec.points[points[index % len(points)]], index // len(points)),
        }
        for index, prompt in enumerate(PROMPTS)
    ]
    for index, row in enumerate(rows):
        if index % 3 == 2 and (share := spec.explore.get(row["point"], 0.0)):
            row["key"] = _exploring(f"golden-{index}", share)
    if spec.linear.vector is not None:
        for index, row in enumerate(rows):
            row["vector"] = made_vector(spec.linear.vector.standard, index) if index % 3 else None
    return rows


def _key(key: str, point: Point, turn: int) -> str:
    """`key`, or where chance has more to choose from than one prediction or the reference, the
    first of some made from it whose draw is in stretch `turn` of the point's pieces and the
    rest."""
    if len(point) == 1 and isinstance(point[0], Follow):
        return key
    stretches = [(low, high) for low, high in pairwise((0.0, *ends_of(point), 1.0)) if low < high]
    low, high = stretches[turn % len(stretches)]
    tried = (f"{key}-{number}" for number in range(MOST_KEYS))
    return next((one for one in tried if low <= draw(one) < high), key)


def _exploring(key: str, share: float) -> str:
    """The first of some keys made from `key` that explores; `key` itself where none does."""
    tried = (f"{key}-x{number}" for number in range(MOST_EXPLORING))
    return next((one for one in tried if explores(encoded(one), share) is not None), key)


def made_vector(standard: VectorScale, index: int) -> list[float]:
    """Numbers within two deviations of the mean, and far beyond in every seventh vector, to four
    digits."""
    reach = 100.0 if index % 7 == 0 else 0.25
    return [
        float(f"{centre + spread * ((7 * index + 3 * j) % 17 - 8) * reach:.4g}")
        for j, (centre, spread) in enumerate(
            zip(standard.centre.tolist(), standard.spread.tolist(), strict=True)
        )
    ]


def answers(policy: Any) -> list[dict[str, Any]]:
    """The cases with what `policy` decides, at a time before any expiry."""
    return [_answer(policy, case, index) for index, case in enumerate(cases(policy.spec))]


def _answer(policy: Any, case: dict[str, Any], index: int) -> dict[str, object]:
    decision: Decision = policy.decide(**case)
    answered: dict[str, object] = {
        **decision.candidate.named(),
        "code": decision.code,
        "quality": decision.quality,
        "cost_usd": decision.cost_usd,
        "coverage": decision.evidence["coverage"],
        "fallbacks": [list(candidate) for candidate in decision.fallbacks],
    }
    if policy.spec.explore:
        answered["propensity"] = decision.propensity
    return case | answered | (_judged(decision, index) if policy.spec.chains else {})


def _judged(decision: Decision, index: int) -> dict[str, object]:
    """Answers that every stage may give, the same or others, made-up signals, and what is done on
    them."""
    turn = int(index % 3 == 1)
    answers = [ANSWERS[(index + turn * stage) % len(ANSWERS)] for stage in range(MOST_STAGES)]
    signals = made_signals(decision._chain.chain, index) if decision._chain is not None else {}
    return {"answers": answers, "signals": signals, "judged": walk(decision, answers, signals)}


def made_signals(chain: Chain, index: int) -> dict[str, float]:
    """At, between and beyond the knots that read them; in every sixth case none is known."""
    judges = [stage.judge for stage in chain if stage.judge is not None]
    knots = {term.source: term.knots for judge in judges for term in judge.terms}
    names = sorted({name for judge in judges for name in judge.signals})
    return {
        name: _between(knots.get(SIGNAL + name, (0.0, 1.0)), index + turn)
        for turn, name in enumerate(names)
        if index % 6 != 5
    }


def _between(knots: Sequence[float], index: int) -> float:
    if index % 7 == 6:
        return knots[-1] + 1.0
    at = index % (len(knots) - 1)
    return knots[at] + (knots[at + 1] - knots[at]) * (index % 5 / 4)


def walk(
    decision: Decision,
    answers: Sequence[str],
    signals: Mapping[str, float],
    checks: Sequence[bool | None] = (None,) * MOST_STAGES,
    stopped: Sequence[str | None] = (None,) * MOST_STAGES,
) -> list[dict[str, object]]:
    """Who is asked, one after the other, if they answer so; with what each later stage is expected
    to add to the answer, null where that is not looked at. At most as many as there are answers."""
    found: list[dict[str, object]] = []
    now: Decision | None = decision
    for text, check, stop in zip(answers, checks, stopped, strict=True):
        if now is None:
            break
        gains = stages.gains(now, stages.answer_of(text, signals, check, stop))
        found.append({**now.candidate.named(), "code": now.code, "gains": gains})
        now = now.judge(text, signals=signals, check=check, stopped=stop)
    return found


def check(policy: Any, data: bytes) -> None:
    """PolicyError unless `policy` answers the cases in `data` (golden.jsonl) exactly as recorded
    there, and they are the built-in ones. Nothing is parsed before their number is right, and then
    one at a time."""
    count = data.count(b"\n") + (not data.endswith(b"\n"))
    if count != len(PROMPTS):
        raise PolicyError(f"golden.jsonl: {count} lines, not the {len(PROMPTS)} cases that are built in")
    for number, (line, case) in enumerate(zip(data.split(b"\n"), cases(policy.spec), strict=False), start=1):
        have, want = jsonio.loads(line, "golden.jsonl", MOST_PARSED), _answer(policy, case, number - 1)
        if have != want:
            keys = [key for key in want if not isinstance(have, dict) or have.get(key) != want[key]]
            raise PolicyError(
                f"golden.jsonl: case {number}: this machine decides otherwise ({', '.join(keys)} differ)"
            )
        time.sleep(0)  # lets a request be answered that came meanwhile
