"""Names and prompts that are markup, control sequences, formulas: through every page, line, JUnit and Markdown output.

Each page is set beside the same page with harmless names: nothing may be in its structure that is not in that one.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import unicodedata
import warnings
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml
from rich.cells import cell_len

from router_lab.cli import cli
from router_lab.cli.common import echo
from router_lab.columns import LONGEST, aligned, named
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.gates.result import GateReport
from router_lab.gates.result import Result as GateResult
from router_lab.outcomes import read_outcomes, validate_outcomes, write_outcomes
from router_lab.replay import replay
from router_lab.report import (
    candidate_table,
    effort_table,
    effort_text,
    format_table,
    front_svg,
    marks_of,
    pareto_html,
    pareto_text,
    policy_marks,
    pooled,
    report_html,
)
from router_lab.report.production_check import production_check
from router_lab.report.production_check_page import production_check_html
from router_lab.runtime.artifact import save_revision
from router_lab.runtime.decisions import DecisionLog, read_decisions
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.policy import Policy
from router_lab.runtime.visible import in_markdown, visible, visible_json
from tests.servers.grid import price, write_project

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)></title></style></svg>]]><!--{{7*7}}{% raw %}{# &lt;"
STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m\r\nFAKE pass · Route\x0b\x0c\x08\x7f\x85\u2028\u2029"
HIDING = "e" + "\u0301" * 40 + "\ufe0f\u202egnp.exe\u2066\u200b\u200d\ufeff\u00ad\u3164\U000e0041\ufffe"
FORMULA = '=HYPERLINK("http://x","y")|@SUM(1)|`c`*b*_i_[t](javascript:alert(1))![i](http://x/i)@everyone #12 $x$ ~~s~~'
HOSTILE = {
    "markup": MARKUP, "steering": STEERING, "hiding": HIDING, "formula": FORMULA,
    "long": "模型·高" * 30 + "x" * 3000, "all": MARKUP + STEERING + HIDING + FORMULA,
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Outcomes and a policy whose models, efforts, suites, samples, prompts and reasons all end in `odd`."""

    folder: Path
    odd: str
    outcomes: Path
    policy: Path
    frame: pd.DataFrame
    loaded: Policy


def build(folder: Path, odd: str) -> World:
    rng = np.random.default_rng(0)
    arms = (
        ("big", None, 0.9, 0.01), ("big", "low" + odd, 0.9, 0.002), ("mid", "high", 0.85, 0.001),
        ("tiny", None, 0.3, 1e-4),
    )  # fmt: skip
    rows = [
        {"suite": suite + odd, "sample_id": f"{number}{odd}", "model": model + odd, "effort": effort,
         "prompt": f"question {number} {odd}", "quality": float(rng.random() < q),
         "cost_usd": usd * (40 if number % 29 == 0 else 1), "input_tokens": 90, "output_tokens": 40, "turns": 1,
         "retries": 0, "reasoning_tokens": 9, "latency_s": 1.0, "started_at": f"2026-01-02{odd}",
         "group": f"{number}{odd}"}
        for suite in ("one", "two") for number in range(60) for model, effort, q, usd in arms
    ]  # fmt: skip
    frame = validate_outcomes(pd.DataFrame(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouterLabWarning)  # both suites ask the same
        fitted = fit_policy(Recipe(name="support"), frame)
    said = {
        **fitted.spec.certificate,
        "reason": f"because {odd}",
        "procedure": odd,
        "assumptions": [odd, odd],
    }
    policy = Policy(replace(fitted.spec, certificate=said))
    rates = {"input": 1.0, "output": 2.0, "tiers": {"batch": 0.5}}
    frame.attrs["candidates"] = [{"model": "big" + odd, "effort": None, "prices": rates}]
    outcomes = write_outcomes(frame, folder / "outcomes.parquet")
    return World(folder, odd, outcomes, save_revision(policy, folder / "policies"), frame, policy)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("harmless"), "-name")


