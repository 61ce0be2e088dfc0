"""What was scaffolded, and what to do next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops.markup import plain
from modelops.scaffold.result import Result


def data(result: Result) -> dict[str, Any]:
    """Return the result as plain values."""
    return asdict(result)


def text(result: Result) -> str:
    """Return every file that was written, what a model was made of, and the next steps."""
    lines = [f"wrote {path}" for path in result.files]
    lines += [f"kept {path} as it is" for path in result.kept]
    if result.task is not None:
        lines.append(f"\n{result.model}: {result.task} from {len(result.features)} columns")
        lines += [f"  {plain(name)}: {plain(how)}" for name, how in list(result.read.items())[:20]]
        if len(result.read) > 20:
            lines.append(f"  and {len(result.read) - 20} more, in the snapshot")
        lines += [f"  left out {plain(name)}: {plain(why)}" for name, why in list(result.left_out.items())[:20]]
        if len(result.left_out) > 20:
            lines.append(f"  and {len(result.left_out) - 20} more, listed in model.yaml")
    if result.adopted is not None:
        lines.append(f"\nread from {plain(result.adopted)}, which was not run:")
        lines += [f"  {name}: {plain(what)}" for name, what in result.inferred.items()]
        lines += ["otherwise here, also in train.py:"] if result.cannot else []
        lines += [f"  {plain(line)}" for line in result.cannot]
    lines += ["", *(f"warning: {plain(line)}" for line in result.warnings)] if result.warnings else []
    return "\n".join([*lines, "\nnext:", *(f"  {plain(step)}" for step in result.next)])
