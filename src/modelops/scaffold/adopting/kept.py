"""A model that was kept as data: its file is opened only where it holds nothing that runs."""

from __future__ import annotations

import ast
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from modelops.errors import Exit, failure
from modelops.scaffold.adopting.cells import Place
from modelops.scaffold.adopting.found import Fit
from modelops.scaffold.adopting.tables import frame_of
from modelops.scaffold.adopting.values import Column, Data, Expression, Unknown, literal

__all__ = ["fitted", "read_kept"]

_MOST_BYTES = 512 << 20


def read_kept(path: Path, data: Data, label: str | None, called: str | None = None) -> Fit:
    """Return what a skops file says of an estimator: its class and parameters, and the columns that it was fitted on.

    Errors: ``unreadable-model`` for what is no skops file; ``untrusted-types`` where it holds types of which reading
    would run code that is not scikit-learn's; ``label-unread`` where nobody said what it predicts; ``code-in-model``
    where its parameters are functions. ``called`` is what it is named in them, its path by default.
    """
    name = called or str(path)
    import skops.io

    from modelops.artifacts.allowed import ALLOWED_TYPES

    if path.stat().st_size > _MOST_BYTES:
        raise failure("unreadable-model", f"{name} has more than {_MOST_BYTES:,} bytes")
    if label is None:
        raise failure(
            "label-unread", f"{name} does not say which column it predicts", exit=Exit.USAGE, hint="say --label NAME"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            untrusted = sorted(set(skops.io.get_untrusted_types(file=path)) - ALLOWED_TYPES)
            if untrusted:
                raise failure(
                    "untrusted-types", f"{name} holds {', '.join(untrusted[:5])}: reading it would run code of others",
                    hint="adopt the notebook or script that made it",
                )  # fmt: skip
            estimator = skops.io.load(path, trusted=sorted(ALLOWED_TYPES))
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        LookupError,
        AttributeError,
        ImportError,
        RuntimeError,
        BadZipFile,
        EOFError,
        zlib.error,
    ) as error:
        raise failure("unreadable-model", f"{name} cannot be read as a skops file: {error}") from None
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    return fitted(
        called or path.stem,
        _code_of(estimator, name),
        data,
        names,
        label,
        expected=getattr(estimator, "n_features_in_", None),
    )


def fitted(
    called: str, node: ast.expr, data: Data, names: Sequence[str], label: str, *, expected: int | None = None
) -> Fit:
    """Return the fit of a construction to columns of some data: the named ones, else all but the label.

    Without names ``expected`` is how many there are to be. Errors: ``features-unread``, ``unknown-column``.
    """
    table = frame_of(data)
    names = names or [name for name in data.kinds if name != label]
    if expected is not None and len(names) != expected:
        raise failure(
            "features-unread",
            f"{called} was fitted on {expected} columns without names, and {data.path} has {len(names)}",
            hint="keep the features and the label alone in the data, in the order of training",
        )  # fmt: skip
    features = table.only(list(names))
    if isinstance(features, Unknown):
        raise failure("features-unread", f"{called} was fitted on other columns than {data.path} has: {features.why}")
    if label not in table.columns:
        raise failure("unknown-column", f"--label {label!r} is not a column of {data.path}", exit=Exit.USAGE)
    expression = Expression(node, sum(1 for _ in ast.walk(node)))
    target = Column(table, label, table.columns[label])
    return Fit(called, expression, features, target, Place(None, 0))


def _code_of(value: Any, called: str) -> ast.expr:
    """Return the construction of an estimator or of one of its parameters, without what its class has by default."""
    import numpy as np
    from sklearn.base import BaseEstimator

    if isinstance(value, BaseEstimator):
        plain = _defaults(type(value))
        options = [
            ast.keyword(name, _code_of(each, called))
            for name, each in value.get_params(deep=False).items()
            if name not in plain or not _same(plain[name], each)
        ]
        return ast.Call(ast.Name(id=_public(type(value))), [], options)
    if isinstance(value, list):
        return ast.List([_code_of(each, called) for each in value], ast.Load())
    if isinstance(value, tuple):
        return ast.Tuple([_code_of(each, called) for each in value], ast.Load())
    if isinstance(value, Mapping):
        return ast.Dict([_code_of(key, called) for key in value], [_code_of(each, called) for each in value.values()])
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubUO":
        return _code_of(value.tolist(), called)
    if isinstance(value, np.generic):
        return _code_of(value.item(), called)
    if isinstance(value, float) and value != value:
        return ast.Name(id="numpy.nan")
    if value is None or isinstance(value, (bool, int, float, str)):
        return literal(value)
    if isinstance(value, np.ufunc):
        return ast.Name(id=f"numpy.{value.__name__}")
    if isinstance(value, type) and value.__module__ == "numpy":
        return ast.Name(id=f"numpy.{value.__name__}")
    raise failure(
        "code-in-model", f"{called}: a parameter is a {type(value).__name__}, which no construction can be written of",
        hint="adopt the notebook or script that made it",
    )  # fmt: skip


def _defaults(kind: type) -> dict[str, Any]:
    import inspect

    return {name: each.default for name, each in inspect.signature(kind).parameters.items()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and one != one and other != other:
        return True
    return type(one) is type(other) and repr(one) == repr(other)


def _public(kind: type) -> str:
    """Return the name by which a class of scikit-learn is imported: not that of its private module."""
    import importlib

    parts = kind.__module__.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        if (
            not parts[count - 1].startswith("_")
            and getattr(importlib.import_module(module), kind.__name__, None) is kind
        ):
            return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__name__}"
