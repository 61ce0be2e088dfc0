"""The inputs digest: what changes it and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelops.errors import ModelOpsError
from modelops.training import inputs_digest, spec_digest
from training.building_blocks import FEATURES, Workshop, changed, people, snapshot


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "team-b"},
        {"description": "Other words"},
        {"risk": "high"},
        {"gates": ["stricter"]},
        {"training__timeoutSeconds": 9},
        {"training__memoryMib": 999},
        {"serving__log": "off"},
        {"data__sensitive": ["country"]},
        {"data__features": [{**FEATURES[0], "description": "in euros"}, *FEATURES[1:]]},
    ],
)
def test_what_does_not_change_the_result_does_not_retrain(shop: Workshop, changes: dict[str, Any]) -> None:
    """Who owns the model, how it is judged, its limits and its prose are no inputs."""
    assert inputs_digest(shop.request(**changes)) == inputs_digest(shop.request())


@pytest.mark.parametrize(
    "changes",
    [
        {"training__seed": 4},
        {"training__threads": 2},
        {"training__parameters": {"trees": 6}},
        {"training__split": {"type": "hash"}},
        {"serving__threshold": 0.4},
        {"data__target": "band"},
        {"data__features": FEATURES[:2]},
        {"code": "def train(*_): ..."},
        {"files": {"helpers.py": b""}},
    ],
)
def test_what_changes_the_result_retrains(shop: Workshop, changes: dict[str, Any]) -> None:
    """Seeds, threads, parameters, split, threshold, features and any code file are inputs."""
    assert inputs_digest(shop.request(**changes)) != inputs_digest(shop.request())


def test_data_and_environment_are_inputs(shop: Workshop) -> None:
    """Other rows or another lock are another build; the digest itself is stable."""
    request = shop.request()
    digests = {
        inputs_digest(request),
        inputs_digest(changed(request, snapshot=snapshot(people(seed=1)))),
        inputs_digest(changed(request, lock=b"numpy==3\n")),
    }
    assert len(digests) == 3
    assert inputs_digest(shop.request()) in digests
    assert spec_digest(request.model.spec) != spec_digest(shop.request(training__seed=8).model.spec)


def test_an_entrypoint_that_is_not_there_is_named(shop: Workshop) -> None:
    """The model names the file it lacks."""
    with pytest.raises(ModelOpsError, match=r"has no file 'fit\.py'"):
        _ = shop.request(training__entrypoint="fit.py").entrypoint
