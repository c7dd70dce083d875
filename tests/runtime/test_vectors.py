"""A user's own vector: what it adds by hand, what counts as missing, what is refused, and that nothing else moves."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import load_policy
from router_lab.runtime.artifact import PARTS, encode_policy, revision_of, save_policy, write_files
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import DENSE
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.store import Challenger, PolicyStore
from router_lab.runtime.vectors import MAX_LENGTH, VectorScale, VectorWeights

SEEN = "the quick brown fox jumps over the lazy dog"
NUMBERS = st.floats() | st.integers() | st.sampled_from([10**400, 1e308, -1e308, 0.0, None])
STANDARD = VectorScale(np.array([1.0, 10.0]), np.array([2.0, 5.0]))


def steered(spec: Any) -> Any:
    """`make_spec`'s policy, whose first vector component adds .1 of quality to `cheap` for each deviation (2) above 1,
    and whose second takes .02 for each (5) above 10."""
    per_unit = np.zeros((2, 6))
    per_unit[:, 0] = np.array([0.1, -0.02]) / 64
    old = spec.linear
    linear = Linear.quantised(
        seen=old.seen, weights=np.zeros((len(old.seen), 6)), bias=old.bias, dense=np.zeros((len(DENSE), 6)),
        cost_bounds=old.cost_bounds, standard=STANDARD, vector=per_unit,
    )  # fmt: skip
    return replace(spec, linear=linear)


@pytest.fixture
def policy(make_spec: Any) -> Policy:
    return Policy(steered(make_spec()))


def random_steered(spec: Any, length: int, seed: int = 1) -> Any:
    draw, columns = np.random.default_rng(seed), 2 * len(spec.profiles)
    vector = VectorWeights(
        VectorScale(draw.normal(size=length), draw.uniform(0.1, 3.0, length)),
        draw.integers(-127, 128, (length, columns)).astype(np.int8),
        np.full(columns, 1e-5),
    )
    return replace(spec, linear=replace(spec.linear, vector=vector))


def test_what_a_vector_adds_by_hand(policy: Policy) -> None:
    vectors = [(1.0, 10.0), (3.0, 10.0), (-1.0, 15.0), (1e300, 10.0), None]
    quality, cost = policy.predict([SEEN] * 5, None, vectors)
    # .70, then .70 + .1, .70 - .1 - .02, and .70 + .8 (8 deviations at most) cut to 1; the int8 step is .1 / 127.
    assert quality[:, 0] == pytest.approx([0.70, 0.80, 0.58, 1.0, 0.70], abs=1e-3)
    assert (quality[:, 1:] == [0.79, 0.90]).all() and (cost == [0.001, 0.002, 0.005]).all()
    assert policy.decide(SEEN, vector=(3.0, 10.0)).quality == quality[1, 0]
    assert not policy.decide(SEEN, vector=(3.0, 10.0)).next("refused").vector_missing
    assert policy.decide(SEEN).next("refused").vector_missing
    # Utilities: cheap .58 - .10 = .48, middle .59, dear .40.
    assert policy.decide(SEEN, vector=[-1, 15]).candidate == Candidate("cheap", "max")
    assert policy.decide(SEEN, vector=np.float32([3, 10])).candidate == Candidate("cheap", "low")


@pytest.mark.parametrize(
    "missing", [None, (math.nan, 3.0), [math.inf, 0.0], (0.0, -math.inf), [10**400, 1], [None, 1.0]]
)
def test_what_is_not_finite_counts_as_missing(policy: Policy, missing: Any) -> None:
    assert policy.decide(SEEN, vector=missing) == policy.decide(SEEN)
    assert (
        policy.decide(SEEN, vector=missing).vector_missing and policy.decide(SEEN).evidence["vector_missing"]
    )
    assert (policy.shares([SEEN], vectors=[missing]) == policy.shares([SEEN])).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((1.0,), "has 1 numbers; this policy was fitted on vectors of 2"),
        ([], "has 0 numbers"),
        (((1.0, 2.0), (1.0, 2.0)), r"the shape \[2, 2\]"),
        (1.0, "the shape"),
        ("ab", "not a sequence of numbers"),
        (("a", "b"), "not a sequence of numbers"),
        ({"a": 1}, "not a sequence of numbers"),
        (np.array([1j, 2j]), "not a sequence of numbers"),
    ],
)
def test_what_can_never_be_a_vector_is_refused(policy: Policy, wrong: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        policy.decide(SEEN, vector=wrong)
    with pytest.raises(PolicyError, match=message):
        policy.predict([SEEN, SEEN], None, [None, wrong])


def test_a_policy_without_vectors_takes_none(make_spec: Any) -> None:
    plain = Policy(make_spec())
    assert plain.vector_length is None and not plain.decide(SEEN).vector_missing
    with pytest.raises(
        PolicyError, match=r"decide: vector was given, but this policy was fitted without vectors"
    ):
        plain.decide(SEEN, vector=[1.0, 2.0])
    with pytest.raises(PolicyError, match=r"predict: vectors was given"):
        plain.predict([SEEN], None, [None])


def test_as_many_vectors_as_prompts(policy: Policy) -> None:
    assert policy.vector_length == 2
    with pytest.raises(PolicyError, match="1 vectors for 2 prompts"):
        policy.predict(["a", "b"], None, [None])


def test_a_vector_without_words_is_covered(policy: Policy) -> None:
    assert policy.decide("", suite="triage").code == "table"
    alone = policy.decide("", suite="triage", vector=(3.0, 10.0))
    assert alone.code == "predicted" and alone.evidence["coverage"] == 1.0
    assert policy.decide("", suite="triage", vector=(math.nan, 10.0)).code == "table"
    # Words that were never seen are not made good by a vector.
    assert policy.decide("zyx wvu", suite="triage", vector=(3.0, 10.0)).code == "table"
    assert policy.predictions(["", "", SEEN], None, [None, (3.0, 10.0), None]).coverage.tolist() == [
        0.0,
        1.0,
        1.0,
    ]


@given(
    st.text(max_size=80), st.lists(NUMBERS, min_size=5, max_size=5), st.sampled_from([None, "a", "nowhere"])
)
def test_no_text_and_no_vector_of_the_right_length_raises(
    make_random: Any, text: str, vector: list[Any], suite: str | None
) -> None:
    policy = Policy(random_steered(make_random(), 5))
    decision = policy.decide(text, suite=suite, vector=vector)
    quality, cost = policy.predict([text], [suite], [vector])
    assert decision.quality == quality[0, policy.candidates.index(decision.candidate)]
    assert (quality >= 0).all() and (quality <= 1).all() and (cost > 0).all()


@pytest.mark.parametrize("length", [1, 384, 1200])
def test_one_and_many_agree_to_the_last_bit(make_random: Any, length: int) -> None:
    # 40 candidates: the product is made in several parts.
    policy = Policy(random_steered(make_random(columns=40), length))
    vectors = np.random.default_rng(2).normal(0, 3, (30, length))
    vectors[3, 0] = np.nan
    texts = [f"question {i} of the day" for i in range(30)]
    found = policy.predictions(texts, None, vectors)
    for i, text in enumerate(texts):
        added = policy._predictor.steered(vectors[i])
        quality, cost, coverage = policy._predictor.one(text, 0, added)
        assert (quality == found.quality[i]).all() and (cost == found.cost_usd[i]).all()
        assert coverage == found.coverage[i]


def test_it_survives_saving_and_the_self_test_uses_vectors(make_random: Any, tmp_path: Path) -> None:
    policy = Policy(random_steered(make_random(), 9))
    loaded = load_policy(save_policy(policy, tmp_path / "new"))
    vector = np.linspace(-3, 3, 9)
    one, two = (p.decide("a b c", vector=vector).to_dict() | {"revision": ""} for p in (policy, loaded))
    assert one == two
    rows = [json.loads(line) for line in (tmp_path / "new" / "golden.jsonl").read_text().splitlines()]
    assert {row["vector"] is None for row in rows} == {True, False}
    assert json.loads((tmp_path / "new" / "policy.json").read_text())["schema_version"] == 2
    assert {path.name for path in (tmp_path / "new").iterdir()} == {*PARTS, "MANIFEST.json"}


def test_without_vectors_it_is_still_version_1(make_random: Any, tmp_path: Path) -> None:
    files = encode_policy(Policy(make_random()))
    assert json.loads(files["policy.json"])["schema_version"] == 1
    assert all("vector" not in json.loads(line) for line in files["golden.jsonl"].splitlines())


def _shorter(value: dict[str, Any]) -> None:
    for key in ("centre", "spread"):
        value["vector"][key].pop()


SPOILED = {
    "no block": lambda v: v.pop("vector"),
    "version 1 with it": lambda v: v.update(schema_version=1),
    "an unknown key": lambda v: v["vector"].update(code=1),
    "a key too few": lambda v: v["vector"].pop("scale"),
    "not lists": lambda v: v["vector"].update(centre="nine"),
    "one component less": _shorter,
    "a spread less": lambda v: v["vector"]["spread"].pop(),
    "a scale more": lambda v: v["vector"]["scale"].append(1.0),
    "no spread": lambda v: v["vector"]["spread"].__setitem__(0, 0.0),
    "a text": lambda v: v["vector"]["centre"].__setitem__(0, "1"),
    "true": lambda v: v["vector"]["centre"].__setitem__(0, True),
    "too great": lambda v: v["vector"]["scale"].__setitem__(0, 1e10),
    "beyond a double": lambda v: v["vector"]["centre"].__setitem__(0, 10**400),
    "too long": lambda v: v["vector"].update(centre=[0.0] * (MAX_LENGTH + 1)),
    "none at all": lambda v: v["vector"].update(centre=[], spread=[]),
    "another centre": lambda v: v["vector"]["centre"].__setitem__(0, 3.25),
}


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_a_spoiled_block_is_refused(make_random: Any, tmp_path: Path, name: str) -> None:
    files = encode_policy(Policy(random_steered(make_random(), 9)))
    value = json.loads(files["policy.json"])
    SPOILED[name](value)
    files["policy.json"] = json.dumps(value).encode()
    revision_of(files)
    with pytest.raises(PolicyError, match=r"policy\.json|weights\.npy|golden\.jsonl"):
        load_policy(write_files(files, tmp_path / "spoiled"))


@pytest.mark.parametrize("change", ["bit", "row"])
def test_spoiled_weights_are_refused(make_random: Any, tmp_path: Path, change: str) -> None:
    files = encode_policy(Policy(random_steered(make_random(), 9)))
    data = files["weights.npy"]
    files["weights.npy"] = data[:-1] + bytes([data[-1] ^ 64]) if change == "bit" else data[:-10]
    with pytest.raises(PolicyError, match=r"weights\.npy|golden\.jsonl"):
        load_policy(write_files(files, tmp_path / "spoiled"))


def test_a_store_passes_vectors_to_those_that_take_them(make_random: Any, tmp_path: Path) -> None:
    taking = save_policy(Policy(random_steered(make_random(), 4)), tmp_path / "taking")
    plain = save_policy(Policy(make_random()), tmp_path / "plain")
    now = [taking]
    store = PolicyStore(lambda: now[0], default=Candidate("m00"))
    vector = (9.0, -9.0, 9.0, -9.0)
    assert store.decide("a b", vector=vector).code == "default"
    assert store.check() and store.decide("a b", vector=vector) == load_policy(taking).decide(
        "a b", vector=vector
    )
    rival = PolicyStore(plain, default=Candidate("m00"))
    rival.check()
    canary = PolicyStore(taking, default=Candidate("m00"), challenger=Challenger(rival, canary=1.0))
    assert canary.decide("a b", vector=vector) == load_policy(plain).decide("a b")
    now[0] = plain
    assert store.check() and store.decide("a b", vector=vector) == load_policy(plain).decide("a b")
