"""A policy is saved whole or not at all, and nothing that a save leaves behind stands in the way of the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.runtime import files, folders
from router_lab.runtime.artifact import LARGEST, MANIFEST, PARTS, revisions_in, save_policy, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy

# Killed by itself, with the signal that nothing survives, just before the n-th rename of all that a save does.
KILLED = """
import os, signal, sys
from router_lab.runtime.artifact import load_policy, save_policy, save_revision

policy, folder = load_policy(sys.argv[1]), sys.argv[2]
save = {"into": lambda at: save_policy(policy, at + "/policy"), "under": lambda at: save_revision(policy, at)}

def killed_at(count, run):
    left = [count]
    def hook(event, args):
        left[0] -= event == "os.rename"
        if left[0] == 0:
            left[0] = -1  # the kill is an event of its own
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    run()
    os._exit(0)

for name, run in save.items():
    for count in range(1, 10):
        at = f"{folder}/{name}{count}"
        child = os.fork()
        if child == 0:
            killed_at(count, lambda: run(at))
        killed = os.waitpid(child, 0)[1] == signal.SIGKILL
        if killed:
            run(at)
        print(name, count, killed, load_policy(at if name == "under" else at + "/policy").revision == policy.revision)
"""


def test_after_kill_9_at_any_step_the_next_save_succeeds(artifact: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(artifact), str(tmp_path / "at")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 18 and all(line[3] == "True" for line in lines)
    # Seven files and the folder are renamed: the ninth would be one too many, and that save was not killed.
    assert [line[1] for line in lines if line[2] == "False"] == ["9", "9"]


@pytest.mark.parametrize("room", [0, 100, 10_000])
def test_after_a_full_disk_nothing_is_left_and_the_next_save_succeeds(
    make_random: Any, room_for: Any, tmp_path: Path, room: int
) -> None:
    policy, before = Policy(make_random()), {p.name for p in tmp_path.iterdir()}
    with room_for(room), pytest.raises(PolicyError, match=r"cannot be written: .*no policy was saved there"):
        save_policy(policy, tmp_path / "policy")
    with room_for(room), pytest.raises(PolicyError, match="cannot be written"):
        save_revision(policy, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == before
    assert load_policy(save_policy(policy, tmp_path / "policy")).revision
    assert load_policy(save_revision(policy, tmp_path)).revision


def test_what_earlier_versions_left_half_written_is_completed(
    make_random: Any, artifact: Path, tmp_path: Path
) -> None:
    policy = Policy(make_random())
    half = tmp_path / str(load_policy(artifact).revision)[:16]
    half.mkdir()
    (half / "buckets.npy").write_bytes(b"\x93NUMPY torn")
    (half / ".weights.npy.4711.tmp").write_bytes(b"torn")
    (half / ".router-lab-0123456789abcdef.tmp").write_bytes(b"torn")
    assert save_revision(policy, tmp_path) == half
    assert {p.name for p in half.iterdir()} == {p.name for p in artifact.iterdir()}
    assert load_policy(half).revision == load_policy(artifact).revision


@pytest.mark.parametrize("foreign", ["notes.txt", "weights.npy.bak", "policy.json/", "MANIFEST.json", "link"])
def test_a_folder_with_anything_else_in_it_is_refused_and_kept(
    make_random: Any, tmp_path: Path, foreign: str
) -> None:
    target = tmp_path / "policy"
    (target / foreign).mkdir(parents=True) if foreign.endswith("/") else target.mkdir()
    if foreign == "link":
        (target / "weights.npy").symlink_to("/dev/null")
    elif not foreign.endswith("/"):
        (target / foreign).write_text("mine")
    (target / "buckets.npy").write_bytes(b"torn")
    kept = {p.name: p.is_file() and p.read_bytes() for p in target.iterdir()}
    with pytest.raises(PolicyError, match="not a new or empty directory"):
        save_policy(Policy(make_random()), target)
    assert {p.name: p.is_file() and p.read_bytes() for p in target.iterdir()} == kept


def test_folders_that_must_stay_where_they_are_are_filled(
    make_random: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that a link leads to, and the one that the process is in; both also half written."""
    policy = Policy(make_random())
    for name in ("linked", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / PARTS[0]).write_bytes(b"torn")
        (tmp_path / name / ".router-lab-0123456789abcdef.tmp").write_bytes(b"torn")
    (tmp_path / "link").symlink_to("linked")
    inode = (tmp_path / "here").stat().st_ino
    monkeypatch.chdir(tmp_path / "here")
    save_policy(policy, "../link")
    save_policy(policy, ".")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "here").stat().st_ino == inode
    assert load_policy(tmp_path / "linked").revision == load_policy(".").revision
    with pytest.raises(PolicyError, match="new or empty"):
        save_policy(Policy(make_random(seed=1)), ".")


