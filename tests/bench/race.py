"""`make bench-race`: what racing saves on recorded outcomes, and how often it errs in worlds with a known truth.

    python tests/bench/race.py [--orders 20] [--draws 2000] [--only replay|six|worlds|pairs] [--recorded outcomes.parquet]
        [--batch] [--world NAME] [--confidence .90] [--workers 1] [--without PIECE] [--constant NAME=VALUE]

Replay: per data set, all suites as one, the smallest margin at which the full grid's routing table passes a candidate
(to half a point, and among the round margins of MARGINS), then the dollars of a race at that margin to the same
decision: the winner it settles on, or the routing table on what it ran. Error 10 %, a control share of 10 %.
explained: the share of the variance of the deciding difference, by cluster, that the outcomes of all but the reference
predict, each fold by the others. floor: what no sequential test of the deciding pair undercuts on average, in dollars of
the grid: of clusters drawn one by one that are as far apart as the grid's, at an error of 10 %, deciding as the grid in
95 % (Wald 1945, Annals of Mathematical Statistics 16), at the price of these two alone.
`--only pairs`: the same on the two candidates of routellm_binary at RouteLLM's prices. `--only six`: at the smallest
margin certified, these three, cascade_llama, agent_context and routellm_binary (both suites as one), and their mean; the
design of races has not looked at the last three.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scipy.stats import binomtest

from router_lab.fit.table import routing_table
from router_lab.metrics.paired import Recorded
from router_lab.metrics.twophase import best_regression, features
from router_lab.outcomes import OutcomeMatrix, validate_outcomes
from router_lab.outcomes.matrix import FOLDS
from router_lab.racing import alpha_spending, order, standing
from router_lab.racing.nomination import Nomination
from router_lab.racing.race import Race, RaceRule
from router_lab.racing.rehearsal import Run, replay_race
from router_lab.racing.sequential import cluster_means
from router_lab.racing.standing import Standing
from tests.bench.race_worlds import WORLDS, Fixed, rows_of, truth_of
from tests.bench.worlds import World

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ROUTER_LAB_BENCH_DATA", ROOT.parent / "shared" / "data"))
FINE = tuple(np.arange(1, 101) / 200)
MARGINS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10)
CONFIDENCE = 0.90
AGREES = 0.95
"""How often a race is to decide as the grid does."""
CONSTANTS = {"SURE": standing, "POWER": alpha_spending, "STEP": order}
Data = tuple[Floats, Floats, NDArray[np.int64], list[str]]
"""Quality and dollars [n, c], clusters [n], names of the candidates."""
COLUMNS_OF = (
    ("margins", 9),
    ("margin", 8),
    ("reference", 11),
    ("spent", 8),
    ("lowest", 8),
    ("highest", 8),
    ("same", 6),
    ("explained", 11),
    ("floor", 7),
)
HEAD = f"{'data':24}" + "".join(f"{name:>{width}}" for name, width in COLUMNS_OF) + "  decision"


def main() -> None:
    """Print the tables that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--orders", type=int, default=20)
    options.add_argument("--draws", type=int, default=2000)
    options.add_argument("--only", choices=["replay", "six", "worlds", "pairs"])
    options.add_argument("--recorded", type=Path, help="outcomes of evals/sweeps/recorded.yaml, by `collect`")
    options.add_argument("--batch", action="store_true", help="replay in the waves of `sweep --race --batch`")
    options.add_argument("--world", default="", help="only worlds whose name holds this")
    options.add_argument("--without", choices=PIECES, action="append", default=[], help="switch a piece off")
    options.add_argument(
        "--constant", action="append", default=[], help=f"one of {', '.join(CONSTANTS)}, such as SURE=.9"
    )
    options.add_argument("--confidence", type=float, default=CONFIDENCE, help="of the races in worlds")
    options.add_argument("--workers", type=int, default=1, help="worlds side by side")
    given = options.parse_args()
    for piece in given.without:
        switch_off(piece)
    for name, value in (one.split("=") for one in given.constant):
        setattr(CONSTANTS[name], name, float(value))
    if given.only == "pairs":
        pairs(given.orders, given.batch)
    files = [DATA / "lineage_bench.parquet", DATA / "pricerev_prevgen.parquet"]
    files += [given.recorded] if given.recorded else []
    if given.only in (None, "replay"):
        replays(sets_of(files), (("any", FINE), ("round", MARGINS)), given.orders, given.batch)
    if given.only == "six":
        unseen = [DATA / f"{name}.parquet" for name in ("cascade_llama", "agent_context", "routellm_binary")]
        replays(sets_of([*files, *unseen]), (("any", FINE),), given.orders, given.batch)
    if given.only in (None, "worlds"):
        worlds(given.draws, given.world, given.confidence, given.workers)


