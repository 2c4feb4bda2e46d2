"""A way into a pod through the API server, as the CLI's own: it outlives the pod that it leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes.client.exceptions import ApiException

from milepost_cli.cluster.access import Access
from milepost_cli.cluster.errors import DialError
from milepost_cli.cluster.forwarding import Forwarder
from milepost_cli.cluster.portforward import PodStream, PortForwardDialer


@dataclass(frozen=True)
class _Present:
    """Dials the pod that `pod` names at that moment."""

    dialer: PortForwardDialer
    pod: Callable[[], str]

    async def dial(self, _: str, port: int) -> PodStream:
        try:
            name = await asyncio.to_thread(self.pod)
        except (ApiException, LookupError, OSError) as error:
            raise DialError(f"there is no such pod now: {error}") from error
        return await self.dialer.dial(name, port)


class Tunnel:
    """Every connection to the gRPC target `target` is carried to `port` of the pod that `pod` names at that moment.

    When there is no such pod the connection is closed, and whoever made it tries again.
    """

    def __init__(self, namespace: str, pod: Callable[[], str], port: int) -> None:
        self._access = Access.of(None, None)
        self._forwarder = Forwarder(_Present(PortForwardDialer(self._access, namespace), pod))
        self.target = self._forwarder.target("", port)

    def close(self) -> None:
        self._forwarder.close()
        self._access.close()
