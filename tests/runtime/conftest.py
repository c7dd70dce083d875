"""Small policies for the runtime's tests. Nothing but numpy is imported here: these tests run beside numpy alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.artifact import save_policy
from router_lab.runtime.features import DENSE, Featuriser
from router_lab.runtime.linear import Linear
from router_lab.runtime.model import Candidate, Limits, PolicySpec, Prices, Profile, Route
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy

SpecMaker = Callable[..., PolicySpec]
BUCKETS = 1 << 12


def words(*texts: str) -> np.ndarray:
    """The buckets of some texts' features."""
    plain = Featuriser(buckets=BUCKETS)
    return np.unique(np.concatenate([plain(text).buckets for text in texts]))


def rates_only(quality: list[float], cost: list[float]) -> Linear:
    """A predictor that says the same of every prompt, with coverage 1 for the words below."""
    columns = len(quality)
    seen = words("the quick brown fox jumps over the lazy dog", "easy hard question answer number")
    return Linear.quantised(
        seen=seen,
        weights=np.zeros((len(seen), 2 * columns)),
        bias=np.array([quality + cost] * 3),
        dense=np.zeros((len(DENSE), 2 * columns)),
        cost_bounds=np.array([[0.0] * columns, [1.0] * columns]),
    )


@pytest.fixture
def make_spec() -> SpecMaker:
    """Three candidates: a cheap one, a middle one, and the dear reference. Utility at $1 = 100 points is
    .70 − .10 = .60, .79 − .20 = .59, .90 − .50 = .40: cheap wins by .20."""

    def make(**changes: Any) -> PolicySpec:
        known = {
            "name": "tiny",
            "profiles": (
                Profile(
                    Candidate("cheap", "low"),
                    request={
                        "api": "openai_chat",
                        "arguments": {"model": "cheap-1", "reasoning_effort": "low"},
                    },
                    prices=Prices(1.0, 4.0, cache_read=0.1, tiers={"batch": 0.5, "flex": 0.75}),
                    context_window=8_000,
                    tier_seconds={"standard": 2.0, "batch": 86_400.0},
                ),
                Profile(Candidate("cheap", "max"), prices=Prices(1.0, 4.0), context_window=32_000),
                Profile(
                    Candidate("dear"),
                    request={
                        "api": "anthropic",
                        "arguments": {"model": "dear-1", "max_tokens": 900},
                        "system": "Be brief.",
                    },
                    prices=Prices(10.0, 40.0, cache_read=1.0, tiers={"batch": 0.5}),
                    context_window=200_000,
                    tier_seconds={"standard": 9.0},
                ),
            ),
            "reference": 2,
            "suites": ("maths", "triage"),
            "featuriser": Featuriser(buckets=BUCKETS),
            "linear": rates_only([0.70, 0.79, 0.90], [0.001, 0.002, 0.005]),
            "points": {"default": (Follow(100.0, 0.05, 1.0),), "never": (Follow(100.0, 0.5, 1.0),)},
            "point": "default",
            "coverage": 0.5,
            "routes": {"triage": Route(0, "pass"), "maths": Route(1, "inconclusive")},
            "fallbacks": (2, 1, 0),
            "limits": ((Limits(100, 1, 0.01), Limits(200, 2, 0.02), Limits(300, 3, 0.05)),) * 3,
        }
        return PolicySpec(**(known | changes))

    return make


@pytest.fixture
def policy(make_spec: SpecMaker) -> Policy:
    return Policy(make_spec())


def random_spec(
    seed: int = 0, columns: int = 5, suites: tuple[str, ...] = ("a", "b"), **changes: Any
) -> PolicySpec:
    """A policy with weights on most buckets, so that prompts differ."""
    random = np.random.default_rng(seed)
    seen = np.sort(random.permutation(BUCKETS)[: BUCKETS * 3 // 4])
    weights = random.normal(0, 0.5, (len(seen), 2 * columns)) * ([1.0] * columns + [0.01] * columns)
    bias = np.concatenate(
        [
            random.uniform(0.4, 0.9, (len(suites) + 1, columns)),
            random.uniform(0.001, 0.02, (len(suites) + 1, columns)),
        ],
        1,
    )
    known: dict[str, Any] = {
        "name": "random",
        "profiles": tuple(Profile(Candidate(f"m{i:02d}"), prices=Prices(1, 2, 0.1)) for i in range(columns)),
        "reference": columns - 1,
        "suites": suites,
        "featuriser": Featuriser(buckets=BUCKETS, centre=(3.0,) * len(DENSE), spread=(2.0,) * len(DENSE)),
        "linear": Linear.quantised(
            seen=seen,
            weights=weights,
            bias=bias,
            dense=random.normal(0, 1e-3, (len(DENSE), 2 * columns)) * ([1.0] * columns + [0.01] * columns),
            cost_bounds=np.array([[1e-6] * columns, [1.0] * columns]),
        ),
        "points": {"cheap": (Follow(30.0, 0.0, 1.0),), "half": (Follow(5.0, 0.02, 0.5),)},
        "point": "half",
        "coverage": 0.6,
        "routes": {"a": Route(0, "pass")},
        "fallbacks": tuple(reversed(range(columns))),
    }
    return PolicySpec(**(known | changes))


@pytest.fixture(scope="session")
def make_random() -> SpecMaker:
    return random_spec


@pytest.fixture(scope="session")
def random_policy() -> Policy:
    return Policy(random_spec())


@pytest.fixture(scope="session")
def _saved(random_policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(random_policy, tmp_path_factory.mktemp("saved") / "artifact")


@pytest.fixture
def artifact(_saved: Path, tmp_path: Path) -> Path:
    """A saved `random_policy` for this test to spoil."""
    return Path(shutil.copytree(_saved, tmp_path / "artifact"))
