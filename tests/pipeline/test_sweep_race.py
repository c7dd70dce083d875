"""`sweep --race` through Inspect: who leaves, what is not paid for, what `collect` says of it, and death on the way."""

import gc
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.racing.elimination import eliminations_of
from router_lab.racing.race import RaceRule
from router_lab.runtime.errors import InputError
from router_lab.sweep import RaceOptions, SweepResult, run_sweep
from tests import warm
from tests.servers.loopback import Loopback
from tests.servers.race_grid import DEAR, RIGHT, decisions, race_servers

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    yield
    gc.collect()


def options(**rule: float) -> RaceOptions:
    return RaceOptions(
        RaceRule(**rule), lambda logs, prices: collect(list(logs), prices=prices, as_logged=True)[0]
    )


class Raced(NamedTuple):
    """A race of 40 samples at a margin of 5 points that nobody disturbed, and its servers, which still answer."""

    file: Path
    logs: Path
    servers: list[Loopback]
    result: SweepResult


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raced]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch, race_servers(folder, 40, race={"margin": 0.05}) as started:
        patch.setenv("LOCAL_API_KEY", "x")
        file, servers = started
        result = run_sweep(file, folder / "logs", race=options(margin=0.05), quiet=True)
        yield Raced(file, folder / "logs", servers, result)


def as_an_earlier_version(path: Path) -> None:
    """The manifest as it was written before eliminations had a look and the control share its name."""
    said = json.loads(path.read_text())
    race = said["race"]
    race["floor"], race["on_floor"] = race.pop("control_share"), race.pop("on_control")
    for one in race["left"]:
        del one["look"]
    path.write_text(json.dumps(said))


def test_losers_leave_and_go_on_with_the_control_share_alone(tmp_path: Path) -> None:
    with race_servers(tmp_path, 60) as (file, servers):
        result = run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        sent = [len(server.requests) for server in servers]
        assert sum(sent) == result.generated == 180 - result.spared and result.unrun == result.failed == 0
        left = json.loads((tmp_path / "logs/sweep.json").read_text())["race"]["left"]
        poor = next(one for one in left if one["model"] == "openai-api/local/poor")
        assert (poor["reason"], poor["effort"]) == ("worse", None) and poor["after"] < 30
        outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        assert len(outcomes) == 180
        rows = outcomes[outcomes["model"] == "openai-api/local/poor"]
        ran = rows[rows["status"] == "ok"]
        assert len(ran) == sent[2] and (ran["inclusion"] == 1.0).sum() == poor["after"]
        assert set(ran[ran["inclusion"] < 1]["weight"]) <= {10.0}
        assert set(rows[rows["status"] == "budget"]["reason"]) == {
            f"raced: worse after {poor['after']} samples"
        }
        said = next(
            one for one in eliminations_of(outcomes) if one.candidate.model == "openai-api/local/poor"
        )
        assert said.model_dump(mode="json") == {**poor, "by": ["openai-api/local/good", None]}
        as_an_earlier_version(tmp_path / "logs/sweep.json")
        old, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        pd.testing.assert_frame_equal(old, outcomes)
        assert [
            one.model_copy(update={"look": None}) for one in eliminations_of(outcomes)
        ] == eliminations_of(old)
        again = run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        assert again.generated == 0 and sum(len(server.requests) for server in servers) == sum(sent)
        with pytest.raises(
            InputError, match=r"belongs to another race: `race.margin` was 0.05, is 0.1; use a new log"
        ):
            run_sweep(file, tmp_path / "logs", race=options(margin=0.1), quiet=True)


def test_kill_9_in_the_middle_changes_no_decision(undisturbed: Raced, tmp_path: Path) -> None:
    with race_servers(tmp_path / "cut", 40, 0.05, race={"margin": 0.05}) as (file, servers):
        command = ["sweep", str(file), "--race", "--log-dir", str(tmp_path / "cut/logs")]
        environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
        process = warm.Warm(command, env=environment)
        while sum(len(server.requests) for server in servers) < 45 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with (tmp_path / "cut/logs/race.jsonl").open("a") as file_:
            file_.write('{"wave": 9, "lo')  # a line torn by a power cut
        done = warm.run(command, env=environment)
        assert done.returncode == 0, done.stderr
        assert "leaves" in done.stderr and "echo: settled on openai-api/local/good after" in done.stderr
    assert decisions(tmp_path / "cut/logs") == decisions(undisturbed.logs)


