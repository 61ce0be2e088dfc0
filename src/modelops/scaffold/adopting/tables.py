"""What pandas does to frames and columns, as far as scikit-learn can do the same; everything else is a gap."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelops.scaffold.adopting.cells import Gap
from modelops.scaffold.adopting.values import (
    NOTHING,
    Column,
    Data,
    Expression,
    Imported,
    Made,
    Statistic,
    Table,
    Unknown,
    Value,
    Values,
    call,
    constant,
)
from modelops.spec.meta import FeatureType

__all__ = [
    "CATEGORY_MISSING",
    "beside",
    "column_method",
    "dummies",
    "frame_of",
    "names_of",
    "of_kinds",
    "put",
    "table_method",
]

CATEGORY_MISSING = constant("")
"""What stands for a missing category where a model is trained and asked."""
_MOST_LABELS = 50
"""Labels up to which indicators are named for each, as pandas makes them of all rows."""
_ROWS = {
    "dropna": "rows with missing values are dropped before training; here they train too, as whoever asks may miss one",
    "drop_duplicates": "repeated rows are dropped before training; here they stay, and the gate data-quality judges",
}
_SAME = frozenset(
    [
        "copy",
        "infer_objects",
        "convert_dtypes",
        "sort_values",
        "sort_index",
        "to_numpy",
        "ravel",
        "squeeze",
        "flatten",
        "reshape",
        "tolist",
        "to_list",
        "to_frame",
        "reset_index",
    ]
)
_STATISTICS = {"mean": "mean", "median": "median", "mode": "most_frequent"}
_WORDS = {"mean": "mean", "median": "median", "most_frequent": "most frequent value"}
_EACH_ALONE = frozenset(
    ["StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler", "SimpleImputer", "OrdinalEncoder"]
)
_NUMBERS = frozenset({"number", "integer"})

Note = Callable[[str], Gap]


def frame_of(data: Data) -> Table:
    """Return the frame that reading a file of data gives."""
    return Table(data, {name: Made(name, kind, kind) for name, kind in data.kinds.items()})


def names_of(value: Value | None) -> list[str] | None:
    """Return the names of columns that a literal holds, None for anything else."""
    if not isinstance(value, Expression) or not value.known:
        return None
    found = [value.value] if isinstance(value.value, str) else value.value
    if isinstance(found, (list, tuple, set)) and all(isinstance(each, str) for each in found):
        return list(found)
    return None


def of_kinds(table: Table, include: Value | None, exclude: Value | None) -> list[str] | None:
    """Return the columns that ``select_dtypes`` chooses, None where what it is asked for is not known."""
    wanted = _kinds(include)
    unwanted = _kinds(exclude)
    if (include is not None and wanted is None) or (exclude is not None and unwanted is None):
        return None
    return [
        name
        for name, made in table.columns.items()
        if (wanted is None or made.kind in wanted) and (unwanted is None or made.kind not in unwanted)
    ]


_DTYPES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("number", "numpy.number"), _NUMBERS),
    **dict.fromkeys(("float", "float64", "float32", "builtins.float", "numpy.float64"), frozenset({"number"})),
    **dict.fromkeys(("int", "int64", "int32", "integer", "builtins.int", "numpy.int64"), frozenset({"integer"})),
    **dict.fromkeys(("object", "O", "str", "string", "builtins.object", "category"), frozenset({"category"})),
    **dict.fromkeys(("bool", "builtins.bool", "numpy.bool_"), frozenset({"boolean"})),
    **dict.fromkeys(("datetime", "datetime64", "datetime64[ns]", "datetimetz"), frozenset({"datetime"})),
}


def _kinds(value: Value | None) -> frozenset[str] | None:
    """Return the kinds of columns that names of types stand for."""
    if value is None or (isinstance(value, Expression) and value.known and value.value is None):
        return None
    found: frozenset[str] = frozenset()
    for name in _types(value):
        if name not in _DTYPES:
            return None
        found |= _DTYPES[name]
    return found or None


def _types(value: Value) -> list[str]:
    if isinstance(value, Imported):
        return [value.name]
    if not isinstance(value, Expression):
        return ["?"]
    if value.known:
        return [str(each) for each in (value.value if isinstance(value.value, (list, tuple)) else [value.value])]
    return [each.strip() for each in value.text.strip("[]()").split(",") if each.strip()]


def table_method(
    table: Table, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value], note: Note
) -> Value:
    """Return what a method of a frame gives."""
    first = arguments[0] if arguments else None
    if name in _SAME:
        return table.copy()
    if name in _ROWS:
        return table.copy(gaps=(*table.gaps, note(_ROWS[name])))
    if name in ("query", "head", "tail", "nlargest", "nsmallest", "sample", "truncate"):
        if name == "sample" and isinstance(whole := keywords.get("frac"), Expression) and whole.value == 1:
            return table.copy()
        return table.copy(gaps=(*table.gaps, note("only some of the rows train there; here all rows of the data do")))
    if name in ("drop", "set_index", "pop"):
        return _without(table, name, first, keywords, note)
    if name == "rename" or (name == "set_axis" and first is not None):
        return _renamed(table, keywords.get("columns", first if name == "set_axis" else None))
    if name == "fillna":
        return _filled(table, keywords.get("value", first), note)
    if name == "astype":
        return _cast(table, first, note)
    if name == "select_dtypes":
        chosen = of_kinds(table, keywords.get("include", first), keywords.get("exclude"))
        return (
            Unknown("the types of select_dtypes are not known")
            if chosen is None
            else table.copy(columns={each: table.columns[each] for each in chosen})
        )
    if name == "assign":
        result = table.copy()
        for key, value in keywords.items():
            put(result, key, value, note)
        return result
    if name in _STATISTICS:
        return Statistic(_STATISTICS[name], None)
    if name == "replace":
        what = (
            "values are replaced in the whole table: give --data a file in which that is done, or say --missing to init"
        )
        return table.copy(gaps=(*table.gaps, note(what)))
    return Unknown(f"what {name} of a table gives is not known")


def _without(table: Table, method: str, first: Value | None, keywords: Mapping[str, Value], note: Note) -> Value:
    asked = keywords.get("columns") or keywords.get("item") or keywords.get("keys") or first or keywords.get("labels")
    axis = keywords.get("axis")
    across = axis is None or (isinstance(axis, Expression) and axis.value in (0, "index"))
    if method == "drop" and across and "columns" not in keywords:
        return table.copy(gaps=(*table.gaps, note("rows are dropped before training; here all rows of the data train")))
    names = names_of(asked)
    if names is None:
        return Unknown("which columns are dropped is not known")
    lenient = isinstance(given := keywords.get("errors"), Expression) and given.value == "ignore"
    absent = [name for name in names if name not in table.columns]
    if absent and not lenient:
        return Unknown(f"there is no column {absent[0]!r}")
    if method == "pop" and names:
        made = table.columns.pop(names[0])
        return Column(table, names[0], made)
    return table.copy(columns={name: made for name, made in table.columns.items() if name not in names})


def _renamed(table: Table, given: Value | None) -> Value:
    if not isinstance(given, Expression) or not given.known:
        return Unknown("how columns are renamed is not known")
    if isinstance(given.value, Mapping):
        names = [given.value.get(name, name) for name in table.columns]
    elif isinstance(given.value, (list, tuple)) and len(given.value) == len(table.columns):
        names = list(given.value)
    else:
        return Unknown("how columns are renamed is not known")
    if len(set(map(str, names))) < len(names):
        return Unknown("two columns get one name")
    return table.copy(columns=dict(zip(map(str, names), table.columns.values(), strict=True)))


def _filled(table: Table, value: Value | None, note: Note) -> Value:
    result = table.copy()
    if isinstance(value, Statistic):
        result.gaps = (*result.gaps, note(f"each {_WORDS[value.strategy]} is that of the rows that train here"))
    by_column = value.value if isinstance(value, Expression) and isinstance(value.value, Mapping) else None
    for name, made in table.columns.items():
        if by_column is not None and name not in by_column:
            continue
        if not table.data.missing.get(made.origin):
            continue
        if isinstance(value, Statistic) and value.strategy != "most_frequent" and made.kind not in _NUMBERS:
            continue
        given = constant(by_column[name]) if by_column is not None else value
        filled = column_method(Column(table, name, made), "fillna", [given] if given is not None else [], {}, note)
        if isinstance(filled, Column):
            result.columns[name] = filled.made
    return result


def _cast(table: Table, first: Value | None, note: Note) -> Value:
    if isinstance(first, Expression) and isinstance(first.value, Mapping):
        result = table.copy()
        for name, kind in first.value.items():
            if name in table.columns:
                cast = column_method(Column(table, name, table.columns[name]), "astype", [constant(kind)], {}, note)
                result.columns[name] = cast.made if isinstance(cast, Column) else result.columns[name]
        return result
    return table.copy()


def dummies(table: Table, columns: Value | None, keywords: Mapping[str, Value]) -> Value:
    """Return what ``get_dummies`` makes of a frame: what is not coded first, then the indicators of each column."""
    names = names_of(columns) if columns is not None else None
    if columns is not None and names is None:
        return Unknown("which columns get_dummies codes is not known")
    coded = names if names is not None else [name for name, made in table.columns.items() if made.kind == "category"]
    absent = [name for name in coded if name not in table.columns]
    if absent:
        return Unknown(f"there is no column {absent[0]!r}")
    drop = isinstance(given := keywords.get("drop_first"), Expression) and given.value is True
    result = {name: made for name, made in table.columns.items() if name not in coded}
    for name in coded:
        made = table.columns[name]
        labels = table.data.labels.get(made.origin)
        known: dict[str, Expression] = {}
        if labels is not None and made.kind == "category" and not made.steps and len(labels) <= _MOST_LABELS:
            known = {"categories": constant([list(labels)])}
        options = {**known, **({"drop": constant("first")} if drop else {}), "handle_unknown": constant("ignore")}
        encoder = call("sklearn.preprocessing.OneHotEncoder", **options, sparse_output=constant(False))
        result[f"{name}=*"] = replace(made.then(encoder, "boolean"), indicators=True)
    return table.copy(columns=result)


def beside(value: Value | None, keywords: Mapping[str, Value]) -> Value:
    """Return the frame that several columns or frames of one file make beside each other."""
    axis = keywords.get("axis")
    parts = value.items if isinstance(value, Values) else ()
    across = isinstance(axis, Expression) and axis.value in (1, "columns")
    tables = [p.table.copy(columns={p.name: p.made}) if isinstance(p, Column) else p for p in parts]
    frames = [each for each in tables if isinstance(each, Table) and not each.whole]
    if not across or not frames or len(frames) < len(parts) or any(each.data is not frames[0].data for each in frames):
        return Unknown("tables are put together: write the result to a file, and give it as --data")
    merged: dict[str, Any] = {}
    for each in frames:
        merged |= each.columns
    gaps = dict.fromkeys(gap for each in frames for gap in each.gaps)
    return frames[0].copy(columns=merged, gaps=tuple(gaps))


def put(table: Table, name: str, value: Value, note: Note) -> None:
    """Do what assigning to a column of a frame does, in place."""
    before = table.columns.get(name)
    lost = note(
        "this column is computed by pandas, which no request does: put the step into the pipeline, or into the data"
    )
    if isinstance(value, Column) and value.table.data is table.data:
        table.columns[name] = value.made
        return
    if isinstance(value, Table) and len(value.columns) == 1 and value.data is table.data:
        made = next(iter(value.columns.values()))
        if all(_alone(step) for step in value.whole):
            for step in value.whole:
                made = _encoded(table.data, made, step, lost)
            table.columns[name] = made
            return
    origin = before.origin if before is not None else ""
    read: FeatureType = before.read if before is not None else "number"
    table.columns[name] = Made(origin, "number", read, lost=lost)


def _alone(step: Expression) -> bool:
    return (step.calls or "").rpartition(".")[2] in {*_EACH_ALONE, "LabelEncoder"}


def _encoded(data: Data, made: Made, step: Expression, lost: Gap) -> Made:
    """Return a column after a transformer that treats each column alone."""
    name = (step.calls or "").rpartition(".")[2]
    if name == "LabelEncoder":
        step, name = call("sklearn.preprocessing.OrdinalEncoder"), "OrdinalEncoder"
    if name == "OrdinalEncoder" and made.kind == "category" and made.misses(data.missing):
        labels = data.labels.get(made.origin)
        if labels is None or made.steps or ("(" in step.text and not step.text.endswith("()")):
            return replace(made, lost=lost)
        # Rows without one were dropped there, or it could not be coded; here they are no label's.
        step = _codes(list(labels), constant(-1))
    return made.then(step, None if name == "SimpleImputer" else "number")


def column_method(
    column: Column, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value], note: Note
) -> Value:
    """Return what a method of a column gives."""
    made, data = column.made, column.table.data
    first = arguments[0] if arguments else keywords.get("value", keywords.get("arg", keywords.get("dtype")))
    lost = note(
        "this column is computed by pandas, which no request does: put the step into the pipeline, or into the data"
    )

    def with_(changed: Made) -> Column:
        return Column(column.table, column.name, changed)

    if name in _SAME or name == "dropna":
        return column
    if name in _STATISTICS:
        return Statistic(_STATISTICS[name], made.origin if not made.steps else None)
    if name == "fillna":
        step = _imputer(made, first)
        if isinstance(first, Statistic) and step is not None:
            column.table.gaps = (
                *column.table.gaps,
                note(f"the {_WORDS[first.strategy]} is that of the rows that train here"),
            )
        return with_(replace(made, lost=lost) if step is None else made.then(step))
    if name in ("map", "replace"):
        return with_(_mapped(data, made, first, name, lost))
    if name == "astype":
        return with_(_typed(data, made, first, lost))
    if name in ("eq", "__eq__") and isinstance(first, Expression) and first.known:
        return with_(_is(made, first))
    if name == "codes":
        return with_(_encoded(data, made, call("sklearn.preprocessing.LabelEncoder"), lost))
    return with_(replace(made, lost=lost))


def _imputer(made: Made, value: Value | None) -> Expression | None:
    options: dict[str, Expression] = {"missing_values": CATEGORY_MISSING} if made.kind == "category" else {}
    if isinstance(value, Statistic):
        if value.of is not None and value.of != made.origin:
            return None
        return call("sklearn.impute.SimpleImputer", **options, strategy=constant(value.strategy))
    if not isinstance(value, Expression) or not value.known or isinstance(value.value, (dict, list)):
        return None
    if isinstance(value.value, str) != (made.kind == "category"):
        return None
    return call("sklearn.impute.SimpleImputer", **options, strategy=constant("constant"), fill_value=value)


def _mapped(data: Data, made: Made, given: Value | None, name: str, lost: Gap) -> Made:
    """Return a column whose labels became numbers: what an OrdinalEncoder does where these count from 0."""
    if not isinstance(given, Expression) or not isinstance(given.value, Mapping):
        return replace(made, lost=lost)
    codes: Mapping[Any, Any] = given.value
    labels = data.labels.get(made.origin)
    ones = [key for key, code in codes.items() if code == 1]
    two = sorted(codes.values()) == [0, 1] if all(isinstance(each, (int, float)) for each in codes.values()) else False
    positive = ones[0] if two else NOTHING
    counted = all(isinstance(code, int) for code in codes.values()) and sorted(codes.values()) == list(
        range(len(codes))
    )
    texts = all(isinstance(key, str) for key in codes)
    covered = name == "map" or (labels is not None and set(labels) <= set(codes))
    if not counted or not texts or made.kind != "category" or not covered:
        return replace(made, lost=lost, positive=positive)
    order = [key for key, _ in sorted(codes.items(), key=lambda pair: pair[1])]
    encoder = _codes(order, _nan())
    return replace(made.then(encoder, "number"), positive=positive)


def _codes(labels: list[Any], unknown: Expression) -> Expression:
    """Return the encoder that makes labels their places, and anything else one value."""
    return call(
        "sklearn.preprocessing.OrdinalEncoder", categories=constant([labels]),
        handle_unknown=constant("use_encoded_value"), unknown_value=unknown,
    )  # fmt: skip


def _nan() -> Expression:
    return Expression(ast.Name(id="numpy.nan"), 1)


def _is(made: Made, label: Expression) -> Made:
    """Return the column of whether each row has a label."""
    encoder = call(
        "sklearn.preprocessing.OneHotEncoder", categories=constant([[label.value]]),
        handle_unknown=constant("ignore"), sparse_output=constant(False),
    )  # fmt: skip
    return replace(made.then(encoder, "boolean"), positive=label.value)


def _typed(data: Data, made: Made, given: Value | None, lost: Gap) -> Made:
    """Return a column in another type: the same values, unless fractions are cut off or numbers become texts."""
    kinds = _kinds(given) or frozenset()
    coded = bool(made.steps) and (made.steps[-1].calls or "").endswith("Encoder")
    if made.kind == "boolean" or kinds == {made.kind} or (coded and kinds <= _NUMBERS):
        return made
    if kinds == {"number"} and made.kind in _NUMBERS:
        return made
    if kinds == {"integer"} and made.kind in _NUMBERS:
        return made if made.origin in data.whole and not made.steps else replace(made, lost=lost)
    if kinds == {"category"} and made.kind == "integer" and not made.steps:
        return replace(made, kind="category", read="category")
    return replace(made, lost=lost)
