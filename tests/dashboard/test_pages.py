"""What pages show is what the verbs say, and every page can be reached, is whole and runs nothing of anybody else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from assets.kept import ASSETS, MODEL, prediction_ids
from dashboard.conftest import Put, Site
from dashboard.reading import Read, for_everybody, read
from git_world import git
from modelops.dashboard import links
from modelops.dashboard.look import House
from modelops.dashboard.pages import Pages
from modelops.forges import github
from modelops.project.workspace import open_workspace
from modelops.serving.guard.visible import Sight
from world.hostile import PRODUCTION, Hostile

SCRIPT = "<script>alert(1)</script>"


def harmless(page: Read) -> None:
    """Hold a page against what its policy lets a browser do: our scripts, our one style, nothing inline."""
    scripts = [one.attributes for one in page.each("script")]
    assert [sorted(one) for one in scripts[:1]] == [["defer", "src"]], scripts
    assert scripts[0]["src"].endswith("static/search.js")
    assert [sorted(one) for one in scripts[1:]] in ([], [["data-live", "data-of", "src"]]), scripts
    assert all(one["src"].endswith("static/live.js") for one in scripts[1:])
    for element in page.each():
        assert element.tag not in ("style", "iframe", "object", "embed", "base"), element
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"], element
        for name in ("href", "src", "action"):
            assert urlsplit(element.attributes.get(name, "")).scheme in ("", "https"), element


def test_every_page_is_reached_from_home_and_whole(site: Site, on_trial: Hostile) -> None:
    """Every page that a page leads to is there, whole, harmless, usable, and names no place of this machine."""
    found = site.crawl()
    kinds = {path.partition("/")[0] for path in found}
    alone = {"index.html", "audit.html", "runs.html", "maturity.html"}
    assert kinds == alone | {"model", "release", "seat", "commit", "by"}
    for path, page in found.items():
        assert page.status == 200, path
        shown = read(page.html)
        harmless(shown)
        for_everybody(shown)
        assert str(on_trial.folder) not in page.html
        assert "None" not in shown.text, (path, re.findall(".{40}None.{40}", shown.text))
        for link in shown.each("a"):
            where = urlsplit(link.attributes["href"])
            if where.path and not where.scheme:
                assert str((Path("/") / Path(path).parent / where.path).resolve()).lstrip("/") in page.leads | {path}


def test_home_says_how_every_seat_stands(site: Site, on_trial: Hostile) -> None:
    """Home has the conditions of status for every model in every environment, and what is on trial."""
    page = site.read()
    told = on_trial.run("status", "-o", "json")
    conditions = {one["environment"]: one["conditions"] for one in json.loads(told.out)}
    assert [one.text for one in page.one("table", id="models").each("th", scope="col")][3:] == list(conditions)
    row = page.one("table", id="models").one_row(MODEL)
    assert "2 + 3" in row.text
    for found in conditions["production"]:
        assert found["message"] in page.text


def test_a_model_shows_the_numbers_of_its_releases(site: Site, on_trial: Hostile) -> None:
    """The model's page has every release with metrics and intervals as its file says, and a picture for each metric."""
    status = json.loads(on_trial.run("status", MODEL, "-o", "json").out)
    page = site.read(links.model(MODEL))
    pictures = page.each("svg", **{"class": "course"})
    assert 1 <= len(pictures) <= 4
    for release in status["releases"]:
        number, metrics = release["release"], release["metrics"]
        row = next(
            one for one in page.each("tr") if one.each("th", scope="row") and one.each("th")[0].text == str(number)
        )
        assert release["snapshot"] in row.text
        assert any(f"{value:.4g} [" in row.text for value in metrics.values())


def test_the_running_rollout_says_what_rollout_status_says(site: Site, on_trial: Hostile) -> None:
    """Arms, requests, guards and what it waits for are those of `rollout status`."""
    told = json.loads(on_trial.run("rollout", "status", MODEL, "production", "-o", "json").out)
    page = site.read(links.seat(MODEL, "production"))
    assert told["rollout"] is not None
    for arm in told["arms"]:
        assert f"release {arm['release']}" in page.text
        assert f"{arm['weight'] * 100:.1f} %" in page.text
        assert f"{arm['requests']:,}" in page.text
    for check in told["checks"]:
        assert check["reason"] in page.text


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_release_shows_everything_that_its_gates_found(site: Site, on_trial: Hostile, number: int) -> None:
    """Every verdict with its reason, every metric, and whether it is proven are as `audit release` says."""
    told = json.loads(on_trial.run("audit", "release", MODEL, str(number), "-o", "json").out)
    page = site.read(links.release(MODEL, number))
    gates = page.each("article", **{"class": "gate"})
    assert len(gates) == len(told["verdicts"])
    for verdict in told["verdicts"]:
        mine = next(gate for gate in gates if f"{verdict['policy']}/{verdict['gate']}" in gate.text)
        assert verdict["reason"] in mine.text
        assert verdict["verdict"] in mine.text
    for metric in told["metrics"]:
        assert f"{metric['value']:.4g} [{metric['lower']:.4g}, {metric['upper']:.4g}]" in page.text
    assert ("verified" if told["trust"]["ok"] else "not proven") in page.text
    assert told["artifact"] in page.text


