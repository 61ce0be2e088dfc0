"""Judging a branch commit by commit: how pull requests came, what the loop made, what is open, and where to begin."""
