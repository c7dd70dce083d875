"""publish, rollback, sign, keygen and verify as commands: what a publisher is told, and what a loader then takes."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router_lab import load_policy
from router_lab.cli import cli
from router_lab.publish import HISTORY, current_release, history
from router_lab.publish import publish as publish_
from router_lab.runtime.release import RELEASE
from tests.unit.test_publish import save
from tests.unit.test_publishing_attacked import three


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str, str]:
    """(private key file, public key, fingerprint) as `keygen` makes and prints them."""
    done = run("keygen", tmp_path / "release.pem")
    found = re.fullmatch(r"public key: ([0-9a-f]{64})\nfingerprint: ([0-9a-f]{16})\n(.*)\n", done.output)
    assert found is not None and Path(found[3]) == tmp_path / "release.pem"
    return tmp_path / "release.pem", found[1], found[2]


def test_from_a_key_to_a_loader_that_believes_it(tmp_path: Path, key: tuple[Path, str, str]) -> None:
    private, public, fingerprint = key
    trust, folder = tmp_path / "trusted.keys", tmp_path / "p"
    path = save(folder, 0.1)
    trust.write_text(f"{'0' * 63}1  # another\n")
    refused = run("publish", path, "--force", "--key", private, "--trusted", trust)
    assert refused.exit_code == 1 and "not of this release by a trusted key" in refused.output
    assert not (folder / RELEASE).exists() and not (folder / HISTORY).exists()
    trust.write_text(f"{public} name=support\n")
    done = run("publish", path, "--force", "--key", private, "--trusted", trust, "--expires", "30d")
    assert done.exit_code == 0, done.output
    assert f"signed by {fingerprint}\nexpires " in done.output and done.stdout.splitlines()[-1] == str(folder)
    release = current_release(folder)
    assert release is not None and release.expires is not None
    at = dt.datetime.fromisoformat(history(folder)[0]["at"]).timestamp()
    assert 0 <= release.expires - at - 30 * 86_400 <= 2  # rounded up; `at` is cut to the second
    said = run("verify", folder, "--public-key", trust, "--name", "support", "--alias", "champion").output
    assert f"release 1 of support as champion, signed by {fingerprint}, expires 20" in said
    wrong = run("verify", folder, "--public-key", trust, "--alias", "canary")
    assert wrong.exit_code == 1 and "this loader expects anything as 'canary'" in wrong.output
    assert "release" not in run("verify", folder).output  # nobody asked


def test_who_forces_is_told_what_was_missing(tmp_path: Path) -> None:
    path = save(tmp_path / "p", 0.1)
    done = run("publish", path, "--force")
    assert f"warning: published by force, without a gate; {tmp_path / 'p'} remembers it" in done.output
    assert f"release 1 of support as champion: {path.name} (no gate)\n" in done.output
    file = tmp_path / "gate.json"
    for word in ("fail", "inconclusive"):
        file.write_text(json.dumps({"revision": load_policy(path).revision, "verdict": word}))
        done = run("publish", path, "--force", "--gate", file)
        assert f"published by force, though its gate says {word};" in done.output
        assert f"{path.name} ({word})\n" in done.output


def test_show_says_what_is_published_and_where_its_history_is(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    first, second = save(folder, 0.1), save(folder, 0.2)
    assert "release " not in run("show", first).output and "RELEASE" not in run("show", first).output
    for path, more in ((first, ()), (second, ("--expires", "2099-01-31"))):
        assert run("publish", path, "--force", *more).exit_code == 0
    said = run("show", folder).output
    assert second.name[:16] in said.splitlines()[0]
    until = "expires 2099-01-31T00:00:00Z"
    assert (
        f"  release    2 of support as champion, gate inconclusive, {until}; history: 2 lines in {folder / HISTORY}\n"
        in said
    )
    assert "release    2 of support as champion" in run("show", second).output
    assert "of support as champion" not in run("show", first).output
    told = json.loads(run("show", folder, "--json").stdout)["release"]
    assert (told["number"], told["alias"], told["revision"]) == (2, "champion", load_policy(second).revision)
    assert told["history"] == str(folder / HISTORY)
    assert json.loads(run("show", first, "--json").stdout)["release"] is None
    (folder / RELEASE).write_text("{")
    assert run("show", first).exit_code == 0


def test_a_release_is_signed_afterwards(tmp_path: Path, key: tuple[Path, str, str]) -> None:
    private, public, fingerprint = key
    path = save(tmp_path / "p", 0.1)
    assert run("publish", path, "--force").exit_code == 0
    refused = run("verify", tmp_path / "p", "--public-key", public)
    assert (
        refused.exit_code == 1
        and f"not signed, and this loader requires a signature (trusted: {fingerprint})" in (refused.output)
    )
    assert (
        run("sign", tmp_path / "p", "--key", private).output
        == f"signed by {fingerprint}\n{tmp_path / 'p' / RELEASE}\n"
    )
    assert run("verify", tmp_path / "p", "--public-key", public).exit_code == 0
    nothing = run("sign", tmp_path, "--key", private)
    assert nothing.exit_code == 1 and "nothing is published there" in nothing.output
    (tmp_path / "p" / RELEASE).write_bytes(b"{")
    damaged = run("sign", tmp_path / "p", "--key", private)
    assert damaged.exit_code == 1 and damaged.output.startswith("Error: RELEASE.json: not valid JSON")


def test_a_key_that_lies_open_is_said(tmp_path: Path, key: tuple[Path, str, str]) -> None:
    private, path = key[0], save(tmp_path / "p", 0.1)
    assert private.stat().st_mode & 0o777 == 0o600
    assert "chmod" not in run("publish", path, "--force", "--key", private).output
    private.chmod(0o644)
    for arguments in (
        ("publish", path, "--force"),
        ("sign", tmp_path / "p"),
        ("rollback", tmp_path / "p", "--to", "9"),
    ):
        assert (
            f"warning: {private}: everybody on this machine may read"
            in run(*arguments, "--key", private).output
        )


KEYGEN = """
import sys
from router_lab.cli import cli
sys.stdin.readline()
cli(["keygen", sys.argv[1]])
"""


def test_two_that_make_one_key_at_once_make_one(tmp_path: Path) -> None:
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", KEYGEN, str(tmp_path / "k.pem")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) for _ in range(3)
    ]  # fmt: skip
    said = [job.communicate("go\n") for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0, 1, 1]
    [out] = [out for out, _ in said if out]
    assert [err for _, err in said if err] == [
        f"Error: {tmp_path / 'k.pem'}: exists; a key is never written over\n"
    ] * 2
    path = save(tmp_path / "p", 0.1)
    assert out.splitlines()[1][-16:] in run("publish", path, "--force", "--key", tmp_path / "k.pem").output
    assert not [entry for entry in tmp_path.iterdir() if entry.name.endswith(".tmp")]


def test_a_key_without_room_is_not_begun(tmp_path: Path, room_for: Any) -> None:
    with room_for(10):
        done = run("keygen", tmp_path / "k.pem")
    assert done.exit_code == 1 and "k.pem: cannot be written: File too large; no key was made" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("when", "ok"), [
    ("12h", True), ("8w", True), ("2999-01-31", True), ("2999-01-31T10:00:00Z", True), ("2999-01-31T10:00+02:00", True),
    ("2001-01-31", False), ("0d", False), ("d", False), ("-3d", False), ("30", False), ("30 d", False), ("1e3d", False),
    ("999999w", False), ("9999999999d", False), ("tomorrow", False), ("", False), ("9999-12-31T23:59:59.5Z", False),
    ("٣d", False), ("0001-01-01", False),
])  # fmt: skip
def test_when_a_release_may_expire(tmp_path: Path, when: str, ok: bool) -> None:
    done = run("publish", save(tmp_path, 0.1), "--force", "--expires", when)
    assert (done.exit_code == 0) is ok, done.output
    if not ok:
        assert done.output.startswith("Error: ") and "expires" in done.output and done.output.count("\n") == 1
        assert not (tmp_path / HISTORY).exists()


def test_a_time_zone_is_counted(tmp_path: Path) -> None:
    done = run("publish", save(tmp_path, 0.1), "--force", "--expires", "2999-01-31T10:00+02:00")
    assert "expires 2999-01-31T08:00:00Z" in done.output


def test_rollback_says_what_there_is_to_go_back_to(tmp_path: Path) -> None:
    a, b, c = (path.name for path in three(tmp_path))
    assert f"release 4 of support as champion: back to {a}" in run("rollback", tmp_path, "--to", "1").output
    done = run("rollback", tmp_path)
    assert done.exit_code == 1
    assert f"say which with --to: 3 ({c}, pass), 2 ({b}, pass)" in done.output
    assert f"back to {b}" in run("rollback", tmp_path, "--to", b).output


def test_damage_is_a_line_on_standard_error_and_no_end(tmp_path: Path) -> None:
    a, *_ = three(tmp_path)
    (tmp_path / RELEASE).write_text("\x1b[2J")
    with (tmp_path / HISTORY).open("ab") as file:
        file.write(b'{"torn')
    done = run("publish", a, "--force")
    assert done.exit_code == 0 and done.stdout.splitlines()[0].startswith("release 5 of support")
    assert "warning: " in done.stderr and "going on from release 3 of RELEASES.jsonl" in done.stderr
    assert "1 damaged lines are passed over (line 4)" in done.stderr and "\x1b" not in done.output


def test_the_alias_in_mlflow_goes_to_the_newest_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another publisher was quicker while this one registered its files."""
    import router_lab.tracking as tracking

    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    told: list[Any] = []

    def register(directory: Path, name: str, **more: Any) -> tracking.Version:
        publish_(second, force=True)  # and it told MLflow already
        told.append((Path(directory).name, more["alias"]))
        return tracking.Version(name, "7", "run", more["alias"])

    def move(name: str, alias: str, revision: str, uri: str | None) -> str:
        told.append((revision[:16], alias))
        return "8"

    monkeypatch.setattr(tracking, "register_version", register)
    monkeypatch.setattr(tracking, "move_alias_to_revision", move)
    done = run("publish", first, "--force", "--registry", "--tracking-uri", tmp_path / "mlflow.db")
    assert done.exit_code == 0, done.output
    assert told == [(first.name, "champion"), (second.name, "champion")]
    assert "release 2 is in place by now, so the alias goes there" in done.stderr
    assert "MLflow: models:/support@champion is version 8" in done.output
    assert load_policy(tmp_path).revision == load_policy(second).revision


@pytest.mark.skipif(os.name != "posix", reason="FIFOs")
def test_no_file_is_waited_for(tmp_path: Path) -> None:
    path = save(tmp_path / "p", 0.1)
    os.mkfifo(tmp_path / "fifo")
    for option in ("--key", "--trusted"):
        done = run("publish", path, "--force", option, tmp_path / "fifo")
        assert done.exit_code == 1 and "is a pipe" in done.output
