"""Runtimes: each file keeps the models of one library as data, and loads them again after checks.

A runtime file exposes ``Params``, ``owns(found)``, ``keep(params, found, asked)`` and ``load(held, files)``. It imports
its library inside of functions alone, so that who needs none of its models never imports it. What ``keep`` returns is
data: files in the library's own format and facts as JSON has them, the same for the same model, never a pickle.
``load`` checks the files before the library reads them and returns a part, which stands alone or anywhere in a tree of
scikit-learn's estimators. A part may write its exact form in ONNX; whether that is served is decided by the build's
comparison, as for scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from modelops.artifacts.parts.part import Asked, Kept
from modelops.artifacts.signature import Held
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.meta import Plugin, Strict

__all__ = ["PROTOCOL", "Asked", "Kept", "Runtime", "bind"]


class Runtime(Protocol):
    """What a module on this shelf exposes.

    ``DECLARED`` says that it is used only where model.yaml names it, because its models run code of the repository.
    """

    DECLARED: bool

    @property
    def Params(self) -> type[Strict]: ...

    def owns(self, found: Any) -> bool:
        """Tell whether an object is a model of this library, fitted or not; it may not import the library for that."""
        ...

    def keep(self, params: Any, found: Any, asked: Asked) -> Kept | None:
        """Return what is kept of a model; None for one that is not fitted."""
        ...

    def load(self, held: Held, files: Mapping[str, bytes]) -> Any:
        """Return the model of some files, a part, after checking them; what cannot be one raises ``bad-model``."""
        ...


PROTOCOL = Runtime
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Runtime]:
    """Return a runtime with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("runtimes", plugin, resource, dotted)
