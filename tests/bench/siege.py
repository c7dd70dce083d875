"""`make bench-siege`: an operator's worst month against the public interfaces, and which promises it broke.

    python tests/bench/siege.py [--kills 200] [--rounds 60] [--forks 40] [--seed 0] [--only NAME …] [--quick]

Real processes, real kill -9, real full disks, real servers on loopback. Prints a row an attack: rounds, what was
acknowledged (an operation had returned, or a server had answered), what of that was lost, what was refused with a
reason, and promises broken, each by its text. Exit status 1 if any was. --quick: no Inspect, some 15 seconds.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import siege_disk, siege_forged, siege_kills, siege_money, siege_together
from tests.bench.siege_common import HEAD, Row, generator, shown

KILLS = {"publish": 50, "rollback": 42, "save": 32, "reload": 32, "log": 32, "sweep": 12}
"""Of 200 kills, how many fall on each writer: a sweep takes seconds, the others some hundred milliseconds."""


def main() -> None:
    """Print the table; exit status 1 where a promise was broken."""
    given = arguments()
    warnings.simplefilter("ignore")  # torn lines and leftovers are said there, and expected here
    logging.getLogger("router_lab").addHandler(logging.NullHandler())  # what is lost is in the table
    base = Path(tempfile.mkdtemp(prefix="siege-"))
    broken = 0
    print(HEAD)
    try:
        for row in attacks(given, base):
            print(shown(row), flush=True)
            broken += row.broken.total()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print("every promise was kept" if not broken else f"{broken} promises broken")
    sys.exit(broken > 0)


def attacks(given: argparse.Namespace, base: Path) -> Iterator[Row]:
    """Each attack's row as it ends. Those without Inspect come first: it is imported once, for the others."""
    if wanted(given, "publishers"):
        yield siege_together.publishers(given.rounds, generator(given.seed, "publishers"), base)
    if wanted(given, "forks"):
        yield siege_together.forks(given.forks, generator(given.seed, "forks"), base)
    if wanted(given, "forged"):
        yield siege_forged.forged(given.seed, base)
        yield siege_forged.fast_forward(base)
        yield siege_forged.hung_source(base)
    if wanted(given, "disk"):
        yield from siege_disk.disk_attacks(given.turns, generator(given.seed, "disk"), base, siege_disk.LIGHT)
    for name in ("publish", "rollback", "save", "reload", "log"):
        count = share(given.kills, name)
        if wanted(given, "kills", name) and count:
            yield getattr(siege_kills, f"kill_{name}")(count, generator(given.seed, "kill", name), base)
    if given.quick:
        return
    import_everything()
    if wanted(given, "stages"):
        yield from siege_disk.disk_attacks(
            given.turns, generator(given.seed, "stages"), base, siege_disk.HEAVY
        )
    if wanted(given, "kills", "sweep") and given.kills:
        yield siege_money.kill_sweep(
            share(given.kills, "sweep"), generator(given.seed, "kill", "sweep"), base
        )
    if wanted(given, "doubled"):
        yield siege_money.two_sweeps(max(1, given.turns // 4), generator(given.seed, "doubled"), base)
    if wanted(given, "sweep-disk"):
        yield siege_money.full_disk(max(1, given.turns // 3), generator(given.seed, "sweep-disk"), base)
    if wanted(given, "liar"):
        yield from siege_money.lies(base)


def import_everything() -> None:
    """What the commands import, so that forked processes have it. None of it may start a thread."""
    import inspect_ai.model._providers.openai_compatible
    import openai

    import router_lab.cli.collect
    import router_lab.cli.fit
    import router_lab.cli.gate
    import router_lab.cli.prices
    import router_lab.cli.report
    import router_lab.collect
    import router_lab.fit
    import router_lab.gates
    import router_lab.report
    import router_lab.sweep.run

    assert inspect_ai and openai and router_lab
    os.environ["LOCAL_API_KEY"] = "x"


def share(kills: int, name: str) -> int:
    """How many of `kills` fall on a writer; one at least."""
    return max(1, round(kills * KILLS[name] / sum(KILLS.values()))) if kills else 0


def wanted(given: argparse.Namespace, *names: str) -> bool:
    """Whether an attack of these names is asked for."""
    return not given.only or any(name in given.only for name in names)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--rounds", type=int, default=60, help="of two publishers at once")
    options.add_argument("--forks", type=int, default=40)
    options.add_argument("--turns", type=int, default=12, help="of each writer on a full disk")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="*", default=[], help="kills publish rollback save reload log …")
    options.add_argument(
        "--quick", action="store_true", help="small numbers, and nothing that imports Inspect"
    )
    given = options.parse_args()
    if given.quick:
        given.kills, given.rounds, given.forks = (
            min(given.kills, 20),
            min(given.rounds, 3),
            min(given.forks, 4),
        )
        given.turns = min(given.turns, 3)
    siege_disk.Disk.may_mount = not given.quick
    return given


if __name__ == "__main__":
    main()
