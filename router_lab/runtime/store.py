"""`PolicyStore`: the policy in a running service. Whole updates or none, the last good policy
always, no waiting.

A background thread looks at the source, loads what is new, and swaps one reference; `decide` reads
that reference once, so that a decision belongs to one policy whatever happens meanwhile. Whatever
fails is reported and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from router_lab.runtime.accepting import Rules, known_verdicts
from router_lab.runtime.acks import Ack, write_ack
from router_lab.runtime.addresses import local_path
from router_lab.runtime.arguments import read, shared_key
from router_lab.runtime.artifact import MANIFEST, Opened, Verify, open_artifact, verification
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.features import Featuriser
from router_lab.runtime.last_known_good import LastKnownGood
from router_lab.runtime.model import VERDICTS, Candidate, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.poller import Poller
from router_lab.runtime.reading import read_bytes
from router_lab.runtime.release import RELEASE, Release, is_revision
from router_lab.runtime.rule import draw
from router_lab.runtime.serve import Requires, Serving
from router_lab.runtime.shadow import Shadow, shadow_draw
from router_lab.runtime.status import Status, StatusReporter

Source = str | os.PathLike[str] | Callable[[], str | os.PathLike[str]]
_PATIENCE_S = 5.0
_ALL: weakref.WeakSet[PolicyStore] = weakref.WeakSet()


class Challenger(NamedTuple):
    """Another policy beside the champion, for a share of the keys: it decides for them (`canary`),
    or is only asked, and `on_shadow(champion's decision, challenger's decision)` told (`shadow`: a
    share, or the `Shadow` that asks within a budget, whose share it then is). The same key always
    falls the same, here and in `Shadow.ask`: there is one draw of shadows."""

    store: PolicyStore
    canary: float = 0.0
    shadow: float | Shadow = 0.0
    on_shadow: Callable[[Decision, Decision], None] | None = None

    def tells(self, key: str | bytes) -> bool:
        """Whether the shadow is told of a request."""
        share = self.shadow.share if isinstance(self.shadow, Shadow) else self.shadow
        drawn = None if self.on_shadow is None else shadow_draw(key)
        return drawn is not None and drawn < share


class PolicyStore:
    """Serves the policy of `source`: an artifact's directory, a folder of releases
    (policies/<name>), a symlink to either, or a callable that returns such a path.

    default: the candidate that serves until a policy is loaded. name, alias: of the releases that
    it takes; where they are not given, those of the first that it takes. verdicts: of the releases
    that it takes; all by default, since who publishes by force has said so. state: a directory
    where the last good policy is kept across restarts, and the newest release number, below which
    nothing is accepted unless `accept_older`; processes of one service may share it, and a store
    without it, or whose disk is full, forgets at its end. A number may be at most `LARGEST_STEP`
    above the newest, and starts anew where the key that signed the newest is trusted no more.
    verify, public_key: as for `load_policy`. on_refused: called with the PolicyError of a refusal,
    once for each in a row. ack: a file where it says what it has taken or refused
    (`router_lab.runtime.acks`). requires: `{"points": …, "candidates": …, "suites": …}` that
    callers rely on; a policy that lacks one of them is refused, whether published, kept in
    `state`, or a challenger's. interval_s: between looks at the source, in the background once
    `start`ed; jittered, by `rng` if given. After a fork the child of a process that looked looks
    too, from its first `decide` on. Raises ValueError for an interval that is none, PolicyError
    for a key that would not be looked at.
    """

    def __init__(
        self,
        source: Source,
        *,
        default: Candidate | tuple[str, str | None] | Profile,
        state: str | os.PathLike[str] | None = None,
        verify: Verify | None = None,
        public_key: object = None,
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
        self._source = source if callable(source) else local_path(source, PolicyError)
        self._serving = Serving(default, requires)
        self._policy = self._default = self._serving.default
        self._verify, self._public_key = verification(verify, public_key), public_key
        self._bound, self._ack = (name, alias), ack
        self._reporter = StatusReporter(on_refused, clock)
        self._rules = Rules(known_verdicts(verdicts), accept_older, public_key)
        self._last_good = LastKnownGood(state, (name, alias), self._reporter, self._rules)
        self._challenger = challenger
        if challenger is not None:  # it answers this store's callers, who rely on the same
            rival = challenger.store._serving
            rival.requires = rival.requires.both(self._serving.requires)
        self._clock = clock
        self._poller = Poller(self._look_in_background, interval_s, rng)
        self._previous: Policy | None = None
        self._last_seen: Any = None
        self._serves: Release | None = None
        self._expired = 0
        _ALL.add(self)

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
        serves, policy = self._serves, self._policy
        return self._reporter.now._replace(
            revision=policy.revision,
            release=self._last_good.known.release,
            expires=None if serves is None else serves.expires,
            policy_expires=policy.spec.expires,
            retires=policy.spec.first_retirement,
        )

    def decide(self, prompt: str | list[dict[str, Any]], **asked: Any) -> Decision:
        """`Policy.decide` of the policy that serves this key now, with the same arguments.

        PolicyError only for what no policy could take (a point that is no text, dollars below 0),
        with every policy and with the default alike; never for what a swap can change (`serve`
        says what happens instead).
        """
        if self._poller.asleep:
            self._poller.start()
        question = read(prompt, **asked)
        policy, other = self._policy, self._challenger
        if other is None:
            return self._serving.decide(policy, question)
        if other.store._poller.asleep:
            other.store.start()
        key = shared_key(question, Featuriser().cap)  # the same whatever policy, or none, serves
        rival = other.store.policy
        ready = self._serving.fits(rival)
        if ready and _canary(key) < other.canary:
            return self._serving.decide(rival, question)
        decision = self._serving.decide(policy, question)
        if ready and other.on_shadow is not None and other.tells(key):
            with contextlib.suppress(Exception):  # a shadow may cost time, never an answer
                other.on_shadow(decision, self._serving.decide(rival, question))
        return decision

    def start(self) -> PolicyStore:
        """Begin to load and to look for news in the background; returns at once."""
        self._poller.start()
        return self

    def close(self, wait_s: float = 5.0) -> None:
        """Stop looking for news; the policy goes on serving. A look that hangs is given up after
        `wait_s` seconds."""
        self._poller.stop(wait_s)

    def __enter__(self) -> PolicyStore:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_in_background(self, turn: int) -> None:
        try:
            if self._policy is self._default:
                self.recover()
            self._check(turn)
        except BaseException as error:  # noqa: BLE001 - a source that calls sys.exit would end the looking, unseen
            with contextlib.suppress(BaseException):  # and so would a callback
                self._reporter.refuse(error, of_source=True)

    def recover(self) -> bool:
        """Serve the last good policy on disk, or the one before it where that is damaged, if
        nothing better serves."""
        self._last_good.read()
        known, state = self._last_good.known, self._last_good.state
        for name, origin in ((known.current, "kept"), (known.previous, "previous")):
            if state is None or name is None or self._policy is not self._default:
                continue
            try:
                opened = self._open(state.path(name), accept_expired=True)
                opened = opened._replace(release=opened.release or state.release(name))
            except Exception as error:  # noqa: BLE001 - a service never fails for what lies on its disk
                self._reporter.refuse(error)
                continue
            with self._last_good.lock:
                if self._policy is self._default and opened.policy.revision not in known.rejected:
                    self._serve(opened, origin)
                    return True
        return False

    def check(self) -> bool:
        """Look at the source once, now; True if a new policy serves."""
        return self._check(self._poller.turn)

    def _check(self, turn: int) -> bool:
        one = self._poller.one_at_a_time
        if not one.acquire(timeout=_PATIENCE_S):
            self._reporter.refuse(PolicyError("policy store: another look at the source has not ended"))
            return False
        try:
            self._reporter.looked()
            self._last_good.read()
            fresh = self._look(turn)
            refused = None
        except Exception as error:  # noqa: BLE001 - nor for what a source does
            fresh, refused = False, error
        finally:
            one.release()
        if turn != self._poller.turn:  # given up: nothing of it counts
            return False
        if refused is not None:
            self._reporter.refuse(refused, of_source=True)
        else:
            self._reporter.tell(last_success=self._clock(), interrupted_since=None)
        if self._ack is not None and (fresh or refused is not None):
            said = None if refused is None else str(refused)
            ack = Ack(self._policy.revision, self._last_good.known.release, self._clock(), said)
            with contextlib.suppress(OSError, PolicyError):  # the publisher sees that it is not there
                write_ack(self._ack, ack)
        return fresh

    def _look(self, turn: int) -> bool:
        path = local_path(self._source() if callable(self._source) else self._source, PolicyError)
        seen = _fingerprint(path)
        if seen == self._last_seen:
            self._last_good.save()  # what the disk had no room for
            self._tell_of_expiry()
            return False
        opened = self._open(path)
        self._last_good.read(again=True)
        with self._last_good.lock:
            if turn != self._poller.turn:
                return False
            fresh = opened.policy.revision not in self._last_good.known.rejected
            if fresh:  # everything that may fail comes before the swap
                serves, known = self._serves, self._last_good.known
                served = None if serves is None else (serves.number, serves.revision)
                self._last_good.known, restart = self._rules.judge(opened, known, served)
                self._last_good.accepted(opened, restart)
                self._serve(opened, "source")
        # Only now: what was refused is tried again, it may have been half written; and so is what
        # changed meanwhile.
        self._last_seen = seen if _fingerprint(path) == seen else None
        self._last_good.save()
        return fresh

    def _tell_of_expiry(self) -> None:
        """Once of each release: it goes on serving, and no restart would take it from the
        source."""
        serves = self._serves
        if (
            serves is not None
            and serves.expires is not None
            and serves.number != self._expired
            and not self._clock() < serves.expires
        ):
            self._expired = serves.number
            told = f"release {serves.number} expired while it served, and serves on; publish it again to renew it"
            self._reporter.refuse(PolicyError(told))

    def rollback(self) -> bool:
        """Serve the policy before this one again, and take the present one no more until another
        was accepted; False if there is none before it. For this process alone, and those that
        start from its `state`."""
        if self._policy is self._default:
            self.recover()
        opened = self._one_before()
        if opened is None:
            return False
        revision, gone = opened.policy.revision or "", self._policy.revision or ""
        with self._last_good.lock:
            known = self._last_good.known
            rejected = [one for one in (*known.rejected, gone) if one != revision and is_revision(one)]
            # The one that failed is nothing to fall back on.
            kept = (one for one in (known.current, known.previous) if one and revision.startswith(one[:16]))
            self._last_good.known = known._replace(
                current=next(kept, None), previous=None, rejected=tuple(rejected)
            )
            self._serve(opened, "previous")
            self._previous = None
        self._last_good.write()
        return True

    def _one_before(self) -> Opened | None:
        state, name = self._last_good.state, self._last_good.known.previous
        if self._previous is not None:
            return Opened(self._previous, {}, None, None, None)
        if state is None or name is None:
            return None
        try:
            return self._open(state.path(name), accept_expired=True)
        except Exception as error:  # noqa: BLE001
            self._reporter.refuse(error)
            return None

    def forget_release(self) -> None:
        """Take the next release of the source whatever its number, name and alias: after a number
        was published that nobody can follow, or where a host is to serve another policy. The
        policy goes on serving meanwhile."""
        self._last_good.read()
        with self._last_good.lock:
            name, alias = self._bound
            self._last_good.known = self._last_good.known._replace(
                release=0, name=name, alias=alias, signer=None, rejected=()
            )
            self._serves = self._last_seen = None
        self._last_good.write(restart=True)

    def _open(self, path: Path, *, accept_expired: bool = False) -> Opened:
        name, alias = self._bound
        opened = open_artifact(
            path, verify=self._verify, public_key=self._public_key, name=name, alias=alias, clock=self._clock,
            accept_expired=accept_expired,
        )  # fmt: skip
        self._serving.requires.check(opened.policy)
        return opened

    def _serve(self, opened: Opened, origin: str) -> None:
        if self._policy is not self._default and opened.policy.revision != self._policy.revision:
            self._previous = self._policy
        self._policy, self._serves = opened.policy, opened.release
        self._reporter.tell(since=self._clock(), origin=origin)


def _canary(key: str | bytes) -> float:
    """In [0, 1), by `key`; a purpose of its own keeps canary, shadow and `mix` independent."""
    return draw(b"canary:" + (key if isinstance(key, bytes) else key.encode("utf-8", "replace")))


def _fingerprint(path: Path) -> object:
    """What changes when somebody publishes: where the path leads, what RELEASE.json says, and the
    manifest's stamp. Stamps alone would miss a file that was written in place within their
    resolution."""
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
        store._last_good.renew()
        store._reporter.renew()


if hasattr(os, "register_at_fork"):  # elsewhere there is no fork
    os.register_at_fork(after_in_child=_forked)
