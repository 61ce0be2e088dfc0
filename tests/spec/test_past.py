"""The past is read leniently: whatever bytes a file once held, they block nothing and prove nothing."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from modelops.errors import ModelOpsError
from modelops.governance.history import arms_of
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.load import load_resource
from modelops.spec.past import arms_then
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.text import SIZE_LIMIT

PATH = "models/m/environments/production.yaml"
NUMBERS = st.one_of(st.none(), st.integers(1, 2**62))
BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(20)
)

TEXTS = st.text("a3: -#'\"\n\x00ü", max_size=5)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), TEXTS, st.dates())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=6)
KEYS = st.sampled_from(["stable", "candidate", "challengers", "paused", "spec", "other"])


@given(NUMBERS, NUMBERS, st.lists(st.integers(1, 99), max_size=6, unique=True), st.booleans())
def test_what_is_valid_reads_as_the_strict_reader_reads_it(
    stable: int | None, candidate: int | None, challengers: list[int], paused: bool
) -> None:
    """For every valid deployment the arms are those of today's schema, in the same order."""
    spec = DeploymentSpec(stable=stable, candidate=candidate, challengers=tuple(challengers), paused=paused)
    data = dump("Deployment", "production", spec, path=PATH)
    found = arms_then(data)
    assert found is not None
    assert list(found.items()) == list(arms_of(load_resource(data, PATH).spec).items())


@pytest.mark.parametrize(
    ("text", "arms"),
    [
        ("spec:\n  stable: 3 # since May\n  candidate: 4\n", {"stable": 3, "candidate": 4}),
        ("spec: {stable: &n 3, challengers: [*n, 2]}", {"stable": 3, "challenger-2": 2, "challenger-3": 3}),
        ("kind: Renamed\nmetadata: [1]\nspec:\n  stable: 3\n  future: {a: b}\n", {"stable": 3}),
        ("spec: {}", {}),
        ("spec:\n  stable: ~\n  candidate:\n", {}),
    ],
)
def test_what_says_which_releases_ran_is_a_claim(text: str, arms: dict[str, int]) -> None:
    """Unknown keys, another kind, comments and anchors do not hide which releases were named."""
    assert arms_then(text.encode()) == arms


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "\x00", "spec:", "spec: 3", "- spec", "spec: &s [*s]", "spec: {stable", "spec: {stable: !odd 3}"),
        *("spec: {stable: '3'}", "spec: {stable: true}", "spec: {stable: 3.0}", "spec: {stable: 1e99}"),
        *("spec: {stable: 0}", "spec: {stable: -1}", "spec: {stable: [3]}", "spec: {challengers: 3}"),
        *("spec: {challengers: [x]}", "spec: {challengers: '12'}", "spec: {challengers: [[1]]}"),
        *("spec: {challengers: [null]}", "spec: {stable: 1}\nspec: {stable: 2}", "spec: {stable: 1, stable: 1}"),
        *("spec: {stable: 1}\n---\nspec: {stable: 2}", "<<: {spec: {stable: 1}}"),
    ],
)
def test_what_cannot_be_told_claims_nothing(text: str) -> None:
    """What holds no number of a release where one belongs, or says it twice, is None as a whole."""
    assert arms_then(text.encode()) is None


@given(st.binary(max_size=300))
@example(b":")
@example(b"spec:\n  :\n")
@example(BOMB)
@example(b"spec: {stable: " + b"[" * 10_000)
@example(b"spec: " + b"{a: " * 10_000)
@example(b"spec:\n  stable: " + b"9" * 100_000)
@example("spec: {stable: 3}".encode("utf-16"))
@example(b'spec: {stable: "\\ud800"}')
def test_no_bytes_are_too_much(data: bytes) -> None:
    """Whatever a file held, reading it ends, and gives arms that are releases, or nothing."""
    found = arms_then(data)
    assert found is None or all(isinstance(number, int) and number > 0 for number in found.values())


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([True, False]))
def test_what_looks_like_yaml_never_raises_and_never_says_more_than_the_strict_reader(
    spec: dict[str, object], flow: bool
) -> None:
    """Near-YAML never raises; where today's schema accepts it, both readers agree."""
    document = {"apiVersion": "modelops/v1", "kind": "Deployment", "metadata": {"name": "production"}, "spec": spec}
    data = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True).encode("utf-8", "surrogatepass")
    found = arms_then(data)
    try:
        strict = arms_of(load_resource(data, PATH).spec)
    except ModelOpsError:
        return
    assert found == strict


def test_the_time_of_reading_is_bounded() -> None:
    """Aliases that would expand to more than there are atoms, and a file over the limit, cost next to nothing."""
    before = time.process_time()
    assert arms_then(BOMB + b"spec: {stable: *t}\n") is None
    assert arms_then(b"spec: {stable: 3}\n" + b"#" * SIZE_LIMIT) is None
    assert time.process_time() - before < 1
