"""What is asked of pods from within: programs for their Python, whatever a network policy says."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from modelops.targets.docker.inside import whole
from modelops.targets.kubernetes.cluster import Cluster, told

__all__ = ["CONTAINER", "Program", "ask", "started"]

CONTAINER = "server"
SECONDS = 30.0
"""How long a program may say nothing."""
ANSWER_SECONDS = 60.0
"""How long one may take that is asked for an answer."""
_OUT, _COMPLAINT, _END = 1, 2, 3
"""The channels of the protocol v4.channel.k8s.io: what is written, what is complained of, and how it ended."""
_HANDSHAKE = re.compile(r"Handshake status (\d{3})")


@dataclass
class Program:
    """A program that runs in a pod; its errors are kept up to some length."""

    stream: Any
    seconds: float = math.inf
    complaint: bytes = b""
    _end: bytes = b""

    def out(self) -> Iterator[bytes]:
        """Yield what it writes, until it ends, says nothing or goes on for too long, or the connection is cut off.

        Frames are read from the socket itself: the client's own way of reading keeps all that was ever said.
        """
        import websocket

        sock, heard, end = self.stream.sock, time.monotonic(), time.monotonic() + self.seconds
        sock.settimeout(SECONDS)
        try:
            while time.monotonic() < min(end, heard + SECONDS):
                kind, frame = sock.recv_data_frame(True)
                if kind == websocket.ABNF.OPCODE_CLOSE:
                    return
                if kind not in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) or len(frame.data) < 2:
                    continue
                channel, said = frame.data[0], frame.data[1:]
                heard = time.monotonic()
                if channel == _OUT:
                    yield said
                elif channel == _COMPLAINT:
                    self.complaint = (self.complaint + said)[-4096:]
                elif channel == _END:
                    self._end = said
        except (websocket.WebSocketException, OSError) as error:
            self.complaint += str(error).encode()

    def succeeded(self) -> bool:
        """Tell whether it has ended, and well; of one that was cut off nobody says how it ended."""
        try:
            return bool(json.loads(self._end)["status"] == "Success")
        except (TypeError, KeyError, ValueError):
            return False


@contextmanager
def _open(stream: Any) -> Iterator[Any]:
    """Yield a stream, and close its socket: the client leaves one open that the other side has said good-bye on."""
    try:
        yield stream
    finally:
        stream.sock.shutdown()


def started(cluster: Cluster, pod: str, program: str, *words: str) -> AbstractContextManager[Any] | None:
    """Run a program with a pod's Python; None where the pod runs none now.

    Raises
    ------
    ModelOpsError
        ``cluster-forbidden`` where whoever asks may not run programs there.
    """
    from kubernetes import client, stream

    what = f"pods/exec {pod} of the namespace {cluster.namespace}"
    # The client puts another transport into the API client for the time of a call: it gets one of its own.
    with client.ApiClient(cluster.api.configuration) as api:
        try:
            opened = stream.stream(
                client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                *(pod, cluster.namespace),
                container=CONTAINER,
                command=["python", "-I", "-c", program, *words],
                **{"stdin": False, "stdout": True, "stderr": True, "tty": False},
                _preload_content=False,
                binary=True,
            )
        except client.ApiException as error:
            found = _HANDSHAKE.search(str(error.reason))
            if found is not None and found[1] in ("401", "403"):
                said = re.search(r'"message":"((?:[^"\\]|\\.)*)"', str(error.reason))
                message = said[1].replace('\\\\"', '"').replace('\\"', '"') if said is not None else "it is forbidden"
                raise told(int(found[1]), {"message": message}, what, cluster.namespace) from None
            return None
    return _open(opened)


def ask(cluster: Cluster, pod: str, program: str, *words: str) -> str | None:
    """Run a program with a pod's Python, and return what it prints; None where it fails."""
    opened = started(cluster, pod, program, *words)
    if opened is None:
        return None
    with opened as stream:
        running = Program(stream, ANSWER_SECONDS)
        out = whole(running.out())
        return out if running.succeeded() else None
