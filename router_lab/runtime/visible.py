"""Text from outside made safe to show: what would steer a terminal, hide, or turn text around becomes an escape."""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: controls (ESC, C1, newline), formats (bidi overrides, zero widths, tags), private use, lone
surrogates, and the two separators that some programs break lines at."""
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Characters that are letters or marks by category and show as nothing."""


def visible(text: object, keep: str = "") -> str:
    r"""`text` with every character that nobody could see as itself escaped as Python does: `\x1b`, `\n`, `\u202e`.

    keep: characters that stay as they are, such as newlines where they are our own. The result can be encoded.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if char not in keep and (unicodedata.category(char) in _UNSEEN or char in _BLANK)
        else char
        for char in shown
    )
