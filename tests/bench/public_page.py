"""What docs/results.md and the README say of public outcomes, written from the figures of tests/bench/public.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab.replay import replay
from router_lab.report import candidate_table, marks_of, pareto_svg, policy_marks, pooled
from router_lab.runtime.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
PAGE, README, PICTURE = ROOT / "docs" / "results.md", ROOT / "README.md", ROOT / "docs" / "results.svg"
BLOCK = re.compile(r"(<!-- figures: (\S+), by make bench-public -->\n)(.*?)(<!-- end -->)", flags=re.S)
Figures = dict[str, Any]
SOURCE = {"openhands_index": "openhands_index", "contexts": "agent_context"}


def number(value: float, digits: int = 1, sign: str = "") -> str:
    return f"{value:{sign}.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def share(figure: Sequence[float] | None) -> str:
    """`37.5 % [31.2, 43.8]`, of per cent."""
    return "–" if figure is None or figure[0] is None else f"{number(figure[0])} % {span(figure)}"


def points(figure: Sequence[float]) -> str:
    return f"{number(figure[0], 1, '+')} {span(figure, '+')}"


def span(figure: Sequence[float], sign: str = "") -> str:
    return f"[{number(figure[1], 1, sign)}, {number(figure[2], 1, sign)}]"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def blocks(found: Figures) -> dict[str, str]:
    """By name, the text of each block for which the figures are there."""
    every: dict[str, tuple[str, Callable[[Figures], str]]] = {
        "sources": ("sources", sources), "first": ("openhands_index", first), "fresh": ("openhands_index", fresh),
        "as_it_came": ("openhands_index", as_it_came),
        "certificates": ("openhands_index", certificates), "verdicts": ("openhands_index", verdicts),
        "contexts": ("contexts", contexts), "others": ("others", others),
    }  # fmt: skip
    return {name: text(found) for name, (needed, text) in every.items() if found.get(needed)}


def sources(found: Figures) -> str:
    rows = [
        [f"`{name}`", f"[{one['repository']}](https://github.com/{one['repository']})", f"`{one['commit']}`", one["licence"]]
        for name, one in found["sources"].items()
    ]  # fmt: skip
    return lines(["table", "repository", "commit", "licence"], rows)


TITLES = {"incumbent": "claude-opus-4-8", "best": "claude-fable-5, the best"}
AS_IT_CAME = " as it came"
FRESH_HEAD = ("reference", "margin, points", "saved", "points", "random mix saves", "beyond the mix",
              "best single candidate saves", "by fold, %", "certificates")  # fmt: skip


def _cells(found: Figures, kind: str = "") -> list[tuple[str, Figures]]:
    return [(title, one) for key, title in TITLES.items() for one in found["openhands_index"][key + kind]]


def fresh(found: Figures, kind: str = "") -> str:
    rows = [
        [title, number(100 * one["margin"], 0), share(new["policy"]["saving"]), points(new["policy"]["points"]),
         share(new["mix"]["saving"]), share(new["over_mix"]), share(new["single"]["saving"]), by_fold(new),
         f"{new['passed']} of {new['folds']} pass"]
        for title, one in _cells(found, kind)
        for new in [one["fresh"]]
    ]  # fmt: skip
    return lines(FRESH_HEAD, rows)


def by_fold(new: Figures) -> str:
    """`20 to 46`."""
    return f"{number(min(new['by_fold']), 0)} to {number(max(new['by_fold']), 0)}"


def as_it_came(found: Figures) -> str:
    return fresh(found, AS_IT_CAME)


def certificates(found: Figures) -> str:
    rows = [
        [f"{title}{', as it came' if kind else ''}", number(100 * one["margin"], 0), kept["verdict"],
         share(kept["saving"]), points(kept["points"]), share(kept["mix"]), share(kept["over_mix"])]
        for kind in ("", AS_IT_CAME)
        for title, one in _cells(found, kind)
        for kept in [one["certificate"]]
    ]  # fmt: skip
    head = ["reference", "margin, points", "verdict", "saved", "points, out of fold", "random mix saves",
            "beyond the mix"]  # fmt: skip
    return lines(head, rows)


def verdicts(found: Figures) -> str:
    """The dearest first, as the report has them."""
    return lines(
        ["candidate", "verdict", "against claude-opus-4-8", "tasks"],
        _judged(found["openhands_index"]["verdicts"]),
    )


def contexts(found: Figures) -> str:
    rows = [
        [one["suite"], *row] for one, row in zip(found["contexts"], _judged(found["contexts"]), strict=True)
    ]
    return lines(["scaffold", "candidate", "verdict", "against raw of its model", "tasks"], rows)


def _judged(rows: Sequence[Figures]) -> list[list[str]]:
    return [
        [f"{one['model']}{'' if one['effort'] is None else ' @ ' + one['effort']}",
         f"{'**fail, backfires**' if one['backfires'] else one['verdict']}",
         re.sub(": [a-z]+$", "", one["told"]), f"{one['n']:,}"]
        for one in rows
    ]  # fmt: skip


def others(found: Figures) -> str:
    rows = [
        [f"`{name}`", f"{one['samples']:,} × {one['candidates']}", ", ".join(new["references"]),
         share(new["policy"]["saving"]), points(new["policy"]["points"]), share(new["mix"]["saving"]),
         share(new["over_mix"]), f"{new['passed']} of {new['folds']} pass"]
        for name, one in found["others"].items()
        for new in [one["cell"]["fresh"]]
    ]  # fmt: skip
    head = ["table", "samples × candidates", "reference", "saved", "points", "random mix saves", "beyond the mix",
            "certificates"]  # fmt: skip
    return lines(head, rows)


def first(found: Figures) -> str:
    """The README's lines: both references at 3 points, and the cheapest candidate that does not pass."""
    index = found["openhands_index"]
    (own, best) = (
        next(one["fresh"] for one in index[key] if one["margin"] == 0.03) for key in ("incumbent", "best")
    )
    judged = [one for one in index["verdicts"] if one["saving"] is not None and one["saving"] > 0]
    near = max(judged, key=lambda one: one["quality_difference"] if one["backfires"] else -1.0)
    passed = [one for one in judged if one["verdict"] == "pass"]
    assert not passed, "a cheaper candidate passes by itself: say so here"
    name = near["model"].partition("/")[2]
    return (
        f"On public outcomes ({index['candidates']} agents, {index['samples']:,} software tasks, real dollars), fitted on "
        f"four folds and\ncounted on the fifth at a margin of 3 points, policies saved {share(own['policy']['saving'])} of "
        f"claude-opus-4-8's\nbill (random mix {number(own['mix']['saving'][0])} %) and {share(best['policy']['saving'])} of "
        f"the best agent's ({number(best['mix']['saving'][0])} %). No cheaper\nagent passes by itself: {name} "
        f"{near['told']}. [All figures, and how to recompute them](docs/results.md).\n"
    )


