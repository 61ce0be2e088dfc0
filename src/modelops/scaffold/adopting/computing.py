"""Arithmetic on literals, as far as its results stay small."""

from __future__ import annotations

import ast
import posixpath
from typing import Any

from modelops.scaffold.adopting.values import LARGEST, Unknown, Value, constant

__all__ = ["arithmetic"]

_GREAT = 1 << 512
"""Numbers above which nothing is multiplied: whole ones double their length with each line."""


def arithmetic(operator: ast.operator, left: Any, right: Any) -> Value:
    """Return what an operator gives of two literals; texts, lists and numbers that would grow long are not known."""
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    try:
        match operator:
            case ast.Add() if numbers:
                return constant(left + right)
            case ast.Add() if type(left) is type(right) and isinstance(left, (str, list, tuple)):
                return (
                    constant(left + right)
                    if len(left) + len(right) <= LARGEST
                    else Unknown("a list too long to follow")
                )
            case ast.Sub() if numbers:
                return constant(left - right)
            case ast.Mult() if numbers and abs(left) < _GREAT and abs(right) < _GREAT:
                return constant(left * right)
            case ast.Div() if numbers:
                return constant(left / right)
            case ast.Div() if isinstance(left, str) and isinstance(right, str):
                joined = posixpath.join(left, right)
                return constant(joined) if len(joined) <= LARGEST else Unknown("a text too long to follow")
            case ast.Pow() if numbers and abs(left) <= 10_000 and abs(right) <= 16:
                return constant(left**right)
            case _:
                return Unknown("what this computes is not known")
    except (ArithmeticError, ValueError, TypeError):
        return Unknown("what this computes is not known")
