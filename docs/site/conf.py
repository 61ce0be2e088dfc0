"""Sphinx: the Markdown of this repository as a site, with search that needs no server."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

project = "modelops"
author = "modelops"
extensions = ["myst_parser"]
root_doc = "README"
# The pages lie where people read them in the repository, so links between them are the same here.
include_patterns = ["README.md", "docs/**.md"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 5
myst_enable_extensions = ["strikethrough"]
# Examples are shown as they are, with `...` for what is left out, in languages that know no such thing.
suppress_warnings = ["misc.highlighting_failure", "myst.header"]
html_theme = "furo"
html_title = "modelops"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_permalinks_icon = "#"
nitpicky = True

_LINK = re.compile(r"\]\(((?!https?://)[^)#\s]+\.md)(?:#[^)]*)?\)")


def linked(page: Path) -> list[str]:
    """Return the pages of the repository that a page links to, in its order, each once and without itself."""
    found = dict.fromkeys(
        (page.parent / target).resolve().relative_to(ROOT).with_suffix("").as_posix()
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
    )
    return [name for name in found if name != page.relative_to(ROOT).with_suffix("").as_posix()]


def _contents(app: Any, name: str, source: list[str]) -> None:
    """Give the pages that are an index of others a table of contents of the same links, which is the site's menu."""
    if name not in ("README", "docs/README", "docs/decisions/README"):
        return
    pages = ["docs/README"] if name == "README" else linked(ROOT / f"{name}.md")
    under = "docs/decisions/" if name == "docs/decisions/README" else ""
    # One link of the index leads to a folder of pages.
    kinds = sorted((ROOT / "docs" / "reference" / "kinds").glob("*.md")) if name == "docs/README" else []
    pages = [*pages, *(page.relative_to(ROOT).with_suffix("").as_posix() for page in kinds)]
    shown = [page for page in pages if page.startswith(under) and page != "README"]
    body = "\n".join(f"/{page}" for page in dict.fromkeys(shown))
    source[0] += f"\n\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{body}\n```\n"


def _front(app: Any, error: Exception | None) -> None:
    """Have the first page open where a web server looks for it, too."""
    if error is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Any) -> dict[str, bool]:
    """Register what is done to each page before it is read."""
    app.connect("source-read", _contents)
    app.connect("build-finished", _front)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
