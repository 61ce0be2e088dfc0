"""Write `description.json` from GitHub's own description of its API: `python trim.py api.github.com.json`.

That file is `generated/api.github.com.json` of the npm package `@octokit/openapi` (version and digest below), which
republishes github/rest-api-description under the MIT licence, kept beside this file. What is kept are the operations of
`OPERATIONS` with all that their schemas name; left out are words for people and examples. Add an operation here when
the client makes a new call, and run this again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = ("@octokit/openapi", "23.0.2", "829b4bebb19a53133289f7b0bc819f4f1118115821db2ca9f25e9ee995a7da2a")
R = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/user": "get",
    "/app": "get",
    "/app/installations/{installation_id}/access_tokens": "post",
    "/app-manifests/{code}/conversions": "post",
    "/orgs/{org}/teams/{team_slug}/members": "get",
    R: "get",
    f"{R}/installation": "get",
    f"{R}/activity": "get",
    f"{R}/actions/permissions": "get",
    f"{R}/actions/permissions/fork-pr-contributor-approval": "get",
    f"{R}/actions/permissions/workflow": "get",
    f"{R}/actions/workflows/{{workflow_id}}/dispatches": "post",
    f"{R}/branches/{{branch}}": "get",
    f"{R}/branches/{{branch}}/protection": "get",
    f"{R}/check-runs": "post",
    f"{R}/check-runs/{{check_run_id}}": "get patch",
    f"{R}/codeowners/errors": "get",
    f"{R}/collaborators/{{username}}/permission": "get",
    f"{R}/commits/{{commit_sha}}/pulls": "get",
    f"{R}/commits/{{ref}}/check-runs": "get",
    f"{R}/commits/{{ref}}/status": "get",
    f"{R}/deployments": "get post",
    f"{R}/deployments/{{deployment_id}}/statuses": "get post",
    f"{R}/environments": "get",
    f"{R}/environments/{{environment_name}}": "get",
    f"{R}/environments/{{environment_name}}/deployment-branch-policies": "get",
    f"{R}/environments/{{environment_name}}/secrets": "get",
    f"{R}/actions/secrets": "get",
    f"{R}/actions/organization-secrets": "get",
    f"{R}/git/commits": "post",
    f"{R}/git/matching-refs/{{ref}}": "get",
    f"{R}/git/ref/{{ref}}": "get",
    f"{R}/git/refs": "post",
    f"{R}/git/refs/{{ref}}": "patch delete",
    f"{R}/git/trees": "post",
    f"{R}/git/blobs": "post",
    f"{R}/issues": "get post",
    f"{R}/issues/{{issue_number}}": "get patch",
    f"{R}/issues/{{issue_number}}/comments": "get post",
    f"{R}/issues/{{issue_number}}/events": "get",
    f"{R}/issues/{{issue_number}}/labels": "post",
    f"{R}/issues/comments/{{comment_id}}": "patch delete",
    f"{R}/pulls": "get post",
    f"{R}/pulls/{{pull_number}}": "get patch",
    f"{R}/pulls/{{pull_number}}/commits": "get",
    f"{R}/pulls/{{pull_number}}/merge": "put",
    f"{R}/pulls/{{pull_number}}/reviews": "get post",
    f"{R}/rules/branches/{{branch}}": "get",
    f"{R}/rulesets": "get",
    f"{R}/rulesets/{{ruleset_id}}": "get",
    f"{R}/statuses/{{sha}}": "post",
}
WORDS = {"description", "summary", "example", "examples", "externalDocs", "tags", "operationId", "x-github", "title"}
WORDS |= {"x-octokit", "links", "headers"}


def plain(node: Any, names: bool = False) -> Any:
    """Return a node without words; in a map of names a name may be one."""
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    inside = {"properties", "schemas", "parameters", "responses", "paths"}
    return {key: plain(value, key in inside) for key, value in node.items() if names or key not in WORDS}


def named(node: Any) -> set[str]:
    """Return what a node refers to."""
    if isinstance(node, list):
        return {name for each in node for name in named(each)}
    if not isinstance(node, dict):
        return set()
    found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return found | {name for each in node.values() for name in named(each)}


def trim(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a description that is kept."""
    paths: dict[str, Any] = {}
    for path, methods in OPERATIONS.items():
        there = whole["paths"][path]
        paths[path] = {key: plain(there[key]) for key in ("parameters", *methods.split()) if key in there}
    kept: dict[str, Any] = {}
    missing = named(paths)
    while missing:
        name = missing.pop()
        _, _, shelf, key = name.split("/", 3)
        if key not in kept.setdefault(shelf, {}):
            kept[shelf][key] = plain(whole["components"][shelf][key])
            missing |= named(kept[shelf][key])
    return {
        "openapi": whole["openapi"],
        "info": {"title": "A part of GitHub's REST API", "version": "2022-11-28", "license": {"name": "MIT"}},
        "x-source": dict(zip(("package", "version", "sha256"), SOURCE, strict=True)),
        "paths": paths,
        "components": kept,
    }


if __name__ == "__main__":
    data = Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE[2]:
        sys.exit(f"{sys.argv[1]} is not {' '.join(SOURCE)}")
    text = json.dumps(trim(json.loads(data)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A line for each path and each schema, so that a change of one is a change of one line.
    for mark in ('"/', '"components":', '"schemas":'):
        text = text.replace(f",{mark}", f",\n{mark}")
    (HERE / "description.json").write_text(text + "\n", encoding="utf-8")
