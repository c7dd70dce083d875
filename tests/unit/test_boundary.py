"""What holds code of models: chosen in one place, said, and without it nothing is paid for or scored."""

import asyncio
import gzip
import hashlib
import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

MODULES = ("boundary", "coding", "sandbox", "sandbox_box", "sandbox_syscalls", "shipped", "suite_lib")


@pytest.fixture(autouse=True)
def evals_importable(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root / "evals"))
    monkeypatch.delenv("ROUTER_LAB_CODE_GUARD", raising=False)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def boundary():
    return importlib.import_module("boundary")


@pytest.fixture
def unheld(boundary, monkeypatch, tmp_path):
    """A machine without bubblewrap."""
    monkeypatch.setattr(boundary.shutil, "which", lambda name: None)
    boundary.usable_box.cache_clear()
    importlib.import_module("sandbox_box").find_box.cache_clear()
    return boundary


def stand_in(monkeypatch, boundary, tmp_path, script):
    """A `bwrap` of the test's own on the path."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setattr(boundary.shutil, "which", lambda name: str(program))
    return boundary.usable_box.__wrapped__()


def test_without_anything_that_holds_it_is_refused_with_what_to_do(unheld):
    chosen = unheld.choose(None)
    assert (chosen.kind, chosen.box) == ("guard", None)
    for word in (
        "`bwrap`) is not installed",
        "apt install bubblewrap",
        "ROUTER_LAB_CODE_GUARD=yes",
        "sandbox: docker",
    ):
        assert word in chosen.refuse


def test_the_guard_is_enough_only_where_it_is_named(unheld, monkeypatch):
    assert unheld.choose(None, guard=True).refuse is None
    for value, named in (("yes", True), ("YES ", True), ("no", False), ("", False)):
        monkeypatch.setenv("ROUTER_LAB_CODE_GUARD", value)
        chosen = unheld.choose(None)
        assert (chosen.kind, chosen.refuse is None) == ("guard", named), value
    monkeypatch.setenv("ROUTER_LAB_CODE_GUARD", "1")
    with pytest.raises(unheld.PrerequisiteError) as raised:
        unheld.choose(None)
    assert "ROUTER_LAB_CODE_GUARD is '1'" in str(raised.value.message)


def test_the_order_is_inspects_sandbox_then_bubblewrap_then_the_guard(boundary, monkeypatch):
    box = importlib.import_module("sandbox_box").Box("python", (), b"")
    monkeypatch.setattr(boundary, "usable_box", lambda: box)
    assert boundary.choose("docker").kind == "inspect"
    for provider, guard in ((None, False), ("local", False), (None, True)):  # `local` runs on the host
        chosen = boundary.choose(provider, guard=guard)
        assert (chosen.kind, chosen.box, chosen.refuse) == ("bubblewrap", box, None)
    monkeypatch.setattr(boundary, "usable_box", lambda: "it is not installed")
    assert boundary.choose("local").refuse is not None


def test_bubblewrap_that_may_not_make_namespaces_is_no_boundary_and_says_why(boundary, monkeypatch, tmp_path):
    said = "bwrap: setting up uid map: Permission denied"
    why = stand_in(monkeypatch, boundary, tmp_path, f"[ $1 = --help ] || echo '{said}' >&2; exit 1\n")
    assert said in why


def test_bubblewrap_that_does_not_hold_is_found_out(boundary, monkeypatch, tmp_path):
    runs = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    assert "sees more than a Python" in stand_in(
        monkeypatch, boundary, tmp_path, "[ $1 = --help ] && exit 0\n" + runs
    )


def test_a_task_is_refused_when_it_is_made_unless_somebody_asks_about_each_candidate(unheld):
    from router_lab.providers.boundary import CODE_KEY, checking_candidates

    coding = importlib.import_module("coding")
    with pytest.raises(unheld.PrerequisiteError) as raised:
        coding.code()
    assert "apt install bubblewrap" in str(raised.value.message)
    declared = coding.code(guard=True).metadata[CODE_KEY]
    assert (declared["boundary"], declared["refuse"]) == ("guard", None)
    held = coding.code(sandbox=["docker", "compose.yaml"])
    assert held.sandbox.type == "docker" and held.metadata[CODE_KEY]["boundary"] == "inspect"
    with checking_candidates():
        assert "apt install" in coding.code().metadata[CODE_KEY]["refuse"]


def test_the_list_of_what_ships_is_the_one_that_is_pinned(root, boundary):
    shipped = importlib.import_module("shipped")
    sums = (root / "datasets/recorded/SHA256SUMS").read_bytes()
    assert hashlib.sha256(sums).hexdigest() == shipped.SUMS_SHA256
    assert len(shipped.shipped("code").files) == 8
    assert shipped.is_shipped("code", answer(root))
    assert not shipped.is_shipped("code", answer(root) + " ")


def answer(root: Path) -> str:
    path = next((root / "datasets/recorded/code").glob("smollm2-135m.low.*"))
    return json.loads(gzip.decompress(path.read_bytes()).splitlines()[1])["content"]


def tampered(root, tmp_path):
    """Recordings of which one answer of the code suite was changed, its list of hashes written anew."""
    folder = tmp_path / "recorded"
    shutil.copytree(root / "datasets/recorded", folder)
    path = next((folder / "code").glob("smollm2-135m.low.*"))
    header, first, *rest = gzip.decompress(path.read_bytes()).splitlines()
    changed = json.dumps(json.loads(first) | {"content": "import os\ndef f(x):\n    return os.environ"})
    path.write_bytes(gzip.compress(b"\n".join([header, changed.encode(), *rest]) + b"\n"))
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder)}" for p in folder.rglob("*.gz")
    ]
    (folder / "SHA256SUMS").write_text("\n".join(sorted(lines)) + "\n")
    return folder


def test_a_recording_that_was_changed_is_trusted_by_nobody(root, boundary, monkeypatch, tmp_path):
    shipped = importlib.import_module("shipped")
    folder = tampered(root, tmp_path)
    monkeypatch.setattr(shipped, "RECORDINGS", folder)
    # Its list says so, but the list is not the one that ships.
    assert shipped.shipped.__wrapped__("code").files == {}
    shutil.copy(root / "datasets/recorded/SHA256SUMS", folder)
    assert len(shipped.shipped.__wrapped__("code").files) == 7


def run_answer(boundary, text, code="def f(x):\n    return x + 1"):
    async def asked():
        return await boundary.run_answer(text, code, "f", [[1]], suite="code")

    return asyncio.run(asked())


def test_an_answer_runs_by_what_it_is_and_not_by_whose_it_is(root, unheld):
    ran, held_by = run_answer(unheld, answer(root))
    assert (ran.results, held_by) == (({"value": 2},), "guard")
    with pytest.raises(unheld.NotRunError, match="nothing here holds it"):
        run_answer(unheld, answer(root).replace("def", "def "))


@pytest.mark.sandbox
def test_what_does_not_ship_runs_in_the_box(root, boundary):
    if isinstance(boundary.usable_box(), str):
        pytest.skip(boundary.usable_box())
    assert run_answer(boundary, "anything")[1] == "bubblewrap"
    assert run_answer(boundary, answer(root))[1] == "guard"


class Container:
    """As Inspect's sandboxes: runs commands, here on the host."""

    def __init__(self, status=0, written=None):
        self.status, self.written, self.asked = status, written, []

    async def exec(self, cmd, input=None, **_):
        import subprocess
        from types import SimpleNamespace

        self.asked.append((cmd[0], json.loads(input)))
        if self.written is not None:
            return SimpleNamespace(returncode=self.status, stdout=self.written, stderr="no such program")
        done = subprocess.run([sys.executable, *cmd[1:]], input=input, capture_output=True, check=False)
        return SimpleNamespace(returncode=done.returncode, stdout=done.stdout.decode(), stderr="")


