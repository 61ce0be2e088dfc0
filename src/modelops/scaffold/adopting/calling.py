"""What attributes, items and calls stand for: pandas changes frames, scikit-learn makes estimators and fits them."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from modelops.scaffold.adopting.allowed import LIBRARIES, UFUNCS, is_option, why_not_call, why_not_value
from modelops.scaffold.adopting.cells import Gap
from modelops.scaffold.adopting.changing import READING
from modelops.scaffold.adopting.found import Fit, Following, Measured, Parted
from modelops.scaffold.adopting.tables import beside, column_method, dummies, frame_of, names_of, table_method
from modelops.scaffold.adopting.values import (
    LARGEST,
    Column,
    Data,
    Expression,
    Function,
    Imported,
    Method,
    Names,
    Statistic,
    Table,
    Typed,
    Unknown,
    Value,
    Values,
    call,
    composed,
    constant,
    part_of,
)

__all__ = ["as_expression", "attribute", "called", "item"]

_ONE_OUTPUT = "sklearn.preprocessing.FunctionTransformer"
_ROWS = "only some of the rows train there; here all rows of the data do"
_OF_ALL = "this learns of all rows there, of those that test too; here of those that train"


def as_expression(value: Value) -> Expression | Unknown:
    """Return a value as a part of an estimator's construction, or why it cannot be one."""
    match value:
        case Expression() | Unknown():
            return value
        case Imported():
            why = why_not_value(value.name)
            return Expression(ast.Name(id=value.name), 1) if why is None else Unknown(why)
        case Function():
            return Unknown(f"{value.node.name} is a function of the code itself, which no artifact keeps as data")
        case Values():
            return next(
                (p for p in map(as_expression, value.items) if isinstance(p, Unknown)), Unknown("several values")
            )
        case Statistic():
            return Unknown("a number computed of the data")
        case _:
            return Unknown("a part of the data is no part of an estimator")


def attribute(value: Value, name: str) -> Value:
    """Return what an attribute of a value stands for."""
    match value:
        case Imported():
            return Imported(f"{value.name}.{name}")
        case Table():
            if name == "columns":
                return constant(list(value.columns))
            if name == "values":
                return value
            if name in ("loc", "iloc"):
                return Names(value, by_position=name == "iloc")
            if name in value.columns and not _of_frames(name):
                return Column(value, name, value.columns[name])
            return Method(value, name)
        case Column():
            if name in ("values", "cat", "T"):
                return value
            if name == "dtype":
                return Typed(value)
            return column_method(value, "codes", [], {}, _unplaced) if name == "codes" else Method(value, name)
        case Statistic():
            return value
        case Expression():
            if name in ("best_estimator_", "values"):
                return value
            return Unknown(f"{name} is known only after fitting") if name.endswith("_") else Method(value, name)
        case Method():
            return Method(value.of, f"{value.name}.{name}")
        case Unknown():
            return value
        case _:
            return Unknown(f"what {name} is cannot be known without running the code")


@cache
def _of_frames(name: str) -> bool:
    import pandas as pd

    return hasattr(pd.DataFrame, name)


def _unplaced(what: str) -> Gap:
    return Gap(None, "", what)


def item(follower: Following, node: ast.Subscript) -> Value:
    """Return what an item or a part of a value stands for."""
    held = follower.value(node.value)
    if isinstance(held, Names):
        return _located(follower, held, node)
    key = follower.value(node.slice)
    match held:
        case Table():
            if isinstance(key, Expression) and isinstance(key.value, str):
                if key.value not in held.columns:
                    return Unknown(f"there is no column {key.value!r}")
                return Column(held, key.value, held.columns[key.value])
            names = names_of(key)
            return _some_rows(follower, held, node) if names is None else held.only(names)
        case Column():
            return Column(_some_rows(follower, held.table, node), held.name, held.made)
        case Statistic():
            return held
        case Values() if (
            isinstance(key, Expression)
            and isinstance(key.value, int)
            and -len(held.items) <= key.value < len(held.items)
        ):
            return held.items[key.value]
        case Expression() if isinstance(key, Expression) and key.known:
            return _of_literal(held, key.value)
        case Unknown():
            return held
        case _:
            return Unknown("what this part is cannot be known without running the code")


