"""What production serves: RELEASE.json beside the revisions of a policy, and the history of who
put what there.

One process at a time publishes in a folder (`FolderLock`); another waits for it. Whatever stands
in the folder, the next release has a number above every one that was ever there, and what cannot
be read is said and passed over.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_lab.certificate import Certificate, refused, retiring_soon
from router_lab.publish.history import HISTORY, ReleaseRecord, history, rollback_targets
from router_lab.publish.release_state import ReleaseState, current_release, read_release_state
from router_lab.runtime import jsonio
from router_lab.runtime.addresses import local_path
from router_lab.runtime.artifact import MANIFEST, load_policy, revisions_in
from router_lab.runtime.errors import InputError, PolicyError, RouterLabWarning
from router_lab.runtime.files import append_line, atomic_write, remove_leftovers
from router_lab.runtime.keys import fingerprint, load_private_key
from router_lab.runtime.locks import WAIT_S, FolderLock
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import (
    RELEASE,
    Release,
    build_release,
    find_revision,
    moment,
    read_release_bytes,
    release_expired,
    release_row,
    sign_release,
    verified_release,
)

__all__ = [
    "HISTORY",
    "Published",
    "certificate_digest",
    "current_release",
    "history",
    "publish",
    "rollback",
    "sign",
]

_OLD_S = 3600.0


@dataclass(frozen=True)
class Published:
    """A release that is in place: the policy's folder, what stands in RELEASE.json, and its line
    in the history."""

    folder: Path
    release: Release
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class _How:
    """Who publishes, when, until when, with which key, and by which keys the result must be
    believed."""

    private_key: bytes | Path | None
    trusted: Any
    by: str | None
    now: dt.datetime
    expires: float | None


def publish(
    revision: Path,
    *,
    alias: str = "champion",
    gate: Mapping[str, object] | None = None,
    force: bool = False,
    private_key: bytes | Path | None = None,
    trusted: object = None,
    expires: dt.datetime | None = None,
    by: str | None = None,
    now: dt.datetime | None = None,
) -> Published:
    """Make the artifact in `revision` what `load_policy(revision.parent)` loads: RELEASE.json is
    replaced whole.

    gate: the JSON that `gate` wrote for this very revision; unless its verdict is `pass`, `force`
    is needed, and the history says so for ever. The release's verdict is the gate's (without one,
    the certificate's is not borrowed: `inconclusive`). private_key: PEM bytes or file, to sign.
    trusted: the keys of loaders (`keys.trusted_keys`); what they would not believe is not
    published. expires: from then on no loader takes the release (rounded up to a second). by: who
    publishes, for the history. Raises InputError for a folder that is no revision, a gate of
    another revision, a certificate that says by now not to deploy, a release under another alias, a
    folder that cannot be written, or that another publisher holds for half a minute; PolicyError
    for keys. Warns (RouterLabWarning) of what is damaged or unfinished in the folder, and goes on
    from what is not; and of candidates that retire soon or have retired.
    """
    revision = local_path(revision)
    policy, how = _revision(revision), _how(private_key, trusted, by, now, expires)
    word, gate_digest = _gated(policy, gate, force, how.now), None if gate is None else _digest(gate, "gate")
    _refuse_alias(alias)
    folder = _folder(revision)
    with FolderLock(folder, "publishing", wait_s=WAIT_S):
        release_state = _begin(folder, how)
        current = release_state.current
        if current is not None and (current.name, current.alias) != (policy.spec.name, alias):
            raise InputError(
                f"{folder / RELEASE}: serves {current.name!r} as {current.alias!r}; a folder has one policy and one "
                f"alias, so publish {policy.spec.name!r} as {alias!r} from another"
            )
        release = Release(
            policy.spec.name, alias, release_state.number + 1, str(policy.revision),
            None if current is None else current.revision, word, how.expires,
        )  # fmt: skip
        details = {"action": "publish", "forced": force and word != "pass", "gate_sha256": gate_digest}
        return _put(release_state, release, details, how)


def rollback(
    folder: Path,
    *,
    to: str | int | None = None,
    private_key: bytes | Path | None = None,
    trusted: object = None,
    expires: dt.datetime | None = None,
    by: str | None = None,
    now: dt.datetime | None = None,
) -> Published:
    """Publish an earlier revision again, under a new, higher number.

    It is the last one that was published before and never rolled back from; a second rollback goes
    further back. to: the number of a release in the history, or the first digits of its revision,
    instead. The rest as for `publish`. Raises InputError, naming what can be gone back to, when
    nothing is published, nothing is left to go back to, or the earlier revision is gone or
    damaged; warns as `publish`.
    """
    folder = local_path(folder)
    if not any(os.path.lexists(folder / name) for name in (RELEASE, HISTORY)):
        raise InputError(_nothing(folder))
    how = _how(private_key, trusted, by, now, expires)
    with FolderLock(folder, "rolling back", wait_s=WAIT_S):
        release_state = _begin(folder, how)
        current = release_state.current
        if current is None:
            raise InputError(_nothing(folder))
        back = rollback_targets(release_state.lines, current.number)
        line = _next_back(release_state, back) if to is None else _named(release_state, str(to))
        others = f"; what else can be gone back to: {_listed(back, line)}"
        try:
            policy = load_policy(find_revision(folder, line.revision), name=current.name)
        except PolicyError as error:
            raise InputError(f"{folder}: release {line} cannot be put back: {error}{others}") from error
        _warn(policy, retiring_soon(policy, how.now.astimezone(dt.UTC).date(), gone=True), stacklevel=3)
        release = Release(
            policy.spec.name,
            current.alias,
            release_state.number + 1,
            line.revision,
            current.revision,
            line.verdict,
            how.expires,
        )
        return _put(release_state, release, {"action": "rollback", "forced": False}, how)


def sign(folder: Path, private_key: bytes | Path, *, trusted: object = None) -> Path:
    """Sign the release that stands in `folder` (anew), under the folder's lock; the path of its
    RELEASE.json."""
    if not os.path.lexists(folder / RELEASE):
        raise InputError(f"{folder}: nothing is published there, so there is nothing to sign")
    with FolderLock(folder, "signing", wait_s=WAIT_S):
        data = sign_release(read_release_bytes(folder), private_key)
        if trusted is not None:
            verified_release(data, trusted)
        return _written(folder, data, "it is as it was")


def certificate_digest(policy: Policy) -> str:
    """sha256 of the certificate as canonical JSON."""
    return _digest(policy.spec.certificate, "certificate")


def _digest(value: Mapping[str, object], what: str) -> str:
    try:
        data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)
    except (TypeError, ValueError, RecursionError) as error:  # also a whole number of thousands of digits
        raise InputError(f"{what}: is not JSON: {error}") from error
    return hashlib.sha256(data.encode("utf-8", "replace")).hexdigest()


def _how(
    private_key: bytes | Path | None,
    trusted: object,
    by: str | None,
    now: dt.datetime | None,
    expires: dt.datetime | None,
) -> _How:
    """Raises before anything is done what would fail at its end."""
    moment_ = now or dt.datetime.now(dt.UTC)
    if private_key is not None:
        load_private_key(private_key)
    try:
        until = None if expires is None else float(-(-expires.timestamp() // 1))
    except (ValueError, OverflowError) as error:
        raise InputError(f"expires {expires!r}: is no moment of this calendar: {error}") from error
    if until is not None and not moment_.timestamp() < until:
        raise InputError(
            f"expires {moment(until)}: is not after now, {moment_.isoformat(timespec='seconds')}"
        )
    return _How(private_key, trusted, by, moment_, until)


def _revision(path: Path) -> Policy:
    if not (path / MANIFEST).is_file():
        found = [revision.name for revision in revisions_in(path)]
        hint = (
            f"; name one of its revisions: {', '.join(found)}" if found else "; `router-lab fit` writes one"
        )
        raise InputError(f"{path}: is not an artifact (no {MANIFEST}){hint}")
    policy = load_policy(path)
    Certificate.of(policy)  # what nobody can read is not published
    return policy


def _folder(revision: Path) -> Path:
    """The folder that a revision is published in: the one that it is named in, also where its own
    name is a link."""
    place = revision.resolve() if revision.name in ("", "..") else revision.parent.resolve() / revision.name
    return place.parent


def _gated(policy: Policy, gate: Mapping[str, object] | None, force: bool, now: dt.datetime) -> str:
    """The verdict of the gate, which by `now` may have become a `fail`. Raises InputError where it
    does not allow publishing and nobody forces it; warns of who retires soon, or has."""
    day = now.astimezone(dt.UTC).date()
    if gate is not None and not isinstance(gate, Mapping):
        raise InputError(
            f"gate: {gate!r:.60} is not the JSON object that `router-lab gate --write-json` writes"
        )
    if gate is not None and gate.get("revision") != policy.revision:
        raise InputError(
            f"gate: was run on revision {str(gate.get('revision'))[:12]}, not on {str(policy.revision)[:12]}; "
            "run it again"
        )
    word = "inconclusive" if gate is None else str(gate.get("verdict"))
    reason = "no gate was passed" if gate is None else f"its gate says {word[:40]}"
    against = refused(policy, day) if word == "pass" else None
    if against is not None:
        word, reason = "fail", f"its gate passed, but by {day} its certificate says: {against}"
    if word != "pass" and not force:
        raise InputError(
            f"{policy.spec.name}: {reason}; run `router-lab gate … --write-json gate.json` and publish with --gate "
            "gate.json, or --force, which leaves a trace"
        )
    _warn(policy, retiring_soon(policy, day, gone=True), stacklevel=4)
    return word if word in ("pass", "fail") else "inconclusive"


def _warn(policy: Policy, texts: Iterable[str], stacklevel: int) -> None:
    for text in texts:
        warnings.warn(f"{policy.spec.name}: {text}", RouterLabWarning, stacklevel=stacklevel)


def _refuse_alias(alias: str) -> None:
    if not isinstance(alias, str):
        raise InputError(f"alias {alias!r:.60}: is not a text; say what loaders ask for")
    if not alias.isprintable() or alias != alias.strip() or not 1 <= len(alias) <= 100:
        raise InputError(
            f"alias {alias[:100]!r}: is not 1 to 100 printable characters; say what loaders ask for"
        )


def _begin(folder: Path, how: _How) -> ReleaseState:
    """What stands in `folder`; who publishes is told what is wrong with it."""
    remove_leftovers(folder, older_s=_OLD_S)
    release_state = read_release_state(folder)
    current, problems = release_state.current, list(release_state.problems)
    if how.expires is None and current is not None and current.expires is not None:
        word = "expired" if release_expired(current, how.now.timestamp()) else "expires"
        problems.append(f"release {current.number} {word} on {moment(current.expires)}; the new one never does "
                        "(give --expires)")  # fmt: skip
    if release_state.signed and how.private_key is None:
        problems.append("what is published is signed, and the new release is not: loaders that require a signature "
                        "refuse it (give --key, or `router-lab sign` it)")  # fmt: skip
    for problem in problems:
        warnings.warn(problem, RouterLabWarning, stacklevel=3)
    return release_state


def _nothing(folder: Path) -> str:
    return f"{folder}: nothing is published there, so there is nothing to go back from; {_to_publish(folder)}"


def _to_publish(folder: Path, but: str | None = None) -> str:
    """What to do where no release is there to go back to."""
    found = [place for place in revisions_in(folder) if but is None or not but.startswith(place.name)]
    if not found:
        return "fit another revision (`router-lab fit … --out`) and `router-lab publish` it"
    return f"publish another revision: router-lab publish {found[0]} --gate gate.json"


def _next_back(release_state: ReleaseState, back: list[ReleaseRecord]) -> ReleaseRecord:
    if back:
        return back[0]
    assert release_state.current is not None
    number = release_state.current.number
    if release_state.current.parent is None and len({line.revision for line in release_state.lines}) < 2:
        raise InputError(
            f"{release_state.folder}: release {number} is the first, so there is none to go back to; "
            f"{_to_publish(release_state.folder, release_state.current.revision)}"
        )
    raise InputError(
        f"{release_state.folder}: nothing came before release {number} that was not itself rolled back from; publish "
        f"another revision, or say which with --to: {_listed(release_state.lines, None, release_state.current.revision)}"
    )


def _named(release_state: ReleaseState, to: str) -> ReleaseRecord:
    """The line that `to` names: a release's number, or at least six digits of a revision."""
    assert release_state.current is not None
    lines = release_state.lines
    found = [line for line in lines if str(line.number) == to]
    if not found and len(to) >= 6:
        found = [line for line in lines if line.revision.startswith(to.lower())]
    if len({line.revision for line in found}) != 1:
        what = "names more than one revision" if found else "is no number or revision of a release"
        there = _listed(lines, None, release_state.current.revision)
        raise InputError(f"{release_state.folder}: --to {to[:80]!r} {what} here; there are {there}")
    if found[-1].revision == release_state.current.revision:
        raise InputError(f"{release_state.folder}: --to {to[:80]!r} is what is published now")
    return found[-1]


def _listed(lines: list[ReleaseRecord], but: ReleaseRecord | None, revision: str | None = None) -> str:
    """The last of these releases of each revision, newest first."""
    found = {line.revision: line for line in sorted(lines, key=lambda line: line.number)}
    skip = {revision, None if but is None else but.revision}
    shown = [
        str(line)
        for line in sorted(found.values(), key=lambda line: -line.number)
        if line.revision not in skip
    ]
    return ", ".join(shown[:10]) + (" …" if len(shown) > 10 else "") or "nothing"


def _put(
    release_state: ReleaseState, release: Release, details: Mapping[str, object], how: _How
) -> Published:
    """The history first: a crash between the two leaves a line too many, never a release without a
    trace. Such a line's number is never used again, and the next one's `replaces` shows that it
    never came to be."""
    folder, current = release_state.folder, release_state.current
    data = build_release(release, how.private_key)
    if how.trusted is not None:
        verified_release(data, how.trusted)
    policy = load_policy(find_revision(folder, release.revision), name=release.name)
    if policy.revision != release.revision:
        raise InputError(
            f"{folder}: what is named after revision {release.revision[:16]} is {policy.revision}"
        )
    key = None if how.private_key is None else fingerprint(load_private_key(how.private_key).public_key())
    entry = {
        **release_row(release), **details, "certificate_sha256": certificate_digest(policy), "signed": key is not None,
        "key": key, "by": how.by, "at": how.now.isoformat(timespec="seconds"),
        "replaces": None if current is None else current.number,
    }  # fmt: skip
    try:
        append_line(folder / HISTORY, jsonio.dumps(entry).rstrip(b"\n"), sync=True)
    except OSError as error:
        raise InputError(
            f"{folder / HISTORY}: cannot be written: {error.strerror}; nothing was published"
        ) from error
    _written(folder, data, "nothing was published")
    return Published(folder, release, entry)


def _written(folder: Path, data: bytes, otherwise: str) -> Path:
    try:
        return atomic_write(folder / RELEASE, data)
    except OSError as error:
        raise InputError(f"{folder / RELEASE}: cannot be written: {error.strerror}; {otherwise}") from error
