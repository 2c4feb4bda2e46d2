"""The tool that fetches what a URL names."""

import re
from collections.abc import Sequence

import httpx2

from milepost_crds import HttpFetch as HttpFetchSpec
from milepost_tools.errors import ToolError
from milepost_tools.fetching.allow_list import AllowedAddresses, AllowedHosts
from milepost_tools.fetching.body import check_content_type, read_text
from milepost_tools.fetching.pinned_transport import PinnedTransport, Resolve, resolve
from milepost_tools.tool import Arguments, Outcome, shortened

MAX_URLS = 4
MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 20.0
_URL = re.compile(r"https?://[^\s<>\"'`\\^{|}]{1,2000}", re.IGNORECASE)
_AFTER = ".,;:!?)]*_"
_HEADERS = {"User-Agent": "milepost-tools", "Accept": "text/*, application/json, */*;q=0.1", "Accept-Encoding": "gzip"}


class HttpFetch:
    """Fetches texts by GET from the hosts of a list, and follows redirects only within it."""

    name = "httpFetch"
    description = "fetches the text that a URL names"
    kind = "function"

    def __init__(self, spec: HttpFetchSpec, resolve: Resolve = resolve) -> None:
        self._hosts = AllowedHosts(spec.allowed_hosts)
        self._addresses = AllowedAddresses(spec.private_networks)
        self._resolve = resolve

    def calls_for(self, text: str) -> Sequence[Arguments]:
        found = dict.fromkeys(match.group().rstrip(_AFTER) for match in _URL.finditer(text))
        return [{"url": url} for url in found][:MAX_URLS]

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        url = arguments["url"]
        transport = PinnedTransport(self._hosts, self._addresses, self._resolve)
        timeout = httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            async with httpx2.AsyncClient(
                transport=transport, timeout=timeout, headers=_HEADERS, trust_env=False
            ) as client:
                return await self._fetched(client, url)
        except httpx2.TimeoutException:
            raise ToolError(f"{url} gave no answer within {_SILENT_SECONDS:.0f} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ToolError(f"{url} cannot be fetched: {error or type(error).__name__}") from None

    async def _fetched(self, client: httpx2.AsyncClient, url: str) -> Outcome:
        request = client.build_request("GET", url)
        for _ in range(MAX_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await _outcome(response)
            finally:
                await response.aclose()
            request = client.build_request("GET", response.next_request.url)
        raise ToolError(f"{url} leads to more than {MAX_REDIRECTS} redirects; allowed: {MAX_REDIRECTS}")


async def _outcome(response: httpx2.Response) -> Outcome:
    if response.status_code != httpx2.codes.OK:
        raise ToolError(f"{response.url} answered {response.status_code} {response.reason_phrase}".rstrip())
    kind = check_content_type(response)
    text = shortened(await read_text(response))
    return Outcome(text, f"{response.url} ({kind}):\n{text}")
