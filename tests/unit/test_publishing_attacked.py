"""Publishing in an operator's worst month: two at once, kill -9, full disks, damaged files, forged numbers."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.publish import HISTORY, current_release, history, publish, rollback, sign
from router_lab.runtime.errors import InputError, PolicyError, RouterLabWarning
from router_lab.runtime.keys import keygen
from router_lab.runtime.release import LARGEST_STEP, RELEASE, Release, build_release
from tests.unit.test_publish import gate, save

KEYS_OF_A_LINE = {"action", "alias", "at", "by", "certificate_sha256", "forced", "gate_sha256", "key", "name", "number",
                  "parent", "replaces", "revision", "signed", "verdict"}  # fmt: skip


def revision(path: Path) -> str:
    return str(load_policy(path).revision)


def three(folder: Path) -> list[Path]:
    """Three revisions, published in turn as releases 1, 2 and 3."""
    found = [save(folder, guard) for guard in (0.1, 0.2, 0.3)]
    for path in found:
        publish(path, gate=gate(path))
    return found


# --- two at once ---------------------------------------------------------------------------------------------------

PUBLISHER = """
import sys
from pathlib import Path
from router_lab.publish import publish, rollback
first, second = map(Path, sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
for n in range(12):
    done = rollback(first.parent, to=None) if n % 4 == 3 else publish(second if n % 2 else first, force=True)
    print(done.release.number, flush=True)
"""


def test_of_two_publishers_at_once_both_succeed_one_after_the_other(tmp_path: Path, at_once: Any) -> None:
    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    said = at_once(PUBLISHER, str(first), str(second))
    # A rollback with nothing left to go back to ends a publisher, in one line; nothing else may.
    for _, err, status in said:
        assert status == 0 or "nothing came before" in err or "is the first" in err, err
    numbers = sorted(int(line) for out, _, _ in said for line in out.splitlines())
    assert len(numbers) >= 6
    assert numbers == list(range(1, len(numbers) + 1))
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [line["number"] for line in lines] == numbers
    assert [line["replaces"] for line in lines] == [None, *numbers[:-1]]
    current = current_release(tmp_path)
    assert current is not None and (current.number, current.revision) == (numbers[-1], lines[-1]["revision"])


# --- kill -9 -------------------------------------------------------------------------------------------------------

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from router_lab.publish import history, publish, rollback
from router_lab.runtime.artifact import load_policy
from router_lab.runtime.release import parse_release

origin, folder, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]

def killed_at(count, run):
    left = [count]
    def hook(event, args):
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(folder) in str(args[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    run()
    os._exit(0)

def current():
    return parse_release((folder / "RELEASE.json").read_bytes())[0]

for kind in ("publish", "rollback"):
    for count in range(1, 200):
        shutil.copytree(origin, folder)
        child = os.fork()
        if child == 0:
            killed_at(count, lambda: publish(folder / names[2], force=True) if kind == "publish" else rollback(folder))
        ended = os.waitpid(child, 0)[1]
        after, came = current().number, current()
        policy = load_policy(folder)
        done = publish(folder / names[2], force=True).release
        lines = history(folder)
        numbers = [line["number"] for line in lines]
        # B was served before; what the killed one was about to put there is to be left out unless it came to be.
        back = rollback(folder).release.revision
        wanted = {"publish": [names[1]], "rollback": [names[1] if after == 2 else names[0]]}[kind]
        print(kind, ended == signal.SIGKILL, after in (2, 3), policy.revision == came.revision,
              numbers == sorted(set(numbers)) and done.number == numbers[-1] == len(numbers), back[:16] in wanted)
        shutil.rmtree(folder)
        if ended == 0:
            break
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"expires": dt.datetime.min}, "expires .* is no moment"), ({"alias": 5}, "alias 5: is not a text"),
     ({"alias": None}, "alias None: is not a text"), ({"gate": []}, r"gate: \[\] is not the JSON object"),
     ({"gate": "x"}, "gate: 'x' is not the JSON object")],
)  # fmt: skip
def test_arguments_of_another_type_are_named(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    revision = save(tmp_path, 0.1)
    with pytest.raises(InputError, match=said):
        publish(revision, **{"force": True, **wrong})
    assert not (tmp_path / RELEASE).exists()


def test_after_kill_9_at_any_step_the_next_publisher_goes_on(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    found = [save(origin, guard) for guard in (0.1, 0.2, 0.3)]
    for path in found[:2]:
        publish(path, gate=gate(path))
    names = [path.name for path in found]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(origin), str(tmp_path / "at"), *names],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line for line in lines if line[2:] != ["True"] * 4] == []
    for kind in ("publish", "rollback"):
        killed = [line[1] for line in lines if line[0] == kind]
        assert len(killed) > 8 and killed == ["True"] * (len(killed) - 1) + ["False"]


def test_a_release_that_never_came_to_be_is_said_and_not_gone_back_to(tmp_path: Path) -> None:
    """As after kill -9 between the two files: the third line is there, RELEASE.json is still of the second."""
    found = three(tmp_path)
    kept = (tmp_path / HISTORY).read_bytes().splitlines(keepends=True)
    (tmp_path / RELEASE).write_bytes(
        build_release(Release("support", "champion", 2, revision(found[1]), None, "pass"))
    )
    with pytest.warns(
        RouterLabWarning, match=r"release 3 \([0-9a-f]{16}, pass\) was begun and never came to be"
    ):
        done = publish(found[0], gate=gate(found[0]))
    assert (done.release.number, done.release.parent, done.entry["replaces"]) == (4, revision(found[1]), 2)
    assert (tmp_path / HISTORY).read_bytes().startswith(b"".join(kept))
    assert rollback(tmp_path).release.revision == revision(found[1])  # and not the third
    with pytest.raises(InputError, match="is no number or revision"):
        rollback(tmp_path, to=3)


# --- full and read-only disks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [
    lambda path: publish(path, gate=gate(path)), lambda path: rollback(path.parent),
    lambda path: rollback(path.parent, to=1),
])  # fmt: skip
@pytest.mark.parametrize("extra", [0, 50, 100])
def test_on_a_full_disk_nothing_is_published_and_afterwards_all_goes_on(
    tmp_path: Path, run: Callable[[Path], Any], extra: int, room_for: Any
) -> None:
    found = three(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in (RELEASE, HISTORY)}
    with (
        room_for(len(before[HISTORY]) + extra),
        pytest.raises(InputError, match=r"RELEASES\.jsonl: cannot be written"),
    ):
        run(found[0])
    with room_for(100), pytest.raises(InputError, match=r"cannot be written: .*; nothing was published"):
        run(found[0])
    assert {name: (tmp_path / name).read_bytes() for name in (RELEASE, HISTORY)} == before
    assert run(found[0]).release.number == 4


def test_room_for_the_line_and_not_for_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills between the two files, at RELEASE.json."""
    found = three(tmp_path)
    # So that the line fits where RELEASE.json, which is longer, does not.
    (tmp_path / HISTORY).write_bytes(b"")
    long = Release("support", "champion", 3, revision(found[2]), revision(found[1]), "pass")
    (tmp_path / RELEASE).write_bytes(build_release(long))
    monkeypatch.setattr("router_lab.publish.atomic_write", _full)
    with pytest.raises(
        InputError, match=r"RELEASE\.json: cannot be written: No space left on device; nothing was publ"
    ):
        publish(found[0], gate=gate(found[0]))
    monkeypatch.undo()
    assert current_release(tmp_path) == long
    with pytest.warns(RouterLabWarning, match="release 4 .* never came to be"):
        assert publish(found[0], gate=gate(found[0])).release.number == 5


def _full(path: Path, data: bytes) -> Path:
    raise OSError(28, os.strerror(28), str(path))


def test_a_folder_that_another_holds_or_that_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from router_lab.runtime.locks import LOCK, FolderLock

    [first, *_] = three(tmp_path)
    monkeypatch.setattr("router_lab.publish.WAIT_S", 0.05)
    with FolderLock(tmp_path, "the other"):
        for run in (
            lambda: publish(first, gate=gate(first)),
            lambda: rollback(tmp_path),
            lambda: sign(tmp_path, KEY[0]),
        ):
            with pytest.raises(InputError, match=r"the other \(process \d+ on .*\) holds this folder"):
                run()
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).mkdir()
    with pytest.raises(InputError, match="cannot be opened to lock the folder"):
        publish(first, gate=gate(first))


