"""A repository of an OCI registry: what GitHub, GitLab and the clouds offer, and what clusters pull from.

Speaks the OCI distribution protocol 1.1. Blobs and manifests have paths of their own there; what is put is a manifest
when it says so and the registry knows its parts. What is there already is not sent again, and a download goes on where
it broke off.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, Field, model_validator

from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict
from modelops.stores import Address, check_reference
from modelops.stores._addresses import parsed, spelled
from modelops.stores._files import destination_unwritable, file_unreadable, writing
from modelops.stores._manifests import MANIFEST_TYPES, MAXIMUM_MANIFEST, manifest_type
from modelops.stores._session import Session, bounded, codes_of, json_object

__all__ = ["OciRegistry", "Params", "open", "parse"]

_ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, "application/vnd.docker.distribution.manifest.v2+json"))}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARTS_UNKNOWN = frozenset({"MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "BLOB_UNKNOWN"})
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_CHUNK = 1 << 20
_MAXIMUM_IN_MEMORY = 4 << 30


def _with_a_port(registry: str) -> str:
    port = re.search(r":([0-9]+)$", registry)
    if port is not None and not 1 <= int(port[1]) <= 65535:
        raise ValueError(f"there is no port {port[1]}: ports are 1 to 65535")
    return registry


class Params(Strict):
    """Which repository of which registry; all models share it, told apart by their tags.

    The two variables go together; without them, or where they are not set, docker's config.json is read. A registry
    without TLS needs ``insecure``, unless it is on this machine's loopback.
    """

    registry: Annotated[
        str,
        Field(
            pattern=r"^([A-Za-z0-9]+([.-]+[A-Za-z0-9]+)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$",
            description="host of the registry without https://, with its port where it is not that of HTTPS",
        ),
        AfterValidator(_with_a_port),
    ]
    repository: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$",
            max_length=255,
            description="repository that holds the artifacts of all models, in lower case and without a tag",
        ),
    ]
    username_variable: _Variable | None = None
    password_variable: _Variable | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _both_or_neither(self) -> Params:
        if (self.username_variable is None) != (self.password_variable is None):
            raise ValueError("usernameVariable and passwordVariable go together")
        return self

    @property
    def plain(self) -> bool:
        """Whether the registry is spoken to without TLS."""
        return self.insecure or is_loopback(urlsplit(f"//{self.registry}").hostname or "")


def open(params: Params, root: Path, environ: Mapping[str, str] = os.environ) -> OciRegistry:
    """Return the store of a repository of a registry; nothing is asked before the first use."""
    return OciRegistry(params, environ)


def parse(text: str) -> Params:
    """Return the parameters for ``//host[:port]/repository``, with the other ones as its query."""
    form = "oci-registry://HOST[:PORT]/REPOSITORY, and ?usernameVariable=NAME&passwordVariable=NAME if need be"
    what = "a registry's repository"
    return parsed(Params, text, lambda host, path: {"registry": host, "repository": path[1:]}, what, form)


