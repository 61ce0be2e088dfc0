"""Packaging: one release as an image that needs nothing but an engine to run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.governance.judged import desired
from modelops.governance.promotions import unproven
from modelops.locks.wheel import own_wheel
from modelops.plugins import Bound
from modelops.project.locked import lock_of
from modelops.project.workspace import Workspace, model_entry
from modelops.releases.sbom import bill_of_materials
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.routing import FILE_NAME, RouteArm, RoutingTable, route_of, table_text
from modelops.targets import Built, Deployable, Packager, Packed, Renderer

__all__ = ["Package", "package"]

ENVIRONMENT = "image"
"""What a release is served as that is in no environment."""
SBOM = "sbom.cdx.json"


@dataclass(frozen=True, slots=True)
class Package:
    """A release, what its image is built from, and the bill of materials beside it."""

    model: str
    release: int
    digest: str
    packed: Packed
    sbom: bytes


def package(workspace: Workspace, model: str, number: int, target: Bound[Renderer]) -> Package:
    """Return the package of a release that main has, whose evidence holds and whose artifact is what was signed."""
    tip, graph = desired(workspace)
    entry = model_entry(graph, model)
    if number not in entry.releases:
        known = ", ".join(map(str, sorted(entry.releases))) or "none"
        raise failure("unknown-release", f"{model} has no release {number}", exit=Exit.USAGE, hint=f"releases: {known}")
    problem = unproven(workspace, graph, tip, entry.releases[number])
    if problem is not None:
        raise ModelOpsError(problem, exit=Exit.NO)
    if not isinstance(target.module, Packager):
        raise failure("not-a-packager", f"the target {target.key} makes no images", exit=Exit.USAGE, hint="use docker")
    release: ReleaseSpec = entry.releases[number].spec
    spec: ModelSpec = entry.model.spec
    digest = release.artifact.digest
    arm = RouteArm(name="stable", release=number, digest=digest, weight=1.0)
    table = RoutingTable(
        environment=ENVIRONMENT, models={model: route_of(spec.serving, (arm,), "", review=spec.review)}
    )
    releases = {(model, number): release}
    wheel = own_wheel()
    wanted = Deployable(
        table=table,
        models={model: spec},
        releases=releases,
        lock=lambda: lock_of(workspace, tip, releases).decode(),
        store=workspace.store.address,
        wheel=lambda: wheel,
    )
    labels = _labels(model, spec, release)
    packed = target.module.pack(target.params, wanted, _content(workspace, digest, table), labels)
    bill = bill_of_materials(model, str(number), packed.base, packed.packages, wheel, digest, packed.labels)
    return Package(model, number, digest, packed, bill)


def _labels(model: str, spec: ModelSpec, release: ReleaseSpec) -> dict[str, str]:
    """Return what an image says of itself, by the names of the OCI where it has one; no secret and no time."""
    return {
        "org.opencontainers.image.title": model,
        "org.opencontainers.image.version": str(release.version),
        "org.opencontainers.image.revision": release.code.commit,
        "org.opencontainers.image.description": spec.description,
        "org.opencontainers.image.authors": spec.owner,
        "dev.modelops.owner": spec.owner,
        "dev.modelops.model": model,
        "dev.modelops.release": str(release.version),
        "dev.modelops.artifact": release.artifact.digest,
        "dev.modelops.data": release.data.root,
        "dev.modelops.lock": release.environment_lock,
    }


def _content(workspace: Workspace, digest: str, table: RoutingTable) -> dict[str, bytes]:
    """Return an OCI layout that holds one artifact, and the routing table that names it."""
    from modelops.artifacts.package import MANIFEST_TYPE, artifact_blobs

    blobs = artifact_blobs(workspace.store, digest)
    manifest: dict[str, Any] = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(blobs[digest])}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    return {
        "store/oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "store/index.json": json.dumps(index, indent=2).encode() + b"\n",
        **{f"store/blobs/sha256/{each.removeprefix('sha256:')}": data for each, data in blobs.items()},
        f"routes/{FILE_NAME}": table_text(table).encode(),
    }


def made(found: Package, target: Bound[Renderer], push: str | None, say: Callable[[str], None]) -> Built:
    """Build the image of a package, and push it to a repository where one is named."""
    assert isinstance(target.module, Packager), "what packs builds, too"
    return target.module.build(target.params, found.packed, push, say)
