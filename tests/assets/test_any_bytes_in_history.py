"""The past is a fact: whatever bytes an old version of a file has, they block nothing once the tip is right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assets.kept import ASSETS, Kept, revive

PRODUCTION = "models/churn/environments/production.yaml"
STAGING = "models/churn/environments/staging.yaml"
BROKEN_AT, REPAIRED_AT = "2026-05-06T10:00:00Z", "2026-05-06T11:00:00Z"
FILES = (
    PRODUCTION,
    STAGING,
    "models/churn/model.yaml",
    "models/churn/monitor.yaml",
    "models/churn/rollout.yaml",
    "models/churn/train.py",
    "models/churn/data/initial.yaml",
    "models/churn/promotions/production-1.yaml",
    "models/churn/promotions/production-1.intoto.jsonl",
    "models/churn/releases/1/release.yaml",
    "models/churn/releases/2/evidence.intoto.jsonl",
    "models/churn/releases/2/MODEL_CARD.md",
    "policies/approvals.yaml",
    "policies/environments/production.yaml",
    "policies/gates/churn.yaml",
    "policies/project.yaml",
    "policies/rules/owner-is-a-team.yaml",
    "policies/trust.yaml",
    "models/churn/environments/added.yaml",
    "models/other/model.yaml",
    "policies/gates/added.yaml",
    "policies/\xfcml\xe4ut \n.yaml",
)
QUESTIONS = (
    ("plan", "production"),
    ("plan", "staging"),
    ("plan",),
    ("status",),
    ("audit", "environment", "production", "--at", "2026-05-01"),
    ("audit", "environment", "production", "--at", "2026-05-07"),
    ("audit", "release", "churn", "2"),
)


@dataclass(frozen=True)
class Version:
    """What a file was in one old commit; mode 120000 is a link, no data a removed file."""

    data: bytes | None
    mode: str = "100644"


@dataclass(frozen=True)
class Near:
    """A slip in the file as it should be: lines from a place on are dropped, said twice, or replaced by a line."""

    place: int
    line: str | None
    drop: int
    twice: bool = False

    def of(self, good: bytes) -> Version:
        lines = good.split(b"\n")
        place = self.place % (len(lines) + 1)
        kept = lines[place : place + self.drop] if self.twice else []
        put = [] if self.line is None else [self.line.encode(errors="replace")]
        return Version(b"\n".join([*lines[:place], *kept, *put, *lines[place + self.drop * (not self.twice) :]]))


LINES = """spec:|  ownr: x|kind: Model|metadata: {name: 7}|- a|\t|  stable: yes|stable: 9|a: &b [*b]|  denied: 3|<<: *x
--- |...|%YAML 1.9|!!python/object:os.x {}|  name: prodction|'|{|\ufeff|apiVersion: modelops/v0|  candidate: {}|? [1]
  stable: 99999999999999999999|  stable: 2|  stable: two"""
WORDS = st.sampled_from([*LINES.replace("\n", "|").split("|"), "  spec: [" * 60])
NEAR = st.builds(Near, st.integers(0, 200), WORDS | st.none() | st.text(max_size=30), st.integers(0, 4), st.booleans())
WHOLE = st.builds(
    Version,
    st.none() | st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    st.sampled_from(["100644", "100644", "100755", "120000"]),
)


def deployed(data: bytes | None) -> object:
    """Return what a deployment says, or nothing where nobody could say what it means."""
    try:
        found = yaml.safe_load(data or b"")
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return None
    spec = found.get("spec") if isinstance(found, dict) else None
    return (
        {name: spec.get(name) for name in ("stable", "candidate", "challengers", "denied")}
        if isinstance(spec, dict)
        else None
    )


def quoted(path: str) -> bytes:
    return (
        b'"' + b"".join(b"\\%03o" % byte if byte < 33 or byte > 126 else bytes([byte]) for byte in path.encode()) + b'"'
    )


def stream(path: str, *versions: Version) -> bytes:
    """Return commits on main, one a version of the file, as git's fast-import reads them."""
    parts, parent = [], b"from refs/heads/main^0\n"
    for version, instant in zip(versions, (BROKEN_AT, REPAIRED_AT), strict=True):
        seconds = datetime.fromisoformat(instant).timestamp()
        parts.append(b"commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 6\nChange\n" % seconds)
        parts.append(parent)
        parent = b""
        if version.data is None:
            parts.append(b"D %s\n" % quoted(path))
        else:
            entry = (version.mode.encode(), quoted(path), len(version.data), version.data)
            parts.append(b"M %s inline %s\ndata %d\n%s\n" % entry)
    return b"".join(parts)