class OciRegistry:
    """Blobs by digest and manifests by tag in one repository of a registry."""

    def __init__(
        self,
        params: Params,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        named = (params.username_variable, params.password_variable)
        self._params = params
        self._variables = tuple(name for name in named if name is not None)
        self._session = Session(
            params.registry, params.repository, self._variables, environ, sleep, clock, plain=params.plain
        )
        self._kinds: dict[str, str] = {}

    def __str__(self) -> str:
        return str(self._session)

    @property
    def address(self) -> Address:
        """Registry, repository and the names of variables; never what is in them."""
        own = urlsplit(self._session.base).port or (80 if self._params.plain else 443)
        # Tokens and redirected downloads come from other hosts, by HTTPS.
        ports = (own,) if self._params.plain else tuple(sorted({own, 443}))
        text = spelled(str(self), self._params, {"registry", "repository"})
        return Address(text, ports=ports, variables=self._variables)

    def has(self, digest: str) -> bool:
        """Return whether a blob or a manifest is there, without reading it."""
        _check_digest(digest)
        return any(self._exists(kind, digest) for kind in self._order(digest))

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob or manifest after checking that they are the ones the digest names."""
        sink = io.BytesIO()
        self._download(digest, sink, _MAXIMUM_IN_MEMORY)
        return sink.getvalue()

    def fetch(self, digest: str, destination: Path) -> None:
        """Copy a blob to a file, verified while it streams; the file appears whole or not at all."""
        _check_digest(digest)
        with writing(destination, destination_unwritable) as (target, commit):
            self._download(digest, target, None)
            commit(destination)

    def put(self, data: bytes) -> str:
        """Push bytes that are not there yet and return their digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        media_type = manifest_type(data)
        if media_type is not None and self._put_manifest(digest, data, media_type):
            self._kinds[digest] = "manifests"
        else:
            self._upload(digest, len(data), io.BytesIO(data))
        return digest

    def put_file(self, path: Path) -> str:
        """Push the bytes of a file, streaming, if they are not there yet."""
        try:
            with path.open("rb") as source:
                digest = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
                size = source.seek(0, os.SEEK_END)
                if size > MAXIMUM_MANIFEST:
                    self._upload(digest, size, source)
                    return digest
                source.seek(0)
                return self.put(source.read())
        except OSError as error:
            raise file_unreadable(path, error) from None

    def resolve(self, reference: str) -> str | None:
        """Return the digest of the manifest that a tag names, or None."""
        try:
            check_reference(reference)
        except ModelOpsError:
            return None

        def attempt() -> str | None:
            with self._session.exchange("GET", f"{self._session.base}/manifests/{reference}", _ACCEPT) as answer:
                if answer.status == 404:
                    return None
                self._session.expect(answer, f"tag {reference}", 200)
                return "sha256:" + hashlib.sha256(bounded(answer, MAXIMUM_MANIFEST, reference)).hexdigest()

        return self._session.patiently(attempt)

    def references(self) -> frozenset[str]:
        """Return every tag of the repository; one that is not there yet has none."""
        found: set[str] = set()
        url: str | None = f"{self._session.base}/tags/list?n=1000"
        while url is not None:
            names, url = self._session.patiently(partial(self._tags, url))
            if found.issuperset(names):
                break  # a registry that never ends its list
            found.update(names)
        return frozenset(found)

    def tag(self, reference: str, digest: str) -> None:
        """Give a manifest of this repository a tag; the tag leaves the manifest that had it before."""
        check_reference(reference)
        manifest = self.get(digest)
        media_type = manifest_type(manifest)
        if media_type is None:
            raise failure(
                "not-a-manifest", "only an OCI manifest can carry a name; these bytes do not say they are one"
            )
        if self.resolve(reference) != digest:
            self._push_manifest(reference, manifest, media_type)

    def _order(self, digest: str) -> tuple[str, str]:
        """Return the two paths that a digest may be found at, the likelier one first.

        Blobs unless it is known: there are registries that fail where a blob is asked for as a manifest.
        """
        return ("manifests", "blobs") if self._kinds.get(digest) == "manifests" else ("blobs", "manifests")

    def _exists(self, kind: str, digest: str) -> bool:
        return self._session.patiently(partial(self._asked, kind, digest))

    def _asked(self, kind: str, digest: str) -> bool:
        with self._session.exchange("HEAD", f"{self._session.base}/{kind}/{digest}", _ACCEPT) as answer:
            if answer.status == 404:
                return False
            self._session.expect(answer, digest, 200)
        self._kinds[digest] = kind
        return True

    def _download(self, digest: str, sink: BinaryIO, limit: int | None) -> None:
        _check_digest(digest)
        for kind in self._order(digest):
            download = _Download(sink, MAXIMUM_MANIFEST if kind == "manifests" else limit)
            url = f"{self._session.base}/{kind}/{digest}"
            if self._session.patiently(partial(self._continue, url, digest, download)):
                if download.digest != digest:
                    raise failure(
                        "digest-mismatch",
                        f"{self} answers {digest} with other bytes: {download.digest}",
                        hint="its storage is damaged, or something between changed them: push the artifact again",
                    )
                self._kinds[digest] = kind
                return
        raise self._absent(digest)

    def _continue(self, url: str, digest: str, download: _Download) -> bool:
        """Read what is missing of a blob; False when it is not there."""
        wanted = {"Range": f"bytes={download.size}-"} if download.size else {}
        with self._session.exchange("GET", url, {**_ACCEPT, **wanted}) as answer:
            if answer.status == 404:
                return False
            resumed = wanted and (answer.headers.get("Content-Range") or "").startswith(f"bytes {download.size}-")
            if answer.status == 416:
                download.restart()
                raise self._session.unreachable(f"{digest} cannot be continued")
            self._session.expect(answer, digest, 200, 206 if resumed else 200)
            if answer.status == 200:
                download.restart()
            announced = answer.headers.get("Content-Length") or ""
            end = download.size + int(announced) if announced.isdecimal() else None
            while chunk := self._session.read(answer, _CHUNK):
                download.add(chunk, digest)
            if end is not None and download.size < end:
                raise self._session.unreachable(f"{digest} broke off after {download.size:,} bytes")
        return True

    def _upload(self, digest: str, size: int, source: BinaryIO) -> None:
        def attempt() -> None:
            begin = f"{self._session.base}/blobs/uploads/"
            with self._session.exchange("POST", begin, {}, b"") as answer:
                self._session.expect(answer, digest, 202)
                location = self._session.target(begin, answer.headers.get("Location"))
            target = location + ("&" if "?" in location else "?") + urlencode({"digest": digest})
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            with self._session.exchange("PUT", target, headers, source) as answer:
                self._session.expect(answer, digest, 201)

        if not self._exists("blobs", digest):
            self._session.patiently(attempt)

    def _put_manifest(self, digest: str, data: bytes, media_type: str) -> bool:
        """Push a manifest by digest; False when the registry does not know its parts, so that it is only bytes."""
        if self._exists("manifests", digest):
            return True
        return self._push_manifest(digest, data, media_type)

    def _push_manifest(self, reference: str, data: bytes, media_type: str) -> bool:
        def attempt() -> bool:
            headers = {"Content-Type": media_type}
            with self._session.exchange("PUT", f"{self._session.base}/manifests/{reference}", headers, data) as answer:
                if answer.status in (400, 404) and (codes := codes_of(answer)):
                    if codes <= _PARTS_UNKNOWN and _DIGEST.fullmatch(reference):
                        return False
                    raise self._session.refused(answer, reference, codes)
                self._session.expect(answer, reference, 201)
                return True

        return self._session.patiently(attempt)

    def _tags(self, url: str) -> tuple[list[str], str | None]:
        with self._session.exchange("GET", url, {}) as answer:
            if answer.status == 404:
                return [], None
            self._session.expect(answer, "the list of tags", 200)
            listed = json_object(bounded(answer, MAXIMUM_MANIFEST, "the list of tags")).get("tags")
            following = re.match(r'<([^>]+)>;\s*rel="?next', answer.headers.get("Link") or "")
        names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        return names, self._session.target(url, following.group(1)) if following else None

    def _absent(self, digest: str) -> ModelOpsError:
        return failure(
            "not-in-store",
            f"{digest} is not in the store {self}",
            exit=Exit.WORLD,
            hint="build the model again, or push it from a machine that has it",
        )


class _Download:
    """What has come of a blob so far, with its digest."""

    def __init__(self, sink: BinaryIO, limit: int | None) -> None:
        self._sink, self._limit = sink, limit
        self.restart()

    def restart(self) -> None:
        """Forget what has come."""
        self._sink.seek(0)
        self._sink.truncate()
        self._hasher, self.size = hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """The digest of what has come."""
        return "sha256:" + self._hasher.hexdigest()

    def add(self, chunk: bytes, what: str) -> None:
        """Take in what has come next."""
        if self._limit is not None and self.size + len(chunk) > self._limit:
            raise failure("registry-refused", f"{what} is larger than {self._limit:,} bytes", exit=Exit.WORLD)
        self._sink.write(chunk)
        self._hasher.update(chunk)
        self.size += len(chunk)


def _check_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise failure("bad-digest", f"{digest!r} is not a sha256 digest", exit=Exit.USAGE)
