"""Ports for processes that bind them a while later, so that nobody else is given them meanwhile."""

import itertools
import os
import socket
from typing import Final

FIRST: Final = 12_000
COUNT: Final = 18_000
"""Below the range from which systems give out ports by themselves."""
_numbers = itertools.count(os.getpid() * 61)


def next_target() -> str:
    """A loopback address that nobody listens on; the next call gives another one."""
    for number in _numbers:
        port = FIRST + number % COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"127.0.0.1:{port}"
    raise AssertionError("counts for ever")