# --- rollback ------------------------------------------------------------------------------------------------------


def test_rollback_walks_back_and_never_to_what_failed(tmp_path: Path) -> None:
    a, b, c = (revision(path) for path in three(tmp_path))
    assert rollback(tmp_path).release[2:5] == (4, b, c)
    assert rollback(tmp_path).release[2:5] == (5, a, b)
    said = rf"nothing came before release 5 .*--to: 4 \({b[:16]}, pass\), 3 \({c[:16]}, pass\)"
    with pytest.raises(InputError, match=said):
        rollback(tmp_path)
    assert load_policy(tmp_path).revision == a
    d = save(tmp_path, 0.4)
    publish(d, gate=gate(d))
    assert rollback(tmp_path).release[2:5] == (7, a, revision(d))
    with pytest.raises(InputError, match="nothing came before release 7"):
        rollback(tmp_path)


def test_rollback_to_a_number_or_a_revision(tmp_path: Path) -> None:
    a, b, c = (revision(path) for path in three(tmp_path))
    assert rollback(tmp_path, to=1).release[2:5] == (4, a, c)
    with pytest.raises(InputError, match="nothing came before release 4"):  # b was replaced, then passed over
        rollback(tmp_path)
    assert rollback(tmp_path, to=c[:8]).release[2:5] == (5, c, a)  # by name, also what was rolled back from
    with pytest.raises(InputError, match="is what is published now"):
        rollback(tmp_path, to="3")
    for wrong in ("9", "", c[:5], "0" * 64, "/etc/passwd", "-1", "\n", "2 "):
        with pytest.raises(
            InputError, match=rf"--to .* is no number or revision .* there are 4 \({a[:16]}, pass\), 2 \("
        ):
            rollback(tmp_path, to=wrong)
    assert rollback(tmp_path, to=b).release[2:6] == (6, b, c, "pass")


