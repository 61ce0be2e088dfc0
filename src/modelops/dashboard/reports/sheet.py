"""What every report is laid out on: one template with its style in itself, and the policy that knows it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from markupsafe import Markup

from modelops import __version__
from modelops.dashboard.laying import laying, static

__all__ = ["page"]


def page(template: str, **shown: Any) -> str:
    """Return a page; the same findings give the same bytes."""
    style = static("static/style.css").decode()
    return (
        laying()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704 - it is our own file
            policy=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            version=__version__,
            **shown,
        )
    )
