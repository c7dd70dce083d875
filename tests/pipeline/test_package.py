"""docs/install.md: wheel and sdist have the same bytes twice, its commands install them, and a shell completes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from router_lab import __version__
from tests.bench.package import NEEDED, built, git
from tests.conftest import ROOT
from tests.unit.test_wheel import entries

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- run: (.*?) -->\n```bash\n(.*?)```", PAGE, flags=re.S))
EPOCH = 1_700_000_000


def run(command: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(os.environ if env is None else env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work tree as somebody else has it: in another place, at another time, and nobody but he may read it."""
    folder = tmp_path_factory.mktemp("elsewhere") / "checkout"
    names = git(
        "ls-files", "--", *NEEDED, "Makefile", "tests/bench/package.py", "requirements.lock", cwd=ROOT
    )
    for name in names.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
        (folder / name).chmod(0o600)
        os.utime(folder / name, (1e9, 1e9))
    git("init", "-q", cwd=folder)
    git("add", ".", cwd=folder)
    identity = ("-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false")
    git(*identity, "commit", "-q", "-m", "x", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    built(ROOT, out, EPOCH)
    return out


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An empty environment, and for an index a folder with numpy and what builds, fetched by hash."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    lock = folder / "few.lock"
    lock.write_text(entries((ROOT / "requirements.lock").read_text(), {"numpy", "setuptools"}))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    run([*pip, "--only-binary", ":all:", "-r", str(lock), "-d", str(folder / "wheels")], folder)
    known = {
        "PIP_NO_COMPILE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    return {**kept, **known, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def installed(env: Mapping[str, str], cwd: Path) -> str:
    """The version that is there, beside numpy alone; it is taken out again."""
    code = "import router_lab; print(router_lab.__version__, router_lab.__file__)"
    version, path = run(["python", "-c", code], cwd, env).split(maxsplit=1)
    listed = run(["python", "-m", "pip", "list", "--format=freeze"], cwd, env).lower()
    names = set(re.findall(r"^([a-z-]+)(?:==| @ )", listed.replace("_", "-"), flags=re.M))
    assert names - {"pip", "setuptools"} == {"numpy", "router-lab"}
    run(["python", "-m", "pip", "uninstall", "-q", "-y", "router-lab"], cwd, env)
    assert "site-packages" in path
    return version


def test_the_same_bytes_twice(dist: Path, checkout: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        again = built(checkout, tmp_path, EPOCH)
    finally:
        os.umask(before)
    assert {path.name for path in again} == {path.name for path in dist.iterdir()}
    for path in again:
        assert path.read_bytes() == (dist / path.name).read_bytes(), path.name


def test_what_is_packed_is_ours_of_nobody_and_of_one_time(dist: Path) -> None:
    [sdist], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(EPOCH, 0, 0, "")}
    assert {one.mode for one in members if one.isfile()} == {0o644}
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        packed = {name for name in archive.namelist() if name.startswith("router_lab/")}
    assert tops == {"router_lab", f"router_lab-{__version__}.dist-info"}
    ours = set(git("ls-files", "router_lab", cwd=ROOT).splitlines())
    assert packed <= ours and {name for name in ours if name.endswith(".py")} <= packed


def test_the_commands_of_the_wheel_install_it(checkout: Path, empty: dict[str, str]) -> None:
    """`make package` with the environment that is there already, which make would else install from the lock."""
    if not (checkout / ".venv").exists():
        (checkout / ".venv").symlink_to(Path(sys.executable).parents[1])
    commands = BLOCKS["wheel"].replace("make package", "make --silent -o .venv/.installed package")
    printed = run(["bash", "-euo", "pipefail", "-c", commands], checkout, empty)
    assert re.search(rf"^[0-9a-f]{{64}}  router_lab-{re.escape(__version__)}\.tar\.gz$", printed, flags=re.M)
    assert installed(empty, checkout.parent) == __version__


def test_the_commands_of_a_checkout_install_it(checkout: Path, empty: dict[str, str]) -> None:
    for command in BLOCKS["checkout"].splitlines():
        run(["bash", "-euo", "pipefail", "-c", command], checkout.parent, empty)
        assert installed(empty, checkout.parent) == __version__


def test_the_sdist_installs_in_an_empty_environment(dist: Path, empty: dict[str, str]) -> None:
    [sdist] = dist.glob("*.tar.gz")
    run(["python", "-m", "pip", "install", "-q", str(sdist)], dist, empty)
    assert installed(empty, dist) == __version__


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """The page's three scripts are written, and bash has what it is told by the first."""
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run(["bash", "-euo", "pipefail", "-c", BLOCKS["completion"]], tmp_path, env)
    shells = {path.suffix[1:]: path.read_text() for path in tmp_path.glob(".router-lab-complete.*")}
    assert shells.keys() == {"bash", "zsh", "fish"}
    assert (
        "#compdef router-lab" in shells["zsh"]
        and "complete --no-files --command router-lab" in shells["fish"]
    )
    completed = (
        ". ~/.router-lab-complete.bash; complete -p router-lab >/dev/null; compopt() { :; }; "
        "COMP_WORDS=(router-lab {words}); COMP_CWORD={last}; COMPREPLY=(); _router_lab_completion router-lab; "
        'echo "${COMPREPLY[@]}"'
    )
    for words, last, found in (
        ("pub", 1, "publish"),
        ("fit --o", 2, "--outcomes --out"),
        ("prices a", 2, "add"),
    ):
        script = completed.replace("{words}", words).replace("{last}", str(last))
        assert run(["bash", "-c", script], tmp_path, env).split() == found.split()
