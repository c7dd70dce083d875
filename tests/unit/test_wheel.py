"""What production installs: the wheel beside numpy alone, and `tests/runtime` green there."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import BESIDE_MORE

RUNNER = {"pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers"}


def run(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A fresh environment with the built wheel, numpy, and what runs tests, all at the versions of the lock file."""
    folder = tmp_path_factory.mktemp("bare")
    wheel_env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    source = folder / "source"
    run("git", "clone", "--quiet", "--no-hardlinks", root, source, cwd=folder)
    for name in run("git", "ls-files", "-co", "--exclude-standard", cwd=root).stdout.splitlines():
        if name.startswith("router_lab/") or name in ("pyproject.toml", "README.md", "LICENSE"):
            target = source / name  # the work tree as it is, not as it was last committed
            if (root / name).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((root / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, cwd=source, env=wheel_env)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    lock = folder / "few.lock"
    lock.write_text(entries((root / "requirements.lock").read_text(), {"numpy"}))
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", lock, cwd=folder)
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=folder)
    return python


def entries(lock: str, names: set[str]) -> str:
    kept, keep = [], False
    for line in lock.splitlines():
        if line and not line.startswith((" ", "#")):
            keep = line.split("==")[0].strip() in names
        if keep:
            kept.append(line)
    return "\n".join(kept) + "\n"


def test_only_numpy_is_required(bare: Path) -> None:
    listed = run(bare, "-m", "pip", "list", "--format=freeze", cwd=bare.parent).stdout.lower()
    assert {line.split("==")[0] for line in listed.split()} <= {"numpy", "router-lab", "pip", "setuptools"}
    out = run(
        bare,
        "-c",
        "import router_lab, sys; router_lab.load_policy, router_lab.Policy, router_lab.Decision;"
        "print([m for m in ('pandas', 'sklearn', 'pydantic', 'yaml', 'mlflow', 'inspect_ai') if m in sys.modules])",
        cwd=bare.parent,
    )
    assert out.stdout.strip() == "[]"


def test_runtime_tests_pass_beside_numpy_alone(bare: Path, root: Path, tmp_path: Path) -> None:
    """What runs the tests lies in a folder of its own, on PYTHONPATH for this run alone."""
    lent, lock = tmp_path / "lent", tmp_path / "lent.lock"
    lock.write_text(entries((root / "requirements.lock").read_text(), RUNNER))
    run(
        bare,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--require-hashes",
        "--target",
        lent,
        "-r",
        lock,
        cwd=tmp_path,
    )
    env = {**os.environ, "PYTHONPATH": str(lent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    tests = root / "tests" / "runtime"
    options = [
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--import-mode=importlib",
        f"--rootdir={root}",
    ]
    hung = ["-o", "faulthandler_timeout=120", "-o", "faulthandler_exit_on_timeout=true"]  # and named
    done = run(bare, "-m", "pytest", *options, *hung, "-c", "/dev/null", tests, cwd=tmp_path, env=env)
    last = done.stdout.strip().splitlines()[-1]
    assert " passed" in last
    assert "error" not in last
    # What is left out here is run beside all the rest: `pytest_collection_modifyitems` of tests/conftest.py.
    left_out = re.findall(r"SKIPPED \[\d+\] \S*?(test_\w+)\.py(?::\d+)?: (.*)", done.stdout)
    assert left_out and {name for name, why in left_out if "Node.js" not in why} <= BESIDE_MORE, left_out


def test_what_pages_are_rendered_from_is_installed(bare: Path, root: Path) -> None:
    code = (
        "from importlib import resources; found = resources.files('router_lab') / 'report' / 'templates'; "
        "print(*sorted(path.name for path in found.iterdir()))"
    )
    shipped = run(bare, "-c", code, cwd=bare.parent).stdout.split()
    assert shipped == sorted(path.name for path in (root / "router_lab" / "report" / "templates").iterdir())
