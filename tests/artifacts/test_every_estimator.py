"""Every estimator of scikit-learn through what a build does with it; the reference page is its result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sklearn.utils import all_estimators

from artifacts.estimators import COMPOSED, NO_COLUMNS, SEVERAL_TARGETS, Case, Outcome, cases, outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "estimators.md"

CASES = {case.name: case for case in cases()}
TITLES = {"classifier": "Classifiers", "regressor": "Regressors", "transformer": "Transformers"}

HEAD = """# Estimators

What becomes of every estimator of scikit-learn that takes a table, with its default parameters, on three columns of
numbers; a transformer stands before a logistic regression. Other parameters and columns can end otherwise: each build
decides by its own check and says why in `engineReason` of the release.

- **ONNX**: served without Python's libraries for models; equal to scikit-learn within 1e-6 on every row of the check.
- **scikit-learn**: built, released and served by scikit-learn itself.
- **refused**: not built; the error names the way out.

A fitted search, wherever it stands, is kept as the best estimator that it found. Of `FixedThresholdClassifier` and
`TunedThresholdClassifierCV` the threshold is taken over. Not for a model with one target are those that want several:
{several}.
"""


def row(case: Case, found: Outcome) -> str:
    reason = re.sub(r"\\s+", " ", found.reason).replace("|", "\\|")
    return f"| `{case.name}` | {found.word} | {reason} |"


def page(found: dict[str, Outcome]) -> str:
    parts = [HEAD.format(several=", ".join(f"`{name}`" for name in sorted(SEVERAL_TARGETS)))]
    for kind, title in TITLES.items():
        rows = [row(case, found[name]) for name, case in CASES.items() if case.kind == kind]
        table = ["| estimator | served by | why not ONNX |", "| --- | --- | --- |", *rows, ""]
        parts.append(f"## {title}\n\n" + "\n".join(table))
    return "\n".join(parts)


def words(text: str) -> dict[str, str]:
    """Return the outcome of every estimator on a page; how far engines part differs between processors."""
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", text, re.MULTILINE))


def test_every_estimator_is_tried_or_has_a_reason() -> None:
    """A new estimator of scikit-learn does not go unseen."""
    known = {name for kind in TITLES for name, _ in all_estimators(type_filter=kind)}
    assert known <= set(CASES) | SEVERAL_TARGETS | NO_COLUMNS | COMPOSED
    assert set(CASES) >= {"GridSearchCV(Ridge)", "HalvingGridSearchCV(LogisticRegression)", "KNNImputer"}


@pytest.mark.parametrize("name", ["KNNImputer", "GaussianProcessClassifier", "DummyClassifier", "IterativeImputer"])
def test_what_onnx_cannot_hold_is_served_by_scikit_learn(name: str) -> None:
    """Operators outside the standard and unknown estimators are reasons, never errors."""
    found = outcome(CASES[name])
    assert found.word == "scikit-learn"
    assert name in found.reason or "outside the standard" in found.reason


@pytest.mark.slow
def test_what_becomes_of_every_estimator(request: pytest.FixtureRequest) -> None:
    """None fails without a reason, none is refused without a hint, and the reference page tells how each ends."""
    found = {name: outcome(case) for name, case in CASES.items()}
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page(found), encoding="utf-8")
    assert words(PAGE.read_text(encoding="utf-8")) == {name: each.word for name, each in found.items()}
