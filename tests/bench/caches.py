"""`make bench-caches`: what the runtime's rule for switching in a session costs beside pinned and free, on sessions that
no fit used: those of the recorded agent suite, and made ones of 40 turns.

    python tests/bench/caches.py [LOGS]

LOGS: a folder of logs of the recorded sweep; default: demo-out/logs, which `make demo` writes. The recorded models are
one's own machines', whose caches have no price, so they are priced as if they were three of a provider's (AS_IF, named
with every figure). Each policy is fitted on four fifths of the groups and played on the fifth.
"""

from __future__ import annotations

import datetime as dt
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from router_lab.caching.policies import WAYS, Compared, compare
from router_lab.caching.sessions import Session, sessions_of
from router_lab.collect import collect
from router_lab.collect.prompts import prompts_of
from router_lab.columns import aligned
from router_lab.config import Price, Recipe, Rule
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes
from router_lab.prices import PriceTable
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from tests.bench.cache_worlds import TURNS, policy, random_sessions, table

ROOT = Path(__file__).resolve().parents[2]
AS_IF = {"smollm2-135m": 1.0, "qwen2.5-coder-0.5b": 3.0, "qwen2.5-coder-1.5b": 15.0}
"""$ per million input tokens; output is five times that, cached a tenth, written 1.25 times."""
FOLDS = 5
TRADEOFFS = (10.0, 30.0, 50.0, 70.0, 100.0, 150.0, 300.0)
"""What a dollar is worth in quality: from the dear candidates to the cheap ones."""


def as_if() -> PriceTable:
    """The prices of AS_IF."""
    common = {"starts": dt.date(2026, 1, 1), "source": "as if", "checked": dt.date(2026, 11, 30)}
    rows = {
        name: [Price(input=x, output=5 * x, cache_read=x / 10, cache_write_5m=1.25 * x, **common)]
        for name, x in AS_IF.items()
    }
    return PriceTable(rows, default=False)


def fold_of(suite: str, group: object) -> int:
    """Which fifth a group belongs to."""
    return zlib.crc32(f"{suite}/{group}".encode()) % FOLDS


def fitted(logs: Path, caching: str) -> Iterator[tuple[Policy, list[Session]]]:
    """For each fifth the policy of the others, and its own sessions."""
    outcomes, calls = collect([logs], prices=as_if(), caching=caching)
    rows = validate_outcomes(outcomes[outcomes["suite"] == "agent"])
    rows.attrs = outcomes.attrs
    names = zip(rows["suite"], rows["sample_id"], rows["group"], strict=True)
    fold = {(suite, sample): fold_of(suite, group) for suite, sample, group in names}
    sessions = sessions_of(calls[calls["suite"] == "agent"], prompts_of([logs])[1])
    for number in range(FOLDS):
        kept = pd.Series([fold[key] != number for key in zip(rows["suite"], rows["sample_id"], strict=True)])
        learned = rows[kept.to_numpy(bool)].reset_index(drop=True)
        learned.attrs = rows.attrs
        made = fit_policy(Recipe(name="caches", rule=Rule(margin=0.1), escalate=False, holdout=0.0), learned)
        yield made, [one for one in sessions if fold[one.key[0], one.key[1]] == number]


def following(made: Policy, tradeoff: float, *, whole: bool) -> Policy:
    """The policy with one piece that follows its predictions at that tradeoff, whatever the
    certificate says; without what it knows of sessions unless `whole`."""
    spec = replace(
        made.spec, points={"default": (Follow(tradeoff, 0.0, 1.0),)}, coverage=0.0, coverage_unknown=None, eligible=None
    )  # fmt: skip
    return Policy(spec if whole else replace(spec, sessions=None))


def pooled(found: Sequence[Compared]) -> dict[str, float]:
    """Mean dollars a session over all folds, by way."""
    count = sum(one.sessions for one in found)
    return {way: sum(one.ways[way].usd * one.sessions for one in found) / count for way in WAYS}


def row(name: str, new: dict[str, float], old: dict[str, float]) -> tuple[str, ...]:
    """Dollars of 1,000 sessions, and by how much each rule is dearer than the better of pinned and
    free."""
    better = min(new["pinned"], new["free"])
    over = [f"{100 * (each['policy'] / better - 1):+.1f} %" for each in (new, old)]
    return (name, *(f"{1e3 * new[way]:.3f}" for way in WAYS), *over)


HEAD = ("$ per 1,000 sessions", *WAYS, "to the end", "one turn ahead")


def main() -> None:
    """Print a line for each tradeoff, and for each share of hard turns."""
    warnings.simplefilter("ignore")
    logs = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo-out" / "logs"
    if not logs.is_dir():
        raise SystemExit(
            f"{logs}: no such folder; run `make demo` first, or name the logs of the recorded sweep"
        )
    for caching in ("none", "prefix"):
        folds = list(fitted(logs, caching))
        rows = []
        for tradeoff in TRADEOFFS:
            both = [
                pooled([compare(following(made, tradeoff, whole=whole), own, as_if()) for made, own in folds])
                for whole in (True, False)
            ]
            rows.append(row(f"tradeoff {tradeoff:g}", *both))
        print(
            f"recorded agent suite, collected with --caching {caching}, {sum(len(own) for _, own in folds)} sessions"
        )
        print(*aligned([HEAD, *rows], texts=(0,)), sep="\n")
    rows = []
    for share in (0.02, 0.1, 0.3, 0.5):
        worlds = random_sessions(share, 100)
        both = [pooled([compare(policy(sessions=whole), worlds, table())]) for whole in (True, False)]
        rows.append(row(f"{100 * share:.0f} % of turns are hard", *both))
    print(f"made sessions of {TURNS} turns")
    print(*aligned([HEAD, *rows], texts=(0,)), sep="\n")


if __name__ == "__main__":
    main()
