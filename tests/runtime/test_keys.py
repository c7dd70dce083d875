"""The keys that a loader trusts: several, changed while it runs, each for what it may sign, and taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.runtime.artifact import open_artifact, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.keys import TrustedKey, fingerprint, keygen, load_public_key, trusted_keys
from router_lab.runtime.model import Candidate
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import Release, build_release
from router_lab.runtime.store import PolicyStore

pytest.importorskip("cryptography", reason="the extra `sign` is not installed")


@pytest.fixture(scope="module")
def old() -> tuple[bytes, str]:
    return keygen()


@pytest.fixture(scope="module")
def new() -> tuple[bytes, str]:
    return keygen()


@pytest.fixture
def folder(make_random: Any, tmp_path: Path) -> Path:
    save_revision(Policy(make_random()), tmp_path / "random")
    return tmp_path / "random"


def sign(folder: Path, key: tuple[bytes, str], number: int = 1, alias: str = "champion") -> None:
    [directory] = [entry for entry in folder.iterdir() if entry.is_dir()]
    release = Release("random", alias, number, load_policy(directory).revision or "", None, "pass")
    (folder / "RELEASE.json").write_bytes(build_release(release, key[0]))


def pem(public: str) -> str:
    from cryptography.hazmat.primitives import serialization

    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return load_public_key(public).public_bytes(*form).decode()


def test_a_key_is_rotated_while_a_service_runs(
    folder: Path, tmp_path: Path, old: tuple[bytes, str], new: tuple[bytes, str]
) -> None:
    """Trust both, sign with the new one, trust it alone: the file is read anew at each load."""
    trust = tmp_path / "trusted.keys"
    trust.write_text(f"{old[1]}  # laptop\n")
    store = PolicyStore(folder, default=Candidate("d"), verify="signature", public_key=trust)
    sign(folder, old, 1)
    assert store.check()
    sign(folder, new, 2)
    assert not store.check()
    assert f"trusted: {fingerprint(old[1])}" in str(store.status.last_refusal)
    trust.write_text(f"{old[1]}\n{new[1]}\n")
    store.check()
    assert store.status.release == 2
    trust.write_text(f"{new[1]}\n")
    sign(folder, old, 3)
    store.check()
    assert store.status.release == 2 and f"trusted: {fingerprint(new[1])}" in str(store.status.last_refusal)
    assert open_artifact(folder, public_key=[old[1], new[1]]).signer == fingerprint(old[1])


def test_keys_come_one_a_line_as_pem_blocks_and_in_sequences(
    tmp_path: Path, old: tuple[bytes, str], new: tuple[bytes, str]
) -> None:
    both = [fingerprint(old[1]), fingerprint(new[1])]
    text = f"\ufeff# who signs\r\n\r\n{pem(old[1])}\r\n  {new[1].upper()}  # ci\r\n"
    (tmp_path / "keys").write_text(text)
    (tmp_path / "one").write_text(pem(new[1]) + pem(old[1]))
    for given in (
        tmp_path / "keys", str(tmp_path / "keys"), text, text.encode(), [old[1], pem(new[1])], tmp_path / "one",
        (bytes.fromhex(old[1]), tmp_path / "keys"), [[old[1]], [TrustedKey(new[1], "p")]],
        [load_public_key(old[1]), new[1].encode()],
    ):  # fmt: skip
        assert {fingerprint(key.key) for key in trusted_keys(given)} == set(both)
    with pytest.raises(PolicyError, match="2 keys, where one is needed"):
        load_public_key(tmp_path / "keys")


def test_a_revoked_key_is_out_wherever_it_stands(
    folder: Path, tmp_path: Path, old: tuple[bytes, str], new: tuple[bytes, str]
) -> None:
    sign(folder, old)
    (tmp_path / "revoked").write_text(f"revoked {fingerprint(old[1])}  # stolen in November\n")
    assert load_policy(folder, public_key=[old[1], new[1]])
    with pytest.raises(PolicyError, match=f"trusted: {fingerprint(new[1])}$"):
        load_policy(folder, public_key=[old[1], new[1], tmp_path / "revoked"])
    with pytest.raises(PolicyError, match="no key is trusted: all 1 of them are revoked"):
        load_policy(folder, public_key=[tmp_path / "revoked", old[1]])


def test_a_key_signs_only_what_it_is_for(
    folder: Path, tmp_path: Path, old: tuple[bytes, str], new: tuple[bytes, str]
) -> None:
    sign(folder, old, alias="canary")
    for scope in ("", "name=random", "alias=canary", "alias=canary name='random'"):
        (tmp_path / "keys").write_text(f"{old[1]} {scope}\n{new[1]}\n")
        assert open_artifact(folder, public_key=tmp_path / "keys").signer == fingerprint(old[1])
    for scope in ("name=other", "alias=champion", "name=random alias=champion"):
        (tmp_path / "keys").write_text(f"{old[1]} {scope}\n{new[1]}\n")
        said = f"signed by {fingerprint(old[1])} for {scope}, which does not cover 'random' as 'canary'"
        with pytest.raises(PolicyError, match=said):
            load_policy(folder, public_key=tmp_path / "keys")
    assert load_policy(folder, public_key=[TrustedKey(old[1], "other"), TrustedKey(old[1], "random")])


@pytest.mark.parametrize("line", [
    "{key} {key}", "{key} name", "{key} name=", "{key} role=root", "{key} name=a name=b", "{key}00", "{short}",
    "revoked", "revoked {key}", "revoked 0123", "{key} 'name=a",
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----", "\x00", "[" * 60_000,
])  # fmt: skip
def test_a_line_that_is_no_key_refuses_the_file(
    folder: Path, tmp_path: Path, old: tuple[bytes, str], line: str
) -> None:
    """None of it is believed: half a list could be the half that trusts too much."""
    sign(folder, old)
    text = f"{old[1]}\n" + line.replace("{key}", old[1]).replace("{short}", old[1][:62]) + "\n"
    (tmp_path / "keys").write_text(text)
    with pytest.raises(PolicyError, match=r"public key .*keys"):
        load_policy(folder, public_key=tmp_path / "keys")


def test_a_file_of_keys_is_a_small_regular_file_without_private_keys(
    folder: Path, tmp_path: Path, old: tuple[bytes, str]
) -> None:
    sign(folder, old)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").write_bytes(b"#" * 70_000)
    (tmp_path / "private").write_bytes(old[0])
    said = {"fifo": "not a regular file", "huge": "not a regular file of up to 65536", "private": "holds a private key",
            "absent": "No such file", ".": "cannot be read", "a\x00b": "cannot be read"}  # fmt: skip
    for name, why in said.items():
        with pytest.raises(PolicyError, match=f"public key .*{why}"):
            load_policy(folder, public_key=tmp_path / name)


def test_who_signed_is_said_where_the_release_says_it(
    folder: Path, old: tuple[bytes, str], new: tuple[bytes, str]
) -> None:
    [directory] = [entry for entry in folder.iterdir() if entry.is_dir()]
    release = Release("random", "champion", 1, load_policy(directory).revision or "", None, "pass", 4e9)
    (folder / "RELEASE.json").write_bytes(build_release(release, old[0]))
    said = f"it says that {fingerprint(old[1])} signed it; trusted: {fingerprint(new[1])}"
    with pytest.raises(PolicyError, match=said):
        load_policy(folder, public_key=new[1])
