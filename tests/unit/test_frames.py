"""The frame around a suite's questions, factored out of hand-written calls; and logs of others as requests."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from router_lab.collect import collect
from router_lab.collect.frames import Frame, FrameFinder
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.runtime.errors import InputError, PolicyError
from router_lab.runtime.frame import SLOT

Texts = list[tuple[str, Any]]
SYSTEM = ("system", "Answer with 2 words, or with 12.")
PNG = "data:image/png;base64,iVBORw0KGgo"


def call(sent: Texts, model: str = "m", **more: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": "x"}, "stop_reason": "stop"}
    return {
        "event": "model", "model": model, "input": [{"role": role, "content": content} for role, content in sent],
        "tools": [], "tool_choice": "none", "config": {}, "timestamp": "2026-03-01T10:00:00+00:00",
        "output": {"model": model, "choices": [choice], "usage": {"input_tokens": 10, "output_tokens": 1}}, **more,
    }  # fmt: skip


def found(*samples: tuple[Any, Texts], calls: int = 1) -> Frame:
    finder = FrameFinder()
    for question, sent in samples:
        finder.see({"id": 1, "input": question}, [call(sent)] * calls)
    return finder.frame()


def slotted(frame: Frame) -> Texts:
    assert frame.asked is not None, frame.reason
    return [(message["role"], message["content"]) for message in frame.asked["messages"]]


def user(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_texts_around_the_question_and_messages_before_and_after() -> None:
    # The question "2" stands in the system message by chance: only the place that all samples share is the slot.
    sent = lambda q: [SYSTEM, ("user", f"Q: {q}\nA:"), ("assistant", "Sure:")]
    assert slotted(found(*[(q, sent(q)) for q in ("2", "12", "words")])) == sent(SLOT)
    twice = lambda q: [("user", f"{q}\n\nRead it again: {q}")]
    assert slotted(found(*[(q, twice(q)) for q in ("a", "bb")])) == twice(SLOT)
    inside = lambda q: [("system", f"The ticket is: {q}"), ("user", "Which label fits?")]
    assert slotted(found(*[(q, inside(q)) for q in ("login fails", "no box")])) == inside(SLOT)


def test_tools_and_settings_belong_to_the_frame() -> None:
    finder = FrameFinder()
    tool = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}}
    for q in ("a", "b"):
        event = call(
            [("user", q)], tools=[tool], tool_choice="any", config={"max_tokens": 5, "max_retries": 3}
        )
        finder.see({"id": q, "input": q}, [event])
    asked = finder.frame().asked
    assert asked is not None
    assert (asked["tools"], asked["tool_choice"], asked["config"]) == ([tool], "any", {"max_tokens": 5})


def test_conversations_and_pictures_are_the_samples_own() -> None:
    talk = lambda q: [*user(f"hi {q}"), {"role": "assistant", "content": f"yes {q}?"}, *user(q)]
    sent = lambda q: [SYSTEM, ("user", f"hi {q}"), ("assistant", f"yes {q}?"), ("user", q)]
    # Every sample has its own earlier turns: the frame is what the task put around them.
    assert slotted(found(*[(talk(q), sent(q)) for q in ("a", "bc")])) in (
        [SYSTEM, ("user", SLOT)],
        sent(SLOT),
    )
    fixed = [*user("Example"), {"role": "assistant", "content": "Answer"}]
    before: Texts = [("user", "Example"), ("assistant", "Answer")]
    frame = found(*[([*fixed, *user(q)], [SYSTEM, *before, ("user", q)]) for q in ("a", "bc")])
    assert slotted(frame) == [SYSTEM, *before, ("user", SLOT)]
    picture = lambda n: [{"type": "text", "text": "What is it?"}, {"type": "image", "image": f"{PNG}{n}"}]
    frame = found(*[(user(picture(n)), [SYSTEM, ("user", picture(n))]) for n in range(3)])
    assert slotted(frame) == [SYSTEM, ("user", SLOT)]


def test_a_question_that_holds_the_slots_own_text_is_a_question() -> None:
    odd = f"What is {SLOT} for?"
    sent = lambda q: [SYSTEM, ("user", f"Q: {q}")]
    assert slotted(found(*[(q, sent(q)) for q in (odd, "a", "bb")])) == sent(SLOT)
    assert slotted(found((SLOT, sent(SLOT)), ("bb", sent("bb")))) == sent(SLOT)
    own = lambda q: [("system", f"Never say {SLOT}."), ("user", q)]
    assert found(*[(q, own(q)) for q in ("a", "bb")]).asked is None, "its places could not be told apart"
    assert found((odd, sent(odd))).asked is None


def test_a_frame_in_which_another_model_takes_part_is_none() -> None:
    finder = FrameFinder()
    for q in ("a", "bb"):
        finder.see({"id": q, "input": q}, [call([("user", q)])], "p/helper")
    assert finder.frame() == Frame(None, "its solver asks another model, too (p/helper)")


@pytest.mark.filterwarnings("ignore")
def test_a_log_whose_solver_has_its_answer_mended_by_another_model(tmp_path: Path) -> None:
    """The answer that was scored is the helper's; a judge inside the scorer changes nothing."""
    for kind, reproducible in (("solver", False), ("scorer", None)):
        path = foreign(tmp_path / kind, "openai/gpt-4o", FRAMED)
        log = json.loads(path.read_text())
        for one in log["samples"]:
            span = {"event": "span_begin", "id": "x", "type": kind, "timestamp": "2026-03-01T10:00:00+00:00"}
            helper = call([("user", "Mend it")], "openai/gpt-4o-mini", span_id="x")
            one["events"] += [span, helper]
        path.write_text(json.dumps(log))
        foreign(tmp_path / kind, "openai/gpt-4o-mini", FRAMED).unlink()  # its price
        outcomes, _ = collect([path], prices=tmp_path / kind / "p.yaml")
        request = outcomes.attrs["candidates"][0]["request"]
        assert request.get("reproducible") is reproducible and ("content" in request) == (kind == "scorer")