def _explained(quality: Floats, group: NDArray[np.int64], decision: int, reference: int) -> float:
    means = cluster_means(quality, np.unique(group, return_inverse=True)[1])
    others = np.delete(means, reference, axis=1)
    every, fold = np.ones(len(means)), np.arange(len(means)) % FOLDS
    difference = means[:, decision] - means[:, reference]
    found = best_regression(difference, every > 0, every, [features(others)], fold)
    return float(1 - found.left / difference.var())


def _floor(
    quality: Floats, cost: Floats, group: NDArray[np.int64], decision: int, reference: int, margin: float
) -> float:
    means = cluster_means(quality, np.unique(group, return_inverse=True)[1])
    gain = means[:, decision] - means[:, reference] + margin
    z = float(gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain))))
    error, missed = 1 - CONFIDENCE, 1 - AGREES
    information = (1 - missed) * np.log((1 - missed) / error) + missed * np.log(missed / (1 - error))
    return float(min(1.0, 2 * information / z**2) * cost[:, [decision, reference]].sum() / cost.sum())


def sets_of(files: Sequence[Path]) -> dict[str, Data]:
    """The data sets that are there, by name."""
    for path in (path for path in files if not path.exists()):
        print(f"{path.stem}: skipped, {path} is not there")
    return {path.stem: _complete(path) for path in files if path.exists()}


def replays(
    sets: dict[str, Data], kinds: Sequence[tuple[str, Sequence[float]]], orders: int, batch: bool = False
) -> None:
    """A line for each data set, kind of margin and kind of reference, then the mean over data sets."""
    print(HEAD)
    for kind, ladder in kinds:
        for named in (False, True):
            shares = [
                _replayed(name, data, kind, ladder, named, orders, batch) for name, data in sets.items()
            ]
            means = [share for share in shares if share is not None]
            if means:
                who = "named" if named else "best"
                print(
                    f"{'mean of ' + str(len(means)):24}{kind:>9}{'':8}{who:>11}{np.mean(means):8.2f}",
                    flush=True,
                )


def pairs(orders: int, batch: bool) -> None:
    """A line for each suite of routellm_binary and kind of reference, at the smallest margin certified."""
    path = DATA / "routellm_binary.parquet"
    if not path.exists():
        print(f"{path.stem}: skipped, {path} is not there")
        return
    quality, cost, group, names = _complete(path)
    data = OutcomeMatrix.from_frame(validate_outcomes(pd.read_parquet(path)))
    maths = np.array([data.suites[code].startswith("gsm8k") for code in data.suite])
    print(HEAD)
    for name, rows in (("gsm8k", maths), ("mmlu", ~maths)):
        for named in (False, True):
            _replayed(
                name, (quality[rows], cost[rows], group[rows], names), "any", FINE, named, orders, batch
            )


