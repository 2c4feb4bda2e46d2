"""Connections to exactly the address that was checked, whatever the name means a moment later."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import httpx2

from milepost_tools.errors import ToolError
from milepost_tools.fetching.allow_list import AllowedAddresses, AllowedHosts

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Addresses of a host name; OSError when it has none."""

MAX_ADDRESSES = 4


async def resolve(host: str) -> Sequence[str]:
    """Addresses of a host name by the system's own resolver, in its order, each once."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Checks the URL of each request, resolves its host once, and connects to an allowed address of it.

    The request names the address; its Host header, and the name that the certificate must have, stay the host's.
    Raises ToolError for what is not allowed.
    """

    def __init__(self, hosts: AllowedHosts, addresses: AllowedAddresses, resolve: Resolve = resolve) -> None:
        self._hosts = hosts
        self._addresses = addresses
        self._resolve = resolve
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._hosts.check(request.url)
        host = request.url.raw_host.decode()
        failure: httpx2.TransportError | None = None
        for address in await self._allowed_addresses(host):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _allowed_addresses(self, host: str) -> Sequence[str]:
        try:
            found = await self._resolve(host)
        except OSError:
            raise ToolError(f"{host} has no address that could be found") from None
        allowed = [address for address in found if self._addresses.allow(address)]
        if not allowed:
            raise ToolError(
                f"{host} has the address {', '.join(found[:MAX_ADDRESSES])}, which is not public; allowed: public "
                "addresses, and those of spec.tools.httpFetch.privateNetworks"
            )
        return allowed[:MAX_ADDRESSES]
