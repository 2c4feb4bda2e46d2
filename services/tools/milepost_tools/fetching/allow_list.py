"""Which URLs may be fetched: hosts and ports by name, addresses by network."""

import ipaddress
from collections.abc import Sequence

from httpx2 import URL

from milepost_service.errors import ConfigurationError
from milepost_tools.errors import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("192.88.99.0/24"))


class AllowedHosts:
    """`example.org`, `*.example.org` for every host below it, either with `:PORT`; without, the scheme's own port."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = [_split(entry) for entry in entries]
        self._listed = ", ".join(entries)

    def check(self, url: URL) -> None:
        """ToolError that says what is wrong with a URL, unless it may be fetched as far as its name goes."""
        if url.scheme not in _DEFAULT_PORTS or not url.host:
            raise ToolError(f"{url}: is no URL to fetch; allowed: http:// and https://")
        if url.userinfo:
            raise ToolError(f"{url.host}: a URL with a user name or password is not fetched; allowed: URLs without")
        port = url.port or _DEFAULT_PORTS[url.scheme]
        if not any(self._fits(entry, url, port) for entry in self._entries):
            raise ToolError(f"{url.netloc.decode()} is not in the list; allowed: {self._listed}")

    def _fits(self, entry: tuple[str, int | None], url: URL, port: int) -> bool:
        pattern, listed_port = entry
        host = url.raw_host.decode().removesuffix(".")
        if port != (listed_port or _DEFAULT_PORTS[url.scheme]):
            return False
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


class AllowedAddresses:
    """Public addresses, and those of the networks that are given beside them."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [_network(text) for text in networks]

    def allow(self, address: str) -> bool:
        """Whether a connection to the address may be made."""
        found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        if any(found in network for network in self._networks):
            return True
        return found.is_global and not found.is_multicast and not any(found in network for network in _NOT_PUBLIC)


def _split(entry: str) -> tuple[str, int | None]:
    host, _, port = entry.partition(":")
    return host, int(port) if port else None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"spec.tools.httpFetch.privateNetworks: {text} is no network; allowed: CIDR such as 10.0.0.0/8"
        ) from None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
