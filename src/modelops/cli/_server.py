"""The server that a verb asks: where it is, and with which key."""

from __future__ import annotations

from modelops.errors import Exit, failure

KEY_VARIABLE = "MODELOPS_API_KEY"


def address(environment: str) -> str:
    """Return the address of the server of an environment on this machine, if it runs."""
    from modelops.project.target import target_of
    from modelops.project.workspace import open_workspace

    workspace = open_workspace()
    _, graph = workspace.known()
    target = target_of(workspace, graph, environment)
    observed, url = target.observe(), target.endpoint()
    if not observed.running or url is None:
        raise failure(
            "no-server",
            f"no server of {environment} answers on this machine: {observed.message}",
            exit=Exit.WORLD,
            hint=f"`modelops reconcile {environment}` starts it; --url names one elsewhere",
            retryable=True,
        )
    return url
