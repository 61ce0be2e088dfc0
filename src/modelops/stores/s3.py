"""A bucket of Amazon S3, or of anything that speaks its API: MinIO, Ceph, R2, Swift, Google's XML API.

Blobs are objects by digest, names are small objects that hold a digest. By boto3, the extra `modelops[s3]`: it finds
credentials where its users have them, signs, retries, and sends large files in parts.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict
from modelops.stores import Address, check_reference
from modelops.stores._addresses import parsed, spelled
from modelops.stores._files import destination_unwritable, file_unreadable, writing
from modelops.stores._manifests import manifest_type

__all__ = ["S3", "Params", "open", "parse"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_CHUNK = 1 << 20
_LARGE = 64 << 20
_TRIES = 5
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_GONE = "not-in-store"
_UNKNOWN = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401"})
_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name an AWS_PROFILE, or let the machine have a role"
_OPENING = threading.Lock()
"""boto3 makes clients one at a time only."""


class Params(Strict):
    """Which bucket, and where in it; all models share the place.

    Without ``endpoint`` it is Amazon's; one without TLS needs ``insecure``, unless it is on this machine's loopback.
    Credentials are found as boto3 finds them: variables, shared files and profiles, and the role of the machine.
    """

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$", max_length=512)] = ""
    endpoint: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+$")] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _with_tls(self) -> Params:
        parts = urlsplit(self.endpoint or "https://")
        if parts.scheme == "http" and not self.insecure and not is_loopback(parts.hostname or ""):
            raise ValueError("an endpoint without TLS needs insecure: true")
        return self


def open(params: Params, root: Path, environ: Mapping[str, str] = os.environ) -> S3:
    """Return the store in a bucket; nothing is asked before the first use."""
    return S3(params, environ)


def parse(text: str) -> Params:
    """Return the parameters for ``//bucket[/prefix]``, with the other ones as its query."""
    form = "s3://BUCKET[/PREFIX], and ?endpoint=URL&region=NAME if need be"
    return parsed(Params, text, lambda host, path: {"bucket": host, "prefix": path.strip("/")}, "a bucket", form)


