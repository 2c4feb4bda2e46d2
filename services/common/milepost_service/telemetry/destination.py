"""Where telemetry goes: what the standard variables OTEL_EXPORTER_OTLP_* say, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

SignalName = Literal["traces", "metrics", "logs"]
DEFAULT_TIMEOUT: Final = 10.0
_PORT: Final = 4317


class UnusableDestination(ValueError):
    """A variable cannot be used; one line that names it."""


@dataclass(frozen=True)
class Destination:
    """An OTLP receiver that speaks gRPC."""

    endpoint: str
    """For people: without credentials."""
    target: str
    secure: bool
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for one request."""
    gzip: bool = False
    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


def destination(signal: SignalName, environ: Mapping[str, str] = os.environ) -> Destination | None:
    """Where this process sends a signal to; None when nothing says so, or something says that it does not.

    Raises:
        UnusableDestination: what is said cannot be done.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip() == "none":
        return None
    look = _Look(signal.upper(), environ)
    endpoint = look("ENDPOINT")
    if not endpoint:
        return None
    protocol = look("PROTOCOL") or "grpc"
    if protocol != "grpc":
        raise UnusableDestination(f"{look.name('PROTOCOL')}: {protocol!r} is not spoken; allowed: grpc")
    target, secure, shown = _address(endpoint, look)
    compression = look("COMPRESSION").lower() or "none"
    if compression not in {"none", "gzip"}:
        raise UnusableDestination(f"{look.name('COMPRESSION')}: {compression!r} is not known; allowed: none, gzip")
    return Destination(
        endpoint=shown,
        target=target,
        secure=secure,
        headers=_headers(look),
        timeout=_seconds(look),
        gzip=compression == "gzip",
        certificate=look.path("CERTIFICATE"),
        client_certificate=look.path("CLIENT_CERTIFICATE"),
        client_key=look.path("CLIENT_KEY"),
    )


def resource_attributes(service_name: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What describes this process to a receiver: OTEL_RESOURCE_ATTRIBUTES and the name of the service."""
    attributes: dict[str, str] = {}
    for item in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, separator, value = item.partition("=")
        if separator and key.strip():
            attributes[unquote(key.strip())] = unquote(value.strip())
    return {**attributes, "service.name": service_name, "telemetry.sdk.language": "python"}


@dataclass(frozen=True)
class _Look:
    """Finds a variable: that of the signal before that of all signals."""

    signal: str
    environ: Mapping[str, str]

    def name(self, suffix: str) -> str:
        own = f"OTEL_EXPORTER_OTLP_{self.signal}_{suffix}"
        return own if self.environ.get(own, "").strip() else f"OTEL_EXPORTER_OTLP_{suffix}"

    def __call__(self, suffix: str) -> str:
        return self.environ.get(self.name(suffix), "").strip()

    def path(self, suffix: str) -> Path | None:
        value = self(suffix)
        if value and not Path(value).is_file():
            raise UnusableDestination(f"{self.name(suffix)}: {value!r} is not a file that is there")
        return Path(value) if value else None


def _address(endpoint: str, look: _Look) -> tuple[str, bool, str]:
    """gRPC target, whether it is reached by TLS, and how it is shown."""
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    try:
        host, port = parts.hostname or "", parts.port or _PORT
    except ValueError:
        host, port = "", 0
    if not host or parts.scheme not in {"", "http", "https"}:
        shown = endpoint.rpartition("@")[2]
        raise UnusableDestination(
            f"{look.name('ENDPOINT')}: {shown!r} is no address; allowed: http://HOST:PORT, https://…"
        )
    insecure = look("INSECURE").lower() == "true"
    secure = parts.scheme == "https" or (parts.scheme == "" and not insecure)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address, secure, f"{'https' if secure else 'http'}://{address}"


def _headers(look: _Look) -> tuple[tuple[str, str], ...]:
    headers = []
    for item in filter(None, (part.strip() for part in look("HEADERS").split(","))):
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise UnusableDestination(f"{look.name('HEADERS')}: an item is not KEY=VALUE; allowed: KEY=VALUE,KEY=VALUE")
        headers.append((unquote(key.strip()).lower(), unquote(value.strip())))
    return tuple(headers)


def _seconds(look: _Look) -> float:
    text = look("TIMEOUT") or str(DEFAULT_TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise UnusableDestination(f"{look.name('TIMEOUT')}: {text!r} is not allowed; allowed: seconds, up to 3600")
    return seconds
