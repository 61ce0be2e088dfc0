"""What a build's evidence says about the machine: Python, processor, threads, packages as installed, and who ran it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from modelops import __version__
from modelops.clock import format_instant
from modelops.evidence.making import GITHUB_BUILDER, LOCAL_BUILDER, Making
from modelops.locks import compare_lock, installed_packages
from modelops.training.request import BuildRequest, code_files, machine_inputs

__all__ = ["circumstances"]

_TEXT = 200
_ACTIONS = {
    "repository": "GITHUB_REPOSITORY",
    "workflow": "GITHUB_WORKFLOW_REF",
    "workflowCommit": "GITHUB_WORKFLOW_SHA",
    "ref": "GITHUB_REF",
    "commit": "GITHUB_SHA",
    "event": "GITHUB_EVENT_NAME",
    "job": "GITHUB_JOB",
    "run": "GITHUB_RUN_ID",
    "attempt": "GITHUB_RUN_ATTEMPT",
    "runner": "RUNNER_ENVIRONMENT",
    "image": "ImageOS",
    "imageVersion": "ImageVersion",
}
"""What GitHub Actions tells a job about itself; none of it is secret."""


def circumstances(
    request: BuildRequest,
    inputs: str,
    *,
    started: datetime,
    finished: datetime,
    threads: Sequence[Mapping[str, Any]],
    environment: Mapping[str, str],
) -> Making:
    """Return how a build was made, for its provenance; ``threads`` are the pools of arithmetic that its process had.

    Of ``environment`` only what names a run of GitHub Actions is read.
    """
    packages = installed_packages()
    builder, invocation, run = _runner(environment, inputs)
    machine: dict[str, Any] = {
        "python": {
            "implementation": sys.implementation.name,
            "version": platform.python_version(),
            "compiler": platform.python_compiler(),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()).strip(),
        },
        "processor": _processor(),
        "threads": {"declared": request.model.spec.training.threads, "pools": [dict(pool) for pool in threads]},
        "modelops": {"version": __version__, "installed": _installed_from()},
        "lock": compare_lock(request.lock, packages).recorded(),
        "inputs": machine_inputs(),
    }
    if run:
        machine["github"] = run
    return Making(
        builder=builder,
        invocation=invocation,
        started=format_instant(started),
        finished=format_instant(finished),
        modelops=__version__,
        environment=machine,
        packages=packages,
        code=code_files(request),
    )


def _runner(environment: Mapping[str, str], inputs: str) -> tuple[str, str, dict[str, str]]:
    """Return the builder's id, the id of this run of it, and what a run of GitHub Actions says about itself."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return LOCAL_BUILDER, inputs, {}
    run = {key: environment[name][:_TEXT] for key, name in _ACTIONS.items() if environment.get(name)}
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")[:_TEXT]
    place = f"{server}/{run.get('repository', '')}/actions/runs/{run.get('run', '')}"
    return GITHUB_BUILDER, f"{place}/attempts/{run.get('attempt', '1')}", run


@cache
def _processor() -> dict[str, Any]:
    """Return the processor's name, how many of it there are, and the digest of what it can do."""
    found: dict[str, Any] = {"model": platform.processor() or platform.machine(), "count": os.cpu_count() or 1}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    fields = dict(re.findall(r"^([^\t:\n]+?)\s*:[ \t]*(.*)$", text.partition("\n\n")[0], re.MULTILINE))
    found["model"] = fields.get("model name", fields.get("CPU part", found["model"]))[:_TEXT]
    flags = fields.get("flags") or fields.get("Features")
    if flags:
        found["flags"] = "sha256:" + hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()
    return found


def _installed_from() -> dict[str, Any]:
    """Return how modelops itself is installed: what PEP 610 records, without the path of a folder or a password."""
    try:
        text = Distribution.from_name("modelops").read_text("direct_url.json")
        recorded = json.loads(text) if text else {}
    except (ImportError, ValueError):
        return {"from": "unknown"}
    match recorded:
        case {"vcs_info": {"commit_id": str() as commit}, "url": str() as url}:
            return {"from": "git", "url": _bare(url), "commit": commit}
        case {"archive_info": dict() as archive, "url": str() as url}:
            hashes = archive.get("hashes") or {}
            place = {} if url.startswith("file:") else {"url": _bare(url)}
            return {"from": "archive", **place, "hashes": hashes if isinstance(hashes, dict) else {}}
        case {"dir_info": dict() as folder}:
            return {"from": "folder", "editable": bool(folder.get("editable", False))}
    return {"from": "index"}


def _bare(url: str) -> str:
    """Return a URL without what may be a name and a password in it."""
    return re.sub(r"//[^/@]*@", "//", url)[:_TEXT]
