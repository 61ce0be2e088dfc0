"""The server: Open Inference Protocol v2 over HTTP for every model and arm of one environment's routing table."""

from modelops.serving.assignment import assignment
from modelops.serving.server import Service, serve

__all__ = ["Service", "assignment", "serve"]
