"""From drifted traffic to a retraining pull request that builds; and releases rebuilt from git."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_world import git
from modelops.changes.references import holdout_of
from modelops.project.workspace import model_entry, snapshot_of
from modelops.spec.address import Address
from modelops.targets import Site, local
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import local_clock_settles, monitored

Live = Callable[[str], World]


def written_as_told(world: World) -> None:
    """Hold the reports against what the verb says: JSON to the byte, and the page and Markdown of the same window."""
    for ending in ("json", "md", "html"):
        done = world.run("monitor", "production", "--yes", "-o", "json", "--report", f"window.{ending}")
        assert (done.code, f"wrote window.{ending}" in done.err) == (1, True), done.err
        text = (world.root / f"window.{ending}").read_text(encoding="utf-8")
        (world.root / f"window.{ending}").unlink()
        (found,) = done.json
        amount = next(one for one in found["report"]["features"] if one["name"] == "amount")
        assert sum(one["window"] for one in amount["distribution"]) == found["report"]["rows"] > 0
        assert [one["until"] for one in found["earlier"]] == ["2026-03-02T12:00:00Z"]
        if ending == "json":
            assert text == done.out
        else:
            assert "would retrain, but 0 of 50 labelled rows of the last 30 days" in text
            assert all(one["name"] in text for one in amount["distribution"])
    for name, said in (("window.pdf", "ends in .pdf"), ("window", "has no ending"), ("no/w.md", "no is not a folder")):
        done = world.run("monitor", "production", "--yes", "--report", name)
        assert (done.code, said in done.err, done.out) == (2, True, ""), done.err


def test_drift_opens_one_pull_request_that_builds(live: Live) -> None:
    """Quiet traffic opens nothing; drifted, labelled traffic opens one pull request, and no second one too soon."""
    world = live("promoted")
    world.reconcile()
    world.ask(120)
    world.at("2026-03-02T12:00:00Z")
    code, found = monitored(world)
    assert (code, found["pullRequest"]) == (0, None)

    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    answers = world.ask(200, shift=3.0)
    world.at("2026-04-10T12:00:00Z")
    code, found = monitored(world)
    assert (code, found["pullRequest"]) == (1, None)
    assert "would retrain, but 0 of 50 labelled rows of the last 30 days" in json.dumps(found["retraining"])
    written_as_told(world)
    world.label(answers)
    code, found = monitored(world)
    number = found["pullRequest"]
    assert (code, isinstance(number, int)) == (1, True), found["retraining"]
    pull = world.workspace().forge.get(int(str(number)))
    assert "amount" in pull.body
    changed = git(world.remote, "diff", "--name-only", "main", pull.head).splitlines()
    names = sorted(Path(path).name for path in changed)
    snapshot = names[2].removesuffix(".yaml")
    assert names == ["model.yaml", f"{snapshot}.sigstore.json", f"{snapshot}.yaml"]
    assert re.fullmatch(r"production-[0-9a-f]{12}", snapshot)
    assert "served_at" in git(world.remote, "show", f"{pull.head}:models/{MODEL}/data/{snapshot}.yaml")
    assert pull.source == f"modelops/retrain/{MODEL}/{snapshot}"

    world.at("2026-04-11T12:00:00Z")
    code, found = monitored(world)
    assert (code, found["pullRequest"]) == (1, None)
    assert "already open" in json.dumps(found["retraining"])
    world.ok("pr", "close", str(number))
    code, found = monitored(world)
    assert found["pullRequest"] is None
    twice = "cooling down until 2026-05-08T12:00:00Z, twice as long for each of 1 rejected"
    assert twice in json.dumps(found["retraining"])


def test_old_predictions_are_dropped_when_nobody_needs_them(live: Live) -> None:
    """With logDays the monitor drops whole days, but none that its own window or a retraining looks back to."""
    world = live("promoted")
    path = "policies/environments/production.yaml"
    world.approved({path: world.show(path).rstrip() + "\n  logDays: 7\n"}, "Keep a week of predictions")
    world.reconcile()
    world.at("2026-03-02T12:00:00Z")
    local_clock_settles()
    world.ask(5)
    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    world.ask(5)
    log = world.runtime() / "predictions"

    def days() -> set[str]:
        return {file.name.split("-w")[0] for file in log.glob("*.sqlite")}

    world.at("2026-03-21T12:00:00Z")
    monitored(world)
    both = days()
    world.at("2026-04-10T12:00:00Z")
    monitored(world)
    assert (len(both), len(days())) == (2, 1)
    assert days() < both

    # After a whole window without a request nothing is known any more, and that is no success.
    world.at("2026-04-21T12:00:00Z")
    code, found = monitored(world)
    assert (code, "no request came in 30 days" in str(found["silent"])) == (1, True)
    text = world.run("monitor", "production", "--yes").out
    assert "silent: no request came in 30 days, and release 1 takes the traffic since 2026-03-01T12:00:00Z" in text


def test_the_rows_that_tested_a_release_are_those_of_its_build(live: Live) -> None:
    """They come from store and snapshot in the order of their predictions; without the build the monitor says why."""
    world = live("promoted")
    path = f"models/{MODEL}/monitor.yaml"
    watched = "  reference: {of: holdout}\n  performance: {metric: accuracy, minimum: 0.5, estimate: true}\n"
    world.approved({path: world.show(path).rstrip() + "\n" + watched}, "Estimate")
    world.reconcile()
    workspace = world.workspace()
    tip, graph = workspace.desired()
    entry = model_entry(graph, MODEL)
    release = entry.releases[1].spec
    held = holdout_of(workspace, graph, tip, entry, release, snapshot_of(entry, release.data.snapshot))
    tensors = [
        {"name": name, "shape": [held.rows.num_rows], "datatype": kind, "data": held.rows.column(name).to_pylist()}
        for name, kind in (("amount", "FP64"), ("country", "BYTES"))
    ]
    asked = urllib.request.Request(
        f"{world.url()}/v2/models/{MODEL}/infer",
        json.dumps({"inputs": tensors, "parameters": {"entity_id": "c"}}).encode(),
    )
    with urllib.request.urlopen(asked) as answer:
        outputs = {one["name"]: one["data"] for one in json.load(answer)["outputs"]}
    assert outputs["label"] == held.predictions.y_pred.astype(int).tolist()
    assert outputs["probability"] == pytest.approx(held.predictions.y_score.tolist(), abs=1e-6)
    assert held.rows.column("churned").to_pylist() == held.predictions.y_true.astype(int).tolist()

    world.at("2026-03-02T12:00:00Z")
    local_clock_settles()
    world.ask(120)
    world.at("2026-03-20T12:00:00Z")
    report: Any = monitored(world)[1]["report"]
    many = held.rows.num_rows
    assert report["against"] == f"the {many} rows that tested release 1"
    assert f"of which there are {120 + many} and {many}" in str(report["estimated"])
    digest = release.build.removeprefix("sha256:")
    (blob,) = [each for each in (world.root / ".modelops").rglob(f"*{digest}*") if each.is_file()]
    blob.unlink()
    report = monitored(world)[1]["report"]
    said = str(report["findings"])
    assert "The metric is not estimated, for the holdout cannot be had: " in said
    assert "Drift is not scored: the holdout cannot be had: " in said


def test_monitor_needs_something_to_watch(live: Live) -> None:
    """A model without a stable release is not watched; an unknown environment is named."""
    world = live("released")
    assert world.ok("monitor", "production", "--yes").out.strip() == "no monitored model is stable in production"
    done = world.run("monitor", "moon", "--yes")
    assert (done.code, "[unknown-environment]" in done.err) == (2, True)


@pytest.mark.slow
def test_the_retraining_pull_request_builds(live: Live) -> None:
    """What the monitor proposes can be built from its branch, on the rows it took."""
    world = live("promoted")
    world.reconcile()
    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    world.label(world.ask(200, shift=3.0))
    world.at("2026-04-10T12:00:00Z")
    _, found = monitored(world)
    pull = world.workspace().forge.get(int(str(found["pullRequest"])))
    git(world.root, "fetch", "-q")
    git(world.root, "checkout", "-q", "--detach", pull.head)
    built = world.run("build", "--since", "origin/main", "-o", "json")
    assert built.code in (0, 1), built.err
    (row,) = built.json
    assert (row["model"], len(row["metrics"]) > 0) == (MODEL, True)


@pytest.mark.slow
def test_a_release_is_reproduced(live: Live) -> None:
    """The rebuild from git, into an empty store, is identical to the byte."""
    world = live("released")
    done = world.ok("reproduce", MODEL, "1", "-o", "json")
    assert done.json["identical"] is True
    assert {row["what"] for row in done.json["comparison"]} >= {"artifact", "inputs", "code tree", "metric roc-auc"}
    done = world.run("reproduce", MODEL, "7")
    assert (done.code, "[unknown-release]" in done.err) == (2, True)


def test_data_that_changed_on_disk_is_named(live: Live) -> None:
    """A release cannot be rebuilt from other rows: the file that changed is named."""
    world = live("released")
    rows = world.root / "data" / "rows.csv"
    rows.write_text(rows.read_text().replace(",DE,", ",FR,", 1))
    shutil.rmtree(world.root / ".modelops" / "cache")
    done = world.run("reproduce", MODEL, "1")
    assert (done.code, "rows.csv" in done.err) == (3, True), done.err


@pytest.mark.slow
def test_other_code_is_never_identical(live: Live) -> None:
    """A release that names a commit with other code is told apart by every digest."""
    world = live("released")
    world.change_model([("C: 1.0", "C: 0.9")], "softer")
    path = f"models/{MODEL}/releases/1/release.yaml"
    text = world.show(path)
    old = text.split("commit:")[1].split()[0].strip('",}')
    world.push({path: text.replace(old, world.tip()) + "\n"}, "Forge the release")
    done = world.run("reproduce", MODEL, "1")
    assert done.code == 1
    assert "! artifact" in done.out
    assert "NOT identical" in done.out


def test_serve_takes_its_table_from_elsewhere(live: Live) -> None:
    """With --table the routes come from that file, as from a ConfigMap, and the log stays in the runtime folder."""
    world = live("promoted")
    table = world.folder / "etc" / "routes.json"
    table.parent.mkdir()
    (world.runtime() / "routes.json").rename(table)
    store = world.root / ".modelops" / "store"
    words = ["--table", str(table), "--runtime", str(world.runtime()), "--store", str(store), "--port", "0"]
    server = world.process("-m", "modelops", "serve", "production", *words)
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        assert "serving production on http" in line
        (world.runtime() / "server.json").write_text(json.dumps({"port": int(line.rpartition(":")[2])}))
        while not local.observe(local.Params(), Site("production", table.parent, Address(f"oci-layout:{store}"))).arms:
            (table.parent / "server.json").write_text((world.runtime() / "server.json").read_text())
        assert world.release_answering() == 1
        assert (world.runtime() / "predictions").exists()
        assert not (table.parent / "predictions").exists()
    finally:
        server.kill()
        server.communicate()
    done = world.run("serve", "production", "--table", str(world.folder / "none.json"))
    assert (done.code, "[no-routing-table]" in done.err) == (3, True)
