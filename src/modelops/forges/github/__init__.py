"""Pull requests on GitHub, or on a GitHub Enterprise Server.

``session`` talks, ``records`` reads what is answered, ``forge`` does what the shelf asks.
"""

from urllib.parse import urlsplit

from modelops.forges import Opening
from modelops.forges.github.forge import GitHub
from modelops.forges.github.settings import API, Params

__all__ = ["GitHub", "Params", "open", "pages"]


def open(params: Params, opening: Opening) -> GitHub:
    """Open the forge of a repository; nothing is asked before the first use."""
    return GitHub(params, opening)


def pages(params: Params) -> str:
    """Return where people see the repository; without a word in the file it is GitHub's own site."""
    parts = urlsplit(params.api_url or API)
    # The API has a name of its own, beside the site's, or lies below it, as on a GitHub Enterprise Server.
    host = parts.netloc if parts.path.strip("/") else parts.netloc.removeprefix("api.")
    return f"{parts.scheme}://{host}/{params.repository}"
