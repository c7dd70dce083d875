"""Writes golden artifacts and conformance vectors of one schema_version, each once. Never write a published one again:
tests/runtime/test_golden.py holds their hashes, and every version loads for ever. A key that is added within a version
gets an artifact of its own beside them.

    python tests/golden/make.py tests/golden/v1 bounded sessions guarded heads
    python tests/golden/make.py tests/golden/v2 vector
    python tests/golden/make.py tests/golden/v3 pieces steered
    python tests/golden/make.py tests/golden/v4 chains steered-chains shared turns under-cap
    python tests/golden/make.py tests/golden/v5 harnesses team
    python tests/golden/make.py tests/golden/v6 life life-chains
"""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from router_lab.runtime import jsonio
from router_lab.runtime.answers import FEATURES, features_of
from router_lab.runtime.artifact import load_policy, save_policy
from router_lab.runtime.chains import MOST_STAGES, Judge, Stage, Term, UnderCap
from router_lab.runtime.decision import Decision
from router_lab.runtime.golden import ANSWERS, PROMPTS, walk
from router_lab.runtime.harness import Harness
from router_lab.runtime.heads import Begun
from router_lab.runtime.model import (
    Candidate,
    Limits,
    PolicySpec,
    Prices,
    Profile,
    Role,
    Route,
    Session,
    Sessions,
)
from router_lab.runtime.points import Assign, Cascade, Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.standing import first_second
from router_lab.runtime.vectors import VectorScale, VectorWeights

PIECES = [
    "the",
    "sum",
    "of",
    "12",
    "3.5",
    "(x)",
    "日本",
    "é",
    "🙂",
    "\n",
    "\t",
    "\ud800",
    "A",
    "B)",
    "$",
    "—",
    "def f():",
    "?!",
    "  ",
]


def golden_spec() -> Any:
    """A policy that uses everything the format has."""
    conftest = Path(__file__).parent.parent / "runtime" / "conftest.py"
    found = importlib.util.spec_from_file_location("runtime_conftest", conftest)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    request = {
        "api": "openai_chat",
        "arguments": {"model": "m1-2026", "reasoning_effort": "low", "max_completion_tokens": 512},
        "system": "Be brief.",
        "few_shot": [{"user": "1+1?", "assistant": "2"}],
    }
    candidates = [
        Candidate("m0"),
        Candidate("m1", "high"),
        Candidate("m1", "low"),
        Candidate("org/m2:free@x"),
        Candidate("m3"),
    ]
    profiles = tuple(
        Profile(
            candidate,
            request=request if candidate.effort == "low" else {},
            prices=Prices(0.5, 2.0, 0.05, 0.6, 1.0, {"batch": 0.5}, "2026-11-01"),
            context_window=128_000,
            max_output_tokens=8_192,
            settings_sha="0" * 64,
            tier_seconds={"standard": 3.5},
        )
        for candidate in sorted(candidates)
    )
    return module.random_spec(
        seed=7,
        name="golden",
        profiles=profiles,
        points={
            "cheap": (Follow(30.0, 0.0, 1.0),),
            "half": (Follow(5.0, 0.02, 0.5),),
            "safe": (Follow(1.0, 0.3, 1.0),),
        },
        routes={"a": Route(0, "pass"), "b": Route(1, "inconclusive")},
        escalation=(0, 2, 4),
        eligible=np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [0, 1, 1, 1, 1]], bool),
        limits=((Limits(800, 1, 0.02), Limits(), Limits(512, 4, None), Limits(), Limits()),) * 3,
        expires="2999-01-01",
        groups=np.array([1, 2**40, 2**64 - 1], np.uint64),
        certificate={"verdict": "pass", "margin": 0.03, "confidence": 0.9, "n": 1200},
        provenance={"seed": 7},
    )


