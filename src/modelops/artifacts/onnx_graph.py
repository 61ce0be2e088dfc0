"""Writing ONNX nodes and constants into a graph that skl2onnx is building."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ML_OPSET", "Writer"]

Array = np.ndarray[Any, Any]

ML_OPSET = 5
"""Version of the ai.onnx.ml operators in which TreeEnsemble was introduced."""

_CORE_VERSIONS = {
    "Add": 14,
    "ArgMax": 13,
    "Cast": 13,
    "Concat": 13,
    "Exp": 13,
    "Gather": 13,
    "IsNaN": 13,
    "Mul": 14,
    "Sigmoid": 13,
    "Softmax": 13,
    "Sub": 14,
    "Where": 16,
}
"""Versions of the core operators used here, all within the opset that is exported."""


@dataclass
class Writer:
    """Adds nodes and constants to a graph under construction, each under a fresh name."""

    scope: Any
    container: Any

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = output or self.scope.get_unique_variable_name(kind.lower())
        # skl2onnx knows no ai.onnx.ml above 3; the export states the true version once the graph is complete.
        domain, version = ("ai.onnx.ml", 3) if kind == "TreeEnsemble" else ("", _CORE_VERSIONS[kind])
        self.container.add_node(
            kind,
            inputs,
            [name],
            op_domain=domain,
            op_version=version,
            name=self.scope.get_unique_operator_name(kind),
            **attributes,
        )
        return name

    def constant(self, values: Array, kind: str) -> str:
        """Add a constant of an ONNX element type and return its name."""
        from onnx import TensorProto

        name: str = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(
            name, getattr(TensorProto, kind), list(values.shape), values.reshape(-1).tolist()
        )
        return name
