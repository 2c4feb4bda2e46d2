"""Loopback ports for the processes of local mode."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

from milepost_cli.errors import StartError

HOST = "127.0.0.1"
AGENT_PORT = 50051
LOWEST = 20000
ATTEMPTS = 200
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether `port` can be bound on the loopback interface by one who shares it with nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(taken: Collection[int]) -> int:
    """A free port outside of `taken`, below the range that outgoing connections use.

    A process that restarts binds the same port again, so nobody else may be given it in between.
    """
    width = max(_ephemeral_start() - LOWEST, 1000)
    for _ in range(ATTEMPTS):
        port = LOWEST + secrets.randbelow(width)
        if port not in taken and is_free(port):
            return port
    raise StartError(f"no free port found on {HOST} between {LOWEST} and {LOWEST + width}")


def first_agent_port(asked: int | None) -> int:
    """`asked` when it is free, 50051 when nothing was asked for and it is free, else any. Raises StartError."""
    if asked is None:
        return AGENT_PORT if is_free(AGENT_PORT) else free_port(())
    if not is_free(asked):
        raise StartError(
            f"--port: port {asked} is in use on {HOST} or may not be bound; "
            "allowed: a free port from 1 to 65535, or no --port at all"
        )
    return asked


def _ephemeral_start() -> int:
    try:
        return int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768
