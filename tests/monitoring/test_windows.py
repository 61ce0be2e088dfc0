"""What a window of the log says: drift, input quality, performance, and what is not known."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.spec.kinds.monitor import MonitorSpec, Performance
from modelops.spec.meta import Plugin
from modelops.views.monitor import report_data, report_markdown, report_text
from monitoring.windows import RECALL, inputs, log, model, profile, report, score_profile


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_a_window_like_the_training_data_is_quiet(rng: np.random.Generator) -> None:
    """No drift, no findings, every feature scored."""
    found = report(log(inputs(rng, 2000)), rng)
    assert (found.level, found.findings, found.rows) == ("none", (), 2000)
    assert [feature.name for feature in found.features] == ["amount", "count", "abroad", "channel"]


def test_a_shift_is_an_alert_that_names_the_feature(rng: np.random.Generator) -> None:
    """The drifted features are named, the strongest first, and the others stay quiet."""
    found = report(log(inputs(rng, 2000, shift=2, abroad=0.4)), rng)
    assert found.level == "alert"
    assert found.drifted == ("amount", "abroad")
    assert found.findings[0].startswith("amount drifted (alert): PSI ")
    levels = {feature.name: feature.level for feature in found.features}
    assert (levels["count"], levels["channel"]) == ("none", "none")


def test_drift_of_a_weighted_model_says_that_its_reference_counts_rows_once(rng: np.random.Generator) -> None:
    """Where weights make up for how rows were chosen, traffic differs from them without any drift."""
    weighted = model(weight="survey")
    quiet, loud = (report(log(inputs(rng, 2000, shift=by)), rng, model=weighted) for by in (0, 2))
    assert (quiet.level, quiet.findings) == ("none", ())
    assert loud.level == "alert"
    assert any("weights them by survey" in sentence for sentence in loud.findings)
    assert not any("weights" in sentence for sentence in report(log(inputs(rng, 2000, shift=2)), rng).findings)


def test_too_few_requests_are_no_data(rng: np.random.Generator) -> None:
    """Below the monitor's minimum nothing is scored, and that is said."""
    found = report(log(inputs(rng, 150, shift=5)), rng)
    assert (found.level, found.features) == ("no-data", ())
    assert found.findings == ("Drift is not scored: 150 rows, 200 are needed.",)


def test_an_empty_window_is_no_data(rng: np.random.Generator) -> None:
    """A log without rows is a report, not an error."""
    found = report(log(inputs(rng, 1)).slice(0, 0), rng, performance=RECALL, score_profile=score_profile(rng))
    assert (found.level, found.rows) == ("no-data", 0)
    assert found.performance is not None
    assert found.performance.labelled_share == 0.0


def test_broken_inputs_are_findings_with_their_shares(rng: np.random.Generator) -> None:
    """Missing values, unseen categories and values outside the training range are counted against the reference."""
    columns = inputs(rng, 1000)
    for index in range(0, 1000, 8):
        columns["count"][index] = None
        columns["channel"][index] = "wallet"
        columns["amount"][index] = 50.0
    found = report(log(columns), rng)
    features = {feature.name: feature for feature in found.features}
    assert features["count"].missing.value == 0.125
    assert features["channel"].unseen is not None
    assert (features["channel"].unseen.value, features["channel"].unseen.raised) == (0.125, True)
    assert features["amount"].out_of_range is not None
    assert (features["amount"].out_of_range.value, features["amount"].out_of_range.raised) == (0.125, True)
    assert "count is missing in 12.5% of rows; it was 0.0%." in found.findings


