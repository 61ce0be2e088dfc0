"""What GitHub shows of a model's releases in an environment: written once for each change, whoever writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from forges.forge_world import github_forge
from git_world import World
from github_world import FakeGitHub, github
from modelops.errors import ModelOpsError
from modelops.forges import Deployed
from modelops.forges.github import GitHub, session


@dataclass
class Scene:
    served: FakeGitHub
    forge: GitHub
    tip: str

    def show(self, *arms: Deployed, failed: tuple[int, ...] = (), model: str = "churn") -> int:
        return self.forge.deployed("production", model, self.tip, arms, failed)

    def shown(self) -> list[tuple[str, str]]:
        """Return the newest state and description of every deployment, in the order of their making."""
        return [
            (said[-1]["state"], said[-1]["description"])
            for _, said in sorted(self.served.deployment_statuses.items())
            if said
        ]


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01, 0.01))
    with github(world.remote) as served:
        clone = world.clone("ada")
        yield Scene(served, github_forge(served, clone, "ghs_of_app"), clone.tip("main"))


STABLE = Deployed(1, "success", "churn release 1 is stable")
CANARY = Deployed(2, "in_progress", "churn release 2: canary 25%, step 1")


def test_a_canary_is_shown_step_by_step(scene: Scene) -> None:
    """One deployment for each release, one status for each step, the former stable one ends."""
    assert scene.show(STABLE) == 2
    assert scene.show(STABLE, CANARY) == 2
    half = Deployed(2, "in_progress", "churn release 2: canary 50%, step 2")
    assert scene.show(STABLE, half) == 1
    assert scene.show(STABLE, half) == 0
    assert scene.show(Deployed(2, "success", "churn release 2 is stable")) == 2
    assert scene.shown() == [
        ("inactive", "churn release 1 is not used any more"),
        ("success", "churn release 2 is stable"),
    ]
    assert [one["auto_merge"] for one in scene.served.deployments] == [False, False]


def test_what_failed_is_shown_as_failed_and_a_way_back_is_a_new_one(scene: Scene) -> None:
    """A denied release failed; one that comes back after it ended is deployed once more."""
    scene.show(STABLE, CANARY)
    scene.show(STABLE, failed=(2,))
    assert scene.shown()[1] == ("failure", "churn release 2 was withdrawn")
    scene.show(Deployed(3, "success", "churn release 3 is stable"))
    scene.show(STABLE)
    assert [state for state, _ in scene.shown()] == ["inactive", "failure", "inactive", "success"]
    assert [one["payload"]["modelops"]["release"] for one in scene.served.deployments] == [1, 2, 3, 1]


def test_models_do_not_take_each_others_deployments(scene: Scene) -> None:
    """Two models in one environment: what is shown of one leaves the other alone, and people's deployments too."""
    scene.served.deployments.append({"id": 1, "sha": "x", "environment": "production", "payload": "by hand"})
    scene.served.deployment_statuses[1] = []
    scene.show(STABLE)
    scene.show(Deployed(7, "success", "risk release 7 is stable"), model="risk")
    assert [state for state, _ in scene.shown()] == ["success", "success"]
    assert scene.show(STABLE) == 0


@pytest.mark.parametrize("fault", ["lost", "drop", 502])
@pytest.mark.parametrize("part", ["/deployments", "/statuses"])
def test_an_answer_that_is_lost_is_looked_for(scene: Scene, part: str, fault: str | int) -> None:
    """Done or not, it is there once."""
    answer = (fault, {}, b"") if isinstance(fault, int) else fault
    scene.served.fault = lambda method, at, number: (
        answer if (method == "POST" and at.endswith(part) and number == 0) else None
    )
    scene.show(STABLE)
    assert scene.shown() == [("success", "churn release 1 is stable")]
    assert len(scene.served.deployments) == 1
    assert len(scene.served.deployment_statuses[1]) == 1


def test_a_token_that_may_not_is_told_which_permission_it_needs(scene: Scene) -> None:
    """The refusal is an error of the forge; who shows only reports it."""
    said = b'{"message": "Resource not accessible by integration"}'
    needed = {"X-Accepted-GitHub-Permissions": "deployments=write"}
    scene.served.fault = lambda method, at, number: (403, needed, said) if method == "POST" else None
    with pytest.raises(ModelOpsError) as caught:
        scene.show(STABLE)
    assert (caught.value.first.code, "deployments=write" in str(caught.value.first)) == ("forge-forbidden", True)
