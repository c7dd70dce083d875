"""Chromium, headless and without a network beyond this machine; skipped with the reason where it is not installed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A selenium driver that logs every request a page makes."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium or its driver is not installed (Debian: chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", "--disable-component-update", "--no-first-run"):  # fmt: skip
        options.add_argument(argument)
    found = webdriver.Chrome(options=options, service=Service(driver))
    found.set_page_load_timeout(120)
    yield found
    found.quit()


def open_at(browser: Any, address: str, width: int, height: int = 1000) -> None:
    """Open a page at a width, with the log of requests emptied first."""
    browser.get_log("performance")
    browser.set_window_size(width, height)
    browser.get("about:blank")  # a change of the fragment alone would not load the page anew
    browser.get(address)


def open_page(browser: Any, path: Path, html: str, width: int) -> None:
    path.write_text(html, encoding="utf-8")
    open_at(browser, path.as_uri(), width)


def requests(browser: Any) -> list[str]:
    """Every address that was asked for since the log was last read."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if url != "about:blank"]


def shot(browser: Any, name: str, width: int, whole: bool = False) -> None:
    """A picture for a person to look at, where ROUTER_LAB_SCREENSHOTS names a folder; whole: the page to its end."""
    folder = os.environ.get("ROUTER_LAB_SCREENSHOTS")
    if folder is None:
        return
    browser.set_window_size(width, 1000)
    if whole:
        browser.set_window_size(
            width, browser.execute_script("return document.documentElement.scrollHeight") + 200
        )
    time.sleep(1.5)  # charts are drawn anew after a change of width
    browser.save_screenshot(str(Path(folder) / f"{name}-{width}.png"))
