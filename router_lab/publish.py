"""What production serves: RELEASE.json beside the revisions of a policy, and the history of who put what there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_lab.runtime.artifact import MANIFEST, load_policy
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import RELEASE, Release, build_release, parse_release, resolve

HISTORY = "RELEASES.jsonl"
"""One JSON object a line, oldest first: every publication and rollback of a policy, forced ones marked."""


@dataclass(frozen=True)
class Published:
    """A release that is in place: the policy's folder, what stands in RELEASE.json, and its line in the history."""

    folder: Path
    release: Release
    entry: Mapping[str, Any]


def publish(
    revision: Path,
    *,
    alias: str = "champion",
    gate: Mapping[str, Any] | None = None,
    force: bool = False,
    private_key: bytes | Path | None = None,
    by: str | None = None,
    now: dt.datetime | None = None,
) -> Published:
    """Make the artifact in `revision` what `load_policy(revision.parent)` loads: RELEASE.json is replaced whole.

    gate: the JSON that `gate` wrote for this very revision; unless its verdict is `pass`, `force` is needed, and the
    history says so for ever. The release's verdict is the gate's (without one, the certificate's is not borrowed:
    `inconclusive`). private_key: PEM bytes or file, to sign. by: who publishes, for the history.
    Raises InputError for a folder that is no revision, a gate of another revision, or a release under another alias.
    """
    policy = _revision(revision)
    word = _gated(policy, gate, force)
    folder, current = revision.resolve().parent, current_release(revision.resolve().parent)
    if current is not None and (current.name, current.alias) != (policy.spec.name, alias):
        raise InputError(
            f"{folder / RELEASE}: serves {current.name!r} as {current.alias!r}; a folder has one policy and one alias, "
            f"so publish {policy.spec.name!r} as {alias!r} from another"
        )
    release = Release(
        policy.spec.name, alias, 1 if current is None else current.number + 1, str(policy.revision),
        None if current is None else current.revision, word,
    )  # fmt: skip
    details = {
        "action": "publish", "forced": force and word != "pass", "certificate_sha256": certificate_digest(policy),
        "gate_sha256": None if gate is None else _digest(gate),
    }  # fmt: skip
    return _put(folder, release, details, private_key, by, now)


def rollback(
    folder: Path, *, private_key: bytes | Path | None = None, by: str | None = None, now: dt.datetime | None = None
) -> Published:
    """Publish again what the current release replaced, under a new, higher number.

    Raises InputError when nothing is published, nothing came before, or the earlier revision is gone or damaged.
    """
    current = current_release(folder)
    if current is None:
        raise InputError(f"{folder}: nothing is published there")
    if current.parent is None:
        raise InputError(f"{folder}: release {current.number} is the first; there is nothing to go back to")
    earlier = [e for e in history(folder) if e["revision"] == current.parent]
    word = str(earlier[-1]["verdict"]) if earlier else "inconclusive"
    target = folder / _directory(folder, current.parent)
    policy = load_policy(target)
    release = Release(policy.spec.name, current.alias, current.number + 1, current.parent, current.revision, word)
    details = {"action": "rollback", "forced": False, "certificate_sha256": certificate_digest(policy)}
    return _put(folder, release, details, private_key, by, now)


def current_release(folder: Path) -> Release | None:
    """What RELEASE.json in `folder` says, or None where nothing is published."""
    path = folder / RELEASE
    return parse_release(path.read_bytes())[0] if path.is_file() else None


def history(folder: Path) -> list[dict[str, Any]]:
    """Every publication and rollback in `folder`, oldest first."""
    path = folder / HISTORY
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def certificate_digest(policy: Policy) -> str:
    """sha256 of the certificate as canonical JSON."""
    return _digest(policy.spec.certificate)


def _digest(value: Mapping[str, Any]) -> str:
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)
    return hashlib.sha256(data.encode("utf-8", "replace")).hexdigest()


def _revision(path: Path) -> Policy:
    if not (path / MANIFEST).is_file():
        found = sorted(p.parent.name for p in path.glob(f"*/{MANIFEST}"))
        hint = f"; name one of its revisions: {', '.join(found)}" if found else "; `router-lab fit` writes one"
        raise InputError(f"{path}: is not an artifact (no {MANIFEST}){hint}")
    return load_policy(path)


def _gated(policy: Policy, gate: Mapping[str, Any] | None, force: bool) -> str:
    """The verdict of the gate. Raises InputError where it does not allow publishing and nobody forces it."""
    if gate is not None and gate.get("revision") != policy.revision:
        raise InputError(
            f"gate: was run on revision {str(gate.get('revision'))[:12]}, not on {str(policy.revision)[:12]}; "
            "run it again"
        )
    word = "inconclusive" if gate is None else str(gate.get("verdict"))
    if word != "pass" and not force:
        reason = "no gate was passed" if gate is None else f"its gate says {word}"
        raise InputError(
            f"{policy.spec.name}: {reason}; run `router-lab gate … --write-json gate.json` and publish with --gate "
            "gate.json, or --force, which leaves a trace"
        )
    return word if word in ("pass", "fail") else "inconclusive"


def _directory(folder: Path, revision: str) -> str:
    found = [p.parent.name for p in folder.glob(f"*/{MANIFEST}") if revision.startswith(p.parent.name)]
    if not found:
        raise InputError(f"{folder}: no directory holds revision {revision[:16]} any more")
    return found[0]


def _put(
    folder: Path, release: Release, details: Mapping[str, Any], private_key: bytes | Path | None, by: str | None,
    now: dt.datetime | None,
) -> Published:  # fmt: skip
    """The history first: a crash between the two leaves a line too many, never a release without a trace."""
    moment = (now or dt.datetime.now(dt.UTC)).isoformat(timespec="seconds")
    entry = {**release._asdict(), **details, "signed": private_key is not None, "by": by, "at": moment}
    data = build_release(release, private_key)
    lines = [json.dumps(e, sort_keys=True, ensure_ascii=False) for e in [*history(folder), entry]]
    atomic_write(folder / HISTORY, ("\n".join(lines) + "\n").encode())
    atomic_write(folder / RELEASE, data)
    resolve(folder, None, signed=False)
    return Published(folder, release, entry)
