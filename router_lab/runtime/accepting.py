"""Which releases a store takes: of its policy and alias, with a verdict that it was told to take,
and no older one.

The rules are The Update Framework's (https://theupdateframework.github.io/specification/latest/,
section 5), as far as one file of one signer goes: names are bound, numbers never fall, and a
number that ran ahead can be recovered from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from router_lab.runtime.artifact import Opened
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.keys import fingerprint, trusted_keys
from router_lab.runtime.model import VERDICTS
from router_lab.runtime.release import LARGEST_STEP, RELEASE, Release
from router_lab.runtime.state import Remembered


def known_verdicts(verdicts: Any) -> frozenset[str]:
    """Raises PolicyError for a verdict that no release can have, and for none at all."""
    asked = [verdicts] if isinstance(verdicts, str) else list(verdicts)
    if not asked or any(word not in VERDICTS for word in asked):
        raise PolicyError(f"policy store: verdicts {asked!r:.100}: name some of {', '.join(VERDICTS)}")
    return frozenset(asked)


class Rules(NamedTuple):
    """`verdicts` that are taken; `accept_older`: whatever its number; `public_key`: as the store
    was given it."""

    verdicts: frozenset[str]
    accept_older: bool
    public_key: Any

    def judge(
        self, opened: Opened, known: Remembered, served: tuple[int, str] | None
    ) -> tuple[Remembered, bool]:
        """(what is known once `opened` is accepted, whether numbers start anew). Raises
        PolicyError.

        served: number and revision of the release that serves, if one does.
        """
        release = opened.release
        found = (opened.policy.spec.name, None if release is None else release.alias)
        other = known.alias is not None and release is not None and release.alias != known.alias
        if other or known.name not in (None, found[0]):
            raise PolicyError(
                f"{RELEASE}: {_called(*found)} is not what this store serves, {_called(known.name, known.alias)}"
            )
        if release is None:
            if known.release and not self.accept_older:
                raise PolicyError(
                    f"the source has no {RELEASE}, and release {known.release} was accepted before"
                )
            return known._replace(rejected=()), False
        if release.verdict not in self.verdicts:
            raise PolicyError(
                f"{RELEASE}: the verdict of release {release.number} is {release.verdict}; this store takes "
                f"{', '.join(sorted(self.verdicts))}"
            )
        restart = known.signer not in (None, opened.signer) and not self.counts(known.signer)
        newest = 0 if restart else known.release
        if not self.accept_older:
            _refuse_number(release, newest, known, served)
        accepted = known._replace(
            release=max(release.number, newest), name=release.name, alias=release.alias, signer=opened.signer,
            rejected=(),
        )  # fmt: skip
        return accepted, restart

    def counts(self, signer: str | None) -> bool:
        """Whether numbers that `signer` signed go on to count: of a trusted key, or of any where
        none is asked for."""
        return self.public_key is None or any(
            fingerprint(one.key) == signer for one in trusted_keys(self.public_key)
        )


def _refuse_number(release: Release, newest: int, known: Remembered, served: tuple[int, str] | None) -> None:
    """PolicyError for an older number, for the newest one with another revision, and for one that
    runs ahead."""
    had = [served[1]] if served is not None and served[0] == newest else []
    had += [name[:16] for name in (known.current, known.previous) if name and name.endswith(f"-{newest}")]
    other = bool(had) and not any(release.revision.startswith(one) for one in had)
    if release.number < newest or (release.number == newest and other):
        raise PolicyError(f"{RELEASE}: release {release.number} is not newer than {newest}, accepted before")
    if release.number > newest + LARGEST_STEP:
        raise PolicyError(
            f"{RELEASE}: release {release.number} is more than {LARGEST_STEP:,} above {newest}, the newest that was "
            "accepted; `router-lab publish` goes on from the history, and `forget_release` takes any number"
        )


def _called(name: str | None, alias: str | None) -> str:
    return " as ".join(repr(word) for word in (name, alias) if word is not None)
