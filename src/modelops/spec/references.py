"""References: every name that a file mentions leads to something that fits."""

from __future__ import annotations

from collections.abc import Iterator

from modelops.errors import Problem
from modelops.spec.around import Around, Collection, Folder, Known
from modelops.spec.kinds import problems_of
from modelops.spec.layout import MODEL
from modelops.spec.resource import at


def folder_problems(folder: Folder, policies: Collection, known: Known) -> Iterator[Problem]:
    """Yield what is wrong between the files of one model's folder and the policies."""
    if folder.only("Model") is None and not known.has("Model", folder.name, folder.name):
        first = next(iter(next(iter(folder.parts.values())).values()))
        path = MODEL.path(folder.name)
        said = f"{path.rpartition('/')[0]} has no model.yaml"
        yield at(first, "", "missing-model", said, "add the model, or remove its folder")
    around = Around(folder, policies, known)
    for resources in folder.parts.values():
        for resource in resources.values():
            yield from problems_of(resource, around)
