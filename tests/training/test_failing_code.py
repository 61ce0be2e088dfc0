"""Training code that misbehaves: each way has its own answer, and nothing is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from modelops.errors import ModelOpsError, Problem
from modelops.training import runs
from modelops.training.worker import require_estimator
from training.building_blocks import LOGISTIC, Workshop

RAISES = """
def helper(features):
    raise ValueError("no such thing as " + features.columns[0])


def train(features, target, parameters, seed):
    return helper(features)
"""
PREDICTS_NAN = """
import numpy as np
from sklearn.linear_model import LogisticRegression


def train(features, target, parameters, seed):
    model = LogisticRegression().fit(features[["age"]].to_numpy(), target)
    model.coef_ = model.coef_ * np.nan
    model.n_features_in_ = 1
    return model
"""

SVM = LinearSVC()


class Booster:
    """Predicts, as the objects of other libraries do, without being an estimator."""

    def predict(self, rows: object) -> object:
        return rows


def body(*lines: str) -> str:
    return "import os, sys, socket, time\n\ndef train(features, target, parameters, seed):\n" + "".join(
        f"    {line}\n" for line in lines
    )


def failing(workshop: Workshop, code: str, **changes: Any) -> Problem:
    """The problem of a build that fails; nothing may be stored, and the ledger must know."""
    with pytest.raises(ModelOpsError) as caught:
        workshop.build(workshop.request(code, **changes))
    problem = caught.value.problems[0]
    assert not (workshop.root / ".modelops" / "store" / "blobs").exists()
    assert list((workshop.root / "scratch").glob("*") if (workshop.root / "scratch").exists() else ()) == []
    newest = runs(workshop.ledger)[0]
    assert (newest.outcome, newest.problem) == ("failed", problem.code)
    return problem


def test_syntax_errors_are_found_before_anything_runs(workshop: Workshop) -> None:
    """The file, line and column of the error; the data is not read."""
    problem = failing(workshop, "def train(:\n    pass\n")
    assert problem.code == "bad-entrypoint"
    assert str(problem.location) == "models/churn/train.py:1:11"
    assert workshop.reads == 0


@pytest.mark.slow
def test_an_exception_comes_with_its_own_traceback(workshop: Workshop) -> None:
    """The message holds the model's frames and no path of this machine; the location is the raising line."""
    problem = failing(workshop, RAISES)
    assert problem.code == "training-failed"
    assert "ValueError: no such thing as amount" in problem.message
    assert "train.py:7 in train: return helper(features)" in problem.message
    assert str(workshop.root) not in problem.message
    assert str(problem.location) == "models/churn/train.py:3:1"


def test_a_message_that_no_terminal_can_write(workshop: Workshop) -> None:
    """Half a surrogate pair in an exception is spelled out, so that the ledger and the terminal can hold it."""
    problem = failing(workshop, body(r"raise ValueError('\ud800 bad')"))
    assert problem.code == "training-failed"
    assert r"ValueError: \ud800 bad" in problem.message


def test_hanging_code_is_stopped_at_its_limit(workshop: Workshop) -> None:
    """The limit is named, and so is the key that sets it."""
    problem = failing(workshop, body("time.sleep(600)"), training__timeoutSeconds=1)
    assert (problem.code, problem.dotted) == ("training-timeout", "spec.training.timeoutSeconds")
    assert "1 seconds" in problem.message


@pytest.mark.slow
def test_memory_is_limited(workshop: Workshop) -> None:
    """Allocating beyond the limit ends the build, not the machine."""
    problem = failing(workshop, body("return [bytearray(64 << 20) for _ in range(200)]"), training__memoryMib=256)
    assert (problem.code, problem.dotted) == ("training-out-of-memory", "spec.training.memoryMib")
    assert str(problem.location) == "models/churn/train.py:4:1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "expected", "says"),
    [
        ("parameter = 3\n", "no-train-function", "train.py defines no function train"),
        (body("return None"), "not-an-estimator", "returned NoneType"),
        (body("sys.exit(7)"), "training-exited", "exit code 7"),
        (body("os._exit(0)"), "training-exited", "exit code 0"),
        (body("import ctypes", "ctypes.string_at(0)"), "training-killed", "SIGSEGV"),
        (LOGISTIC, "prediction-failed", "refuses the test rows"),
        ("import nothing_like_this\n" + LOGISTIC, "training-failed", "nothing_like_this"),
    ],
)
def test_every_other_way_to_fail_has_its_code(workshop: Workshop, code: str, expected: str, says: str) -> None:
    """Whatever the code does, the answer is one sentence with a stable code."""
    problem = failing(workshop, code)
    assert problem.code == expected
    assert says in problem.message
    if expected == "prediction-failed":
        assert "ColumnTransformer" in str(problem.hint)


