"""Signed releases: whether a signature is required is the loader's setting, and nothing in a file lowers it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import (
    Release,
    build_release,
    fingerprint,
    keygen,
    load_public_key,
    parse_release,
    sign_release,
    verify_release,
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
    assert load_policy(directory, verify="signature", public_key=bytes.fromhex(keys[1])).revision == policy.revision
    assert load_policy(signed).revision == policy.revision


def test_keys_come_in_several_forms(keys: tuple[bytes, str], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = load_public_key(keys[1]).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pub").write_text(keys[1] + "\n")
    (tmp_path / "key.pem").write_bytes(keys[0])
    for form in (keys[1], bytes.fromhex(keys[1]), pem, pem.decode(), tmp_path / "key.pub", load_public_key(keys[1])):
        assert fingerprint(form) == fingerprint(keys[1])
    release = Release("p", "champion", 1, "0" * 64)
    assert build_release(release, tmp_path / "key.pem") == build_release(release, keys[0])  # Ed25519 is deterministic
    for wrong in ("zz" * 32, b"short", pem.replace(b"M", b"N"), tmp_path / "absent", 7, keys[0]):
        with pytest.raises(PolicyError, match="public key"):
            load_public_key(wrong)
    with pytest.raises(PolicyError, match="private key"):
        build_release(release, b"not a key")


@pytest.mark.parametrize("fault", ["unsigned", "other key", "edited", "swapped signature", "missing", "not base64"])
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
        value["signature"] = json.loads(build_release(Release("p", "champion", 3, "1" * 64), keys[0]))["signature"]
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
    good = {"name": "p", "alias": "champion", "number": 3, "revision": "0" * 64, "parent": None, "verdict": "pass"}
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
    stranger = PolicyStore(signed, default=Candidate("d"), state=state, verify="signature", public_key=keygen()[1])
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
        verify_release(data, keys[1])
