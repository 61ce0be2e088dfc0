"""What stands for a value while code is followed without being run."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from modelops.scaffold.adopting.cells import Gap
from modelops.spec.meta import FeatureType

__all__ = [
    "NOTHING", "Column", "Data", "Expression", "Function", "Imported", "Made", "Method", "Names", "Opener", "Statistic",
    "Table", "Typed", "Unknown", "Value", "Values", "call", "composed", "constant", "fresh", "literal", "part_of",
]  # fmt: skip

Node = TypeVar("Node", bound=ast.AST)

LARGEST = 5_000
"""Nodes up to which an expression is kept: names stand for whole expressions, so a few lines can stand for millions."""


class Nothing(Enum):
    """What an expression has for a value that is no literal."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that cannot be known without running the code, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A module, class or function of a library, by its full name; ``builtins.`` before those of Python itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Expression:
    """Literals and calls of libraries: an expression that means the same anywhere, imported names written in full.

    ``value`` is what a literal holds, else ``NOTHING``.
    """

    node: ast.expr
    size: int
    value: Any = NOTHING

    @property
    def known(self) -> bool:
        """Whether it is a literal."""
        return self.value is not NOTHING

    @property
    def calls(self) -> str | None:
        """The full name of what is called, if it is a call."""
        node = self.node
        return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None

    @property
    def text(self) -> str:
        """The expression as code, names in full: equal texts are equal estimators."""
        return ast.unparse(self.node)


def constant(value: Any) -> Expression:
    """Return the expression of a literal: numbers, texts, None, and lists, tuples, sets and dicts of them."""
    node = literal(value)
    return Expression(node, sum(1 for _ in ast.walk(node)), value)


def literal(value: Any) -> ast.expr:
    """Return the node of a literal; numbers without end are constants of it, for which Python has no notation."""
    return _Literal().visit(ast.parse(repr(value), mode="eval").body)  # type: ignore[no-any-return]


class _Literal(ast.NodeTransformer):
    """Names that ``repr`` gives for what no literal can be written of."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace one name."""
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else ast.Name(id=f"builtins.{node.id}")


def part_of(node: ast.expr | None) -> Expression:
    """Return a part of an expression as one of its own; None, as a dict has for ``**``, is the literal None."""
    if node is None:
        return constant(None)
    size = sum(1 for _ in ast.walk(node))
    try:
        return Expression(node, size, ast.literal_eval(node))
    except (ValueError, TypeError):
        return Expression(node, size)


def fresh(node: Node) -> Node:
    """Return a copy that shares no part with itself: names that stand for one estimator make it two."""
    made = type(node)()
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            value = [fresh(each) if isinstance(each, ast.AST) else each for each in value]
        setattr(made, name, fresh(value) if isinstance(value, ast.AST) else value)
    return made


def call(name: str, *arguments: Expression, **keywords: Expression) -> Expression:
    """Return the call of a library's class or function."""
    given = [ast.keyword(arg=key, value=each.node) for key, each in keywords.items()]
    node = ast.Call(func=ast.Name(id=name), args=[each.node for each in arguments], keywords=given)
    return Expression(node, 2 + sum(each.size for each in (*arguments, *keywords.values())))


@dataclass(frozen=True, slots=True)
class Data:
    """A file of data as pandas reads it: its columns and how it was asked to be read.

    ``distinct`` and ``missing`` count values of the whole file by column, ``labels`` are the values, in order and
    as texts, of columns of few, ``whole`` the columns whose numbers have no fractions.
    """

    path: str
    kinds: Mapping[str, FeatureType]
    rows: int
    distinct: Mapping[str, int]
    missing: Mapping[str, int]
    labels: Mapping[str, tuple[Any, ...]]
    whole: frozenset[str] = frozenset()
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A column of a table: the data's column that it is made from, and the steps of scikit-learn that make it.

    ``kind`` is what it holds after them, ``read`` what the data's column has to be read as. ``lost`` says why it cannot
    be made so. ``indicators`` tells that it became columns of indicators, at the end of the frame. ``positive`` is the
    label that was made 1, where labels were coded.
    """

    origin: str
    kind: FeatureType
    read: FeatureType
    steps: tuple[Expression, ...] = ()
    lost: Gap | None = None
    indicators: bool = False
    positive: Any = NOTHING

    def misses(self, missing: Mapping[str, int]) -> int:
        """Return how many of its values are missing after its steps, by how many the data's columns miss."""
        return 0 if any("Imputer" in step.text for step in self.steps) else missing.get(self.origin, 0)

    def then(self, step: Expression, kind: FeatureType | None = None) -> Made:
        """Return the column after one more step."""
        return replace(self, steps=(*self.steps, step), kind=kind or self.kind)


@dataclass
class Table:
    """A frame: its columns in order, what was done to its rows, and transformers of all of it.

    ``parted`` says that it is one of the parts that train or test. Frames are shared as in pandas: who changes one in
    place changes what every name of it stands for.
    """

    data: Data
    columns: dict[str, Made]
    gaps: tuple[Gap, ...] = ()
    whole: tuple[Expression, ...] = ()
    parted: bool = False

    def copy(self, **changes: Any) -> Table:
        """Return another frame with the same or changed contents."""
        return replace(self, **{"columns": dict(self.columns), **changes})

    def become(self, other: Table) -> None:
        """Take another frame's contents, as methods with ``inplace=True`` do."""
        self.columns, self.gaps, self.whole = dict(other.columns), other.gaps, other.whole

    def only(self, names: Sequence[str]) -> Table | Unknown:
        """Return some of the columns."""
        absent = [name for name in names if name not in self.columns]
        if absent:
            return Unknown(f"there is no column {absent[0]!r}")
        return self.copy(columns={name: self.columns[name] for name in names})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a frame, or what was computed of it."""

    table: Table
    name: str
    made: Made


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number of a column or of every column of a frame, by the name that SimpleImputer has for it."""

    strategy: str
    of: str | None


@dataclass(frozen=True, slots=True)
class Names:
    """Places of a frame that are asked for by ``loc`` or ``iloc``."""

    table: Table
    by_position: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """The type of a column's values."""

    column: Column


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a value, not called yet."""

    of: Value
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the code defines."""

    node: ast.FunctionDef


@dataclass(frozen=True, slots=True)
class Values:
    """Several values of which not all are literals or estimators."""

    items: tuple[Value, ...]


Value = Unknown | Imported | Expression | Table | Column | Statistic | Names | Typed | Method | Function | Values
Opener = Callable[[str, str | None, Mapping[str, Value]], "Data | Unknown"]
"""Opens a file of data: what pandas calls the reader, the path as it is written, and the reader's options."""


def composed(node: ast.expr, parts: Sequence[Expression]) -> Expression | Unknown:
    """Return an expression over parts that are expressions, with its value where all of them are literals."""
    size = 1 + sum(part.size for part in parts)
    if size > LARGEST:
        return Unknown(f"an expression of more than {LARGEST:,} parts")
    if not all(part.known for part in parts):
        return Expression(node, size)
    try:
        return Expression(node, size, ast.literal_eval(copy.copy(node)))
    except (ValueError, TypeError, SyntaxError):
        return Expression(node, size)
