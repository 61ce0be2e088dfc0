"""What following code finds, and what a follower offers to those who interpret calls for it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelops.scaffold.adopting.cells import Code, Gap, Place
from modelops.scaffold.adopting.values import Column, Expression, Function, Opener, Value

__all__ = ["Fit", "Followed", "Following", "Measured", "Parted"]


@dataclass(frozen=True, slots=True)
class Fit:
    """One call of ``fit``: the estimator, what it is called, and what it is fitted on."""

    name: str
    estimator: Expression
    features: Value
    target: Value
    place: Place
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric that the code computes: the name of scikit-learn's function or scorer."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Parted:
    """How rows are divided: the options of ``train_test_split`` that are literals."""

    options: Mapping[str, Any]
    stratified: bool
    place: Place


@dataclass
class Followed:
    """What was found on the way, in the order of the code."""

    fits: list[Fit] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    parted: list[Parted] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    unread: list[Gap] = field(default_factory=list)


class Following(Protocol):
    """What interprets calls asks of whoever follows the code."""

    code: Code
    opener: Opener
    found: Followed
    loops: int

    def value(self, node: ast.expr) -> Value:
        """Return what an expression stands for."""
        ...

    def note(self, node: ast.AST) -> Callable[[str], Gap]:
        """Return what makes a gap of a sentence, at a node."""
        ...

    def name_of(self, value: Expression) -> str:
        """Return the name that stands for an estimator."""
        ...

    def bind(self, target: ast.expr, value: Value) -> None:
        """Let a target stand for a value."""
        ...

    def rename(self, old: Value, new: Value) -> None:
        """Let every name of a value stand for another one, as after a change in place."""
        ...

    def spoil(self, target: ast.expr, node: ast.AST) -> None:
        """Let what a change that is not followed may touch be unknown, and name it."""
        ...

    def spoil_argument(self, node: ast.Call) -> None:
        """Let what a function is given be unknown, where the function is one of those that change it."""
        ...

    def spoil_column(self, held: Column, node: ast.AST) -> None:
        """Let a column that a change which is not followed touches be none that can be had."""
        ...

    def forget(self, node: ast.AST, why: str) -> None:
        """Let all that code which is not followed may bind or change be unknown."""
        ...

    def apply(self, function: Function, arguments: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
        """Follow a function of the code itself."""
        ...
