"""What every store on the shelf must do."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops import plugins
from modelops.conformance.stores import CHECKS, Ground
from modelops.errors import ModelOpsError
from modelops.stores import Address, check_reference, open_at, release_tag
from registry_world import BINARY, registry
from s3_world import bucket_server, make_bucket


@pytest.fixture(scope="module")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if BINARY is None:
        pytest.skip("no registry here: apt-get install docker-registry")
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def bucket_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bucket_server(tmp_path_factory.mktemp("s3")) as endpoint:
        make_bucket(endpoint, "models")
        yield endpoint


PARAMETERS: dict[str, Callable[[pytest.FixtureRequest], dict[str, object]]] = {
    "oci-registry": lambda request: {
        "registry": request.getfixturevalue("registry_host"),
        "repository": f"tests/{abs(hash(request.node.name))}",
    },
    "s3": lambda request: {
        "endpoint": request.getfixturevalue("bucket_endpoint"),
        "bucket": "models",
        "prefix": f"tests/{abs(hash(request.node.name))}",
    },
}
"""What opens an empty store of each kind where its defaults do not."""


@pytest.fixture(params=plugins.keys("stores"))
def key(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
def test_every_store_keeps(
    one: Callable[[Ground], None], key: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each check that is shipped for the authors of stores holds on each store of ours, in an empty place."""
    one(Ground(key, plugins.load("stores", key), PARAMETERS.get(key, lambda _: {})(request), tmp_path))


@pytest.mark.parametrize(
    "address",
    ["oci-layout:", "nowhere:/x", "oci-registry:models", "oci-registry://me:pw@h/r", "s3:models", "s3://me:pw@b"],
)
def test_what_is_no_address_is_refused_without_repeating_secrets(address: str) -> None:
    """An address that no store reads is a usage error."""
    with pytest.raises(ModelOpsError) as error:
        open_at(address, Path.cwd(), {})
    assert error.value.problems[0].code == "bad-store-address"
    assert error.value.exit == 2
    assert "pw" not in str(error.value)


def test_a_plain_path_is_an_image_layout(tmp_path: Path) -> None:
    """Servers that were started with a folder go on with it."""
    assert open_at(str(tmp_path / "a b"), Path.cwd(), {}).address == Address(
        f"oci-layout:{tmp_path}/a b", folder=tmp_path / "a b"
    )


SEGMENTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
CLOSE = st.text(alphabet="ab-/1", min_size=1, max_size=8).filter(
    lambda name: all(part and part.strip("-") == part for part in name.split("/"))
)


@given(one=NAMES | CLOSE, other=NAMES | CLOSE, n=st.integers(1, 999), m=st.integers(1, 999))
def test_no_two_releases_have_one_tag(one: str, other: str, n: int, m: int) -> None:
    """Equal tags mean the same model and number, and every tag is a name that all stores take."""
    tags = [check_reference(release_tag(name, number)) for name, number in ((one, n), (other, m))]
    assert (tags[0] == tags[1]) == ((one, n) == (other, m))
    assert set(tags[0]) <= set(string.ascii_letters + string.digits + "._-")
    assert not tags[0].startswith("build-") or len(tags[0]) != len("build-") + 64


@pytest.mark.parametrize(
    ("model", "number", "tag"),
    [
        ("fraud-detection", 3, "fraud-detection-3"),
        ("payments/fraud-detection", 3, "payments.fraud-detection-3"),
        ("payments--fraud-detection", 3, "payments--fraud-detection-3"),
        ("a-3", 4, "a-3-4"),
    ],
)
def test_tags_are_readable(model: str, number: int, tag: str) -> None:
    """A tag is the model's name and the number; a slash is a dot."""
    assert release_tag(model, number) == tag