def answers(kept: Kept) -> list[Any]:
    """Return what the questions are answered with, without the names of commits."""
    found = []
    for words in QUESTIONS:
        ended = kept.run(*words, "-o", "json")
        assert ended.code in (0, 1), f"{words}: {ended.err}"
        found.append(plain(json.loads(ended.out)))
    return found


def parted(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Yield where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from parted(one[name], other[name], f"{at}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (mine, yours) in enumerate(zip(one, other, strict=True)):
            yield from parted(mine, yours, f"{at}[{place}]")
    elif one != other:
        yield f"{at}: {one!r} is not {other!r}"


def plain(value: Any) -> Any:
    """Drop what names the tip or a folder, and that somebody broke and mended a file without asking anybody."""
    if isinstance(value, dict):
        dropped = {"commit", "committed", "revision", "log", "violations", "violationsOpen", "unapproved"}
        return {name: plain(item) for name, item in value.items() if name not in dropped}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", params=[False, True], ids=["ended", "on trial"])
def rested(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, list[Any]]:
    """Return what the first version left, at its end or in the middle of a rollout, and what it answers."""
    kept = revive(ASSETS[0], tmp_path_factory.mktemp("any") / "kept", on_trial=request.param)
    kept.git("remote", "set-url", "origin", "../origin.git")
    return kept, answers(kept)


def blocks_nothing(rested: tuple[Kept, list[Any]], path: str, version: Version | Near) -> None:
    """Break a file in one commit, repair it in the next, and ask again."""
    kept, expected = rested
    shown = subprocess.run(["git", "show", f"main:{path}"], cwd=kept.origin, capture_output=True, check=False)
    good = Version(shown.stdout if shown.returncode == 0 else None)
    broken = version.of(good.data or b"") if isinstance(version, Near) else version
    if path in (PRODUCTION, STAGING) and deployed(broken.data) not in (None, deployed(good.data)):
        return  # a readable deployment that says something else is another history, not an unreadable one
    copy = kept.copy(kept.folder.with_name("copy"))
    try:
        commits = stream(path, broken, good)
        subprocess.run(["git", "fast-import", "--quiet"], cwd=copy.origin, input=commits, check=True)
        # An audit is not content with what somebody wrote without asking anybody, though it be what was there before.
        differ = [one for one in parted(answers(copy), expected) if not re.fullmatch(r"\[\d\]\.ok: False .*", one)]
        assert differ == []
        # What was broken then may be said to be unknown, never be a fault of ours.
        asked = copy.run("audit", "environment", "production", "--at", "2026-05-06T10:30:00Z")
        assert asked.code != 70, asked.err
    finally:
        shutil.rmtree(copy.folder)


SLIP = Near(4, "  name: prodction", 1)
ANY = {"path": st.sampled_from(FILES), "version": NEAR | WHOLE}
CALM = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@example(path=PRODUCTION, version=SLIP)
@example(path=STAGING, version=Version(b"\xff\x00"))
@example(path=PRODUCTION, version=Version(b"../../../policies/trust.yaml", "120000"))
@example(path="policies/trust.yaml", version=Version(None))
@settings(max_examples=6, **CALM)
@given(**ANY)
def test_old_bytes_block_nothing(rested: tuple[Kept, list[Any]], path: str, version: Version | Near) -> None:
    """Plan, status and audit answer as if the commits that broke and repaired a file had never been."""
    blocks_nothing(rested, path, version)


@pytest.mark.slow
@settings(max_examples=150, **CALM)
@given(**ANY)
def test_many_old_bytes_block_nothing(rested: tuple[Kept, list[Any]], path: str, version: Version | Near) -> None:
    """The same, for many more."""
    blocks_nothing(rested, path, version)
