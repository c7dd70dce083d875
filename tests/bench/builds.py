"""`make bench-builds`: the same decisions on numpy 1.26 and the newest numpy, on this Python and the newest to be had.

Makes environments under ~/.cache/router-lab/builds with numpy alone in them, decides in each for thousands of texts
with the golden artifacts and one of 40 candidates, and compares digests of every prediction's bits and decision.

    python tests/bench/builds.py [PYTHON …]        other interpreters; by default the newest one on the PATH
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path.home() / ".cache" / "router-lab" / "builds"

CHILD = """
import hashlib, json, random, sys, platform
sys.path.insert(0, sys.argv[1])
import numpy
from router_lab import load_policy
digest = hashlib.sha256()
rng = random.Random(0)
pieces = json.loads(sys.argv[2])
texts = [" ".join(rng.choices(pieces, k=rng.randint(0, 200))) for _ in range(3000)]
for path in sys.argv[3:]:
    policy = load_policy(path)
    suites = [(None, *policy.spec.suites)[i % (1 + len(policy.spec.suites))] for i in range(len(texts))]
    for array in (*policy.predict(texts, suites), policy.shares(texts, suites)):
        digest.update(array.astype("<f8").tobytes())
    for i, text in enumerate(texts):
        digest.update(json.dumps(policy.decide(text, suite=suites[i]).to_dict(), sort_keys=True).encode())
print(platform.python_version(), numpy.__version__, len(texts) * len(sys.argv[3:]), digest.hexdigest())
"""
PIECES = [
    "the",
    "sum",
    "of",
    "12",
    "3.5",
    "(x)",
    "日本",
    "é",
    "🙂",
    "\n",
    "\ud800",
    "B)",
    "def f():",
    "?!",
    "what",
    "is",
    "x" * 30,
]


def pythons() -> list[str]:
    """This interpreter, and those asked for or the newest other one on the PATH that runs."""
    found = [sys.executable, *sys.argv[1:]]
    if len(found) > 1:
        return found
    for minor in range(20, 11, -1):
        name = shutil.which(f"python3.{minor}")
        if (
            name
            and subprocess.run([name, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return [*found, name]
    return found


def environment(python: str, numpy: str) -> Path | None:
    """A python with that numpy, or None where it has no build."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
    )
    folder = CACHE / f"py{version.stdout.strip()}-{hashlib.sha256(numpy.encode()).hexdigest()[:6]}"
    inside = folder / "bin" / "python"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [
            str(inside),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            numpy,
        ]
        if subprocess.run(pip, capture_output=True, check=False).returncode != 0:
            return None
        (folder / "done").touch()
    return inside


def main() -> None:
    import importlib.util
    import json

    from router_lab.runtime.artifact import save_policy
    from router_lab.runtime.policy import Policy

    found = importlib.util.spec_from_file_location(
        "runtime_conftest", ROOT / "tests" / "runtime" / "conftest.py"
    )
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        large = save_policy(Policy(module.random_spec(seed=3, columns=40)), Path(folder) / "large")
        paths = [str(ROOT / "tests" / "golden" / "v1" / name) for name in ("identity", "log2ish")] + [
            str(large)
        ]
        print("  python     numpy      decisions  sha256 of all predictions and decisions")
        for python in pythons():
            for numpy in ("numpy==1.26.*", "numpy"):
                inside = environment(python, numpy)
                if inside is None:
                    print(f"  {python}: no build of {numpy}")
                    continue
                command = [str(inside), "-W", "error", "-c", CHILD, str(ROOT), json.dumps(PIECES), *paths]
                for _ in range(2):  # and twice in processes of their own
                    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
                    digests.add(line[3])
                print(f"  {line[0]:10s} {line[1]:10s} {line[2]:>9s}  {line[3]}")
    print("identical" if len(digests) == 1 else "DIFFERENT")
    sys.exit(len(digests) != 1)


if __name__ == "__main__":
    main()
