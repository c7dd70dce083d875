"""A folder of this machine that is kept in step with an address while it grows, as a sweep's logs
do.

The folder stays after the process, and so does what was not put yet when it was killed: the next
run on this machine goes on from both. On another machine it goes on from what is at the address.
"""

from __future__ import annotations

import _thread
import hashlib
import json
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router_lab.places.lease import Lease, LostError
from router_lab.places.mirror import Known, Mirror
from router_lab.places.store import Store
from router_lab.places.told import stands_for, told
from router_lab.runtime.addresses import is_address, local_path
from router_lab.runtime.errors import InputError, RouterLabError, RouterLabWarning
from router_lab.runtime.files import atomic_write
from router_lab.runtime.jsonio import decode
from router_lab.runtime.locks import FolderLock

EVERY_S = 1.0
"""Seconds between two looks at what changed, and never less than four times what a look took."""
NOTES = "kept.json"
VARIABLE = "ROUTER_LAB_PLACES"
"""Variable of the environment: the folder of what is kept, by default one in the user's state."""


@contextmanager
def kept(given: str | Path, doing: str) -> Iterator[Path]:
    """`given` as a folder of this machine: itself, or where it is an address one that is kept in
    step with it, which nobody else writes meanwhile.

    doing: said to whoever finds it held. Raises InputError while another holds it, and at the end
    where something could not be put; it is still in the folder then. Where another takes the
    address, or it cannot be reached for so long that another may, the main thread is interrupted.
    """
    if not is_address(given):
        yield local_path(given)
        return
    store = Store(str(given))
    home = _homes() / hashlib.sha256(store.address.encode()).hexdigest()[:16]
    root = home / "at" / (re.sub(r"[^A-Za-z0-9._-]+", "-", store.address.rpartition("/")[2])[:40] or "store")
    stands_for(home, store.address)
    stands_for(root, store.address)
    try:
        with FolderLock(home, doing):
            keeper = _Keeper(store, home / NOTES, root, doing)
            try:
                yield keeper.mirror.root
            finally:
                keeper.end()
    except RouterLabError as error:
        error.args = (told(str(error)),)
        raise


def _homes() -> Path:
    given, state = os.environ.get(VARIABLE), os.environ.get("XDG_STATE_HOME")
    if given:
        return Path(given)
    return (Path(state) if state else Path.home() / ".local/state") / "router-lab/places"


class _Keeper:
    """Holds the lease and puts what changes, in a thread of its own."""

    def __init__(self, store: Store, state: Path, root: Path, doing: str) -> None:
        self._state, self._failed = state, False
        self._lost: InputError | None = None
        token, known = _read(state)
        root.mkdir(parents=True, exist_ok=True)
        self._token = token or os.urandom(16).hex()
        self.mirror = Mirror(store, root, whole=True, known=known)
        self._save()  # before the lease says the token
        self._lease = Lease(store, self._token, doing)
        mine = self._lease.take()
        try:
            self.mirror.bring(store.entries(), mine=mine)
            self._lease.renew()
            self._put()
        except BaseException:
            if not mine:  # what shows that it is ours alone must stay
                self._lease.release()
            raise
        finally:
            self._save()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="router-lab-places", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Put the rest, and let others in. Raises InputError for what could not be put."""
        self._over.set()
        self._thread.join()
        if self._lost is not None:
            raise self._lost
        try:
            self._put()
        except LostError:
            raise
        except InputError as error:
            raise InputError(
                f"{error}; what is not there yet is kept on this machine, and the same command puts it there"
            ) from error
        self._lease.release()

    def _put(self) -> None:
        changed = True
        try:
            changed = bool(self.mirror.put(self._lease.renew))
        finally:
            if changed:
                self._save()

    def _save(self) -> None:
        known = {name: list(one) for name, one in self.mirror.known.items()}
        said = {"address": self.mirror.store.address, "token": self._token, "known": known}
        atomic_write(self._state, json.dumps(said).encode())

    def _keep(self) -> None:
        pause = EVERY_S
        while not self._over.wait(pause):
            start = time.monotonic()
            try:
                self._lease.renew()
                self._put()
            except LostError as error:
                self._lost = error
            except (InputError, OSError) as error:
                self._tell(error)
            if self._lost is not None:
                _thread.interrupt_main()
                return
            pause = min(max(EVERY_S, 4 * (time.monotonic() - start)), max(EVERY_S, self._lease.renewed_s))

    def _tell(self, error: Exception) -> None:
        """Once, and then silence: the end of the run tells what was never put."""
        if not self._failed:
            warnings.warn(RouterLabWarning(f"{error}; it is tried again"), stacklevel=2)
        self._failed = True
        if self._lease.has_ended():
            self._lost = InputError(f"{error}; so another may write there by now, and this run was stopped")


def _read(path: Path) -> tuple[str, dict[str, Known]]:
    """Token and what was known when it was last written; nothing of a file that is not ours."""
    try:
        said = decode(path.read_bytes())
        return str(said["token"]), {
            str(k): Known(str(v[0]), *map(int, v[1:4])) for k, v in said["known"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "", {}
