"""Where something is: what a store says of itself to those who start and describe servers, and this machine itself."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is: ``text`` is its key, a colon, and what its file alone can read; it holds no secret.

    ``folder`` is what another process must have in reach to use the store; ``text`` is then the key, a colon and that
    folder. A store without one is reached by network: through the TCP ``ports``, with credentials that it takes from
    the environment ``variables``.
    """

    text: str
    folder: Path | None = None
    ports: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()

    def mounted(self, folder: str) -> str:
        """Return the address of a store that is a folder, for a process that sees this folder elsewhere."""
        return f"{self.text.partition(':')[0]}:{folder}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
