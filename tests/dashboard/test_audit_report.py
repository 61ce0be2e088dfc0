"""A report of an audit is one page that needs nothing else, says what the answer says, and is dated."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from assets.kept import ASSETS, MODEL, prediction_ids
from conftest import Golden
from dashboard.reading import Read, for_everybody, read
from dashboard.test_build_report import CURVES
from dashboard.test_reports import cells, outline, plain
from modelops.dashboard.reports import audited
from modelops.markup import plain as harmless
from modelops.serving.guard.visible import without_paths
from modelops.views.reports.audited import Answer, Asked, report
from views import answers as said
from views import listed_answers as listed
from views import loop_answers as loop
from views import told_answers as told
from views.loop_answers import HOSTILE
from world.hostile import Hostile

ASKED = Asked("2026-05-04T08:00:00Z", said.COMMIT, "main", f"modelops audit prediction {HOSTILE}")
ANSWERS: dict[str, Answer] = {
    "prediction": listed.EXPLAINED,
    "release": said.RELEASE,
    "environment": said.ENVIRONMENT,
    "log": said.LOG,
    "log-flawed": said.FLAWED,
    "branch": loop.JUDGEMENT,
    "everything": told.VERIFIED,
}


def page(answer: Answer) -> Read:
    return read(audited(answer, ASKED))


@pytest.mark.parametrize("name", ANSWERS)
def test_the_page_has_every_section_and_table_of_the_report(name: str) -> None:
    """Whoever reads the page reads what Markdown says, cell by cell; the verdict and what it is of come first."""
    found = page(ANSWERS[name])
    for_everybody(found)
    known = report(ANSWERS[name], ASKED)
    tables = [
        [tuple(harmless(cell) for cell in row) for row in plain(table)]
        for section in known.sections
        for table in section.tables
    ]
    assert [cells(one) for one in found.each("table")] == tables
    for section in known.sections:
        for line in section.lines:
            assert " ".join(without_paths(harmless(line)).split()) in found.text
    first = found.one("main").each("p")
    assert first[0].text.split(" ", 1)[1].startswith("proven" if known.ok else "not proven")
    assert harmless(known.verdict) in first[0].text
    assert said.COMMIT in first[1].text
    assert found.one("footer").text.endswith(f"asked again by {harmless(ASKED.command)} .")


def test_the_pages_are_made_of_what_they_were(golden: Golden) -> None:
    """Landmarks, headings, pictures and tables of a prediction and of a release with its curves."""
    golden("audited-prediction.outline", outline(page(ANSWERS["prediction"])))
    drawn = read(audited(said.RELEASE, ASKED, CURVES, "binary-classification"))
    golden("audited-release.outline", outline(drawn))


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_is_loaded_and_names_stay_names(name: str) -> None:
    """No script, nothing but its own style, no handler; equal answers have equal bytes."""
    html = audited(ANSWERS[name], ASKED)
    found = read(html)
    assert not {one.tag for one in found.each()} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert {one.attributes["href"] for one in found.each("a")} == {"#content"}
    assert not [one for one in found.each() if any(at.startswith("on") or at == "style" for at in one.attributes)]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", html)
    assert html == audited(ANSWERS[name], ASKED)


def test_the_chain_leads_from_the_data_to_the_answer() -> None:
    """A box for each link in its order; only what is proven is framed as such."""
    (picture, *_) = page(listed.EXPLAINED).each("svg", **{"class": "graph"})
    told = picture.attributes["aria-label"].partition(". ")[2]
    columns = [one.partition(": ") for one in told.split("; ")]
    assert [(name, names) for name, _, names in columns] == [
        ("Sources", "ledger"),
        ("Data and code", f"2026-q2, commit {said.COMMIT[:10]}"),
        ("Release", "release 2"),
        ("Promotion", "production-2"),
        ("Answer", "1"),
    ]
    assert len(picture.each("g", **{"class": "stable"})) == 3
    lost = replace(listed.EXPLAINED, made_by=replace(said.RELEASE, trust=said.REFUSED), trust=said.REFUSED)
    (picture, *_) = page(lost).each("svg", **{"class": "graph"})
    assert len(picture.each("g", **{"class": "stable"})) == 1


def test_what_is_not_proven_is_the_first_word() -> None:
    """A missing promotion is told above everything else, and named in its section."""
    found = report(replace(said.PREDICTION, promotion=None), ASKED)
    assert not found.ok
    assert found.verdict.startswith("NOT PROVEN")
    (section,) = (one for one in found.sections if one.key == "promotion")
    assert section.lines == ("MISSING: no promotion record says why this environment ran it",)


def test_the_verbs_write_their_report(on_trial: Hostile, tmp_path: Path) -> None:
    """Each question in each form: the JSON is what the verb prints with when it was asked, and of which commit."""
    id = prediction_ids(ASSETS[0])[0]
    questions = {
        "prediction": (id,),
        "release": (MODEL, "2"),
        "environment": ("production", "--at", "2026-05-05"),
        "log": ("production",),
        "branch": (),
        "verify": (),
    }
    for name, words in questions.items():
        target = tmp_path / f"{name}.json"
        done = on_trial.run("audit", name, *words, "--report", str(target), "--output", "json")
        kept = json.loads(target.read_text(encoding="utf-8"))
        asked = kept.pop("asked")
        assert kept == json.loads(done.out), name
        assert asked["commit"] == on_trial.git("rev-parse", f"{on_trial.remote}/{on_trial.branch}")
        assert asked["command"].split() == ["modelops", "audit", name, *words]
    html, text = tmp_path / "release.html", tmp_path / "release.md"
    for target in (html, text):
        on_trial.run("audit", "release", MODEL, "2", "--report", str(target))
    assert text.read_text(encoding="utf-8").startswith(f"# Audit of {MODEL} release 2\n")
    found = read(html.read_text(encoding="utf-8"))
    assert found.one("section", **{"aria-labelledby": "answers"}).text
    assert found.one("section", **{"aria-labelledby": "gates"}).each("svg", **{"class": "intervals"})
