"""The pages as a site: every link of theirs leads somewhere there too, and nothing of it is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("SITE_VENV", ROOT / ".venv-docs")) / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="the site's tools are not here: make site installs them")
def test_the_site_is_built_without_a_warning_and_needs_nobody_else(tmp_path: Path) -> None:
    """A page that no menu has, a link to nowhere or a heading that is not there fails; search has its own index."""
    strict = ["--fail-on-warning", "--keep-going", "--quiet"]
    words = [PYTHON, "-m", "sphinx", *strict, "--conf-dir", "docs/site", ".", tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {page.relative_to(tmp_path).with_suffix("").as_posix(): page for page in tmp_path.rglob("*.html")}
    written = {page.relative_to(ROOT).with_suffix("").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert written | {"README", "index", "search"} <= pages.keys()
    assert "canary" in (tmp_path / "searchindex.js").read_text(encoding="utf-8")
    loaded = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")
    assert [name for name, page in pages.items() if loaded.search(page.read_text(encoding="utf-8"))] == []
