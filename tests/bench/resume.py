"""Kill a 400-request sweep at random moments and run it again: requests needed, sent and paid twice.

    python tests/bench/resume.py [--moments 20] [--seed 0]

From each kill -9 the sweep is run again twice: with the user data directory kept, and with a fresh one (a container
that lost its home). A sample is finished once Inspect has said so to a hook; none of those may be asked for again.
Runs are forked from a process that has imported everything, which is most of what a run of the command line costs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

NEEDED = 400
CONNECTIONS = 4
"""To each of the two models: at most eight requests are on their way at any moment."""


class Again(NamedTuple):
    """One rerun: requests sent in both runs, paid twice, and how many of those were of finished samples."""

    sent: int
    twice: int
    finished_twice: int


def main() -> None:
    """Print two lines a moment and the worst of all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--moments", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    draw = random.Random(given.seed)
    print(
        f"{'killed at':>9} {'finished':>9} {'data dir':>9} {'needed':>7} {'sent':>6} {'paid twice':>11}"
        "  of finished samples"
    )
    worst = lost = 0
    for _ in range(given.moments):
        at = draw.randint(1, NEEDED - 1)
        finished, kept, fresh = one_moment(at)
        for home, again in (("kept", kept), ("fresh", fresh)):
            worst, lost = max(worst, again.twice), max(lost, again.finished_twice)
            line = f"{at:>9} {finished:>9} {home:>9} {NEEDED:>7} {again.sent:>6} {again.twice:>11}  {again.finished_twice}"
            print(line, flush=True)
    print(
        f"worst: {worst} requests paid twice (up to {2 * CONNECTIONS} are on their way), {lost} of finished samples"
    )
    sys.exit(lost > 0)


def one_moment(at: int) -> tuple[int, Again, Again]:
    """(samples finished, rerun with the data directory kept, with a fresh one) for a kill after `at` requests."""
    base = Path(tempfile.mkdtemp(prefix="resume-"))
    folder = base / "project"
    server = Server()
    make_project(folder, server.url)
    process = forked(lambda: sweep(folder, base / "home"))
    while server.count() < at and os.waitpid(process, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    time.sleep(0.2)
    finished = set((folder / "finished").read_text().split()) if (folder / "finished").exists() else set()
    first = server.take()
    found = []
    for home in ("home", "fresh"):
        # Inspect's recovery buffer knows its logs by their path, so the rerun happens in the same place.
        shutil.copytree(folder, base / "copy")
        rerun = forked(lambda home=home: sweep(folder, base / home))  # type: ignore[misc]
        assert os.waitstatus_to_exitcode(os.waitpid(rerun, 0)[1]) == 0, "the rerun failed"
        second = server.take()
        asked = [*first, *second]
        assert len(set(asked)) == NEEDED, f"{len(set(asked))} of {NEEDED} samples were asked for"
        doubled = [name for name in set(asked) for _ in range(asked.count(name) - 1)]
        found.append(Again(len(asked), len(doubled), sum(name in finished for name in doubled)))
        shutil.rmtree(folder)
        (base / "copy").rename(folder)
    server.stop()
    shutil.rmtree(base)
    return len(finished), found[0], found[1]


def forked(work: Callable[[], None]) -> int:
    """The id of a process of its own that does `work`."""
    process = os.fork()
    if process:
        return process
    try:
        work()
    except BaseException as error:  # noqa: BLE001  # a forked process must not run on in the caller's loop
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def sweep(folder: Path, home: Path) -> None:
    """Run the sweep with this user data directory, noting each finished sample in `folder`."""
    os.environ.update(LOCAL_API_KEY="x", XDG_DATA_HOME=str(home))
    note_finished(folder / "finished")
    from router_lab.sweep import run_sweep

    run_sweep(folder / "sweep.yaml", folder / "logs", quiet=True)


def note_finished(file: Path) -> None:
    """Append `model/sample` to `file` whenever Inspect says that a sample has ended well."""
    from inspect_ai.hooks import Hooks, SampleEnd, hooks

    class Finished(Hooks):
        async def on_sample_end(self, data: SampleEnd) -> None:
            if data.sample.error is None:
                model = next(iter(data.sample.model_usage)).rpartition("/")[2]
                with file.open("a") as out:
                    out.write(f"{model}/{data.sample.id}\n")

    hooks(name="bench_finished", description="Notes what is finished")(Finished)


def make_project(folder: Path, url: str) -> None:
    """400 samples of one call: 200 of each of two models."""
    from tests.servers.grid import price, write_project

    models = [
        {"model": f"openai-api/local/{name}", "base_url": url, "max_connections": CONNECTIONS}
        for name in "ab"
    ]
    suites = {"echo": {"task": "tasks.py@echo", "args": {"n": NEEDED // 2}}}
    write_project(
        folder, {"models": models}, suites, prices={model["model"]: price(1, 2) for model in models}
    )


class Server:
    """The loopback provider in a process of its own: this one forks, and must have no threads."""

    def __init__(self) -> None:
        self._file = Path(tempfile.mkdtemp(prefix="resume-server-")) / "asked"
        self._file.touch()
        self._process = forked(self._serve)
        address = self._file.with_name("url")
        while not address.exists() or not address.read_text().endswith("\n"):
            time.sleep(0.01)
        self.url = address.read_text().strip()

    def _serve(self) -> None:
        from tests.servers.loopback import Loopback

        with Loopback(delay=0.03) as server:
            self._file.with_name("url").write_text(server.url + "\n")
            done = 0
            while os.getppid() != 1:
                time.sleep(0.002)
                while done < len(server.requests):
                    body = server.requests[done]["body"]
                    done += 1
                    with self._file.open("a") as out:
                        out.write(f"{body['model']}/s{body['messages'][-1]['content'].split()[-1]}\n")

    def count(self) -> int:
        return len(self._file.read_text().splitlines())

    def take(self) -> list[str]:
        """`model/sample` of each request since the last call."""
        time.sleep(0.1)
        asked = self._file.read_text().splitlines()
        self._file.write_text("")
        return asked

    def stop(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        shutil.rmtree(self._file.parent)


def import_everything() -> None:
    """What a run imports, so that forked processes have it."""
    import inspect_ai.model._providers.openai_compatible
    import openai  # noqa: F401

    import router_lab.sweep.run  # noqa: F401

    assert inspect_ai


if __name__ == "__main__":
    import_everything()
    main()
