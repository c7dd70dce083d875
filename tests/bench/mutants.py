"""`make mutants`: how many small wrong changes of fit, metrics, gates and replay the tests notice.

python tests/bench/mutants.py [--seed N] [--count N]

Two hundred mutants are drawn over all that `mutations.py` can make. Each runs in a process forked from one that has imported
the libraries, with the changed module compiled from memory (no file is touched), and only under the tests that ran its line,
fastest first, until one fails. Which test runs which line is recorded once for each file of tests, in `.mutants/`, and anew
where that file, the helpers beside it or the rooms have changed. Tests that start programs of their own do not see a mutant.

Exit status: 1 where fewer than 85 % are noticed.

Why not a library: mutmut 3 leaves out decorated functions, properties and constants of modules, and draws no sample;
cosmic-ray changes the files on disk, starts a fresh process with all tests for each mutant, and three in four of its 18,582
mutants here are operators that no number knows (`<<`, `|`, `^` of floats): caught by anything, they flatter the score.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.mutations import Mutant, mutants, mutated, parsed

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("fit", "metrics", "gates", "replay.py")
TESTS = ("unit", "contract", "property")
KEPT = ROOT / ".mutants"
FLOOR = 0.85
LONGEST = 40.0
"""Seconds of tests, as recorded, that a mutant is given; the fastest that fit."""
PRELOADED = ["pandas", "pyarrow.parquet", "scipy.stats", "sklearn.linear_model", "pydantic", "yaml", "click", "hypothesis",
             "rich.console", "inspect_ai.log", "jinja2", "coverage"]  # fmt: skip
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "--no-header", "--tb=line",
         "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip  # hypothesis is imported before pytest sees it


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--count", type=int, default=200)
    asked = options.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # the fork that runs ends, too
    preload()
    seen = recorded()
    every = [mutant for path in sources() for mutant in mutants(path)]
    draw = np.random.default_rng(asked.seed).choice(len(every), min(asked.count, len(every)), replace=False)
    drawn = [(every[number], changed_function(every[number])) for number in sorted(draw)]
    ends: Counter[str] = Counter()

    def told(mutant: Mutant, end: str) -> None:
        ends[end] += 1
        by = (KEPT / "by").read_text() if end == "noticed" else ""
        print(f"{end:9} {mutant.path.relative_to(ROOT)}:{mutant.line}  {mutant.told}  {by}", flush=True)

    for mutant, code in drawn:
        if code is None:
            told(mutant, ended(partial(anew, mutant), mutant, seen))
    session = Session([(mutant, code) for mutant, code in drawn if code is not None], seen, told)
    pytest.main([*QUIET, "-s", *map(str, tests_of())], plugins=[session])
    if ends.total() < len(draw):  # pytest ends where it is told to, and says nothing of it here
        sys.exit(f"ended after {ends.total()} of {len(draw)} mutants: {dict(ends)}")
    noticed = 1 - (ends["survived"] + ends["untested"]) / len(draw)
    print(
        f"{noticed:.1%} of {ends.total()} mutants noticed (seed {asked.seed}, of {len(every):,}): {dict(ends)}"
    )
    sys.exit(noticed < FLOOR)


def sources() -> list[Path]:
    """The files whose mutants are drawn."""
    rooms = [ROOT / "router_lab" / room for room in ROOMS]
    return [path for room in rooms for path in (sorted(room.rglob("*.py")) if room.is_dir() else [room])]


def preload() -> None:
    """What tests import of others, once for all forks; what is missing costs a fork its time and nothing else."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


# What ran which line


