"""`PolicyStore`: the policy in a running service. Whole updates or none, the last good policy always, no waiting.

A background thread looks at the source, loads what is new, and swaps one reference; `decide` reads that reference once,
so that a decision belongs to one policy whatever happens meanwhile. Whatever fails is reported and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

from router_lab.runtime.artifact import MANIFEST, Opened, Verify, open_artifact
from router_lab.runtime.asked import read, shared_key
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import Featuriser
from router_lab.runtime.model import Candidate, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import RELEASE
from router_lab.runtime.rule import draw
from router_lab.runtime.serve import Requires, Serving
from router_lab.runtime.state import Remembered, State

Source = str | os.PathLike[str] | Callable[[], str | os.PathLike[str]]


class Status(NamedTuple):
    """Of a store, now: what serves, since when (UTC seconds), checks made and refused, and the last refusal."""

    revision: str | None
    release: int
    since: float | None
    checks: int
    refused: int
    last_refusal: str | None


class Challenger(NamedTuple):
    """Another policy beside the champion, for a share of the keys: it decides for them (`canary`), or is only asked,
    and `on_shadow(champion's decision, challenger's decision)` told (`shadow`). The same key always falls the same."""

    store: PolicyStore
    canary: float = 0.0
    shadow: float = 0.0
    on_shadow: Callable[[Decision, Decision], None] | None = None


class PolicyStore:
    """Serves the policy of `source`: an artifact's directory, a folder of releases (policies/<name>), a symlink to
    either, or a callable that returns such a path.

    default: the candidate that serves until a policy is loaded. state: a directory of this store's own, where the last
    good policy is kept across restarts, and the newest release number, below which nothing is accepted unless
    `accept_older`. verify, public_key: as for `load_policy`. on_refused: called with the PolicyError of a refusal, once
    for each in a row.
    requires: `{"points": …, "candidates": …, "suites": …}` that callers rely on; a policy that lacks one of them is
    refused, whether published, kept in `state`, or a challenger's.
    interval_s: between looks at the source, in the background once `start`ed (in each worker process, after a fork).
    """

    def __init__(
        self,
        source: Source,
        *,
        default: Candidate | tuple[str, str | None] | Profile,
        state: str | os.PathLike[str] | None = None,
        verify: Verify = "hash",
        public_key: Any = None,
        interval_s: float = 30.0,
        accept_older: bool = False,
        on_refused: Callable[[PolicyError], None] | None = None,
        challenger: Challenger | None = None,
        clock: Callable[[], float] = time.time,
        requires: Requires | Mapping[str, Any] | None = None,
    ) -> None:
        self._source = source
        self._serving = Serving(default, requires)
        self._policy = self._default = self._serving.default
        self._state = None if state is None else State(state)
        self._verify, self._public_key = verify, public_key
        self._interval, self._accept_older = interval_s, accept_older
        self._on_refused = on_refused
        self._challenger = challenger
        if challenger is not None:  # it answers this store's callers, who rely on the same
            rival = challenger.store._serving
            rival.requires = rival.requires.both(self._serving.requires)
        self._clock = clock
        self._lock = threading.Lock()  # of everything below; `decide` takes none
        self._remembered = Remembered()
        self._previous: Policy | None = None
        self._last_seen: Any = None
        self._rejected: set[str | None] = set()
        self._since: float | None = None
        self._checks = self._refused = 0
        self._last_refusal: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> NoReturn:
        raise PolicyError(
            "a PolicyStore has a thread and a folder of its own: make one in each process (its policy and decisions "
            "can be pickled)"
        )

    @property
    def policy(self) -> Policy:
        """The policy that serves now."""
        return self._policy

    @property
    def status(self) -> Status:
        revision = self._policy.revision
        return Status(revision, self._remembered.release, self._since, self._checks, self._refused, self._last_refusal)

    def decide(self, prompt: str | list[dict[str, Any]], **asked: Any) -> Decision:
        """`Policy.decide` of the policy that serves this key now, with the same arguments.

        PolicyError only for what no policy could take (a point that is no text, dollars below 0), with every policy and
        with the default alike; never for what a swap can change (`serve` says what happens instead).
        """
        question = read(prompt, **asked)
        policy, other = self._policy, self._challenger
        if other is None:
            return self._serving.decide(policy, question)
        key = shared_key(question, Featuriser().cap)  # the same whatever policy, or none, serves
        rival = other.store.policy
        ready = self._serving.fits(rival)
        if ready and _share("canary", key) < other.canary:
            return self._serving.decide(rival, question)
        decision = self._serving.decide(policy, question)
        if ready and other.on_shadow is not None and _share("shadow", key) < other.shadow:
            with contextlib.suppress(Exception):  # a shadow may cost time, never an answer
                other.on_shadow(decision, self._serving.decide(rival, question))
        return decision

    def start(self) -> PolicyStore:
        """Begin to load and to look for news in the background; returns at once."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="router-lab-policy-store", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop looking for news; the policy goes on serving."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> PolicyStore:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        self.recover()
        while True:
            self.check()
            if self._stop.wait(self._interval):
                return

    def recover(self) -> bool:
        """Serve the last good policy on disk, if there is one and nothing better serves already."""
        if self._state is None:
            return False
        with self._lock:
            try:
                self._remembered = self._state.read()
                name = self._remembered.current
                if name is None or self._policy is not self._default:
                    return False
                self._serve(self._open(self._state.path(name)).policy)
                return True
            except Exception as error:  # noqa: BLE001 - a service never fails for what lies on its disk
                self._refuse(error)
                return False

    def check(self) -> bool:
        """Look at the source once, now; True if a new policy serves."""
        with self._lock:
            self._checks += 1
            try:
                path = Path(self._source() if callable(self._source) else self._source)
                seen = _fingerprint(path)
                if seen == self._last_seen:
                    return False
                opened = self._open(path)
                fresh = opened.policy.revision not in self._rejected
                if fresh:
                    self._accept(opened)
                self._last_seen = seen  # only now: what was refused is tried again, it may have been half written
                return fresh
            except Exception as error:  # noqa: BLE001 - nor for what a source does
                self._refuse(error)
                return False

    def rollback(self) -> bool:
        """Serve the policy before this one again, and take the present one no more until another was accepted; False
        if there is none before it."""
        with self._lock:
            previous = self._previous
            if previous is None and self._state is not None and self._remembered.previous is not None:
                try:
                    previous = self._open(self._state.path(self._remembered.previous)).policy
                except Exception as error:  # noqa: BLE001
                    self._refuse(error)
            if previous is None:
                return False
            self._rejected.add(self._policy.revision)
            self._rejected.discard(previous.revision)
            if self._state is not None and self._remembered.previous is not None:
                current, before, release = self._remembered
                self._remembered = self._state.write(Remembered(before, current, release))
            self._serve(previous)
            return True

    def _open(self, path: Path) -> Opened:
        opened = open_artifact(path, verify=self._verify, public_key=self._public_key, clock=self._clock)
        self._serving.requires.check(opened.policy)
        return opened

    def _accept(self, opened: Opened) -> None:
        """Everything that may fail comes before the swap."""
        release, newest = opened.release, self._remembered.release
        if release is not None and not self._accept_older:
            same = self._policy is self._default or opened.policy.revision == self._policy.revision
            if release.number < newest or (release.number == newest and not same):
                raise PolicyError(f"{RELEASE}: release {release.number} is not newer than {newest}, accepted before")
        if self._state is not None:
            self._remembered = self._state.keep(opened, self._remembered)
        elif release is not None:
            self._remembered = self._remembered._replace(release=max(release.number, newest))
        self._rejected.clear()
        self._serve(opened.policy)

    def _serve(self, policy: Policy) -> None:
        if self._policy is not self._default and policy.revision != self._policy.revision:
            self._previous = self._policy
        self._since = self._clock()
        self._policy = policy

    def _refuse(self, error: Exception) -> None:
        told = error if isinstance(error, PolicyError) else PolicyError(f"policy store: the source failed: {error!r}")
        news = str(told) != self._last_refusal
        self._refused += 1
        self._last_refusal = str(told)
        if news and self._on_refused is not None:
            with contextlib.suppress(Exception):
                self._on_refused(told)


def _share(purpose: str, key: str | bytes) -> float:
    """In [0, 1), by `key`; a purpose of its own keeps canary, shadow and `mix` independent."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "replace")
    return draw(purpose.encode() + b":" + data)


def _fingerprint(path: Path) -> Any:
    """What changes when somebody publishes: where the path leads, and the stamps of the files that name a policy."""
    stamps: list[tuple[int, int, int] | None] = []
    for file in (path / RELEASE, path / MANIFEST):
        try:
            status = file.stat()
            stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append(None)
    return (os.path.realpath(path), *stamps)
