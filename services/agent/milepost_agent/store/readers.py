"""Readers: read-only connections in threads of their own, so that no query ever waits for the writer or holds it up."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from milepost_agent.errors import StoreClosed

Result = TypeVar("Result")

READERS: Final = 2
BUSY_MILLISECONDS: Final = 5_000


class Readers:
    """Runs queries on one of `READERS` connections; each sees everything that was committed before it began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = _Pool(path)
        self._closed = False

    async def read(self, query: Callable[[apsw.Connection], Result]) -> Result:
        """The result of a query, which must fetch all that it needs before it returns.

        Raises:
            StoreClosed: the store was closed.
        """
        if self._closed:
            raise StoreClosed(f"{self._path}: the store is closed")
        return await self._pool.run(query)

    async def reopen(self) -> None:
        """Opens new connections to the file for the queries from now on, and closes the ones before."""
        old, self._pool = self._pool, _Pool(self._path)
        self._closed = False
        await old.close()

    async def close(self) -> None:
        self._closed = True
        await self._pool.close()


class _Pool:
    """Connections that each belong to a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader", initializer=self._connect)

    async def run(self, query: Callable[[apsw.Connection], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()

    def _connect(self) -> None:
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        self._local.connection = connection
        self._connections.append(connection)

    def _query(self, query: Callable[[apsw.Connection], Result]) -> Result:
        connection: apsw.Connection = self._local.connection
        with connection:  # one state of the file for all statements of the query
            result = query(connection)
        return result