def recorded() -> dict[str, Any]:
    """{"seconds": {test: s}, "lines": {file: {line: tests}}} over every file of tests that passes."""
    KEPT.mkdir(exist_ok=True)
    shared = hashlib.sha256()
    for path in [*sources(), *sorted(ROOT.glob("tests/*.py"))]:
        shared.update(path.read_bytes())
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, set[str]]] = {}
    for path in tests_of():
        digest = shared.copy()
        digest.update(path.read_bytes())
        kept = KEPT / f"{path.stem}-{digest.hexdigest()[:16]}.json"
        if not kept.exists():
            for old in KEPT.glob(f"{path.stem}-*.json"):
                old.unlink()
            print(f"recording {path.relative_to(ROOT)}", file=sys.stderr, flush=True)
            if (status := forked(partial(record, path, kept), 900.0)) is None:
                print(f"takes too long, and so is not used: {path.name}", file=sys.stderr, flush=True)
                kept.write_text(json.dumps({"seconds": {}, "lines": {}}))
            elif status:
                sys.exit(f"{path} cannot be recorded; see {KEPT / 'output'}")
        found = json.loads(kept.read_text())
        seconds |= found["seconds"]
        for file, ran in found["lines"].items():
            for line, tests in ran.items():
                lines.setdefault(file, {}).setdefault(int(line), set()).update(tests)
    return {"seconds": seconds, "lines": lines}


def tests_of() -> list[Path]:
    """Files of tests that import one of the rooms, themselves or by a helper beside them."""
    rooms = "|".join(room.removesuffix(".py") for room in ROOMS)
    direct = re.compile(rf"router_lab(\.| import )({rooms})\b")
    helpers = [path.stem for path in ROOT.glob("tests/*.py") if direct.search(path.read_text("utf-8"))]
    wanted = re.compile(rf"{direct.pattern}|from tests(\.| import )({'|'.join(helpers)})\b")
    every = [path for folder in TESTS for path in sorted((ROOT / "tests" / folder).glob("test_*.py"))]
    return [path for path in every if wanted.search(path.read_text("utf-8"))]


class Recorder:
    """A plugin of pytest: lines by test, and how long each that passed took with what it set up."""

    def __init__(self, coverage: Any) -> None:
        self.coverage, self.seconds, self.failed = coverage, dict[str, float](), set[str]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self.failed.add(report.nodeid)


def record(path: Path, kept: Path) -> int:
    """Run one file of tests and write what it ran; tests that fail or are skipped count for nothing."""
    import coverage

    watched = coverage.Coverage(
        data_file=None, include=[str(source) for source in sources()], config_file=False
    )
    plugin = Recorder(watched)
    watched.start()
    pytest.main([*QUIET, str(path)], plugins=[plugin])
    watched.stop()
    data = watched.get_data()
    lines = {
        str(Path(file).relative_to(ROOT)): {
            line: tests
            for line, names in data.contexts_by_lineno(file).items()
            if (tests := sorted(set(names) - plugin.failed - {""}))
        }
        for file in data.measured_files()
    }
    seconds = {test: took for test, took in plugin.seconds.items() if test not in plugin.failed}
    kept.write_text(json.dumps({"seconds": seconds, "lines": lines}))
    for test in sorted(plugin.failed):
        print(f"not passed, and so not used: {test}", file=sys.stderr, flush=True)
    return 0


# One mutant


def chosen(mutant: Mutant, seen: dict[str, Any]) -> tuple[list[str], float]:
    """Tests for a mutant, and their seconds: of those that ran its line the fastest of each file, then the others, file
    after file (they share what they set up); then the rest of these files, for what a fixture ran is its first user's."""
    ran, seconds = seen["lines"].get(str(mutant.path.relative_to(ROOT)), {}), seen["seconds"]
    direct = set().union(*(ran.get(line, ()) for line in mutant.lines or ran))
    files = {test.split("::")[0] for test in direct}
    by_file = [
        sorted(
            (test for test in direct if test.startswith(f"{file}::")), key=lambda test: (seconds[test], test)
        )
        for file in files
    ]
    by_file.sort(key=lambda tests: (seconds[tests[0]], tests))
    rest = sorted({test for test in seconds if test.split("::")[0] in files} - direct)
    tests: list[str] = []
    total = 0.0
    order = [*(tests[0] for tests in by_file), *(test for tests in by_file for test in tests[1:]), *rest]
    if not mutant.lines:  # who reads a constant runs no line of its file
        order.sort(key=lambda test: (seconds[test], test))
    for test in order:
        if not tests or total + seconds[test] <= LONGEST:
            tests.append(test)
            total += seconds[test]
    return tests, total