def test_the_score_is_scored_on_the_stable_arm_alone(rng: np.random.Generator) -> None:
    """A candidate on trial does not make the stable release look drifted, nor does the release before it."""
    n = 2000
    arms = ["stable", "candidate"] * (n // 2)
    scores = [float(rng.random()) if arm == "stable" else 0.99 for arm in arms]
    quiet = report(log(inputs(rng, n), arm=arms, score=scores), rng, score_profile=score_profile(rng))
    assert (quiet.scores["psi"].level, quiet.scores["psi"].window_n, quiet.level) == ("none", 1000, "none")
    of_one = report(
        log(inputs(rng, n), release=[1, 2] * (n // 2), score=scores), rng, score_profile=score_profile(rng), release=1
    )
    assert (of_one.scores["psi"].level, of_one.scores["psi"].window_n, of_one.release) == ("none", 1000, 1)
    loud = report(log(inputs(rng, n), score=rng.beta(8, 2, n).tolist()), rng, score_profile=score_profile(rng))
    assert loud.level == "alert"
    assert any(sentence.startswith("The model's score drifted (alert)") for sentence in loud.findings)


def labelled(rng: np.random.Generator, recall: float, positives: int, n: int = 1000) -> pa.Table:
    truth = ["1"] * positives + ["0"] * positives + [None] * (n - 2 * positives)
    # Those without a label are answered as often positively: labels come by chance.
    flagged = [index < recall * positives for index in range(2 * positives)]
    label = ["1" if index < len(flagged) and flagged[index] else "0" for index in range(n)]
    label[2 * positives :] = ["1" if index % 100 < 50 * recall else "0" for index in range(n - 2 * positives)]
    return log(inputs(rng, n), truth=truth, label=label)


@pytest.mark.parametrize(
    ("recall", "positives", "verdict", "level"),
    [
        (0.9, 200, "pass", "none"),
        (0.4, 200, "fail", "alert"),
        (0.66, 60, "inconclusive", "warn"),
        (0.1, 20, "no-data", "none"),
    ],
)
def test_performance_is_judged_by_its_interval(
    rng: np.random.Generator, recall: float, positives: int, verdict: str, level: str
) -> None:
    """Only an interval wholly below the minimum is a fall; the share of labelled predictions is reported."""
    found = report(labelled(rng, recall, positives), rng, performance=RECALL)
    assert found.performance is not None
    assert (found.performance.verdict, found.level) == (verdict, level)
    assert found.performance.labelled == 2 * positives
    assert found.performance.labelled_share == 2 * positives / 1000
    if verdict == "fail":
        assert found.findings[0].startswith("Performance fell: recall is 0.")


def test_a_loss_has_a_maximum(rng: np.random.Generator) -> None:
    """Regression reads truth as numbers, leaves out what is none, and fails above a maximum."""
    truth = [str(value) for value in rng.normal(size=500)] + ["unknown"] * 500
    table = log(inputs(rng, 1000), truth=truth, score=[5.0] * 1000, label=[None] * 1000)
    watched = Performance(metric="mae", maximum=1.0)
    found = report(table, rng, performance=watched, model=model(task="regression", positive=None))
    assert found.performance is not None
    assert (found.performance.verdict, found.performance.labelled) == ("fail", 500)
    assert "wholly above 1" in found.performance.reason


def test_several_classes_are_compared_as_text(rng: np.random.Generator) -> None:
    """A multiclass log has labels and no probabilities, so accuracy is measured and log-loss is not."""
    names = ["a", "b", "c"] * 100
    table = log(inputs(rng, 300), truth=names, label=names)
    spec = model(task="multiclass-classification", positive=None)
    found = report(table, rng, performance=Performance(metric="accuracy", minimum=0.9), model=spec)
    assert found.performance is not None
    assert found.performance.value is not None
    assert found.performance.value.value == 1.0
    undefined = report(table, rng, performance=Performance(metric="log-loss", maximum=1.0), model=spec)
    assert undefined.performance is not None
    assert undefined.performance.verdict == "no-data"


@pytest.mark.parametrize(("positive", "truth"), [(1, "1"), (1, "true"), (True, "1"), (None, "true"), ("yes", "yes")])
def test_a_positive_label_is_known_in_every_spelling(rng: np.random.Generator, positive: object, truth: str) -> None:
    """A label that one side sends as true and the other as 1 is the same label."""
    table = log(inputs(rng, 300), truth=[truth] * 300, label=[truth] * 300)
    found = report(table, rng, performance=RECALL, model=model(positive=positive))
    assert found.performance is not None
    assert found.performance.value is not None
    assert found.performance.value.value == 1.0


def test_failed_requests_are_counted_and_have_no_performance(rng: np.random.Generator) -> None:
    """Errors are inputs like others, but not predictions."""
    status = [500] * 100 + [200] * 900
    found = report(log(inputs(rng, 1000), status=status, truth=["1"] * 1000), rng, performance=RECALL)
    assert found.failed == 100
    assert found.performance is not None
    assert found.performance.predictions == 900


def test_false_alarms_over_many_features_are_bounded(rng: np.random.Generator) -> None:
    """Forty windows of 200 rows without drift: hardly a level, although some PSI exceed the warning threshold."""
    reference = profile(rng, 1000)
    reports = [report(log(inputs(rng, 200)), rng, profile=reference) for _ in range(40)]
    assert max(feature.scores["psi"].value for found in reports for feature in found.features) > 0.1
    assert [found.level for found in reports].count("none") >= 39


def test_a_feature_without_profile_is_said_to_be_unscored(rng: np.random.Generator) -> None:
    """A feature that the snapshot did not profile is named instead of passed over."""
    reference = {name: sketch for name, sketch in profile(rng).items() if name != "abroad"}
    found = report(log(inputs(rng, 500)), rng, profile=reference)
    assert found.findings == ("Not in the snapshot's profile, so not scored: abroad.",)


def test_parameters_of_the_score_are_checked_and_used(rng: np.random.Generator) -> None:
    """The monitor's own thresholds apply, and a misspelt one is an error with its place."""
    drifted = log(inputs(rng, 2000, shift=2))
    quiet = report(drifted, rng, monitor={"drift": (Plugin(type="psi", params={"warn": 50.0, "alert": 60.0}),)})
    assert quiet.level == "none"
    with pytest.raises(ModelOpsError) as caught:
        report(drifted, rng, monitor={"drift": (Plugin(type="psi", params={"wran": 0.2}),)})
    assert caught.value.problems[0].dotted == "spec.drift[0].params.wran"


def test_a_report_is_plain_data_text_and_markdown(rng: np.random.Generator) -> None:
    """All three forms hold the level, the findings and every feature, and are functions of the report."""
    table = labelled(rng, 0.4, 200)
    found = report(table, rng, performance=RECALL, score_profile=score_profile(rng), name="fraud")
    data = json.loads(json.dumps(report_data(found), allow_nan=False))
    assert data["level"] == "alert"
    assert data["performance"]["labelledShare"] == 0.4
    assert [feature["name"] for feature in data["features"]] == ["amount", "count", "abroad", "channel"]
    for text in (report_text(found), report_markdown(found)):
        assert "level" in text.lower()
        assert all(feature.name in text for feature in found.features)
        assert "Performance fell" in text
    assert "2026-04-01T00:00:00Z to 2026-05-01T00:00:00Z: 1000 rows" in report_text(found)


def test_names_of_columns_are_no_markup(rng: np.random.Generator) -> None:
    """A column's name comes from a file and cannot put links or tables into a pull request."""
    spec = model()
    evil = "a|<b>[x](http://y)"
    features = (spec.data.features[0].model_copy(update={"name": evil}),)
    changed = spec.model_copy(update={"data": spec.data.model_copy(update={"features": features})})
    reference = {evil: profile(rng)["amount"]}
    found = report(log({evil: [9.0] * 500}), rng, profile=reference, model=changed)
    assert found.drifted == (evil,)
    assert "<b>" not in report_markdown(found)
    assert "[x](" not in report_markdown(found)


BOTH = {"drift": (Plugin(type="psi"), Plugin(type="kolmogorov-smirnov"))}


def test_several_scores_are_reported_side_by_side(rng: np.random.Generator) -> None:
    """Each feature has the scores that can score it, any of them alerts, and what is left out is named."""
    table = log(inputs(rng, 2000, shift=2), score=rng.beta(8, 2, 2000).tolist())
    found = report(table, rng, monitor=BOTH, score_profile=score_profile(rng), name="fraud")
    features = {feature.name: feature for feature in found.features}
    assert list(features["amount"].scores) == ["psi", "kolmogorov-smirnov"]
    assert list(features["channel"].scores) == ["psi"]
    assert {score.level for score in features["amount"].scores.values()} == {"alert"}
    assert list(found.scores) == ["psi", "kolmogorov-smirnov"]
    assert found.findings[0].startswith("amount drifted (alert): PSI ")
    assert "; KS " in found.findings[0]
    assert found.findings[-1] == "KS scores numbers only, so not channel."
    header, first = report_text(found).splitlines()[-6:-4]
    assert header.split() == ["feature", "PSI", "chance", "KS", "chance", "missing", "level"]
    assert (first.split()[0], len(first.split())) == ("amount", 7)
    data = report_data(found)
    assert data["features"][0]["scores"]["kolmogorov-smirnov"]["name"] == "KS"
    assert data["features"][3]["scores"].keys() == {"psi"}
    assert data["scores"].keys() == {"psi", "kolmogorov-smirnov"}
    assert "| PSI | chance | KS | chance |" in report_markdown(found)


def test_one_score_may_alert_where_another_is_quiet(rng: np.random.Generator) -> None:
    """The level of a feature is that of its gravest score, and the finding says which."""
    monitor = {"drift": (Plugin(type="psi", params={"warn": 50.0, "alert": 60.0}), Plugin(type="wasserstein"))}
    found = report(log(inputs(rng, 2000, shift=2)), rng, monitor=monitor)
    amount = found.features[0]
    assert [score.level for score in amount.scores.values()] == ["none", "alert"]
    assert (amount.level, found.level) == ("alert", "alert")
    assert found.findings[0].startswith("amount drifted (alert): Wasserstein ")


def test_every_score_shares_the_significance(rng: np.random.Generator) -> None:
    """A second score, like a further column, raises what chance may give; the values stay."""
    table = log(inputs(rng, 500))
    alone = report(table, np.random.default_rng(1))
    beside = report(table, np.random.default_rng(1), monitor=BOTH)
    for one, other in zip(alone.features, beside.features, strict=True):
        assert one.scores["psi"].value == other.scores["psi"].value
        assert one.scores["psi"].critical < other.scores["psi"].critical


def test_a_feature_of_another_type_than_in_the_profile_is_not_scored(rng: np.random.Generator) -> None:
    """A profile of numbers says nothing about categories, and that is said."""
    known = profile(rng)
    found = report(log(inputs(rng, 500)), rng, profile=known | {"channel": known["amount"]})
    assert [feature.name for feature in found.features] == ["amount", "count", "abroad"]
    assert found.findings == ("Of another type in the snapshot's profile, so not scored: channel.",)


def test_a_profile_of_version_0_1_0_knows_its_range_from_the_columns(rng: np.random.Generator) -> None:
    """Without extremes in the profile, values outside the training range are found by the snapshot's columns."""
    old = {
        name: summary.model_copy(update={"means": (), "minimum": None, "maximum": None})
        for name, summary in profile(rng).items()
    }
    columns = inputs(rng, 1000)
    columns["amount"][::8] = [50.0] * 125
    found = report(log(columns), rng, profile=old, monitor=BOTH)
    assert found.features[0].out_of_range is not None
    assert (found.features[0].out_of_range.value, found.features[0].out_of_range.raised) == (0.125, True)


def test_the_defaults_are_those_of_the_field() -> None:
    """PSI with 0.1 and 0.25 is what a monitor file without drift section means."""
    assert MonitorSpec().drift == (Plugin(type="psi"),)
