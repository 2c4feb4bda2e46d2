"""The one thread that touches llama.cpp's contexts."""

import asyncio
import concurrent.futures
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Command = Callable[[], None]

_log = logging.getLogger(__name__)


class Worker:
    """Runs commands in the order in which they came, and in between what `step` does as long as it says so."""

    def __init__(self, name: str) -> None:
        self.step: Callable[[], bool] = lambda: False
        """One batch; true while there is more to do. Set by a command."""
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def post(self, command: Command) -> None:
        """Has the command run before the next step; from any thread."""
        self._commands.put(command)

    async def call(self, work: Callable[[], T]) -> T:
        """Runs `work` in the thread and returns what it returns."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def command() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # the caller decides what it means
                future.set_exception(error)

        self.post(command)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the thread after the commands that were posted."""
        self._commands.put(None)
        self._thread.join()

    def _main(self) -> None:
        is_busy = False
        while True:
            try:
                command = self._commands.get(block=not is_busy)
            except queue.Empty:
                is_busy = self.step()
                continue
            if command is None:
                return
            command()
            is_busy = True