def test_a_race_over_a_sweep_that_was_killed_asks_for_nothing_again(tmp_path: Path) -> None:
    """The sweep's logs began with all samples, the race's first wave asks for fewer."""
    with race_servers(tmp_path, 40, delay=0.05) as (file, servers):
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs")]
        process = warm.Warm(command)
        while sum(len(server.requests) for server in servers) < 60 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        warm.run([*command, "--race"]).check_returncode()
        # Two connections a model: what was in flight, and what was answered but not yet written down.
        assert sum(count - 1 for server in servers for count in server.prompts().values()) <= 12


@pytest.mark.parametrize("race", [["--race"], []])
def test_an_interrupt_is_said_and_the_same_command_goes_on(tmp_path: Path, race: list[str]) -> None:
    with race_servers(tmp_path, 40, delay=0.05) as (file, servers):
        command = ["sweep", str(file), *race, "--log-dir", str(tmp_path / "logs")]
        process = warm.Warm(command)
        while sum(len(server.requests) for server in servers) < 24 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
        assert process.returncode == 130, told
        assert f"interrupted: what was finished is kept in {tmp_path / 'logs'}; the same" in told
        assert " failed" not in told
        done = warm.run(command)
        assert done.returncode == 0, done.stderr
        needed = 120 - (int(done.stderr.split("race left out ")[1].split()[0]) if race else 0)
        # Two connections a model: what was in flight is asked for again, and nothing else.
        assert sum(len(server.requests) for server in servers) - needed <= 6


def test_the_dear_wait_for_a_scout_and_catch_up_where_nothing_was_settled(tmp_path: Path) -> None:
    with race_servers(tmp_path / "whole", 40, grid=DEAR) as (file, servers):
        result = run_sweep(file, tmp_path / "whole/logs", race=options(margin=0.02), quiet=True)
        assert [len(server.requests) for server in servers] == [40, 40, 40] and result.spared == 0
        lines = decisions(tmp_path / "whole/logs")
        first, second, last = (lines[i]["looks"][0] for i in (1, 2, -1))
        # One dollar of 151 is a scout's share, and it seems able to pass after 10 samples, so the others wait for it.
        assert all(None not in row for row in first["quality"])
        assert all(row[0] is not None and row[1:] == [None, None] for row in second["quality"])
        assert (
            last["upto"] is None and all(None not in row for row in last["quality"]) and last["leaves"] == []
        )
        outcomes, _ = collect([tmp_path / "whole/logs"], prices=tmp_path / "whole/prices.yaml")
        assert set(outcomes["inclusion"]) == {1.0} and set(outcomes["status"]) == {"ok"}
    with race_servers(tmp_path / "cut", 40, 0.05, DEAR, race={"margin": 0.02}) as (file, servers):
        command = ["sweep", str(file), "--race", "--log-dir", str(tmp_path / "cut/logs"), "--quiet"]
        process = warm.Warm(command)
        while sum(len(server.requests) for server in servers) < 112 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
        warm.run(command).check_returncode()
    assert decisions(tmp_path / "cut/logs") == lines


def test_who_skipped_a_part_weighs_by_the_control_share_there_alone(tmp_path: Path) -> None:
    with race_servers(tmp_path, 60, grid=DEAR) as (file, servers):
        run_sweep(file, tmp_path / "logs", race=options(margin=0.3), quiet=True)
        race = json.loads((tmp_path / "logs/sweep.json").read_text())["race"]
        assert race["winners"] == {"echo": ["openai-api/local/cheap", None]}
        skipped = {one["model"].rsplit("/")[-1]: one["ranges"] for one in race["skipped"]}
        (wait, again), (left, end) = skipped["good"]
        assert (wait, end) == (10, 60) and wait < again < left and skipped["cheap"] == [[left, 60]]
        outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        rows = outcomes[outcomes["model"] == "openai-api/local/good"].set_index("sample_id")
        place = {name: i for i, name in enumerate(race["order"]["echo"])}
        apart = [not (wait <= place[str(name)] < again or left <= place[str(name)]) for name in rows.index]
        assert ((rows["inclusion"] == 1.0) == apart).all() and set(rows["inclusion"]) == {1.0, 0.1}
        assert (rows["status"] == "ok").sum() == len(servers[1].requests) < 60
        assert set(rows[rows["status"] == "budget"]["reason"]) == {f"raced: settled after {left} samples"}


