"""A way to the API server that can be cut: what a restart of it, or of what lies before it, does to a client."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml


class CutWay:
    """Carries every connection to the API server of `kubeconfig` while it is open."""

    def __init__(self, kubeconfig: str) -> None:
        self._config = yaml.safe_load(Path(kubeconfig).read_text())
        contexts = {one["name"]: one["context"] for one in self._config["contexts"]}
        wanted = contexts[self._config["current-context"]]["cluster"]
        self._cluster = next(one["cluster"] for one in self._config["clusters"] if one["name"] == wanted)
        server = urlsplit(self._cluster["server"])
        self._far = (str(server.hostname), server.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()
        self._open.set()
        self._carried: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="cut way", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def write_kubeconfig(self, file: Path) -> Path:
        """One whose API server is reached this way."""
        self._cluster["tls-server-name"] = self._far[0]
        self._cluster["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        file.write_text(yaml.safe_dump(self._config))
        return file

    def cut(self) -> None:
        """End every connection, and every further one as soon as it is made."""
        with self._lock:
            self._open.clear()
            for each in self._carried:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._carried.clear()

    def mend(self) -> None:
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open.is_set():
                    near.close()
                    continue
                far = socket.create_connection(self._far)
                self._carried += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), name="cut way", daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