def test_calls_without_their_messages_are_no_frame(tmp_path: Path) -> None:
    path = foreign(tmp_path, "openai/gpt-4o", FRAMED)
    log = json.loads(path.read_text())
    for one in log["samples"]:
        one["output"], one["events"] = one["events"][0]["output"], []
        one["messages"] = [{"role": "assistant", "content": "x"}]
    path.write_text(json.dumps(log))
    outcomes, _ = collect([path], prices=tmp_path / "p.yaml")
    request = outcomes.attrs["candidates"][0]["request"]
    assert request["reproducible"] is False and "its log does not say what was sent" in request["reason"]


@pytest.mark.parametrize(
    ("samples", "calls", "reason"),
    [
        ([("a", [("user", "a")]), ("b", [("user", "b")])], 2, "goes on after the first answer"),
        ([("a", [("user", "a 1")]), ("b", [("user", "b 2")])], 1, "differs from sample to sample"),
        ([("a", [("user", "A")]), ("b", [("user", "B")])], 1, "no part of the input"),
        ([("a", [("user", "a b a")])], 1, "only one distinct question"),
        ([("", [("user", "What is new?")])], 1, "no question of its own"),
        ([([{"role": "system", "content": "x"}], [("system", "x")])], 1, "no question of its own"),
        ([], 1, "no answered model call"),
    ],
)
def test_what_is_no_frame_says_why(samples: list[tuple[Any, Texts]], calls: int, reason: str) -> None:
    frame = found(*samples, calls=calls)
    assert frame.asked is None and frame.reason is not None and reason in frame.reason


def foreign(folder: Path, model: str, sent: Any, *, n: int = 4, args: Any = None, **config: Any) -> Path:
    """A log that no sweep of ours made; the prices that it needs beside it."""
    samples = [
        {"id": i, "epoch": 1, "input": f"Ask {i}", "scores": {"s": {"value": "CI"[i % 2]}}, "output": {},
         "events": [call(sent(f"Ask {i}"), model, config=config)]}
        for i in range(n)
    ]  # fmt: skip
    spec = {"task": "qa", "task_id": model, "eval_id": "e", "model": model, "created": "2026-03-01T09:00:00+00:00",
            "model_generate_config": config, "model_args": args or {}}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"2026_qa_{model.replace('/', '-')}.json"
    path.write_text(json.dumps({"status": "success", "eval": spec, "samples": samples}))
    rate = {"starts": "2026-01-01", "input": 1, "output": 2, "source": "s", "checked": "2026-01-01"}
    models = yaml.safe_load((folder / "p.yaml").read_text())["models"] if (folder / "p.yaml").exists() else {}
    (folder / "p.yaml").write_text(yaml.safe_dump({"models": {**models, model: [rate]}}))
    return path


