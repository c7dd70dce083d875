"""Names of OpenTelemetry's GenAI conventions, on spans of the real SDK; docs/operations.md has them in one table.

`python tests/unit/test_semconv.py` writes that table.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from router_lab import Decision, Policy
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.features import Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Profile
from router_lab.runtime.points import Follow
from router_lab.runtime.semconv import ATTRIBUTES, SCHEMA_URL, span_attributes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
TABLE = re.compile(r"(<!-- attributes -->\n)(.*?)(<!-- end -->)", flags=re.S)
NEWER = {"gen_ai.request.reasoning.level", "gen_ai.usage.cache_write.input_tokens"}
"""Of the conventions' own repository; the package that is installed beside the SDK stopped before it had them."""
KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "int": lambda value: type(value) is int,
    "double": lambda value: type(value) is float,
    "string[]": lambda value: isinstance(value, tuple) and all(type(one) is str for one in value),
}


def table() -> str:
    rows = [f"| `{one.name}` | {one.type} | {one.known} | {one.meaning} |" for one in ATTRIBUTES]
    return "\n".join(["| attribute | type | known with the | what |", "|---|---|---|---|", *rows]) + "\n"


def decision(api: str = "openai_chat", effort: str | None = "low", **arguments: object) -> Decision:
    request = {"api": api, "arguments": {"model": "cheap-1", **arguments}}
    spec = PolicySpec(
        name="tiny", profiles=(Profile(Candidate("cheap", effort), request=request),), reference=0, suites=(),
        featuriser=Featuriser(buckets=1 << 8),
        linear=Linear.constant(np.array([[0.9, 0.002]]), np.array([[0.0], [1.0]])),
        coverage=0.0, routes={}, fallbacks=(0,), points={"default": (Follow(1.0, 0.0),)}, point="default",
    )  # fmt: skip
    return Policy(spec).decide("How do I reset it?")


MADE = decision()


@pytest.fixture
def spans() -> Iterator[tuple[trace.Tracer, InMemorySpanExporter]]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("mine", schema_url=SCHEMA_URL), exporter
    provider.shutdown()


def test_the_page_has_the_table_and_the_version() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = TABLE.search(page)
    assert found is not None and found[2] == table(), "python tests/unit/test_semconv.py writes it anew"
    assert SCHEMA_URL in page


def test_names_are_the_conventions_or_ours() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    theirs = {one.name for one in ATTRIBUTES if one.name.startswith("gen_ai.")}
    assert theirs - known == NEWER
    assert {one.name.partition(".")[0] for one in ATTRIBUTES} == {"gen_ai", "router_lab"}
    old = {"gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
    assert not old & theirs


def test_a_span_of_the_real_sdk_has_what_the_decision_says(
    spans: tuple[trace.Tracer, InMemorySpanExporter], tmp_path: Path
) -> None:
    tracer, exporter = spans
    made = decision(reasoning_effort="low", max_completion_tokens=300)
    with tracer.start_as_current_span("chat cheap-1"):
        DecisionLog(tmp_path / "week.jsonl").write(made)
    [span] = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "cheap-1",
        "gen_ai.request.max_tokens": 300,
        "gen_ai.request.reasoning.level": "low",
        "router_lab.effort": "low",
        "router_lab.tier": "standard",
        "router_lab.code": made.code,
        "router_lab.revision": "unsaved",
        "router_lab.predicted_quality": made.quality,
        "router_lab.predicted_cost_usd": made.cost_usd,
    }
    assert span.instrumentation_scope is not None and span.instrumentation_scope.schema_url == SCHEMA_URL


