"""One demo, run once for all pipeline tests: everything downstream reads what it wrote."""

import fcntl
import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Demo:
    """Where a demo wrote, and what it printed."""

    out: Path
    stdout: str
    stderr: str

    @property
    def policy(self) -> Path:
        return Path(self.stdout.strip().splitlines()[-1])


def router_lab(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user would."""
    command = [str(Path(sys.executable).parent / "router-lab"), *map(str, arguments)]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, check=False)


@pytest.fixture(scope="session")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`router-lab demo` in a fresh directory; one for all workers, who wait for the first of them.

    Where ROUTER_LAB_DEMO names a folder, the demo that `.ci/run` has just made there: out, stdout, stderr.
    """
    if made := os.environ.get("ROUTER_LAB_DEMO"):
        folder = Path(made)
        return Demo(folder / "out", *((folder / name).read_text() for name in ("stdout", "stderr")))
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out, printed = shared / "demo" / "out", shared / "demo.json"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            done = router_lab("demo", "--out", out, cwd=root)
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(json.dumps([done.stdout, done.stderr]))
    return Demo(out, *json.loads(printed.read_text()))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Inspect closes its clients' pools when their event loop is gone; what is left would warn in whatever later test
    the garbage collector happens to run. What a collection has found in use (Inspect, in the main) is not looked
    through again: that takes a quarter of a second."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def nothing_that_nobody_looks_at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Where providers are tests/servers. Every client reads all certificates of the system, though those speak plain
    HTTP, and of every error Inspect keeps a second copy of its traceback in colours: a tenth of a second each."""
    with pytest.MonkeyPatch.context() as patched:
        if "tests.servers" in Path(request.path).read_text(encoding="utf-8"):
            patched.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("no-authorities")))
            if (rich := sys.modules.get("inspect_ai._util.rich")) is not None:
                whole = rich.truncate_traceback  # says that there was no room for colours
                patched.setattr(rich, "truncate_traceback", lambda *error: (whole(*error)[0], True))
        yield
