"""The files of a new repository: policies, workflows, environment lock, and how to begin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modelops import __version__
from modelops.errors import Exit, failure
from modelops.scaffold.files import project_folder, read_tree
from modelops.scaffold.lock import environment_lock
from modelops.spec.dump import dump
from modelops.spec.kinds import KINDS
from modelops.spec.policy import ApprovalPolicySpec, ApprovalRule, TrustedKey, TrustPolicySpec
from modelops.spec.schema import json_schema

WORKFLOWS = ("pull-request.yml", "release.yml", "reconcile.yml", "monitor.yml")
IGNORED = ".modelops/\n__pycache__/\n.venv/\n"
_GENERATED = ("releases/", "promotions/")


def repository_files(public_key: str, approvers: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a new repository by path; ``public_key`` is the PEM whose signatures it trusts."""
    project = project_folder()
    files = {
        f"policies/{path}": data
        for path, data in read_tree(project / "policies").items()
        if path not in ("approvals.yaml", "trust.yaml")
    }
    for name in WORKFLOWS:
        files[f".github/workflows/{name}"] = (project / ".github" / "workflows" / name).read_bytes()
    files[".github/requirements.txt"] = f"modelops=={__version__}\n".encode()
    files["policies/approvals.yaml"] = _approvals(tuple(approvers))
    files["policies/trust.yaml"] = trust_policy(public_key)
    files["requirements.lock"] = environment_lock()
    files[".gitignore"] = IGNORED.encode()
    files["README.md"] = (Path(__file__).parent / "readme.md").read_bytes()
    return files


def schema_files() -> dict[str, bytes]:
    """Return the JSON Schema of every kind, where the editors' comment looks for it."""
    return {
        f".modelops/schema/{kind}.json": (json.dumps(json_schema(kind), indent=2, sort_keys=True) + "\n").encode()
        for kind in KINDS
    }


def trust_policy(public_key: str) -> bytes:
    """Return the trust policy for one key that counts for everything."""
    key = TrustedKey(name="local", public_key=public_key, signs=("release", "promotion", "snapshot", "rollout"))
    comment = "The private part is .modelops/keys/local.pem and is never in git."
    return dump("TrustPolicy", "trust", TrustPolicySpec(keys=(key,)), comment, "policies/trust.yaml")


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
    return dump("ApprovalPolicy", "approvals", spec, comment, "policies/approvals.yaml")


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
    return {f"models/{name}/{path}": data for path, data in tree.items() if not path.startswith(_GENERATED)}