def test_the_span_of_the_page_has_decision_and_answer(
    spans: tuple[trace.Tracer, InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [code] = re.findall(r"<!-- span -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    tracer, exporter = spans
    made = decision()
    asked: list[str] = []

    def get_tracer(name: str, *, schema_url: str) -> trace.Tracer:
        asked.append(schema_url)
        return tracer

    monkeypatch.setattr(trace, "get_tracer", get_tracer)
    monkeypatch.setattr(Decision, "send", lambda self, client, prompt: {"usage": {"prompt_tokens": 7}})
    policy = SimpleNamespace(decide=lambda prompt, suite: made)
    (tmp_path / "mine.py").write_text(code)
    runpy.run_path(str(tmp_path / "mine.py"), {"policy": policy, "client": None, "prompt": "How?"})
    [span] = exporter.get_finished_spans()
    assert asked == [SCHEMA_URL] and span.name == "chat cheap-1"
    assert span.attributes is not None
    assert span.attributes["gen_ai.usage.input_tokens"] == 7
    assert span.attributes["router_lab.revision"] == "unsaved"


def test_effort_is_ours_and_the_level_is_what_the_request_says() -> None:
    """A preset's name is no provider's level; where a request has one, it is named as it is sent."""
    preset = span_attributes(decision(effort="brief"))
    assert preset["router_lab.effort"] == "brief" and "gen_ai.request.reasoning.level" not in preset
    assert "router_lab.effort" not in span_attributes(decision(effort=None))
    responses = span_attributes(decision("openai_responses", reasoning={"effort": "high"}))
    assert responses["gen_ai.request.reasoning.level"] == "high"
    anthropic = span_attributes(decision("anthropic", output_config={"effort": "max"}, max_tokens=64))
    assert (anthropic["gen_ai.provider.name"], anthropic["gen_ai.request.reasoning.level"]) == (
        "anthropic",
        "max",
    )
    assert anthropic["gen_ai.request.max_tokens"] == 64


CHAT = {
    "id": "c-1",
    "model": "cheap-1-0930",
    "choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}
RESPONSE = {
    "id": "r-1",
    "model": "cheap-1",
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 20},
    },
}
MESSAGE = {
    "id": "m-1",
    "model": "cheap-1",
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 30,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 10,
        "output_tokens": 30,
    },
}


def as_objects(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_objects(one) for key, one in value.items()})
    return [as_objects(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("shape", [lambda value: value, as_objects], ids=["mapping", "objects"])
@pytest.mark.parametrize(
    ("answer", "reasons", "written", "thought"),
    [(CHAT, ("stop", "length"), None, 20), (RESPONSE, None, None, 20), (MESSAGE, ("end_turn",), 10, None)],
    ids=["chat", "responses", "messages"],
)
def test_input_counts_what_caches_held_whatever_the_provider_calls_it(
    answer: dict[str, Any],
    reasons: tuple[str, ...] | None,
    written: int | None,
    thought: int | None,
    shape: Callable[[Any], Any],
) -> None:
    """100 tokens in, 60 of them read from a cache, 30 out: alike for all three APIs."""
    found = span_attributes(decision(), shape(answer))
    assert found["gen_ai.usage.input_tokens"] == 100
    assert found["gen_ai.usage.cache_read.input_tokens"] == 60
    assert found.get("gen_ai.usage.cache_write.input_tokens") == written
    assert found["gen_ai.usage.output_tokens"] == 30
    assert found.get("gen_ai.usage.reasoning.output_tokens") == thought
    assert found.get("gen_ai.response.finish_reasons") == reasons
    assert found["gen_ai.response.id"] == answer["id"]
    assert all(KINDS[one.type](found[one.name]) for one in ATTRIBUTES if one.name in found)
    assert found.keys() <= {one.name for one in ATTRIBUTES}


@pytest.mark.parametrize(
    "answer", [iter(()), "text", {}, {"usage": {"prompt_tokens": True}}, {"usage": None}]
)
def test_an_answer_that_says_nothing_adds_nothing(answer: object) -> None:
    assert span_attributes(decision(), answer) == span_attributes(decision())


NAMES = st.sampled_from(
    ["usage", "id", "model", "choices", "stop_reason", "finish_reason", "prompt_tokens", "input_tokens",
     "cache_read_input_tokens", "prompt_tokens_details", "cached_tokens", "output_tokens", "other"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@given(answer=st.dictionaries(NAMES, JSON, max_size=6))
def test_whatever_answers_each_value_is_of_its_type(answer: dict[str, Any]) -> None:
    kinds = {one.name: one.type for one in ATTRIBUTES}
    for shape in (answer, as_objects(answer)):
        for name, value in span_attributes(MADE, shape).items():
            assert KINDS[kinds[name]](value), name


if __name__ == "__main__":
    PAGE.write_text(
        TABLE.sub(lambda found: found[1] + table() + found[3], PAGE.read_text(encoding="utf-8")), "utf-8"
    )
