"""`PolicyStore`: the policy in a running service. Whole updates or none, the last good policy always, no waiting.

A background thread looks at the source, loads what is new, and swaps one reference; `decide` reads that reference once,
so that a decision belongs to one policy whatever happens meanwhile. Whatever fails is reported and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from router_lab.runtime.accepting import Rules
from router_lab.runtime.acks import Ack, write_ack
from router_lab.runtime.artifact import MANIFEST, Opened, Verify, open_artifact, verification
from router_lab.runtime.asked import read, shared_key
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError, RouterLabError
from router_lab.runtime.features import Featuriser
from router_lab.runtime.looks import Looks
from router_lab.runtime.model import VERDICTS, Candidate, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.reading import read_bytes
from router_lab.runtime.release import RELEASE, Release
from router_lab.runtime.rule import draw
from router_lab.runtime.serve import Requires, Serving
from router_lab.runtime.state import Remembered, State

if TYPE_CHECKING:
    import numpy as np

Source = str | os.PathLike[str] | Callable[[], str | os.PathLike[str]]
_PATIENCE_S = 5.0
_ALL: weakref.WeakSet[PolicyStore] = weakref.WeakSet()


class Status(NamedTuple):
    """Of a store, now: what serves, since when (UTC seconds), checks made and refused, and the last refusal."""

    revision: str | None
    release: int
    since: float | None
    checks: int
    refused: int
    last_refusal: str | None
    interrupted_since: float | None = None
    """Since when no look at the source has succeeded; None while they do. To alert on, after some intervals."""
    last_success: float | None = None
    state_fault: str | None = None
    """Why what serves is not kept on disk, or what is wrong there; None where all is well. To alert on."""
    origin: str = "default"
    """Where what serves comes from: `source`, `kept` (the last good one on disk), `previous` (the one before it, where
    that was damaged, or after a rollback), `default`."""
    expires: float | None = None
    """When the release that serves is over: it serves on, and no host takes it anew."""


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

    default: the candidate that serves until a policy is loaded. name, alias: of the releases that it takes; where they
    are not given, those of the first that it takes. verdicts: of the releases that it takes; all by default, since who
    publishes by force has said so. state: a directory where the last good policy is kept across restarts, and the
    newest release number, below which nothing is accepted unless `accept_older`; processes of one service may share it,
    and a store without it, or whose disk is full, forgets at its end. A number may be at most `LARGEST_STEP` above the
    newest, and starts anew where the key that signed the newest is trusted no more. verify, public_key: as for
    `load_policy`. on_refused: called with the PolicyError of a refusal, once for each in a row. ack: a file where it
    says what it has taken or refused (`router_lab.runtime.acks`).
    requires: `{"points": …, "candidates": …, "suites": …}` that callers rely on; a policy that lacks one of them is
    refused, whether published, kept in `state`, or a challenger's.
    interval_s: between looks at the source, in the background once `start`ed; jittered, by `rng` if given. After a fork
    the child of a process that looked looks too, from its first `decide` on.
    Raises ValueError for an interval that is none, PolicyError for a key that would not be looked at.
    """

    def __init__(
        self,
        source: Source,
        *,
        default: Candidate | tuple[str, str | None] | Profile,
        state: str | os.PathLike[str] | None = None,
        verify: Verify | None = None,
        public_key: Any = None,
        interval_s: float = 30.0,
        accept_older: bool = False,
        on_refused: Callable[[PolicyError], None] | None = None,
        challenger: Challenger | None = None,
        clock: Callable[[], float] = time.time,
        requires: Requires | Mapping[str, Any] | None = None,
        name: str | None = None,
        alias: str | None = None,
        verdicts: Collection[str] = VERDICTS,
        ack: str | os.PathLike[str] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._source = source
        self._serving = Serving(default, requires)
        self._policy = self._default = self._serving.default
        self._state = None if state is None else State(state)
        self._verify, self._public_key = verification(verify, public_key), public_key
        self._bound, self._on_refused, self._ack = (name, alias), on_refused, ack
        self._rules = Rules(frozenset(verdicts), accept_older, public_key)
        self._challenger = challenger
        if challenger is not None:  # it answers this store's callers, who rely on the same
            rival = challenger.store._serving
            rival.requires = rival.requires.both(self._serving.requires)
        self._clock = clock
        self._looks = Looks(self._look_in_background, interval_s, rng)
        self._remembered = Remembered(name=name, alias=alias)
        self._state_read = state is None
        self._unsaved: tuple[Opened, bool] | None = None
        self._previous: Policy | None = None
        self._last_seen: Any = None
        self._serves: Release | None = None
        self._status = Status(None, 0, None, 0, 0, None)
        self._renew()
        _ALL.add(self)

    def _renew(self) -> None:
        """Also in the child of a fork, which has the lock as another thread may have held it."""
        self._lock = threading.Lock()  # of what is remembered and served, for moments only; `decide` takes none

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
        serves = self._serves
        return self._status._replace(
            revision=self._policy.revision,
            release=self._remembered.release,
            expires=None if serves is None else serves.expires,
        )

    def decide(self, prompt: str | list[dict[str, Any]], **asked: Any) -> Decision:
        """`Policy.decide` of the policy that serves this key now, with the same arguments.

        PolicyError only for what no policy could take (a point that is no text, dollars below 0), with every policy and
        with the default alike; never for what a swap can change (`serve` says what happens instead).
        """
        if self._looks.asleep:
            self._looks.start()
        question = read(prompt, **asked)
        policy, other = self._policy, self._challenger
        if other is None:
            return self._serving.decide(policy, question)
        if other.store._looks.asleep:
            other.store.start()
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
        self._looks.start()
        return self

    def close(self, wait_s: float = 5.0) -> None:
        """Stop looking for news; the policy goes on serving. A look that hangs is given up after `wait_s` seconds."""
        self._looks.stop(wait_s)

    def __enter__(self) -> PolicyStore:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _look_in_background(self, turn: int) -> None:
        if self._policy is self._default:
            self.recover()
        self._check(turn)

    def recover(self) -> bool:
        """Serve the last good policy on disk, or the one before it where that is damaged, if nothing better serves."""
        if self._state is None:
            return False
        self._read_state()
        known = self._remembered
        for name, origin in ((known.current, "kept"), (known.previous, "previous")):
            if name is None or self._policy is not self._default:
                continue
            try:
                opened = self._open(self._state.path(name), accept_expired=True)
                opened = opened._replace(release=opened.release or self._state.release(name))
            except Exception as error:  # noqa: BLE001 - a service never fails for what lies on its disk
                self._refuse(error)
                continue
            with self._lock:
                if self._policy is self._default and opened.policy.revision not in known.rejected:
                    self._serve(opened, origin)
                    return True
        return False

    def check(self) -> bool:
        """Look at the source once, now; True if a new policy serves."""
        return self._check(self._looks.turn)

    def _check(self, turn: int) -> bool:
        one = self._looks.one_at_a_time
        if not one.acquire(timeout=_PATIENCE_S):
            self._refuse(PolicyError("policy store: another look at the source has not ended"))
            return False
        try:
            self._told(checks=self._status.checks + 1)
            self._read_state()
            fresh = self._look(turn)
            refused = None
        except Exception as error:  # noqa: BLE001 - nor for what a source does
            fresh, refused = False, error
        finally:
            one.release()
        if turn != self._looks.turn:  # given up: nothing of it counts
            return False
        if refused is not None:
            self._refuse(refused, of_source=True)
        else:
            self._told(last_success=self._clock(), interrupted_since=None)
        if fresh or refused is not None:
            self._acknowledge(None if refused is None else str(refused))
        return fresh

    def _look(self, turn: int) -> bool:
        path = Path(self._source() if callable(self._source) else self._source)
        seen = _fingerprint(path)
        if seen == self._last_seen:
            self._save()  # what the disk had no room for
            return False
        opened = self._open(path)
        self._read_state(again=True)
        with self._lock:
            if turn != self._looks.turn:
                return False
            fresh = opened.policy.revision not in self._remembered.rejected
            if fresh:
                restart = self._accept(opened)
                self._unsaved = None if self._state is None else (opened, restart)
        # Only now: what was refused is tried again, it may have been half written; and so is what changed meanwhile.
        self._last_seen = seen if _fingerprint(path) == seen else None
        self._save()
        return fresh

    def rollback(self) -> bool:
        """Serve the policy before this one again, and take the present one no more until another was accepted; False
        if there is none before it. For this process alone, and those that start from its `state`."""
        self._read_state()
        previous, name = self._previous, self._remembered.previous
        opened = None if previous is None else Opened(previous, {}, None, None, None)
        if opened is None and self._state is not None and name is not None:
            try:
                opened = self._open(self._state.path(name), accept_expired=True)
            except Exception as error:  # noqa: BLE001
                self._refuse(error)
        if opened is None:
            return False
        revision = opened.policy.revision or ""
        with self._lock:
            known, gone = self._remembered, self._policy.revision or ""
            rejected = tuple(one for one in (*known.rejected, gone) if one != revision)
            kept = [one for one in (known.current, known.previous) if one is not None and revision.startswith(one[:16])]
            # The one that failed is nothing to fall back on.
            self._remembered = known._replace(current=kept[0] if kept else None, previous=None, rejected=rejected)
            self._serve(opened, "previous")
            self._previous, self._unsaved = None, None
        self._on_disk(lambda state: state.write(self._remembered))
        return True

    def forget_release(self) -> None:
        """Take the next release of the source whatever its number, name and alias: after a number was published that
        nobody can follow, or where a host is to serve another policy. The policy goes on serving meanwhile."""
        self._read_state()
        with self._lock:
            name, alias = self._bound
            self._remembered = self._remembered._replace(release=0, name=name, alias=alias, signer=None, rejected=())
            self._last_seen = None
        self._on_disk(lambda state: state.write(self._remembered))

    def _open(self, path: Path, *, accept_expired: bool = False) -> Opened:
        name, alias = self._bound
        opened = open_artifact(
            path, verify=self._verify, public_key=self._public_key, name=name, alias=alias, clock=self._clock,
            accept_expired=accept_expired,
        )  # fmt: skip
        self._serving.requires.check(opened.policy)
        return opened

    def _accept(self, opened: Opened) -> bool:
        """Serve it, or PolicyError: everything that may fail comes before the swap. True if numbers start anew."""
        serves = self._serves
        served = None if serves is None else (serves.number, serves.revision)
        self._remembered, restart = self._rules.judge(opened, self._remembered, served)
        self._serve(opened, "source")
        return restart

    def _serve(self, opened: Opened, origin: str) -> None:
        if self._policy is not self._default and opened.policy.revision != self._policy.revision:
            self._previous = self._policy
        self._policy, self._serves = opened.policy, opened.release
        self._told(since=self._clock(), origin=origin)

    def _read_state(self, *, again: bool = False) -> None:
        """Before the first acceptance, whatever the way to it; `again` for what another process may have accepted."""
        if self._state is None or (self._state_read and not again):
            return
        known, fault = self._state.read()
        with self._lock:
            mine, (name, alias) = self._remembered, self._bound
            other = any(want and had and want != had for want, had in zip((name, alias), known[3:5], strict=True))
            if other:  # it is of what served under another setting
                pass
            elif not self._state_read:
                self._remembered = known._replace(
                    release=max(known.release, mine.release), name=name or known.name, alias=alias or known.alias
                )
            elif known.signer == mine.signer and known.release > mine.release:
                self._remembered = known._replace(name=name or known.name, alias=alias or known.alias)
            elif known.release == mine.release:  # another process may have rolled back from it
                self._remembered = mine._replace(rejected=tuple(dict.fromkeys(mine.rejected + known.rejected)))
            self._state_read = True
        if fault is not None and not again:
            self._told(state_fault=fault)
            self._refuse(PolicyError(f"state: {fault}"))

    def _save(self) -> None:
        """Keep what was accepted: what the disk refuses is tried again at each look, and serves all the same."""
        if self._unsaved is None:
            return
        opened, restart = self._unsaved
        if self._on_disk(lambda state: state.keep(opened, self._remembered, restart=restart)):
            self._unsaved = None
        elif self._state is not None:  # there may be room for the number alone
            with contextlib.suppress(OSError, RouterLabError):
                self._state.write(self._remembered)

    def _on_disk(self, write: Callable[[State], Remembered]) -> bool:
        if self._state is None:
            return True
        try:
            known = write(self._state)
        except (OSError, RouterLabError) as error:
            fault = f"{self._state.directory}: cannot be written: {error}; what serves is not kept"
            news = self._status.state_fault is None
            self._told(state_fault=fault)
            if news:
                self._refuse(PolicyError(fault))
            return False
        with self._lock:
            self._remembered = self._remembered._replace(current=known.current, previous=known.previous)
        self._told(state_fault=None)
        return True

    def _acknowledge(self, refused: str | None) -> None:
        if self._ack is not None:
            with contextlib.suppress(OSError, PolicyError):  # the publisher sees that it is not there
                write_ack(self._ack, Ack(self._policy.revision, self._remembered.release, self._clock(), refused))

    def _told(self, **changes: Any) -> None:
        self._status = self._status._replace(**changes)

    def _refuse(self, error: Exception, *, of_source: bool = False) -> None:
        """Outside of every lock: the callback may ask for anything."""
        told = error if isinstance(error, PolicyError) else PolicyError(f"policy store: the source failed: {error!r}")
        news = str(told) != self._status.last_refusal
        self._told(refused=self._status.refused + 1, last_refusal=str(told))
        if of_source and self._status.interrupted_since is None:
            self._told(interrupted_since=self._clock())
        if news and self._on_refused is not None:
            with contextlib.suppress(Exception):
                self._on_refused(told)


def _share(purpose: str, key: str | bytes) -> float:
    """In [0, 1), by `key`; a purpose of its own keeps canary, shadow and `mix` independent."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "replace")
    return draw(purpose.encode() + b":" + data)


def _fingerprint(path: Path) -> Any:
    """What changes when somebody publishes: where the path leads, what RELEASE.json says, and the manifest's stamp.
    Stamps alone would miss a file that was written in place within their resolution."""
    try:
        said: bytes | str = read_bytes(path / RELEASE, 1 << 16)
    except (OSError, ValueError) as error:
        said = repr(error)
    try:
        status = (path / MANIFEST).stat()
        stamp: Any = (status.st_ino, status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = None
    return (os.path.realpath(path), said, stamp)


def _forked() -> None:
    for store in list(_ALL):
        store._renew()


if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_forked)