def test_a_dry_run_says_what_the_race_would_do(tmp_path: Path) -> None:
    with race_servers(tmp_path, 60, race={"margin": 0.05}) as (file, _):
        command = ["sweep", str(file), "--log-dir", str(tmp_path / "logs"), "--race", "--dry-run"]
        said = CliRunner().invoke(cli, command)
        assert said.exit_code == 0, said.output
        assert "race: for the cheapest candidate within 5 points of the best candidate" in said.output
        assert "of the whole grid, were it not a race, there is lacking:" in said.output
        # ln(1 / .0722) / .05 = 52.6 ties after a screening of 20.
        assert (
            "60 clusters are too few for anything to be settled" in said.output and "about 73)" in said.output
        )
        assert "echo: 3 candidates, 9 waves (samples 10, 13, 17, 22, … 60)" in said.output
        history = pd.DataFrame(
            [
                {"suite": "echo", "sample_id": str(i), "model": f"openai-api/local/{name}", "effort": None,
                 "quality": 1.0, "input_tokens": 1, "output_tokens": 1}
                for i in range(9) for name in RIGHT
            ]
        )  # fmt: skip
        history.to_csv(tmp_path / "history.csv", index=False)
        told = CliRunner().invoke(cli, [*command, "--history", str(tmp_path / "history.csv"), "--json"])
        race = json.loads(told.stdout)["race"]
        # One token in and one out at 9 + 18, 3 + 6 and 1 + 2 dollars a million: 39e-6 dollars for each of 60 samples at
        # most, and for the first 10 and the control share's at least.
        assert race["most_usd"] == pytest.approx(60 * 39e-6) and race["unknown"] == 0
        assert race["least_usd"] == pytest.approx((10 + race["suites"][0]["control"]) * 39e-6)
        rule = {"margin": 0.05, "confidence": 0.9, "control_share": 0.1}
        assert race["rule"] == {**rule, "floor": 0.1}  # and by its earlier name
        assert not (tmp_path / "logs").exists()


def test_a_dry_run_of_a_race_that_is_over_has_nothing_left_to_pay(undisturbed: Raced, tmp_path: Path) -> None:
    servers = undisturbed.servers
    shutil.copytree(undisturbed.logs, tmp_path / "logs")
    sent = sum(len(server.requests) for server in servers)
    command = ["sweep", str(undisturbed.file), "--log-dir", str(tmp_path / "logs"), "--race", "--dry-run"]
    said = CliRunner().invoke(cli, command)
    assert said.exit_code == 0, said.output
    assert "nothing left to pay: the race is over" in said.output
    assert "so far echo: settled on openai-api/local/good after" in said.output
    # Half of it, as if it had been killed: what is there is not paid for, and the range is of the rest.
    race = tmp_path / "logs/race.jsonl"
    race.write_text("".join(race.read_text().splitlines(keepends=True)[:2]))
    told = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)["race"]
    assert 0 == told["least_usd"] < told["most_usd"] and told["unknown"] == 0
    assert sum(len(server.requests) for server in servers) == sent


def test_a_race_cannot_grow_but_may_be_raced_afresh_over_what_is_there(
    undisturbed: Raced, tmp_path: Path
) -> None:
    with race_servers(tmp_path, 40, race={"margin": 0.05}) as (file, servers):
        run_sweep(file, tmp_path / "logs", race=options(margin=0.05), limit=20, quiet=True)
        with pytest.raises(
            InputError, match=r"suite `echo` had 20 samples, has 40; use a new log directory, or ren"
        ):
            run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        before = sum(len(server.requests) for server in servers)
        (tmp_path / "logs/race.jsonl").rename(tmp_path / "logs/race-20.jsonl")
        again = run_sweep(file, tmp_path / "logs", race=options(margin=0.05), quiet=True)
        assert sum(len(server.requests) for server in servers) == before + again.generated
        assert all(set(server.prompts().values()) == {1} for server in servers)
        assert again.raced[0].startswith("echo: settled on openai-api/local/good after ")
        looks = [look for line in decisions(tmp_path / "logs")[1:] for look in line["looks"]]
        assert all(None not in row for row in looks[0]["quality"])
        # What the first race has run and this one was not due on is left out, and the rest is all there.
        outcomes, _ = collect([tmp_path / "logs"], prices=tmp_path / "prices.yaml")
        assert len(outcomes) == 120 and (outcomes["status"] == "budget").sum() == again.spared
    fresh = undisturbed
    assert fresh.result.raced == again.raced and decisions(fresh.logs) == decisions(tmp_path / "logs")


def test_a_race_begun_under_older_rules_is_refused_by_name(tmp_path: Path) -> None:
    with race_servers(tmp_path, 20) as (file, servers):
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/race.jsonl").write_text(
            '{"race":1,"rule":{},"reference":null,"first":10,"suites":{}}\n'
        )
        with pytest.raises(
            InputError, match=r"race.jsonl: was begun under rules 1 of racing, .* rules 4; use a new log"
        ):
            run_sweep(file, tmp_path / "logs", race=options(), quiet=True)
        assert sum(len(server.requests) for server in servers) == 0
