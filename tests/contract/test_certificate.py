"""Whatever a certificate says is read into a frozen type and written back, to the byte."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import router_lab
from router_lab.certificate import Certificate, Figure, RandomMix, Reference
from router_lab.certificate.shape import Part
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes
from router_lab.runtime import jsonio
from router_lab.runtime.artifact import load_policy, save_revision
from router_lab.runtime.errors import PolicyError
from tests.fit_worlds import checked, constant, two_kinds

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def raced() -> pd.DataFrame:
    """Half of the samples were run at one in two."""
    table = two_kinds(160)
    drawn = np.where(table["sample_id"] < "s0080", 0.5, 1.0)
    return validate_outcomes(table.assign(inclusion=drawn, weight=None).drop(columns="weight"))


def not_handed_out() -> pd.DataFrame:
    """One candidate's request, a list of messages, cannot be made again."""
    table = two_kinds(60)
    request = {"suites": {"mixed": {"reproducible": False, "reason": "the solver changes it"}}}
    table.attrs["candidates"] = [{"model": "small", "effort": None, "request": request}]
    return table


KINDS: dict[str, tuple[dict[str, Any], Callable[[], pd.DataFrame]]] = {
    "margin": ({"rule": {"margin": 0.1}}, lambda: two_kinds(160)),
    "quality": (
        {"rule": {"min_quality": 0.6}},
        lambda: constant({"a": 0.9, "b": 0.85}, {"a": 0.1, "b": 0.01}, 120),
    ),
    "budget": ({"rule": {"budget_usd_per_1k": 60}, "reference": {"model": "small"}}, lambda: two_kinds(160)),
    "strict": ({"rule": {"margin": 0.1}, "strict": True}, lambda: two_kinds(160)),
    "escalation": ({"rule": {"margin": 0.05}}, lambda: checked(300)),
    "race": ({"rule": {"margin": 0.1}}, raced),
    "points": (
        {"rule": {"margin": 0.1}, "points": {"thrifty": {"margin": 0.2}}, "mix": False},
        lambda: two_kinds(160),
    ),
    "no costs": ({"rule": {"margin": 0.1}}, lambda: two_kinds(60).assign(cost_usd=None)),
    "no test split": ({"rule": {"margin": 0.1}, "holdout": 0}, lambda: two_kinds(60)),
    "not handed out": ({"rule": {"margin": 0.1}}, not_handed_out),
    "diagnosed": ({"rule": {"margin": 0.1}}, lambda: two_kinds(60)),
}


