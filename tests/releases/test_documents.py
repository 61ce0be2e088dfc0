"""The model card and the report: numbers from the record, and text that stays text whatever it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelops.artifacts import BuildRecord
from modelops.changes.building import Judged
from modelops.changes.proposal import Built
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.evidence import Signer
from modelops.markup import code, escape, table
from modelops.releases.details import details_lines
from modelops.releases.verdicts import Finding
from modelops.spec.kinds.data_snapshot import Column
from modelops.spec.kinds.model import Feature, ModelData
from modelops.spec.kinds.release import MetricValue, ReleaseSpec
from modelops.spec.load import load_resource
from modelops.stores.oci_layout import OciLayout
from modelops.views.release import LIMIT, comment, report
from releases.release_facts import (
    COMMIT,
    MODEL,
    VERDICTS,
    build,
    make_signer,
    model_resource,
    release,
    snapshot_resource,
    snapshot_spec,
    verdict,
)

CARD = f"models/{MODEL}/releases/1/MODEL_CARD.md"
RELEASE = f"models/{MODEL}/releases/1/release.yaml"
EVIL = "a | b\n# Heading <script>alert(1)</script> `code` [link](http://x) *bold* \u202ereversed"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> BuildRecord:
    return build(OciLayout(tmp_path / "store"))


def card(record: BuildRecord, signer: Signer, **changes: Any) -> str:
    return release(1, record, signer, **changes)[CARD].decode()


def told(record: BuildRecord, verdicts: Any = VERDICTS, **changes: Any) -> str:
    arguments: dict[str, Any] = {"model": model_resource(), "snapshot": snapshot_resource(), "commit": COMMIT}
    return report(record, verdicts, **(arguments | changes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("a|b", r"a\|b"),
        ("one\ntwo\r\n\tthree", "one two three"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("# title", r"\# title"),
        ("#1", "#&#8203;1"),
        ("1. item", r"1\. item"),
        ("0.88 is", "0.88 is"),
        ("- item", r"\- item"),
        ("-5", "-5"),
        ("snake_case _it_", r"snake_case \_it\_"),
        ("![x](y)", r"!\[x\](y)"),
        ("\u202ehidden", "&lt;U+202E&gt;hidden"),
        (5, "5"),
    ],
)
def test_text_is_escaped(text: object, expected: str) -> None:
    """Nothing that a value says becomes markup."""
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("name", "`name`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a|b", "`a\\|b`"), ("", "` `"), ("a\nb", "`a b`")],
)
def test_inline_code_is_fenced(text: str, expected: str) -> None:
    """Code stays code with backticks and pipes inside."""
    assert code(text) == expected


def test_long_tables_say_what_they_leave_out() -> None:
    """Rows beyond the limit are counted."""
    assert table(("A",), [(number,) for number in range(5)], 3).endswith("| 2 |\n\n… and 2 more.")


def test_the_front_matter_is_hugging_face_s(record: BuildRecord, signer: Signer) -> None:
    """The card's metadata has the hub's fields, each metric with its bounds, and no license that nobody stated."""
    front = yaml.safe_load(card(record, signer).split("---\n")[1])
    assert front["pipeline_tag"] == "tabular-classification"
    assert "license" not in front
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert result["dataset"]["revision"] == record.data_root
    found = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert (found["roc-auc"], found["roc-auc-lower"], found["roc-auc-upper"]) == (0.91234567, 0.9, 0.93)
    assert result["metrics"][0]["args"] == {"lower": 0.9, "upper": 0.93, "level": 0.95, "n": 250, "method": "DeLong"}


def test_the_card_says_what_a_reader_needs(record: BuildRecord, signer: Signer) -> None:
    """Use, limits, data, numbers, gates, fairness, approval and the commands are all there."""
    text = card(record, signer)
    for said in (
        "Hold suspicious payments for an analyst.",
        "- Refusing a customer.",
        "- Trained on one bank's payments.",
        "| `roc-auc` | 0.9123 | 0.9 to 0.93 | 95% | 250 | DeLong |",
        "| `quality/parity` | ✅ pass | 0.03 | 0 to 0.08 | 0.1 | 250 | small gap by sex |",
        "| `speed/latency` | ❔ inconclusive | 0.9123 | – | 0.85 | 250 | few \\| samples |",
        "| Rows | 1,000: 750 to train, 250 to test |",
        "| Time span | 2026-01-01 to 2026-03-31 |",
        "| Owner of the data | data-platform |",
        "| Upstream | core-banking |",
        "| Balance of the target | `false` 980, `true` 20 |",
        "Pull request #7 by ana",
        "- ben approved it on 2026-01-05T10:00:00Z.",
        "modelops reproduce fraud-detection 1",
    ):
        assert said in text


def test_the_example_request_is_json_inside_a_shell_quote(record: BuildRecord, signer: Signer) -> None:
    """The request parses, is a record of the model's features, and no value can leave the quote or the fence."""
    columns = list(snapshot_spec().columns)
    columns[2] = Column(name="country", type="category", missing=0, distinct=1, top={"it's ```odd```": 5})
    text = card(record, signer, snapshot=snapshot_resource(columns=tuple(columns)))
    line = re.search(r"^curl -s \"\$URL/v2/models/fraud-detection/predict\" .*-d '([^']*)'\n```\n", text, re.MULTILINE)
    assert line is not None
    row = json.loads(line[1])
    assert row["country"] == "it's ```odd```"
    kinds = {"amount": float, "card_present": bool, "country": str, "items": int, "opened": str}
    assert {name: type(value) for name, value in row.items()} == kinds


