"""`evaluate` beside chains: which decisions of a log are the same action as a policy's, and how likely each was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.evaluate import evaluate, read_log
from router_lab.evaluate.told import to_text
from router_lab.runtime.chains import Chain, Judge, Stage
from router_lab.runtime.decisions import DecisionLog
from router_lab.runtime.points import Assign, Cascade, Piece
from router_lab.runtime.policy import Policy
from tests.log_worlds import always

OWN = "c" * 64
CHEAP, DEAR = 0, 1
ONE: Chain = (Stage(CHEAP),)
STOPPED: Chain = (Stage(CHEAP, cap_usd=0.25),)
TWO: Chain = (Stage(CHEAP, Judge((DEAR,), (), np.zeros((2, 1)), ())), Stage(DEAR))


def chained(*pieces: Piece, chains: tuple[Chain, ...]) -> Policy:
    """The saved revision OWN of such a policy; what no piece takes is dear's, the reference."""
    spec = replace(always("dear").spec, points={"default": pieces}, chains=chains)
    return Policy(spec, revision=OWN)


def week(path: Path, *kinds: tuple[int, float, dict[str, Any]]) -> Path:
    """Of each kind so many decisions of OWN, of one quality, with such columns."""
    lines: list[dict[str, Any]] = []
    for count, quality, row in kinds:
        for _ in range(count):
            number = str(len(lines))
            lines.append({
                "kind": "decision", "id": number, "time": float(len(lines)), "suite": "triage", "effort": None,
                "tier": "standard", "quality": 0.8, "cost_usd": 0.01, "code": "chained", "revision": OWN,
                "draw": f"{len(lines):016x}", **row,
            })  # fmt: skip
            lines.append({"kind": "outcome", "id": number, "quality": quality, "cost_usd": 0.001})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


MIXED = chained(Cascade((None, 0), 50.0, 0.5), Assign((DEAR, CHEAP), 0.25), chains=(ONE,))
"""cheap for three quarters, half of all as a chain of one stage."""
OF_CHEAP = {"model": "cheap", "propensity": 0.75}
OF_DEAR = {"model": "dear", "propensity": 0.25}


def test_a_policy_is_the_same_as_the_log_of_its_own_decisions(tmp_path: Path) -> None:
    """.75·.6 + .25·.8 = .65, which the log holds itself; the chain of one stage is cheap alone."""
    kinds = ((200, 0.6, OF_CHEAP | {"stage": 0, "stages": 1}), (100, 0.6, OF_CHEAP), (100, 0.8, OF_DEAR))
    found = evaluate(MIXED, read_log(week(tmp_path / "w.jsonl", *kinds)))
    text = to_text(found)
    assert found.overlap.agree == 1.0 and "would have asked the same candidate on 100% of them" in text
    assert found.labels == ("cheap", "dear", "middle") and found.notes == ()
    assert [(one.column, one.mass, one.rows) for one in found.overlap.asked] == [
        (0, 0.75, 300),
        (1, 0.25, 100),
    ]
    quality = found.figures["quality"]
    assert quality.value.value == pytest.approx(0.65, abs=1e-4) and quality.difference.value == pytest.approx(
        0.0, abs=1e-4
    )
    assert found.verdict.verdict == "pass", text


def test_one_stage_is_its_candidate_unless_a_cap_stops_it(tmp_path: Path) -> None:
    """Of 400 decisions cheap was asked on 300: on 200 of them in a chain of one stage."""
    for capped, agree in (({}, 0.75), ({"capped": True}, 0.25)):
        kinds = (
            (200, 0.6, OF_CHEAP | {"stage": 0, "stages": 1} | capped), (100, 0.6, OF_CHEAP), (100, 0.8, OF_DEAR)
        )  # fmt: skip
        found = evaluate(always("cheap"), read_log(week(tmp_path / "w.jsonl", *kinds)))
        assert found.overlap.agree == pytest.approx(agree)
        assert any("may have asked a second" in note for note in found.notes) == bool(capped)


