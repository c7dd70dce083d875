"""What the suites share: reading answers out of what models really write, and datasets whose hash is their version.

Reading is generous about wrapping (`\\boxed{42}`, a code fence, "The answer is 42.") and strict about content: whatever
hedges between two values, or was cut off before it came to one, is no answer. Everything here is a pure function of
the text, so the tests can run it over recorded answers.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer
from inspect_ai.solver import Solver, TaskState, generate

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
MARK = r"(?:final answer|answer|result|total|label|category)"
CURRENCY = r"(?:US)?[$€£]"
MARKED_NUMBER = re.compile(
    rf"\b(?:answer|result)\b\s*(?:is|are|=|:|would be|must be)?[\s:*_]*\\?\(?\s*{CURRENCY}?\s*({NUMBER})",
    re.I,
)
BOXED = re.compile(rf"\\boxed\{{\s*(?:\\text\{{\s*)?\\?{CURRENCY}?\s*({NUMBER})")


def load_samples(suite: str) -> tuple[MemoryDataset, str]:
    """The suite's samples and the sha256 of the file that holds them."""
    path = DATASETS / suite / "data.jsonl"
    data = path.read_bytes()
    rows = [json.loads(line) for line in data.decode("utf-8").splitlines()]
    samples = [
        Sample(
            id=row["id"],
            input=row["input"],
            target=row["target"],
            metadata={k: v for k, v in row.items() if k not in ("id", "input", "target")},
        )
        for row in rows
    ]
    return MemoryDataset(samples, name=suite), hashlib.sha256(data).hexdigest()


def suite_task(suite: str, scorer: Scorer, solver: Solver | None = None, **settings: Any) -> Task:
    """A task over datasets/<suite>; the data's hash is its version, so changed samples never reuse old logs."""
    dataset, digest = load_samples(suite)
    return Task(
        dataset=dataset,
        solver=solver or generate(),
        scorer=scorer,
        name=suite,
        version=digest[:16],
        metadata={"dataset_sha": digest},
        **settings,
    )


def scored(
    value: float, *, answer: str | None, check: bool, explanation: str | None = None, **more: Any
) -> Score:
    """A score in [0, 1] with `check`: did what a runtime could test without knowing the answer hold; `more` is what
    else its metadata says."""
    return Score(
        value=float(value), answer=answer, explanation=explanation, metadata={"check": check, **more}
    )


def was_cut(state: TaskState) -> bool:
    """The last generation ended because it ran out of tokens."""
    return state.output.stop_reason in ("max_tokens", "model_length")


def to_number(text: str) -> float:
    return float(text.replace(",", ""))


def final_number(text: str, *, cut: bool = False) -> float | None:
    """The number a text settles on: boxed, else after the last "answer is", else the last one of the last line.

    "The answer is 14 + 2 = 16" settles on 16. The last rule needs the text to have ended by itself: in a text that was
    cut, the last number is some middle step.
    """
    text = text.replace("**", "").replace("\\$", "$").replace("\\,", ",")
    for pattern in (BOXED, MARKED_NUMBER):
        found = list(pattern.finditer(text))
        if found:
            last = found[-1]
            sides = re.split(r"(?<![<>=])=", re.split(r"\n|\.\s", text[last.start(1) :])[0])
            stated = re.search(NUMBER, sides[-1]) if len(sides) > 1 else None
            ends = last.end(1) if stated is None else len(text)
            return None if cut and ends == len(text) else to_number(stated[0] if stated else last[1])
    if cut:
        return None
    lines = [line for line in text.strip().splitlines() if re.search(NUMBER, line)]
    if not lines:
        return None
    return to_number(re.findall(rf"(?<![\w.]){NUMBER}|{NUMBER}", lines[-1])[-1])


def last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object that stands complete in `text`, fenced or not; a part of another object is not one."""
    decoder = json.JSONDecoder()
    found: dict[str, Any] | None = None
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = _closing_brace(text, at)
        at = text.find("{", end)
    return found


def _closing_brace(text: str, start: int) -> int:
    """Just behind the brace that closes the one at `start`; the end of the text if none does."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at + 1
    return len(text)


def same_value(got: Any, want: str) -> bool:
    """A field's value is the wanted one but for case, spaces, currency signs, a final full stop and number format."""
    if isinstance(got, bool) or got is None or isinstance(got, (list, dict)):
        return False
    left, right = _plain(str(got)), _plain(want)
    if left == right:
        return True
    try:
        return to_number(_amount(left)) == to_number(_amount(right))
    except ValueError:
        return False


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split()).rstrip(".").strip()


def _amount(text: str) -> str:
    bare = re.sub(r"^(?:usd|eur|gbp|[$€£])\s*|\s*(?:usd|eur|gbp|[$€£])$", "", text)
    if not re.fullmatch(NUMBER, bare):
        raise ValueError(f"{text!r} is no amount")
    return bare


def final_label(text: str, labels: tuple[str, ...], *, cut: bool = False) -> str | None:
    """The one label a text settles on: after the last "answer:", else alone in the last line, or else in the text."""
    plain = re.sub(
        r"\\boxed\{(?:\\text\{)?([^{}]*)\}+", r"\1", text.replace("**", "").replace("`", "")
    ).casefold()
    choice = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    marked = re.findall(
        rf"\b{MARK}\b(?:[^.:\n]{{0,60}}?\bis\b|\s*:|\s+(?:would|should) be\b)[\s:\"'*]*({choice})\b", plain
    )
    if marked:
        return str(marked[-1])
    lines = [line for line in plain.strip().splitlines() if line.strip()]
    for part in ([] if cut or not lines else [lines[-1]]) + ([] if cut else [plain]):
        mentioned = set(re.findall(rf"\b(?:{choice})\b", part))
        if len(mentioned) == 1:
            return str(mentioned.pop())
        if mentioned:
            return None
    return None
