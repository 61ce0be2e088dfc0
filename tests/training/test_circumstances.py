"""What a build says about the machine that made it, and how its packages compare with the lock."""

from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelops.artifacts import BuildRecord
from modelops.evidence import GITHUB_BUILDER, LOCAL_BUILDER, making_of, provenance
from modelops.locks import compare_lock, installed_packages
from modelops.training import differing_inputs
from modelops.training.circumstances import circumstances
from modelops.training.request import machine_inputs
from threats.test_19_sha1 import of_release
from training.building_blocks import Workshop, changed, people, snapshot

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
ACTIONS = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/models",
    "GITHUB_WORKFLOW_REF": "acme/models/.github/workflows/release.yml@refs/heads/main",
    "GITHUB_RUN_ID": "123",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_TOKEN": "ghs_secret",
    "MODELOPS_SIGNING_KEY": "-----BEGIN PRIVATE KEY-----",
}

Built = tuple[Workshop, BuildRecord]


def made(workshop: Workshop, environment: dict[str, str]) -> Any:
    return circumstances(
        workshop.request(),
        "sha256:" + "1" * 64,
        started=START,
        finished=START + timedelta(seconds=90),
        threads=[{"user_api": "blas", "num_threads": 1}],
        environment=environment,
    )


def test_a_local_build_names_python_platform_processor_and_packages(built: Built) -> None:
    """Everything that an auditor asks of a run is there, and comes back out of the SLSA predicate as it went in."""
    making = made(built[0], {"GITHUB_RUN_ID": "not in a run"})
    assert making.builder == LOCAL_BUILDER
    assert (making.started, making.finished) == ("2026-05-01T10:00:00Z", "2026-05-01T10:01:30Z")
    found = making.environment
    assert found["python"]["version"] == platform.python_version()
    assert found["platform"]["machine"] == platform.machine()
    assert set(found["processor"]) >= {"model", "count"}
    assert found["threads"]["declared"] == 1
    assert "github" not in found
    assert making.packages["scikit-learn"]
    predicate = provenance(
        model="churn",
        path="models/churn/model.yaml",
        tree="0" * 40,
        data_root="sha256:" + "2" * 64,
        environment_lock="sha256:" + "3" * 64,
        spec="sha256:" + "4" * 64,
        build="sha256:" + "5" * 64,
        inputs="sha256:" + "1" * 64,
        parameters={},
        seeds={},
        making=making,
    )
    assert making_of(predicate) == making
    uris = [one.get("uri") for one in predicate["buildDefinition"]["resolvedDependencies"]]
    assert f"pkg:pypi/scikit-learn@{making.packages['scikit-learn']}" in uris


def test_a_run_of_actions_names_itself_and_no_secret(built: Built) -> None:
    """Workflow, run and attempt are there; nothing else of the environment is."""
    making = made(built[0], ACTIONS)
    assert making.builder == GITHUB_BUILDER
    assert making.invocation == "https://github.com/acme/models/actions/runs/123/attempts/2"
    assert making.environment["github"]["workflow"].endswith("release.yml@refs/heads/main")
    assert "secret" not in repr(making)
    assert "PRIVATE" not in repr(making)


def test_threads_of_the_arithmetic_are_recorded_without_places(built: Built) -> None:
    """The process of the build says which libraries it computed with and on how many threads."""
    workshop, _ = built
    pools = workshop.made(workshop.request()).making.environment["threads"]["pools"]
    assert pools
    assert all(pool["num_threads"] == 1 and "filepath" not in pool for pool in pools)


@pytest.mark.parametrize(
    ("line", "other", "absent"),
    [
        (b"numpy==2.1.0\n", (), ()),
        (b"NumPy==2.1\n", (), ()),
        (b"numpy==2.0.0\n", (("numpy", "2.0.0", "2.1.0"),), ()),
        (b"numpy==2.10\n", (("numpy", "2.10", "2.1.0"),), ()),
        (b"torch==2.4.0\n", (), ()),
        (b"torch==2.4.0+cu12\n", (("torch", "2.4.0+cu12", "2.4.0+cpu"),), ()),
        (b"scikit_learn == 1.6.1  # pinned\n", (("scikit-learn", "1.6.1", "1.7.0"),), ()),
        (b"xgboost==3.0.0 ; python_version > '3.8'\n", (), ("xgboost",)),
        (b"numpy>=2\n# numpy==1.0\n-r other.txt\n\n", (), ()),
        (b"", (), ()),
        (b"\xff\xfe\n", (), ()),
    ],
)
def test_a_lock_is_compared_with_what_is_installed(line: bytes, other: Any, absent: Any) -> None:
    """Another version is told apart from what is not installed, and spellings of one version are one."""
    found = compare_lock(line, {"numpy": "2.1.0", "torch": "2.4.0+cpu", "scikit-learn": "1.7.0"})
    assert (found.other, found.absent) == (other, absent)


def test_hashes_of_a_lock_are_counted() -> None:
    """Pins over several lines, as resolvers write them."""
    lock = b"numpy==2.1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nscipy==1.14.0\n"
    found = compare_lock(lock, {"numpy": "2.1.0", "scipy": "1.14.0", "pip": "25.0"})
    assert (found.pins, found.hashed, found.unpinned) == (2, 1, ("pip",))


def test_what_is_installed_here_is_what_a_lock_of_it_says() -> None:
    """The names and versions of this environment, written as a lock, differ from it in nothing."""
    packages = installed_packages()
    lock = "".join(f"{name}=={version}\n" for name, version in packages.items()).encode()
    found = compare_lock(lock, packages)
    assert (found.other, found.absent, found.unpinned) == ((), (), ())


def test_inputs_that_differ_are_named(built: Built) -> None:
    """Another Python, library, lock, spec, data: each by its name, and with both versions where there are two."""
    workshop, record = built
    making, release = made(workshop, {}), of_release(record)
    assert differing_inputs(release, making, workshop.request()) == ()
    before = machine_inputs() | {"python": "cpython 3.9", "exporter": "0"}
    before["libraries"] = before["libraries"] | {"scikit-learn": "1.0.2"}
    old = {**making.environment, "inputs": before}
    older = making.__class__(**{name: getattr(making, name) for name in making.__slots__} | {"environment": old})
    then = release.model_copy(update={"inputs": "sha256:" + "9" * 64})
    said = differing_inputs(then, older, workshop.request())
    assert said[0] == f"Python {platform.python_version().rpartition('.')[0]} instead of 3.9"
    assert said[1].endswith("instead of 1.0.2")
    assert said[2].startswith("exporter ")
    assert differing_inputs(then, None, workshop.request()) == ("Python, a library or the processor's architecture",)
    assert differing_inputs(release, making, changed(workshop.request(), lock=b"numpy==1\n")) == ("the lock",)
    assert differing_inputs(release, making, workshop.request(training__seed=9)) == ("the spec",)
    other = changed(workshop.request(), snapshot=snapshot(people(seed=9)))
    assert differing_inputs(release, making, other) == ("the data",)
