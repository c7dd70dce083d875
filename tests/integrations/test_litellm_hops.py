"""LiteLLM's real proxy where it asks others than were decided: copies of a request, fallbacks of
fallbacks, streams that break off."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("litellm")

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.decisions import read_decisions
from tests.integrations.failing import Failing, Fault, breaking, failing
from tests.integrations.proxy import KEY, config, proxy
from tests.integrations.worlds import APIS, EASY, choosing
from tests.servers.wires import Reply

KINDS = ("cheap", "dear", "third")
PATHS = {"openai_chat": "chat/completions", "openai_responses": "responses", "anthropic": "messages"}
FIELDS = {"openai_responses": "input"}


class Hops(NamedTuple):
    """A proxy whose cheap models fall back to dear ones, and those to third ones."""

    url: str
    provider: Failing
    log: Path

    def ask(self, api: str, session: str, stream: bool = True, **more: Any) -> tuple[int, dict[str, str]]:
        """The status, and our headers."""
        said = [{"role": "user", "content": EASY}]
        body = {"model": "router_lab/triage", "max_tokens": 99, FIELDS.get(api, "messages"): said}
        request = urllib.request.Request(
            f"{self.url}/v1/{PATHS[api]}",
            data=json.dumps({**body, "stream": stream, **more}).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {KEY}",
                     "x-litellm-session-id": f"session-{session}"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as found:
                found.read()
                status, headers = found.status, found.headers
        except urllib.error.HTTPError as error:
            status, headers = error.code, error.headers
        return status, {k.lower().removeprefix("x-router-lab-"): v for k, v in headers.items()}

    def then(self, id: str, many: int = 1) -> list[str]:
        """Who the decision log says answered, once so many rows of it are written."""
        until = time.monotonic() + 20
        found = list[str]()
        while len(found) < many and time.monotonic() < until:
            time.sleep(0.1)
            [row] = [one for one in read_decisions(self.log) if one["id"] == id]
            found = [one.model for one in row.get("then", ())]
        return found


@pytest.fixture(scope="module")
def hops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hops]:
    folder = tmp_path_factory.mktemp("hops")
    policy = save_policy(choosing(), folder / "policy")
    settings = {"policy": str(policy), "session_turns": 1, "log": str(folder / "log.jsonl")}
    names = [f"{kind}-{api}" for kind in KINDS for api in APIS]
    falls = [{f"{one}-{api}": [f"{next_}-{api}"]} for one, next_ in pairwise(KINDS)
             for api in APIS]  # fmt: skip
    with Failing() as provider:
        written = config(provider, [*names, "mirror"], settings, falls)
        written["router_settings"]["disable_cooldowns"] = True
        [chat] = [one for one in written["model_list"] if one["model_name"] == "cheap-openai_chat"]
        chat["litellm_params"]["silent_model"] = "mirror"
        with proxy(folder, written) as url:
            yield Hops(url, provider, folder / "log.jsonl")


@pytest.fixture(autouse=True)
def _quiet(hops: Hops) -> None:
    hops.provider.faults = {}
    hops.provider.requests.clear()


def test_a_copy_that_litellm_sends_elsewhere_ends_no_stream(hops: Hops) -> None:
    """It has the request's metadata, and is over before the request itself is answered."""
    hops.provider.faults = {"cheap-openai_chat-1": failing("down", after_s=1.5)}
    status, found = hops.ask("openai_chat", "mirrored")
    assert (status, found["model"], found["answered-by"]) == (200, "cheap-openai_chat", "dear-openai_chat")
    assert "mirror-1" in hops.provider.models and hops.then(found["id"]) == ["dear-openai_chat"]


@pytest.mark.parametrize("api", APIS)
def test_of_two_hops_in_one_stream_the_last_one_answered(api: str, hops: Hops) -> None:
    hops.provider.faults = {f"cheap-{api}-1": failing("down"), f"dear-{api}-1": breaking}
    status, found = hops.ask(api, f"hopping-{api}")
    assert (status, found["answered-by"]) == (200, f"dear-{api}")  # as far as is known by then
    assert hops.then(found["id"], many=2) == [f"dear-{api}", f"third-{api}"]


@pytest.mark.parametrize("api", APIS)
def test_of_two_that_are_down_the_third_answered_alone(api: str, hops: Hops) -> None:
    hops.provider.faults = {f"{kind}-{api}-1": failing("down") for kind in ("cheap", "dear")}
    for stream in (True, False):
        status, found = hops.ask(api, f"down-{api}-{stream}", stream)
        assert (status, found["answered-by"]) == (200, f"third-{api}")
        time.sleep(0.5)  # a stream's end is told behind it
        assert hops.then(found["id"]) == [f"third-{api}"]


def _slow(provider: Failing, path: str, body: dict[str, Any]) -> Reply:
    """Longer than the caller waits, the first time; refused from then on."""
    provider.faults[body["model"]] = failing("429")
    time.sleep(1.5)
    return provider.usual(path, body)


REFUSED = {"cheap": failing("429"), "dear": failing("429"), "third": failing("down")}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("name", "faults", "more", "counted"),
    [
        ("refused", REFUSED, {}, False),
        ("refused twice", REFUSED, {"num_retries": 1}, False),
        ("the fallback broke off", {**REFUSED, "dear": failing("cut")}, {}, True),
        ("the fallback's fallback broke off", {**REFUSED, "third": failing("cut")}, {}, True),
        ("the candidate broke off", {**REFUSED, "cheap": failing("cut")}, {}, True),
        ("its time ran out before", {**REFUSED, "cheap": _slow}, {"num_retries": 1, "timeout": 0.5}, True),
    ],
)
def test_what_may_have_been_work_is_counted_whichever_error_is_told(
    api: str, name: str, faults: dict[str, Fault], more: dict[str, Any], counted: bool, hops: Hops
) -> None:
    """LiteLLM tells of the first candidate's error alone."""
    hops.provider.faults = {f"{kind}-{api}-1": fault for kind, fault in faults.items()}
    session = f"{api}-{name.replace(' ', '-')}"
    assert hops.ask(api, session, stream=False, **more)[0] in (429, 500)
    hops.provider.faults = {}
    assert hops.ask(api, session)[0] == (402 if counted else 200)  # of one turn that the session has