def _replayed(
    name: str, data: Data, kind: str, ladder: Sequence[float], named: bool, orders: int, batch: bool
) -> float | None:
    quality, cost, group, names = data
    reference = int(quality.mean(axis=0).argmax())
    decided = ((margin, _decision(quality, cost, group, reference, margin)) for margin in ladder)
    margin, decision = next(((m, d) for m, d in decided if d is not None), (None, None))
    who = "named" if named else "best"
    if margin is None or decision is None:
        print(f"{name:24}{kind:>9}{'-':>8}{who:>11}   certifies nothing: reported, not counted")
        return None
    shares, same, told = [], [], _explained(quality, group, decision, reference)
    floor = _floor(quality, cost, group, decision, reference, margin)
    for seed in range(orders):
        rng = np.random.default_rng(seed)
        shuffled = rng.permutation(len(quality))
        rule = RaceRule(margin, CONFIDENCE)
        q, c, g = quality[shuffled], cost[shuffled], group[shuffled]
        run = replay_race(q, c, g, rule, rng, reference=reference if named else None, batch=batch)
        shares.append(float((c * run.ran).sum() / c.sum()))
        same.append(_raced_decision(run, q, c, g, reference if named else None, margin) == decision)
    print(
        f"{name:24}{kind:>9}{100 * margin:8.1f}{who:>11}{np.mean(shares):8.2f}{min(shares):8.2f}{max(shares):8.2f}"
        f"{np.mean(same):6.0%}{told:11.2f}{floor:7.2f}  {names[decision]} for {names[reference]}", flush=True,
    )  # fmt: skip
    return float(np.mean(shares))


def _complete(path: Path) -> Data:
    """Candidates seen on 95 % of the samples, on the samples that all of them have."""
    data = OutcomeMatrix.from_frame(validate_outcomes(pd.read_parquet(path)))
    kept = (~np.isnan(data.quality)).mean(axis=0) > 0.95
    rows = ~np.isnan(data.quality[:, kept]).any(axis=1)
    names = [str(c) for c, keep in zip(data.candidates, kept, strict=True) if keep]
    cost = np.nan_to_num(data.cost_usd[rows][:, kept])
    if path.stem == "routellm_binary":  # RouteLLM's prices a million tokens, for it recorded none
        cost = np.tile([24.7 if name.startswith("gpt") else 0.24 for name in names], (len(cost), 1))
    return data.quality[rows][:, kept], cost, data.group[rows], names


def _decision(
    quality: Floats, cost: Floats, group: NDArray[np.int64], reference: int, margin: float
) -> int | None:
    """The candidate that the routing table passes, with all suites as one."""
    zeros, every = np.zeros(len(quality), np.int64), np.ones((1, quality.shape[1]), bool)
    outcomes = Recorded(quality, cost, reference, group=group, suite=zeros)
    cells = routing_table(outcomes, every, margin=margin, confidence=CONFIDENCE)
    return next((cell.column for cell in cells if cell.verdict == "pass"), None)


def _raced_decision(
    run: Run, quality: Floats, cost: Floats, group: NDArray[np.int64], reference: int | None, margin: float
) -> int | None:
    """What the race settled on, else the routing table of those that ran to its end, for whom the others left then."""
    if run.winner is not None:
        return run.winner
    left = np.flatnonzero(run.left_at == len(quality))
    ours = quality[:, left]
    best = int(ours.mean(axis=0).argmax()) if reference is None else int(np.flatnonzero(left == reference)[0])
    found = _decision(ours, cost[:, left], group, best, margin)
    released = next((one.by for one in run.exits if one.reason == "not_needed"), None)
    return released if found is None else int(left[found])


class Fault(NamedTuple):
    """What a race got wrong of a world whose truth is known; `wrong`: any of the next three."""

    wrong: bool
    best: bool
    choice: bool
    settled: bool
    cannot: bool


COLUMNS = (*Fault._fields, "spent", "bias", "naive")


def erred(run: Run, truth: Floats, price: Floats, margin: float, reference: int | None) -> Fault:
    """The best left (a named one never does), the rule's choice left, or one was settled on that loses more than the
    margin; cannot: the choice left as one that cannot pass, which is about the grid and no error."""
    best = int(truth.argmax())
    allowed = truth[best] - margin
    within = np.flatnonzero(truth >= allowed)
    chosen = int(within[price[within].argmin()])
    gone = {
        one.column: one.reason
        for one in run.exits
        if one.reason != "settled" and not (one.reason == "not_needed" and truth[one.by] >= allowed)
    }
    lost = reference is None and best in gone
    dropped = chosen in gone and gone[chosen] != "cannot_pass"
    settled = run.winner is not None and bool(truth[run.winner] < allowed)
    return Fault(lost or dropped or settled, lost, dropped, settled, gone.get(chosen) == "cannot_pass")


