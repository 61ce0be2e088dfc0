"""An OCI image layout in a folder: what skopeo, crane and every other tool that reads OCI can read.

Blobs are written to a temporary file, flushed to disk and renamed, so that a reader sees a whole blob or none;
``index.json`` changes only under a lock and by rename, so that writers in many processes never lose each other's names.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field

from modelops import files
from modelops.digests import digest_bytes, digest_file
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.spec.layout import STATE
from modelops.spec.meta import Strict
from modelops.stores import Address, check_reference
from modelops.stores._files import copy, destination_unwritable, file_unreadable, writing

__all__ = ["OciLayout", "Params", "open", "parse"]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
REFERENCE_KEY = "org.opencontainers.image.ref.name"

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Params(Strict):
    """Where the layout's folder is, relative to the repository's root unless absolute."""

    path: str = Field(default=f"{STATE}/store", min_length=1)


def open(params: Params, root: Path, environ: Mapping[str, str] = os.environ) -> OciLayout:
    """Return the store of a repository; nothing is written before the first put."""
    return OciLayout(root / params.path)


def parse(text: str) -> Params:
    """Return the parameters of the layout in a folder."""
    if not text:
        raise failure("bad-store-address", "the address of an OCI layout names no folder", exit=Exit.USAGE)
    return Params(path=text)


class OciLayout:
    """Blobs by digest and manifests by name in an OCI image layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._index = folder / "index.json"
        self._marker = folder / "oci-layout"

    @property
    def address(self) -> Address:
        """The folder, as this machine names it."""
        folder = self.folder.absolute()
        return Address(f"oci-layout:{folder}", folder=folder)

    def has(self, digest: str) -> bool:
        """Return whether a blob is there, without reading it."""
        path = self._path(digest)
        try:
            return path.is_file()
        except OSError as error:
            raise self._unreadable(path, error) from None

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob after checking that they are the ones the digest names."""
        with self._reading(digest) as source:
            data = source.read()
        if digest_bytes(data) != digest:
            raise self._changed(digest)
        return data

    def fetch(self, digest: str, destination: Path) -> None:
        """Copy a blob to a file, verified while it streams; the file appears whole or not at all."""
        with self._reading(digest) as source, writing(destination, destination_unwritable) as (target, commit):
            if copy(source, target) != digest:
                raise self._changed(digest)
            commit(destination)

    def put(self, data: bytes) -> str:
        """Keep bytes and return their digest; bytes that are already there, and whole, are left alone."""
        digest = digest_bytes(data)
        if not self._holds(digest, len(data)):
            self._prepare()
            with writing(self.folder / "blob", self._unwritable) as (target, commit):
                target.write(data)
                commit(self._path(digest))
        return digest

    def put_file(self, path: Path) -> str:
        """Keep the bytes of a file, streaming; the digest is that of the bytes that were stored."""
        try:
            with path.open("rb") as source:
                digest = digest_file(source)
                if self._holds(digest, source.tell()):
                    return digest
                source.seek(0)
                self._prepare()
                with writing(self.folder / "blob", self._unwritable) as (target, commit):
                    digest = copy(source, target)
                    commit(self._path(digest))
                return digest
        except OSError as error:
            raise file_unreadable(path, error) from None

    def resolve(self, reference: str) -> str | None:
        """Return the digest of the manifest that carries a name, or None."""
        for entry in self._entries():
            if _name(entry) == reference:
                digest = entry.get("digest")
                return digest if isinstance(digest, str) else None
        return None

    def references(self) -> dict[str, str]:
        """Return every name with the digest of its manifest."""
        named = ((_name(entry), entry["digest"]) for entry in self._entries())
        return {name: digest for name, digest in named if name}

    def tag(self, reference: str, digest: str) -> None:
        """Give a manifest of this store a name; the name leaves the manifest that had it before."""
        check_reference(reference)
        manifest = self.get(digest)
        descriptor = {
            "mediaType": _media_type(manifest),
            "digest": digest,
            "size": len(manifest),
            "annotations": {REFERENCE_KEY: reference},
        }
        self._prepare()
        with self._locked():
            entries = self._entries()
            kept = [entry for entry in entries if _name(entry) != reference]
            changed = sorted([*kept, descriptor], key=lambda entry: _name(entry) or "")
            if changed != entries:
                self._replace(self._index, _index_bytes(changed))

    def _path(self, digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise failure("bad-digest", f"{digest!r} is not a sha256 digest", exit=Exit.USAGE)
        return self._blobs / match.group(1)

    @contextmanager
    def _reading(self, digest: str) -> Iterator[BinaryIO]:
        path = self._path(digest)
        try:
            source = path.open("rb")
        except FileNotFoundError:
            raise failure(
                "not-in-store",
                f"{digest} is not in the store {self.folder}",
                exit=Exit.WORLD,
                hint="build the model again, or copy the store from the machine that built it",
            ) from None
        except OSError as error:
            raise self._unreadable(path, error) from None
        with source:
            yield source

    def _holds(self, digest: str, size: int) -> bool:
        """Return whether a blob is there and whole; a damaged one is written anew by the caller."""
        path = self._path(digest)
        try:
            if path.stat().st_size != size:
                return False
            with path.open("rb") as blob:
                return digest_file(blob) == digest
        except FileNotFoundError:
            return False
        except OSError as error:
            # A blob that cannot be read cannot be trusted; what cannot be replaced either is reported by the write.
            if isinstance(error, NotADirectoryError | PermissionError):
                return False
            raise self._unreadable(path, error) from None

    def _entries(self) -> list[dict[str, Any]]:
        try:
            index = json.loads(self._index.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._unreadable(self._index, error) from None
        except ValueError:
            index = None
        entries = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "digest" in entry for entry in entries):
            raise failure(
                "store-index-invalid",
                f"{self._index} is not an OCI image index",
                location=Location(str(self._index)),
                hint="restore index.json, or delete it and build again: the blobs are kept",
            )
        return entries

    def _prepare(self) -> None:
        """Create the layout's files where they are missing."""
        files.sweep(self.folder, "incoming")
        if self._marker.is_file() and self._index.is_file() and self._blobs.is_dir():
            return
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        with self._locked():
            if not self._index.exists():
                self._replace(self._index, _index_bytes([]))
            if not self._marker.exists():
                self._replace(self._marker, _LAYOUT)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, path: Path, data: bytes) -> None:
        with writing(path, self._unwritable) as (target, commit):
            target.write(data)
            commit(path)

    def _changed(self, digest: str) -> ModelOpsError:
        return failure(
            "digest-mismatch",
            f"the bytes stored as {digest} are not the bytes that digest names",
            location=Location(str(self._path(digest))),
            hint="someone or something changed this file: find out what, delete it, and build again",
        )

    def _unwritable(self, error: OSError) -> ModelOpsError:
        return failure(
            "store-unwritable",
            f"the store {self.folder} cannot be written: {error.strerror}",
            exit=Exit.WORLD,
            hint=files.advice(error, "then run the same command again"),
            retryable=True,
        )

    def _unreadable(self, path: Path, error: OSError) -> ModelOpsError:
        return failure("store-unreadable", f"{path} cannot be read: {error.strerror}", exit=Exit.WORLD, retryable=True)


def _name(entry: dict[str, Any]) -> str | None:
    """Return the reference name that an index entry carries."""
    annotations = entry.get("annotations")
    name = annotations.get(REFERENCE_KEY) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _index_bytes(entries: list[dict[str, Any]]) -> bytes:
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return json.dumps(index, indent=2).encode() + b"\n"


def _media_type(manifest: bytes) -> str:
    """Return the media type that a manifest claims; only JSON objects are manifests."""
    try:
        document = json.loads(manifest)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise failure("not-a-manifest", "only an OCI manifest can carry a name; these bytes are not a JSON object")
    media_type = document.get("mediaType", MANIFEST_TYPE)
    return media_type if isinstance(media_type, str) else MANIFEST_TYPE
