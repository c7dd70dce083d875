"""A server keeps the body that a sweep sent and the one that the decision sends through the provider's own SDK: equal,
for all three APIs, with system message, template, few-shot, tools and effort. What cannot be rebuilt is refused."""

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from click.testing import CliRunner

from router_lab import Policy, load_policy
from router_lab.cli import cli
from router_lab.collect import collect
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.errors import InputError, PolicyError
from router_lab.sweep import prepare, run_sweep
from tests.servers.framed import FRAMED
from tests.servers.grid import price, write_project
from tests.servers.loopback import Loopback, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODELS = {
    "openai-api/local/small": "openai_chat",
    "openai/gpt-5-mini": "openai_responses",
    "anthropic/claude-haiku-4-5": "anthropic",
}
EFFORT = {
    "max_tokens": 2048,
    "stop": ["END"],
    "system_message": "Be brief.",
    "few_shot": [{"user": "Say 9", "assistant": "9"}],
}
TRANSPORT = {"stream", "stream_options"}
"""Body fields that say how an answer travels: the caller's choice."""


@dataclass
class Measured:
    """What a sweep of three APIs over framed tasks left, and every body that it sent."""

    server: Loopback
    folder: Path
    policy: Policy
    sent: list[dict[str, Any]]

    def bodies(self, question: str, has: str) -> list[dict[str, Any]]:
        """Bodies of the sweep that hold the question and `has`."""
        texts = [(body, json.dumps(body)) for body in self.sent]
        return [_said(body) for body, text in texts if f"{question}" in text and has in text]

    def client(self, api: str) -> Any:
        if api == "anthropic":
            return anthropic.Anthropic(base_url=self.server.root, api_key="x", max_retries=0)
        return openai.OpenAI(base_url=self.server.url, api_key="x", max_retries=0)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in TRANSPORT}


def project(folder: Path, server: Loopback, suites: list[str], **sweep: Any) -> Path:
    models = [
        {"model": name, "base_url": server.root if api == "anthropic" else server.url}
        for name, api in MODELS.items()
    ]
    prices = {name: price(1, 4) for name in MODELS}
    named = {name: {"task": f"framed.py@{name}"} for name in suites}
    file = write_project(
        folder,
        {"models": models, "efforts": ["brief"], **sweep},
        named,
        prices=prices,
        efforts={"brief": EFFORT},
    )
    (folder / "framed.py").write_text(FRAMED)
    return file


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("framed")
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LOCAL_API_KEY"):
            patch.setenv(name, "x")
        run_sweep(
            project(folder, server, ["doubted", "framed", "tooled", "varied"]), folder / "logs", quiet=True
        )
        sent = [request["body"] for request in server.requests]
        outcomes, _ = collect([folder / "logs"], prices=folder / "prices.yaml")
        policy = fit_policy(Recipe(name="framed", rule={"margin": 0.2}), outcomes)
        loaded = load_policy(save_policy(policy, folder / "policy"))
        yield Measured(server, folder, loaded, sent)
    gc.collect()


@pytest.mark.parametrize(("suite", "has"), [("framed", "Question: Say 2"), ("tooled", '"add"')])
def test_the_decision_sends_the_body_that_the_sweep_sent(measured: Measured, suite: str, has: str) -> None:
    question = "Say 2 please please"
    for model, api in MODELS.items():
        decision = measured.policy.decide(question, suite=suite, allowed=[(model, "brief")])
        assert decision.api == api and decision.request(question) == getattr(decision, api)(question)
        measured.server.requests.clear()
        with measured.client(api) as client:
            decision.send(client, question)
        [got] = [_said(request["body"]) for request in measured.server.requests]
        assert got["model"] == model.rpartition("/")[2]
        assert [got] == [body for body in measured.bodies(question, has) if body["model"] == got["model"]]
        text = json.dumps(got)
        assert all(words in text for words in ("Be brief.", "Say 9", "2048"))
        assert ("You are exact." in text) == ("One number, 7 or not." in text) == (suite == "framed")


