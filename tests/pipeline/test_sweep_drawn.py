"""`reference_share`: the reference runs on whole groups drawn by a hash, resumed and grown sweeps draw the same, and
`collect` records the probability."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.racing.order import in_share
from router_lab.runtime.errors import InputError
from router_lab.sweep import prepare, run_sweep
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]
TOPICS = [topic for topic in range(5) if in_share(0, "echo", str(topic), 0.4, part="reference")]
"""Which of the five groups a share of .4 draws."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as running:
        monkeypatch.setenv("LOCAL_BASE_URL", running.url)
        yield running
    gc.collect()


def project(folder: Path, share: float, n: int = 12, **sweep: Any) -> Path:
    models = ["openai-api/local/a", {"model": "openai-api/local/b", "name": "bee"}]
    return write_project(
        folder,
        {"models": models, "reference": {"model": "bee"}, "reference_share": share, **sweep},
        suites={"echo": {"task": "tasks.py@echo", "group": "topic", "args": {"n": n}}},
        prices={"openai-api/local/a": price(1, 2), "bee": price(10, 20)},
    )


def topics(folder: Path, model: str) -> list[tuple[str, float]]:
    """(group, inclusion) of the samples with an outcome of a candidate."""
    outcomes, _ = collect([folder / "logs"], prices=folder / "prices.yaml")
    mine = outcomes[(outcomes["model"] == model) & (outcomes["status"] == "ok")]
    return sorted(zip(mine["group"], mine["inclusion"], strict=True))


def test_whole_groups_are_drawn_the_same_whenever_it_runs(server: Loopback, tmp_path: Path) -> None:
    assert 0 < len(TOPICS) < 5
    file = project(tmp_path, 0.4)
    few = run_sweep(file, tmp_path / "logs", limit=6, quiet=True)
    whole = run_sweep(file, tmp_path / "logs", quiet=True)
    due = sum(i % 5 in TOPICS for i in range(12))
    assert (
        whole.needed == 12 + due and whole.reused == few.needed and whole.generated == 12 + due - few.needed
    )
    assert topics(tmp_path, "bee") == sorted((str(i % 5), 0.4) for i in range(12) if i % 5 in TOPICS)
    assert topics(tmp_path, "openai-api/local/a") == sorted((str(i % 5), 1.0) for i in range(12))
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    spared = outcomes[outcomes["status"] == "budget"]
    assert len(spared) == 12 - due and set(spared["reason"]) == {"not drawn: share 0.4"}
    assert "left_out" not in outcomes.attrs["provenance"]  # on purpose: nothing was lost

    more = run_sweep(project(tmp_path, 0.9), tmp_path / "logs", quiet=True)  # a larger share only adds
    nine = [i for i in range(12) if in_share(0, "echo", str(i % 5), 0.9, part="reference")]
    assert (more.reused, more.generated) == (12 + due, len(nine) - due)
    assert topics(tmp_path, "bee") == sorted((str(i % 5), 0.9) for i in nine)
    assert set(server.prompts().values()) == {1}

    # What a larger one ran is not due.
    back = run_sweep(project(tmp_path, 0.4), tmp_path / "logs", quiet=True)
    assert back.generated == 0
    assert topics(tmp_path, "bee") == sorted((str(i % 5), 0.4) for i in range(12) if i % 5 in TOPICS)


def test_waves_follow_the_order_of_the_suite(server: Loopback, tmp_path: Path) -> None:
    file = project(tmp_path, 0.4, wave=3, max_connections=1)
    done = run_sweep(file, tmp_path / "logs", quiet=True)
    due = sum(i % 5 in TOPICS for i in range(12))
    assert (done.generated, done.unrun) == (12 + due, 0) and set(server.prompts().values()) == {1}
    plan = prepare(file)
    places = {cell.model: list(plan.places(cell, task)) for cell, task in plan.tasks}
    order = [int(s.id[1:]) for s in next(task for cell, task in plan.tasks if cell.model != "bee").dataset]
    assert places["bee"] == [k for k, i in enumerate(order) if i % 5 in TOPICS]
    # In a first wave of three, the reference asks what is drawn of the first three alone.
    asked = [r["body"] for r in server.requests][: 3 + sum(k < 3 for k in places["bee"])]
    assert {m["messages"][-1]["content"] for m in asked} == {f"say {i}" for i in order[:3]}


def test_too_little_money_ends_both_at_one_place(server: Loopback, tmp_path: Path) -> None:
    file = project(
        tmp_path, 0.4, 7, wave=3, limits={"usd": 0.0011}, config={"max_tokens": 1}, budget_usd=0.0023
    )
    done = run_sweep(file, tmp_path / "logs", quiet=True)
    due = sum(i % 5 in TOPICS for i in range(7))
    assert done.unrun > 0 and done.generated + done.unrun == 7 + due
    outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
    ran = outcomes[outcomes["status"] == "ok"]
    cheap = set(ran[ran["model"] != "bee"]["sample_id"])
    assert set(ran[ran["model"] == "bee"]["sample_id"]) <= cheap and len(cheap) < 7


def test_a_dry_run_says_what_it_spares(server: Loopback, tmp_path: Path) -> None:
    file, logs = project(tmp_path, 0.4), tmp_path / "logs"
    told = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(logs), "--dry-run"])
    due = sum(i % 5 in TOPICS for i in range(12))
    assert f"reference_share 0.4: bee runs {due} of 12 samples, drawn by group\n" in told.stdout
    run_sweep(file, logs, quiet=True)
    told = CliRunner().invoke(cli, ["sweep", str(file), "--log-dir", str(logs), "--dry-run", "--json"])
    outcomes, _ = collect([logs], prices=tmp_path / "prices.yaml")
    mean = outcomes[(outcomes["model"] == "bee") & (outcomes["status"] == "ok")]["cost_usd"].mean()
    assert json.loads(told.stdout)["reference_share"] == {
        "share": 0.4,
        "spared_usd": pytest.approx(mean * (12 - due)),
    }


def test_what_cannot_be_drawn_is_refused(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reference_share 0.4 is of the reference: name it"):
        prepare(project(tmp_path, 0.4, reference=None))
    with pytest.raises(
        InputError, match=r"`reference` is nobody, which is none of its .*: openai-api/local/a"
    ):
        prepare(project(tmp_path, 0.4, reference={"model": "nobody"}))
    with pytest.raises(InputError, match=r"reference_share 0.0001 of 12 samples draws none for bee"):
        prepare(project(tmp_path, 0.0001))
    told = CliRunner().invoke(cli, ["sweep", str(project(tmp_path, 0.4)), "--race", "--dry-run"])
    assert told.exit_code == 1 and "run the sweep without --race" in told.output
    assert prepare(project(tmp_path, 1.0)).drawn is None
