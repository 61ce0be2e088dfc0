"""What an estimator has learnt has one digest, however often it is loaded, and another one once a tree differs."""

from __future__ import annotations

import numpy as np
import skops.io
from sklearn.ensemble import GradientBoostingClassifier

from modelops.artifacts.parameters import parameters_digest


def test_every_tree_of_an_ensemble_counts_and_always_alike() -> None:
    """A tree makes its arrays anew whenever it is asked; none of two hundred is passed over for that."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(300, 3))
    labels = features[:, 0] + generator.normal(size=300) > 0
    fitted = GradientBoostingClassifier(n_estimators=200, random_state=1).fit(features, labels)
    data = skops.io.dumps(fitted)
    trusted = skops.io.get_untrusted_types(data=data)
    assert len({parameters_digest(skops.io.loads(data, trusted=trusted)) for _ in range(6)}) == 1
    said = parameters_digest(fitted)
    for number in (0, 1, 100, 199):
        other = skops.io.loads(data, trusted=trusted)
        other.estimators_[number, 0].tree_.value[0] += 1e-9
        assert parameters_digest(other) != said
