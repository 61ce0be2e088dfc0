"""API keys: who is let in, how often, and what a used-up budget says."""

from __future__ import annotations

import hashlib

import pytest

from modelops.errors import ModelOpsError
from modelops.serving.guard import Caller, Guard, guard
from modelops.spec.kinds.access_policy import AccessPolicySpec, ApiKey

KEY = b"a-long-random-key"
DIGEST = hashlib.sha256(KEY).hexdigest()


def made(**changes: object) -> Guard:
    found = guard([ApiKey.model_validate({"name": "app", "sha256": DIGEST, **changes}, by_alias=True)], None, {})
    assert found is not None
    return found


def code(one: Guard, headers: dict[bytes, bytes], scope: str = "infer", now: float = 0.0) -> str:
    try:
        one.identify(headers).admit(scope, now, now)  # type: ignore[arg-type]
    except ModelOpsError as error:
        return error.problems[0].code
    return "admitted"


def admitted(one: Guard, now: float) -> Caller:
    caller = one.identify(SENT)
    caller.admit("infer", now, now)
    return caller


SENT = {b"authorization": b"Bearer " + KEY}


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "unauthenticated"),
        ({b"authorization": b"Bearer wrong"}, "unauthenticated"),
        ({b"authorization": b"Basic YTpi"}, "unauthenticated"),
        ({b"authorization": b"Bearer "}, "unauthenticated"),
        ({b"x-api-key": DIGEST.encode()}, "unauthenticated"),
        (SENT, "admitted"),
        ({b"authorization": b"bearer  " + KEY}, "admitted"),
        ({b"x-api-key": KEY}, "admitted"),
    ],
)
def test_only_the_key_itself_lets_in(headers, said):
    """Neither nothing, another key, nor the hash that is in git opens the door."""
    assert code(made(), headers) == said


def test_scopes_and_models():
    """A key does what its scopes say, to the models that it names."""
    one = made(models=("fraud",), scopes=("infer",))
    assert code(one, SENT) == "admitted"
    assert code(one, SENT, scope="feedback") == "forbidden"
    assert code(one, SENT, scope="admin") == "forbidden"
    sight = one.identify(SENT).sight
    assert (sight.has("fraud"), sight.has("churn"), sight.key) == (True, False, "app")
    assert made().identify(SENT).sight.has("churn")


def test_a_rate_allows_a_burst_and_then_the_average():
    """Three at once, then one for every half second."""
    one = made(rate={"requestsPerSecond": 2.0, "burst": 3})
    assert [code(one, SENT, now=100.0) for _ in range(4)] == ["admitted"] * 3 + ["rate-limited"]
    assert [code(one, SENT, now=100.5) for _ in range(2)] == ["admitted", "rate-limited"]


def test_a_used_up_budget_refuses_and_alerts_once(capsys):
    """The rows of a window are counted, the alert names extraction, and the next window begins anew."""
    one = made(budget={"rows": 100, "hours": 1.0})
    admitted(one, 0.0).charge(60, 0.0)
    admitted(one, 1.0).charge(60, 1.0)
    assert code(one, SENT, now=2.0) == "budget-exhausted"
    assert code(one, SENT, scope="feedback", now=2.0) == "admitted"
    told = capsys.readouterr().err
    assert told.count("possible model extraction: the key app has predicted 120 rows") == 1
    assert code(one, SENT, now=3601.0) == "admitted"


def test_requests_let_in_together_get_one_answer_over_the_budget():
    """Of many that were admitted before any was counted, the first to go over the budget is the last one answered."""
    one = made(budget={"rows": 100, "hours": 1.0})
    callers = [admitted(one, 0.0) for _ in range(3)]
    callers[0].charge(100, 1.0)
    for caller in callers[1:]:
        with pytest.raises(ModelOpsError, match="has used its budget"):
            caller.charge(100, 1.0)
    assert callers[0].predicted == 100


def test_what_was_used_survives_a_new_table():
    """A changed policy is no way around a budget."""
    one = made(budget={"rows": 10, "hours": 1.0})
    admitted(one, 0.0).charge(10, 0.0)
    changed = ApiKey(name="app", sha256=DIGEST, models=("fraud",), budget=next(iter(one.callers.values())).key.budget)
    two = guard([changed], one, {})
    assert two is not None
    assert code(two, SENT, now=1.0) == "budget-exhausted"


def test_a_key_from_the_environment(capsys):
    """A variable holds the key itself; one that is not set lets nobody in."""
    key = ApiKey(name="app", variable="APP_KEY")
    there, missing = guard([key], None, {"APP_KEY": KEY.decode()}), guard([key], None, {})
    assert there is not None
    assert missing is not None
    assert code(there, SENT) == "admitted"
    assert code(missing, SENT) == "unauthenticated"
    assert "APP_KEY is not set" in capsys.readouterr().err


def test_without_a_policy_everyone_is_let_in():
    """No keys, no guard."""
    assert guard(None, None, {}) is None


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"name": "app"}],
        [{"name": "app", "sha256": DIGEST, "variable": "APP_KEY"}],
        [{"name": "app", "sha256": DIGEST}, {"name": "app", "sha256": "0" * 64}],
        [{"name": "app", "sha256": DIGEST}, {"name": "web", "sha256": DIGEST}],
        [{"name": "app", "sha256": KEY.decode()}],
    ],
)
def test_policies_that_make_no_sense(keys):
    """No key, no place for it, two places, and names or keys that are given twice are refused."""
    with pytest.raises(ValueError, match="validation error"):
        AccessPolicySpec.model_validate({"keys": keys}, strict=False)


def test_workers_count_together_what_a_key_uses(tmp_path, capsys):
    """A rate and a budget are as large for several processes as for one, and one of them alerts."""
    key = ApiKey.model_validate(
        {"name": "app", "sha256": DIGEST, "rate": {"requestsPerSecond": 1.0, "burst": 4}, "budget": {"rows": 10}},
        by_alias=True,
    )
    first, second = (guard([key], None, {}, tmp_path) for _ in range(2))
    assert first is not None
    assert second is not None
    assert [code(one, SENT, now=50.0) for one in (first, second, first, second, first)] == ["admitted"] * 4 + [
        "rate-limited"
    ]
    first.identify(SENT).charge(6, 60.0)
    second.identify(SENT).charge(6, 60.0)
    assert {code(one, SENT, now=70.0 + at) for at, one in enumerate((first, second))} == {"budget-exhausted"}
    assert capsys.readouterr().err.count("ALERT") == 1
    # What nobody got is given back, and a new table gives back nothing else.
    second.identify(SENT).charge(-6, 75.0)
    renewed = guard([key], first, {}, tmp_path)
    assert renewed is not None
    assert code(renewed, SENT, now=80.0) == "admitted"
    assert first.identify(SENT).retry_seconds(80.0) < 1.0


def test_a_key_that_is_off_is_said_once(capsys):
    """However often the table is loaded, a variable that is not set is one line."""
    key = ApiKey.model_validate({"name": "app", "variable": "UNSET"}, by_alias=True)
    guard([key], guard([key], None, {}), {})
    assert capsys.readouterr().err.count("the key app is off") == 1
