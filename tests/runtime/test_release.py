"""Signed releases: whether a signature is required is the loader's setting, and nothing in a file lowers it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.runtime.artifact import open_artifact, save_policy, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.keys import fingerprint, keygen, load_public_key
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import (
    Release,
    build_release,
    parse_release,
    release_expired,
    sign_release,
    verified_release,
)
from router_lab.runtime.store import PolicyStore

pytest.importorskip("cryptography", reason="the extra `sign` is not installed")


@pytest.fixture(scope="module")
def keys() -> tuple[bytes, str]:
    return keygen()


@pytest.fixture
def signed(make_random: Any, tmp_path: Path, keys: tuple[bytes, str]) -> Path:
    """A folder of releases with one signed release in it."""
    revision = load_policy(save_revision(Policy(make_random()), tmp_path / "p")).revision
    assert revision is not None
    release = Release("random", "champion", 3, revision, None, "pass")
    (tmp_path / "p" / "RELEASE.json").write_bytes(build_release(release, keys[0]))
    return tmp_path / "p"


def test_a_signed_release_loads_by_folder_and_by_revision(signed: Path, keys: tuple[bytes, str]) -> None:
    policy = load_policy(signed, verify="signature", public_key=keys[1])
    [directory] = [entry for entry in signed.iterdir() if entry.is_dir()]
    assert (
        load_policy(directory, verify="signature", public_key=bytes.fromhex(keys[1])).revision
        == policy.revision
    )
    assert load_policy(signed).revision == policy.revision


def test_keys_come_in_several_forms(keys: tuple[bytes, str], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = load_public_key(keys[1]).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pub").write_text(keys[1] + "\n")
    (tmp_path / "key.pem").write_bytes(keys[0])
    for form in (
        keys[1],
        bytes.fromhex(keys[1]),
        pem,
        pem.decode(),
        tmp_path / "key.pub",
        load_public_key(keys[1]),
    ):
        assert fingerprint(form) == fingerprint(keys[1])
    release = Release("p", "champion", 1, "0" * 64)
    # Ed25519 is deterministic.
    assert build_release(release, tmp_path / "key.pem") == build_release(release, keys[0])
    for wrong in ("zz" * 32, b"short", pem.replace(b"M", b"N"), tmp_path / "absent", 7, keys[0]):
        with pytest.raises(PolicyError, match="public key"):
            load_public_key(wrong)
    with pytest.raises(PolicyError, match="private key"):
        build_release(release, b"not a key")


@pytest.mark.parametrize(
    "fault", ["unsigned", "other key", "edited", "swapped signature", "missing", "not base64"]
)
def test_what_is_not_signed_by_this_key_is_refused(signed: Path, keys: tuple[bytes, str], fault: str) -> None:
    path = signed / "RELEASE.json"
    value = json.loads(path.read_bytes())
    if fault == "unsigned":
        value["signature"] = None
    elif fault == "other key":
        value = json.loads(sign_release(path.read_bytes(), keygen()[0]))
    elif fault == "edited":
        value["release"]["number"] = 4
    elif fault == "swapped signature":
        value["signature"] = json.loads(build_release(Release("p", "champion", 3, "1" * 64), keys[0]))[
            "signature"
        ]
    elif fault == "not base64":
        value["signature"] = "§"
    path.write_text(json.dumps(value))
    if fault == "missing":
        path.unlink()
    with pytest.raises(PolicyError, match=r"RELEASE\.json"):
        load_policy(signed, verify="signature", public_key=keys[1])


def test_a_signature_covers_the_artifact_through_its_revision(
    signed: Path, keys: tuple[bytes, str], make_random: Any
) -> None:
    """Another whole artifact under the signed one's directory name."""
    [directory] = [entry for entry in signed.iterdir() if entry.is_dir()]
    shutil.rmtree(directory)
    other = save_revision(Policy(make_random(seed=9)), signed)
    other.rename(directory)
    with pytest.raises(PolicyError, match="not the one that RELEASE"):
        load_policy(signed, verify="signature", public_key=keys[1])


