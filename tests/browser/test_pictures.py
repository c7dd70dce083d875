"""What a person sees in a browser: every mark, labels that do not overlap, hover boxes, and no request to anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab.outcomes import validate_outcomes
from router_lab.report import Mark, pareto_html, report_html
from tests.browser.conftest import open_page, requests, shot

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
MODELS = [("tiny", None, 0.1, 0.4), ("tiny", "high", 0.4, 0.55), ("middle@v2", None, 1.0, 0.7), ("old", None, 2.0, 0.5),
          ("big", "low", 4.0, 0.72), ("big", "high", 9.0, 0.9), ("huge", None, 30.0, 0.88)]  # fmt: skip


def outcomes() -> pd.DataFrame:
    rows = [
        {"suite": suite, "sample_id": str(i), "model": model, "effort": effort,
         "quality": float(i < round(60 * quality)), "cost_usd": cost / 1000 * (1 + i % 3), "output_tokens": 100,
         "status": "ok"}
        for suite in ("maths", "triage")
        for model, effort, cost, quality in MODELS
        for i in range(60)
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


OVERLAPS = """
const texts = [...document.querySelector('svg.pareto').querySelectorAll('text.label')];
const boxes = texts.map(t => t.getBoundingClientRect());
let pairs = [];
boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
  const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (w > 1 && h > 2) pairs.push(texts[i].textContent + ' / ' + texts[i + 1 + j].textContent);
}));
return pairs;
"""


@pytest.mark.parametrize("width", [1400, 800])
def test_the_pareto_page(browser: Any, tmp_path: Path, width: int) -> None:
    policy = Mark("policy", 3.0, 0.86, 0.82, 0.9, kind="policy")
    open_page(
        browser,
        tmp_path / "p.html",
        pareto_html(outcomes(), extra=[policy], reference=("big", "high")),
        width,
    )
    pictures = browser.find_elements("css selector", "svg.pareto")
    assert len(pictures) == 3
    first = pictures[0]
    drawn = {m.get_attribute("data-label") for m in first.find_elements("css selector", "g.mark[data-label]")}
    assert drawn == {"tiny", "tiny @ high", "middle@v2", "old", "big @ low", "big @ high", "huge", "policy"}
    assert {t.text for t in first.find_elements("css selector", "text.label")} == drawn
    assert browser.execute_script(OVERLAPS) == []
    assert len(first.find_elements("css selector", "g.mark.reference[data-label]")) == 1
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert requests(browser) == [(tmp_path / "p.html").as_uri()]
    shot(browser, "pareto", width, whole=True)


NASTY = "<script>document.title='ran'</script>\"'><img src=http://192.0.2.1/x onerror=document.title='ran'></svg></title>"


@pytest.mark.parametrize(
    "odd", [NASTY, "x" * 3000, "\u202egnp\x1b[31m\n{{7*7}}"], ids=["markup", "long", "steering"]
)
def test_hostile_names_run_nothing_ask_nothing_and_break_nothing(
    browser: Any, tmp_path: Path, odd: str
) -> None:
    frame = outcomes()
    frame = validate_outcomes(frame.assign(model=frame["model"] + odd, suite=frame["suite"] + odd))
    for name, page in (("r.html", report_html(frame, title=odd)), ("p.html", pareto_html(frame, title=odd))):
        open_page(browser, tmp_path / name, page, 1200)
        assert browser.title != "ran" and requests(browser) == [(tmp_path / name).as_uri()]
        count = "return ['script', 'img', 'a', 'iframe', 'svg.pareto'].map(s => document.querySelectorAll(s).length)"
        assert browser.execute_script(count) == [1, 0, 0, 0, 3]
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        mark = browser.find_element("css selector", "g.mark[data-label]")
        browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('mouseenter'))", mark)
        assert browser.title != "ran" and browser.find_element("id", "hover").is_displayed()


CUT = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"


@pytest.mark.parametrize("width", [1400, 1200, 800])
def test_the_report_fits_its_window(browser: Any, tmp_path: Path, width: int) -> None:
    open_page(browser, tmp_path / "r.html", report_html(outcomes()), width)
    assert len(browser.find_elements("css selector", "svg.pareto")) == 3
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.execute_script(CUT) == 0  # no table needs a scroll bar of its own
    assert browser.execute_script(OVERLAPS) == []
    assert requests(browser) == [(tmp_path / "r.html").as_uri()]
    shot(browser, "report", width, whole=True)


def test_hovering_says_what_a_mark_is(browser: Any, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "p.html", pareto_html(outcomes()), 1200)
    mark = browser.find_element("css selector", "g.mark[data-label='big @ high']")
    browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('mouseenter'))", mark)
    box = browser.find_element("id", "hover")
    assert box.is_displayed() and box.text.startswith("big @ high\nquality: 90.0 % (")
    browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('mouseleave'))", mark)
    assert not box.is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_in_both_lights(browser: Any, tmp_path: Path, scheme: str) -> None:
    light = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    open_page(browser, tmp_path / "r.html", report_html(outcomes()), 800)
    colours = browser.execute_script(
        "const s = getComputedStyle(document.body);"
        "return [s.color, s.backgroundColor].map(c => c.match(/\\d+/g).map(Number))"
    )
    ink, paper = (sum(c[:3]) for c in colours)
    assert (ink < paper) == (scheme == "light") and abs(ink - paper) > 400
    assert browser.find_element("css selector", "h2").text == "What was found"
    assert requests(browser) == [(tmp_path / "r.html").as_uri()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
