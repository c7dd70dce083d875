"""What moves from one policy to another: by hand, and as `decide` does it for many keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.cli.describe_policy import guard, reads
from router_lab.cli.diff import _changes, diff, effect
from router_lab.gates.arms import arm, moves
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.runtime.artifact import load_policy, save_revision
from router_lab.runtime.chains import Chain, Judge, Stage, Term
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.harness import Harness
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, PolicySpec, Prices, Profile, Role, Route
from router_lab.runtime.points import Assign, Cascade, Follow
from router_lab.runtime.policy import Policy

NAMES = ("cheap", "dear", "mid")
SUITES = ("a", "b")
COST = {"cheap": 0.001, "dear": 0.01, "mid": 0.004}


def policy(picks: dict[str, str], mix: float, *, reference: str = "dear", **changes: Any) -> Policy:
    """A policy whose predictions pick a candidate by suite, which replaces the reference with probability `mix`."""
    bias = np.zeros((len(SUITES) + 1, 6))
    bias[:, 3:] = [COST[name] for name in NAMES]
    for row, suite in enumerate((None, *SUITES)):
        bias[row, NAMES.index(picks.get(suite or "", reference))] = 1.0
    spec = PolicySpec(
        name="support", profiles=tuple(Profile(Candidate(name)) for name in NAMES), reference=NAMES.index(reference),
        suites=SUITES, featuriser=Featuriser(buckets=1 << 8), point="default", coverage=0.0, routes={},
        linear=Linear.quantised(
            seen=np.arange(1 << 8), weights=np.zeros((1 << 8, 6)), bias=bias, dense=np.zeros((len(DENSE), 6)),
            cost_bounds=np.array([[0.0] * 3, [1.0] * 3]),
        ),
        points={"default": (Follow(0.0, 0.0, mix),)}, fallbacks=(1, 0, 2), certificate={"verdict": "pass"},
    )  # fmt: skip
    return Policy(replace(spec, **changes))


def table(n: int = 60) -> pd.DataFrame:
    """n samples, two thirds in suite a. cheap is right on every other one, mid on all but every fourth, dear on all."""
    right = {"cheap": 2, "mid": 4, "dear": n + 1}
    rows = [
        {"suite": "a" if i % 3 else "b", "sample_id": f"{i:03d}", "model": name, "prompt": f"question {i}",
         "quality": float((i + 1) % right[name] > 0), "cost_usd": COST[name]}
        for i in range(n) for name in NAMES
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def test_a_mix_moves_only_the_share_by_which_it_changed() -> None:
    """.30 and .58 of the same candidate: .28 of the requests move, although most are served by another name at most
    draws; on suite b neither policy moves anything."""
    old, new = policy({"a": "cheap"}, 0.30), policy({"a": "cheap"}, 0.58)
    found = effect(old, new, table())
    assert found["moved"] == pytest.approx(0.28 * 40 / 60)
    assert found["moves"] == {"dear → cheap": pytest.approx(0.28 * 40 / 60)}
    (pair,) = found["pairs"]
    assert pair["was"]["model"] == "dear" and pair["now"]["model"] == "cheap"
    assert pair["quality_difference"] == pytest.approx(-0.5)
    assert (pair["cost_usd_before"], pair["cost_usd_after"]) == pytest.approx((0.01, 0.001))
    assert found["quality_difference"]["value"] == pytest.approx(-0.5 * 0.28 * 40 / 60)
    before = 20 * 0.01 + 40 * (0.30 * 0.001 + 0.70 * 0.01)
    assert found["savings"]["value"] == pytest.approx(0.28 * 40 * 0.009 / before)
    back = effect(new, old, table())
    assert back["moves"] == {"cheap → dear": pytest.approx(0.28 * 40 / 60)}


def test_another_candidate_and_another_reference_by_hand() -> None:
    """Draws below .3: cheap before, mid after; to .5: dear before, mid after; above: dear before, cheap after."""
    old, new = (
        policy({"a": "cheap", "b": "cheap"}, 0.3),
        policy({"a": "mid", "b": "mid"}, 0.5, reference="cheap"),
    )
    found = effect(old, new, table())
    assert found["moved"] == pytest.approx(1.0)
    assert found["moves"] == {
        "dear → cheap": pytest.approx(0.5), "cheap → mid": pytest.approx(0.3), "dear → mid": pytest.approx(0.2),
    }  # fmt: skip


def test_pieces_move_where_their_stretches_differ() -> None:
    """On suite a, 40 of 60 rows. Draws to .25: cheap before, mid after; to .5: cheap and cheap; to .75: mid and cheap;
    the rest: dear and cheap. On suite b dear serves before and after."""
    old = policy({}, 0.0, points={"default": (Assign((1, 0, 1), 0.5), Assign((1, 2, 1), 0.25))})
    new = policy({"a": "cheap"}, 0.0, points={"default": (Assign((1, 2, 1), 0.25), Follow(0.0, 0.0, 0.75))})
    found = effect(old, new, table())
    share = 40 / 60
    assert found["moved"] == pytest.approx(0.75 * share)
    assert found["moves"] == {
        "cheap → mid": pytest.approx(0.25 * share), "mid → cheap": pytest.approx(0.25 * share),
        "dear → cheap": pytest.approx(0.25 * share),
    }  # fmt: skip
    assert effect(new, new, table())["moved"] == 0
    # Sums of shares that are rounded in another way (.6 and .6000000000000001) move nobody.
    thirds = policy({}, 0.0, points={"default": (Assign((1, 0, 1), 0.2),) * 3})
    assert (
        effect(thirds, policy({}, 0.0, points={"default": (Assign((1, 0, 1), 0.6),)}), table())["moves"] == {}
    )


def test_diff_names_who_is_assigned() -> None:
    before = policy({"a": "cheap"}, 0.3)
    after = policy({}, 0.0, points={"default": (Assign((1, 0, 2), 0.3), Assign((1, 1, 1), 0.1))})
    assert _changes(before, after) == [
        "point default: tradeoff 0, guard 0, mix 0.3 → mix 0.4: 0.3 cheap for 1 suite, mid for 1 suite, dear for no "
        "known suite; 0.1 dear for all"
    ]


@pytest.mark.parametrize(("mix", "moved"), [(0.0, 0.0), (1.0, 1.0), (0.7, 0.7)])
def test_an_idle_policy_and_a_certain_one(mix: float, moved: float) -> None:
    """Against mix 0 exactly the other's mix moves, and one and the same policy moves nothing, whatever its mix."""
    idle, other = policy({"a": "cheap", "b": "mid"}, 0.0), policy({"a": "cheap", "b": "mid"}, mix)
    assert effect(idle, other, table())["moved"] == pytest.approx(moved)
    same = effect(other, other, table())
    assert same["moved"] == 0 and same["moves"] == {} and same["quality_difference"]["low"] == 0.0