class S3:
    """Blobs by digest and manifests by name below one prefix of a bucket."""

    def __init__(self, params: Params, environ: Mapping[str, str] = os.environ) -> None:
        self._params, self._environ = params, environ
        self._below = f"{params.prefix}/" if params.prefix else ""

    def __str__(self) -> str:
        return f"s3://{self._params.bucket}/{self._params.prefix}".rstrip("/")

    @property
    def address(self) -> Address:
        """Bucket, prefix and endpoint; never a credential."""
        parts = urlsplit(self._params.endpoint or "https://")
        port = parts.port or (80 if parts.scheme == "http" else 443)
        variables = tuple(name for name in _VARIABLES if self._environ.get(name))
        return Address(spelled(str(self), self._params, {"bucket", "prefix"}), ports=(port,), variables=variables)

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise failure(
                "extra-missing",
                "the store s3 needs boto3, which is not installed",
                exit=Exit.WORLD,
                hint="install modelops with its extra s3: modelops[s3]",
            ) from None
        settings = Config(
            retries={"mode": "standard", "max_attempts": _TRIES},
            connect_timeout=10,
            read_timeout=60,
            # Not every server knows the newer checksums; every read is verified here.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"payload_signing_enabled": True},
        )
        keys = [self._environ.get(name) or None for name in _VARIABLES]
        named = [self._params.region, *(self._environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))]
        with _OPENING, self._answered("the bucket"):
            session = boto3.session.Session(*keys, profile_name=self._environ.get("AWS_PROFILE") or None)
            region = next((one for one in named if one), session.region_name or "us-east-1")
            return session.client("s3", endpoint_url=self._params.endpoint, region_name=region, config=settings)

    def has(self, digest: str) -> bool:
        """Return whether a blob is there, without reading it."""
        return self._size(digest) is not None

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob after checking that they are the ones the digest names."""
        sink = io.BytesIO()
        self._download(digest, sink)
        return sink.getvalue()

    def fetch(self, digest: str, destination: Path) -> None:
        """Copy a blob to a file, verified while it streams; the file appears whole or not at all."""
        self._key(digest)
        with writing(destination, destination_unwritable) as (target, commit):
            self._download(digest, target)
            commit(destination)

    def put(self, data: bytes) -> str:
        """Send bytes that are not there yet and return their digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if self._size(digest) != len(data):
            with self._answered(digest):
                self._client.put_object(Bucket=self._params.bucket, Key=self._key(digest), Body=data)
        return digest

    def put_file(self, path: Path) -> str:
        """Send the bytes of a file, streaming, if they are not there yet; large ones in parts."""
        try:
            with path.open("rb") as source:
                digest = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
                size = source.tell()
                if self._size(digest) == size:
                    return digest
                source.seek(0)
                if size <= _LARGE:
                    return self.put(source.read())
                self._upload(source, digest, path)
                return digest
        except OSError as error:
            raise file_unreadable(path, error) from None

    def resolve(self, reference: str) -> str | None:
        """Return the digest of the manifest that a name stands for, or None."""
        try:
            check_reference(reference)
        except ModelOpsError:
            return None
        try:
            with self._answered(f"the name {reference}"):
                answer = self._client.get_object(Bucket=self._params.bucket, Key=self._name(reference))
                text = answer["Body"].read(100).decode("ascii", "replace")
        except ModelOpsError as error:
            if error.first.code != _GONE:
                raise
            return None
        return text if _DIGEST.fullmatch(text) else None

    def references(self) -> frozenset[str]:
        """Return every name below the prefix."""
        start = self._name("")
        with self._answered("the list of names"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._params.bucket, Prefix=start)
            return frozenset(entry["Key"].removeprefix(start) for page in pages for entry in page.get("Contents", ()))

    def tag(self, reference: str, digest: str) -> None:
        """Point a name at a manifest that is in the store; it leaves the manifest that had it before."""
        check_reference(reference)
        if manifest_type(self.get(digest)) is None:
            raise failure(
                "not-a-manifest", "only an OCI manifest can carry a name; these bytes do not say they are one"
            )
        if self.resolve(reference) != digest:
            with self._answered(f"the name {reference}"):
                self._client.put_object(
                    Bucket=self._params.bucket,
                    Key=self._name(reference),
                    Body=digest.encode(),
                    ContentType="text/plain",
                )

    def _key(self, digest: str) -> str:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise failure("bad-digest", f"{digest!r} is not a sha256 digest", exit=Exit.USAGE)
        return f"{self._below}blobs/sha256/{match.group(1)}"

    def _name(self, reference: str) -> str:
        return f"{self._below}names/{reference}"

    def _size(self, digest: str) -> int | None:
        key = self._key(digest)
        try:
            with self._answered(digest):
                answer = self._client.head_object(Bucket=self._params.bucket, Key=key)
                return int(answer["ContentLength"])
        except ModelOpsError as error:
            if error.first.code != _GONE:
                raise
            return None

    def _download(self, digest: str, sink: BinaryIO) -> None:
        """Read a blob; one that breaks off is continued where it was."""
        key, hasher, size = self._key(digest), hashlib.sha256(), 0
        for left in reversed(range(_TRIES)):
            before = size
            try:
                for chunk in self._read(key, digest, size):
                    sink.write(chunk)
                    hasher.update(chunk)
                    size += len(chunk)
                break
            except ModelOpsError as error:
                if not error.retryable or not left or size == before:
                    raise
        if f"sha256:{hasher.hexdigest()}" != digest:
            raise failure(
                "digest-mismatch",
                f"{self} answers {digest} with other bytes: sha256:{hasher.hexdigest()}",
                hint="its object was changed or damaged: delete it and push the artifact again",
            )

    def _read(self, key: str, digest: str, start: int) -> Iterator[bytes]:
        wanted = {"Range": f"bytes={start}-"} if start else {}
        with self._answered(digest):
            body = self._client.get_object(Bucket=self._params.bucket, Key=key, **wanted)["Body"]
        chunks = body.iter_chunks(_CHUNK)
        while True:
            with self._answered(digest):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def _upload(self, source: BinaryIO, digest: str, path: Path) -> None:
        reading = _Hashed(source)
        with self._answered(digest):
            self._client.upload_fileobj(reading, self._params.bucket, self._key(digest))
        if reading.digest != digest:
            with self._answered(digest):
                self._client.delete_object(Bucket=self._params.bucket, Key=self._key(digest))
            raise failure("file-changed", f"{path} changed while it was being sent")

    @contextmanager
    def _answered(self, what: str) -> Iterator[None]:
        """Give the errors of boto3 the words and codes that all stores have; none repeats what was sent."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

        try:
            yield
        except ClientError as error:
            raise self._refusal(error.response, what) from None
        except (NoCredentialsError, ProfileNotFound):
            raise failure(
                "bucket-unauthorized", f"{self} wants credentials and none were found", exit=Exit.WORLD, hint=_HINT
            ) from None
        except BotoCoreError as error:
            said = f"{self} cannot be used now: {type(error).__name__}"
            raise failure("bucket-unreachable", said, exit=Exit.WORLD, retryable=True) from None

    def _refusal(self, answer: Mapping[str, Any], what: str) -> ModelOpsError:
        code = str(answer.get("Error", {}).get("Code", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        shown = code if re.fullmatch(r"[A-Za-z0-9]{1,60}", code) else str(status)
        if code in _ABSENT:
            hint = "build the model again, or push it from a machine that has it"
            return failure(_GONE, f"{what} is not in the store {self}", exit=Exit.WORLD, hint=hint)
        if code in _UNKNOWN:
            said = f"{self} does not accept the credentials: {shown}"
            return failure("bucket-unauthorized", said, exit=Exit.WORLD, hint=_HINT)
        if status == 403:
            hint = "the credentials are known but may not do this: reading needs s3:GetObject and s3:ListBucket"
            return failure("bucket-forbidden", f"{self} forbids {what}: {shown}", exit=Exit.WORLD, hint=hint)
        if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout"):
            said = f"{self} cannot be used now: it answered {status} {shown}"
            return failure("bucket-unreachable", said, exit=Exit.WORLD, retryable=True)
        made = "create the bucket first, or name the right region" if code == "NoSuchBucket" else None
        return failure("bucket-refused", f"{self} refuses {what}: {status} {shown}", exit=Exit.WORLD, hint=made)


class _Hashed:
    """A stream that is read once, from its start to its end, and hashed meanwhile."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._hasher = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        self._hasher.update(data)
        return data

    @property
    def digest(self) -> str:
        """The digest of what was read."""
        return f"sha256:{self._hasher.hexdigest()}"