def test_chains_of_several_stages_are_actions_of_their_own_with_their_own_chance(tmp_path: Path) -> None:
    """The log has .75 for cheap first: .5 go on where an answer is not kept, of two chains that begin alike, and .25
    do not. .5·.9 + .25·.6 + .25·.8 = .8; cheap alone gives .6, and each of its 100 stands for four."""
    champion = chained(
        Cascade((None, 0), 50.0, 0.3),
        Cascade((None, 1), 80.0, 0.2),
        Assign((DEAR, CHEAP), 0.25),
        chains=(TWO, TWO),
    )
    kinds = ((200, 0.9, OF_CHEAP | {"stage": 0, "stages": 2}), (100, 0.6, OF_CHEAP), (100, 0.8, OF_DEAR))
    log = read_log(week(tmp_path / "w.jsonl", *kinds))
    own = evaluate(champion, log)
    assert own.labels == ("cheap", "dear", "middle", "cheap → dear") and own.overlap.agree == 1.0
    assert own.overlap.asked[0].mass == pytest.approx(0.5) and own.overlap.asked[0].rows == 200
    assert own.figures["quality"].value.value == pytest.approx(0.8, abs=1e-4)
    assert own.verdict.verdict == "pass" and own.notes == ()
    other = evaluate(always("cheap"), log, against=champion)
    assert other.overlap.asked[0].rows == 100 and other.overlap.asked[0].told == pytest.approx(1.0)
    assert other.figures["quality"].value.value == pytest.approx(0.6, abs=1e-4)
    assert "200 decisions may have asked a second candidate" in " ".join(other.notes)


def test_whom_the_log_lacks_is_told_by_the_stages(tmp_path: Path) -> None:
    """Another revision's chain judged nobody knows how: it is not the policy's, and the label can be told apart."""
    path = week(
        tmp_path / "w.jsonl", (200, 0.9, OF_CHEAP | {"stages": 2, "revision": "d" * 64}), (99, 0.8, OF_DEAR)
    )
    target = chained(Cascade((None, 0), 50.0, 0.5), Cascade((None, 1), 50.0, 0.5), chains=(TWO, STOPPED))
    found = evaluate(target, read_log(path))
    assert found.verdict.verdict == "inconclusive"
    assert "cheap → dear (50% of its requests, asked on 0)" in found.verdict.reason
    assert "cheap (to $0.25) (50% of its requests, asked on 0)" in found.verdict.reason


def test_decisions_at_another_point_are_not_the_policy_s_own(tmp_path: Path) -> None:
    """.9 for cheap is none of MIXED's probabilities: on average it would have asked the same on .75·.75 + .25·.25."""
    kinds = ((300, 0.6, OF_CHEAP | {"propensity": 0.9}), (100, 0.8, OF_DEAR | {"propensity": 0.1}))
    found = evaluate(MIXED, read_log(week(tmp_path / "w.jsonl", *kinds)))
    assert found.overlap.agree == pytest.approx(0.625)


@pytest.mark.parametrize("stages", [0, -1, True, "2", 1.5, None])
def test_what_is_no_number_of_stages_is_no_candidate_s_answer(tmp_path: Path, stages: object) -> None:
    path = week(tmp_path / "w.jsonl", (30, 0.9, OF_CHEAP | {"stages": stages}), (30, 0.8, OF_DEAR))
    agree = evaluate(always("cheap"), read_log(path)).overlap.agree
    assert agree == pytest.approx(0.5 if stages is None else 0.0)  # a key without a value is not known


def test_the_log_says_of_a_capped_stage_that_it_is(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    for chain in (STOPPED, ONE):
        log.write(chained(Cascade((None, 0), 50.0, 1.0), chains=(chain,)).decide("x", suite="triage"))
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(row["stages"], row.get("capped")) for row in rows] == [(1, True), (1, None)]


def test_a_chain_whose_first_stage_a_host_cannot_ask_is_what_is_left_of_it(tmp_path: Path) -> None:
    """cheap → dear where only dear may be asked is dear alone: the policy's own, and anybody's who asks dear."""
    served = chained(Cascade((None, 0), 50.0), chains=(TWO,))
    log = DecisionLog(tmp_path / "w.jsonl", prompts=True)
    for i in range(60):
        decision = served.decide("x", suite="triage", key=str(i), allowed=[("dear", None)])
        assert decision.evidence["stage"] == 1 and decision.evidence["stages"] == 2
        log.outcome(log.write(decision, prompt="x", suite="triage"), quality=0.5, cost_usd=0.01)
    rows = read_log(log.path)
    for target in (served, always("dear"), always("cheap")):
        found = evaluate(target, rows, metrics=("quality",))
        assert found.figures["quality"].value.value == pytest.approx(0.5)
        assert "asked the same candidate on 100%" in to_text(found)
