"""What is published of a policy that was opened."""

from __future__ import annotations

from pathlib import Path

from router_lab.publish import HISTORY, current_release, history
from router_lab.runtime.artifact import MANIFEST
from router_lab.runtime.errors import PolicyError, RouterLabError
from router_lab.runtime.release import Release, moment


def release_of(policy: Path, revision: str | None) -> tuple[Path, Release] | None:
    """The folder that publishes `revision`, and its release: `policy` itself, or the folder that
    the revision `policy` lies in; None where that publishes nothing, or another."""
    folder = policy
    if (policy / MANIFEST).exists():
        folder = policy.resolve().parent if policy.name in ("", "..") else policy.parent
    try:
        found = current_release(folder)
    except PolicyError:  # what stands beside a revision is nothing that its reader asked for
        return None
    return None if found is None or found.revision != revision else (folder, found)


def release_told(folder: Path, release: Release) -> str:
    """Number, name, alias, the verdict of its gate, expiry, and where the history lies."""
    until = "" if release.expires is None else f", expires {moment(release.expires)}"
    try:
        count = len(history(folder))
        told = f"{count} line{'s' * (count != 1)} in {folder / HISTORY}"
    except RouterLabError as error:
        told = str(error)
    return f"{release.number} of {release.name} as {release.alias}, gate {release.verdict}{until}; history: {told}"


def release_json(folder: Path, release: Release) -> dict[str, object]:
    """Plain data; `expires` in UTC seconds."""
    return {**release._asdict(), "history": str(folder / HISTORY)}
