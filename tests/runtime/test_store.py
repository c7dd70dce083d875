"""A policy in a running service: swapped whole, refused whole, never waited for."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from router_lab.runtime.artifact import save_policy, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import Release, build_release
from router_lab.runtime.store import Challenger, PolicyStore

DEFAULT = Candidate("default-model")


def publish(folder: Path, policy: Policy, number: int) -> str:
    """Save a revision and point RELEASE.json at it, as `router-lab publish` does."""
    path = save_revision(policy, folder)
    revision = Policy(policy.spec).revision or str(_revision(path))
    (folder / "RELEASE.json").write_bytes(build_release(Release("random", "champion", number, revision)))
    return revision


def _revision(path: Path) -> str:
    from router_lab import load_policy

    revision = load_policy(path).revision
    assert revision is not None
    return revision


@pytest.fixture
def two(make_random: Any) -> tuple[Policy, Policy]:
    return Policy(make_random(seed=1)), Policy(make_random(seed=2))


def test_the_default_serves_until_something_is_loaded(tmp_path: Path) -> None:
    refusals: list[PolicyError] = []
    store = PolicyStore(tmp_path / "absent", default=DEFAULT, on_refused=refusals.append)
    decision = store.decide("hello", max_cost_usd=0.1)
    assert (decision.candidate, decision.code, decision.revision) == (DEFAULT, "default", "default")
    assert "default" in decision.reason
    assert not store.check()
    assert not store.check()
    assert store.status.refused == 2
    assert [str(error) for error in refusals] == [store.status.last_refusal]  # told once
    assert store.decide("hello").candidate == DEFAULT


def test_news_are_taken_and_damage_is_refused(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    refusals: list[PolicyError] = []
    store = PolicyStore(tmp_path, default=DEFAULT, on_refused=refusals.append)
    first = publish(tmp_path, two[0], 1)
    assert store.check()
    assert store.decide("hello").revision == first
    assert not store.check()  # nothing new
    second = publish(tmp_path, two[1], 2)
    good = (tmp_path / second[:16] / "policy.json").read_bytes()
    (tmp_path / second[:16] / "policy.json").write_bytes(good[:-9])
    assert not store.check()
    assert store.decide("hello").revision == first
    assert "policy.json" in str(refusals[-1])
    (tmp_path / second[:16] / "policy.json").write_bytes(good)
    assert store.check()  # it is looked at again, although no stamp of RELEASE.json changed
    assert store.status.revision == second
    assert store.status.release == 2


def test_an_older_release_is_refused_unless_asked_for(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    publish(folder, two[0], 5)
    assert store.check()
    publish(folder, two[1], 4)
    assert not store.check()
    assert "release 4 is not newer than 5" in str(store.status.last_refusal)
    publish(folder, two[1], 5)
    assert not store.check()  # the same number for another revision is no news either
    # The number survives a restart, and a store that is told so takes the older one.
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover()
    publish(folder, two[1], 4)
    assert not again.check()
    willing = PolicyStore(folder, default=DEFAULT, state=state, accept_older=True)
    willing.recover()
    assert willing.check()
    assert willing.status.release == 5


def test_the_last_good_policy_survives_a_restart(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    revision = publish(folder, two[0], 1)
    assert PolicyStore(folder, default=DEFAULT, state=state).check()
    shutil.rmtree(folder)
    store = PolicyStore(folder, default=DEFAULT, state=state)
    assert store.recover()
    assert not store.check()
    assert store.decide("hello").revision == revision


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"current": "../../etc", "previous": null, "release": 1}', b"{"]
)
def test_a_damaged_state_is_reported_and_left(
    two: tuple[Policy, Policy], tmp_path: Path, data: bytes
) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    state.mkdir()
    (state / "state.json").write_bytes(data)
    store = PolicyStore(folder, default=DEFAULT, state=state)
    assert not store.recover()
    assert "state" in str(store.status.last_refusal)
    publish(folder, two[0], 1)
    assert store.check()


def test_a_tampered_last_good_policy_is_not_served(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    publish(folder, two[0], 1)
    assert PolicyStore(folder, default=DEFAULT, state=state).check()
    [weights] = state.glob("*/policy/weights.npy")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    store = PolicyStore(folder, default=DEFAULT, state=state)
    assert not store.recover()
    assert store.decide("x").code == "default"


@pytest.mark.parametrize("kept", [True, False])
def test_rollback_in_one_call(two: tuple[Policy, Policy], tmp_path: Path, kept: bool) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state if kept else None)
    assert not store.rollback()
    first = publish(folder, two[0], 1)
    store.check()
    second = publish(folder, two[1], 2)
    store.check()
    if kept:  # also after a restart
        store = PolicyStore(folder, default=DEFAULT, state=state)
        store.recover()
    assert store.decide("x").revision == second
    assert store.rollback()
    assert store.decide("x").revision == first
    assert not store.check()  # what was rolled back is not taken again …
    assert store.decide("x").revision == first
    publish(folder, two[0], 3)
    store.check()
    publish(folder, two[1], 4)
    assert store.check()  # … until it is released again
    assert store.decide("x").revision == second


def test_a_source_may_be_a_callable_or_a_symlink_and_may_fail(
    two: tuple[Policy, Policy], tmp_path: Path
) -> None:
    one, other = save_policy(two[0], tmp_path / "one"), save_policy(two[1], tmp_path / "other")
    current = tmp_path / "current"
    current.symlink_to(one)
    store = PolicyStore(current, default=DEFAULT)
    assert store.check()
    before = store.decide("x").revision
    current.unlink()
    current.symlink_to(other)
    assert store.check()
    assert store.decide("x").revision != before

    def broken() -> str:
        raise ConnectionError("no network")

    failing = PolicyStore(broken, default=DEFAULT)
    assert not failing.check()
    assert "no network" in str(failing.status.last_refusal)
    assert PolicyStore(lambda: one, default=DEFAULT).check()


def test_start_returns_at_once_and_the_thread_loads(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    gate, loaded = threading.Event(), threading.Event()
    path = save_policy(two[0], tmp_path / "one")

    def slow() -> Path:
        gate.wait(30)
        return path

    def clock() -> float:
        loaded.set()
        return 0.0

    with PolicyStore(slow, default=DEFAULT, interval_s=0.01, clock=clock) as store:
        assert store.decide("x").code == "default"  # although the source hangs
        gate.set()
        assert loaded.wait(30)
    assert store.status.checks >= 1


def test_canary_and_shadow_by_stable_hash(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    one, other = save_policy(two[0], tmp_path / "one"), save_policy(two[1], tmp_path / "other")
    seen: list[tuple[str, str]] = []
    rival = PolicyStore(other, default=DEFAULT)
    store = PolicyStore(
        one,
        default=DEFAULT,
        challenger=Challenger(rival, 0.2, 0.5, lambda a, b: seen.append((a.revision, b.revision))),
    )
    store.check()
    champion = store.policy.revision
    keys = [f"user-{number}" for number in range(1000)]
    assert {store.decide("x", key=key).revision for key in keys} == {champion}  # the rival is not loaded yet
    rival.check()
    seen.clear()
    first = [store.decide("x", key=key).revision for key in keys]
    assert first == [store.decide(f"y {key}", key=key).revision for key in keys]
    assert 160 < sum(revision != champion for revision in first) < 240
    assert 0.4 < len(seen) / sum(revision == champion for revision in first) / 2 < 0.6
    assert set(seen) == {(champion, rival.policy.revision)}
    assert store.decide([{"role": "user", "content": "x"}]).revision in {champion, rival.policy.revision}


def test_a_failing_shadow_costs_no_answer(two: tuple[Policy, Policy], tmp_path: Path) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("shadow")

    rival = PolicyStore(save_policy(two[1], tmp_path / "other"), default=DEFAULT)
    rival.check()
    store = PolicyStore(
        save_policy(two[0], tmp_path / "one"), default=DEFAULT, challenger=Challenger(rival, 0.0, 1.0, broken)
    )
    store.check()
    assert store.decide("x").revision == store.policy.revision


def swap_while_deciding(
    folder: Path, policies: list[Policy], swaps: int, threads: int
) -> tuple[int, set[str], set[str]]:
    """Publish `swaps` times, every second time a damaged artifact, while `threads` threads decide.

    Returns (decisions made, revisions they named, revisions that were ever whole).
    """
    store = PolicyStore(folder, default=DEFAULT)
    revisions = [_revision(save_revision(policy, folder)) for policy in policies]
    expected = {
        revision: {text: policy.decide(text, key="k") for text in TEXTS}
        for revision, policy in zip(revisions, policies, strict=True)
    }
    errors: list[BaseException] = []
    named: list[set[str]] = [set() for _ in range(threads)]
    counts = [0] * threads
    stop = threading.Event()

    def decide(index: int) -> None:
        try:
            while not stop.is_set():
                for text in TEXTS:
                    decision = store.decide(text, key="k")
                    counts[index] += 1
                    if decision.code == "default":
                        continue
                    named[index].add(decision.revision)
                    wanted = expected[decision.revision][text].to_dict() | {"revision": decision.revision}
                    assert decision.to_dict() == wanted  # whole: every part of one policy
                stop.wait(0.005)  # leaves the interpreter to the thread that swaps
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    workers = [threading.Thread(target=decide, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    rng = random.Random(0)
    damaged = 0
    for number in range(1, swaps + 1):
        choice = rng.randrange(len(policies))
        source = folder / revisions[choice][:16]
        target = folder / f"try-{number}"
        shutil.copytree(source, target)
        if number % 2 == 0:
            path = target / rng.choice(
                ["policy.json", "weights.npy", "MANIFEST.json", "golden.jsonl", "buckets.npy"]
            )
            data = path.read_bytes()
            at = rng.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
            damaged += 1
        store._source = target
        before = store.policy.revision
        taken = store.check()
        assert taken is (number % 2 == 1)
        assert number % 2 or store.policy.revision == before
        shutil.rmtree(target)
    stop.set()
    for worker in workers:
        worker.join()
    assert not errors, errors[0]
    assert store.status.refused == damaged == swaps // 2
    return sum(counts), set().union(*named), set(revisions)


TEXTS = ["hello there", "What is 12 times 7?", "日本語 text", "a b c d e f"]


def test_threads_never_see_a_torn_or_refused_policy(make_random: Any, tmp_path: Path) -> None:
    policies = [Policy(make_random(seed=seed)) for seed in range(4)]
    made, named, whole = swap_while_deciding(tmp_path, policies, swaps=200, threads=8)
    assert made > 200
    assert named <= whole
