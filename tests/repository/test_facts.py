"""When what the loop signed may still be brought to the branch: as long as what it found is there, and not for long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from git_world import ADA, NOON, World
from modelops.governance.judging.facts import LASTS, still_counts

SEAT = "models/churn/environments/production.yaml"
OTHER = "models/churn/environments/staging.yaml"
POLICY = "policies/environments/production.yaml"
RECORD = "models/churn/promotions/production-1.intoto.jsonl"


@pytest.mark.parametrize(
    ("path", "counts"), [(SEAT, False), (POLICY, False), (RECORD, False), (OTHER, True), ("README.md", True)]
)
def test_a_fact_waits_as_long_as_what_it_found_is_there(tmp_path: Path, path: str, counts: bool) -> None:
    """Its own files, those of its environment and the policies are as they were; whatever else came meanwhile."""
    repository = World(tmp_path, {SEAT: "a\n", OTHER: "a\n", POLICY: "a\n", "README.md": "a\n"}).clone("ada", ADA)
    tip = repository.tip("main")
    fact = repository.commit_files(tip, {RECORD: b"{}\n"}, "Record", ADA, NOON)
    assert still_counts(repository, tip, fact, NOON + LASTS / 2)
    assert not still_counts(repository, tip, fact, NOON + LASTS / 2 + timedelta(seconds=1))
    moved = repository.commit_files(tip, {path: b"b\n"}, "Move", ADA, NOON)
    assert still_counts(repository, moved, fact, NOON) is counts
