"""Settings of the gateway."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from milepost_gateway.addresses import AgentAddress
from milepost_service.settings import ProcessSettings, split_address

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST = "*"
STATIC_FOLDER = Path(__file__).parent / "static"
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _parse_agents(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = [_parse_agent(part) for part in _split_commas(value)]
    names = [address.agent for address in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice; allowed: each agent once")
    return found


def _parse_agent(text: str) -> AgentAddress:
    name, equals, target = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no agent; allowed: NAME=HOST:PORT, several separated by commas")
    split_address(target)
    return AgentAddress(agent=name, workflow=name, target=target)


class GatewaySettings(ProcessSettings):
    """What `milepost-gateway` reads."""

    listen: str = "127.0.0.1:8400"
    agents: Annotated[list[AgentAddress], NoDecode, BeforeValidator(_parse_agents)] = Field(default_factory=list)
    gateway_discovery: Literal["list", "kubernetes"] = "list"
    """Where agents are found: those of MILEPOST_AGENTS, or the pods that the operator of a cluster makes."""
    namespaces: Annotated[list[str], NoDecode, BeforeValidator(_split_commas)] = Field(default_factory=list)
    """With kubernetes: where agents are looked for; empty: everywhere."""
    gateway_token_file: Path | None = None
    """Tokens, one a line; read again when it changes. One that is not there means that no token is right."""
    gateway_write: Literal["token", "open", "never"] = "token"
    """Who may change things: who has a token, everybody who gets here, or nobody."""
    gateway_read: Literal["open", "token"] = "open"
    gateway_prefix: str = ""
    """Path below which the gateway is seen from outside, whether or not a proxy takes it off."""
    gateway_hosts: Annotated[list[str], NoDecode, BeforeValidator(_split_commas)] = Field(default_factory=list)
    """Host names by which it may be called, without ports, "*" for all; see `hosts`."""
    gateway_streams: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Streams of events that may be open at once."""
    gateway_static: Path = STATIC_FOLDER
    """Folder of the built web UI."""

    @field_validator("gateway_prefix")
    @classmethod
    def _prefix_is_a_path(cls, value: str) -> str:
        prefix = "/" + value.strip("/") if value.strip("/") else ""
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("is no path; allowed: segments of letters, digits, '.', '_', '~' and '-', as in /milepost")
        return prefix

    @field_validator("gateway_hosts")
    @classmethod
    def _hosts_are_names(cls, value: list[str]) -> list[str]:
        for host in value:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host name; allowed: names without ports, IPv6 in brackets, or *")
        return [host.lower() for host in value]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Allowed host names: those that were set and those of this machine, or all where nothing says so.

        A port that is forwarded to a user's own machine is called by its names, which no other site can have.
        """
        is_local = split_address(self.listen)[0] in LOCAL_HOSTS
        return (*self.gateway_hosts, *LOCAL_HOSTS) if self.gateway_hosts or is_local else (ANY_HOST,)
