"""What tools that judge by what Prometheus finds are told of pods, the way to them, and of Prometheus."""

from __future__ import annotations

from pydantic import Field

from modelops.exports._judging import Url
from modelops.exports._pods import Pods
from modelops.exports._ways import Way

__all__ = ["Watched"]


class Watched(Pods, Way):
    """What pods run, which gateway leads to them, and which Prometheus is asked.

    It has to be told of the environment by the export prometheus: its pods are asked for under that job.
    """

    prometheus: Url = Field(description="address of Prometheus within the cluster")
    minimum_minutes: float = Field(5.0, ge=1, description="how long a step lasts at least, so as to be seen")
