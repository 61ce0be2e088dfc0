"""Where a verb ended: everything that must be the same whether it was killed on its way or not."""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from world.shop import Shop

PULLS = "refs/modelops/pulls"
MASKS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"\b[0-9a-f]{10,19}\b", "SHORT"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"-?\d+\.\d+(e-?\d+)?", "DECIMAL"),
        (r"\b\d+ (ms|s|MiB|KiB)\b", "MEASURED"),
        (r"\b(trainingSeconds|seconds|value|lower|upper|limit): \d+", "MEASURED"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\b\d{8}[tT]\d{6}\b", "STAMP"),
    )
)
HALF_WRITTEN = re.compile(r"^\.incoming-|^\..*\.\d+$|\.(partial|tmp|part)$|^tmp_|-journal$")
SETTLES = 60.0
"""Seconds in which what was killed has to be gone."""
Facts = dict[str, Any]


def masked(text: str) -> str:
    """Replace what differs from run to run: digests, times, measures, addresses."""
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return text


def facts(shop: Shop, *, fsck: bool) -> Facts:
    """Return the end as one flat mapping from what to how it is; equal ends have equal facts."""
    found: Facts = {}
    for name, part in (
        ("main", tree(shop)),
        ("pull request", pulls(shop)),
        ("runtime", runtime(shop)),
        ("store", store(shop)),
        ("git", clones(shop)),
        ("left over", dict.fromkeys(leftovers(shop), True)),
        ("process", dict(processes_by_kind(shop.folder))),
    ):
        found |= {f"{name}: {what}": how for what, how in part.items()}
    if fsck:
        for place in (shop.root, shop.origin):
            done = subprocess.run(["git", "fsck", "--connectivity-only"], cwd=place, capture_output=True, text=True)
            found[f"fsck: {place.name}"] = (done.returncode, "missing" in done.stdout)
    return found


def differences(wanted: Facts, got: Facts) -> list[str]:
    """Return one line for each fact that differs; fsck is compared where both looked."""
    lines = []
    for what in sorted({*wanted, *got}):
        if what.startswith("fsck") and not (what in wanted and what in got):
            continue
        if wanted.get(what) != got.get(what):
            lines.append(f"{what}: {difference(wanted.get(what), got.get(what))}")
    return lines


def difference(wanted: object, got: object) -> str:
    """Return what is undisturbed only (-) and what is here only (+), in a line."""
    before, after = pieces(wanted), pieces(got)
    if before is None or after is None:
        return f"- {wanted!r:.200} + {got!r:.200}"
    return " ".join(line for line in difflib.ndiff(before, after) if line[0] in "-+")[:400]


def pieces(value: object) -> list[str] | None:
    """Return lines of a text or items of a list, to be compared one by one."""
    if isinstance(value, str):
        return value.replace(", ", ",\n").splitlines()
    return [str(item) for item in value] if isinstance(value, list) else None


def tree(shop: Shop) -> Mapping[str, object]:
    """Return main's files, masked; of signed lines only how many there are."""
    found: dict[str, object] = {}
    for path, data in files_of(shop.origin, "main"):
        if path.endswith(".jsonl"):
            found[masked(path)] = len(data.splitlines())
        elif path.endswith(("MODEL_CARD.md", ".sigstore.json")):
            found[path] = "a card or a signature"
        else:
            found[masked(path)] = masked(data.decode(errors="replace"))
    return found


def files_of(repository: Path, ref: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a commit."""
    archive = subprocess.run(["git", "archive", ref], cwd=repository, capture_output=True, check=False)
    if archive.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    yield member.name, file.read()


def pulls(shop: Shop) -> Mapping[str, object]:
    """Return the pull requests of the embedded forge with their reviews, comments and checks."""
    found = {}
    for path, data in files_of(shop.origin, PULLS):
        pull = json.loads(data)
        found[path] = {
            "state": pull["state"],
            "title": masked(pull["title"]),
            "source": masked(pull["source"]),
            "reviews": [(review["login"], review["state"]) for review in pull.get("reviews", [])],
            "comments": [comment["key"] for comment in pull.get("comments", [])],
            "checks": sorted((name, check["conclusion"]) for name, check in pull.get("checks", {}).items()),
        }
    return found


def runtime(shop: Shop) -> Mapping[str, object]:
    """Return routes, conditions and the state of rollouts in every environment."""
    found: dict[str, object] = {}
    for folder in sorted((shop.root / ".modelops" / "runtime").glob("*")):
        for path in sorted(folder.glob("*.json")):
            data = json.loads(path.read_text(encoding="utf-8"))
            if path.name == "routes.json":
                found[f"{folder.name} routes"] = masked(json.dumps(data, sort_keys=True))
            elif path.name == "status.json":
                reasons = [(said["model"], said["type"], said["reason"]) for said in data["conditions"]]
                found[f"{folder.name} conditions"] = reasons
        for path in sorted(folder.glob("rollouts/*.json")):
            data = json.loads(path.read_text(encoding="utf-8"))
            place = (len(data.get("steps", ())), data.get("outcome"), data.get("arms"), data.get("failed"))
            found[f"{folder.name} rollout {path.stem}"] = place
    return found


def store(shop: Shop) -> Mapping[str, object]:
    """Return how many blobs the store holds, and its tags."""
    folder = shop.root / ".modelops" / "store"
    index = folder / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8"))["manifests"] if index.exists() else []
    tags = sorted(masked(json.dumps(entry.get("annotations"), sort_keys=True)) for entry in entries)
    return {"blobs": sum(1 for _ in folder.glob("blobs/sha256/[0-9a-f]*")), "tags": tags}


def clones(shop: Shop) -> Mapping[str, object]:
    """Return main's first-parent subjects, the remote's branches, and where the clone stands."""
    return {
        "subjects": masked(shop.git("log", "--format=%s", "--first-parent", "main", at=shop.origin)).splitlines(),
        "branches": masked(shop.git("for-each-ref", "--format=%(refname)", at=shop.origin)).split(),
        "status": shop.git("status", "--porcelain", "-b").splitlines(),
        "main is the remote's": shop.git("rev-parse", "main") == shop.git("rev-parse", "main", at=shop.origin),
    }


def leftovers(shop: Shop) -> Iterator[str]:
    """Yield files that somebody began and nobody ended, locks of git among them."""
    for path in (shop.root / ".modelops").rglob("*"):
        if HALF_WRITTEN.search(path.name):
            yield re.sub(r"(incoming-|\.)\w*\d+.*$", r"\1*", str(path.relative_to(shop.root)))
    for place in (shop.root / ".git", shop.origin):
        for path in place.rglob("*"):
            if path.suffix == ".lock" or path.name.startswith("tmp_") or path.name == "moving.json":
                yield f"{place.name}/{re.sub(r'tmp_.*', 'tmp_*', path.name)}"


def processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the processes whose command line or working folder lies in a folder."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = os.fsdecode((entry / "cmdline").read_bytes().replace(b"\0", b" "))
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if line and f"{folder}/" in f"{line} {place}/":
            yield int(entry.name), line


def processes_by_kind(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield how many servers run and, once what was killed had time to be gone, how many others."""
    deadline = time.monotonic() + SETTLES
    while True:
        lines = [line for _, line in processes(folder)]
        servers = sum(" modelops serve " in line for line in lines)
        if len(lines) == servers or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    yield "servers", servers
    yield "orphans", len(lines) - servers


def end_processes(folder: Path) -> None:
    """Kill what still runs in a folder of ours."""
    for pid, _ in processes(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
