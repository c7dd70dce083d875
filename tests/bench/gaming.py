"""`make bench-gaming`: how far text that is added to a prompt moves it to the dearest or to the cheapest candidate.

For each set and fitter a policy is fitted at margin .02 on all folds but the first. The attacker knows everything of
it. He chooses, piece by piece, 20 words of the fit's prompts (`words`), or also ten times the same sign (`signs`: for
the byte counts), that bring 60 of these prompts nearest to the candidate that he wants, and puts them behind each
prompt of the first fold (600 at most). `own` is a suffix of words chosen for each of 30 prompts alone, `random` 20
words of the fit's prompts by chance, `unknown` 20 that are no words (both the mean of five). `moved`: the expected
share of requests that go to that candidate and did not before; then who goes there in all, and quality (points beside
the reference) and saving by the recorded outcomes. Each policy is attacked without a guard, and with one of as many
words as the suffix has (`suffix_guard`).

The data folder is $ROUTER_LAB_BENCH_DATA, by default ../shared/data. `--only NAME`, `--margin M`, `--fitters A B …`,
`--guards 0 20`.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from router_lab.certificate import Certificate
from router_lab.fit import FITTERS, fit_policy
from router_lab.outcomes import OutcomeMatrix
from router_lab.replay import requests_of, score
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from tests.bench.quality import MARGIN, Set, load, recipe

NAMES = ("gsm8k", "mmlu", "pricerev_prevgen", "recorded")
LENGTH, WORDS, TRIED = 20, 4_000, 30
"""Of a suffix; the fit's most frequent words, among which it is chosen; of them, tried in full at each step."""
MOST, TRAIN, HELD, ALONE = 5_000, 60, 600, 30
"""Samples of a set; prompts that a suffix is chosen on; that it is measured on; that have one of their own."""
LIKELIEST = 600
SIGNS = tuple(sign * 10 for sign in "7Xx.'(+_\n\x01é")
"""One of each class that the featuriser counts, and a long word."""
NEAR = 0.01
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prompts:
    texts: list[str]
    suites: list[str]

    def take(self, rows: Sequence[int]) -> Prompts:
        return Prompts([self.texts[i] for i in rows], [self.suites[i] for i in rows])

    def ending(self, words: Sequence[str]) -> Prompts:
        return Prompts([f"{text} {' '.join(words)}" for text in self.texts], self.suites)


class Attacker:
    """Somebody who knows `policy`, and prompts like those that it was fitted on. `goal`: the column that he wants."""

    def __init__(self, policy: Policy, known: Prompts, goal: int) -> None:
        self.policy, self.goal = policy, goal
        self._pieces = [p for p in policy.spec.points[policy.spec.point] if isinstance(p, Follow)]
        counted = Counter(word for text in known.texts for word in set(re.findall("[a-z0-9]+", text.lower())))
        self.words = [word for word, _ in counted.most_common(WORDS)]
        self._pull = self._pulls(known)
        self._alone = np.array([self._of(word) for word in self.words])

    def suffix(self, prompts: Prompts, signs: Sequence[str] = ()) -> list[str]:
        """The words, or of `signs`, each the best after those before it."""
        chosen: list[str] = []
        left = self._alone.copy()
        for _ in range(LENGTH if self._pieces else 0):
            likely = np.argsort(-left)[:LIKELIEST]
            pull = [self._of(" ".join([*chosen[-1:], self.words[i]])) for i in likely]
            short = likely[np.argsort(-np.array(pull))[:TRIED]]
            tried = [*(self.words[i] for i in short), *signs]
            best = int(np.argmax([self.ahead(prompts.ending([*chosen, word])) for word in tried]))
            chosen.append(tried[best])
            left[short[best : best + 1]] = -np.inf
        return chosen

    def ahead(self, prompts: Prompts) -> float:
        """The mean utility by which the wanted candidate is short of being chosen."""
        spec, goal = self.policy.spec, self.goal
        found = self.policy.predictions(prompts.texts, prompts.suites)
        total = np.zeros(len(prompts.texts))
        for piece in self._pieces:
            utility = found.quality - piece.tradeoff * found.cost_usd
            utility[:, spec.reference] += piece.guard
            others = np.delete(utility, goal, axis=1).max(axis=1)
            total += piece.share * np.clip(utility[:, goal] - others, -1, NEAR)
        return float(total.mean())

    def moved(self, before: Prompts, after: Prompts) -> tuple[float, Floats]:
        """(share of requests newly at the wanted candidate, shares [n, c])"""
        first, then = (self.policy.shares(p.texts, p.suites) for p in (before, after))
        return float(np.maximum(then - first, 0)[:, self.goal].mean()), then

    def _pulls(self, known: Prompts) -> Floats:
        """[n + 1] what each row of the weights does for the goal against whoever serves the others, at mean costs."""
        linear, half, goal = self.policy.spec.linear, len(self.policy.candidates), self.goal
        some = known.take(range(min(200, len(known.texts))))
        cost = self.policy.predict(some.texts, some.suites)[1].mean(axis=0)
        weight = linear.weights * linear.scale
        share = sum(piece.share for piece in self._pieces)
        tradeoff = sum(piece.share * piece.tradeoff for piece in self._pieces) / max(share, 1e-9)
        # A unit of the link doubles the dollars, on the whole.
        utility = weight[:, :half] - tradeoff * cost * np.log(2) * weight[:, half:]
        served = self.policy.shares(some.texts, some.suites).mean(axis=0)
        served[goal] = 0.0
        pull: Floats = utility[:, goal] - utility @ (served / max(served.sum(), 1e-9))
        return pull

    def _of(self, text: str) -> float:
        seen, found = self.policy.spec.linear.seen, self.policy.spec.featuriser(text).buckets
        if not len(seen):
            return 0.0
        place = np.searchsorted(seen, found)
        known = seen[np.minimum(place, len(seen) - 1)] == found
        return float(self._pull[np.where(known, place + 1, 0)].sum())


