"""A throw-away PostgreSQL of the system's packages: a cluster in a folder of its own, on loopback, gone afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """The folder of the newest installed server's programs; None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def postgres() -> Iterator[str]:
    """A running server; yields its `postgresql://` address. The caller checks `binaries()` first."""
    programs = binaries()
    assert programs is not None
    # The server refuses to run as root; Debian's package makes the user `postgres` for it.
    owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp(prefix="router-lab-postgres-")), free_port()
    try:
        if owner:
            shutil.chown(folder, "postgres", "postgres")
        make = [
            "initdb",
            "--pgdata",
            str(folder),
            "--username",
            "lab",
            "--auth",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        serve = ["postgres", "-D", str(folder), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
        run(programs, make, folder, owner)
        with subprocess.Popen(
            [str(programs / serve[0]), *serve[1:]], cwd=folder, stderr=subprocess.DEVNULL, **owner
        ) as server:
            try:
                wait = ["pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "60", "-q"]
                while subprocess.run(
                    [str(programs / wait[0]), *wait[1:]], cwd=folder, check=False
                ).returncode:
                    assert server.poll() is None, "PostgreSQL did not start"
                yield f"postgresql://lab@127.0.0.1:{port}/postgres"
            finally:
                server.terminate()
                server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(programs: Path, command: list[str], folder: Path, owner: dict[str, object]) -> None:
    done = subprocess.run(
        [str(programs / command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **owner,
    )
    assert done.returncode == 0, done.stderr
