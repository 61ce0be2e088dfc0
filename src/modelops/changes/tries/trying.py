"""Trying variants: each is a build like any other, kept in the store and the run ledger, several at once.

A variant whose inputs were built here before is taken from the store, so whoever is stopped goes on where he was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelops import training
from modelops.artifacts import BuildRecord
from modelops.changes import building
from modelops.changes.tries.variants import Variant
from modelops.errors import ModelOpsError, Problem
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.kinds.model import Training
from modelops.training.supervise import Crew

__all__ = ["Tried", "at_once", "try_variants", "with_parameters"]

_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Tried:
    """A variant and its build, or what was wrong with it; ``run`` is its newest number in the ledger."""

    variant: Variant
    inputs: str
    record: BuildRecord | None
    problems: tuple[Problem, ...] = ()
    cached: bool = False
    run: int | None = None


def with_parameters(request: training.BuildRequest, variant: Variant, *, only: bool = False) -> training.BuildRequest:
    """Return the request of a build whose parameters are other ones, as if model.yaml said so; ``only`` those."""
    spec = request.model.spec
    before = {} if only else spec.training.parameters
    # Checked as a file would be; everything else of training is what it was.
    parameters = Training(parameters={**before, **variant}).parameters
    other = spec.training.model_copy(update={"parameters": parameters})
    model = replace(request.model, spec=spec.model_copy(update={"training": other}))
    return replace(request, model=model)


def at_once(threads: int, memory: int) -> int:
    """Return how many builds of so many threads and bytes each this machine can run at once, at least one."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        pages = min(pages, int(_LIMIT.read_text()))
    return max(1, min(len(os.sched_getaffinity(0)) // threads, pages // memory))


def try_variants(
    workspace: Workspace,
    graph: Graph,
    name: str,
    revision: str | None,
    variants: Sequence[Variant],
    *,
    jobs: int,
    tell: Callable[[Tried], None] = lambda tried: None,
) -> tuple[Tried, ...]:
    """Build every variant and return them in their order; ``tell`` hears of each as it ends.

    One that fails is a result like any other. What is wrong with data or store ends everything, and so does Ctrl-C.
    """
    wanted, crew = building.request(workspace, graph, name, revision), Crew()
    build = building.builder(workspace, graph, name, revision, crew=crew)
    found: dict[int, Tried] = {}
    with ThreadPoolExecutor(jobs, thread_name_prefix="try") as pool:
        pending = {
            pool.submit(_tried, build, with_parameters(wanted, variant), variant): place
            for place, variant in enumerate(variants)
        }
        try:
            for future in as_completed(pending):
                found[pending[future]] = future.result()
                tell(found[pending[future]])
        finally:
            # Nothing is left to do where all went well.
            for future in pending:
                future.cancel()
            crew.end()
    return tuple(_numbered(workspace, name, (found[place] for place in range(len(variants)))))


def _tried(
    build: Callable[[training.BuildRequest], training.Build], request: training.BuildRequest, variant: Variant
) -> Tried:
    inputs = training.inputs_digest(request)
    try:
        made = build(request)
    except ModelOpsError as error:
        if error.retryable:
            raise
        return Tried(variant, inputs, None, error.problems)
    return Tried(variant, inputs, made.record, cached=made.key is not None)


def _numbered(workspace: Workspace, name: str, found: Iterator[Tried]) -> Iterator[Tried]:
    """Yield what was tried with its newest number in the ledger."""
    numbers: dict[str, int] = {}
    for run in training.runs(workspace.ledger, name, 10_000):
        numbers.setdefault(run.inputs, run.id)
    for one in found:
        yield replace(one, run=numbers.get(one.inputs))
