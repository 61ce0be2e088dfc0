"""Scaffolding: a new repository, an example model, or a working model from a table that nobody has seen before.

``files``, ``policies`` and ``repository`` make what every repository has; ``model`` drafts a model from an Arrow table
with the help of ``columns``, ``target`` and ``gates``. Importing this package loads none of them.
"""
