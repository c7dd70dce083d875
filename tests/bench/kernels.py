"""`make bench-kernels`: one revision, and one set of decisions, whatever the processor.

Fits small worlds and recorded outcomes under OpenBLAS's kernels for Prescott, Sandybridge, Haswell and SkylakeX, each
with and without numpy's AVX-512, as on an x86 machine without AVX2 and FMA, and on several threads (tests/kernels.py
says how), and prints what each gave: a digest of what the libraries give themselves, which differ, and how many of the
answers differ from those of the first configuration. Exits with 1 if any does. What a machine lacks is named and left
out. `--seeds N` (50), `--files F …` (the demo's outcomes, and pricerev_prevgen in $ROUTER_LAB_BENCH_DATA, by default
../shared/data).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.kernels import ALL, answers  # noqa: E402

DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", ROOT.parent / "shared" / "data"))


def files() -> list[str]:
    """The demo's outcomes, swept first where they are not there yet, and the set of the acceptance if it is there."""
    demo = ROOT / "demo-out" / "outcomes.parquet"
    if not demo.exists():
        command = [str(Path(sys.executable).parent / "router-lab"), "demo", "--out", str(demo.parent)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = [demo, DATA / "pricerev_prevgen.parquet"]
    for path in found:
        if not path.exists():
            print(f"{path.name}: skipped, {path} is not there")
    return [str(path) for path in found if path.exists()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--files", nargs="*")
    asked = parser.parse_args()
    paths = files() if asked.files is None else asked.files
    first: dict[str, list[str]] | None = None
    different: set[str] = set()
    print(f"{'configuration':38}{'libraries give':18}{'answers':>8}{'other':>7}  sha256 of all answers")
    for configuration in ALL:
        if configuration.lacking is not None:
            print(f"{configuration.name:38}left out: {configuration.lacking}")
            continue
        found = answers(configuration, "0", str(asked.seeds), *paths)
        own = found.pop("libraries")[0]
        first = first or found
        other = {name for name in found | first if found.get(name) != first.get(name)}
        different |= other
        digest = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]
        print(f"{configuration.name:38}{own:18}{len(found):8}{len(other):7}  {digest}", flush=True)
    assert first is not None
    print("\nrevisions under the first configuration")
    for name, words in first.items():
        if len(words) > 1 and not name.startswith("seed"):
            print(
                f"  {name:48}{words[0]}  {'DIFFERENT elsewhere' if name in different else 'the same everywhere'}"
            )
    seeds = [name for name, words in first.items() if name.startswith("seed") and len(words) > 1]
    print(f"  {len(seeds)} fits of {asked.seeds} small worlds: {len(different.intersection(seeds))} differ")
    print("\nidentical" if not different else f"\nDIFFERENT: {', '.join(sorted(different))}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