@dataclass(frozen=True)
class Ground:
    """A set, cut: outcomes to fit on, and rows and prompts of the fold that is held out."""

    name: str
    frame: pd.DataFrame
    data: OutcomeMatrix

    @classmethod
    def of(cls, found: Set) -> Ground:
        draw = np.random.default_rng(0)
        frame, rows = next(found.splits())
        keys = frame[["suite", "sample_id"]].drop_duplicates()
        if len(keys) > MOST:
            frame = frame.merge(keys.sample(MOST, random_state=0), on=["suite", "sample_id"])
        rows = np.sort(draw.choice(rows, min(HELD, len(rows)), replace=False))
        return cls(found.name, frame, found.data.take(rows))


def attacked(ground: Ground, fitter: str, margin: float, guard: int) -> None:
    """A line an attack."""
    asked = recipe(fitter, margin).model_copy(update={"suffix_guard": guard})
    policy = fit_policy(asked, ground.frame)
    known = OutcomeMatrix.from_frame(ground.frame, policy.candidates)
    seen = Prompts(*requests_of(policy, known)[:2])
    held = Prompts(*requests_of(policy, ground.data)[:2])
    draw = np.random.default_rng(0)
    train = seen.take(draw.choice(len(seen.texts), min(TRAIN, len(seen.texts)), replace=False).tolist())
    saved = Certificate.of(policy).savings
    reads = sum(p.share for p in policy.spec.points[policy.spec.point] if isinstance(p, Follow))
    heads = policy.spec.heads
    slack = "" if heads is None else f" with {100 * heads.slack:.1f} points of slack"
    print(f"\n{ground.name}, margin {margin}, {fitter}, suffix_guard {guard}{slack}:"
          f" {100 * ((saved and saved.value) or 0):.1f} % saved out of fold,"
          f" {100 * reads:.0f} % of requests follow the prompt")  # fmt: skip
    head = f"{'':26}{'moved':>8}{'there':>8}{'points':>8}{'saving':>8}"
    print(
        f"{head}\n{'  nothing added':26}{'':16}{told(ground, policy, [policy.shares(held.texts, held.suites)])}"
    )
    cost = np.nanmean(known.cost_usd, axis=0)
    for what, goal in (("dearest", int(cost.argmax())), ("cheapest", int(cost.argmin()))):
        attacker = Attacker(policy, seen, goal)
        print(f"  to the {what}, {policy.candidates[goal]}"
              + (", the reference" if goal == policy.spec.reference else ""))  # fmt: skip
        ends = {"words": [attacker.suffix(train)], "signs": [attacker.suffix(train, SIGNS)]}
        ends |= by_chance(attacker.words)
        for name, suffixes in ends.items():
            found = [attacker.moved(held, held.ending(words)) for words in suffixes]
            line(ground, attacker, name, found)
        own = [attacker.moved(one, one.ending(attacker.suffix(one)))[0] for one in singles(held)]
        print(f"{'    own':26}{100 * np.mean(own):7.1f}%  of {len(own)} prompts", flush=True)


def by_chance(words: Sequence[str]) -> dict[str, list[list[str]]]:
    draw = np.random.default_rng(1)
    none = [["".join(draw.choice(list("bcdfgjkqvwxz"), 7)) for _ in range(LENGTH)] for _ in range(5)]
    return {"random": [draw.choice(words, LENGTH).tolist() for _ in range(5)], "unknown": none}


def singles(prompts: Prompts) -> list[Prompts]:
    return [prompts.take([i]) for i in range(min(ALONE, len(prompts.texts)))]


def line(ground: Ground, attacker: Attacker, name: str, found: list[tuple[float, Floats]]) -> None:
    moved = np.mean([share for share, _ in found])
    there = np.mean([shares[:, attacker.goal].mean() for _, shares in found])
    after = told(ground, attacker.policy, [shares for _, shares in found])
    print(f"{'    ' + name:26}{100 * moved:7.1f}%{100 * there:7.1f}%{after}", flush=True)


def told(ground: Ground, policy: Policy, shares: list[Floats]) -> str:
    """Points beside the reference, and the saving, of such shares, on the mean."""
    found = [score(policy, ground.data, one, in_sample=False) for one in shares]
    points = np.mean([one.quality - one.reference_quality for one in found])
    return f"{100 * points:+8.2f}{100 * np.mean([one.savings for one in found]):7.1f}%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--margin", type=float, default=MARGIN)
    parser.add_argument("--fitters", nargs="*", default=["default", "rates"], choices=sorted(FITTERS))
    parser.add_argument("--guards", nargs="*", type=int, default=[0, LENGTH])
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RouterLabWarning)
    for name in NAMES:
        found = load(name) if asked.only in name else None
        if found is not None:
            ground = Ground.of(found)
            for fitter in asked.fitters:
                for guard in asked.guards if fitter != "rates" else [0]:
                    attacked(ground, fitter, asked.margin, guard)


if __name__ == "__main__":
    main()
