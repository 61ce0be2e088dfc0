"""Answers for people and programs: one file per answer, and nobody else writes their sentences.

A file is named after what it shows. It takes typed answers of the layers below and exposes ``text()`` for a terminal,
``data()`` for JSON (plain values, camelCase keys) and, where a pull request or a page shows it, ``markdown()``. The
functions are pure: they open nothing, ask no clock, and the same answer gives the same bytes. ``terminal`` holds what
texts share; values that come from callers or files go through ``markup.plain`` or ``markup.escape`` on their way.
"""
