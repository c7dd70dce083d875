"""`make bench-integrations`: what the plugin adds to a request, measured inside LiteLLM's real proxy.

Each hook has a clock around it (tests/integrations/timed.py); the sum over a request's hooks is what is added.
What is written behind the answer is apart: nobody waits for it. A hook that does nothing, clocked beside it, is the
least that any takes there.
Times are of the hooks' own thread: they wait for nothing, and what other processes took meanwhile is not theirs. Beside
it, of the same texts in this process: `decide` alone, and the core of every drop-in (`Routing.begin` to the answer).
The proxy runs twice: with its memory as docs/gateways.md has it, and as it is where nobody says anything.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from router_lab.integrations.answers import Answer
from router_lab.integrations.hosts import Host
from router_lab.integrations.routing import Asked, Routing, run
from router_lab.integrations.sessions import Used
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.policy import Policy
from tests.integrations.provider import Provider
from tests.integrations.proxy import KEY, MEMORY, config, proxy
from tests.integrations.worlds import APIS, EASY, HARD, choosing

REQUESTS = 600
HOOKS = {
    "decide": "the decision itself", "before": "before the call, with it", "after": "after an answer (no stream)",
    "headers": "headers", "logged": "behind the answer, for which nobody waits",
    "empty": "a hook of LiteLLM's that does nothing",
}  # fmt: skip
LONG = "Some earlier turn of an agent that has read a file. " * 40


def asked(number: int, turns: int) -> list[dict[str, Any]]:
    """A conversation: a question, and `turns` turns of some 2,000 characters before it."""
    before = [{"role": ("user", "assistant")[place % 2], "content": LONG} for place in range(turns)]
    return [*before, {"role": "user", "content": f"{(EASY, HARD)[number % 2]} {number}"}]


def line(name: str, values: Iterable[float], unit: str = "µs") -> None:
    found = sorted(values)
    middle, late = found[len(found) // 2], found[min(int(0.99 * len(found)), len(found) - 1)]
    print(f"{name:44} {len(found):6,} {middle:9,.0f} {late:9,.0f} {found[-1]:9,.0f} {unit}")


def in_process(policy: Policy, turns: int) -> None:
    routing, host = Routing(policy, session_turns=10**6), Host(("openai_chat",))
    alone, whole = [], []
    for number in range(3_000):
        messages = asked(number, turns)
        begun = time.thread_time()
        policy.decide(messages, suite="triage")
        alone.append((time.thread_time() - begun) * 1e6)
        begun = time.thread_time()
        turn = routing.begin(Asked(messages, suite="triage", session=f"s{number % 50}"), host)
        run(routing.calls(turn), lambda turn: ("", Answer("so", used=Used(10, 5))))
        whole.append((time.thread_time() - begun) * 1e6)
    line(f"decide, {turns} turns before", alone)
    line(f"begin to answer, {turns} turns before", whole)


@functools.cache
def client(url: str, api: str) -> Any:
    """An application's client: it is made once, and keeps its connections."""
    if api == "anthropic":
        return Anthropic(api_key=KEY, base_url=url)
    return OpenAI(api_key=KEY, base_url=f"{url}/v1")


def send(url: str, api: str, stream: bool, number: int, turns: int) -> None:
    named = {
        "extra_headers": {"x-litellm-session-id": f"bench-session-{number % 20}"},
        "model": "router_lab/triage",
    }
    messages: Any = asked(number, turns)
    if api == "anthropic":
        made = client(url, api).messages.create(max_tokens=99, messages=messages, stream=stream, **named)
    elif api == "openai_responses":
        made = client(url, api).responses.create(input=messages, stream=stream, **named)
    else:
        made = client(url, api).chat.completions.create(messages=messages, stream=stream, **named)
    if stream:
        list(made)


def through_the_proxy(url: str, timed: Path, turns: int, at_once: int) -> None:
    timed.write_text("")
    kinds = [(api, stream) for api in APIS for stream in (False, True)]

    def waited(number: int) -> float:
        begun = time.perf_counter()
        send(url, *kinds[number % len(kinds)], number, turns)
        return (time.perf_counter() - begun) * 1e6

    with ThreadPoolExecutor(at_once) as pool:
        clients = list(pool.map(waited, range(REQUESTS)))
    time.sleep(2.0)  # what is logged comes behind the answer
    hooks, whole, ours = (
        defaultdict[str, list[float]](list),
        defaultdict[str, float](float),
        defaultdict[str, float](float),
    )
    before = ""
    for row in timed.read_text().splitlines():
        hook, id, spent = row.split()
        hooks[hook].append(float(spent))
        if hook == "before":
            before = id
        if hook == "decide":
            ours[before] -= float(spent)  # within the `before` that was told before it
        elif hook not in ("logged", "empty"):
            whole[id] += float(spent)
            ours[id] += float(spent)
    print(f"\n{turns} turns before the question, {at_once} at once")
    for hook, name in HOOKS.items():
        line(f"  {name}", hooks[hook])
    line("  added to a request", whole.values())
    line("  added to a request, but for the decision", ours.values())
    line("  the whole request, as its client waits", clients)


def main() -> None:
    folder, policy = Path(tempfile.mkdtemp(prefix="bench-integrations-")), choosing()
    save_policy(policy, folder / "policy")
    print(f"{'':44} {'calls':>6} {'p50':>9} {'p99':>9} {'most':>9}")
    for turns in (0, 40):
        in_process(choosing("openai_chat"), turns)
    os.environ["TIMED"] = str(folder / "timed.txt")
    names = [one.candidate.model for one in policy.spec.profiles]
    settings = {"policy": str(folder / "policy"), "session_turns": 10**6}
    with Provider() as provider:
        written = config(provider, names, settings)
        written["litellm_settings"]["callbacks"] = ["tests.integrations.timed.plugin"]
        for name, memory in (("as in docs/gateways.md", MEMORY), ("as it is by itself", {})):
            with proxy(folder, written, memory) as url:
                print(f"\nThe proxy's memory {name}")
                send(url, APIS[0], False, 0, 0)  # what is loaded at the first request
                for turns, at_once in ((0, 1), (40, 1), (0, 8)):
                    through_the_proxy(url, folder / "timed.txt", turns, at_once)


if __name__ == "__main__":
    main()
