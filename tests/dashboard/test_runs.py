"""The page of runs: what the ledger of this machine has, failed ones too, and what is ticked side by side."""

from __future__ import annotations

from dashboard.conftest import Put, Site
from dashboard.reading import for_everybody
from dashboard.test_pages import SCRIPT, harmless
from modelops.project.workspace import open_workspace
from modelops.serving.guard.visible import ALL, Sight
from modelops.training.ledger import Run, append

MODEL = "churn"


def run(number: int, model: str = MODEL, **changes: object) -> Run:
    told = {
        "outcome": "ok",
        "problem": None,
        "message": None,
        "parameters": {"depth": number},
        "metrics": {"recall": 0.7},
    }
    told |= changes
    return Run(0, model, "2026-05-01T10:00:00Z", 1.5, inputs="sha256:0", artifact=None, build=None, data="q1", **told)  # type: ignore[arg-type]


def test_runs_are_listed_and_compared(put: Put) -> None:
    """Newest first, those that failed with their reason as text; ticked ones beside each other with what differs."""
    world = put()
    ledger = open_workspace(world.root, world.environ()).ledger
    before = len(Site(world).read("runs.html").each("input", type="checkbox"))
    first = append(ledger, run(3))
    failed = append(
        ledger, run(5, outcome="failed", problem="training-failed", message=f"no {SCRIPT}\nin a line", metrics={})
    )
    other = append(ledger, run(1, "payments/others"))
    site = Site(world)
    shown = site.read("runs.html")
    harmless(shown)
    for_everybody(shown)
    numbers = [one.attributes["id"] for one in shown.each("input", type="checkbox")]
    assert numbers[:3] == [f"run-{other}", f"run-{failed}", f"run-{first}"]
    assert len(numbers) == before + 3
    assert f"no {SCRIPT}" in shown.text
    assert not shown.each("section", **{"aria-labelledby": "beside"})
    beside = site.pages.page("runs.html", {f"run-{first}": "1", f"run-{failed}": "1"}, ALL)
    compared = site.read("runs.html", **{f"run-{first}": "1", f"run-{failed}": "1"})
    assert beside.status == 200
    table = compared.one("section", **{"aria-labelledby": "beside"}).each("table")[0]
    assert [cell.text for cell in table.one_row("depth").each("td")] == ["3", "5"]


def test_a_key_for_some_models_sees_their_runs_alone(put: Put) -> None:
    """Neither the list nor a question by number tells of others."""
    world = put()
    ledger = open_workspace(world.root, world.environ()).ledger
    mine, hidden = append(ledger, run(3)), append(ledger, run(1, "payments/others"))
    shown = Site(world).read("runs.html", Sight(frozenset({"churn"})), **{f"run-{mine}": "1", f"run-{hidden}": "1"})
    assert f"run-{mine}" in {one.attributes["id"] for one in shown.each("input", type="checkbox")}
    assert f"run-{hidden}" not in {one.attributes["id"] for one in shown.each("input", type="checkbox")}
    assert "payments" not in shown.text
    assert not shown.each("section", **{"aria-labelledby": "beside"})


def test_a_page_of_git_alone_has_no_ledger(put: Put) -> None:
    """A static site is the same wherever it is made, so it says where runs are instead."""
    world = put()
    append(open_workspace(world.root, world.environ()).ledger, run(3))
    shown = Site(world, static=True).read("runs.html")
    assert not shown.each("input", type="checkbox")
    assert "modelops runs list" in shown.text