@pytest.mark.parametrize(
    ("estimator", "code", "says"),
    [
        (Ridge().fit([[1], [2]], [0, 1]), "not-an-estimator", "Ridge"),
        (LogisticRegression, "not-an-estimator", "returned"),
        (LogisticRegression(), "not-fitted", "unfitted"),
        (LinearSVC().fit([[1], [2]], [0, 1]), "no-probabilities", "LinearSVC has no predict_proba"),
        (make_pipeline(SVM).fit([[1], [2]], [0, 1]), "no-probabilities", "LinearSVC has no predict_proba; it is"),
        (FixedThresholdClassifier(SVM).fit([[1], [2]], [0, 1]), "no-probabilities", "LinearSVC has no predict_proba"),
        (VotingClassifier([("a", SVM)]).fit([[1], [2]], [0, 1]), "no-probabilities", "VotingClassifier has no predict"),
        (LogisticRegression().fit([[1], [2]], [0, 2]), "wrong-classes", "[0, 2]"),
        (Booster(), "not-an-estimator", "returned Booster"),
        (print, "not-an-estimator", "builtin_function_or_method"),
    ],
)
def test_what_training_returns_is_a_fitted_estimator_of_the_task(estimator: object, code: str, says: str) -> None:
    """Anything else is refused with what it is."""
    request = {"entrypoint": "train.py", "task": "binary-classification", "classes": [0, 1]}
    with pytest.raises(ModelOpsError) as caught:
        require_estimator(estimator, request)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert says in problem.message


@pytest.mark.slow
def test_predictions_that_are_no_numbers_fail_the_build(workshop: Workshop) -> None:
    """NaN scores on the test rows are counted and refused."""
    features = [{"name": "age", "type": "integer"}]
    problem = failing(workshop, PREDICTS_NAN, data__features=features)
    assert problem.code == "prediction-not-finite"
    assert "60 of 60" in problem.message


@pytest.mark.slow
def test_the_log_is_capped(workshop: Workshop) -> None:
    """Huge output is read to its end and kept in part, so it neither blocks the build nor fills the disk."""
    failing(workshop, body("for i in range(400): print('x' * 9999, i)", "raise SystemExit(1)"))
    log = next((workshop.root / ".modelops" / "runs").glob("*.log"))
    assert log.stat().st_size < 300_000
    assert b"bytes left out" in log.read_bytes()


def test_code_is_confined(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It sees no secret, cannot write or read elsewhere, starts no process, has no network and no test rows."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    attempts = [
        f"open({str(tmp_path / 'outside.txt')!r}, 'w')",
        f"open({str(secret)!r}).read()",
        f"os.remove({str(secret)!r})",
        f"os.rename('train.arrow', {str(tmp_path / 'moved')!r})",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        "open(f'/proc/{os.getppid()}/environ').read()",
        "os.listdir('..') and open('../test.arrow', 'rb')",
        "os.system('true')",
        "__import__('subprocess').run(['true'])",
        "os.fork()",
        "os.kill(os.getppid(), 9)",
        "socket.create_connection(('127.0.0.1', 1), 1)",
        "__import__('ctypes').CDLL(None).creat(b'" + str(tmp_path / "native.txt") + "', 0o644) >= 0 and 1",
    ]
    code = body(
        "seen = []",
        f"for attempt in {attempts!r}:",
        "    try:",
        "        if eval(attempt) == 0: continue",
        "        seen.append(attempt)",
        "    except PermissionError as error:",
        "        seen.append('refused: ' + str(error))",
        "open('mine.txt', 'w').write('allowed')",
        "raise RuntimeError(str(sorted(os.environ)) + str(len(features)) + ' | '.join(seen))",
    )
    problem = failing(workshop, code, training__timeoutSeconds=30)
    assert problem.code == "training-failed"
    message = problem.message
    assert "hunter2" not in message
    assert "AWS_SECRET_ACCESS_KEY" not in message
    assert "]180" in message
    assert message.count("refused: ") >= len(attempts) - 1
    assert "outside.txt" in message
    assert secret.read_text() == "hunter2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".modelops", "scratch", "secret.txt"]
