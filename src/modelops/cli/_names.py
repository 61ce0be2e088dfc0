"""Names that a shell completes: models, environments and releases as git has them; what cannot be read has none."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from modelops.errors import ModelOpsError
from modelops.spec.layout import ENVIRONMENT, MODEL, MODELS, POLICIES, RELEASE

__all__ = ["environments", "models", "releases"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the models whose names begin as typed."""
    return _items((found[0] for path in _paths(MODELS) if (found := MODEL.parse(path))), incomplete)


def environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the environments whose names begin as typed."""
    return _items((found[1] for path in _paths(POLICIES) if (found := ENVIRONMENT.parse(path))), incomplete)


def releases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the releases of the model that was named before."""
    model = ctx.params.get("model")
    return _items(
        (found[1] for path in _paths(MODELS) if (found := RELEASE.parse(path)) and found[0] == model), incomplete
    )


def _items(names: Iterable[str | None], incomplete: str) -> list[CompletionItem]:
    # A shell puts what it is given into the line as it is, and whoever pushes a branch chooses the names of files.
    known = sorted({name for name in names if name is not None and _NAME.fullmatch(name)})
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def _paths(prefix: str) -> tuple[str, ...]:
    """Return the paths below a folder of the commit that is checked out."""
    from modelops.project.workspace import open_workspace

    try:
        repository = open_workspace().repository
        return tuple(repository.paths(repository.head(), prefix))
    except ModelOpsError:
        return ()
