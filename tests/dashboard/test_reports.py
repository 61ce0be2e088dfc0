"""A monitoring report is one page that needs nothing else, says what the view says, and nobody's name is markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from conftest import Golden
from dashboard.reading import Element, Read, for_everybody, read
from modelops.changes.retraining import Watched
from modelops.dashboard.reports import monitored
from modelops.monitoring.report import WindowReport
from modelops.spec.layout import Seat
from modelops.views.reports.monitored import Table, parts
from monitoring.windows import NOW, RECALL, inputs, log, profile, report, score_profile
from views import loop_answers as said

EVIL = "<script>alert(1)</script>"
TURNED = "\u05e9\u05dc\u05d5\u05dd \u202eabc"


def page(watched: Sequence[Watched] = said.REPORTED, environment: str = "production") -> Read:
    return read(monitored(environment, watched))


def outline(page: Read) -> str:
    """Return what a page is made of: landmarks, headings, and how many pictures and tables each section has."""
    lines = []
    for element in page.each():
        if element.tag in ("header", "nav", "main", "footer", "article"):
            lines.append(element.tag)
        if element.tag == "section":
            heading = next(one for one in element.each() if re.fullmatch("h[1-6]", one.tag))
            counts = f"{len(element.each('svg'))} pictures, {len(element.each('table'))} tables"
            lines.append(f"  {heading.tag} {heading.text}: {counts}")
    return "\n".join(lines) + "\n"


def window(shift: float = 1.5) -> WindowReport:
    """Return a window of which the amounts moved, with labels of each answer."""
    rng = np.random.default_rng(7)
    rows = inputs(rng, 1_200, shift=shift)
    labels = ["1" if wrong else "0" for wrong in rng.random(1_200) < 0.5]
    truths = [label if right else "1" for label, right in zip(labels, rng.random(1_200) < 0.95, strict=True)]
    table = log(rows, score=rng.random(1_200).tolist(), label=labels, truth=truths)
    return report(table, rng, release=1, performance=RECALL, score_profile=score_profile(rng), profile=profile(rng))


def test_the_page_has_every_matter_in_its_order(golden: Golden) -> None:
    """Landmarks, headings, and pictures with the tables that say the same, what hurts first."""
    found = page()
    for_everybody(found)
    golden("monitored.outline", outline(found))
    first = [one.text for one in found.one("section", **{"aria-labelledby": "first"}).each("h3")]
    assert [one.partition(" ")[0] for one in first] == ["fraud", "quiet", "churn"]


def test_the_page_needs_nothing_else() -> None:
    """No script, nothing loaded, nothing inline but the one style that its policy knows, and links within it alone."""
    html = monitored("production", said.REPORTED)
    found = read(html)
    tags = {element.tag for element in found.each()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "input", "image", "use"}
    for element in found.each():
        assert not [name for name in element.attributes if name.startswith("on") or name in ("style", "src", "srcset")]
        where = element.attributes.get("href", "#content")
        assert where.startswith("#"), element
        assert found.each(id=where[1:]), where
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1
    assert not re.search(r"url\(|@import|expression|//", style[0])
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = found.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert re.search(r"@media print", style[0])
    assert re.search(r"prefers-color-scheme: dark", style[0])


@pytest.mark.parametrize("name", [EVIL, TURNED, "a\x00b", "--><svg onload=x>", "{{ 7 * 7 }}", "\udc80"])
def test_names_stay_names(name: str) -> None:
    """Names of models, environments, features and categories are text: no tag, no turned line, no template."""
    spread = replace(said.SPREAD, reference=said.COUNTED.model_copy(update={"categories": (name, EVIL)}))
    features = (replace(said.WHOLE.features[1], name=name, distribution=spread),)
    whole = replace(said.WHOLE, features=features, findings=(f"{name} drifted",))
    html = monitored(name, [replace(said.REPORTED[2], seat=Seat(name, "production"), report=whole)])
    found = read(html)
    assert not found.each("script")
    assert not [one for one in found.each() if any(at.startswith("on") for at in one.attributes)]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", html)
    html.encode()
    shown = name.replace("\u202e", "<U+202E>").replace("\x00", "<U+0000>").replace("\udc80", "<0x80>")
    assert found.one("head").each("title")[0].text == f"Monitoring of {shown} · modelops"
    assert [one.text for one in found.one("article").each("h2")] == [f"{shown} release 2"]
    assert any(one.text == shown for one in found.each("bdi"))


def cells(table: Element) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row.each() if cell.tag in ("th", "td")) for row in table.each("tr")]


def plain(table: Table) -> list[tuple[str, ...]]:
    # Spaces at the ends of a cell, and two in a row, are one to a reader.
    rows = [table.headers, *table.rows]
    return [tuple(" ".join(str(cell).split()) for cell in row) for row in rows]


def test_the_page_has_the_rows_of_the_view() -> None:
    """Every table of the view is on the page, cell by cell, and every sentence."""
    mine = Watched(Seat("churn", "production"), 1, window(), None, None)
    found = page([mine])
    (part,) = parts([mine])
    told = [table for section in part.sections for table in section.tables]
    assert [cells(one) for one in found.each("table")] == [plain(one) for one in told]
    for section in part.sections:
        for line in section.lines:
            assert " ".join(line.split()) in found.text


def test_a_drifted_feature_is_beside_its_reference() -> None:
    """Shares of the window and of the reference add up to all rows, and the picture says which moved."""
    found = window()
    amount = next(one for one in found.features if one.name == "amount")
    assert amount.distribution is not None
    bins = amount.distribution.bins
    assert (sum(one.reference for one in bins), sum(one.window for one in bins)) == (10_000, 1_200)
    assert all(900 <= one.reference <= 1_100 for one in bins)
    assert bins[-1].window > 5 * 120 > bins[0].window
    shown = page([Watched(Seat("churn", "production"), 1, found, None, None)])
    section = shown.one("section", **{"aria-labelledby": "m1-distributions"})
    assert section.each("figcaption")[0].text.startswith("amount (alert")
    assert (
        f"{bins[-1].name} was 10.0%, is {bins[-1].window / 1_200:.1%}"
        in section.each("svg")[0].attributes["aria-label"]
    )
    bars = [float(one.attributes["width"]) for one in section.each("svg")[0].each("rect", **{"class": "window"})]
    assert bars == sorted(bars) or bars[-1] == max(bars)


def test_the_limit_and_the_holdout_are_beside_the_metric() -> None:
    """The picture of the metric has the window, the holdout and the estimate on one scale with the limit."""
    section = page().one("section", **{"aria-labelledby": "m1-performance"})
    picture = section.each("svg")[0]
    assert picture.each("line", **{"class": "limit"})[0].text == "limit 0.8"
    names = [title.text.partition(":")[0] for row in picture.each("g") for title in row.each("title")]
    assert names == ["holdout", "this window", "expected without labels"]
    assert "blind to concept drift" in section.text


def test_equal_findings_have_equal_bytes() -> None:
    """Nothing of the page comes from the clock, and models come in the order of what hurts, however they were given."""
    assert monitored("production", said.REPORTED) == monitored("production", said.REPORTED[::-1])


def test_a_column_without_rows_is_told() -> None:
    """No row in the reference and none in the window divides by nothing."""
    none = said.COUNTED.model_copy(update={"categories": (), "counts": (), "other": 0})
    features = (replace(said.WHOLE.features[1], distribution=replace(said.SPREAD, reference=none, window=none)),)
    shown = page([replace(said.REPORTED[2], report=replace(said.WHOLE, features=features))])
    for_everybody(shown)


def test_nothing_watched_is_said() -> None:
    """An environment without a monitored model has a page that says so."""
    found = page(())
    for_everybody(found)
    assert "No monitored model is stable in production." in found.text


def test_the_last_windows_are_drawn_with_this_one() -> None:
    """The course has a point for each window that is remembered, the present one last."""
    section = page().one("section", **{"aria-labelledby": "m1-looks"})
    drift, metric = section.each("svg")
    assert len(drift.each("circle")) == len(metric.each("circle")) == len(said.EARLIER) + 1
    assert f"window until {NOW:%m-%d} 0.7" in metric.attributes["aria-label"]
