"""Keys and tokens among files that are to be shared: found by the forms that their makers gave them, never quoted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from modelops.errors import Location, ModelOpsError, Problem

__all__ = ["secrets_in"]

_FORMS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a token of GitHub": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "an access key of AWS": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a key of Google": rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
    "a token of Slack": rb"\bxox[abeprs]-[A-Za-z0-9-]{20,}",
    "a live key of Stripe": rb"\b[rs]k_live_[A-Za-z0-9]{20,}",
}
_ANY = re.compile(b"|".join(b"(%s)" % form for form in _FORMS.values()))
_HINT = (
    "take it out of every commit of the branch, and replace it where it is used: whoever fetched the branch has it; "
    "what runs here gets secrets from its environment"
)


def secrets_in(paths: Iterable[str], read: Callable[[str], bytes]) -> Iterator[Problem]:
    """Yield a problem for each file that holds what only its owner may know; what cannot be read is told elsewhere."""
    names = list(_FORMS)
    for path in sorted(paths):
        data = b""
        with suppress(ModelOpsError, OSError):
            data = read(path)
        found = _ANY.search(data)
        if found is not None:
            line = data.count(b"\n", 0, found.start()) + 1
            column = found.start() - (data.rfind(b"\n", 0, found.start()) + 1) + 1
            what = names[(found.lastindex or 1) - 1]
            said = f"this looks like {what}, and git keeps it for everybody who has the repository"
            yield Problem("secret-in-git", said, Location(path, line, column), hint=_HINT)
