"""The server: Open Inference Protocol v2 over HTTP for every model and arm of one environment's routing table."""

from modelops.serving.assignment import assign
from modelops.serving.server import Service, serve

__all__ = ["Service", "assign", "serve"]