@pytest.mark.parametrize("release", [
    {"number": 0}, {"number": True}, {"number": "3"}, {"revision": "../../etc"}, {"revision": None}, {"parent": "x"},
    {"verdict": "great"}, {"alias": ""}, {"name": 7},
])  # fmt: skip
def test_a_release_has_rules(release: dict[str, Any]) -> None:
    good = {
        "name": "p",
        "alias": "champion",
        "number": 3,
        "revision": "0" * 64,
        "parent": None,
        "verdict": "pass",
    }
    assert parse_release(json.dumps({"release": good, "signature": None}).encode())[0].number == 3
    with pytest.raises(PolicyError, match=r"RELEASE\.json"):
        parse_release(json.dumps({"release": good | release, "signature": None}).encode())
    with pytest.raises(PolicyError, match=r"RELEASE\.json"):
        parse_release(json.dumps({"release": good | {"extra": 1}, "signature": None}).encode())


def test_a_store_demands_the_signature_on_every_update_and_restart(
    signed: Path, keys: tuple[bytes, str], make_random: Any, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    store = PolicyStore(signed, default=Candidate("d"), state=state, verify="signature", public_key=keys[1])
    assert store.check()
    revision = store.policy.revision
    value = json.loads((signed / "RELEASE.json").read_bytes())
    (signed / "RELEASE.json").write_text(json.dumps(value | {"signature": None}))
    assert not store.check()
    assert "not signed" in str(store.status.last_refusal)
    again = PolicyStore(signed, default=Candidate("d"), state=state, verify="signature", public_key=keys[1])
    assert again.recover()
    assert again.policy.revision == revision
    stranger = PolicyStore(
        signed, default=Candidate("d"), state=state, verify="signature", public_key=keygen()[1]
    )
    assert not stranger.recover()
    # An older release, rightly signed, is refused all the same.
    older = save_revision(Policy(make_random(seed=5)), signed)
    number = load_policy(older).revision or ""
    (signed / "RELEASE.json").write_bytes(build_release(Release("random", "champion", 2, number), keys[0]))
    assert not again.check()
    assert "release 2 is not newer than 3" in str(again.status.last_refusal)


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, keys: tuple[bytes, str]
) -> None:
    data = build_release(Release("p", "champion", 1, "0" * 64), keys[0])
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(PolicyError, match=r"router-lab\[sign\]"):
        verified_release(data, keys[1])


# --- the two forms -------------------------------------------------------------------------------------------------

FIRST = (
    b'{"release":{"alias":"champion","name":"p","number":3,"parent":"' + b"0" * 64 + b'","revision":"' + b"1" * 64
    + b'","verdict":"pass"},"signature":'
    b'"X+98zrwhff6M+j/oG+k/OP2zcskVpcVk5rFnK3SXkSMCeZ4DZqze8DVUu+cYbTIgDARxcUQh0Zmakfcbb7C0CQ=="}\n'
)  # fmt: skip
"""As versions before November 2026 wrote it, with the key 00 01 … 1f."""
SECOND = (
    b'{"key":"56475aa75463474c","release":{"alias":"champion","expires":"2026-12-22T12:00:01Z","name":"p","number":3,'
    b'"parent":"' + b"0" * 64 + b'","revision":"' + b"1" * 64 + b'","verdict":"pass"},"signature":'
    b'"RdQEeXfEhstuHR4D4N3DOgBLvKkpP0EvJHArzFjCw9mTW0Gdr0os/oe4mVNxqq3vecnfuFp2isx5Oyac/7X9AQ=="}\n'
)  # fmt: skip
RELEASE_3 = Release("p", "champion", 3, "1" * 64, "0" * 64, "pass")
LATER = 1_797_940_801.0  # 2026-12-22T12:00:01Z


