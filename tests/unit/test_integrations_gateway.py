"""A gateway's requests in several hooks, and its configuration; LiteLLM itself is not needed."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from router_lab.integrations import gateway as gateways
from router_lab.integrations.answers import read
from router_lab.integrations.fallbacks import fell_back, logged_fallback
from router_lab.integrations.gateway import Gateway, Settings, settings_of
from router_lab.integrations.hosts import Host
from router_lab.integrations.outsiders import without_replacing
from router_lab.integrations.routing import Routing
from router_lab.publish import publish
from router_lab.runtime.artifact import save_policy, save_revision
from router_lab.runtime.budget import BudgetExceeded
from router_lab.runtime.decisions import DecisionLog, outcome_rows, read_decisions
from router_lab.runtime.errors import PolicyError, RouterLabWarning
from router_lab.runtime.model import Candidate
from router_lab.runtime.store import PolicyStore
from tests.conftest import ROOT
from tests.integrations.worlds import EASY, choosing

MODELS = {profile.candidate.model for profile in choosing().spec.profiles}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "router_lab/triage", "messages": [{"role": "user", "content": EASY}], **more}


def gateway(**settings: Any) -> Gateway:
    return Gateway(Settings(Routing(choosing(), **settings), "caller"))


def test_a_request_from_hook_to_hook() -> None:
    found = gateway()
    kept, request = found.begin("1", "openai_chat", body(temperature=1.0), MODELS, None)
    assert request == {"model": "cheap-openai_chat", "max_tokens": 64, "messages": body()["messages"]}
    assert found.headers("1")["x-router-lab-left-out"] == "temperature"  # of a stream they come first
    assert found.take("1", stream=True) is None and found.take("1", stream=False) is kept
    assert found.take("1", stream=False) is None
    found.tell("1", kept.turn.told)
    assert found.headers("1")["x-router-lab-model"] == "cheap-openai_chat"
    assert found.headers("1") == {} == found.headers("unknown")


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 20, "completion_tokens": 5},
        {"input_tokens": 20, "output_tokens": 5},
        {"input_tokens": 20, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 0}},
    ],
)
def test_a_streams_end_settles_what_was_used_in_whoevers_names(usage: dict[str, Any]) -> None:
    found = gateway(session_tokens=1000)
    found.begin("1", "openai_chat", body(stream=True), MODELS, "s")
    budget = found.routing.sessions.budget("s")
    assert budget is not None and budget.tokens == 0
    found.ended("1", {"usage": usage})
    found.ended("1", {"usage": usage})  # told twice, as by two logs
    assert budget.tokens == 25 and budget.turns == 1


def test_what_a_caller_may_not_say_is_taken_out_and_what_his_key_has_is_not() -> None:
    """LiteLLM puts the settings of a caller's key where his own would be."""
    override = {"fallbacks": [{"cheap-openai_chat": ["dear-openai_chat"]}]}
    plain = body(temperature=1.0)
    assert without_replacing(plain) == (plain, ()) and without_replacing(plain)[0] is plain
    asked = {**plain, "fallbacks": ["dear-openai_chat"], "router_settings_override": override}
    assert without_replacing(asked)[1] == ("fallbacks",)
    sent = {**asked, "proxy_server_request": {"body": {"router_settings_override": override}}}
    kept, left_out = without_replacing(sent)
    assert left_out == ("fallbacks", "router_settings_override")
    assert kept.keys() == sent.keys() - set(left_out)
    found = gateway()
    _, request = found.begin("1", "openai_chat", kept, MODELS, None, left_out)
    assert "fallbacks" not in request
    assert found.headers("1")["x-router-lab-left-out"] == "fallbacks, router_settings_override, temperature"


