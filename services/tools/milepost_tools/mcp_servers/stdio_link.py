"""A server as a child process that talks over its standard streams, one JSON message a line."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import anyio
from mcp import types
from mcp.shared.message import SessionMessage

from milepost_service import launcher
from milepost_tools.mcp_servers import MAX_MESSAGE_BYTES
from milepost_tools.mcp_servers.link import Link, Streams

_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
_PATIENCE = 2.0  # seconds until a server that was told to end is told again, more firmly
_LOOK_SECONDS = 0.02
_CHUNK = 65_536
_LAST_WORDS = 500  # characters


class StdioLink(Link):
    """Starts the program and ends it, with what it started, by its process group.

    It sees of our environment the path, home, language, time zone and temporary folder alone, and dies with this
    process. What it writes to standard error is dropped but for its last words.
    """

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__()
        self._command = command
        self._last_words = ""

    async def __aenter__(self) -> Streams:
        self._process = await _started(self._command)
        self._to_session, self._from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._to_server, self._from_session = anyio.create_memory_object_stream[SessionMessage](0)
        self._listening = asyncio.create_task(self._listen())
        self._reading = asyncio.create_task(self._read())
        self._writing = asyncio.create_task(self._write())
        return self._from_server, self._to_server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end("")  # what follows is our own doing
        with anyio.CancelScope(shield=True):
            self._from_server.close()
            self._to_server.close()
            await asyncio.wait({self._writing}, timeout=_PATIENCE)
            await self._stop()
            await asyncio.wait({self._reading, self._listening}, timeout=_PATIENCE)
            tasks = (self._reading, self._listening, self._writing)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        """Passes messages on until the server is gone, or sends what is none; then drops what still comes."""
        stdout = self._process.stdout
        assert stdout is not None
        async with self._to_session:
            self.end(await self._passed_on(stdout) or await self._death())
        while await stdout.read(_CHUNK):
            pass

    async def _passed_on(self, stdout: asyncio.StreamReader) -> str:
        """What the server did wrong; empty at the end of its output, and when nobody wants to hear more."""
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                try:
                    line = await stdout.readline()
                except ValueError:  # the reader's limit
                    return f"sent a message of more than {MAX_MESSAGE_BYTES} bytes"
                if not line:
                    break
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    return "wrote to its standard output what is no message of the protocol"
                await self._to_session.send(SessionMessage(message))
        return ""

    async def _write(self) -> None:
        assert self._process.stdin is not None
        async with self._from_session:
            async for sent in self._from_session:
                line = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(f"{line}\n".encode())
                with contextlib.suppress(ConnectionError):  # whoever reads tells of the end
                    await self._process.stdin.drain()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(_CHUNK):
            self._last_words = (self._last_words + chunk.decode(errors="replace"))[-_LAST_WORDS:]

    async def _death(self) -> str:
        """How it ended, and its last line."""
        await self._exited()
        await asyncio.wait({self._listening}, timeout=_PATIENCE)
        code = self._process.returncode
        line = next((line.strip() for line in reversed(self._last_words.splitlines()) if line.strip()), "")
        how = "closed its standard output" if code is None else f"ended with code {code}"
        return f"{how}: {line}" if line else how

    async def _stop(self) -> None:
        """As the protocol asks: closes its input, then tells it to end, then ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not await self._exited():
            _signal_group(self._process.pid, signal.SIGTERM)
            await self._exited()
        _signal_group(self._process.pid, signal.SIGKILL)  # with what it started and left behind
        await self._exited()

    async def _exited(self) -> bool:
        """Whether the process is gone within 2 s; `wait` would also wait for who has inherited its pipes."""
        ends = asyncio.get_running_loop().time() + _PATIENCE
        while self._process.returncode is None and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        return self._process.returncode is not None


async def _started(command: Sequence[str]) -> Process:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return await asyncio.create_subprocess_exec(
        *_program(command, environment.get("PATH")),
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,
    )


def _program(command: Sequence[str], path: str | None) -> Sequence[str]:
    """The command behind what makes it die with this process; FileNotFoundError when there is no such program."""
    program = shutil.which(command[0], path=path)
    if program is None:
        raise FileNotFoundError(f"there is no program {command[0]}")
    starter = (sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(os.getpid()))
    return *starter, str(Path(program).absolute()), *command[1:]


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
