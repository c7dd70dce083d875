"""From raw logs and tables to outcomes, with numbers worked out by hand. Logs are written here, as JSON."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.collect.status import sample_status
from router_lab.outcomes import read_outcomes, write_calls, write_outcomes
from router_lab.runtime.errors import InputError
from router_lab.runtime.outcomerows import prompt_digest

PRICES = {
    "p/m": [{"starts": "2026-01-01", "input": 2, "output": 10, "cache_read": 0.2, "cache_write_5m": 2.5,
             "tiers": {"batch": 0.5}, "source": "s", "checked": "2026-01-01"}],
    "p/judge": [{"starts": "2026-01-01", "input": 1, "output": 4, "source": "s", "checked": "2026-01-01"}],
}  # fmt: skip
SUITE = {"suite": "s", "dataset_sha": "d", "scorer": None, "quality": {"C": 1, "P": 0.5, "I": 0}, "value": None,
         "group": None, "check": None}  # fmt: skip


def model_event(
    usage: dict[str, int] | None, model: str = "p/m", role: str | None = None, **more: Any
) -> dict[str, Any]:
    message = {"message": {"role": "assistant", "content": "x"}, "stop_reason": "stop"}
    output = {"model": model, "choices": [message], "usage": usage, "time": 1.5}
    return {"event": "model", "model": model, "role": role, "input": [], "output": output,
            "timestamp": "2026-03-01T10:00:00+00:00", **more}  # fmt: skip


def sample(
    i: int = 1, value: Any = "C", events: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    made = events if events is not None else [model_event({"input_tokens": 100, "output_tokens": 10})]
    scores = {} if value is None else {"acc": {"value": value, "metadata": {"parsed": True}}}
    output = made[-1]["output"] if made else {}
    return {"id": i, "epoch": 1, "input": f"q{i}", "metadata": {"g": i % 2}, "scores": scores, "events": made,
            "output": output, **more}  # fmt: skip


def write_log(
    folder: Path, *samples: dict[str, Any], suite: dict[str, Any] | None = SUITE, **spec: Any
) -> Path:
    evaluation = {"task": "t", "task_id": "id", "eval_id": "e", "model": "p/m", "created": "2026-03-01T09:00:00+00:00",
                  "model_generate_config": {}, "model_args": {},
                  "metadata": {"router_lab": suite} if suite else {}, **spec}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"2026_{evaluation['task']}_{evaluation['task_id']}.json"
    path.write_text(json.dumps({"status": "success", "eval": evaluation, "samples": list(samples)}))
    return path


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"models": PRICES}))
    return path


def test_a_request_is_priced_apart_from_what_was_paid(tmp_path: Path, prices: Path) -> None:
    cached = model_event({"input_tokens": 100, "input_tokens_cache_read": 1000, "input_tokens_cache_write": 200,
                          "output_tokens": 50, "reasoning_tokens": 20})  # fmt: skip
    judge = model_event({"input_tokens": 300, "output_tokens": 5}, "p/judge", "grader")
    same = model_event({"input_tokens": 30, "output_tokens": 1}, "p/m", "grader")
    failed = {"message": "boom", "events": [model_event({"input_tokens": 500, "output_tokens": 0})]}
    write_log(tmp_path / "logs", sample(1, "P", [cached, judge, same], error_retries=[failed]))
    outcomes, calls = collect([tmp_path / "logs"], prices=prices)
    row = outcomes.iloc[0]
    assert (row.quality, row.status, row.retries, row.turns) == (0.5, "ok", 1, 1)
    assert (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens, row.output_tokens) == (
        100,
        1000,
        200,
        50,
    )
    assert row.reasoning_tokens == 20
    # As a request without caching: 1300 × 2 + 50 × 10.
    assert row.cost_usd == pytest.approx((2600 + 500) / 1e6)
    # Judges: 300 × 1 + 5 × 4, and on the candidate's own model 30 × 2 + 1 × 10.
    assert row.judge_usd == pytest.approx((320 + 70) / 1e6)
    # The candidate, cached as it was: 100 × 2 + 1000 × .2 + 200 × 2.5 + 50 × 10; the failed attempt: 500 × 2.
    assert row.paid_usd == pytest.approx((1400 + 1000 + 390) / 1e6)
    assert row.latency_s == 1.5
    assert list(calls["role"].fillna("")) == ["", "", "grader", "grader"]
    assert sorted(calls["attempt"]) == [1, 2, 2, 2]


def test_prefix_caching_reads_what_the_turn_before_held(tmp_path: Path, prices: Path) -> None:
    turns = [model_event({"input_tokens": n, "output_tokens": 10}) for n in (1000, 1500, 1800)]
    write_log(tmp_path / "logs", sample(1, "C", turns))
    plain, _ = collect([tmp_path / "logs"], prices=prices)
    assert plain.cost_usd[0] == pytest.approx((4300 * 2 + 300) / 1e6)
    cached, _ = collect([tmp_path / "logs"], prices=prices, caching="prefix")
    # Written: 1000, 500, 300 at 2.5; read: 0, 1000, 1500 at .2.
    assert cached.cost_usd[0] == pytest.approx((1800 * 2.5 + 2500 * 0.2 + 300) / 1e6)
    by_call = {
        "none": [2100e-6, 3100e-6, 3700e-6],
        "prefix": [
            (1000 * 2.5 + 100) / 1e6,
            (500 * 2.5 + 1000 * 0.2 + 100) / 1e6,
            (300 * 2.5 + 1500 * 0.2 + 100) / 1e6,
        ],
    }
    for found, caching in ((plain, "none"), (cached, "prefix")):
        assert json.loads(found.turns_usd[0]) == pytest.approx(by_call[caching], abs=1e-15)


def test_what_each_call_cost_follows_the_prices_of_its_calls_or_is_not_known(
    tmp_path: Path, prices: Path
) -> None:
    turns = [model_event({"input_tokens": n, "output_tokens": 10}) for n in (1000, 1500)]
    write_log(tmp_path / "logs", sample(1, "C", turns), sample(2, "C", turns[:1]))
    outcomes, calls = collect([tmp_path / "logs"], prices=prices)
    # Of one call, `cost_usd` says it.
    assert outcomes["turns_usd"].isna().tolist() == [False, True]
    folder = tmp_path / "again"
    folder.mkdir()
    path = write_outcomes(outcomes, folder / "outcomes.parquet")
    without, _ = collect([path], prices=prices)
    assert "turns_usd" not in without or without["turns_usd"].isna().all()
    write_calls(calls, folder / "calls.parquet")
    anew, _ = collect([path], prices=prices, caching="prefix")
    assert json.loads(anew.turns_usd[0]) == pytest.approx(
        [(2500 + 100) / 1e6, (1250 + 200 + 100) / 1e6], abs=1e-15
    )
    assert sum(json.loads(anew.turns_usd[0])) == pytest.approx(anew.cost_usd[0])


def test_batch_is_paid_at_its_factor_and_has_no_latency(tmp_path: Path, prices: Path) -> None:
    write_log(tmp_path / "logs", sample(), model_generate_config={"batch": True})
    row = collect([tmp_path / "logs"], prices=prices)[0].iloc[0]
    assert row.tier == "batch" and pd.isna(row.latency_s)
    assert (row.cost_usd, row.paid_usd) == (pytest.approx(300e-6), pytest.approx(150e-6))


def test_statuses(tmp_path: Path, prices: Path) -> None:
    refused = model_event({"input_tokens": 1, "output_tokens": 1})
    refused["output"]["choices"][0]["stop_reason"] = "content_filter"
    write_log(
        tmp_path / "logs",
        sample(1, None, error={"message": "RateLimitError('Error code: 429')"}),
        sample(2, None, error={"message": "TypeError('no attribute')"}),
        sample(3, "C", limit={"type": "token", "limit": 5}),
        sample(4, None, limit={"type": "turn", "limit": 5}),
        sample(5, "C", limit={"type": "context", "limit": 5}),
        sample(6, "C", [refused]),
        sample(7, "I"),
    )
    rows = collect([tmp_path / "logs"], prices=prices)[0].set_index("sample_id")
    assert rows["status"].to_dict() == {
        "1": "infra", "2": "error", "3": "limit", "4": "limit", "5": "error", "6": "error", "7": "ok",
    }  # fmt: skip
    assert rows["quality"].fillna(-1).to_dict() == {"1": -1, "2": 0, "3": 1, "4": 0, "5": 0, "6": 0, "7": 0}
    assert rows["reason"]["6"] == "refused"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("APIConnectionError('Connection error.')", "infra"),
        ("Error code: 503 - overloaded", "infra"),
        ("RetryError(<Future at 0x7f92899e6810 state=finished raised InternalServerError>)", "infra"),
        ("APITimeoutError('Request timed out.')", "infra"),
        ('BadRequestError("Error code: 400 - This model\'s maximum context length is 8192 tokens")', "error"),
        ("ValueError: answer 500 is not in the list", "error"),
        ("KeyError('text')", "error"),
    ],
)
def test_whose_failure_a_message_speaks_of(message: str, expected: str) -> None:
    assert sample_status({"error": {"message": message}})[0] == expected


@pytest.mark.parametrize(
    ("value", "suite", "message"),
    [
        (1.7, {}, r"sample 1: quality is 1\.7; it must lie in \[0, 1\]"),
        (-0.1, {}, r"quality is -0\.1; it must lie in \[0, 1\]"),
        ("good", {}, r"score 'good' has no quality; map it with `quality:`"),
        ({"a": 1}, {}, "score has the values a; name one with `value:`"),
        ("C", {"scorer": "other"}, "scorer `other` is not among acc"),
        ("C", {"group": "topic"}, "metadata has no `topic`, which suite `s` names as `group`; it has: g"),
        (None, {}, "has no score; only scored logs can be collected"),
    ],
)
def test_a_score_that_is_no_quality_is_one_line(
    tmp_path: Path, prices: Path, value: Any, suite: dict[str, Any], message: str
) -> None:
    write_log(tmp_path / "logs", sample(1, value), suite={**SUITE, **suite})
    with pytest.raises(InputError, match=message) as caught:
        collect([tmp_path / "logs"], prices=prices)
    assert "\n" not in str(caught.value)


def test_a_folder_of_old_logs_is_a_suite_in_three_lines(tmp_path: Path, prices: Path) -> None:
    write_log(tmp_path / "old", sample(1, {"f1": 0.25}), sample(2, {"f1": "yes"}), suite=None, model_args={})
    (tmp_path / "suites.yaml").write_text(
        "mine: {logs: old, value: f1, quality: {yes: 0.75}, group: g, check: parsed}"
    )
    (tmp_path / "suites.yaml").write_text(
        "mine:\n  logs: old\n  value: f1\n  quality: {'yes': 0.75}\n  group: g\n  check: parsed\n"
    )
    rows = collect([tmp_path / "old"], prices=prices, suites=tmp_path / "suites.yaml")[0]
    assert list(rows.suite) == ["mine", "mine"]
    assert list(rows.quality) == [0.25, 0.75]
    assert list(rows.group) == ["1", "0"]
    assert list(rows.check) == [True, True]
    assert rows.attrs["suites"] == [{"name": "mine", "check": True}]


def test_superseded_and_unfinished_logs_are_left_out(tmp_path: Path, prices: Path) -> None:
    old = write_log(tmp_path / "logs", sample(1, "I"), task="a")
    new = write_log(tmp_path / "logs", sample(1, "C"), task="b")
    write_log(tmp_path / "logs", sample(1, "I"), task="c", task_id="other")
    (tmp_path / "logs/2026_c_other.json").write_text(
        (tmp_path / "logs/2026_c_other.json").read_text().replace("success", "started")
    )
    stamp = old.stat().st_mtime
    os.utime(new, (stamp + 5, stamp + 5))
    rows = collect([tmp_path / "logs"], prices=prices)[0]
    assert list(rows.quality) == [1.0]
    assert rows.log[0] == new.name


def test_bad_places_are_one_line(tmp_path: Path, prices: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.eval").write_bytes(b"no zip")
    (tmp_path / "bad.csv").write_text("suite,sample_id\n1,2\n")
    for source, message in [
        ("empty", "empty: holds no finished Inspect log"),
        ("gone", "gone: no such file or folder"),
        ("bad.eval", "bad.eval: not an Inspect log"),
        ("bad.csv", r"bad\.csv: column model, quality is missing"),
    ]:
        with pytest.raises(InputError, match=message):
            collect([tmp_path / source], prices=prices)


def test_a_missing_price_fails_before_samples_are_read(tmp_path: Path, prices: Path) -> None:
    write_log(tmp_path / "logs", sample(1, 1.7), model="p/unknown")
    with pytest.raises(
        InputError, match="price of model 'p/unknown'; add it: router-lab prices add 'p/unknown'"
    ):
        collect([tmp_path / "logs"], prices=prices)


def test_two_settings_under_one_name_are_refused(tmp_path: Path, prices: Path) -> None:
    for i, temperature in enumerate((0.0, 1.0)):
        config = {"temperature": temperature}
        write_log(tmp_path / "logs", sample(i), model_generate_config=config, task_id=f"t{i}")
    with pytest.raises(InputError, match="candidate p/m stands for two settings"):
        collect([tmp_path / "logs"], prices=prices)


def test_tables_are_priced_only_with_prices_and_long_calls_only_by_call(tmp_path: Path, prices: Path) -> None:
    table = tmp_path / "o.csv"
    table.write_text(
        "suite,sample_id,model,quality,input_tokens,cache_read_tokens,output_tokens,turns,started_at\n"
        "s,007,p/m,1,100,50,10,2,2026-03-01T00:00:00+00:00\n"
    )
    given, _ = collect([table])
    assert "cost_usd" not in given.columns and list(given.sample_id) == ["007"]
    priced, _ = collect([table], prices=prices)
    assert priced.cost_usd[0] == pytest.approx((150 * 2 + 100) / 1e6)

    long = [{"over_input_tokens": 120, "input": 20, "output": 100}]
    PRICES_LONG = {"p/m": [{**PRICES["p/m"][0], "long_context": long}]}
    prices.write_text(yaml.safe_dump({"models": PRICES_LONG}))
    with pytest.raises(
        InputError, match=r"sample '007': 'p/m' charges long calls more .* put calls\.parquet beside"
    ):
        collect([table], prices=prices)
    calls = pd.DataFrame({"suite": "s", "sample_id": "007", "epoch": 1, "model": "p/m", "effort": None, "turn": [1, 2],
                          "attempt": 1, "input_tokens": [20, 130], "output_tokens": [5, 5],
                          "started_at": "2026-03-01T00:00:00+00:00"})  # fmt: skip
    write_calls(calls, tmp_path / "calls.parquet")
    priced, _ = collect([table], prices=prices)
    assert priced.cost_usd[0] == pytest.approx((20 * 2 + 5 * 10 + 130 * 20 + 5 * 100) / 1e6)
    write_outcomes(priced, tmp_path / "o.parquet")
    again, _ = collect([tmp_path / "o.parquet"], prices=prices)
    assert again.cost_usd[0] == priced.cost_usd[0]


def test_a_mistake_in_a_table_names_the_line_of_the_file(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('suite,sample_id,model,prompt,quality\ns,1,m,"two\nlines",1\n\ns,2,m,one,1.5\n')
    with pytest.raises(InputError, match=r"t\.csv: line 5: `quality` is 1\.5; it must lie in \[0, 1\]"):
        collect([table])
    lines = [{"suite": "s", "sample_id": str(i), "model": "m", "quality": 1} for i in range(3)]
    table = tmp_path / "t.jsonl"
    text = "\n\n".join(json.dumps(line) for line in lines)
    table.write_text(text.replace('"2", "model": "m", "quality": 1', '"2", "model": "m", "status": "lost"'))
    with pytest.raises(InputError, match=r"t\.jsonl: line 5: `status` is 'lost'; known: ok"):
        collect([table])


def test_logged_decisions_with_outcomes_become_outcomes(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    rows: list[dict[str, Any]] = [
        {"kind": "decision", "id": i, "time": 1_780_000_000.5, "suite": suite, "model": "m", "effort": "low",
         "tier": "standard", "quality": 0.75, "cost_usd": 0.002, "reason": "r", "revision": "v", "code": "predicted",
         "prompt": f"q{i}"}
        for i, suite in (("a", "maths"), ("b", None), ("c", "maths"))
    ]  # fmt: skip
    rows += [
        {
            "kind": "outcome",
            "id": "a",
            "time": 1_780_000_001.0,
            "quality": 1.0,
            "cost_usd": 0.001,
            "check": True,
        },
        {
            "kind": "outcome",
            "id": "b",
            "time": 1_780_000_002.0,
            "quality": 0.5,
            "input_tokens": 10,
            "output_tokens": 5,
        },
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcomes, calls = collect([log])
    assert outcomes[["suite", "decision", "model", "effort", "prompt", "quality"]].to_numpy().tolist() == [
        ["maths", "a", "m", "low", "qa", 1.0], ["production", "b", "m", "low", "qb", 0.5],
    ]  # fmt: skip
    assert outcomes["sample_id"].tolist() == [prompt_digest("qa"), prompt_digest("qb")]
    assert outcomes["predicted_quality"].tolist() == [0.75, 0.75] and outcomes["revision"].tolist() == [
        "v",
        "v",
    ]
    assert outcomes["started_at"].tolist()[0] == "2026-05-28T20:26:40+00:00"
    assert outcomes.attrs["suites"] == [
        {"name": "maths", "check": True},
        {"name": "production", "check": False},
    ]
    assert calls.empty
    result = CliRunner().invoke(cli, ["collect", str(log), "--out", str(tmp_path / "o.parquet")])
    assert result.exit_code == 0, result.output
    assert "2 outcomes: 2 ok" in result.stderr and len(read_outcomes(tmp_path / "o.parquet")) == 2
    for name in ("old.jsonl.1", "old.jsonl-20261128", "old.jsonl.2026-11-28.gz"):  # rotated away, and named
        lines = log.read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
        assert collect([tmp_path / name])[0]["decision"].tolist() == ["a", "b"], name
    log.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(
        InputError, match=r"no decision in it has an outcome with a quality; log them: DecisionLog"
    ):
        collect([log])


def test_the_price_file_is_remembered_by_what_is_in_it_and_not_by_where_it_is(
    tmp_path: Path, prices: Path
) -> None:
    write_log(tmp_path / "logs", sample())
    first = collect([tmp_path / "logs"], prices=prices)[0]
    (tmp_path / "elsewhere").mkdir()
    moved = prices.rename(tmp_path / "elsewhere/prices.yaml")
    second = collect([tmp_path / "logs"], prices=moved)[0]
    said = first.attrs["provenance"]["prices"]
    assert said.startswith("prices.yaml sha256:") and str(tmp_path) not in str(first.attrs)
    assert first.attrs == second.attrs
    moved.write_text(moved.read_text() + "# changed\n")
    assert collect([tmp_path / "logs"], prices=moved)[0].attrs["provenance"]["prices"] != said
