"""The gateway of local mode: the process that serves the web UI, its port and its token."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from milepost_cli.child import ProcessSpec
from milepost_cli.errors import StartError
from milepost_cli.ports import HOST, free_port, is_free
from milepost_cli.state import StateDirectory

ROLE = "gateway"
PROGRAM = "milepost-gateway"
PORT = 8400
PORTS = 100  # that are tried from PORT on
NEEDED = ("starlette", "uvicorn", "prometheus_client")
TOKEN_BYTES = 24


def hindrance() -> str:
    """Why there can be no gateway here, as one line; empty when there can."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing and _program():
        return ""
    what = f"the program {PROGRAM}" if not missing else ", ".join(missing)
    return f"no web UI: {what} is not installed; install milepost[gateway] for it, or say --no-ui"


def gateway_port(asked: int | None, taken: Collection[int]) -> int:
    """`asked` when it is free and not `taken`, else the first such one from 8400 on. Raises StartError."""
    if asked is None:
        near = (port for port in range(PORT, PORT + PORTS) if port not in taken and is_free(port))
        return next(near, 0) or free_port(taken)
    if asked in taken or not is_free(asked):
        raise StartError(
            f"--ui-port: port {asked} is in use on {HOST} or may not be bound; "
            "allowed: a free port from 1 to 65535, or no --ui-port at all"
        )
    return asked


def gateway_spec(state: StateDirectory, agents: Mapping[str, str], taken: Collection[str], port: int) -> ProcessSpec:
    """How to run the gateway of these agents (name -> target), under a name that is not `taken`.

    Raises StateError when its token cannot be stored.
    """
    name = next(name for name in (ROLE, *(f"{ROLE}-{number}" for number in range(2, 1000))) if name not in taken)
    with state.writing():
        make_token(state)
    return ProcessSpec(
        name=name,
        role=ROLE,
        argv=(_program(),),
        env={
            "MILEPOST_LISTEN": f"{HOST}:{port}",
            "MILEPOST_GATEWAY_DISCOVERY": "list",
            "MILEPOST_AGENTS": ",".join(f"{agent}={target}" for agent, target in agents.items()),
            "MILEPOST_GATEWAY_TOKEN_FILE": str(state.token_file.resolve()),
            "MILEPOST_LOG_FORMAT": os.environ.get("MILEPOST_LOG_FORMAT", "text"),
            "MILEPOST_LOG_LEVEL": os.environ.get("MILEPOST_LOG_LEVEL", "INFO"),
        },
        target=f"{HOST}:{port}",
        log=state.logs.resolve() / f"{name}.log",
        probe="http",
        essential=False,
    )


def make_token(state: StateDirectory) -> None:
    """A token for this state directory, that only its owner can read; one that is there is kept."""
    if state.token_file.exists():
        return
    part = state.token_file.with_name(f".{state.token_file.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    part.replace(state.token_file)


def address(state: StateDirectory, url: str) -> str:
    """What opens the UI with the right to change things: the token is in the part that no browser sends."""
    try:
        token = state.token_file.read_text().split()[0]
    except (OSError, IndexError):
        return url
    return f"{url}#token={token}"


def _program() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(PROGRAM, path=beside) or shutil.which(PROGRAM)
    return str(Path(found).absolute()) if found else ""