def counted_key() -> tuple[bytes, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, key.public_key().public_bytes_raw().hex()


@pytest.mark.parametrize(
    ("data", "release"), [(FIRST, RELEASE_3), (SECOND, RELEASE_3._replace(expires=LATER))]
)
def test_both_forms_are_written_and_read_to_the_byte(data: bytes, release: Release) -> None:
    private, public = counted_key()
    assert build_release(release, private) == data
    assert verified_release(data, public) == (release, "56475aa75463474c")
    unsigned = build_release(release)
    assert parse_release(unsigned) == (release, None)
    assert sign_release(unsigned, private) == data


@pytest.mark.parametrize("edit", [
    lambda v: v["release"].pop("expires") and v.pop("key"),  # the first form of the second: other bytes are signed
    lambda v: v["release"].update(expires="2027-12-22T12:00:01Z"),
    lambda v: v["release"].update(expires=None), lambda v: v["release"].update(expires=LATER),
    lambda v: v["release"].update(expires="2026-12-22T12:00:01"), lambda v: v["release"].update(expires="9" * 5000),
    lambda v: v["release"].update(expires="2026-12-22T12:00:61Z"), lambda v: v["release"].update(expires=" "),
    lambda v: v["release"].update(expires="1969-12-22T12:00:01Z"), lambda v: v.pop("key"), lambda v: v.update(key="x"),
    lambda v: v.update(key=7), lambda v: v.update(key=None, signature=None), lambda v: v.update(more=1),
])  # fmt: skip
def test_an_expiry_cannot_be_changed_or_taken_off(edit: Any) -> None:
    value = json.loads(SECOND)
    edit(value)
    with pytest.raises(PolicyError, match=r"RELEASE\.json: "):
        verified_release(json.dumps(value).encode(), counted_key()[1])


@pytest.mark.parametrize(("expires", "now", "over"), [
    (None, 1e15, False), (100.0, 99.9, False), (100.0, 100.0, True), (100.0, -1e9, False), (100.0, float("nan"), True),
])  # fmt: skip
def test_when_a_release_is_over(expires: float | None, now: float, over: bool) -> None:
    assert release_expired(RELEASE_3._replace(expires=expires), now) is over


@pytest.mark.parametrize("expires", [-1.0, 0.5, 1e12, float("nan"), float("inf")])
def test_a_release_expires_on_a_whole_second_or_is_not_written(expires: float) -> None:
    with pytest.raises(PolicyError, match="whole second"):
        build_release(RELEASE_3._replace(expires=expires))


def test_an_expired_release_is_refused_unless_it_served_before(make_random: Any, tmp_path: Path) -> None:
    path = save_revision(Policy(make_random()), tmp_path)
    release = Release("random", "champion", 3, load_policy(path).revision or "", None, "pass", LATER)
    (tmp_path / "RELEASE.json").write_bytes(build_release(release))
    assert load_policy(tmp_path, clock=lambda: LATER - 1).revision == release.revision
    with pytest.raises(
        PolicyError, match="release 3 of 'random' expired on 2026-12-22T12:00:01Z; publish it again"
    ):
        load_policy(tmp_path, clock=lambda: LATER)
    opened = open_artifact(tmp_path, accept_expired=True, clock=lambda: LATER)
    assert (opened.release, opened.signer) == (release, None)


# --- what a loader expects -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["folder", "revision"])
def test_name_and_alias_are_bound(signed: Path, keys: tuple[bytes, str], by: str) -> None:
    [directory] = [entry for entry in signed.iterdir() if entry.is_dir()]
    path = signed if by == "folder" else directory
    opened = open_artifact(path, public_key=keys[1], name="random", alias="champion")
    assert opened.signer == fingerprint(keys[1])
    for expected in ({"name": "support"}, {"alias": "scratch"}, {"name": "support", "alias": "champion"}):
        for how in ({}, {"public_key": keys[1]}, {"verify": "off"}):
            with pytest.raises(PolicyError) as caught:
                load_policy(path, **expected, **how)  # type: ignore[arg-type]
            assert "random" in str(caught.value) and all(
                repr(word) in str(caught.value) for word in expected.values()
            )


def test_a_release_signed_for_another_policy_is_refused_though_nothing_is_expected(
    make_random: Any, tmp_path: Path, keys: tuple[bytes, str]
) -> None:
    """A key that signs toys signed one for this very revision; the revision knows its own name."""
    path = save_revision(Policy(make_random()), tmp_path)
    release = Release("toy-experiment", "scratch", 9, load_policy(path).revision or "", None, "fail")
    (tmp_path / "RELEASE.json").write_bytes(build_release(release, keys[0]))
    for how in ({}, {"public_key": keys[1]}, {"name": "toy-experiment", "alias": "scratch"}):
        with pytest.raises(
            PolicyError, match=r"named 'random', and RELEASE\.json publishes 'toy-experiment'"
        ):
            load_policy(tmp_path, **how)  # type: ignore[arg-type]
    with pytest.raises(
        PolicyError, match="publishes 'toy-experiment' as 'scratch', and this loader expects 'random'"
    ):
        load_policy(tmp_path, public_key=keys[1], name="random")


def test_what_is_not_published_has_a_name_and_no_alias(artifact: Path) -> None:
    assert load_policy(artifact, name="random").spec.name == "random"
    with pytest.raises(PolicyError, match="named 'random', and this loader expects 'support'"):
        load_policy(artifact, name="support")
    with pytest.raises(PolicyError, match=r"RELEASE\.json: cannot be read"):
        load_policy(artifact, alias="champion")


# --- keys that are not silently unused -----------------------------------------------------------------------------


def test_a_key_is_used_or_refused(signed: Path, keys: tuple[bytes, str]) -> None:
    path = signed / "RELEASE.json"
    path.write_bytes(build_release(parse_release(path.read_bytes())[0]))  # not signed any more
    with pytest.raises(PolicyError, match=f"not signed, and this loader requires.*{fingerprint(keys[1])}"):
        load_policy(signed, public_key=keys[1])
    for word in ("hash", "off"):
        with pytest.raises(PolicyError, match=f'verify="{word}" never looks at public_key'):
            load_policy(signed, verify=word, public_key=keys[1])  # type: ignore[arg-type]
    for nobody in ((), "", b"", "#\n"):
        with pytest.raises(PolicyError, match="public key"):
            load_policy(signed, public_key=nobody)
    assert load_policy(signed, verify="hash").revision == load_policy(signed).revision


# --- RELEASE.json as a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    os.mkfifo, Path.mkdir, lambda p: p.write_bytes(b" " * 70_000), lambda p: p.symlink_to("/dev/zero"),
    lambda p: p.symlink_to("RELEASE.json"), lambda p: p.symlink_to("absent"), lambda p: p.write_bytes(b""),
    lambda p: p.write_text("[" * 60_000), lambda p: p.write_text('{"release": {"number": ' + "9" * 5000 + "}}"),
])  # fmt: skip
@pytest.mark.parametrize("inside", [True, False])
def test_no_release_file_hangs_a_loader_or_is_passed_over(signed: Path, make: Any, inside: bool) -> None:
    """Also where the folder above, or beside, would have one that is fine."""
    [directory] = [entry for entry in signed.iterdir() if entry.is_dir()]
    if inside:
        shutil.copy(signed / "RELEASE.json", signed.parent / "RELEASE.json")
    (signed / "RELEASE.json").unlink()
    make(signed / "RELEASE.json")
    with pytest.raises(PolicyError, match=r"RELEASE\.json"):
        load_policy(signed) if inside else load_policy(directory, alias="champion")


def test_a_link_to_a_release_is_followed_as_in_mounted_volumes(signed: Path) -> None:
    (signed / "..data").mkdir()
    (signed / "RELEASE.json").rename(signed / "..data" / "RELEASE.json")
    (signed / "RELEASE.json").symlink_to("..data/RELEASE.json")
    assert load_policy(signed, name="random").revision


def test_a_renamed_revision_is_missed_by_name(signed: Path) -> None:
    [directory] = [entry for entry in signed.iterdir() if entry.is_dir()]
    directory.rename(signed / "mine")
    with pytest.raises(PolicyError, match=f"it would be named {directory.name}, and there is mine"):
        load_policy(signed)


def test_the_policy_a_test_saves_elsewhere_is_not_taken_for_the_published_one(
    signed: Path, make_random: Any
) -> None:
    save_policy(Policy(make_random(seed=3)), signed / ("f" * 16))
    assert load_policy(signed).revision != load_policy(signed / ("f" * 16)).revision
