"""What is left of reviews when GitHub is not asked any more."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actions_world import needs_engine
from git_world import git
from github_team import ADDRESS, Ground
from modelops.clock import format_instant
from registry_world import needs_registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]


def test_a_year_later_a_clone_alone_says_who_approved_what(github_ground: Ground) -> None:
    """Without network, token and forge: release and promotion, who reviewed them, by signed statements alone."""
    team = github_ground.after("production")
    later = team.folder / "auditor"
    git(team.folder, "clone", "-q", ADDRESS, str(later))
    git(later, "remote", "remove", "origin")
    alone = {"GITHUB_API_URL": "http://127.0.0.1:9", "GH_TOKEN": ""}
    asked = len(team.hub.seen)
    release = team.modelops("audit", "release", "churn", "1", work=later, more=alone)
    at = format_instant(datetime.now(UTC))
    ran = team.modelops("audit", "environment", "production", "--at", at, work=later, more=alone)
    branch = team.modelops("audit", "branch", work=later, more=alone)
    assert "0 violations" in branch
    assert "grace" in release
    assert "grace" in ran
    assert len(team.hub.seen) == asked
