"""What a bucket store does in a world that fails: a real server of the S3 API, and a proxy that misbehaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from modelops.errors import ModelOpsError
from modelops.stores import open_at
from modelops.stores.s3 import S3, Params
from registry_world import Proxy, digest_of, free_port, proxy
from s3_world import CREDENTIALS, bucket_server, make_bucket

BLOB = b"layer" * 600_000


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bucket_server(tmp_path_factory.mktemp("s3")) as found:
        make_bucket(found, "models")
        yield found


@pytest.fixture
def before(endpoint: str) -> Iterator[Proxy]:
    with proxy(endpoint.removeprefix("http://")) as found:
        yield found


def store(endpoint: str, **more: object) -> S3:
    return S3(Params(endpoint=endpoint, bucket="models", **more), CREDENTIALS)


def test_a_download_that_breaks_off_goes_on_where_it_was(before: Proxy, endpoint: str, tmp_path: Path) -> None:
    """The second request asks for the rest, and the whole is verified."""
    digest = store(endpoint).put(BLOB)
    before.fault = lambda method, path, number: "cut" if method == "GET" and number == 0 else None
    store(f"http://{before.host}").fetch(digest, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BLOB
    asked = [headers.get("Range") for method, _, headers in before.seen if method == "GET"]
    assert asked == [None, f"bytes={len(BLOB) // 2}-"]


def test_other_bytes_are_never_taken(before: Proxy, endpoint: str, tmp_path: Path) -> None:
    """A changed object raises digest-mismatch and leaves no file."""
    digest = store(endpoint).put(BLOB[:-1])
    before.fault = lambda method, path, number: "flip" if method == "GET" else None
    with pytest.raises(ModelOpsError) as error:
        store(f"http://{before.host}").fetch(digest, tmp_path / "blob")
    assert error.value.first.code == "digest-mismatch"
    assert not list(tmp_path.iterdir())


def test_a_refusal_that_passes_is_tried_again(before: Proxy) -> None:
    """A server that is busy for a moment is no error."""
    before.fault = lambda method, path, number: "503" if number == 0 else None
    busy = store(f"http://{before.host}")
    assert busy.get(busy.put(b"after a while")) == b"after a while"


@pytest.mark.slow
def test_large_files_go_in_parts(endpoint: str, tmp_path: Path) -> None:
    """A file above the limit of one request arrives whole and verified; it is not sent twice."""
    file = tmp_path / "large"
    with file.open("wb") as writing:
        writing.truncate(70 << 20)
    digest = store(endpoint).put_file(file)
    assert store(endpoint).has(digest)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    found = client.head_object(Bucket="models", Key=f"blobs/sha256/{digest.removeprefix('sha256:')}")
    assert found["ContentLength"] == 70 << 20
    assert found["ETag"].strip('"').endswith("-9")
    written = found["LastModified"]
    store(endpoint).put_file(file)
    assert client.head_object(Bucket="models", Key=f"blobs/sha256/{digest[7:]}")["LastModified"] == written


@pytest.mark.parametrize(
    ("more", "code", "retryable"),
    [({"bucket": "no-such-bucket"}, "bucket-refused", False), ({"endpoint": "nobody"}, "bucket-unreachable", True)],
)
def test_what_is_wrong_is_said_without_secrets(endpoint: str, more: dict[str, str], code: str, retryable: bool) -> None:
    """A bucket that is not there, or a server that is not, is told by code and with what to do."""
    given = {"endpoint": endpoint, "bucket": "models"} | more
    if given["endpoint"] == "nobody":
        given["endpoint"] = f"http://127.0.0.1:{free_port()}"
    lost = S3(Params(**given), CREDENTIALS)
    with pytest.raises(ModelOpsError) as error:
        lost.put(b"x")
    assert (error.value.first.code, error.value.retryable) == (code, retryable)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


def test_without_boto3_the_extra_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the extra is told which one to install."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ModelOpsError, match=r"modelops\[s3\]"):
        store(endpoint).has(digest_of(b""))


@pytest.mark.parametrize("url", ["http://minio.example.com", "https://u:p@host", "ftp://host", "https://host/path"])
def test_an_endpoint_is_a_host_with_tls(url: str) -> None:
    """An endpoint without TLS, with a secret or with a path is refused, by its address as well."""
    with pytest.raises(ModelOpsError) as error:
        open_at(f"s3://models?endpoint={url}", Path.cwd(), {})
    assert error.value.first.code == "bad-store-address"
    assert "u:p" not in str(error.value)