def _some_rows(follower: Following, table: Table, node: ast.expr) -> Table:
    return table.copy(gaps=(*table.gaps, follower.code.gap(node, _ROWS)))


def _of_literal(held: Expression, key: Any) -> Value:
    if held.known:
        try:
            return constant(held.value[key])
        except (LookupError, TypeError):
            return Unknown(f"there is no {key!r}")
    if isinstance(held.node, ast.Dict):
        for name, value in zip(held.node.keys, held.node.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return part_of(value)
    return Unknown("what this part is cannot be known without running the code")


def _located(follower: Following, names: Names, node: ast.Subscript) -> Value:
    """Return what ``loc`` or ``iloc`` chooses."""
    table = names.table
    if not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return _some_rows(follower, table, node)
    rows, columns = node.slice.elts
    if not isinstance(rows, ast.Slice) or rows.lower is not None or rows.upper is not None or rows.step is not None:
        table = _some_rows(follower, table, node)
    listed = list(table.columns)
    if isinstance(columns, ast.Slice):
        ends = [None if each is None else follower.value(each) for each in (columns.lower, columns.upper)]
        values: list[Any] = [each.value if isinstance(each, Expression) else each for each in ends]
        if columns.step is not None or not all(each is None or isinstance(each, (int, str)) for each in values):
            return Unknown("which columns these are is not known")
        if names.by_position:
            return table.only(listed[slice(*values)])
        places = [None if each is None else listed.index(each) if each in listed else -1 for each in values]
        if -1 in places:
            return Unknown("there is no such column")
        return table.only(listed[slice(places[0], None if places[1] is None else places[1] + 1)])
    key = follower.value(columns)
    if not isinstance(key, Expression) or not key.known:
        return Unknown("which columns these are is not known")
    asked = key.value if isinstance(key.value, (list, tuple)) else [key.value]
    try:
        chosen = [listed[each] if names.by_position else str(each) for each in asked]
    except (LookupError, TypeError):
        return Unknown("there is no such column")
    found = table.only(chosen)
    if isinstance(key.value, (list, tuple)) or not isinstance(found, Table):
        return found
    return Column(found, chosen[0], found.columns[chosen[0]])


def called(follower: Following, node: ast.Call) -> Value:
    """Return what a call gives, and remember what it fits, measures or divides."""
    function = follower.value(node.func)
    arguments: list[Value] = []
    for each in node.args:
        if isinstance(each, ast.Starred):
            follower.forget(node, "what is passed here is not known")
            return Unknown("what is passed here is not known")
        arguments.append(follower.value(each))
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = follower.value(keyword.value)
        if keyword.arg is not None:
            keywords[keyword.arg] = value
        elif isinstance(value, Expression) and isinstance(value.node, ast.Dict):
            for key, part in zip(value.node.keys, value.node.values, strict=True):
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or key.value in keywords:
                    return Unknown("what is passed by ** here names no options")
                keywords[key.value] = part_of(part)
        else:
            return Unknown("what is passed by ** here is not known")
    follower.spoil_argument(node)
    match function:
        case Method() if isinstance(node.func, ast.Name) and function.name not in READING:
            why = f"{node.func.id} is a method that is not followed"
            follower.found.gaps.append(follower.code.gap(node, why))
            follower.rename(function.of, Unknown(why))
            return Unknown(why)
        case Imported():
            return _library(follower, node, function.name, arguments, keywords)
        case Function():
            return follower.apply(function, arguments, keywords)
        case Method():
            return _method(follower, node, function, arguments, keywords)
        case Unknown():
            if isinstance(node.func, ast.Attribute) and node.func.attr == "fit":
                follower.found.unread.append(follower.code.gap(node, function.why))
            _changes(follower, node)
            return function
        case _:
            return Unknown("what this call gives cannot be known without running the code")


def _changes(follower: Following, node: ast.Call) -> None:
    """Let what a method is called on be unknown, where the method is not followed and may change it."""
    if isinstance(node.func, ast.Attribute) and node.func.attr not in READING:
        follower.spoil(node.func.value, node)


def _library(
    follower: Following, node: ast.Call, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    library, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if library == "builtins":
        return _builtin(rest, arguments, keywords)
    if library == "pandas":
        return _pandas(follower, node, rest, arguments, keywords)
    if name in ("os.path.join", "posixpath.join", "pathlib.Path"):
        parts = [each.value for each in arguments if isinstance(each, Expression) and isinstance(each.value, str)]
        known = parts and len(parts) == len(arguments) and sum(map(len, parts)) <= LARGEST
        return constant(posixpath.join(*parts)) if known else Unknown("a path")
    if library == "numpy" and last in UFUNCS and arguments and isinstance(column := arguments[0], Column):
        step = call(_ONE_OUTPUT, Expression(ast.Name(id=name), 1))
        return replace(column, made=column.made.then(step, "number"))
    if library == "sklearn" and (found := _sklearn(follower, node, name, arguments, keywords)) is not None:
        return found
    if library in LIBRARIES or library == "numpy":
        return _construction(name, arguments, keywords)
    return Unknown(f"what {name} gives cannot be known without running the code")


def _construction(name: str, arguments: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    """Return the call of a library's class or function as an expression."""
    if (why := why_not_call(name)) is not None:
        return Unknown(why)
    if not all(map(is_option, keywords)):
        return Unknown(f"{name.rpartition('.')[2]} is given options whose names are no names")
    given = [as_expression(each) for each in arguments]
    named = {key: as_expression(value) for key, value in keywords.items()}
    for part in (*given, *named.values()):
        if isinstance(part, Unknown):
            return Unknown(f"{name.rpartition('.')[2]}: {part.why}")
    made = [part for part in (*given, *named.values()) if isinstance(part, Expression)]
    options = [ast.keyword(arg=key, value=part.node) for key, part in named.items() if isinstance(part, Expression)]
    inner = [part.node for part in given if isinstance(part, Expression)]
    size = composed(ast.Name(id=name), made)
    if isinstance(size, Unknown):
        return size
    return Expression(ast.Call(func=ast.Name(id=name), args=inner, keywords=options), size.size + 1)


def _builtin(name: str, arguments: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    first = arguments[0] if arguments else None
    if isinstance(first, Table) and name in ("list", "sorted", "set", "tuple"):
        first = constant(list(first.columns))
    if isinstance(first, Expression) and isinstance(first.value, (list, tuple, set)) and not keywords:
        make: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "sorted": sorted}
        try:
            return constant(make[name](first.value)) if name in make else Unknown(f"what {name} gives is not known")
        except TypeError:
            return Unknown("values of several types have no order")
    if name in ("list", "dict", "tuple", "set") and not arguments:
        parts = {key: as_expression(value) for key, value in keywords.items()}
        made = [part for part in parts.values() if isinstance(part, Expression)]
        if len(made) < len(parts) or name == "set":
            return Unknown(f"what this {name} holds is not known")
        empty: ast.expr = ast.Tuple(elts=[], ctx=ast.Load()) if name == "tuple" else ast.List(elts=[], ctx=ast.Load())
        if name == "dict":
            empty = ast.Dict(keys=[ast.Constant(key) for key in parts], values=[part.node for part in made])
        return composed(empty, made)
    if name in ("range", "float", "int") and all(isinstance(each, Expression) for each in arguments):
        return _construction(f"builtins.{name}", arguments, keywords)
    return Unknown(f"what {name} gives cannot be known without running the code")


def _pandas(
    follower: Following, node: ast.Call, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    first = (
        arguments[0] if arguments else keywords.get("filepath_or_buffer", keywords.get("path", keywords.get("data")))
    )
    if name.startswith("read_"):
        path = first.value if isinstance(first, Expression) and isinstance(first.value, str) else None
        options = {k: v for k, v in keywords.items() if k not in ("filepath_or_buffer", "path", "io")}
        if len(arguments) > 1:
            options["sep"] = arguments[1]
        data = follower.opener(name, path, options)
        if isinstance(data, Data):
            return frame_of(data)
        follower.found.unread.append(follower.code.gap(node, data.why))
        return data
    if name == "get_dummies":
        if isinstance(first, Column):
            first = first.table.copy(columns={first.name: first.made})
            keywords = {**keywords, "columns": constant(list(first.columns))}
        columns = keywords.get("columns")
        return (
            dummies(first, columns, keywords)
            if isinstance(first, Table)
            else Unknown("get_dummies of what is not known")
        )
    if name == "concat":
        return beside(first, keywords)
    if name == "to_numeric" and isinstance(first, Column):
        made = first.made
        if made.kind == "category" and not made.steps:
            return replace(first, made=replace(made, kind="number", read="number"))
        return first
    if name == "DataFrame" and isinstance(first, Table):
        return first
    if isinstance(first, Column):
        return column_method(first, name, [], {}, follower.note(node))
    return Unknown(f"what pandas.{name} gives is not followed: give --data a file of the rows as they are trained on")


def _sklearn(
    follower: Following, node: ast.Call, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value]
) -> Value | None:
    """Return what functions of scikit-learn give that make no estimator; None for those that do."""
    last, place = name.rpartition(".")[2], follower.code.place(node)
    if last == "train_test_split":
        options = {k: v.value for k, v in keywords.items() if isinstance(v, Expression) and v.known}
        stratified = "stratify" in keywords and options.get("stratify", 1) is not None
        follower.found.parted.append(Parted(options, stratified, place))
        return Values(tuple(_copied(each) for each in arguments for _ in range(2)))
    if last in ("cross_val_score", "cross_validate", "cross_val_predict") and len(arguments) >= 2:
        scoring = keywords.get("scoring")
        if isinstance(scoring, Expression):
            names = (
                [scoring.value]
                if isinstance(scoring.value, str)
                else list(scoring.value or ())
                if scoring.known
                else []
            )
            follower.found.measured += [Measured(str(each), place) for each in names]
        target = arguments[2] if len(arguments) > 2 else keywords.get("y", Unknown("no target"))
        if isinstance(estimator := arguments[0], Expression):
            follower.found.fits.append(
                Fit(follower.name_of(estimator), estimator, arguments[1], target, place, follower.loops > 0)
            )
        return Unknown("scores")
    if name.startswith("sklearn.metrics.") and last != "make_scorer" and not last[0].isupper():
        follower.found.measured.append(Measured(last, place))
        return Unknown("a number computed of the data")
    if name == "sklearn.base.clone" and arguments:
        return arguments[0]
    if name == "sklearn.utils.shuffle":
        return Values(tuple(arguments)) if len(arguments) > 1 else arguments[0]
    if name.startswith("sklearn.datasets."):
        why = "the data is made by scikit-learn and lies in no file: write it to one, and give --data and --label"
        follower.found.unread.append(follower.code.gap(node, why))
        return Unknown(why)
    return None


def _copied(value: Value) -> Value:
    return value.copy(parted=True) if isinstance(value, Table) else value


def _method(
    follower: Following, node: ast.Call, method: Method, arguments: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    held, note = method.of, follower.note(node)
    in_place = isinstance(given := keywords.get("inplace"), Expression) and given.value is True
    if isinstance(given, Expression) and given.value is False:
        keywords = {key: value for key, value in keywords.items() if key != "inplace"}
    if isinstance(held, Table):
        result = table_method(held, method.name, arguments, keywords, note)
        if in_place:
            held.become(
                result if isinstance(result, Table) else held.copy(gaps=(*held.gaps, note("this is not followed")))
            )
            return constant(None)
        if "inplace" in keywords or method.name in ("insert", "update", "isetitem"):
            follower.spoil(node.func, node)
        return result
    if isinstance(held, Column):
        found = column_method(held, method.name, arguments, keywords, note)
        if in_place and isinstance(found, Column):
            if held.table.columns.get(held.name) is held.made:
                held.table.columns[held.name] = found.made
            follower.rename(held, found)
            return constant(None)
        if "inplace" in keywords or method.name == "update":
            follower.spoil_column(held, node)
            return constant(None)
        return found
    if not isinstance(held, Expression):
        _changes(follower, node)
        return held if isinstance(held, Unknown) else Unknown(f"what {method.name} gives is not known")
    if held.known:
        return _of_names(follower, node, held, method.name, arguments)
    return _of_estimator(follower, node, held, method.name, arguments, keywords)


def _of_names(follower: Following, node: ast.Call, held: Expression, name: str, arguments: Sequence[Value]) -> Value:
    """Return what a method of a list of names gives; those that change it change what its name stands for."""
    value, first = held.value, arguments[0] if arguments else None
    if isinstance(value, (list, tuple)) and name in ("tolist", "to_list", "copy"):
        return held
    given = names_of(first)
    if isinstance(value, list) and given is not None:
        match name:
            case "drop" | "difference":
                kept = [each for each in value if each not in given]
                return constant(sorted(kept) if name == "difference" else kept)
            case "append" | "extend":
                changed = [*value, *given]
            case "remove":
                changed = [each for each in value if each not in given]
            case _:
                _changes(follower, node)
                return Unknown(f"what {name} of a list gives is not known")
        follower.rename(held, constant(changed))
        return constant(None)
    _changes(follower, node)
    return Unknown(f"what {name} gives is not known")


def _of_estimator(
    follower: Following, node: ast.Call, held: Expression, name: str, arguments: Sequence[Value],
    keywords: Mapping[str, Value],
) -> Value:  # fmt: skip
    """Return what a method of an estimator gives, and remember what it is fitted on."""
    first = arguments[0] if arguments else keywords.get("X")
    match name:
        case "fit" | "fit_predict":
            target = arguments[1] if len(arguments) > 1 else keywords.get("y")
            if first is not None and target is not None:
                place = follower.code.place(node)
                fit = Fit(follower.name_of(held), held, first, target, place, follower.loops > 0)
                follower.found.fits.append(fit)
                more = [key for key in keywords if key not in ("X", "y", "verbose")]
                if more:
                    what = (
                        f"fit is given {', '.join(more)}; the training code that was written gives features and target"
                    )
                    follower.found.gaps.append(follower.code.gap(node, what))
            return held
        case "transform" | "fit_transform":
            if isinstance(first, Table):
                of_all = follower.code.gap(node, _OF_ALL)
                return first.copy(
                    whole=(*first.whole, held), gaps=first.gaps if first.parted else (*first.gaps, of_all)
                )
            if isinstance(first, Column):
                if (held.calls or "").endswith((".LabelEncoder", ".LabelBinarizer")):
                    return column_method(first, "codes", [], {}, follower.note(node))
                made = replace(
                    first.made, lost=follower.code.gap(node, "one column is transformed outside of a pipeline")
                )
                return replace(first, made=made)
            return first if isinstance(first, Unknown) else Unknown("what is transformed here is not known")
        case "set_output":
            return held
        case _:
            _changes(follower, node)
            return Unknown(f"what {name} gives cannot be known without running the code")
