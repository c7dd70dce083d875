"""The whole walk at addresses of a server that speaks S3, with kill -9 in the middle of the sweep."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

pytest.importorskip("moto")
import fsspec

from router_lab import load_policy
from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.outcomes import read_outcomes
from router_lab.places import copy, fetched, follow
from router_lab.places.store import ABSENT, ChangedThereError, Store
from router_lab.runtime.errors import InputError
from router_lab.runtime.store import PolicyStore
from tests.integrations.stored import s3_server
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

pytestmark = pytest.mark.timeout(1800)  # a sweep begins in seconds alone, in a minute on a busy machine
MAIN = [sys.executable, "-c", "from router_lab.cli import main; main()"]
BUCKET = "s3://walk"
LOGS, OUTCOMES, POLICY = f"{BUCKET}/logs", f"{BUCKET}/outcomes.parquet", f"{BUCKET}/policies/echo"
RECIPE = {
    "name": "echo", "reference": "best", "rule": {"margin": 0.3, "confidence": 0.6},
    "gates": [{"metric": "quality", "against": "reference", "margin": 0.5, "confidence": 0.6}],
}  # fmt: skip


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setenv("NO_COLOR", "1")
    with s3_server(monkeypatch.setenv, "walk") as files:
        yield files


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as running:
        monkeypatch.setenv("LOCAL_BASE_URL", running.url)
        yield running


class Machine:
    """A folder, and the state of a user in it: another machine has neither."""

    def __init__(self, folder: Path, **sweep: Any) -> None:
        self.folder = folder
        self.env = {
            **os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_STATE_HOME": str(folder / "state"),
            "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        (folder / "tmp").mkdir(parents=True)
        models = ["openai-api/local/a", {"model": "openai-api/local/b", "name": "bee"}]
        prices = {"openai-api/local/a": price(1, 2), "bee": price(10, 20)}
        write_project(
            folder, {"models": models, "max_connections": 2, "log_dir": LOGS, **sweep}, prices=prices
        )
        (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "begun.txt").open("wb") as told:
            return subprocess.Popen(
                [*MAIN, *arguments], cwd=self.folder, env=self.env, stderr=told, stdout=told
            )

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own, as a sweep needs it."""
        done = subprocess.run(
            [*MAIN, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        self.looked_at(done.returncode == status, done.stdout + done.stderr)
        return done

    def do(self, *arguments: str, status: int = 0) -> Result:
        """A command in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.setattr("tempfile.tempdir", self.env["TMPDIR"])
            patch.chdir(self.folder)
            done = CliRunner().invoke(cli, arguments)
        self.looked_at(done.exit_code == status, done.output)
        return done

    def looked_at(self, good: bool, printed: str) -> None:
        assert good, printed
        assert str(self.folder / "tmp") not in printed, "people are told the address"
        assert not list((self.folder / "tmp").iterdir()), "a copy was left behind"


def killed_in_the_middle(machine: Machine, provider: Loopback, after: int) -> None:
    process = machine.begin("sweep", "sweep.yaml")
    while len(provider.requests) < after and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)


def test_the_whole_walk_lies_at_addresses(
    s3: fsspec.AbstractFileSystem, provider: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.delay = 0.2
    here = Machine(tmp_path / "here", wave=12, limits={"usd": 0.01}, budget_usd=1.0, config={"max_tokens": 9})
    killed_in_the_middle(here, provider, after=14)
    begun = (here.folder / "begun.txt").read_text()
    assert {"walk/logs/ledger.jsonl", "walk/logs/.router-lab.lock"} <= set(s3.find("walk")), begun

    done = here.run("sweep", "sweep.yaml")
    assert done.stdout.splitlines()[-1] == LOGS
    assert "24 samples: " in done.stderr and ", 0 failed" in done.stderr
    again = sum(count - 1 for count in provider.prompts().values())
    print(f"paid again after kill -9 on the same machine: {again} of 24, at most 4 in flight")
    assert again <= 4 and len(provider.prompts()) == 24
    assert not s3.exists("walk/logs/.router-lab.lock"), "who has ended lets others in"
    asked = len(provider.requests)
    assert "24 samples: 24 kept, 0 answered" in here.run("sweep", "sweep.yaml").stderr
    assert len(provider.requests) == asked

    # From here on another machine, which has nothing but the addresses and a recipe.
    there = Machine(tmp_path / "there")
    (there.folder / "prices.yaml").unlink()
    told = there.do("collect", LOGS, "--out", OUTCOMES)
    assert told.stdout.splitlines()[-1] == OUTCOMES and "24 outcomes: 24 ok" in told.stderr
    revision = there.do("fit", "recipe.yaml", "--outcomes", OUTCOMES, "--out", POLICY).stdout.splitlines()[-1]
    assert revision.startswith(f"{POLICY}/")
    assert s3.exists("walk/.router-lab-looks.jsonl"), "looks are counted beside the outcomes"
    gated = there.do(
        "gate", revision, "--outcomes", OUTCOMES, "--write-json", f"{BUCKET}/gate.json", "--junit", "gate.xml"
    )
    assert "pass" in gated.stdout and (there.folder / "gate.xml").exists()
    assert "release 1 of echo" in there.do("publish", revision, "--gate", f"{BUCKET}/gate.json").stdout
    assert f"{POLICY}: release 1 is the first" in there.do("rollback", POLICY, status=1).stderr
    assert revision.rpartition("/")[2][:16] in there.do("show", POLICY).stdout
    decided = json.loads(there.do("route", POLICY, "say 3", "--suite", "echo", "--json").stdout)
    there.do("replay", revision, "--outcomes", OUTCOMES)
    there.do("verify", POLICY, "--outcomes", OUTCOMES)
    there.do("report", OUTCOMES, POLICY, "--html", f"{BUCKET}/report.html")
    assert b"<html" in s3.cat_file("walk/report.html")[:500].lower()

    inside = {name: s3.cat_file(name) for name in s3.find("walk")}
    for name, data in inside.items():
        for folder in (here.folder, there.folder):
            assert name.endswith(".eval") or str(folder / "tmp").encode() not in data, name

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    policy = load_policy(fetched(POLICY))
    assert policy.decide("say 3", suite="echo").model == decided["model"]
    assert len(read_outcomes(OUTCOMES)) == len(collect([LOGS])[0]) == 24
    served = PolicyStore(follow(POLICY, tmp_path / "served"), default=policy.candidates[0])
    assert served.check() and served.policy.revision == policy.revision and not served.check()


def test_another_machine_goes_on_from_what_was_put(
    s3: fsspec.AbstractFileSystem, provider: Loopback, tmp_path: Path
) -> None:
    provider.delay = 1.0
    killed_in_the_middle(Machine(tmp_path / "here"), provider, after=18)
    before = len(provider.requests)
    there = Machine(tmp_path / "there")
    held = there.run("sweep", "sweep.yaml", status=1).stderr
    assert f"{LOGS}: sweep t (process " in held and "holds this address, at least until" in held
    assert len(provider.requests) == before
    lease = json.loads(s3.cat_file("walk/logs/.router-lab.lock"))
    s3.pipe_file(
        "walk/logs/.router-lab.lock", json.dumps(lease | {"until": 1.0}).encode()
    )  # its time is over
    told = there.run("sweep", "sweep.yaml").stderr
    [kept] = re.findall(r"24 samples: (\d+) kept", told)
    print(
        f"kept on another machine: {kept} of {before} that were asked before kill -9, the last of them in flight"
    )
    assert int(kept) > 0 and len(provider.requests) == before + 24 - int(kept)
    assert (
        len(provider.prompts()) == 24 and len(collect([LOGS], prices=there.folder / "prices.yaml")[0]) == 24
    )


def test_of_two_puts_that_replace_the_same_one_is_refused(s3: fsspec.AbstractFileSystem) -> None:
    """The server decides: both looked, and see the same."""
    store, outcome = Store(f"{BUCKET}/race"), []
    for expected in (ABSENT, "first"):
        stamp = expected if expected == ABSENT else store.write("x", b"first", store.entry("x").stamp)  # type: ignore[union-attr]
        gate = threading.Barrier(2)

        def put(data: bytes, stamp: str = stamp, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                outcome.append(Store(f"{BUCKET}/race").write("x", data, stamp))
            except ChangedThereError:
                outcome.append("refused")

        threads = [threading.Thread(target=put, args=(data,)) for data in (b"one", b"two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcome.count("refused") == 1 and len(outcome) == 2
        outcome.clear()


def test_two_that_changed_the_same_do_not_lose_each_others_work(
    s3: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    s3.pipe_file("walk/p/a.json", b"1")
    with (
        pytest.raises(InputError, match=r"^s3://walk/p/a.json: was changed there by another"),
        copy(f"{BUCKET}/p") as mine,
    ):
        (mine / "a.json").write_bytes(b"mine")
        s3.pipe_file("walk/p/a.json", b"theirs")
    assert s3.cat_file("walk/p/a.json") == b"theirs"


def test_what_is_wrong_is_one_line(s3: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "here")
    assert "s3://none/logs" in machine.do("collect", "s3://none/logs", "--out", "o.parquet", status=1).stderr
    assert "s3://walk/o.parquet" in machine.do("plan", "s3://walk/o.parquet", status=2).stderr
    machine.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    fsspec.filesystem("s3").clear_instance_cache()
    unreached = machine.do("show", POLICY, status=1).stderr
    assert f"{POLICY}: cannot be" in unreached and "Traceback" not in unreached
