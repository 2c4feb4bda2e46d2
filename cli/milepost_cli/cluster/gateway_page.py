"""`milepost ui` in a cluster: the gateway on a port of this machine, until Ctrl-C."""

from __future__ import annotations

import http.client
import time
import webbrowser
from contextlib import closing, suppress
from typing import Self

from milepost_cli.cluster.errors import ClusterError, ForbiddenError, RefusedError
from milepost_cli.cluster.forwarding import Dialer, Forwarder
from milepost_cli.cluster.gateway import Gateway, GatewayDialer
from milepost_cli.cluster.keeper import Api
from milepost_cli.gateway import gateway_port
from milepost_cli.ports import HOST
from milepost_cli.ui import has_display
from milepost_cli.views import write_line, write_note

NAME = "gateway"
PATIENCE = 15.0  # seconds that the gateway may take to answer at first
ANSWER_SECONDS = 5.0
PAUSE = 0.3
LOOK_EVERY = 1.0


class GatewayPage:
    """The gateway of a namespace, forwarded from `__enter__` to `__exit__`."""

    def __init__(self, api: Api, dialer: Dialer, gateway: Gateway) -> None:
        self._api = api
        self._gateway = gateway
        self._dialer = GatewayDialer(api, dialer, gateway)
        self.port = gateway_port(None, ())

    def __enter__(self) -> Self:
        """Raises ClusterError when the gateway cannot be reached."""
        self._forwarder = Forwarder(self._dialer)
        try:
            self._forwarder.expose(NAME, self._gateway.port, HOST, self.port)
            self._wait()
        except BaseException:
            self._forwarder.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._forwarder.close()

    def address(self) -> str:
        """With the token behind "#", which no browser sends. Tells when there is one that cannot be read."""
        path = f"{self._gateway.prefix}/" if self._gateway.prefix else ""
        url = f"http://{HOST}:{self.port}/{path}"
        try:
            token = self._gateway.token(self._api)
        except ClusterError as error:
            write_note(f"{error}; without it the page shows everything and changes nothing")
            return url
        return f"{url}#token={token}" if token else url

    def stay(self) -> None:
        """Until KeyboardInterrupt. Tells when the gateway is away, and when it is back."""
        told = ""
        while True:
            time.sleep(LOOK_EVERY)
            is_well = self._forwarder.failure(NAME) is None or self._answers()
            now = "" if is_well else str(self._forwarder.failure(NAME) or "it does not answer")
            if now != told:
                write_note(f"the gateway cannot be reached now: {now}" if now else "the gateway is reached again")
            told = now

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            failure = self._forwarder.failure(NAME)
            if isinstance(failure, RefusedError):
                raise ForbiddenError(self._api.denial(failure.status, str(failure)))
            if time.monotonic() > deadline:
                raise ClusterError(str(failure) if failure else "the gateway does not answer; its log says why")
            time.sleep(PAUSE)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        return False


def show_page(api: Api, dialer: Dialer, gateway: Gateway, *, opening: bool) -> int:
    """Prints the address, opens it as local mode does, and forwards until Ctrl-C. Raises ClusterError."""
    with GatewayPage(api, dialer, gateway) as page:
        address = page.address()
        write_line(address)
        write_note(f"this leads to the gateway in namespace {gateway.namespace} until Ctrl-C")
        if opening and has_display():
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            page.stay()
    return 0