def worlds(draws: int, only: str, confidence: float = CONFIDENCE, workers: int = 1) -> None:
    """Simulated suites: how often a race errs, what is spent, and how far off means are.

    wrong: the best candidate left (a named one never does), the rule's choice left, or one was settled on that loses
    more than the margin; then each alone. To leave as not needed is wrong if the one that it is not needed for loses
    more than the margin. cannot: the choice left as one that cannot pass, which is about the grid and no error.
    """
    print(f"\n{'world':33}{'ref.':>7}{'draws':>7}" + "".join(f"{name:>9}" for name in COLUMNS) + "   ± 2 se")
    cells = [(name, named) for name in WORLDS if only in name for named in (False, True)]
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(partial(_cell, draws=draws, confidence=confidence), *zip(*cells, strict=True))
        for (name, named), rows in zip(cells, drawn, strict=True):
            error = 2 * rows[:, COLUMNS.index("bias")].std() / np.sqrt(draws)
            verdict = binomtest(int(rows[:, 0].sum()), draws, 1 - confidence, alternative="greater").pvalue
            figures = "".join(f"{value:9.4f}" for value in rows.mean(axis=0))
            flag = "" if verdict > 0.05 else f"  TOO OFTEN (p {verdict:.3g})"
            print(
                f"{name:33}{'named' if named else 'best':>7}{draws:7}{figures}{error:9.4f}{flag}", flush=True
            )


def _cell(name: str, named: bool, *, draws: int, confidence: float) -> Floats:
    """The figures of COLUMNS, a row a draw."""
    world, n, margin = WORLDS[name]
    truth, price = truth_of(world)
    reference = int(truth.argmax()) if named else None
    rule = RaceRule(margin, confidence)
    return np.array([_drawn(world, n, rule, reference, truth, price, i) for i in range(draws)])


def _drawn(
    world: World | Fixed,
    n: int,
    rule: RaceRule,
    reference: int | None,
    truth: Floats,
    price: Floats,
    seed: int,
) -> tuple[float, ...]:
    """The figures of COLUMNS; bias: mean error over candidates with the control share weighed in, naive: of the
    rows as run."""
    rng = np.random.default_rng([7, seed])
    quality, cost, group = rows_of(world, n, rng)
    shuffled = rng.permutation(len(quality))
    q, c = quality[shuffled], cost[shuffled]
    run = replay_race(q, c, group[shuffled], rule, rng, reference=reference)
    fault = erred(run, truth, price, rule.margin, reference)
    guess = np.nanmean(np.where(run.inclusion == 1, q, np.nan), axis=0)
    weighed = guess + np.where(run.ran, (q - guess) / run.inclusion, 0.0)  # Robins, Rotnitzky & Zhao 1994
    full = q.mean(axis=0)
    return (
        *map(float, fault),
        float((c * run.ran).sum() / c.sum()),
        float((weighed.mean(axis=0) - full).mean()),
        float((guess - full).mean()),
    )  # fmt: skip


PIECES = ("cannot_pass", "scouts", "waiting", "joining", "release")


def switch_off(piece: str) -> None:
    """Race without one of its pieces, to see what it is worth."""
    if piece == "cannot_pass":
        Nomination._out_of_reach = lambda self: np.zeros(len(self.cannot_pass), bool)  # type: ignore[method-assign]
    elif piece == "scouts":
        Standing.after_scouts = lambda self: np.zeros(len(self.racing), bool)  # type: ignore[method-assign]
    elif piece == "joining":
        Standing.further = lambda self, members: None  # type: ignore[method-assign]
    elif piece == "release":
        Race.release = lambda self, quality, clusters: []  # type: ignore[method-assign]
    else:
        Race._not_needed = lambda self, seems: np.zeros(len(self.racing), bool)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
