"""Every command × every file it is given × every way in which a file can be hostile: one line, exit 1 or 2, at once.

All in one process: what must not happen is a traceback, a wait without end, or a gigabyte of memory.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes, write_calls, write_outcomes
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.errors import RouterLabError
from router_lab.runtime.keys import load_private_key
from tests.servers.grid import price, write_project
from tests.unit.test_collect import sample, write_log

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="FIFOs and devices"),
    pytest.mark.filterwarnings("ignore"),
]

DIGITS = "1" * 5000
HUGE = 5 << 30
LOG = "logs/2026-01-01T00-00-00_t_x.eval"


def text(content: str | bytes) -> Callable[[Path, bytes], None]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda path, good: path.write_bytes(data)


def of_good(change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    return lambda path, good: path.write_bytes(change(good))


def sparse(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    os.truncate(path, HUGE)


def loop(path: Path, good: bytes) -> None:
    other = path.with_name(f"loop-{path.name}")
    if not other.is_symlink():
        other.symlink_to(path.name)
    path.symlink_to(other.name)


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines)


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".json", data)
    return out.getvalue()


HOSTILE: dict[str, Callable[[Path, bytes], None]] = {
    "empty": text(""),
    "space": text(" \n\t\n"),
    "half": of_good(lambda good: good[: len(good) // 2]),
    "directory": lambda path, good: path.mkdir(),
    "fifo": lambda path, good: os.mkfifo(path),
    "zero": lambda path, good: path.symlink_to("/dev/zero"),
    "loop": loop,
    "nothing behind": lambda path, good: path.symlink_to("not-there"),
    "sparse": sparse,
    "utf-16": of_good(lambda good: good.decode("latin-1").encode("utf-16")),
    "nul": of_good(lambda good: good[:20] + b"\0\0\0" + good[20:]),
    "bytes": text(bytes(range(256)) * 20),
    "zip": text(zipped(header=b"[1]")),
    "gzip": text(gzip.compress(b"no")),
    "gzip cut": text(gzip.compress(os.urandom(1000))[:300]),
    "alias bomb": text(bomb()),
    "alias of itself": text("a: &a [*a]\n"),
    "mapping of itself": text("&a {name: *a, models: *a}\n"),
    "deep list": text("[" * 100_000),
    "deep object": text('{"a":' * 100_000),
    "deep closed": text("[" * 100_000 + "]" * 100_000),
    "digits": text(DIGITS),
    "digits inside": text(f'{{"name": {DIGITS}, "seed": {DIGITS}, "models": {DIGITS}, "logs": [{DIGITS}]}}'),
    "digits yaml": text(f"name: n\nseed: {DIGITS}\n"),
    "base 60": text("name: 1" + ":30" * 40_000),
    "no date": text("name: 2026-13-45\n"),
    "unhashable": text("? [a]\n: b\n"),
    "unhashable object": text("? {a: b}\n: b\n"),
    "merge": text("<<: 5\n"),
    "tag": text("!!python/object/apply:os.system ['true']\n"),
    "binary": text("a: !!binary '*'\n"),
    "int tag": text("a: !!int 'x'\n"),
    "tabs": text("a:\n\t- b\n"),
    "two documents": text("a: 1\n---\nb: 2\n"),
    "twice": text('{"name": 1, "name": 2}'),
    "infinite": text('{"name": 1e999, "seed": Infinity, "models": NaN}'),
    "null": text("null"),
    "number": text("7"),
    "list": text("[]"),
    "list of lists": text('[["a"], ["b"]]'),
    "text": text('"just a text"'),
    "half a character": text('{"name": "\\ud800", "kind": "decision"}'),
}
"""How a file may be hostile: each makes it at a path, from the bytes of a good one."""


class Endless(BaseException):
    """No Exception, and no OSError as TimeoutError is: a command would tell of those as of the file's own fault."""


