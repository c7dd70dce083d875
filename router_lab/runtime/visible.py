"""Text from outside made safe to show: what would steer a terminal, hide, or turn text around
becomes an escape."""

from __future__ import annotations

import json
import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: controls (ESC, C1, newline), formats (bidi overrides, zero widths, tags),
private use, lone surrogates, and the two separators that some programs break lines at."""
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(
    *(map(chr, part) for part in _SELECTORS)
)
"""Characters that are letters or marks by category and show as nothing; variation selectors among
them."""
_MARKS = 8
"""Marks on one letter that are shown; scripts need fewer, and hundreds cover the lines above and
below."""
_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~!$]|^\s*(?:[-+=]|\d+[.)](?=\s|$))|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown, with GitHub's tables, formulas and bare links, could take for more than
itself."""


def visible(text: object) -> str:
    r"""`text` with every character that nobody could see as itself escaped as Python does: `\x1b`,
    `\n`, `\u202e`.

    The result is one line, can be encoded, and be put into XML.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    found, marks = [], 0
    for char in shown:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        hidden = marks > _MARKS or _unseen(char)
        found.append(char.encode("unicode_escape").decode("ascii") if hidden else char)
    return "".join(found)


def visible_json(text: str) -> str:
    """JSON with what nobody could see escaped as JSON does; the newlines between its lines
    stay."""
    return "".join(json.dumps(char)[1:-1] if _unseen(char) and char != "\n" else char for char in text)


def in_markdown(text: object) -> str:
    """`text` as Markdown that shows it and nothing else: no markup, HTML, link, formula, cell
    border or mention.

    For a cell of a table, a heading or a sentence; entities and backslashes as CommonMark and
    GitHub have them.
    """
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", shown)
    # A mention, a reference (`#12`, `GH-12`) or an emoji's name (`:tada:`) is looked for in what
    # was rendered: only a character between keeps it from being one.
    return re.sub(r"@(?=\w)|\\#(?=\d)|\bGH-(?=\d)|:(?=[\w+-]+:)", lambda found: f"{found[0]}&#8203;", shown)


def _unseen(char: str) -> bool:
    nobodys = ord(char) & 0xFFFE == 0xFFFE  # U+FFFE, U+FFFF and their like are no characters
    return nobodys or unicodedata.category(char) in _UNSEEN or char in _BLANK
