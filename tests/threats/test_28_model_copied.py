"""Threat 28: somebody asks a bundled model so often that a model of the answers answers as it does."""

from __future__ import annotations

import numpy as np

from modelops.spec.kinds.access_policy import ApiKey, Budget
from threats.bundled_model import asked_until_refused, copied, drawn, trained

SPARE = ApiKey(name="shop", sha256="a" * 64, budget=Budget(rows=200, hours=24))


def test_a_budget_of_rows_bounds_what_is_copied(capsys) -> None:
    """Who goes on asking is refused at the budget and told of, and what was learnt by then follows the model less."""
    train, test = drawn(5000, 1)
    (asked, _) = drawn(7000, 2, "2026-01", "2026-03")
    predict = trained(train)
    answered, caller = asked_until_refused(SPARE, 350, 20)
    assert (answered, caller.exceeded) == (200, 1)
    assert "ALERT possible model extraction: the key shop has predicted 200 rows" in capsys.readouterr().err
    truth = predict(test).scores
    apart = [float(np.abs(copied(predict, asked.iloc[:rows])(test).scores - truth).mean()) for rows in (answered, 7000)]
    assert apart[0] > 1.5 * apart[1]


def test_who_asks_within_the_budget_is_left_alone(capsys) -> None:
    """Days of half the budget raise no alarm, and each day begins anew."""
    answered, caller = asked_until_refused(SPARE, 5, 20)
    for day in range(1, 5):
        for _ in range(5):
            caller.admit("infer", day * 86_400.0, 0.0)
            caller.charge(20, day * 86_400.0)
    assert (answered, caller.exceeded, caller.predicted) == (100, 0, 500)
    assert "ALERT" not in capsys.readouterr().err
