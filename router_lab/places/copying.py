"""A copy of what lies at an address, for as long as somebody works on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from router_lab.places.mirror import Mirror
from router_lab.places.scratch import Scratch
from router_lab.places.store import Entry, Store, UnlistedError
from router_lab.places.told import stands_for, told
from router_lab.runtime.addresses import is_address, local_path
from router_lab.runtime.artifact import MANIFEST
from router_lab.runtime.decisionfiles import is_log_name, is_rotated
from router_lab.runtime.errors import InputError, RouterLabError


class Copy:
    """Files of this machine that are what lies at `address`, and what `put` puts back.

    A folder is copied whole; of a file the folder's other files named in `beside` come with it, of
    a decision log its rotated parts, and of a revision the policy that it belongs to. `path` is
    not there where nothing is at the address. Raises InputError.
    """

    def __init__(self, address: str, *, beside: Collection[str] = (), journals: Collection[str] = ()) -> None:
        here = Store(address)
        self._scratch = Scratch()
        self._journals = journals
        try:
            self.path = self._begin(here, self._scratch.path, beside)
        except BaseException:
            self.close()
            raise

    def _begin(self, here: Store, scratch: Path, beside: Collection[str]) -> Path:
        parent, _, name = here.address.rpartition("/")
        if parent.endswith("/"):  # a bucket: nothing is above it
            self._mirror = self._of(here, scratch, whole=True)
            self._mirror.bring(here.entries())
            return self._mirror.root
        above = Store(parent)
        seen: Mapping[str, Entry] | None = None
        with suppress(InputError):  # who may read may yet not list
            seen = above.entries(deep=False)
        entry = above.entry(name) if seen is None else seen.get(name)
        there: Mapping[str, Entry] = {}
        if entry is None:
            with nullcontext() if seen is not None else suppress(UnlistedError):
                there = here.entries()
        if there and MANIFEST not in there:
            self._mirror = self._of(here, scratch, whole=True)
            self._mirror.bring(there)
            return self._mirror.root
        revision = bool(there)
        empty = name if entry is None else None
        self._mirror = self._of(above, scratch, whole=revision, seen=seen, empty=empty)
        if revision:
            self._mirror.bring(above.entries())
        elif entry is not None:
            self._mirror.bring({name: entry, **_companions(above, name, beside)})
        return self._mirror.root / name

    def _of(
        self, store: Store, scratch: Path, *, whole: bool, seen: Mapping[str, Entry] | None = None,
        empty: str | None = None,
    ) -> Mirror:  # fmt: skip
        root = scratch / (store.address.rpartition("/")[2] or "store")
        root.mkdir()
        stands_for(root, store.address)
        return Mirror(store, root, whole=whole, journals=self._journals, seen=seen, empty=empty)

    def put(self) -> None:
        """Put back what changed. Raises InputError where another changed the same meanwhile, or
        the store refuses it; the copy stays then, and the error names its folder."""
        if self._scratch.is_over:
            return
        try:
            self._mirror.put()
        except InputError as error:
            text = told(str(error))
            raise InputError(f"{text} (what was made is kept in {self._scratch.keep()})") from error

    def close(self) -> None:
        """Delete the copy."""
        self._scratch.close()


def _companions(store: Store, name: str, beside: Collection[str]) -> Mapping[str, Entry]:
    if is_log_name(name) or is_rotated(name):
        stem = name[: name.rindex(".jsonl")]
        return {n: e for n, e in store.entries(deep=False).items() if n.startswith(f"{stem}.jsonl")}
    found = {other: store.entry(other) for other in beside if other != name}
    return {other: entry for other, entry in found.items() if entry is not None}


@contextmanager
def copy(
    given: str | Path, *, beside: Collection[str] = (), journals: Collection[str] = ()
) -> Iterator[Path]:
    """`given` as a path of this machine: itself, or where it is an address a copy of what is
    there. What of it changed is put back at the end, also after an error.

    beside, journals: as in `Copy` and `Mirror`. Raises InputError.
    """
    if not is_address(given):
        yield local_path(given)
        return
    made = Copy(str(given), beside=beside, journals=journals)
    try:
        try:
            yield made.path
        finally:
            made.put()
    except RouterLabError as error:
        error.args = (told(str(error)),)
        raise
    finally:
        made.close()


_KEPT: list[Copy] = []


def fetched(given: str | Path) -> Path:
    """`given` as a path of this machine: itself, or a copy of what is at an address now, which
    lasts as long as the process and is never put back. Raises InputError, also where nothing is
    there."""
    if not is_address(given):
        return local_path(given)
    made = Copy(str(given))
    if not made.path.exists():
        made.close()
        raise InputError(f"{given}: nothing is there")
    _KEPT.append(made)
    return made.path


class Follower:
    """What `follow` returns: called, it fetches what changed and returns the folder."""

    def __init__(self, address: str, folder: Path) -> None:
        self._mirror = Mirror(Store(address), folder, whole=True)
        stands_for(folder, self._mirror.store.address)

    def __call__(self) -> Path:
        """The folder, as the address is now. Raises InputError where it cannot be read."""
        self._mirror.bring(self._mirror.store.entries())
        return self._mirror.root


def follow(address: str, folder: str | Path) -> Follower:
    """A source for `PolicyStore`: the policy's folder at `address`, kept in step in `folder`.

    Each look lists the address and fetches what changed, the release last. `folder` is this
    process's own. Raises InputError.
    """
    return Follower(address, local_path(folder))
