"""Pages and pictures, rendered from `templates/` by the one environment that escapes whatever is
put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined
from markupsafe import Markup

from router_lab.report.format import EMPTY
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


class _Parts(Protocol):
    def __getattr__(self, macro: str) -> Callable[..., Markup]: ...


PARTS = cast(_Parts, TEMPLATES.get_template("parts.html").module)
"""The pieces that pages are made of, as functions that return Markup: the macros of
`templates/parts.html`, which says what each is."""


def page(title: str, *parts: Markup) -> str:
    """A whole HTML document headed `title`; nothing in it comes from anywhere else. Empty parts
    are left out."""
    return f"{render('page.html', title=title, parts=parts)}\n"


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
    kept = [(i, c) for i, c in enumerate(filled) if i < text_columns or not EMPTY.issuperset(c[1])]
    head = [
        (name, i < text_columns or any(isinstance(c, Markup) for c in cells)) for i, (name, cells) in kept
    ]
    lines = [(row_class(row), [cells[n] for _, (_, cells) in kept]) for n, row in enumerate(rows)]
    return PARTS.table(head, lines)