def test_a_timeline_has_every_change_with_its_commit_and_pull_request(site: Site, on_trial: Hostile) -> None:
    """Every commit that changed what a seat runs is there, newest first, with the pull request of its record."""
    page = site.read(links.seat(MODEL, "production"))
    changed = on_trial.git("log", "--first-parent", "--format=%h", "--", PRODUCTION).split()
    turns = page.one("ol", **{"class": "timeline"}).each("li")
    shown = [turn.each("a", **{"class": "commit"})[0].text for turn in turns]
    assert [one[:7] for one in shown] == [one[:7] for one in changed if one[:7] in {each[:7] for each in shown}]
    assert "release 3 became candidate" in turns[0].text
    assert re.search(r"pull request #\d+", turns[0].text)
    assert "became stable" in turns[-2].text or "became stable" in turns[-1].text


def test_a_commit_of_the_branch_has_a_page_and_no_other_has(site: Site, on_trial: Hostile) -> None:
    """A commit says who made it and what it changed; one that the branch does not have is nobody's business."""
    tip = git(on_trial.origin, "rev-parse", "main")
    assert site.get(links.commit(tip)).status == 200
    on_trial.git("commit", "-q", "--allow-empty", "-m", "Mine alone")
    mine = on_trial.git("rev-parse", "HEAD")
    on_trial.git("reset", "-q", "--hard", "HEAD~1")
    assert site.get(links.commit(mine)).status == 404
    assert site.get("commit/main.html").status == 404
    assert site.get(links.commit(tip), Sight(frozenset({MODEL}))).status == 404


def test_a_prediction_typed_in_is_answered_with_the_chain(site: Site, on_trial: Hostile) -> None:
    """The answer, the release and who put it there are what `audit prediction` says."""
    id = prediction_ids(ASSETS[0])[0]
    told = json.loads(on_trial.run("audit", "prediction", id, "-o", "json").out)
    page = site.read("audit.html", id=f" {id} ")
    chain = page.one("ol", **{"class": "chain"})
    assert len([one for one in chain.inside if not isinstance(one, str)]) == 3
    assert f"{told['model']} release {told['release']}" in chain.text
    assert f"score {told['score']:.4g}" in chain.text
    assert all(str(value) in chain.text for value in told["features"].values() if value is not None)
    found = site.read("audit.html", entity=told["entity"])
    assert id in found.text
    assert re.search(r"\d+ predictions? about", found.text)


def test_what_is_not_known_is_said(site: Site) -> None:
    """An unknown id, entity, environment or date is answered with a reason, and no page fails."""
    for query, status, said in (
        ({"id": "nobody"}, 404, "unknown-prediction"),
        ({"id": SCRIPT}, 404, "alert(1)"),
        ({"entity": "nobody"}, 200, "0 predictions about nobody"),
        ({"environment": "nowhere", "at": "2026-05-01"}, 404, "unknown-environment"),
        ({"environment": "production", "at": "yesterday"}, 404, "bad-instant"),
        ({"environment": "production", "at": "1970-01-01"}, 404, "no-commit-then"),
    ):
        answer = site.get("audit.html", **query)
        page = read(answer.html)
        harmless(page)
        assert (answer.status, said in page.text) == (status, True), (query, page.text)


def test_the_time_machine_says_what_ran_then(site: Site, on_trial: Hostile) -> None:
    """What ran on a day is what `audit environment` says."""
    when = on_trial.git("log", "-1", "--format=%cI", "--before=2026-05-05", "origin/main")
    told = json.loads(on_trial.run("audit", "environment", "production", "--at", when, "-o", "json").out)
    page = site.read("audit.html", environment="production", at=when)
    for model in told["models"]:
        if model["stable"] is not None:
            assert f"stable: release {model['stable']['release']}" in page.text


def test_paths_that_lead_nowhere_are_not_found(site: Site) -> None:
    """No path reaches anything but a page."""
    for path in (
        "../etc/passwd", "model/nobody.html", f"model/{MODEL}", f"release/{MODEL}/99.html", f"release/{MODEL}/x.html",
        f"seat/{MODEL}/nowhere.html", "by/owner/nobody.html", "by/nothing/x.html", "index.2.html", "index.0.html",
        "by/owner/%3Cscript%3E.html", "static/../look.py", f"release/{MODEL}/{'9' * 5000}.html", "model/.html",
    ):  # fmt: skip
        assert site.get(path).status == 404, path


def test_a_search_finds_by_words_and_needs_no_script(site: Site) -> None:
    """The server narrows the list to the models that have every word."""
    assert site.read(q="churn").one("table", id="models").one_row(MODEL)
    nothing = site.read(q=f"churn {SCRIPT}")
    harmless(nothing)
    assert "No model matches" in nothing.text


