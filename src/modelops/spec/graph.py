"""The whole repository as one value: every reference resolved, every rule evaluated, every problem in one pass."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from modelops.errors import Location, ModelOpsError, Problem
from modelops.spec.explain import nearest
from modelops.spec.judging import Judge
from modelops.spec.kinds import IMMUTABLE_KINDS, AnyResource, place
from modelops.spec.load import Draft, load_all
from modelops.spec.meta import Plugin
from modelops.spec.parameters import plugin_params
from modelops.spec.partial import Unknown
from modelops.spec.policy import Gate
from modelops.spec.references import Known, at, folder_problems, reference_problems
from modelops.spec.rollouts import PLAN_CODES, Severity, plan_problems, plan_questions
from modelops.spec.tree import Collection, Folder, Graph, ModelEntry, collect

__all__ = ["Graph", "ModelEntry", "build_graph", "check_immutable", "plugin_params"]

_REQUIRED = {"Project": "project", "ApprovalPolicy": "approvals", "TrustPolicy": "trust"}
_RELEASE_FILES = ("evidence.intoto.jsonl", "MODEL_CARD.md")


def build_graph(
    files: Mapping[str, bytes],
    metric_names: frozenset[str] | None = None,
    *,
    paths: Names[str] | None = None,
) -> Graph:
    """Return the graph of a repository's files, or raise one error that carries every problem.

    ``metric_names`` are the metrics that a monitor may watch (unchecked when None). ``paths`` are all paths of the
    repository, where known, so that files which are only named (training code, evidence) can be missed.
    """
    loaded = load_all(files)
    problems = loaded.problems
    collection = collect(loaded.resources.values())
    every = None if paths is None else frozenset(paths)
    known = Known(identities(files), metric_names, every, data_locations(collection))
    for folder in collection.folders.values():
        problems += folder_problems(folder, known)
    for draft in loaded.drafts:
        problems += draft_problems(draft, collection, known)
    problems += policy_problems(collection, known)
    for shelf, plugin, resource, dotted in plugins_named(collection):
        problems += parameter_problems(shelf, plugin, resource, dotted)
    judge = Judge(collection.of("Rule").values())
    problems += judge.problems
    warnings: list[Problem] = []
    for severity, problem in judge.judge(loaded.resources.values(), collection.risks()):
        (problems if severity == "error" else warnings).append(problem)
    judge.assume(loaded.broken)
    warnings += judge.unused()
    for folder in collection.folders.values():
        for severity, problem in folder_plan_problems(folder):
            (problems if severity == "error" else warnings).append(problem)
    if not all(map(_refused_later, problems)):
        raise ModelOpsError(*sorted(problems, key=in_order))
    entries = {}
    for name, folder in collection.folders.items():
        model = folder.only("Model")
        if model is not None:
            entries[name] = folder.entry(model)
    return Graph(
        collection.of("Project")["project"],
        collection.of("ApprovalPolicy")["approvals"],
        collection.of("TrustPolicy")["trust"],
        collection.of("Environment"),
        collection.of("GatePolicy"),
        collection.of("Rule"),
        dict(sorted(entries.items())),
        collection.of("AccessPolicy"),
        tuple(warnings),
        tuple(sorted(problems, key=in_order)),
    )


def folder_plan_problems(folder: Folder) -> Iterator[tuple[Severity, Problem]]:
    """Yield (severity, problem) of what strategies say about the rollout plan and the arms of one model."""
    files = {resource.path: resource for some in folder.parts.values() for resource in some.values()}
    for shelf, strategy, data, path, _ in plan_questions(folder):
        yield from plan_problems(shelf, strategy, data, files[path])


def draft_problems(draft: Draft, collection: Collection, known: Known) -> Iterator[Problem]:
    """Yield what is wrong with the references and plugins of a file that is not valid either."""
    resource = draft.resource
    if resource.model is not None:
        folder = collection.folders.get(resource.model) or Folder(resource.model)
        yield from draft.others(reference_problems(resource, folder, known))
        for shelf, plugin, _, dotted in plugins_named(collect([resource])):
            if isinstance(plugin, Plugin) and not any(isinstance(v, Unknown) for v in (plugin.type, plugin.params)):
                yield from draft.others(parameter_problems(shelf, plugin, resource, dotted))


def _refused_later(problem: Problem) -> bool:
    """Tell whether the loop itself refuses what is wrong, so that it stops one model and not every model."""
    return problem.code in ("data-location", "denied-release") or problem.code in PLAN_CODES


def data_locations(collection: Collection) -> tuple[str, ...] | None:
    """Return where the Project lets data lie outside of the repository, None when it is not valid."""
    project = collection.of("Project").get("project")
    return None if project is None else tuple(project.spec.data_locations)


def in_order(problem: Problem) -> tuple[Location, str]:
    """Return the key by which problems are shown: file, line, column."""
    return problem.location or Location(""), problem.code


def identities(paths: Iterable[str]) -> frozenset[tuple[str, str | None, str]]:
    """Return (kind, model, name) of every path at which a kind lives."""
    return frozenset(found for path in paths if path.endswith(".yaml") and (found := place(path)) is not None)


def policy_problems(collection: Collection, known: Known) -> Iterator[Problem]:
    """Yield what is wrong between the policies."""
    for kind, name in _REQUIRED.items():
        if not known.has(kind, None, name):
            path = f"policies/{name}.yaml"
            said = f"{path} is missing"
            yield Problem("missing-policy", said, Location(path), None, "scaffold it: modelops init")
    yield from _signing_problems(collection)
    yield from _environment_problems(collection, known)
    yield from _approval_problems(collection, known)
    for policy in collection.of("GatePolicy").values():
        names = [gate.name for gate in policy.spec.gates]
        for index, name in enumerate(names):
            if name in names[:index]:
                said = f"two gates are named {name!r}"
                yield at(policy, f"spec.gates[{index}].name", "duplicate-name", said, "give each gate its own name")


def _signing_problems(collection: Collection) -> Iterator[Problem]:
    trust = collection.of("TrustPolicy").get("trust")
    project = collection.of("Project").get("project")
    if trust is None:
        return
    names: list[str] = []
    for index, key in enumerate(trust.spec.keys):
        where = f"spec.keys[{index}]"
        if key.name in names:
            yield at(trust, f"{where}.name", "duplicate-name", f"two keys are named {key.name!r}", "rename one of them")
        names.append(key.name)
        if "PRIVATE KEY" in key.public_key:
            said = "this is a private key"
            hint = "revoke it: what was in git is no longer secret; put the public key here"
            yield at(trust, f"{where}.publicKey", "private-key-in-git", said, hint)
        elif not _is_key(key.public_key):
            said = "this is not the PEM of an ECDSA P-256 public key"
            yield at(trust, f"{where}.publicKey", "bad-key", said, "openssl pkey -in KEY.pem -pubout writes one")
    if project is not None and project.spec.signing.key not in names:
        key_name = project.spec.signing.key
        said = f"the trust policy has no key {key_name!r}"
        yield at(project, "spec.signing.key", "unknown-key-name", said, nearest(key_name, names, "keys"))


@cache
def _is_key(pem: str) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _environment_problems(collection: Collection, known: Known) -> Iterator[Problem]:
    orders: dict[int, str] = {}
    for environment in collection.of("Environment").values():
        access = environment.spec.access
        if access is not None and not known.has("AccessPolicy", None, access):
            hint = nearest(access, known.all("AccessPolicy"), "access policies")
            yield at(environment, "spec.access", "unknown-access", f"there is no access policy {access!r}", hint)
        order = environment.spec.order
        if order is None:
            continue
        if order in orders:
            said = f"{orders[order]!r} has the order {order} too"
            yield at(
                environment, "spec.order", "duplicate-order", said, "give each environment its own place in the chain"
            )
        orders.setdefault(order, environment.name)


def _approval_problems(collection: Collection, known: Known) -> Iterator[Problem]:
    approvals = collection.of("ApprovalPolicy").get("approvals")
    if approvals is None:
        return
    groups = approvals.spec.groups
    for index, rule in enumerate(approvals.spec.rules):
        where = f"spec.rules[{index}]"
        people: set[str] = set()
        for position, approver in enumerate(rule.approvers):
            group = approver.removeprefix("group:")
            if group == approver:
                people.add(approver)
            elif group in groups:
                people.update(groups[group])
            else:
                said = f"there is no group {group!r}"
                hint = nearest(group, groups, "groups")
                yield at(approvals, f"{where}.approvers[{position}]", "unknown-group", said, hint)
                people.update(str(number) for number in range(rule.minimum))
        if len(people) < rule.minimum:
            said = f"{rule.minimum} approvals are asked of {len(people)} people"
            yield at(approvals, where, "unmeetable-rule", said, "name more approvers, or ask for fewer")
        for position, name in enumerate(rule.environments):
            if name != "*" and not known.has("Environment", None, name):
                said = f"there is no environment {name!r}"
                hint = nearest(name, [*known.all("Environment"), "*"], "environments")
                yield at(approvals, f"{where}.environments[{position}]", "unknown-environment", said, hint)


def plugins_named(collection: Collection) -> Iterator[tuple[str, Plugin | Gate, AnyResource, str]]:
    """Yield (shelf, plugin, resource, dotted path) for every plugin that is named."""
    for project in collection.of("Project").values():
        yield "stores", project.spec.store, project, "spec.store"
        yield "forges", project.spec.forge, project, "spec.forge"
    for environment in collection.of("Environment").values():
        yield "targets", environment.spec.target, environment, "spec.target"
    for policy in collection.of("GatePolicy").values():
        for index, gate in enumerate(policy.spec.gates):
            yield "gates", gate, policy, f"spec.gates[{index}]"
    for folder in collection.folders.values():
        rollout, monitor = folder.only("RolloutPlan"), folder.only("Monitor")
        if rollout is not None:
            yield "strategies", rollout.spec.strategy, rollout, "spec.strategy"
        if monitor is not None:
            yield "drift", monitor.spec.drift, monitor, "spec.drift"


@cache
def _valid() -> set[tuple[str, str, str]]:
    """Most models share a handful of parameter sets; equal ones are equally valid."""
    return set()


def parameter_problems(shelf: str, plugin: Plugin | Gate, resource: AnyResource, dotted: str) -> tuple[Problem, ...]:
    """Return what is wrong with the parameters of one plugin."""
    key = (shelf, plugin.type, repr(plugin.params))
    if key in _valid():
        return ()
    try:
        plugin_params(shelf, plugin, resource, dotted)
    except ModelOpsError as error:
        return error.problems
    _valid().add(key)
    return ()


def _immutable(path: str) -> bool:
    found = place(path)
    if found is not None:
        return found[0] in IMMUTABLE_KINDS
    folder, _, name = path.rpartition("/")
    return name in _RELEASE_FILES and (place(f"{folder}/release.yaml") or ("",))[0] == "Release"


def check_immutable(base: Mapping[str, bytes], head: Mapping[str, bytes]) -> list[Problem]:
    """Return a Problem for each release, promotion or snapshot file of ``base`` that ``head`` changed or lacks."""
    problems = []
    for path in sorted(filter(_immutable, base)):
        if path not in head:
            said, hint = "an immutable file was removed", f"restore it: git checkout <base> -- {path}"
        elif head[path] != base[path]:
            said, hint = "an immutable file was changed", "restore it, and make a new one instead"
        else:
            continue
        problems.append(Problem("immutable-file", said, Location(path), None, hint))
    return problems
