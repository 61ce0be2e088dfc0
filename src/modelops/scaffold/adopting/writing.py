"""The training code of an adopted model, and the construction of an estimator that is at hand, as code."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from modelops.scaffold.adopting.allowed import require_plain
from modelops.scaffold.adopting.assembling import Assembled
from modelops.scaffold.adopting.cells import Gap
from modelops.scaffold.adopting.values import fresh
from modelops.scaffold.annotate import printable

__all__ = ["training_code"]

_WIDTH = 110
_EXPERIMENTAL = {
    "IterativeImputer": "enable_iterative_imputer",
    "HalvingGridSearchCV": "enable_halving_search_cv",
    "HalvingRandomSearchCV": "enable_halving_search_cv",
}
_HEAD = '''"""Fit what {source} fits. It was read, not run.
{told}"""

from __future__ import annotations

from typing import Any

{imports}

def train(features: pd.DataFrame, target: pd.Series, parameters: dict[str, Any], seed: int) -> Any:
    """Return the fitted estimator."""
    model = {model}
    return model.fit(features, target)
'''


def training_code(source: str, made: Assembled) -> bytes:
    """Return the text of train.py; its head says what was not carried over, with its place."""
    node = require_plain(fresh(made.node))
    imports = _Imports()
    imports.visit(node)
    told = [*(f"* {remark}" for remark in made.remarks), *(f"* {line}" for line in map(gap_line, made.gaps))]
    head = "".join(f"{_plain(line)}\n" for line in ["", "What is otherwise here:", "", *told] if told)
    return _HEAD.format(source=_plain(source), told=head, imports=imports.text(), model=laid_out(node, 4)).encode()


def gap_line(gap: Gap) -> str:
    """Return a gap as one line: where, the code there, and what that means."""
    where = f"{gap.place}: " if gap.place is not None else ""
    code = f"`{gap.code}`: " if gap.place is not None and gap.code else ""
    return f"{where}{code}{gap.what}"


def _plain(text: str) -> str:
    """Return a text that ends no docstring, whatever is in it."""
    return printable(text).replace("\\", "\\\\").replace('"', "'")


class _Imports(ast.NodeVisitor):
    """Full names replaced by short ones, and the imports that these need."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {"pd": "pandas"}
        self.lines: set[str] = {"import pandas as pd"}

    def visit_Name(self, node: ast.Name) -> None:
        """Shorten one name."""
        module, _, name = node.id.rpartition(".")
        if module == "builtins":
            node.id = name
        elif module == "numpy":
            self.lines.add("import numpy as np")
            node.id = f"np.{name}"
        elif module:
            short = name
            while self.taken.setdefault(short, node.id) != node.id:
                short += "_"
            if name in _EXPERIMENTAL:
                self.lines.add(f"from sklearn.experimental import {_EXPERIMENTAL[name]}  # noqa: F401")
            self.lines.add(f"from {module} import {name}{f' as {short}' if short != name else ''}")
            node.id = short

    def text(self) -> str:
        """Return the imports: modules first, then what enables others, then names."""
        order = {"import": 0, "from sklearn.experimental": 1}
        ranked = sorted(self.lines, key=lambda line: (min(order.get(key, 2) for key in _keys(line)), line))
        return "\n".join([*ranked, ""])


def _keys(line: str) -> Sequence[str]:
    words = line.split()
    return (words[0], " ".join(words[:2]))


def laid_out(node: ast.expr, indent: int, before: int = 0) -> str:
    """Return an expression as code: on one line where it fits, else its parts one below the other.

    ``before`` is how much of the line is taken, beside its indentation.
    """
    whole = re.sub(r"\s*\n\s*", " ", ast.unparse(node))
    if len(whole) + indent + before <= _WIDTH:
        return whole
    match node:
        case ast.Call():
            parts: list[tuple[str, ast.expr]] = [("", each) for each in node.args]
            parts += [(f"{each.arg}=" if each.arg else "**", each.value) for each in node.keywords]
            return _bracketed(f"{ast.unparse(node.func)}(", parts, ")", indent)
        case ast.List():
            return _bracketed("[", [("", each) for each in node.elts], "]", indent)
        case ast.Tuple():
            return _bracketed("(", [("", each) for each in node.elts], ")", indent)
        case ast.Dict():
            named = [(f"{ast.unparse(key)}: ", value) for key, value in zip(node.keys, node.values, strict=True) if key]
            return _bracketed("{", named, "}", indent)
        case _:
            return whole


def _bracketed(opened: str, parts: Sequence[tuple[str, ast.expr]], closed: str, indent: int) -> str:
    inner = indent + 4
    lines = [f"{' ' * inner}{before}{laid_out(value, inner, len(before))}," for before, value in parts]
    return "\n".join([opened, *lines, f"{' ' * indent}{closed}"])