def within(environment, boundary, text="anything"):
    from inspect_ai.util._sandbox.context import sandbox_default_context_var, sandbox_environments_context_var

    async def asked():
        sandbox_environments_context_var.set({"default": environment})
        sandbox_default_context_var.set("default")
        return await boundary.run_answer(text, "def f(x):\n    return x + 1", "f", [[1], ["a"]], suite="code")

    return asyncio.run(asked())


def test_an_inspect_sandbox_runs_the_code_and_is_not_told_what_is_expected(unheld):
    container = Container()
    ran, held_by = within(container, unheld)
    assert held_by == "inspect"
    assert ran.results == ({"value": 2}, {"error": "TypeError"})
    (program, job), *_ = container.asked
    assert program == "python3"
    assert job.keys() == {"code", "name", "calls", "guard", "cpu", "memory", "filter"}
    with pytest.raises(unheld.NotRunError, match="no such program"):
        within(Container(127, ""), unheld)
    assert within(Container(137, "began\n"), unheld)[0].results == ({"error": "cpu"},) * 2


def test_inspects_local_sandbox_holds_nothing(unheld):
    from inspect_ai.util._sandbox.local import LocalSandboxEnvironment

    host = LocalSandboxEnvironment()
    try:
        with pytest.raises(unheld.NotRunError, match="nothing here holds it"):
            within(host, unheld)
    finally:
        host.directory.cleanup()


def test_agents_read_documents_of_their_sample_and_no_file(root):
    agent = importlib.import_module("agent")
    try:
        desk = agent.Desk({"note.txt": "inside"}, [], ["total"])
        for asked in (
            "/etc/hostname",
            "../datasets/agent/data.jsonl",
            "~/.ssh/id_rsa",
            "note.txt/../data.jsonl",
        ):
            for verb in ("READ", "REPAIR"):
                desk.step(f"{verb} {asked}")
        assert set(desk.seen) <= {"inside"}
    finally:
        sys.modules.pop("agent", None)
