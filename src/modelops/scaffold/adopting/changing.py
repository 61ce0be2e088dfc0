"""What names stand for, and what of it is no longer known after code that is not followed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from modelops.scaffold.adopting.cells import Code
from modelops.scaffold.adopting.found import Followed
from modelops.scaffold.adopting.values import (
    Column,
    Expression,
    Function,
    Imported,
    Table,
    Unknown,
    Value,
    Values,
)

__all__ = ["READING", "Scopes", "jumps"]

_WORDS = """
predict predict_proba predict_log_proba decision_function score score_samples transform inverse_transform fit
fit_predict fit_transform set_output get_params get_feature_names_out get_support apply decision_path staged_predict
staged_predict_proba kneighbors kneighbors_graph get_booster get_depth get_n_leaves save_model get_feature_importance
get_score evals_result keys values items get copy index count tolist to_list to_numpy difference union intersection
issubset issuperset isin drop get_loc join format split get_n_splits
"""
READING = frozenset(_WORDS.split())
"""Methods that leave alone what they are called on, but for fitting it."""
_IN_TABLES = frozenset(["insert", "update", "isetitem", "pop", "__setitem__", "__delitem__"])
_OF_ARGUMENTS = frozenset(["setattr", "delattr", "vars", "set_params", "shuffle", "setitem", "delitem", "__setattr__"])
"""Functions, and methods called on their class, that change the first of their arguments."""
_CHANGED = "this changes it in a way that is not followed"
_MADE = (ast.Call, ast.List, ast.Dict, ast.Set)
_BUILTINS = "list tuple set sorted dict range float int str bool object len round print zip enumerate min max sum abs"
_BODIES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)


class Scopes:
    """The names of the code: those of Python itself, those of the module, and those of each function within another.

    ``public`` are the names that the function at hand declares ``global``. ``left`` says why it may have
    returned before the statement at hand, empty if it cannot have.
    """

    def __init__(self, code: Code) -> None:
        self.code = code
        self.found = Followed(gaps=list(code.gaps))
        self.scopes: list[dict[str, Value]] = [{name: Imported(f"builtins.{name}") for name in _BUILTINS.split()}, {}]
        self.public: set[str] = set()
        self.left: list[str] = []

    def lookup(self, name: str) -> Value:
        """Return what a name stands for."""
        for scope in (self.scopes[1 if name in self.public else -1], self.scopes[1], self.scopes[0]):
            if name in scope:
                return scope[name]
        return Unknown(f"what {name} is cannot be known without running the code")

    def name(self, name: str, value: Value) -> None:
        """Let a name stand for a value."""
        self.scopes[1 if name in self.public else -1][name] = value

    def rename(self, old: Value, new: Value) -> None:
        """Let every name of a value stand for another one, as after a change in place; what holds it is not known."""
        for scope in self.scopes[1:]:
            for name, held in scope.items():
                if held is old:
                    scope[name] = new
        self._lose(old, _CHANGED)

    def spoil(self, target: ast.expr, node: ast.AST, why: str = _CHANGED) -> None:
        """Let what a change that is not followed may touch be unknown, and name it.

        ``target`` is what is changed. Every name that shares it, or holds it, stands for something unknown; the columns
        of a frame stay, and the gap says so.
        """
        called = False
        while isinstance(target, (ast.Attribute, ast.Subscript, ast.Call)):
            called |= isinstance(target, ast.Call)
            target = target.func if isinstance(target, ast.Call) else target.value
        if not isinstance(target, ast.Name):
            return
        held = self.lookup(target.id)
        if isinstance(held, (Table, Column)) and called:
            return  # What a method of pandas gives is another frame.
        if isinstance(held, (Table, Column, Values)) or (isinstance(held, Expression) and _parts(held)):
            gap = self.code.gap(node, why if isinstance(held, Table) else f"{target.id}: {why}")
            if isinstance(held, Table):
                what = f"{why}: columns that it changes are taken as they are"
                held.gaps = (*held.gaps, replace(gap, what=what))
            elif gap not in self.found.gaps:
                self.found.gaps.append(gap)
            if isinstance(held, Column):
                self.spoil_column(held, node, why)
            elif not isinstance(held, Table):
                self.name(target.id, Unknown(why))
                self._lose(held, why)

    def spoil_argument(self, node: ast.Call, why: str = _CHANGED) -> None:
        """Let what a function is given be unknown, where the function is one of those that change it."""
        named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if named not in _OF_ARGUMENTS or not isinstance(first, (ast.Name, ast.Attribute, ast.Subscript)):
            return
        root: ast.expr = first
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        # Frames are given back in another order by what shuffles them here.
        if isinstance(root, ast.Name) and not (
            named == "shuffle" and isinstance(self.lookup(root.id), (Table, Column))
        ):
            self.spoil(root, node, why)

    def spoil_column(self, held: Column, node: ast.AST, why: str = _CHANGED) -> None:
        """Let a column that a change which is not followed touches be none that can be had."""
        lost = replace(held, made=replace(held.made, lost=self.code.gap(node, why)))
        if held.table.columns.get(held.name) is held.made:
            held.table.columns[held.name] = lost.made
        self.rename(held, lost)

    def _lose(self, value: Value, why: str) -> None:
        """Let all names be unknown that stand for a value, hold it, or are a part of it."""
        parts = _parts(value)
        for scope in self.scopes[1:]:
            for name, held in scope.items():
                if (held is value and not isinstance(held, (Column, Table))) or parts & _parts(held):
                    scope[name] = Unknown(why)

    def forget(self, node: ast.AST, why: str) -> None:
        """Let all that code which is not followed may bind or change be unknown; say that its fits are not read."""
        own = {
            name.id
            for each in ast.walk(node)
            if isinstance(each, ast.comprehension)
            for name in ast.walk(each.target)
            if isinstance(name, ast.Name)
        }
        for part in ast.walk(node):
            match part:
                case ast.Name(ctx=ast.Store() | ast.Del()) if part.id not in own:
                    self.name(part.id, Unknown(why))
                case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                    self.spoil(part.value, part, why)
                case ast.Call(func=ast.Attribute()):
                    self._forget_method(part, why)
                    self.spoil_argument(part, why)
                case ast.Call(func=ast.Name(id=name)) if name in _OF_ARGUMENTS:
                    self.spoil_argument(part, why)
                case ast.Call(func=ast.Name(id=name)) if isinstance(called := self.lookup(name), Function):
                    self.forget_public(called.node, why)
                case ast.Import() | ast.ImportFrom():
                    for each in part.names:
                        self.name((each.asname or each.name).partition(".")[0], Unknown(why))
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self.name(part.name, Unknown(why))
                case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if part.name:
                    self.name(part.name, Unknown(why))
                case ast.Global() | ast.Nonlocal():
                    self.forget_names(part, why)
            if isinstance(part, ast.Attribute) and part.attr == "fit":
                self.found.unread.append(self.code.gap(part, why))
        if any(isinstance(each, ast.Return) for each in _here(node)):
            self.left.append(why)

    def forget_names(self, node: ast.Global | ast.Nonlocal, why: str) -> None:
        """Let names of the module or of functions around be unknown."""
        for name in node.names:
            for scope in self.scopes[1:]:
                if name in scope:
                    scope[name] = Unknown(why)

    def forget_public(self, node: ast.FunctionDef, why: str) -> None:
        """Let what a function that is not followed declares ``global`` be unknown."""
        for each in ast.walk(node):
            if isinstance(each, ast.Global):
                self.forget_names(each, why)

    def _forget_method(self, node: ast.Call, why: str) -> None:
        assert isinstance(node.func, ast.Attribute)
        root: ast.expr = node.func
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        held = self.lookup(root.id) if isinstance(root, ast.Name) else None
        name, options = node.func.attr, {each.arg for each in node.keywords}
        if isinstance(held, (Table, Column)):
            if name in _IN_TABLES or "inplace" in options or None in options:
                self.spoil(node.func.value, node, why)
        elif name not in READING:
            self.spoil(node.func.value, node, why)


def _parts(value: Value) -> set[int]:
    """Return the identities of all that can be changed in a value."""
    if isinstance(value, Expression):
        return {id(each) for each in ast.walk(value.node) if isinstance(each, _MADE)}
    if isinstance(value, Values):
        return set().union(*map(_parts, value.items))
    return set()


def _here(node: ast.AST, skipped: tuple[type[ast.AST], ...] = _BODIES) -> Iterator[ast.AST]:
    """Yield a node and all in it, without what is in functions and classes within it."""
    yield node
    for each in ast.iter_child_nodes(node):
        if not isinstance(each, skipped):
            yield from _here(each, skipped)


def jumps(node: ast.For) -> bool:
    """Whether a turn of a loop may end early, where a condition that is not followed says so."""
    return any(
        isinstance(each, (ast.Break, ast.Continue))
        for statement in node.body
        if not isinstance(statement, (*_BODIES, *_LOOPS))
        for each in _here(statement, (*_BODIES, *_LOOPS))
        if each is not statement
    )
