"""`make readme`: run the demo and the walks, and put what they print, and the demo's picture, into README.md and docs/;
what `chains` prints of the demo's outcomes goes into docs/chains.md.

What the prose says about these figures is for a person to write; tests/pipeline/test_readme.py holds it to them.
`--out FOLDER` uses a demo that is there already, whose output was kept in FOLDER/printed.txt.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README, DEMO = ROOT / "README.md", ROOT / "docs" / "demo.md"
CHAINS = ROOT / "docs" / "chains.md"
BLOCK = re.compile(r"(<!-- printed by: make demo -->\n```text\n)(.*?)(```)", flags=re.S)


PAIRS = re.compile(r"(<!-- printed: chains -->\n```text\n)(.*?)(```)", flags=re.S)


def sections(printed: str) -> list[str]:
    """The bodies of four of the demo's sections: candidates, certificate, decisions, teams."""
    swept, fitted, decided, _, teams = re.split(r"^── \d .*$", printed, flags=re.M)[1:6]
    candidates, played = (body.split("\n\n", 1)[1] for body in (swept, teams))  # after the samples' count
    return [body.strip("\n") + "\n" for body in (candidates, fitted, decided, played)]


def write(printed: str, picture: Path) -> None:
    """Replace the blocks of docs/demo.md, the README's one, which is how the certificate begins, and the picture."""
    found = sections(printed)
    for page, bodies in ((DEMO, iter(found)), (README, iter([found[1].split("\n\n")[0] + "\n"]))):
        page.write_text(_filled(page.read_text(encoding="utf-8"), bodies), encoding="utf-8")
    shutil.copyfile(picture, ROOT / "docs" / "front.svg")
    pairs = PAIRS.sub(
        lambda m: m[1] + run("chains", picture.with_name("outcomes.parquet")) + m[3],
        CHAINS.read_text("utf-8"),
    )
    CHAINS.write_text(pairs, encoding="utf-8")


def _filled(text: str, bodies: Iterator[str]) -> str:
    return BLOCK.sub(lambda m: m[1] + next(bodies) + m[3], text)


def run(*arguments: str | Path) -> str:
    """What a command prints."""
    command = [str(Path(sys.executable).parent / "router-lab"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a demo's folder, with its output in printed.txt")
    out = parser.parse_args().out
    if out is not None:
        write((out / "printed.txt").read_text(encoding="utf-8"), out / "front.svg")
    else:
        with tempfile.TemporaryDirectory() as folder:
            write(run("demo", "--out", Path(folder) / "out"), Path(folder) / "out" / "front.svg")
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name("walks.py")), "--write"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
