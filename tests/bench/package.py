"""Wheel and sdist into dist/, the same bytes wherever Python, zlib and setuptools are the same: `make package`.

Of the tracked files of the work tree, each with the mode that git keeps, at the time of the last commit (or
SOURCE_DATE_EPOCH). setuptools writes into a sdist when and by whom it was packed, so it is packed once more here.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("router_lab/", "pyproject.toml", "README.md", "LICENSE")


def git(*words: str, cwd: Path) -> str:
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


def built(source: Path, out: Path, epoch: int) -> list[Path]:
    """The files that were written into `out`: the sdist, and the wheel."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "source"
        for line in git("ls-files", "--stage", "--", *NEEDED, cwd=source).splitlines():
            mode, name = line.split(" ", 1)[0], line.split("\t", 1)[1]
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, copy / name)
            (copy / name).chmod(0o755 if mode == "100755" else 0o644)
        before = os.umask(0o022)
        try:
            subprocess.run(
                [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"],
                cwd=copy, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}, check=True, capture_output=True,
            )  # fmt: skip
        finally:
            os.umask(before)
        [sdist], [wheel] = (copy / "dist").glob("*.tar.gz"), (copy / "dist").glob("*.whl")
        (out / sdist.name).write_bytes(repacked(sdist.read_bytes(), epoch))
        shutil.copyfile(wheel, out / wheel.name)
    return [out / sdist.name, out / wheel.name]


def repacked(sdist: bytes, epoch: int) -> bytes:
    """The same files, in the order of their names, of nobody, at one time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(sdist)) as old, tarfile.open(fileobj=plain, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            made = tarfile.TarInfo(member.name)
            made.type, made.size, made.mtime = member.type, member.size, epoch
            made.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(made, old.extractfile(member))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=epoch) as stream:
        stream.write(plain.getvalue())
    return packed.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    found = parser.parse_args()
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct", cwd=found.source)
    for path in built(found.source, found.out, int(epoch)):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")


if __name__ == "__main__":
    main()
