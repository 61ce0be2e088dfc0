"""The fence around code of the repository: what holds on this machine, why something does not, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelops.fence import Held, missing
from modelops.fence.promises import Promise
from modelops.fence.trial import Found
from modelops.markup import plain
from modelops.views.terminal import table

__all__ = ["data", "text", "weak"]

WHAT: dict[Promise, str] = {
    "files": "reads Python, the system's libraries and its own folder, and writes only that folder",
    "secrets": "sees no environment and no memory of another process, so no key that one of them holds",
    "network": "reaches no network unless the snapshot's source declares it; training never",
    "sockets": "opens no Unix socket, no raw and no kernel socket",
    "signals": "signals no other process",
    "processes": "leaves no process behind",
    "rights": "gains no right: no set-user-id, mount, tracing, kernel key or program in the kernel",
}

_REMEDIES = {
    "namespaces": "allow namespaces: outside of a container as root, or as anybody where the kernel lets users have "
    "them (on Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`)",
    "stranger": "keep Python where every user may read it, not below a home that only its owner may enter",
    "landlock": "use a kernel from 5.13 on that starts Landlock (`cat /sys/kernel/security/lsm`)",
    "seccomp": "build on Linux with an x86-64 or arm64 processor",
}


def weak(held: Held) -> str | None:
    """Return what does not hold after code of the repository ran, in one line; None when everything does."""
    lacking = missing(held)
    if not lacking:
        return None
    return f"the fence around the repository's code does not keep {', '.join(lacking)} here; see `modelops doctor`"


def data(held: Held, found: Sequence[Found], required: Iterable[Promise], keys: Sequence[tuple[str, str]]) -> Any:
    """Return what was measured, as JSON has it."""
    demanded = set(required)
    return {
        "fence": [
            {
                "promise": one.promise,
                "what": WHAT[one.promise],
                "holds": one.holds,
                "by": one.by or None,
                "gotThrough": list(one.through),
                "required": one.promise in demanded,
            }
            for one in found
        ],
        "lacking": [
            {"means": means, "why": plain(why), "do": _REMEDIES.get(means)} for means, why in dict(held.why).items()
        ],
        "keys": [{"where": where, "protection": how} for where, how in keys],
    }


def text(held: Held, found: Sequence[Found], required: Iterable[Promise], keys: Sequence[tuple[str, str]]) -> str:
    """Return what was measured, line by line."""
    demanded = set(required)
    rows = [
        (
            "holds" if one.holds else "DOES NOT HOLD",
            one.promise + (" (required)" if one.promise in demanded else ""),
            WHAT[one.promise],
            plain("; ".join(one.through)) + " got through" if one.through else one.by or "nothing here keeps it",
        )
        for one in found
    ]
    lines = ["Code of the repository (training, data commands):", "", table(("", "promise", "it", "by"), rows)]
    for means, why in dict(held.why).items():
        lines += ["", f"not used: {means}: {plain(why)}"]
        if means in _REMEDIES:
            lines.append(f"  {_REMEDIES[means]}")
    if keys:
        lines += ["", table(("key", "protection"), [(plain(where), how) for where, how in keys])]
    return "\n".join(lines)
