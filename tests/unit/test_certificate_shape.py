"""A certificate that was forged, with hashes that agree: one line that names the key, or every reader copes with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from router_lab.certificate import Certificate
from router_lab.cli import cli
from router_lab.cli.demo import comparison
from router_lab.cli.describe_policy import who_serves
from router_lab.cli.fit import summary
from router_lab.cli.gate import gates_for
from router_lab.cli.mirror import placed, same_rows
from router_lab.cli.production_check import promised
from router_lab.cli.show import _as_json, _candidates, _head, _routes
from router_lab.config import Gate, Recipe
from router_lab.fit import fit_policy
from router_lab.gates import run_gates
from router_lab.outcomes import validate_outcomes, write_outcomes
from router_lab.replay import replay
from router_lab.report import candidate_table, front_svg, report_html
from router_lab.runtime.artifact import load_policy, save_revision
from router_lab.runtime.errors import PolicyError
from router_lab.runtime.policy import Policy

GONE = object()
WRONG = ["text", "\x1b[2J", -1, 0.5, 1e12, 1e100, 1e300, 10**400, True, [], {}, [[]], None, GONE]


@pytest.fixture(scope="module")
def outcomes() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"suite": suite, "sample_id": f"{n}", "model": model, "prompt": f"question {n} {suite}",
         "quality": float(rng.random() < q), "cost_usd": usd}
        for suite in ("a", "b") for n in range(150) for model, q, usd in (("big", 0.9, 0.01), ("tiny", 0.88, 0.001))
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def policy(outcomes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    recipe = Recipe.model_validate({"name": "forged", "rule": {"margin": 0.2}, "holdout": 0.3})
    return load_policy(
        save_revision(fit_policy(recipe, outcomes, diagnostics=True), tmp_path_factory.mktemp("p"))
    )


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything lies in a certificate; of a list, and of the suites, the first."""
    yield at
    items = list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, part in items[:1] if isinstance(value, list) or at == ("suites",) else items:
        yield from places(part, (*at, key))


def forged(certificate: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = at = dict(certificate)
    for key in place[:-1]:
        at[key] = copy.copy(at[key])
        at = at[key]
    if value is GONE:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return result


def read_out(policy: Policy, outcomes: pd.DataFrame) -> None:
    """Everything that reads a certificate out, but for what is slow."""
    told = [*_head(policy), *_candidates(policy), *who_serves(policy), *_routes(policy), *summary(policy)]
    told += comparison(Certificate.of(policy))
    assert "forged" in told[0] and json.dumps(_as_json(policy)) and "margin" in promised(policy)


def test_whatever_lies_anywhere_in_it_is_refused_by_name_or_read_by_all(
    policy: Policy, outcomes: pd.DataFrame
) -> None:
    good = json.loads(json.dumps(dict(policy.spec.certificate)))
    assert good["test"]["n"] > 0 and good["suites"].keys() == {"a", "b"} and good["diagnostics"]
    refused = read = 0
    for place in places(good):
        for value in WRONG if place else ():
            certificate = forged(good, place, value)
            try:
                Certificate.from_json(certificate)
            except PolicyError as error:
                refused += 1
                assert "certificate.json: " in str(error) and "\n" not in str(error)
                assert str(place[0]) in str(error), (place, value)
                continue
            read += 1
            read_out(
                Policy(replace(policy.spec, certificate=certificate), revision=policy.revision), outcomes
            )
    assert refused > read > 200


def test_it_is_read_once_and_anothers_is_another(policy: Policy) -> None:
    first = Certificate.of(policy)
    assert Certificate.of(policy) is first
    certificate = forged(dict(policy.spec.certificate), ("n",), 7)
    other = Policy(replace(policy.spec, certificate=certificate))
    assert Certificate.of(other).n == 7 and Certificate.of(policy).n == first.n != 7


@pytest.mark.parametrize(
    "place", [("quality_difference",), ("n",), ("judged",), ("fixed",), ("random_mix",), ("mix",)]
)
def test_pages_and_gates_do_without(policy: Policy, outcomes: pd.DataFrame, place: tuple[str, ...]) -> None:
    good = json.loads(json.dumps(dict(policy.spec.certificate)))
    for value in (None, GONE, *([{}] if place[0] == "quality_difference" else [])):
        certificate = forged(good, place, value)
        if place == ("n",):
            with pytest.raises(PolicyError, match=rf"certificate\.json: {place[0]}: is missing"):
                Certificate.from_json(certificate)
            continue
        Certificate.from_json(certificate)
        less = Policy(replace(policy.spec, certificate=certificate), revision=policy.revision)
        assert "forged" in report_html(outcomes, policy=less)
        assert run_gates(less, outcomes, [Gate(metric="certificate", min=1)]).results


@pytest.mark.parametrize(
    "places",
    [[("savings",)], [("random_mix", "savings")], [("test", "savings"), ("test", "clusters")], [("test", "n")],
     [("fixed", 0, "quality")], [("confidence",), ("margin",)], [("quality_difference",), ("n",), ("clusters",)]],
)  # fmt: skip
def test_what_is_null_is_coped_with_by_every_reader(
    policy: Policy, outcomes: pd.DataFrame, places: list[tuple[Any, ...]]
) -> None:
    """A figure of which nothing is known, though its object is there: said to be unknown, or left out."""
    certificate = dict(policy.spec.certificate)
    for place in places:
        certificate = forged(certificate, place, None)
    less = Policy(replace(policy.spec, certificate=certificate), revision=policy.revision)
    read_out(less, outcomes)
    assert "forged" in report_html(outcomes, policy=less) and "forged" in front_svg(outcomes, policy=less)
    replayed = replay(less, outcomes)
    assert "fresh" in same_rows(less, replayed) and placed(less, replayed, candidate_table(outcomes))[1]
    assert run_gates(less, outcomes, gates_for(less, None)).to_text()


def test_commands_say_it_in_a_line(policy: Policy, outcomes: pd.DataFrame, tmp_path: Path) -> None:
    certificate = forged(dict(policy.spec.certificate), ("savings", "value"), "all of it")
    folder = save_revision(Policy(replace(policy.spec, certificate=certificate)), tmp_path)
    write_outcomes(outcomes, tmp_path / "o.parquet")
    table = str(tmp_path / "o.parquet")
    for arguments in (
        ["show", folder], ["gate", folder, "--outcomes", table], ["replay", folder, "--outcomes", table],
        ["report", table, folder, "--html", tmp_path / "r.html"], ["publish", folder, "--force"], ["verify", folder],
        ["diff", folder, folder],
    ):  # fmt: skip
        done = CliRunner().invoke(cli, [str(one) for one in arguments])
        assert done.exit_code == 1, arguments
        assert "certificate.json: savings.value: 'all of it' is not a number within ±1e+100" in done.output
        said = done.output.strip().splitlines()
        assert isinstance(done.exception, SystemExit) and said[:-1] == ["writing the report …"] * (
            len(said) - 1
        )
    assert load_policy(folder).decide("x").candidate  # what decides needs no certificate
