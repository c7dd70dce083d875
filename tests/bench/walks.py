"""Play the walks of docs/walks.md as a new user would: in a fresh directory, with bash, one after another.

`--write` puts what they print into the page's blocks marked `printed by: make bench-walks`, and the seconds too.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "walks.md"
WALK = re.compile(
    r"<!-- walk: (?P<name>[^>]+?) -->\n```sh\n(?P<commands>.*?)```\n(?P<between>.*?)"
    r"<!-- printed by: make bench-walks -->\n```text\n(?P<printed>.*?)```",
    flags=re.S,
)
REVISION = re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{4}(?:[0-9a-f]{48})?)?\b")
"""The 12, 16 or 64 first digits of a revision, as commands print them."""
TIMES = re.compile(r"(<!-- timed by: make bench-walks -->\n```text\n)(.*?)(```)", flags=re.S)
STATE = "walk-state.sh"


@dataclass(frozen=True)
class Played:
    """One walk: what it printed, the exit status it ended with, and how long it took."""

    name: str
    stdout: str
    stderr: str
    status: int
    seconds: float


def play(folder: Path, path: str | None = None) -> list[Played]:
    """Every walk of the page, in `folder`, which gets what a clone holds; shell variables live on between walks.

    `path`: where commands are found, else beside this Python first.
    """
    bin_folder = str(Path(sys.executable).parent)
    path = path or f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    for name in ("evals", "datasets"):
        shutil.copytree(
            ROOT / name, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / STATE).touch()
    return [
        _play(folder, path, m["name"], m["commands"]) for m in WALK.finditer(PAGE.read_text(encoding="utf-8"))
    ]


def _play(folder: Path, path: str, name: str, commands: str) -> Played:
    script = (
        f"set -eo pipefail\nsource ./{STATE}\n{commands}\ndeclare -p old new 2>/dev/null > {STATE} || true\n"
    )
    env = {
        **os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "100",
        "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": "", "PYTHONUTF8": "1",
    }  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    return Played(name, done.stdout, done.stderr, done.returncode, time.monotonic() - start)


def masked(text: str) -> str:
    """`text` with revisions numbered in the order in which they come: which is the same as which is kept, and how many
    digits are shown. Their digits are those of library versions and are not a page's to promise."""
    known: dict[str, int] = {}
    return REVISION.sub(lambda m: f"revision {known.setdefault(m[0][:12], len(known) + 1)}/{len(m[0])}", text)


def table(walks: list[Played]) -> str:
    """Seconds by walk, as the page quotes them."""
    rows = [(w.name, w.seconds) for w in walks]
    rows.append(("all of them", sum(w.seconds for w in walks)))
    return "".join(f"{name:<16}{seconds:6.0f} s\n" for name, seconds in rows)


def write(walks: list[Played]) -> None:
    """Replace the quoted output and the times on the page."""
    by_name = {w.name: w for w in walks}
    text = PAGE.read_text(encoding="utf-8")
    for match in reversed(list(WALK.finditer(text))):
        text = text[: match.start("printed")] + by_name[match["name"]].stdout + text[match.end("printed") :]
    PAGE.write_text(TIMES.sub(lambda m: m[1] + table(walks) + m[3], text), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put what was printed into docs/walks.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="router-lab-walks-") as folder:
        walks = play(Path(folder))
    for walk in walks:
        print(f"── {walk.name} " + "─" * 60 + f"\n{walk.stdout}")
        if walk.status:
            print(f"ended with status {walk.status}:\n{walk.stderr}")
    print(table(walks), end="")
    if asked.write and not any(w.status for w in walks):
        write(walks)
    return max((w.status for w in walks), default=1)


if __name__ == "__main__":
    sys.exit(main())
