"""What prompts share and where that ends, by hand; and `router-lab caches` on logs written here."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from router_lab.caching.prefix import Asked, Break, Part, assumed, stable
from router_lab.caching.sessions import Session, Turn
from router_lab.cli import cli
from router_lab.collect.prompts import prompts_of
from router_lab.config import Price
from router_lab.outcomes import write_calls
from router_lab.prices import PriceTable, Tokens
from router_lab.runtime.model import Candidate

WHO = Candidate("p/m", "low")
ENTRY = {"starts": dt.date(2026, 1, 1), "input": 2.0, "output": 10.0, "cache_read": 0.2, "cache_write_5m": 2.5,
         "source": "s", "checked": dt.date(2026, 1, 1)}  # fmt: skip
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def table(**changes: Any) -> PriceTable:
    return PriceTable({"p/m": [Price(**(ENTRY | changes))]}, default=False)


def asked(sample: str, *parts: tuple[str, str], tokens: int | None = None, turn: int = 0) -> Asked:
    """A prompt of a quarter of a token for each character, unless said otherwise."""
    made = tuple(Part(*part) for part in parts)
    count = sum(len(part.text) for part in made) // 4 if tokens is None else tokens
    return Asked(("s", sample, 1), WHO, "p/m", turn, made, Tokens(input=count, output=10), DAY)


def dated(day: int) -> str:
    """1,000 characters, the nineteenth of which is the day."""
    return f"Today is 2026-03-0{day}." + " Be brief." * 98


def question(letter: str) -> str:
    """24 characters."""
    return f"What is the number of {letter}?"


def test_a_date_in_the_system_prompt_breaks_the_prefix() -> None:
    """Of 1,024 characters (256 tokens) 18 are shared, and behind the date 981 that could be."""
    rows = [asked(f"{day}", ("system", dated(day)), ("user", question("abc"[day - 1]))) for day in (1, 2, 3)]
    (one,) = stable(rows, table())
    assert (one.calls, one.samples, one.tokens, one.turns_share) == (3, 3, 768, None)
    assert one.usd == pytest.approx(3 * (256 * 2 + 100) / 1e6)
    found = one.samples_share
    assert found is not None and found.at is not None
    assert (found.pairs, found.characters, found.tokens) == (2, 18.0, 4.5)
    assert found.part == pytest.approx(18 / 1024)
    assert found.at[:3] == (0, "system", 18) and found.at.lost == 981
    assert found.at.excerpts[0].startswith("Today is 2026-03-01. Be") and "-02. Be" in found.at.excerpts[1]
    assert str(found.at).startswith("part 1 (system), character 19: 'Today is 2026-03-01.")
    # Two calls read 4 of their tokens (4.5, rounded to even) instead of 250 (249.75), each at 1.8 less.
    assert found.saved_usd == pytest.approx(2 * 4 * 1.8 / 1e6)
    assert found.lost_usd == pytest.approx(2 * 246 * 1.8 / 1e6)


def test_below_the_least_that_is_cached_nothing_is_saved() -> None:
    rows = [asked(f"{day}", ("system", dated(day)), ("user", question("a"))) for day in (1, 2)]
    (one,) = stable(rows, table(cache_least_tokens=100))
    assert one.samples_share is not None
    # The same question, too: what is behind the date is worth 1,005 characters more, 251 tokens with what was shared.
    assert one.samples_share.saved_usd == 0 and one.samples_share.at is not None
    assert one.samples_share.at.lost == 981 + 24
    assert one.samples_share.lost_usd == pytest.approx(256 * 1.8 / 1e6)
    (short,) = stable(rows, table(cache_least_tokens=257))
    assert short.samples_share is not None and short.samples_share.lost_usd == 0


def test_a_question_at_the_end_is_no_loss() -> None:
    rows = [asked(letter, ("system", dated(1)), ("user", f"{letter * 8}")) for letter in "ab"]
    (one,) = stable(rows, table())
    assert one.samples_share is not None and one.samples_share.at is not None
    assert one.samples_share.at[:3] == (1, "user", 0)
    assert one.samples_share.at.excerpts == ("aaaaaaaa", "bbbbbbbb")
    assert (one.samples_share.characters, one.samples_share.at.lost) == (1000, 0)
    assert one.samples_share.lost_usd == 0


def test_without_a_cheaper_cache_there_are_no_dollars() -> None:
    rows = [asked(letter, ("user", letter)) for letter in "ab"]
    for changes in ({"cache_read": None}, {"cache_read": 2.0}):
        (one,) = stable(rows, table(**changes))
        assert one.samples_share is not None
        assert (one.samples_share.saved_usd, one.samples_share.lost_usd) == (None, None)


HEAD, FIRST, SECOND = ("system", "s" * 400), ("assistant", "a" * 80), ("user", "u" * 160)


def test_a_turn_that_goes_on_shares_all_of_the_one_before() -> None:
    rows = [asked("1", HEAD), asked("1", HEAD, FIRST, SECOND, turn=1)]
    (one,) = stable(rows, table())
    assert one.samples_share is None and one.turns_share is not None
    found = one.turns_share
    assert (found.pairs, found.characters, found.tokens, found.part, found.at) == (1, 400, 100, 1.0, None)
    assert found.saved_usd == pytest.approx(100 * 1.8 / 1e6) and found.lost_usd == 0


def test_a_result_that_is_dropped_breaks_the_prefix_before_what_stays() -> None:
    """The second turn leaves out the answer before: the 160 characters behind it are sent anew."""
    rows = [asked("1", HEAD, FIRST, SECOND), asked("1", HEAD, SECOND, ("user", "v" * 40), turn=1)]
    (one,) = stable(rows, table())
    found = one.turns_share
    assert found is not None and found.at is not None
    assert (found.part, found.at[:3], found.at.times) == (400 / 640, (1, "assistant", 0), 1)
    assert found.at.lost == 160 and found.saved_usd == pytest.approx(180e-6)
    # 40 of the second prompt's 150 tokens.
    assert found.lost_usd == pytest.approx(40 * 1.8 / 1e6)


def test_calls_without_usage_or_prompt_say_nothing() -> None:
    bare = asked("1", ("user", "x"))._replace(tokens=None)
    assert stable([bare, asked("2")], table()) == []


def test_from_calls_a_turn_is_taken_to_begin_with_the_one_before() -> None:
    turns = tuple(Turn("p/m", Tokens(input=n, output=5), DAY, None, "") for n in (100, 150, 120))
    (one,) = assumed([Session(("s", "1", 1), {WHO: turns})], table())
    found = one.turns_share
    assert found is not None and one.samples_share is None
    # 100 of 100, then 120 of 150.
    assert (found.pairs, found.tokens, found.at, found.lost_usd) == (2, 110, None, None)
    assert found.part == pytest.approx(220 / 250) and found.saved_usd == pytest.approx(220 * 1.8 / 1e6)


TEXTS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.text("ab", max_size=5)), min_size=1, max_size=4
)


@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_all_prompts_begin_with_what_they_share(prompts: list[list[tuple[str, str]]]) -> None:
    rows = [asked(str(n), ("system", "s"), *parts, tokens=50) for n, parts in enumerate(prompts)]
    (one,) = stable(rows, table())
    assert one.samples_share is not None
    whole = ["s" + "".join(text for _, text in parts) for parts in prompts]
    shared = int(one.samples_share.characters)
    assert len({text[:shared] for text in whole}) == 1
    assert 0 <= one.samples_share.part <= 1
    assert one.samples_share.saved_usd is not None and one.samples_share.saved_usd >= 0
    assert one.samples_share.lost_usd is not None and one.samples_share.lost_usd >= -1e-12
    if isinstance(one.samples_share.at, Break):
        assert shared + one.samples_share.at.lost <= min(map(len, whole))


def write_log(folder: Path) -> Path:
    """Two samples of two turns, a date in the system prompt; prompts of 256 tokens and 300."""

    def event(day: int, *more: dict[str, str], tokens: int, second: int) -> dict[str, Any]:
        sent = [{"role": "system", "content": dated(day)}, {"role": "user", "content": question("x")}, *more]
        output = {"model": "p/m", "choices": [{"message": {"role": "assistant", "content": "A"}, "stop_reason": "stop"}],
                  "usage": {"input_tokens": tokens, "output_tokens": 1}, "time": 1.0}  # fmt: skip
        return {"event": "model", "model": "p/m", "role": None, "input": sent, "output": output,
                "timestamp": f"2026-03-01T10:00:{second:02}+00:00"}  # fmt: skip

    def sample(day: int) -> dict[str, Any]:
        turn = [{"role": "assistant", "content": "A"}, {"role": "user", "content": "Go on"}]
        events = [event(day, tokens=256, second=0), event(day, *turn, tokens=300, second=5)]
        return {"id": day, "epoch": 1, "input": question("x"), "scores": {"acc": {"value": "C"}}, "events": events,
                "output": events[-1]["output"]}  # fmt: skip

    spec = {"task": "t", "task_id": "id", "eval_id": "e", "model": "p/m", "created": "2026-03-01T09:00:00+00:00",
            "model_generate_config": {}, "model_args": {}, "metadata": {}}  # fmt: skip
    folder.mkdir()
    path = folder / "2026_t_id.json"
    path.write_text(json.dumps({"status": "success", "eval": spec, "samples": [sample(1), sample(2)]}))
    return folder


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"models": {"p/m": [ENTRY]}}))
    return path


def test_prompts_are_read_from_logs_with_what_a_runtime_is_asked(tmp_path: Path) -> None:
    rows, texts = prompts_of([write_log(tmp_path / "logs")])
    assert [row.turn for row in rows] == [0, 1, 0, 1]
    assert [part.role for part in rows[1].parts] == ["system", "user", "assistant", "user"]
    key, who = ("t", "1", 1), Candidate("p/m")
    assert [texts[key, who, turn] for turn in (0, 1)] == [question("x"), "Go on"]


def test_the_command_tells_where_and_what_it_costs(tmp_path: Path, prices: Path) -> None:
    logs = write_log(tmp_path / "logs")
    ran = CliRunner().invoke(cli, ["caches", str(logs), "--prices", str(prices)])
    assert ran.exit_code == 0, ran.output
    assert (
        "t: what all samples share ends in part 1 (system), character 19: 'Today is 2026-03-01." in ran.output
    )
    assert "behind it 1,005 characters are the same" in ran.output
    told = CliRunner().invoke(cli, ["caches", str(logs), "--prices", str(prices), "--json"])
    (row,) = json.loads(told.stdout)["prompts"]
    assert row["samples_share"]["at"]["character"] == 18 and row["turns_share"]["part"] == 1.0
    assert json.loads(told.stdout)["policy"] is None


@pytest.mark.parametrize(("more", "said"), [
    (["--ttl", "soon"], "'soon' is not 5m, 1h or a number of seconds, 0 or more"),
    (["--ttl", "-1"], "is not 5m, 1h or a number of seconds"),
    (["--point", "x"], "--point needs --policy"),
])  # fmt: skip
def test_what_was_typed_wrong_is_named(tmp_path: Path, more: list[str], said: str) -> None:
    ran = CliRunner().invoke(cli, ["caches", str(write_log(tmp_path / "logs")), *more])
    assert ran.exit_code == 2 and said in ran.output


def test_calls_alone_are_read_as_a_table(tmp_path: Path, prices: Path) -> None:
    rows = {"suite": "s", "sample_id": "a", "epoch": 1, "model": "p/m", "turn": [1, 2], "input_tokens": [100, 150],
            "output_tokens": 5, "started_at": "2026-03-01T00:00:00+00:00"}  # fmt: skip
    path = write_calls(pd.DataFrame(rows), tmp_path / "calls.parquet")
    ran = CliRunner().invoke(cli, ["caches", str(path), "--prices", str(prices)])
    assert ran.exit_code == 0 and "100 %" in ran.output
    twice = CliRunner().invoke(cli, ["caches", str(path), str(path), "--prices", str(prices)])
    assert twice.exit_code == 1 and "of tables one is read at a time" in twice.output
    (tmp_path / "empty").mkdir()
    none = CliRunner().invoke(cli, ["caches", str(tmp_path / "empty"), "--prices", str(prices)])
    assert none.exit_code == 1
