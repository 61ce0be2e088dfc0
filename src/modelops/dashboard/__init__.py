"""Pages for people: the health of every model from git, evidence and targets, read-only, served or as a folder.

``look`` is what is seen at one instant; ``rooms`` make of it what one page shows, ``pictures`` draw it; ``pages`` turns
a path into a page, the same ones for ``serving`` and ``export``. Nothing here judges: conditions, verdicts and trust
are those of ``status``, ``rollout status``, ``monitor`` and ``audit``. ``reports`` lays out what one run of the monitor
found as a page that stands alone.
"""
