"""docs/versions.md names what is public, and the version is one wherever it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import router_lab
import router_lab.runtime

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "docs" / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def named(module: str) -> list[str]:
    [row] = re.findall(rf"^\| `{re.escape(module)}` \| (.*) \|$", PAGE, flags=re.M)
    return re.findall(r"`(\w+)`", row)


def test_public_names_are_those_of_the_page() -> None:
    assert named("router_lab") == sorted(router_lab.__all__)
    assert named("router_lab.runtime") == sorted(router_lab.runtime.__all__)


def test_public_names_are_there_and_say_what_they_are() -> None:
    for module in (router_lab, router_lab.runtime):
        for name in module.__all__:
            found = getattr(module, name)
            assert name == "__version__" or found.__doc__, name


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == router_lab.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", router_lab.__version__)
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "docs" / "examples" / "gate-workflow.yml",
    ]
    wheels = {
        wheel for page in pages for wheel in re.findall(r"router_lab-[\d.]+-py3", page.read_text("utf-8"))
    }
    assert wheels == {f"router_lab-{router_lab.__version__}-py3"}


def test_the_changelog_has_its_form() -> None:
    """Newest first, each release with a day, and no section that the form does not know."""
    releases = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGELOG, flags=re.M)
    assert releases[0] == ("Unreleased", "")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", name) and day for name, day in releases[1:])
    numbers = [tuple(map(int, name.split("."))) for name, _ in releases[1:]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(re.findall(r"^## ", CHANGELOG, flags=re.M)) == len(releases)
    assert set(re.findall(r"^### (.+)$", CHANGELOG, flags=re.M)) <= SECTIONS
