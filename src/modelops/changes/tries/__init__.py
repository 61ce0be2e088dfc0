"""Variants of a model before any pull request: tried several at once, compared on the same rows, made a branch."""
