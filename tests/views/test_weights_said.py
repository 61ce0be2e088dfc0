"""Wherever a metric of weighted rows is shown, it is said what weights them, and how many rows they are worth."""

from __future__ import annotations

from dataclasses import replace

from modelops.artifacts import BuildRecord
from modelops.spec.kinds import Resource
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.meta import Metadata
from modelops.views import release
from modelops.views.proposals import measured, promotion, published
from views import loop_answers as said
from views import pull_answers as pulls
from views.loop_answers import BUILT, METRIC, RECORD, RELEASE

WEIGHTED_METRIC = METRIC.model_copy(update={"effective": 177.4})
WEIGHTED = RECORD.model_copy(update={"weight": "survey", "metrics": (WEIGHTED_METRIC,)})
CHAMPION = RELEASE.model_copy(update={"weight": None, "version": 1, "metrics": (METRIC,)})
WEIGHTED_RELEASE = RELEASE.model_copy(update={"weight": "survey", "metrics": (WEIGHTED_METRIC,)})


def published_of(record: BuildRecord, champion: ReleaseSpec | None) -> str:
    stable = None
    if champion is not None:
        stable = Resource(
            "Release", "1", "1", "models/fraud/releases/1/release.yaml", Metadata(name="1"), champion, "", {}
        )
    built = replace(BUILT, judged=replace(BUILT.judged, record=record, champion=stable))
    found = measured.report(replace(pulls.MEASURED, built=(built,)))
    return published.gates(found, None, (), (), "").said.summary


def test_the_report_of_a_pull_request_says_what_weights_its_rows() -> None:
    """In both forms: what a build comments itself, and what is published of a report that came from elsewhere."""
    own = release.markdown(replace(BUILT, judged=replace(BUILT.judged, record=WEIGHTED)))
    for text in (own, published_of(WEIGHTED, None)):
        assert "weighted by survey" in text
        assert "480, worth 177" in text
    assert "weighted" not in published_of(RECORD, None)


def test_metrics_of_other_weights_are_not_put_beside_each_other_in_silence() -> None:
    """Stable counted each row once: its recorded metrics are of other weights, and the reader is told."""
    assert "release 1 counts each row once" in published_of(WEIGHTED, CHAMPION)
    weighted = CHAMPION.model_copy(update={"weight": "amount"})
    assert "release 1 weights its rows by amount" in published_of(WEIGHTED, weighted)
    assert "not of the same weights" not in published_of(WEIGHTED, CHAMPION.model_copy(update={"weight": "survey"}))


def test_a_promotion_says_what_weights_the_metrics_it_shows() -> None:
    """Of the release that is asked for, and of the stable one where that is weighted otherwise."""
    case = replace(said.PROMOTION, release=WEIGHTED_RELEASE, stable=CHAMPION)
    text = promotion.markdown(case)
    assert "weighted by `survey`" in text
    assert "Release 1 counts each row once" in text
    assert "weighted" not in promotion.markdown(replace(case, release=RELEASE, stable=None))
