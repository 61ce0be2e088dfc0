"""A report of builds is one page that needs nothing else; its pictures have the numbers of scikit-learn."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from conftest import Golden
from dashboard.reading import Element, Read, for_everybody, read
from dashboard.test_reports import cells, outline, plain
from metrics.test_curves import binary
from modelops.changes.proposal import Built
from modelops.dashboard.reports import built, simulated
from modelops.markup import plain as harmless
from modelops.metrics import Predictions
from modelops.metrics.curves import Curves, curves
from modelops.releases.verdicts import Finding
from modelops.spec.kinds.release import Confusion, FeatureImportance, Importance
from modelops.views.reports.built import data, markdown, parts
from views import loop_answers as said
from views import tried_answers as tried

MODEL = said.BUILT.judged.model.name
PREDICTIONS = binary(1_000).at(0.5)
CURVES = curves(PREDICTIONS, 0.5)
RECORD = said.RECORD.model_copy(
    update={
        "task": "binary-classification",
        "classes": ("no", "yes"),
        "confusion": Confusion(threshold=0.5, counts=((700, 100), (50, 150))),
        "importance": Importance(
            loss="log-loss",
            rows=500,
            features=(
                FeatureImportance(name=said.HOSTILE, value=0.2, error=0.01),
                FeatureImportance(name="age", value=-0.001, error=0.002),
            ),
        ),
    }
)
GROUPS = [{"group": name, "n": n, "rate": rate, "rateRows": n} for name, n, rate in (("a", 120, 0.2), ("b", 80, 0.5))]
FOUND = replace(
    said.BUILT,
    judged=replace(
        said.BUILT.judged,
        record=RECORD,
        findings=(said.BUILT.judged.findings[0], Finding(said.VERDICTS[1], {"groups": GROUPS})),
    ),
)


def page(*found: Built, drawn: Curves | str = CURVES) -> Read:
    return read(built(found, {MODEL: drawn}))


def answers(found: Read) -> Element:
    return found.one("section", **{"aria-labelledby": "m1-answers"})


def places(picture: Element, tag: str) -> np.ndarray:
    """Return the points of a line or an outline in the units of its axes, as read off the ticks."""
    points = np.array([one.split(",") for one in picture.each(tag)[0].attributes["points"].split()], dtype=float)
    ticks = {text.attributes["text-anchor"]: [] for text in picture.each("text", **{"class": "tick"})}
    for text in picture.each("text", **{"class": "tick"}):
        if re.fullmatch(r"[\d.]+", text.text):
            ticks[text.attributes["text-anchor"]].append((float(text.text), text.attributes))
    across = [(value, float(at["x"])) for value, at in ticks["middle"]]
    up = [(value, float(at["y"]) - 4) for value, at in ticks["end"]]
    return np.column_stack(
        [
            np.interp(points[:, 0], [at for _, at in across], [value for value, _ in across]),
            np.interp(-points[:, 1], [-at for _, at in up], [value for value, _ in up]),
        ]
    )


def test_the_page_has_every_matter_in_its_order(golden: Golden) -> None:
    """Landmarks, headings, and pictures with the tables that say the same."""
    found = page(FOUND)
    for_everybody(found)
    golden("built.outline", outline(found))


def test_the_lines_are_scikit_learn_s_curves() -> None:
    """What is drawn, read off the axes, is a point of its curves, from one end to the other, within its band."""
    roc, falling, *_ = answers(page(FOUND)).each("svg")
    x, y, _ = roc_curve(PREDICTIONS.y_true, PREDICTIONS.y_score, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(PREDICTIONS.y_true, PREDICTIONS.y_score)
    for picture, known in ((roc, np.column_stack([x, y])), (falling, np.column_stack([recall, precision]))):
        line, outline_of = places(picture, "polyline"), places(picture, "polygon")
        assert max(np.abs(known - point).max(axis=1).min() for point in line) < 5e-4
        assert len(outline_of) == 2 * len(line)
    assert places(roc, "polyline")[[0, -1]].tolist() == [[0, 0], [1, 1]]


def test_the_served_threshold_is_marked() -> None:
    """One mark in each curve, at the rates that the labels of the build have."""
    called, positive = PREDICTIONS.y_pred == 1, PREDICTIONS.y_true == 1
    roc, falling, *_ = answers(page(FOUND)).each("svg")
    rates = f"false positives {called[~positive].mean():.4g}, true positives {called[positive].mean():.4g}"
    assert roc.each("g", **{"class": "served"})[0].text.endswith(rates)
    assert f"precision {positive[called].mean():.4g}" in falling.attributes["aria-label"]


def test_the_page_has_the_rows_of_the_view() -> None:
    """Every table of the view is on the page, cell by cell, and the confusion at the threshold beside them."""
    found = page(FOUND)
    (part,) = parts([FOUND], {MODEL: CURVES})
    told = [
        [tuple(harmless(cell) for cell in row) for row in plain(table)]
        for section in part.sections
        for table in section.tables
    ]
    shown = [cells(one) for one in found.each("table") if "confusion" not in one.attributes.get("class", "")]
    assert shown == told
    confusion = cells(found.one("table", **{"class": "confusion"}))
    assert confusion[1:] == [("no", "700 88 %", "100 12 %"), ("yes", "50 25 %", "150 75 %")]


def test_groups_have_exact_intervals() -> None:
    """Each group of a gate with the interval of its counted rows; 24 of 120 is 0.2 [0.1325, 0.2826]."""
    section = page(FOUND).one("section", **{"aria-labelledby": "m1-groups"})
    titles = [one.text for one in section.each("title")]
    assert titles[0] == "a (n=120): 0.2 [0.1325, 0.2828]" or titles[0].startswith("a (n=120): 0.2 [0.1325, 0.28")
    assert len(section.each("circle")) == 2


def test_a_regression_has_its_own_pictures() -> None:
    """Prediction and truth, residuals and how large they are, and no curve."""
    rng = np.random.default_rng(1)
    value = rng.normal(size=500)
    drawn = curves(Predictions("regression", value + rng.normal(size=500), value, value))
    captions = [one.text for one in answers(page(FOUND, drawn=drawn)).each("figcaption")]
    assert captions == ["Prediction and truth", "Residuals", "How large residuals are"]


def test_what_cannot_be_drawn_is_said() -> None:
    """Without the stored answers the page has everything else, and says why there are no curves."""
    found = page(FOUND, drawn="the store has nothing")
    for_everybody(found)
    assert "No curves: the store has nothing." in answers(found).text
    assert "Nothing had to be built" in page().text


def test_nothing_is_loaded_and_names_stay_names() -> None:
    """No script, nothing but its own style, and a feature whose name is markup is text."""
    html = built([FOUND], {MODEL: CURVES})
    found = read(html)
    assert not {one.tag for one in found.each()} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", html)
    assert not [one for one in found.each() if any(name.startswith("on") or name == "style" for name in one.attributes)]
    assert html == built([FOUND], {MODEL: CURVES})


def test_markdown_and_json_say_the_same() -> None:
    """Markdown begins with what a reviewer reads and has the tables of the pictures; JSON has every point."""
    text = markdown([FOUND], {MODEL: CURVES})
    assert text.startswith("### ")
    assert "#### How it answers" in text
    assert "ROC: area" in text
    (told,) = data([FOUND], {MODEL: CURVES})
    told = json.loads(json.dumps(told))
    assert len(told["curves"]["roc"][""]["points"]) == len(CURVES.roc[""].points)
    assert told["curves"]["precisionRecall"][""]["at"]["xBounds"] == list(CURVES.precision_recall[""].at.x_bounds)  # type: ignore[union-attr]
    assert data([FOUND], {})[0]["curves"] is None


def test_simulated_rollouts_are_a_page_too() -> None:
    """A section, a picture and a table for each world; names are text, nothing is loaded, no section is empty."""
    html = simulated(tried.SIMULATED)
    found = read(html)
    assert not {one.tag for one in found.each()} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", html)
    (section,) = found.each("section")
    assert len(section.each("svg")) == len(section.each("table")) == 1
    rows = {row[0]: row[1] for row in cells(section.each("table")[0])}
    assert (rows["promote"], rows["rollback"]) == ("75.0%", "25.0%")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.svg"])
def test_a_report_of_another_ending_is_refused(name: str) -> None:
    """Before anything is built: which forms there are."""
    from click.testing import CliRunner

    from modelops.cli import cli

    done = CliRunner().invoke(cli, ["build", "--report", name])
    assert done.exit_code == 2
    assert ".html, .md or .json" in done.output
