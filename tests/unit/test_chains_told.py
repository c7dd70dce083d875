"""What commands, pages and MLflow say of a policy with chains."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from router_lab.certificate import Certificate, ChainsTooSlow, TooSlow, TurnCaps, WithoutCalls
from router_lab.cli import cli
from router_lab.cli.describe_chains import (
    answers_read,
    calls_lacking,
    caps_told,
    chain_rows,
    decision_rows,
    piece_lines,
    stages_table,
    too_slow_told,
)
from router_lab.cli.describe_policy import coverage, reads, who_serves
from router_lab.cli.fit import summary
from router_lab.cli.mirror import chain_metrics
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.replay import replay
from router_lab.report import report_html
from router_lab.report.policy import served_rows
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.chains import Chain, Judge, Stage, Term
from router_lab.runtime.features import Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Prices, Profile
from router_lab.runtime.points import Assign, Cascade, cap_described, chain_described
from router_lab.runtime.policy import Policy
from tests.fit_worlds import answered
from tests.terminal import in_terminal

CHEAP, MIDDLE, STRONG = Candidate("cheap", "low"), Candidate("middle"), Candidate("strong")
BIAS = np.array([[0.60, 0.80, 0.90, 0.001, 0.002, 0.010]] * 3)
BOUNDS = np.array([[0.0] * 3, [1.0] * 3])


def term(source: str, later: int) -> Term:
    return Term(source, (0.0, 1.0), np.zeros((3, later, 2)))


FIRST = Judge((1, 2), ("logprob", "sure"), np.zeros((3, 2)), (term("signal:sure", 2), term("agrees", 2)))
SECOND = Judge((2,), (), np.zeros((3, 1)), (term("answer:length", 1), term("quality:2", 1)))
LONG: Chain = (Stage(0, FIRST, 0.004), Stage(1, SECOND), Stage(2))
ALONE: Chain = (Stage(1),)
CAPPED: Chain = (Stage(0, None, 0.25), Stage(2, None, 0.5))
SHOWN: dict[str, Any] = {
    "share": 0.5, "escalated": 0.125, "stopped": 0.0, "signals_usd": 0.0002, "looks_at": ["signals"],
    "signals": ["logprob", "sure"], "savings_without_signals": 0.25, "quality_difference_without_signals": -0.015,
    "stages": [
        {"model": "strong", "effort": None, "asked": 0.125, "kept": 0.125, "cost_usd": 0.001},
        {"model": "cheap", "effort": "low", "asked": 0.5, "kept": 0.375, "cost_usd": 0.0005},
    ],
}  # fmt: skip
GAIN = {"value": 0.1, "low": 0.05, "high": 0.15, "n": 400, "clusters": 400, "confidence": 0.95}


def policy(*pieces: Any, chains: tuple[Chain, ...] = (LONG, ALONE), **changes: Any) -> Policy:
    known: dict[str, Any] = {
        "name": "support", "reference": 2, "suites": ("code", "triage"), "featuriser": Featuriser(buckets=1 << 8),
        "profiles": tuple(Profile(one, prices=Prices(1.0, 2.0)) for one in (CHEAP, MIDDLE, STRONG)),
        "linear": Linear.constant(BIAS, BOUNDS), "points": {"default": pieces or (Cascade((None, 0, 1), 50.0, 0.5),)},
        "point": "default", "coverage": 0.0, "routes": {}, "fallbacks": (2, 1, 0), "chains": chains,
        "certificate": {
            "verdict": "pass", "reason": "shown", "points": {"default": {"predictor": "chains"}}, "chains": SHOWN,
            "escalation_gain": GAIN,
        },
    }  # fmt: skip
    return Policy(PolicySpec(**(known | changes)))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_what_is_read_of_answers() -> None:
    told = (
        "of each answer in a chain, the signals logprob, sure, its text, whether it agrees with the one before, the "
        "predicted quality, and the predicted dollars of asking on"
    )
    assert answers_read(policy()) == told
    assert reads(policy()) == f"the suite alone: one chain for every prompt; {told}"
    assert coverage(policy()).endswith("no prompt is read to decide who is asked first")
    capped = policy(Cascade((None, 0, None), 50.0), chains=(CAPPED,))
    assert answers_read(capped) is None
    several = policy(certificate={"verdict": "pass", "points": {"default": {"predictor": "several"}}})
    assert reads(several).startswith(
        "the suite alone in some of its pieces, nothing in the others: one candidate, or one chain, for every prompt; of"
    )


def test_what_chains_do_and_what_to_do() -> None:
    assert chain_rows(policy()) == [
        ("chains", "50 % of requests go through one, 12 % ask a second candidate"),
        (
            "signals",
            "logprob, sure: $0.000200 a request; if every one went missing, 25.0 % saved, −1.5 points",
        ),
        (
            "gained",
            "10.0 % (5.0 to 15.0) of the reference's cost more than the same fit without chains, paired",
        ),
        ("caps", "cheap @ low to $0.004"),
        (
            "to do",
            "call `decision.judge(answer, signals=…)` after each answer, and ask whom it names (docs/chains.md)",
        ),
    ]
    assert f"gained      {dict(chain_rows(policy()))['gained']}" in summary(policy())
    stopped = policy(
        Cascade((None, 0, None), 50.0), chains=(CAPPED,), certificate={"chains": SHOWN | {"stopped": 0.25}}
    )
    assert [text for _, text in chain_rows(stopped)[:3]] == [
        "50 % of requests go through one, 12 % ask a second candidate, 25 % end at a cap without an answer",
        "none: no answer is judged",
        "cheap @ low to $0.25, strong to $0.5",
    ]


def test_who_is_asked_alone_is_told_as_a_candidate() -> None:
    alone = policy(Cascade((None, 0, 0), 50.0, 0.5), Assign((2, 1, 2), 0.25), chains=(ALONE,))
    assert (chain_rows(alone), stages_table(alone), caps_told(alone)) == ([], [], "")
    assert who_serves(alone)[1:] == [
        "  code        75 % middle, 25 % strong",
        "  triage      50 % middle, 50 % strong",
        "  (no suite)  strong",
    ]
    decision = alone.decide("x", suite="code", key="0")
    assert list(decision_rows(decision)) == []


def test_a_piece_is_a_row_for_each_chain() -> None:
    piece = Cascade((None, 0, 1), 50.0, 0.5)
    assert piece_lines(policy(piece), piece, 3) == [
        "0.5 by suite, tradeoff 50:",
        "  no known suite  the reference",
        "  code            cheap @ low (to $0.004) → middle → strong",
        "  triage          middle",
    ]
    many = policy(
        Cascade((None, *[0] * 6), 1.0), suites=tuple("abcdef"), chains=(CAPPED,),
        linear=Linear.constant(np.repeat(BIAS[:1], 7, axis=0), BOUNDS),
    )  # fmt: skip
    assert piece_lines(many, many.spec.points["default"][0], 3)[1:] == [
        "  no known suite      the reference",
        "  a, b, c and 3 more  cheap @ low (to $0.25) → strong (to $0.5)",
    ]


def test_the_stages_stand_in_columns() -> None:
    assert stages_table(policy()) == [
        "who chains ask, of all requests of the certificate's rows",
        "  candidate     asked  answer kept  $ / 1,000",
        "  cheap @ low  50.0 %       37.5 %     $0.500",
        "  strong       12.5 %       12.5 %      $1.00",
    ]


def test_a_decision_says_its_stage_its_signals_and_its_cap() -> None:
    first = policy(Cascade((None, 0, 1), 50.0)).decide("x", suite="code")
    assert dict(decision_rows(first)) == {
        "stage": "1 of cheap @ low → middle → strong",
        "judged": (
            "signals wanted: logprob, sure; call `decision.judge(answer, signals=…)` after each answer, and ask whom "
            "it names (docs/chains.md)"
        ),
        "cap": "$0.004: `Budget.of(decision)` stops the run there",
    }
    second = first.next("check")
    assert dict(decision_rows(second))["judged"].startswith("no signal is wanted; call")
    assert dict(decision_rows(second.next("check"))) == {"stage": "3 of cheap @ low → middle → strong"}
    capped = policy(Cascade((None, 0, None), 50.0), chains=(CAPPED,)).decide("x", suite="code")
    assert dict(decision_rows(capped))["judged"].startswith("no signal is wanted; call")


@pytest.fixture(scope="module")
def fitted() -> Policy:
    recipe = Recipe.model_validate(
        {"name": "support", "rule": {"margin": 0.05}, "reference": {"model": "large"}}
    )
    return fit_policy(recipe, answered())


def test_a_fitted_policy_is_shown_at_80_columns(fitted: Policy, tmp_path: Path) -> None:
    shown = Certificate.of(fitted).chains
    assert shown is not None and shown.signals == ("sure",) and 0 < shown.escalated < shown.share
    target = save_revision(fitted, tmp_path / "p")
    printed = in_terminal(lambda: cli(["show", str(target)], standalone_mode=False), 80)
    assert max(map(len, printed.splitlines())) <= 80
    assert "who chains ask" in printed and "small → large" in printed
    routed = run("route", target, "question", "--suite", "suite-0", "--key", "1")
    assert "stage     1 of small → large" in routed.stdout, routed.output
    as_json = json.loads(
        run("route", target, "question", "--suite", "suite-0", "--key", "1", "--json").stdout
    )
    assert (as_json["stages"], as_json["signals"]) == ([["small", None], ["large", None]], ["sure"])
    found = json.loads(run("show", target, "--json").stdout)
    assert found["certificate"]["chains"]["signals"] == ["sure"]


def test_the_report_tells_of_escalation(fitted: Policy) -> None:
    """Latencies are ten times the dollars: large takes 1 s, small .1, both 1.1."""
    page = report_html(answered(200, seed=9).assign(group=lambda d: "new " + d["group"]), policy=fitted)
    section = page[page.index("<h2>Escalation</h2>") :]
    section = section[: section.index("</section>")]
    shown = Certificate.of(fitted).chains
    assert shown is not None
    for told in (
        f"{100 * shown.escalated:.1f} %",
        "Answers are judged by sure.",
        "decision.judge(answer, signals=…)",
    ):
        assert told in section
    assert section.count('class="bar"') == 2
    cells = re.findall(r"<td>([0-9.]+) s</td>", section)
    assert cells == ["0.10", "1.10", "1.00", "1.00"]
    assert "<h2>Escalation</h2>" not in report_html(answered(200))


def test_shares_of_one_name_are_added_up(fitted: Policy) -> None:
    """Chains of the same stages at several tradeoffs, and who is asked alone, are one line each."""
    replayed = replay(fitted, answered(200, seed=9).assign(group=lambda d: "new " + d["group"]))
    assert sum(replayed.shares.values()) == pytest.approx(1.0)
    for row in served_rows(replayed):
        assert sum(row["shares"].values()) == pytest.approx(1.0)
    assert len(replayed.shares) <= 3 < len(replayed.servers) or len(replayed.servers) == 3


def test_mlflow_gets_what_the_certificate_says_of_chains() -> None:
    assert chain_metrics(policy()) == {
        "chains_share": 0.5, "chains_escalated": 0.125, "chains_stopped": 0.0, "chains_signals_usd": 0.0002,
        "chains_savings_without_signals": 0.25, "chains_gain": 0.1,
    }  # fmt: skip
    assert chain_metrics(policy(certificate={"verdict": "pass"})) == {}


def test_chains_that_are_too_slow_are_named_with_where_and_how_long() -> None:
    def told(*left_out: TooSlow) -> list[str]:
        return list(too_slow_told(ChainsTooSlow(latency_p95_s=6.0, considered=3, left_out=left_out)))

    both = (("cheap", "low"), ("strong", None))
    assert told() == ["none of 3 chains: each request within the 6.00 s allowed (P95)"]
    assert list(too_slow_told(None)) == []
    assert told(
        TooSlow(stages=both, least_s=7.25, most_s=14.0, suites=("a", "b"), some_versions=("c",)),
        TooSlow(stages=both, least_s=9.0, most_s=9.0, suites=tuple("abcde"), some_versions=()),
    ) == [
        "cheap @ low → strong: P95 7.25 s to 14 s, 6.00 s allowed; left out in a, b, some tradeoffs or caps of it in c",
        "cheap @ low → strong: P95 9.00 s, 6.00 s allowed; left out in a, b, c and 2 more",
    ]


def test_caps_in_turns_are_told_beside_those_in_dollars() -> None:
    assert cap_described(Stage(0)) == ""
    assert cap_described(Stage(0, None, 0.25)) == "$0.25"
    assert cap_described(Stage(0, cap_turns=1)) == "1 turn"
    assert cap_described(Stage(0, None, 0.25, 1200)) == "$0.25 or 1,200 turns"
    assert chain_described((Stage(0, cap_turns=12), Stage(2)), ("a", "b", "c")) == "a (to 12 turns) → c"
    lacking = WithoutCalls(candidate=("cheap", "low"), runs=3, of=1200)
    assert list(calls_lacking(None)) == []
    assert list(calls_lacking(TurnCaps(considered=(("strong", None),), left_out=(lacking,)))) == [
        "not considered of cheap @ low: 3 of its 1,200 runs have no `turns_usd` (docs/chains.md#caps)"
    ]
