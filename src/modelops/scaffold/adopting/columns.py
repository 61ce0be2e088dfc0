"""The columns that transformers of columns choose, written as the data's own names or as places."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelops.scaffold.adopting.tables import CATEGORY_MISSING, of_kinds
from modelops.scaffold.adopting.values import Data, Expression, Imported, Made, Table, call, constant, fresh, part_of

__all__ = ["Lists", "chosen_columns"]

_TRANSFORMERS = ("ColumnTransformer", "make_column_transformer")


@dataclass(frozen=True, slots=True)
class Lists:
    """The columns of a frame as the code names them, and those that are left to the estimator, in its order."""

    named_there: Sequence[str]
    outputs: Mapping[str, Made]
    missing: Mapping[str, int]
    by_position: bool

    def absent_categories(self, names: Sequence[str]) -> bool:
        """Whether columns are all categories, of which some are missing in the data."""
        made = [self.outputs[name] for name in names]
        return (
            bool(made)
            and all(each.kind == "category" for each in made)
            and any(each.misses(self.missing) for each in made)
        )

    def named(self, node: ast.expr) -> bool:
        """Whether an estimator chooses columns."""
        return any(_short(each) in _TRANSFORMERS for each in ast.walk(node))

    def resolved(self, node: ast.expr) -> list[str] | None:
        """Return the names that a choice of columns means, None for a choice that is not followed."""
        if _short(node) == "make_column_selector" and isinstance(node, ast.Call):
            options: dict[str, Any] = {
                key: _value(each)
                for key, each in zip(("pattern", "dtype_include", "dtype_exclude"), node.args, strict=False)
            }
            options |= {str(each.arg): _value(each.value) for each in node.keywords}
            if options.get("pattern") is not None:
                return None
            table = Table(Data("", {}, 0, {}, {}, {}), dict(self.outputs))
            return of_kinds(table, options.get("dtype_include"), options.get("dtype_exclude"))
        value = part_of(node).value
        asked = value if isinstance(value, (list, tuple)) else [value]
        try:
            names = [self.named_there[each] if type(each) is int else each for each in asked]
        except IndexError:
            return None
        if not all(isinstance(each, str) for each in names):
            return None
        return [name for name in names if name in self.outputs]

    def written(self, names: Sequence[str]) -> ast.expr:
        """Return names as they stand in training code."""
        places = list(self.outputs)
        chosen: list[Any] = [places.index(n) if self.by_position else self.outputs[n].origin for n in names]
        found: ast.expr = ast.parse(repr(chosen), mode="eval").body
        return found


def _value(node: ast.expr) -> Expression | Imported:
    return Imported(node.id) if isinstance(node, ast.Name) else part_of(node)


def _short(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id.rpartition(".")[2]
    return ""


def chosen_columns(node: ast.expr, lists: Lists) -> ast.expr:
    """Return an estimator whose choices of columns are written out, and whose imputers know a missing category."""
    if not lists.named(node) and lists.absent_categories(list(lists.outputs)):
        node = _with_missing(node)
    for each in ast.walk(node):
        if _short(each) in _TRANSFORMERS and isinstance(each, ast.Call):
            options = {option.arg: option.value for option in each.keywords}
            if _short(each) == "ColumnTransformer":
                entries = each.args[0] if each.args else options.get("transformers")
                if isinstance(entries, (ast.List, ast.Tuple)):
                    entries.elts = [entry for entry in entries.elts if _entry(entry, lists)]
            else:
                each.args = [entry for entry in each.args if _entry(entry, lists)]
    return node


def _entry(entry: ast.expr, lists: Lists) -> bool:
    """Write out the columns of one entry; return whether any are left."""
    if not isinstance(entry, (ast.Tuple, ast.List)) or len(entry.elts) < 2:
        return True
    names = lists.resolved(entry.elts[-1])
    if names is None:
        return True
    single = part_of(entry.elts[-1]).value
    # A name, a transformer and columns; without the name in make_column_transformer.
    place = len(entry.elts) - 2
    if lists.absent_categories(names) and not isinstance(single, (str, int)):
        entry.elts[place] = _with_missing(entry.elts[place])
    if isinstance(single, (str, int)) and names:
        # One column alone is given as a series, which transformers of texts want.
        entry.elts[-1] = ast.Constant(part_of(lists.written(names)).value[0])
    else:
        entry.elts[-1] = lists.written(names)
    return bool(names)


def _with_missing(node: ast.expr) -> ast.expr:
    """Return transformers of categories that know which are missing: here an empty text, there no value.

    Imputers are told so; where there is none, a step before makes the one of the other.
    """
    imputers = [each for each in ast.walk(node) if _short(each) == "SimpleImputer" and isinstance(each, ast.Call)]
    for each in imputers:
        each.keywords = [option for option in each.keywords if option.arg != "missing_values"]
        each.keywords.insert(0, ast.keyword("missing_values", fresh(CATEGORY_MISSING.node)))
    if imputers or not _short(node):
        return node
    options = {"strategy": constant("constant"), "keep_empty_features": constant(True)}
    step = call("sklearn.impute.SimpleImputer", missing_values=CATEGORY_MISSING, **options)
    assert isinstance(step.node, ast.Call)
    step.node.keywords.append(ast.keyword("fill_value", ast.Name(id="numpy.nan")))
    return ast.Call(ast.Name(id="sklearn.pipeline.make_pipeline"), [fresh(step.node), node], [])
