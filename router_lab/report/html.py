"""Pieces of a self-contained page: no font, script, style or picture comes from anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

Cell = Callable[[Mapping[str, Any]], str]


def page(title: str, body: str) -> str:
    """A whole HTML document with the house's style and the hover script inside it."""
    files = resources.files("router_lab.report")
    style = (files / "style.css").read_text(encoding="utf-8")
    script = (files / "hover.js").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>\n{style}</style></head>\n<body>\n{body}\n<script>\n{script}</script>\n</body></html>\n"
    )


def svg_style() -> str:
    """The part of the house's style that a picture outside of a page needs: its colours, light and dark, and marks."""
    style = (resources.files("router_lab.report") / "style.css").read_text(encoding="utf-8")
    colours = style[: style.index("* {")]
    return colours + "".join(f"{line}\n" for line in style.splitlines() if line.startswith(".pareto"))


def section(title: str, *parts: str) -> str:
    """A headed section; empty parts are left out, and without any the section too."""
    inside = [p for p in parts if p]
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(inside) + "\n</section>" if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """Escaped text as a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[tuple[str, Cell]],
    *,
    row_class: Cell = lambda _: "",
    text_columns: int = 1,
) -> str:
    """A table: (heading, cell) by column, cells escaped; the first `text_columns` are left-aligned.

    A column that is a dash, or a bare 0, for every row is left out.
    """
    nothing = ("", "–", "0")
    kept = [c for i, c in enumerate(columns) if i < text_columns or any(c[1](r) not in nothing for r in rows)]
    aligned = [' class="text"' if i < text_columns else "" for i in range(len(kept))]
    head = "".join(f"<th{a}>{escape(name)}</th>" for a, (name, _) in zip(aligned, kept, strict=True))
    lines = []
    for row in rows:
        cells = "".join(f"<td{a}>{escape(cell(row))}</td>" for a, (_, cell) in zip(aligned, kept, strict=True))
        kind = row_class(row)
        lines.append(f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def cards(pairs: Sequence[tuple[str, str]]) -> str:
    """Big figures with a line under each: (figure, what it is)."""
    boxes = "".join(f'<div class="card"><b>{escape(big)}</b><span>{escape(small)}</span></div>' for big, small in pairs)
    return f'<div class="cards">{boxes}</div>'


def verdict_box(word: str, text: str, more: str = "", of: str = "") -> str:
    """A verdict in its colour, and in words for who sees none; `of`: whose verdict it is. `more` is HTML."""
    whose = f"{escape(of)}: " if of else ""
    return f'<div class="verdict {escape(word)}"><b class="word">{whose}{escape(word)}</b> · {escape(text)}{more}</div>'


def figure(svg: str, caption: str = "") -> str:
    """A picture with its caption above it."""
    above = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{above}{svg}</figure>"


def details(summary: str, inside: str) -> str:
    """What only some readers want, folded."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def bullets(texts: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(t)}</li>" for t in texts) + "</ul>" if texts else ""


def bar(share: float, width: int = 140, second: bool = False) -> str:
    """A bar of `share` of `width` px, for table cells that are raw HTML."""
    return f'<span class="bar{" second" if second else ""}" style="width:{max(0.0, share) * width:.1f}px"></span>'
