"""Folders that are known to be right are not examined again, and the graph is the same as if they were."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from cProfile import Profile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_world import ADA, NOON, lonely
from git_world import commit as commit_all
from modelops.errors import ModelOpsError
from modelops.project.specs import Specs
from modelops.repository import Repository
from modelops.spec.graph import Graph
from modelops.spec.load import load_resource
from spec_world import NAME, world

Files = dict[str, bytes | None]
MODELS = ("model-0000", "model-0001", "model-0002")
RULE = """apiVersion: modelops/v1
kind: Rule
metadata:
  name: {name}
spec:
  match: {{kind: {kind}{more}}}
  severity: {severity}
  expression: {expression}
  message: It is so.
"""


def rule(name: str, kind: str, expression: str, severity: str = "error", more: str = "") -> Files:
    text = RULE.format(name=name, kind=kind, expression=expression, severity=severity, more=more)
    return {f"policies/rules/{name}.yaml": text.encode()}


def edits() -> Iterator[Callable[[Mapping[str, bytes]], Files]]:
    """Yield what people may do to a repository, right or wrong."""

    def replacing(path: str, old: bytes, new: bytes) -> Callable[[Mapping[str, bytes]], Files]:
        return lambda files: {path: files[path].replace(old, new)} if path in files else {}

    def placing(files: Files) -> Callable[[Mapping[str, bytes]], Files]:
        return lambda _: files

    fresh = world(3)
    for name in MODELS:
        spec, staging = f"models/{name}/model.yaml", f"models/{name}/environments/staging.yaml"
        yield replacing(spec, b"owner:", b"ower:")
        yield replacing(spec, b"risk: limited", b"risk: high")
        yield replacing(spec, b"[standard]", b"[none-such]")
        yield replacing(spec, b"owner: payments-risk", b"owner: nobody")
        yield replacing(f"models/{name}/rollout.yaml", b"minRequests: 200", b"minRequests: 0")
        yield replacing(f"models/{name}/monitor.yaml", b"windowDays: 30.0", b"windowDays: 31.0")
        yield placing({staging: b"spec: ["})
        yield placing({staging: fresh[staging].replace(b"denied: []", b"stable: 4\n  denied: []")})
        yield placing({spec: None})
        yield placing({path: data for path, data in fresh.items() if path.startswith(f"models/{name}/")})
    yield placing({path: data for path, data in fresh.items() if path.startswith("policies/")})
    yield replacing("policies/gates/standard.yaml", b"minimum: 0.85", b"minimun: 0.85")
    yield replacing("policies/environments/staging.yaml", b"order: 1", b"order: 2")
    yield placing({"policies/environments/staging.yaml": None})
    yield placing(rule("limited", "Model", 'resource.spec.risk == "limited"'))
    yield placing(rule("warned", "Monitor", "resource.spec.windowDays == 30.0", "warning"))
    yield placing(rule("cannot", "Deployment", "resource.spec.stable > 3"))
    yield placing(rule("high", "Model", "true", "error", ", risk: [high]"))
    yield placing({f"policies/rules/{name}.yaml": None for name in ("limited", "warned", "cannot", "high")})


EDITS = list(edits())


def told(specs: Specs, commit: str) -> Any:
    """Return everything that a graph says, or what is wrong with it."""
    try:
        graph = specs.graph(commit)
    except ModelOpsError as error:
        return sorted(map(str, error.problems))
    return all_of(graph)


def all_of(graph: Graph) -> Any:
    entries = {
        name: (entry.model, entry.rollout, entry.monitor, *map(dict, (entry.snapshots, entry.deployments)))
        for name, entry in graph.models.items()
    }
    numbered = {name: ([*entry.releases], [*entry.promotions]) for name, entry in graph.models.items()}
    others = (graph.policies, graph.access, graph.environments, graph.rules, graph.gate_policies)
    wrong = (list(graph.stalled.items()), graph.refused, sorted(map(str, graph.warnings)), graph.stalled_models)
    return [*entries], _plain(entries), numbered, _plain(others), wrong


def _plain(value: Any) -> Any:
    """Return resources as what they hold: their marks are worked out when they are asked for."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return (value.path, value.digest, value.metadata, value.spec) if hasattr(value, "digest") else value


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(range(len(EDITS))), min_size=2, max_size=6))
def test_what_is_remembered_changes_nothing(chosen: list[int]) -> None:
    """After any edits the graph is that of a full examination: models, resources, what is stalled and warned of.

    The memory is that of all commits before.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = lonely(folder / "clone")
        files = world(3)
        commit = repository.commit_files(repository.head(), {**files, "models/a/model.yaml": None}, "Fill\n", ADA, NOON)
        for number in [*chosen, None]:
            remembered = told(Specs(repository, folder / "memory"), commit)
            assert remembered == told(Specs(repository, folder / f"none-{commit}"), commit)
            change = EDITS[number](files) if number is not None else {}
            files = {path: data for path, data in {**files, **change}.items() if data is not None}
            commit = repository.commit_files(commit, change, "Edit\n", ADA, NOON) if change else commit
        repository.close()


def examined(specs: Specs, commit: str) -> int:
    """Return how many files are parsed to get a commit's graph."""
    profile = Profile()
    profile.runcall(specs.graph, commit)
    code = load_resource.__code__
    return sum(entry.callcount for entry in profile.getstats() if entry.code is code)  # type: ignore[attr-defined]


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Repository, str, Path]:
    """Return a repository with three models, its commit, and a place for the memory."""
    repository = lonely(tmp_path / "clone")
    files = {**world(3), "models/a/model.yaml": None}
    return repository, repository.commit_files(repository.head(), files, "Fill\n", ADA, NOON), tmp_path / "memory"


