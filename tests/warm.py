"""`router-lab` in processes of its own that need not import Inspect first: forked from one that has.

Of the six CPU seconds that a small sweep takes, five go into importing Inspect and the clients of providers. What is
forked is a whole process all the same: it has its own id, files, environment and folder, and dies by whatever signal
it is sent. A test of the start itself runs the installed command.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

IMPORTED = (
    "router_lab.cli.sweep", "router_lab.cli.collect", "router_lab.cli.fit", "router_lab.cli.verify", "router_lab.cli.gate",
    "router_lab.cli.report", "router_lab.cli.diff", "router_lab.cli.publish", "router_lab.cli.route", "router_lab.sweep",
    "router_lab.collect", "router_lab.fit", "router_lab.gates", "router_lab.replay", "router_lab.report",
    "router_lab.racing.elimination", "inspect_ai.agent._acp.server", "inspect_ai.model._providers.anthropic",
    "inspect_ai.model._openai_responses", "inspect_ai.model._providers.providers",
)  # fmt: skip


class Warm:
    """`router-lab` with these arguments, begun: what a test needs of a `subprocess.Popen`. What it says is kept."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._said = ("", "")
        asked = {
            "arguments": [str(one) for one in arguments],
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
        }
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  # until it is over
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line.connect(_imported())
        with Path(os.devnull).open("rb") as nothing:
            socket.send_fds(self._line, [b"."], [file.fileno() for file in (nothing, *self._files)])
        self._line.sendall(json.dumps(asked).encode() + b"\n")
        self._answers = self._line.makefile("r")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """The status once it is over, as `Popen` gives it: −9 after SIGKILL."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._line.close()
            stdout, stderr = (os.pread(file.fileno(), 2**24, 0).decode() for file in self._files)
            self._said = stdout, stderr
            for file in self._files:
                file.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """What it wrote to standard output and to standard error, when it is over."""
        self.wait()
        return self._said


def run(
    arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`router-lab` with these arguments, to its end."""
    process = Warm(arguments, env=env, cwd=cwd)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(list(arguments), process.wait(), stdout, stderr)


SHIM = """#!{python} -SE
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({address!r})
socket.send_fds(line, [b"."], [0, 1, 2])
asked = {{"arguments": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}
line.sendall(json.dumps(asked).encode() + b"\\n")
os._exit(int(line.makefile().read().split()[1]))
"""


def on_path(folder: Path) -> str:
    """A PATH for scripts on which `router-lab` is such a process and `python` the one that runs tests.

    `folder` gets the command. It takes no signals: a script that sends one wants the installed command.
    """
    command = folder / "router-lab"
    command.write_text(SHIM.format(python=sys.executable, address=_imported()))
    command.chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


@functools.cache
def _imported() -> str:
    """The address of this test process' own server, which ends with it."""
    folder = tempfile.mkdtemp(prefix="warm-")
    address = f"{folder}/line"
    command = [sys.executable, "-m", "tests.warm", address]
    server = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.close()
        server.wait()
        server.stdout.close()

    atexit.register(end)
    return address


def _serve(address: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(address)
        door.listen()
        gc.collect()
        gc.freeze()  # what all share stays shared
        print("ready", flush=True)
        while True:
            asked, _, _ = select.select([door, sys.stdin], [], [])
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in asked:  # its end: who began this is over
                Path(address).unlink()
                Path(address).parent.rmdir()
                return
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _attend(line)
            line.close()


def _attend(line: socket.socket) -> None:
    """Begins one command, says its id, waits for it, says its status."""
    _, files, _, _ = socket.recv_fds(line, 1, 3)
    asked = json.loads(line.makefile().readline())
    pid = os.fork()
    if pid == 0:
        line.close()
        _become(asked["arguments"], asked["env"], asked["cwd"], files)
    for file in files:
        os.close(file)
    line.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):  # nobody listens any more
        line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(arguments: list[str], env: dict[str, str], cwd: str, files: list[int]) -> None:
    """The installed command, as a shell would have begun it; never returns."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    installed = Path(sys.executable).with_name("router-lab")
    sys.path[0] = str(installed.parent)
    sys.argv = [str(installed), *arguments]
    from router_lab.cli import main

    main()
    sys.exit()


if __name__ == "__main__":
    _serve(sys.argv[1])
