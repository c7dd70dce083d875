"""Teams and harnesses in an artifact: what is no role, and what is no harness, is named although all hashes agree."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from router_lab import load_policy
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.budget import Budget
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.harness import Harness
from router_lab.runtime.model import Candidate, Limits, Profile, Role
from router_lab.runtime.policy import Policy
from router_lab.runtime.profilerules import MAX_ROLES

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "v5"
_FOUND = importlib.util.spec_from_file_location("forged", HERE / "forged.py")
assert _FOUND is not None and _FOUND.loader is not None
forged = importlib.util.module_from_spec(_FOUND)
_FOUND.loader.exec_module(forged)
TEAM = "planner m1, executor m0 + short"
Change = Callable[[dict[str, Any]], object]


def refused(artifact: Path, folder: Path, change: Change, said: str) -> None:
    copy = Path(copytree(artifact, folder / "copy"))
    value = json.loads((copy / "policy.json").read_text())
    change(value["candidates"][-1])
    forged.forge(copy, {"policy.json": json.dumps(value).encode()})
    with pytest.raises(PolicyError) as error:
        load_policy(copy)
    assert said in str(error.value)


@pytest.mark.parametrize(("change", "said"), [
    (lambda c: c["roles"].update({f"r{n}": c["roles"]["planner"] for n in range(14)}),
     f"roles of {TEAM}: 17 of them, not a mapping of up to 16"),
    (lambda c: c["roles"].update({"": c["roles"]["planner"]}), f"role '' of {TEAM} is not a text with at least one"),
    (lambda c: c.update(roles={}), "roles: none, and a candidate without is no team"),
    (lambda c: c.update(roles=[]), "wrong type or is missing"),
    (lambda c: c["roles"]["planner"].update(model=""), f"role 'planner' of {TEAM}: model '' is not a text"),
    (lambda c: c["roles"]["planner"].update(effort=7), f"role 'planner' of {TEAM}: effort 7 of m1 is neither a text"),
    (lambda c: c["roles"]["planner"].update(share=1.5), f"share 1.5 of role 'planner' of {TEAM} is neither a number"),
    (lambda c: c["roles"]["planner"].update(share=-0.1), "share -0.1 of role 'planner'"),
    (lambda c: c["roles"]["planner"].update(share="half"), "'half'"),
    (lambda c: c["roles"]["planner"].pop("share"), "share"),
    (lambda c: c["roles"]["planner"].update(limits=[1, 2]), "wrong type or is missing"),
    (lambda c: c["roles"]["planner"].update(limits=[-1, None, None]), f"of role 'planner' of {TEAM} are not null"),
    (lambda c: c["roles"]["planner"].update(prices={"input": -1, "output": 1}),
     f"a price of m1 @ low (role 'planner' of {TEAM}) is not a finite number"),
    (lambda c: c["roles"]["planner"].update(context_window=0), "context_window 0 of m1 @ low (role 'planner'"),
    (lambda c: c["roles"]["planner"].update(request={"api": "soap"}), "request.api 'soap' of m1 @ low (role"),
    (lambda c: c["roles"]["planner"].update(tier_seconds={"standard": -1}), "tier_seconds of m1 @ low (role"),
    (lambda c: c["roles"]["planner"].update(tier_seconds={f"t{n}": 1 for n in range(100)}), "102 tiers, not up to 64"),
    (lambda c: c["roles"]["planner"].update(roles={}), "has no roles of its own"),
    (lambda c: c["roles"]["planner"].update(harness="x", harness_settings={}), "a role is a model and an effort"),
    (lambda c: c["roles"]["planner"].update(share_of="x"), "share_of"),
    (lambda c: c.pop("harness_settings"), "harness and harness_settings stand together or not at all"),
    (lambda c: c.update(harness=None), "harness_settings of planner m1, executor m0 are not those of its harness"),
    (lambda c: c.update(harness_settings={"turns": 10**12}), "harness_settings.turns 1000000000000"),
    (lambda c: c.update(harness_settings={"context": {"last": 10**12}}), "harness_settings.context.last 1000000000000"),
    (lambda c: c.update(harness_settings={"context": {"first": 1}}), "is not one of last, mask, fresh, summarise"),
    (lambda c: c.update(harness_settings={"steps": 1}), "unknown key 'steps'"),
])  # fmt: skip
def test_what_is_no_team_or_no_harness_is_named(change: Change, said: str, tmp_path: Path) -> None:
    refused(GOLDEN / "team", tmp_path, change, said)


def test_harnesses_that_are_all_null_are_of_an_earlier_version(tmp_path: Path) -> None:
    copy = Path(copytree(GOLDEN / "harnesses", tmp_path / "copy"))
    value = json.loads((copy / "policy.json").read_text())
    for candidate in value["candidates"]:
        candidate.update(harness=None, harness_settings=None)
    forged.forge(copy, {"policy.json": json.dumps(value).encode()})
    with pytest.raises(
        PolicyError, match="no harness and no team, and a policy without is of an earlier version"
    ):
        load_policy(copy)


def test_a_role_has_no_budget_beside_its_teams() -> None:
    decision = load_policy(GOLDEN / "team").decide("hello")
    with pytest.raises(
        ValueError, match=r"role 'planner' spends a part .* Budget\.of\(decision\)\.role\('planner'\)"
    ):
        Budget.of(decision.roles["planner"])  # type: ignore[arg-type]


def with_last(make_spec: Any, **changes: Any) -> Policy:
    spec = make_spec()
    last = spec.profiles[-1]
    return Policy(make_spec(profiles=(*spec.profiles[:-1], last._replace(**changes))))


def test_rules_hold_for_policies_written_by_hand(make_spec: Any, tmp_path: Path) -> None:
    role = Role(Profile(Candidate("cheap", "low")), Limits(10, 1, 0.5), 1.0)
    most = with_last(make_spec, roles={f"r{n:02}": role for n in range(MAX_ROLES)})
    again = load_policy(save_policy(most, tmp_path / "most")).spec.profiles[-1]
    assert again.roles == most.spec.profiles[-1].roles and len(again.roles) == 16
    for changes, said in (
        ({"roles": {f"r{n}": role for n in range(MAX_ROLES + 1)}}, "17 of them"),
        ({"roles": {7: role}}, "role 7 of dear is not a text"),
        ({"roles": {"a": role._replace(share=2.0)}}, "share 2.0 of role 'a' of dear"),
        (
            {"roles": {"a": role._replace(profile=Profile(Candidate("m", None, "h")))}},
            "it has a harness, or roles",
        ),
        (
            {"roles": {"a": role._replace(profile=Profile(Candidate("m"), roles={"b": role}))}},
            "or roles of its own",
        ),
        ({"harness": Harness("h")}, "harness_settings of dear are not those of its harness"),
    ):
        with pytest.raises(PolicyError) as error:
            with_last(make_spec, **changes)
        assert said in str(error.value)
