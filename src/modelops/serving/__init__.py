"""The server: Open Inference Protocol v2 over HTTP for every model and arm of one environment's routing table."""

from modelops.serving.assignment import assign
from modelops.serving.server import Service, reserved
from modelops.serving.workers import Peers, supervise

__all__ = ["Peers", "Service", "assign", "reserved", "supervise"]
