"""The workflows, ours and the one that docs/ hands out, as check-jsonschema sees them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOWS = (
    "docs/examples/gate-workflow.yml",
    "docs/examples/nightly-workflow.yml",
    ".github/workflows/ci.yml",
    ".github/workflows/release.yml",
)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """check-jsonschema in a folder of its own, by hash: a tool of this test alone is no dependency of the project."""
    folder = tmp_path_factory.mktemp("check-jsonschema")
    lock = Path(__file__).with_name("check-jsonschema.lock")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
               "--require-hashes", "--only-binary", ":all:", "--target", str(folder), "-r", str(lock)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def check(folder: Path, workflow: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(workflow),
    ]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_one(name: str, checker: Path, root: Path) -> None:
    done = check(checker, root / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_workflow_is_refused(checker: Path, root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "gate.yml"
    broken.write_text((root / WORKFLOWS[0]).read_text().replace("runs-on:", "runs_on:"))
    assert check(checker, broken).returncode == 1
