"""HTTP/1.1 for small, whole requests: keep-alive, pipelining, limits, time limits and a drain that loses nothing.

Every body is bounded, so a request is handed over whole and answered by one call; a full web server between the socket
and the model costs more than the model (``docs/decisions`` has the numbers).
"""

from modelops.serving.http.messages import JSON, RETRY, Answer, Coming, Handler, Limits, Request
from modelops.serving.http.server import HttpServer

__all__ = ["JSON", "RETRY", "Answer", "Coming", "Handler", "HttpServer", "Limits", "Request"]
