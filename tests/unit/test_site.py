"""What the site is made of: a navigation that misses no page, pages that are made, links and anchors as on GitHub."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import router_lab
import router_lab.runtime
from router_lab.cli import COMMANDS
from tests.bench.links import asked, links
from tests.servers.loopback import serving

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".github" / "site"
MADE = {"api.md", "api-lab.md", "cli.md", "notebooks.md"}


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", SITE / "pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    return [leaf for one in (part.values() if isinstance(part, dict) else part) for leaf in leaves(one)]


def test_the_navigation_has_every_page_once_in_four_parts(pages: ModuleType) -> None:
    nav = yaml.safe_load((ROOT / ".github" / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert [name for part in nav for name in part][1:] == ["Tutorial", "How-to", "Reference", "Explanation"]
    named = leaves(nav)
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(named) == sorted(written | MADE | set(pages.HOME.values())), (
        "put the page into .github/mkdocs.yml"
    )


def test_tools_that_the_project_has_too_are_the_same() -> None:
    """They run in one process: the site's command line is the project's own."""
    ours, theirs = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), flags=re.M))
        for name in ("requirements.lock", ".github/site.lock")
    )
    assert {"mkdocs-material", "mkdocstrings-python"} <= theirs.keys() - ours.keys()
    assert {name: ours[name] for name in ours.keys() & theirs.keys()} == {
        name: theirs[name] for name in ours.keys() & theirs.keys()
    }
    assert "index-url" not in (ROOT / ".github" / "site.lock").read_text()


def test_the_api_has_what_is_public_and_what_the_docs_import(pages: ModuleType) -> None:
    production, lab = pages.api(runtime=True), pages.api(runtime=False)
    for name in router_lab.__all__:
        assert name == "__version__" or f"::: router_lab.{name}\n" in production
    for name in router_lab.runtime.__all__:
        assert f"::: router_lab.runtime.{name}\n" in production
    assert "::: router_lab.fit.fit_policy\n" in lab and "::: router_lab.config.Recipe\n" in lab
    assert "router_lab.fit" not in production


def test_the_command_line_has_every_command_and_option(pages: ModuleType) -> None:
    text = pages.command_line()
    for name in COMMANDS:
        assert f"\n## router-lab {name}\n" in text
    assert "\n### router-lab prices add\n" in text
    assert "| `--budget-usd FLOAT` | Never spend more" in text
    assert "OUT/&lt;revision>" in text  # no tag, which a browser would swallow


def test_comments_vanish_and_code_keeps_them(pages: ModuleType) -> None:
    text = "<!-- rows -->\n| a |\n|---|\n| 1 |\n<!-- end -->\n```text\n<!-- kept -->\n```\n"
    assert pages.without_comments(text) == "\n| a |\n|---|\n| 1 |\n\n```text\n<!-- kept -->\n```\n"


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("[a](docs/demo.md)", "[a](demo.md)"),
        ("[a](docs/chains.md#when-a-cascade-pays)", "[a](chains.md#when-a-cascade-pays)"),
        ("[a](CONTRIBUTING.md) [b](notebooks)", "[a](contributing.md) [b](notebooks.md)"),
        ("![a](docs/front.svg)", "![a](front.svg)"),
        ("[a](LICENSE)", "[a](files/LICENSE)"),
        ("[a](https://example.com/docs/x.md) [b](#more)", "[a](https://example.com/docs/x.md) [b](#more)"),
        ("```text\n[a](docs/demo.md)\n```", "```text\n[a](docs/demo.md)\n```"),
    ],
)
def test_links_of_the_readme_go_where_the_site_has_them(pages: ModuleType, text: str, moved: str) -> None:
    assert pages.relinked(text, "README.md", "index.md") == moved + "\n"


def test_links_out_of_the_docs_find_the_readme_and_files(pages: ModuleType) -> None:
    text = "[a](../README.md#more) [b](recipe.md) [c](../LICENSE) [d](examples/gates.yaml)"
    moved = "[a](index.md#more) [b](recipe.md) [c](files/LICENSE) [d](examples/gates.yaml)\n"
    assert pages.relinked(text, "docs/first-sweep.md", "first-sweep.md") == moved
    assert pages.linked_files(text, "docs/first-sweep.md") == {"LICENSE"}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Your own first sweep, in ten minutes", "your-own-first-sweep-in-ten-minutes"),
        ("The words", "the-words"),
        ("policy.json", "policyjson"),
        ("A – B", "a--b"),
        ("`Budget.of` and_more", "budgetof-and_more"),
    ],
)
def test_anchors_are_githubs(pages: ModuleType, heading: str, anchor: str) -> None:
    assert pages.slug(heading, "-") == anchor


def test_addresses_outside_are_those_of_the_prose() -> None:
    found = links()
    assert "README.md" in found["https://inspect.aisi.org.uk"]
    assert not any("example.com" in address for address in found)  # of a block of code


def test_an_address_says_its_status_or_why_it_has_none() -> None:
    with serving() as server:
        assert asked(f"{server.root}/nothing/here").isdigit()
    assert not asked(f"{server.root}/nothing/here").isdigit()