def test_streams_and_conversations_stay_in_the_frame(measured: Measured) -> None:
    talk = [
        {"role": "user", "content": "Say 3"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Say 4"},
    ]
    for model, api in MODELS.items():
        decision = measured.policy.decide("Say 4", suite="framed", allowed=[(model, "brief")])
        alone, whole = decision.request("Say 4"), decision.request(talk, stream=True)
        assert whole.pop("stream") is True
        field = "input" if api == "openai_responses" else "messages"
        # The frame before, the earlier turns, and the question in the text that was measured around it.
        assert whole[field] == [*alone[field][:-1], *talk[:2], alone[field][-1]]
        assert "Question: Say 4\\nOne number" in json.dumps(whole[field][-1])
        assert decision.request([{"role": "user", "content": "Say 4"}]) == alone
        with pytest.raises(PolicyError, match="another was measured"):
            decision.request([{"role": "system", "content": "Be rude."}, *talk])
        with pytest.raises(PolicyError, match="pass it, so that it is put where it was measured"):
            decision.request()


def test_what_no_request_can_be_is_refused_and_said_everywhere(measured: Measured) -> None:
    reasons = {"doubted": "goes on after the first answer", "varied": "differs from sample to sample"}
    for suite, reason in reasons.items():
        for model, api in MODELS.items():
            decision = measured.policy.decide("Say 1", suite=suite, allowed=[(model, "brief")])
            for ask in (decision.request, getattr(decision, api)):
                with pytest.raises(PolicyError, match=reason):
                    ask("Say 1")
    noted = measured.policy.spec.certificate["requests_not_reproducible"]
    assert {row["suite"]: len(row["candidates"]) for row in noted} == {"doubted": 3, "varied": 3}
    shown = CliRunner().invoke(cli, ["show", str(measured.folder / "policy")]).output
    for suite, reason in reasons.items():
        assert any(
            f"none to hand out for suite {suite}: " in s and s.split()[0] == "requests" and reason in s
            for s in shown.splitlines()
        )


def test_an_api_that_was_not_measured_and_a_client_of_another_are_refused(measured: Measured) -> None:
    decision = measured.policy.decide("Say 1", suite="framed", allowed=[("openai/gpt-5-mini", "brief")])
    with pytest.raises(PolicyError, match=r"measured through openai_responses.*decision\.request"):
        decision.openai_chat("Say 1")
    with (
        measured.client("anthropic") as client,
        pytest.raises(PolicyError, match=r"has no \.responses\.create.*pass OpenAI"),
    ):
        decision.send(client, "Say 1")


def test_logs_without_their_sweep_give_the_same_requests(measured: Measured, tmp_path: Path) -> None:
    """The manifest is gone, as for logs of others: what was sent stands in the logs themselves."""
    (tmp_path / "logs").mkdir()
    for path in (measured.folder / "logs").glob("*.eval"):
        (tmp_path / "logs" / path.name).write_bytes(path.read_bytes())
    outcomes, _ = collect([tmp_path / "logs"], prices=measured.folder / "prices.yaml")
    found = {c["model"]: c["request"]["suites"]["framed"] for c in outcomes.attrs["candidates"]}
    for profile in measured.policy.spec.profiles:
        assert found[profile.candidate.model] == profile.request["suites"]["framed"]


def test_twins_that_the_task_itself_makes_are_refused_before_a_cent_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two efforts differ in max_tokens, and the task's `generate(max_tokens=64)` overrides both."""
    monkeypatch.setenv("LOCAL_API_KEY", "x")
    with serving() as server:
        models = [{"model": "openai-api/local/small", "base_url": server.url}]
        efforts = {"short": {"max_tokens": 8}, "long": {"max_tokens": 32}}
        file = project(tmp_path, server, ["fixed"], models=models, efforts=list(efforts))
        (tmp_path / "efforts.yaml").write_text(json.dumps(efforts))
        with pytest.raises(InputError, match=r"small @ short and .*small @ long send byte-identical"):
            prepare(file)
        project(tmp_path, server, ["tooled"], models=models, efforts=list(efforts))
        (tmp_path / "efforts.yaml").write_text(json.dumps(efforts))
        assert prepare(file).needed == 10 and server.requests == []
