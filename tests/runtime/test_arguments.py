"""Whatever callers hand to a store, across swaps: a decision that keeps to `allowed`, or one PolicyError for all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_lab.runtime.arguments import pair
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import Challenger, PolicyStore
from router_lab.runtime.vectors import VectorScale

DEFAULT = Candidate("default-model")
Maker = Callable[[], Any]
"""Makes one argument anew: what can be read only once is made for each call."""


def fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("of the caller's own kind")


_METHODS = dict.fromkeys(
    (
        "__len__", "__iter__", "__getitem__", "__eq__", "__hash__", "__bool__", "__repr__", "__str__", "__contains__",
        "__lt__", "__le__", "__gt__", "__ge__", "__float__", "__int__", "__index__", "__array__", "__format__", "get",
        "keys", "items", "encode", "tolist", "translate",
    ),
    fails,
)  # fmt: skip
"""Everything that may be asked of an object, failing. (Of `Candidate` only what a tuple can override.)"""
Text, Bytes = type("Text", (str,), _METHODS), type("Bytes", (bytes,), _METHODS)
Float, Int = type("Float", (float,), _METHODS), type("Int", (int,), _METHODS)
List, Tuple, Dict = (
    type("List", (list,), _METHODS),
    type("Tuple", (tuple,), _METHODS),
    type("Dict", (dict,), _METHODS),
)
Thing = type("Thing", (), _METHODS)
Masked = type("Masked", (), {"__class__": property(fails)})


def plain(pair: Any) -> tuple[str, str | None]:
    model, effort = pair
    return str.__str__(model), None if effort is None else str.__str__(effort)


def raising(value: Any) -> Iterator[Any]:
    yield value
    raise ValueError("no more")


def nested(depth: int, kind: type) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = kind([value]) if kind is not dict else {"content": value, "type": "text", "text": value}
    return value


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def fixed(*values: Any) -> st.SearchStrategy[Maker]:
    return st.sampled_from([lambda value=value: value for value in values])


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=40).flatmap(
        lambda text: st.sampled_from([lambda: text, lambda: Text(text), lambda: np.str_(text)])
    ),
    fixed("", "maths", "never", "half", "a", "\ud800", "x" * 5_000, "\x00"),
)
ODD = fixed(
    None, True, 0, -1, 7, 0.5, float("nan"), float("inf"), -float("inf"), 10**400, -(10**5_000), Float(3.0), Int(3),
    Float(-1.0), np.float16(2), np.float32("nan"), np.int8(-3), np.bool_(True), np.array(3.0), np.array([1.0, 2.0]),
    np.array(["a"]), np.array([None, 1], object), Decimal("0.1"), Fraction(1, 3), 1 + 2j, b"", b"\xff", Bytes(b"k"),
    bytearray(b"k"), memoryview(b"k"), "x", [], (), {}, set(), Thing(), Masked(), Text, fails, nested(3_000, list),
    nested(3_000, tuple), circle(), List([1.0]), Tuple((1.0, 2.0)), Dict(role="user"), np.ma.masked, object(), range(3),
    np.datetime64("2020-01-01"), np.recarray((2,), [("a", float)]), "\ud800",
)  # fmt: skip
_NAMES: list[Any] = [
    ("cheap", "low"), ("dear", None), ("m00", None), ("m04", None), ("gone", "max"), ("\ud800", None), DEFAULT,
    (Text("cheap"), Text("low")), (np.str_("dear"), None), ["m01", None],
]  # fmt: skip
# Hypothesis would ask for their hash.
NAMES = st.integers(0, len(_NAMES) - 1).map(lambda index: _NAMES[index])
PAIRS = st.lists(NAMES, min_size=1, max_size=4)
ALLOWED = st.one_of(
    PAIRS.map(lambda pairs: lambda: pairs),
    PAIRS.map(lambda pairs: lambda: iter(pairs)),
    PAIRS.map(lambda pairs: lambda: (pair for pair in pairs)),
    PAIRS.map(lambda pairs: lambda: set(map(plain, pairs))),
    PAIRS.map(lambda pairs: lambda: tuple(pairs)),
    PAIRS.map(lambda pairs: lambda: raising(pairs[0])),
    st.just(lambda: itertools.repeat(("dear", None))),
    ODD,
    ODD.map(lambda make: lambda: [make(), ("dear", None)]),
    ODD.map(lambda make: lambda: [("dear", make())]),
)
CONTENT = st.one_of(
    TEXTS, ODD, TEXTS.map(lambda make: lambda: [{"type": "text", "text": make()}]),
    ODD.map(lambda make: lambda: [make(), {"type": "text", "text": make()}]),
)  # fmt: skip
MESSAGES = st.one_of(
    CONTENT.map(lambda make: lambda: [{"role": "user", "content": make()}]),
    CONTENT.map(
        lambda make: lambda: ({"role": make(), "content": make()}, {"role": "user", "content": make()})
    ),
    CONTENT.map(lambda make: lambda: [Dict(role="user", content=make())]),
    CONTENT.map(lambda make: lambda: (message for message in [{"role": "user", "content": make()}])),
)
GOOD = st.floats(0, 1e3).map(lambda value: lambda: value)
NUMBERS = st.one_of(GOOD, GOOD, GOOD, st.floats().map(lambda value: lambda: value), ODD)
NAMED = st.one_of(TEXTS, TEXTS, TEXTS, ODD)
ASKED = st.fixed_dictionaries(
    {"prompt": st.one_of(TEXTS, TEXTS, MESSAGES, MESSAGES, ODD)},
    optional={
        "suite": NAMED, "point": NAMED, "key": NAMED,
        "allowed": ALLOWED, "previous": st.one_of(NAMES.map(lambda pair: lambda: pair), ODD), "vector": ODD,
        "tiers": st.one_of(TEXTS.map(lambda make: lambda: iter(["standard", make()])), ODD),
        "max_cost_usd": NUMBERS, "min_quality": NUMBERS, "deadline_s": NUMBERS, "context_tokens": NUMBERS,
        "cached_tokens": NUMBERS,
    },
)  # fmt: skip


def test_a_store_answers_or_says_why_not_whatever_it_is_handed(
    make_spec: Any, make_random: Any, tmp_path: Path
) -> None:
    taking = Linear.constant(np.zeros((3, 6)), np.zeros((2, 3)), VectorScale(np.zeros(2), np.ones(2)))
    policies = [Policy(make_spec()), Policy(make_random()), Policy(make_spec(linear=taking))]
    paths = [save_policy(policy, tmp_path / str(number)) for number, policy in enumerate(policies)]
    at = itertools.count()
    stores = [PolicyStore(lambda: paths[next(at) % 3], default=DEFAULT) for _ in range(2)]
    stores[0]._challenger = Challenger(stores[1], canary=0.3, shadow=0.5, on_shadow=lambda *both: None)
    empty = PolicyStore(tmp_path / "absent", default=DEFAULT)
    for store in stores:
        assert store.check()
    seen = {"decided": 0, "refused": 0}

    @settings(max_examples=250, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(ASKED)
    def ask(asked: dict[str, Maker]) -> None:
        if sum(seen.values()) % 25 == 0:
            for store in stores:
                assert store.check()
        results: set[str] = set()
        for one in (*stores, empty):
            try:
                decision = one.decide(**{name: make() for name, make in asked.items()})
            except PolicyError as error:
                results.add(str(error).split(" at 0x")[0])
                continue
            results.add("decided")
            assert isinstance(decision, Decision) and isinstance(decision.reason, str) and decision.to_dict()
            if "allowed" in asked and asked["allowed"]() is not None:
                assert {decision.candidate, *decision.fallbacks} <= set(map(plain, asked["allowed"]()))
        assert len(results) == 1  # alike whatever policy, or none, serves
        seen["decided" if results == {"decided"} else "refused"] += 1

    ask()
    assert min(seen.values()) > 20


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("argument", ["prompt", "allowed", "tiers", "max_cost_usd", "vector", "previous"])
def test_an_interrupt_passes_from_whatever_is_read(
    policy: Policy, tmp_path: Path, argument: str, interrupt: type[BaseException]
) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise interrupt

    methods = dict.fromkeys(("__len__", "__iter__", "__ge__", "__array__"), stop)
    value: Any = {
        "prompt": [type("D", (dict,), {"get": stop})()], "allowed": type("L", (list,), methods)(),
        "tiers": (stop() for _ in range(2)), "max_cost_usd": type("F", (float,), methods)(1.0),
        "vector": type("V", (), methods)(), "previous": type("T", (tuple,), methods)(("m", None)),
    }[argument]  # fmt: skip
    store = PolicyStore(save_policy(policy, tmp_path / "p"), default=DEFAULT)
    assert store.check()
    with pytest.raises(interrupt):
        store.decide(**({"prompt": "x"} | {argument: value}))


def test_a_candidate_of_plain_texts_is_itself_and_any_other_is_read_anew() -> None:
    own = Candidate("m", None, "h")
    assert pair(own, "decide: previous") is own
    read = pair(Candidate(Text("m"), Text("low")), "decide: previous")
    assert read == Candidate("m", "low") and {type(part) for part in read} == {str}
    for bad in (Candidate(""), Candidate("m", ""), Candidate("m", 3), Candidate(None)):  # type: ignore[arg-type]
        with pytest.raises(PolicyError, match="decide: previous"):
            pair(bad, "decide: previous")