PIECES = (Follow(0.0, 0.0, 0.25), Assign((1, 0, 2), 0.3), Assign((2, 2, 0), 0.125))
WORLDS = [
    (({"a": "cheap", "b": "mid"}, 0.3, {}), ({"a": "mid", "b": "mid"}, 0.8, {})),
    (({"a": "cheap"}, 0.9, {}), ({"a": "mid", "b": "cheap"}, 0.4, {"reference": "mid"})),
    (
        ({"a": "cheap", "b": "mid"}, 0.5, {"coverage": 2.0, "routes": {"a": Route(2, "pass")}}),
        ({"a": "mid"}, 0.5, {}),
    ),
    (({"a": "cheap"}, 0.6, {}), ({"b": "mid"}, 0.0, {"points": {"default": PIECES}})),
    (
        ({}, 0.0, {"points": {"default": PIECES[1:]}}),
        ({"a": "mid", "b": "cheap"}, 0.0, {"points": {"default": PIECES}}),
    ),
    (
        ({}, 0.0, {"points": {"default": PIECES}, "coverage": 2.0, "routes": {"a": Route(2, "pass")}}),
        ({"b": "cheap"}, 0.0, {"points": {"default": PIECES[::-1]}, "reference": "mid"}),
    ),
]


@pytest.mark.parametrize(("old", "new"), WORLDS)
def test_it_is_what_decide_does_over_many_keys(old: Any, new: Any) -> None:
    outcomes = table(12)
    before, after = (policy(picks, mix, **more) for picks, mix, more in (old, new))
    found = effect(before, after, outcomes)
    asked = outcomes.drop_duplicates(["suite", "sample_id"])[["suite", "prompt"]].itertuples(
        index=False, name=None
    )
    seen: dict[str, float] = {}
    keys, rows = 300, list(asked)
    for suite, prompt in rows:
        for key in range(keys):
            was, now = (p.decide(prompt, suite=suite, key=f"{prompt} {key}").model for p in (before, after))
            if was != now:
                seen[f"{was} → {now}"] = seen.get(f"{was} → {now}", 0.0) + 1 / keys / len(rows)
    assert found["moves"] == {name: pytest.approx(share, abs=0.035) for name, share in seen.items()}
    assert found["moved"] == pytest.approx(sum(seen.values()), abs=0.035)
    rowwise = moves(arm(before, outcomes), arm(after, outcomes)).moved
    assert rowwise.mean() == pytest.approx(found["moved"])


def test_diff_prints_expected_movement(tmp_path: Path) -> None:
    old, new = (save_revision(policy({"a": "cheap", "b": "cheap"}, mix), tmp_path) for mix in (0.30, 0.58))
    path = write_outcomes(table(), tmp_path / "o.parquet")
    said = CliRunner().invoke(diff, [str(old), str(new), "--outcomes", str(path)]).output
    assert "on 60 rows that neither was fitted on, 28.0 % of requests move, one draw for both\n" in said
    assert "   28.0 %  dear → cheap: quality −50.0 points, $10.00 → $1.00 per 1,000\n" in said
    value = json.loads(
        CliRunner().invoke(diff, [str(old), str(new), "--outcomes", str(path), "--json"]).stdout
    )
    assert value["moved"] == pytest.approx(0.28) and value["pairs"][0]["share"] == pytest.approx(0.28)


