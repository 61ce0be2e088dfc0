"""Whole files through a model: rows in, the same rows with predictions out, by a server or straight from a release."""
