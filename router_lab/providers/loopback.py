"""Loopback without a proxy, by the variable that every HTTP client reads: `NO_PROXY`. Standard
library alone."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

HOSTS = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
VARIABLES = ("no_proxy", "NO_PROXY")


def proxy_variables() -> list[str]:
    """Names of the variables that name a proxy here, as they are written."""
    return sorted(name for name, value in os.environ.items() if name.lower() in PROXIES and value)


@contextmanager
def loopback_direct(urls: Iterable[str | None] = ()) -> Iterator[None]:
    """Within it nothing on this machine is asked through a proxy: `HOSTS`, and the hosts of `urls`
    that are loopback.

    Everything else still goes through the user's proxy. Where the environment names none it is
    left alone: a variable more would hide the proxy of the system's settings from clients.
    """
    with _set(",".join(_listed(urls)) if proxy_variables() else None):
        yield


@contextmanager
def all_direct() -> Iterator[None]:
    """Within it no proxy is used at all: for clients that speak with loopback alone."""
    with _set("*"):
        yield


def _listed(urls: Iterable[str | None]) -> list[str]:
    """What was excepted before, and loopback."""
    before = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    named = [os.environ[name] for name in os.environ if name.endswith("_BASE_URL")]
    hosts = [urlsplit(url).hostname or "" for url in (*urls, *named) if url]
    listed = [entry.strip() for entry in before.split(",") if entry.strip()]
    return list(dict.fromkeys([*listed, *HOSTS, *filter(_is_loopback, hosts)]))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _set(value: str | None) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in VARIABLES}
    try:
        if value is not None:
            os.environ.update(dict.fromkeys(VARIABLES, value))
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
