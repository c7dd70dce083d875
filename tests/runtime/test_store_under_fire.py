"""A store in an operator's worst month: forged and older releases, lost state, full disks, hung sources, forks."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.acks import read_acks
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import InputError, PolicyError
from router_lab.runtime.keys import keygen
from router_lab.runtime.policy import Policy
from router_lab.runtime.poller import JITTER, Poller
from router_lab.runtime.release import LARGEST_STEP, RELEASE, Release, build_release
from router_lab.runtime.store import Challenger, PolicyStore

DEFAULT = ("fallback", None)


@pytest.fixture
def make(make_random: Any) -> Callable[..., Policy]:
    return lambda seed, name="support": Policy(make_random(seed=seed, columns=3, name=name))


def publish(folder: Path, policy: Policy, number: int, key: bytes | None = None, **changes: Any) -> str:
    """Put `policy` into RELEASE.json by hand, as whoever can write the folder may; its revision."""
    place = save_revision(policy, folder)
    revision = json.loads((place / "MANIFEST.json").read_bytes())["revision"]
    release = Release(policy.spec.name, "champion", number, revision)._replace(**changes)
    (folder / RELEASE).write_bytes(build_release(release, key))
    return str(revision)


def served(store: PolicyStore) -> str:
    return store.decide("hello").revision


def test_a_store_is_bound_to_its_name_and_alias(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    private, public = keygen()
    publish(tmp_path, make(1, "toy-experiment"), 9, private, alias="scratch", verdict="fail")
    told = PolicyStore(tmp_path, default=DEFAULT, name="support", alias="champion", public_key=public)
    assert not told.check() and "toy-experiment" in str(told.status.last_refusal)
    first = publish(tmp_path, make(2), 1, private)
    state = tmp_path.with_name(tmp_path.name + "-state")
    for bound in ({"name": "support"}, {"alias": "champion"}):
        assert PolicyStore(tmp_path, default=DEFAULT, **bound).check()
    learnt = PolicyStore(tmp_path, default=DEFAULT, public_key=public, state=state)
    assert learnt.check() and served(learnt) == first
    for again in (learnt, PolicyStore(tmp_path, default=DEFAULT, public_key=public, state=state)):
        publish(tmp_path, make(1, "toy-experiment"), 9, private, alias="scratch")
        assert not again.check()
        assert "'toy-experiment' as 'scratch' is not what this store serves, 'support' as 'champion'" in str(
            again.status.last_refusal
        )
        publish(tmp_path, make(3), 9, private, alias="canary")
        assert not again.check() and "'support' as 'canary'" in str(again.status.last_refusal)
    assert served(learnt) == first


def test_verdicts_can_be_asked_for(make: Any, tmp_path: Path) -> None:
    publish(tmp_path, make(1), 1, verdict="fail")
    strict = PolicyStore(tmp_path, default=DEFAULT, verdicts=("pass",))
    assert not strict.check() and "verdict of release 1 is fail; this store takes pass" in str(
        strict.status.last_refusal
    )
    assert PolicyStore(tmp_path, default=DEFAULT).check()


@pytest.mark.parametrize("harm", ["torn", "missing", "a folder", "intact"])
def test_an_older_release_is_refused_whatever_became_of_the_state(
    make: Any, tmp_path: Path, harm: str
) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    newest = publish(folder, make(7), 7)
    assert PolicyStore(folder, default=DEFAULT, state=state).check()
    file = state / "state.json"
    if harm == "torn":
        file.write_bytes(file.read_bytes()[:20])
    elif harm != "intact":
        file.unlink()
        if harm == "a folder":
            file.mkdir()
    publish(folder, make(1), 1)
    bare = PolicyStore(folder, default=DEFAULT, state=state)
    assert not bare.check()  # without `start` or `recover`
    assert "release 1 is not newer than 7" in str(bare.status.last_refusal)
    assert (bare.status.state_fault is None) == (harm == "intact")
    assert bare.recover() and served(bare) == newest and bare.status.origin == "kept"
    publish(folder, make(2), 7)  # the same number for another revision
    assert not bare.check()
    shutil.rmtree(folder)
    shutil.copytree(save_revision(make(3), tmp_path / "bare"), folder)  # no release at all
    assert not bare.check() and "has no RELEASE.json, and release 7" in str(bare.status.last_refusal)


def test_a_damaged_copy_gives_way_to_the_one_before_and_is_mended(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    first = publish(folder, make(1), 1)
    assert store.check()
    second = publish(folder, make(2), 2)
    assert store.check()
    [copy] = state.glob(f"{second[:16]}-2/policy/policy.json")
    copy.write_bytes(copy.read_bytes()[:-5])
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover() and served(again) == first and again.status.origin == "previous"
    assert again.check() and served(again) == second and again.status.origin == "source"
    third = PolicyStore(tmp_path / "gone", default=DEFAULT, state=state)
    assert third.recover() and served(third) == second and third.status.origin == "kept"


def test_a_number_that_ran_ahead_is_never_taken_and_forgetting_recovers(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    publish(folder, make(1), 2**53 - 1)
    assert not store.check() and "more than 1,000,000 above 0" in str(store.status.last_refusal)
    publish(folder, make(1), 1)
    assert store.check()
    publish(folder, make(2), 1 + LARGEST_STEP)
    assert store.check()
    publish(folder, make(3), 2)
    assert not store.check()
    store.forget_release()
    assert store.check() and store.status.release == 2
    assert PolicyStore(folder, default=DEFAULT, state=state).check() is True  # and so a restart believes


def test_numbers_start_anew_where_the_signer_is_trusted_no_more(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    folder, state, keys = tmp_path / "p", tmp_path / "state", tmp_path / "keys"
    (old, old_public), (new, new_public) = keygen(), keygen()
    keys.write_text(f"{old_public}\n")
    publish(folder, make(1), 900, old)
    store = PolicyStore(folder, default=DEFAULT, state=state, public_key=keys)
    assert store.check()
    keys.write_text(f"{old_public}\n{new_public}\n")
    revision = publish(folder, make(2), 1, new)
    assert not store.check() and "not newer than 900" in str(store.status.last_refusal)
    keys.write_text(f"{new_public}\n")
    assert store.check() and served(store) == revision and store.status.release == 1
    assert json.loads((state / "state.json").read_bytes())["release"] == 1


def test_a_full_state_disk_stops_nothing_and_is_told_once(make: Any, tmp_path: Path, room_for: Any) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    told: list[PolicyError] = []
    first, second = publish(folder, make(1), 1), save_revision(make(2), folder)
    release = (folder / RELEASE).read_bytes()
    revision = json.loads((second / "MANIFEST.json").read_bytes())["revision"]
    store = PolicyStore(folder, default=DEFAULT, state=state, on_refused=told.append)
    later = build_release(Release("support", "champion", 2, revision))
    with room_for(100):
        assert store.check() and served(store) == first
        assert not store.check()
        os.truncate(folder / RELEASE, 0)
        fd = os.open(folder / RELEASE, os.O_WRONLY)
        os.write(fd, later[:100])
        os.close(fd)
    (folder / RELEASE).write_bytes(later)
    with room_for(100):
        assert store.check() and served(store) == revision
    assert len([one for one in told if "cannot be written" in str(one)]) == 1
    assert "what serves is not kept" in str(store.status.state_fault)
    (folder / RELEASE).write_bytes(release)
    assert not store.check()  # older, also without a disk
    (folder / RELEASE).write_bytes(later)
    store.check()  # there is room again
    assert store.status.state_fault is None
    assert PolicyStore(tmp_path / "gone", default=DEFAULT, state=state).recover()


def test_a_state_folder_that_can_be_none_stops_nothing(make: Any, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    first = publish(tmp_path / "p", make(1), 1)
    store = PolicyStore(tmp_path / "p", default=DEFAULT, state=tmp_path / "state")
    assert not store.recover()
    assert store.check() and served(store) == first and store.status.state_fault
    publish(tmp_path / "p", make(2), 2)
    assert store.check()
    assert store.rollback() and served(store) == first


def test_a_rollback_outlives_a_restart_and_never_returns_to_what_failed(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    first = publish(folder, make(1), 1)
    store.check()
    bad = publish(folder, make(2), 2)
    store.check()
    assert served(store) == bad and store.rollback() and served(store) == first
    assert not store.rollback() and served(store) == first
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover() and served(again) == first
    assert not again.check() and served(again) == first
    third = publish(folder, make(3), 3)
    assert again.check() and served(again) == third


def test_a_hung_source_holds_up_nothing(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    one, two = publish(folder, make(1), 1), save_revision(make(2), folder)
    hangs, go = threading.Event(), threading.Event()
    hang = [False]

    def source() -> Path:
        if hang[0]:
            hangs.set()
            go.wait()
        return folder

    store = PolicyStore(source, default=DEFAULT, interval_s=0.01)
    assert store.check()
    revision = json.loads((two / "MANIFEST.json").read_bytes())["revision"]
    (folder / RELEASE).write_bytes(build_release(Release("support", "champion", 2, revision)))
    assert store.check()
    hang[0] = True
    store.start()
    assert hangs.wait(60)
    assert store.status.revision == revision
    assert store.rollback() and served(store) == one
    store.close(wait_s=0.05)
    publish(folder, make(3), 3)
    go.set()  # what hung now ends, and changes nothing
    hang[0] = False
    for thread in threading.enumerate():
        if thread.name == "router-lab-policy-store":
            thread.join(60)
    assert served(store) == one
    assert store.check() and store.status.release == 3


@pytest.mark.parametrize(
    "fault", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()]
)
def test_nothing_that_a_source_or_a_callback_raises_ends_the_looking(
    make: Any, tmp_path: Path, fault: BaseException
) -> None:
    folder = tmp_path / "policies"
    revision = publish(folder, make(1), 1)
    ready, told = threading.Event(), threading.Event()

    def source() -> Path:
        if ready.is_set():
            return folder
        raise fault

    def on_refused(error: PolicyError) -> None:
        told.set()
        raise fault

    with PolicyStore(source, default=DEFAULT, interval_s=0.01, on_refused=on_refused) as store:
        assert told.wait(20)
        assert (
            type(fault).__name__ in str(store.status.last_refusal)
            and store.status.interrupted_since is not None
        )
        ready.set()
        for _ in range(2_000):
            if (served(store), store.status.interrupted_since) == (revision, None):
                break
            time.sleep(0.01)
        assert (served(store), store.status.interrupted_since) == (revision, None)


def test_a_pipe_for_a_release_is_refused_without_waiting(make: Any, tmp_path: Path) -> None:
    publish(tmp_path, make(1), 1)
    (tmp_path / RELEASE).unlink()
    os.mkfifo(tmp_path / RELEASE)
    store = PolicyStore(tmp_path, default=DEFAULT)
    assert not store.check() and store.status.interrupted_since is not None


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), True])
def test_an_interval_that_would_spin_or_never_end_is_refused(tmp_path: Path, interval: float) -> None:
    with pytest.raises(ValueError, match=r"interval_s: .* is not a finite number of seconds above 0"):
        PolicyStore(tmp_path, default=DEFAULT, interval_s=interval)


def test_looks_are_jittered_by_the_generator_given() -> None:
    waited: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return len(waited) == 200

    poller = Poller(lambda turn: None, 30.0, np.random.default_rng(1))
    poller._run(poller.turn, Stop())
    assert 30 * (1 - JITTER) <= min(waited) < 28 and 32 < max(waited) <= 30 * (1 + JITTER)
    twin = Poller(lambda turn: None, 30.0, np.random.default_rng(1))
    first, waited = waited[:], []
    twin._run(twin.turn, Stop())
    assert waited == first


def test_status_says_since_when_the_source_fails(make: Any, tmp_path: Path) -> None:
    now = [100.0]
    store = PolicyStore(tmp_path, default=DEFAULT, clock=lambda: now[0])
    assert not store.check()
    now[0] = 160.0
    assert not store.check()
    assert (store.status.interrupted_since, store.status.last_success) == (100.0, None)
    publish(tmp_path, make(1), 1)
    now[0] = 200.0
    assert store.check()
    assert (store.status.interrupted_since, store.status.last_success, store.status.origin) == (
        None,
        200.0,
        "source",
    )


def test_what_was_written_in_place_within_a_stamp_is_seen(make: Any, tmp_path: Path) -> None:
    publish(tmp_path, make(1), 1)
    stamp = (tmp_path / RELEASE).stat()
    store = PolicyStore(tmp_path, default=DEFAULT)
    assert store.check()
    second = publish(tmp_path, make(2), 2)
    data = (tmp_path / RELEASE).read_bytes()
    assert len(data) == stamp.st_size
    os.utime(tmp_path / RELEASE, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert store.check() and served(store) == second


def test_a_release_whose_revision_comes_later_is_taken_then(make: Any, tmp_path: Path) -> None:
    revision = publish(tmp_path, make(1), 1)
    (tmp_path / revision[:16]).rename(tmp_path / "on-its-way")
    store = PolicyStore(tmp_path, default=DEFAULT)
    assert not store.check() and not store.check()
    (tmp_path / "on-its-way").rename(tmp_path / revision[:16])
    assert store.check() and served(store) == revision


def test_an_expired_release_serves_on_and_through_a_restart_and_is_taken_by_nobody(
    make: Any, tmp_path: Path
) -> None:
    folder, state, now = tmp_path / "p", tmp_path / "state", [1000.0]
    revision = publish(folder, make(1), 1, expires=2000.0)
    store = PolicyStore(folder, default=DEFAULT, state=state, clock=lambda: now[0])
    assert store.check() and store.status.expires == 2000.0
    now[0] = 3000.0
    assert served(store) == revision
    again = PolicyStore(folder, default=DEFAULT, state=state, clock=lambda: now[0])
    assert again.recover() and served(again) == revision and again.status.expires == 2000.0
    assert not PolicyStore(folder, default=DEFAULT, clock=lambda: now[0]).check()


def test_a_callback_may_ask_for_anything(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    first = publish(folder, make(1), 1)
    said: list[str] = []

    def on_refused(error: PolicyError) -> None:
        said.append(str(error))
        store.rollback()
        store.close()
        store.check()

    store = PolicyStore(folder, default=DEFAULT, on_refused=on_refused, interval_s=0.01)
    store.check()
    publish(folder, make(2), 2)
    store.check()
    shutil.rmtree(folder)
    with store:
        until = time.monotonic() + 60
        while not said and time.monotonic() < until:
            time.sleep(0.01)
    assert said and served(store) == first


def test_hosts_say_what_they_took_and_refused(make: Any, tmp_path: Path) -> None:
    folder, acks = tmp_path / "p", tmp_path / "acks"
    first = publish(folder, make(1), 1)
    stores = [
        PolicyStore(folder, default=DEFAULT, ack=acks / f"{host}.json", clock=lambda: 5.0) for host in "ab"
    ]
    assert [store.check() for store in stores] == [True, True]
    publish(folder, make(2), 2, alias="scratch")
    stores[1].check()
    found = read_acks(acks)
    assert found["a"] == (first, 1, 5.0, None)
    assert found["b"][:3] == (first, 1, 5.0) and "scratch" in str(found["b"].refused)
    (acks / "c.json").write_bytes(b"[]")
    with pytest.raises(InputError, match=r"c.json: is no acknowledgement"):
        read_acks(acks)


def _in_children(count: int, run: Callable[[], bool]) -> list[int]:
    """Exit statuses of `count` forks, each of which runs `run`; one that hangs is killed: 9."""
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                status = 0 if run() else 3
            finally:
                os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_workers_look_for_news_and_hang_on_nothing(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    publish(folder, make(1), 1)
    rival = PolicyStore(folder, default=DEFAULT, interval_s=0.005)
    store = PolicyStore(
        folder, default=DEFAULT, state=state, interval_s=0.005, challenger=Challenger(rival, canary=0.5)
    )
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            store.check()
            store.decide("x", key="k")

    threads = [threading.Thread(target=busy) for _ in range(3)]
    with store, rival:
        for thread in threads:
            thread.start()
        second = save_revision(make(2), folder)
        revision = json.loads((second / "MANIFEST.json").read_bytes())["revision"]
        news = build_release(Release("support", "champion", 2, revision))

        def child() -> bool:
            until = time.monotonic() + 20
            while served(store) != revision and time.monotonic() < until:
                time.sleep(0.005)
            store.close()
            return served(store) == revision

        (folder / RELEASE).write_bytes(news)
        statuses = _in_children(10, child)
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * 10


def test_workers_that_share_a_state_folder_lose_nothing_of_each_other(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    policies = [make(seed) for seed in range(4)]
    for policy in policies:
        save_revision(policy, folder)
    publish(folder, policies[0], 1)
    mine = PolicyStore(folder, default=DEFAULT, state=state)
    assert mine.check()

    def worker() -> bool:
        store = PolicyStore(folder, default=DEFAULT, state=state)
        for _ in range(20):
            store.check()
        return store.status.state_fault is None and store.status.revision != "default"

    for number in range(2, 5):
        publish(folder, policies[number - 1], number)
        assert _in_children(3, worker) == [0, 0, 0]
        again = PolicyStore(tmp_path / "gone", default=DEFAULT, state=state)
        assert again.recover() and again.status.release == number and again.status.origin == "kept"
    publish(folder, policies[1], 2)
    assert not mine.check()  # who slept meanwhile has not heard of 4 from the source


def test_the_same_revision_under_a_new_number_is_not_the_one_before(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    first = publish(folder, make(1), 1)
    store.check()
    for number in (2, 3):
        publish(folder, make(2), number)
        store.check()
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover() and again.rollback() and served(again) == first


def test_another_name_by_setting_ends_what_was_remembered_of_the_old_one(make: Any, tmp_path: Path) -> None:
    state = tmp_path / "state"
    publish(tmp_path / "p", make(1), 900)
    assert PolicyStore(tmp_path / "p", default=DEFAULT, state=state).check()
    publish(tmp_path / "q", make(1, "sales"), 1)
    store = PolicyStore(tmp_path / "q", default=DEFAULT, state=state, name="sales")
    assert not store.recover() and store.check() and store.status.release == 1


def test_another_process_that_rolled_back_is_heard(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    late, quick = (PolicyStore(folder, default=DEFAULT, state=state) for _ in range(2))
    first = publish(folder, make(1), 1)
    assert late.check() and quick.check()
    publish(folder, make(2), 2)
    assert quick.check() and quick.rollback()
    assert not late.check() and served(late) == first


def test_a_number_is_kept_where_there_is_room_for_it_alone(make: Any, tmp_path: Path, room_for: Any) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    first = publish(folder, make(1), 1)
    assert PolicyStore(folder, default=DEFAULT, state=state).check()
    publish(folder, make(2), 7)
    with room_for(600):
        assert PolicyStore(folder, default=DEFAULT, state=state).check()
    publish(folder, make(3), 6)
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert not again.check() and "release 6 is not newer than 7" in str(again.status.last_refusal)
    assert again.recover() and served(again) == first


def test_a_rollback_before_anything_else_is_one_from_what_was_kept(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    store = PolicyStore(folder, default=DEFAULT, state=state)
    first = publish(folder, make(1), 1)
    store.check()
    publish(folder, make(2), 2)
    store.check()
    fresh = PolicyStore(folder, default=DEFAULT, state=state)
    assert fresh.rollback() and served(fresh) == first
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover() and again.status.state_fault is None and not again.check()
    nothing = PolicyStore(tmp_path / "q", default=DEFAULT, state=tmp_path / "none")
    assert not nothing.rollback() and nothing.status.state_fault is None


def test_a_process_that_lags_behind_lowers_no_number_by_its_rollback(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    late, quick = (PolicyStore(folder, default=DEFAULT, state=state) for _ in range(2))
    for number in (1, 2):
        publish(folder, make(number), number)
        assert late.check() and quick.check()
    publish(folder, make(7), 7)
    assert quick.check() and late.rollback()
    publish(folder, make(3), 3)
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert not again.check() and "not newer than 7" in str(again.status.last_refusal)


def test_a_status_loses_no_count_among_threads(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "absent", default=DEFAULT)
    threads = [threading.Thread(target=lambda: [store.check() for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (store.status.checks, store.status.refused) == (400, 400)


def test_a_state_folder_that_cannot_be_listed_stops_nothing(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder of another user's (0700), or one's own that lost its rights: by errno, since root may list all."""
    folder, state = tmp_path / "p", tmp_path / "state"
    first, second = publish(folder, make(1), 1), None
    state.mkdir()
    listed = Path.iterdir

    def refused(path: Path) -> Any:
        if path == state:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    store = PolicyStore(folder, default=DEFAULT, state=state)
    assert store.check() and served(store) == first
    assert "Permission denied" in str(store.status.state_fault)
    second = publish(folder, make(2), 2)
    assert store.check() and served(store) == second
    assert not store.recover() and store.rollback() and served(store) == first
    store.forget_release()


