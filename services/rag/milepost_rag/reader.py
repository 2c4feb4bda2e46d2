"""Documents are read in a process of their own, so that one that cannot be read costs that one alone."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from milepost_rag.blocks import Block
from milepost_rag.errors import ReaderBrokenError
from milepost_rag.limits import MIB, Limits
from milepost_rag.reader_process import OUT_OF_MEMORY

_START_SECONDS = 120.0
_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL")


@dataclass(frozen=True)
class Reading:
    """What came of a look into a document: its blocks, why it was refused, or that it says what it said before.

    `digest` and `stamp` are of what was read; empty where nothing could be.
    """

    digest: str = ""
    stamp: str = ""
    blocks: Sequence[Block] = ()
    refused: str = ""
    unchanged: bool = False


class Reader:
    """Belongs to one task: one document after another."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._process: Process | None = None

    async def read(self, path: str, *, digest: str = "") -> Reading:
        """Reads a document that had `digest` when it was read before. Raises ReaderBrokenError."""
        process = self._process = self._process or await self._start()
        try:
            async with asyncio.timeout(self._limits.reader_wall_seconds):
                reply = await _ask(process, {"folder": str(self._folder), "path": path, "digest": digest})
        except TimeoutError:
            await self.close()
            return Reading(refused=f"was not read within {self._limits.reader_wall_seconds:.0f} s")
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await process.wait()
            self._process = None
            return Reading(refused=self._reason(code))
        except BaseException:
            await self.close()  # its reply would be taken for that to the next request
            raise
        blocks = [Block(**block) for block in reply.pop("blocks", ())]
        return Reading(blocks=blocks, **reply)

    async def close(self) -> None:
        process, self._process = self._process, None
        if process:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "milepost_rag.reader_process", json.dumps(asdict(self._limits)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,  # Ctrl-C is for us; it ends when its input does
        )  # fmt: skip
        try:
            async with asyncio.timeout(_START_SECONDS):
                await _receive(process)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()
            raise ReaderBrokenError(f"the process that reads documents did not start (exit code {code})") from error
        return process

    def _reason(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"needs more memory to be read than the {self._limits.reader_bytes / MIB:.0f} MiB allowed"
        if code == -signal.SIGXCPU:
            return f"takes more CPU time to be read than the {self._limits.reader_cpu_seconds} s allowed"
        return f"ended the process that read it (exit code {code})"


async def _ask(process: Process, request: Mapping[str, str]) -> dict[str, Any]:
    assert process.stdin is not None
    data = json.dumps(request).encode()
    process.stdin.write(len(data).to_bytes(4, "big") + data)
    await process.stdin.drain()
    return await _receive(process)


async def _receive(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    message: dict[str, Any] = json.loads(await process.stdout.readexactly(size))
    return message
