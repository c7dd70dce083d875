"""Loopback never goes through a proxy, whichever variable names one; everything else still does."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest

from router_lab.providers.loopback import all_direct, loopback_direct
from router_lab.providers.recorder import Recorder
from router_lab.runtime.errors import InputError
from router_lab.sweep import load_grid
from router_lab.sweep.recorder import fingerprint
from tests.servers.grid import write_project

PROXY = "http://192.0.2.9:3128"
NAMES = (
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def through(url: str) -> bool:
    """Whether httpx, and with it the providers' SDKs, would use a proxy."""
    with httpx.Client() as client:
        pool: Any = client._transport_for_url(httpx.URL(url))._pool  # type: ignore[attr-defined]
        return type(pool).__name__ == "HTTPProxy"


@pytest.mark.parametrize("name", [name for name in NAMES if "NO" not in name.upper()])
@pytest.mark.parametrize("excepted", [None, "corp.example,10.0.0.1"])
def test_loopback_is_direct_and_the_rest_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, excepted: str | None
) -> None:
    monkeypatch.setenv(name, PROXY)
    if excepted:
        monkeypatch.setenv("NO_PROXY", excepted)
    scheme = "https" if "HTTPS" in name.upper() else "http"
    before = {variable: os.environ.get(variable) for variable in NAMES}
    monkeypatch.setenv("LOCAL_BASE_URL", f"{scheme}://127.0.0.3:1/v1/")
    assert through(f"{scheme}://127.0.0.1:8080/v1")
    with loopback_direct([f"{scheme}://127.0.0.2:9/v1/", None, "http://api.example/v1"]):
        for host in ("127.0.0.1:8080", "localhost:1", "[::1]:9", "127.0.0.2:9", "127.0.0.3:1"):
            assert not through(f"{scheme}://{host}/v1/messages"), host
        assert through(f"{scheme}://api.example/v1")
        if excepted:
            assert not through(f"{scheme}://corp.example/")
        assert urllib.request.proxy_bypass("127.0.0.1")
    assert {variable: os.environ.get(variable) for variable in NAMES} == before


def test_where_no_proxy_is_named_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable more would hide the proxy of the system's settings from clients."""
    with loopback_direct():
        assert os.environ.get("NO_PROXY") is None
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    with loopback_direct():
        assert not through("http://api.example/")


def test_the_recorder_is_reached_past_a_proxy_by_any_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES[:6]:
        monkeypatch.setenv(name, PROXY)
    with Recorder() as recorder, all_direct():
        httpx.post(f"{recorder.url}/messages", json={"model": "a"})
        ask = urllib.request.Request(f"{recorder.url}/responses", json.dumps({"model": "b"}).encode())
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(ask, timeout=5)
        refused.value.close()
    assert [body["model"] for _, _, body in recorder.seen] == ["a", "b"]


@pytest.mark.filterwarnings("ignore")
def test_a_recorder_that_saw_nothing_stops_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_lab.sweep.recorder.record", lambda *_, **__: None)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    local: dict[str, Any] = {"model": "openai-api/local/x", "base_url": "http://api.example/v1/"}
    file = write_project(tmp_path, {"models": [local]})
    words = r"openai-api/local/x: the recorder on loopback saw no request .*api\.example/v1/; proxy variables set: HTTPS_"
    with pytest.raises(InputError, match=words):
        fingerprint(load_grid(file).cells)
    file = write_project(tmp_path, {"models": [local | {"record": False}]})
    assert list(fingerprint(load_grid(file).cells).values()) == [None]