def ended(work: Callable[[list[str]], int], mutant: Mutant, seen: dict[str, Any]) -> str:
    """How a mutant ended: `noticed`, `timeout`, `survived`, or `untested` where no test runs its line."""
    tests, total = chosen(mutant, seen)
    if not tests:
        return "untested"
    status = forked(partial(work, tests), 30 + 8 * total)
    return "timeout" if status is None else "noticed" if status else "survived"


def changed_function(mutant: Mutant) -> CodeType | None:
    """The function of a module or class that the change is in; None where it is in none: a constant, a default."""
    before, after = (
        functions(compile(tree, str(mutant.path), "exec", dont_inherit=True))
        for tree in (parsed(mutant.path), mutated(mutant))
    )
    return next((code for name, code in after.items() if code != before[name]), None)


def functions(code: CodeType) -> dict[str, CodeType]:
    """The code of all functions that a module or class defines, by qualified name."""
    found: dict[str, CodeType] = {}
    for one in code.co_consts:
        if isinstance(one, CodeType) and "<" not in one.co_qualname:
            found |= {one.co_qualname: one} if one.co_flags & inspect.CO_NEWLOCALS else functions(one)
    return found


class Noticing:
    """A plugin of pytest: whether anything failed, be it while its file was read; the first is written down."""

    failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = True
            (KEPT / "by").write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


class Session(Noticing):
    """A plugin of pytest that tries mutants where tests would run: all is collected once, and a fork changes one function
    in place, so that whoever has imported it has the change."""

    def __init__(
        self,
        drawn: Iterable[tuple[Mutant, CodeType]],
        seen: dict[str, Any],
        told: Callable[[Mutant, str], None],
    ) -> None:
        self.drawn, self.seen, self.told = drawn, seen, told

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for mutant, code in self.drawn:
            self.told(mutant, ended(partial(self.run, items, mutant, code), mutant, self.seen))
        return True

    def run(self, items: dict[str, pytest.Item], mutant: Mutant, code: CodeType, tests: list[str]) -> int:
        function_of(mutant, code.co_qualname).__code__ = code
        for test, after in zip(tests, [*tests[1:], None], strict=True):
            items[test].config.hook.pytest_runtest_protocol(
                item=items[test], nextitem=items[after] if after else None
            )
            if self.failed:
                return 1
        return 0


def function_of(mutant: Mutant, name: str) -> FunctionType:
    """The function itself, below what decorators have put around it."""
    found: Any = importlib.import_module(module_name(mutant.path))
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    while not isinstance(found, FunctionType):
        found = next(
            inner
            for around in ("__func__", "fget", "func", "__wrapped__")
            if (inner := getattr(found, around, None))
        )
    return found


class Changed(importlib.machinery.SourceFileLoader):
    """Finds and loads one module as its mutant."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(module_name(mutant.path), str(mutant.path))
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        package = [str(self.mutant.path.parent)] if self.mutant.path.stem == "__init__" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=package
        )

    def get_code(self, fullname: str) -> CodeType:
        return compile(mutated(self.mutant), self.path, "exec", dont_inherit=True)


def anew(mutant: Mutant, tests: list[str]) -> int:
    """Run tests over a module that is loaded as its mutant: 1 where one failed."""
    sys.meta_path.insert(0, Changed(mutant))
    plugin = Noticing()
    status = pytest.main([*QUIET, "-x", *tests], plugins=[plugin])
    if status not in (0, 1) and not plugin.failed:
        os.write(2, f"pytest ended with {status} over {mutant}\n".encode())
    return int(plugin.failed or status != 0)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def forked(work: Callable[[], int], seconds: float) -> int | None:
    """The status of `work` done in a forked process of its own group; None where it took longer, and was killed."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with open(KEPT / "output", "w") as quiet:  # noqa: PTH123
            os.dup2(quiet.fileno(), 1)
        status = 2
        try:
            status = work()
        except BaseException:  # noqa: BLE001  # or the fork would go on as its parent
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