def test_text_of_the_spec_never_becomes_markup(record: BuildRecord, signer: Signer) -> None:
    """Markdown, HTML and line breaks in a spec stay text in card and report."""
    data = ModelData(snapshot="q1", target="is_fraud", features=(Feature(name="amount", type="number"),))
    model = model_resource(description=EVIL, owner=EVIL, limitations=(EVIL,), out_of_scope=(EVIL,), data=data)
    snapshot = snapshot_resource(reason=EVIL, balance={EVIL: 5})
    verdicts = (verdict("recall", "inconclusive", reason=EVIL),)
    changes = {"model": model, "snapshot": snapshot}
    for text in (card(record, signer, verdicts=verdicts, **changes), told(record, verdicts, **changes, changes=[EVIL])):
        body = re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", text.split("\n---\n")[-1])
        assert "<script>" not in body
        assert "\n# Heading" not in body
        assert "\u202e" not in body
        assert "[link](" not in body
        for line in body.splitlines():
            if "❔ inconclusive" in line:
                assert len(re.findall(r"(?<!\\)\|", line)) == 8


def test_a_card_without_approval_or_fairness_says_so(record: BuildRecord, signer: Signer) -> None:
    """What is not there is named."""
    model = model_resource(limitations=(), out_of_scope=())
    text = card(record, signer, approved_by=None, verdicts=VERDICTS[:1], model=model)
    assert "No fairness gate judged this release." in text
    assert "is not part of this release's evidence" in text
    assert text.count("Nothing is stated.") == 2


def test_an_onnx_release_says_how_close_it_is(record: BuildRecord, signer: Signer) -> None:
    """The largest difference of the equality check is in card and report."""
    artifact = record.artifact.model_copy(update={"engine": "onnx", "onnx_difference": 2.5e-7, "engine_reason": ""})
    record = record.model_copy(update={"artifact": artifact})
    assert "served from ONNX (at most 2.5e-07 from scikit-learn)" in card(record, signer)
    assert "ONNX, at most 2.5e-07 from scikit-learn" in told(record)


def test_the_report_begins_with_the_answer(record: BuildRecord) -> None:
    """The headline says pass or block and which gates; blocking ones come first in the table."""
    text = told(record)
    assert text.startswith("### ✅ fraud-detection: 2 of 3 gates pass\n")
    assert "1 gate did not pass and may by policy" in text
    blocked = told(record, (*VERDICTS, verdict("champion", "fail")))
    assert blocked.startswith(
        "### ❌ fraud-detection: 1 of 4 gates blocks\n\nIt cannot be released: `quality/champion`."
    )
    gates = [line for line in blocked.splitlines() if line.startswith("| `quality/") or line.startswith("| `speed/")]
    assert gates[0].startswith("| `quality/champion` | ❌ fail (blocks) |")


def test_a_report_needs_a_verdict(record: BuildRecord) -> None:
    """Nothing judged is not a pass."""
    with pytest.raises(ModelOpsError) as error:
        told(record, ())
    assert error.value.problems[0].code == "nothing-measured"


def champion(record: BuildRecord, signer: Signer) -> ReleaseSpec:
    spec = load_resource(release(1, record, signer)[RELEASE], RELEASE).spec
    assert isinstance(spec, ReleaseSpec)
    return spec


def test_the_report_compares_with_the_champion(record: BuildRecord, signer: Signer) -> None:
    """The champion's metrics stand beside the candidate's, on the same rows if they were measured there."""
    stable = champion(record, signer)
    same = (MetricValue(name="roc-auc", value=0.8, lower=0.75, upper=0.85, level=0.95, n=250, method="DeLong"),)
    assert "measured on its own test rows" in told(record, champion=stable)
    text = told(record, champion=stable, champion_metrics=same)
    assert "| `roc-auc` | 0.9123 (0.9 to 0.93) | 250 | 0.8 (0.75 to 0.85) |" in text
    assert "| `recall` | 0.7 (0.61 to 0.78) | 40 | – |" in text
    assert "measured on its own" not in text


