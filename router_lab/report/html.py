"""Pages and pictures, rendered from `templates/` by the one environment that escapes whatever is
put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined
from markupsafe import Markup

from router_lab.runtime.visible import visible

Cell = Callable[[Mapping[str, Any]], str]


def _shown(value: Any) -> Any:
    """What stands between two braces of a template: seen as it is, unless it was rendered here."""
    return value if isinstance(value, Markup | Undefined) else visible(value)


TEMPLATES = Environment(
    loader=PackageLoader("router_lab.report"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
)
TEMPLATES.filters["px"] = lambda value: f"{value:.1f}"


def render(template: str, **values: Any) -> Markup:
    """The template of that name with `values`, each of which is escaped unless it was itself
    rendered."""
    return Markup(TEMPLATES.get_template(template).render(values))  # escaped by the environment


def _part(name: str, *values: Any) -> Markup:
    found: Markup = getattr(TEMPLATES.get_template("parts.html").module, name)(*values)
    return found


def page(title: str, *parts: Markup) -> str:
    """A whole HTML document headed `title`; nothing in it comes from anywhere else. Empty parts
    are left out."""
    return f"{render('page.html', title=title, parts=parts)}\n"


def section(title: str, *parts: Markup) -> Markup:
    """A headed section; empty parts are left out, and without any the section too."""
    inside = [p for p in parts if p]
    return _part("section", title, inside) if inside else Markup()


def titled(title: str, inside: Markup) -> Markup:
    """A part of a section under a heading of its own."""
    return _part("titled", title, inside)


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph."""
    return _part("paragraph", text, kind)


def lead(text: str, days: Sequence[str] = ()) -> Markup:
    """The line under a page's heading: what it is made of, and when that was measured."""
    return _part("lead", text, days)


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[tuple[str, Cell]],
    *,
    row_class: Cell = lambda _: "",
    text_columns: int = 1,
) -> Markup:
    """A table: (heading, cell) by column; the first `text_columns`, and pictures, are
    left-aligned.

    A column that is a dash, or a bare 0, for every row is left out.
    """
    filled = [(name, [cell(row) for row in rows]) for name, cell in columns]
    kept = [(i, c) for i, c in enumerate(filled) if i < text_columns or not {"", "–", "0"}.issuperset(c[1])]
    head = [
        (name, i < text_columns or any(isinstance(c, Markup) for c in cells)) for i, (name, cells) in kept
    ]
    lines = [(row_class(row), [cells[n] for _, (_, cells) in kept]) for n, row in enumerate(rows)]
    return _part("table", head, lines)


def cards(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Big figures with a line under each: (figure, what it is)."""
    return _part("cards", pairs)


def verdict_box(word: str, text: str, of: str = "") -> Markup:
    """A verdict in its colour, and in words for who sees none (word "": no verdict, a finding);
    `of`: whose it is."""
    return _part("verdict_box", word, text, of)


def quote(text: str) -> Markup:
    """A sentence to be taken elsewhere."""
    return _part("quote", text)


def figure(picture: Markup, caption: str = "") -> Markup:
    """A picture with its caption above it."""
    return _part("figure", picture, caption)


def panels(figures: Sequence[Markup]) -> Markup:
    """Small figures side by side."""
    return _part("panels", figures)


def details(summary: str, *parts: Markup) -> Markup:
    """What only some readers want, folded."""
    return _part("details", summary, parts)


def bullets(texts: Sequence[str]) -> Markup:
    """A list of sentences; nothing of none."""
    return _part("bullets", texts)


def commands(*lines: str) -> Markup:
    """What to type, a line each."""
    return _part("commands", lines)


def bars(*shares: float, width: int = 140) -> Markup:
    """Bars of `shares` of `width` px in a row, for a cell of a table; all but the first are
    paler."""
    return _part("bars", [max(0.0, share) * width for share in shares])
