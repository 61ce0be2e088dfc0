"""What is asked of pods from within: programs for their Python, whatever a network policy says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from modelops.targets.kubernetes.cluster import Cluster, told

__all__ = ["CONTAINER", "Program", "ask", "started"]

CONTAINER = "server"
SECONDS = 30.0
"""How long a program may say nothing."""
_HANDSHAKE = re.compile(r"Handshake status (\d{3})")


@dataclass
class Program:
    """A program that runs in a pod; its errors are kept up to some length."""

    stream: Any
    complaint: bytes = b""

    def out(self) -> Iterator[bytes]:
        """Yield what it writes, until it ends, says nothing for too long, or the connection is cut off."""
        import websocket

        heard = time.monotonic()
        while True:
            open = self.stream.is_open()
            if open:
                try:
                    self.stream.update(timeout=1)
                except (websocket.WebSocketException, OSError) as error:
                    self.complaint += str(error).encode()
                    return
            said = _bytes(self.stream.read_channel(1)) if self.stream.peek_channel(1) else b""
            wrong = _bytes(self.stream.read_channel(2)) if self.stream.peek_channel(2) else b""
            self.complaint = (self.complaint + wrong)[-4096:]
            if said:
                yield said
            if said or wrong:
                heard = time.monotonic()
            elif not open or time.monotonic() - heard > SECONDS:
                return

    def succeeded(self) -> bool:
        """Tell whether it has ended, and well; of one that was cut off nobody says how it ended."""
        try:
            return not self.stream.is_open() and self.stream.returncode == 0
        except (TypeError, KeyError, ValueError, AttributeError):
            return False


def _bytes(said: bytes | str) -> bytes:
    return said if isinstance(said, bytes) else said.encode()


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
        running = Program(stream)
        out = b"".join(running.out())
        return out.decode("utf-8", "replace") if running.succeeded() else None
