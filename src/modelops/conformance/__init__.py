"""What every plugin of a shelf keeps, as functions that any package can call in its own tests.

A module of this package is named as its shelf and offers ``CHECKS``, each a function of (module, params) that raises
AssertionError with what is not kept, and ``check``, which runs them all. ``params`` are parameters as YAML has them.
A type checker holds a plugin to its Protocol: ``held: Gate = my_module``, with ``Gate`` of ``modelops.gates``.
"""

from __future__ import annotations
