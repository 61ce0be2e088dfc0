"""The files of a new repository: policies, environment lock, and what git is told of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from modelops.errors import Exit, failure
from modelops.locks import environment_lock
from modelops.scaffold.files import project_folder, read_tree
from modelops.scaffold.surroundings.git_files import BYTES, IGNORED
from modelops.scaffold.surroundings.workflows import Home
from modelops.spec.kinds import KINDS
from modelops.spec.kinds.approval_policy import ApprovalPolicySpec, ApprovalRule
from modelops.spec.kinds.trust_policy import PURPOSES, TrustedKey, TrustPolicySpec
from modelops.spec.layout import APPROVALS, ATTRIBUTES, LOCK, POLICIES, PROJECT, SCHEMAS, STATE, TRUST, in_model
from modelops.spec.schema import json_schema
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.edit import set_value

_GENERATED = ("releases/", "promotions/")


def repository_files(public_key: str, approvers: Sequence[str], home: Home = Home()) -> dict[str, bytes]:
    """Return the files of a new repository by path; ``public_key`` is the PEM whose signatures it trusts.

    What a forge runs is not among them.
    """
    project = project_folder()
    files = {
        POLICIES + path: data
        for path, data in read_tree(project / "policies").items()
        if path not in ("approvals.yaml", "trust.yaml")
    }
    files[PROJECT.path()] = _project(files[PROJECT.path()], home)
    files[APPROVALS.path()] = _approvals(tuple(approvers))
    files[TRUST.path()] = trust_policy(public_key)
    files[LOCK] = environment_lock((project / LOCK).read_bytes())
    files[".gitignore"] = IGNORED.encode()
    files[ATTRIBUTES] = BYTES.encode()
    return files


def _project(data: bytes, home: Home) -> bytes:
    """Return the Project with the branch and the remote that git has."""
    data = set_value(data, "spec.branch", home.branch, PROJECT.path())
    return set_value(data, "spec.remote", home.remote, PROJECT.path())


def schema_files() -> dict[str, bytes]:
    """Return the JSON Schema of every kind, where the editors' comment looks for it."""
    return {
        f"{SCHEMAS}/{kind}.json": (json.dumps(json_schema(kind), indent=2, sort_keys=True) + "\n").encode()
        for kind in KINDS
    }


def trust_policy(public_key: str) -> bytes:
    """Return the trust policy for one key that counts for everything."""
    key = TrustedKey(name="local", public_key=public_key, signs=PURPOSES)
    comment = (
        f"The private part is {STATE}/keys/local.pem and is never in git.\n"
        "A change of this file counts once so many of these keys have signed it: modelops pr endorse"
    )
    return dump("TrustPolicy", "trust", TrustPolicySpec(threshold=1, keys=(key,)), comment, TRUST.path())


def _approvals(approvers: tuple[str, ...]) -> bytes:
    reviewers = ("group:reviewers",)
    spec = ApprovalPolicySpec(
        groups={"reviewers": approvers},
        rules=(
            ApprovalRule(change="model", approvers=reviewers),
            ApprovalRule(change="policy", approvers=reviewers),
            ApprovalRule(change="promotion", approvers=reviewers),
            *(
                [ApprovalRule(change="promotion", risk=("high",), approvers=reviewers, minimum=2)]
                if len(approvers) > 1
                else []
            ),
        ),
    )
    comment = (
        "Whoever wrote, committed or pushed a change never counts as its approver. Reviewers are logins: on the\n"
        "embedded forge the part of an address before the @. Every rule that matches a change must be met."
    )
    return dump("ApprovalPolicy", "approvals", spec, comment, APPROVALS.path())


def example_names() -> tuple[str, ...]:
    """Return the models that come with modelops."""
    return tuple(sorted(path.parent.name for path in (project_folder() / "models").glob("*/model.yaml")))


def example_files(name: str) -> dict[str, bytes]:
    """Return the files of an example model by repository path, as if it had never been released."""
    if name not in example_names():
        raise failure(
            "unknown-example",
            f"there is no example {name!r}",
            exit=Exit.USAGE,
            hint=f"one of: {', '.join(example_names())}",
        )
    tree = read_tree(project_folder() / "models" / name)
    return {in_model(name, path): data for path, data in tree.items() if not path.startswith(_GENERATED)}
