"""Adopting: what code or a kept model says of itself, read without running it, as a proposed model.

``cells`` reads a notebook or script into statements; ``following`` follows them with the values of ``values`` and
``tables`` in place of real ones; ``kept`` reads a skops file; ``assembling`` and ``writing`` make training code of what
was found, and ``proposing`` hands it to the scaffolding of models. What cannot be carried over is a ``Gap`` with its
place.
"""