@contextmanager
def bounds(seconds: int = 10) -> Iterator[None]:
    """An exception instead of a wait without end; what else is allotted is 2 GB."""

    def stop(number: int, frame: object) -> None:
        raise Endless

    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before, limit = signal.signal(signal.SIGALRM, stop), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), limit[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limit)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good file of every kind."""
    home = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    rows = [
        {"suite": "s", "sample_id": f"{n}", "model": model, "prompt": f"question {n}",
         "quality": float(rng.random() < q), "cost_usd": usd, "input_tokens": 9, "output_tokens": 4,
         "started_at": "2026-01-02T00:00:00"}
        for n in range(40) for model, q, usd in (("big", 0.9, 0.01), ("tiny", 0.7, 0.001))
    ]  # fmt: skip
    frame = validate_outcomes(pd.DataFrame(rows))
    write_outcomes(frame, home / "o.parquet")
    write_calls(pd.DataFrame([{"suite": "s", "sample_id": "1", "epoch": 1, "model": "big", "turn": 1, "attempt": 1,
                               "input_tokens": 9, "output_tokens": 4}]), home / "c.parquet")  # fmt: skip
    plain = pd.DataFrame(rows)
    plain.to_csv(home / "t.csv", index=False)
    plain.to_csv(home / "t.tsv", index=False, sep="\t")
    plain.to_json(home / "t.jsonl", orient="records", lines=True)
    plain.to_json(home / "t.json", orient="records")
    (home / "t.csv.gz").write_bytes(gzip.compress((home / "t.csv").read_bytes()))
    shutil.copy(home / "o.parquet", home / "t.parquet")
    policy = fit_policy(Recipe(name="support"), frame)
    folder = home / P
    folder.parent.mkdir(parents=True)
    folder.symlink_to(save_revision(policy, folder.parent).name)
    log = DecisionLog(home / "d.jsonl", prompts=True)
    for n in range(30):
        log.outcome(log.write(policy.decide(f"question {n}", suite="s"), suite="s", id=str(n)), quality=1.0)
    (home / "audit.csv").write_text("sample_id,quality\n1,1.0\n")
    (home / "recipe.yaml").write_text("name: support\n")
    (home / "gates.yaml").write_text("gates: [{metric: quality, min: 0.1}]\n")
    (home / "v.json").write_text("[1, 2]")
    np.save(home / "v.npy", np.ones(2))
    write_project(home, {"models": ["mockllm/model"], "recorded": "recorded", "wire": "wire.yaml"},
                  prices={"big": price(1, 2), "tiny": price(1, 2), "mockllm/model": price(1, 2)})  # fmt: skip
    (home / "wire.yaml").write_text("[]")
    assert run("gate", folder, "--outcomes", home / "o.parquet", "--gates", home / "gates.yaml",
               "--write-json", home / "gate.json").exit_code in (0, 3, 4)  # fmt: skip
    run("report", home / "o.parquet", "--html", home / "r.html")
    run("keygen", home / "key.pem")
    done = run("publish", folder, "--force", "--key", home / "key.pem")
    public = load_private_key(home / "key.pem").public_key().public_bytes_raw().hex()
    (home / "trusted.keys").write_text(f"{public} name=support\n")
    assert done.exit_code == 0, done.output
    (home / "held").mkdir()
    for name in ("ledger.jsonl", "race.jsonl"):
        (home / "held" / name).write_text("")
    path = write_log(home / "logs", sample(1), sample(2), model="big")
    made = json.loads(path.rename(home / LOG.replace("_x.eval", "_y.json")).read_text())
    made["eval"] |= {"task_id": "another", "eval_id": "f", "model": "tiny"}
    samples = {f"samples__{s['id']}_epoch_1": json.dumps(s).encode() for s in made.pop("samples")}
    (home / LOG).write_bytes(zipped(header=json.dumps(made).encode(), **samples))
    assert (
        run(
            "collect", home / "logs", "--out", home / "new.parquet", "--prices", home / "prices.yaml"
        ).exit_code
        == 0
    )
    return home


def read_ledger() -> None:
    from router_lab.prices import PriceTable
    from router_lab.sweep.ledger import Ledger

    Ledger(Path("held"), PriceTable.load(Path("prices.yaml")), priced=True)


def read_race() -> None:
    from router_lab.racing.log import RaceLog
    from router_lab.racing.race import RaceRule

    RaceLog(Path("held"), RaceRule(), None, []).replay()


RECORDED = ("--outcomes", "o.parquet")
P = "policies/support/one"
COLLECT = ("--out", "new.parquet")
PRICED = (*COLLECT, "--prices", "prices.yaml")
USES: dict[str, tuple[str, ...] | Callable[[], None]] = {
    "t.csv": ("collect", "t.csv", *COLLECT),
    "t.tsv": ("collect", "t.tsv", *COLLECT),
    "t.csv.gz": ("collect", "t.csv.gz", *COLLECT),
    "t.jsonl": ("collect", "t.jsonl", *COLLECT),
    "t.json": ("collect", "t.json", *COLLECT),
    "t.parquet": ("collect", "t.parquet", *COLLECT),
    "d.jsonl ": ("collect", "d.jsonl", *COLLECT),
    "prices.yaml": ("collect", "o.parquet", *COLLECT, "--prices", "prices.yaml"),
    "suites.yaml": ("collect", "logs", *PRICED, "--suites", "suites.yaml"),
    "logs/2026-01-01T00-00-00_t_x.eval": ("collect", "logs/2026-01-01T00-00-00_t_x.eval", *PRICED),
    "logs/2026-01-01T00-00-00_t_x.eval ": ("collect", "logs", *PRICED),
    "logs/2026-01-01T00-00-00_t_y.json": ("collect", "logs/2026-01-01T00-00-00_t_y.json", *PRICED),
    "logs/2026-01-01T00-00-00_t_y.json ": ("collect", "logs", *PRICED),
    "logs/sweep.json": ("collect", "logs", *PRICED),
    "sweep.yaml": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "sweep.yaml ": ("sweep", "sweep.yaml", "--log-dir", "l", "--quiet"),
    "suites.yaml  ": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "efforts.yaml": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "prices.yaml ": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "wire.yaml": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "o.parquet  ": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l", "--history", "o.parquet"),
    "l": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "l"),
    "l ": ("sweep", "sweep.yaml", "--log-dir", "l", "--quiet"),
    "prices.yaml  ": ("prices", "show", "--prices", "prices.yaml"),
    "prices.yaml   ": (
        "prices",
        "add",
        "m",
        "--input",
        "1",
        "--output",
        "2",
        "--source",
        "s",
        "--prices",
        "prices.yaml",
    ),
    "o.parquet": ("plan", "o.parquet", "--margin", "0.03"),
    "recipe.yaml": ("fit", "recipe.yaml", *RECORDED, "--out", "fitted"),
    "o.parquet ": ("fit", "recipe.yaml", *RECORDED, "--out", "fitted"),
    "o.parquet   ": ("replay", P, *RECORDED),
    "o.parquet    ": ("gate", P, *RECORDED),
    "gates.yaml": ("gate", P, *RECORDED, "--gates", "gates.yaml"),
    "audit.csv": ("gate", P, *RECORDED, "--audit", "audit.csv"),
    "prices.yaml    ": ("gate", P, *RECORDED, "--prices", "prices.yaml"),
    "gate.json": ("gate", P, *RECORDED, "--check", "gate.json"),
    "gate.json ": ("publish", P, "--gate", "gate.json"),
    **{
        f"policies/support/RELEASE.json{' ' * n}": arguments
        for n, arguments in enumerate(
            (
                ("show", "policies/support"),
                ("publish", P, "--force"),
                ("rollback", "policies/support"),
                ("sign", "policies/support", "--key", "key.pem"),
                ("verify", "policies/support"),
            )
        )
    },
    "policies/support/RELEASES.jsonl": ("publish", P, "--force"),
    "policies/support/RELEASES.jsonl ": ("rollback", "policies/support"),
    "key.pem": ("publish", P, "--force", "--key", "key.pem"),
    "key.pem ": ("sign", "policies/support", "--key", "key.pem"),
    "key.pem  ": ("keygen", "key.pem"),
    "trusted.keys": ("verify", "policies/support", "--public-key", "trusted.keys"),
    "trusted.keys ": ("publish", P, "--force", "--key", "key.pem", "--trusted", "trusted.keys"),
    "held/ledger.jsonl": ("sweep", "sweep.yaml", "--dry-run", "--log-dir", "held"),
    "held/ledger.jsonl ": read_ledger,
    "held/race.jsonl ": read_race,
    "held/race.jsonl": ("sweep", "sweep.yaml", "--dry-run", "--race", "--log-dir", "held"),
    **{
        f"{P}/{name}": ("show", P)
        for name in ("policy.json", "weights.npz", "certificate.json", "golden.jsonl", "MANIFEST.json")
    },
    "o.parquet     ": ("show", P, *RECORDED),
    "o.parquet      ": ("diff", P, P, *RECORDED),
    "o.parquet       ": ("verify", P, *RECORDED),
    "v.json": ("route", P, "hello", "--vector", "v.json"),
    "v.npy": ("route", P, "hello", "--vector", "v.npy"),
    "o.parquet        ": ("report", "o.parquet"),
    "c.parquet": ("report", "o.parquet", "--html", "new.html", "--calls", "c.parquet"),
    "o.parquet         ": ("report", "t.parquet", "--before", "o.parquet"),
    "r.html": ("report", "o.parquet", "--check", "r.html"),
    "d.jsonl": ("report", "d.jsonl", P),
    "d.jsonl  ": ("report", "d.jsonl", "--before", "d.jsonl"),
    "audit.csv ": ("report", "d.jsonl", "--audit", "audit.csv"),
}
"""The file (spaces tell its uses apart), and the command that is given it or what reads it there."""


WHOLE = {
    "t.csv", "t.jsonl", "d.jsonl", "logs/2026-01-01T00-00-00_t_x.eval", "logs/2026-01-01T00-00-00_t_y.json",
    "recipe.yaml", "v.json", "v.npy", "o.parquet", "policies/support/RELEASE.json", "policies/support/RELEASES.jsonl",
    f"{P}/policy.json", f"{P}/golden.jsonl", "key.pem", "trusted.keys", "held/ledger.jsonl ", "held/race.jsonl ",
}  # fmt: skip
"""One command for each function that reads: the others, which share them, see a few kinds of hostile files."""
FEW = ("empty", "fifo", "sparse", "deep list", "null")


def trial(world: Path, file: str, use: tuple[str, ...] | Callable[[], None], name: str) -> list[str]:
    """What is wrong with the answer of a command to one hostile file; the file is put back."""
    path = world / file.strip()
    good = path.read_bytes() if path.is_file() else b""
    kept = path.with_name(f"{path.name}.kept")
    there = path.exists()
    if there:
        path.rename(kept)
    try:
        HOSTILE[name](path, good)
        with bounds():
            if callable(use):
                with suppress(RouterLabError):
                    use()
                return []
            done = run(*use)
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            path.with_name(f"loop-{path.name}").unlink(missing_ok=True)
        if there:
            kept.rename(path)
    wrong = []
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        wrong.append(f"{type(done.exception).__name__}: {str(done.exception)[:200]}")
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    if done.exit_code in (1, 2) and len(lines) != 1:
        wrong.append(f"exit {done.exit_code} with {done.output[-300:]!r}")
    return wrong


@pytest.mark.parametrize("file", USES)
def test_a_hostile_file_is_one_line(world: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.chdir(world)
    kinds = HOSTILE if file in WHOLE else FEW
    found = {name: trial(world, file, USES[file], name) for name in kinds}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_a_zip_bomb_is_refused_by_what_it_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from router_lab.providers import evallog

    monkeypatch.setattr(evallog, "LARGEST_PART", 1000)
    (tmp_path / "x.eval").write_bytes(zipped(header=b" " * 2000))
    done = run("collect", tmp_path / "x.eval", "--out", tmp_path / "o.parquet")
    assert done.exit_code == 1 and "unpacks to 2,000 bytes" in done.stderr, done.output


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"epoch": "one"},
        {"events": [1]},
        {"scores": []},
        {"output": "x"},
        {"metadata": 5},
        {"input": 7},
    ],
    ids=str,
)
def test_a_log_of_other_things_than_inspect_writes_is_named(tmp_path: Path, wrong: dict[str, Any]) -> None:
    made = sample(1) | wrong
    if wrong.get("id", 0) is None:
        del made["id"]
    path = write_log(tmp_path, made, model="big")
    (tmp_path / "prices.yaml").write_text(json.dumps({"models": {"big": price(1, 2), "p/m": price(1, 2)}}))
    done = run("collect", path, "--out", tmp_path / "o.parquet", "--prices", tmp_path / "prices.yaml")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.exit_code == 1 and path.name in line and "damaged" in line, line


@pytest.mark.parametrize("name", ["a\nError: all is well", "b\x1b[2J", os.fsdecode(b"c\xff\xfe")])
def test_a_file_whose_name_forges_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no table")
    for arguments in (("report", tmp_path / name), ("prices", "show", "--prices", tmp_path / name)):
        done = run(*arguments)
        assert done.exit_code in (1, 2) and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.output)
        assert len([line for line in done.stderr.splitlines() if line.startswith("Error: ")]) == 1, (
            done.output
        )


def test_what_the_arguments_of_a_task_may_not_hold_is_named(tmp_path: Path) -> None:
    """Inspect writes them into logs as JSON."""
    for value in ("2026-01-01", ".nan", "!!set {a}"):
        file = write_project(tmp_path, {"models": ["mockllm/model"]})
        (tmp_path / "suites.yaml").write_text(f"echo: {{task: tasks.py@echo, args: {{n: {value}}}}}\n")
        done = run("sweep", file, "--dry-run", "--log-dir", tmp_path / "logs")
        assert done.exit_code == 1 and "suites.yaml" in done.stderr and "Error: " in done.stderr, done.output


def test_an_error_in_a_task_file_names_its_line(tmp_path: Path) -> None:
    file = write_project(tmp_path, {"models": ["mockllm/model"]})
    (tmp_path / "broken.py").write_text(
        "from inspect_ai import task\n\n@task\ndef t():\n    raise KeyError('gone')\n"
    )
    (tmp_path / "suites.yaml").write_text("echo: {task: broken.py@t}\n")
    done = run("sweep", file, "--dry-run", "--log-dir", tmp_path / "logs")
    assert done.exit_code == 1 and "KeyError: 'gone' (line 5)" in done.stderr, (done.output, done.exception)
