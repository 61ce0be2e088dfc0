"""Feedback loops: what is declared of labels, what the labels that came say of it, and recall that is not biased.

A model that is fed by its own decisions looks perfect on what it was fed. The detectors have the numbers of the audit
that they come from: D0 reads the declaration alone, D1 to D6 each batch of labels.
"""
