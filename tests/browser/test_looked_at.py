"""What a person looks at before a release: the report on a telephone and on a desk, and what the commands print in a
terminal of 80 columns. ROUTER_LAB_SCREENSHOTS=FOLDER keeps a picture of each (README.md beside this file)."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.outcomes import validate_outcomes
from router_lab.report import report_html
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.policy import Policy
from tests.browser.conftest import open_page, shot
from tests.terminal import in_terminal

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CANDIDATES = [("anthropic/claude-haiku-4-5", "low", 0.9, 0.70), ("anthropic/claude-haiku-4-5", "high", 3.1, 0.80),
              ("anthropic/claude-opus-4-5", "high", 41.0, 0.90), ("openai/gpt-5.2-mini", None, 0.8, 0.72),
              ("openrouter/qwen/qwen3-235b-a22b-thinking-2507", None, 2.2, 0.86)]  # fmt: skip
SUITES = ("refund-requests", "sql", "triage")


def recorded() -> pd.DataFrame:
    """Five candidates with names as they are, on three suites; cheaper ones are as good on what is easy."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(240):
        hard = rng.random()
        prompt = f"{'prove' if hard > 0.5 else 'add'} number {i}"
        for model, effort, cost, quality in CANDIDATES:
            right = rng.random() < (quality if hard > 0.5 else 0.95)
            rows.append({
                "suite": SUITES[i % 3], "sample_id": f"s{i:04d}", "model": model, "effort": effort, "quality": float(right),
                "cost_usd": cost / 1000 * math.exp(rng.normal(0, 0.7)), "prompt": prompt,
                "group": f"g{i:04d}", "input_tokens": 1200, "output_tokens": int(300 + 900 * hard), "latency_s": 3.0 + hard,
                "reasoning_tokens": 150 if effort else 0, "status": "ok",
            })  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pd.DataFrame, Policy]]:
    """A folder with outcomes.parquet, recipe.yaml, prices.yaml and a fitted policy; and both as they are in memory."""
    folder, outcomes = tmp_path_factory.mktemp("looked"), recorded()
    outcomes.to_parquet(folder / "outcomes.parquet")
    gates = [{"metric": "quality", "against": "reference", "margin": 0.05}, {"metric": "savings", "min": 0.1}]
    recipe = Recipe.model_validate({
        "name": "support", "rule": {"margin": 0.05}, "gates": gates,
        "reference": {"model": "anthropic/claude-opus-4-5", "effort": "high"},
    })  # fmt: skip
    policy = fit_policy(recipe, outcomes)
    save_revision(policy, folder / "policy")
    (folder / "recipe.yaml").write_text(recipe.model_dump_json(exclude_none=True))
    prices = [
        f"  {m}:\n    - {{starts: 2026-01-01, checked: 2026-01-01, source: https://prices.example.com/list, input: {c}, "
        f"output: {5 * c}, cache_read: {c / 10}, cache_write_5m: {1.25 * c}}}"
        for m, _, c, _ in CANDIDATES[1:]
    ]
    (folder / "prices.yaml").write_text("\n".join(["models:", *prices, ""]))
    yield folder, outcomes, policy


OVERLAPS = """
return [...document.querySelectorAll('svg.pareto')].flatMap(picture => {
  const texts = [...picture.querySelectorAll('text.label, text.tick, text.key')];
  const boxes = texts.map(t => t.getBoundingClientRect()), pairs = [];
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
    const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (w > 1 && h > 0.3 * a.height) pairs.push(texts[i].textContent + ' / ' + texts[i + 1 + j].textContent);
  }));
  return pairs;
});
"""
SMALLEST = """
return Math.min(...[...document.querySelectorAll('svg.pareto text.label')].map(t => t.getBoundingClientRect().height));
"""
WIDE = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_report_on_a_telephone_and_on_a_desk(
    browser: Any, tmp_path: Path, world: tuple[Path, pd.DataFrame, Policy], width: int
) -> None:
    _, outcomes, policy = world
    open_page(browser, tmp_path / "r.html", report_html(outcomes, policy=policy), width)
    shot(browser, "looked-report", width, whole=True)
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.execute_script(OVERLAPS) == []
    assert browser.execute_script(SMALLEST) >= 9  # px: smaller print is not read
    if width == 1280:
        assert browser.execute_script(WIDE) == 0  # no figure lies beyond a scroll bar
    else:  # tables scroll beneath their first column, which stays
        stays = (
            "return [...document.querySelectorAll('td:first-child')].map(e => getComputedStyle(e).position)"
        )
        assert set(browser.execute_script(stays)) == {"sticky"}


COMMANDS = {
    "show": ["show", "policy"],
    "show-outcomes": ["show", "policy", "--outcomes", "outcomes.parquet"],
    "gate": ["gate", "policy", "--outcomes", "outcomes.parquet", "--gates", "recipe.yaml"],
    "replay": ["replay", "policy", "--outcomes", "outcomes.parquet"],
    "plan": ["plan", "outcomes.parquet", "--margin", "0.05", "--by-suite"],
    "prices": ["prices", "show", "--prices", "prices.yaml"],
    "report": ["report", "outcomes.parquet"],
    "diff": ["diff", "policy", "policy", "--outcomes", "outcomes.parquet"],
}
SCREEN = (
    "<!doctype html><meta charset=utf-8><body style='background:#111;color:#eee;margin:12px'>"
    "<pre style='font:14px/1.3 DejaVu Sans Mono,monospace'>{}</pre>"
)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_of_80_columns_holds_every_line_and_every_figure(
    browser: Any,
    tmp_path: Path,
    world: tuple[Path, pd.DataFrame, Policy],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(world[0])

    def run() -> None:
        with pytest.raises(SystemExit):
            cli(COMMANDS[name])

    narrow, wide = in_terminal(run, 80), in_terminal(run, 1000)
    open_page(browser, tmp_path / "terminal.html", SCREEN.format(html.escape(narrow)), 760)
    shot(browser, f"looked-terminal-{name}", 760, whole=True)
    assert [line for line in narrow.splitlines() if cell_len(line) > 80] == []
    # What the picture of the report draws depends on its width; a heading and a name may stand in two blocks.
    words = [set(text.split("\n      80 ┤")[0].split()) for text in (narrow, wide)]
    drawn = "─│┌┐└┘┤┬"
    lost = {w for w in words[1] - words[0] if not set(w) & set(drawn)}
    # A name that is wider than its column ends at a slash or hyphen, beside the figures of its row.
    assert [p for w in lost for p in re.findall("[^/-]+[/-]*", w) if p not in narrow] == []