FRAMED: Any = lambda q: [("system", "Be kind."), ("user", f"Q: {q}")]


@pytest.mark.filterwarnings("ignore")
def test_logs_of_others_give_the_sdks_own_arguments(tmp_path: Path) -> None:
    """Inspect's `stop_seqs`, `max_tokens` and provider prefix, by hand as each SDK names them."""
    settings: dict[str, Any] = {"max_tokens": 64, "stop_seqs": ["END"]}
    foreign(tmp_path, "openai/gpt-4o", FRAMED, **settings)
    foreign(tmp_path, "openai/gpt-5-mini", FRAMED, max_tokens=64, reasoning_effort="low")
    foreign(tmp_path, "openai/gpt-4o-mini", FRAMED, args={"responses_api": False}, **settings)
    foreign(tmp_path, "anthropic/claude-haiku-4-5", FRAMED, **settings)
    foreign(tmp_path, "openai-api/mine/small", FRAMED, **settings)
    foreign(tmp_path, "google/gemini", FRAMED, **settings)
    outcomes, _ = collect([tmp_path], prices=tmp_path / "p.yaml")
    requests = {c["model"]: c["request"] for c in outcomes.attrs["candidates"]}
    chat = {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"Q: {SLOT}"}]
    }
    chats = {"openai-api/mine/small": "small", "openai/gpt-4o-mini": "gpt-4o-mini", "openai/gpt-4o": "gpt-4o"}
    for (
        model,
        name,
    ) in chats.items():  # Inspect 0.3.285 sends older models of OpenAI's through chat completions
        assert (requests[model]["api"], requests[model]["content"]) == ("openai_chat", chat)
        assert (
            requests[model]["arguments"].items() >= {"model": name, "max_tokens": 64, "stop": ["END"]}.items()
        )
    claude = requests["anthropic/claude-haiku-4-5"]
    assert claude["api"] == "anthropic" and claude["arguments"]["model"] == "claude-haiku-4-5"
    assert claude["arguments"].items() >= {"max_tokens": 64, "stop_sequences": ["END"]}.items()
    assert claude["content"]["messages"] == [{"role": "user", "content": f"Q: {SLOT}"}]
    mini = requests["openai/gpt-5-mini"]
    assert mini["api"] == "openai_responses"
    assert mini["arguments"].items() >= {"model": "gpt-5-mini", "max_output_tokens": 64}.items()
    assert mini["arguments"]["reasoning"] == {"effort": "low"}
    assert not any(
        {"stop_seqs", "reasoning_effort"} & r["arguments"].keys() for r in requests.values() if r["api"]
    )
    assert requests["google/gemini"]["api"] is None and "google" in requests["google/gemini"]["reason"]


STOPPED: dict[str, Any] = {
    "error": {"message": "CancelledError('x')", "traceback": ""},
    "scores": {},
    "output": {},
}


@pytest.mark.parametrize("how", ["died", "cancelled", "another frame, set aside", "another frame, run again"])
def test_a_log_that_does_not_count_says_nothing_of_what_was_measured(tmp_path: Path, how: str) -> None:
    """Stopped, or tried in another frame, and then run as it should be: the request is that of the rows that count."""
    model, bare = "openai/gpt-4o", lambda question: [("user", question)]
    good = foreign(tmp_path, model, FRAMED)
    log = json.loads(good.read_text())
    log["eval"] |= {"task_id": "first", "eval_id": "first", "created": "2026-02-01T09:00:00+00:00"}
    for one in log["samples"]:
        one |= (
            {"events": [], **STOPPED} if how == "cancelled" else {"events": [call(bare(one["input"]), model)]}
        )
    log |= {"samples": [], "status": "started"} if how == "died" else {"status": "cancelled"}
    log |= {"invalidated": True, "status": "success"} if how.endswith("aside") else {}
    (tmp_path / "2025_first.json").write_text(json.dumps(log))
    outcomes, _ = collect([tmp_path], prices=tmp_path / "p.yaml")
    assert outcomes["log"].unique().tolist() == [good.name] and outcomes["quality"].count() == 4
    [candidate] = outcomes.attrs["candidates"]
    assert [m["content"] for m in candidate["request"]["content"]["messages"]] == ["Be kind.", f"Q: {SLOT}"]