def test_hostile_values_are_shown_and_do_nothing(put: Put) -> None:
    """Names, texts and files that people push are text on the page, whatever is in them; one model's are its own."""
    world = put()
    path = f"models/{MODEL}/model.yaml"
    text = world.text(path)
    evil = f'"{SCRIPT} \\u202Egnp.exe\\u202C שלום {"x" * 200}"'
    world.push(
        "Describe <img src=x onerror=alert(1)>",
        {path: re.sub(r"description: .*", lambda _: f"description: {evil}", text, count=1)},
    )
    world.push("Add one", {f"models/{SCRIPT.replace('/', '')}/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    world.push("And another", {f"models/{'n' * 200}/model.yaml": "kind: <b>x</b>\n"})
    site = Site(world)
    for path, page in site.crawl().items():
        assert page.status == 200, path
        shown = read(page.html)
        harmless(shown)
        assert not shown.each("b")
        assert not shown.each("img")
        assert "\u202e" not in page.html
    home = site.read()
    assert "<script>alert(1)<script>" in home.text
    assert "n" * 200 in home.text
    assert "that nobody approved" in home.text


def test_a_wrong_file_hurts_its_own_model_alone(put: Put) -> None:
    """A file that cannot be read is told first, with its place, and the pages of others stay as they are."""
    world = put()
    world.push("Slip", {PRODUCTION: world.text(PRODUCTION).replace("name: production", "name: prodction")})
    world.push("Add payments", {"models/payments/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    site = Site(world)
    home = site.read()
    first = home.one("table", id="models").one_row(MODEL)
    assert "Stalled" in first.text
    assert "payments" in home.text
    page = site.read(links.model("payments"))
    assert "models/payments/model.yaml" in page.text
    assert site.get(links.seat(MODEL, "production")).status == 200


def test_without_data_or_history_pages_say_what_is_missing(put: Put, tmp_path: Path) -> None:
    """A repository without a project, and a clone without its history, are shown as what they are."""
    empty = tmp_path / "empty"
    git(tmp_path, "init", "-q", "-b", "main", str(empty))
    git(empty, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "Begin")
    for static in (False, True):
        pages = Pages(House(open_workspace(empty, {}), observed=not static), static=static)
        page = pages.page("index.html")
        assert page.status == 503
        assert "policies/project.yaml" in read(page.html).text
    world = put()
    shallow = world.folder / "shallow"
    git(world.folder, "clone", "-q", "--depth=1", f"file://{world.origin}", str(shallow))
    pages = Pages(House(open_workspace(shallow, world.environ())))
    assert "shallow" in read(pages.page("index.html").html).text
    assert "fetch --unshallow" in read(pages.page(links.model(MODEL)).html).text


@pytest.mark.slow
def test_a_key_for_some_models_sees_nothing_of_others(put: Put) -> None:
    """Models that a key may not use are in no list, no count, no answer and on no page."""
    world = put()
    world.push("Add payments", {"models/payments/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    site = Site(world)
    mine, none = Sight(frozenset({"payments"})), Sight(frozenset())
    for path in site.crawl():
        page = site.get(path, mine)
        if MODEL in path or path.startswith("commit/"):
            assert page.status == 404, path
        else:
            assert MODEL not in page.html, path
    id = prediction_ids(ASSETS[0])[0]
    assert site.get("audit.html", mine, id=id).status == 404
    told = json.loads(world.run("audit", "prediction", id, "-o", "json").out)
    assert "0 predictions" in site.read("audit.html", mine, entity=told["entity"]).text
    assert "0 models" in site.read("index.html", none).text


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"repository": "team/models"}, "https://github.com/team/models"),
        ({"repository": "t/m", "api_url": "https://api.eu.ghe.com"}, "https://eu.ghe.com/t/m"),
        ({"repository": "t/m", "api_url": "https://git.example/api/v3"}, "https://git.example/t/m"),
    ],
)
def test_commits_and_pull_requests_lead_to_the_forge(put: Put, params: dict[str, str], expected: str) -> None:
    """Where the project's forge has pages, every commit and pull request leads there, and nobody asks it for them."""
    site = Site(put(), static=True)
    site.pages.elsewhere = links.Elsewhere(github.pages(github.Params(**params)))
    page = site.read(links.seat(MODEL, "production"))
    out = [link.attributes["href"] for link in page.each("a", **{"class": "out"})]
    assert f"{expected}/pull/6" in out
    assert any(re.fullmatch(rf"{re.escape(expected)}/commit/[0-9a-f]{{40}}", link) for link in out)


def test_the_forge_of_the_project_says_where_its_pages_are(put: Put) -> None:
    """A project on GitHub leads to its pages there; the embedded forge has none."""
    world = put()
    assert links.elsewhere(open_workspace(world.root, world.environ())).root is None
    text = world.text("policies/project.yaml")
    hosted = text.replace("forge: {type: embedded}", "forge: {type: github, params: {repository: team/models}}")
    assert hosted != text
    (world.root / "policies" / "project.yaml").write_text(hosted)
    dirty = open_workspace(world.root, world.environ(), dirty=True)
    assert links.elsewhere(dirty).root == "https://github.com/team/models"
