"""The bill of materials of an image, as CycloneDX 1.6 in JSON: what is in it, by versions and hashes.

The specification is at cyclonedx.org (ECMA-424); purls are those of the package-url specification.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from modelops.locks.pins import HASH, pins_of
from modelops.locks.wheel import Wheel

__all__ = ["bill_of_materials"]


def bill_of_materials(
    name: str, version: str, base: str, packages: str, wheel: Wheel, artifact: str, labels: Mapping[str, str]
) -> bytes:
    """Return the bill of an image: its base, the packages of a lock, modelops and the model, in this order.

    Equal images have equal bills: there is no time in it, and the serial number is made of what it says. A package has
    the hashes of all its files in the lock, one of which was installed.
    """
    components: Sequence[dict[str, Any]] = [
        _base(base),
        *(_package(pin.name, pin.version, HASH.findall(pin.text)) for pin in pins_of(packages.encode()) if pin.counts),
        _package("modelops", wheel.name.split("-")[1], [wheel.sha256]),
        {
            "type": "machine-learning-model",
            "bom-ref": "model",
            "name": name,
            "version": version,
            "hashes": [{"alg": "SHA-256", "content": artifact.removeprefix("sha256:")}],
        },
    ]
    subject = {
        "type": "container",
        "bom-ref": "image",
        "name": name,
        "version": version,
        "properties": [{"name": key, "value": value} for key, value in sorted(labels.items())],
    }
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": [each["bom-ref"] for each in components]}],
    }
    made = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{made}"}, indent=2, sort_keys=True).encode() + b"\n"


def _base(reference: str) -> dict[str, Any]:
    name, _, digest = reference.partition("@")
    path, _, tag = name.partition(":") if "/" not in name.rpartition(":")[2] else (name, "", "")
    purl = f"pkg:oci/{quote(path.rpartition('/')[2].lower())}@{quote(digest, safe='')}"
    return {
        "type": "container",
        "bom-ref": purl,
        "name": path,
        "version": tag or digest,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
    }


def _package(name: str, version: str, hashes: Sequence[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name)}@{quote(version)}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
    }
