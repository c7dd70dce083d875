"""The kernel boundary of one process: bubblewrap with a read-only root that holds a Python and nothing else.

Namespaces of its own for users, processes, network, IPC and host name; no capability, no environment, no home, no
dataset, no repository, no place to write; and a filter of system calls. All the processes in it end with it, and with
the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sandbox_syscalls

REPOSITORY = Path(__file__).resolve().parent.parent
SCREENS_AND_FILES = ("_tkinter", "_curses", "readline", "_dbm", "_gdbm", "nis")
"""Native modules whose libraries stay outside: no function of a model draws, asks at a prompt or keeps a database."""
LAYOUT = "import json, os, sys; print(json.dumps([os.path.dirname(os.__file__), *sys.path]))"
LIBRARY = re.compile(r"(?:=>\s*|^\s*)(/\S+)\s+\(0x", re.M)
NOBODY = "65534"


class BoxError(Exception):
    """The box cannot be made; the message says why, for people."""


@dataclass(frozen=True)
class Box:
    """How to start a Python in a box: `python` and the arguments of bubblewrap before it."""

    python: str
    arguments: tuple[str, ...]
    seccomp: bytes

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[list[str], list[int]]]:
        """(command up to Python's own arguments, descriptors to pass on); the latter are closed at the end."""
        if not self.seccomp:
            yield [*self.arguments, "--", self.python], []
            return
        with tempfile.TemporaryFile() as rules:
            rules.write(self.seccomp)
            rules.seek(0)
            yield [*self.arguments, "--seccomp", str(rules.fileno()), "--", self.python], [rules.fileno()]


def real_python() -> str:
    """The interpreter itself, behind the links of virtual environments."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@cache
def find_box() -> Box:
    """The box for this machine and Python, as far as it can be told without starting it. Raises BoxError."""
    bwrap = shutil.which("bwrap")
    if not sys.platform.startswith("linux") or bwrap is None:
        raise BoxError("bubblewrap (`bwrap`) is not installed")
    python = real_python()
    stdlib, *search = json.loads(_printed([python, "-I", "-S", "-c", LAYOUT]))
    folders = [stdlib, *(p for p in search if p and Path(p).exists() and not Path(p).is_relative_to(stdlib))]
    files = [python, *_libraries(python, folders)]
    known = _printed([bwrap, "--help"])
    arguments = [
        bwrap, "--unshare-all", "--unshare-user", *(["--disable-userns"] if "--disable-userns" in known else []),
        "--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv",
        "--hostname", "box",
    ]  # fmt: skip
    libraries = os.environ.get("LD_LIBRARY_PATH")
    if libraries:
        arguments += ["--setenv", "LD_LIBRARY_PATH", libraries]
    for path in (*folders, *files):
        arguments += ["--ro-bind", path, path]
    for path in _hidden(folders):
        arguments += ["--tmpfs", path, "--remount-ro", path]
    arguments += [
        "--ro-bind-try",
        "/etc/ld.so.cache",
        "/etc/ld.so.cache",
        "--dev-bind",
        os.devnull,
        os.devnull,
    ]
    # No /proc: a function needs none, and to a process of the host's root some files in it could be written.
    arguments += ["--remount-ro", "/", "--chdir", "/"]
    return Box(python, tuple(arguments), sandbox_syscalls.program())


def _libraries(python: str, folders: list[str]) -> list[str]:
    """The shared libraries that Python and its native modules are linked with, by the names they are looked up by."""
    modules = [
        str(path)
        for folder in folders
        for path in [*Path(folder).glob("*.so"), *Path(folder).glob("lib-dynload/*.so")]
        if not path.name.startswith(SCREENS_AND_FILES)
    ]
    return sorted({os.path.normpath(path) for path in LIBRARY.findall(_printed(["ldd", python, *modules]))})


def _hidden(folders: list[str]) -> list[str]:
    """What lies in `folders` and is not Python's own: installed packages, and this repository with its datasets."""
    packages = [f"{folder}/{name}" for folder in folders for name in ("site-packages", "dist-packages")]
    inside = [str(REPOSITORY)] if any(REPOSITORY.is_relative_to(os.path.realpath(f)) for f in folders) else []
    return [path for path in packages if Path(path).is_dir()] + inside


def _printed(command: list[str]) -> str:
    """What a program of the system prints; `ldd` ends with 1 where a module is no dynamic one. Raises BoxError."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BoxError(f"{command[0]} cannot be run: {error}") from None