@pytest.fixture(scope="module", params=["all", "long"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("hostile"), HOSTILE[request.param])


def logged(world: World) -> Path:
    path = world.folder / "decisions.jsonl"
    path.unlink(missing_ok=True)
    log = DecisionLog(path, prompts=True, clock=lambda: 1.7e9)
    for number in range(40):
        decision = world.loaded.decide(f"question {number}", suite="one" + world.odd)
        name = log.write(
            decision, prompt=f"question {world.odd}", suite="one" + world.odd, id=f"{number}{world.odd}"
        )
        log.outcome(name, quality=1.0, cost_usd=0.1, group=world.odd)
    return path


def report_page(world: World) -> str:
    calls = pd.DataFrame([{"suite": "one" + world.odd, "sample_id": "1", "model": "big" + world.odd, "turn": turn,
                           "attempt": 1, "input_tokens": 10 * turn, "role": None} for turn in (1, 2)])  # fmt: skip
    before = world.frame[world.frame["model"] != "mid" + world.odd]
    return report_html(
        world.frame, policy=world.loaded, calls=calls, before=before, growth=0.1, title=f"T {world.odd}"
    )


def front_page(world: World) -> str:
    marks = policy_marks(world.loaded, replay(world.loaded, world.frame), candidate_table(world.frame))
    before = world.frame[world.frame["model"] != "mid" + world.odd]
    reference = (world.loaded.reference.model, world.loaded.reference.effort)
    return pareto_html(world.frame, extra=marks, reference=reference, before=before, title=f"T {world.odd}")


def check_page(world: World) -> str:
    rows = [row | {"code": f"code {world.odd}"} for row in read_decisions(logged(world))]
    reference = (world.loaded.reference.model, world.loaded.reference.effort)
    shown = production_check(rows, margin=0.03, reference=reference, audit={rows[0]["id"]: 1.0}, before=rows)
    return production_check_html(shown, f"log {world.odd}")


PAGES: dict[str, Callable[[World], str]] = {
    "report": report_page,
    "sweep": lambda world: report_html(world.frame),
    "pareto": front_page,
    "production check": check_page,
    "front": lambda world: front_svg(world.frame, world.loaded),
}


class Structure(HTMLParser):
    """What a browser would make of a page: every tag with its attributes' names and classes, and scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.code: list[str] = []
        self.text: list[str] = []
        self._in: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        # How many labels find room depends on how long they are.
        if not {"label", "leader", "note"} & {*classes}:
            self.tags[(tag, *sorted(name for name, _ in attrs), *classes)] += 1
        self._in = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        (self.code if self._in else self.text).append(data)

    def handle_comment(self, data: str) -> None:
        self.tags["comment",] += 1

    def handle_pi(self, data: str) -> None:
        self.tags["instruction",] += 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_structure_of_one_with_harmless_names(
    world: World, harmless: World, name: str
) -> None:
    page = PAGES[name](world)
    found, expected = Structure(page), Structure(PAGES[name](harmless))
    # Who serves depends on the prompts, and so do the rows of some tables; all else is there as often.
    rows = {"tr", "td"}
    assert found.tags.keys() <= expected.tags.keys() and found.code == expected.code
    assert {t: n for t, n in found.tags.items() if t[0] not in rows} == {
        t: n for t, n in expected.tags.items() if t[0] not in rows
    }
    attributes = {attribute for tag in found.tags for attribute in tag}
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "img", "a")]
    assert unseen(page.replace("\n", "")) == []
    # The name is there to be read, as it is, or as an escape where it could not be seen.
    assert visible(world.odd) in "".join(found.text)
    page.encode()


@pytest.mark.parametrize("world", ["all"], indirect=True)
def test_the_picture_is_xml_whatever_is_in_a_name(world: World) -> None:
    root = ElementTree.fromstring(front_svg(world.frame, world.loaded))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg", "style", "g", "title", "text", "path", "circle", "rect"
    }  # fmt: skip


def test_no_module_makes_markup_by_hand(root: Path) -> None:
    """All of it lies in the templates, where the environment escapes what is put in."""
    tag = re.compile(
        r"</?(a|b|div|g|h\d|html|li|p|path|script|span|style|svg|table|td|text|title|tr|ul)\b[^>]*>", re.I
    )
    for path in sorted((root / "router_lab").rglob("*.py")):
        tree = ast.parse(path.read_text())
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        assert not [text.value for text in texts if id(text) not in said and tag.search(text.value)], path
        # One environment, which escapes, and one place that says of a text that it is markup already.
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        named = [(ast.unparse(n.func).rpartition(".")[2], n) for n in calls]
        made = [ast.unparse(n) for name, n in named if name == "Markup" and (n.args or n.keywords)]
        rendering = [
            ast.unparse(n) for name, n in named if name in ("Environment", "Template", "from_string")
        ]
        if path == root / "router_lab/report/html.py":
            assert made == ["Markup(TEMPLATES.get_template(template).render(values))"]
            assert (
                len(rendering) == 1
                and "autoescape=True" in rendering[0]
                and "finalize=_shown" in rendering[0]
            )
        else:
            assert made == rendering == [], path
        assert not re.search(r"\bmark_safe\b|__html__|_escape_table|html\.unescape", path.read_text()), path
    templates = [p for p in (root / "router_lab").rglob("*") if p.suffix in (".html", ".svg")]
    assert templates and not any(
        re.search(r"\|\s*safe\b|autoescape\s+false", p.read_text()) for p in templates
    )


def unseen(text: str) -> list[str]:
    return sorted({repr(char) for char in text if visible(char) != char})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def commands(world: World) -> Iterator[tuple[str, list[object]]]:
    outcomes, policy, folder = world.outcomes, world.policy, world.folder
    suite = "one" + world.odd
    gates = folder / "gates.yaml"
    gates.write_text("gates: [{metric: quality, min: 0.99, suite: each}, {metric: savings, min: 0.1}]")
    (folder / "recipe.yaml").write_text(json.dumps({"name": "support"}))
    csv, lines = folder / "table.csv", folder / "table.jsonl"
    world.frame.drop(columns=["group"]).to_csv(csv, index=False)
    world.frame.drop(columns=["group"]).to_json(lines, orient="records", lines=True)
    audit = folder / "audit.csv"
    pd.DataFrame({"sample_id": [f"0{world.odd}"], "quality": [1.0]}).to_csv(audit, index=False)
    yield "collect csv", ["collect", csv, "--out", folder / "o1.parquet"]
    yield "collect jsonl", ["collect", lines, "--out", folder / "o2.parquet"]
    yield "collect decisions", ["collect", logged(world), "--out", folder / "o3.parquet"]
    yield (
        "collect again",
        ["collect", outcomes, "--out", folder / "o4.parquet", "--prices", prices(folder, world)],
    )
    yield "report", ["report", outcomes]
    yield "report beside", ["report", outcomes, "--before", outcomes]
    yield "report policy", ["report", outcomes, policy, "--html", folder / "r.html"]
    yield "report decisions", ["report", logged(world), policy, "--audit", audit, "--html", folder / "d.html"]
    yield "fit", ["fit", folder / "recipe.yaml", "--outcomes", outcomes, "--out", folder / "fitted"]
    yield "show", ["show", policy, "--outcomes", outcomes]
    yield "show json", ["show", policy, "--json"]
    yield "diff", ["diff", policy, policy, "--outcomes", folder / "o1.parquet"]
    yield "route", ["route", policy, f"question {world.odd}", "--suite", suite, "--explain"]
    yield "route unknown", ["route", policy, "question", "--suite", f"no{world.odd}"]
    yield "route json", ["route", policy, "question", "--suite", suite, "--json"]
    yield "gate", ["gate", policy, "--outcomes", outcomes, "--gates", gates]
    yield "replay", ["replay", policy, "--outcomes", outcomes]
    yield "replay point", ["replay", policy, "--outcomes", outcomes, "--point", f"no{world.odd}"]
    yield "plan", ["plan", outcomes, "--margin", "0.03", "--by-suite"]
    yield "verify", ["verify", policy, "--outcomes", outcomes]
    yield "publish", ["publish", policy, "--force"]
    yield "rollback", ["rollback", policy.parent]
    yield "prices show", ["prices", "show", "big" + world.odd, "--prices", prices(folder, world)]
    yield "prices unknown", ["prices", "show", "none" + world.odd, "--prices", prices(folder, world)]
    yield "prices add", ["prices", "add", "new" + world.odd, "--input", 1, "--output", 2, "--source", f"s{world.odd}",
                         "--prices", folder / "new.yaml"]  # fmt: skip
    yield "prices add again", ["prices", "add", "new" + world.odd, "--input", 1, "--output", 2, "--source", "s",
                               "--prices", folder / "new.yaml"]  # fmt: skip
    yield "no such file", ["report", folder / f"{world.odd[:40].replace('/', '')}.parquet"]
    yield "no such option", ["report", f"--no{world.odd[:200]}"]
    yield "no such command", [f"no{world.odd[:200]}"]


def prices(folder: Path, world: World) -> Path:
    models = {f"{name}{world.odd}": price(1, 2, source=f"see {world.odd}") for name in ("big", "mid", "tiny")}
    for entries in models.values():
        del entries[0]["source"]
        entries[0]["source"] = f"see {world.odd}"
    path = folder / "prices.yaml"
    path.write_text(json.dumps({"models": models}))
    return path


@pytest.mark.parametrize("world", ["all"], indirect=True)
def test_every_line_of_every_command_is_its_own(world: World) -> None:
    printed = {}
    for name, arguments in commands(world):
        done = run(*arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), (name, done.exception)
        printed[name] = done.output
    steering = {name: unseen(text.replace("\n", "")) for name, text in printed.items()}
    assert {name: found for name, found in steering.items() if found} == {}
    assert not [name for name, text in printed.items() if re.search(r"^FAKE", text, re.MULTILINE)]
    # They did say something of these names, and a JSON output is JSON.
    said = (
        "report",
        "show",
        "route",
        "gate",
        "replay",
        "plan",
        "prices show",
        "route unknown",
        "report decisions",
    )
    for name in said:
        assert visible(world.odd)[:20] in printed[name], name
    assert json.loads(printed["route json"])["model"].endswith(world.odd)
    for name in ("report", "plan", "gate", "show"):
        assert "Traceback" not in printed[name]


@pytest.mark.parametrize("world", ["all"], indirect=True)
def test_files_for_machines_and_reviews(world: World) -> None:
    folder, gates = world.folder, world.folder / "g.yaml"
    gates.write_text("gates: [{metric: quality, min: 0.99, suite: each}, {metric: savings, min: 0.1}]")
    files = [folder / name for name in ("g.xml", "g.md", "g.json")]
    junit, markdown, written = files
    run("gate", world.policy, "--outcomes", world.outcomes, "--gates", gates,
        "--junit", junit, "--markdown", markdown, "--write-json", written)  # fmt: skip
    cases = [case for suite in JUnitXml.fromfile(str(junit)) for case in suite]
    assert len(cases) == 3 and any(visible(world.odd) in str(case.classname) for case in cases)
    rows = [line for line in markdown.read_text().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3  # a heading, its rule, and a line for each gate
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert not re.search(r"<(?!!--)[a-z/!]", markdown.read_text(), re.IGNORECASE)
    assert {r["suite"] for r in json.loads(written.read_text())["results"]} >= {"one" + world.odd}
    assert unseen(junit.read_text().replace("\n", "")) == unseen(markdown.read_text().replace("\n", "")) == []


@pytest.mark.parametrize("odd", [*HOSTILE.values(), "\ud800", "\x00"], ids=[*HOSTILE, "half", "nul"])
def test_verdicts_of_any_text(odd: str) -> None:
    result = GateResult(f"n{odd}", f"s{odd}", "fail", 0.1, 0.2, 0.0, 0.2, 0.9, 60, 60, f"because {odd}")
    report = GateReport(f"p{odd}", None, None, (result, replace(result, suite=None)), 60, 0.1)
    [suite] = JUnitXml.fromstring(report.to_junit())
    assert [case.name for case in suite] == [visible(f"n{odd}")] * 2
    assert len(report.to_text().splitlines()) == 5 and unseen(report.to_text().replace("\n", "")) == []
    rows = report.to_markdown().splitlines()
    assert [line for line in rows if line.startswith("|")] == rows[2:6] and len(rows) == 9
    report.to_markdown().encode()


@pytest.mark.parametrize("world", ["all"], indirect=True)
def test_half_a_character_costs_no_table_and_no_log(world: World, tmp_path: Path) -> None:
    """What JSON and Python can say, and no file can hold, becomes `?`, as it is to the runtime's features."""
    row = {
        "suite": "s\ud800",
        "sample_id": "1\udfff",
        "model": "m\ud83d",
        "quality": 1.0,
        "prompt": "half \ud800",
    }
    frame = pd.DataFrame([row], dtype=object)
    [kept] = read_outcomes(write_outcomes(frame, tmp_path / "o.parquet")).to_dict("records")
    assert [kept[k] for k in ("suite", "sample_id", "model", "prompt")] == ["s?", "1?", "m?", "half ?"]
    log = DecisionLog(tmp_path / "d.jsonl", prompts=True)
    log.outcome(
        log.write(world.loaded.decide("x"), prompt="half \ud800", suite="s\ud800"),
        quality=1.0,
        group="\ud83d",
    )
    done = run("collect", log.path, "--out", tmp_path / "d.parquet")
    assert done.exit_code == 0, done.output
    [kept] = read_outcomes(tmp_path / "d.parquet").to_dict("records")
    assert (kept["suite"], kept["prompt"], kept["group"]) == ("s?", "half ?", "?")


@pytest.mark.parametrize("world", ["all"], indirect=True)
@pytest.mark.skipif(os.name == "nt", reason="such names cannot be on Windows")
def test_files_with_such_names(world: World, tmp_path: Path) -> None:
    odd = re.sub(r"[/\x00\ufffe]", "", world.odd)[:50]
    folder = tmp_path / odd
    folder.mkdir()
    shutil.copy(world.outcomes, folder / "o.parquet")
    done = run("report", folder / "o.parquet", "--html", folder / "r.html")
    assert done.exit_code == 0, done.output
    assert [char for char in done.output if unicodedata.category(char) in ("Cc",) and char != "\n"] == []
    (folder / "o.parquet").write_text("no table")
    broken = run("report", folder / "o.parquet")
    assert broken.exit_code == 1 and unseen(broken.output.replace("\n", "")) == []
    assert len(broken.output.splitlines()) == 1


def test_a_sweep_of_such_names(tmp_path: Path) -> None:
    odd = HOSTILE["all"]
    suites = {f"echo{odd}": {"task": "tasks.py@echo", "args": {"n": 3}}}
    spec = {"model": "mockllm/model", "name": f"m{odd}", "efforts": [None, f"e{odd}"]}
    file = write_project(tmp_path, {"models": [spec]}, suites, efforts={f"e{odd}": {"max_tokens": 9}})
    for arguments in (["--dry-run", "--race"], ["--dry-run", "--history", tmp_path / "none"]):
        done = run("sweep", file, "--log-dir", tmp_path / "logs", *arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert unseen(done.output.replace("\n", "")) == [] and not re.search(
            r"^FAKE", done.output, re.MULTILINE
        )


def test_columns_stand_under_each_other_whatever_is_in_them() -> None:
    rows = [
        {"suite": "s", "sample_id": str(i), "model": model, "effort": effort, "quality": float(i % 2), "cost_usd": cost}
        for i in range(30)
        for model, effort, cost in (("模型", "高", 0.01), ("模型", None, 0.002), ("é́x", None, 0.001),
                                    ("y" * 300, None, 0.1))
    ]  # fmt: skip
    table = candidate_table(validate_outcomes(pd.DataFrame(rows)))
    lines = [line for line in format_table(table).splitlines() if "%" in line and "quality" not in line]
    assert len({cell_len(line[: line.index(" %")]) for line in lines}) == 1
    head, *body = effort_text(effort_table(validate_outcomes(pd.DataFrame(rows)))).splitlines()[:-1]
    assert {cell_len(line) for line in body} == {cell_len(head)}
    picture = pareto_text(marks_of(pooled(table)), width=90)
    assert max(map(cell_len, picture.splitlines())) <= 98 and "模型" in picture


def test_names_are_cut_in_the_middle_and_padded_by_what_is_seen() -> None:
    assert named("x" * 500) == "x" * 35 + "…" + "x" * 35 and cell_len(named("模" * 500)) <= LONGEST
    assert aligned([("模型", "é"), ("ab", "12")]) == ["模型   é", "ab    12"]
    assert named("a\nb\x1b") == r"a\nb\x1b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain – ×模型 é 👍", "plain – ×模型 é 👍"), ("\x1b[31m", r"\x1b[31m"), ("\x9b", r"\x9b"),
     ("a\r\nb\tc", r"a\r\nb\tc"),
     ("\u202e\u2066\u200b\u00ad\ufeff", r"\u202e\u2066\u200b\xad\ufeff"), ("\ud800", r"\ud800"),
     ("\U000e0041", r"\U000e0041"), ("\u2028", r"\u2028"), ("\ufffe\uffff", r"\ufffe\uffff"), ("\u3164", r"\u3164"),
     ("a\ufe0f\ufe00", r"a\ufe0f\ufe00"), ("\U000e0100", r"\U000e0100"), ("\u17b4", r"\u17b4"),
     ("e" + "\u0301" * 10, "e" + "\u0301" * 8 + r"\u0301\u0301"), ("\u05e9\u05c1\u05b8", "\u05e9\u05c1\u05b8"),
     ("\ue000", r"\ue000"), ("\x7f\x00", r"\x7f\x00"), (r"\n as typed", r"\n as typed")],
)  # fmt: skip
def test_what_cannot_be_seen_is_escaped_by_hand(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert json.loads(visible_json(json.dumps({"k": text}, ensure_ascii=False))) == {"k": text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", r"a\|b"), ("<b>&", "&lt;b&gt;&amp;"), ("`x`", r"\`x\`"), ("[t](u)", r"\[t\](u)"),
     ("*a* _b_", r"\*a\* \_b\_"),
     ("@team", "@&#8203;team"), ("m @ high", "m @ high"), ("#12", r"\#&#8203;12"), ("https://x.y", r"https\://x.y"),
     ("www.x.y", r"www\.x.y"), ("- item", r"\- item"), ("1. one", r"1\. one"), ("a\nb", r"a\\nb"), ("$x$", r"\$x\$"),
     ("GH-12", "GH-&#8203;12"), (":tada:", ":&#8203;tada:"), ("m:free", "m:free"),
     ("3.0 points, −1.2", "3.0 points, −1.2")],
)  # fmt: skip
def test_markdown_by_hand(text: str, shown: str) -> None:
    assert in_markdown(text) == shown


def test_echo_prints_one_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\nb", "c\x1b[31m", Path("d\re"), bold=True)
    echo("e\u202e", err=True)
    out, err = capsys.readouterr()
    assert (out.splitlines(), err) == ([r"a\nb", r"c\x1b[31m", r"d\re"], "e\\u202e\n")