def test_only_policies_and_what_is_new_are_read(filled: tuple[Repository, str, Path]) -> None:
    """A second look reads no model; after one model changed, only that one; after a policy changed, all of them."""
    repository, commit, memory = filled
    policies = sum(path.startswith("policies/") for path in world(3))
    folder = sum(path.startswith(f"models/{NAME}/") and path.endswith(".yaml") for path in world(3))
    assert examined(Specs(repository, memory), commit) >= policies + 3 * folder
    assert examined(Specs(repository, memory), commit) == policies
    path = f"models/{NAME}/monitor.yaml"
    changed = {path: world(3)[path].replace(b"30.0", b"31.0")}
    second = repository.commit_files(commit, changed, "Watch longer\n", ADA, NOON)
    assert examined(Specs(repository, memory), second) == 2 * policies + folder
    assert examined(Specs(repository, memory), second) == examined(Specs(repository, memory), commit) == policies
    path = "policies/rules/owner.yaml"
    third = repository.commit_files(second, {path: world(3)[path] + b"# why\n"}, "Say why\n", ADA, NOON)
    assert examined(Specs(repository, memory), third) >= policies + 3 * folder


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xfe", b"[]", b'{"a": 1}', b'{"a": [1]}', b"null", b'{"' + b"0" * 32 + b'": ["owner"]}']
)
def test_a_memory_of_garbage_is_no_memory(filled: tuple[Repository, str, Path], garbage: bytes) -> None:
    """Whatever is in the file, the graph is the same, and the file is made anew."""
    repository, commit, memory = filled
    good = all_of(Specs(repository, memory).graph(commit))
    (file,) = memory.glob("*.json")
    before = file.read_bytes()
    file.write_bytes(garbage)
    assert all_of(Specs(repository, memory).graph(commit)) == good
    assert set(before.split(b'"')) <= set(file.read_bytes().split(b'"'))


def test_a_memory_that_cannot_be_written_keeps_nobody_from_working(
    filled: tuple[Repository, str, Path], tmp_path: Path
) -> None:
    """Where a file stands in the way of the folder, every folder is examined each time."""
    repository, commit, memory = filled
    (tmp_path / "blocked").write_bytes(b"")
    good = all_of(Specs(repository, memory).graph(commit))
    assert all_of(Specs(repository, tmp_path / "blocked" / "memory").graph(commit)) == good


def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    """A spec that is a link is examined again when what it leads to has changed."""
    repository = lonely(tmp_path / "clone")
    place = repository.root / f"models/{NAME}"
    for path, data in world().items():
        (repository.root / path).parent.mkdir(parents=True, exist_ok=True)
        (repository.root / path).write_bytes(data)
    (repository.root / "models/a/model.yaml").unlink()
    (place / "monitor.yaml").rename(repository.root / "shared.yaml")
    (place / "monitor.yaml").symlink_to("../../shared.yaml")
    first = commit_all(repository.root, {}, "Link")
    assert Specs(repository, tmp_path / "memory").graph(first).stalled == {}
    shared = (repository.root / "shared.yaml").read_bytes()
    second = repository.commit_files(first, {"shared.yaml": shared.replace(b"spec:", b"spek:")}, "x\n", ADA, NOON)
    assert list(Specs(repository, tmp_path / "memory").graph(second).stalled) == [f"models/{NAME}/monitor.yaml"]


def test_memories_are_bounded(filled: tuple[Repository, str, Path]) -> None:
    """Beside however many policies and for however many commits: the files are few and small."""
    repository, commit, memory = filled
    path = f"models/{NAME}/monitor.yaml"
    for days in range(1, 12):
        changed = {path: world(3)[path].replace(b"30.0", f"{days}.0".encode())}
        Specs(repository, memory).graph(repository.commit_files(commit, changed, "Watch\n", ADA, NOON))
    (file,) = memory.glob("*.json")
    assert file.read_bytes().count(b":") <= 12
    path = "policies/rules/owner.yaml"
    for number in range(10):
        changed = {path: world(3)[path] + f"# {number}\n".encode()}
        Specs(repository, memory).graph(repository.commit_files(commit, changed, "Rule\n", ADA, NOON))
        os.utime(max(memory.glob("*.json"), key=lambda one: one.stat().st_mtime_ns), ns=(0, number * 10**9))
    assert len(list(memory.glob("*.json"))) <= 9
