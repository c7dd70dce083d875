"""Whatever is asked of a store, in whatever order policies come and go: one answer, or one and the same error."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import PolicyStore

texts = st.text(st.characters(exclude_categories=()), max_size=30)
names = st.sampled_from(["m00", "m01", "x", "default"])
pairs = st.tuples(names, st.none() | st.just("low"))
junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary(max_size=5)
    | st.lists(st.integers())
)
numbers = st.floats(0, 10) | st.integers(0, 10**20)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"]), "content": texts | junk}), max_size=3
)
ASKED = {
    "suite": texts | st.sampled_from(["a", "c"]), "point": texts | st.sampled_from(["half", "thrifty"]),
    "allowed": st.lists(pairs, max_size=4) | st.sets(pairs), "max_cost_usd": numbers, "min_quality": numbers,
    "deadline_s": numbers, "context_tokens": numbers, "previous": pairs, "cached_tokens": numbers,
    "key": texts | st.binary(),
    "tiers": st.lists(st.sampled_from(["standard", "batch", "moon"])), "vector": st.lists(st.floats(), max_size=4),
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[PolicyStore]:
    found = importlib.util.spec_from_file_location(
        "c", Path(__file__).parent.parent / "runtime" / "conftest.py"
    )
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("stores")
    specs = [
        module.random_spec(),
        module.random_spec(seed=1, columns=2, suites=("c",), routes={}, name="other"),
    ]
    paths = [save_policy(Policy(spec), folder / str(number)) for number, spec in enumerate(specs)]
    made = [PolicyStore(path, default=("default", None)) for path in (*paths, folder / "absent")]
    assert [store.check() for store in made] == [True, True, False]
    return made


def answer(store: PolicyStore, prompt: Any, asked: dict[str, Any]) -> Decision | str:
    try:
        return store.decide(prompt, **asked)
    except PolicyError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(prompt=texts | messages, asked=st.fixed_dictionaries({}, optional=ASKED))
def test_what_can_be_valid_is_answered(stores: list[PolicyStore], prompt: Any, asked: dict[str, Any]) -> None:
    for store in stores:
        found = answer(store, prompt, asked)
        if asked.get("allowed") in ([], set()):
            assert isinstance(found, str)
            continue
        assert isinstance(found, Decision), found
        assert "allowed" not in asked or found.candidate in asked["allowed"]
        assert all("allowed" not in asked or one in asked["allowed"] for one in found.fallbacks)
        assert found.to_dict() and store.decide(prompt, **asked) == found


@settings(max_examples=300, deadline=None)
@given(prompt=texts | junk, asked=st.fixed_dictionaries({}, optional=dict.fromkeys(ASKED, junk)))
def test_and_what_cannot_is_refused_alike(
    stores: list[PolicyStore], prompt: Any, asked: dict[str, Any]
) -> None:
    found = [answer(store, prompt, asked) for store in stores]
    assert len({isinstance(one, str) for one in found}) == 1
    assert len({one for one in found if isinstance(one, str)}) <= 1
