"""Save, load, and refuse: every fault names its file and rule."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab import load_policy
from router_lab.runtime.artifact import LARGEST, PARTS, read_files, revision_of, save_policy, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.model import Candidate, Profile
from router_lab.runtime.policy import Policy
from router_lab.runtime.release import Release, build_release
from router_lab.runtime.store import PolicyStore

TEXTS = ["", "hello", "What is 12 × 7? " * 9, "日本語 text", "a b c d e f g"]


def forge(artifact: Path, name: str, data: bytes) -> None:
    """Replace a file and make the manifest agree with it, as somebody who can write the directory would."""
    (artifact / name).write_bytes(data)
    files = {part: (artifact / part).read_bytes() for part in PARTS}
    entries = {
        part: {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)} for part, raw in files.items()
    }
    manifest = {"format": "router-lab policy", "files": entries, "revision": revision_of(files)}
    (artifact / "MANIFEST.json").write_text(json.dumps(manifest))


def edit(artifact: Path, change: Any) -> None:
    value = json.loads((artifact / "policy.json").read_text())
    change(value)
    forge(artifact, "policy.json", json.dumps(value).encode())


def test_a_loaded_policy_is_the_saved_one(make_random: Any, tmp_path: Path) -> None:
    policy = Policy(make_random())
    path = save_policy(policy, tmp_path / "new")
    loaded = load_policy(path)
    assert loaded.candidates == policy.candidates
    for suite in (None, "a", "b"):
        for text in TEXTS:
            one, two = policy.decide(text, suite=suite).to_dict(), loaded.decide(text, suite=suite).to_dict()
            assert one | {"revision": ""} == two | {"revision": ""}
            assert two["revision"] == json.loads((path / "MANIFEST.json").read_text())["revision"]


def test_everything_in_a_spec_survives(make_spec: Any, tmp_path: Path) -> None:
    spec = make_spec(
        expires="2030-01-01", escalation=(0, 1), eligible=np.array([[1, 0, 1]] * 3, bool),
        groups=np.array([3, 2**64 - 1], np.uint64), certificate={"verdict": "pass", "n": 7}, provenance={"seed": 0},
    )  # fmt: skip
    loaded = load_policy(save_policy(Policy(spec), tmp_path / "new")).spec
    for field in dataclasses.fields(spec):
        one, two = getattr(spec, field.name), getattr(loaded, field.name)
        if field.name == "linear":
            for part in dataclasses.fields(one):
                assert np.array_equal(getattr(one, part.name), getattr(two, part.name)), part.name
        elif isinstance(one, np.ndarray):
            assert np.array_equal(one, two)
        else:
            assert one == two, field.name


def test_same_policy_same_bytes_in_another_process(make_random: Any, artifact: Path, tmp_path: Path) -> None:
    again = save_policy(Policy(make_random()), tmp_path / "again")
    for name in LARGEST:
        assert (again / name).read_bytes() == (artifact / name).read_bytes(), name
    third = str(tmp_path / "third")
    code = (
        f"import router_lab.runtime.artifact as a; a.save_policy(a.load_policy({str(artifact)!r}), {third!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert (tmp_path / "third" / "MANIFEST.json").read_bytes() == (artifact / "MANIFEST.json").read_bytes()


def test_a_saved_policy_is_never_written_over(make_random: Any, artifact: Path) -> None:
    with pytest.raises(PolicyError, match="new or empty"):
        save_policy(Policy(make_random()), artifact)


def test_a_revision_gets_a_directory_of_its_own(make_random: Any, tmp_path: Path) -> None:
    first = save_revision(Policy(make_random()), tmp_path)
    assert save_revision(Policy(make_random()), tmp_path) == first
    assert load_policy(first).revision.startswith(first.name)
    assert save_revision(Policy(make_random(seed=1)), tmp_path) != first


def test_what_is_not_json_is_refused_before_anything_is_written(make_random: Any, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="not JSON"):
        save_policy(Policy(make_random(certificate={"x": object()})), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", sorted(LARGEST))
@pytest.mark.parametrize("fault", ["bit", "short", "long", "missing", "symlink", "directory", "empty"])
def test_any_tampered_byte_is_refused(artifact: Path, tmp_path: Path, name: str, fault: str) -> None:
    path = artifact / name
    data = path.read_bytes()
    if fault == "bit":
        path.write_bytes(
            data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        )
    elif fault == "short":
        path.write_bytes(data[:-2])
    elif fault == "long":
        path.write_bytes(data + b"\n" * (70_000 if name == "MANIFEST.json" else 1))
    elif fault == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    if fault == "symlink":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif fault == "directory":
        path.mkdir()
    with pytest.raises(PolicyError, match=r"\.json|\.npy"):
        load_policy(artifact)


def test_swapped_and_added_files_are_refused(artifact: Path) -> None:
    shutil.copy(artifact / "buckets.npy", artifact / "weights.npy")
    with pytest.raises(PolicyError, match=r"weights\.npy"):
        load_policy(artifact)
    with pytest.raises(PolicyError, match=r"weights\.npy: (dtype|shape)"):
        forge(artifact, "weights.npy", (artifact / "buckets.npy").read_bytes())
        load_policy(artifact)
    (artifact / "hook.py").write_text("raise SystemExit")
    with pytest.raises(PolicyError, match=r"hook\.py"):
        load_policy(artifact)


def test_a_manifest_may_not_name_other_files(artifact: Path) -> None:
    manifest = json.loads((artifact / "MANIFEST.json").read_text())
    manifest["files"]["../../etc/passwd"] = manifest["files"].pop("policy.json")
    (artifact / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(PolicyError, match=r"MANIFEST\.json"):
        load_policy(artifact)


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n"


@pytest.mark.parametrize(("name", "data"), [
    ("weights.npy", npy("{'descr': '|i1', 'fortran_order': False, 'shape': (9999999999, 10), }")),
    ("weights.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }")),
    ("weights.npy", npy("{'descr': '|i1', 'fortran_order': __import__('os'), 'shape': (1, 1), }")),
    ("weights.npy", npy("")[:8] + b"\xff\xff{'descr'"),
    ("weights.npy", b"PK\x03\x04 a zip"),
    ("groups.npy", b"\x80\x04\x95 a pickle"),
    ("policy.json", b"[" * 100_000),
    ("policy.json", b"\xff\xfe"),
    ("policy.json", b'{"schema_version": 1, "schema_version": 1}'),
    ("policy.json", b'{"schema_version": NaN}'),
    ("policy.json", b'{"schema_version": 1e999}'),
    ("policy.json", b'{"schema_version": 2}'),
    ("policy.json", b'{"schema_version": ' + b"9" * 5000 + b"}"),
    ("policy.json", b"[]"),
    ("certificate.json", b"[]"),
    ("golden.jsonl", b""),
    ("golden.jsonl", b"null\n" * 21),
])  # fmt: skip
def test_bounded_parse(artifact: Path, name: str, data: bytes) -> None:
    forge(artifact, name, data)
    with pytest.raises(PolicyError, match=name.replace(".", r"\.")):
        load_policy(artifact)


@pytest.mark.parametrize(("change", "message"), [
    (lambda v: v.update(extra=1), "extra"),
    (lambda v: v.pop("points"), "points"),
    (lambda v: v.update(reference=99), "reference"),
    (lambda v: v.update(reference=True), "reference|whole"),
    (lambda v: v.update(reference="0"), "whole"),
    (lambda v: v["candidates"][0].update(model=7), "model"),
    (lambda v: v["candidates"][0].update(prices={"input": -1, "output": 1}), "price"),
    (lambda v: v["candidates"][0].update(prices={"input": 1, "rm": 1}), "rm"),
    (lambda v: v["candidates"].append(v["candidates"][0]), "shape|sorted"),
    (lambda v: v["linear"]["bias"][0].append(0.0), "bias"),
    (lambda v: v["linear"]["bias"][0].__setitem__(0, "x"), "number"),
    (lambda v: v["linear"]["dense"][0].__setitem__(0, 0.5), "dense"),
    (lambda v: v["linear"].update(cost_link="exp"), "cost_link"),
    (lambda v: v["featuriser"].update(name="bert"), "bert"),
    (lambda v: v["featuriser"].update(buckets=2**40), "buckets"),
    (lambda v: v["featuriser"].update(cap=2**40), "cap"),
    (lambda v: v["featuriser"].update(least=[0] * 13), "unknown or missing keys: greatest"),
    (lambda v: v["featuriser"].update(least=[1] * 13, greatest=[0] * 13), "the lesser first"),
    (lambda v: v["featuriser"].update(least=[-513] * 13, greatest=[0] * 13), "within ±512"),
    (lambda v: v["featuriser"].update(least=[0] * 12, greatest=[0] * 12), "13 pairs"),
    (lambda v: v["featuriser"].update(least=[-0.5] * 13, greatest=[0] * 13), "whole"),
    (lambda v: v["points"].update(x=[1, 2]), "expected 3"),
    (lambda v: v.update(points=[]), "wrong type"),
    (lambda v: v.update(suites="ab"), "'ab' is not a list"),
    (lambda v: v.update(routes={"a": [0]}), "wrong type"),
    (lambda v: v.update(groups_digest="0" * 64), "groups_digest"),
    (lambda v: v.update(expires="tomorrow"), "expires"),
    (lambda v: v.update(format="other"), "format"),
    (lambda v: v["linear"]["scale"].__setitem__(0, v["linear"]["scale"][0] * (1 + 2**-50)), "golden"),
])  # fmt: skip
def test_semantic_faults_are_named_although_all_hashes_agree(
    artifact: Path, change: Any, message: str
) -> None:
    edit(artifact, change)
    with pytest.raises(PolicyError, match=message):
        load_policy(artifact)


def test_bounds_of_the_dense_features_are_data_and_their_absence_bounds_nothing(
    make_spec: Any, tmp_path: Path
) -> None:
    free = make_spec()
    tight = dataclasses.replace(
        free, featuriser=free.featuriser._replace(least=(-5,) * 13, greatest=(7,) * 13)
    )
    for name, spec in (("free", free), ("tight", tight)):
        path = save_policy(Policy(spec), tmp_path / name)
        assert load_policy(path).spec.featuriser == spec.featuriser
        written = json.loads((path / "policy.json").read_text())["featuriser"]
        assert ("least" in written, "greatest" in written) == (name == "tight", name == "tight")


def test_nan_weights_cannot_be_written_or_read(artifact: Path) -> None:
    text = (artifact / "policy.json").read_text()
    start = text.index('"scale":[') + len('"scale":[')
    for number in ("NaN", "Infinity", "-Infinity", "1e400"):
        forge(artifact, "policy.json", (text[:start] + number + text[text.index(",", start) :]).encode())
        with pytest.raises(PolicyError, match=r"policy\.json"):
            load_policy(artifact)


def test_hand_editing_needs_verify_off_and_still_passes_every_other_check(artifact: Path) -> None:
    (artifact / "certificate.json").write_text('{"note": "edited"}')
    with pytest.raises(PolicyError, match=r"certificate\.json"):
        load_policy(artifact)
    edited = load_policy(artifact, verify="off")
    assert edited.spec.certificate == {"note": "edited"}
    assert edited.revision == read_files(artifact, checked=False)[1]
    (artifact / "golden.jsonl").write_text("")
    with pytest.raises(PolicyError, match="golden"):
        load_policy(artifact, verify="off")


def test_loader_arguments(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="verify"):
        load_policy(artifact, verify="yes")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="absent"):
        load_policy(tmp_path / "absent")
    with pytest.raises(PolicyError, match="public_key"):
        load_policy(artifact, verify="signature")


def test_a_fifo_does_not_hang_the_loader(artifact: Path) -> None:
    (artifact / "golden.jsonl").unlink()
    os.mkfifo(artifact / "golden.jsonl")
    with pytest.raises(PolicyError, match=r"golden\.jsonl"):
        load_policy(artifact)


def test_odd_model_names_survive(make_spec: Any, tmp_path: Path) -> None:
    names = sorted([Candidate("a/b:c@d", "e@f"), Candidate("\ud800"), Candidate("Ω")])
    spec = make_spec(profiles=tuple(Profile(name) for name in names))
    assert load_policy(save_policy(Policy(spec), tmp_path / "new")).candidates == tuple(names)


def test_the_data_is_read_only(artifact: Path) -> None:
    linear = load_policy(artifact).spec.linear
    with pytest.raises(ValueError, match="read-only"):
        linear.weights[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        linear.bias[0, 0] = 1


@pytest.mark.parametrize("change", [
    lambda v: v["linear"]["dense_scale"].__setitem__(0, 1e308),
    lambda v: v["linear"]["scale"].__setitem__(0, -1e300),
    lambda v: v["linear"]["bias"][0].__setitem__(0, 1e308),
    lambda v: v["points"].update(half=[1e308, 0.0, 1.0]),
    lambda v: v["featuriser"]["centre"].__setitem__(0, 1e308),
    lambda v: v["featuriser"]["spread"].__setitem__(0, 5e-324),
])  # fmt: skip
def test_numbers_that_would_overflow_are_refused(artifact: Path, change: Any) -> None:
    """Found by tests/bench/fuzz.py: a finite but absurd scale made numpy warn in `decide`."""
    edit(artifact, change)
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(artifact)


def test_a_folder_of_revisions_is_as_good_as_the_only_one(make_random: Any, tmp_path: Path) -> None:
    """As `router-lab show` has it: the only revision, never one of several, unless one is published."""
    with pytest.raises(PolicyError, match=r"holds no policy \(no MANIFEST.json, no RELEASE.json\)"):
        load_policy(tmp_path)
    first = save_revision(Policy(make_random(certificate={"verdict": "pass"})), tmp_path)
    assert load_policy(tmp_path).revision == load_policy(first).revision
    second = save_revision(Policy(make_random(seed=1)), tmp_path)
    (second / "certificate.json").unlink()
    with pytest.raises(PolicyError, match="holds 2 revisions and none is published; name one of ") as caught:
        load_policy(tmp_path)
    assert f"{first} (pass)" in str(caught.value) and f"{second} (unreadable)" in str(caught.value)
    release = Release("random", "champion", 1, load_policy(first).revision or "")
    (tmp_path / "RELEASE.json").write_bytes(build_release(release))
    assert load_policy(tmp_path).revision == release.revision


def test_a_store_takes_nothing_for_being_the_only_one(random_policy: Policy, tmp_path: Path) -> None:
    """What serves without a person looking on is named or published."""
    saved = save_revision(random_policy, tmp_path)
    store = PolicyStore(tmp_path, default=("fallback", None))
    assert not store.check()
    assert store.status.last_refusal is not None
    assert f"holds revisions: name one, such as {saved}" in store.status.last_refusal


def test_a_file_is_not_taken_for_a_folder(random_policy: Policy, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for save, place in (
        (save_revision, taken),
        (save_policy, taken),
        (save_policy, taken / "deeper" / "still"),
    ):
        with pytest.raises(PolicyError, match=f"^{taken}: is a file; policies are written into a folder"):
            save(random_policy, place)
    assert taken.read_text() == "mine"