def test_the_same_revision_published_twice_is_one_step_back(tmp_path: Path) -> None:
    a, b = save(tmp_path, 0.1), save(tmp_path, 0.2)
    for path in (a, b, b):
        publish(path, gate=gate(path))
    assert rollback(tmp_path).release[2:4] == (4, revision(a))


def test_a_policy_published_again_instead_of_rolled_back_to_is_not_put_back_after_it_failed(
    tmp_path: Path,
) -> None:
    a, b = save(tmp_path, 0.1), save(tmp_path, 0.2)
    for path in (a, b, a):
        publish(path, gate=gate(path))
    assert rollback(tmp_path).release.revision == revision(b)
    with pytest.raises(InputError, match=r"nothing came before release 4 .*--to: 3 "):
        rollback(tmp_path)


def test_histories_of_before_are_walked_too(tmp_path: Path) -> None:
    """Lines as earlier versions wrote them, without `replaces` and `key`."""
    a, b, c = (revision(path) for path in three(tmp_path))
    rows = [{k: v for k, v in row.items() if k not in ("replaces", "key")} for row in history(tmp_path)]
    (tmp_path / HISTORY).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert rollback(tmp_path).release.revision == b
    assert rollback(tmp_path).release.revision == a
    assert c not in {row["revision"] for row in history(tmp_path)[3:]}


