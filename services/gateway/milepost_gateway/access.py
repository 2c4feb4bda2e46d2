"""Who may do what: tokens, and where a request comes from."""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import Request

from milepost_gateway.errors import ApiError
from milepost_gateway.settings import ANY_HOST, GatewaySettings

_log = logging.getLogger(__name__)
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Tokens:
    """The tokens of a file, one a line, kept as hashes; read again when the file changes, none when it is gone."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, ...] | None = None
        self._hashes: Sequence[bytes] = ()

    def accept(self, token: str) -> bool:
        """Takes as long for a wrong token as for a right one."""
        self._refresh()
        wanted = _hash(token)
        found = False
        for known in self._hashes:
            found |= hmac.compare_digest(known, wanted)
        return found

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
            if stamp == self._stamp:
                return
            lines = self._file.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            if self._hashes or self._stamp is None:
                _log.warning("%s: cannot be read, no token is right until it can: %s", self._file, error)
            self._stamp, self._hashes = (), ()
            return
        self._stamp, self._hashes = stamp, [_hash(line) for line in lines]
        _log.info("%d tokens read from %s", len(self._hashes), self._file)


class Access:
    """Decides about each request before anything else is done for it."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._tokens = Tokens(settings.gateway_token_file)
        self._write: Literal["token", "open", "never"] = settings.gateway_write
        self._read = settings.gateway_read
        self._hosts = settings.hosts

    @property
    def needs_token(self) -> bool:
        return self._write == "token"

    def check_host(self, request: Request) -> None:
        """Raises ApiError for a name that is not ours: a page of another site may have made it point here."""
        host = host_name(request.headers.get("host", ""))
        if ANY_HOST not in self._hosts and host not in self._hosts:
            raise ApiError(
                "MISDIRECTED_REQUEST", f"host: {host[:80]!r} is not a name of this gateway; see MILEPOST_GATEWAY_HOSTS"
            )

    def check_read(self, request: Request) -> None:
        if self._read == "token" and not self._has_token(request):
            raise ApiError("UNAUTHENTICATED", "a token is needed: Authorization: Bearer TOKEN", _CHALLENGE)

    def check_write(self, request: Request) -> None:
        """Raises ApiError that says what is missing."""
        if self._write == "never":
            raise ApiError("PERMISSION_DENIED", "this gateway changes nothing: MILEPOST_GATEWAY_WRITE is never")
        if self._write == "token" and not self._has_token(request):
            told = "the token is not right" if request.headers.get("authorization") else "a token is needed"
            raise ApiError("UNAUTHENTICATED", f"{told}: Authorization: Bearer TOKEN", _CHALLENGE)
        if self._write == "open" and not _same_origin(request):
            raise ApiError("PERMISSION_DENIED", "a page of another site may not change anything here")

    def may_write(self, request: Request) -> bool:
        try:
            self.check_write(request)
        except ApiError:
            return False
        return True

    def _has_token(self, request: Request) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and bool(token.strip()) and self._tokens.accept(token.strip())


def host_name(header: str) -> str:
    """The Host header without its port, in lower case."""
    host = header.strip().lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host


def _same_origin(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
