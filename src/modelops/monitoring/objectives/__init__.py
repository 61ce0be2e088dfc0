"""What is promised of a model, held against what the log and git say, at a cost that does not grow with the history."""

from modelops.monitoring.objectives.budgets import COLUMNS, Budget, Promise, Stable, budgets, sentence
from modelops.monitoring.objectives.hours import Hours, count
from modelops.monitoring.objectives.kept import hours_of

__all__ = ["COLUMNS", "Budget", "Hours", "Promise", "Stable", "budgets", "count", "hours_of", "sentence"]
