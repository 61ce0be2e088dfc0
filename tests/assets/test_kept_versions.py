"""What a released version wrote is read by this one: repository, evidence, store, prediction log, running rollout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from assets.kept import MODEL, Kept, Revive, prediction_ids
from git_world import git
from modelops import predictions
from modelops.artifacts import open_artifact
from modelops.spec.load import load_resource
from modelops.stores import oci_layout
from world.shop import customers

STABLE = (("2026-03-15", 1), ("2026-04-20", 1), ("2026-05-01", 2), ("2026-05-06", 2))
"""What took production's traffic on which day."""


BUILT_WITH = (3, 11)
"""The Python that the releases of all assets were built with."""


def said(kept: Kept, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
    """Return what a verb says as JSON."""
    return json.loads(kept.ok(*words, "-o", "json", codes=codes).out)


def test_it_is_valid(ended: Kept) -> None:
    """Every file at the tip passes today's schemas and rules."""
    ended.ok("validate")


def test_status_knows_where_it_stands(ended: Kept) -> None:
    """Both environments are known, nothing is stalled, and the releases and runs of the model are listed."""
    states = {state["environment"]: state for state in said(ended, "status")}
    assert {"staging", "production"} <= set(states)
    conditions = [condition for state in states.values() for condition in state["conditions"]]
    assert {condition["model"] for condition in conditions} == {MODEL}
    assert not [condition for condition in conditions if condition["type"] == "Stalled"]
    told = ended.ok("status", MODEL).out
    assert all(f"release {number}:" in told for number in (1, 2, 3))
    assert told.count("run 2026-") == 6


@pytest.mark.parametrize(("environment", "release"), [("staging", 3), ("production", 2)])
def test_all_that_is_to_do_is_to_serve(ended: Kept, environment: str, release: int) -> None:
    """No history, record or artifact is in the way: the server of the stable release is down and nothing else."""
    entries = said(ended, "plan", environment)["entries"]
    (entry,) = [entry for entry in entries if entry["action"] == "Serve"]
    assert not {"Blocked", "Restore", "RecordPromotion", "SetStep"} & {entry["action"] for entry in entries}
    assert [arm["release"] for arm in entry["table"]["models"][MODEL]["arms"]] == [release]


@pytest.mark.skipif(
    sys.version_info[:2] != BUILT_WITH, reason=f"built with Python {BUILT_WITH}, which is one of the inputs of a build"
)
def test_no_model_is_to_be_trained_again(ended: Kept) -> None:
    """The inputs of the newest release still have the digest that was recorded."""
    assert said(ended, "plan")["entries"] == []


@pytest.mark.parametrize(("day", "release"), STABLE)
def test_an_auditor_learns_what_ran(ended: Kept, day: str, release: int) -> None:
    """For each day the release, its approval and its verified evidence are named."""
    (found,) = said(ended, "audit", "environment", "production", "--at", day)["models"]
    assert (found["stable"]["release"], found["stable"]["ok"]) == (release, True)
    assert [approval["login"] for approval in found["stable"]["promotion"]["approvals"]] == ["grace"]


def test_a_denied_release_stays_denied(ended: Kept) -> None:
    """The release that failed its rollout is named as denied, and cannot be promoted."""
    (found,) = said(ended, "audit", "environment", "production", "--at", "2026-05-06")["models"]
    assert [denied["release"] if isinstance(denied, dict) else denied for denied in found["denied"]] == [3]
    assert "denied" in ended.run("promote", MODEL, "--to", "production", "--release", "3", "--yes").err


@pytest.mark.parametrize("number", [1, 2, 3])
def test_evidence_of_a_release_is_verified(ended: Kept, number: int) -> None:
    """Signatures, files and the store's bytes agree with what was signed."""
    found = said(ended, "audit", "release", MODEL, str(number))
    assert found["ok"] is True
    assert found["approval"]["approvals"][0]["login"] == "grace"
    assert {verdict["verdict"] for verdict in found["verdicts"]} == {"pass"}
    assert "evidence verified, signed by local" in ended.ok("audit", "release", MODEL, str(number)).out


def test_a_prediction_is_traced(ended: Kept, asset: Path) -> None:
    """From the id of an answer an auditor gets to features, release, data and approval."""
    releases = [said(ended, "audit", "prediction", id)["release"] for id in prediction_ids(asset)]
    assert releases == [1, 2, 2]
    first = said(ended, "audit", "prediction", prediction_ids(asset)[0])
    assert first["features"] == {"calls_to_support": 3, "monthly_fee": 42.32, "paperless": True, "plan": "business"}
    assert first["madeBy"]["data"]["snapshot"] == "initial"


def test_the_prediction_log_is_read(ended: Kept, asset: Path) -> None:
    """All rows of all files are counted, read as tables with labels, and found by id."""
    log = ended.runtime() / "predictions"
    assert predictions.count(log) >= 700
    table = predictions.read_window(log, MODEL)
    assert table.num_rows == predictions.count(log, MODEL)
    assert set(table.column("truth").to_pylist()) == {"yes", "no", None}
    found = predictions.find(log, prediction_ids(asset)[1])
    assert found is not None
    assert predictions.find(log, "0" * 32) is None


def test_days_of_the_log_are_exported(ended: Kept, tmp_path: Path) -> None:
    """Every day of traffic becomes one Parquet file."""
    ended.ok("audit", "export", "production", str(tmp_path / "lake"))
    days = sorted(path.name for path in (tmp_path / "lake").rglob("*.parquet") if "_chains" not in path.parts)
    assert [name.partition("day=")[2][:10] for name in days] == ["2026-03-10", "2026-04-20", "2026-04-21", "2026-05-05"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_artifacts_come_out_of_the_store(ended: Kept, number: int) -> None:
    """What a release names by digest is there with these very bytes, and is a model that can be opened."""
    path = f"models/{MODEL}/releases/{number}/release.yaml"
    text = git(ended.origin, "show", f"main:{path}") + "\n"
    digest = said(ended, "audit", "release", MODEL, str(number))["artifact"]
    assert digest in text
    assert load_resource(text.encode(), path).spec is not None
    store = oci_layout.open(oci_layout.Params(), ended.root)
    assert store.has(digest)
    assert open_artifact(store, digest).files


@pytest.mark.parametrize(("outcome", "arms"), [("succeeded", (1, 2)), ("failed", (2, 3))])
def test_an_ended_rollout_is_replayed(ended: Kept, outcome: str, arms: tuple[int, int]) -> None:
    """From signed evidence and the log a rollout is decided again, beside what was decided then."""
    hint = ended.run("rollout", "replay", MODEL, "production", "--salt", "none").err
    told = []
    for salt in hint.partition("salts that are: ")[2].split("\n")[0].split(", "):
        # Whether today's statistics agree with those of then is not the question here.
        found = said(ended, "rollout", "replay", MODEL, "production", "--salt", salt, "--every", "150", codes=(0, 1))
        told.append((found["recorded"]["outcome"], (found["arms"]["stable"], found["arms"]["candidate"])))
        assert [step["step"] for step in found["steps"]] == list(range(1, len(found["steps"]) + 1))
        assert "none" not in {step["recorded"] for step in found["steps"]}
        assert not found["missing"]
    assert (outcome, arms) in told


def test_no_rollout_runs_any_more(ended: Kept) -> None:
    """After the rollouts ended, status names the release that takes the traffic."""
    assert "release 2, 100.0% of the traffic" in ended.ok("rollout", "status", MODEL, "production").out


def test_data_snapshots_are_compared(ended: Kept) -> None:
    """The first snapshot and the one of the retraining are shown and compared."""
    names = sorted(path.stem for path in (ended.root / "models" / MODEL / "data").glob("*.yaml"))
    assert len(names) == 2
    assert "400" in ended.ok("data", "show", MODEL, names[0]).out
    assert "monthly_fee" in ended.ok("data", "diff", MODEL, *names, codes=(0, 1)).out


def test_pull_requests_are_listed(ended: Kept) -> None:
    """The embedded forge shows all of them with their reviews."""
    pulls = said(ended, "pr", "list", "--state", "all")
    assert [pull["state"] for pull in pulls] == ["merged"] * 6
    assert "grace" in ended.ok("pr", "view", "3").out


def test_a_running_rollout_is_shown(on_trial: Kept) -> None:
    """Arms, weights and what has been counted since it began are those of the version that began it."""
    told = on_trial.ok("rollout", "status", MODEL, "production").out
    assert "release 2, 70.0% of the traffic; 18 requests" in told
    assert "release 3, 30.0% of the traffic; 12 requests" in told


def test_a_running_rollout_goes_on(reviving: Revive) -> None:
    """Begun by that version, steered by this one: the same arms serve, the log grows, and harm ends the trial."""
    kept = reviving(on_trial=True)
    before = predictions.count(kept.runtime() / "predictions")
    (entry,) = said(kept, "plan", "production")["entries"]
    arms = entry["table"]["models"][MODEL]["arms"]
    assert [(arm["release"], arm["weight"]) for arm in arms] == [(2, 0.7), (3, 0.3)]
    kept.reconcile()
    kept.ask(customers(120, 30), strange=True)
    assert predictions.count(kept.runtime() / "predictions") == before + 120
    kept.reconcile(codes=(0, 1))
    assert "release: 3" in kept.deployment()
    assert "stable: 2" in kept.deployment()
    assert "evidence verified" in kept.ok("audit", "environment", "production", "--at", kept.now()).out
