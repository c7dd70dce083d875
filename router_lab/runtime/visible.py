"""Text from outside made safe to show: what would steer a terminal, hide, or turn text around becomes an escape."""

from __future__ import annotations

import json
import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: controls (ESC, C1, newline), formats (bidi overrides, zero widths, tags), private use, lone
surrogates, and the two separators that some programs break lines at."""
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Characters that are letters or marks by category and show as nothing."""
_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~!$]|^\s*(?:[-+=]|\d+[.)](?=\s|$))|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown, with GitHub's tables, formulas and bare links, could take for more than itself."""


def visible(text: object, keep: str = "") -> str:
    r"""`text` with every character that nobody could see as itself escaped as Python does: `\x1b`, `\n`, `\u202e`.

    keep: characters that stay as they are, such as newlines where they are our own. The result can be encoded, and be
    put into XML.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(
        char.encode("unicode_escape").decode("ascii") if _unseen(char) and char not in keep else char for char in shown
    )


def visible_json(text: str) -> str:
    """JSON with what nobody could see escaped as JSON does; the newlines between its lines stay."""
    return "".join(json.dumps(char)[1:-1] if _unseen(char) and char != "\n" else char for char in text)


def in_markdown(text: object) -> str:
    """`text` as Markdown that shows it and nothing else: no markup, HTML, link, formula, cell border or mention.

    For a cell of a table, a heading or a sentence; entities and backslashes as CommonMark and GitHub have them.
    """
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", shown)
    # A mention or a reference is looked for in what was rendered: only a character between keeps it from being one.
    return re.sub(r"@(?=\w)|\\#(?=\d)", lambda found: f"{found[0]}&#8203;", shown)


def _unseen(char: str) -> bool:
    nobodys = ord(char) & 0xFFFE == 0xFFFE  # U+FFFE, U+FFFF and their like are no characters
    return nobodys or unicodedata.category(char) in _UNSEEN or char in _BLANK