def test_without_a_history_the_parent_is_gone_back_to_once(tmp_path: Path) -> None:
    _, b, c = three(tmp_path)
    (tmp_path / HISTORY).unlink()
    back = rollback(tmp_path).release
    assert back[2:5] == (4, revision(b), revision(c))
    with pytest.raises(InputError, match="nothing came before release 4"):
        rollback(tmp_path)


def test_what_is_gone_or_damaged_names_what_is_left(tmp_path: Path) -> None:
    a, b, c = three(tmp_path)
    b.rename(tmp_path / "renamed")
    said = rf"release 2 .* cannot be put back: .*no directory holds .*renamed; what else can be gone back to: 1 \({a.name}"
    with pytest.raises(InputError, match=said):
        rollback(tmp_path)
    assert current_release(tmp_path) == Release(
        "support", "champion", 3, revision(c), _of(tmp_path, 2), "pass"
    )
    assert rollback(tmp_path, to=1).release.number == 4


def _of(folder: Path, number: int) -> str:
    return str(next(row["revision"] for row in history(folder) if row["number"] == number))


# --- damaged and forged files --------------------------------------------------------------------------------------


def _torn(folder: Path) -> None:
    with (folder / HISTORY).open("ab") as file:
        file.write(b'{"action": "publish", "number": 4, "revi')


def _spoilt(folder: Path) -> None:
    lines = (folder / HISTORY).read_bytes().splitlines(keepends=True)
    foreign = b'{"number": true, "revision": "x", "name": 1, "alias": []}\n'
    kept = [b"\xff\xfe\n[]\n", lines[0], b'{"number": ' + b"9" * 5000 + b"}\n", *lines[1:], foreign]
    (folder / HISTORY).write_bytes(b"".join(kept))


@pytest.mark.parametrize(("spoil", "count", "number"), [(_torn, 1, 5), (_spoilt, 4, 5)])
def test_damaged_lines_are_passed_over_and_counted(
    tmp_path: Path, spoil: Any, count: int, number: int
) -> None:
    """The last line may be that of a release, so its number is not used for another."""
    found = three(tmp_path)
    spoil(tmp_path)
    with pytest.warns(RouterLabWarning, match=f"{count} damaged lines are passed over"):
        assert publish(found[0], gate=gate(found[0])).release.number == number
    with pytest.warns(RouterLabWarning, match="damaged lines"):
        assert rollback(tmp_path).release[2:4] == (number + 1, revision(found[2]))
    assert len([row for row in history(tmp_path) if "action" in row and row["number"] >= 1]) == 5


def _absurd(number: int) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        row = json.loads(path.read_bytes())["release"] | {"number": number}
        path.write_text(json.dumps({"release": row, "signature": None}))

    return write


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "number 2^53 - 1": _absurd(2**53 - 1),
    "number too far": _absurd(LARGEST_STEP + 10),
    "number out of range": _absurd(2**70),
    "number of 5000 digits": lambda path: path.write_text('{"release": ' + "9" * 5000 + "}"),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "not UTF-8": lambda path: path.write_bytes(b"\xff" * 100),
    "deep": lambda path: path.write_bytes(b"[" * 60_000),
    "huge": lambda path: path.write_bytes(b" " * 70_000),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_release_ends_neither_publish_nor_rollback(tmp_path: Path, damage: str) -> None:
    found = three(tmp_path)
    DAMAGE[damage](tmp_path / RELEASE)
    if (
        not damage.startswith("number 2^53") and damage != "number too far"
    ):  # which a loader without a memory believes
        with pytest.raises(PolicyError):
            load_policy(tmp_path)
    with pytest.warns(
        RouterLabWarning, match=r"RELEASE\.json: .*; going on from release 3 of RELEASES\.jsonl"
    ):
        done = publish(found[0], gate=gate(found[0]))
    assert done.release[:5] == ("support", "champion", 4, revision(found[0]), revision(found[2]))
    assert load_policy(tmp_path).revision == revision(found[0])
    DAMAGE[damage](tmp_path / RELEASE)
    with pytest.warns(RouterLabWarning, match="going on from release 4"):
        assert rollback(tmp_path).release[2:5] == (5, revision(found[2]), revision(found[0]))


