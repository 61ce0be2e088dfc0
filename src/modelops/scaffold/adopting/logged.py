"""An estimator from what MLflow logged of it: its class, and its parameters as scikit-learn prints them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache

from modelops.errors import failure
from modelops.scaffold.adopting.allowed import LIBRARIES, loaded, why_not_call, why_not_value
from modelops.scaffold.adopting.values import literal

__all__ = ["construction"]

_WORD = re.compile(r"[A-Za-z][\w .:/%+-]*")
"""What a parameter may be that is no expression: a word such as ``k-means++``."""
_NUMBERS = {"nan": "numpy.nan", "inf": "numpy.inf"}
_ROUNDED = ("array", "sklearn.gaussian_process.kernels")
"""What is printed with rounded numbers: arrays, and classes of a module."""
_WAY = "adopt the notebook or script that made it"


def construction(kind: str, parameters: Mapping[str, str]) -> ast.expr:
    """Return the construction of an estimator, without what its class has by default.

    ``kind`` is the full name of its class, ``parameters`` are texts by name; those of its parts (``step__option``) are
    in the text of the part already. Errors: ``estimator-unread`` for a class that nobody may call, and for a text that
    is cut or that is the print of something which no construction can be written of.
    """
    name = _public(kind)
    reason = why_not_call(name) if name is not None else f"{kind} is no public class of {', '.join(LIBRARIES)}"
    if name is None or reason is not None:
        raise failure("estimator-unread", f"the run logged a {kind}: {reason}", hint=_WAY)
    options = []
    for key, default in _defaults(name).items():
        text = parameters.get(key)
        if text is not None and text != str(default):
            options.append(ast.keyword(key, _value(f"{name.rpartition('.')[2]}.{key}", text, isinstance(default, str))))
    return ast.Call(ast.Name(id=name), [], options)


def _value(of: str, text: str, word: bool) -> ast.expr:
    """Return a parameter as an expression; where the class has a ``word`` for a default, a single name is one."""
    try:
        # Prints of nested estimators have line breaks in them, which brackets allow.
        node = ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = None
    if isinstance(node, ast.Name) and (word or _full(node.id) is None):
        return literal(text)
    if node is not None and any(isinstance(each, ast.Constant) and each.value is ... for each in ast.walk(node)):
        raise _unread(of, text, "scikit-learn leaves out parts of what it prints when that is long")
    if node is None or isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.Attribute)):
        if _WORD.fullmatch(text):
            return literal(text)
        raise _unread(of, text, "it is the print of something that runs or was cut")
    found: ast.expr = _Named(of, text).visit(node)
    return found


class _Named(ast.NodeTransformer):
    """Replaces the names of classes, as they are printed, by full ones; what is no construction is refused."""

    def __init__(self, of: str, text: str) -> None:
        self.of, self.text = of, text

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace one name."""
        full = _full(node.id)
        if node.id == _ROUNDED[0] or loaded(f"{_ROUNDED[1]}.{node.id}") is not None:
            raise _unread(self.of, self.text, f"numbers of {node.id} are rounded in it")
        if full is None:
            raise _unread(self.of, self.text, f"{node.id} is no public class of {', '.join(LIBRARIES)}")
        return ast.Name(id=full)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Go on into literals and calls."""
        plain = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.UnaryOp)
        if not isinstance(node, (*plain, ast.USub, ast.UAdd, ast.Load)):
            raise _unread(self.of, self.text, "it is no literal and no estimator")
        return super().generic_visit(node)


def _unread(of: str, text: str, why: str) -> Exception:
    shown = text if len(text) <= 60 else text[:59] + "…"
    return failure("estimator-unread", f"the logged parameter {of} cannot be read, {shown!r}: {why}", hint=_WAY)


def _public(kind: str) -> str | None:
    """Return the name by which a class is imported: that of a private module without its private parts."""
    *parts, last = kind.split(".")
    while parts:
        name = ".".join([*parts, last])
        if not any(part.startswith("_") for part in parts) and loaded(name) is not None:
            return name
        parts.pop()
    return None


@cache
def _full(short: str) -> str | None:
    """Return the full name of a class by the name that is printed."""
    import sklearn

    if short in _NUMBERS:
        return _NUMBERS[short]
    modules = [f"sklearn.{each}" for each in sklearn.__all__] + list(LIBRARIES[1:])
    names = (f"{module}.{short}" for module in modules)
    return next((name for name in names if loaded(name) is not None and why_not_value(name) is None), None)


def _defaults(name: str) -> dict[str, object]:
    import inspect

    made = loaded(name)
    return {key: each.default for key, each in inspect.signature(made).parameters.items()}
