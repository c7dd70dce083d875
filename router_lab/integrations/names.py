"""Names of models that ask to be routed, and those that nearly do: told once each, since a typo
changes who serves and raises nothing."""

from __future__ import annotations

import difflib
import threading
import warnings

from router_lab.runtime.errors import RouterLabWarning, shown

PREFIX = "router_lab"
"""Models of this name, and of `router_lab/SUITE`, are routed."""
LONGEST = 80
"""Characters of a name that are looked at for what is like it."""


class ToldOnce:
    """Which names were told already, the first `most` of them: whoever sends others for ever fills
    no log. Safe among threads."""

    def __init__(self, most: int = 100) -> None:
        self._most, self._names, self._lock = most, set[str](), threading.Lock()

    def once(self, name: str, text: str) -> None:
        """Warn of a name, if it is new."""
        with self._lock:
            if name in self._names or len(self._names) >= self._most:
                return
            self._names.add(name)
        warnings.warn(RouterLabWarning(text), stacklevel=3)


_PASSED = ToldOnce()


def routes(model: object) -> bool:
    """Whether a request for this model is to be routed; all others are none of ours. Warns once of
    a name that is ours but for its spelling."""
    if not isinstance(model, str):
        return False
    head, slash, suite = model[: LONGEST + len(PREFIX)].partition("/")
    if head == PREFIX:
        return True
    if _plain(head) == _plain(PREFIX):
        meant = shown(f"{PREFIX}{slash}{suite}", LONGEST)
        text = f"model {shown(model)} is not routed and goes on as it is: names that are routed begin with {PREFIX!r}"
        _PASSED.once(model, f"{text}; write {meant}")
    return False


def _plain(head: str) -> str:
    return "".join(head.casefold().replace("-", " ").replace("_", " ").split())


def unknown_suite(name: str, suites: tuple[str, ...]) -> str:
    """What to say of a suite that a policy does not know: which of `suites` it may have meant, or
    which there are."""
    near = difflib.get_close_matches(name[:LONGEST], suites, 1)
    if near:
        return f"meant {near[0]!r}?"
    known = ", ".join(map(repr, suites[:5])) + (" …" if len(suites) > 5 else "")
    return f"it knows {known or 'none'}"