RACE = """
import sys
from pathlib import Path
from router_lab.runtime.artifact import encode_policy, load_policy, save_revision, write_files
policy, folder = load_policy(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
files = encode_policy(policy)
for n in range(20):
    save_revision(policy, folder / f"revision{n}")
    write_files(files, folder / f"half{n}")
    write_files(files, folder / f"linked{n}")
"""


def test_two_fits_that_save_the_same_at_once_both_succeed(
    artifact: Path, tmp_path: Path, at_once: Any
) -> None:
    for n in range(20):
        (tmp_path / "at" / f"half{n}").mkdir(parents=True)
        (tmp_path / "at" / f"half{n}" / "policy.json").write_bytes(b"torn")
        (tmp_path / "at" / f"place{n}").mkdir()
        (tmp_path / "at" / f"linked{n}").symlink_to(f"place{n}")
    for _, errors, status in at_once(RACE, str(artifact), str(tmp_path / "at"), processes=4):
        assert (errors, status) == ("", 0)
    revision = load_policy(artifact).revision
    for n in range(20):
        [saved] = revisions_in(tmp_path / "at" / f"revision{n}")
        for folder in (saved, tmp_path / "at" / f"half{n}", tmp_path / "at" / f"linked{n}"):
            assert load_policy(folder).revision == revision
        assert not [p for p in (tmp_path / "at" / f"revision{n}").iterdir() if p.name.endswith(".tmp")]


def test_a_folder_that_another_puts_aside_meanwhile(
    make_random: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks at the same folder it is gone, as it is while another process replaces a half-written one."""
    target, policy = tmp_path / "saved", Policy(make_random())
    target.mkdir()
    (target / PARTS[0]).write_bytes(b"torn")
    looked = Path.is_mount

    def gone(self: Path) -> bool:
        if self == target and self.exists():
            self.rename(tmp_path / "aside")
        return looked(self)

    monkeypatch.setattr(Path, "is_mount", gone)
    assert load_policy(save_policy(policy, target)).revision == load_policy(target).revision


def test_an_unfinished_file_that_another_cleans_up_is_written_again(
    make_random: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    refused: list[str] = []

    def once(path: Path, data: bytes) -> Path:
        if path.parent.name == "link" and path.name not in refused:
            refused.append(path.name)
            raise FileNotFoundError(2, "cleaned up", str(path))
        return files.atomic_write(path, data)

    monkeypatch.setattr(folders, "atomic_write", once)
    load_policy(save_policy(Policy(make_random()), tmp_path / "link"))
    assert sorted(refused) == sorted(LARGEST)


def test_what_is_gone_since_it_was_listed_occupies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [tmp_path / ".router-lab-0123456789abcdef.tmp", tmp_path / PARTS[0]]
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(listed))
    assert folders.is_unfinished(tmp_path, LARGEST, MANIFEST)
    listed.append(tmp_path / "notes.txt")
    assert not folders.is_unfinished(tmp_path, LARGEST, MANIFEST)
    monkeypatch.undo()
    assert folders.is_unfinished(tmp_path / "gone", LARGEST, MANIFEST)


def test_a_save_in_progress_is_no_revision(artifact: Path, tmp_path: Path) -> None:
    artifact.rename(tmp_path / ".router-lab-0123456789abcdef.tmp")
    with pytest.raises(PolicyError, match="holds no policy"):
        load_policy(tmp_path)
