"""Several processes that are one server: how they are kept, and how any of them answers for all."""

from modelops.serving.workers.peers import Peers, View, merged_families, merged_status, packed
from modelops.serving.workers.supervisor import DRAIN_SECONDS, supervise

__all__ = ["DRAIN_SECONDS", "Peers", "View", "merged_families", "merged_status", "packed", "supervise"]
