"""The siege in small numbers, without Inspect: `make bench-siege` is the long one, and this keeps its attacks alive."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ROW = re.compile(r"(?P<attack>\S.*?) {2,}(?P<rounds>[\d,]+) +(?P<acknowledged>[\d,]+) +(?P<lost>[\d,]+) +"
                 r"(?P<refused>[\d,]+) +(?P<broken>[\d,]+)")  # fmt: skip
ATTACKS = (
    "two publishers at once", "forks under load", "forged releases", "number 2^53 − 1", "a source that hangs",
    "kill -9 in publish",
    "kill -9 in rollback", "kill -9 in save", "kill -9 in reload (store state)", "kill -9 in the decision log",
    "full disk: publish, rollback", "full disk: keygen, sign", "full disk: save", "full disk: store state",
    "full disk: decision log",
)  # fmt: skip


@pytest.fixture(scope="module")
def siege() -> subprocess.CompletedProcess[str]:
    """A process of its own: it forks, and the one that runs tests has threads."""
    command = [sys.executable, str(ROOT / "tests" / "bench" / "siege.py"), "--quick"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_promise_is_broken(attack: str, siege: subprocess.CompletedProcess[str]) -> None:
    rows = {found["attack"]: found for line in siege.stdout.splitlines() if (found := ROW.fullmatch(line))}
    assert attack in rows, siege.stdout + siege.stderr
    row = rows[attack]
    assert int(row["rounds"]) > 0 and row["lost"] == row["broken"] == "0", siege.stdout


def test_the_table_has_these_attacks_and_the_exit_status_says_whether_one_got_through(
    siege: subprocess.CompletedProcess[str],
) -> None:
    rows = [found for line in siege.stdout.splitlines() if (found := ROW.fullmatch(line))]
    assert sorted(found["attack"] for found in rows) == sorted(ATTACKS), siege.stdout + siege.stderr
    assert siege.returncode == any(found["broken"] != "0" for found in rows)
