"""Answers and signals of them, from logs that Inspect wrote: a model of one's own says what it was sure of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    GenerateConfig,
    Logprob,
    Logprobs,
    Model,
    ModelOutput,
    ModelUsage,
    TopLogprob,
    get_model,
)
from inspect_ai.scorer import includes

from router_lab.collect import collect
from router_lab.collect.agreement import said as said_of
from router_lab.collect.agreement import with_agreement
from router_lab.collect.signals import MOST_ANSWER, answer_of, mean_logprob, true_logprob
from router_lab.outcomes import read_outcomes, validate_outcomes, write_outcomes
from router_lab.providers.asking import make_model
from router_lab.providers.logprobs import rounded_words, told_logprobs
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.features import cap_text
from router_lab.sweep.cluster import narrowed
from router_lab.sweep.models import generate_config
from router_lab.sweep.self_check import filled
from router_lab.sweep.settings import Cell, load_grid
from router_lab.sweep.tasks import with_model
from tests.servers.grid import write_project

# Inspect's own: of what it uses, and of what it leaves open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRICE = [{"starts": "2020-01-01", "input": 1, "output": 10, "source": "s", "checked": "2020-01-01"}]
"""Dollars a million tokens."""


def said(text: str, *logprobs: float | Logprob, tokens: tuple[int, int] = (100, 10)) -> ModelOutput:
    """An answer, the log-probabilities of its tokens where it has some, and what it used."""
    output = ModelOutput.from_content("mockllm/model", text)
    content = [one if isinstance(one, Logprob) else Logprob(token="t", logprob=one) for one in logprobs]
    output.choices[0].logprobs = Logprobs(content=content) if logprobs else None
    output.usage = ModelUsage(input_tokens=tokens[0], output_tokens=tokens[1], total_tokens=sum(tokens))
    return output


def model_saying(*outputs: ModelOutput) -> Model:
    return get_model("mockllm/model", memoize=False, custom_outputs=list(outputs))


def questions(n: int) -> list[Sample]:
    return [Sample(id=f"s{i}", input=f"What is {i}?", target=str(i)) for i in range(n)]


def logged(folder: Path, *outputs: ModelOutput, task: Task | None = None, epochs: int = 1) -> Path:
    """A folder with the log of a task, a question for each output, or of the task given."""
    task = task or Task(dataset=MemoryDataset(questions(len(outputs) // epochs)), scorer=includes(), name="t")
    eval(
        task, model=task.model or model_saying(*outputs), log_dir=str(folder / "logs"), display="none", epochs=epochs,
        max_samples=1, log_level="warning",
    )  # fmt: skip
    (folder / "prices.yaml").write_text(yaml.safe_dump({"models": {"mockllm/model": PRICE}}))
    return folder / "logs"


def collected(logs: Path, **how: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    return collect([logs], prices=logs.parent / "prices.yaml", **how)


def test_an_answer_and_its_mean_logprob_are_told(tmp_path: Path) -> None:
    logs = logged(tmp_path, said("It is 0.", -0.1, -0.5), said("one"), said(""))
    outcomes, _ = collected(logs)
    assert outcomes["answer"].tolist() == ["It is 0.", "one", ""]
    assert outcomes["signal_logprob"][0] == pytest.approx(-0.3)
    assert outcomes["signal_logprob"].isna().tolist() == [False, True, True]
    assert "signals_usd" not in outcomes
    write_outcomes(outcomes, tmp_path / "outcomes.parquet")
    assert read_outcomes(tmp_path / "outcomes.parquet")["answer"].tolist() == ["It is 0.", "one", ""]


def test_answers_are_left_out_where_nobody_wants_them(tmp_path: Path) -> None:
    """Of logs and of tables; signals stay. Rows on the way of a race have none."""
    logs = logged(tmp_path, said("It is 0.", -0.25))
    outcomes, _ = collected(logs)
    write_outcomes(outcomes, tmp_path / "outcomes.parquet")
    for source in (logs, tmp_path / "outcomes.parquet"):
        bare = collect([source], prices=tmp_path / "prices.yaml", answers=False)[0]
        assert "answer" not in bare and bare["signal_logprob"].tolist() == [-0.25]
        assert bare.attrs["candidates"]
    assert "answer" not in collected(logs, as_logged=True)[0]


def test_what_no_log_knows_is_no_column(tmp_path: Path) -> None:
    outcomes, _ = collected(logged(tmp_path, said("0")))
    assert not [column for column in outcomes if str(column).startswith("signal")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"logprob": -1.0}, {"logprob": -2.0}], -1.5),
        ([{"logprob": 0}], 0.0),
        ([], None),
        (None, None),
        ([{"logprob": -1.0}, {"logprob": -math.inf}], None),
        ([{"logprob": -1.0}, {"token": "a"}], None),
        ([{"logprob": -(10**400)}], None),
        ([{"logprob": -1.7e308}] * 2, None),
    ],
)
def test_the_mean_is_of_every_token_or_unknown(content: Any, expected: float | None) -> None:
    assert mean_logprob({"choices": [{"logprobs": {"content": content}}]}) == expected
    assert mean_logprob({"choices": [{"logprobs": None}]}) is None
    assert mean_logprob({}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(["True", " false"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["token", "logprob", "top_logprobs", "content"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_stands_for_logprobs_is_a_number_or_unknown(told: Any) -> None:
    output = {"choices": [{"logprobs": told}]}
    for found in (mean_logprob(output), true_logprob(output)):
        assert found is None or math.isfinite(found)


def answers_of_raw() -> Iterator[tuple[dict[str, Any], str | None]]:
    whole = {
        "role": "assistant",
        "content": [{"type": "reasoning", "reasoning": "r"}, {"type": "text", "text": "a"}],
    }
    yield {"output": {"choices": [{"message": whole}]}}, "a"
    yield {"output": {"choices": [{"message": whole}], "completion": "b"}}, "b"
    attached = {"choices": [{}], "completion": "attachment://x"}
    yield {"output": attached, "attachments": {"x": "long"}}, "long"
    yield {"output": {"choices": [{"message": {"content": ""}}], "completion": "", "error": "429"}}, None
    yield {"output": {"choices": []}}, None
    yield {}, None


@pytest.mark.parametrize(("sample", "expected"), list(answers_of_raw()))
def test_the_answer_is_the_last_completion(sample: dict[str, Any], expected: str | None) -> None:
    assert answer_of(sample) == expected


def test_a_long_answer_is_cut_where_the_runtime_does_not_look() -> None:
    text = "".join(chr(97 + i % 26) for i in range(3 * MOST_ANSWER))
    kept = answer_of({"output": {"choices": [{}], "completion": text}})
    assert kept is not None and len(kept) == MOST_ANSWER
    assert cap_text(kept, 4096) == cap_text(text, 4096)
    exact = text[:MOST_ANSWER]
    assert answer_of({"output": {"choices": [{}], "completion": exact}}) == exact


def test_agreement_is_the_share_of_the_other_epochs(tmp_path: Path) -> None:
    """Four draws for one question: "Paris." twice but for its letters' case and its dots, "Lyon", nothing. 100 tokens
    in and 10, 20, 30, 40 out cost 2, 3, 4 and 5 hundredths of a cent."""
    texts = zip(("Paris.", "paris", "Lyon", "!"), (10, 20, 30, 40), strict=True)
    logs = logged(tmp_path, *(said(text, tokens=(100, n)) for text, n in texts), epochs=4)
    outcomes, _ = collected(logs, agreement=True)
    rows = outcomes.set_index("answer")
    assert rows["signal_agreement"].to_dict() == {
        "Paris.": pytest.approx(1 / 3), "paris": pytest.approx(1 / 3), "Lyon": 0.0, "!": 0.0,
    }  # fmt: skip
    assert rows["signals_usd"].to_dict() == pytest.approx(
        {"Paris.": 12e-4, "paris": 11e-4, "Lyon": 10e-4, "!": 9e-4}
    )
    bare = collected(logs, agreement=True, answers=False)[0]
    assert "answer" not in bare and bare["signal_agreement"].notna().all()
    write_outcomes(outcomes, tmp_path / "outcomes.parquet")
    again = collect([tmp_path / "outcomes.parquet"], agreement=True)[0]
    pd.testing.assert_frame_equal(again, outcomes, check_dtype=False)


def table_of(*rows: tuple[str, int, str | None, float | None], **more: Any) -> pd.DataFrame:
    """Sample, epoch, answer and dollars of one candidate."""
    frame = pd.DataFrame(rows, columns=["sample_id", "epoch", "answer", "cost_usd"])
    return validate_outcomes(frame.assign(suite="s", model="m", quality=1.0, **more))


def test_agreement_is_within_a_sample_and_a_candidate() -> None:
    """b has one answer, and nothing is known of it; the dollars of two draws are those that are known, for each."""
    known = [
        ("a", 1, "x", 1.0),
        ("a", 2, "X", None),
        ("a", 3, "y", 3.0),
        ("b", 1, "x", 5.0),
        ("b", 2, None, 5.0),
    ]
    both = pd.concat([table_of(*known), table_of(*known).assign(model="n")])
    for _, rows in with_agreement(validate_outcomes(both)).groupby("model"):
        assert rows["signal_agreement"].fillna(-1).tolist() == [0.5, 0.5, 0.0, -1, -1]
        assert rows["signals_usd"].fillna(-1).tolist() == [6.0, 4.0, 2.0, -1, -1]


def test_agreement_adds_to_what_other_signals_cost_and_invents_none() -> None:
    """Rows that have it already keep what they have; without a known cost nothing is said of dollars."""
    rows = [("a", 1, "x", 1.0), ("a", 2, "x", 2.0)]
    told = with_agreement(table_of(*rows, signals_usd=[0.5, None], signal_agreement=[None, 0.25]))
    assert told["signal_agreement"].tolist() == [1.0, 0.25]
    assert told["signals_usd"].fillna(-1).tolist() == [2.5, -1]
    free = with_agreement(table_of(*((*row[:3], None) for row in rows)))
    assert free["signal_agreement"].tolist() == [1.0, 1.0] and "signals_usd" not in free


def test_nothing_to_compare_is_said() -> None:
    table = table_of(("a", 1, "x", 1.0), ("b", 1, "x", 1.0))
    for outcomes in (table, table.drop(columns="answer")):
        with pytest.warns(RouterLabWarning, match="no sample has two of one candidate"):
            assert with_agreement(outcomes) is outcomes


@given(st.text(max_size=40), st.text(alphabet=" .,!-\n\t(){}\"'`*_", max_size=10))
def test_what_is_said_is_bytes_without_case_and_signs(text: str, signs: str) -> None:
    kept = list(said_of(text))
    assert not [b for b in kept if b < 128 and not (48 <= b < 58 or 97 <= b < 123)]
    upper = "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text)
    assert said_of(upper) == said_of(text) == said_of(signs + text + signs)
    assert said_of(text + "é") == said_of(text) + b"\xc3\xa9"


def test_what_is_said_by_hand() -> None:
    assert said_of("The answer: **4,200** (É)") == b"theanswer4200\xc3\x89"
    assert said_of("\ud800a") == b"a"
    assert said_of("A" * 10_000) == b"a" * 4096


def chance(token: str, p: float, **top: float) -> Logprob:
    """A token with its probability, and the likeliest ones in its place with theirs."""
    ways = [TopLogprob(token=name, logprob=math.log(q)) for name, q in top.items()]
    return Logprob(token=token, logprob=math.log(p), top_logprobs=ways or None)


@pytest.mark.parametrize(
    ("tokens", "p"),
    [
        ([chance("True", 0.8)], 0.8),
        ([chance("False", 0.75)], 0.25),
        ([chance("False", 0.7, Falsehood=0.7, Truth=0.2)], 0.3),  # other words, for a token is what it is
        ([chance("False", 0.7, Falsehood=0.7, Truth=0.2, true=0.05, TRUE=0.01)], 0.06),
        ([chance("**", 0.9), chance(" true", 0.6, true=0.6)], 0.6),
        ([chance("False", 1.0)], 1e-9),
        ([chance("Maybe", 0.9, true=0.1)], None),
        ([], None),
    ],
)
def test_how_sure_a_check_is_of_true(tokens: list[Logprob], p: float | None) -> None:
    found = true_logprob(said("x", *tokens).model_dump())
    assert found == (None if p is None else pytest.approx(math.log(p)))


def asking(tmp_path: Path, **sweep: Any) -> dict[str, Cell]:
    """The cells of a sweep by model."""
    models = sweep.pop(
        "models", ["mockllm/model", {"model": "mockllm/other", "logprobs": False}, "recorded/m"]
    )
    file = write_project(tmp_path, {"models": models, **sweep})
    return {cell.spec.model: cell for cell in load_grid(file).cells}


def checked(prompt: str, answers: list[ModelOutput]) -> tuple[Task, list[tuple[Any, GenerateConfig]]]:
    """A task whose model is checked in those words and says `answers` in turn; and what it was asked."""
    heard: list[tuple[Any, GenerateConfig]] = []

    def answer(input: Any, tools: Any, tool_choice: Any, config: GenerateConfig) -> ModelOutput:
        heard.append((input, config))
        return answers[len(heard) - 1]

    model = make_model(
        "mockllm/model", GenerateConfig(max_tokens=99), arguments={"custom_outputs": answer}, logprobs=True
    )
    model.model_args = {}
    task = Task(
        dataset=MemoryDataset(questions(len(answers) // 2)), scorer=includes(), name="t", turn_limit=1
    )
    return with_model(task, model, 1, prompt), heard


def test_a_candidate_is_asked_whether_it_is_right_and_that_is_no_turn_of_it(tmp_path: Path) -> None:
    """An answer of 100 and 10 tokens costs 2 hundredths of a cent, its check of 150 and 1 tokens 1.6; the one turn
    that it may have is not spent on the check, and its scorer judges."""
    answers = [
        said("It is {0}.", -0.5), said("True", chance("True", 0.8), tokens=(150, 1)),
        said("no idea", -1.0), said("False", chance("False", 0.75), tokens=(150, 1)),
    ]  # fmt: skip
    task, heard = checked("{question} {answer} True?", answers)
    outcomes, calls = collected(logged(tmp_path, task=task))
    assert heard[1][0][0].text == "What is 0? It is {0}. True?"
    assert [(c.max_tokens, c.logprobs) for _, c in heard[:2]] == [(99, True), (16, True)]
    assert outcomes["status"].tolist() == ["ok", "ok"] and outcomes["quality"].tolist() == [1.0, 0.0]
    assert outcomes["answer"].tolist() == ["It is {0}.", "no idea"]
    assert outcomes["signal_self_check"].tolist() == pytest.approx([math.log(0.8), math.log(0.25)])
    assert outcomes["signal_logprob"].tolist() == [-0.5, -1.0]
    assert outcomes["signals_usd"].tolist() == pytest.approx([160e-6] * 2)
    assert outcomes["cost_usd"].tolist() == pytest.approx([200e-6] * 2)
    assert outcomes["paid_usd"].tolist() == pytest.approx([360e-6] * 2)
    assert outcomes["judge_usd"].tolist() == [0.0, 0.0]
    assert outcomes["turns"].tolist() == [1, 1] and outcomes["output_tokens"].tolist() == [10, 10]
    assert calls["role"].fillna("").tolist() == ["", "check"] * 2
    assert not outcomes.attrs["candidates"][0]["request"].get("reason", "").startswith("its solver asks")


def test_a_check_that_fails_costs_a_signal_and_no_outcome(tmp_path: Path) -> None:
    """Of the two samples the first is checked; there is nobody to answer the second check, and an empty answer has
    none."""
    task, heard = checked("{answer}", [said("0"), said("True")])
    outcomes, _ = collected(logged(tmp_path / "a", task=narrowed(task, questions(2))))
    assert len(heard) == 3 and outcomes["status"].tolist()[0] == "ok"
    assert "signal_self_check" not in outcomes and outcomes["signals_usd"][0] == pytest.approx(200e-6)
    empty, heard = checked("{answer}", [said(" "), said("True")])
    outcomes, calls = collected(logged(tmp_path / "b", task=empty))
    assert len(heard) == 1 and "signals_usd" not in outcomes and len(calls) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["True", " true.", "▁False", "Well", "tr", ""]), st.floats(-30, 0),
            st.lists(st.tuples(st.sampled_from(["true", "TRUE ", "No", "false"]), st.floats(-30, 0)), max_size=5),
        ),
        min_size=1, max_size=16,
    )
)  # fmt: skip
def test_a_recorded_check_tells_what_the_live_one_told(told: list[Any]) -> None:
    """Four digits of each log-probability: the sum of several is as near, and 1 − p of "False" is as near as p."""
    tokens = [
        Logprob(token=word, logprob=sure, top_logprobs=[TopLogprob(token=t, logprob=p) for t, p in likely])
        for word, sure, likely in told
    ]
    live = true_logprob(said("…", *tokens).model_dump())
    words = rounded_words(said("…", *tokens).model_dump())
    assert (words is None) == (live is None)
    if words is None or live is None:
        return
    again = told_logprobs({"logprobs": words})
    assert again is not None and len(again.content) == len(words) <= len(tokens)
    after = true_logprob(said("…", *again.content).model_dump())
    assert after is not None and math.exp(after) == pytest.approx(math.exp(live), abs=3e-4)


def test_a_recorded_check_by_hand() -> None:
    """What stands before the verdict is kept bare, what stands behind it is not."""
    sure = Logprob(token="True", logprob=-0.31, top_logprobs=[
        TopLogprob(token="True", logprob=-0.310049), TopLogprob(token="Yes", logprob=-2.0),
    ])  # fmt: skip
    aside = Logprob(token="Well", logprob=-1.0, top_logprobs=[TopLogprob(token="No", logprob=-2.0)])
    kept = [["Well", -1.0, []], ["True", -0.31, [["True", -0.31], ["Yes", -2.0]]]]
    assert rounded_words(said("Well True", aside, sure, aside).model_dump()) == kept
    assert rounded_words(said("Well", aside).model_dump()) is None
    assert rounded_words(said("Well").model_dump()) is None


def test_signals_are_asked_for_and_change_no_setting(tmp_path: Path) -> None:
    plain = asking(tmp_path / "a")
    cells = asking(tmp_path / "b", logprobs=True, self_check=True)
    assert [cell.logprobs for cell in cells.values()] == [True, False, True]
    assert [bool(cell.self_check) for cell in cells.values()] == [True, False, True]
    for name, cell in cells.items():
        assert cell.settings.sha == plain[name].settings.sha and not plain[name].logprobs
        assert generate_config(cell) == generate_config(plain[name])
    own = asking(tmp_path / "c", self_check={"prompt": "{answer}: right?"})
    assert own["mockllm/model"].self_check == "{answer}: right?" and not own["mockllm/model"].logprobs
    assert not asking(tmp_path / "d", self_check=False)["mockllm/model"].self_check


def test_a_check_without_the_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sweep\.yaml: `self_check`: prompt must hold \{answer\}"):
        asking(tmp_path, self_check={"prompt": "Right?"})


def test_a_place_is_filled_once() -> None:
    assert filled("{question}|{answer}|{}", "{answer}", "{question}{x}") == "{answer}|{question}{x}|{}"