def forgetting(value: Any) -> Any:
    """The same, as if a fit had made it: nothing is kept of what it was read from."""
    if isinstance(value, Part):
        own = {f.name: forgetting(getattr(value, f.name)) for f in fields(value) if f.name != "said"}
        return replace(value, said=None, **own)
    if isinstance(value, tuple):
        return tuple(forgetting(one) for one in value)
    return {name: forgetting(one) for name, one in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_fitted_survives_to_the_byte(kind: str, tmp_path: Path) -> None:
    """Key for key and in their order; and the fields alone say all of it, so no key goes by without a type."""
    rule, table = KINDS[kind]
    policy = fit_policy(
        Recipe.model_validate({"name": "k", **rule}), table(), diagnostics=kind == "diagnosed"
    )
    made = policy.spec.certificate
    read = Certificate.of(policy)
    assert json.dumps(read.to_json()) == json.dumps(made)
    assert json.dumps(forgetting(read).to_json()) == json.dumps(made)
    folder = save_revision(policy, tmp_path)
    again = Certificate.of(load_policy(folder))
    assert again == read and jsonio.dumps(again.to_json()) == (folder / "certificate.json").read_bytes()
    said = {name for name in ("escalation_gain", "unknown_suites", "requests_not_reproducible", "diagnostics", "test")
            if getattr(read, name) is not None}  # fmt: skip
    assert said == {
        "escalation": {"escalation_gain", "test"}, "no test split": set(), "diagnosed": {"diagnostics", "test"},
        "not handed out": {"requests_not_reproducible", "test"}, "quality": {"unknown_suites", "test"},
    }.get(kind, {"test"})  # fmt: skip


def test_golden_files_survive() -> None:
    known = [path.read_bytes() for path in GOLDEN.glob("v*/*/certificate.json")]
    assert len(known) >= 5
    assert [jsonio.dumps(Certificate.from_json(json.loads(text)).to_json()) for text in known] == known


def test_what_is_not_known_is_kept_at_every_level() -> None:
    """Unknown keys, the order of all, and null beside what is missing; also a key named as a part's own memory."""
    said = {
        "later": [{"n": -1}], "n": 3, "said": {"x": 1}, "margin": None, "from_json": 1,
        "savings": {"high": None, "value": 0, "p": "q"}, "suites": {"a": {"table": {"why": None}, "new": 2.0}},
        "fixed": [{"effort": None, "cost_usd": None, "model": "m", "said": None}],
    }  # fmt: skip
    before = copy.deepcopy(said)
    read = Certificate.from_json(said)
    assert json.dumps(read.to_json()) == json.dumps(said) == json.dumps(before)
    assert (read.n, read.margin, read.verdict) == (3, None, None)
    changed = replace(read, n=4, margin=0.5, verdict="pass").to_json()
    assert changed == {**said, "n": 4, "margin": 0.5, "verdict": "pass"} and list(changed)[-1] == "verdict"
    assert "n" in replace(read, n=None).to_json()


def test_it_is_frozen_and_says_who() -> None:
    shown = Certificate(verdict="pass", reference=Reference(model="m", effort=None))
    with pytest.raises(FrozenInstanceError):
        shown.verdict = "fail"  # type: ignore[misc]
    assert shown.reference is not None and str(shown.reference.candidate) == "m"
    assert (
        shown.over_mix == Figure()
        and shown.counted == "rows"
        and replace(shown, n=4000).counted == "4,000 rows"
    )
    mix = RandomMix(model="m", effort="low", probability=0.5, quality_difference=None, savings=None)
    assert mix.to_json() == {
        "model": "m", "effort": "low", "probability": 0.5, "quality_difference": None, "savings": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "text"),
    [([], "the file: [] is not an object"), (None, "the file: is not an object"),
     ({"judged": {"unit": "usd_per_1k", "confidence": 0.9, "rows": "fresh", "floor": 0}}, "judged.ceiling: is missing"),
     ({"judged": {"unit": "quality", "confidence": 0.9, "rows": "fresh", "ceiling": 0}}, "judged.floor: is missing"),
     ({"quality_difference": {}, "n": 1, "clusters": 1}, "savings: is missing"),
     ({"quality_difference": {}, "savings": None, "n": 1}, "clusters: is missing"),
     ({"margin": 0.1}, "confidence: is missing"), ({"n": True}, "n: True is not a whole number of 0 or more"),
     ({"mix": 1.01}, "mix: 1.01 is not a share from 0 to 1"),
     ({"fixed": [{"model": "m", "effort": None, "cost_usd": 0}, {"model": "m", "effort": None}]},
      "fixed[1].cost_usd: is missing"),
     ({"fixed": {}}, "fixed: {} is not a list"), ({"suites": []}, "suites: [] is not an object"),
     ({"suites": {"a.b": {"table": {"p_holm": "x"}}}}, "suites.a.b.table.p_holm: 'x' is not a share from 0 to 1"),
     ({"requests_not_reproducible": [{"candidates": [["m", 3]]}]},
      "requests_not_reproducible[0].candidates[0][1]: 3 is not text or null"),
     ({"diagnostics": {"learning_curve": [{"savings": {"low": 1e101}}]}},
      "diagnostics.learning_curve[0].savings.low: 1e+101 is not a number within ±1e+100"),
     ({"digests": {"develop": None}}, "digests.develop: is not text"),
     ({"points": {"default": None}}, "points.default: is not an object"),
     ({"unknown_suites": {"gain": {"value": float("nan")}}},
      "unknown_suites.gain.value: nan is not a number within ±1e+100")],
)  # fmt: skip
def test_what_no_certificate_has_is_refused_by_its_place(said: Any, text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        Certificate.from_json(said)
    assert str(refused.value) == (
        f"certificate.json: {text}, so this certificate cannot be read; "
        "take the artifact from where it was fitted, or fit again"
    )


NAMES = sorted({f.name for kind in [Certificate, *Part.__subclasses__()] for f in fields(kind)})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-2, 2)
    | st.text(max_size=3)
    | st.sampled_from(NAMES)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=2), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), JSON, max_size=6))
def test_any_object_is_refused_by_a_key_of_it_or_given_back(said: dict[str, Any]) -> None:
    try:
        read = Certificate.from_json(said)
    except PolicyError as error:
        place = str(error).removeprefix("certificate.json: ").split(":")[0]
        first = place.split(".")[0].split("[")[0]
        assert first in said or first in ("n", "clusters", "confidence", "savings")
        return
    assert json.dumps(read.to_json()) == json.dumps(said)
    assert Certificate.from_json(read.to_json()) == read


def test_no_reader_looks_up_a_key() -> None:
    """Outside the runtime, which only carries it, a certificate is handed on as a whole or read as the type."""
    package = Path(router_lab.__file__).parent
    lines = [
        line.strip()
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] not in ("certificate", "runtime")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "spec.certificate" in line
    ]
    whole = re.compile(r"(dict|_digest)\((policy\.)?spec\.certificate\b(?!\)?[.\[])")
    assert len(lines) == 3 and [line for line in lines if not whole.search(line)] == []
