"""What every gate keeps, whoever wrote it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import get_args

import numpy as np

from modelops.conformance.loans import empty, subject
from modelops.conformance.shelf import check_module, params_of
from modelops.errors import ModelOpsError
from modelops.evidence.details import recorded
from modelops.gates import Answers, Explained, Gate, Need, Subject, Verdict

__all__ = ["CHECKS", "check"]

Params = Mapping[str, object]
_MEASURED: tuple[Need, ...] = ("predictions", "latency", "predictor", "reasons", "retraining")


def check(gate: Gate, params: Params) -> None:
    """Run every check; ``params`` let the good candidate of ``modelops.conformance.loans`` pass."""
    for one in CHECKS:
        one(gate, params)


def check_shelf(gate: Gate, params: Params) -> None:
    """It exposes what the Protocol names, refuses unknown parameters, and needs nothing that does not exist."""
    check_module("gates", gate, params)
    unknown = [need for need in gate.NEEDS if need not in get_args(Need)]
    assert not unknown, f"NEEDS name {unknown}; there are {', '.join(get_args(Need))}"


def check_good_candidate_passes(gate: Gate, params: Params) -> None:
    """The good candidate passes, with a sentence, and with no part of the subject that NEEDS do not name."""
    found = _judged(gate, params, subject())
    assert found.verdict == "pass", f"a good candidate gets {found.verdict}: {found.reason}"
    assert found.reason, "a verdict gives no reason"


def check_reads_only_what_it_needs(gate: Gate, params: Params) -> None:
    """No need can be left out: each that is named is read, for this candidate or for one without a stable release."""
    # An error of a part that is not named is that of the subject, so what raises is what the gate reads.
    for need in gate.NEEDS:
        rest = [other for other in gate.NEEDS if other != need]
        read = any(not _runs(gate, params, some.only(rest)) for some in (subject(), subject(champion=None)))
        assert read, f"NEEDS name {need!r}, which is never read with these parameters"


def check_pure(gate: Gate, params: Params) -> None:
    """Equal subjects give equal verdicts, and a subject is left as it was."""
    first, second = subject(), subject()
    before = copy.deepcopy(first)
    found = [_judged(gate, params, one) for one in (first, second, first)]
    assert found[0] == found[1] == found[2], "equal subjects are judged differently"
    assert first.train.equals(before.train), "the gate changed the training rows"
    assert first.test.equals(before.test), "the gate changed the test rows"
    assert np.array_equal(first.latency, before.latency), "the gate changed the timings"
    assert np.array_equal(first.holdout.y_score, before.holdout.y_score), "the gate changed the predictions"


def check_nothing_measured_is_no_data(gate: Gate, params: Params) -> None:
    """Without rows, timings and bytes a gate neither passes nor fails."""
    found = _judged(gate, params, empty())
    assert found.verdict == "no-data", f"of nothing it says {found.verdict}: {found.reason}"


def check_numbers_that_are_none(gate: Gate, params: Params) -> None:
    """A candidate that answers NaN passes no gate that looks at its answers, and breaks none."""
    if set(gate.NEEDS).isdisjoint(_MEASURED):
        return
    whole = subject()
    nan = np.full(len(whole.holdout), np.nan)
    broken = replace(
        whole,
        holdout=replace(whole.holdout, y_pred=nan, y_score=nan),
        latency=np.full(500, np.nan),
        predict=lambda rows: Answers(np.full(len(rows), np.nan), np.full(len(rows), np.nan)),
        explain=lambda rows: Explained(np.full((len(rows), 3), np.nan), "sampled", "probability", np.nan),
        retrain=lambda seed, seconds: Answers(nan, nan),
    )
    found = _judged(gate, params, broken)
    reads_rows_only = found.verdict == "pass" and "rows" in gate.NEEDS and found == _judged(gate, params, whole)
    assert found.verdict in ("no-data", "fail", "inconclusive") or reads_rows_only, f"NaN passes: {found.reason}"


def check_details_can_be_signed(gate: Gate, params: Params) -> None:
    """What it says beyond the verdict is JSON, finite and the same after a trip through it."""
    found = _judged(gate, params, subject())
    details = recorded(found.details)
    text = json.dumps(details, sort_keys=True, allow_nan=False)
    assert recorded(json.loads(text)) == details, "details change on their way through JSON"


def check_a_first_release(gate: Gate, params: Params) -> None:
    """Where no release is stable, or it cannot be compared, a gate gives a verdict all the same."""
    first = replace(subject(), champion=None, champion_release=None, champion_profile=None, incomparable="")
    unlike = replace(subject(), champion=None, incomparable="there is no column 'age'")
    for one in (first, unlike):
        assert isinstance(_judged(gate, params, one), Verdict), "without a stable release there is no verdict"


CHECKS: tuple[Callable[[Gate, Params], None], ...] = (
    check_shelf,
    check_good_candidate_passes,
    check_reads_only_what_it_needs,
    check_pure,
    check_nothing_measured_is_no_data,
    check_numbers_that_are_none,
    check_details_can_be_signed,
    check_a_first_release,
)


def _judged(gate: Gate, params: Params, whole: Subject) -> Verdict:
    return gate.evaluate(params_of(gate, params), whole.only(gate.NEEDS))


def _runs(gate: Gate, params: Params, some: Subject) -> bool:
    try:
        gate.evaluate(params_of(gate, params), some)
    except ModelOpsError as error:
        return error.first.code != "need-unnamed"
    return True