def test_a_damaged_release_does_not_open_a_folder_to_another_policy_or_alias(tmp_path: Path) -> None:
    three(tmp_path)
    (tmp_path / RELEASE).write_bytes(b"")
    other = save(tmp_path, 0.1, "other")
    with pytest.warns(RouterLabWarning), pytest.raises(InputError, match="serves 'support' as 'champion'"):
        publish(other, gate=gate(other))


def test_an_older_release_put_back_by_hand_does_not_lower_the_number(tmp_path: Path) -> None:
    a, b, _ = three(tmp_path)
    (tmp_path / RELEASE).write_bytes(
        build_release(Release("support", "champion", 1, revision(a), None, "pass"))
    )
    with pytest.warns(RouterLabWarning, match="is release 1, put back by hand: the history has 3"):
        assert publish(b, gate=gate(b)).release[2:5] == (4, revision(b), revision(a))
    assert rollback(tmp_path).release.revision == revision(a)


def test_numbers_in_the_history_that_no_publisher_came_to_are_passed_over(tmp_path: Path) -> None:
    found = three(tmp_path)
    row = history(tmp_path)[-1] | {"number": 2**53 - 1, "replaces": 3}
    with (tmp_path / HISTORY).open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.warns(RouterLabWarning, match="1 releases with numbers far above 3 are passed over"):
        assert publish(found[0], gate=gate(found[0])).release.number == 4


def test_a_release_that_is_a_folder_is_one_line(tmp_path: Path) -> None:
    found = three(tmp_path)
    (tmp_path / RELEASE).unlink()
    (tmp_path / RELEASE).mkdir()
    with pytest.warns(RouterLabWarning), pytest.raises(InputError, match=r"RELEASE\.json: cannot be written"):
        publish(found[0], gate=gate(found[0]))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_history_that_is_no_file_is_one_line_and_is_not_waited_for(tmp_path: Path, make: Any) -> None:
    found = three(tmp_path)
    (tmp_path / HISTORY).unlink()
    make(tmp_path / HISTORY)
    for run in (lambda: publish(found[0], gate=gate(found[0])), lambda: rollback(tmp_path)):
        with pytest.raises(InputError, match=r"RELEASES\.jsonl: cannot be read"):
            run()


# --- what is published, and where ----------------------------------------------------------------------------------


def test_what_loaders_would_not_find_is_not_published(tmp_path: Path) -> None:
    first, second = save(tmp_path, 0.1), save(tmp_path, 0.2)
    publish(first, gate=gate(first))
    odd = second.rename(tmp_path / "mine")
    with pytest.raises(PolicyError, match=r"no directory holds the published revision .* it would be named"):
        publish(odd, gate=gate(odd))
    assert load_policy(tmp_path).revision == revision(first) and len(history(tmp_path)) == 1


def test_links_publish_where_they_stand(tmp_path: Path) -> None:
    """A linked policy folder is published in; a linked revision is published where the link is, not where it leads."""
    real = save(tmp_path / "store", 0.1)
    (tmp_path / "linked").symlink_to("store")
    publish(tmp_path / "linked" / real.name, gate=gate(real))
    assert load_policy(tmp_path / "store").revision == revision(real)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / real.name).symlink_to(real)
    publish(tmp_path / "served" / real.name, gate=gate(real))
    assert load_policy(tmp_path / "served").revision == revision(real)
    assert len(history(tmp_path / "store")) == len(history(tmp_path / "served")) == 1


@pytest.mark.parametrize("alias", ["", "a\nb", "a\x1b[2J", " champion", "x" * 101, "a\u202eb"])
def test_an_alias_that_people_could_misread_is_refused(tmp_path: Path, alias: str) -> None:
    path = save(tmp_path, 0.1)
    with pytest.raises(InputError, match=r"alias .*printable"):
        publish(path, alias=alias, force=True)
    assert not (tmp_path / HISTORY).exists()


