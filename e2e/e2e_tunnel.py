"""A port on this machine that leads into a pod, through the API server; it outlives the pod that it leads to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward
from websocket import WebSocketException

CHUNK_BYTES = 64 * 1024


class Tunnel:
    """Every connection to `target` is carried to `port` of the pod that `pod` names at that moment.

    When there is no such pod the connection is closed, and whoever made it tries again.
    """

    def __init__(self, namespace: str, pod: Callable[[], str], port: int) -> None:
        self._namespace = namespace
        self._pod = pod
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name=f"tunnel {self.target}", daemon=True).start()

    def close(self) -> None:
        """No more connections; those that are open end with their pod."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), name=f"tunnel {self.target}", daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near:
            try:
                # A stream borrows its client's transport, so each has a client of its own.
                core = client.CoreV1Api(client.ApiClient())
                connect = core.connect_get_namespaced_pod_portforward
                forward = portforward(connect, self._pod(), self._namespace, ports=str(self._port))
            except (ApiException, WebSocketException, OSError, LookupError):
                return
            far = forward.socket(self._port)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_copy, args=(far, near), name="tunnel back", daemon=True)
            back.start()
            _copy(near, far)
            back.join()
            forward.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Until either end closes; then both know."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