def filled(page: str, texts: dict[str, str]) -> str:
    """A page with its blocks renewed; one of which nothing is known stays."""
    return BLOCK.sub(lambda m: m[1] + texts.get(m[2], m[3]) + m[4], page)


def write(found: Figures, frame: pd.DataFrame, policies: Sequence[Policy]) -> None:
    """Renew the blocks of docs/results.md and README.md, and the picture."""
    for path in (PAGE, README):
        path.write_text(filled(path.read_text(encoding="utf-8"), blocks(found)), encoding="utf-8")
    PICTURE.write_text(picture(frame, policies), encoding="utf-8")


def picture(frame: pd.DataFrame, policies: Sequence[Policy]) -> str:
    """Dollars a task and quality of every candidate with a cost, the references as such, and each policy, named by its
    reference; who is dominated is grey, and named by hovering."""
    known = candidate_table(frame)
    references = {str(policy.reference) for policy in policies}
    marks = [
        replace(mark, kind="reference") if mark.label in references else mark
        for mark in marks_of(pooled(known))
    ]
    for policy in policies:
        mark = policy_marks(policy, replay(policy, frame), known)[0]
        marks.append(replace(mark, label=f"policy against {policy.reference.model.partition('/')[2]}"))
    shown = [replace(mark, cost=mark.cost / 1000) for mark in marks]
    title = "Quality over dollars a task of the agents of the OpenHands Index"
    return f"{pareto_svg(shown, title=title, height=560, alone=True, per='task', dominated=False)}\n"