@pytest.mark.filterwarnings("ignore")
def test_no_decision_makes_up_what_its_outcomes_do_not_say(tmp_path: Path) -> None:
    for model in ("google/a", "google/b"):
        foreign(tmp_path, model, FRAMED, n=40)
    outcomes, _ = collect([tmp_path], prices=tmp_path / "p.yaml")
    decision = fit_policy(Recipe(name="x", rule={"margin": 0.2}), outcomes).decide("Ask 3", suite="qa")
    asks = (decision.request, decision.anthropic, decision.openai_chat, decision.openai_responses)
    for ask in asks:
        with pytest.raises(
            PolicyError, match=r"provider 'google'.*add it to the outcomes.*a column `request`"
        ):
            ask("Ask 3")
    with pytest.raises(PolicyError, match="is not known"):
        decision.api  # noqa: B018


def table(**more: Any) -> pd.DataFrame:
    rows = [
        {"suite": "q", "sample_id": f"s{i}", "model": model, "quality": float(i % 2), "prompt": f"Ask {i}",
         "cost_usd": 0.001, **{key: value[model] for key, value in more.items()}}
        for i in range(40) for model in ("big", "small")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def asked(model: str) -> dict[str, Any]:
    return {
        "api": "openai_responses",
        "arguments": {"model": f"{model}-2026", "reasoning": {"effort": "low"}},
    }


@pytest.mark.filterwarnings("ignore:.*was written by pandas alone")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_says_by_a_column_what_was_asked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    cells = {model: asked(model) for model in ("big", "small")}
    if suffix == ".csv":
        table(request={model: json.dumps(cell) for model, cell in cells.items()}).to_csv(path, index=False)
    elif suffix == ".jsonl":
        table(request=cells).to_json(path, orient="records", lines=True)
    else:
        table(request=cells).to_parquet(path)
    outcomes, _ = collect([path])
    assert "request" not in outcomes.columns
    decision = fit_policy(Recipe(name="x", rule={"margin": 0.2}), outcomes).decide("Ask 3", suite="q")
    assert decision.request("Ask 3") == {
        "model": f"{decision.model}-2026",
        "reasoning": {"effort": "low"},
        "input": [{"role": "user", "content": "Ask 3"}],
    }


@pytest.mark.filterwarnings("ignore")
def test_what_one_source_says_of_a_suite_holds_for_no_other_suite(tmp_path: Path) -> None:
    """A log that framed suite `qa`, and tables of suite `tab`: silent, with a request of their own, of `qa` as well."""
    log = foreign(tmp_path, "openai/gpt-4o", FRAMED)
    rows = table().query("model == 'big'").assign(model="openai/gpt-4o", suite="tab")
    rows.to_csv(tmp_path / "silent.csv", index=False)
    rows.assign(request=json.dumps(asked("x"))).to_csv(tmp_path / "said.csv", index=False)
    rows.assign(suite="qa").to_csv(tmp_path / "same.csv", index=False)

    def requests(*names: str) -> dict[str, Any]:
        sources = [tmp_path / name for name in names]
        for order in (sources, sources[::-1]):
            outcomes, _ = collect([log, *order], otherwise=tmp_path / "p.yaml")
            [candidate] = outcomes.attrs["candidates"]
            assert candidate["prices"]["output"] == 2, "what only the log says stays"
        result: dict[str, Any] = candidate["request"]
        return result

    both = requests("said.csv")["suites"]
    assert both["tab"] == asked("x") and both["qa"]["content"]["messages"][1]["content"] == f"Q: {SLOT}"
    silent = requests("silent.csv")["suites"]
    assert silent["qa"] == both["qa"] and silent["tab"]["api"] is None and "content" not in silent["tab"]
    mixed = requests("same.csv")
    assert mixed["reproducible"] is False and "does not say how they were asked for" in mixed["reason"]
    # The same within one table: a request on suite q, none on suite r.
    said = table(request=dict.fromkeys(("big", "small"), json.dumps(asked("x"))))
    pd.concat([said, said.assign(suite="r", request=None)]).to_csv(tmp_path / "two.csv", index=False)
    policy = fit_policy(Recipe(name="x", rule={"margin": 0.2}), collect([tmp_path / "two.csv"])[0])
    assert policy.decide("Ask 3", suite="q").request("Ask 3")["model"] == "x-2026"
    with pytest.raises(PolicyError, match=r"its outcomes on this suite do not say.*a column `request`"):
        policy.decide("Ask 3", suite="r").request("Ask 3")


def test_a_request_that_cannot_be_is_named_with_its_row(tmp_path: Path) -> None:
    for cell, message in (
        (
            {"api": "chat", "arguments": {}},
            r"line 2: `request` needs `api`, one of openai_chat.*api is 'chat'",
        ),
        (
            {"api": "openai_chat", "model": "m"},
            r"line 2: `request` is .*it must be an object of api, arguments",
        ),
        ("not JSON", "line 2: `request` is not JSON"),
    ):
        path = tmp_path / "t.csv"
        text = cell if isinstance(cell, str) else json.dumps(cell)
        table(request={"big": text, "small": text}).to_csv(path, index=False)
        with pytest.raises(InputError, match=message):
            collect([path])
    both = table(request={"big": None, "small": None}).astype({"request": object})
    both.loc[0, "request"], both.loc[2, "request"] = json.dumps(asked("x")), json.dumps(asked("y"))
    both.to_csv(path, index=False)
    with pytest.raises(InputError, match="`request` differs from that of an earlier row of 'big'"):
        collect([path])


@pytest.mark.filterwarnings("ignore:.*was written by pandas alone")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_messages_in_a_table_are_fitted_as_decide_reads_them(tmp_path: Path, suffix: str) -> None:
    def about(i: int) -> list[dict[str, Any]]:
        content: Any = f"Ask {i}" if i < 4 else [{"type": "image_url", "image_url": {"url": f"{PNG}{i}"}}]
        if i >= 6:
            content = [{"type": "text", "text": "What is it?"}, *content]
        return [{"role": "system", "content": "Be kind."}, {"role": "user", "content": content}]

    cells = [json.dumps(about(i)) if suffix == ".csv" or i >= 4 else about(i) for i in range(8)]
    if suffix == ".parquet":
        cells = [json.dumps(about(i)) for i in range(8)]
    frame = pd.DataFrame(
        {"suite": "q", "sample_id": [f"s{i}" for i in range(8)], "model": "m", "quality": 1.0}
    )
    frame["prompt"] = cells
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    outcomes, _ = collect([path])
    read = [None if isinstance(p, float) else p for p in outcomes["prompt"]]
    assert read == ["Ask 0", "Ask 1", "Ask 2", "Ask 3", None, None, "What is it?", "What is it?"]
    assert outcomes["group"].nunique() == 8, "images tell samples apart whose text is the same or none"
    with pytest.raises(InputError, match=r"`prompt` is \{'a': 1\}: neither a text nor messages"):
        frame["prompt"] = [{"a": 1}] * 8
        frame.to_json(tmp_path / "bad.jsonl", orient="records", lines=True)
        collect([tmp_path / "bad.jsonl"])


def test_pictures_in_a_log_do_not_become_one_cluster(tmp_path: Path) -> None:
    path = foreign(tmp_path, "mockllm/model", FRAMED, n=3)
    log = json.loads(path.read_text())
    for i, sample in enumerate(log["samples"]):
        sample["input"] = user([{"type": "image", "image": f"{PNG}{i % 2}"}])
    path.write_text(json.dumps(log))
    outcomes, _ = collect([path], prices=tmp_path / "p.yaml")
    assert outcomes["prompt"].isna().all()
    assert outcomes["group"].nunique() == 2, "the first and the third are about one picture"
