"""Pages of the site that nobody writes: the command line from click's help, the Python API from
`__all__` and from what the docs import, notebooks, and files of the repository that a page links
to. Text in, Markdown out; no mkdocs here."""

from __future__ import annotations

import ast
import inspect
import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click

import router_lab
import router_lab.runtime
from router_lab.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(```+|~~~+)")
LINK = re.compile(r"(\]\()((?!https?:|mailto:|#)[^)\s#]+)(#[^)\s]*)?(\))")
HOME = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "datasets/recorded/README.md": "recorded.md",
    "notebooks": "notebooks.md",
}
"""What lies outside of docs/, and which page of the site it is."""


def slug(text: str, separator: str) -> str:
    """As GitHub names a heading: small letters, no punctuation, a hyphen for each space."""
    text = unicodedata.normalize("NFC", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", separator)


def prose(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it stands outside of fenced code."""
    closing = ""
    for line in text.splitlines():
        found = FENCE.match(line)
        inside = bool(closing)
        if found and not closing:
            closing = found[2]
        elif closing and line.strip() == closing:
            closing = ""
        yield line, not (inside or closing)


def without_comments(text: str) -> str:
    """Comments that tests read are no rows of a table on GitHub, and would be one here."""
    lines = [("" if plain and line.strip().startswith("<!--") and line.rstrip().endswith("-->") else line)
             for line, plain in prose(text)]  # fmt: skip
    return "\n".join(lines) + "\n"


def page_of(target: str, source: str) -> str:
    """Where the site has what `source` (both relative to the repository) links to as `target`."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    inside = path.removeprefix("docs/") if path.startswith("docs/") else None
    return HOME.get(path) or inside or f"files/{path}"


def relinked(text: str, source: str, page: str) -> str:
    """`text` of the file `source` with its links as the site's `page` needs them."""
    start = posixpath.dirname(page) or "."

    def moved(found: re.Match[str]) -> str:
        return found[1] + posixpath.relpath(page_of(found[2], source), start) + (found[3] or "") + found[4]

    return "\n".join(LINK.sub(moved, line) if plain else line for line, plain in prose(text)) + "\n"


def linked_files(text: str, source: str) -> set[str]:
    """Files of the repository that `text` links to and that are no page: they are copied beside
    the pages."""
    targets = (found[2] for line, plain in prose(text) if plain for found in LINK.finditer(line))
    return {page.removeprefix("files/") for page in (page_of(target, source) for target in targets)
            if page.startswith("files/") and (ROOT / page.removeprefix("files/")).is_file()}  # fmt: skip


def notebooks() -> str:
    """The notebooks of the repository, one after the other, as they are read."""
    parts = ["# Notebooks", "They lie in `notebooks/`; `make demo` writes what they read."]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            text = "".join(cell["source"]).strip()
            if cell["cell_type"] == "code":
                parts.append(f"```python\n{text}\n```")
            else:
                parts.append(re.sub("^#", "##", text, flags=re.M))
            if number == 0:
                parts.append(f"`notebooks/{path.name}`")
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """Every command, by click's help."""
    context = click.Context(cli, info_name="router-lab")
    names = [f"| [`{name}`](#router-lab-{name}) | {told} |" for name, (_, told) in COMMANDS.items()]
    parts = [
        "# Command line",
        prepared(cli.help or ""),
        "| command | what it does |\n|---|---|\n" + "\n".join(names),
    ]
    parts.append("`router-lab COMMAND --help` prints the same.")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _command(name, command, context, "##")
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: click.Command, parent: click.Context, mark: str) -> Iterator[str]:
    context = click.Context(command, parent=parent, info_name=name)
    yield f"{mark} {context.command_path}"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    yield prepared(command.help or "")
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [
        f"| {_options(record[0])} | {_cell(record[1])} |" for record in records if record and any(record[1:])
    ]
    if rows:
        yield "| option | |\n|---|---|\n" + "\n".join(rows)
    if command.epilog:
        calls = [
            line.strip() for line in command.epilog.splitlines() if line.strip().startswith("router-lab")
        ]
        yield "```bash\n" + "\n".join(calls) + "\n```"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            one = command.get_command(context, inner)
            assert one is not None
            yield from _command(inner, one, context, mark + "#")


def prepared(text: str) -> str:
    """Help as Markdown: paragraphs as they are, what click is told not to wrap as a block."""
    parts = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        kept, _, rest = part.partition("\b\n")
        parts.append(
            f"```text\n{inspect.cleandoc(rest)}\n```" if rest and not kept.strip() else _escaped(part)
        )
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    text = text.replace("<", "&lt;")
    return text if "`" in text else re.sub(r"([*_\[\]])", r"\\\1", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def _options(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def documented() -> dict[str, list[str]]:
    """Public names by module: `__all__` of `router_lab` and its runtime, then what the docs import
    besides."""
    found = {module.__name__: [name for name in module.__all__ if not name.startswith("__")]
             for module in (router_lab, router_lab.runtime)}  # fmt: skip
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
            for module, name in imported(code):
                names = found.setdefault(module, [])
                names += [] if name in names else [name]
    return found


def imported(code: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "router_lab":
            yield from ((str(node.module), alias.name) for alias in node.names)


def api(runtime: bool) -> str:
    """A page of the Python API: of what production installs, or of the rest. A name is there
    because it is public, or because a page of the docs imports it."""
    head = ("# Python: in production\n\nNumpy and the standard library alone. Examples: [in your own Python](python.md), "
            "[running it](operations.md), [chains](chains.md)." if runtime else
            "# Python: measure and fit\n\nWith extra `lab`. Examples: [extending](extending.md), [tables](tables.md), "
            "[notebooks](notebooks.md).")  # fmt: skip
    parts = [head, "What stays, and for how long: [versions](versions.md)."]
    for module, names in documented().items():
        if runtime is (module == "router_lab" or module.startswith("router_lab.runtime")):
            parts.append(f"## `{module}`")
            parts += [f"::: {module}.{name}\n    options:\n      heading_level: 3" for name in sorted(names)]
    return "\n\n".join(parts) + "\n"