def test_numbers_of_all_keys_that_are_trusted_at_a_time_are_one_row(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    folder, late, state = tmp_path / "p", tmp_path / "late", tmp_path / "state"
    (one, one_public), (two, two_public) = keygen(), keygen()
    keys = [one_public, two_public]
    for place in (folder, late):
        publish(place, make(1), 1, one)
    ahead = PolicyStore(folder, default=DEFAULT, state=state, public_key=keys)
    behind = PolicyStore(late, default=DEFAULT, state=state, public_key=keys)
    assert ahead.check() and behind.check()
    third = publish(folder, make(3), 3, two)
    publish(late, make(2), 2, one)
    assert ahead.check() and not behind.check()
    assert "release 2 is not newer than 3" in str(behind.status.last_refusal)
    again = PolicyStore(folder, default=DEFAULT, state=state, public_key=keys)
    assert again.recover() and (served(again), again.status.release) == (third, 3)


def test_a_newer_release_that_another_process_kept_meanwhile_stays(make: Any, tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    publish(folder, make(1), 1)
    stores = [PolicyStore(folder, default=DEFAULT, state=state) for _ in range(2)]
    assert all(store.check() for store in stores)
    publish(folder, make(2), 2)
    kept = stores[0]._last_good
    hear, kept.read = kept.read, lambda **_: None  # type: ignore[method-assign]  # it has read before the other wrote
    save, kept.save = kept.save, lambda: None  # type: ignore[method-assign]  # and writes after it
    assert stores[0].check()
    newest = publish(folder, make(3), 3)
    assert stores[1].check()
    kept.read, kept.save = hear, save  # type: ignore[method-assign]
    kept.save()
    again = PolicyStore(folder, default=DEFAULT, state=state)
    assert again.recover() and (served(again), again.status.release) == (newest, 3)


def test_a_store_that_asks_for_no_key_goes_on_from_a_signed_state(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    folder, state = tmp_path / "p", tmp_path / "state"
    private, public = keygen()
    publish(folder, make(1), 5, private)
    assert PolicyStore(folder, default=DEFAULT, state=state, public_key=public).check()
    revision = publish(folder, make(2), 6)
    store = PolicyStore(folder, default=DEFAULT, state=state)
    assert store.check() and served(store) == revision
    publish(folder, make(3), 4)
    assert not store.check() and "release 4 is not newer than 6" in str(store.status.last_refusal)


@pytest.mark.parametrize(
    "wrong", [{"release": 2**53}, {"release": 10**30}, {"name": ""}, {"alias": "\ud800"}]
)
def test_a_state_that_no_release_can_have_made_is_damaged(
    make: Any, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    publish(folder, make(1), 1)
    assert PolicyStore(folder, default=DEFAULT, state=state).check()
    path = state / "state.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | wrong))
    (state / f"{'0' * 16}-{'9' * 30}").mkdir()  # nor is such a folder anything that was kept
    store = PolicyStore(folder, default=DEFAULT, state=state)
    revision = publish(folder, make(2), 2)
    assert store.check() and served(store) == revision and store.status.release == 2
    assert "state.json" in str(store.status.last_refusal)


def test_a_verdict_that_no_release_has_is_refused_at_once(make: Any, tmp_path: Path) -> None:
    for verdicts in (("passed",), "a", [], ("pass", 5)):
        with pytest.raises(PolicyError, match=r"verdicts .*: name some of pass, fail, inconclusive"):
            PolicyStore(tmp_path, default=DEFAULT, verdicts=verdicts)
    revision = publish(tmp_path, make(1), 1, verdict="pass")
    store = PolicyStore(tmp_path, default=DEFAULT, verdicts="pass")
    assert store.check() and served(store) == revision


def test_a_release_that_expires_while_it_serves_is_told_once(make: Any, tmp_path: Path) -> None:
    now, told = [1_000.0], list[str]()
    folder = tmp_path / "p"
    revision = publish(folder, make(1), 1, expires=2_000.0)
    store = PolicyStore(
        folder, default=DEFAULT, clock=lambda: now[0], on_refused=lambda e: told.append(str(e))
    )
    assert store.check() and not store.check() and told == []
    now[0] = 2_000.0
    for _ in range(3):
        assert not store.check()
    assert told == ["release 1 expired while it served, and serves on; publish it again to renew it"]
    assert served(store) == revision and store.status.refused == 1
    publish(folder, make(1), 2, expires=3_000.0)
    assert store.check() and store.status.expires == 3_000.0


def test_stores_of_two_aliases_that_share_a_state_folder_keep_each_their_own(
    make: Any, tmp_path: Path
) -> None:
    """Whichever kept last is there after a restart; the other starts from its source, and takes no number for its."""
    state, folders = tmp_path / "state", [tmp_path / "a", tmp_path / "b"]
    publish(folders[0], make(1), 900, alias="champion")
    publish(folders[1], make(2), 3, alias="canary")
    stores = [
        PolicyStore(folder, default=DEFAULT, state=state, alias=alias)
        for folder, alias in zip(folders, ("champion", "canary"), strict=True)
    ]
    assert all(store.check() for store in stores)
    revision = publish(folders[1], make(3), 4, alias="canary")
    assert stores[1].check() and stores[1].status.release == 4
    again = PolicyStore(folders[1], default=DEFAULT, state=state, alias="canary")
    assert again.recover() and (served(again), again.status.release) == (revision, 4)
    publish(folders[0], make(4), 899, alias="champion")
    assert not stores[0].check() and "not newer than 900" in str(stores[0].status.last_refusal)
