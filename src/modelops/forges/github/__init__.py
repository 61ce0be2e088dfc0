"""Pull requests on GitHub, or on a GitHub Enterprise Server.

``session`` talks, ``records`` reads what is answered, ``forge`` does what the shelf asks.
"""

from modelops.forges import Opening
from modelops.forges.github.forge import GitHub
from modelops.forges.github.settings import Params, pages

__all__ = ["GitHub", "Params", "open", "pages"]


def open(params: Params, opening: Opening) -> GitHub:
    """Open the forge of a repository; nothing is asked before the first use."""
    return GitHub(params, opening)
