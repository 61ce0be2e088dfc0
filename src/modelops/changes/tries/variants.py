"""Which variants are meant: a grid of values for parameters, a file of them, or both crossed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.spec.explain import nearest
from modelops.spec.meta import Scalar
from modelops.spec.yaml.document import parse

__all__ = ["MOST", "Variant", "grid", "read_variants", "require_known", "variants"]

Variant = Mapping[str, Scalar]
"""Parameters that are other than in model.yaml; without any it is the model as it is."""
MOST = 500
"""Variants of one call: the best of more is chance rather than skill, and nobody reads their table."""


def grid(settings: Iterable[str]) -> tuple[Variant, ...]:
    """Return every combination of settings such as ``depth=3,5``; values are read as in a file, quoted or plain."""
    axes: dict[str, tuple[Scalar, ...]] = {}
    for text in settings:
        name, found, values = text.partition("=")
        name = name.strip()
        if not found or not name:
            raise _usage("bad-setting", f"{text!r} is no setting", "write NAME=VALUE, or NAME=VALUE,VALUE for each")
        if name in axes:
            raise _usage("bad-setting", f"{name!r} is set twice", f"write its values in one: --set {name}=VALUE,VALUE")
        axes[name] = _values(text, values)
    _require_few(math.prod(map(len, axes.values())))
    return tuple(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def _values(text: str, values: str) -> tuple[Scalar, ...]:
    try:
        read: Any = parse(f"values: [{values}]".encode(), "--set").value
        found = read["values"] if list(read) == ["values"] else ()
    except ModelOpsError as error:
        said = f"the values of {text!r} cannot be read: {error.first.message}"
        raise _usage("bad-setting", said, "quote a text that holds a comma or a bracket") from None
    if not found or any(isinstance(value, dict | tuple) for value in found):
        raise _usage("bad-setting", f"{text!r} has a value that is no single one", "a parameter is a text or a number")
    return tuple({(type(value), value): value for value in found}.values())


def read_variants(path: Path) -> tuple[Variant, ...]:
    """Return the variants of a YAML or JSON file: under ``variants`` a list, each a mapping of parameters."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _usage("unreadable", f"{path} cannot be read: {error.strerror}", "name a YAML file") from None
    document = parse(data, str(path))
    listed = document.value.get("variants") if isinstance(document.value, dict) else None
    if not isinstance(listed, tuple) or not listed:
        hint = "variants:\n  - {max_iter: 100}\n  - {max_iter: 200}"
        raise failure("bad-variants", "it has no list `variants`", location=Location(str(path), 1, 1), hint=hint)
    problems = []
    for place, one in enumerate(listed):
        where = document.marks.get(f"variants[{place}]")
        if not isinstance(one, dict) or any(isinstance(value, dict | tuple) for value in one.values()):
            said = f"variant {place + 1} is no mapping of parameters to single values"
            problems.append(Problem("bad-variants", said, where, f"variants[{place}]", "- {max_iter: 200}"))
    if problems:
        raise ModelOpsError(*problems)
    return tuple(dict(one) for one in listed)


def variants(settings: Sequence[str], file: Path | None, present: Variant) -> tuple[Variant, ...]:
    """Return what to try, the model as it is first: the variants of a file, each with every combination of the grid.

    What sets nothing otherwise than ``present``, the parameters of model.yaml, is the model as it is.
    """
    listed, others = read_variants(file) if file is not None else ({},), grid(settings)
    _require_few(len(listed) * len(others))
    crossed = [{**one, **other} for one, other in product(listed, others)]
    found: list[Variant] = [{}]
    for one in crossed:
        other = {name: value for name, value in one.items() if not _same(present, name, value)}
        if other not in found:
            found.append(other)
    return tuple(found)


def _require_few(many: int) -> None:
    """Refuse too many variants by their number, before any is made: a few settings have more than a machine holds."""
    if many > MOST:
        said = f"{many:,} variants are more than {MOST}"
        raise _usage("too-many-variants", said, "the best of so many is chance: try fewer values first")


def _same(present: Variant, name: str, value: Scalar) -> bool:
    return name in present and type(present[name]) is type(value) and present[name] == value


def require_known(found: Iterable[Variant], present: Variant, code: Mapping[str, bytes]) -> None:
    """Refuse a parameter that neither model.yaml has nor the model's code names: it would change nothing.

    Code that hands all parameters on, by ``**``, knows any name.
    """
    texts = [data.decode("utf-8", "replace") for path, data in code.items() if path.endswith(".py")]
    if any(re.search(r"\*\*\s*(parameters|params)\b", text) for text in texts):
        return
    for name in dict.fromkeys(name for one in found for name in one):
        if name not in present and not any(re.search(rf"\b{re.escape(name)}\b", text) for text in texts):
            said = f"neither model.yaml has a parameter {name!r} nor does the code name it, so it would change nothing"
            raise _usage("unknown-parameter", said, nearest(name, present, "parameters here"))


def _usage(code: str, message: str, hint: str) -> ModelOpsError:
    return failure(code, message, exit=Exit.USAGE, hint=hint)
