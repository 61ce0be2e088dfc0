"""Reading ahead: what tells how an environment stands, brought here at once instead of piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

from modelops.errors import ModelOpsError
from modelops.evidence import promotion_evidence_path
from modelops.governance.history import arms_of
from modelops.governance.promotions import covering_promotion
from modelops.repository import Repository
from modelops.spec.graph import Graph
from modelops.spec.layout import MODEL, MODELS, PROMOTION, ReleaseFiles, Seat, promotions_in
from modelops.spec.yaml.text import SIZE_LIMIT


def read_ahead(repository: Repository, graph: Graph, tip: str, name: str, models: Collection[str]) -> None:
    """Read the files, histories and evidence that some models' standing in an environment is told from.

    Whoever asks for one of them afterwards finds it here. What cannot be read is told where it is asked for.
    """
    with contextlib.suppress(ModelOpsError):
        blobs, line = repository.paths(tip), repository.line(tip, MODELS)
        here = [model for model in models if model in graph.models and name in graph.models[model].deployments]
        wanted: list[str | None] = []
        for model in here:
            entry = graph.models[model]
            newest = promotions_in(entry.promotions, name)[-1:]
            paths = [MODEL.path(model), *(PROMOTION.path(model, each) for each in newest)]
            wanted += [blobs.get(path) for path in (*paths, *map(promotion_evidence_path, paths[1:]))]
            for environment in entry.deployments:
                wanted += [version.blob for version in line.versions(Seat(model, environment).deployment)]
        _read(repository, wanted)
        wanted = []
        for model in here:
            for number in arms_of(graph.models[model].deployments[name].spec).values():
                files = ReleaseFiles(model, number)
                wanted += [blobs.get(files.release), blobs.get(files.evidence)]
                record = covering_promotion(graph, Seat(model, name), number)
                wanted += [blobs.get(promotion_evidence_path(record.path))] if record is not None else []
        _read(repository, wanted)


def _read(repository: Repository, blobs: Iterable[str | None]) -> None:
    repository.blobs((blob for blob in blobs if blob is not None), SIZE_LIMIT)
