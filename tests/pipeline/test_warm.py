"""A forked `router-lab` is what the installed one is: what it says, where it runs, how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

INSTALLED = str(Path(sys.executable).with_name("router-lab"))


@pytest.mark.parametrize("arguments", [["--version"], ["collect"], ["sweep", "none.yaml"], ["none"]])
def test_it_says_and_ends_as_the_installed_command_does(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run([INSTALLED, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    forked = warm.run(arguments, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (done.returncode, done.stdout, done.stderr)
    assert done.stdout + done.stderr


def test_it_has_its_own_folder_environment_and_process(tmp_path: Path) -> None:
    command = ["init", "mine"]
    assert warm.run(command, cwd=tmp_path).returncode == 0 and (tmp_path / "mine").is_dir()
    env = {**os.environ, "ROUTER_LAB_TRACEBACK": "1"}
    (tmp_path / "sweep.yaml").write_text("suites: [")
    plain, traced = (warm.run(["sweep", "sweep.yaml"], cwd=tmp_path, env=e) for e in (None, env))
    assert plain.returncode == traced.returncode == 1
    assert plain.stderr.startswith("Error: sweep.yaml") and "main: cli(" in traced.stderr
    assert "ROUTER_LAB_TRACEBACK" not in os.environ


def test_a_signal_ends_it_and_nobody_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sweep.yaml")  # it waits for somebody to write there
    one, other = (warm.Warm(["sweep", tmp_path / "sweep.yaml"]) for _ in range(2))
    assert one.pid != other.pid and one.poll() is None
    one.send_signal(signal.SIGKILL)
    assert one.wait() == -signal.SIGKILL == one.poll()
    assert other.poll() is None
    other.send_signal(signal.SIGTERM)
    assert other.wait() != 0


def test_scripts_find_it_on_their_path(tmp_path: Path) -> None:
    script = "router-lab --version | tr a-z A-Z; router-lab none 2>&1 >said; echo $?; echo $PWD"
    env = {**os.environ, "PATH": warm.on_path(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    first, *_, status, folder = done.stdout.splitlines()
    assert first.startswith("ROUTER-LAB, VERSION ") and (status, folder) == ("2", str(tmp_path))
    assert (tmp_path / "said").read_text() == ""
