"""What mkdocs is told beyond its file: pages that are made, links and anchors as on GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pages
from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
MADE = {
    "api.md": lambda: pages.api(runtime=True),
    "api-lab.md": lambda: pages.api(runtime=False),
    "cli.md": pages.command_line,
    "notebooks.md": pages.notebooks,
}


def on_config(config: Any) -> Any:
    config["mdx_configs"].setdefault("toc", {})["slugify"] = pages.slug
    return config


def on_files(files: Files, config: Any) -> Files:
    texts = {
        source: (pages.ROOT / source).read_text(encoding="utf-8")
        for source in pages.HOME
        if source.endswith(".md")
    }
    for source, text in texts.items():
        page = pages.HOME[source]
        head = "---\nhide: [navigation]\n---\n\n" if page == "index.md" else ""
        files.append(File.generated(config, page, content=head + pages.relinked(text, source, page)))
    for page, make in MADE.items():
        files.append(File.generated(config, page, content=make()))
    for name in ("site.css", "favicon.svg"):
        files.append(File.generated(config, name, content=(HERE / name).read_bytes()))
    docs = {
        f"docs/{file.src_uri}": file.content_string
        for file in files.documentation_pages()
        if not file.generated_by
    }
    for source, text in (docs | texts).items():
        for name in sorted(pages.linked_files(text, source)):
            if files.get_file_from_path(f"files/{name}") is None:
                files.append(
                    File.generated(config, f"files/{name}", content=(pages.ROOT / name).read_bytes())
                )
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    if not page.file.generated_by:
        markdown = pages.relinked(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
    return pages.without_comments(markdown)
