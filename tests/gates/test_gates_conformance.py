"""Every gate on the shelf keeps what the shipped conformance suite asks, and the suite notices who does not."""

from __future__ import annotations

import pytest

from modelops import plugins
from modelops.conformance import gates
from modelops.conformance.loans import subject
from modelops.errors import ModelOpsError
from modelops.gates import Verdict
from modelops.spec.kinds.gate_policy import COLUMNS

EXAMPLES: dict[str, dict[str, object]] = {
    "calibration": {"maximum": 0.4},
    "champion": {"metric": "roc-auc", "margin": 0.01},
    "data-quality": {},
    "drift": {},
    "evasion": {"minimum": 0.2},
    "fairness": {"metric": "equalized-odds", "column": "sex", "maximum": 0.2},
    "latency": {"p50Ms": 5.0, "p99Ms": 20.0, "maximumBytes": 1_000_000},
    "membership": {},
    "metric": {"metric": "recall", "minimum": 0.7},
    "monotonicity": {"directions": {"income": "increasing"}, "maximum": 0.02},
    "permutation-importance": {"maximum": 0.05, "features": ["children"], "proxiesOf": ["sex"]},
    "poisoning": {},
    "robustness": {"maximum": 0.1, "metric": "accuracy"},
    "shap": {"maximum": 0.05, "features": ["children"], "proxiesOf": ["sex"], "agreement": 0.5},
    "stability": {"maximum": 0.1},
    "slices": {"metric": "accuracy", "minimum": 0.5, "columns": ["sex", "region"]},
}
KEYS = plugins.keys("gates")
ANY_OF_THEM = {"data-quality", "drift"}
"""Those that judge what a model has of what they name: a policy of many models names what only some have."""


def test_every_gate_has_an_example():
    """A new gate file must be added to this suite."""
    assert set(KEYS) == set(EXAMPLES)


NAMING = {"column", "columns", "directions", "features", "immutable", "missing", "proxiesOf"}
"""Parameters of these names name columns."""


@pytest.mark.parametrize("key", KEYS)
def test_what_names_columns_is_known_where_specs_are_checked(key):
    """Each parameter of a gate that names columns is in the table by which models are held against their policies."""
    fields = plugins.load("gates", key).Params.model_fields
    named = NAMING & {field.alias or name for name, field in fields.items()}
    assert named == set(COLUMNS.get(key, {})) or (key in ANY_OF_THEM and key not in COLUMNS)


@pytest.mark.parametrize("check", gates.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("key", KEYS)
def test_gate_keeps(key, check):
    """Each check holds for each gate, with parameters under which the good candidate passes."""
    check(plugins.load("gates", key), EXAMPLES[key])


class Broken:
    """The metric gate with any fault."""

    __name__ = "broken"

    def __init__(self, **faults: object) -> None:
        module = plugins.load("gates", "metric")
        self.Params, self.NEEDS, self.evaluate = module.Params, module.NEEDS, module.evaluate
        for name, value in faults.items():
            setattr(self, name, value)


def changes_rows(params, given):
    given.test["income"] = 0.0
    return plugins.load("gates", "metric").evaluate(params, given)


def always(word, **details):
    return lambda params, given: Verdict(word, "so it is", details={"n": len(given.holdout), **details})


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"NEEDS": ("prediction",)}, "NEEDS name"),
        ({"NEEDS": ()}, "NEEDS do not name 'predictions'"),
        ({"NEEDS": ("predictions", "latency")}, "'latency', which is never read"),
        ({"NEEDS": ("predictions", "rows"), "evaluate": changes_rows}, "changed the test rows"),
        ({"evaluate": always("fail")}, "a good candidate gets fail"),
        ({"evaluate": always("pass")}, "of nothing it says pass"),
        ({"evaluate": always("no-data", who=object())}, "a good candidate gets no-data"),
    ],
)
def test_the_suite_notices(faults, said):
    """A gate with a fault does not pass the suite, which says what is not kept."""
    with pytest.raises((AssertionError, ModelOpsError), match=said):
        gates.check(Broken(**faults), EXAMPLES["metric"])


def test_the_suite_notices_details_that_no_evidence_can_hold():
    """An object among the details is told by its type."""
    with pytest.raises(ModelOpsError, match="details hold object"):
        gates.check_details_can_be_signed(Broken(evaluate=always("pass", who=object())), EXAMPLES["metric"])


def test_a_gate_without_one_of_its_names_is_told_which():
    """A module that lacks what the Protocol names is refused by that name."""
    broken = Broken()
    del broken.NEEDS
    with pytest.raises(AssertionError, match="broken lacks NEEDS"):
        gates.check(broken, EXAMPLES["metric"])


def test_a_part_that_is_not_named_cannot_be_read():
    """A gate sees the parts of its needs, whatever else is known of the candidate, and copies keep that."""
    seen = subject(60).only(("rows",))
    assert len(seen.train) == len(seen.test) == 60
    for some in (seen, seen.with_parts({"seed": 3})):
        for name in ("holdout", "champion", "latency", "predict", "champion_profile"):
            with pytest.raises(ModelOpsError, match="NEEDS do not name"):
                getattr(some, name)