def chained(first: float, *, name: str = "sure") -> Policy:
    """cheap, and dear where the signal is below `first` / 2."""
    term = Term(f"signal:{name}", (0.0, 1.0), np.array([[[first, first - 2]]] * 3))
    chain: Chain = (Stage(0, Judge((1,), (name,), np.zeros((3, 1)), (term,))), Stage(1))
    return policy({}, 0.0, chains=(chain,), points={"default": (Cascade((0, 0, 0), 0.0),)})


def test_chains_of_the_same_stages_move_what_they_judge_otherwise() -> None:
    """Signals are i / 60: one chain goes on below .5, the other below .25. The 15 samples between are answered by cheap
    alone, right on 7 of them, and no longer by dear as well."""
    outcomes = table()
    outcomes["signal_sure"] = outcomes["sample_id"].astype(int) / 60
    found = effect(chained(1.0), chained(0.5), outcomes)
    assert found["moved"] == 0.25
    assert found["moves"] == {"[cheap → dear], judged otherwise": 0.25}
    [pair] = found["pairs"]  # type: ignore[misc]
    assert pair["quality_difference"] == pytest.approx(7 / 15 - 1)
    assert (pair["cost_usd_before"], pair["cost_usd_after"]) == (pytest.approx(0.011), pytest.approx(0.001))
    assert found["quality_difference"]["value"] == pytest.approx(-8 / 60)  # type: ignore[index]
    assert effect(chained(1.0), chained(1.0), outcomes)["moved"] == 0.0
    away = effect(chained(1.0), policy({}, 0.0), outcomes)
    assert away["moves"] == {"[cheap → dear] → dear": pytest.approx(1.0)}


def test_changed_acceptance_models_are_said() -> None:
    changed = ["acceptance models of cheap → dear: changed"]
    assert (
        _changes(chained(1.0), chained(0.5)) == changed == _changes(chained(1.0), chained(1.0, name="other"))
    )
    assert _changes(chained(1.0), chained(1.0)) == []
    [line] = _changes(chained(1.0), policy({}, 0.0, points={"default": (Assign((0, 0, 0)),)}))
    assert line == "point default: mix 1: 1 cheap → dear for all, tradeoff 0 → mix 1: 1 cheap for all"


def test_what_a_candidate_sends_costs_and_consists_of_is_compared() -> None:
    """A request that is not the one that was measured, another price, another executor."""

    def teams(executor: str, most: int, usd: float, rounds: int) -> Policy:
        request = {"api": "openai_chat", "arguments": {"max_tokens": most}, "system": "s" * 80 + executor}
        who = Candidate("team", None, "short")
        team = Profile(
            who, roles={"executor": Role(Profile(Candidate(executor)), share=0.25)},
            harness=Harness("short", context={"last": rounds}),
        )  # fmt: skip
        single = Profile(
            Candidate("dear"),
            request,
            Prices(input=usd, output=2.0),
            context_window=1000 if most > 100 else None,
        )
        spec = policy({}, 0.0).spec
        return Policy(replace(spec, profiles=(spec.profiles[0], single, team), reference=1))

    lines = _changes(teams("a", 100, 1.0, 2), teams("b", 200, 1.5, 1))
    assert [line for line in lines if not line.startswith("dear: request system")] == [
        "dear: context window none → 1000",
        "dear: price input 1.0 → 1.5",
        "dear: request max_tokens 100 → 200",
        "team + short: harness context: last 2 rounds → context: last round",
        "team + short: role executor a → b",
    ]
    (system,) = (line for line in lines if line.startswith("dear: request system"))
    was, now = system.removeprefix("dear: request system ").split(" → ")
    assert was != now and was[:30] == now[:30] == "s" * 30
    assert _changes(teams("a", 100, 1.0, 2), teams("a", 100, 1.0, 2)) == []


def test_a_guard_is_told_with_the_points_that_it_forgives() -> None:
    """Of the golden artifacts that are guarded one has no slack, the other one of .0625."""
    folder = Path(__file__).parents[1] / "golden" / "v1"
    plain, heads = (load_policy(folder / name) for name in ("guarded", "heads"))
    told = "a prompt's last 3 words add {} points at most to what speaks against the reference"
    assert guard(plain) == told.format("0.0") and guard(heads) == told.format("6.2")
    assert told.format("6.2") in reads(heads)
    assert f"{told.format('0.0')} → {told.format('6.2')}" in _changes(plain, heads)
    assert not any("last 3 words" in line for line in _changes(heads, heads))