@pytest.mark.parametrize("known_at", ["headers", "end", "answer"])
def test_another_models_answer_is_the_candidates_in_no_place(known_at: str, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.jsonl")
    found = gateway(session_tokens=1000, log=log)
    stream = known_at != "answer"
    kept, _ = found.begin("1", "openai_chat", body(stream=stream), MODELS, "s")
    budget = found.routing.sessions.budget("s")
    assert budget is not None
    aside, usage = budget._held_tokens, {"prompt_tokens": 20, "completion_tokens": 5}
    if stream:
        by = "elsewhere" if known_at == "headers" else None
        assert found.headers("1", by).get("x-router-lab-answered-by") == by
        found.ended("1", {"usage": usage}, "elsewhere")
    else:
        taken = found.take("1", stream=False)
        assert taken is kept
        kept.turn.replaced("cheap-openai_chat")  # another deployment of its own group
        assert kept.turn.told.answered_by is None
        kept.turn.replaced("elsewhere")
        assert not kept.turn.judged and kept.turn.answered(read("openai_chat", {"usage": usage})) is None
        found.tell("1", kept.turn.told)
        headers = found.headers("1")
        assert (headers["x-router-lab-model"], headers["x-router-lab-answered-by"]) == (
            "cheap-openai_chat", "elsewhere",
        )  # fmt: skip
        assert headers["x-router-lab-reason"].startswith("elsewhere answered in its place")
    # The candidate may have worked before: all that was set aside, and no cache of its holds anything.
    assert budget.tokens == aside > 25 and len(found.routing.sessions) == 0
    [row] = read_decisions(log.path)
    assert [(one.candidate, one.code, one.quality, one.cost_usd) for one in row["then"]] == [
        (Candidate("elsewhere"), "replaced", None, None)
    ]
    log.outcome(row["id"], quality=1.0, cost_usd=0.5)
    [outcome] = outcome_rows(log.path)
    # What was sent to the other was measured of the candidate, which gave no answer: evidence about neither.
    assert (outcome["model"], outcome["status"], outcome["quality"]) == (row["model"], "infra", None)
    assert (
        outcome["reason"] == "gave no answer: the gateway fell back to elsewhere"
        and "cost_usd" not in outcome
    )


@pytest.mark.parametrize(
    ("by", "output", "usd"),
    [
        ("elsewhere", 5, None),  # less than what was set aside
        ("elsewhere", 5_000, (20 * 1.0 + 5_000 * 4.0) / 1e6),  # at the candidate's own prices
        ("dear-openai_chat", 5_000, (20 * 10.0 + 5_000 * 40.0) / 1e6),
        ("dear-openai_chat", 5, (20 * 10.0 + 5 * 40.0) / 1e6),  # dearer, though of fewer tokens
    ],
)
def test_what_another_used_counts_where_it_is_more_than_was_set_aside(
    by: str, output: int, usd: float | None
) -> None:
    found = gateway(session_usd=1.0)
    found.begin("1", "openai_chat", body(stream=True), MODELS, "s")
    budget = found.routing.sessions.budget("s")
    assert budget is not None
    tokens, aside = budget._held_tokens, budget._held_usd
    found.ended("1", {"usage": {"prompt_tokens": 20, "completion_tokens": output}}, by)
    assert budget.usd == pytest.approx(aside if usd is None else usd) and budget.usd >= aside > 0
    assert budget.tokens == max(tokens, 20 + output) and budget._held_tokens == 0


@pytest.mark.parametrize(
    ("group", "by"),
    [
        ("dear", "dear"),
        ("again", None),
        ("hidden", None),
        ("id-of-cheap", None),
        ("id-of-dear", "dear"),
        (None, "another model"),
    ],
)
def test_who_answered_is_known_by_an_alias_and_an_id_too(group: str | None, by: str | None) -> None:
    class Router:
        def __init__(self) -> None:
            self.model_group_alias = {"again": "cheap", "hidden": {"model": "cheap", "hidden": True}}

        def get_deployment(self, model_id: str) -> Any:
            name = model_id.removeprefix("id-of-")
            return None if name == model_id else SimpleNamespace(model_name=name)

    headers = {"x-litellm-attempted-fallbacks": 1, "x-litellm-model-group": group}
    response = {"_hidden_params": {"additional_headers": headers}}
    logged = {"litellm_params": {"metadata": {"attempted_fallbacks": 1, "model_group": group}}}
    assert fell_back(response, "cheap", Router()) == by == logged_fallback(logged, "cheap", Router())
    assert fell_back({}, "cheap", Router()) is None


def test_what_the_gateway_gave_up_on_is_given_back() -> None:
    found = gateway(session_turns=1)
    for number in range(3):
        found.begin(str(number), "openai_chat", body(), MODELS, "s")
        error: Any = type("RateLimitError", (Exception,), {"status_code": 429})()
        found.failed(str(number), error)
        found.failed(str(number), error)
    found.begin("4", "openai_chat", body(), MODELS, "s")
    with pytest.raises(BudgetExceeded):
        found.begin("5", "openai_chat", body(), MODELS, "s")


def test_the_log_of_a_gateway_names_nobody_who_was_not_asked(tmp_path: Path) -> None:
    """After a failure LiteLLM asks by its own rules, or nobody: no next stage of ours."""
    log = DecisionLog(tmp_path / "log.jsonl")
    found = gateway(log=log)
    found.begin("1", "openai_chat", body(), MODELS, "s")
    error: Any = type("ServiceUnavailableError", (Exception,), {"status_code": 503})()
    found.failed("1", error)
    assert log.flush()
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(row["kind"], row["model"]) for row in rows] == [("decision", "cheap-openai_chat")]


def test_of_a_default_the_effort_is_neither_sent_nor_told() -> None:
    store = PolicyStore("nowhere", default=("openai/gpt-5", "high"))
    kept, request = Gateway(Settings(Routing(store), "caller")).begin(
        "1", "openai_chat", body(), {"openai/gpt-5"}, None
    )
    assert request["model"] == "openai/gpt-5" and "reasoning_effort" not in request
    assert kept.turn.told.candidate == Candidate("openai/gpt-5")
    assert "x-router-lab-effort" not in kept.turn.told.headers()


