"""The code of a notebook or a script as one list of statements that know where they stand. Nothing of it is run."""

from __future__ import annotations

import ast
import json
import re
import warnings
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelops.errors import Exit, Location, failure

__all__ = ["Code", "Gap", "Place", "read_code"]

_MOST_BYTES = 64 << 20
"""Size of a notebook up to which it is read; pictures of outputs make most of it."""
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2}\s*)$")
_TAKEN = re.compile(r"^(\s*\w[\w, ]*=\s*)[%!]")
_CELL_OF_PYTHON = re.compile(r"^%%(time|timeit|capture|prun)\b")
_SHOWN = 90


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: the line of a script, or of the n-th code cell of a notebook; all count from 1."""

    cell: int | None
    line: int

    def __str__(self) -> str:
        return f"line {self.line}" if self.cell is None else f"cell {self.cell}, line {self.line}"


@dataclass(frozen=True, slots=True)
class Gap:
    """What is not carried over: where, the code as it stands there, and what that means or what to do about it."""

    place: Place | None
    code: str
    what: str


@dataclass
class Code:
    """Statements in their order. Their line numbers run through all cells; ``place`` tells cell and line of a node."""

    name: str
    body: list[ast.stmt] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def place(self, node: ast.AST) -> Place:
        """Return where a node of these statements begins."""
        line = getattr(node, "lineno", 1)
        if not self.starts:
            return Place(None, line)
        cell = bisect_right(self.starts, line)
        return Place(cell, line - self.starts[cell - 1] + 1)

    def shown(self, node: ast.AST) -> str:
        """Return the first line of a node as it stands in the source."""
        line = getattr(node, "lineno", 0)
        text = " ".join(self.lines[line - 1].split()) if 0 < line <= len(self.lines) else ""
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"

    def gap(self, node: ast.AST, what: str) -> Gap:
        """Return a gap at a node."""
        return Gap(self.place(node), self.shown(node), what)


def read_code(path: Path) -> Code:
    """Read a notebook or a script.

    Errors: ``unreadable-notebook`` for JSON that is no notebook or one without Python, ``unreadable-code`` for a script
    that is no Python. A cell that is no Python is a gap.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise failure(
                "unreadable-notebook", f"{path} has {size:,} bytes, more than {_MOST_BYTES:,}",
                hint="clear its outputs, or name its code: jupyter nbconvert --to script",
            )  # fmt: skip
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise failure("unreadable-code", f"{path} cannot be read: {error.strerror}", exit=Exit.WORLD) from None
    except UnicodeDecodeError:
        raise failure("unreadable-code", f"{path} is not text in UTF-8", location=Location(str(path))) from None
    return _notebook(path, text) if path.suffix.lower() == ".ipynb" else _script(path, text)


def _script(path: Path, text: str) -> Code:
    code = Code(path.name, lines=text.splitlines())
    try:
        code.body = _parsed(text)
    except SyntaxError as error:
        where = Location(str(path), error.lineno or 1, error.offset or 1)
        raise failure("unreadable-code", f"this is no Python: {error.msg}", location=where) from None
    except (ValueError, RecursionError, MemoryError):
        raise failure("unreadable-code", f"{path} cannot be read as Python", location=Location(str(path))) from None
    return code


def _notebook(path: Path, text: str) -> Code:
    code = Code(path.name)
    for number, source in enumerate(_sources(path, text), start=1):
        code.starts.append(len(code.lines) + 1)
        lines = source.splitlines() or [""]
        code.lines += lines
        if lines[0].startswith("%%") and not _CELL_OF_PYTHON.match(lines[0]):
            continue
        try:
            body = _parsed("\n".join(_without_magic(line) for line in lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = min(getattr(error, "lineno", None) or 1, len(lines))
            what = f"the cell is no Python: {getattr(error, 'msg', 'it cannot be read')}; what it does is not known"
            code.gaps.append(Gap(Place(number, line), " ".join(lines[line - 1].split())[:_SHOWN], what))
            continue
        for statement in body:
            ast.increment_lineno(statement, code.starts[-1] - 1)
        code.body += body
    return code


def _parsed(text: str) -> list[ast.stmt]:
    with warnings.catch_warnings():
        # An escape that is none, in somebody else's text, is nobody's business here.
        warnings.simplefilter("ignore")
        return ast.parse(text).body


def _without_magic(line: str) -> str:
    """Return a line without what only a notebook understands: commands of the shell, magics, questions."""
    if found := _MAGIC.match(line):
        return f"{found[1]}pass"
    return f"{found[1]}None" if (found := _TAKEN.match(line)) else line


def _sources(path: Path, text: str) -> list[str]:
    """Return the text of every code cell."""
    where = Location(str(path))
    try:
        whole: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = Location(str(path), getattr(error, "lineno", 1), getattr(error, "colno", 1))
        raise failure("unreadable-notebook", f"this is no notebook: {error}", location=at) from None
    sheets = whole.get("worksheets") if isinstance(whole, dict) else None
    holders = sheets if isinstance(sheets, list) else [whole]
    cells = [cell for each in holders if isinstance(each, dict) for cell in _listed(each.get("cells")) if cell]
    language = _language(whole) if isinstance(whole, dict) else ""
    if not cells or language not in ("", "python"):
        said = f"it holds {language}" if language not in ("", "python") else "it has no cells"
        raise failure("unreadable-notebook", f"this is no notebook of Python: {said}", location=where)
    found = []
    for cell in cells:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            found.append("".join(map(str, source)) if isinstance(source, list) else str(source))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _language(whole: dict[str, Any]) -> str:
    about = whole.get("metadata")
    kernel = about.get("kernelspec") if isinstance(about, dict) else None
    named = kernel.get("language") if isinstance(kernel, dict) else None
    return str(named).lower() if named else ""