@pytest.mark.parametrize("who", ["a\nb", "\ud800", "\u2028", '"}', None])
def test_whoever_publishes_is_one_line_of_history(tmp_path: Path, who: str | None) -> None:
    publish(save(tmp_path, 0.1), force=True, by=who)
    assert len((tmp_path / HISTORY).read_bytes().splitlines()) == 1
    assert history(tmp_path)[0]["by"] == who
    assert history(tmp_path)[0].keys() == KEYS_OF_A_LINE


@pytest.mark.parametrize("extra", [{"n": 10**5000}, {"x": {1: {2}}}, {"x": dt.date(2026, 1, 1)}])
def test_a_gate_that_is_no_json_is_one_line(tmp_path: Path, extra: dict[str, Any]) -> None:
    path = save(tmp_path, 0.1)
    with pytest.raises(InputError, match="gate: is not JSON"):
        publish(path, gate=gate(path) | extra)


# --- keys and time -------------------------------------------------------------------------------------------------

KEY = keygen()
NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def test_what_loaders_would_refuse_is_not_published(tmp_path: Path) -> None:
    path, other = save(tmp_path / "p", 0.1), keygen()
    trust = tmp_path / "trusted"
    for text in (other[1], f"{KEY[1]} name=other", f"{KEY[1]} alias=canary", "# none"):
        trust.write_text(text)
        with pytest.raises(PolicyError):
            publish(path, force=True, private_key=KEY[0], trusted=trust)
    trust.write_text(f"{KEY[1]} name=support alias=champion")
    with pytest.raises(PolicyError, match="not signed"):
        publish(path, force=True, trusted=trust)
    assert not (tmp_path / "p" / HISTORY).exists() and not (tmp_path / "p" / RELEASE).exists()
    done = publish(path, force=True, private_key=KEY[0], trusted=trust)
    assert done.entry["signed"] is True and load_policy(tmp_path / "p", public_key=trust)
    with pytest.warns(RouterLabWarning, match="is signed, and the new release is not"):
        publish(path, force=True)
    with pytest.raises(PolicyError, match="not signed"):
        load_policy(tmp_path / "p", public_key=trust)
    with pytest.raises(PolicyError, match="trusted"):
        sign(tmp_path / "p", other[0], trusted=trust)
    sign(tmp_path / "p", KEY[0], trusted=trust)
    assert load_policy(tmp_path / "p", public_key=trust)


def test_a_release_expires_and_the_next_says_so_where_it_does_not(tmp_path: Path) -> None:
    path = save(tmp_path, 0.1)
    done = publish(path, force=True, now=NOW, expires=NOW + dt.timedelta(days=30, milliseconds=1))
    assert done.release.expires == 1_797_940_801  # 2026-12-22T12:00:01Z
    assert history(tmp_path)[0]["expires"] == "2026-12-22T12:00:01Z"
    for now in (1_797_940_801.0, 1e12, float("nan")):
        with pytest.raises(
            PolicyError, match="release 1 of 'support' expired on 2026-12-22T12:00:01Z; publish it again"
        ):
            load_policy(tmp_path, clock=lambda now=now: now)
    assert load_policy(tmp_path, clock=lambda: NOW.timestamp())
    with pytest.warns(
        RouterLabWarning, match="release 1 expires on 2026-12-22T12:00:01Z; the new one never does"
    ):
        publish(path, force=True, now=NOW)
    with pytest.raises(InputError, match="is not after now"):
        publish(path, force=True, now=NOW, expires=NOW)
    early = dt.datetime(1969, 1, 1, tzinfo=dt.UTC)
    with pytest.raises(PolicyError, match="years 1970 to 9999"):
        publish(path, force=True, now=early, expires=early + dt.timedelta(days=1))
    assert publish(path, force=True, now=early).release.number == 3