def test_a_model_without_a_group_does_not_serve() -> None:
    meant = r"cheap-openai_chat is never asked: the host has no model 'cheap-openai_chat' \(meant 'cheap-openai-chat'\?\)"
    with pytest.warns(RouterLabWarning, match=meant):
        kept, _ = gateway().begin("1", "openai_chat", body(), {"dear-openai_chat", "cheap-openai-chat"}, None)
    assert kept.turn.decision.model == "dear-openai_chat"
    assert "the host has no such model" in kept.turn.told.reason or "and " in kept.turn.told.reason
    with warnings.catch_warnings():  # who is not allowed is not missed
        warnings.simplefilter("error")
        own = Gateway(Settings(Routing(choosing(), allowed=[("dear-openai_chat", None)]), "caller"))
        own.begin("1", "openai_chat", body(), {"dear-openai_chat"}, None)


def test_a_list_of_models_that_changes_meanwhile_is_asked_by_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread brings the new one in while the first request of the old one makes its host."""
    found, fewer = gateway(), {"dear-openai_chat"}

    def made(*what: Any, **more: Any) -> Host:
        monkeypatch.setattr(gateways, "Host", Host)
        thread = threading.Thread(target=found.begin, args=("2", "openai_chat", body(), fewer, None))
        thread.start()
        thread.join()
        return Host(*what, **more)

    monkeypatch.setattr(gateways, "Host", made)
    warnings.simplefilter("ignore", RouterLabWarning)
    asked = [found.begin(id, "openai_chat", body(), models, None)[1]["model"]
             for id, models in (("1", MODELS), ("3", fewer), ("4", MODELS))]  # fmt: skip
    assert asked == ["cheap-openai_chat", "dear-openai_chat", "cheap-openai_chat"]


def test_settings_are_read_whole_or_refused(tmp_path: Path) -> None:
    path = str(save_policy(choosing(), tmp_path / "policy"))
    found = settings_of({"policy": path, "session_usd": 2.0, "allowed": [["dear-anthropic", None]]})
    assert found.frame == "caller" and found.routing.sessions.allowance.usd == 2.0
    with pytest.raises(PolicyError, match="key 'polcy' is not one of policy, default"):
        settings_of({"polcy": path})
    with pytest.raises(PolicyError, match="`policy` is missing"):
        settings_of({})
    with pytest.raises(PolicyError, match="frame is 'mine', not measured or caller"):
        settings_of({"policy": path, "frame": "mine"})
    with pytest.raises(
        PolicyError,
        match=r"'state' is of a folder of releases, and .* holds no RELEASE.json: publish there, or give `default`",
    ):
        settings_of({"policy": path, "state": str(tmp_path)})
    with pytest.raises(PolicyError):
        settings_of({"policy": str(tmp_path / "nothing")})
    with pytest.raises(PolicyError, match="log_prompts is True; it is true or false, beside `log`"):
        settings_of({"policy": path, "log_prompts": True})
    with pytest.raises(PolicyError, match="log_prompts is 1; "):
        settings_of({"policy": path, "log": str(tmp_path / "week.jsonl"), "log_prompts": 1})


def test_a_folder_of_releases_is_looked_at_again_without_a_default(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    paths = [save_revision(choosing("openai_chat", worse=worse), folder) for worse in (0.3, 0.4)]
    publish(paths[0], force=True)
    found = settings_of({"policy": str(folder), "interval_s": 60.0})
    store = found.routing.policy
    assert isinstance(store, PolicyStore) and store.status.origin == "source"
    first = store.policy.revision
    publish(paths[1], force=True)
    assert store.check()
    store.close()
    assert store.policy.revision != first and found.routing.health()["release"] == 2
    lacks: dict[str, Any] = {"policy": str(folder), "requires": {"points": ["fast"]}}
    with (
        pytest.warns(RouterLabWarning, match="a release is refused"),
        pytest.raises(PolicyError, match="fast"),
    ):
        settings_of(lacks)  # nobody is named who would serve instead
    with pytest.raises(PolicyError, match="policy is 7, not a path"):
        settings_of({"policy": 7})
    (folder / "RELEASE.json").write_text("{}")
    with pytest.raises(PolicyError, match="RELEASE"):
        settings_of({"policy": str(folder)})


def test_the_example_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = yaml.safe_load((ROOT / "docs" / "examples" / "litellm-proxy.yaml").read_text(encoding="utf-8"))
    given = written["litellm_settings"]["router_lab"]
    found = settings_of(given)
    store = found.routing.policy
    assert isinstance(store, PolicyStore)
    store.close()
    assert store.decide(EASY).candidate == tuple(given["default"])
    groups = [group["model_name"] for group in written["model_list"]]
    assert given["default"][0] in groups and {"router_lab", "router_lab/code"} <= set(groups)
