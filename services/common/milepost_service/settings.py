"""Typed settings from `MILEPOST_*` environment variables, with errors that name the variable."""

import contextlib
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from milepost_service.errors import ConfigurationError

_PREFIX = "MILEPOST_"


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as (host, port); IPv6 hosts are in brackets. Raises ValueError."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not an address; allowed: host:port with a port from 1 to 65535")
    return host, int(port)


def check_address(address: str) -> str:
    """`address` itself, when it is one. Raises ValueError."""
    split_address(address)
    return address


class ProcessSettings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    listen: str = "127.0.0.1:50052"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "text"
    obs_mode: Annotated[Literal["shipping", "debug"] | None, BeforeValidator(lambda value: value or None)] = Field(
        default=None, validation_alias=AliasChoices("MILEPOST_OBS_MODE", "OBS_MODE")
    )
    """The observability mode that the process begins with; see `milepost_service.telemetry.mode`."""
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How long calls in progress may go on after SIGTERM."""

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        return check_address(value)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Reads the environment; a wrong or missing variable is a ConfigurationError of one line."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError("; ".join(_describe(item) for item in error.errors())) from None
        except SettingsError as error:
            raise ConfigurationError(str(error)) from None


class MeasuredSettings(ProcessSettings):
    """What every process reads whose metrics have an address of their own."""

    metrics_listen: str = ""
    """Address of the Prometheus metrics over HTTP; empty: none."""

    @field_validator("metrics_listen")
    @classmethod
    def _metrics_listen_is_an_address(cls, value: str) -> str:
        return check_address(value) if value else value


class ServiceSettings(MeasuredSettings):
    """What every process that serves a ModelService reads."""

    service_file: Path
    registries: Annotated[list[str], NoDecode, BeforeValidator(_split_commas)] = Field(default_factory=list)
    advertise: str = ""
    """Target under which others reach this process; empty: derived from `listen`."""
    cache_dir: Path = Field(default_factory=lambda: Path.home() / ".cache" / "milepost")
    threads: Annotated[int, Field(ge=1, le=1024)] = 1

    @field_validator("registries")
    @classmethod
    def _registries_are_addresses(cls, value: list[str]) -> list[str]:
        return [check_address(target) for target in value]

    @field_validator("advertise")
    @classmethod
    def _advertise_is_an_address(cls, value: str) -> str:
        return check_address(value) if value else value

    @property
    def target(self) -> str:
        """The gRPC target to register: `advertise`, else `listen` with a wildcard host made reachable."""
        if self.advertise:
            return self.advertise
        host, port = split_address(self.listen)
        with contextlib.suppress(ValueError):  # a host name
            if ip_address(host.strip("[]")).is_unspecified:
                return f"{socket.gethostname()}:{port}"
        return self.listen


def _describe(item: Any) -> str:
    name = _PREFIX + "_".join(str(part) for part in item["loc"][:1]).upper().removeprefix(_PREFIX)
    if item["type"] == "missing":
        return f"{name}: is not set"
    return f"{name}: {item['msg'].removeprefix('Value error, ')} (is {str(item['input'])[:80]!r})"
