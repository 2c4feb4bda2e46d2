"""Work that nobody waits for at the end of the process."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T], *, name: str) -> T:
    """What `work` returns, called on a thread of its own.

    Unlike that of `asyncio.to_thread` it holds up nobody: when the caller is cancelled it goes on until the process
    ends, so that `work` must be something that may break off anywhere.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
