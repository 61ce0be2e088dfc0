"""Hours of a model that are unlike those of the weeks before, and what they are likely to come from."""

from modelops.monitoring.anomalies.series import BACK, USUAL, Anomaly, Unusual, unusual_hours

__all__ = ["BACK", "USUAL", "Anomaly", "Unusual", "unusual_hours"]