def vectors(policy: Policy, count: int = 120) -> list[dict[str, Any]]:
    """Cases with everything that another implementation must reproduce, step by step."""
    rng = random.Random(7)
    texts = [
        *PROMPTS,
        *(" ".join(rng.choices(PIECES, k=rng.randint(0, 60))) for _ in range(count - len(PROMPTS))),
    ]
    rows = []
    for number, text in enumerate(texts):
        suite = [None, "a", "b", "unknown"][number % 4]
        point = sorted(policy.spec.points)[number % len(policy.spec.points)]
        features = policy.spec.featuriser(text)
        given = {"vector": some_vector(rng, policy.vector_length)} if policy.vector_length else {}
        quality, cost = policy.predict([text], [suite], [given["vector"]] if given else None)
        day = DAYS[number // 4 % len(DAYS)] if policy.spec.retires else None
        now = policy.renewed(revision=policy.revision, clock=partial(moment, day))
        decision = now.decide(text, suite=suite, point=point, key=f"key-{number}", **given)
        rows.append(
            given
            | ({"on": day} if policy.spec.retires else {})
            | ({"propensity": decision.propensity} if policy.spec.explore else {})
            | {
                "prompt": text,
                "suite": suite,
                "point": point,
                "key": f"key-{number}",
                "buckets": features.buckets.tolist(),
                "counts": features.counts.tolist(),
                "coverage": decision.evidence["coverage"],
                "quality": quality[0].tolist(),
                "cost_usd": cost[0].tolist(),
                **decision.candidate.named(),
                "code": decision.code,
                "fallbacks": [list(candidate) for candidate in decision.fallbacks],
            }
            | (answered(rng, decision) if policy.spec.chains else {})
        )
    return rows


DAYS = (None, "2026-12-01", "2027-03-01", "2027-12-31", "2028-01-01")
"""Days on which vectors of a policy are decided of which candidates retire; None: before any."""


def moment(day: str | None) -> float:
    return 0.0 if day is None else first_second(day)


def answered(rng: random.Random, decision: Decision) -> dict[str, Any]:
    """What the stages answer, at times the same but for its spelling, and what is done on it: signals at random, some
    missing, some of no stage; now and then a failed check, or a run that was stopped."""
    texts = [
        rng.choice([*ANSWERS, " ".join(rng.choices(PIECES, k=rng.randint(0, 60)))])
        for _ in range(MOST_STAGES)
    ]
    if rng.random() < 0.5:
        texts = (
            [texts[0], f" {texts[0].upper()}.", texts[0]] if texts[0].isascii() else [texts[0]] * MOST_STAGES
        )
    signals = {name: rng.gauss(0.0, 1.5) for name in ("confidence", "logprob", "other") if rng.random() < 0.9}
    checks = [rng.choice([None, None, None, True, False]) for _ in texts]
    stopped = [rng.choice([None] * 6 + ["limit"]) for _ in texts]
    return {
        "answers": texts, "signals": signals, "checks": checks, "stopped": stopped,
        "features": [list(features_of(text)) for text in texts],
        "judged": walk(decision, texts, signals, checks, stopped),
    }  # fmt: skip


def some_vector(rng: random.Random, length: int) -> list[float] | None:
    """Usual numbers, some far beyond what was fitted, now and then none."""
    if rng.random() < 0.2:
        return None
    return [
        rng.choice([0.0, 1e300, -1e300]) if rng.random() < 0.1 else rng.gauss(1.0, 3.0) for _ in range(length)
    ]


def steered(spec: Any) -> Any:
    """The same policy, taking vectors of seven numbers, one of which never varied."""
    draw, columns = np.random.default_rng(11), 2 * len(spec.profiles)
    standard = VectorScale(draw.normal(1.0, 1.0, 7), np.append(draw.uniform(0.5, 4.0, 6), 1.0))
    weights = draw.integers(-127, 128, (7, columns)).astype(np.int8)
    weights[6] = 0
    half = columns // 2
    vector = VectorWeights(standard, weights, np.array([2e-5] * half + [4e-5] * half))
    return dataclasses.replace(
        spec, name="golden-vector", linear=dataclasses.replace(spec.linear, vector=vector)
    )


def logarithmic(spec: Any) -> Any:
    """The same policy with costs predicted on the scale `log2ish`: about 2**20 nano-dollars, a tenth of a cent."""
    count = len(spec.profiles)
    bias, scale = spec.linear.bias.copy(), spec.linear.scale.copy()
    bias[:, count:] = 15 + 500 * bias[:, count:]
    scale[count:] *= 200
    linear = dataclasses.replace(spec.linear, bias=bias, scale=scale, cost_link="log2ish")
    return dataclasses.replace(spec, name="golden-log2ish", linear=linear)


def bounded(spec: Any) -> Any:
    """The same policy with dense features kept between bounds, each feature's its own."""
    count = len(spec.featuriser.centre)
    least, greatest = tuple(-9 * i for i in range(count)), tuple(120 - 7 * i for i in range(count))
    featuriser = spec.featuriser._replace(least=least, greatest=greatest)
    return dataclasses.replace(spec, name="golden-bounded", featuriser=featuriser)


def guarded(spec: PolicySpec) -> PolicySpec:
    """The same policy, whose prompts' last three words move nothing."""
    return dataclasses.replace(spec, name="golden-guarded", suffix_guard=3)


def with_heads(spec: PolicySpec) -> PolicySpec:
    """The guarded policy, whose prompts' heads have a level of their own, and some slack."""
    draw = np.random.default_rng(17)
    bias = spec.linear.bias + draw.uniform(-0.2, 0.2, spec.linear.bias.shape)
    count = len(spec.profiles)
    bias[:, count:] = np.abs(spec.linear.bias[:, count:] + draw.uniform(-0.002, 0.002, (len(bias), count)))
    return dataclasses.replace(guarded(spec), name="golden-heads", heads=Begun(bias, 0.0625))


def in_pieces(spec: Any) -> Any:
    """The same policy with points of several pieces of both kinds, of both alone, and one that leaves all as it is."""
    points = {
        "assigned": (Assign((2, 0, 4), 0.25), Assign((0, 2, 1), 0.5)),
        "followed": (Follow(30.0, 0.0, 0.2), Follow(5.0, 0.02, 0.2), Follow(1.0, 0.3, 0.6)),
        "mixed": (Follow(5.0, 0.02, 0.3), Assign((1, 3, 2), 0.3), Follow(30.0, 0.0, 0.1)),
        "one": (Assign((3, 2, 3)),),
        "still": (Follow(0.0, 1.0, 0.0),),
    }
    return dataclasses.replace(spec, name="golden-pieces", points=points, point="mixed", coverage_unknown=0.7)


def chained(spec: Any) -> Any:
    """The same policy with chains of one to three stages, one of them from the reference on, beside pieces of both
    other kinds."""
    draw, rows = np.random.default_rng(13), len(spec.suites) + 1

    def judge(later: tuple[int, ...], signals: tuple[str, ...], *sources: str) -> Judge:
        terms = []
        for source in sources:
            count = 2 if source == "agrees" else int(draw.integers(2, 7))
            knots = {"answ": np.linspace(0, 9, count), "qual": np.linspace(0.2, 0.8, count)}.get(
                source[:4], np.sort(draw.normal(0, 1, count))
            )
            knots = np.array([0.0, 1.0]) if source == "agrees" else knots
            terms.append(Term(source, tuple(knots.tolist()), draw.normal(0, 0.1, (rows, len(later), count))))
        return Judge(later, signals, draw.normal(0.0, 0.1, (rows, len(later))), tuple(terms))

    every = [f"answer:{name}" for name in FEATURES]
    last = judge((4,), (), "agrees", "answer:words", "quality:2", "quality:4")
    both = judge(
        (2, 4), ("confidence", "logprob"), "signal:logprob", "signal:confidence", *every, "quality:0"
    )
    chains = (
        (Stage(0, both, 0.015), Stage(2, last), Stage(4)),
        (Stage(1, judge((3,), ("logprob",), "signal:logprob", "quality:3")), Stage(3, cap_usd=0.5)),
        (Stage(3, cap_usd=0.25),),
        (Stage(4, judge((2, 1), (), "answer:refusal", "answer:length")), Stage(2), Stage(1)),
        (Stage(3, judge((2, 4), (), *every)), Stage(2, last), Stage(4)),
    )
    points = {
        "chained": (Cascade((0, 0, 1), 2.0),),
        "half": (Cascade((1, 4, 3), 0.0, 0.5),),
        "mixed": (
            Follow(5.0, 0.02, 0.2),
            Cascade((3, 2, None), 5.0, 0.3),
            Assign((1, 3, 2), 0.2),
            Cascade((4,) * 3, 1.0, 0.2),
        ),
    }
    return dataclasses.replace(spec, name="golden-chains", points=points, point="chained", chains=chains)


def in_shared_rows(spec: PolicySpec) -> PolicySpec:
    """The policy of chains whose acceptance models have a row for several suites each: all of them one, or one suite
    its own."""

    def shared(judge: Judge, rows: tuple[int, ...]) -> Judge:
        most = max(rows) + 1
        terms = tuple(term._replace(heights=term.heights[:most]) for term in judge.terms)
        return Judge(judge.later, judge.signals, judge.bias[:most], terms, np.array(rows, np.int64))

    known: dict[int, Judge] = {}
    for judge in (stage.judge for chain in spec.chains for stage in chain if stage.judge is not None):
        known.setdefault(id(judge), shared(judge, ((0, 0, 0), (0, 1, 0), (0, 0, 1))[len(known) % 3]))
    chains = tuple(
        tuple(
            stage if stage.judge is None else stage._replace(judge=known[id(stage.judge)]) for stage in chain
        )
        for chain in spec.chains
    )
    return dataclasses.replace(spec, name="golden-shared", chains=chains)


def with_turn_caps(spec: PolicySpec) -> PolicySpec:
    """The policy of chains in which some runs are stopped after some calls, one of them at dollars, too."""
    first, second, third, *rest = spec.chains
    chains = (
        (first[0]._replace(cap_turns=12), *first[1:]),
        (second[0]._replace(cap_turns=1), *second[1:]),
        (third[0]._replace(cap_usd=None, cap_turns=1_000_000),),
        *rest,
    )
    return dataclasses.replace(spec, name="golden-turns", chains=chains)


def with_under_cap(spec: PolicySpec) -> PolicySpec:
    """The policy of chains with caps of which two say what they leave of a run, one of them not for every suite."""
    first, second, *rest = with_turn_caps(spec).chains
    every = range(len(spec.suites) + 1)
    chains = (
        (
            first[0]._replace(under_cap=UnderCap(tuple(every), *(tuple(1 / (j + 2) for j in every),) * 2)),
            *first[1:],
        ),
        (second[0]._replace(under_cap=UnderCap((1,), (0.3,), (0.9,))), *second[1:]),
        *rest,
    )
    return dataclasses.replace(spec, name="golden-under-cap", chains=chains)


def in_sessions(spec: PolicySpec) -> PolicySpec:
    """The policy with what is known of sessions, of some candidates in some suites."""
    rows = tuple(
        tuple(
            None
            if (row + column) % 3 == 2
            else Session(1.0 + row + column / 4, 250.0 * (1 + column), 300.0 * row)
            for column in range(len(spec.profiles))
        )
        for row in range(len(spec.suites) + 1)
    )
    return dataclasses.replace(spec, name="golden-sessions", sessions=Sessions("none", rows))


def in_harnesses(spec: PolicySpec) -> PolicySpec:
    """The policy with a harness around three candidates, each of other settings: one keeps little of the past, one has
    everything that can be set, and of one the application alone knows what it does."""
    every = Harness(
        "all", {"mask": 3}, "user", 2000, ("read", "edit"), 20, 0, {"agent": "react", "checks": [1, None]}
    )
    around = {0: Harness("last", {"last": 2}), 2: every, 4: None}
    profiles = tuple(
        profile
        if column not in around
        else profile._replace(
            candidate=Candidate(*profile.candidate, ("last", None, "all", None, "own")[column]),
            harness=around[column],
        )
        for column, profile in enumerate(spec.profiles)
    )
    return dataclasses.replace(spec, name="golden-harnesses", profiles=profiles)


def with_team(spec: PolicySpec) -> PolicySpec:
    """The policy with a team of three roles in a harness, one of them of no known share, limits or prices."""
    first, low, last = spec.profiles[0], spec.profiles[2], spec.profiles[4]
    roles = {
        "executor": Role(first, Limits(256, 12, 0.01), 0.25),
        "planner": Role(low, Limits(1024, 1, None), 0.75),
        "rôle 🙂": Role(last._replace(prices=None, request={})),
    }
    reason = {"api": None, "arguments": {}, "reproducible": False, "reason": "a team makes several"}
    name, harness = Candidate("planner m1, executor m0", None, "short"), Harness("short", turns=9)
    profiles = (*spec.profiles[:4], Profile(name, reason, harness=harness, roles=roles))
    return dataclasses.replace(spec, name="golden-team", profiles=profiles)


def with_life(spec: PolicySpec) -> PolicySpec:
    """The policy of pieces of which three retire, the reference among them, with a successor; a suite is kept to three
    of whom the reference is none, and two points explore."""
    return dataclasses.replace(
        spec,
        name="golden-life",
        retires=(None, "2027-03-01", None, "2027-09-01", "2028-01-01"),
        successor=2,
        allowed={"b": (3, 1, 2)},
        explore={"mixed": 0.3, "assigned": 0.1},
    )


def with_life_and_chains(spec: PolicySpec) -> PolicySpec:
    """The policy of chains of which a stage and the reference retire, nobody named to come then; a suite is kept to
    those of its chains, and one point explores."""
    return dataclasses.replace(
        spec,
        name="golden-life-chains",
        retires=(None, None, "2027-03-01", None, "2028-01-01"),
        allowed={"a": (3, 0, 2, 4)},
        explore={"half": 0.25},
    )


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    spec = golden_spec()
    made = {
        "identity": spec,
        "log2ish": logarithmic(spec),
        "bounded": bounded(spec),
        "guarded": guarded(spec),
        "heads": with_heads(spec),
        "unknown": dataclasses.replace(spec, name="golden-unknown", coverage_unknown=0.7),
        "sessions": in_sessions(spec),
        "vector": steered(logarithmic(spec)),
        "pieces": in_pieces(spec),
        "steered": in_pieces(steered(logarithmic(spec))),
        "chains": chained(spec),
        "steered-chains": chained(steered(logarithmic(spec))),
        "shared": in_shared_rows(chained(spec)),
        "turns": with_turn_caps(chained(spec)),
        "under-cap": with_under_cap(chained(spec)),
        "harnesses": in_harnesses(spec),
        "team": with_team(chained(spec)),
        "life": with_life(in_pieces(spec)),
        "life-chains": with_life_and_chains(chained(spec)),
    }
    for name, spec in ((name, made[name]) for name in names):
        policy = load_policy(save_policy(Policy(spec), folder / name))
        (folder / f"{name}.vectors.jsonl").write_bytes(b"".join(jsonio.dumps(row) for row in vectors(policy)))
        print(name, policy.revision)


if __name__ == "__main__":
    main()