def test_the_report_says_how_the_data_changed(record: BuildRecord, signer: Signer) -> None:
    """Rows, span, balance and columns stand beside the champion's; equal data is one sentence."""
    columns = (*snapshot_spec().columns[1:], Column(name="device", type="category", missing=0, distinct=3))
    columns = (columns[0].model_copy(update={"type": "integer"}), *columns[1:])
    before = snapshot_spec(root=digest_bytes(b"before"), rows=800, balance={"false": 1}, columns=columns)
    text = told(record, champion=champion(record, signer), champion_snapshot=before, changes=["PSI of amount 0.3"])
    for said in (
        "| Rows | 1,000 | 800 |",
        "| Balance | false 98.00%, true 2.00% | false 100.00% |",
        "- new column: amount (number)",
        "- column is gone: device (category)",
        "- column changed its type: card_present, integer to boolean",
        "- PSI of amount 0.3",
    ):
        assert said in text
    assert "The same as the champion's" in told(record, champion_snapshot=snapshot_spec())


def test_a_report_always_fits_into_a_comment(record: BuildRecord) -> None:
    """Thousands of gates, metrics and changes with long reasons stay below 60 kB, and the reader is told."""
    long = "<🙂>" * 2000
    verdicts = [verdict(f"gate-{number}", "fail", reason=long) for number in range(2000)]
    metrics = tuple(record.metrics[0].model_copy(update={"name": f"m{number}"}) for number in range(2000))
    record = record.model_copy(update={"metrics": metrics, "parameters": {"text": long}})
    snapshot = snapshot_resource(reason=long, balance={f"{long}{number}": 1 for number in range(50)})
    text = told(record, verdicts, snapshot=snapshot, changes=[long] * 3000)
    assert len(text.encode()) <= LIMIT
    assert "2000 of 2000 gates block" in text
    assert "left out" in text or "more." in text


@pytest.mark.parametrize("models", [1, 2, 9])
def test_the_reports_of_many_models_fit_into_one_comment(record: BuildRecord, models: int) -> None:
    """GitHub refuses comments above 65,536 characters: each model has its part, and its answer is there."""
    verdicts = tuple(verdict(f"gate-{number}", "fail", reason="<🙂>" * 2000) for number in range(2000))
    findings = tuple(Finding(one, {}) for one in verdicts)
    judged = Judged(model_resource(), snapshot_resource(), record, findings, None)
    text = comment([Built(judged, COMMIT, None)] * models)
    assert len(text.encode()) <= LIMIT
    assert text.count("2000 of 2000 gates block") == models


HOSTILE = {
    "quality/parity": {
        "groups": [
            {"group": "<img src=x>|**f**\n# x", "n": 120, "status": "judged", "selectionRate": 0.21},
            {"group": "m", "n": 130, "status": "judged", "selectionRate": None},
        ],
        "groupsLeftOut": 3,
        "between": ["f", "m"],
        "gapUnderParity": 0.0123456,
    },
    "quality/recall": {"positives": {"train": 120, "test": 40}, "stable": True},
}


def test_what_is_behind_the_verdicts_is_shown_and_stays_text(record: BuildRecord, signer: Signer) -> None:
    """Rates by group are tables in card and report, the fairness gate's where fairness is told; no label is markup."""
    shown = card(record, signer, details=HOSTILE)
    fairness, gates = shown.index("Fairness, measured"), shown.index("What the gates saw")
    assert fairness < shown.index("selection rate") < gates < shown.index("positives, train 120")
    assert "| group | n | status | selection rate |" in shown
    assert "… and 3 more." in shown
    report_text = told(record, details=HOSTILE)
    assert "#### Behind the verdicts" in report_text
    for text in (shown, report_text):
        assert "<img" not in text
        assert "\n# x" not in text
        assert "gap under parity 0.01235" in text
    assert "Behind the verdicts" not in told(record)


def test_details_are_lines_of_text_too() -> None:
    """Facts come first, on one line; each row of a table is a line; what is left out is counted."""
    assert details_lines(HOSTILE["quality/parity"], limit=1) == [
        "between f and 1 more; gap under parity 0.01235",
        "groups: group <img src=x>|**f** # x, n 120, status judged, selection rate 0.21",
        "groups: and 4 more",
    ]
    assert details_lines(HOSTILE["quality/recall"]) == ["positives, train 120; positives, test 40; stable yes"]
    assert details_lines({}) == []


def test_many_details_leave_the_report_short_enough(record: BuildRecord) -> None:
    """However much the gates saw, headline and gates stay and the whole fits into a comment."""
    rows = [{"feature": f"column_{at}" * 3, "psi": at / 7, "critical": at / 9} for at in range(200)]
    verdicts = [verdict(f"g{at}") for at in range(60)]
    many = {f"quality/g{at}": {f"part{part}": rows for part in range(9)} for at in range(60)}
    text = told(record, verdicts, details=many)
    assert len(text.encode()) <= 60_000
    assert "#### Gates" in text
