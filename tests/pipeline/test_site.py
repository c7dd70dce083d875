"""The site as it is built: nothing from elsewhere, every link and anchor there, comments unseen; a broken link ends it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import ROOT

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "image": "href"}
FROM = (
    "docs",
    "notebooks",
    ".github",
    "README.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "datasets/recorded/README.md",
)


class Page(HTMLParser):
    """What a page loads, where it links to, which anchors it has, and its text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.copied: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag in LOADS and LOADS[tag] in found:
            self.loads.append(found[LOADS[tag]])
        if tag == "link" and found.get("rel") not in ("prev", "next", "canonical"):
            self.loads.append(found["href"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make site` has installed, or the same, by hash, in a folder of its own."""
    lock, made = ROOT / ".github" / "site.lock", ROOT / ".site"
    stamp = made / ".installed"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return made / "lib"
    folder = tmp_path_factory.mktemp("tools")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
               "--require-hashes", "--only-binary", ":all:", "--target", str(folder), "-r", str(lock)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def build(tools: Path, repository: Path, out: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{tools}:{ROOT}", "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ".github/mkdocs.yml",
               "-d", str(out)]  # fmt: skip
    return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(tools, ROOT, out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def site(built: Path) -> dict[str, Page]:
    """Every file of the site by its path; what is no page has no links."""
    return {
        str(path.relative_to(built)): Page(path.read_text(encoding="utf-8") if path.suffix == ".html" else "")
        for path in built.rglob("*")
        if path.is_file()
    }


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: dict[str, Page]) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {
        "index",
        "cli",
        "api",
        "api-lab",
        "notebooks",
    }
    assert {f"{name}.html" for name in pages} <= site.keys()
    outside = {(name, load) for name, page in site.items() for load in page.loads if urlsplit(load).netloc}
    assert outside == set()
    assert sum(len(page.loads) for page in site.values()) > len(pages)


def test_every_link_and_anchor_is_there(site: dict[str, Page]) -> None:
    broken, followed = [], 0
    for name, page in site.items():
        if name == "404.html":  # it is shown under any address, and has those of the site's root
            continue
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = os.path.normpath(Path(name).parent / unquote(parts.path)) if parts.path else name
            target = "index.html" if target == "." else target
            anchor = unquote(parts.fragment)
            followed += 1
            if target not in site or (anchor and anchor not in site[target].anchors | {"__skip"}):
                broken.append((name, link))
    assert broken == []
    assert followed > 1000


def test_styles_load_nothing_from_elsewhere_and_comments_are_unseen(built: Path) -> None:
    styles = "".join(path.read_text(encoding="utf-8") for path in built.rglob("*.css"))
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import", styles)
    for path in built.glob("*.html"):
        prose = re.sub(r"<(pre|script|style)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.S)
        assert "&lt;!--" not in prose and "<!-- printed" not in prose, path.name
    page = (built / "operations.html").read_text(encoding="utf-8")
    assert (
        "<td><code>gen_ai.usage.reasoning.output_tokens</code></td>" in page
    )  # the last row, before a comment


def test_a_broken_link_or_anchor_ends_the_build(tools: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    (copy / "router_lab").symlink_to(ROOT / "router_lab")
    (copy / "docs" / "stray.md").write_text("# Stray\n\n[a](nowhere.md) and [b](demo.md#nowhere)\n")
    done = build(tools, copy, tmp_path / "out")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "nowhere.md" in said and "#nowhere" in said
    assert "Aborted with 2 warnings" in said  # a page that the navigation does not know is none of them
