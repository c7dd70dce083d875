"""The code of docs/integrations.md, played as it stands against a provider on loopback."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from router_lab.publish import publish
from router_lab.runtime.artifact import save_revision
from tests.conftest import ROOT
from tests.integrations.provider import Provider
from tests.integrations.worlds import choosing


def play(name: str, api: str, folder: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the page's code of that name where a policy of `api` is published as `policies/support`."""
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    [code] = re.findall(rf"<!-- run: {name} -->\n```python\n(.*?)```", page, flags=re.S)
    publish(save_revision(choosing(api), folder / "policies" / "support"), force=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    (folder / "mine.py").write_text(code)
    runpy.run_path(str(folder / "mine.py"))
