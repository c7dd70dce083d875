"""Shared by all tests, tests/runtime included, which run beside numpy alone: nothing heavy is imported here."""

import gc
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

# A test asserts what is computed, never how long it took: this box is shared and slow at times.
settings.register_profile("router_lab", deadline=None)
settings.load_profile("router_lab")

ROOT = Path(__file__).resolve().parent.parent


LONG = (
    "test_wheel", "test_sweep_money", "test_sweep_race", "test_mlflow", "test_sweep", "test_walks", "test_nightly",
    "test_siege", "test_kernels", "test_looks", "test_notebooks", "test_sweep_held", "test_certificate_shape",
    "test_sweep_teams",
)  # fmt: skip
"""Files of half a minute: they begin first, so that none of them is what everybody waits for at the end."""


BESIDE_NUMPY = "test_runtime_tests_pass_beside_numpy_alone"
BESIDE_MORE = {"test_clients", "test_keys", "test_release", "test_store_under_fire"}
"""Files of tests/runtime with tests that need more than numpy, and are skipped where it stands alone."""


@pytest.hookimpl(trylast=True)  # when -k has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
    if any(item.name == BESIDE_NUMPY for item in items):  # it runs these, on the code as it is installed
        folder = ROOT / "tests" / "runtime"
        twice = [one for one in items if one.path.parent == folder and one.path.stem not in BESIDE_MORE]
        config.hook.pytest_deselected(items=twice)
        left = set(twice)
        items[:] = [one for one in items if one not in left]


def pytest_collection_finish() -> None:
    """What all tests import is never garbage: a collection need not look through half a million objects of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, to copy: making them takes a second."""
    from router_lab.tracking.store import open_client

    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    open_client(str(path))
    return path


@pytest.fixture(autouse=True)
def no_proxy_of_other_tests() -> Iterator[None]:
    """`urlopen` keeps the proxies of its first use in the process: where that was a test that names one, every later
    test's loopback would be asked through it."""
    yield
    request = sys.modules.get("urllib.request")
    if request is not None:
        request._opener = None  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_keys_of_other_tests() -> Iterator[None]:
    """Keys that a process has used are starred in all that it writes later; a test's end with it."""
    masking = sys.modules.get("router_lab.masking")
    before = set(masking._KNOWN) if masking is not None else set()
    yield
    masking = sys.modules.get("router_lab.masking")
    if masking is not None:
        masking._KNOWN.intersection_update(before)


@pytest.fixture
def room_for() -> Callable[[int], AbstractContextManager[None]]:
    """While it lasts no file may grow beyond so many bytes: EFBIG, after a short write, as on a disk that is full."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited


@pytest.fixture
def at_once() -> Callable[..., list[tuple[str, str, int]]]:
    """Run a program in so many processes, all of which have imported what they need before any goes on.

    The program prints "ready" and then reads a line. Of each: what it printed after that, its errors, its status.
    """

    def run(program: str, *arguments: str, processes: int = 2) -> list[tuple[str, str, int]]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        jobs = [
            subprocess.Popen([sys.executable, "-c", program, *arguments], **pipes) for _ in range(processes)
        ]
        for job in jobs:
            assert job.stdout is not None and job.stdout.readline() == "ready\n"
        for job in jobs:
            assert job.stdin is not None
            job.stdin.write("go\n")
            job.stdin.flush()
        return [(*job.communicate(), job.returncode) for job in jobs]

    return run
