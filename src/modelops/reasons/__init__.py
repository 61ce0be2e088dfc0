"""Why a release scored a row as it did: what each feature adds to what the recorded background rows get on average.

The numbers are interventional Shapley values: of features that are not yet given, a row of the background stands in,
and the contribution of a feature is what giving it changes, averaged over all orders and over the background. They are
computed from the form that is served, and add up to its score.
"""

from modelops.reasons.asking import not_explained
from modelops.reasons.explainer import Explainer, explainer_of, prepared
from modelops.reasons.explanation import Explanation, parse_reasons

__all__ = ["Explainer", "Explanation", "explainer_of", "not_explained", "parse_reasons", "prepared"]
